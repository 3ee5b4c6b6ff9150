//! Which rules' sources match, whatever else a rule asks for: what lints ask about a policy.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::{
    decide::{mismatch, skips_rules},
    explain::Explainer,
    layers::Facts,
};
use crate::address::Key;

/// Rules whose sources match some address, all of them: indices, ascending.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Together {
    pub(crate) rules: Vec<usize>,
    /// Whether no rule is asked there: the source is local, and local sources pass.
    pub(crate) skipped: bool,
}

/// Addresses of one family.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Extent {
    /// How many; of all there are of IPv6, one less.
    pub(crate) count: u128,
    /// First and last of the most that stand side by side.
    pub(crate) most: Option<(IpAddr, IpAddr)>,
    /// How many those are.
    side_by_side: u128,
}

impl Extent {
    fn add_range(&mut self, first: impl Into<IpAddr>, last: impl Into<IpAddr>, count: u128) {
        self.add(Self { count, most: Some((first.into(), last.into())), side_by_side: count });
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.count = self.count.saturating_add(other.count);
        if other.side_by_side > self.side_by_side {
            (self.most, self.side_by_side) = (other.most, other.side_by_side);
        }
    }
}

impl Explainer<'_> {
    /// The rules whose sources match an address: what tests compare with.
    #[cfg(test)]
    pub(crate) fn matching(&self, address: std::net::IpAddr) -> Together {
        self.together_at(&self.facts(address).0)
    }

    /// Each set of rules whose sources match some address together, and those addresses, IPv4's and IPv6's. An address that no
    /// rule matches is in none of them.
    pub(crate) fn together(&self) -> BTreeMap<Together, [Extent; 2]> {
        let named: HashSet<u32> = self
            .config
            .rules
            .iter()
            .flat_map(|rule| [&rule.source.asn, &rule.source.not_asn])
            .flatten()
            .flatten()
            .copied()
            .collect();
        let (mut seen, mut numbers) = (HashMap::new(), BTreeMap::new());
        let mut look = |facts: Facts| {
            // Nearly all autonomous systems are alike to the rules.
            let asn = self.subject(&facts).asn().filter(|asn| named.contains(asn));
            let key = (facts.special, facts.country, asn, facts.anonymous, facts.membership);
            *seen.entry(key).or_insert_with(|| {
                let next = numbers.len();
                *numbers.entry(self.together_at(&facts)).or_insert(next)
            })
        };
        let (v4, v6) = (self.v4.merged(&mut look), self.v6.merged(&mut look));
        let mut extents = vec![[Extent::default(); 2]; numbers.len()];
        for (first, last, number) in ranges(&v4) {
            let count = u128::from(last - first) + 1;
            extents[number][0].add_range(Ipv4Addr::from(first), Ipv4Addr::from(last), count);
        }
        for (first, last, number) in ranges(&v6) {
            let count = (last - first).saturating_add(1);
            extents[number][1].add_range(Ipv6Addr::from(first), Ipv6Addr::from(last), count);
        }
        let found = numbers.into_iter().filter(|(together, _)| !together.rules.is_empty());
        found.map(|(together, number)| (together, extents[number])).collect()
    }

    fn together_at(&self, facts: &Facts) -> Together {
        let subject = self.subject(facts);
        let rules = self.config.rules.iter().enumerate();
        let matching = rules.filter(|&(index, rule)| mismatch(index, rule, &subject).is_none());
        Together {
            rules: matching.map(|(index, _)| index).collect(),
            skipped: skips_rules(self.config, &subject),
        }
    }
}

/// First and last address of each run.
fn ranges<K: Key>(runs: &[(K, usize)]) -> impl Iterator<Item = (K, K, usize)> {
    runs.iter().enumerate().map(|(at, &(first, number))| {
        (first, runs.get(at + 1).map_or(K::LAST, |next| next.0.before()), number)
    })
}
