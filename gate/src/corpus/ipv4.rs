//! IPv4's own ways of being difficult: options, fragments, lies.

use std::vec;
use std::vec::Vec;

use super::build::{AUTHENTICATION, TCP, cut, icmp, other, padded, tcp, udp};
use super::{Case, Expect, HOST4, PUBLIC4, case, ip, portless};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = options();
    cases.extend(fragments());
    cases.extend(lies());
    cases
}

fn options() -> Vec<Case> {
    let tcp4 = || tcp(PUBLIC4, HOST4);
    vec![
        case("ipv4_header_6_words", tcp4().ihl(6), ip(PUBLIC4, 6, 443)),
        case("ipv4_header_7_words", tcp4().ihl(7), ip(PUBLIC4, 6, 443)),
        case("ipv4_header_8_words", tcp4().ihl(8), ip(PUBLIC4, 6, 443)),
        case("ipv4_header_9_words", tcp4().ihl(9), ip(PUBLIC4, 6, 443)),
        case("ipv4_header_10_words", tcp4().ihl(10), ip(PUBLIC4, 6, 443)),
        case("ipv4_header_11_words", tcp4().ihl(11), ip(PUBLIC4, 6, 443)),
        case("ipv4_header_12_words", tcp4().ihl(12), ip(PUBLIC4, 6, 443)),
        case("ipv4_header_13_words", tcp4().ihl(13), ip(PUBLIC4, 6, 443)),
        case("ipv4_header_14_words", tcp4().ihl(14), ip(PUBLIC4, 6, 443)),
        case("ipv4_header_15_words", tcp4().ihl(15), ip(PUBLIC4, 6, 443)),
        case("ipv4_options_udp", udp(PUBLIC4, HOST4).ihl(15), ip(PUBLIC4, 17, 443)),
        case("ipv4_options_icmp", icmp(PUBLIC4, HOST4).ihl(6), portless(PUBLIC4, 1)),
        case("ipv4_options_esp", other(PUBLIC4, HOST4, 50).payload(&[0; 24]).ihl(9), portless(PUBLIC4, 50)),
        // In IPv4, these are protocols like any other: the walk along extension headers is IPv6's.
        case(
            "ipv4_authentication",
            other(PUBLIC4, HOST4, AUTHENTICATION).payload(&authenticated_tcp()),
            portless(PUBLIC4, 51),
        ),
        case(
            "ipv4_protocol_0",
            other(PUBLIC4, HOST4, 0).payload(&[6, 0, 1, 4, 0, 0, 0, 0]),
            portless(PUBLIC4, 0),
        ),
        case(
            "ipv4_protocol_44",
            other(PUBLIC4, HOST4, 44).payload(&[6, 0, 0, 1, 0, 0, 0, 1]),
            portless(PUBLIC4, 44),
        ),
        case(
            "ipv4_protocol_60",
            other(PUBLIC4, HOST4, 60).payload(&[6, 0, 1, 4, 0, 0, 0, 0]),
            portless(PUBLIC4, 60),
        ),
        case("ipv4_protocol_59", other(PUBLIC4, HOST4, 59), portless(PUBLIC4, 59)),
    ]
}

fn fragments() -> Vec<Case> {
    let tcp4 = || tcp(PUBLIC4, HOST4);
    let udp4 = || udp(PUBLIC4, HOST4);
    vec![
        case("ipv4_dont_fragment", tcp4().dont_fragment(), ip(PUBLIC4, 6, 443)),
        case("ipv4_first_fragment_tcp", tcp4().payload(&[1; 44]).fragment(0, true), ip(PUBLIC4, 6, 443)),
        case("ipv4_first_fragment_udp", udp4().payload(&[1; 48]).fragment(0, true), ip(PUBLIC4, 17, 443)),
        case("ipv4_first_fragment_icmp", icmp(PUBLIC4, HOST4).fragment(0, true), portless(PUBLIC4, 1)),
        case("ipv4_first_fragment_df", udp4().dont_fragment().fragment(0, true), ip(PUBLIC4, 17, 443)),
        case("ipv4_first_fragment_options", udp4().ihl(10).fragment(0, true), ip(PUBLIC4, 17, 443)),
        // What the ports would be if nobody looked at the offset is another service.
        case("ipv4_middle_fragment", tcp4().payload(&DECOY).fragment(7, true), portless(PUBLIC4, 6)),
        case("ipv4_last_fragment", udp4().payload(&DECOY).fragment(7, false), portless(PUBLIC4, 17)),
        case(
            "ipv4_last_fragment_icmp",
            icmp(PUBLIC4, HOST4).payload(&DECOY).fragment(1, false),
            portless(PUBLIC4, 1),
        ),
        case("ipv4_fragment_at_1", tcp4().payload(&DECOY).fragment(1, true), portless(PUBLIC4, 6)),
        case("ipv4_fragment_at_256", tcp4().payload(&DECOY).fragment(256, true), portless(PUBLIC4, 6)),
        case("ipv4_fragment_at_8191", udp4().payload(&DECOY).fragment(8191, false), portless(PUBLIC4, 17)),
        case(
            "ipv4_fragment_options",
            udp4().payload(&DECOY).ihl(12).fragment(7, true),
            portless(PUBLIC4, 17),
        ),
        case(
            "ipv4_fragment_df",
            udp4().payload(&DECOY).dont_fragment().fragment(7, false),
            portless(PUBLIC4, 17),
        ),
        case("ipv4_fragment_of_1_byte", tcp4().payload(&[1]).fragment(9, false), portless(PUBLIC4, 6)),
        case("ipv4_fragment_of_0_bytes", tcp4().fragment(9, false), portless(PUBLIC4, 6)),
        case(
            "ipv4_fragment_protocol_47",
            other(PUBLIC4, HOST4, 47).payload(&DECOY).fragment(7, true),
            portless(PUBLIC4, 47),
        ),
        case("ipv4_tiny_first_fragment_0", tcp4().keep(0).fragment(0, true), portless(PUBLIC4, 6)),
        case("ipv4_tiny_first_fragment_1", tcp4().keep(1).fragment(0, true), portless(PUBLIC4, 6)),
        case("ipv4_tiny_first_fragment_3", tcp4().keep(3).fragment(0, true), portless(PUBLIC4, 6)),
        case("ipv4_tiny_first_fragment_udp_3", udp4().keep(3).fragment(0, true), portless(PUBLIC4, 17)),
        case(
            "ipv4_tiny_first_fragment_icmp_1",
            icmp(PUBLIC4, HOST4).keep(1).fragment(0, true),
            portless(PUBLIC4, 1),
        ),
        case("ipv4_first_fragment_4", tcp4().keep(4).fragment(0, true), ip(PUBLIC4, 6, 443)),
        case("ipv4_first_fragment_8", tcp4().keep(8).fragment(0, true), ip(PUBLIC4, 6, 443)),
        case("ipv4_first_fragment_udp_4", udp4().keep(4).fragment(0, true), ip(PUBLIC4, 17, 443)),
        // Padding is not content: the ports are not in the packet, whatever the bytes behind it are.
        case(
            "ipv4_tiny_first_fragment_padded",
            padded(tcp4().keep(2).fragment(0, true), 60),
            portless(PUBLIC4, 6),
        ),
    ]
}

fn lies() -> Vec<Case> {
    let tcp4 = || tcp(PUBLIC4, HOST4);
    let udp4 = || udp(PUBLIC4, HOST4);
    vec![
        case("ipv4_version_0", tcp4().claim_version(0), Expect::Malformed),
        case("ipv4_version_5", tcp4().claim_version(5), Expect::Malformed),
        case("ipv4_version_6", tcp4().claim_version(6), Expect::Malformed),
        case("ipv4_version_15", tcp4().claim_version(15), Expect::Malformed),
        case(
            "ipv4_under_ipv6_ethertype",
            tcp4().payload(&[0; 40]).claim_ethertype(0x86dd),
            Expect::Malformed,
        ),
        case("ipv4_header_of_0_words", tcp4().claim_ihl(0), Expect::Malformed),
        case("ipv4_header_of_4_words", tcp4().claim_ihl(4), Expect::Malformed),
        // The header swallows the whole packet, or more than there is.
        case("ipv4_header_longer_than_total_length", tcp4().claim_ihl(15), Expect::Malformed),
        case("ipv4_header_leaves_too_little", tcp4().claim_ihl(6), Expect::Malformed),
        case("ipv4_header_longer_than_frame", udp4().claim_ihl(15).claim_length(100), Expect::Malformed),
        case("ipv4_total_length_0", tcp4().claim_length(0), ip(PUBLIC4, 6, 443)),
        case("ipv4_total_length_0_padded", padded(tcp4().claim_length(0), 60), ip(PUBLIC4, 6, 443)),
        case("ipv4_total_length_0_udp_cut", cut(udp4().claim_length(0), 14 + 27), Expect::Malformed),
        case(
            "ipv4_total_length_0_options_cut",
            cut(tcp4().ihl(15).claim_length(0), 14 + 59),
            Expect::Malformed,
        ),
        case("ipv4_total_length_19", tcp4().claim_length(19), Expect::Malformed),
        case("ipv4_total_length_20", tcp4().claim_length(20), Expect::Malformed),
        case("ipv4_total_length_24", tcp4().claim_length(24), Expect::Malformed),
        case("ipv4_total_length_39", tcp4().claim_length(39), Expect::Malformed),
        case("ipv4_total_length_40", tcp4().payload(b"hello").claim_length(40), ip(PUBLIC4, 6, 443)),
        case("ipv4_total_length_27_udp", udp4().claim_length(27), Expect::Malformed),
        case("ipv4_total_length_27_udp_padded", padded(udp4().claim_length(27), 60), Expect::Malformed),
        case("ipv4_total_length_27_icmp", icmp(PUBLIC4, HOST4).claim_length(27), Expect::Malformed),
        case(
            "ipv4_total_length_20_protocol_253",
            other(PUBLIC4, HOST4, 253).payload(&[1; 9]).claim_length(20),
            portless(PUBLIC4, 253),
        ),
        case("ipv4_total_length_beyond_frame", tcp4().claim_length(65535), ip(PUBLIC4, 6, 443)),
        case("ipv4_total_length_within_options", tcp4().ihl(15).claim_length(59), Expect::Malformed),
        case("ipv4_total_length_ends_options", tcp4().ihl(15).claim_length(60), Expect::Malformed),
        case(
            "ipv4_total_length_19_fragment",
            tcp4().payload(&DECOY).fragment(7, true).claim_length(19),
            Expect::Malformed,
        ),
        case(
            "ipv4_total_length_23_first_fragment",
            tcp4().fragment(0, true).claim_length(23),
            portless(PUBLIC4, 6),
        ),
        case(
            "ipv4_total_length_24_first_fragment",
            tcp4().fragment(0, true).claim_length(24),
            ip(PUBLIC4, 6, 443),
        ),
    ]
}

/// What would be port 22 in the middle of a stream.
const DECOY: [u8; 24] = [0x9c, 0x40, 0, 22, 0, 24, 0, 0, 0, 0, 0, 0, 0x50, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// An authentication header of 12 bytes and the TCP packet behind it.
fn authenticated_tcp() -> Vec<u8> {
    let mut content = vec![TCP, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1];
    content.extend(&tcp(PUBLIC4, HOST4).frame()[14 + 20..]);
    content
}
