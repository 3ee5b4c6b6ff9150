//! What stands behind a packet's IP headers: for policies with rules that ask for it, and only once they ask.
//!
//! [`parse`](crate::packet::parse) finds this too and keeps little of it: whatever it kept would have to stay in
//! registers while the source's class is looked up, in every packet's way. Reading the headers again, which are in the
//! cache by then, costs those who ask.

use crate::packet::{Chain, Fragment, Frame, Packet, Source, claimed_by_ipv4, protocol, walk};

/// The part of a packet behind its IP headers, extension headers among them. Offsets are from the frame's start, in
/// bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Transport {
    /// What it is.
    pub upper: Upper,
    /// The ports of TCP or UDP, where they are known. Never of a later fragment.
    pub ports: Option<Ports>,
    /// Where the packet stands in a fragmented one.
    pub fragment: Fragment,
    /// Where it begins.
    pub at: usize,
    /// Where it ends: by the IP header's own length, or where the frame ends before that. Padding lies behind. At least
    /// [`at`](Self::at).
    pub end: usize,
    /// How long it is by the IP header, in bytes, be it in the frame or not.
    pub length: usize,
}

/// What a packet carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Upper {
    /// This protocol.
    Known(u8),
    /// An IPv6 header of this number, behind which any protocol may follow for those who understand it.
    Behind(u8),
    /// Something behind more extension headers than are walked, or behind headers that are in another fragment.
    Unknown,
}

impl Upper {
    /// What an IPv6 packet carries whose last header that is walked names `next` as what follows.
    #[inline(always)]
    #[must_use]
    pub const fn of_ipv6(next: u8) -> Self {
        if may_hide_more(next) { Self::Behind(next) } else { Self::Known(next) }
    }
}

/// Ports of TCP or UDP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ports {
    /// The source port.
    pub source: u16,
    /// The destination port.
    pub destination: u16,
}

/// Reads on in `frame` from where `packet`, which is what it was parsed to, begins.
#[inline(always)]
#[must_use]
pub fn transport<F: Frame + ?Sized>(frame: &F, packet: &Packet) -> Transport {
    match packet.source {
        Source::V4(_) => ipv4(frame, packet.header),
        Source::V6 { .. } => ipv6(frame, packet.header),
    }
}

/// RFC 791. In IPv4 every number is a protocol of its own: a tunnel's (IP in IP, GRE, 6in4) and AH's too, into which a rule
/// about TCP does not look.
#[inline(always)]
fn ipv4<F: Frame + ?Sized>(frame: &F, header: usize) -> Transport {
    let Some(start) = frame.be32(header) else { return unknown(header) };
    let Some(fragment) = frame.be16(header + 6) else { return unknown(header) };
    let Some(time_and_protocol) = frame.be16(header + 8) else { return unknown(header) };
    let at = header + ((start >> 24) & 0xf) as usize * 4;
    let claimed = claimed_by_ipv4(frame, header, start);
    let number = (time_and_protocol & 0xff) as u8;
    found(frame, Upper::Known(number), Fragment::of_ipv4(fragment), at, claimed)
}

/// RFC 8200.
#[inline(always)]
fn ipv6<F: Frame + ?Sized>(frame: &F, header: usize) -> Transport {
    let Some(payload) = frame.be16(header + 4) else { return unknown(header) };
    let Some(next_and_hops) = frame.be16(header + 6) else { return unknown(header) };
    let first = header + 40;
    // 0: a jumbogram (RFC 2675), or a segment that the NIC merged beyond 64 KiB.
    let claimed = if payload == 0 { frame.length() } else { first + payload as usize };
    let next = (next_and_hops >> 8) as u8;
    match walk::<F, true>(frame, next, first, claimed.min(frame.length())) {
        Chain::End { protocol, at, fragment } => {
            found(frame, Upper::of_ipv6(protocol), fragment, at, claimed)
        }
        // `parse` takes a packet cut within its headers for malformed: there is none here.
        Chain::Unknown | Chain::Cut => unknown(header),
    }
}

#[inline(always)]
fn found<F: Frame + ?Sized>(
    frame: &F,
    upper: Upper,
    fragment: Fragment,
    at: usize,
    claimed: usize,
) -> Transport {
    let end = claimed.min(frame.length()).max(at);
    let has_ports = matches!(upper, Upper::Known(protocol::TCP | protocol::UDP));
    let ports = if has_ports && fragment != Fragment::Later && at + 4 <= end {
        frame.be32(at).map(|both| Ports { source: (both >> 16) as u16, destination: (both & 0xffff) as u16 })
    } else {
        None
    };
    Transport { upper, ports, fragment, at, end, length: claimed.saturating_sub(at) }
}

#[inline(always)]
const fn unknown(header: usize) -> Transport {
    Transport {
        upper: Upper::Unknown,
        ports: None,
        fragment: Fragment::None,
        at: header,
        end: header,
        length: 0,
    }
}

/// IPv6 extension headers that are not walked: mobility, host identity, shim6, experiments (RFC 7045 section 4), and
/// numbers that are not assigned and might become one (IANA "Protocol Numbers": 148 to 252, and 255). ESP and "no next
/// header" are not among them: behind the first one nobody reads without its key, behind the second there is nothing.
#[inline(always)]
const fn may_hide_more(number: u8) -> bool {
    matches!(number, 135 | 139 | 140 | 148..=255)
}

#[cfg(test)]
mod tests {
    use std::{net::IpAddr, vec::Vec};

    use super::*;
    use crate::{
        corpus::{build, corpus, truncations},
        packet::{Parsed, parse},
    };

    #[test]
    fn it_says_what_the_parser_says_of_every_packet_whole_and_cut() {
        let mut compared = 0;
        for case in corpus() {
            for frame in truncations(&case.frame).chain([case.frame.as_slice()]) {
                let Parsed::Ip(packet) = parse(frame) else { continue };
                let found = transport(frame, &packet);
                let number = match found.upper {
                    Upper::Known(number) | Upper::Behind(number) => Some(number),
                    Upper::Unknown => None,
                };
                let port = found.ports.map(|ports| ports.destination);
                assert_eq!((number, port), (packet.protocol, packet.destination_port), "{}", case.name);
                assert!(packet.header <= found.at && found.at <= found.end && found.end <= frame.len());
                assert!(found.length >= found.end - found.at, "{}", case.name);
                compared += 1;
            }
        }
        assert!(compared > 10_000, "{compared}");
    }

    fn of(frame: impl Into<Vec<u8>>) -> Transport {
        let frame = frame.into();
        let Parsed::Ip(packet) = parse(frame.as_slice()) else { panic!("not to be judged: {frame:02x?}") };
        transport(frame.as_slice(), &packet)
    }

    fn tcp(addresses: [&str; 2]) -> build::Build {
        let [source, destination] = addresses.map(|text| text.parse::<IpAddr>().expect("an address"));
        build::tcp(source, destination).ports(1025, 443)
    }

    const V4: [&str; 2] = ["1.0.1.1", "10.88.0.2"];
    const V6: [&str; 2] = ["2404:7940::1", "fd00:88::2"];

    #[test]
    fn offsets_and_lengths_are_those_of_the_packet_not_of_the_frame() {
        let hello = Transport {
            upper: Upper::Known(6),
            ports: Some(Ports { source: 1025, destination: 443 }),
            fragment: Fragment::None,
            at: 14 + 24,
            end: 14 + 24 + 25,
            length: 25,
        };
        let packet = || tcp(V4).ihl(6).payload(b"hello");
        assert_eq!(of(packet()), hello);
        assert_eq!(of(build::padded(packet(), 80)), hello, "padding");
        assert_eq!(
            of(build::cut(packet(), 14 + 24 + 22)),
            Transport { end: 14 + 24 + 22, ..hello },
            "the rest is not in the frame, but in the packet"
        );
        let v6 = of(tcp(V6).vlan(7).extension(build::HOP_BY_HOP).payload(b"hello"));
        assert_eq!(v6, Transport { at: 18 + 48, end: 18 + 48 + 25, ..hello });
    }

    #[test]
    fn a_length_of_0_goes_to_the_frame_s_end_however_far_that_is() {
        for (addresses, at) in [(V4, 14 + 20), (V6, 14 + 40)] {
            let big = tcp(addresses).payload(b"hello").claim_length(0).frame();
            let big = build::padded(big, 200_000);
            let expected = Transport {
                upper: Upper::Known(6),
                ports: Some(Ports { source: 1025, destination: 443 }),
                fragment: Fragment::None,
                at,
                end: 200_000,
                length: 200_000 - at,
            };
            assert_eq!(of(big), expected);
        }
    }

    #[test]
    fn an_atomic_fragment_is_whole_unless_it_is_within_a_first_one() {
        let fragment = |build: build::Build| of(build).fragment;
        assert_eq!(fragment(tcp(V6).fragment(0, false)), Fragment::Atomic);
        assert_eq!(fragment(tcp(V6).fragment(0, false).fragment(0, false)), Fragment::Atomic);
        assert_eq!(fragment(tcp(V6).fragment(0, true)), Fragment::First);
        assert_eq!(fragment(tcp(V6).fragment(0, true).fragment(0, false)), Fragment::First);
        assert_eq!(fragment(tcp(V6).fragment(0, false).fragment(0, true)), Fragment::First);
        assert_eq!(fragment(tcp(V6).payload(&[0; 16]).fragment(1, false)), Fragment::Later);
        assert_eq!(fragment(tcp(V4).dont_fragment()), Fragment::None);
        assert_eq!(fragment(tcp(V4).fragment(0, true)), Fragment::First);
    }

    #[test]
    fn each_bit_of_an_offset_makes_a_later_fragment() {
        for bit in 0..13 {
            for addresses in [V4, V6] {
                for more in [false, true] {
                    let fragment = of(tcp(addresses).payload(&[0; 16]).fragment(1 << bit, more)).fragment;
                    assert_eq!(fragment, Fragment::Later, "offset 1 << {bit}, {addresses:?}");
                }
            }
        }
    }
}
