//! Builds table images: strides by dynamic programming over bytes, identical parts stored once.
#![expect(clippy::cast_possible_truncation, reason = "strides, offsets and lists are far below 2^32")]

use std::{hash::BuildHasher, vec, vec::Vec};

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use octroi_abi::{TABLE_PAD, TABLE_PART};

use super::{
    BASE, LIST, MAX_DEPTH, ROOT_V4, ROOT_V6, Roots, RootsV6, SPECIAL,
    cell::{Cell, Key, Run},
    escape,
    parts::Parts,
    plan::{End, Ends, Shape},
};

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
    let runs: Vec<Run<u64>> =
        v4.iter().map(|&(start, class)| Run { start: u64::from(start) << 32, class }).collect();
    let mut builder = Builder::new(classes, wide, Shape::V4);
    let root = builder.root(&runs, ROOT_V4);
    Ok((builder.finish()?, root))
}

fn build_v6(classes: usize, wide: bool, v6: &[(u128, u16)]) -> Result<(Vec<u8>, RootsV6), TableError> {
    let parts = Parts::of(v6, escape(wide) as u16);
    let mut builder = Builder::new(classes, wide, Shape::V6);
    let global = builder.root(&parts.global, ROOT_V6);
    let other = builder.special(Cell::whole(&parts.other), 0, 0);
    let divided = builder.special(Cell::whole(&parts.divided), 0, 0);
    Ok((builder.finish()?, RootsV6 { global, other, divided }))
}

struct Builder {
    shape: Shape,
    /// How many classes have a leaf of their own.
    classes: usize,
    image: Vec<u8>,
    /// Where parts lie, and how long they are: equal ones are stored once.
    known: HashTable<(u32, u32)>,
    hashing: DefaultHashBuilder,
    /// Where an entry stands alone, as a node of one entry.
    alone: HashMap<u32, u32>,
    /// For planning, to be used again.
    memory: Vec<usize>,
}

impl Builder {
    fn new(classes: usize, wide: bool, shape: Shape) -> Self {
        // Each class's own leaf: an empty header, and the class. The escape has one, too.
        let leaf = |class: u32| [(u32::from(class > 0xff) << 31).to_le_bytes(), class.to_le_bytes()].concat();
        let mut image: Vec<u8> = (0..classes as u32).flat_map(leaf).collect();
        image.extend(leaf(escape(wide)));
        let (known, hashing) = (HashTable::new(), DefaultHashBuilder::default());
        let (alone, memory) = (HashMap::new(), Vec::new());
        let mut builder = Self { shape, classes, image, known, hashing, alone, memory };
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

    /// Builds everything below a root of `s` bits; the byte offset of its entries.
    fn root<K: Key>(&mut self, runs: &[Run<K>], s: u32) -> u32 {
        let steps = self.shape.steps;
        let node = self.node(Cell::whole(runs), s, |builder, part| builder.planned(part, steps));
        self.append(&node, 4)
    }

    /// The entry for a cell right below the root, `steps` nodes above its leaf.
    fn planned<K: Key>(&mut self, cell: Cell<'_, K>, steps: usize) -> u32 {
        if cell.is_plain() {
            return self.through(self.class(cell.left()), steps);
        }
        let mut memory = std::mem::take(&mut self.memory);
        let entry = self.cell(cell, steps, 0, &Ends::of(&self.shape, cell, &mut memory));
        self.memory = memory;
        entry
    }

    /// The entry for a cell that is `steps` nodes above its leaf; `passes` nodes of one entry lead to it.
    fn cell<K: Key>(&mut self, cell: Cell<'_, K>, steps: usize, passes: usize, ends: &Ends<'_>) -> u32 {
        if cell.is_plain() {
            return self.through(self.class(cell.left()), steps + passes);
        }
        if steps == 0 {
            return self.special(cell, 0, passes);
        }
        match self.shape.stride(cell, steps, ends) {
            0 => self.cell(cell, steps - 1, passes + 1, ends),
            s => {
                let node = self.node(cell, s, |builder, part| builder.cell(part, steps - 1, 0, ends));
                self.place(&node, s << 27, 4, passes)
            }
        }
    }

    /// The entries of a node as bytes.
    fn node<K: Key>(
        &mut self,
        cell: Cell<'_, K>,
        s: u32,
        mut entry: impl FnMut(&mut Self, Cell<'_, K>) -> u32,
    ) -> Vec<u8> {
        let mut node = vec![0; 4 << s];
        let mut at = 0;
        let mut plain = entry(self, cell.beginning());
        let fill = |node: &mut [u8], from: usize, to: usize, entry: u32| {
            node.as_chunks_mut().0[from..to].fill(entry.to_le_bytes());
        };
        for (number, part) in cell.parts(s) {
            fill(&mut node, at, number, plain);
            let own = entry(self, part);
            fill(&mut node, number, number + 1, own);
            plain = entry(self, part.ending());
            at = number + 1;
        }
        fill(&mut node, at, 1 << s, plain);
        node
    }

    /// The entry for a cell where nodes have come to their end, or that never has any.
    fn special<K: Key>(&mut self, cell: Cell<'_, K>, depth: usize, passes: usize) -> u32 {
        assert!(depth < MAX_DEPTH, "a way of {depth} entries");
        if cell.is_plain() {
            return self.through(self.class(cell.left()), passes);
        }
        match self.shape.end(cell).1 {
            End::Leaf { bits, first, count } => {
                let leaf = Self::leaf(cell, bits, first, count);
                self.place(&leaf, bits << 27, 4, passes)
            }
            End::List => {
                let list = self.list(cell);
                let kind = (cell.inner().len() as u32) << 27 | SPECIAL | LIST;
                self.place(&list, kind, self.shape.word, passes)
            }
            End::Node(s) => {
                let node = self.node(cell, s, |builder, part| builder.special(part, depth + 1, 0));
                self.place(&node, s << 27 | SPECIAL, 4, passes)
            }
        }
    }

    fn leaf<K: Key>(cell: Cell<'_, K>, bits: u32, first: usize, count: usize) -> Vec<u8> {
        let width = cell.width();
        let header = (width as u32 - 1) << 31 | (count as u32 - 1) << 16 | first as u32;
        let mut leaf = header.to_le_bytes().to_vec();
        let (mut class, mut at) = (cell.left(), first);
        let mut fill = |class: u16, cells: usize| {
            (0..cells).for_each(|_| leaf.extend_from_slice(&class.to_le_bytes()[..width]));
        };
        for run in cell.inner() {
            let next = cell.index(run, bits);
            fill(class, next - at);
            (class, at) = (run.class, next);
        }
        fill(class, first + count - at);
        leaf
    }

    fn list<K: Key>(&self, cell: Cell<'_, K>) -> Vec<u8> {
        let inner = |run: &Run<K>| (run.start.bits(cell.consumed, self.shape.word_bits), run.class);
        let words = std::iter::once((0, cell.left())).chain(cell.inner().iter().map(inner));
        let bytes = |(start, class): (u64, u16)| (start << 16 | u64::from(class)).to_le_bytes();
        words.flat_map(|word| bytes(word).into_iter().take(self.shape.word)).collect()
    }

    /// Stores a part, unless an equal one is there; the entry for it, behind `passes` nodes of one entry. Those of a new
    /// part stand right before it, where its own memory is.
    fn place(&mut self, part: &[u8], kind: u32, align: usize, passes: usize) -> u32 {
        let hash = self.hashing.hash_one(part);
        let image = &self.image;
        let stored = |&(at, length): &(u32, u32)| &image[at as usize..][..length as usize];
        // A list's words need more alignment than other parts.
        let equal = |place: &(u32, u32)| (place.0 as usize).is_multiple_of(align) && stored(place) == part;
        if let Some(&(at, _)) = self.known.find(hash, equal) {
            return self.through(at | kind, passes);
        }
        let before = self.append(&vec![0; 4 * passes], 4);
        let at = self.append(part, align);
        let (image, hashing) = (&self.image, &self.hashing);
        let again = |&(at, length): &(u32, u32)| hashing.hash_one(&image[at as usize..][..length as usize]);
        self.known.insert_unique(hash, (at, part.len() as u32), again);
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
