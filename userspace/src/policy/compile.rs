//! Facts → classes → table.

use std::collections::HashMap;

use octroi_abi::{Class, Counter};
use octroi_gate::{
    host::Compiled,
    table::builder::{TableError, build},
};

use super::{
    Databases,
    decide::{Decision, Subject, decide},
    layers::{Facts, Family, Layers},
    sets::Memberships,
    slots::{Outcome, Slots, TooManyOutcomes},
};
use crate::{
    config::{Config, Malformed},
    geoip::PerFamily,
};

/// A policy, compiled: what goes into the kernel, and what it is called.
#[derive(Debug)]
pub struct Compilation {
    /// The bytes. Classes have no slots before [`Compilation::assign`].
    pub compiled: Compiled,
    /// What each class is counted as.
    pub outcomes: Vec<Outcome>,
    /// Runs in the tables.
    pub intervals: PerFamily<u64>,
}

/// Every address's class, before there is a table: runs in ascending order, the first at 0, neighbours differ.
#[derive(Debug)]
pub struct Classified {
    /// What each class does and is counted as; the more runs a class has, the lower its number.
    decisions: Vec<(Outcome, Decision)>,
    /// First address and class of each run.
    pub v4: Vec<(u32, u16)>,
    /// The same for IPv6.
    pub v6: Vec<(u128, u16)>,
}

/// Compiles a policy.
///
/// # Errors
/// When classes or table do not fit.
pub fn compile(config: &Config, databases: &Databases) -> Result<Compilation, TableError> {
    classify(config, databases)?.build(config)
}

/// Decides about every address.
///
/// # Errors
/// When there are more classes than 16 bits can number.
pub fn classify(config: &Config, databases: &Databases) -> Result<Classified, TableError> {
    let mut memberships = Memberships::new(config.rules.len());
    let told_apart = asn_told_apart(config, databases);
    let known_asn = |record: u32| told_apart[record as usize];
    let v4 = Layers::<u32>::new(config, databases, &mut memberships, known_asn).merged();
    let v6 = Layers::<u128>::new(config, databases, &mut memberships, known_asn).merged();

    let mut classes = Classes {
        config,
        databases,
        memberships: &memberships,
        of_facts: HashMap::new(),
        numbers: HashMap::new(),
        all: Vec::new(),
    };
    let mut v4 = classes.runs(&v4);
    let mut v6 = classes.runs(&v6);
    let decisions = by_frequency(classes.all, &mut v4, &mut v6);

    let too_many = || TableError::TooManyClasses { classes: decisions.len() };
    let v4 = narrow(&v4).ok_or_else(too_many)?;
    let v6 = narrow(&v6).ok_or_else(too_many)?;
    Ok(Classified { decisions, v4, v6 })
}

impl Classified {
    /// Builds the tables.
    ///
    /// # Errors
    /// When they do not fit.
    pub fn build(self, config: &Config) -> Result<Compilation, TableError> {
        let Self { decisions, v4, v6 } = self;
        let tables = build(decisions.len(), &v4, &v6)?;
        let class = |decision: &Decision| Class {
            slot: 0,
            mark: decision.mark,
            verdict: decision.verdict as u8,
            dscp: decision.dscp,
            _pad: [0; 2],
        };
        Ok(Compilation {
            compiled: Compiled {
                tables,
                classes: decisions.iter().map(|(_, decision)| class(decision)).collect(),
                malformed_passes: config.policy.malformed == Malformed::Pass,
            },
            outcomes: decisions.into_iter().map(|(outcome, _)| outcome).collect(),
            intervals: PerFamily { v4: v4.len() as u64, v6: v6.len() as u64 },
        })
    }
}

impl Compilation {
    /// Gives each class its slot. `in_use` are the outcomes of the generation that runs; `read` reads a counter: see
    /// [`Slots::assign`].
    ///
    /// # Errors
    /// When there are more outcomes than slots; `slots` then still counts what it counted.
    pub fn assign(
        &mut self,
        slots: &mut Slots,
        in_use: &[Outcome],
        read: impl Fn(u32) -> Counter,
    ) -> Result<(), TooManyOutcomes> {
        let assigned = slots.assign(&self.outcomes, in_use, read)?;
        for (class, slot) in self.compiled.classes.iter_mut().zip(assigned) {
            class.slot = slot;
        }
        Ok(())
    }
}

/// Runs with class numbers of 16 bits; `None` where one does not fit.
fn narrow<K: Copy>(runs: &[(K, u32)]) -> Option<Vec<(K, u16)>> {
    runs.iter().map(|&(start, class)| Some((start, u16::try_from(class).ok()?))).collect()
}

/// For each record of the ASN database: whether any rule names its number. All others are alike to the policy.
fn asn_told_apart(config: &Config, databases: &Databases) -> Vec<bool> {
    let named: std::collections::HashSet<u32> = config
        .rules
        .iter()
        .flat_map(|rule| [&rule.source.asn, &rule.source.not_asn])
        .flatten()
        .flatten()
        .copied()
        .collect();
    databases.asn.records.iter().map(|record| record.asn.is_some_and(|asn| named.contains(&asn))).collect()
}

/// Numbers for what has to be told apart: what happens, and where it is counted.
struct Classes<'a> {
    config: &'a Config,
    databases: &'a Databases,
    memberships: &'a Memberships,
    of_facts: HashMap<Facts, u32>,
    numbers: HashMap<(Outcome, Decision), u32>,
    all: Vec<(Outcome, Decision)>,
}

impl Classes<'_> {
    /// Runs of facts as runs of classes, neighbours of one class merged.
    fn runs<K: Family>(&mut self, runs: &[(K, Facts)]) -> Vec<(K, u32)> {
        let mut merged: Vec<(K, u32)> = Vec::with_capacity(runs.len());
        for &(start, facts) in runs {
            let class = self.class(facts);
            if merged.last().is_none_or(|last| last.1 != class) {
                merged.push((start, class));
            }
        }
        merged
    }

    fn class(&mut self, facts: Facts) -> u32 {
        if let Some(&class) = self.of_facts.get(&facts) {
            return class;
        }
        let subject = Subject {
            special: facts.special,
            country: &self.databases.country.records[facts.country as usize],
            asn: &self.databases.asn.records[facts.asn as usize],
            membership: self.memberships.get(facts.membership),
        };
        let decision = decide(self.config, &subject);
        let outcome = outcome(self.config, &subject, &decision);
        let next = u32::try_from(self.all.len()).expect("fewer classes than runs");
        let class = *self.numbers.entry((outcome.clone(), decision.clone())).or_insert(next);
        if class == next {
            self.all.push((outcome, decision));
        }
        self.of_facts.insert(facts, class);
        class
    }
}

/// What a decision is counted as.
pub(crate) fn outcome(config: &Config, subject: &Subject<'_>, decision: &Decision) -> Outcome {
    let name = |index: usize| config.rules[index].name.clone();
    Outcome {
        location: subject.location(),
        verdict: decision.verdict,
        rule: decision.rule.map(name),
        observed: decision
            .observed
            .iter()
            .map(|&index| (name(index), super::decide::verdict_of(&config.rules[index].action)))
            .collect(),
    }
}

/// Renumbers classes so that those with the most runs have the lowest numbers: a part of the table whose classes are
/// all below 256 takes one byte a class.
fn by_frequency(
    all: Vec<(Outcome, Decision)>,
    v4: &mut [(u32, u32)],
    v6: &mut [(u128, u32)],
) -> Vec<(Outcome, Decision)> {
    let mut counted: Vec<(usize, usize)> = (0..all.len()).map(|class| (0, class)).collect();
    for class in v4.iter().map(|run| run.1).chain(v6.iter().map(|run| run.1)) {
        counted[class as usize].0 += 1;
    }
    counted.sort_unstable_by_key(|&(runs, class)| (std::cmp::Reverse(runs), class));
    let mut new = vec![0; all.len()];
    for (number, &(_, class)) in counted.iter().enumerate() {
        new[class] = u32::try_from(number).expect("fewer classes than runs");
    }
    for class in v4.iter_mut().map(|run| &mut run.1).chain(v6.iter_mut().map(|run| &mut run.1)) {
        *class = new[*class as usize];
    }
    let mut all: Vec<Option<(Outcome, Decision)>> = all.into_iter().map(Some).collect();
    counted.iter().filter_map(|&(_, class)| all[class].take()).collect()
}
