//! What a table has to answer, found without one: a longest-prefix match that looks at every prefix. The property tests
//! and `fuzz/` share it, which is why it names only what is public.

use std::{collections::BTreeMap, vec, vec::Vec};

use octroi_abi::{TABLE_PAD, TABLE_PART};

use super::table::{
    Image, Place,
    builder::{Tables, build},
    class_v4, class_v6,
};

/// A prefix: address bits, length, class.
pub(super) type Prefix = (u128, u32, u16);

/// Longest-prefix match by looking at every prefix; of equal ones the last counts.
fn naive(prefixes: &[Prefix], width: u32, address: u128) -> u16 {
    let matches = |&&(base, length, _): &&Prefix| {
        let host = width - length;
        host >= 128 || base >> host == address >> host
    };
    prefixes.iter().filter(matches).max_by_key(|prefix| prefix.1).map_or(0, |prefix| prefix.2)
}

/// Every address at which the answer may change, with its neighbours, and what the answer is there.
fn edges(prefixes: &[Prefix], width: u32) -> BTreeMap<u128, u16> {
    let top = if width == 128 { u128::MAX } else { (1 << width) - 1 };
    let mut edges = vec![0, top];
    for &(base, length, _) in prefixes {
        let size = 1u128.checked_shl(width - length).unwrap_or(0);
        let last = base.wrapping_add(size.wrapping_sub(1)) & top;
        edges.extend([base.wrapping_sub(1) & top, base, last, last.wrapping_add(1) & top]);
    }
    edges.sort_unstable();
    edges.dedup();
    edges.into_iter().map(|edge| (edge, naive(prefixes, width, edge))).collect()
}

fn runs(edges: &BTreeMap<u128, u16>) -> Vec<(u128, u16)> {
    let mut runs: Vec<(u128, u16)> = edges.iter().map(|(&start, &class)| (start, class)).collect();
    runs.dedup_by_key(|run| run.1);
    runs
}

/// Builds tables of prefixes, and asks them about every edge and about `others`, of which IPv4 takes the upper 32 bits.
pub(super) fn check(v4: &[Prefix], v6: &[Prefix], classes: u16, others: &[u128]) {
    let (mut edges_v4, mut edges_v6) = (edges(v4, 32), edges(v6, 128));
    let narrow = |start: u128| u32::try_from(start).expect("an IPv4 address");
    let runs_v4: Vec<(u32, u16)> =
        runs(&edges_v4).into_iter().map(|(start, class)| (narrow(start), class)).collect();
    let tables = build(usize::from(classes), &runs_v4, &runs(&edges_v6)).expect("fits");

    edges_v4.extend(others.iter().map(|&other| (other >> 96, naive(v4, 32, other >> 96))));
    edges_v6.extend(others.iter().map(|&other| (other, naive(v6, 128, other))));
    compare(&tables, &edges_v4, &edges_v6);
}

/// Compares what tables say with what they have to say.
pub(super) fn compare(tables: &Tables, v4: &BTreeMap<u128, u16>, v6: &BTreeMap<u128, u16>) {
    let image = Strict { image: &tables.v4, wide: tables.wide };
    for (&address, &class) in v4 {
        let address = u32::try_from(address).expect("an IPv4 address");
        let found = class_v4(&image, tables.roots.v4, address);
        assert_eq!(found, u32::from(class), "{}", std::net::Ipv4Addr::from(address));
    }
    let image = Strict { image: &tables.v6, wide: tables.wide };
    for (&address, &class) in v6 {
        let [high, low] = [address >> 64, address & u128::from(u64::MAX)].map(|half| half as u64);
        let found = class_v6(&image, &tables.roots.v6, high, low);
        assert_eq!(found, u32::from(class), "{}", std::net::Ipv6Addr::from(address));
    }
}

/// An image that takes no read which the kernel would have to turn away, whole or in parts, and none that is not aligned.
struct Strict<'a> {
    image: &'a [u8],
    wide: bool,
}

impl<'a> Image for Strict<'a> {
    type Place = At<'a>;

    fn at(&self, at: u32) -> At<'a> {
        let limit = self.image.len() - TABLE_PAD as usize;
        assert!(at as usize <= limit, "a read at {at}, beyond {limit}");
        assert!(at % TABLE_PART <= TABLE_PART - TABLE_PAD, "a read at {at}, at the end of a part");
        At { image: self.image, at: at as usize }
    }

    fn wide(&self) -> bool {
        self.wide
    }
}

#[derive(Clone, Copy)]
struct At<'a> {
    image: &'a [u8],
    at: usize,
}

impl At<'_> {
    fn bytes<const N: usize>(&self, offset: u32) -> [u8; N] {
        let at = self.at + offset as usize;
        assert!(at.is_multiple_of(N), "{N} bytes at {at}");
        assert!(offset as usize + N <= TABLE_PAD as usize, "{N} bytes {offset} behind a place");
        *self.image[at..].first_chunk().expect("inside of the image")
    }
}

impl Place for At<'_> {
    fn u8(&self, offset: u32) -> u8 {
        u8::from_le_bytes(self.bytes(offset))
    }

    fn u32(&self, offset: u32) -> u32 {
        u32::from_le_bytes(self.bytes(offset))
    }

    fn u64(&self, offset: u32) -> u64 {
        u64::from_le_bytes(self.bytes(offset))
    }
}
