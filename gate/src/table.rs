//! The table: source address to class, as a variable trie in one byte image a family.
//!
//! The key is 64 bits, left-aligned: an IPv4 address in the upper half; of an IPv6 address the upper half, shifted
//! left by the three bits that all of 2000::/3 has in common (the rest of the space has a trie of its own in the same
//! image). A look-up follows *entries*:
//!
//! ```text
//! entry: u32 = base:25 | kind:2 | s:5          what it names lies at byte base × 4
//!   node     2^s entries
//!   array8   2^s classes of one byte           array16  2^s classes of two bytes
//!   list     s words, each (start within the cell) << 16 | class, ascending, the first with start 0;
//!            word u32 for IPv4, u64 for IPv6; only where at least 16 bits are consumed, so that it fits
//! the image begins with the identity (class c as a u32 at byte 4c): a cell of one class is an array16 with s = 0
//! ```
//!
//! An IPv6 class from `first_split` on is not a class but a /64 whose addresses differ: it has a trie of its own over
//! the lower 64 bits, in the same image and format.
#![expect(
    clippy::cast_possible_truncation,
    reason = "an index has at most 16 bits, of which the shift leaves no more"
)]

use octroi_abi::Constants;

#[cfg(feature = "std")]
pub mod builder;

/// Read access to a table image. A read that starts beyond the image's limit gives 0, which no entry of a well-made
/// image leads to.
pub trait Image {
    /// The byte at byte offset `at`.
    fn u8(&self, at: u32) -> u8;
    /// The 16-bit number, in the host's byte order, at byte offset `at`, a multiple of 2.
    fn u16(&self, at: u32) -> u16;
    /// The 32-bit number, in the host's byte order, at byte offset `at`, a multiple of 4.
    fn u32(&self, at: u32) -> u32;
    /// The 64-bit number, in the host's byte order, at byte offset `at`, a multiple of 8.
    fn u64(&self, at: u32) -> u64;
}

/// Where look-ups in both images start; the part of [`Constants`] that the table is about.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Roots {
    /// See [`Constants::root_v4`].
    pub v4: u32,
    /// See [`Constants::root_v6`].
    pub v6: u32,
    /// See [`Constants::root_v6_other`].
    pub v6_other: u32,
    /// See [`Constants::first_split`].
    pub first_split: u32,
    /// See [`Constants::splits`].
    pub splits: u32,
}

impl From<&Constants> for Roots {
    fn from(constants: &Constants) -> Self {
        Self {
            v4: constants.root_v4,
            v6: constants.root_v6,
            v6_other: constants.root_v6_other,
            first_split: constants.first_split,
            splits: constants.splits,
        }
    }
}

/// The longest way from the root to a class, in entries. The builder never makes a longer one.
pub const MAX_DEPTH: usize = 16;
/// The most words of a list.
pub const MAX_LIST: usize = 16;

const NODE: u32 = 0;
const ARRAY8: u32 = 1;
const ARRAY16: u32 = 2;
/// The fourth kind, which the look-up takes for granted where it is none of the others.
#[cfg(feature = "std")]
const LIST: u32 = 3;

/// The class of an IPv4 address.
#[inline(always)]
pub fn class_v4<I: Image + ?Sized>(image: &I, roots: &Roots, address: u32) -> u32 {
    descend::<I, 4>(image, roots.v4, (address as u64) << 32)
}

/// The class of an IPv6 address, given as its halves.
#[inline(always)]
pub fn class_v6<I: Image + ?Sized>(image: &I, roots: &Roots, high: u64, low: u64) -> u32 {
    let (root, key) = if high >> 61 == 1 { (roots.v6, high << 3) } else { (roots.v6_other, high) };
    let class = descend::<I, 8>(image, root, key);
    if class < roots.first_split {
        return class;
    }
    let root = image.u32(roots.splits.wrapping_add((class - roots.first_split) * 4));
    descend::<I, 8>(image, root, low)
}

/// Follows entries from `root` along `key`; `WORD` is the size of a list's words in bytes.
#[inline(always)]
fn descend<I: Image + ?Sized, const WORD: u32>(image: &I, root: u32, key: u64) -> u32 {
    let mut entry = root;
    let mut key = key;
    for _ in 0..MAX_DEPTH {
        let base = (entry >> 7) * 4;
        let s = entry & 31;
        // Not `key >> (64 - s)`: s may be 0.
        let index = ((key >> 1) >> (63 - s)) as u32;
        match (entry >> 5) & 3 {
            NODE => {
                key <<= s;
                entry = image.u32(base + index * 4);
            }
            ARRAY8 => return u32::from(image.u8(base + index)),
            ARRAY16 => return u32::from(image.u16(base + index * 2)),
            _ => return last_word::<I, WORD>(image, base, s, key),
        }
    }
    0
}

/// The class in the last word of a list that starts at or before `key`.
#[inline(always)]
fn last_word<I: Image + ?Sized, const WORD: u32>(image: &I, base: u32, length: u32, key: u64) -> u32 {
    let mut class = 0;
    let bound = key | 0xffff;
    for i in 0..MAX_LIST as u32 {
        if i >= length {
            break;
        }
        // A word of four bytes is compared with the upper half, where all of an IPv4 key is.
        let word = if WORD == 4 { image.u32(base + i * 4) as u64 } else { image.u64(base + i * 8) };
        let bound = if WORD == 4 { (key >> 32) | 0xffff } else { bound };
        if word > bound {
            break;
        }
        class = (word & 0xffff) as u32;
    }
    class
}

impl Image for [u8] {
    fn u8(&self, at: u32) -> u8 {
        self.get(at as usize).copied().unwrap_or(0)
    }

    fn u16(&self, at: u32) -> u16 {
        self.get(at as usize..)
            .and_then(|rest| rest.first_chunk())
            .map_or(0, |&bytes| u16::from_ne_bytes(bytes))
    }

    fn u32(&self, at: u32) -> u32 {
        self.get(at as usize..)
            .and_then(|rest| rest.first_chunk())
            .map_or(0, |&bytes| u32::from_ne_bytes(bytes))
    }

    fn u64(&self, at: u32) -> u64 {
        self.get(at as usize..)
            .and_then(|rest| rest.first_chunk())
            .map_or(0, |&bytes| u64::from_ne_bytes(bytes))
    }
}
