//! The rules' decision about one set of facts: read top down, the first that matches decides.

use std::fmt;

use octroi_abi::{DSCP_KEEP, Verdict};

use super::sets::Membership;
use crate::{
    config::{Action, Config, DefaultVerdict, Local, Place, Rule},
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
}

/// What the rules decided.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Decision {
    /// What happens.
    pub verdict: Verdict,
    /// Index of the rule that decided; `None`: the default, or `policy.local`.
    pub rule: Option<usize>,
    /// Indices of the rules that only observe and matched before that.
    pub observed: Vec<usize>,
    /// For [`Verdict::Tag`]: the skb mark, 0 for none.
    pub mark: u32,
    /// For [`Verdict::Tag`]: the DSCP, or [`DSCP_KEEP`].
    pub dscp: u8,
}

/// Reads the rules top down.
pub(crate) fn decide(config: &Config, subject: &Subject<'_>) -> Decision {
    let decision = |verdict, rule, observed| Decision { verdict, rule, observed, mark: 0, dscp: DSCP_KEEP };
    if skips_rules(config, subject) {
        return decision(Verdict::Pass, None, Vec::new());
    }
    let mut observed = Vec::new();
    for (index, rule) in config.rules.iter().enumerate() {
        if mismatch(index, rule, subject).is_some() {
            continue;
        }
        if rule.observe {
            observed.push(index);
            continue;
        }
        let decision = decision(verdict_of(&rule.action), Some(index), observed);
        return match rule.action {
            Action::Pass | Action::Drop | Action::Reject | Action::Limit(_) => decision,
            Action::Tag { mark, dscp } => {
                Decision { mark: mark.map_or(0, Into::into), dscp: dscp.unwrap_or(DSCP_KEEP), ..decision }
            }
        };
    }
    let verdict = match config.policy.default {
        DefaultVerdict::Pass => Verdict::Pass,
        DefaultVerdict::Drop => Verdict::Drop,
    };
    decision(verdict, None, observed)
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
    Cidr,
    NotCidr,
}

/// Why the rule with that index does not match; `None` where it does.
pub(crate) fn mismatch(index: usize, rule: &Rule, subject: &Subject<'_>) -> Option<Mismatch> {
    let source = &rule.source;
    let asks_database = source.country.is_some()
        || source.not_country.is_some()
        || source.continent.is_some()
        || source.asn.is_some()
        || source.not_asn.is_some();
    let place = match subject.location() {
        Location::Local if asks_database => return Some(Mismatch::Local),
        Location::Country(code) => Place::Country(code),
        Location::Local | Location::Unknown => Place::Unknown,
    };
    let asn = subject.asn();
    let failed = |given: bool, holds: bool| given && !holds;
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
        (Mismatch::Cidr, failed(source.cidr.is_some(), subject.membership.contains(2 * index))),
        (Mismatch::NotCidr, failed(source.not_cidr.is_some(), !subject.membership.contains(2 * index + 1))),
    ];
    checks.into_iter().find_map(|(key, failed)| failed.then_some(key))
}
