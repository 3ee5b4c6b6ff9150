//! Packets that must get no answer, beside their nearest relatives that get one.

use super::*;
use crate::corpus::build::{RECEIVER_MAC, SENDER_MAC};

#[test]
fn questions_and_replies_of_icmp_are_answered_and_nothing_else() {
    for (family, protocol, known) in [
        (0, ICMP, &[0, 8, 13, 14, 15, 16, 17, 18, 42, 43][..]),
        (1, ICMPV6, &[128, 129, 139, 140, 160, 161]),
        (1, ICMP, &[]),
        (0, ICMPV6, &[]),
    ] {
        for kind in 0..=255 {
            let packet = both(|a, b| icmp_type(a, b, protocol, kind))[family].clone();
            assert_eq!(
                answer_to(packet).is_some(),
                known.contains(&kind),
                "{protocol} type {kind} in {family}"
            );
        }
    }
}

#[test]
fn a_reset_is_not_answered() {
    for packet in both(tcp) {
        for flags in 0..=255u8 {
            assert_eq!(answer_to(packet.clone().flags(flags)).is_none(), flags & 4 != 0, "{flags:#x}");
        }
    }
}

#[test]
fn groups_and_nobody_are_not_answered() {
    let nobody4 =
        ["0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"];
    let nobody6 = ["::", "::1", "::ffff:1.0.1.1", "::1.0.1.1", "ff02::1", "ff0e::5"];
    let somebody4 = ["1.0.1.1", "10.0.0.1", "126.255.255.255", "128.0.0.0", "223.255.255.255", "169.254.1.1"];
    let somebody6 = ["2404:7940::1", "fe80::1", "fd00::1", "::1:0:0:0", "64:ff9b::1.0.1.1", "fe00::"];
    for packet in [tcp, udp, icmp] {
        for (nobody, somebody) in [(&nobody4[..], &somebody4[..]), (&nobody6, &somebody6)] {
            for other in somebody {
                for who in nobody {
                    assert_eq!(answer_to(between(packet, who, other)), None, "from {who}");
                    assert_eq!(answer_to(between(packet, other, who)), None, "to {who}");
                }
                assert!(answer_to(between(packet, other, somebody[0])).is_some(), "from {other}");
                assert!(answer_to(between(packet, somebody[0], other)).is_some(), "to {other}");
            }
        }
    }
}

#[test]
fn ethernet_groups_are_not_answered() {
    let groups = [[0xff; 6], [1, 0, 0x5e, 0, 0, 1], [0x33, 0x33, 0, 0, 0, 1]];
    for packet in [both(tcp), both(udp)].into_iter().flatten() {
        for group in groups {
            assert_eq!(answer_to(packet.clone().macs(SENDER_MAC, group)), None);
            assert_eq!(answer_to(packet.clone().macs(group, RECEIVER_MAC)), None);
        }
        assert!(answer_to(packet.macs([0xfe, 0xff, 0xff, 0xff, 0xff, 0xff], [0; 6])).is_some());
    }
}

#[test]
fn of_fragments_only_a_first_one_with_its_header_is_answered() {
    for packet in both(tcp) {
        assert_eq!(answer_to(packet.clone().payload(&[0; 24]).fragment(3, true)), None);
        for kept in 0..20 {
            assert_eq!(answer_to(packet.clone().keep(kept).fragment(0, true)), None, "{kept}");
        }
        assert_eq!(reset_to(packet.clone().payload(&[0; 20]).fragment(0, true)), (0, 22, 0x14));
        let options = packet.tcp_options(5);
        assert_eq!(answer_to(options.clone().keep(39).fragment(0, true)), None, "header not whole");
        assert!(answer_to(options.keep(40).fragment(0, true)).is_some());
    }
    for packet in both(udp) {
        assert_eq!(answer_to(packet.clone().payload(&[0; 24]).fragment(3, false)), None);
        let asked = packet.payload(&[0; 24]).fragment(0, true).frame();
        is_sound(&asked, &answer_to(asked.clone()).expect("an answer"));
    }
    for packet in both(icmp) {
        assert_eq!(answer_to(packet.clone().keep(7).fragment(0, true)), None);
        assert!(answer_to(packet.fragment(0, true)).is_some());
    }
}

#[test]
fn what_cannot_be_read_is_not_answered() {
    let nine = (0..9).fold(both(udp)[1].clone(), |packet, _| packet.extension(DESTINATION_OPTIONS));
    assert_eq!(answer_to(nine), None);
    for number in [135, 139, 140, 200, 253] {
        let packet = both(|a, b| other(a, b, number).payload(&[0; 40]))[1].clone();
        assert_eq!(answer_to(packet), None, "an ICMP error may be behind {number}");
    }
    for packet in both(tcp) {
        for words in [0, 4, 6, 15] {
            assert_eq!(answer_to(packet.clone().claim_data_offset(words)), None, "{words} words");
        }
    }
}
