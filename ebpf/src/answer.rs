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
    let [head, wanted, now] = [plan.head as u64, plan.length as u64, length].map(bytes);
    // SAFETY: the context that the kernel gave us. Whatever was known about the frame is void from here on.
    if head != 0 && unsafe { bpf_xdp_adjust_head(ctx, -head) } != 0 {
        return 0;
    }
    let change = wanted - (now + head);
    // SAFETY: as above.
    if change != 0 && unsafe { bpf_xdp_adjust_tail(ctx, change) } != 0 {
        return 0;
    }
    write(&mut at_xdp.packet(), &plan).is_some() as u32
}

/// A number of bytes, as the helpers take it. No frame is as long as its 31 bits can say.
#[inline(always)]
const fn bytes(count: u64) -> i32 {
    (count & 0x7fff_ffff) as i32
}
