//! Addresses of one family as numbers, and whole families as runs.

use std::{cmp::Reverse, collections::BinaryHeap};

/// An address as a number: `u32` for IPv4, `u128` for IPv6, most significant bit first.
pub trait Key: Copy + Ord + std::hash::Hash + std::fmt::Debug {
    /// The first address.
    const FIRST: Self;
    /// The last address.
    const LAST: Self;
    /// The address after this one; `None` after the last.
    fn next(self) -> Option<Self>;
    /// The address before this one, which is not the first.
    fn before(self) -> Self;
    /// First and last address of a network; `None` for a network of the other family.
    fn range(network: &ipnetwork::IpNetwork) -> Option<(Self, Self)>;
    /// How far apart two addresses are.
    fn width(first: Self, last: Self) -> Self;
}

macro_rules! key {
    ($key:ty, $family:ident, $other:ident) => {
        impl Key for $key {
            const FIRST: Self = 0;
            const LAST: Self = Self::MAX;

            fn next(self) -> Option<Self> {
                self.checked_add(1)
            }

            fn before(self) -> Self {
                self - 1
            }

            fn range(network: &ipnetwork::IpNetwork) -> Option<(Self, Self)> {
                match network {
                    ipnetwork::IpNetwork::$family(network) => {
                        Some((network.network().into(), network.broadcast().into()))
                    }
                    ipnetwork::IpNetwork::$other(_) => None,
                }
            }

            fn width(first: Self, last: Self) -> Self {
                last - first
            }
        }
    };
}

key!(u32, V4, V6);
key!(u128, V6, V4);

/// Ranges `(first, last, value)` as runs over the whole family, and how many of the ranges begin inside another.
///
/// Runs are `(first, value)`, each up to the next one, neighbours different, 0 where no range is. Where ranges overlap,
/// the narrowest counts, and of equally narrow ones the later.
pub fn runs<K: Key>(ranges: &[(K, K, u32)]) -> (Vec<(K, u32)>, u64) {
    let mut order: Vec<usize> = (0..ranges.len()).collect();
    order.sort_by_key(|&index| ranges[index].0);
    let mut runs: Vec<(K, u32)> = vec![(K::FIRST, 0)];
    let mut overlaps = 0;
    // The ranges that go on at the point looked at, the narrowest first.
    let mut open: BinaryHeap<Open<K>> = BinaryHeap::new();
    let mut starts = order.into_iter().peekable();
    let mut point = Some(K::FIRST);
    while let Some(at) = point {
        while open.peek().is_some_and(|range| range.last < at) {
            open.pop();
        }
        while let Some(index) = starts.next_if(|&index| ranges[index].0 == at) {
            let (first, last, value) = ranges[index];
            overlaps += u64::from(!open.is_empty());
            open.push(Open { width: Reverse(K::width(first, last)), index, last, value });
        }
        let value = open.peek().map_or(0, |range| range.value);
        match runs.last_mut() {
            Some(run) if run.0 == at => run.1 = value,
            Some(run) if run.1 == value => {}
            _ => runs.push((at, value)),
        }
        let end = open.peek().map(|range| range.last.next());
        let start = starts.peek().map(|&index| ranges[index].0);
        point = match (end, start) {
            (Some(None) | None, start) => start,
            (Some(end), None) => end,
            (Some(Some(end)), Some(start)) => Some(end.min(start)),
        };
    }
    (runs, overlaps)
}

/// A range in [`runs`]: ordered by width, then by place in the list.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Open<K> {
    width: Reverse<K>,
    index: usize,
    last: K,
    value: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_become_runs_of_nothing_and_equal_neighbours_merge() {
        let ranges = [(30u32, 39, 2), (10, 19, 1), (20, 29, 1)];
        assert_eq!(runs(&ranges), (vec![(0, 0), (10, 1), (30, 2), (40, 0)], 0));
        assert_eq!(runs::<u32>(&[]), (vec![(0, 0)], 0));
        assert_eq!(runs(&[(0u32, u32::MAX, 7)]), (vec![(0, 7)], 0));
    }

    #[test]
    fn the_narrowest_of_overlapping_ranges_counts() {
        assert_eq!(runs(&[(10u32, 20, 1), (20, 25, 2)]).0, [(0, 0), (10, 1), (20, 2), (26, 0)]);
        assert_eq!(runs(&[(0u32, u32::MAX, 1), (7, 8, 2)]), (vec![(0, 1), (7, 2), (9, 1)], 1));
        assert_eq!(runs(&[(7u32, 8, 1), (7, 8, 2)]).0, [(0, 0), (7, 2), (9, 0)]);
        assert_eq!(runs(&[(0u32, 9, 1), (2, 7, 2), (4, 5, 3)]).0, [(0, 1), (2, 2), (4, 3), (6, 2), (8, 1), (10, 0)]);
    }
}
