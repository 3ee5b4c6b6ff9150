//! The internet checksum (RFC 1071), taken over numbers and over stretches of a frame.

use crate::packet::Frame;

/// A one's complement sum of big-endian 16-bit words, not folded yet: up to 2^32 numbers can be added.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sum(u64);

impl Sum {
    /// Nothing added yet.
    pub const ZERO: Self = Self(0);

    /// With 16 or 32 bits more. 2^16 counts as 1 in such a sum, so 32 bits are the same as both of their halves.
    #[inline(always)]
    #[must_use]
    pub const fn with(self, number: u32) -> Self {
        Self(self.0 + number as u64)
    }

    /// With 64 bits more.
    #[inline(always)]
    #[must_use]
    pub const fn with64(self, number: u64) -> Self {
        self.with((number >> 32) as u32).with((number & 0xffff_ffff) as u32)
    }

    /// With another sum.
    #[inline(always)]
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 + fold(other.0) as u64)
    }

    /// A sum over words in the host's byte order, such as the kernel's `bpf_csum_diff` gives where it is not negative:
    /// swapping the bytes of each word swaps those of the sum (RFC 1071 section 2 (B)).
    #[inline(always)]
    #[must_use]
    pub const fn from_host_order(sum: u32) -> Self {
        Self(u16::from_be(fold(sum as u64)) as u64)
    }

    /// The checksum: the sum's complement, in the host's byte order.
    #[inline(always)]
    #[must_use]
    pub const fn checksum(self) -> u16 {
        !fold(self.0)
    }
}

#[inline(always)]
const fn fold(sum: u64) -> u16 {
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    (((sum & 0xffff) + (sum >> 16)) & 0xffff) as u16
}

/// How many bytes of a frame [`stretch`] can sum up at most.
pub const LONGEST: usize = 2047;

/// The sum of `length` bytes from `at` (from the frame's start) on; the last one counts as the upper half of a word
/// where `length` is odd. `None` where the frame ends before, `length` is beyond [`LONGEST`], or it is 1.
///
/// In blocks of constant length, 512 bytes at most: so much `bpf_csum_diff` takes at once, and so the verifier knows
/// what it reads, and nothing is a loop of unknown length.
#[inline(always)]
pub fn stretch<F: Blocks + ?Sized>(frame: &F, at: usize, length: usize) -> Option<Sum> {
    if length > LONGEST || length == 1 {
        return None;
    }
    let mut sum = Sum::ZERO;
    // Where a block starts is taken from the length, not counted up: a counter would be another number on each of the
    // 2^10 ways through here, and the verifier would go along all of them.
    macro_rules! blocks {
        ($($bit:literal, $before:literal: $block:literal;)*) => {$(
            if length & $bit != 0 {
                sum = sum.and(frame.block::<$block>(at + $before + (length & (LONGEST & !(2 * $bit - 1))))?);
            }
        )*};
    }
    blocks! {
        1024, 0: 512; 1024, 512: 512; 512, 0: 512; 256, 0: 256; 128, 0: 128; 64, 0: 64; 32, 0: 32; 16, 0: 16;
        8, 0: 8; 4, 0: 4;
    }
    if length & 2 != 0 {
        sum = sum.with(frame.be16(at + (length & (LONGEST & !3)))? as u32);
    }
    if length & 1 != 0 {
        // There is no read of one byte: the last two, without the first of them.
        sum = sum.with((frame.be16(opaque(at + length - 2))? as u32 & 0xff) << 8);
    }
    Some(sum)
}

/// The same number, of which the compiler knows nothing: it would compare what comes after the last two bytes with the
/// frame's end, and read 2 before that, where the verifier does not know the packet to be; or take it from one comparison that
/// bytes at another offset are there too.
#[inline(always)]
pub(crate) fn opaque(number: usize) -> usize {
    #[cfg(target_arch = "bpf")]
    {
        let mut same = number;
        // SAFETY: moves a register to itself.
        unsafe { core::arch::asm!("{0} = {0}", inout(reg) same, options(pure, nomem, nostack)) };
        same
    }
    #[cfg(not(target_arch = "bpf"))]
    number
}

/// A frame whose bytes can be summed up in blocks.
pub trait Blocks: Frame {
    /// The sum of the `N` bytes from `at` (from the frame's start) on: `N` is a power of two, 4 to 512. `None` where the
    /// frame ends before.
    ///
    /// For hosts, a loop of `N / 4` loads. The kernel side has a helper for this and has to use it: the compiler keeps the
    /// loop for large `N`, with a comparison that the verifier does not take.
    #[inline(always)]
    fn block<const N: usize>(&self, at: usize) -> Option<Sum> {
        let (mut sum, mut done) = (Sum::ZERO, 0);
        while done < N {
            sum = sum.with(self.be32(at + done)?);
            done += 4;
        }
        Some(sum)
    }
}

impl Blocks for [u8] {}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;
    use crate::corpus::build;

    fn bytes(length: usize) -> Vec<u8> {
        (0..length).map(|n| u8::try_from(n * 197 % 256).expect("a byte")).collect()
    }

    #[test]
    fn every_length_at_every_alignment_is_summed_up() {
        let frame = bytes(2100);
        for at in [0, 1, 14, 42] {
            for length in (0..=LONGEST).filter(|length| *length != 1) {
                let sum = stretch(frame.as_slice(), at, length).expect("in the frame");
                assert_eq!(sum.checksum(), build::checksum(&[&frame[at..at + length]]), "{length} at {at}");
            }
        }
    }

    #[test]
    fn what_is_not_there_has_no_sum() {
        let frame = bytes(100);
        for length in 2..=LONGEST {
            assert_eq!(stretch(frame.as_slice(), 20, length).is_some(), length <= 80, "{length}");
        }
        assert_eq!(stretch(bytes(3000).as_slice(), 0, LONGEST + 1), None);
        assert_eq!(stretch(frame.as_slice(), 0, 1), None);
    }

    #[test]
    fn all_ones_and_zeros_fold_to_the_two_zeros() {
        assert_eq!(Sum::ZERO.checksum(), 0xffff);
        assert_eq!(Sum::ZERO.with(0xffff).checksum(), 0);
        assert_eq!(Sum::ZERO.with(u32::MAX).with64(u64::MAX).checksum(), 0);
        assert_eq!(Sum(u64::MAX).checksum(), 0);
        // RFC 1071 section 3.
        assert_eq!(Sum::ZERO.with64(0x0001_f203_f4f5_f6f7).checksum(), !0xddf2);
    }

    proptest! {
        #[test]
        fn host_order_sums_are_the_same(words in prop::collection::vec(any::<u32>(), 0..128)) {
            let big = words.iter().fold(Sum::ZERO, |sum, word| sum.with(*word));
            // As the helper: 32-bit words as they stand in memory, with the carry added again.
            let host = words.iter().fold(0u32, |sum, word| {
                let (sum, carry) = sum.overflowing_add(word.to_be());
                sum + u32::from(carry)
            });
            prop_assert_eq!(Sum::from_host_order(host).checksum(), big.checksum());
        }

        #[test]
        fn the_order_of_adding_does_not_matter(a: u64, b: u64, c: u32) {
            let one = Sum::ZERO.with64(a).and(Sum::ZERO.with64(b).with(c));
            prop_assert_eq!(one.checksum(), Sum::ZERO.with(c).with64(b).with64(a).checksum());
        }
    }
}
