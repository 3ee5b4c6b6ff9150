//! IPv6's own ways of being difficult: extension headers, fragments, neighbour discovery, lies.

use std::vec;
use std::vec::Vec;

use super::build::{
    AUTHENTICATION, Build, DESTINATION_OPTIONS, ESP, FRAGMENT, HOP_BY_HOP, ICMPV6, NO_NEXT_HEADER, ROUTING,
    cut, icmp, icmp_type, neighbour_discovery, other, padded, tcp, udp,
};
use super::{Case, Expect, HOST6, PUBLIC6, case, ip, portless, unknown};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = chains();
    cases.extend(long_chains());
    cases.extend(chain_ends());
    cases.extend(fragments());
    cases.extend(fragment_chains());
    cases.extend(discovery());
    cases.extend(lies());
    cases
}

/// Extension headers alone and combined.
fn chains() -> Vec<Case> {
    let recommended = || {
        let first = [HOP_BY_HOP, DESTINATION_OPTIONS, ROUTING];
        chain(tcp6(), &first).fragment(0, false).extension(AUTHENTICATION).extension(DESTINATION_OPTIONS)
    };
    vec![
        case("hop_by_hop_tcp", tcp6().extension(HOP_BY_HOP), ip(PUBLIC6, 6, 443)),
        case("hop_by_hop_udp", udp6().extension(HOP_BY_HOP), ip(PUBLIC6, 17, 443)),
        case("hop_by_hop_icmp", icmp6().extension(HOP_BY_HOP), portless(PUBLIC6, 58)),
        case("routing_tcp", tcp6().extension(ROUTING), ip(PUBLIC6, 6, 443)),
        case("routing_with_an_address", tcp6().extension_of(ROUTING, 24), ip(PUBLIC6, 6, 443)),
        case("routing_udp", udp6().extension(ROUTING), ip(PUBLIC6, 17, 443)),
        case("destination_options_tcp", tcp6().extension(DESTINATION_OPTIONS), ip(PUBLIC6, 6, 443)),
        case("destination_options_udp", udp6().extension_of(DESTINATION_OPTIONS, 16), ip(PUBLIC6, 17, 443)),
        case("authentication_tcp", tcp6().extension(AUTHENTICATION), ip(PUBLIC6, 6, 443)),
        // 24 bytes are 4 units of 4 and the 2 that do not count: not 5 units of 8.
        case("authentication_with_hash_tcp", tcp6().extension_of(AUTHENTICATION, 24), ip(PUBLIC6, 6, 443)),
        case("authentication_udp", udp6().extension_of(AUTHENTICATION, 24), ip(PUBLIC6, 17, 443)),
        case("authentication_icmp", icmp6().extension_of(AUTHENTICATION, 24), portless(PUBLIC6, 58)),
        case("recommended_order", recommended(), ip(PUBLIC6, 6, 443)),
        case("hop_by_hop_routing", chain(tcp6(), &[HOP_BY_HOP, ROUTING]), ip(PUBLIC6, 6, 443)),
        case(
            "routing_destination_options",
            chain(udp6(), &[ROUTING, DESTINATION_OPTIONS]),
            ip(PUBLIC6, 17, 443),
        ),
        case(
            "destination_options_before_routing",
            chain(tcp6(), &[DESTINATION_OPTIONS, ROUTING]),
            ip(PUBLIC6, 6, 443),
        ),
        case("hop_by_hop_not_first", chain(tcp6(), &[DESTINATION_OPTIONS, HOP_BY_HOP]), ip(PUBLIC6, 6, 443)),
        case("hop_by_hop_twice", chain(tcp6(), &[HOP_BY_HOP, HOP_BY_HOP]), ip(PUBLIC6, 6, 443)),
        case("routing_twice", chain(tcp6(), &[ROUTING, ROUTING]), ip(PUBLIC6, 6, 443)),
        case("authentication_twice", chain(udp6(), &[AUTHENTICATION, AUTHENTICATION]), ip(PUBLIC6, 17, 443)),
        case(
            "authentication_then_destination_options",
            chain(tcp6(), &[AUTHENTICATION, DESTINATION_OPTIONS]),
            ip(PUBLIC6, 6, 443),
        ),
        case(
            "extension_header_before_igmp",
            other6(2).payload(&[0; 8]).extension(ROUTING),
            portless(PUBLIC6, 2),
        ),
    ]
}

/// Chains with many headers or long ones.
fn long_chains() -> Vec<Case> {
    let options = |count: usize, build| chain(build, &[DESTINATION_OPTIONS; 16][..count]);
    let mixed = [
        HOP_BY_HOP,
        ROUTING,
        AUTHENTICATION,
        DESTINATION_OPTIONS,
        ROUTING,
        AUTHENTICATION,
        ROUTING,
        HOP_BY_HOP,
    ];
    vec![
        case("seven_headers", options(7, tcp6()), ip(PUBLIC6, 6, 443)),
        case("eight_headers", options(8, tcp6()), ip(PUBLIC6, 6, 443)),
        case("eight_headers_udp", options(8, udp6()), ip(PUBLIC6, 17, 443)),
        case("eight_mixed_headers", chain(tcp6(), &mixed), ip(PUBLIC6, 6, 443)),
        case("eight_headers_with_fragment", options(7, tcp6()).fragment(0, true), ip(PUBLIC6, 6, 443)),
        case("eight_headers_then_esp", options(8, other6(ESP).payload(&[0; 16])), portless(PUBLIC6, 50)),
        case("eight_headers_then_nothing", options(8, other6(NO_NEXT_HEADER)), portless(PUBLIC6, 59)),
        case("eight_headers_then_discovery", options(8, discover(135)), Expect::NeighbourDiscovery),
        case("eight_headers_tcp_cut", cut(options(8, tcp6()), 14 + 40 + 64 + 19), Expect::Malformed),
        case("nine_headers", options(9, tcp6()), unknown(PUBLIC6)),
        case("nine_headers_udp", options(9, udp6()), unknown(PUBLIC6)),
        case("nine_mixed_headers", chain(tcp6(), &mixed).extension(AUTHENTICATION), unknown(PUBLIC6)),
        case("nine_headers_with_fragment", options(8, tcp6()).fragment(0, true), unknown(PUBLIC6)),
        case("nine_headers_then_discovery", options(9, discover(135)), unknown(PUBLIC6)),
        case("sixteen_headers", options(16, tcp6()), unknown(PUBLIC6)),
        case("hop_by_hop_16", tcp6().extension_of(HOP_BY_HOP, 16), ip(PUBLIC6, 6, 443)),
        case("hop_by_hop_256", tcp6().extension_of(HOP_BY_HOP, 256), ip(PUBLIC6, 6, 443)),
        case("hop_by_hop_1024", udp6().extension_of(HOP_BY_HOP, 1024), ip(PUBLIC6, 17, 443)),
        case("hop_by_hop_2048", tcp6().extension_of(HOP_BY_HOP, 2048), ip(PUBLIC6, 6, 443)),
        case(
            "destination_options_2048",
            udp6().extension_of(DESTINATION_OPTIONS, 2048),
            ip(PUBLIC6, 17, 443),
        ),
        case("routing_2048", tcp6().extension_of(ROUTING, 2048), ip(PUBLIC6, 6, 443)),
        // 1028 bytes: what the length field of an authentication header can say at most.
        case("authentication_1028", tcp6().extension_of(AUTHENTICATION, 1028), ip(PUBLIC6, 6, 443)),
        case(
            "four_headers_of_2048",
            (0..4).fold(tcp6(), |build, _| build.extension_of(DESTINATION_OPTIONS, 2048)),
            ip(PUBLIC6, 6, 443),
        ),
        case(
            "hop_by_hop_2048_tcp_cut",
            cut(tcp6().extension_of(HOP_BY_HOP, 2048), 14 + 40 + 2048 + 19),
            Expect::Malformed,
        ),
    ]
}

/// Chains that end in something else than TCP, UDP or ICMPv6, or too early.
fn chain_ends() -> Vec<Case> {
    let behind = |protocol| other6(protocol).payload(&[6, 0, 0, 0, 0, 0, 0, 0, 1, 0xbb]);
    vec![
        case("esp", behind(ESP), portless(PUBLIC6, 50)),
        case("esp_behind_hop_by_hop", behind(ESP).extension(HOP_BY_HOP), portless(PUBLIC6, 50)),
        case("esp_behind_authentication", behind(ESP).extension(AUTHENTICATION), portless(PUBLIC6, 50)),
        case("no_next_header_with_content", behind(NO_NEXT_HEADER), portless(PUBLIC6, 59)),
        case(
            "no_next_header_behind_options",
            other6(59).extension(DESTINATION_OPTIONS),
            portless(PUBLIC6, 59),
        ),
        case("mobility", behind(135), portless(PUBLIC6, 135)),
        case("mobility_behind_options", behind(135).extension(DESTINATION_OPTIONS), portless(PUBLIC6, 135)),
        case("host_identity", behind(139), portless(PUBLIC6, 139)),
        case("shim6", behind(140), portless(PUBLIC6, 140)),
        case("experimental_253", behind(253), portless(PUBLIC6, 253)),
        case("experimental_254", behind(254), portless(PUBLIC6, 254)),
        case("reserved_255", behind(255), portless(PUBLIC6, 255)),
        case("unassigned_200_behind_routing", behind(200).extension(ROUTING), portless(PUBLIC6, 200)),
        case("hop_by_hop_missing", other6(HOP_BY_HOP), Expect::Malformed),
        case("hop_by_hop_of_1_byte", other6(HOP_BY_HOP).payload(&[6]), Expect::Malformed),
        case("hop_by_hop_of_7_bytes", cut(tcp6().extension(HOP_BY_HOP), 14 + 40 + 7), Expect::Malformed),
        case("hop_by_hop_without_tcp", cut(tcp6().extension(HOP_BY_HOP), 14 + 40 + 8), Expect::Malformed),
        case(
            "hop_by_hop_then_tcp_cut",
            cut(tcp6().extension(HOP_BY_HOP), 14 + 40 + 8 + 19),
            Expect::Malformed,
        ),
        case(
            "hop_by_hop_then_udp_cut",
            cut(udp6().extension(HOP_BY_HOP), 14 + 40 + 8 + 7),
            Expect::Malformed,
        ),
        case("routing_cut", cut(tcp6().extension_of(ROUTING, 24), 14 + 40 + 23), Expect::Malformed),
        case("destination_options_missing", other6(DESTINATION_OPTIONS), Expect::Malformed),
        case("authentication_missing", other6(AUTHENTICATION), Expect::Malformed),
        case(
            "authentication_cut",
            cut(tcp6().extension_of(AUTHENTICATION, 24), 14 + 40 + 23),
            Expect::Malformed,
        ),
        case(
            "second_header_cut",
            cut(chain(tcp6(), &[HOP_BY_HOP, ROUTING]), 14 + 40 + 15),
            Expect::Malformed,
        ),
        case("fragment_header_missing", other6(FRAGMENT), Expect::Malformed),
        case("fragment_header_cut", cut(tcp6().fragment(0, true), 14 + 40 + 7), Expect::Malformed),
        case(
            "fragment_header_cut_behind_options",
            cut(tcp6().extension(DESTINATION_OPTIONS).fragment(7, true), 14 + 40 + 8 + 7),
            Expect::Malformed,
        ),
    ]
}

fn fragments() -> Vec<Case> {
    vec![
        case("ipv6_first_fragment_tcp", tcp6().payload(&[1; 20]).fragment(0, true), ip(PUBLIC6, 6, 443)),
        case("ipv6_first_fragment_udp", udp6().payload(&[1; 40]).fragment(0, true), ip(PUBLIC6, 17, 443)),
        case("ipv6_first_fragment_icmp", icmp6().fragment(0, true), portless(PUBLIC6, 58)),
        case("ipv6_atomic_fragment_tcp", tcp6().fragment(0, false), ip(PUBLIC6, 6, 443)),
        case("ipv6_atomic_fragment_udp", udp6().fragment(0, false), ip(PUBLIC6, 17, 443)),
        case("ipv6_atomic_fragment_of_3_bytes", tcp6().keep(3).fragment(0, false), portless(PUBLIC6, 6)),
        case("ipv6_atomic_fragment_of_4_bytes", tcp6().keep(4).fragment(0, false), ip(PUBLIC6, 6, 443)),
        case("ipv6_middle_fragment", tcp6().payload(&DECOY).fragment(7, true), portless(PUBLIC6, 6)),
        case("ipv6_last_fragment", udp6().payload(&DECOY).fragment(7, false), portless(PUBLIC6, 17)),
        case("ipv6_last_fragment_icmp", icmp6().payload(&DECOY).fragment(1, false), portless(PUBLIC6, 58)),
        // The offset's lowest bit is the fourth of the byte: the three below are "more" and reserved.
        case("ipv6_fragment_at_1", tcp6().payload(&DECOY).fragment(1, false), portless(PUBLIC6, 6)),
        case("ipv6_fragment_at_32", tcp6().payload(&DECOY).fragment(32, true), portless(PUBLIC6, 6)),
        case("ipv6_fragment_at_8191", udp6().payload(&DECOY).fragment(8191, false), portless(PUBLIC6, 17)),
        case("ipv6_fragment_of_1_byte", tcp6().payload(&[1]).fragment(9, false), portless(PUBLIC6, 6)),
        case("ipv6_fragment_of_0_bytes", tcp6().fragment(9, false), portless(PUBLIC6, 6)),
        case("ipv6_tiny_first_fragment_0", tcp6().keep(0).fragment(0, true), portless(PUBLIC6, 6)),
        case("ipv6_tiny_first_fragment_3", udp6().keep(3).fragment(0, true), portless(PUBLIC6, 17)),
        case("ipv6_tiny_first_fragment_icmp_1", icmp6().keep(1).fragment(0, true), portless(PUBLIC6, 58)),
        case("ipv6_first_fragment_4", tcp6().keep(4).fragment(0, true), ip(PUBLIC6, 6, 443)),
        case("ipv6_first_fragment_8", tcp6().keep(8).fragment(0, true), ip(PUBLIC6, 6, 443)),
        case(
            "ipv6_tiny_first_fragment_padded",
            padded(tcp6().keep(2).fragment(0, true), 14 + 40 + 32),
            portless(PUBLIC6, 6),
        ),
        // Reserved bits (RFC 8200, 4.5) change neither offset nor "more".
        case(
            "ipv6_reserved_fragment_bits",
            with_byte(tcp6().fragment(0, false), 14 + 40 + 3, 6),
            ip(PUBLIC6, 6, 443),
        ),
        case(
            "ipv6_reserved_fragment_byte",
            with_byte(tcp6().fragment(0, true), 14 + 40 + 1, 255),
            ip(PUBLIC6, 6, 443),
        ),
    ]
}

/// Extension headers around a fragment header.
fn fragment_chains() -> Vec<Case> {
    let later = |protocol| other6(protocol).payload(&DECOY).fragment(7, true);
    vec![
        case(
            "hop_by_hop_before_fragment",
            tcp6().extension(HOP_BY_HOP).fragment(0, true),
            ip(PUBLIC6, 6, 443),
        ),
        case(
            "hop_by_hop_before_later_fragment",
            tcp6().payload(&DECOY).extension(HOP_BY_HOP).fragment(7, true),
            portless(PUBLIC6, 6),
        ),
        case(
            "options_behind_fragment",
            tcp6().fragment(0, true).extension(DESTINATION_OPTIONS),
            ip(PUBLIC6, 6, 443),
        ),
        case(
            "hop_by_hop_behind_fragment",
            tcp6().fragment(0, true).extension(HOP_BY_HOP),
            ip(PUBLIC6, 6, 443),
        ),
        case(
            "authentication_behind_fragment",
            udp6().fragment(0, true).extension(AUTHENTICATION),
            ip(PUBLIC6, 17, 443),
        ),
        case(
            "options_behind_fragment_tiny",
            tcp6().keep(2).fragment(0, true).extension(DESTINATION_OPTIONS),
            portless(PUBLIC6, 6),
        ),
        case(
            "options_behind_fragment_cut",
            cut(tcp6().fragment(0, true).extension(DESTINATION_OPTIONS), 14 + 40 + 8 + 7),
            unknown(PUBLIC6),
        ),
        case(
            "options_behind_fragment_missing",
            other6(DESTINATION_OPTIONS).fragment(0, true),
            unknown(PUBLIC6),
        ),
        case(
            "options_behind_atomic_fragment_missing",
            other6(DESTINATION_OPTIONS).fragment(0, false),
            unknown(PUBLIC6),
        ),
        case(
            "authentication_behind_fragment_cut",
            cut(udp6().fragment(0, true).extension_of(AUTHENTICATION, 24), 14 + 40 + 8 + 20),
            unknown(PUBLIC6),
        ),
        case("later_fragment_of_hop_by_hop", later(HOP_BY_HOP), unknown(PUBLIC6)),
        case("later_fragment_of_routing", later(ROUTING), unknown(PUBLIC6)),
        case("later_fragment_of_fragment", later(FRAGMENT), unknown(PUBLIC6)),
        case("later_fragment_of_authentication", later(AUTHENTICATION), unknown(PUBLIC6)),
        case("later_fragment_of_destination_options", later(DESTINATION_OPTIONS), unknown(PUBLIC6)),
        case("later_fragment_of_esp", later(ESP), portless(PUBLIC6, 50)),
        case("later_fragment_of_mobility", later(135), portless(PUBLIC6, 135)),
        case("two_fragment_headers", tcp6().fragment(0, true).fragment(0, true), ip(PUBLIC6, 6, 443)),
        case(
            "later_fragment_within_first",
            tcp6().payload(&DECOY).fragment(0, true).fragment(7, true),
            portless(PUBLIC6, 6),
        ),
        case("fragment_of_no_next_header", other6(NO_NEXT_HEADER).fragment(0, true), portless(PUBLIC6, 59)),
    ]
}

fn discovery() -> Vec<Case> {
    let message = |kind| icmp_type(PUBLIC6, HOST6, ICMPV6, kind);
    vec![
        case("listener_done_132", message(132), portless(PUBLIC6, 58)),
        case("router_solicitation", discover(133), Expect::NeighbourDiscovery),
        case("router_advertisement", discover(134), Expect::NeighbourDiscovery),
        case("neighbour_solicitation", discover(135), Expect::NeighbourDiscovery),
        case("neighbour_advertisement", discover(136), Expect::NeighbourDiscovery),
        case("redirect", discover(137), Expect::NeighbourDiscovery),
        case("router_renumbering_138", message(138), portless(PUBLIC6, 58)),
        case("type_0", message(0), portless(PUBLIC6, 58)),
        // 134 without its highest bit.
        case("type_6", message(6), portless(PUBLIC6, 58)),
        case("listener_report_143", message(143).extension(HOP_BY_HOP), portless(PUBLIC6, 58)),
        case(
            "solicitation_behind_options",
            discover(135).extension(DESTINATION_OPTIONS),
            Expect::NeighbourDiscovery,
        ),
        case(
            "advertisement_behind_hop_by_hop",
            discover(136).extension(HOP_BY_HOP),
            Expect::NeighbourDiscovery,
        ),
        case("solicitation_of_8_bytes", message(135), Expect::NeighbourDiscovery),
        case("solicitation_cut_by_payload_length", message(135).claim_length(7), Expect::Malformed),
        // RFC 6980: neighbour discovery is never fragmented, so what is fragmented is none.
        case("solicitation_in_first_fragment", discover(135).fragment(0, true), portless(PUBLIC6, 58)),
        case("solicitation_in_atomic_fragment", discover(135).fragment(0, false), portless(PUBLIC6, 58)),
        case("solicitation_in_later_fragment", discover(135).fragment(1, false), portless(PUBLIC6, 58)),
        case(
            "solicitation_in_fragment_behind_options",
            discover(135).extension(DESTINATION_OPTIONS).fragment(0, true),
            portless(PUBLIC6, 58),
        ),
        case("udp_that_begins_like_a_solicitation", udp6().ports(0x8700, 53), ip(PUBLIC6, 17, 53)),
    ]
}

fn lies() -> Vec<Case> {
    vec![
        case("ipv6_version_0", tcp6().claim_version(0), Expect::Malformed),
        case("ipv6_version_4", tcp6().claim_version(4), Expect::Malformed),
        case("ipv6_version_7", tcp6().claim_version(7), Expect::Malformed),
        case("ipv6_under_ipv4_ethertype", tcp6().claim_ethertype(0x0800), Expect::Malformed),
        case("payload_length_0_tcp", tcp6().claim_length(0), ip(PUBLIC6, 6, 443)),
        case("payload_length_0_chain", udp6().extension(HOP_BY_HOP).claim_length(0), ip(PUBLIC6, 17, 443)),
        case("payload_length_0_jumbogram", jumbogram(), ip(PUBLIC6, 6, 443)),
        case("payload_length_0_discovery", discover(135).claim_length(0), Expect::NeighbourDiscovery),
        case("payload_length_0_tcp_cut", cut(tcp6().claim_length(0), 14 + 40 + 19), Expect::Malformed),
        case("payload_length_1", tcp6().claim_length(1), Expect::Malformed),
        case("payload_length_4", tcp6().claim_length(4), Expect::Malformed),
        case("payload_length_19", tcp6().claim_length(19), Expect::Malformed),
        case("payload_length_20", tcp6().payload(b"hello").claim_length(20), ip(PUBLIC6, 6, 443)),
        case("payload_length_7_udp", udp6().claim_length(7), Expect::Malformed),
        case("payload_length_beyond_frame", tcp6().claim_length(65535), ip(PUBLIC6, 6, 443)),
        case(
            "payload_length_ends_in_extension",
            tcp6().extension(HOP_BY_HOP).claim_length(7),
            Expect::Malformed,
        ),
        case(
            "payload_length_ends_behind_extension",
            tcp6().extension(HOP_BY_HOP).claim_length(8),
            Expect::Malformed,
        ),
        case("payload_length_ends_ports", tcp6().fragment(0, true).claim_length(12), ip(PUBLIC6, 6, 443)),
        case(
            "payload_length_ends_before_ports",
            tcp6().fragment(0, true).claim_length(11),
            portless(PUBLIC6, 6),
        ),
        case(
            "payload_length_ends_in_options_behind_fragment",
            tcp6().fragment(0, true).extension(DESTINATION_OPTIONS).claim_length(15),
            unknown(PUBLIC6),
        ),
        // Length field 0 is a header of 8 bytes, the hop-by-hop options within: never none, or no walk would end.
        case("hop_by_hop_of_zeros", zeros_in_hop_by_hop(), ip(PUBLIC6, 6, 443)),
        // Length field 0 of authentication is 8 bytes, shorter than RFC 4302 allows; the walk takes it at its word.
        case(
            "authentication_of_8_bytes",
            tcp6().extension_claiming(AUTHENTICATION, 8, 0),
            ip(PUBLIC6, 6, 443),
        ),
        case(
            "extension_longer_than_packet",
            tcp6().extension_claiming(DESTINATION_OPTIONS, 8, 255),
            Expect::Malformed,
        ),
        case(
            "extension_swallows_tcp",
            udp6().extension_claiming(DESTINATION_OPTIONS, 8, 1),
            Expect::Malformed,
        ),
        // The walk goes where the length says: 8 bytes into a TCP packet that carries other ports there.
        case(
            "extension_claims_8_more",
            tcp6().payload(&DECOY).extension_claiming(ROUTING, 8, 1),
            ip(PUBLIC6, 6, 0),
        ),
        case(
            "authentication_longer_than_packet",
            udp6().extension_claiming(AUTHENTICATION, 12, 255),
            Expect::Malformed,
        ),
        case("esp_shorter_than_esp", other6(ESP).payload(&[1]), portless(PUBLIC6, 50)),
    ]
}

/// What would be port 22 in the middle of a stream.
const DECOY: [u8; 24] = [0x9c, 0x40, 0, 22, 0, 24, 0, 0, 0, 0, 0, 0, 0x50, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn tcp6() -> Build {
    tcp(PUBLIC6, HOST6)
}

fn udp6() -> Build {
    udp(PUBLIC6, HOST6)
}

fn icmp6() -> Build {
    icmp(PUBLIC6, HOST6)
}

fn other6(protocol: u8) -> Build {
    other(PUBLIC6, HOST6, protocol)
}

fn discover(kind: u8) -> Build {
    neighbour_discovery(PUBLIC6, HOST6, kind)
}

/// Extension headers in this order, as short as they can be.
fn chain(build: Build, kinds: &[u8]) -> Build {
    kinds.iter().fold(build, |build, kind| build.extension(*kind))
}

fn with_byte(build: Build, offset: usize, value: u8) -> Vec<u8> {
    let mut frame = build.frame();
    frame[offset] |= value;
    frame
}

/// Options that are all padding of one byte, so that only the next header is not zero.
fn zeros_in_hop_by_hop() -> Vec<u8> {
    let mut frame = tcp6().extension(HOP_BY_HOP).frame();
    frame[14 + 40 + 1..14 + 40 + 8].fill(0);
    frame
}

/// RFC 2675: payload length 0 and the real one, here 28 bytes, in a hop-by-hop option.
fn jumbogram() -> Vec<u8> {
    let mut frame = tcp6().extension(HOP_BY_HOP).claim_length(0).frame();
    frame[14 + 40 + 2..14 + 40 + 8].copy_from_slice(&[0xc2, 4, 0, 0, 0, 28]);
    frame
}
