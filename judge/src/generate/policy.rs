//! Policies of a few rules.

use std::fmt::Debug;

use proptest::{
    collection::vec,
    option::{self, weighted},
    prelude::*,
    sample::select,
    strategy::Union,
};

use super::{
    Features,
    address::network,
    carried::PORTS,
    moment::{SECOND, START},
    world::{ANONYMIZERS, ASNS},
};
use crate::{Action, COUNTRIES, PassOrDrop, Per, Place, Policy, Ports, Rule, Service, Source};

/// Policies of one to eight rules.
pub(super) fn policy(features: Features) -> impl Strategy<Value = Policy> {
    let rules = vec(rule(features), 1..=8);
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

fn rule(features: Features) -> impl Strategy<Value = Rule> {
    let service = vec(service(), 1..=3);
    let service = asked(features.service, 0.5, service);
    let established = prop_oneof![2 => Just(PassOrDrop::Pass), 1 => Just(PassOrDrop::Drop)];
    let parts = (
        source(features),
        service,
        action(features),
        prop::bool::weighted(0.2),
        times(features),
        established,
    );
    parts.prop_map(move |(source, service, action, observe, (from, until, ramp), established)| {
        let cuts = matches!(action, Action::Drop | Action::Reject | Action::Limit { .. });
        let established = if features.established && cuts { established } else { PassOrDrop::Pass };
        Rule { name: String::new(), source, service, action, observe, from, until, ramp, established }
    })
}

/// A key that is there so often, if it is asked for at all.
fn asked<T: Debug>(
    asked: bool,
    share: f64,
    value: impl Strategy<Value = T>,
) -> impl Strategy<Value = Option<T>> {
    weighted(share, value).prop_map(move |value| value.filter(|_| asked))
}

/// Sources with few keys, as those with many match nothing.
fn source(features: Features) -> impl Strategy<Value = Source> {
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
        asked(features.list, 0.2, vec(file, 1..=2)),
        asked(features.anonymous, 0.15, vec(anonymizer, 1..=2)),
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

fn action(features: Features) -> impl Strategy<Value = Action> {
    let tag = (option::of(1..=u32::MAX), option::of(0u8..=63)).prop_map(|(mark, dscp)| match (mark, dscp) {
        (None, None) => Action::Tag { mark: Some(1), dscp },
        _ => Action::Tag { mark, dscp },
    });
    let per = select(&[Per::Source, Per::Rule]);
    let limit = (1u64..=1000, 1u64..=1000, per);
    let limit = limit.prop_map(|(rate, burst, per)| Action::Limit { rate, burst, per });
    let mut actions =
        vec![(4, Just(Action::Drop).boxed()), (3, Just(Action::Pass).boxed()), (2, tag.boxed())];
    if features.reject {
        actions.push((2, Just(Action::Reject).boxed()));
    }
    if features.limit {
        actions.push((2, limit.boxed()));
    }
    Union::new_weighted(actions)
}

/// Services that the frames are about, and their neighbours.
fn service() -> impl Strategy<Value = Service> {
    let ports = prop_oneof![
        1 => Just(Ports::All),
        3 => select(&PORTS).prop_map(Ports::One),
        2 => (select(&PORTS), select(&PORTS)).prop_map(|(one, other)| Ports::Range(one.min(other), one.max(other))),
    ];
    prop_oneof![
        4 => ports.clone().prop_map(Service::Tcp),
        4 => ports.prop_map(Service::Udp),
        1 => Just(Service::Icmp),
        2 => select(&[1u8, 6, 17, 47, 50, 51, 58, 59, 135, 139, 140, 200]).prop_map(Service::Protocol),
        1 => any::<u8>().prop_map(Service::Protocol),
    ]
}

/// `from`, `until` and `ramp`, within seconds of each other.
fn times(features: Features) -> impl Strategy<Value = (Option<u64>, Option<u64>, Option<u64>)> {
    let from = asked(features.time, 0.4, 0u64..20);
    let until = asked(features.time, 0.3, 1u64..40);
    let ramp = asked(features.time, 0.5, 1u64..30);
    (from, until, ramp).prop_map(|(from, until, ramp)| {
        let start = from.unwrap_or(0);
        let time = |seconds: u64| START + seconds * SECOND;
        (
            from.map(time),
            until.map(|after| time(start + after)),
            ramp.filter(|_| from.is_some()).map(|ramp| ramp * SECOND),
        )
    })
}
