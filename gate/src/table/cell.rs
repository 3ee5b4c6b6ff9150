//! Runs of keys, and the parts of the key space that a trie takes them apart into.

use std::vec::Vec;

/// Keys of a trie, left-aligned.
pub(super) trait Key: Copy + Ord {
    /// How many bits a key has.
    const BITS: u32;

    /// The `s` bits after the first `from`, at most 63; beyond the key's end there are zeros.
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
