//! What the measuring programs (`ebpf/src/bench.rs`) and `cargo xtask bench` agree on. Nothing of it is in the product.

/// How many addresses a run goes through at most; a power of two.
pub const ADDRESSES: usize = 1 << 20;

/// Names of programs and maps.
pub mod name {
    /// [`ADDRESSES`](super::ADDRESSES) IPv4 addresses as u32, in the host's byte order.
    pub const ADDRESSES_V4: &str = ".bss.addresses_v4";
    /// The same for IPv6, each as two u64: upper half, lower half.
    pub const ADDRESSES_V6: &str = ".bss.addresses_v6";
    /// One [`Run`](super::Run).
    pub const RUN: &str = ".bss.run";
    /// The first level of the IPv4 rival with two levels: a u16 for each /24.
    pub const DIR_24: &str = ".bss.dir24";
    /// Its second level: 256 u16 for each /24 that is split.
    pub const DIR_8: &str = ".bss.dir8";
    /// The kernel's LPM trie for IPv4.
    pub const LPM_V4: &str = "LPM_V4";
    /// The kernel's LPM trie for IPv6.
    pub const LPM_V6: &str = "LPM_V6";
}

/// [`Run::family`]: every packet of a gate run is IPv4.
pub const ONLY_V4: u64 = 0;
/// [`Run::family`]: every packet of a gate run is IPv6.
pub const ONLY_V6: u64 = 1;
/// [`Run::family`]: half of the packets each, in no order: bit 40 of a number made from the packet's decides.
pub const MIXED: u64 = 2;

/// Where a run stands, and what came of it.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Run {
    /// Number of the next packet.
    pub next: u64,
    /// Number of the last one.
    pub last: u64,
    /// Families of the packets of a gate run: [`ONLY_V4`], [`ONLY_V6`] or [`MIXED`].
    pub family: u64,
    /// What look-ups found, added up: equal for all structures that answer alike.
    pub sum: u64,
    /// Monotonic time at the first packet, in ns.
    pub start: u64,
    /// Monotonic time at the last packet, in ns.
    pub end: u64,
    /// The class that a rival's look-up stands for where it finds nothing.
    pub unknown: u64,
}

/// Offset of the IPv6 packet in the buffer that a gate run works on; the IPv4 packet is at the beginning.
pub const V6_FRAME: usize = 128;

const _: () = assert!(size_of::<Run>() == 56);
const _: () = assert!(ADDRESSES.is_power_of_two());
