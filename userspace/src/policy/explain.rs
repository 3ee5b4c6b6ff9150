//! Why an address meets its verdict: the gate's own decision, with the reasons written out.

use std::{cell::RefCell, net::IpAddr};

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use super::{
    Databases,
    decide::{Mismatch, Subject, chain, mismatch, skips_rules},
    layers::{Facts, Layers},
    sets::Memberships,
    slots::Outcome,
    steps::TooManySteps,
    walk::{Found, Question, Walk},
    window::Stage,
};
use crate::{
    config::{Action, Config, Rule},
    geoip::special::Special,
    lease::Lease,
};

/// Why an address meets its verdict.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct Explanation {
    /// The address.
    pub address: String,
    /// `ipv4` or `ipv6`.
    pub family: String,
    /// The largest prefix around the address about which the same is known.
    pub prefix: String,
    /// ISO code, where a database places it.
    pub country: Option<String>,
    /// Number of the autonomous system.
    pub asn: Option<u32>,
    /// Its name.
    pub organization: Option<String>,
    /// Kinds of anonymizer: `vpn`, `tor`, `proxy`, `residential_proxy`, `hosting`, and `other` for what is none of these.
    pub anonymous: Vec<String>,
    /// The verdict.
    pub verdict: String,
    /// The rule that decided; none: the default.
    pub rule: Option<String>,
    /// What decided, in words.
    pub because: String,
    /// Every rule, and why it matched or not.
    pub rules: Vec<RuleLookedAt>,
    /// The databases that were asked.
    pub databases: Vec<Asked>,
}

/// One rule's part in an explanation.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct RuleLookedAt {
    /// Its name.
    pub name: String,
    /// Its action.
    pub action: String,
    /// `observe`, `ramp`, `enforce` or `expired`, at the time asked for.
    pub stage: String,
    /// Whether it matches the address.
    pub matched: bool,
    /// Why.
    pub reason: String,
}

/// A database that was asked.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct Asked {
    /// `country`, `asn` or `anonymous`.
    pub kind: String,
    /// Its file, or `embedded`.
    pub path: String,
    /// When it was built, RFC 3339.
    pub built: String,
}

/// Explains addresses by one policy.
pub struct Explainer<'a> {
    pub(super) config: &'a Config,
    databases: &'a Databases,
    memberships: Memberships,
    pub(super) v4: Layers<'a, u32>,
    pub(super) v6: Layers<'a, u128>,
    asked: Vec<Asked>,
    question: Question,
    walk: RefCell<Walk<'a>>,
}

/// The verdict on an address and what it rests on, without the reasons.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct Brief {
    /// See [`Explanation::address`].
    pub address: String,
    /// See [`Explanation::prefix`].
    pub prefix: String,
    /// `unknown`, `local` or an ISO code.
    pub location: String,
    /// Number of the autonomous system.
    pub asn: Option<u32>,
    /// The verdict's word.
    pub verdict: String,
    /// The rule that decided.
    pub rule: Option<String>,
}

impl<'a> Explainer<'a> {
    /// Prepares to explain what becomes of packets as `question` says.
    ///
    /// # Errors
    /// When the policy asks more of packets than fits.
    pub fn new(
        config: &'a Config,
        databases: &'a Databases,
        question: Question,
    ) -> Result<Self, TooManySteps> {
        let mut memberships = Memberships::new(config.rules.len());
        let v4 = Layers::new(
            databases,
            memberships.runs(&config.rules, &databases.lists),
            |_| true,
            |kinds| kinds,
        );
        let v6 = Layers::new(
            databases,
            memberships.runs(&config.rules, &databases.lists),
            |_| true,
            |kinds| kinds,
        );
        let asked = databases.all().map(|database| Asked {
            kind: database.kind.as_str().into(),
            path: database.origin.to_string(),
            built: crate::time::text(database.built),
        });
        let walk = RefCell::new(Walk::new(config)?);
        Ok(Self { config, databases, memberships, v4, v6, asked: asked.collect(), question, walk })
    }

    /// The verdict on an address, were there no lease. An IPv4-mapped IPv6 address is looked at as what it is on the wire:
    /// IPv6.
    #[must_use]
    pub fn brief(&self, address: IpAddr) -> Brief {
        self.brief_under(address, None)
    }

    /// The verdict on an address under the lease that holds for it.
    #[must_use]
    pub fn brief_under(&self, address: IpAddr, lease: Option<&Lease>) -> Brief {
        let (facts, prefix) = self.facts(address);
        let subject = self.subject(&facts);
        let found = self.find(address, &subject, self.question).under(lease);
        Brief {
            address: address.to_string(),
            prefix: prefix.to_string(),
            location: subject.location().to_string(),
            asn: subject.asn(),
            verdict: found.verdict.as_str().into(),
            rule: found.outcome.rule,
        }
    }

    /// What a packet from an address would be counted as, were there no lease.
    #[must_use]
    pub fn outcome(&self, address: IpAddr, question: Question) -> Outcome {
        let (facts, _) = self.facts(address);
        let subject = self.subject(&facts);
        self.find(address, &subject, question).outcome
    }

    /// The verdict on an address, were there no lease, and why.
    #[must_use]
    pub fn explain(&self, address: IpAddr) -> Explanation {
        self.explain_under(address, None)
    }

    /// The verdict on an address under the lease that holds for it, and why.
    #[must_use]
    pub fn explain_under(&self, address: IpAddr, lease: Option<&Lease>) -> Explanation {
        let (facts, prefix) = self.facts(address);
        let subject = self.subject(&facts);
        let found = self.find(address, &subject, self.question).under(lease);
        let skipped = skips_rules(self.config, &subject);
        let mut decided = skipped || lease.is_some();
        let rules = self.config.rules.iter().enumerate().map(|(index, rule)| {
            let mismatch = mismatch(index, rule, &subject).map(|key| reason(key, rule, &subject));
            let mismatch = mismatch.or_else(|| self.question.mismatch(rule, address));
            let matched = mismatch.is_none();
            let decides = found.rule == Some(index);
            let reason = match mismatch {
                _ if skipped => "not looked at: local sources pass (policy.local = \"pass\")".to_owned(),
                Some(reason) => reason,
                None if decides => self.question.decides(rule),
                None if lease.is_some() => "matches, but a lease decides".to_owned(),
                None if decided => "matches, but a rule above decided".to_owned(),
                None => self.question.observes(rule),
            };
            decided |= decides;
            RuleLookedAt {
                name: rule.name.clone(),
                action: rule.action.as_str().into(),
                stage: Stage::of(rule, self.question.at).as_str().into(),
                matched: matched && !skipped,
                reason,
            }
        });
        let special = facts.special.is_some();
        let because = match (lease, found.rule) {
            (Some(lease), _) => lease.describe(),
            (None, Some(rule)) => {
                let Rule { name, action, .. } = &self.config.rules[rule];
                match action {
                    Action::Limit(limit) => {
                        format!("rule \"{name}\"; within its rate, {} a second, packets pass", limit.rate)
                    }
                    _ => format!("rule \"{name}\""),
                }
            }
            (None, None) if skipped => "local sources pass (policy.local = \"pass\")".into(),
            (None, None) => format!("no rule matches, and policy.default is \"{}\"", found.verdict.as_str()),
        };
        Explanation {
            address: address.to_string(),
            family: if address.is_ipv4() { "ipv4" } else { "ipv6" }.into(),
            prefix: prefix.to_string(),
            country: subject.country.country.filter(|_| !special).map(|code| code.as_str().to_owned()),
            asn: subject.asn(),
            organization: subject.asn.organization.as_deref().filter(|_| !special).map(str::to_owned),
            anonymous: subject.anonymizers().words().map(str::to_owned).collect(),
            verdict: found.verdict.as_str().into(),
            rule: found.outcome.rule,
            because,
            rules: rules.collect(),
            databases: self.asked.clone(),
        }
    }

    /// What becomes of a packet from an address about which that is known.
    fn find(&self, address: IpAddr, subject: &Subject<'_>, question: Question) -> Found {
        let mut walk = self.walk.borrow_mut();
        let chain = chain(self.config, walk.windows(), subject);
        walk.find(address, subject.location(), chain, question)
    }

    pub(super) fn facts(&self, address: IpAddr) -> (Facts, IpNetwork) {
        match address {
            IpAddr::V4(address) => {
                let (facts, first, last) = self.v4.at(address.into());
                (
                    facts,
                    largest_prefix(address.into(), 32, u32::from(address).into(), first.into(), last.into()),
                )
            }
            IpAddr::V6(address) => {
                let (facts, first, last) = self.v6.at(address.into());
                (facts, largest_prefix(address.into(), 128, address.into(), first, last))
            }
        }
    }

    pub(super) fn subject(&self, facts: &Facts) -> Subject<'_> {
        Subject {
            special: facts.special,
            country: &self.databases.country.records[facts.country as usize],
            asn: &self.databases.asn.records[facts.asn as usize],
            anonymous: facts.anonymous,
            membership: self.memberships.get(facts.membership),
        }
    }
}

/// The largest prefix around an address that lies within `first..=last`; all of them as numbers of `width` bits.
fn largest_prefix(address: IpAddr, width: u8, key: u128, first: u128, last: u128) -> IpNetwork {
    let fits = |length: &u8| {
        let host = (1u128 << (width - length).min(127)) - 1;
        // The whole of IPv6 has more addresses than the shift can count.
        let host = if width - length == 128 { u128::MAX } else { host };
        key & !host >= first && key | host <= last
    };
    let length = (0..=width).find(fits).unwrap_or(width);
    let network = IpNetwork::new(address, length).expect("the length is at most the family's width");
    IpNetwork::new(network.network(), length).expect("as above")
}

fn reason(key: Mismatch, rule: &Rule, subject: &Subject<'_>) -> String {
    let location = match subject.location() {
        super::decide::Location::Country(code) => format!("{} ({})", code.as_str(), code.name()),
        super::decide::Location::Unknown if subject.special == Some(Special::Unknown) => {
            "unknown (special-purpose space, which no database decides)".to_owned()
        }
        other => other.to_string(),
    };
    let asn =
        subject.asn().map_or_else(|| "in no known autonomous system".to_owned(), |asn| format!("in AS{asn}"));
    match key {
        Mismatch::Local => {
            "the source is local, so rules about countries and networks do not concern it".into()
        }
        Mismatch::Country => format!("country is {location}, not among those of the rule"),
        Mismatch::NotCountry => format!("country is {location}, which not_country names"),
        Mismatch::Continent => {
            let continent = subject.continent().map_or("unknown", |continent| continent.as_str());
            format!("continent is {continent}, not among those of the rule")
        }
        Mismatch::Asn => format!("the address is {asn}, not among those of the rule"),
        Mismatch::NotAsn => format!("the address is {asn}, which not_asn names"),
        Mismatch::Anonymous if subject.anonymizers().is_empty() => {
            "the address is no known anonymizer".into()
        }
        Mismatch::Anonymous => {
            let kinds: Vec<&str> = subject.anonymizers().words().collect();
            format!("anonymizer is {}, not among those of the rule", kinds.join(" and "))
        }
        Mismatch::Cidr => {
            let count = rule.source.cidr.as_ref().map_or(0, Vec::len);
            format!("in none of the rule's {count} prefixes (cidr)")
        }
        Mismatch::NotCidr => "in a prefix that not_cidr names".into(),
        Mismatch::List => {
            let files = rule.source.list.iter().flatten().map(|path| path.display().to_string());
            format!("in none of the rule's files (list): {}", files.collect::<Vec<_>>().join(", "))
        }
    }
}
