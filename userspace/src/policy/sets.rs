//! The prefixes that rules name, as ranges, and which of them an address is in.

use std::collections::HashMap;

use ipnetwork::IpNetwork;

use crate::{address::Key, config::Rule};

/// Which sets an address is in: bit n stands for set n. A rule's `cidr` is set 2r, its `not_cidr` set 2r + 1.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Membership(Box<[u64]>);

impl Membership {
    /// Of an address that is in no set.
    pub(crate) fn none(rules: usize) -> Self {
        Self(vec![0; (2 * rules).div_ceil(64)].into())
    }

    /// Whether the address is in that set.
    pub(crate) fn contains(&self, set: usize) -> bool {
        self.0[set / 64] >> (set % 64) & 1 == 1
    }

    fn toggle(&mut self, set: usize) {
        self.0[set / 64] ^= 1 << (set % 64);
    }
}

/// The distinct memberships that occur; number 0 is "in no set".
#[derive(Debug)]
pub(crate) struct Memberships {
    rules: usize,
    all: Vec<Membership>,
    numbers: HashMap<Membership, u32>,
}

impl Memberships {
    pub(crate) fn new(rules: usize) -> Self {
        let none = Membership::none(rules);
        Self { rules, all: vec![none.clone()], numbers: HashMap::from([(none, 0)]) }
    }

    pub(crate) fn get(&self, number: u32) -> &Membership {
        &self.all[number as usize]
    }

    fn number(&mut self, membership: &Membership) -> u32 {
        if let Some(&number) = self.numbers.get(membership) {
            return number;
        }
        let number = u32::try_from(self.all.len()).expect("fewer memberships than prefixes");
        self.all.push(membership.clone());
        self.numbers.insert(membership.clone(), number);
        number
    }

    /// Runs of equal membership over the whole family: `(first address, number)`, the first at 0.
    pub(crate) fn runs<K: Key>(&mut self, rules: &[Rule]) -> Vec<(K, u32)> {
        let mut changes: Vec<(K, usize)> = Vec::new();
        for (index, rule) in rules.iter().enumerate() {
            for (offset, networks) in [&rule.source.cidr, &rule.source.not_cidr].into_iter().enumerate() {
                for (first, last) in disjoint::<K>(networks.as_deref().unwrap_or_default()) {
                    changes.push((first, 2 * index + offset));
                    changes.extend(last.next().map(|after| (after, 2 * index + offset)));
                }
            }
        }
        changes.sort_unstable();
        let mut current = Membership::none(self.rules);
        let mut runs = vec![(K::FIRST, 0)];
        for change in changes.chunk_by(|a, b| a.0 == b.0) {
            for &(_, set) in change {
                current.toggle(set);
            }
            let number = self.number(&current);
            match runs.last_mut() {
                Some(last) if last.0 == change[0].0 => last.1 = number,
                Some(last) if last.1 == number => {}
                _ => runs.push((change[0].0, number)),
            }
        }
        runs
    }
}

/// Networks of one family as disjoint ranges that do not touch, ascending.
fn disjoint<K: Key>(networks: &[IpNetwork]) -> Vec<(K, K)> {
    let mut ranges: Vec<(K, K)> = networks.iter().filter_map(K::range).collect();
    ranges.sort_unstable();
    let mut merged: Vec<(K, K)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match merged.last_mut() {
            Some(previous) if previous.1.next().is_none_or(|after| first <= after) => {
                previous.1 = previous.1.max(last);
            }
            _ => merged.push((first, last)),
        }
    }
    merged
}
