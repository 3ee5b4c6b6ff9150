//! The kernel side: entry points and maps around `octroi_gate`, which makes every decision.
//!
//! A packet's way: [`octroi`] → `octroi_gate::judge` → [`finish`]. What a mark needs beyond that is in [`mark`].
#![no_std]
#![no_main]

mod frame;
mod generation;
mod mark;

use aya_ebpf::{
    bindings::{xdp_action, xdp_md},
    helpers::generated::bpf_xdp_get_buff_len,
    macros::{map, xdp},
    maps::PerCpuArray,
    programs::XdpContext,
};
use octroi_abi::{Counter, DSCP_KEEP, Verdict, slot};
use octroi_gate::judge::{Outcome, judge};

use crate::{frame::Packet, generation::Loaded};

/// Packets and bytes by slot. It outlives generations: a reload neither loses nor resets a counter.
#[map]
static COUNTERS: PerCpuArray<Counter> = PerCpuArray::with_max_entries(slot::COUNT, 0);

/// The gate, for frames in one buffer.
#[xdp]
pub fn octroi(ctx: XdpContext) -> u32 {
    let length = ctx.data_end() - ctx.data();
    gate(&ctx, length as u64)
}

/// The gate, for drivers that need fragments support because of a large MTU.
#[xdp(frags)]
pub fn octroi_frags(ctx: XdpContext) -> u32 {
    // SAFETY: the helper takes the context that the kernel gave us.
    let length = unsafe { bpf_xdp_get_buff_len(ctx.ctx) };
    gate(&ctx, length)
}

#[inline(always)]
fn gate(ctx: &XdpContext, length: u64) -> u32 {
    let generation = Loaded::read();
    let packet = Packet::new(ctx.data(), ctx.data_end());
    let outcome = judge(&packet, &generation);
    finish(ctx.ctx, packet, &generation, &outcome, length)
}

/// The one exit: counts, then does what the verdict says.
#[inline(always)]
fn finish(ctx: *mut xdp_md, packet: Packet, generation: &Loaded, outcome: &Outcome, length: u64) -> u32 {
    count(outcome.slot, length);
    if generation.traces() {
        generation::note(outcome);
    }
    match outcome.verdict {
        Verdict::Pass => xdp_action::XDP_PASS,
        Verdict::Drop => xdp_action::XDP_DROP,
        Verdict::Tag => {
            if outcome.dscp != DSCP_KEEP {
                packet.write_dscp(outcome.header, outcome.dscp);
            }
            if outcome.mark != 0 {
                mark::hand_over(ctx, generation, outcome.mark);
            }
            xdp_action::XDP_PASS
        }
    }
}

#[inline(always)]
fn count(slot: u32, length: u64) {
    if let Some(counter) = COUNTERS.get_ptr_mut(slot) {
        // SAFETY: the map gave a pointer to this CPU's counter; no other context of this CPU writes it meanwhile.
        let counter = unsafe { &mut *counter };
        counter.packets += 1;
        counter.bytes += length;
    }
}

/// MIT or Apache-2.0 for the source; GPL as well, which the kernel asks of programs that use its GPL helpers.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
