//! Who is told that a packet was rejected, by the RFCs that forbid an answer.

use std::net::{Ipv4Addr, Ipv6Addr};

use octroi_judge::{
    Action, Moment, Policy, Rule, Source, Verdict, World,
    generate::{Carried, Claim, Fragment, Header, Network, Shape},
    judge,
};

const V4: Ipv4Addr = Ipv4Addr::new(1, 0, 1, 1);
const V6: Ipv6Addr = Ipv6Addr::new(0x2a00, 0, 0, 0, 0, 0, 0, 1);
const WHOLE: Fragment = Fragment { offset: 0, more: false };
const FIRST: Fragment = Fragment { offset: 0, more: true };
const ACK: u8 = 0x10;

fn v4(carried: Carried) -> Shape {
    Shape::sound(Network::V4(0, WHOLE, Claim::Honest), carried)
}

fn v6(headers: &[Header], carried: Carried) -> Shape {
    Shape::sound(Network::V6(headers.to_vec(), Claim::Honest), carried)
}

/// What a rule that rejects everything does to a frame.
fn rejected(shape: &Shape, from: (Ipv4Addr, Ipv6Addr), over: bool) -> Verdict {
    let source = Source { any: true, ..Source::default() };
    let rule = Rule { name: "no".into(), source, ..Rule::new(Action::Reject) };
    let policy = Policy { local_rules: true, rules: vec![rule], ..Policy::default() };
    let moment = Moment { over, ..Moment::default() };
    let judgement = judge(&policy, &World::default(), &[], &shape.frame(from), &moment);
    assert_eq!(judgement.rule.as_deref(), Some("no"), "{shape:?}");
    judgement.verdict
}

fn answered(shape: &Shape) -> bool {
    rejected(shape, (V4, V6), false) == Verdict::Reject
}

#[test]
fn what_asks_gets_an_answer_within_the_rate_of_answers() {
    for shape in [
        v4(Carried::Tcp(443, 2)),
        v4(Carried::Udp(53)),
        v4(Carried::Other(47)),
        v6(&[Header::Options(60, 0)], Carried::Tcp(443, ACK)),
        v6(&[], Carried::Udp(53)),
        v6(&[Header::Fragment(WHOLE)], Carried::Udp(53)),
        v6(&[Header::Fragment(FIRST)], Carried::Udp(53)),
        Shape { tags: vec![0x88a8, 0x8100], ..v4(Carried::Udp(53)) },
    ] {
        assert!(answered(&shape), "{shape:?}");
        assert_eq!(rejected(&shape, (V4, V6), true), Verdict::Drop, "the surplus is dropped");
    }
}

#[test]
fn groups_get_no_answer_and_none_is_sent_to_them() {
    let station = v4(Carried::Udp(53)).macs[0];
    for group in [[0x33, 0x33, 0, 0, 0, 1], [0xff; 6], [1, 0, 0x5e, 0, 0, 1]] {
        for macs in [[group, station], [station, group]] {
            for shape in [v4(Carried::Tcp(443, 2)), v6(&[], Carried::Udp(53))] {
                assert!(!answered(&Shape { macs, ..shape }), "{macs:?}");
            }
        }
    }
}

#[test]
fn what_is_not_between_two_hosts_gets_no_answer() {
    let (udp4, udp6) = (v4(Carried::Udp(53)), v6(&[], Carried::Udp(53)));
    for (text, is_host) in [
        ("0.0.0.0", false),
        ("0.1.2.3", false),
        ("1.0.0.0", true),
        ("126.0.0.1", true),
        ("127.0.0.1", false),
        ("223.255.255.255", true),
        ("224.0.0.1", false),
        ("240.0.0.1", false),
        ("255.255.255.255", false),
    ] {
        let address = text.parse().expect("an address");
        assert_eq!(answered(&Shape { to: (address, V6), ..udp4.clone() }), is_host, "to {text}");
        let verdict = rejected(&udp4, (address, V6), false);
        assert_eq!(verdict == Verdict::Reject, is_host, "from {text}");
    }
    for (text, is_host) in [
        ("::", false),
        ("::1", false),
        ("::1.2.3.4", false),
        ("::ffff:1.2.3.4", false),
        ("0:0:0:0:1::", true),
        ("64:ff9b::1", true),
        ("fe80::1", true),
        ("feff::1", true),
        ("ff02::1", false),
    ] {
        let address = text.parse().expect("an address");
        assert_eq!(answered(&Shape { to: (V4, address), ..udp6.clone() }), is_host, "to {text}");
        let verdict = rejected(&udp6, (V4, address), false);
        assert_eq!(verdict == Verdict::Reject, is_host, "from {text}");
    }
}

#[test]
fn what_may_be_an_answer_itself_gets_none() {
    for flags in 0..=255 {
        let resets = flags & 4 != 0;
        assert_eq!(answered(&v4(Carried::Tcp(443, flags))), !resets, "flags {flags:#x}");
    }
    for kind in 0..=255 {
        let asks = matches!(kind, 0 | 8 | 13..=18 | 42 | 43);
        assert_eq!(answered(&v4(Carried::Icmp(kind))), asks, "type {kind}");
        // Neighbour discovery is not judged by rules, unless it is in fragments, where it is none.
        let asks = matches!(kind, 128 | 129 | 139 | 140 | 160 | 161);
        assert_eq!(answered(&v6(&[Header::Fragment(FIRST)], Carried::Icmpv6(kind))), asks, "type {kind}");
        // In the other family, neither has a meaning.
        assert!(!answered(&v4(Carried::Icmpv6(kind))) && !answered(&v6(&[], Carried::Icmp(kind))));
    }
    for unreadable in [v6(&[Header::Options(60, 0); 9], Carried::Udp(53)), v6(&[], Carried::Other(140))] {
        assert!(!answered(&unreadable), "{unreadable:?}");
    }
}

#[test]
fn later_fragments_and_headers_that_are_not_whole_get_no_answer() {
    let fragment = |fragment, carried| Shape::sound(Network::V4(0, fragment, Claim::Honest), carried);
    for carried in [Carried::Tcp(443, 2), Carried::Udp(53), Carried::Icmp(8), Carried::Other(47)] {
        assert!(!answered(&fragment(Fragment { offset: 3, more: false }, carried.clone())));
        assert!(answered(&fragment(FIRST, carried)));
    }
    for bytes in 0..=20 {
        let short = Shape { bytes: Some(bytes), padding: 30, ..fragment(FIRST, Carried::Tcp(443, ACK)) };
        assert_eq!(answered(&short), bytes == 20, "{bytes} bytes");
        let short = Shape { bytes: Some(bytes), padding: 30, ..fragment(FIRST, Carried::Icmp(8)) };
        assert_eq!(answered(&short), bytes >= 8, "{bytes} bytes");
    }
    for words in 0..=15 {
        let says = v4(Carried::Words(443, ACK, words));
        assert_eq!(answered(&says), words >= 5, "{words} words");
        let less = Shape { bytes: Some(40), ..says };
        assert_eq!(answered(&less), (5..=10).contains(&words), "{words} words, of which there are 10");
    }
}
