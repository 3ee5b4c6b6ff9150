//! Token buckets in the kernel: `octroi_gate::bucket` with words that all CPUs share.

use core::intrinsics::{AtomicOrdering, atomic_cxchg};

use aya_ebpf::{helpers::generated::bpf_ktime_get_boot_ns, macros::map, maps::LruHashMap};
use octroi_abi::Bucket;
use octroi_gate::bucket::{self, Word, admit};

use crate::generation::Loaded;

/// Buckets of sources. Made with one entry where no rule limits by source.
#[map]
static BUCKETS: LruHashMap<Bucket, u64> = LruHashMap::with_max_entries(1, 0);

/// Whether a packet of that source is within the limit of that number; takes it from the bucket.
#[inline(always)]
pub(crate) fn admits(number: u32, source: u64, family: u32) -> bool {
    let Some(limit) = Loaded.limit(number) else { return false };
    // SAFETY: the limit of that number, in a map; nobody writes these while it runs.
    let (rate, burst, per_source) = unsafe { ((*limit).rate, (*limit).burst, (*limit).per_source) };
    let rate = bucket::Limit::new(rate, burst);
    // SAFETY: a helper without arguments.
    let now = unsafe { bpf_ktime_get_boot_ns() };
    if per_source == 0 {
        // SAFETY: within the limit of that number, as above.
        return admit(&Shared(unsafe { &raw mut (*limit).word }), &rate, now);
    }
    let key = Bucket { source, limit: number, family };
    if let Some(word) = BUCKETS.get_ptr_mut(key) {
        return admit(&Shared(word), &rate, now);
    }
    let first = rate.take(0, now);
    if BUCKETS.insert(key, first.state, BPF_NOEXIST).is_ok() {
        return first.allowed;
    }
    // Another CPU was faster. Without memory for it, a source has no rate.
    match BUCKETS.get_ptr_mut(key) {
        Some(word) => admit(&Shared(word), &rate, now),
        None => false,
    }
}

const BPF_NOEXIST: u64 = 1;

/// A word in a map.
struct Shared(*mut u64);

impl Word for Shared {
    #[inline(always)]
    fn load(&self) -> u64 {
        // SAFETY: a map's value, aligned to 8 bytes.
        unsafe { core::ptr::read_volatile(self.0) }
    }

    #[inline(always)]
    fn compare_exchange(&self, old: u64, new: u64) -> u64 {
        // SAFETY: as above.
        unsafe {
            atomic_cxchg::<u64, { AtomicOrdering::SeqCst }, { AtomicOrdering::SeqCst }>(self.0, old, new).0
        }
    }
}
