//! Marks: XDP cannot set one, so it leaves it in front of the packet for a tc program on the same interface.
//!
//! Where a driver has no room for metadata, XDP notes that before the packet goes on, and the tc program decides
//! again, by the same code and the same generation's tables.

use aya_ebpf::{
    bindings::{__sk_buff, xdp_md},
    helpers::generated::{bpf_skb_pull_data, bpf_xdp_adjust_meta},
    programs::TcContext,
};
use octroi_abi::{METADATA_MAGIC, Metadata, Verdict};
use octroi_gate::judge::judge;

use crate::{
    generation::{self, Loaded},
    rules::AtTc,
};

/// Leaves `mark` for the tc program. Pointers into the packet are void afterwards.
#[inline(always)]
pub(crate) fn hand_over(ctx: *mut xdp_md, mark: u32) {
    if !Loaded.marks() {
        return;
    }
    if !Loaded.may_use_metadata() || !write_metadata(ctx, mark) {
        generation::note_refused_metadata();
    }
}

#[inline(always)]
fn write_metadata(ctx: *mut xdp_md, mark: u32) -> bool {
    #[expect(clippy::cast_possible_truncation, reason = "8 bytes")]
    const SIZE: i32 = size_of::<Metadata>() as i32;
    // SAFETY: the helper takes the context that the kernel gave us.
    if unsafe { bpf_xdp_adjust_meta(ctx, -SIZE) } != 0 {
        return false;
    }
    // SAFETY: the context that the kernel gave us.
    let (start, end) = unsafe { ((*ctx).data_meta as usize, (*ctx).data as usize) };
    if start + size_of::<Metadata>() > end {
        return false;
    }
    // SAFETY: the whole of Metadata lies before `data`, compared above.
    unsafe { *(start as *mut Metadata) = Metadata { magic: METADATA_MAGIC, mark } };
    true
}

/// Gives the skb the mark that XDP decided on.
#[inline(always)]
pub fn apply(ctx: &TcContext) {
    let skb = ctx.skb.skb;
    if let Some(mark) = carried(skb).or_else(|| decided_again(skb)) {
        // SAFETY: the context that the kernel gave us; `mark` may be written there.
        unsafe { (*skb).mark = mark };
    }
}

/// The mark in the packet's metadata.
#[inline(always)]
fn carried(skb: *mut __sk_buff) -> Option<u32> {
    // SAFETY: the context that the kernel gave us.
    let (start, end) = unsafe { ((*skb).data_meta as usize, (*skb).data as usize) };
    if start + size_of::<Metadata>() > end {
        return None;
    }
    // SAFETY: the whole of Metadata lies before `data`, compared above.
    let metadata = unsafe { *(start as *const Metadata) };
    (metadata.magic == METADATA_MAGIC).then_some(metadata.mark)
}

/// The mark that XDP decided on but could not hand over.
#[inline(always)]
fn decided_again(skb: *mut __sk_buff) -> Option<u32> {
    const HEADERS: u32 = 256;
    if !generation::metadata_was_refused() {
        return None;
    }
    // SAFETY: the context that the kernel gave us.
    let length = unsafe { (*skb).len };
    // SAFETY: the helper takes that context. Where it fails, what is linear is judged.
    unsafe { bpf_skb_pull_data(skb, if length < HEADERS { length } else { HEADERS }) };
    let generation = AtTc { ctx: skb };
    let outcome = judge(&generation.packet(), &generation);
    (outcome.verdict == Verdict::Tag && outcome.mark != 0).then_some(outcome.mark)
}
