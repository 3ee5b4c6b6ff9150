//! Ordinary packets: protocols, ports and source addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::vec;
use std::vec::Vec;

use super::build::{ICMP, ICMPV6, TCP, UDP, icmp, icmp_type, other, tcp, udp};
use super::{Case, HOST4, HOST6, PUBLIC4, PUBLIC6, case, ip, portless};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = protocols();
    cases.extend(sources4());
    cases.extend(sources6());
    cases
}

fn protocols() -> Vec<Case> {
    let (tcp4, udp4) = (|| tcp(PUBLIC4, HOST4), || udp(PUBLIC4, HOST4));
    let (tcp6, udp6) = (|| tcp(PUBLIC6, HOST6), || udp(PUBLIC6, HOST6));
    let inner4 = tcp4().frame()[14..].to_vec();
    let inner6 = tcp6().frame()[14..].to_vec();
    let gre4 = [&[0, 0, 0x08, 0x00], &inner4[..]].concat();
    // SCTP and UDP-Lite begin with ports, which the contract does not read.
    let ports = [0x9c, 0x40, 0x01, 0xbb, 0, 12, 0, 0, 0, 0, 0, 0];
    vec![
        case("tcp4_syn", tcp4(), ip(PUBLIC4, 6, 443)),
        case("tcp4_ack_with_payload", tcp4().flags(0x10).payload(b"GET / HTTP/1.1"), ip(PUBLIC4, 6, 443)),
        case("tcp4_reset", tcp4().flags(0x04), ip(PUBLIC4, 6, 443)),
        case("tcp4_without_flags", tcp4().flags(0), ip(PUBLIC4, 6, 443)),
        case("tcp4_all_options", tcp4().tcp_options(10), ip(PUBLIC4, 6, 443)),
        case("tcp4_port_0", tcp4().ports(40000, 0), ip(PUBLIC4, 6, 0)),
        case("tcp4_port_65535", tcp4().ports(40000, 65535), ip(PUBLIC4, 6, 65535)),
        case("tcp4_port_0x0102", tcp4().ports(0x0304, 0x0102), ip(PUBLIC4, 6, 0x0102)),
        case("tcp4_source_port_443", tcp4().ports(443, 40000), ip(PUBLIC4, 6, 40000)),
        // The header fits without the options it claims: 20 bytes are what the gate needs.
        case("tcp4_data_offset_too_large", tcp4().claim_data_offset(15), ip(PUBLIC4, 6, 443)),
        case("tcp4_data_offset_too_small", tcp4().claim_data_offset(0), ip(PUBLIC4, 6, 443)),
        case("udp4", udp4().payload(b"hello"), ip(PUBLIC4, 17, 443)),
        case("udp4_without_payload", udp4(), ip(PUBLIC4, 17, 443)),
        case("udp4_dns", udp4().ports(40000, 53).payload(&[0; 12]), ip(PUBLIC4, 17, 53)),
        case("icmp4_echo_request", icmp(PUBLIC4, HOST4), portless(PUBLIC4, 1)),
        case("icmp4_echo_reply", icmp_type(PUBLIC4, HOST4, ICMP, 0), portless(PUBLIC4, 1)),
        case(
            "icmp4_unreachable_quotes_tcp",
            icmp_type(PUBLIC4, HOST4, ICMP, 3).payload(&inner4),
            portless(PUBLIC4, 1),
        ),
        // ICMP's types 133 to 137 are no neighbour discovery.
        case("icmp4_type_135", icmp_type(PUBLIC4, HOST4, ICMP, 135), portless(PUBLIC4, 1)),
        case("icmpv6_type_135_over_ipv4", icmp_type(PUBLIC4, HOST4, ICMPV6, 135), portless(PUBLIC4, 58)),
        case(
            "igmp4",
            other(PUBLIC4, HOST4, 2).payload(&[0x16, 0, 9, 4, 224, 0, 0, 251]),
            portless(PUBLIC4, 2),
        ),
        case("ospf4", other(PUBLIC4, HOST4, 89).payload(&[2, 1, 0, 44]), portless(PUBLIC4, 89)),
        case("vrrp4", other(PUBLIC4, HOST4, 112).payload(&[0x31, 1, 100, 0]), portless(PUBLIC4, 112)),
        case("sctp4", other(PUBLIC4, HOST4, 132).payload(&ports), portless(PUBLIC4, 132)),
        case("udp_lite4", other(PUBLIC4, HOST4, 136).payload(&ports), portless(PUBLIC4, 136)),
        case("dccp4", other(PUBLIC4, HOST4, 33).payload(&ports), portless(PUBLIC4, 33)),
        case("esp4", other(PUBLIC4, HOST4, 50).payload(&[0; 24]), portless(PUBLIC4, 50)),
        case("protocol_255", other(PUBLIC4, HOST4, 255).payload(&[0; 8]), portless(PUBLIC4, 255)),
        // The outer addresses decide; tunnels are not opened.
        case("ipv4_in_ipv4", other(PUBLIC4, HOST4, 4).payload(&inner4), portless(PUBLIC4, 4)),
        case("ipv6_in_ipv4", other(PUBLIC4, HOST4, 41).payload(&inner6), portless(PUBLIC4, 41)),
        case("gre4", other(PUBLIC4, HOST4, 47).payload(&gre4), portless(PUBLIC4, 47)),
        case("vxlan4", udp4().ports(40000, 4789).payload(&tcp4().frame()), ip(PUBLIC4, 17, 4789)),
        case("ipv4_in_ipv6", other(PUBLIC6, HOST6, 4).payload(&inner4), portless(PUBLIC6, 4)),
        case("ipv6_in_ipv6", other(PUBLIC6, HOST6, 41).payload(&inner6), portless(PUBLIC6, 41)),
        case("tcp6_syn", tcp6(), ip(PUBLIC6, 6, 443)),
        case("tcp6_ack_with_payload", tcp6().flags(0x10).payload(b"GET / HTTP/1.1"), ip(PUBLIC6, 6, 443)),
        case("tcp6_all_options", tcp6().tcp_options(10), ip(PUBLIC6, 6, 443)),
        case("tcp6_port_0x0102", tcp6().ports(0x0304, 0x0102), ip(PUBLIC6, 6, 0x0102)),
        case("udp6", udp6().payload(b"hello"), ip(PUBLIC6, 17, 443)),
        case("udp6_quic", udp6().payload(&[0xc3; 1200]), ip(PUBLIC6, 17, 443)),
        case("icmp6_echo_request", icmp(PUBLIC6, HOST6), portless(PUBLIC6, 58)),
        case(
            "icmp6_packet_too_big",
            icmp_type(PUBLIC6, HOST6, ICMPV6, 2).payload(&inner6),
            portless(PUBLIC6, 58),
        ),
        case("icmp_over_ipv6", icmp_type(PUBLIC6, HOST6, ICMP, 135), portless(PUBLIC6, 1)),
        case("sctp6", other(PUBLIC6, HOST6, 132).payload(&ports), portless(PUBLIC6, 132)),
        case("gre6", other(PUBLIC6, HOST6, 47).payload(&gre4), portless(PUBLIC6, 47)),
        case("tcp4_dscp_46", tcp4().dscp(46), ip(PUBLIC4, 6, 443)),
        // The class straddles the first two bytes, beside the version.
        case("tcp6_dscp_63", tcp6().dscp(63), ip(PUBLIC6, 6, 443)),
        case("udp4_payload_looks_like_tcp6", udp4().payload(&tcp6().frame()), ip(PUBLIC4, 17, 443)),
        case("tcp4_to_broadcast", tcp(PUBLIC4, v4(255, 255, 255, 255)), ip(PUBLIC4, TCP, 443)),
        case("udp4_to_multicast", udp(PUBLIC4, v4(224, 0, 0, 251)).ports(5353, 5353), ip(PUBLIC4, UDP, 5353)),
    ]
}

fn sources4() -> Vec<Case> {
    let from = |name, source| case(name, udp(source, HOST4), ip(source, 17, 443));
    vec![
        from("source_unspecified4", v4(0, 0, 0, 0)),
        from("source_this_network", v4(0, 255, 255, 255)),
        from("source_byte_order4", v4(1, 2, 3, 4)),
        from("source_sign_bit4", v4(128, 0, 0, 1)),
        from("source_private_10", v4(10, 255, 255, 255)),
        from("source_private_172_16", v4(172, 16, 0, 0)),
        from("source_private_192_168", v4(192, 168, 0, 1)),
        from("source_shared_100_64", v4(100, 64, 0, 1)),
        from("source_loopback4", v4(127, 0, 0, 1)),
        from("source_link_local4", v4(169, 254, 169, 254)),
        from("source_documentation4", v4(203, 0, 113, 7)),
        from("source_benchmark4", v4(198, 18, 0, 1)),
        from("source_multicast4", v4(224, 0, 0, 1)),
        from("source_reserved4", v4(240, 0, 0, 1)),
        from("source_broadcast", v4(255, 255, 255, 255)),
    ]
}

fn sources6() -> Vec<Case> {
    let from = |name, source| case(name, udp(source, HOST6), ip(source, 17, 443));
    vec![
        from("source_unspecified6", v6([0; 8])),
        from("source_loopback6", v6([0, 0, 0, 0, 0, 0, 0, 1])),
        from("source_ipv4_compatible", v6([0, 0, 0, 0, 0, 0, 0x0100, 0x0101])),
        // It stays IPv6: nobody may send it, and it is not 1.0.1.1.
        from("source_ipv4_mapped", v6([0, 0, 0, 0, 0, 0xffff, 0x0100, 0x0101])),
        from("source_nat64", v6([0x64, 0xff9b, 0, 0, 0, 0, 0x0100, 0x0101])),
        from("source_6to4", v6([0x2002, 0x0100, 0x0101, 0, 0, 0, 0, 1])),
        from("source_teredo", v6([0x2001, 0, 0x4136, 0xe378, 0x8000, 0x63bf, 0x3fff, 0xfdd2])),
        from("source_documentation6", v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1])),
        from("source_byte_order6", v6([0x2001, 0x0203, 0x0405, 0x0607, 0x0809, 0x0a0b, 0x0c0d, 0x0e0f])),
        from("source_low_sign_bit6", v6([0x2001, 0x0200, 0, 0, 0x8000, 0, 0, 0])),
        from("source_outside_2000_3", v6([0x4000, 0, 0, 0, 0, 0, 0, 1])),
        from("source_unique_local", v6([0xfd00, 1, 2, 3, 4, 5, 6, 7])),
        from("source_link_local6", v6([0xfe80, 0, 0, 0, 0, 0, 0, 1])),
        from("source_multicast6", v6([0xff02, 0, 0, 0, 0, 0, 0, 1])),
        from("source_all_ones6", v6([0xffff; 8])),
    ]
}

const fn v4(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

const fn v6(s: [u16; 8]) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]))
}
