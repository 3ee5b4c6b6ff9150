//! Below IP: what is not IP, VLAN tags, and frames cut short there.

use std::vec;
use std::vec::Vec;

use super::build::{
    DESTINATION_OPTIONS, NO_NEXT_HEADER, TCP, TPID_8021AD, TPID_8021Q, cut, ethernet, icmp,
    neighbour_discovery, other, padded, tcp, udp,
};
use super::{Case, Expect, HOST4, HOST6, PUBLIC4, PUBLIC6, case, ip, portless};

const ARP: u16 = 0x0806;
/// Who has 10.88.0.2, says 10.88.0.1.
const ARP_REQUEST: [u8; 28] =
    [0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 88, 0, 1, 0, 0, 0, 0, 0, 0, 10, 88, 0, 2];
const TAG: (u16, u16) = (TPID_8021Q, 100);
const OUTER: (u16, u16) = (TPID_8021AD, 200);

pub(super) fn cases() -> Vec<Case> {
    let mut cases = not_ip();
    cases.extend(tagged());
    cases.extend(runts());
    cases
}

fn not_ip() -> Vec<Case> {
    let tcp4 = tcp(PUBLIC4, HOST4).frame()[14..].to_vec();
    let behind = |header: &[u8]| [header, &tcp4].concat();
    vec![
        case("arp", ethernet(&[], ARP, &ARP_REQUEST), Expect::Arp),
        case("arp_padded", padded(ethernet(&[], ARP, &ARP_REQUEST), 60), Expect::Arp),
        case("arp_tagged", ethernet(&[TAG], ARP, &ARP_REQUEST), Expect::Arp),
        case("arp_tagged_twice", ethernet(&[OUTER, TAG], ARP, &ARP_REQUEST), Expect::Arp),
        case("arp_without_content", ethernet(&[], ARP, &[]), Expect::Arp),
        case("rarp", ethernet(&[], 0x8035, &ARP_REQUEST), Expect::NonIp),
        case("lldp", ethernet(&[], 0x88cc, &[2, 7, 4, 2, 0, 0, 0, 0, 1, 6, 2, 0, 120, 0, 0]), Expect::NonIp),
        case("eapol_start", ethernet(&[], 0x888e, &[1, 1, 0, 0]), Expect::NonIp),
        case("flow_control_pause", ethernet(&[], 0x8808, &[0, 1, 0xff, 0xff]), Expect::NonIp),
        case("lacp", ethernet(&[], 0x8809, &[1, 1, 1, 20]), Expect::NonIp),
        case("macsec", ethernet(&[], 0x88e5, &behind(&[0x2c, 0, 0, 0, 0, 1])), Expect::NonIp),
        case("wake_on_lan", ethernet(&[], 0x0842, &[0xff; 6]), Expect::NonIp),
        case("ipx", ethernet(&[], 0x8137, &[0xff, 0xff, 0, 30]), Expect::NonIp),
        case("trill", ethernet(&[], 0x22f3, &[0; 6]), Expect::NonIp),
        case("local_experimental_ethertype", ethernet(&[], 0x88b5, &tcp4), Expect::NonIp),
        case("byte_swapped_ipv4_ethertype", ethernet(&[], 0x0008, &tcp4), Expect::NonIp),
        // Tunnels are not opened, whatever they carry.
        case("mpls_with_ipv4", ethernet(&[], 0x8847, &behind(&[0, 1, 0x01, 64])), Expect::NonIp),
        case(
            "pppoe_session_with_ipv4",
            ethernet(&[], 0x8864, &behind(&[0x11, 0, 0, 1, 0, 42, 0, 0x21])),
            Expect::NonIp,
        ),
        case("pppoe_discovery", ethernet(&[], 0x8863, &[0x11, 9, 0, 0, 0, 4, 1, 1, 0, 0]), Expect::NonIp),
        case("provider_backbone_tag", ethernet(&[], 0x88e7, &behind(&[0, 0, 1, 0])), Expect::NonIp),
        case("spanning_tree_llc", ethernet(&[], 38, &[0x42, 0x42, 3, 0, 0, 0, 0, 0]), Expect::NonIp),
        case(
            "llc_snap_with_ipv4",
            ethernet(&[], 48, &behind(&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0])),
            Expect::NonIp,
        ),
        case("length_of_1500", ethernet(&[], 0x05dc, &[0xe0; 1500]), Expect::NonIp),
        case("undefined_ethertype_0x05ff", ethernet(&[], 0x05ff, &tcp4), Expect::NonIp),
        case("smallest_ethertype_0x0600", ethernet(&[], 0x0600, &tcp4), Expect::NonIp),
        case("length_behind_tag", ethernet(&[TAG], 38, &[0x42, 0x42, 3, 0, 0, 0, 0, 0]), Expect::NonIp),
    ]
}

fn tagged() -> Vec<Case> {
    let (tcp4, tcp6) = (tcp(PUBLIC4, HOST4), tcp(PUBLIC6, HOST6));
    let content4 = tcp4.frame()[14..].to_vec();
    let third_tag = ethernet(&[OUTER, TAG, (TPID_8021Q, 7)], 0x0800, &content4);
    vec![
        case("vlan_tcp4", tcp4.clone().vlan(100), ip(PUBLIC4, 6, 443)),
        case("vlan_tcp6", tcp6.clone().vlan(100), ip(PUBLIC6, 6, 443)),
        case("vlan_udp4", udp(PUBLIC4, HOST4).vlan(4095), ip(PUBLIC4, 17, 443)),
        case("vlan_udp6", udp(PUBLIC6, HOST6).vlan(4094), ip(PUBLIC6, 17, 443)),
        case("vlan_icmp4", icmp(PUBLIC4, HOST4).vlan(1), portless(PUBLIC4, 1)),
        case(
            "vlan_neighbour_discovery",
            neighbour_discovery(PUBLIC6, HOST6, 135).vlan(1),
            Expect::NeighbourDiscovery,
        ),
        case("priority_tag_tcp4", tcp4.clone().tagged(TPID_8021Q, 5 << 13), ip(PUBLIC4, 6, 443)),
        case("priority_tag_tcp6", tcp6.clone().vlan(0), ip(PUBLIC6, 6, 443)),
        case("tag_with_every_bit_set", tcp4.clone().tagged(TPID_8021Q, 0xffff), ip(PUBLIC4, 6, 443)),
        case("service_tag_alone", tcp4.clone().tagged(TPID_8021AD, 200), ip(PUBLIC4, 6, 443)),
        case("qinq_tcp4", tcp4.clone().tagged(TPID_8021AD, 200).vlan(100), ip(PUBLIC4, 6, 443)),
        case("qinq_tcp6", tcp6.clone().tagged(TPID_8021AD, 200).vlan(100), ip(PUBLIC6, 6, 443)),
        case("two_customer_tags", tcp4.clone().vlan(200).vlan(100), ip(PUBLIC4, 6, 443)),
        case(
            "two_service_tags",
            tcp4.clone().tagged(TPID_8021AD, 2).tagged(TPID_8021AD, 1),
            ip(PUBLIC4, 6, 443),
        ),
        case("customer_tag_outside", tcp4.clone().vlan(100).tagged(TPID_8021AD, 200), ip(PUBLIC4, 6, 443)),
        case(
            "qinq_ipv4_options",
            tcp4.clone().tagged(TPID_8021AD, 200).vlan(100).ihl(15),
            ip(PUBLIC4, 6, 443),
        ),
        case(
            "qinq_neighbour_discovery",
            neighbour_discovery(PUBLIC6, HOST6, 136).tagged(TPID_8021AD, 200).vlan(100),
            Expect::NeighbourDiscovery,
        ),
        case(
            "qinq_extension_header",
            udp(PUBLIC6, HOST6).tagged(TPID_8021AD, 200).vlan(100).extension(DESTINATION_OPTIONS),
            ip(PUBLIC6, 17, 443),
        ),
        case("three_tags", third_tag.clone(), Expect::Malformed),
        case("three_service_tags", ethernet(&[OUTER; 3], 0x86dd, &tcp6.frame()[14..]), Expect::Malformed),
        case("three_tags_arp", ethernet(&[OUTER, TAG, TAG], ARP, &ARP_REQUEST), Expect::Malformed),
        case("three_tags_cut_in_third", cut(third_tag, 24), Expect::Malformed),
        // 0x9100 was never assigned, though old switches send it as an outer tag.
        case("tag_0x9100", ethernet(&[(0x9100, 100)], 0x0800, &content4), Expect::NonIp),
        case("tag_0x9100_behind_tag", ethernet(&[TAG, (0x9100, 100)], 0x0800, &content4), Expect::NonIp),
        case("tag_before_mpls", ethernet(&[TAG], 0x8847, &[0, 1, 0x01, 64]), Expect::NonIp),
        case("tag_before_pppoe", ethernet(&[OUTER, TAG], 0x8864, &[0x11, 0, 0, 1, 0, 0]), Expect::NonIp),
    ]
}

fn runts() -> Vec<Case> {
    let tcp4 = || tcp(PUBLIC4, HOST4);
    let tcp6 = || tcp(PUBLIC6, HOST6);
    let qinq = || tcp4().tagged(TPID_8021AD, 200).vlan(100);
    vec![
        case("no_bytes", Vec::new(), Expect::Malformed),
        case("one_byte", cut(tcp4(), 1), Expect::Malformed),
        case("only_addresses", cut(tcp4(), 12), Expect::Malformed),
        case("half_an_ethertype", cut(tcp4(), 13), Expect::Malformed),
        case("ethernet_header_alone_ipv4", cut(tcp4(), 14), Expect::Malformed),
        case("ethernet_header_alone_ipv6", cut(tcp6(), 14), Expect::Malformed),
        case("ethernet_header_alone_tag", cut(tcp4().vlan(100), 14), Expect::Malformed),
        case("tag_cut_behind_id", cut(tcp4().vlan(100), 16), Expect::Malformed),
        case("tag_cut_in_ethertype", cut(tcp4().vlan(100), 17), Expect::Malformed),
        case("tag_alone", cut(tcp4().vlan(100), 18), Expect::Malformed),
        case("second_tag_missing", cut(qinq(), 18), Expect::Malformed),
        case("second_tag_cut", cut(qinq(), 21), Expect::Malformed),
        case("two_tags_alone", cut(qinq(), 22), Expect::Malformed),
        case("tagged_ipv4_header_cut", cut(qinq(), 22 + 19), Expect::Malformed),
        case("ipv4_first_byte_alone", cut(tcp4(), 15), Expect::Malformed),
        case("ipv4_header_cut", cut(tcp4(), 14 + 19), Expect::Malformed),
        case("ipv4_header_alone", cut(tcp4(), 14 + 20), Expect::Malformed),
        case("ipv4_options_cut", cut(tcp4().ihl(8), 14 + 31), Expect::Malformed),
        case("ipv4_options_alone", cut(tcp4().ihl(8), 14 + 32), Expect::Malformed),
        case("ipv6_first_byte_alone", cut(tcp6(), 15), Expect::Malformed),
        case("ipv6_header_cut", cut(tcp6(), 14 + 39), Expect::Malformed),
        case("ipv6_header_alone", cut(tcp6(), 14 + 40), Expect::Malformed),
        case("ipv4_tcp_cut", cut(tcp4(), 14 + 20 + 19), Expect::Malformed),
        case("ipv4_tcp_ports_alone", cut(tcp4(), 14 + 20 + 4), Expect::Malformed),
        case("ipv4_udp_cut", cut(udp(PUBLIC4, HOST4), 14 + 20 + 7), Expect::Malformed),
        case("ipv4_icmp_cut", cut(icmp(PUBLIC4, HOST4), 14 + 20 + 7), Expect::Malformed),
        case("ipv6_tcp_cut", cut(tcp6(), 14 + 40 + 19), Expect::Malformed),
        case("ipv6_udp_cut", cut(udp(PUBLIC6, HOST6), 14 + 40 + 7), Expect::Malformed),
        case("ipv6_icmp_cut", cut(icmp(PUBLIC6, HOST6), 14 + 40 + 7), Expect::Malformed),
        case(
            "ipv6_neighbour_discovery_cut",
            cut(neighbour_discovery(PUBLIC6, HOST6, 135), 14 + 40 + 7),
            Expect::Malformed,
        ),
        // Whole as far as the gate looks: payloads, and protocols without a header that it knows.
        case("ipv4_tcp_payload_cut", cut(tcp4().payload(b"hello"), 14 + 40), ip(PUBLIC4, 6, 443)),
        case(
            "ipv6_udp_payload_cut",
            cut(udp(PUBLIC6, HOST6).payload(b"hello"), 14 + 48),
            ip(PUBLIC6, 17, 443),
        ),
        case("ipv4_protocol_253_without_content", other(PUBLIC4, HOST4, 253), portless(PUBLIC4, 253)),
        case("ipv6_no_next_header_alone", other(PUBLIC6, HOST6, NO_NEXT_HEADER), portless(PUBLIC6, 59)),
        case("ipv6_tcp_without_content", other(PUBLIC6, HOST6, TCP), Expect::Malformed),
        case("padded_to_60_tcp4", padded(tcp4(), 60), ip(PUBLIC4, 6, 443)),
        case("padded_to_60_udp4", padded(udp(PUBLIC4, HOST4), 60), ip(PUBLIC4, 17, 443)),
        case("trailer_behind_ipv6", padded(tcp6(), 90), ip(PUBLIC6, 6, 443)),
        case("jumbo_payload_9000", tcp4().payload(&[0x55; 9000 - 40]), ip(PUBLIC4, 6, 443)),
        case(
            "jumbo_payload_9000_ipv6",
            udp(PUBLIC6, HOST6).payload(&[0x55; 9000 - 48]),
            ip(PUBLIC6, 17, 443),
        ),
    ]
}
