//! Runs: sorted starts with a record each, merged, without gaps. Built in one pass from networks in ascending order.

use std::collections::HashMap;

use super::Record;

/// An address as a number.
pub(super) trait Address: Copy + Ord {
    /// The first address.
    const FIRST: Self;
    /// The last address.
    const LAST: Self;

    /// The next one; `None` after the last.
    fn successor(self) -> Option<Self>;
}

impl Address for u32 {
    const FIRST: Self = Self::MIN;
    const LAST: Self = Self::MAX;

    fn successor(self) -> Option<Self> {
        self.checked_add(1)
    }
}

impl Address for u128 {
    const FIRST: Self = Self::MIN;
    const LAST: Self = Self::MAX;

    fn successor(self) -> Option<Self> {
        self.checked_add(1)
    }
}

/// Runs in the making. What is never added has record 0.
pub(super) struct Runs<A> {
    runs: Vec<(A, u32)>,
    /// The first address not covered yet; `None` once the last is.
    next: Option<A>,
}

impl<A: Address> Runs<A> {
    pub(super) fn new() -> Self {
        Self { runs: Vec::new(), next: Some(A::FIRST) }
    }

    /// Adds `first..=last`. Whatever lies before `first` must have been added before.
    pub(super) fn add(&mut self, first: A, last: A, record: u32) {
        debug_assert!(first <= last && self.next.is_some_and(|next| next <= first));
        if let Some(next) = self.next
            && next < first
        {
            self.start(next, 0);
        }
        self.start(first, record);
        self.next = last.successor();
    }

    pub(super) fn finish(mut self) -> Vec<(A, u32)> {
        if let Some(next) = self.next {
            self.start(next, 0);
        }
        self.runs
    }

    fn start(&mut self, at: A, record: u32) {
        if self.runs.last().is_none_or(|&(_, last)| last != record) {
            self.runs.push((at, record));
        }
    }
}

/// The record of the run that holds `address`. The first run must start at 0.
pub(super) fn find<A: Address>(runs: &[(A, u32)], address: A) -> u32 {
    let after = runs.partition_point(|&(start, _)| start <= address);
    runs[after - 1].1
}

/// Records without duplicates; index 0 is the empty one.
pub(super) struct Records {
    list: Vec<Record>,
    index: HashMap<Record, u32>,
}

impl Records {
    pub(super) fn new() -> Self {
        Self { list: vec![Record::default()], index: HashMap::from([(Record::default(), 0)]) }
    }

    /// The index of `record`, which is added if it is new.
    pub(super) fn index(&mut self, record: Record) -> u32 {
        if let Some(&known) = self.index.get(&record) {
            return known;
        }
        let new =
            u32::try_from(self.list.len()).expect("an index, from at most 2^32 distinct offsets or lines");
        self.index.insert(record.clone(), new);
        self.list.push(record);
        new
    }

    pub(super) fn into_vec(self) -> Vec<Record> {
        self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_filled_and_equal_neighbours_merged() {
        let mut runs = Runs::<u32>::new();
        runs.add(10, 19, 1);
        runs.add(20, 29, 1);
        runs.add(30, 39, 2);
        runs.add(50, u32::MAX, 3);
        let runs = runs.finish();
        assert_eq!(runs, [(0, 0), (10, 1), (30, 2), (40, 0), (50, 3)]);
        for (address, record) in [(0, 0), (9, 0), (10, 1), (29, 1), (39, 2), (40, 0), (50, 3), (u32::MAX, 3)]
        {
            assert_eq!(find(&runs, address), record, "{address}");
        }
    }

    #[test]
    fn nothing_added_is_one_run_that_knows_nothing() {
        assert_eq!(Runs::<u128>::new().finish(), [(0, 0)]);
    }

    #[test]
    fn an_explicit_nothing_merges_with_the_gaps_around_it() {
        let mut runs = Runs::<u128>::new();
        runs.add(5, 6, 0);
        runs.add(8, 9, 4);
        assert_eq!(runs.finish(), [(0, 0), (8, 4), (10, 0)]);
    }
}
