//! What a rejected packet is answered with, and whether it is.
//!
//! Two steps, because the kernel moves a frame's ends between them: [`plan`] reads the packet and says how the frame has
//! to be changed in size; then the caller changes it (`bpf_xdp_adjust_head`, `bpf_xdp_adjust_tail`); then
//! [`write`] fills it, and the frame goes back out of the interface it came from. Where any of these has nothing to
//! give, the packet is dropped without an answer.
//!
//! The answer comes from the address that the packet was sent to. It has no options or extension headers, hop limit 64,
//! DSCP and ECN 0, and the VLAN tags of the packet: of those that are in the frame, since a tag that the network card took
//! off is not known to XDP.

use octroi_abi::Limit;

use crate::{
    packet::{Fragment, Frame, Packet, Source, protocol},
    transport::{Transport, Upper},
};

mod write;

pub use write::write;

/// How a frame becomes an answer to itself.
///
/// Every field is set for every kind of answer: a field that only one kind had would be a register without a value for
/// the other, and the verifier refuses a program that saves it across the helpers' calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    /// What the answer is.
    pub kind: Kind,
    /// How many bytes the frame has to get in front: 0, 28 or 48.
    pub head: usize,
    /// How many bytes the frame has to have in the end, `head` included: never more than it has with them, so its tail is
    /// cut, or stays. At most 22 + 1280.
    pub length: usize,
    /// Offset of the packet's IP header before the frame is changed, and of the answer's after: 14, 18 or 22.
    header: usize,
    /// Whether both are IPv6.
    v6: bool,
    /// For [`Kind::Prohibited`]: how many bytes of the packet are quoted, its IP header first.
    quoted: usize,
    /// For [`Kind::Reset`]: whether the answer alone is shorter than a frame has to be.
    padded: bool,
    /// For [`Kind::Reset`].
    reset: Reset,
}

/// What an answer is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A TCP segment that resets the connection.
    Reset,
    /// ICMP 3/13 or ICMPv6 1/1, communication administratively prohibited.
    Prohibited,
}

/// What a reset says beyond being one. All in the host's byte order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Reset {
    /// The source port in the upper 16 bits, the destination port in the lower: the packet's, changed round.
    ports: u32,
    sequence: u32,
    acknowledgement: u32,
    /// The header's fourth word: its length, the flags, a window of 0.
    flags: u32,
}

impl Reset {
    const NONE: Self = Self { ports: 0, sequence: 0, acknowledgement: 0, flags: 0 };
    /// Five words of header, RST.
    const ALONE: u32 = 0x5004_0000;
    /// Five words of header, RST and ACK.
    const ACKNOWLEDGING: u32 = 0x5014_0000;
}

/// IPv4: "as much of the original datagram as possible without the length of the ICMP datagram exceeding 576 bytes"
/// (RFC 1812, 4.3.2.3).
const MOST_V4: usize = 576;
/// IPv6: the minimum MTU (RFC 4443, 2.4 (c)).
const MOST_V6: usize = 1280;
/// IP and ICMP headers in front of what is quoted.
const HEAD_V4: usize = 20 + 8;
const HEAD_V6: usize = 40 + 8;
/// What Ethernet cards send at least, without frame check sequence; not every driver pads what XDP sends.
const LEAST_FRAME: usize = 60;

/// How many answers leave this host at most: a thousand a second, and as many at once. Whoever sends under somebody else's address
/// makes it answer to that; the rest is dropped.
pub const RATE: Limit = Limit { rate: 1000, burst: 1000, per_source: 0, _pad: 0, word: 0 };

/// Plans the answer to a packet that a rule rejects. `None` where it gets none:
///
/// - what was not sent to one host by one host, by MAC or IP address (RFC 1122, 3.2.2; RFC 1812, 4.3.2.7; RFC 4443,
///   2.4 (e)): groups, broadcasts, unspecified, loopback and reserved addresses; IPv6 in ::/80, where mapped and
///   compatible IPv4 addresses are as well;
/// - what could be an answer itself, so that two gates never answer each other: TCP resets, ICMP errors, ICMP types that
///   are not known to be questions or their replies, and everything behind a header chain that cannot be read;
/// - later fragments;
/// - TCP segments whose header is not there whole (a first fragment may be shorter), or says that it is shorter than a
///   TCP header: no honest sender waits for an answer to them.
///
/// Checksums of the packet are not looked at: where the sender is on this host, they are not filled in yet.
#[inline(always)]
#[must_use]
pub fn plan<F: Frame + ?Sized>(frame: &F, packet: &Packet, transport: &Transport) -> Option<Plan> {
    let header = packet.header;
    if transport.fragment == Fragment::Later || !is_between_two_stations(frame) {
        return None;
    }
    let v6 = match packet.source {
        Source::V4(source) => {
            if !is_one_host_v4(source) || !is_one_host_v4(frame.be32(header + 16)?) {
                return None;
            }
            false
        }
        Source::V6 { high, low } => {
            let (to_high, to_low) = frame.be128(header + 24)?;
            if !is_one_host_v6(high, low) || !is_one_host_v6(to_high, to_low) {
                return None;
            }
            true
        }
    };
    let Upper::Known(number) = transport.upper else { return None };
    match number {
        protocol::TCP => {
            let reset = reset(frame, transport)?;
            let wanted = header + if v6 { 40 + 20 } else { 20 + 20 };
            // A frame that came with padding goes with padding.
            let padded = wanted < LEAST_FRAME && frame.length() >= LEAST_FRAME;
            let length = if padded { LEAST_FRAME } else { wanted };
            Some(Plan { kind: Kind::Reset, head: 0, length, header, v6, quoted: 0, padded, reset })
        }
        protocol::ICMP | protocol::ICMPV6 if !is_answerable_icmp(frame, transport, number, v6) => None,
        _ => {
            let (head, most) = if v6 { (HEAD_V6, MOST_V6) } else { (HEAD_V4, MOST_V4) };
            let quoted = transport.end.saturating_sub(header).min(most - head);
            let length = header + head + quoted;
            Some(Plan {
                kind: Kind::Prohibited,
                head,
                length,
                header,
                v6,
                quoted,
                padded: false,
                reset: Reset::NONE,
            })
        }
    }
}

/// RFC 9293, 3.10.7.1: what is sent for a connection that does not exist.
#[inline(always)]
fn reset<F: Frame + ?Sized>(frame: &F, transport: &Transport) -> Option<Reset> {
    const FIN: u16 = 1;
    const SYN: u16 = 2;
    const RST: u16 = 4;
    const ACK: u16 = 16;
    let at = transport.at;
    if at + 20 > transport.end {
        return None;
    }
    let ports = frame.be32(at)?;
    let sequence = frame.be32(at + 4)?;
    let acknowledgement = frame.be32(at + 8)?;
    let offset_and_flags = frame.be16(at + 12)?;
    let header = (offset_and_flags >> 12) as usize * 4;
    if header < 20 || at + header > transport.end || offset_and_flags & RST != 0 {
        return None;
    }
    let ports = ports.rotate_left(16);
    if offset_and_flags & ACK != 0 {
        let flags = Reset::ALONE;
        return Some(Reset { ports, sequence: acknowledgement, acknowledgement: 0, flags });
    }
    // Of a first fragment, what it holds: that is at least the SYN, so a connecting client takes it for its answer.
    let payload = transport.length.saturating_sub(header);
    let marks = (offset_and_flags & SYN != 0) as u32 + (offset_and_flags & FIN != 0) as u32;
    let end = sequence.wrapping_add((payload as u64 & 0xffff_ffff) as u32).wrapping_add(marks);
    Some(Reset { ports, sequence: 0, acknowledgement: end, flags: Reset::ACKNOWLEDGING })
}

/// Whether both MAC addresses are those of one station: the lowest bit of the first byte is 0.
#[inline(always)]
fn is_between_two_stations<F: Frame + ?Sized>(frame: &F) -> bool {
    const GROUP: u16 = 0x0100;
    // One after the other: of both at once the compiler would look at what is not there.
    let Some(to) = frame.be16(0) else { return false };
    if to & GROUP != 0 {
        return false;
    }
    let Some(from) = frame.be16(6) else { return false };
    from & GROUP == 0
}

/// Not in 0.0.0.0/8, 127.0.0.0/8, 224.0.0.0/4 or 240.0.0.0/4, which holds the broadcast address.
#[inline(always)]
const fn is_one_host_v4(address: u32) -> bool {
    let first = address >> 24;
    first != 0 && first != 127 && first < 224
}

/// Not in ::/80, which holds unspecified, loopback, mapped and compatible addresses, nor in ff00::/8.
#[inline(always)]
const fn is_one_host_v6(high: u64, low: u64) -> bool {
    !(high == 0 && low >> 48 == 0) && high >> 56 != 0xff
}

/// Whether ICMP (1) in IPv4 or ICMPv6 (58) in IPv6 is a question or its reply, by what is known of types (IANA "ICMP Type
/// Numbers", "ICMPv6 type Numbers"): echo, timestamp, information and address mask; echo, node information and extended
/// echo in IPv6.
#[inline(always)]
fn is_answerable_icmp<F: Frame + ?Sized>(frame: &F, transport: &Transport, number: u8, v6: bool) -> bool {
    if v6 != (number == protocol::ICMPV6) || transport.at + 8 > transport.end {
        return false;
    }
    let Some(start) = frame.be16(transport.at) else { return false };
    let kind = start >> 8;
    if v6 {
        matches!(kind, 128 | 129 | 139 | 140 | 160 | 161)
    } else {
        matches!(kind, 0 | 8 | 13..=18 | 42 | 43)
    }
}

/// The answer to a frame that is rejected, where it gets one: both steps, and the change of size between them.
#[cfg(feature = "std")]
#[must_use]
pub fn answer(frame: &[u8]) -> Option<std::vec::Vec<u8>> {
    use crate::{
        packet::{Parsed, parse},
        transport::transport,
    };
    let Parsed::Ip(packet) = parse(frame) else { return None };
    let plan = plan(frame, &packet, &transport(frame, &packet))?;
    let mut resized = std::vec![0; plan.head];
    resized.extend(frame);
    resized.truncate(plan.length);
    write(resized.as_mut_slice(), &plan)?;
    Some(resized)
}

#[cfg(test)]
mod tests;
