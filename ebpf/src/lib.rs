//! The kernel side, without its entry points: maps and glue around `octroi_gate`, which makes every decision.
//!
//! A packet's way: [`gate`] → `octroi_gate::judge` → [`finish`]. What a mark needs beyond that is in [`mark`]. The entry
//! points are in `main.rs`; `bench.rs` has others around the same code, which measure it.
#![no_std]
#![feature(asm_experimental_arch, core_intrinsics, adt_const_params)]
#![allow(internal_features, reason = "this target has atomic instructions, and no type for them")]

mod answer;
pub mod frame;
pub mod generation;
pub mod leases;
mod limit;
pub mod mark;
pub mod rules;

use aya_ebpf::{
    bindings::{xdp_action, xdp_md},
    macros::map,
    maps::PerCpuArray,
};
use octroi_abi::{Counter, DSCP_KEEP, Verdict, slot};
use octroi_gate::judge::{Generation, Outcome, judge};

use crate::{frame::Packet, generation::Loaded, rules::AtXdp};

/// Packets and bytes by slot, in blocks. It outlives generations: a reload neither loses nor resets a counter.
#[map]
static COUNTERS: PerCpuArray<[Counter; slot::BLOCK as usize]> =
    PerCpuArray::with_max_entries(slot::COUNT / slot::BLOCK, 0);

/// Judges a packet by the loaded generation; the XDP action. `length` is the whole frame's, in bytes.
#[inline(always)]
pub fn gate(ctx: *mut xdp_md, packet: Packet, length: u64) -> u32 {
    gate_by(ctx, packet, length, &AtXdp { ctx, length })
}

/// The same, with tables from elsewhere than the loaded generation: for measurements.
#[inline(always)]
pub fn gate_by<G: Generation>(ctx: *mut xdp_md, packet: Packet, length: u64, generation: &G) -> u32 {
    let outcome = judge(&packet, generation);
    finish(ctx, &outcome, length)
}

/// Notes how the gate would judge a packet, and neither counts nor does it.
#[inline(always)]
pub fn probe(ctx: *mut xdp_md, packet: Packet) {
    generation::note(&judge(&packet, &AtXdp { ctx, length: 0 }));
}

/// The one exit: counts, then does what the verdict says.
#[inline(always)]
fn finish(ctx: *mut xdp_md, outcome: &Outcome, length: u64) -> u32 {
    count(outcome.slot, length);
    if Loaded.traces() {
        generation::note(outcome);
    }
    match outcome.verdict {
        Verdict::Pass => xdp_action::XDP_PASS,
        Verdict::Drop | Verdict::Limit => xdp_action::XDP_DROP,
        Verdict::Reject => xdp_action::XDP_TX,
        Verdict::Tag => {
            if outcome.dscp != DSCP_KEEP {
                AtXdp { ctx, length }.packet().write_dscp(outcome.header, outcome.dscp);
            }
            if outcome.mark != 0 {
                mark::hand_over(ctx, outcome.mark);
            }
            xdp_action::XDP_PASS
        }
    }
}

#[inline(always)]
pub(crate) fn count(slot: u32, length: u64) {
    if let Some(block) = COUNTERS.get_ptr_mut(slot / slot::BLOCK) {
        // SAFETY: the map gave a pointer to this CPU's block; no other context of this CPU writes it meanwhile.
        let counter = unsafe { &mut (*block)[(slot % slot::BLOCK) as usize] };
        counter.packets += 1;
        counter.bytes += length;
    }
}

/// The same number, of which the compiler knows nothing: so that what the verifier wants to see compared is compared, in the
/// register that is used.
#[inline(always)]
pub(crate) fn opaque(number: usize) -> usize {
    let mut same = number;
    // SAFETY: moves a register to itself.
    unsafe { core::arch::asm!("{0} = {0}", inout(reg) same, options(pure, nomem, nostack)) };
    same
}
