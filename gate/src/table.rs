//! The table: source address to class, as a trie of variable strides in one byte image a family.
//!
//! The key is 64 bits, left-aligned: an IPv4 address in the upper half; of an IPv6 address the upper half, shifted left by
//! the three bits that all of 2000::/3 has in common. Nearly every look-up takes the same few steps, and no step depends
//! on what kind of thing it finds: what limits such a look-up is mispredicted branches, not memory (docs/table.md).
//!
//! ```text
//! entry: u32 = s:5 | base/4:25 | list:1 | special:1      what it names lies at byte base
//!   node      2^s entries: the next s bits of the key choose one
//!   leaf      u32 = wide:1 | span:15 | first:16, then span + 1 classes: the next s bits of the key, less `first`, choose
//!             one; what lies outside of that window has the last class; a class has one byte, or two where wide is 1
//! the root is 2^16 entries (IPv4) or 2^15 (IPv6) that name nodes; STEPS_V4 or STEPS_V6 nodes further down is a leaf, or:
//!   special   list 0: a node, and what its entries name may be special again
//!             list 1: s + 1 words, each (start within the cell) << 16 | class, ascending, the first with start 0; word
//!             u32 for IPv4, u64 for IPv6; only where that many bits tell all starts apart
//! ```
//!
//! IPv6 addresses outside 2000::/3 start at a special entry of their own, with all their 128 bits. So do those in a /64
//! that is divided further, whose class in the trie above is the escape, the highest number.
#![expect(
    clippy::cast_possible_truncation,
    reason = "an index has at most 16 bits, of which the shift leaves no more"
)]

#[cfg(feature = "std")]
pub mod builder;
#[cfg(feature = "std")]
mod cell;
#[cfg(feature = "std")]
mod parts;
#[cfg(feature = "std")]
mod plan;

/// Read access to a table image. Numbers are in the host's byte order, which is little-endian; an offset is a multiple of
/// the number's size.
pub trait Image: Sized {
    /// A place in the image.
    type Place: Place;

    /// The place at byte offset `at`. Beyond the image's limit it is the image's beginning, which no entry of a
    /// well-made image leads to.
    fn at(&self, at: u32) -> Self::Place;

    /// Whether there are wide leaves.
    fn wide(&self) -> bool;

    /// What a special entry of an IPv4 image comes to; `key` is what follows of the address, left-aligned. A method, so that
    /// the kernel side can have it as a function of its own.
    #[inline(always)]
    fn explore_v4(&self, entry: u32, key: u64) -> u32 {
        explore::<Self, 4>(self, entry, key, 0)
    }

    /// The same for IPv6, with a key of 128 bits.
    #[inline(always)]
    fn explore_v6(&self, entry: u32, high: u64, low: u64) -> u32 {
        explore::<Self, 8>(self, entry, high, low)
    }
}

/// A place in an image, after which the image goes on for [`octroi_abi::TABLE_PAD`] bytes at least.
pub trait Place {
    /// The byte `offset` bytes further on.
    fn u8(&self, offset: u32) -> u8;
    /// The 32-bit number `offset` bytes further on.
    fn u32(&self, offset: u32) -> u32;
    /// The 64-bit number `offset` bytes further on.
    fn u64(&self, offset: u32) -> u64;
}

/// Where look-ups in the image for IPv6 start, other than at its root.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct RootsV6 {
    /// Byte offset of the entries for 2000::/3.
    pub global: u32,
    /// The entry for the rest.
    pub other: u32,
    /// The entry for /64s in 2000::/3 that are divided further.
    pub divided: u32,
}

/// Where look-ups in both images start; the part of [`octroi_abi::Constants`] that the table is about.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Roots {
    /// Byte offset of the root's entries for IPv4.
    pub v4: u32,
    /// The same, and more, for IPv6.
    pub v6: RootsV6,
}

/// The longest way below a special entry, in entries: three bits a node at least.
pub const MAX_DEPTH: usize = 44;
/// The most words of a list.
pub const MAX_LIST: usize = 16;

/// How many bits of the key the root takes.
const ROOT_V4: u32 = 16;
const ROOT_V6: u32 = 15;
/// Nodes between the root and a leaf.
const STEPS_V4: usize = 1;
const STEPS_V6: usize = 2;

/// Entry: what it names may be something else than a leaf.
const SPECIAL: u32 = 1;
/// Special entry: it names a list.
const LIST: u32 = 2;
/// The part of an entry that is its base.
const BASE: u32 = 0x07ff_fffc;

/// The class of an IPv4 address.
#[inline(always)]
pub fn class_v4<I: Image>(image: &I, root: u32, address: u32) -> u32 {
    let (entry, key) = descend::<I, ROOT_V4, STEPS_V4>(image, root, (address as u64) << 32);
    if entry & SPECIAL == 0 { leaf(image, entry, key) } else { image.explore_v4(entry, key) }
}

/// The class of an IPv6 address, given as its halves.
#[inline(always)]
pub fn class_v6<I: Image>(image: &I, roots: &RootsV6, high: u64, low: u64) -> u32 {
    if high >> 61 != 1 {
        return image.explore_v6(roots.other, high, low);
    }
    let (entry, key) = descend::<I, ROOT_V6, STEPS_V6>(image, roots.global, high << 3);
    let class = if entry & SPECIAL == 0 { leaf(image, entry, key) } else { image.explore_v6(entry, key, 0) };
    if class == escape(image.wide()) { image.explore_v6(roots.divided, high, low) } else { class }
}

/// The class that stands for a /64 that is divided further.
const fn escape(wide: bool) -> u32 {
    if wide { 0xffff } else { 0xff }
}

/// From the root, whose `BITS` bits of stride are known, through `STEPS` nodes: the entry there, and what is left of the
/// key.
#[inline(always)]
fn descend<I: Image, const BITS: u32, const STEPS: usize>(image: &I, root: u32, key: u64) -> (u32, u64) {
    let mut entry = image.at(root + (key >> (64 - BITS)) as u32 * 4).u32(0);
    let mut key = key << BITS;
    for _ in 0..STEPS {
        let s = entry >> 27;
        entry = image.at((entry & BASE) + index(key, s) * 4).u32(0);
        key <<= s;
    }
    (entry, key)
}

/// The class in a leaf.
#[inline(always)]
fn leaf<I: Image>(image: &I, entry: u32, key: u64) -> u32 {
    let base = entry & BASE;
    let header = image.at(base).u32(0);
    let (first, span) = (header & 0xffff, header >> 16 & 0x7fff);
    let number = least(index(key, entry >> 27).wrapping_sub(first), span);
    if !image.wide() {
        return image.at(base + 4 + number).u8(0).into();
    }
    let wide = header >> 31;
    let place = image.at(base + 4 + (number << wide));
    let class = u32::from(place.u8(0)) | u32::from(place.u8(1)) << 8;
    // 0xffff, or 0xff: what a narrow leaf has behind the class is another one.
    class & (0xffff >> (8 - 8 * wide))
}

/// What a special entry comes to, with a key of 128 bits and lists of words of `WORD` bytes.
#[inline(always)]
pub fn explore<I: Image, const WORD: u32>(image: &I, entry: u32, high: u64, low: u64) -> u32 {
    let (mut entry, mut high, mut low) = (entry, high, low);
    for _ in 0..MAX_DEPTH {
        if entry & SPECIAL == 0 {
            return leaf(image, entry, high);
        }
        let s = entry >> 27;
        if entry & LIST != 0 {
            return last_word::<I, WORD>(image, entry & BASE, s, high);
        }
        entry = image.at((entry & BASE) + index(high, s) * 4).u32(0);
        high = high << s | (low >> 1) >> (63 - s);
        low <<= s;
    }
    // No well-made table has a way as long; a class of this number drops.
    u32::MAX
}

/// The upper `s` bits of `key`, at most 16. Not `key >> (64 - s)`: s may be 0.
#[inline(always)]
const fn index(key: u64, s: u32) -> u32 {
    ((key >> 1) >> (63 - s)) as u32
}

/// The class in the last word of a list that starts at or before `key`; the last word of all is number `last`. Halving,
/// without a branch.
#[inline(always)]
fn last_word<I: Image, const WORD: u32>(image: &I, base: u32, last: u32, key: u64) -> u32 {
    const { assert!(1 + 2 + 4 + 8 < MAX_LIST) };
    let place = image.at(base);
    let word = |number: u32| if WORD == 4 { place.u32(number * 4) as u64 } else { place.u64(number * 8) };
    // A word of four bytes has 16 bits of the key, one of eight has 48.
    let key = key >> if WORD == 4 { 48 } else { 16 };
    // Negative where word `next` is there and starts at or before the key.
    let further = |next: u32| {
        let beyond = (word(next) >> 16).wrapping_sub(key + 1);
        let inside = (next as u64).wrapping_sub(last as u64 + 1);
        beyond & inside
    };
    let mut at = where_negative::<8>(further(8));
    at += where_negative::<4>(further(at + 4));
    at += where_negative::<2>(further(at + 2));
    at += where_negative::<1>(further(at + 1));
    (word(at) & 0xffff) as u32
}

/// `STEP` where the number is negative in two's complement, else 0. In the kernel as an instruction that the compiler cannot see
/// through, so that it adds up what comes out: knowing that no two have a bit in common, it would OR them, and of a number into
/// which an unknown one was ORed the verifier knows nothing more before Linux 6.10, and does not let a word with that number be
/// read.
#[inline(always)]
fn where_negative<const STEP: u32>(number: u64) -> u32 {
    let step = sign(number) as u32;
    #[cfg(target_arch = "bpf")]
    {
        let mut step = step;
        // SAFETY: masks a register.
        unsafe {
            core::arch::asm!("{0} &= {1}", inout(wreg) step, const STEP, options(pure, nomem, nostack))
        };
        step
    }
    #[cfg(not(target_arch = "bpf"))]
    (step & STEP)
}

/// The lesser number, without a branch.
#[inline(always)]
fn least(a: u32, b: u32) -> u32 {
    let difference = (a as u64).wrapping_sub(b as u64);
    b.wrapping_add((difference & sign(difference)) as u32)
}

/// All ones where the number is negative in two's complement, else 0. In the kernel as an instruction that the compiler
/// cannot see through: it would turn what is done with it into branches again.
#[inline(always)]
fn sign(number: u64) -> u64 {
    #[cfg(target_arch = "bpf")]
    {
        let mut sign = number;
        // SAFETY: shifts a register.
        unsafe { core::arch::asm!("{0} s>>= 63", inout(reg) sign, options(pure, nomem, nostack)) };
        sign
    }
    #[cfg(not(target_arch = "bpf"))]
    ((number >> 63).wrapping_neg())
}

/// An image in this process's memory.
#[derive(Clone, Copy, Debug)]
pub struct Bytes<'a> {
    /// The image, with its padding.
    pub image: &'a [u8],
    /// Whether there are wide leaves.
    pub wide: bool,
}

impl<'a> Image for Bytes<'a> {
    type Place = &'a [u8];

    fn at(&self, at: u32) -> &'a [u8] {
        self.image.get(at as usize..).unwrap_or_default()
    }

    fn wide(&self) -> bool {
        self.wide
    }
}

impl Place for &[u8] {
    fn u8(&self, offset: u32) -> u8 {
        self.get(offset as usize).copied().unwrap_or(0)
    }

    fn u32(&self, offset: u32) -> u32 {
        let bytes = self.get(offset as usize..).and_then(|rest| rest.first_chunk());
        bytes.map_or(0, |&bytes| u32::from_le_bytes(bytes))
    }

    fn u64(&self, offset: u32) -> u64 {
        let bytes = self.get(offset as usize..).and_then(|rest| rest.first_chunk());
        bytes.map_or(0, |&bytes| u64::from_le_bytes(bytes))
    }
}
