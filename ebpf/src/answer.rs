//! Answers to rejected packets: the frame becomes what goes back.

use aya_ebpf::{
    bindings::xdp_md,
    helpers::generated::{bpf_xdp_adjust_head, bpf_xdp_adjust_tail},
};
use octroi_gate::{
    reject::{plan, write},
    transport::transport,
};

use crate::{
    generation::Loaded,
    limit,
    rules::{AtXdp, Header},
};

/// Turns the frame into the answer to it; 1 where that is done, 0 where the packet gets none, or no more may be sent. The frame
/// may be changed then too, and is not to go on.
///
/// `length`: the whole frame's, in bytes.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn answer(ctx: *mut xdp_md, header: u32, length: u64) -> u32 {
    let at_xdp = AtXdp { ctx, length };
    let frame = at_xdp.packet();
    let Some(packet) = Header(header).packet(&frame) else { return 0 };
    let Some(plan) = plan(&frame, &packet, &transport(&frame, &packet)) else { return 0 };
    if !Loaded.alone() && !limit::admits(0, 0, 0) {
        return 0;
    }
    // SAFETY: the context that the kernel gave us. Whatever was known about the frame is void from here on.
    if plan.head != 0 && unsafe { bpf_xdp_adjust_head(ctx, -(plan.head as i32)) } != 0 {
        return 0;
    }
    let change = plan.length as i32 - (length as i32 + plan.head as i32);
    // SAFETY: as above.
    if change != 0 && unsafe { bpf_xdp_adjust_tail(ctx, change) } != 0 {
        return 0;
    }
    write(&mut at_xdp.packet(), &plan).is_some() as u32
}
