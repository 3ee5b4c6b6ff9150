//! Whether a rule is about a packet.

use std::net::IpAddr;

use crate::{
    Action, Facts, Location, Place, Ports, Rule, Service, Source,
    packet::{ICMP, ICMPV6, Ip, Protocol, TCP, UDP},
};

/// Whether a rule is about a packet.
pub(crate) fn matches(rule: &Rule, ip: &Ip, facts: &Facts) -> bool {
    if !source_matches(&rule.source, ip.source, facts) {
        return false;
    }
    let Some(services) = &rule.service else { return true };
    let answers: Vec<Answer> = services
        .iter()
        .flat_map(|&service| named(service))
        .map(|(number, ports)| answer(number, ports, ip))
        .collect();
    if answers.contains(&Answer::Yes) {
        return true;
    }
    // "It matches a rule with `service` that drops, rejects, limits or tags, and never one that passes."
    answers.contains(&Answer::Unknown) && rule.action != Action::Pass
}

/// "Keys are ANDed, values within a key ORed."
fn source_matches(source: &Source, address: IpAddr, facts: &Facts) -> bool {
    // What asks a database says nothing about sources that no database speaks about: "`cidr` and `list` may name any of it".
    let place = match facts.location {
        Location::Local => None,
        Location::Unknown => Some(Place::Unknown),
        Location::Country(code) => Some(Place::Country(code)),
    };
    let asks_database = source.country.is_some()
        || source.not_country.is_some()
        || source.continent.is_some()
        || source.asn.is_some()
        || source.not_asn.is_some()
        || source.anonymous.is_some();
    if asks_database && place.is_none() {
        return false;
    }
    holds(&source.country, |&country| place == Some(country))
        && fails(&source.not_country, |&country| place == Some(country))
        && holds(&source.continent, |&continent| facts.continent == Some(continent))
        && holds(&source.asn, |&asn| facts.asn == Some(asn))
        && fails(&source.not_asn, |&asn| facts.asn == Some(asn))
        && holds(&source.cidr, |network| network.contains(address))
        && fails(&source.not_cidr, |network| network.contains(address))
        && holds(&source.list, |file| file.iter().any(|network| network.contains(address)))
        && holds(&source.anonymous, |kind| match kind {
            Some(kind) => facts.anonymous.contains(kind),
            None => !facts.anonymous.is_empty(),
        })
}

/// Whether a key is left out, or one of its values is true.
fn holds<T>(key: &Option<Vec<T>>, is: impl FnMut(&T) -> bool) -> bool {
    key.as_ref().is_none_or(|values| values.iter().any(is))
}

/// Whether a key is left out, or none of its values is true.
fn fails<T>(key: &Option<Vec<T>>, is: impl FnMut(&T) -> bool) -> bool {
    key.as_ref().is_none_or(|values| !values.iter().any(is))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Yes,
    No,
    Unknown,
}

/// The protocols that a service names, and the ports where those have any. `icmp` is that of either family, as every key of a
/// rule is about both.
fn named(service: Service) -> Vec<(u8, Ports)> {
    match service {
        Service::Tcp(ports) => vec![(TCP, ports)],
        Service::Udp(ports) => vec![(UDP, ports)],
        Service::Icmp => vec![(ICMP, Ports::All), (ICMPV6, Ports::All)],
        Service::Protocol(number) => vec![(number, Ports::All)],
    }
}

/// Whether a packet is of a protocol, and to one of these ports.
fn answer(number: u8, ports: Ports, ip: &Ip) -> Answer {
    match ip.protocol {
        Protocol::Unknown => Answer::Unknown,
        Protocol::NotWalked(header) if header == number => Answer::Yes,
        Protocol::NotWalked(_) => Answer::Unknown,
        Protocol::Known(protocol) if protocol != number => Answer::No,
        Protocol::Known(TCP | UDP) => match (ip.port, ports) {
            // Also where the whole protocol is named: never a way in.
            (None, _) => Answer::Unknown,
            (Some(_), Ports::All) => Answer::Yes,
            (Some(port), Ports::One(only)) => yes_if(port == only),
            (Some(port), Ports::Range(low, high)) => yes_if((low..=high).contains(&port)),
        },
        Protocol::Known(_) => Answer::Yes,
    }
}

fn yes_if(yes: bool) -> Answer {
    if yes { Answer::Yes } else { Answer::No }
}
