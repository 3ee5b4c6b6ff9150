//! What becomes of a cell, by dynamic programming over bytes.

use std::{ops::RangeInclusive, vec::Vec};

use super::{
    MAX_LIST, STEPS_V4, STEPS_V6,
    cell::{Cell, Key},
};

const _: () = assert!(Shape::V4.list <= MAX_LIST && Shape::V6.list <= MAX_LIST);

/// What differs between the families; docs/table.md has the figures behind the numbers.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    /// Nodes between root and leaf.
    pub(super) steps: usize,
    /// Bytes of a list's word.
    pub(super) word: usize,
    /// Bits of a start that fit into a list's word.
    pub(super) word_bits: u32,
    /// The most runs that become a list.
    list: usize,
    /// What a look-up that comes to a special entry costs, in bytes a run: a mispredicted branch against memory.
    penalty: usize,
}

/// What becomes of a cell where nodes have come to their end.
#[derive(Clone, Copy)]
pub(super) enum End {
    /// A leaf of so many bits a class, whose window starts at `first` and has `count` classes.
    Leaf { bits: u32, first: usize, count: usize },
    /// A list.
    List,
    /// A node of that stride.
    Node(u32),
}

impl Shape {
    pub(super) const V4: Self = Self { steps: STEPS_V4, word: 4, word_bits: 16, list: 8, penalty: 16 };
    pub(super) const V6: Self = Self { steps: STEPS_V6, word: 8, word_bits: 48, list: 16, penalty: 12 };

    /// The stride of the node for a cell with runs inside, `steps` nodes above its leaf; 0 for a node of one entry.
    pub(super) fn stride<K: Key>(&self, cell: Cell<'_, K>, steps: usize, ends: &Ends<'_>) -> u32 {
        self.node(cell, steps, ends).1
    }

    /// The cost of a cell where nodes have come to their end, and what becomes of it.
    pub(super) fn end<K: Key>(&self, cell: Cell<'_, K>) -> (usize, End) {
        self.end_by(cell, &Ends::UNKNOWN)
    }

    /// The cost of a cell `steps` nodes above its leaf, and the stride of the node for it.
    fn node<K: Key>(&self, cell: Cell<'_, K>, steps: usize, ends: &Ends<'_>) -> (usize, u32) {
        let below = |s: u32, limit: usize| {
            if steps == 1 {
                return ends.below(self, cell, s, limit);
            }
            let mut cost = 0;
            for (_, part) in cell.parts(s) {
                if cost >= limit {
                    break;
                }
                if !part.is_plain() {
                    cost += self.node(part, steps - 1, ends).0;
                }
            }
            cost
        };
        let mut best = (4 + below(0, usize::MAX), 0);
        for s in strides(cell) {
            let node = 4 << s;
            if node < best.0 {
                best = best.min((node + below(s, best.0 - node), s));
            }
        }
        best
    }

    fn end_by<K: Key>(&self, cell: Cell<'_, K>, ends: &Ends<'_>) -> (usize, End) {
        let bits = cell.bits();
        let inner = cell.inner();
        let runs = inner.len() + 1;
        // Three bits at least, so that `MAX_DEPTH` nodes reach the last.
        let stride = runs.ilog2().clamp(3, 12).min((bits - 1).max(1));
        // Worse than anything that follows.
        let mut best = (WORST, End::Node(stride));
        if bits <= 16 {
            let (left, right) = (cell.index(&inner[0], bits), cell.index(&inner[runs - 2], bits));
            // What lies outside of the window has the last class: on both sides, where they are of one class.
            let first = if cell.left() == cell.right() { left } else { 0 };
            let count = right - first + 1;
            if count <= 1 << 15 {
                best = ((4 + count * cell.width()).next_multiple_of(4), End::Leaf { bits, first, count });
            }
        }
        let penalty = self.penalty * runs;
        if runs <= self.list && bits <= self.word_bits {
            let cost = runs * self.word + penalty;
            if cost < best.0 {
                best = (cost, End::List);
            }
        } else if best.0 > LARGE_LEAF {
            let cost = (4 << stride) + penalty + ends.below(self, cell, stride, best.0);
            if cost < best.0 {
                best = (cost, End::Node(stride));
            }
        }
        best
    }
}

/// Bytes up to which a leaf is not compared with a node in its place, which would cost a branch.
const LARGE_LEAF: usize = 4096;

/// More than any cell costs, and little enough to be added up.
const WORST: usize = u32::MAX as usize;

/// The strides that are tried for the node of a cell with runs inside: those at which about one run comes to an entry.
fn strides<K: Key>(cell: Cell<'_, K>) -> RangeInclusive<u32> {
    /// How far from that, either way: one more gives no smaller table, one less a larger one.
    const EITHER_WAY: u32 = 3;
    /// 64 KiB of entries.
    const WIDEST: u32 = 14;
    let around = (cell.inner().len() + 1).ilog2();
    let most = (around + EITHER_WAY).min(cell.bits()).min(WIDEST);
    around.saturating_sub(EITHER_WAY).clamp(1, most)..=most
}

/// What cells under one cell cost where nodes have come to their end: many ways of dividing it come to the same cells.
pub(super) struct Ends<'a> {
    /// The cell's first run and bits, and how many sums a depth has.
    from: usize,
    consumed: u32,
    count: usize,
    /// The least depth that is known, below the cell.
    first: u32,
    /// None between the cell itself and this depth is known: no node is tried that leads there.
    narrowest: u32,
    /// For each depth from there on: at every run, the cost of all cells of that depth whose first run is before it.
    sums: &'a [usize],
}

impl<'a> Ends<'a> {
    /// None.
    const UNKNOWN: Self = Self { from: 0, consumed: 0, count: 0, first: u32::MAX, narrowest: 0, sums: &[] };

    /// Those that nodes of a cell with runs inside may come to, and some more; `memory` is for reuse.
    pub(super) fn of<K: Key>(shape: &Shape, cell: Cell<'_, K>, memory: &'a mut Vec<usize>) -> Self {
        // 32 MiB, or one depth of a cell that has more runs.
        const SUMS: usize = 1 << 22;
        Self::within(SUMS, shape, cell, memory)
    }

    /// The same with at most so many sums, or one depth. What they do not reach is then found out when asked.
    fn within<K: Key>(most: usize, shape: &Shape, cell: Cell<'_, K>, memory: &'a mut Vec<usize>) -> Self {
        // More is rarely asked for.
        const BEYOND: u32 = 4;
        let (narrowest, widest) = strides(cell).into_inner();
        let deepest = widest + if shape.steps > 1 { BEYOND } else { 0 };
        let count = cell.inner().len() + 1;
        let depths = (deepest.min(cell.bits()) as usize).min((most / count).saturating_sub(1));
        memory.clear();
        memory.resize(count * (depths + 1), 0);
        let Cell { from, consumed, .. } = cell;
        // Deep ones first: what they cost is a part of what those above them cost.
        for depth in (0..=depths).rev().filter(|&depth| depth == 0 || depth >= narrowest as usize) {
            let (here, deeper) = memory[count * depth..].split_at_mut(count);
            let ends = Ends { from, consumed, count, first: depth as u32 + 1, narrowest, sums: deeper };
            for (_, part) in cell.parts(depth as u32) {
                if !part.is_plain() {
                    here[part.from - from + 1] = shape.end_by(part, &ends).0;
                }
            }
            let mut sum = 0;
            for here in here {
                sum += *here;
                *here = sum;
            }
        }
        Self { from, consumed, count, first: 0, narrowest, sums: memory }
    }

    /// What all parts of `s` bits of a cell cost; once that is `limit`, maybe less.
    fn below<K: Key>(&self, shape: &Shape, cell: Cell<'_, K>, s: u32, limit: usize) -> usize {
        if let Some(cost) = self.known(cell, s) {
            return cost;
        }
        let mut cost = 0;
        for (_, part) in cell.parts(s) {
            if cost >= limit {
                break;
            }
            if !part.is_plain() {
                cost += shape.end_by(part, self).0;
            }
        }
        cost
    }

    fn known<K: Key>(&self, cell: Cell<'_, K>, s: u32) -> Option<usize> {
        let depth = (cell.consumed + s).checked_sub(self.consumed)?;
        if (1..self.narrowest).contains(&depth) {
            return None;
        }
        let depth = depth.checked_sub(self.first)? as usize;
        let sums = self.sums.get(depth * self.count..)?.get(..self.count)?;
        Some(sums[cell.to - self.from] - sums[cell.from - self.from])
    }
}

#[cfg(test)]
mod tests;
