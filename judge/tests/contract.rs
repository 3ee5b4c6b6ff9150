//! The configuration's documentation, sentence by sentence: which verdict a packet gets, by which rule.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;
use octroi_judge::{
    Action, Anonymizer, Judgement, Lease, Location, Moment, PassOrDrop, Per, Policy, Ports, Rule, Service,
    Source, Verdict, World, anonymous, asn, country,
    generate::{Carried, Claim, Fragment, Header, Network, Shape},
    judge, position,
};

const SECOND: u64 = 1_000_000_000;
const LIMIT: Action = Action::Limit { rate: 10, burst: 10, per: Per::Source };

fn world() -> World {
    World {
        countries: vec![
            country("0.0.0.0", "1.0.0.255", "CN"),
            country("2.0.0.0", "2.255.255.255", "DE"),
            country("9.0.0.0", "240.0.0.0", "US"),
            country("2000::", "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "CN"),
            country("fc00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "US"),
        ],
        asns: vec![asn("1.0.0.0", "1.0.0.127", 58593)],
        anonymous: vec![anonymous("2.0.0.0", "2.0.0.255", &[Anonymizer::Vpn, Anonymizer::Hosting])],
    }
}

fn networks(texts: &[&str]) -> Option<Vec<IpNetwork>> {
    Some(texts.iter().map(|text| text.parse().expect("a network")).collect())
}

fn any() -> Source {
    Source { any: true, ..Source::default() }
}

/// One rule, named `r`.
fn rule(source: Source, action: Action) -> Rule {
    Rule { name: "r".into(), source, ..Rule::new(action) }
}

fn only(rule: Rule) -> Policy {
    Policy { rules: vec![rule], ..Policy::default() }
}

fn shape(network: Network, carried: Carried) -> Shape {
    Shape::sound(network, carried)
}

fn v4(carried: Carried) -> Shape {
    shape(Network::V4(0, Fragment { offset: 0, more: false }, Claim::Honest), carried)
}

fn later(carried: Carried) -> Shape {
    shape(Network::V4(0, Fragment { offset: 1, more: false }, Claim::Honest), carried)
}

fn frame(shape: &Shape, source: &str) -> Vec<u8> {
    match source.parse().expect("an address") {
        IpAddr::V4(source) => shape.frame((source, Ipv6Addr::UNSPECIFIED)),
        IpAddr::V6(source) => shape.frame((Ipv4Addr::UNSPECIFIED, source)),
    }
}

fn at(policy: &Policy, shape: &Shape, source: &str, moment: Moment) -> Judgement {
    judge(policy, &world(), &[], &frame(shape, source), &moment)
}

/// The verdict on UDP from a source.
fn from(policy: &Policy, source: &str) -> Verdict {
    let network = match source.parse().expect("an address") {
        IpAddr::V4(_) => Network::V4(0, Fragment { offset: 0, more: false }, Claim::Honest),
        IpAddr::V6(_) => Network::V6(vec![], Claim::Honest),
    };
    at(policy, &shape(network, Carried::Udp(53)), source, Moment::default()).verdict
}

/// Compares the verdicts of a rule that drops those it matches.
fn matched(source: Source, yes: &[&str], no: &[&str]) {
    let policy = Policy { local_rules: true, ..only(rule(source.clone(), Action::Drop)) };
    for address in yes {
        assert_eq!(from(&policy, address), Verdict::Drop, "{address} and {source:?}");
    }
    for address in no {
        assert_eq!(from(&policy, address), Verdict::Pass, "{address} and {source:?}");
    }
}

#[test]
fn each_key_of_a_source_matches_what_it_names() {
    let with = Source::default;
    let (codes, no_codes) = (Some(vec!["CN".into()]), Some(vec!["CN".into(), "unknown".into()]));
    matched(Source { any: true, ..with() }, &["1.0.0.1", "3.0.0.1", "10.0.0.1", "192.0.2.1"], &[]);
    matched(
        Source { country: codes.clone(), ..with() },
        &["1.0.0.1", "2001:200::1"],
        &["2.0.0.1", "3.0.0.1"],
    );
    matched(
        Source { country: no_codes.clone(), ..with() },
        &["1.0.0.1", "3.0.0.1", "192.0.2.1"],
        &["2.0.0.1"],
    );
    matched(
        Source { continent: Some(vec!["EU", "NA"]), ..with() },
        &["2.0.0.1", "9.0.0.1"],
        &["1.0.0.1", "3.0.0.1"],
    );
    matched(Source { asn: Some(vec![58593]), ..with() }, &["1.0.0.127"], &["1.0.0.128", "3.0.0.1"]);
    matched(Source { not_asn: Some(vec![58593]), ..with() }, &["1.0.0.128", "3.0.0.1"], &["1.0.0.127"]);
    matched(
        Source { cidr: networks(&["2.0.0.0/31", "2001:200::/64"]), ..with() },
        &["2.0.0.1", "2001:200::1"],
        &["2.0.0.2", "2001:200:0:1::1", "::ffff:2.0.0.1"],
    );
    matched(
        Source { not_cidr: networks(&["2.0.0.0/31"]), ..with() },
        &["2.0.0.2", "2001:200::1"],
        &["2.0.0.1"],
    );
    let files = Some(vec![vec![], networks(&["2.0.0.0/31"]).expect("some")]);
    matched(Source { list: files, ..with() }, &["2.0.0.1"], &["2.0.0.2"]);
    let kinds = |kinds: &[Option<Anonymizer>]| Source { anonymous: Some(kinds.to_vec()), ..with() };
    matched(kinds(&[Some(Anonymizer::Tor), Some(Anonymizer::Hosting)]), &["2.0.0.1"], &["2.0.1.1"]);
    matched(kinds(&[Some(Anonymizer::Tor)]), &[], &["2.0.0.1"]);
    matched(kinds(&[None]), &["2.0.0.1"], &["2.0.1.1"]);
}

#[test]
fn the_allow_only_list_matches_unknown_too() {
    let supported = Source { not_country: Some(vec!["DE".into(), "US".into()]), ..Source::default() };
    matched(
        supported,
        &["1.0.0.1", "3.0.0.1", "192.0.2.1", "2001:db8::1", "4000::1"],
        &["2.0.0.1", "9.0.0.1"],
    );
}

#[test]
fn keys_are_anded_and_values_ored() {
    let source = Source {
        any: true,
        country: Some(vec!["CN".into(), "DE".into()]),
        not_asn: Some(vec![58593]),
        ..Source::default()
    };
    matched(source, &["1.0.0.200", "2.0.0.1"], &["1.0.0.1", "3.0.0.1"]);
}

#[test]
fn a_partner_inside_an_unsupported_region_passes() {
    let china = Source { country: Some(vec!["CN".into()]), ..Source::default() };
    let partner = Rule {
        name: "partner".into(),
        until: Some(100 * SECOND),
        ..rule(Source { asn: Some(vec![58593]), ..china.clone() }, Action::Pass)
    };
    let policy = Policy { rules: vec![partner, rule(china, Action::Drop)], ..Policy::default() };
    let when = |now, source| {
        let judgement = at(&policy, &v4(Carried::Udp(53)), source, Moment { now, ..Moment::default() });
        (judgement.verdict, judgement.rule.expect("a rule decides"))
    };
    assert_eq!(when(100 * SECOND - 1, "1.0.0.1"), (Verdict::Pass, "partner".into()));
    assert_eq!(when(100 * SECOND, "1.0.0.1"), (Verdict::Drop, "r".into()));
    assert_eq!(when(0, "1.0.0.200"), (Verdict::Drop, "r".into()));
}

#[test]
fn local_sources_pass_unless_the_rules_are_asked_and_no_database_speaks_about_them() {
    let local =
        ["10.0.0.1", "100.64.0.1", "224.0.0.1", "0.0.0.0", "255.255.255.255", "fe80::1", "ff02::1", "::1"];
    let american = Source { country: Some(vec!["US".into(), "unknown".into()]), ..Source::default() };
    matched(american, &["9.0.0.1", "3.0.0.1"], &local);
    matched(Source { not_country: Some(vec!["US".into()]), ..Source::default() }, &["1.0.0.1"], &local);
    matched(Source { not_asn: Some(vec![1]), ..Source::default() }, &["1.0.0.1"], &local);
    matched(
        Source { cidr: networks(&["10.0.0.0/8", "fe80::/64"]), ..Source::default() },
        &["10.0.0.1", "fe80::1"],
        &[],
    );
    let policy = Policy { default: PassOrDrop::Drop, ..only(rule(any(), Action::Drop)) };
    for address in local {
        assert_eq!(from(&policy, address), Verdict::Pass, "{address}");
        assert_eq!(
            from(&Policy { local_rules: true, ..policy.clone() }, address),
            Verdict::Drop,
            "{address}"
        );
    }
    let judgement = at(&policy, &v4(Carried::Udp(53)), "10.0.0.1", Moment::default());
    assert_eq!((judgement.location, judgement.rule), (Some(Location::Local), None));
}

#[test]
fn malformed_packets_and_what_is_not_for_rules_are_not_judged_by_rules() {
    let policy = Policy { default: PassOrDrop::Drop, ..only(rule(any(), Action::Drop)) };
    let short = Shape { bytes: Some(7), ..v4(Carried::Udp(53)) };
    let arp = shape(Network::Other(0x0806), Carried::Other(0));
    let discovery = shape(Network::V6(vec![], Claim::Honest), Carried::Icmpv6(135));
    for (shape, source, verdict) in [
        (&short, "1.0.0.1", Verdict::Drop),
        (&arp, "::", Verdict::Pass),
        (&discovery, "fe80::1", Verdict::Pass),
    ] {
        let judgement = at(&policy, shape, source, Moment::default());
        assert_eq!((judgement.verdict, judgement.rule, judgement.location), (verdict, None, None));
    }
    let lenient = Policy { malformed: PassOrDrop::Pass, ..policy };
    assert_eq!(at(&lenient, &short, "1.0.0.1", Moment::default()).verdict, Verdict::Pass);
}

#[test]
fn a_rule_that_observes_is_counted_and_the_next_one_asked() {
    let see = |name: &str, action| Rule { name: name.into(), observe: true, ..rule(any(), action) };
    let tag = Action::Tag { mark: Some(7), dscp: None };
    let rules = vec![
        see("a", Action::Drop),
        see("b", Action::Reject),
        see("c", tag.clone()),
        see("d", LIMIT),
        rule(any(), tag),
        see("never", Action::Drop),
    ];
    let policy = Policy { rules, ..Policy::default() };
    let judgement = at(&policy, &v4(Carried::Udp(53)), "1.0.0.1", Moment { over: true, ..Moment::default() });
    let observed = [("a", Verdict::Drop), ("b", Verdict::Reject), ("c", Verdict::Tag), ("d", Verdict::Limit)];
    assert_eq!(judgement.observed, observed.map(|(name, verdict)| (name.to_owned(), verdict)));
    assert_eq!((judgement.verdict, judgement.mark, judgement.dscp), (Verdict::Tag, Some(7), None));
    // A limit that is kept would not have done anything.
    let judgement = at(&policy, &v4(Carried::Udp(53)), "1.0.0.1", Moment::default());
    assert_eq!(judgement.observed.len(), 3);
}

#[test]
fn a_limit_drops_what_is_over_its_rate_and_passes_the_rest() {
    let policy = Policy { default: PassOrDrop::Drop, ..only(rule(any(), LIMIT)) };
    for (over, verdict) in [(true, Verdict::Limit), (false, Verdict::Pass)] {
        let judgement = at(&policy, &v4(Carried::Udp(53)), "1.0.0.1", Moment { over, ..Moment::default() });
        assert_eq!((judgement.verdict, judgement.rule.as_deref()), (verdict, Some("r")));
    }
}

#[test]
fn a_rule_observes_before_its_time_and_is_gone_after_it() {
    let timed = Rule { from: Some(10 * SECOND), until: Some(20 * SECOND), ..rule(any(), Action::Drop) };
    let policy = only(timed);
    let when = |now| {
        let judgement = at(&policy, &v4(Carried::Udp(53)), "1.0.0.1", Moment { now, ..Moment::default() });
        (judgement.verdict, judgement.observed.len())
    };
    assert_eq!(when(10 * SECOND - 1), (Verdict::Pass, 1));
    assert_eq!(when(10 * SECOND), (Verdict::Drop, 0));
    assert_eq!(when(20 * SECOND - 1), (Verdict::Drop, 0));
    assert_eq!(when(20 * SECOND), (Verdict::Pass, 0));
}

#[test]
fn a_ramp_grows_evenly_over_sources_and_never_lets_one_go_again() {
    let (start, ramp) = (100 * SECOND, 50 * SECOND);
    let policy = only(Rule { from: Some(start), ramp: Some(ramp), ..rule(any(), Action::Drop) });
    let share = |now| {
        let dropped = |n: u32| {
            let source = Ipv4Addr::from_bits(0x0200_0000 + n).to_string();
            let judgement = at(&policy, &v4(Carried::Udp(53)), &source, Moment { now, ..Moment::default() });
            assert_eq!(judgement.observed.len(), usize::from(judgement.verdict == Verdict::Pass));
            judgement.verdict == Verdict::Drop
        };
        (0..2000).filter(|&n| dropped(n)).count()
    };
    assert_eq!((share(start - 1), share(start), share(start + ramp)), (0, 0, 2000));
    let shares = [1, 2, 3, 4].map(|fifth| share(start + ramp / 5 * fifth));
    for (share, even) in shares.into_iter().zip([400, 800, 1200, 1600]) {
        assert!(share.abs_diff(even) < 80, "{shares:?}");
    }
    // To the nanosecond.
    let source = "2.0.0.1";
    let turn = start + (u64::from(position(source.parse().expect("an address"))) + 1) * (ramp / 10_000);
    for (now, verdict) in [(turn - 1, Verdict::Pass), (turn, Verdict::Drop)] {
        let judgement = at(&policy, &v4(Carried::Udp(53)), source, Moment { now, ..Moment::default() });
        assert_eq!(judgement.verdict, verdict);
    }
}

#[test]
fn services_are_matched_by_protocol_and_destination_port() {
    let services = vec![
        Service::Tcp(Ports::One(443)),
        Service::Tcp(Ports::Range(8000, 8100)),
        Service::Udp(Ports::All),
        Service::Icmp,
        Service::Protocol(47),
    ];
    let policy = only(Rule { service: Some(services), ..rule(any(), Action::Drop) });
    let tcp = |port| Carried::Tcp(port, 0x10);
    let yes = [
        tcp(443),
        tcp(8000),
        tcp(8100),
        Carried::Udp(0),
        Carried::Icmp(8),
        Carried::Icmpv6(128),
        Carried::Other(47),
    ];
    let no = [tcp(442), tcp(7999), tcp(8101), Carried::Other(50)];
    for (packets, verdict) in [(&yes[..], Verdict::Drop), (&no[..], Verdict::Pass)] {
        for carried in packets {
            let judgement = at(&policy, &v4(carried.clone()), "1.0.0.1", Moment::default());
            assert_eq!(judgement.verdict, verdict, "{carried:?}");
        }
    }
}

#[test]
fn a_packet_whose_ports_cannot_be_known_is_never_a_way_round_a_rule_and_never_a_way_in() {
    let unknown = [
        later(Carried::Tcp(443, 0x02)),
        Shape {
            bytes: Some(3),
            ..shape(Network::V4(0, Fragment { offset: 0, more: true }, Claim::Honest), Carried::Tcp(443, 2))
        },
        shape(Network::V6(vec![Header::Options(60, 0); 9], Claim::Honest), Carried::Tcp(80, 2)),
        shape(Network::V6(vec![], Claim::Honest), Carried::Other(139)),
    ];
    let tag = Action::Tag { mark: Some(1), dscp: None };
    let actions = [
        (Action::Drop, Verdict::Drop),
        // Matched, and without an answer.
        (Action::Reject, Verdict::Drop),
        (LIMIT, Verdict::Limit),
        (tag, Verdict::Tag),
        (Action::Pass, Verdict::Pass),
    ];
    for shape in &unknown {
        let source = if matches!(shape.network, Network::V4(..)) { "1.0.0.1" } else { "2001:200::1" };
        for (action, verdict) in &actions {
            // The whole protocol, too: a packet that is not known to be sound is not let in as one.
            for ports in [Ports::One(443), Ports::All] {
                let service = Some(vec![Service::Tcp(ports)]);
                let policy = only(Rule { service, ..rule(any(), action.clone()) });
                let judgement = at(&policy, shape, source, Moment { over: true, ..Moment::default() });
                let rule = (*action != Action::Pass).then_some("r");
                assert_eq!((judgement.verdict, judgement.rule.as_deref()), (*verdict, rule), "{shape:?}");
            }
        }
    }
    // Where the protocol is known and another one, it does not match.
    let service = Some(vec![Service::Udp(Ports::One(443))]);
    let policy = only(Rule { service, ..rule(any(), Action::Drop) });
    assert_eq!(at(&policy, &unknown[0], "1.0.0.1", Moment::default()).verdict, Verdict::Pass);
    assert_eq!(at(&policy, &unknown[2], "2001:200::1", Moment::default()).verdict, Verdict::Drop);
}

#[test]
fn what_is_known_by_its_number_is_known_in_every_fragment_and_may_be_let_in() {
    let v6 = |number| shape(Network::V6(vec![], Claim::Honest), Carried::Other(number));
    for (shape, source, service) in [
        (later(Carried::Icmp(8)), "1.0.0.1", Service::Icmp),
        (later(Carried::Other(47)), "1.0.0.1", Service::Protocol(47)),
        (v6(139), "2001:200::1", Service::Protocol(139)),
        (v6(253), "2001:200::1", Service::Protocol(253)),
    ] {
        let policy = Policy {
            default: PassOrDrop::Drop,
            ..only(Rule { service: Some(vec![service]), ..rule(any(), Action::Pass) })
        };
        assert_eq!(at(&policy, &shape, source, Moment::default()).verdict, Verdict::Pass, "{shape:?}");
    }
}

#[test]
fn existing_connections_are_let_through_what_cuts_unless_it_cuts_them_too() {
    for (action, over, cut) in [
        (Action::Drop, false, Verdict::Drop),
        (Action::Reject, false, Verdict::Reject),
        (LIMIT, true, Verdict::Limit),
    ] {
        let established = Moment { established: true, over, ..Moment::default() };
        let spares = only(rule(any(), action.clone()));
        let cuts = only(Rule { established: PassOrDrop::Drop, ..rule(any(), action) });
        for carried in [Carried::Tcp(443, 0x10), Carried::Tcp(443, 0x12), Carried::Udp(53)] {
            let judgement = at(&spares, &v4(carried.clone()), "1.0.0.1", established);
            assert_eq!((judgement.verdict, judgement.rule.as_deref()), (Verdict::Pass, Some("r")));
            assert_eq!(at(&cuts, &v4(carried), "1.0.0.1", established).verdict, cut);
        }
        // What opens a connection, what has no sockets, and fragments belong to none.
        for shape in [v4(Carried::Tcp(443, 0x02)), v4(Carried::Icmp(8))] {
            assert_eq!(at(&spares, &shape, "1.0.0.1", established).verdict, cut, "{shape:?}");
        }
        let unanswered = if cut == Verdict::Reject { Verdict::Drop } else { cut };
        assert_eq!(at(&spares, &later(Carried::Udp(53)), "1.0.0.1", established).verdict, unanswered);
    }
}

#[test]
fn what_a_rule_would_cut_it_counts_whether_or_not_there_is_a_connection_or_an_answer() {
    let would = |action, shape: &Shape, moment| {
        let policy = only(Rule { observe: true, ..rule(any(), action) });
        at(&policy, shape, "1.0.0.1", moment).observed
    };
    let established = Moment { established: true, over: true, ..Moment::default() };
    for moment in
        [established, Moment { established: false, ..established }, Moment { over: false, ..established }]
    {
        for shape in [v4(Carried::Udp(53)), later(Carried::Udp(53))] {
            let one = |verdict| vec![("r".to_owned(), verdict)];
            assert_eq!(would(Action::Pass, &shape, moment), one(Verdict::Pass));
            assert_eq!(would(Action::Drop, &shape, moment), one(Verdict::Drop));
            assert_eq!(would(Action::Reject, &shape, moment), one(Verdict::Reject));
            // A limit counts what is over it.
            let over = if moment.over { one(Verdict::Limit) } else { vec![] };
            assert_eq!(would(LIMIT, &shape, moment), over);
        }
    }
}

#[test]
fn existing_connections_survive_where_no_rule_matches_and_do_not_skip_rules_that_do() {
    let policy = Policy { default: PassOrDrop::Drop, ..Policy::default() };
    let established = Moment { established: true, ..Moment::default() };
    let judgement = at(&policy, &v4(Carried::Udp(53)), "1.0.0.1", established);
    assert_eq!((judgement.verdict, judgement.rule), (Verdict::Pass, None));
    assert_eq!(at(&policy, &v4(Carried::Tcp(1, 2)), "1.0.0.1", established).verdict, Verdict::Drop);
    assert_eq!(at(&policy, &v4(Carried::Udp(53)), "1.0.0.1", Moment::default()).verdict, Verdict::Drop);
    let tag = only(rule(any(), Action::Tag { mark: None, dscp: Some(8) }));
    assert_eq!(at(&tag, &v4(Carried::Udp(53)), "1.0.0.1", established).verdict, Verdict::Tag);
}

#[test]
fn a_lease_comes_before_everything_and_the_longest_prefix_that_is_not_over_counts() {
    let drop = only(Rule { established: PassOrDrop::Pass, ..rule(any(), Action::Drop) });
    let lease = |prefix: &str, action, until| {
        let prefix = prefix.parse().expect("a network");
        Lease { prefix, action, until: until * SECOND }
    };
    let leases = [
        lease("1.0.0.0/8", PassOrDrop::Drop, 40),
        lease("1.0.0.0/24", PassOrDrop::Pass, 20),
        lease("1.0.0.0/16", PassOrDrop::Pass, 30),
        lease("127.0.0.1/32", PassOrDrop::Drop, 40),
    ];
    let under = |source, seconds: u64, established| {
        let moment = Moment { now: seconds * SECOND, established, over: false };
        let frame = frame(&v4(Carried::Tcp(22, 0x10)), source);
        let Judgement { verdict, leased, .. } = judge(&drop, &world(), &leases, &frame, &moment);
        (verdict, leased)
    };
    assert_eq!(under("1.0.0.1", 19, false), (Verdict::Pass, true));
    assert_eq!(under("1.0.0.1", 20, false), (Verdict::Pass, true), "the one around it");
    assert_eq!(under("1.0.0.1", 30, true), (Verdict::Drop, true), "a ban cuts connections");
    assert_eq!(under("1.0.0.1", 40, true), (Verdict::Pass, false), "all are over");
    assert_eq!(under("2.0.0.1", 10, false), (Verdict::Drop, false));
    assert_eq!(under("127.0.0.1", 39, false), (Verdict::Drop, true), "local sources, too");
    assert_eq!(under("127.0.0.1", 40, false), (Verdict::Pass, false));
}
