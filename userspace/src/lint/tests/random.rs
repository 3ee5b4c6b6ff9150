//! Which rules have nothing left to them, against every packet of a small world.

use octroi_abi::Verdict;
use octroi_gate::{
    packet::Fragment,
    service::Carried,
    transport::{Ports, Transport, Upper},
};
use proptest::{collection, prelude::*, sample};

use super::*;
use crate::{
    config::Rule,
    policy::{decide::verdict_of, explain::Explainer, walk::Question},
};

/// One address of each kind that the sources below tell apart.
const ADDRESSES: [&str; 8] =
    ["1.0.1.1", "1.0.2.1", "5.1.64.1", "5.1.65.1", "175.45.176.1", "9.9.9.9", "240e:1::1", "240e:2::1"];

const SOURCES: [&str; 7] = [
    "any = true",
    r#"country = ["CN"]"#,
    r#"country = ["CN", "KP"]"#,
    r#"not_country = ["DE"]"#,
    "asn = [58593]",
    r#"not_asn = [58593], country = ["CN"]"#,
    r#"cidr = ["1.0.0.0/16", "5.1.65.0/24"]"#,
];

const SERVICES: [&str; 11] = [
    "",
    "",
    "service = [\"tcp/1-10\"]",
    "service = [\"tcp/5-20\"]",
    "service = [\"tcp/1-4\"]",
    "service = [\"tcp/4-9\"]",
    "service = [\"tcp/3\",\"udp/9\"]",
    "service = [\"tcp\"]",
    "service = [\"tcp\",\"udp\"]",
    "service = [\"icmp\"]",
    "service = [58]",
];

fn text_of_rule() -> impl Strategy<Value = (&'static str, &'static str, &'static str, bool)> {
    let action = sample::select(&["pass", "drop", "reject", "drop"][..]);
    (sample::select(&SOURCES[..]), sample::select(&SERVICES[..]), action, prop::bool::weighted(0.2))
}

/// What a packet may say, at and beside every end of the services above.
fn transports() -> Vec<Transport> {
    let transport = |upper, ports: Option<u16>| Transport {
        upper,
        ports: ports.map(|destination| Ports { source: 1, destination }),
        fragment: Fragment::None,
        at: 0,
        end: 0,
        length: 0,
    };
    let of_ports = |number| {
        let ports = (0..=22).map(Some).chain([Some(u16::MAX), None]);
        ports.map(move |ports| transport(Upper::Known(number), ports)).collect::<Vec<_>>()
    };
    let others = [Upper::Known(1), Upper::Known(58), Upper::Known(99), Upper::Behind(135), Upper::Unknown];
    of_ports(6).into_iter().chain(of_ports(17)).chain(others.map(|upper| transport(upper, None))).collect()
}

/// Whether a rule whose source matches matches a packet.
fn matches(rule: &Rule, transport: &Transport) -> bool {
    let passes = matches!(verdict_of(&rule.action), Verdict::Pass | Verdict::Tag);
    let fits = |entry: &octroi_gate::service::Service| entry.fits(Carried::of(transport));
    let fit = rule.service.as_ref().map(|services| services.entries.iter().map(fits).max());
    fit.is_none_or(|fit| fit.is_some_and(|fit| fit.matches(passes)))
}

/// The rules that decide about some packet or, if they only observe, are asked about one that they match.
fn used(config: &Config, explainer: &Explainer<'_>) -> Vec<bool> {
    let mut used = vec![false; config.rules.len()];
    for address in ADDRESSES {
        let matching = explainer.matching(address.parse().expect("an address")).rules;
        for transport in transports() {
            for &index in &matching {
                let rule = &config.rules[index];
                if matches(rule, &transport) {
                    used[index] = true;
                    if !rule.observe {
                        break;
                    }
                }
            }
        }
    }
    used
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn rules_that_are_warned_of_decide_nothing_and_others_something(
        rules in collection::vec(text_of_rule(), 1..6),
    ) {
        let text: String = rules
            .iter()
            .enumerate()
            .map(|(number, (source, service, action, observe))| {
                let keys = format!("{service}, observe = {observe}");
                rule(&format!("r{number}"), source, action, keys.trim_start_matches(", "))
            })
            .collect();
        let (config, databases) = opened(&text);
        let explainer = Explainer::new(&config, &databases, Question { service: None, at: HERE.now }).expect("fits");
        let found = crate::lint::order::unreachable(&config.rules, &explainer.together(), HERE.now);
        // Ranges that rules of both kinds leave nothing of together, and then what does not tell its port: too rare to look for.
        let exact = !rules.iter().any(|(_, service, action, _)| *action == "pass" && !service.is_empty());
        for (rule, used) in config.rules.iter().zip(used(&config, &explainer)) {
            // Those that something is left of have a warning of their own.
            let about = |text: &&String| text.starts_with(&format!("rule {:?} ", rule.name));
            let warned = found.iter().filter(about).any(|text| !text.contains(" passes only part "));
            prop_assert!(!(warned && used), "{}: {:?} {}", rule.name, found, text);
            prop_assert!(warned || used || !exact, "{}: {:?} {}", rule.name, found, text);
        }
    }
}
