//! Writing into a frame.

use crate::checksum::Blocks;

/// Write access to a frame, in the host's byte order before the write.
///
/// Every method returns `None`, and writes nothing, where the frame ends before the last byte. In the kernel, what was
/// found out about a frame is void once a helper has moved its head or its tail: it has to be taken anew from the
/// context.
pub trait FrameMut: Blocks {
    /// Writes a 16-bit number at `offset`, big-endian.
    fn put16(&mut self, offset: usize, number: u16) -> Option<()>;
    /// Writes a 32-bit number at `offset`, big-endian.
    fn put32(&mut self, offset: usize, number: u32) -> Option<()>;
    /// Writes a 128-bit number at `offset`, big-endian, upper half first.
    fn put128(&mut self, offset: usize, number: (u64, u64)) -> Option<()>;
}

impl FrameMut for [u8] {
    fn put16(&mut self, offset: usize, number: u16) -> Option<()> {
        *self.get_mut(offset..)?.first_chunk_mut()? = number.to_be_bytes();
        Some(())
    }

    fn put32(&mut self, offset: usize, number: u32) -> Option<()> {
        *self.get_mut(offset..)?.first_chunk_mut()? = number.to_be_bytes();
        Some(())
    }

    fn put128(&mut self, offset: usize, (high, low): (u64, u64)) -> Option<()> {
        let number = u128::from(high) << 64 | u128::from(low);
        *self.get_mut(offset..)?.first_chunk_mut()? = number.to_be_bytes();
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Frame;

    #[test]
    fn what_is_written_is_read_again_and_nothing_else_changes() {
        let mut bytes = [0u8; 20];
        let frame = bytes.as_mut_slice();
        assert_eq!(frame.put16(1, 0x0102), Some(()));
        assert_eq!(frame.put128(4, (0x0304_0506_0708_090a, 0x0b0c_0d0e_0f10_1112)), Some(()));
        assert_eq!((frame.be16(1), frame.be32(4)), (Some(0x0102), Some(0x0304_0506)));
        assert_eq!(frame.put32(16, 0xa1a2_a3a4), Some(()));
        assert_eq!(bytes, [0, 1, 2, 0, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xa1, 0xa2, 0xa3, 0xa4]);
    }

    #[test]
    fn nothing_is_written_beyond_the_end() {
        let mut bytes = [7u8; 17];
        let frame = bytes.as_mut_slice();
        for offset in [16, 17, 18, usize::MAX] {
            assert_eq!(frame.put16(offset, 0), None);
            assert_eq!(frame.put32(offset, 0), None);
            assert_eq!(frame.put128(offset, (0, 0)), None);
        }
        assert_eq!((frame.put32(14, 0), frame.put128(2, (0, 0))), (None, None));
        assert_eq!(bytes, [7; 17]);
    }
}
