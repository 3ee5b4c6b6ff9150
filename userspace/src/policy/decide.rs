//! The rules that one set of facts meets, read top down.

use std::fmt;

use octroi_abi::Verdict;

use super::{
    sets::{Membership, Set},
    window::Window,
};
use crate::{
    anonymizer::Anonymizers,
    config::{Action, Config, Local, Place, Rule},
    country::{Continent, CountryCode},
    geoip::{Record, special::Special},
};

/// Where an address counts as being: the value of the label `country`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Location {
    /// A country.
    Country(CountryCode),
    /// No database places it.
    Unknown,
    /// Private, link-local, loopback, multicast or unspecified.
    Local,
}

impl Location {
    /// The label's value: an ISO code, `unknown` or `local`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Country(code) => code.as_str(),
            Self::Unknown => "unknown",
            Self::Local => "local",
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What rules are asked about: one address, or all addresses of which the same is known.
pub(crate) struct Subject<'a> {
    pub(crate) special: Option<Special>,
    pub(crate) country: &'a Record,
    pub(crate) asn: &'a Record,
    pub(crate) anonymous: Anonymizers,
    pub(crate) membership: &'a Membership,
}

impl Subject<'_> {
    pub(crate) fn location(&self) -> Location {
        match (self.special, self.country.country) {
            (Some(Special::Local), _) => Location::Local,
            (None, Some(code)) => Location::Country(code),
            _ => Location::Unknown,
        }
    }

    /// The continent of the record, or else of its country.
    pub(crate) fn continent(&self) -> Option<Continent> {
        if self.special.is_some() {
            return None;
        }
        self.country.continent.or_else(|| self.country.country.map(CountryCode::continent))
    }

    pub(crate) fn asn(&self) -> Option<u32> {
        if self.special.is_some() { None } else { self.asn.asn }
    }

    /// Kinds of anonymizer that a database knows.
    pub(crate) fn anonymizers(&self) -> Anonymizers {
        if self.special.is_some() { Anonymizers::NONE } else { self.anonymous }
    }
}

/// What rules a set of facts meets: those that match, read top down.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Chain {
    /// Indices of the rules whose sources match and which are not gone, up to the first that decides about every packet.
    pub rules: Vec<usize>,
    /// What decides where none of them does.
    pub rest: Rest,
}

/// What decides where no rule of a [`Chain`] does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Rest {
    /// Nothing is left: the chain's last rule decides about every packet.
    Nothing,
    /// `policy.default`.
    Default,
    /// `policy.local`: the source is local and no rule was looked at.
    Local,
}

/// Reads the rules top down; `windows` are the rules' own.
pub(crate) fn chain(config: &Config, windows: &[Window], subject: &Subject<'_>) -> Chain {
    let mut rules = Vec::new();
    if skips_rules(config, subject) {
        return Chain { rules, rest: Rest::Local };
    }
    for (index, (rule, window)) in config.rules.iter().zip(windows).enumerate() {
        if *window == Window::Gone || mismatch(index, rule, subject).is_some() {
            continue;
        }
        rules.push(index);
        if !rule.observe && rule.service.is_none() && *window == Window::Always {
            return Chain { rules, rest: Rest::Nothing };
        }
    }
    Chain { rules, rest: Rest::Default }
}

/// Local sources pass without a look at the rules, unless `policy.local = "rules"`.
pub(crate) fn skips_rules(config: &Config, subject: &Subject<'_>) -> bool {
    subject.special == Some(Special::Local) && config.policy.local == Local::Pass
}

/// The verdict that a rule with this action gives.
#[must_use]
pub const fn verdict_of(action: &Action) -> Verdict {
    match action {
        Action::Pass => Verdict::Pass,
        Action::Drop => Verdict::Drop,
        Action::Reject => Verdict::Reject,
        Action::Tag { .. } => Verdict::Tag,
        Action::Limit(_) => Verdict::Limit,
    }
}

/// The key of a rule's source that did not match.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mismatch {
    /// No database speaks about local sources, so no key that asks one matches or excludes them.
    Local,
    Country,
    NotCountry,
    Continent,
    Asn,
    NotAsn,
    Anonymous,
    Cidr,
    NotCidr,
    List,
}

/// Why the rule with that index does not match; `None` where it does.
pub(crate) fn mismatch(index: usize, rule: &Rule, subject: &Subject<'_>) -> Option<Mismatch> {
    let source = &rule.source;
    let asks_database = source.country.is_some()
        || source.not_country.is_some()
        || source.continent.is_some()
        || source.asn.is_some()
        || source.not_asn.is_some()
        || source.anonymous.is_some();
    let place = match subject.location() {
        Location::Local if asks_database => return Some(Mismatch::Local),
        Location::Country(code) => Place::Country(code),
        Location::Local | Location::Unknown => Place::Unknown,
    };
    let asn = subject.asn();
    let within = |set| subject.membership.contains(index, set);
    let checks = [
        (Mismatch::Country, source.country.as_ref().is_some_and(|set| !set.contains(place))),
        (Mismatch::NotCountry, source.not_country.as_ref().is_some_and(|set| set.contains(place))),
        (
            Mismatch::Continent,
            source
                .continent
                .as_ref()
                .is_some_and(|set| !subject.continent().is_some_and(|own| set.contains(&own))),
        ),
        (Mismatch::Asn, source.asn.as_ref().is_some_and(|set| !asn.is_some_and(|own| set.contains(&own)))),
        (
            Mismatch::NotAsn,
            source.not_asn.as_ref().is_some_and(|set| asn.is_some_and(|own| set.contains(&own))),
        ),
        (Mismatch::Anonymous, source.anonymous.is_some_and(|kinds| !kinds.intersects(subject.anonymizers()))),
        (Mismatch::Cidr, source.cidr.is_some() && !within(Set::Cidr)),
        (Mismatch::NotCidr, source.not_cidr.is_some() && within(Set::NotCidr)),
        (Mismatch::List, source.list.is_some() && !within(Set::List)),
    ];
    checks.into_iter().find_map(|(key, failed)| failed.then_some(key))
}
