//! Counters, shared by all generations.

use std::{io, path::Path};

use aya::{
    Pod,
    maps::{Map, PerCpuArray},
};
use octroi_abi::{Counter, slot};

use super::DataplaneError;

/// An element of the map.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Block([Counter; slot::BLOCK as usize]);

// SAFETY: pairs of u64 without padding; every bit pattern is valid.
unsafe impl Pod for Block {}

/// The map of counters.
#[derive(Debug)]
pub struct Counters {
    map: Map,
}

impl Counters {
    pub(super) const fn new(map: Map) -> Self {
        Self { map }
    }

    /// Pins the map.
    pub(super) fn pin(&self, path: &Path) -> io::Result<()> {
        match &self.map {
            Map::PerCpuArray(data) => data.pin(path).map_err(io::Error::other),
            _ => unreachable!("the loader made it a per-CPU array"),
        }
    }

    /// What the slots below `end` stand at, over all CPUs.
    ///
    /// # Errors
    /// When one cannot be read: a count of 0 in its place would look like a restart.
    pub fn read(&self, end: u32) -> Result<Vec<Counter>, DataplaneError> {
        let array = PerCpuArray::<_, Block>::try_from(&self.map).map_err(DataplaneError::Counters)?;
        let mut totals = vec![Counter::default(); end as usize];
        for (index, totals) in (0..).zip(totals.chunks_mut(slot::BLOCK as usize)) {
            let cpus = array.get(&index, 0).map_err(DataplaneError::Counters)?;
            for block in cpus.iter() {
                for (total, count) in totals.iter_mut().zip(&block.0) {
                    total.packets += count.packets;
                    total.bytes += count.bytes;
                }
            }
        }
        Ok(totals)
    }
}

/// Frames without a class, by kind: the word in `octroi_other_packets_total`, and the count.
pub type Other = [(&'static str, Counter); 4];

/// What `counters`, of all slots, say of frames without a class.
pub fn other(counters: &[Counter]) -> Other {
    [
        ("arp", slot::ARP),
        ("non_ip", slot::NON_IP),
        ("neighbour_discovery", slot::NEIGHBOUR_DISCOVERY),
        ("malformed", slot::MALFORMED),
    ]
    .map(|(kind, slot)| (kind, counters[slot as usize]))
}
