//! Entry points that measure: the gate and its parts, and the look-ups that others use, on a million addresses.
//!
//! BPF_PROG_TEST_RUN repeats a program on one packet, which would find every table warm. So each of these takes the next
//! address from a list first; a program that does only that says what it costs. The clock is read at the first and the
//! last packet of a run.
#![no_std]
#![no_main]
#![allow(missing_docs, unreachable_pub, reason = "entry points, which the kernel uses")]
#![allow(clippy::cast_possible_truncation, reason = "numbers are mixed, so that nothing is optimised away")]

use aya_ebpf::{
    bindings::{xdp_action, xdp_md},
    helpers::generated::bpf_ktime_get_ns,
    macros::{map, xdp},
    maps::{LpmTrie, lpm_trie::Key},
    programs::XdpContext,
};
use octroi_abi::{
    Class, Leased, Step, Verdict,
    bench::{ADDRESSES, MIXED, Run, V6_FRAME},
};
use octroi_ebpf::{frame::Packet, gate, gate_by, generation::Loaded, rules::AtXdp};
use octroi_gate::{
    judge::Generation,
    packet::{self, Parsed, Source, parse},
    rules::Choice,
};

#[unsafe(link_section = ".bss.addresses_v4")]
#[unsafe(no_mangle)]
static mut ADDRESSES_V4: [u32; ADDRESSES] = [0; ADDRESSES];

#[unsafe(link_section = ".bss.addresses_v6")]
#[unsafe(no_mangle)]
static mut ADDRESSES_V6: [[u64; 2]; ADDRESSES] = [[0; 2]; ADDRESSES];

#[unsafe(link_section = ".bss.run")]
#[unsafe(no_mangle)]
static mut RUN: Run = Run { next: 0, last: 0, family: 0, sum: 0, start: 0, end: 0, unknown: 0 };

/// DIR-24-8 (Gupta, Lin, McKeown: "Routing Lookups in Hardware at Memory Access Speeds", 1998): the class, or the
/// number of a group of 256 in the second level where bit 15 is set.
#[unsafe(link_section = ".bss.dir24")]
#[unsafe(no_mangle)]
static mut DIR_24: [u16; 1 << 24] = [0; 1 << 24];

#[unsafe(link_section = ".bss.dir8")]
#[unsafe(no_mangle)]
static mut DIR_8: [u16; 1 << 23] = [0; 1 << 23];

const LPM_ENTRIES: u32 = 1 << 25;
const BPF_F_NO_PREALLOC: u32 = 1;

#[map]
static LPM_V4: LpmTrie<u32, u32> = LpmTrie::with_max_entries(LPM_ENTRIES, BPF_F_NO_PREALLOC);

#[map]
static LPM_V6: LpmTrie<[u32; 4], u32> = LpmTrie::with_max_entries(LPM_ENTRIES, BPF_F_NO_PREALLOC);

/// A field of [`RUN`], read or written as memory that others see.
macro_rules! run {
    ($field:ident) => {
        // SAFETY: a static of that type, backed by a map.
        unsafe { core::ptr::read_volatile(&raw const RUN.$field) }
    };
    ($field:ident = $value:expr) => {{
        let value = $value;
        // SAFETY: a static of that type, backed by a map; nothing else runs meanwhile.
        unsafe { core::ptr::write_volatile(&raw mut RUN.$field, value) }
    }};
}

/// Counts the packet; its number.
#[inline(always)]
fn begin() -> u64 {
    let number = run!(next);
    run!(next = number + 1);
    if number == 0 {
        // SAFETY: a helper without arguments.
        run!(start = unsafe { bpf_ktime_get_ns() });
    }
    number
}

#[inline(always)]
fn end(number: u64, found: u32) -> u32 {
    run!(sum = run!(sum) + found as u64);
    stop(number);
    xdp_action::XDP_DROP
}

#[inline(always)]
fn stop(number: u64) {
    if number == run!(last) {
        // SAFETY: a helper without arguments.
        run!(end = unsafe { bpf_ktime_get_ns() });
    }
}

#[inline(always)]
fn address_v4(number: u64) -> u32 {
    let at = number as usize & (ADDRESSES - 1);
    // SAFETY: masked to the array's length.
    unsafe { core::ptr::read_volatile((&raw const ADDRESSES_V4).cast::<u32>().add(at)) }
}

#[inline(always)]
fn address_v6(number: u64) -> [u64; 2] {
    let at = number as usize & (ADDRESSES - 1);
    // SAFETY: masked to the array's length.
    let address = unsafe { (&raw const ADDRESSES_V6).cast::<u64>().add(2 * at) };
    // SAFETY: as above.
    let high = unsafe { core::ptr::read_volatile(address) };
    // SAFETY: as above; the second half.
    [high, unsafe { core::ptr::read_volatile(address.add(1)) }]
}

/// One look-up a packet, by each structure.
macro_rules! lookup {
    ($($name:ident: $address:ident, $found:expr;)*) => {$(
        #[xdp]
        pub fn $name(_: XdpContext) -> u32 {
            let number = begin();
            end(number, ($found)($address(number)))
        }
    )*};
}

lookup! {
    v4_none: address_v4, |address: u32| address & 0xff;
    v4_octroi: address_v4, |address: u32| Loaded.class_v4(address);
    v4_lpm: address_v4, lpm_v4;
    v4_dir24: address_v4, dir24;
    v6_none: address_v6, |[high, low]: [u64; 2]| (high ^ low) as u32 & 0xff;
    v6_octroi: address_v6, |[high, low]: [u64; 2]| Loaded.class_v6(high, low);
    v6_lpm: address_v6, |[high, low]: [u64; 2]| lpm_v6(high, low);
}

#[inline(always)]
fn lpm_v4(address: u32) -> u32 {
    LPM_V4.get(Key::new(32, address.to_be())).copied().unwrap_or_else(|| run!(unknown) as u32)
}

#[inline(always)]
fn lpm_v6(high: u64, low: u64) -> u32 {
    let words = [(high >> 32) as u32, high as u32, (low >> 32) as u32, low as u32];
    let [a, b, c, d] = words;
    LPM_V6
        .get(Key::new(128, [a.to_be(), b.to_be(), c.to_be(), d.to_be()]))
        .copied()
        .unwrap_or_else(|| run!(unknown) as u32)
}

#[inline(always)]
fn dir24(address: u32) -> u32 {
    // SAFETY: 24 bits, and the array has as many entries.
    let entry = unsafe { (&raw const DIR_24).cast::<u16>().add((address >> 8) as usize) };
    // SAFETY: as above.
    let entry = unsafe { core::ptr::read_volatile(entry) } as u32;
    if entry & 0x8000 == 0 {
        return entry;
    }
    let at = (entry & 0x7fff) << 8 | address & 0xff;
    // SAFETY: 15 + 8 bits, and the array has as many entries.
    let class = unsafe { (&raw const DIR_8).cast::<u16>().add(at as usize) };
    // SAFETY: as above.
    unsafe { core::ptr::read_volatile(class) as u32 }
}

/// Puts the next source address into the packet of the family whose turn it is; that packet.
#[inline(always)]
fn next_packet(ctx: &XdpContext, number: u64) -> Option<Packet> {
    const HEADERS: usize = 14 + 40;
    let (start, end) = (ctx.data(), ctx.data_end());
    if start + V6_FRAME + HEADERS > end {
        return None;
    }
    let family = run!(family);
    // Fibonacci hashing: no order that a branch predictor could learn.
    let six = if family == MIXED { number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40 & 1 } else { family };
    if six == 0 {
        // SAFETY: within the packet, compared above.
        unsafe { *((start + 26) as *mut u32) = address_v4(number).to_be() };
        return Some(Packet::new(start, end));
    }
    let [high, low] = address_v6(number);
    let source = start + V6_FRAME + 22;
    // SAFETY: within the packet, compared above.
    unsafe { *(source as *mut u64) = high.to_be() };
    // SAFETY: as above.
    unsafe { *((source + 8) as *mut u64) = low.to_be() };
    Some(Packet::new(start + V6_FRAME, end))
}

/// The gate as far as `$act` goes, on each of the addresses.
macro_rules! gates {
    ($($name:ident: $act:expr;)*) => {$(
        #[xdp]
        pub fn $name(ctx: XdpContext) -> u32 {
            let number = begin();
            let Some(packet) = next_packet(&ctx, number) else { return xdp_action::XDP_ABORTED };
            let action = ($act)(ctx.ctx, packet);
            stop(number);
            action
        }
    )*};
}

gates! {
    gate_none: |_: *mut xdp_md, _: Packet| xdp_action::XDP_DROP;
    gate_parse: |_: *mut xdp_md, packet: Packet| found(parse(&packet), |address| address, |high, low| (high ^ low) as u32);
    gate_lookup: |_: *mut xdp_md, packet: Packet| {
        let tables = Loaded;
        found(parse(&packet), |address| tables.class_v4(address), |high, low| tables.class_v6(high, low))
    };
    gate_octroi: |ctx: *mut xdp_md, packet: Packet| gate(ctx, packet, 64);
    gate_lpm: |ctx: *mut xdp_md, packet: Packet| {
        gate_by(ctx, packet, 64, &Lpm { rest: AtXdp { ctx, length: 64 } })
    };
}

#[inline(always)]
fn found(parsed: Parsed, v4: impl Fn(u32) -> u32, v6: impl Fn(u64, u64) -> u32) -> u32 {
    let Parsed::Ip(packet) = parsed else { return xdp_action::XDP_ABORTED };
    let found = match packet.source {
        Source::V4(address) => v4(address),
        Source::V6 { high, low } => v6(high, low),
    };
    run!(sum = run!(sum) + found as u64);
    xdp_action::XDP_DROP
}

/// The loaded generation with the kernel's LPM tries instead of our tables.
struct Lpm {
    rest: AtXdp,
}

impl Generation for Lpm {
    #[inline(always)]
    fn class_v4(&self, address: u32) -> u32 {
        lpm_v4(address)
    }

    #[inline(always)]
    fn class_v6(&self, high: u64, low: u64) -> u32 {
        lpm_v6(high, low)
    }

    #[inline(always)]
    fn class(&self, number: u32) -> Class {
        self.rest.class(number)
    }

    #[inline(always)]
    fn step(&self, number: u32) -> Step {
        Generation::step(&self.rest, number)
    }

    #[inline(always)]
    fn choose(&self, packet: &packet::Packet, class: &Class) -> Choice {
        self.rest.choose(packet, class)
    }

    #[inline(always)]
    fn connected(&self, packet: &packet::Packet) -> bool {
        Generation::connected(&self.rest, packet)
    }

    #[inline(always)]
    fn has_leases(&self) -> bool {
        self.rest.has_leases()
    }

    #[inline(always)]
    fn lease(&self, packet: &packet::Packet) -> Option<Verdict> {
        self.rest.lease(packet)
    }

    #[inline(always)]
    fn leased(&self, number: u32) -> Leased {
        self.rest.leased(number)
    }

    #[inline(always)]
    fn malformed_passes(&self) -> bool {
        self.rest.malformed_passes()
    }
}

/// As in `main.rs`.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
