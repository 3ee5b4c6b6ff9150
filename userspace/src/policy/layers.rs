//! What is known about an address, in layers, each as runs over the whole family; and all layers merged.

use super::sets::Memberships;
use crate::{
    address::Key,
    config::Config,
    geoip::special::{self, Special},
    policy::Databases,
};

/// What every layer says of one run of addresses, as numbers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Facts {
    /// Special-purpose space, about which no database is asked.
    pub(crate) special: Option<Special>,
    /// Index into the country database's records; 0: nothing known.
    pub(crate) country: u32,
    /// Index into the ASN database's records; 0: nothing known, or nothing that the policy tells apart.
    pub(crate) asn: u32,
    /// Number of the membership.
    pub(crate) membership: u32,
}

/// All layers of one family.
pub(crate) struct Layers<K> {
    special: Vec<(K, u32)>,
    country: Vec<(K, u32)>,
    asn: Vec<(K, u32)>,
    membership: Vec<(K, u32)>,
}

/// A family that has layers: where its runs stand in a database.
pub(crate) trait Family: Key {
    fn database(database: &crate::geoip::Database) -> &[(Self, u32)];
    fn special() -> Vec<(Self, Self, Special)>;
}

impl Family for u32 {
    fn database(database: &crate::geoip::Database) -> &[(Self, u32)] {
        &database.v4
    }

    fn special() -> Vec<(Self, Self, Special)> {
        special::v4()
    }
}

impl Family for u128 {
    fn database(database: &crate::geoip::Database) -> &[(Self, u32)] {
        &database.v6
    }

    fn special() -> Vec<(Self, Self, Special)> {
        special::v6()
    }
}

impl<K: Family> Layers<K> {
    /// The layers of a policy. `known_asn` says which records of the ASN database are told apart.
    pub(crate) fn new(
        config: &Config,
        databases: &Databases,
        memberships: &mut Memberships,
        known_asn: impl Fn(u32) -> bool,
    ) -> Self {
        let mut special = Vec::new();
        let mut next = Some(K::FIRST);
        for (first, last, kind) in K::special() {
            if next.is_some_and(|next| next < first) {
                special.extend(next.map(|next| (next, 0)));
            }
            special.push((first, special_number(kind)));
            next = last.next();
        }
        special.extend(next.map(|next| (next, 0)));
        let mut asn: Vec<(K, u32)> = K::database(&databases.asn)
            .iter()
            .map(|&(start, record)| (start, if known_asn(record) { record } else { 0 }))
            .collect();
        asn.dedup_by_key(|run| run.1);
        Self {
            special,
            country: K::database(&databases.country).to_vec(),
            asn,
            membership: memberships.runs(&config.rules),
        }
    }

    /// All layers as one: runs whose facts differ from those of the run before.
    pub(crate) fn merged(&self) -> Vec<(K, Facts)> {
        let layers = [&self.special, &self.country, &self.asn, &self.membership];
        let mut at = [0; 4];
        let mut runs: Vec<(K, Facts)> = Vec::with_capacity(self.country.len());
        let mut start = K::FIRST;
        loop {
            let facts = facts(std::array::from_fn(|layer| layers[layer][at[layer]].1));
            if runs.last().is_none_or(|last| last.1 != facts) {
                runs.push((start, facts));
            }
            let ahead = |layer: usize| layers[layer].get(at[layer] + 1).map(|run| run.0);
            let Some(next) = (0..4).filter_map(ahead).min() else { return runs };
            for layer in 0..4 {
                at[layer] += usize::from(layers[layer].get(at[layer] + 1).is_some_and(|run| run.0 == next));
            }
            start = next;
        }
    }

    /// The facts of one address, and the first and last address of the run around it.
    pub(crate) fn at(&self, address: K) -> (Facts, K, K) {
        let (mut first, mut last) = (K::FIRST, K::LAST);
        let numbers = [&self.special, &self.country, &self.asn, &self.membership].map(|layer| {
            let after = layer.partition_point(|run| run.0 <= address);
            first = first.max(layer[after - 1].0);
            if let Some(next) = layer.get(after) {
                last = last.min(next.0.before());
            }
            layer[after - 1].1
        });
        (facts(numbers), first, last)
    }
}

/// A layer's number for special-purpose space; 0 stands for none.
const fn special_number(kind: Special) -> u32 {
    match kind {
        Special::Local => 1,
        Special::Unknown => 2,
    }
}

/// The facts that the layers' numbers stand for. Where space is special, no database speaks.
const fn facts([special, country, asn, membership]: [u32; 4]) -> Facts {
    match special {
        1 => Facts { special: Some(Special::Local), country: 0, asn: 0, membership },
        2 => Facts { special: Some(Special::Unknown), country: 0, asn: 0, membership },
        _ => Facts { special: None, country, asn, membership },
    }
}
