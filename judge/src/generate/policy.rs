//! Policies of a few rules.

use proptest::{
    collection::vec,
    option::{self, weighted},
    prelude::*,
    sample::select,
};

use super::{
    address::network,
    carried::PORTS,
    moment::{SECOND, START},
    world::{ANONYMIZERS, ASNS},
};
use crate::{Action, COUNTRIES, PassOrDrop, Per, Place, Policy, Ports, Rule, Service, Source};

/// Policies of one to eight rules; now and then of many, most of which decide about few packets, so that the last is asked.
pub(super) fn policy() -> impl Strategy<Value = Policy> {
    let few = vec(rule(), 1..=8);
    let many = vec((rule(), prop::bool::weighted(0.9)), 30..=80).prop_map(|rules| {
        let observing =
            rules.into_iter().map(|(rule, observe)| Rule { observe: rule.observe || observe, ..rule });
        observing.collect()
    });
    let rules = prop_oneof![24 => few, 1 => many];
    (word(), any::<bool>(), word(), rules).prop_map(|(default, local_rules, malformed, mut rules)| {
        for (index, rule) in rules.iter_mut().enumerate() {
            rule.name = format!("r{index}");
        }
        Policy { default, local_rules, malformed, rules }
    })
}

fn word() -> impl Strategy<Value = PassOrDrop> + Clone {
    select(&[PassOrDrop::Pass, PassOrDrop::Drop])
}

fn rule() -> impl Strategy<Value = Rule> {
    // 64 are what fits, and ICMP is two.
    let service = prop_oneof![20 => vec(service(), 1..=3), 1 => vec(service(), 20..=32)];
    let service = weighted(0.5, service);
    let established = prop_oneof![2 => Just(PassOrDrop::Pass), 1 => Just(PassOrDrop::Drop)];
    let parts = (source(), service, action(), prop::bool::weighted(0.2), times(), established);
    parts.prop_map(|(source, service, action, observe, (from, until, ramp), established)| {
        let cuts = matches!(action, Action::Drop | Action::Reject | Action::Limit { .. });
        let established = if cuts { established } else { PassOrDrop::Pass };
        Rule { name: String::new(), source, service, action, observe, from, until, ramp, established }
    })
}

/// Sources with few keys, as those with many match nothing.
fn source() -> impl Strategy<Value = Source> {
    let place = prop_oneof![
        5 => select(&COUNTRIES).prop_map(|country| Place::Country(country.0)),
        1 => Just(Place::Unknown),
    ];
    let continent = select(&COUNTRIES).prop_map(|country| country.1);
    let file = vec(network(), 0..6);
    let anonymizer = option::weighted(0.8, select(&ANONYMIZERS));
    (
        prop::bool::weighted(0.25),
        (weighted(0.3, vec(place.clone(), 1..=4)), weighted(0.1, vec(place, 1..=4))),
        weighted(0.1, vec(continent, 1..=3)),
        (weighted(0.15, vec(select(&ASNS), 1..=2)), weighted(0.1, vec(select(&ASNS), 1..=2))),
        (weighted(0.3, vec(network(), 1..=6)), weighted(0.15, vec(network(), 1..=4))),
        weighted(0.2, vec(file, 1..=2)),
        weighted(0.15, vec(anonymizer, 1..=2)),
    )
        .prop_map(
            |(any, (country, not_country), continent, (asn, not_asn), (cidr, not_cidr), list, anonymous)| {
                let mut source = Source {
                    any,
                    country,
                    not_country,
                    continent,
                    asn,
                    not_asn,
                    cidr,
                    not_cidr,
                    list,
                    anonymous,
                };
                // A source without keys is no source.
                source.any |= source == Source::default();
                source
            },
        )
}

fn action() -> impl Strategy<Value = Action> {
    let tag = (option::of(1..=u32::MAX), option::of(0u8..=63)).prop_map(|(mark, dscp)| match (mark, dscp) {
        (None, None) => Action::Tag { mark: Some(1), dscp },
        _ => Action::Tag { mark, dscp },
    });
    let per = select(&[Per::Source, Per::Rule]);
    let limit = (1u64..=1000, 1u64..=1000, per);
    let limit = limit.prop_map(|(rate, burst, per)| Action::Limit { rate, burst, per });
    prop_oneof![
        4 => Just(Action::Drop),
        3 => Just(Action::Pass),
        3 => Just(Action::Reject),
        2 => tag,
        2 => limit,
    ]
}

/// Services that the frames are about, and their neighbours.
fn service() -> impl Strategy<Value = Service> {
    // Packets may be to port 0, and no service is.
    let port = || select(&PORTS).prop_map(|port| port.max(1));
    let ports = prop_oneof![
        1 => Just(Ports::All),
        3 => port().prop_map(Ports::One),
        2 => (port(), port()).prop_map(|(one, other)| Ports::Range(one.min(other), one.max(other))),
    ];
    // Headers of IPv6 are no protocols that packets are for.
    let number = any::<u8>().prop_filter("no header", |number| !matches!(number, 0 | 43 | 44 | 60));
    prop_oneof![
        4 => ports.clone().prop_map(Service::Tcp),
        4 => ports.prop_map(Service::Udp),
        1 => Just(Service::Icmp),
        2 => select(&[1u8, 6, 17, 47, 50, 51, 58, 59, 135, 139, 140, 200]).prop_map(Service::Protocol),
        1 => number.prop_map(Service::Protocol),
    ]
}

/// `from`, `until` and `ramp`, within seconds of each other, but for some rules that began years ago, or will in centuries.
fn times() -> impl Strategy<Value = (Option<u64>, Option<u64>, Option<u64>)> {
    let start = prop_oneof![12 => 0i64..20, 1 => Just(-300_000_000), 1 => Just(16_000_000_000)];
    let from = weighted(0.4, start);
    let until = weighted(0.3, 1i64..40);
    let ramp = weighted(0.5, 1i64..30);
    (from, until, ramp).prop_map(|(from, until, ramp)| {
        let length = |seconds: i64| seconds.unsigned_abs() * SECOND;
        let time = |seconds| if seconds < 0 { START - length(seconds) } else { START + length(seconds) };
        let start = from.unwrap_or(0);
        // A ramp is over when its rule is.
        let ramp = ramp.map(|ramp| until.map_or(ramp, |after| ramp.min(after)));
        (from.map(time), until.map(|after| time(start + after)), ramp.filter(|_| from.is_some()).map(length))
    })
}
