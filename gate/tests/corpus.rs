//! A second opinion on the corpus: another parser has to read the same source, protocol, port and checksums from its
//! frames, and where it does not, we know why.

#![allow(clippy::unwrap_used, reason = "a test's literals")]

use std::net::IpAddr;

use etherparse::{LenSource, NetSlice, SlicedPacket, TransportSlice};
use octroi_gate::corpus::{Case, Expect, build, corpus};

/// Where etherparse reads something and means something else.
const DIFFERENT_BY_INTENT: &[(&str, &str)] = &[
    ("ipv4_authentication", "we walk along extension headers in IPv6 only"),
    ("tag_0x9100", "it takes 0x9100 for a tag"),
    ("tag_0x9100_behind_tag", "it takes 0x9100 for a tag"),
    ("three_tags", "it opens three tags"),
    ("three_service_tags", "it opens three tags"),
    ("nine_headers", "it walks along any number of headers"),
    ("nine_headers_udp", "it walks along any number of headers"),
    ("nine_headers_with_fragment", "it walks along any number of headers"),
    ("nine_headers_then_discovery", "it walks along any number of headers"),
    ("sixteen_headers", "it walks along any number of headers"),
    ("later_fragment_of_fragment", "it takes the middle of a stream for a header"),
];

/// Where the length field cuts off or a header swallows what the checksum covers.
const LENGTH_LIES: &[&str] = &["ipv4_total_length_40", "payload_length_20", "extension_claims_8_more"];

#[test]
fn another_parser_reads_the_same_packets() {
    let mut compared = 0;
    let mut differing = Vec::new();
    for case in corpus() {
        let Ok(packet) = SlicedPacket::from_ethernet(&case.frame) else { continue };
        let Some(read) = read(&packet) else { continue };
        compared += 1;
        if !same(&case, read) {
            differing.push((case.name, read, case.expect));
        }
    }
    let names: Vec<_> = differing.iter().map(|(name, _, _)| *name).collect();
    let unexplained: Vec<_> = differing
        .iter()
        .filter(|(name, _, _)| !DIFFERENT_BY_INTENT.iter().any(|(known, _)| known == name))
        .collect();
    assert!(
        unexplained.is_empty(),
        "read otherwise, without a reason (name, read, expected): {unexplained:#?}"
    );
    for (known, reason) in DIFFERENT_BY_INTENT {
        assert!(names.contains(known), "{known} is read the same after all, so `{reason}` is not true");
    }
    assert!(compared >= 200, "only {compared} packets were read by both");
}

#[test]
fn checksums_of_whole_packets_are_right() {
    let mut whole = 0;
    let mut wrong = Vec::new();
    for case in corpus() {
        let Ok(packet) = SlicedPacket::from_ethernet(&case.frame) else { continue };
        match checksums_are_right(&packet) {
            Ok(looked_at) => whole += usize::from(looked_at),
            Err(error) => wrong.push((case.name, error)),
        }
    }
    let names: Vec<_> = wrong.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, LENGTH_LIES, "{wrong:#?}");
    assert!(whole >= 120, "only {whole} packets have checksums to look at");
}

#[test]
fn a_checksum_of_zero_is_sent_as_all_ones_in_udp() {
    let (source, destination) = ("1.0.1.1".parse().unwrap(), "10.88.0.2".parse().unwrap());
    let sum = |payload: [u8; 2]| {
        let frame = build::udp(source, destination).payload(&payload).frame();
        u16::from_be_bytes([frame[40], frame[41]])
    };
    // Adding what the sum lacks to all ones makes it zero.
    assert_eq!(sum(sum([0, 0]).to_be_bytes()), 0xffff);
}

/// Source, protocol and, where there is one, destination port. `None` where it is not IP.
fn read(packet: &SlicedPacket<'_>) -> Option<(IpAddr, u8, Option<u16>)> {
    let (source, protocol) = match packet.net.as_ref()? {
        NetSlice::Ipv4(ip) => (IpAddr::V4(ip.header().source_addr()), ip.payload_ip_number()),
        NetSlice::Ipv6(ip) => (IpAddr::V6(ip.header().source_addr()), ip.payload().ip_number),
        NetSlice::Arp(_) => return None,
    };
    let port = match packet.transport.as_ref() {
        Some(TransportSlice::Tcp(tcp)) => Some(tcp.destination_port()),
        Some(TransportSlice::Udp(udp)) => Some(udp.destination_port()),
        Some(TransportSlice::Icmpv4(_) | TransportSlice::Icmpv6(_) | TransportSlice::Igmp(_)) | None => None,
    };
    Some((source, protocol.0, port))
}

fn same(case: &Case, (source, protocol, port): (IpAddr, u8, Option<u16>)) -> bool {
    match case.expect {
        Expect::Ip { source: ours, protocol: our_protocol, port: our_port } => {
            // etherparse reads no ports from fragments and stops at header chains in an unusual order; we must not
            // know less than it does.
            ours == source
                && (protocol_is_open(protocol) || our_protocol == Some(protocol))
                && (port.is_none() || our_port == port)
        }
        Expect::NeighbourDiscovery => source.is_ipv6() && protocol == build::ICMPV6,
        Expect::Malformed | Expect::Arp | Expect::NonIp => false,
    }
}

/// Whether what etherparse gives as protocol is an extension header that it did not go behind.
fn protocol_is_open(protocol: u8) -> bool {
    [build::HOP_BY_HOP, build::ROUTING, build::FRAGMENT, build::AUTHENTICATION, build::DESTINATION_OPTIONS]
        .contains(&protocol)
}

/// Whether the packet has checksums over what is there, and all are right.
fn checksums_are_right(packet: &SlicedPacket<'_>) -> Result<bool, String> {
    let (addresses, fragmented, whole) = match packet.net.as_ref() {
        Some(NetSlice::Ipv4(ip)) => {
            let header = ip.header();
            let right = header.to_header().calc_header_checksum();
            if header.header_checksum() != right {
                return Err(format!("header checksum {:04x}, not {right:04x}", header.header_checksum()));
            }
            let whole = ip.payload().len_source == LenSource::Ipv4HeaderTotalLen;
            (
                (header.source_addr().octets().to_vec(), header.destination_addr().octets().to_vec()),
                ip.is_payload_fragmented(),
                whole,
            )
        }
        Some(NetSlice::Ipv6(ip)) => {
            let header = ip.header();
            let whole = ip.payload().len_source == LenSource::Ipv6HeaderPayloadLen;
            ((header.source().to_vec(), header.destination().to_vec()), ip.is_payload_fragmented(), whole)
        }
        Some(NetSlice::Arp(_)) | None => return Ok(false),
    };
    let (content, protocol) = match packet.transport.as_ref() {
        Some(TransportSlice::Tcp(tcp)) => (tcp.slice(), build::TCP),
        Some(TransportSlice::Udp(udp)) => (udp.slice(), build::UDP),
        Some(TransportSlice::Icmpv6(icmp)) => (icmp.slice(), build::ICMPV6),
        Some(TransportSlice::Icmpv4(icmp)) => (icmp.slice(), build::ICMP),
        Some(TransportSlice::Igmp(_)) | None => return Ok(false),
    };
    if fragmented || !whole {
        return Ok(false);
    }
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    // A right checksum, summed up with what it covers, gives zero. ICMP alone has no pseudo header.
    let sum = if protocol == build::ICMP {
        build::checksum(&[content])
    } else {
        build::checksum(&[&addresses.0, &addresses.1, &length, &[0, 0, 0, protocol], content])
    };
    if sum == 0 { Ok(true) } else { Err(format!("the sum over protocol {protocol} is {sum:04x}")) }
}
