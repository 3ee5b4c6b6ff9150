//! How much of the address space a database says something about.
//!
//! IPv4 is counted in addresses, IPv6 in /64s, the smallest networks that are given to anybody: those that begin in a run.
//! Space that no database decides (`special`) does not count, whatever a file says of it: in one published file,
//! multicast alone would outweigh every country. Of IPv6, neither does what nobody announces, as far as that is known:
//! another file places nearly all that was never given out in some country, a thousand times what is used. So counted,
//! publishers agree within some percent.

use super::{
    Database, PerFamily,
    special::{self, Special},
};
use crate::address::Key;

/// A family whose networks can be counted.
pub(crate) trait Countable: Key {
    /// How many addresses, or /64s, begin in `first..=last`.
    fn count(first: Self, last: Self) -> u64;
    /// The ranges that databases decide about, ascending.
    fn decided() -> Vec<(Self, Self)>;
}

impl Countable for u32 {
    fn count(first: Self, last: Self) -> u64 {
        u64::from(last - first) + 1
    }

    fn decided() -> Vec<(Self, Self)> {
        between(special::v4())
    }
}

impl Countable for u128 {
    fn count(first: Self, last: Self) -> u64 {
        let up_to = |address: Self| (address >> 64) + u128::from(address << 64 != 0);
        let end = last.checked_add(1).map_or(1 << 64, up_to);
        u64::try_from(end - up_to(first)).unwrap_or(u64::MAX)
    }

    fn decided() -> Vec<(Self, Self)> {
        between(special::v6())
    }
}

/// What lies between special ranges.
fn between<K: Key>(special: Vec<(K, K, Special)>) -> Vec<(K, K)> {
    let mut ranges = Vec::new();
    let mut next = Some(K::FIRST);
    for (first, last, _) in special {
        ranges.extend(next.filter(|&next| next < first).map(|next| (next, first.before())));
        next = last.next();
    }
    ranges.extend(next.map(|next| (next, K::LAST)));
    ranges
}

/// What is counted of a database.
#[derive(Debug)]
pub struct Counted {
    pub(crate) v4: Vec<(u32, u32)>,
    pub(crate) v6: Vec<(u128, u128)>,
    /// Whether IPv6 counts only where somebody announces it.
    pub announced: bool,
}

impl Counted {
    /// All that databases decide about; of IPv6, what that database of autonomous systems knows an announcement of, unless it
    /// knows too few to be a table of the whole Internet.
    #[must_use]
    pub fn new(asn: &Database) -> Self {
        // A sixteenth of what is announced in 2026.
        const WHOLE: u64 = 1 << 46;
        let decided = u128::decided();
        let (mut v6, mut at) = (Vec::new(), 0);
        for (index, &(start, record)) in asn.v6.iter().enumerate() {
            if asn.records[record as usize].asn.is_none() {
                continue;
            }
            let end = asn.v6.get(index + 1).map_or(u128::MAX, |next| next.0 - 1);
            while decided.get(at).is_some_and(|range| range.1 < start) {
                at += 1;
            }
            let within = decided[at..].iter().take_while(|range| range.0 <= end);
            v6.extend(within.map(|range| (start.max(range.0), end.min(range.1))));
        }
        let announced = v6.iter().map(|&(first, last)| u128::count(first, last)).sum::<u64>() >= WHOLE;
        Self { v4: u32::decided(), v6: if announced { v6 } else { decided }, announced }
    }

    /// How much each record of a database counts, in their order.
    #[must_use]
    pub fn by_record(&self, database: &Database) -> Vec<PerFamily<u64>> {
        let mut counts = vec![PerFamily::<u64>::default(); database.records.len()];
        count(&database.v4, &self.v4, |record, more| counts[record as usize].v4 += more);
        count(&database.v6, &self.v6, |record, more| counts[record as usize].v6 += more);
        counts
    }
}

/// Counts what lies in each run, as far as it lies in one of the ranges, which ascend.
fn count<K: Countable>(runs: &[(K, u32)], ranges: &[(K, K)], mut add: impl FnMut(u32, u64)) {
    let mut at = 0;
    for &(first, last) in ranges {
        let mut start = first;
        loop {
            let next = runs.get(at + 1).map(|run| run.0);
            match next {
                Some(next) if next <= start => at += 1,
                Some(next) if next <= last => {
                    add(runs[at].1, K::count(start, next.before()));
                    start = next;
                    at += 1;
                }
                _ => break add(runs[at].1, K::count(start, last)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection, prelude::*};

    use super::*;
    use crate::geoip::{Kind, Origin, Record};

    #[test]
    fn ipv6_is_counted_by_the_64s_that_begin() {
        let at = |high: u128, low: u128| high << 64 | low;
        assert_eq!(u128::count(at(5, 0), at(5, u64::MAX.into())), 1);
        assert_eq!(u128::count(at(5, 1), at(5, u64::MAX.into())), 0);
        assert_eq!(u128::count(at(5, 1), at(6, 0)), 1);
        assert_eq!(u128::count(at(5, 0), at(8, 7)), 4);
        assert_eq!(u128::count(0, u128::MAX), u64::MAX);
        assert_eq!(u128::count(at(u64::MAX.into(), 0), u128::MAX), 1);
        assert_eq!(u32::count(0, u32::MAX), 1 << 32);
    }

    #[test]
    fn what_databases_decide_about_and_special_space_are_all_there_is() {
        fn cover<K: Countable>(special: Vec<(K, K, Special)>) {
            let special = special.into_iter().map(|(first, last, _)| (first, last));
            let mut all: Vec<(K, K)> = K::decided().into_iter().chain(special).collect();
            all.sort_unstable_by_key(|range| range.0);
            assert_eq!((all[0].0, all[all.len() - 1].1), (K::FIRST, K::LAST));
            assert!(all.windows(2).all(|pair| pair[0].1.next() == Some(pair[1].0)), "{all:?}");
        }
        cover::<u32>(special::v4());
        cover::<u128>(special::v6());
    }

    fn database(kind: Kind, v4: Vec<(u32, u32)>, v6: Vec<(u128, u32)>) -> Database {
        let asn = |asn| Record { asn: Some(asn), ..Record::default() };
        Database {
            kind,
            origin: Origin::Embedded,
            database_type: "test".into(),
            built: 0,
            networks: PerFamily::default(),
            records: vec![Record::default(), asn(1), asn(2)],
            v4,
            v6,
            notes: Vec::new(),
        }
    }

    #[test]
    fn special_space_does_not_count_and_all_else_does_once() {
        let few = database(Kind::Asn, vec![(0, 0)], vec![(0, 0), (0x2400 << 112, 1), (0x2400_0001 << 96, 0)]);
        let counted = Counted::new(&few);
        assert!(!counted.announced);
        // 10.0.0.0/7 is half private.
        let v4 = vec![(0, 0), (0x0900_0000, 1), (0x0a00_0000, 2), (0x0c00_0000, 0)];
        let v6 =
            vec![(0, 2), (0x2010 << 112, 0), (0x2400 << 112, 1), (0x2400_1000 << 96, 0), (0xff00 << 112, 2)];
        let counts = counted.by_record(&database(Kind::Country, v4, v6));
        assert_eq!((counts[1].v4, counts[2].v4), (1 << 24, 1 << 24));
        let all: u64 = counts.iter().map(|count| count.v4).sum();
        let special: u64 = special::v4().iter().map(|&(first, last, _)| u32::count(first, last)).sum();
        assert_eq!(all + special, 1 << 32);
        assert_eq!(counts[1].v6, 0x1000 << 32);
        let special = u128::count(0x2001 << 112, (0x2001_0200 << 96) - 1)
            + u128::count(0x2001_0db8 << 96, (0x2001_0db9 << 96) - 1)
            + u128::count(0x2002 << 112, (0x2003 << 112) - 1);
        let allotted = (0x10 << 48) - special;
        // Networks of the registry that are globally reachable inside special ones.
        assert!((allotted..allotted + (1 << 38)).contains(&counts[2].v6), "{counts:?}");
    }

    #[test]
    fn of_ipv6_only_what_is_announced_counts_where_that_is_known() {
        let asn = database(
            Kind::Asn,
            vec![(0, 0)],
            vec![(0, 1), (0x2400 << 112, 0), (0x2a00 << 112, 2), (0x2a01 << 112, 1), (0x2a02 << 112, 0)],
        );
        let counted = Counted::new(&asn);
        assert!(counted.announced);
        let v6 = vec![(0, 0), (0x2000 << 112, 1), (0x2a01 << 112, 2), (0x3000 << 112, 1), (0x4000 << 112, 0)];
        let counts = counted.by_record(&database(Kind::Country, vec![(0, 0)], v6));
        assert_eq!(counts[2].v6, 1 << 48);
        let known: u64 = counts.iter().map(|count| count.v6).sum();
        assert!(counts[1].v6 < 0x402 << 48 && counts[1].v6 > 0x3f0 << 48 && counts[0].v6 == 0, "{counts:?}");
        assert!(known < 1 << 60, "3000::/4 is nobody's: {counts:?}");
    }

    proptest! {
        #[test]
        fn counting_is_as_looking_at_each_address(
            starts in collection::btree_map(1u32..60, 0u32..3, 0..12),
            edges in collection::btree_set(0u32..60, 0..10),
        ) {
            let runs: Vec<(u32, u32)> = std::iter::once((0, 0)).chain(starts).collect();
            let edges: Vec<u32> = edges.into_iter().collect();
            let ranges: Vec<(u32, u32)> = edges.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
            let (mut found, mut naive) = ([0; 3], [0; 3]);
            count(&runs, &ranges, |record, more| found[record as usize] += more);
            for address in ranges.iter().flat_map(|&(first, last)| first..=last) {
                naive[runs[runs.partition_point(|run| run.0 <= address) - 1].1 as usize] += 1;
            }
            prop_assert_eq!(found, naive);
        }
    }
}
