//! Leases: `octroi_gate::lease` over the kernel's LPM tries.
//!
//! No packet comes here while there is no lease, and few leases are worth no table of their own: the kernel's trie will do,
//! which the daemon changes one prefix at a time. What leases say goes from function to function as a number.

use aya_ebpf::{
    macros::map,
    maps::{LpmTrie, lpm_trie::Key},
};
use octroi_abi::{Lease, MAX_LEASES, Verdict};
use octroi_gate::{
    lease::{Leases, decide},
    packet::Source,
};

use crate::generation::Loaded;

/// Leases of IPv4 prefixes. It outlives generations, as the counters do.
#[map]
static LEASES_V4: LpmTrie<u32, Lease> = LpmTrie::with_max_entries(MAX_LEASES, 0);

#[map]
static LEASES_V6: LpmTrie<[u32; 4], Lease> = LpmTrie::with_max_entries(MAX_LEASES, 0);

/// No lease covers the source.
pub(crate) const NONE: u32 = 0;
const PASS: u32 = 1;
const DROP: u32 = 2;

/// What the leases say of a source, as a number.
#[inline(always)]
pub(crate) fn number(source: Source) -> u32 {
    match source {
        Source::V4(address) => lease_v4(address),
        Source::V6 { high, low } => lease_v6(high, low),
    }
}

/// What such a number means.
#[inline(always)]
pub(crate) const fn verdict(number: u32) -> Option<Verdict> {
    match number {
        NONE => None,
        PASS => Some(Verdict::Pass),
        _ => Some(Verdict::Drop),
    }
}

#[inline(always)]
const fn number_of(verdict: Option<Verdict>) -> u32 {
    match verdict {
        None => NONE,
        Some(Verdict::Pass) => PASS,
        Some(_) => DROP,
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn lease_v4(address: u32) -> u32 {
    number_of(decide(&AroundV4(address.to_be()), 32))
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn lease_v6(high: u64, low: u64) -> u32 {
    let word = |half: u64| ((half & 0xffff_ffff) as u32).to_be();
    number_of(decide(&AroundV6([word(high >> 32), word(high), word(low >> 32), word(low)]), 128))
}

/// An IPv4 source, as it stands in a packet.
struct AroundV4(u32);

/// The same for IPv6.
struct AroundV6([u32; 4]);

macro_rules! leases {
    ($around:ty, $trie:ident) => {
        impl Leases for $around {
            #[inline(always)]
            fn covering(&self, length: u32) -> Option<Lease> {
                $trie.get(Key::new(length, self.0)).copied()
            }

            #[inline(always)]
            fn now(&self) -> u64 {
                Loaded.now()
            }
        }
    };
}

leases!(AroundV4, LEASES_V4);
leases!(AroundV6, LEASES_V6);
