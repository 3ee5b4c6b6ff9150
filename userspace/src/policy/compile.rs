//! Facts → classes → table.

use std::collections::{BTreeSet, HashMap};

use octroi_abi::{Counter, STEPS, Verdict};
use octroi_gate::{
    host::Compiled,
    table::builder::{TableError, build},
};

use super::{
    Databases,
    decide::{Chain, Location, Subject, chain},
    layers::{Facts, Family, Layers},
    sets::Memberships,
    slots::{Outcome, Slots, TooManyOutcomes},
    steps::{Planner, TooManySteps},
    window::Window,
};
use crate::{
    anonymizer::Anonymizers,
    config::{Config, Malformed},
    geoip::PerFamily,
};

/// What a class is: where its sources are, and which rules they meet.
type Meaning = (Location, Chain);

/// A policy that does not fit.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// Its classes or its table.
    #[error(transparent)]
    Table(#[from] TableError),
    /// What is asked of single packets.
    #[error(transparent)]
    Steps(#[from] TooManySteps),
}

/// A policy, compiled: what goes into the kernel, and what it is called.
#[derive(Debug)]
pub struct Compilation {
    /// The bytes. Nothing in them has slots before [`Compilation::assign`], but numbers of outcomes, from 1.
    pub compiled: Compiled,
    /// All that packets can be counted as.
    pub outcomes: Vec<Outcome>,
    /// Runs in the tables.
    pub intervals: PerFamily<u64>,
}

/// Every address's class, before there is a table: runs in ascending order, the first at 0, neighbours differ.
#[derive(Debug)]
pub struct Classified {
    /// What each class is; the more runs a class has, the lower its number.
    pub(super) meanings: Vec<Meaning>,
    /// See [`classify`].
    now: Option<u64>,
    /// First address and class of each run.
    pub v4: Vec<(u32, u16)>,
    /// The same for IPv6.
    pub v6: Vec<(u128, u16)>,
}

/// Compiles a policy for any time.
///
/// # Errors
/// When it does not fit.
pub fn compile(config: &Config, databases: &Databases) -> Result<Compilation, CompileError> {
    classify(config, databases, None)?.build(config)
}

/// Finds out which rules every address meets. `now`, in nanoseconds since the Unix epoch: what comes of it is for that time and
/// later, so that stages which are over cost nothing; `None`: for any time.
///
/// # Errors
/// When there are more classes than 16 bits can number.
pub fn classify(config: &Config, databases: &Databases, now: Option<u64>) -> Result<Classified, TableError> {
    let mut memberships = Memberships::new(config.rules.len());
    let v4 = memberships.runs(&config.rules, &databases.lists);
    let v6 = memberships.runs(&config.rules, &databases.lists);
    let (told_apart, kinds) = (asn_told_apart(config, databases), kinds_told_apart(config));
    let windows: Vec<Window> = config.rules.iter().map(|rule| Window::of(rule, now)).collect();
    let policy = Policy {
        config,
        databases,
        memberships: &memberships,
        told_apart: &told_apart,
        kinds: &kinds,
        windows: &windows,
    };
    // Each family numbers its classes by itself, so that no thread waits for the other.
    let (v4, v6) = std::thread::scope(|scope| {
        let v6 = scope.spawn(|| policy.family::<u128>(v6));
        let v4 = policy.family::<u32>(v4);
        (v4, v6.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let (meanings, [of_v4, of_v6]) = by_frequency([v4.classes, v6.classes])?;
    Ok(Classified { meanings, now, v4: renumber(v4.runs, &of_v4), v6: renumber(v6.runs, &of_v6) })
}

impl Classified {
    /// Builds the tables, and frees beside that the databases that they came from: the thread for IPv4 ends long before the
    /// one for IPv6.
    ///
    /// # Errors
    /// When they do not fit.
    pub fn build_last(self, config: &Config, databases: Databases) -> Result<Compilation, CompileError> {
        std::thread::scope(|scope| {
            scope.spawn(|| drop(databases));
            self.build(config)
        })
    }

    /// Builds the tables.
    ///
    /// # Errors
    /// When they do not fit.
    pub fn build(self, config: &Config) -> Result<Compilation, CompileError> {
        let Self { meanings, now, v4, v6 } = self;
        let mut planner = Planner::new(config, now)?;
        let classes = meanings.iter().map(|(location, chain)| planner.class(*location, chain));
        let classes = classes.collect::<Result<_, _>>()?;
        let leased = meanings.iter().map(|(location, _)| planner.leased(*location)).collect();
        let Planner { steps, services, limits, outcomes, .. } = planner;
        Ok(Compilation {
            compiled: Compiled {
                tables: build(meanings.len(), &v4, &v6)?,
                classes,
                steps,
                services,
                limits,
                leased,
                malformed_passes: config.policy.malformed == Malformed::Pass,
            },
            outcomes,
            intervals: PerFamily { v4: v4.len() as u64, v6: v6.len() as u64 },
        })
    }
}

impl Compilation {
    /// Gives each class, step and lease its slots; once. `in_use` are the outcomes of the generation that runs; `read` reads a counter: see
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
        let give = |number: &mut u32| {
            if let Some(index) = number.checked_sub(1) {
                *number = assigned[index as usize];
            }
        };
        for class in self.compiled.classes.iter_mut().filter(|class| class.verdict != STEPS) {
            give(&mut class.slot);
            if class.verdict == Verdict::Drop as u8 {
                give(&mut class.detail);
            }
        }
        for step in &mut self.compiled.steps {
            [&mut step.slot, &mut step.observed, &mut step.connected, &mut step.otherwise]
                .into_iter()
                .for_each(give);
        }
        for leased in &mut self.compiled.leased {
            [&mut leased.pass, &mut leased.drop].into_iter().for_each(give);
        }
        Ok(())
    }
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

/// For each set of kinds of anonymizer, by its bits: the first that is alike to the policy. Kinds that no rule names make
/// no runs and no classes.
fn kinds_told_apart(config: &Config) -> Vec<Anonymizers> {
    let wanted: BTreeSet<Anonymizers> =
        config.rules.iter().filter_map(|rule| rule.source.anonymous).collect();
    let alike =
        |one: Anonymizers, other| wanted.iter().all(|kinds| kinds.intersects(one) == kinds.intersects(other));
    let first = |kinds| Anonymizers::all().find(|&other| alike(kinds, other)).unwrap_or(kinds);
    Anonymizers::all().map(first).collect()
}

/// What there is to know before any address is looked at.
#[derive(Clone, Copy)]
struct Policy<'a> {
    config: &'a Config,
    databases: &'a Databases,
    memberships: &'a Memberships,
    told_apart: &'a [bool],
    windows: &'a [Window],
    kinds: &'a [Anonymizers],
}

/// One family's runs, with numbers that stand for its own classes.
struct Numbered<K> {
    /// Neighbours differ.
    runs: Vec<(K, u32)>,
    /// Each class, and how many runs have it.
    classes: Vec<(Meaning, usize)>,
}

impl Policy<'_> {
    /// Decides about every address of one family; `membership` are its runs of [`Memberships::runs`].
    fn family<K: Family>(self, membership: Vec<(K, u32)>) -> Numbered<K> {
        let layers = Layers::new(
            self.databases,
            membership,
            |record| self.told_apart[record as usize],
            |kinds| self.kinds[usize::from(kinds.bits())],
        );
        let mut classes = Classes {
            policy: self,
            of_facts: HashMap::new(),
            recent: [None; RECENT],
            numbers: HashMap::new(),
            all: Vec::new(),
        };
        let runs = layers.merged(|facts| classes.class(facts));
        let mut counts = vec![0; classes.all.len()];
        for &(_, class) in &runs {
            counts[class as usize] += 1;
        }
        Numbered { runs, classes: classes.all.into_iter().zip(counts).collect() }
    }
}

/// More than there are countries.
const RECENT: usize = 256;

/// Numbers for what has to be told apart: what happens, and where it is counted.
struct Classes<'a> {
    policy: Policy<'a>,
    of_facts: HashMap<Facts, u32>,
    /// By country record modulo `RECENT`: the facts seen last, and their class. Nearly all runs find theirs here,
    /// which costs a fraction of a hash.
    recent: [Option<(Facts, u32)>; RECENT],
    numbers: HashMap<Meaning, u32>,
    all: Vec<Meaning>,
}

impl Classes<'_> {
    #[inline]
    fn class(&mut self, facts: Facts) -> u32 {
        let place = facts.country as usize % RECENT;
        if let Some((known, class)) = self.recent[place]
            && known == facts
        {
            return class;
        }
        let class = self.remembered(facts);
        self.recent[place] = Some((facts, class));
        class
    }

    #[cold]
    fn remembered(&mut self, facts: Facts) -> u32 {
        if let Some(&class) = self.of_facts.get(&facts) {
            return class;
        }
        let Policy { config, databases, memberships, windows, .. } = self.policy;
        let subject = Subject {
            special: facts.special,
            country: &databases.country.records[facts.country as usize],
            asn: &databases.asn.records[facts.asn as usize],
            anonymous: facts.anonymous,
            membership: memberships.get(facts.membership),
        };
        let meaning = (subject.location(), chain(config, windows, &subject));
        let next = u32::try_from(self.all.len()).expect("fewer classes than runs");
        let class = *self.numbers.entry(meaning.clone()).or_insert(next);
        if class == next {
            self.all.push(meaning);
        }
        self.of_facts.insert(facts, class);
        class
    }
}

/// All classes, those with the most runs first: a part of the table whose classes are all below 256 takes one byte a
/// class. And for each family, which number each of its own classes has among all.
fn by_frequency(families: [Vec<(Meaning, usize)>; 2]) -> Result<(Vec<Meaning>, [Vec<u16>; 2]), TableError> {
    let mut places = HashMap::new();
    let mut all: Vec<(Option<Meaning>, usize)> = Vec::new();
    let of_families = families.map(|classes| {
        let place = |(class, runs): (Meaning, usize)| {
            let place = *places.entry(class.clone()).or_insert(all.len());
            if place == all.len() {
                all.push((Some(class), 0));
            }
            all[place].1 += runs;
            place
        };
        classes.into_iter().map(place).collect::<Vec<usize>>()
    });
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.sort_by_key(|&place| std::cmp::Reverse(all[place].1));
    let mut numbers = vec![0; all.len()];
    for (number, &place) in order.iter().enumerate() {
        numbers[place] =
            u16::try_from(number).map_err(|_| TableError::TooManyClasses { classes: order.len() })?;
    }
    let decisions = order.iter().filter_map(|&place| all[place].0.take()).collect();
    Ok((decisions, of_families.map(|places| places.into_iter().map(|place| numbers[place]).collect())))
}

/// Runs with the numbers that all classes have, in the memory of those with the family's own.
fn renumber<K>(runs: Vec<(K, u32)>, numbers: &[u16]) -> Vec<(K, u16)> {
    runs.into_iter().map(|(start, class)| (start, numbers[class as usize])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        anonymizer::Anonymizer,
        policy::{decide::Rest, tests::config},
    };

    /// A class unlike those of other rules.
    fn meaning(rule: usize) -> Meaning {
        (Location::Unknown, Chain { rules: vec![rule], rest: Rest::Nothing })
    }

    /// Rules of all classes in order, and each family's numbers.
    fn numbered(families: [&[(usize, usize)]; 2]) -> (Vec<usize>, [Vec<u16>; 2]) {
        let families =
            families.map(|classes| classes.iter().map(|&(rule, runs)| (meaning(rule), runs)).collect());
        let (all, of_families) = by_frequency(families).expect("few classes");
        (all.into_iter().map(|(_, chain)| chain.rules[0]).collect(), of_families)
    }

    #[test]
    fn a_class_of_both_families_is_one_and_counts_the_runs_of_both() {
        // Each family by itself has 20 behind its own class; together it has the most.
        let (rules, [v4, v6]) = numbered([&[(10, 4), (20, 3)], &[(30, 5), (20, 3)]]);
        assert_eq!(rules, [20, 30, 10]);
        assert_eq!((v4.as_slice(), v6.as_slice()), ([2, 0].as_slice(), [1, 0].as_slice()));
        assert_eq!(renumber(vec![(0u32, 1), (7, 0), (9, 1)], &v4), [(0, 0), (7, 2), (9, 0)]);
        assert_eq!(renumber(vec![(0u128, 0), (1 << 64, 1)], &v6), [(0, 1), (1 << 64, 0)]);
    }

    #[test]
    fn classes_with_equally_many_runs_stay_in_the_order_in_which_they_were_found() {
        // More than a sort that does not keep order keeps in order anyway.
        let found: Vec<(usize, usize)> = (0..300).map(|rule| (rule, rule * 7 % 3)).collect();
        let mut expected = found.clone();
        expected.sort_by_key(|&(rule, runs)| (std::cmp::Reverse(runs), rule));
        let (rules, _) = numbered([&found[..200], &found[200..]]);
        assert_eq!(rules, expected.iter().map(|class| class.0).collect::<Vec<_>>());
    }

    #[test]
    fn sets_of_kinds_are_told_apart_as_far_as_rules_answer_them_differently() {
        let groups = |rules: &[&str]| {
            let rule = |(number, kinds): (usize, &&str)| {
                format!(
                    "[[rule]]\nname = \"{number}\"\nsource = {{ anonymous = [{kinds}] }}\naction = \"drop\"\n"
                )
            };
            let rules: String = rules.iter().enumerate().map(rule).collect();
            let apart = kinds_told_apart(&config(&format!("geoip.anonymous = \"a\"\n{rules}")));
            assert_eq!(apart.len(), Anonymizers::all().count());
            assert_eq!(apart[0], Anonymizers::NONE);
            assert!(apart.iter().all(|first| apart[usize::from(first.bits())] == *first), "{apart:?}");
            (apart.iter().collect::<BTreeSet<_>>().len(), apart)
        };
        assert_eq!(groups(&[]).0, 1);
        let (count, apart) = groups(&["\"tor\", \"proxy\"", "\"proxy\", \"tor\""]);
        assert_eq!(count, 2);
        for kinds in Anonymizers::all() {
            let named = kinds.contains(Anonymizer::Tor) || kinds.contains(Anonymizer::Proxy);
            assert_eq!(apart[usize::from(kinds.bits())].is_empty(), !named, "{kinds:?}");
        }
        assert_eq!(groups(&["\"any\"", "\"vpn\""]).0, 3);
        assert_eq!(groups(&["\"tor\"", "\"vpn\"", "\"proxy\""]).0, 8);
    }

    #[test]
    fn more_classes_than_16_bits_can_number_are_refused_though_each_family_s_fit() {
        let classes =
            |rules: std::ops::Range<usize>| rules.map(|rule| (meaning(rule), 1)).collect::<Vec<_>>();
        let fits = by_frequency([classes(0..40_000), classes(30_000..1 << 16)]);
        assert_eq!(fits.map(|(all, _)| all.len()), Ok(1 << 16));
        let refused = by_frequency([classes(0..40_000), classes(30_000..(1 << 16) + 1)]);
        assert_eq!(refused, Err(TableError::TooManyClasses { classes: (1 << 16) + 1 }));
    }
}
