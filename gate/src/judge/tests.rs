//! What is asked first: headers, then leases, then the class and its steps.

use std::{net::IpAddr, vec, vec::Vec};

use octroi_abi::Leased;

use super::*;
use crate::{
    corpus::{Expect, build::udp, corpus},
    host::{Circumstances, Compiled},
    table::builder::build,
};

const LEASED: Leased = Leased { pass: 100, drop: 102 };

fn class(verdict: u8, slot: u32, detail: u32) -> Class {
    Class { slot, detail, verdict, dscp: 10, _pad: [0; 2] }
}

/// A policy of one class for every address.
fn policy(class: Class) -> Compiled {
    let step = Step { slot: 40, detail: 7, verdict: Verdict::Tag as u8, dscp: 10, ..Step::default() };
    Compiled {
        tables: build(1, &[(0, 0)], &[(0, 0)]).expect("fits"),
        classes: vec![class],
        steps: vec![step],
        services: Vec::new(),
        limits: Vec::new(),
        leased: vec![LEASED],
        malformed_passes: false,
    }
}

/// Policies whose classes drop, drop but for connections, pass, tag and have steps.
fn policies() -> Vec<Compiled> {
    let classes = [
        class(Verdict::Drop as u8, 20, 0),
        class(Verdict::Drop as u8, 20, 22),
        class(Verdict::Pass as u8, 24, 0),
        class(Verdict::Tag as u8, 26, 7),
        Class { dscp: 0, ..class(STEPS, 0, 1) },
    ];
    classes.into_iter().map(policy).collect()
}

fn under(lease: Option<Verdict>) -> Circumstances {
    Circumstances { lease, connected: true, ..Circumstances::default() }
}

fn frames() -> [(Vec<u8>, u32); 2] {
    let address = |text: &str| -> IpAddr { text.parse().expect("an address") };
    [
        (udp(address("192.168.1.1"), address("10.88.0.2")).frame(), 0),
        (udp(address("2a01:4f8::1"), address("fd00:88::2")).vlan(5).frame(), 1),
    ]
}

#[test]
fn a_lease_decides_before_whatever_the_class_would() {
    for policy in policies() {
        for (frame, family) in frames() {
            for (verdict, slot) in [(Verdict::Pass, LEASED.pass), (Verdict::Drop, LEASED.drop)] {
                let judged = policy.judge_in(&frame, under(Some(verdict)));
                let header = policy.judge(&frame).header;
                let expected = Outcome { verdict, slot: slot + family, mark: 0, dscp: DSCP_KEEP, header };
                assert_eq!(judged.outcome, expected, "{:?}", policy.classes);
                assert!(judged.observed.is_empty(), "{judged:?}");
            }
        }
    }
}

#[test]
fn without_a_lease_the_class_decides_as_ever() {
    let slots: Vec<u32> =
        policies().iter().map(|policy| policy.judge_in(&frames()[0].0, under(None)).outcome.slot).collect();
    assert_eq!(slots, [20, 22, 24, 26, 40]);
}

#[test]
fn a_verdict_that_no_class_has_drops() {
    for number in (0..=255).filter(|&number| number != STEPS) {
        let expected = match number {
            0 => Verdict::Pass,
            2 => Verdict::Tag,
            _ => Verdict::Drop,
        };
        for (frame, family) in frames() {
            let outcome = policy(class(number, 20, 0)).judge(&frame);
            assert_eq!((outcome.verdict, outcome.slot), (expected, 20 + family), "{number}");
        }
    }
}

#[test]
fn leases_concern_ip_packets_alone() {
    for case in corpus().iter().filter(|case| !matches!(case.expect, Expect::Ip { .. })) {
        for policy in policies() {
            for verdict in [Verdict::Pass, Verdict::Drop] {
                let judged = policy.judge_in(&case.frame, under(Some(verdict)));
                assert_eq!(judged.outcome, policy.judge(&case.frame), "{}", case.name);
            }
        }
    }
}

#[test]
fn a_class_without_slots_for_leases_is_counted_as_malformed() {
    let policy = Compiled { leased: Vec::new(), ..policy(class(Verdict::Drop as u8, 20, 0)) };
    let judged = policy.judge_in(&frames()[0].0, under(Some(Verdict::Pass)));
    assert_eq!((judged.outcome.verdict, judged.outcome.slot), (Verdict::Pass, slot::MALFORMED));
}
