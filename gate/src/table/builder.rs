//! Builds table images: strides by dynamic programming over bytes, identical parts stored once.
#![expect(clippy::cast_possible_truncation, reason = "strides, offsets and lists are far below 2^32")]

use std::{collections::HashMap, vec, vec::Vec};

use octroi_abi::{TABLE_PAD, TABLE_PART};

use super::{
    BASE, LIST, MAX_DEPTH, MAX_LIST, ROOT_V4, ROOT_V6, Roots, RootsV6, SPECIAL, STEPS_V4, STEPS_V6, escape,
    parts::Parts,
};

const _: () = assert!(Shape::V4.list <= MAX_LIST && Shape::V6.list <= MAX_LIST);

/// Both images and where look-ups in them start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tables {
    /// The image for IPv4, padded: see [`octroi_abi::TABLE_PAD`].
    pub v4: Vec<u8>,
    /// The image for IPv6, padded.
    pub v6: Vec<u8>,
    /// Whether there are wide leaves.
    pub wide: bool,
    /// Where look-ups start.
    pub roots: Roots,
}

/// Why a policy does not fit into a table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TableError {
    /// More classes than 16 bits can number.
    TooManyClasses {
        /// Classes of the policy.
        classes: usize,
    },
    /// An image above 128 MiB, which an entry's 25 bits cannot name.
    TooLarge {
        /// Its length in bytes.
        bytes: usize,
    },
}

impl std::fmt::Display for TableError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooManyClasses { classes } => {
                write!(f, "{classes} classes are more than the 65535 that a table can number")
            }
            Self::TooLarge { bytes } => {
                write!(f, "a table of {bytes} bytes is above the 134217728 that can be addressed")
            }
        }
    }
}

impl std::error::Error for TableError {}

/// Builds both images from runs: `(first address, class)`, ascending, the first at 0, each run up to the next one.
///
/// `classes` is the number of classes; every class is below it.
///
/// # Errors
/// When classes, divisions or bytes do not fit.
///
/// # Panics
/// When runs are not ascending or do not start at 0: a bug of the caller.
pub fn build(classes: usize, v4: &[(u32, u16)], v6: &[(u128, u16)]) -> Result<Tables, TableError> {
    assert!(v4.first().is_some_and(|run| run.0 == 0) && v4.is_sorted_by(|a, b| a.0 < b.0), "v4 runs");
    assert!(v6.first().is_some_and(|run| run.0 == 0) && v6.is_sorted_by(|a, b| a.0 < b.0), "v6 runs");
    // The highest number is the escape.
    if classes > escape(true) as usize {
        return Err(TableError::TooManyClasses { classes });
    }
    let wide = classes > escape(false) as usize;
    let (v4, v6) = std::thread::scope(|scope| {
        let other = scope.spawn(|| build_v6(classes, wide, v6));
        let v4 = build_v4(classes, wide, v4);
        (v4, other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let ((v4, root_v4), (v6, roots_v6)) = (v4?, v6?);
    Ok(Tables { v4, v6, wide, roots: Roots { v4: root_v4, v6: roots_v6 } })
}

fn build_v4(classes: usize, wide: bool, v4: &[(u32, u16)]) -> Result<(Vec<u8>, u32), TableError> {
    let runs: Vec<Run> =
        v4.iter().map(|&(start, class)| Run { start: u128::from(start) << 96, class }).collect();
    let mut builder = Builder::new(classes, wide, Shape::V4);
    let root = builder.root(&runs);
    Ok((builder.finish()?, root))
}

fn build_v6(classes: usize, wide: bool, v6: &[(u128, u16)]) -> Result<(Vec<u8>, RootsV6), TableError> {
    let parts = Parts::of(v6, escape(wide) as u16);
    let mut builder = Builder::new(classes, wide, Shape::V6);
    let global = builder.root(&parts.global);
    let other = builder.special(Cell::whole(&parts.other), 0, 0);
    let divided = builder.special(Cell::whole(&parts.divided), 0, 0);
    Ok((builder.finish()?, RootsV6 { global, other, divided }))
}

/// A run of keys of one class, up to the next run. Keys are left-aligned.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Run {
    pub(super) start: u128,
    pub(super) class: u16,
}

/// A part of the key space: all keys that begin with the same `consumed` bits.
#[derive(Clone, Copy)]
struct Cell<'a> {
    /// The class at its beginning.
    left: u16,
    /// The runs that start inside, after its beginning.
    inner: &'a [Run],
    consumed: u32,
}

impl<'a> Cell<'a> {
    fn whole(runs: &'a [Run]) -> Self {
        Self { left: runs[0].class, inner: &runs[1..], consumed: 0 }
    }

    /// The class at its end.
    fn right(&self) -> u16 {
        self.inner.last().map_or(self.left, |run| run.class)
    }

    /// How many bytes a class takes.
    fn width(&self) -> usize {
        let wide = self.left > 0xff || self.inner.iter().any(|run| run.class > 0xff);
        if wide { 2 } else { 1 }
    }

    /// How many bits tell all runs of the cell apart.
    fn bits(&self) -> u32 {
        let finest = self.inner.iter().map(|run| run.start.trailing_zeros()).min();
        finest.map_or(0, |zeros| 128 - zeros - self.consumed)
    }

    /// The next `s` bits of a key in it.
    fn index(&self, key: u128, s: u32) -> usize {
        ((key << self.consumed) >> 1 >> (127 - s)) as usize
    }

    /// Cells of `s` more bits, in order, each with its number; those in which no run starts are left out.
    fn parts(self, s: u32) -> impl Iterator<Item = (usize, Cell<'a>)> {
        let (mut left, mut rest) = (self.left, self.inner);
        std::iter::from_fn(move || {
            let number = self.index(rest.first()?.start, s);
            let count = rest.iter().take_while(|run| self.index(run.start, s) == number).count();
            let (mut inner, after) = rest.split_at(count);
            let consumed = self.consumed + s;
            if inner[0].start.checked_shl(consumed).unwrap_or(0) == 0 {
                left = inner[0].class;
                inner = &inner[1..];
            }
            let part = Cell { left, inner, consumed };
            (left, rest) = (part.right(), after);
            Some((number, part))
        })
    }
}

/// What differs between the families; docs/table.md has the figures behind the numbers.
#[derive(Clone, Copy)]
struct Shape {
    /// Bits of the root.
    root: u32,
    /// Nodes between root and leaf.
    steps: usize,
    /// Bytes of a list's word.
    word: usize,
    /// Bits of a start that fit into a list's word.
    word_bits: u32,
    /// The most runs that become a list.
    list: usize,
    /// What a look-up that comes to a special entry costs, in bytes a run: a mispredicted branch against memory.
    penalty: usize,
}

impl Shape {
    const V4: Self = Self { root: ROOT_V4, steps: STEPS_V4, word: 4, word_bits: 16, list: 8, penalty: 16 };
    const V6: Self = Self { root: ROOT_V6, steps: STEPS_V6, word: 8, word_bits: 48, list: 16, penalty: 12 };
}

/// What becomes of a cell where nodes have come to their end.
#[derive(Clone, Copy)]
enum End {
    /// A leaf of so many bits a class, whose window starts at `first` and has `count` classes.
    Leaf { bits: u32, first: usize, count: usize },
    /// A list.
    List,
    /// A node of that stride.
    Node(u32),
}

struct Builder {
    shape: Shape,
    /// How many classes have a leaf of their own.
    classes: usize,
    image: Vec<u8>,
    /// Where each part lies: equal ones are stored once.
    known: HashMap<Vec<u8>, u32>,
    /// Where an entry stands alone, as a node of one entry.
    alone: HashMap<u32, u32>,
}

impl Builder {
    fn new(classes: usize, wide: bool, shape: Shape) -> Self {
        // Each class's own leaf: an empty header, and the class. The escape has one, too.
        let leaf = |class: u32| [(u32::from(class > 0xff) << 31).to_le_bytes(), class.to_le_bytes()].concat();
        let mut image: Vec<u8> = (0..classes as u32).flat_map(leaf).collect();
        image.extend(leaf(escape(wide)));
        let mut builder = Self { shape, classes, image, known: HashMap::new(), alone: HashMap::new() };
        // Nodes of one entry that lead there: side by side, since they are used most.
        for class in (0..classes as u16).chain([escape(wide) as u16]) {
            builder.through(builder.class(class), 1);
        }
        builder
    }

    /// The entry for a leaf of one class.
    fn class(&self, class: u16) -> u32 {
        8 * (usize::from(class).min(self.classes)) as u32
    }

    /// Builds everything below the root; the byte offset of the root's entries.
    fn root(&mut self, runs: &[Run]) -> u32 {
        let node = self.node(Cell::whole(runs), self.shape.root, |builder, part| {
            builder.cell(part, builder.shape.steps, 0)
        });
        self.append(&node, 4)
    }

    /// The entry for a cell that is `steps` nodes above its leaf; `passes` nodes of one entry lead to it.
    fn cell(&mut self, cell: Cell<'_>, steps: usize, passes: usize) -> u32 {
        if cell.inner.is_empty() {
            return self.through(self.class(cell.left), steps + passes);
        }
        if steps == 0 {
            return self.special(cell, 0, passes);
        }
        match self.stride(cell, steps).1 {
            0 => self.cell(cell, steps - 1, passes + 1),
            s => {
                let node = self.node(cell, s, |builder, part| builder.cell(part, steps - 1, 0));
                self.place(&node, s << 27, 4, passes)
            }
        }
    }

    /// The entries of a node as bytes.
    fn node(&mut self, cell: Cell<'_>, s: u32, mut entry: impl FnMut(&mut Self, Cell<'_>) -> u32) -> Vec<u8> {
        let mut node = vec![0; 4 << s];
        let mut at = 0;
        let mut empty = entry(self, Cell { left: cell.left, inner: &[], consumed: 0 });
        let fill = |node: &mut [u8], from: usize, to: usize, entry: u32| {
            node.as_chunks_mut().0[from..to].fill(entry.to_le_bytes());
        };
        for (number, part) in cell.parts(s) {
            fill(&mut node, at, number, empty);
            let own = entry(self, part);
            fill(&mut node, number, number + 1, own);
            empty = entry(self, Cell { left: part.right(), inner: &[], consumed: 0 });
            at = number + 1;
        }
        fill(&mut node, at, 1 << s, empty);
        node
    }

    /// The cost of a cell `steps` nodes above its leaf, and the stride of the node for it: 0 for a node of one entry.
    fn stride(&self, cell: Cell<'_>, steps: usize) -> (usize, u32) {
        let mut best = (self.cost(cell, steps - 1) + 4, 0);
        let around = (cell.inner.len() + 1).ilog2();
        for s in around.saturating_sub(3).max(1)..=(around + 3).min(cell.bits()).min(14) {
            let mut cost = 4 << s;
            for (_, part) in cell.parts(s) {
                if cost >= best.0 {
                    break;
                }
                cost += self.cost(part, steps - 1);
            }
            best = best.min((cost, s));
        }
        best
    }

    fn cost(&self, cell: Cell<'_>, steps: usize) -> usize {
        match (cell.inner.is_empty(), steps) {
            (true, _) => 0,
            (false, 0) => self.end(cell).0,
            (false, _) => self.stride(cell, steps).0,
        }
    }

    /// The cost of a cell where nodes have come to their end, and what becomes of it.
    fn end(&self, cell: Cell<'_>) -> (usize, End) {
        let bits = cell.bits();
        let runs = cell.inner.len() + 1;
        // Three bits at least, so that `MAX_DEPTH` nodes reach the last.
        let stride = runs.ilog2().clamp(3, 12).min((bits - 1).max(1));
        // Worse than anything that follows.
        let mut best = (usize::MAX / 2, End::Node(stride));
        if bits <= 16 {
            let (left, right) =
                (cell.index(cell.inner[0].start, bits), cell.index(cell.inner[runs - 2].start, bits));
            // What lies outside of the window has the last class: on both sides, where they are of one class.
            let first = if cell.left == cell.right() { left } else { 0 };
            let count = right - first + 1;
            if count <= 1 << 15 {
                best = ((4 + count * cell.width()).next_multiple_of(4), End::Leaf { bits, first, count });
            }
        }
        let penalty = self.shape.penalty * runs;
        if runs <= self.shape.list && bits <= self.shape.word_bits {
            let cost = runs * self.shape.word + penalty;
            if cost < best.0 {
                best = (cost, End::List);
            }
        } else if best.0 > 4096 {
            let below: usize = cell.parts(stride).map(|(_, part)| self.cost(part, 0)).sum();
            let cost = (4 << stride) + penalty + below;
            if cost < best.0 {
                best = (cost, End::Node(stride));
            }
        }
        best
    }

    /// The entry for a cell where nodes have come to their end, or that never has any.
    fn special(&mut self, cell: Cell<'_>, depth: usize, passes: usize) -> u32 {
        assert!(depth < MAX_DEPTH, "a way of {depth} entries");
        if cell.inner.is_empty() {
            return self.through(self.class(cell.left), passes);
        }
        match self.end(cell).1 {
            End::Leaf { bits, first, count } => {
                let leaf = Self::leaf(cell, bits, first, count);
                self.place(&leaf, bits << 27, 4, passes)
            }
            End::List => {
                let runs = [Run { start: 0, class: cell.left }];
                let word = |run: &Run| {
                    let start = (run.start << cell.consumed >> (128 - self.shape.word_bits)) as u64;
                    (start << 16 | u64::from(run.class)).to_le_bytes()
                };
                let words = runs.iter().chain(cell.inner).map(word);
                let words: Vec<u8> = words.flat_map(|word| word.into_iter().take(self.shape.word)).collect();
                let kind = (cell.inner.len() as u32) << 27 | SPECIAL | LIST;
                self.place(&words, kind, self.shape.word, passes)
            }
            End::Node(s) => {
                let node = self.node(cell, s, |builder, part| builder.special(part, depth + 1, 0));
                self.place(&node, s << 27 | SPECIAL, 4, passes)
            }
        }
    }

    fn leaf(cell: Cell<'_>, bits: u32, first: usize, count: usize) -> Vec<u8> {
        let width = cell.width();
        let header = (width as u32 - 1) << 31 | (count as u32 - 1) << 16 | first as u32;
        let mut leaf = header.to_le_bytes().to_vec();
        let (mut class, mut at) = (cell.left, first);
        let mut fill = |class: u16, cells: usize| {
            (0..cells).for_each(|_| leaf.extend_from_slice(&class.to_le_bytes()[..width]));
        };
        for run in cell.inner {
            let next = cell.index(run.start, bits);
            fill(class, next - at);
            (class, at) = (run.class, next);
        }
        fill(class, first + count - at);
        leaf
    }

    /// Stores a part, unless an equal one is there; the entry for it, behind `passes` nodes of one entry. Those of a new
    /// part stand right before it, where its own memory is.
    fn place(&mut self, part: &[u8], kind: u32, align: usize, passes: usize) -> u32 {
        // A list's words need more alignment than other parts: its key tells it apart.
        let key = [part, &[align as u8]].concat();
        if let Some(&at) = self.known.get(&key) {
            return self.through(at | kind, passes);
        }
        let before = self.append(&vec![0; 4 * passes], 4);
        let at = self.append(part, align);
        self.known.insert(key, at);
        let mut entry = at | kind;
        for pass in (0..passes).rev() {
            let alone = before + 4 * pass as u32;
            self.image[alone as usize..alone as usize + 4].copy_from_slice(&entry.to_le_bytes());
            self.alone.insert(entry, alone);
            entry = alone;
        }
        entry
    }

    /// An entry behind `passes` nodes of one entry.
    fn through(&mut self, mut entry: u32, passes: usize) -> u32 {
        for _ in 0..passes {
            entry = match self.alone.get(&entry) {
                Some(&alone) => alone,
                None => {
                    let alone = self.append(&entry.to_le_bytes(), 4);
                    self.alone.insert(entry, alone);
                    alone
                }
            };
        }
        entry
    }

    /// Appends bytes at a multiple of `align`, within one [`TABLE_PART`]; their byte offset.
    fn append(&mut self, bytes: &[u8], align: usize) -> u32 {
        const PART: usize = TABLE_PART as usize;
        let at = self.image.len().next_multiple_of(align);
        let fits = at % PART + bytes.len() <= PART - TABLE_PAD as usize;
        let at = if fits { at } else { at.next_multiple_of(PART) };
        self.image.resize(at, 0);
        self.image.extend_from_slice(bytes);
        u32::try_from(at).unwrap_or(u32::MAX) & BASE
    }

    fn finish(mut self) -> Result<Vec<u8>, TableError> {
        if self.image.len() > BASE as usize {
            return Err(TableError::TooLarge { bytes: self.image.len() });
        }
        self.image.resize(self.image.len().next_multiple_of(8) + TABLE_PAD as usize, 0);
        Ok(self.image)
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
