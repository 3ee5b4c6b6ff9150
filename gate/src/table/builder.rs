//! Builds table images: greedy strides, identical parts stored once.
#![expect(clippy::cast_possible_truncation, reason = "strides, depths and lists are far below 2^32")]

use std::{collections::HashMap, hash::BuildHasherDefault, vec, vec::Vec};

use super::{ARRAY8, ARRAY16, LIST, MAX_DEPTH, MAX_LIST, NODE, Roots};

const _: () = assert!(Shape::V4.list <= MAX_LIST && Shape::V6.list <= MAX_LIST);

/// Both images and where look-ups in them start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tables {
    /// The image for IPv4, padded: see [`octroi_abi::TABLE_PAD`].
    pub v4: Vec<u8>,
    /// The image for IPv6, padded.
    pub v6: Vec<u8>,
    /// Where look-ups start.
    pub roots: Roots,
}

/// Why a policy does not fit into a table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TableError {
    /// More classes and split /64s than 16 bits can number.
    TooManyClasses {
        /// Classes of the policy.
        classes: usize,
        /// /64s with prefixes of different classes inside.
        splits: usize,
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
            Self::TooManyClasses { classes, splits } => write!(
                f,
                "{classes} classes and {splits} /64s split by longer prefixes are more than the 65535 numbers there are"
            ),
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
/// When classes, split /64s or bytes do not fit.
///
/// # Panics
/// When runs are not ascending or do not start at 0: a bug of the caller.
pub fn build(classes: usize, v4: &[(u32, u16)], v6: &[(u128, u16)]) -> Result<Tables, TableError> {
    assert!(v4.first().is_some_and(|run| run.0 == 0) && v4.is_sorted_by(|a, b| a.0 < b.0), "v4 runs");
    assert!(v6.first().is_some_and(|run| run.0 == 0) && v6.is_sorted_by(|a, b| a.0 < b.0), "v6 runs");
    let halves = Halves::of(v6, classes);
    if classes + halves.splits.len() > usize::from(u16::MAX) {
        return Err(TableError::TooManyClasses { classes, splits: halves.splits.len() });
    }
    let mut image = Builder::new(classes, Shape::V4);
    let runs: Vec<Run> =
        v4.iter().map(|&(start, class)| Run { start: u64::from(start) << 32, class }).collect();
    let root_v4 = image.cell(&runs, 0, 16);
    let v4 = image.finish()?;

    let mut image = Builder::new(classes + halves.splits.len(), Shape::V6);
    let root_v6_other = image.cell(&halves.other, 0, 3);
    let root_v6 = image.cell(&halves.global, 0, 15);
    let low: Vec<u32> = halves.splits.iter().map(|runs| image.cell(runs, 0, 3)).collect();
    let splits = image.append_entries(&low);
    let v6 = image.finish()?;
    let first_split = u32::try_from(classes).expect("checked above");
    Ok(Tables {
        v4,
        v6,
        roots: Roots { v4: root_v4, v6: root_v6, v6_other: root_v6_other, first_split, splits },
    })
}

/// A run of keys of one class, up to the next run.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Run {
    /// Left-aligned within the cell it is looked at in.
    start: u64,
    class: u16,
}

/// IPv6 runs, taken apart for tries over 64-bit keys.
struct Halves {
    /// 2000::/3, keys shifted by its three bits.
    global: Vec<Run>,
    /// All the rest; what stands here for 2000::/3 is never looked up.
    other: Vec<Run>,
    /// Runs over the lower half of each split /64, in the order of their class numbers.
    splits: Vec<Vec<Run>>,
}

impl Halves {
    fn of(v6: &[(u128, u16)], classes: usize) -> Self {
        let mut upper: Vec<Run> = Vec::with_capacity(v6.len());
        let mut splits: Vec<Vec<Run>> = Vec::new();
        let mut known: HashMap<Vec<Run>, u16> = HashMap::new();
        let mut push = |start: u64, class: u16| match upper.last_mut() {
            Some(last) if last.start == start => last.class = class,
            Some(last) if last.class == class => {}
            _ => upper.push(Run { start, class }),
        };
        let (high, low) = (|key: u128| (key >> 64) as u64, |key: u128| key as u64);
        let mut before = v6[0].1;
        let mut at = 0;
        while at < v6.len() {
            let (key, class) = v6[at];
            let block = high(key);
            let inside = v6[at..].iter().take_while(|run| high(run.0) == block).count();
            let last = v6[at + inside - 1].1;
            if inside == 1 && low(key) == 0 {
                push(block, class);
            } else {
                let mut runs = Vec::with_capacity(inside + 1);
                if low(key) != 0 {
                    runs.push(Run { start: 0, class: before });
                }
                runs.extend(v6[at..at + inside].iter().map(|&(key, class)| Run { start: low(key), class }));
                // Equal /64s share one number: there are 284 split ones in DB-IP's data, and far fewer shapes.
                let next = u16::try_from(classes + splits.len()).unwrap_or(u16::MAX);
                let number = *known.entry(runs).or_insert_with_key(|runs| {
                    splits.push(runs.clone());
                    next
                });
                push(block, number);
                if block != u64::MAX {
                    push(block + 1, last);
                }
            }
            before = last;
            at += inside;
        }
        let mut global = part(&upper, 1 << 61, (2 << 61) - 1);
        for run in &mut global {
            run.start <<= 3;
        }
        let mut other = part(&upper, 0, (1 << 61) - 1);
        other.extend(part(&upper, 2 << 61, u64::MAX));
        other.dedup_by_key(|run| run.class);
        Self { global, other, splits }
    }
}

/// The runs that meet `first..=last`, the first of them cut to start there.
fn part(runs: &[Run], first: u64, last: u64) -> Vec<Run> {
    let from = runs.partition_point(|run| run.start <= first) - 1;
    let to = runs.partition_point(|run| run.start <= last);
    let mut part = runs[from..to].to_vec();
    part[0].start = first;
    part
}

/// What differs between the families; the figures behind the numbers are in docs/table.md.
#[derive(Clone, Copy)]
struct Shape {
    /// Bytes of a list's word.
    word: usize,
    /// The most runs that become a list.
    list: usize,
    /// A node gets about this many entries a run.
    fill: f64,
    /// An array may cost this many times a list's bytes.
    slack: usize,
}

impl Shape {
    const V4: Self = Self { word: 4, list: 8, fill: 1.0, slack: 2 };
    const V6: Self = Self { word: 8, list: 16, fill: 0.5, slack: 1 };
}

struct Builder {
    shape: Shape,
    image: Vec<u8>,
    /// Where each emitted part lies: parts of equal bytes are stored once.
    known: HashMap<Vec<u8>, u32, BuildHasherDefault<std::hash::DefaultHasher>>,
}

impl Builder {
    fn new(classes: usize, shape: Shape) -> Self {
        let image = (0..classes as u32).flat_map(u32::to_ne_bytes).collect();
        Self { shape, image, known: HashMap::default() }
    }

    /// The entry for a cell: `runs` meet it, the first starting at or before the cell's start, and `consumed` bits lead
    /// to it. `root_bits` is the stride of the first node.
    fn cell(&mut self, runs: &[Run], consumed: u32, root_bits: u32) -> u32 {
        self.cell_at(runs, consumed, root_bits, 0)
    }

    fn cell_at(&mut self, runs: &[Run], consumed: u32, root_bits: u32, depth: usize) -> u32 {
        assert!(depth < MAX_DEPTH, "a way of {depth} entries");
        let [first, rest @ ..] = runs else { unreachable!("a cell without runs") };
        if rest.is_empty() {
            return entry(ARRAY16, u32::from(first.class), 0);
        }
        // The depth of the finest boundary inside the cell.
        let bits = rest.iter().map(|run| 64 - run.start.trailing_zeros()).max().unwrap_or(0);
        let list_bytes = runs.len() * self.shape.word;
        let wide = usize::from(runs.iter().any(|run| run.class > 0xff)) + 1;
        let root = depth == 0;
        if !root && bits <= 16 && (wide << bits) <= self.shape.slack * list_bytes.max(self.shape.word) {
            return self.array(runs, bits, wide);
        }
        if consumed >= 16 && runs.len() <= self.shape.list {
            return self.list(runs);
        }
        let s = if root { root_bits } else { self.stride(runs.len(), bits, depth) };
        let mut entries = Vec::with_capacity(1 << s);
        let mut at = 0;
        for cell in 0..1u64 << s {
            let start = cell << (64 - s);
            while at + 1 < runs.len() && runs[at + 1].start <= start {
                at += 1;
            }
            let end = start + ((1u64 << (64 - s)) - 1);
            let inside = 1 + runs[at + 1..].iter().take_while(|run| run.start <= end).count();
            let moved: Vec<Run> = runs[at..at + inside]
                .iter()
                .map(|run| Run { start: run.start.saturating_sub(start) << s, class: run.class })
                .collect();
            entries.push(self.cell_at(&moved, consumed + s, root_bits, depth + 1));
        }
        self.emit(NODE, s, entries.iter().flat_map(|entry| entry.to_ne_bytes()).collect(), 4)
    }

    /// The stride of a node below the root.
    fn stride(&self, runs: usize, bits: u32, depth: usize) -> u32 {
        let wanted = (self.shape.fill * runs as f64).log2().max(0.0) as u32;
        // Where little depth is left, the steps have to be large enough to reach the finest boundary.
        let left = (MAX_DEPTH - 1 - depth) as u32;
        let needed = bits.div_ceil(left.max(1));
        wanted.clamp(3, 16).min((bits - 1).max(1)).max(needed.min(16))
    }

    fn array(&mut self, runs: &[Run], bits: u32, wide: usize) -> u32 {
        let mut bytes = vec![0; wide << bits];
        for (i, run) in runs.iter().enumerate() {
            let from = |run: &Run| (run.start >> (64 - bits)) as usize;
            let to = runs.get(i + 1).map_or(1 << bits, from);
            for cell in &mut bytes[from(run) * wide..to * wide].chunks_exact_mut(wide) {
                cell.copy_from_slice(&run.class.to_ne_bytes()[..wide]);
            }
        }
        self.emit(if wide == 1 { ARRAY8 } else { ARRAY16 }, bits, bytes, 4)
    }

    fn list(&mut self, runs: &[Run]) -> u32 {
        let word = self.shape.word;
        let bytes = runs.iter().flat_map(|run| {
            let value = run.start | u64::from(run.class);
            let half = ((run.start >> 32) as u32 | u32::from(run.class)).to_ne_bytes();
            if word == 4 { half.to_vec() } else { value.to_ne_bytes().to_vec() }
        });
        self.emit(LIST, runs.len() as u32, bytes.collect(), word)
    }

    /// Entries at the image's end, not shared; the byte offset of the first.
    fn append_entries(&mut self, entries: &[u32]) -> u32 {
        let at = u32::try_from(self.image.len().next_multiple_of(4)).unwrap_or(u32::MAX);
        self.image.resize(self.image.len().next_multiple_of(4), 0);
        self.image.extend(entries.iter().flat_map(|entry| entry.to_ne_bytes()));
        at
    }

    fn emit(&mut self, kind: u32, s: u32, bytes: Vec<u8>, align: usize) -> u32 {
        // A list's words need more alignment than other parts: the key of the map tells them apart.
        let image = &mut self.image;
        let key = if kind == LIST { [bytes.as_slice(), &[0xff]].concat() } else { bytes.clone() };
        let at = *self.known.entry(key).or_insert_with(|| {
            image.resize(image.len().next_multiple_of(align), 0);
            let at = u32::try_from(image.len() / 4).unwrap_or(u32::MAX);
            image.extend_from_slice(&bytes);
            image.resize(image.len().next_multiple_of(4), 0);
            at
        });
        entry(kind, at, s)
    }

    fn finish(mut self) -> Result<Vec<u8>, TableError> {
        if self.image.len() >= 4 << 25 {
            return Err(TableError::TooLarge { bytes: self.image.len() });
        }
        self.image.resize(self.image.len().next_multiple_of(8) + octroi_abi::TABLE_PAD as usize, 0);
        Ok(self.image)
    }
}

const fn entry(kind: u32, base: u32, s: u32) -> u32 {
    base << 7 | kind << 5 | s
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{class_v4, class_v6};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// A prefix: address bits, length, class.
    type Prefix = (u128, u32, u16);

    /// Longest-prefix match by looking at every prefix; of equal ones the last counts.
    fn naive(prefixes: &[Prefix], width: u32, address: u128) -> u16 {
        let matches = |&&(base, length, _): &&Prefix| {
            let host = width - length;
            host >= 128 || base >> host == address >> host
        };
        prefixes.iter().filter(matches).max_by_key(|prefix| prefix.1).map_or(0, |prefix| prefix.2)
    }

    /// Every address at which the answer may change, with its neighbours.
    fn edges(prefixes: &[Prefix], width: u32) -> Vec<u128> {
        let top = if width == 128 { u128::MAX } else { (1 << width) - 1 };
        let mut edges = vec![0, top];
        for &(base, length, _) in prefixes {
            let size = 1u128.checked_shl(width - length).unwrap_or(0);
            let last = base.wrapping_add(size.wrapping_sub(1)) & top;
            edges.extend([base.wrapping_sub(1) & top, base, last, last.wrapping_add(1) & top]);
        }
        edges
    }

    fn runs(prefixes: &[Prefix], width: u32) -> Vec<(u128, u16)> {
        let starts: BTreeMap<u128, u16> =
            edges(prefixes, width).into_iter().map(|edge| (edge, naive(prefixes, width, edge))).collect();
        let mut runs: Vec<(u128, u16)> = starts.into_iter().collect();
        runs.dedup_by_key(|run| run.1);
        runs
    }

    fn prefixes(width: u32, classes: u16) -> impl Strategy<Value = Vec<Prefix>> {
        // Few distinct bits, so that prefixes nest and share /64s.
        let address =
            (0u128..16, 0u32..32, any::<u128>(), any::<bool>()).prop_map(move |(few, shift, any, wide)| {
                let value = if wide { any } else { 0x2001_0db8 << 96 | few << (shift * 4) };
                if width == 128 { value } else { value & ((1 << width) - 1) }
            });
        let prefix = (address, 0..=width, 0..classes).prop_map(move |(address, length, class)| {
            let host = width - length;
            let base = if host >= 128 { 0 } else { address >> host << host };
            (base, length, class)
        });
        prop::collection::vec(prefix, 0..60)
    }

    fn check(v4: &[Prefix], v6: &[Prefix], classes: u16) {
        let runs_v4: Vec<(u32, u16)> =
            runs(v4, 32).iter().map(|&(start, class)| (start as u32, class)).collect();
        let tables = build(usize::from(classes), &runs_v4, &runs(v6, 128)).expect("fits");
        for edge in edges(v4, 32) {
            let found = class_v4(tables.v4.as_slice(), &tables.roots, edge as u32);
            assert_eq!(found, u32::from(naive(v4, 32, edge)), "{:?}", std::net::Ipv4Addr::from(edge as u32));
        }
        for edge in edges(v6, 128) {
            let found = class_v6(tables.v6.as_slice(), &tables.roots, (edge >> 64) as u64, edge as u64);
            assert_eq!(found, u32::from(naive(v6, 128, edge)), "{:?}", std::net::Ipv6Addr::from(edge));
        }
    }

    proptest! {
        #[test]
        fn any_prefixes_give_the_longest_match(
            (v4, v6, classes) in (1u16..600).prop_flat_map(|n| (prefixes(32, n), prefixes(128, n), Just(n)))
        ) {
            check(&v4, &v6, classes);
        }
    }

    #[test]
    fn one_class_needs_no_node() {
        let tables = build(1, &[(0, 0)], &[(0, 0)]).expect("fits");
        assert!(tables.v4.len() < 1024 && tables.v6.len() < 1024);
        check(&[], &[], 1);
    }

    #[test]
    fn a_single_host_is_found_in_each_part_of_the_ipv6_space() {
        for text in [
            "::",
            "::1",
            "fe80::1",
            "2000::",
            "3fff:ffff::ffff",
            "4000::",
            "ffff::ffff",
            "2001:db8::8000:0:0:0",
        ] {
            let address: std::net::Ipv6Addr = text.parse().expect("an address");
            check(&[], &[(address.into(), 128, 1)], 2);
        }
        check(&[], &[(u128::MAX, 128, 1), (u128::MAX - 1, 128, 2)], 3);
    }

    #[test]
    fn every_host_of_a_subnet_may_have_its_own_class() {
        let v6: Vec<Prefix> =
            (0..2000).map(|i| ((0x2a00 << 112) | (i * 7), 128, (i % 997) as u16 + 1)).collect();
        let v4: Vec<Prefix> = (0..2000).map(|i| (0x0a00_0000 + i * 3, 32, (i % 997) as u16 + 1)).collect();
        check(&v4, &v6, 998);
    }

    #[test]
    fn more_split_subnets_than_numbers_are_refused() {
        let mut runs = vec![(0, 0)];
        for i in 1..40_000u128 {
            runs.push((0x2a00 << 112 | i << 64 | i, 1));
            runs.push((0x2a00 << 112 | i << 64 | (i + 1), 0));
        }
        let error = build(30_000, &[(0, 0)], &runs).expect_err("too many");
        assert_eq!(error, TableError::TooManyClasses { classes: 30_000, splits: 39_999 });
    }
}
