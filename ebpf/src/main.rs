//! The kernel side's entry points; everything behind them is in `lib.rs`.
#![no_std]
#![no_main]
#![allow(missing_docs, unreachable_pub, reason = "entry points, which the kernel uses")]

use aya_ebpf::{
    bindings::{TC_ACT_UNSPEC, xdp_action},
    helpers::generated::bpf_xdp_get_buff_len,
    macros::{classifier, xdp},
    programs::{TcContext, XdpContext},
};
use octroi_ebpf::{frame::Packet, gate, mark, probe};

/// The gate, for frames in one buffer.
#[xdp]
pub fn octroi(ctx: XdpContext) -> u32 {
    let length = ctx.data_end() - ctx.data();
    gate(ctx.ctx, linear(&ctx), length as u64)
}

/// The gate, for drivers that need fragments support because of a large MTU.
#[xdp(frags)]
pub fn octroi_frags(ctx: XdpContext) -> u32 {
    // SAFETY: the helper takes the context that the kernel gave us.
    let length = unsafe { bpf_xdp_get_buff_len(ctx.ctx) };
    gate(ctx.ctx, linear(&ctx), length)
}

/// Attached to nothing, for test runs: it has the tables of the generation that it was loaded with, so it tells what
/// the live one holds without a trace in any counter.
#[xdp]
pub fn octroi_probe(ctx: XdpContext) -> u32 {
    probe(ctx.ctx, linear(&ctx));
    xdp_action::XDP_PASS
}

/// Gives the skb the mark that XDP decided on. Whatever else the packet meets at tc is not octroi's business.
#[classifier]
pub fn octroi_mark(ctx: TcContext) -> i32 {
    mark::apply(&ctx);
    TC_ACT_UNSPEC
}

#[inline(always)]
fn linear(ctx: &XdpContext) -> Packet {
    Packet::new(ctx.data(), ctx.data_end())
}

/// MIT or Apache-2.0 for the source; GPL as well, which the kernel asks of programs that use its GPL helpers.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
