//! What is generated at random is what the judge has to be asked.

use std::{cell::RefCell, collections::BTreeMap, net::IpAddr};

use octroi_judge::{
    Action, Location, Moment, Row,
    generate::{Size, case},
    judge,
    packet::{Packet, Piece, Protocol, read},
};
use proptest::{prelude::ProptestConfig, test_runner::TestRunner};

const SIZE: Size = Size { sources: 8, shapes: 48, moments: 4 };

/// Runs so many cases; how often each thing happened that `see` names.
fn count(
    cases: u32,
    see: impl Fn(&octroi_judge::generate::Case, &mut dyn FnMut(String)),
) -> BTreeMap<String, u64> {
    let counts = RefCell::new(BTreeMap::new());
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let ran = TestRunner::new(config).run(&case(SIZE), |case| {
        let mut counts = counts.borrow_mut();
        see(&case, &mut |what| *counts.entry(what).or_insert(0) += 1);
        Ok(())
    });
    ran.expect("nothing is asserted about a case");
    counts.into_inner()
}

fn often(counts: &BTreeMap<String, u64>, least: u64, what: &[&str]) {
    for what in what {
        let count = counts.get(*what).copied().unwrap_or(0);
        assert!(count >= least, "{what}: {count} times, not {least}; {counts:#?}");
    }
}

#[test]
fn every_verdict_and_every_reason_for_one_comes_up() {
    let counts = count(2_000, |case, see| {
        for frame in case.frames() {
            for moment in &case.moments {
                let judgement = judge(&case.policy, &case.world, &case.leases, &frame, moment);
                let deciding = judgement.rule.as_ref();
                let rule = case.policy.rules.iter().find(|rule| Some(&rule.name) == deciding);
                see(format!("{:?} by a rule: {}", judgement.verdict, rule.is_some()));
                if judgement.leased {
                    see(format!("{:?} by a lease", judgement.verdict));
                }
                if rule.is_some_and(|rule| rule.action == Action::Reject) {
                    see(format!("rejected, {:?}", judgement.verdict));
                }
                for (_, would) in &judgement.observed {
                    see(format!("would {would:?}"));
                }
                match judgement.location {
                    Some(Location::Country(_)) => see("country".into()),
                    Some(location) => see(format!("{location:?}")),
                    None => {}
                }
                for other in [
                    Moment { established: !moment.established, ..*moment },
                    Moment { now: moment.now + 1, ..*moment },
                    Moment { now: moment.now - 1, ..*moment },
                    Moment { over: !moment.over, ..*moment },
                ] {
                    if judge(&case.policy, &case.world, &case.leases, &frame, &other) != judgement {
                        see(format!("established {}", other.established != moment.established));
                        see(format!("nanosecond {}", other.now != moment.now));
                        see(format!("over {}", other.over != moment.over));
                    }
                }
            }
        }
    });
    let by_rules =
        ["Pass", "Drop", "Reject", "Tag", "Limit"].map(|verdict| format!("{verdict} by a rule: true"));
    often(&counts, 1000, &by_rules.each_ref().map(String::as_str));
    often(&counts, 1000, &["Pass by a lease", "Drop by a lease"]);
    often(&counts, 1000, &["Pass by a rule: false", "Drop by a rule: false"]);
    often(&counts, 500, &["would Pass", "would Drop", "would Reject", "would Tag", "would Limit"]);
    often(&counts, 1000, &["rejected, Reject", "rejected, Drop", "rejected, Pass"]);
    often(&counts, 1000, &["country", "Unknown", "Local"]);
    often(&counts, 500, &["established true", "over true", "nanosecond true"]);
}

#[test]
fn every_kind_of_packet_comes_up() {
    let counts = count(4_000, |case, see| {
        for frame in case.frames() {
            match read(&frame) {
                Packet::Malformed => see("malformed".into()),
                Packet::Other(other) => see(format!("{other:?}")),
                Packet::Ip(ip) => {
                    let family = if ip.source.is_ipv4() { 4 } else { 6 };
                    let port = if ip.port.is_some() { "port" } else { "no port" };
                    see(format!("IPv{family} {:?}", ip.piece));
                    see(format!("header at {}", ip.header));
                    match ip.protocol {
                        Protocol::Known(6) => see(format!("{:?} TCP, {port}, opens: {}", ip.piece, ip.opens)),
                        Protocol::Known(17) => see(format!("{:?} UDP, {port}", ip.piece)),
                        Protocol::Known(number) => see(format!("protocol {number}")),
                        Protocol::NotWalked(_) => see("not walked".into()),
                        Protocol::Unknown => see(format!("{:?} unknown", ip.piece)),
                    }
                }
            }
        }
    });
    assert!(Piece::Whole < Piece::Later);
    often(&counts, 300, &["malformed", "Arp", "NonIp", "NeighbourDiscovery", "not walked"]);
    often(&counts, 300, &["IPv4 Whole", "IPv4 First", "IPv4 Later", "IPv6 Whole", "IPv6 Atomic"]);
    often(&counts, 300, &["IPv6 First", "IPv6 Later", "header at 14", "header at 18", "header at 22"]);
    often(&counts, 300, &["Whole TCP, port, opens: true", "Whole TCP, port, opens: false"]);
    often(&counts, 100, &["First TCP, port, opens: true", "Later TCP, no port, opens: false"]);
    often(&counts, 300, &["Whole UDP, port", "Later UDP, no port", "Whole unknown", "Later unknown"]);
    often(&counts, 30, &["First TCP, no port, opens: false", "First UDP, no port", "First unknown"]);
    often(&counts, 100, &["protocol 1", "protocol 47", "protocol 50", "protocol 58", "protocol 59"]);
}

#[test]
fn rows_of_a_database_do_not_overlap() {
    fn check<T>(rows: &[Row<T>]) {
        assert!(rows.iter().all(|row| row.first.is_ipv4() == row.last.is_ipv4() && row.first <= row.last));
        assert!(rows.windows(2).all(|pair| pair[0].last < pair[1].first));
    }
    let counts = count(500, |case, see| {
        check(&case.world.countries);
        check(&case.world.asns);
        check(&case.world.anonymous);
        for row in &case.world.countries {
            see(if row.first.is_ipv4() { "IPv4".into() } else { "IPv6".into() });
        }
        let touching = |pair: &[Row<_>]| match (pair[0].last, pair[1].first) {
            (IpAddr::V4(last), IpAddr::V4(first)) => last.to_bits() + 1 == first.to_bits(),
            _ => false,
        };
        see(format!("touching {}", case.world.countries.windows(2).any(touching)));
    });
    often(&counts, 200, &["IPv4", "IPv6", "touching true"]);
}
