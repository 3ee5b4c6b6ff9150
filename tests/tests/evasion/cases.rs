//! The tricks, by name: each with the frames that it takes, and what a rule for a service has to make of them.

use std::net::IpAddr;

use octroi_gate::corpus::build::{
    AUTHENTICATION, Build, DESTINATION_OPTIONS, ESP, HOP_BY_HOP, ICMP, ICMPV6, NO_NEXT_HEADER, ROUTING,
    TPID_8021AD, checksum, cut, ethernet, icmp_type, other, padded, tcp, udp,
};

/// What a trick wants: a packet that reaches `port`, by looks that belong to `cover`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Aim {
    pub(crate) source: IpAddr,
    pub(crate) here: IpAddr,
    /// The source port.
    pub(crate) from: u16,
    /// The port that is to be reached.
    pub(crate) port: u16,
    /// Another one.
    pub(crate) cover: u16,
}

/// A trick.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// In words.
    pub(crate) tried: &'static str,
    /// The IP versions that it is for.
    pub(crate) families: &'static [u8],
    pub(crate) frames: fn(&Aim) -> Vec<Vec<u8>>,
    /// What happens to each frame that is aimed at the service's port, where a rule drops the service: one word for all of
    /// them, or one for each.
    pub(crate) drop: &'static str,
    /// The same where a rule lets in the service, and nothing else.
    pub(crate) pass: &'static str,
}

const BOTH: &[u8] = &[4, 6];
const V4: &[u8] = &[4];
const V6: &[u8] = &[6];

/// Offset of what an IP header of `aim`'s family is followed by.
fn behind(aim: &Aim) -> usize {
    if aim.source.is_ipv4() { 14 + 20 } else { 14 + 40 }
}

impl Aim {
    /// A SYN to the port.
    fn tcp(&self) -> Build {
        tcp(self.source, self.here).ports(self.from, self.port)
    }

    /// A SYN to the other one.
    fn cover(&self) -> Build {
        tcp(self.source, self.here).ports(self.from, self.cover)
    }

    fn udp(&self) -> Build {
        udp(self.source, self.here).ports(self.from, self.port)
    }

    /// A packet of any protocol.
    fn other(&self, protocol: u8, content: &[u8]) -> Build {
        other(self.source, self.here, protocol).payload(content)
    }

    /// What a SYN to the port is behind its IP header, with 44 bytes of payload.
    fn content(&self) -> Vec<u8> {
        content(&self.tcp().payload(&PAYLOAD))
    }

    /// A SYN to `port` in two fragments, the first of `length` bytes.
    fn halves(&self, port: u16, length: usize) -> [Vec<u8>; 2] {
        let whole = self.tcp().ports(self.from, port).payload(&PAYLOAD);
        let rest = content(&whole).split_off(length);
        let offset = u16::try_from(length / 8).expect("a short packet");
        [
            whole.clone().fragment(0, true).keep(length).frame(),
            whole.payload(&rest).fragment(offset, false).frame(),
        ]
    }
}

const PAYLOAD: [u8; 44] = [7; 44];

/// What stands behind the IP header of a packet without options and extension headers.
fn content(packet: &Build) -> Vec<u8> {
    let frame = packet.frame();
    let header = if frame[14] >> 4 == 4 { 20 } else { 40 };
    frame[14 + header..].to_vec()
}

/// A frame in which `bytes` stand at `offset`; an IPv4 header's checksum is right again.
fn patched(frame: impl Into<Vec<u8>>, offset: usize, bytes: &[u8]) -> Vec<u8> {
    let mut frame = frame.into();
    frame[offset..offset + bytes.len()].copy_from_slice(bytes);
    if frame[12..14] == [8, 0] {
        frame[24..26].fill(0);
        let length = usize::from(frame[14] & 15) * 4;
        let sum = checksum(&[&frame[14..14 + length]]);
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
    }
    frame
}

/// Source and destination port as they stand in a header.
fn ports(aim: &Aim, port: u16) -> Vec<u8> {
    [aim.from.to_be_bytes(), port.to_be_bytes()].concat()
}

/// The header of an extension of `kind`, 8 bytes long, in front of a packet's content.
fn behind_header(next: u8, content: &[u8]) -> Vec<u8> {
    [&[next, 0, 1, 4, 0, 0, 0, 0][..], content].concat()
}

/// Several of the same header in front of a SYN.
fn headers(aim: &Aim, kinds: &[u8]) -> Vec<Vec<u8>> {
    vec![kinds.iter().fold(aim.tcp(), |build, &kind| build.extension(kind)).frame()]
}

macro_rules! cases {
    ($($name:ident, $families:ident, $tried:literal, $drop:literal, $pass:literal, $frames:expr;)*) => {
        &[$(Case {
            name: stringify!($name),
            tried: $tried,
            families: $families,
            frames: $frames,
            drop: $drop,
            pass: $pass,
        }),*]
    };
}

/// All of them.
pub(crate) const CASES: &[Case] = cases! {
    plain, BOTH, "nothing: the port stands where it belongs", "dropped", "passes",
        |aim| vec![aim.tcp().frame(), aim.udp().frame()];
    source_port, BOTH, "the port is the source's, the destination's is another", "passes", "dropped",
        |aim| vec![tcp(aim.source, aim.here).ports(aim.port, aim.cover).frame()];

    two_fragments, BOTH, "a packet in two fragments", "dropped", "passes, dropped",
        |aim| aim.halves(aim.port, 32).to_vec();
    later_fragment_first, BOTH, "the same, the later fragment first", "dropped", "dropped, passes",
        |aim| { let [first, rest] = aim.halves(aim.port, 32); vec![rest, first] };
    tiny_first_fragment, BOTH, "a first fragment of 8 bytes: ports, but no flags (RFC 1858)", "dropped", "passes, dropped",
        |aim| aim.halves(aim.port, 8).to_vec();
    first_fragment_without_ports, BOTH, "a first fragment that ends before its ports", "dropped", "dropped",
        |aim| [0, 1, 2, 3].map(|kept| aim.tcp().fragment(0, true).keep(kept).frame()).to_vec();
    first_fragment_with_padding_as_ports, BOTH, "the same, with other ports in the padding behind it", "dropped", "dropped",
        |aim| {
            let short = aim.tcp().fragment(0, true).keep(0).frame();
            let end = short.len();
            vec![patched(padded(short, end + 40), end, &ports(aim, aim.cover))]
        };
    overlap_at_8, BOTH, "a second fragment writes over the first one's TCP header from its 8th byte on (RFC 3128)",
        "passes, dropped", "dropped",
        |aim| {
            let [first, _] = aim.halves(aim.cover, 32);
            vec![first, aim.tcp().payload(&aim.content()[8..]).fragment(1, false).frame()]
        };
    overlap_at_0, BOTH, "a second first fragment with other ports, and the rest", "passes, dropped, dropped",
        "dropped, passes, dropped",
        |aim| {
            let ([first, _], [again, rest]) = (aim.halves(aim.cover, 32), aim.halves(aim.port, 32));
            vec![first, again, rest]
        };
    later_fragment_of_udp, BOTH, "a later fragment of UDP, whose first bytes look like other ports", "dropped", "dropped",
        |aim| vec![aim.udp().payload(&ports(aim, aim.cover).repeat(4)).fragment(3, false).frame()];
    last_offset, BOTH, "a fragment at the last offset there is, beyond the longest packet", "dropped", "dropped",
        |aim| vec![aim.tcp().payload(&PAYLOAD).fragment(8191, false).frame()];
    fragment_of_a_whole_packet, BOTH, "a first fragment with the whole packet in it, and an empty one behind it", "dropped",
        "passes, dropped",
        |aim| vec![
            aim.tcp().payload(&PAYLOAD).fragment(0, true).frame(),
            aim.tcp().fragment(8, false).frame(),
        ];
    do_not_fragment_and_more, V4, "\"don't fragment\" and \"more fragments\" together", "dropped", "passes",
        |aim| vec![aim.tcp().dont_fragment().fragment(0, true).frame()];
    reserved_bit, V4, "the reserved bit beside the fragment offset (RFC 3514)", "dropped", "passes",
        |aim| vec![patched(aim.tcp(), 20, &[0x80])];
    options, V4, "IPv4 options of 4 to 40 bytes in front of the ports", "dropped", "passes",
        |aim| (6..=15).map(|words| aim.tcp().ihl(words).frame()).collect();
    options_in_a_fragment, V4, "the same in both fragments of a packet", "dropped", "passes, dropped",
        |aim| {
            let rest = aim.content().split_off(32);
            vec![
                aim.tcp().payload(&PAYLOAD).ihl(12).fragment(0, true).keep(32).frame(),
                aim.tcp().payload(&rest).ihl(12).fragment(4, false).frame(),
            ]
        };
    header_longer_than_it_is, V4, "a header length that moves the ports to where the sequence number was", "dropped",
        "passes",
        |aim| vec![patched(aim.cover().payload(&PAYLOAD).claim_ihl(6), 14 + 24, &ports(aim, aim.port))];
    header_too_short, V4, "a header length below 20 bytes", "malformed", "malformed",
        |aim| (0..5).map(|words| aim.tcp().claim_ihl(words).frame()).collect();
    header_beyond_the_packet, V4, "a header length beyond the packet's end", "malformed", "malformed",
        |aim| vec![aim.tcp().claim_ihl(15).frame()];
    total_length_without_tcp, V4, "a total length that ends within the TCP header", "malformed", "malformed",
        |aim| [19, 20, 22, 24, 39].map(|length| aim.tcp().claim_length(length).frame()).to_vec();
    total_length_0, V4, "a total length of 0, as of a segment that Linux merged beyond 64 KiB", "dropped", "passes",
        |aim| vec![aim.tcp().claim_length(0).frame()];
    total_length_before_the_end, V4, "a total length that ends before the frame does", "dropped", "passes",
        |aim| vec![aim.tcp().payload(&PAYLOAD).claim_length(40).frame()];
    total_length_beyond_the_end, V4, "a total length beyond the frame's end", "dropped", "passes",
        |aim| vec![aim.tcp().claim_length(u16::MAX).frame()];
    total_length_without_ports, V4, "a total length that ends a first fragment before its ports", "dropped", "dropped",
        |aim| vec![aim.tcp().fragment(0, true).claim_length(23).frame()];
    authentication_in_ipv4, V4, "AH around TCP, which in IPv4 is a protocol of its own", "passes", "dropped",
        |aim| vec![aim.other(AUTHENTICATION, &[&[6, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1][..], &aim.content()].concat()).frame()];
    extension_headers_in_ipv4, V4, "an IPv6 extension header in front of TCP", "passes", "dropped",
        |aim| [HOP_BY_HOP, ROUTING, 44, DESTINATION_OPTIONS, 135, 253]
            .map(|kind| aim.other(kind, &behind_header(6, &aim.content())).frame()).to_vec();

    extension_headers, V6, "hop-by-hop, destination options, routing or AH in front of TCP", "dropped", "passes",
        |aim| [HOP_BY_HOP, DESTINATION_OPTIONS, ROUTING, AUTHENTICATION]
            .into_iter().flat_map(|kind| headers(aim, &[kind])).collect();
    all_extension_headers, V6, "all of these in the order that is recommended, with a fragment header", "dropped", "passes",
        |aim| {
            let first = [HOP_BY_HOP, DESTINATION_OPTIONS, ROUTING];
            let build = first.iter().fold(aim.tcp(), |build, &kind| build.extension(kind)).fragment(0, false);
            vec![build.extension(AUTHENTICATION).extension(DESTINATION_OPTIONS).frame()]
        };
    headers_out_of_order, V6, "hop-by-hop behind others, and twice", "dropped", "passes",
        |aim| [[DESTINATION_OPTIONS, HOP_BY_HOP], [HOP_BY_HOP, HOP_BY_HOP]]
            .into_iter().flat_map(|kinds| headers(aim, &kinds)).collect();
    long_options, V6, "a kilobyte of options", "dropped", "passes",
        |aim| vec![aim.tcp().extension_of(DESTINATION_OPTIONS, 1024).frame()];
    eight_headers, V6, "eight extension headers, as many as are walked", "dropped", "passes",
        |aim| headers(aim, &[DESTINATION_OPTIONS; 8]);
    nine_headers, V6, "nine and more of them", "dropped", "dropped",
        |aim| [9, 10, 24].into_iter().flat_map(|count| headers(aim, &[DESTINATION_OPTIONS; 24][..count])).collect();
    nine_headers_udp, V6, "nine in front of UDP, for a rule about TCP too", "dropped", "dropped",
        |aim| vec![(0..9).fold(aim.udp(), |build, _| build.extension(DESTINATION_OPTIONS)).frame()];
    atomic_fragment, V6, "a fragment header that says it is none (RFC 6946), once and twice", "dropped", "passes",
        |aim| vec![
            aim.tcp().fragment(0, false).frame(),
            aim.tcp().fragment(0, false).fragment(0, false).frame(),
        ];
    fragment_in_a_fragment, V6, "a fragment header within a first fragment", "dropped", "passes",
        |aim| vec![aim.tcp().fragment(0, true).fragment(0, true).frame()];
    ports_in_the_second_fragment, V6, "a first fragment that ends with an extension header (RFC 7112)", "dropped", "dropped",
        |aim| {
            let whole = behind_header(6, &aim.content());
            vec![
                aim.other(DESTINATION_OPTIONS, &whole[..8]).fragment(0, true).frame(),
                aim.other(DESTINATION_OPTIONS, &whole[8..]).fragment(1, false).frame(),
            ]
        };
    later_fragment_of_another_protocol, V6, "a later fragment that says UDP, where the first one says TCP", "dropped",
        "passes, dropped",
        |aim| {
            let [first, rest] = aim.halves(aim.port, 32);
            vec![first, patched(rest, 14 + 40, &[17])]
        };
    later_fragment_of_no_protocol, V6, "the same, where it says ICMPv6, for which there is no rule", "dropped, passes",
        "passes, dropped",
        |aim| {
            let [first, rest] = aim.halves(aim.port, 32);
            vec![first, patched(rest, 14 + 40, &[ICMPV6])]
        };
    unknown_headers, V6, "numbers that are no protocol, or not yet: mobility, host identity, shim6, experiments, unassigned ones",
        "dropped", "dropped",
        |aim| [135, 139, 140, 148, 200, 252, 253, 254, 255]
            .map(|number| aim.other(number, &behind_header(6, &aim.content())).frame()).to_vec();
    unknown_headers_in_a_fragment, V6, "the same in a first and in a later fragment", "dropped", "dropped",
        |aim| {
            let packet = || aim.other(253, &behind_header(6, &aim.content()));
            vec![packet().fragment(0, true).frame(), packet().fragment(3, false).frame()]
        };
    no_next_header, V6, "\"no next header\" in front of TCP", "passes", "dropped",
        |aim| vec![aim.other(NO_NEXT_HEADER, &aim.content()).frame()];
    header_longer_than_the_packet, V6, "an extension header that ends beyond the packet", "malformed", "malformed",
        |aim| vec![aim.tcp().extension_claiming(HOP_BY_HOP, 8, 255).frame()];
    header_that_moves_the_ports, V6, "an extension header with a length that makes other bytes the ports", "dropped",
        "passes",
        |aim| {
            let moved = aim.cover().payload(&PAYLOAD).extension_claiming(DESTINATION_OPTIONS, 8, 2);
            vec![patched(moved, 14 + 40 + 24, &ports(aim, aim.port))]
        };
    payload_length_0, V6, "a payload length of 0, as a jumbogram's", "dropped", "passes",
        |aim| vec![aim.tcp().claim_length(0).frame()];
    payload_length_without_tcp, V6, "a payload length that ends within the TCP header", "malformed", "malformed",
        |aim| [1, 2, 4, 8, 19].map(|length| aim.tcp().claim_length(length).frame()).to_vec();
    payload_length_before_the_end, V6, "a payload length that ends before the frame does", "dropped", "passes",
        |aim| vec![aim.tcp().payload(&PAYLOAD).claim_length(20).frame()];
    payload_length_beyond_the_end, V6, "a payload length beyond the frame's end", "dropped", "passes",
        |aim| vec![aim.tcp().claim_length(u16::MAX).frame()];

    vlan, BOTH, "an 802.1Q tag, of VLAN 0 (priority) and of another", "dropped", "passes",
        |aim| vec![aim.tcp().vlan(0).frame(), aim.tcp().vlan(5).frame()];
    two_tags, BOTH, "two tags: 802.1ad outside (QinQ), or 802.1Q twice", "dropped", "passes",
        |aim| vec![aim.tcp().tagged(TPID_8021AD, 7).vlan(5).frame(), aim.tcp().vlan(0).vlan(0).frame()];
    three_tags, BOTH, "three tags, of which Linux takes off any number where they say VLAN 0", "malformed", "malformed",
        |aim| vec![aim.tcp().vlan(0).vlan(0).vlan(0).frame()];
    snap, V4, "IP in an 802.3 frame (LLC and SNAP), which no Linux host takes for IP", "passes as not IP", "passes as not IP",
        |aim| {
            let packet = [&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0][..], &aim.tcp().frame()[14..]].concat();
            vec![ethernet(&[], u16::try_from(packet.len()).expect("short"), &packet)]
        };
    another_ethertype, BOTH, "one IP version under the other's ethertype", "malformed", "malformed",
        |aim| {
            let ethertype = if aim.source.is_ipv4() { 0x86dd } else { 0x0800 };
            vec![aim.tcp().payload(&PAYLOAD).claim_ethertype(ethertype).frame()]
        };
    padding, BOTH, "padding behind the packet", "dropped", "passes",
        |aim| vec![padded(aim.tcp(), 120)];
    frame_within_tcp, BOTH, "a frame that ends within the TCP header", "malformed", "malformed",
        |aim| [4, 8, 19].map(|kept| cut(aim.tcp(), behind(aim) + kept)).to_vec();

    data_offset, BOTH, "a TCP header that says it is shorter or longer than it is", "dropped", "passes",
        |aim| [0, 4, 15].map(|words| aim.tcp().claim_data_offset(words).frame()).to_vec();
    tcp_flags, BOTH, "no flags, all of them, SYN with FIN or RST", "dropped", "passes",
        |aim| [0, 63, 3, 6].map(|flags| aim.tcp().flags(flags).frame()).to_vec();
    tcp_checksum, BOTH, "a wrong TCP checksum", "dropped", "passes",
        |aim| { let at = behind(aim) + 16; vec![patched(aim.tcp(), at, &[0xde, 0xad])] };
    udp_length, BOTH, "a UDP length of 0, too short, and beyond the packet", "dropped", "passes",
        |aim| [0u16, 7, 8, u16::MAX].map(|length| {
            patched(aim.udp().payload(b"hello"), behind(aim) + 4, &length.to_be_bytes())
        }).to_vec();
    udp_checksum, BOTH, "a UDP checksum of 0", "dropped", "passes",
        |aim| vec![patched(aim.udp().payload(b"hello"), behind(aim) + 6, &[0, 0])];
    error_about_a_packet, BOTH, "an ICMP error that quotes a packet to the port", "passes", "dropped",
        |aim| {
            let (protocol, kind) = if aim.source.is_ipv4() { (ICMP, 3) } else { (ICMPV6, 1) };
            vec![icmp_type(aim.source, aim.here, protocol, kind).payload(&aim.tcp().frame()[14..]).frame()]
        };
    tunnels, BOTH, "the packet in IP in IP or GRE: the outer addresses decide, tunnels are not opened", "passes", "dropped",
        |aim| {
            let inner = aim.tcp().frame()[14..].to_vec();
            let (number, ethertype) = if aim.source.is_ipv4() { (4, [8, 0]) } else { (41, [0x86, 0xdd]) };
            let gre = [&[0, 0][..], &ethertype, &inner].concat();
            vec![aim.other(number, &inner).frame(), aim.other(47, &gre).frame()]
        };
    esp, BOTH, "ESP, behind which nobody reads without its key", "passes", "dropped",
        |aim| vec![aim.other(ESP, &aim.content()).frame()];
};
