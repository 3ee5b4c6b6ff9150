//! Runs of keys, and the parts of the key space that a trie takes them apart into.

use std::vec::Vec;

/// Keys of a trie, left-aligned.
pub(super) trait Key: Copy + Ord {
    /// How many bits a key has.
    const BITS: u32;

    /// The `s` bits after the first `from`, at most 63 after fewer than all; beyond the key's end there are zeros.
    fn bits(self, from: u32, s: u32) -> u64;

    fn trailing_zeros(self) -> u32;

    fn or(self, other: Self) -> Self;
}

macro_rules! key {
    ($key:ty) => {
        impl Key for $key {
            const BITS: u32 = <$key>::BITS;

            #[inline]
            fn bits(self, from: u32, s: u32) -> u64 {
                // No run starts inside of a cell of one key.
                debug_assert!(from < Self::BITS && s < 64, "{s} bits after {from}");
                ((self << from) >> 1 >> (<$key>::BITS - 1 - s)) as u64
            }

            #[inline]
            fn trailing_zeros(self) -> u32 {
                <$key>::trailing_zeros(self)
            }

            #[inline]
            fn or(self, other: Self) -> Self {
                self | other
            }
        }
    };
}

key!(u64);
key!(u128);

/// A run of keys of one class, up to the next run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Run<K> {
    pub(super) start: K,
    pub(super) class: u16,
}

/// Adds a run: one that starts where the last one does replaces it, one of the same class goes on with it.
pub(super) fn push<K: Key>(runs: &mut Vec<Run<K>>, start: K, class: u16) {
    match runs.last_mut() {
        Some(last) if last.start == start => last.class = class,
        Some(last) if last.class == class => {}
        _ => runs.push(Run { start, class }),
    }
}

/// A part of the key space: all keys that begin with the same `consumed` bits.
#[derive(Clone, Copy)]
pub(super) struct Cell<'a, K> {
    /// All runs of the trie.
    runs: &'a [Run<K>],
    /// Those that start inside of the cell, after its beginning.
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) consumed: u32,
}

impl<'a, K: Key> Cell<'a, K> {
    /// All keys. The first run starts at 0.
    pub(super) fn whole(runs: &'a [Run<K>]) -> Self {
        Self { runs, from: 1, to: runs.len(), consumed: 0 }
    }

    /// The runs that start inside, after the cell's beginning.
    pub(super) fn inner(&self) -> &'a [Run<K>] {
        &self.runs[self.from..self.to]
    }

    /// Whether it has one class throughout.
    pub(super) fn is_plain(&self) -> bool {
        self.from == self.to
    }

    /// The class at its beginning.
    pub(super) fn left(&self) -> u16 {
        self.runs[self.from - 1].class
    }

    /// The class at its end.
    pub(super) fn right(&self) -> u16 {
        self.runs[self.to - 1].class
    }

    /// How many bytes a class takes.
    pub(super) fn width(&self) -> usize {
        let all = self.inner().iter().fold(self.left(), |all, run| all | run.class);
        if all > 0xff { 2 } else { 1 }
    }

    /// How many bits tell all runs of the cell apart.
    pub(super) fn bits(&self) -> u32 {
        let all = self.inner().iter().map(|run| run.start).reduce(K::or);
        all.map_or(0, |all| K::BITS - all.trailing_zeros() - self.consumed)
    }

    /// The next `s` bits of a run's start.
    pub(super) fn index(&self, run: &Run<K>, s: u32) -> usize {
        run.start.bits(self.consumed, s) as usize
    }

    /// Cells of `s` more bits, in order, each with its number; those in which no run starts are left out.
    pub(super) fn parts(self, s: u32) -> impl Iterator<Item = (usize, Self)> {
        let consumed = self.consumed + s;
        let mut at = self.from;
        std::iter::from_fn(move || {
            let rest = &self.runs[at..self.to];
            let first = rest.first()?;
            let number = self.index(first, s);
            let at_beginning = first.start.trailing_zeros() >= K::BITS - consumed;
            let count = rest.iter().take_while(|run| self.index(run, s) == number).count();
            let part = Self { from: at + usize::from(at_beginning), to: at + count, consumed, ..self };
            at += count;
            Some((number, part))
        })
    }

    /// What lies before the first run inside.
    pub(super) fn beginning(self) -> Self {
        Self { to: self.from, ..self }
    }

    /// What lies behind the last run inside.
    pub(super) fn ending(self) -> Self {
        Self { from: self.to, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_those_at_either_end_and_none() {
        let last = u64::BITS - 1;
        let key = 0x8000_0000_0000_0003u64;
        assert_eq!([key.bits(0, 1), key.bits(0, 2), key.bits(0, 63)], [1, 2, key >> 1]);
        assert_eq!([key.bits(last - 1, 2), key.bits(last, 1)], [3, 1]);
        assert_eq!([key.bits(last, 2), key.bits(last, 63)], [2, 1 << 62], "zeros beyond the end");
        let wide = u128::from(key) << 64 | u128::from(key);
        assert_eq!([wide.bits(0, 63), wide.bits(1, 63), wide.bits(64, 63)], [key >> 1, 3, key >> 1]);
        assert_eq!([wide.bits(127, 1), wide.bits(127, 63)], [1, 1 << 62]);
        for from in [0, 1, last] {
            assert_eq!([u64::MAX.bits(from, 0), u128::MAX.bits(from, 0), u128::MAX.bits(127, 0)], [0; 3]);
        }
    }

    /// What each part of a cell is: its number, the class at its beginning, the starts inside, the class at its end.
    fn read<K: Key>(cell: Cell<'_, K>, s: u32) -> Vec<(usize, u16, Vec<K>, u16)> {
        let starts = |part: &Cell<'_, K>| part.inner().iter().map(|run| run.start).collect();
        cell.parts(s).map(|(number, part)| (number, part.left(), starts(&part), part.right())).collect()
    }

    #[test]
    fn a_run_at_the_beginning_of_a_part_is_not_inside_of_it() {
        const QUARTER: u64 = 1 << 62;
        let run = |start, class| Run { start, class };
        let runs = [run(0, 1), run(QUARTER, 2), run(QUARTER + 1, 3), run(3 * QUARTER, 4), run(u64::MAX, 5)];
        let whole = Cell::whole(&runs);
        let last = (3, 4, [u64::MAX].to_vec(), 5);
        assert_eq!(read(whole, 2), [(1, 2, [QUARTER + 1].to_vec(), 3), last.clone()]);
        // The first and the last part that have runs inside have no more than those.
        let halves =
            [(0, 1, [QUARTER, QUARTER + 1].to_vec(), 3), (1, 3, [3 * QUARTER, u64::MAX].to_vec(), 5)];
        assert_eq!(read(whole, 1), halves);
        let (_, upper) = whole.parts(1).nth(1).expect("two halves");
        assert_eq!(read(upper, 1), [(1, last.1, last.2, last.3)]);
        assert_eq!((upper.beginning().left(), upper.ending().left()), (3, 5));
    }

    #[test]
    fn the_last_key_of_all_is_a_part_of_its_own() {
        let runs = [Run { start: 0, class: 1 }, Run { start: u128::MAX, class: 2 }];
        let mut cell = Cell::whole(&runs);
        for s in [63, 63, 1] {
            let most = (1 << s) - 1;
            assert_eq!(read(cell, s), [(most, 1, [u128::MAX].to_vec(), 2)]);
            cell = cell.parts(s).next().expect("a part").1;
        }
        // The last bit tells both runs apart: the upper half is plain.
        assert_eq!((cell.consumed, cell.bits()), (127, 1));
        assert_eq!(read(cell, 1), [(1, 2, [].to_vec(), 2)]);
    }
}
