//! What is known about an address, in layers, each as runs over the whole family; and all layers merged.

use crate::{
    address::Key,
    anonymizer::Anonymizers,
    geoip::{
        Database, List,
        special::{self, Special},
    },
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
    /// Kinds of anonymizer, as far as the policy tells them apart.
    pub(crate) anonymous: Anonymizers,
    /// Number of the membership.
    pub(crate) membership: u32,
}

/// All layers of one family.
pub(crate) struct Layers<'a, K> {
    special: Vec<(K, u32)>,
    country: &'a [(K, u32)],
    asn: Vec<(K, u32)>,
    anonymous: Vec<(K, u32)>,
    membership: Vec<(K, u32)>,
}

/// A family that has layers: where its runs stand in a database, and its ranges in a list.
pub(crate) trait Family: Key {
    fn database(database: &Database) -> &[(Self, u32)];
    fn list(list: &List) -> &[(Self, Self)];
    fn special() -> Vec<(Self, Self, Special)>;
}

impl Family for u32 {
    fn database(database: &Database) -> &[(Self, u32)] {
        &database.v4
    }

    fn list(list: &List) -> &[(Self, Self)] {
        &list.v4
    }

    fn special() -> Vec<(Self, Self, Special)> {
        special::v4()
    }
}

impl Family for u128 {
    fn database(database: &Database) -> &[(Self, u32)] {
        &database.v6
    }

    fn list(list: &List) -> &[(Self, Self)] {
        &list.v6
    }

    fn special() -> Vec<(Self, Self, Special)> {
        special::v6()
    }
}

impl<'a, K: Family> Layers<'a, K> {
    /// The layers of a policy. `known_asn` says which records of the ASN database are told apart; `kinds`, which set of
    /// kinds of anonymizer stands for all that are alike; `membership` are runs of [`super::sets::Memberships::runs`].
    pub(crate) fn new(
        databases: &'a Databases,
        membership: Vec<(K, u32)>,
        known_asn: impl Fn(u32) -> bool,
        kinds: impl Fn(Anonymizers) -> Anonymizers,
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
        let asn = told_apart(&databases.asn, |record| if known_asn(record) { record } else { 0 });
        let anonymous = match &databases.anonymous {
            None => vec![(K::FIRST, 0)],
            Some(database) => told_apart(database, |record| {
                kinds(database.records[record as usize].anonymous).bits().into()
            }),
        };
        Self { special, country: K::database(&databases.country), asn, anonymous, membership }
    }

    /// All layers as one: runs of what `value` says of their facts, neighbours of one value merged.
    pub(crate) fn merged<V: Copy + PartialEq>(&self, mut value: impl FnMut(Facts) -> V) -> Vec<(K, V)> {
        let mut others: [&[(K, u32)]; 4] = [&self.special, &self.asn, &self.anonymous, &self.membership];
        let mut country = self.country;
        let mut runs: Vec<(K, V)> = Vec::with_capacity(country.len());
        let mut start = K::FIRST;
        loop {
            let [special, asn, anonymous, membership] = others.map(|layer| layer[0].1);
            let until = others.iter().filter_map(|layer| layer.get(1)).map(|run| run.0).min();
            // Most runs are the country database's: those before the next one of another layer go in one sweep.
            loop {
                let value = value(facts([special, country[0].1, asn, anonymous, membership]));
                if runs.last().is_none_or(|last| last.1 != value) {
                    runs.push((start, value));
                }
                match country.get(1) {
                    Some(&(next, _)) if until.is_none_or(|until| next < until) => start = next,
                    _ => break,
                }
                country = &country[1..];
            }
            let Some(next) = until else { return runs };
            for layer in others.iter_mut().chain([&mut country]) {
                if layer.get(1).is_some_and(|run| run.0 == next) {
                    *layer = &layer[1..];
                }
            }
            start = next;
        }
    }

    /// The facts of one address, and the first and last address of the run around it.
    pub(crate) fn at(&self, address: K) -> (Facts, K, K) {
        let (mut first, mut last) = (K::FIRST, K::LAST);
        let layers = [&self.special, self.country, &self.asn, &self.anonymous, &self.membership];
        let numbers = layers.map(|layer| {
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
const fn facts([special, country, asn, anonymous, membership]: [u32; 5]) -> Facts {
    let special = match special {
        1 => Special::Local,
        2 => Special::Unknown,
        _ => {
            let anonymous = Anonymizers::from_bits((anonymous & 0xff) as u8);
            return Facts { special: None, country, asn, anonymous, membership };
        }
    };
    Facts { special: Some(special), country: 0, asn: 0, anonymous: Anonymizers::NONE, membership }
}

/// A database's runs with the numbers that stand for their records; neighbours of one number are one run.
fn told_apart<K: Family>(database: &Database, number: impl Fn(u32) -> u32) -> Vec<(K, u32)> {
    let mut runs: Vec<(K, u32)> = Vec::new();
    for &(start, record) in K::database(database) {
        let number = number(record);
        if runs.last().is_none_or(|last| last.1 != number) {
            runs.push((start, number));
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::{collection, option, prelude::*, sample};

    use super::*;

    /// Few places, so that starts of several layers coincide: eight at each end of a family, addresses side by side.
    fn place<K: Family>(number: u8) -> K {
        let end = |steps| (0..steps).fold(K::LAST, |address: K, _| address.before());
        let begin = |steps| (0..steps).fold(K::FIRST, |address: K, _| address.next().expect("not the last"));
        if number < 8 { begin(number) } else { end(15 - number) }
    }

    /// Any runs; neighbours may be equal. Where one layer has few and another many, runs lie across several of the other.
    fn layer() -> impl Strategy<Value = Vec<(u8, u32)>> {
        let rest = sample::select(vec![0.05, 0.2, 0.5, 0.95])
            .prop_flat_map(|often| collection::vec(option::weighted(often, 0u32..3), 15));
        (0u32..3, rest).prop_map(|(first, rest)| {
            let rest = (1..).zip(rest).filter_map(|(start, number)| Some((start, number?)));
            std::iter::once((0, first)).chain(rest).collect()
        })
    }

    /// Layers over one family against `at`, with what `value` tells apart.
    fn merge_as_at<K: Family, V: Copy + PartialEq + std::fmt::Debug>(
        numbers: &[Vec<(u8, u32)>; 5],
        value: impl Fn(Facts) -> V,
    ) {
        let [special, country, asn, anonymous, membership] = numbers.each_ref().map(|layer| {
            layer.iter().map(|&(start, number)| (place::<K>(start), number)).collect::<Vec<_>>()
        });
        let starts: BTreeSet<K> = [&special, &country, &asn, &anonymous, &membership]
            .into_iter()
            .flatten()
            .map(|run| run.0)
            .collect();
        let layers = Layers { special, country: &country, asn, anonymous, membership };
        let merged = layers.merged(&value);
        assert_eq!(merged[0].0, K::FIRST);
        assert!(merged.is_sorted_by(|one, next| one.0 < next.0 && one.1 != next.1), "{merged:?}");
        let before = starts.iter().filter(|&&start| start != K::FIRST).map(|start| start.before());
        for address in before.chain(starts.iter().copied()).chain([K::LAST]) {
            let run = merged.partition_point(|run| run.0 <= address) - 1;
            let (facts, first, last) = layers.at(address);
            assert_eq!(merged[run].1, value(facts), "{address:?}");
            // What `at` calls a run is nowhere divided, and its ends are some layer's.
            assert!(merged[run].0 <= first && merged.get(run + 1).is_none_or(|next| last < next.0));
            assert!(starts.contains(&first) && last.next().is_none_or(|next| starts.contains(&next)));
        }
    }

    proptest! {
        #[test]
        fn merged_layers_say_of_every_address_what_the_layers_say(
            numbers in [layer(), layer(), layer(), layer(), layer()],
        ) {
            merge_as_at::<u32, _>(&numbers, |facts| facts);
            merge_as_at::<u128, _>(&numbers, |facts| facts);
            // Most of the starts are none any more.
            merge_as_at::<u32, _>(&numbers, |facts| facts.country == facts.membership);
            merge_as_at::<u128, _>(&numbers, |facts| facts.asn == 1);
            merge_as_at::<u32, _>(&numbers, |facts| facts.anonymous.is_empty());
        }
    }
}
