//! Counters, shared by all generations.

use aya::{
    Pod,
    maps::{Map, MapData, PerCpuArray},
};
use octroi_abi::{Counter, slot};

/// A counter as aya reads it: the bytes of [`Counter`].
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Raw(Counter);

// SAFETY: two u64 without padding; every bit pattern is valid.
unsafe impl Pod for Raw {}

/// The map of counters.
#[derive(Debug)]
pub struct Counters {
    map: Map,
}

impl Counters {
    pub(super) const fn new(map: Map) -> Self {
        Self { map }
    }

    pub(super) fn data(&self) -> &MapData {
        match &self.map {
            Map::PerCpuArray(data) => data,
            _ => unreachable!("the loader made it a per-CPU array"),
        }
    }

    /// What a slot stands at, over all CPUs; zero for a slot that does not exist.
    #[must_use]
    pub fn read(&self, slot: u32) -> Counter {
        let read = || {
            let array = PerCpuArray::<_, Raw>::try_from(&self.map).ok()?;
            array.get(&slot, 0).ok()
        };
        let mut total = Counter::default();
        for value in read().iter().flat_map(|values| values.iter()) {
            total.packets += value.0.packets;
            total.bytes += value.0.bytes;
        }
        total
    }

    /// Frames without a class, by kind: the word in `octroi_other_packets_total`, and the count.
    pub fn other(&self) -> impl Iterator<Item = (&'static str, Counter)> + '_ {
        [
            ("arp", slot::ARP),
            ("non_ip", slot::NON_IP),
            ("neighbour_discovery", slot::NEIGHBOUR_DISCOVERY),
            ("malformed", slot::MALFORMED),
        ]
        .into_iter()
        .map(|(kind, slot)| (kind, self.read(slot)))
    }
}
