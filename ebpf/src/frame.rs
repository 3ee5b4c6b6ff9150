//! A packet between `data` and `data_end`, read and written with the bounds checks that the verifier wants to see.

use aya_ebpf::helpers::generated::bpf_csum_diff;
use octroi_gate::{
    checksum::{Blocks, Sum},
    edit::FrameMut,
    packet::Frame,
    rewrite,
};

use crate::opaque;

/// The linear part of a packet.
#[derive(Clone, Copy)]
pub struct Packet {
    start: usize,
    end: usize,
}

/// No header that the gate reads starts further in: two VLAN tags, and eight extension headers of 2 KiB at most.
const MAX_OFFSET: usize = 0x4fff;

impl Packet {
    /// The packet from `data` to `data_end`, which the caller has from its context.
    #[inline(always)]
    pub fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// The address of `T` at `offset`, where the packet holds all of it.
    #[inline(always)]
    fn at<T>(&self, offset: usize) -> Option<*mut T> {
        if offset > MAX_OFFSET {
            return None;
        }
        let address = self.start + offset;
        if address + size_of::<T>() > self.end {
            return None;
        }
        Some(address as *mut T)
    }

    /// A number of type `T` at `offset`, as it stands in the packet.
    ///
    /// A plain load, though headers may be less aligned than `T`: `read_unaligned` becomes a load for each byte on
    /// this target, while BPF permits the wide load wherever the machine does.
    #[inline(always)]
    fn load<T: Copy>(&self, offset: usize) -> Option<T> {
        let address = self.at::<T>(offset)?;
        // SAFETY: `at` compared the whole of `T` with the packet's end.
        Some(unsafe { *address })
    }

    /// Writes `dscp` into the IP header at `header`; IPv4's checksum follows.
    #[inline(always)]
    pub(crate) fn write_dscp(&self, header: usize, dscp: u8) {
        let (Some(start), Some(checksum)) = (self.at::<u16>(header), self.at::<u16>(header + 10)) else {
            return;
        };
        // SAFETY: `at` compared both bytes with the packet's end.
        let old = u16::from_be(unsafe { *start });
        if old >> 12 == 6 {
            // SAFETY: as above.
            unsafe { *start = rewrite::traffic_class(old, dscp).to_be() };
            return;
        }
        let new = (old & 0xff00) | rewrite::type_of_service((old & 0xff) as u8, dscp) as u16;
        // SAFETY: `at` compared both bytes with the packet's end.
        let sum = u16::from_be(unsafe { *checksum });
        // SAFETY: as above.
        unsafe { *start = new.to_be() };
        // SAFETY: as above.
        unsafe { *checksum = rewrite::checksum(sum, old, new).to_be() };
    }
}

impl Frame for Packet {
    #[inline(always)]
    fn length(&self) -> usize {
        // From a length that it knows, the compiler would take it that the bytes are there.
        opaque(self.end - self.start)
    }

    #[inline(always)]
    fn be16(&self, offset: usize) -> Option<u16> {
        self.load(offset).map(u16::from_be)
    }

    #[inline(always)]
    fn be32(&self, offset: usize) -> Option<u32> {
        self.load(offset).map(u32::from_be)
    }

    #[inline(always)]
    fn be128(&self, offset: usize) -> Option<(u64, u64)> {
        let [high, low] = self.load::<[u64; 2]>(offset)?;
        Some((u64::from_be(high), u64::from_be(low)))
    }
}

impl Blocks for Packet {
    #[inline(always)]
    fn block<const N: usize>(&self, at: usize) -> Option<Sum> {
        let start = self.at::<[u8; N]>(at)?;
        // SAFETY: `at` compared all N bytes with the packet's end.
        let sum =
            unsafe { bpf_csum_diff(core::ptr::null_mut(), 0, start.cast(), (N as u64 & 0xffff) as u32, 0) };
        if sum < 0 { None } else { Some(Sum::from_host_order((sum & 0xffff_ffff) as u32)) }
    }
}

impl Packet {
    #[inline(always)]
    fn store<T: Copy>(&self, offset: usize, value: T) -> Option<()> {
        let address = self.at::<T>(offset)?;
        // SAFETY: `at` compared the whole of `T` with the packet's end; a plain store, as in `load`.
        unsafe { *address = value };
        Some(())
    }
}

impl FrameMut for Packet {
    #[inline(always)]
    fn put16(&mut self, offset: usize, number: u16) -> Option<()> {
        self.store(offset, number.to_be())
    }

    #[inline(always)]
    fn put32(&mut self, offset: usize, number: u32) -> Option<()> {
        self.store(offset, number.to_be())
    }

    #[inline(always)]
    fn put128(&mut self, offset: usize, (high, low): (u64, u64)) -> Option<()> {
        self.store(offset, [high.to_be(), low.to_be()])
    }
}
