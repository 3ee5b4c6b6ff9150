//! Which counter in the kernel counts what.
//!
//! A slot stands for an *outcome*: a location, a verdict, the rule or lease that gave it, and the rules that only observed. So
//! the kernel counts each packet once, and every metric is a sum over slots. Slots outlive generations and rules are
//! known by name, so a reload neither loses nor resets a count.

mod kept;

use std::collections::HashMap;

use octroi_abi::{Counter, Verdict, slot};

use super::decide::Location;

/// What one pair of slots (IPv4, IPv6) counts.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Outcome {
    /// Where the sources are.
    pub location: Location,
    /// What happened; `None`: nothing yet, the packet was only observed, and is counted once more as what became of it.
    pub verdict: Option<Verdict>,
    /// The rule that decided, by name; `None`: the default, `policy.local`, or a lease.
    pub rule: Option<String>,
    /// The rules that only observed, with what they would have done.
    pub observed: Vec<(String, Verdict)>,
    /// A lease decided, before any rule.
    pub lease: bool,
}

impl Outcome {
    /// What a lease with that verdict makes of a source at that location.
    #[must_use]
    pub const fn of_lease(location: Location, verdict: Verdict) -> Self {
        Self { location, verdict: Some(verdict), rule: None, observed: Vec::new(), lease: true }
    }
}

/// Which outcome is counted where.
#[derive(Clone, Debug)]
pub struct Slots {
    numbers: HashMap<Outcome, u32>,
    /// By pair: slot `FIRST_CLASS + 2n` and the one after it.
    pairs: Vec<Pair>,
    /// Counts of outcomes that gave their slots away.
    retired: HashMap<Outcome, [Counter; 2]>,
}

#[derive(Clone, Debug)]
struct Pair {
    outcome: Outcome,
    /// What the counters stood at when this outcome got them.
    base: [Counter; 2],
}

/// The slots there are do not suffice.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "the policy tells {needed} outcomes apart (country, deciding rule, observing rules), and there are counters for \
     {available}: bring prefixes together in one rule, and use fewer rules that only observe, or over many countries"
)]
pub struct TooManyOutcomes {
    needed: usize,
    available: usize,
}

/// How many outcomes can be counted.
const PAIRS: usize = ((slot::COUNT - slot::FIRST_CLASS) / 2) as usize;

impl Default for Slots {
    fn default() -> Self {
        Self::new()
    }
}

impl Slots {
    /// No outcome has a slot yet.
    #[must_use]
    pub fn new() -> Self {
        Self { numbers: HashMap::new(), pairs: Vec::new(), retired: HashMap::new() }
    }

    /// The slots of these outcomes, in their order: those that have one keep it.
    ///
    /// `in_use` are the outcomes of the generation that runs; only when slots run out, those of neither are given
    /// away, and `read` tells what a slot counted until then.
    ///
    /// # Errors
    /// When both generations together need more slots than there are.
    pub fn assign(
        &mut self,
        wanted: &[Outcome],
        in_use: &[Outcome],
        read: impl Fn(u32) -> Counter,
    ) -> Result<Vec<u32>, TooManyOutcomes> {
        let missing = wanted.iter().filter(|outcome| !self.numbers.contains_key(outcome)).count();
        let free = if self.pairs.len() + missing > PAIRS {
            self.give_away(wanted, in_use, &read)
        } else {
            Vec::new()
        };
        if self.pairs.len() + missing > PAIRS + free.len() {
            return Err(TooManyOutcomes {
                needed: self.pairs.len() - free.len() + missing,
                available: PAIRS,
            });
        }
        let mut free = free.into_iter();
        let slots = wanted.iter().map(|outcome| {
            if let Some(&slot) = self.numbers.get(outcome) {
                return slot;
            }
            let slot = if let Some(slot) = free.next() {
                let base = [read(slot), read(slot + 1)];
                self.pairs[pair_of(slot)] = Pair { outcome: outcome.clone(), base };
                slot
            } else {
                let slot = first_of(self.pairs.len());
                self.pairs.push(Pair { outcome: outcome.clone(), base: [Counter::default(); 2] });
                slot
            };
            self.numbers.insert(outcome.clone(), slot);
            slot
        });
        Ok(slots.collect())
    }

    /// Keeps the counts of outcomes that neither generation has, and frees their slots.
    fn give_away(
        &mut self,
        wanted: &[Outcome],
        in_use: &[Outcome],
        read: impl Fn(u32) -> Counter,
    ) -> Vec<u32> {
        let keep: std::collections::HashSet<&Outcome> = wanted.iter().chain(in_use).collect();
        let mut free = Vec::new();
        for (index, pair) in self.pairs.iter().enumerate().filter(|(_, pair)| !keep.contains(&pair.outcome)) {
            let first = first_of(index);
            // A slot that was given away before and found no new owner is still listed under its old outcome.
            if self.numbers.remove(&pair.outcome).is_some() {
                let total = self.retired.entry(pair.outcome.clone()).or_default();
                for (total, count) in total.iter_mut().zip(counts(first, pair, &read)) {
                    add(total, count);
                }
            }
            free.push(first);
        }
        free
    }

    /// Every outcome with its counts by family (IPv4, IPv6); an outcome may come more than once.
    pub fn totals<'a>(
        &'a self,
        read: impl Fn(u32) -> Counter + 'a,
    ) -> impl Iterator<Item = (&'a Outcome, [Counter; 2])> + 'a {
        let live = self.pairs.iter().enumerate().filter_map(move |(index, pair)| {
            let first = first_of(index);
            let owned = self.numbers.get(&pair.outcome) == Some(&first);
            owned.then(|| (&pair.outcome, counts(first, pair, &read)))
        });
        live.chain(self.retired.iter().map(|(outcome, counts)| (outcome, *counts)))
    }

    /// The first slot that counts nothing yet.
    #[must_use]
    pub fn end(&self) -> u32 {
        first_of(self.pairs.len())
    }

    /// The outcome that a slot counts.
    #[must_use]
    pub fn outcome(&self, slot: u32) -> Option<&Outcome> {
        if slot < slot::FIRST_CLASS { None } else { self.pairs.get(pair_of(slot)).map(|pair| &pair.outcome) }
    }
}

/// IPv4's slot of the pair with that index.
fn first_of(index: usize) -> u32 {
    slot::FIRST_CLASS + 2 * u32::try_from(index).expect("at most PAIRS")
}

const fn pair_of(slot: u32) -> usize {
    ((slot - slot::FIRST_CLASS) / 2) as usize
}

/// What the outcome counted since it got its slots, by family.
fn counts(first: u32, pair: &Pair, read: impl Fn(u32) -> Counter) -> [Counter; 2] {
    [since(read(first), pair.base[0]), since(read(first + 1), pair.base[1])]
}

const fn since(now: Counter, base: Counter) -> Counter {
    Counter { packets: now.packets.wrapping_sub(base.packets), bytes: now.bytes.wrapping_sub(base.bytes) }
}

const fn add(total: &mut Counter, more: Counter) {
    total.packets += more.packets;
    total.bytes += more.bytes;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(rule: usize) -> Outcome {
        Outcome {
            location: Location::Unknown,
            verdict: Some(Verdict::Drop),
            rule: Some(format!("rule {rule}")),
            observed: Vec::new(),
            lease: false,
        }
    }

    #[test]
    fn an_outcome_keeps_its_slot_over_generations() {
        let mut slots = Slots::new();
        let none = |_| Counter::default();
        let first = slots.assign(&[outcome(1), outcome(2)], &[], none).expect("fits");
        let second = slots.assign(&[outcome(2), outcome(3)], &[outcome(1), outcome(2)], none).expect("fits");
        assert_eq!(first[1], second[0]);
        assert_eq!(slots.outcome(second[1] + 1), Some(&outcome(3)));
    }

    #[test]
    fn counts_survive_when_slots_run_out_and_are_given_to_others() {
        let mut slots = Slots::new();
        let mut kernel = vec![0u64; slot::COUNT as usize];
        let mut running: Vec<Outcome> = Vec::new();
        for generation in 0..40 {
            let wanted: Vec<Outcome> = (0..1000).map(|rule| outcome(generation * 1000 + rule)).collect();
            let read = |slot: u32| Counter { packets: kernel[slot as usize], bytes: 0 };
            let assigned = slots.assign(&wanted, &running, read).expect("fits");
            for slot in assigned {
                kernel[slot as usize] += 3;
            }
            running = wanted;
        }
        let back = slots
            .assign(&[outcome(5)], &running, |slot| Counter { packets: kernel[slot as usize], bytes: 0 })
            .expect("fits");
        kernel[back[0] as usize] += 4;
        let mut totals: HashMap<Outcome, u64> = HashMap::new();
        let read = |slot: u32| Counter { packets: kernel[slot as usize], bytes: 0 };
        for (outcome, counts) in slots.totals(read) {
            *totals.entry(outcome.clone()).or_default() += counts[0].packets;
        }
        assert_eq!(totals.remove(&outcome(5)), Some(7), "three before it was retired, four after");
        assert!((0..40_000).all(|rule| rule == 5 || totals.remove(&outcome(rule)) == Some(3)));
        assert!(totals.is_empty(), "{totals:?}");
    }

    #[test]
    fn more_outcomes_than_slots_are_refused() {
        let wanted: Vec<Outcome> = (0..=PAIRS).map(outcome).collect();
        let error = Slots::new().assign(&wanted, &[], |_| Counter::default()).expect_err("one too many");
        assert_eq!(error, TooManyOutcomes { needed: PAIRS + 1, available: PAIRS });
    }
}
