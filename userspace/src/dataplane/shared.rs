//! What all generations share: counters and leases. The first generation's load makes them.

use std::path::PathBuf;

use aya::Ebpf;
use octroi_abi::name;

use super::{DataplaneError, bpffs::Scratch, counters::Counters, leases::Leases};

/// The maps that outlive generations.
#[derive(Debug)]
pub struct Shared {
    /// Packets and bytes by slot.
    pub(super) counters: Counters,
    /// Temporary exceptions and bans.
    pub(super) leases: Leases,
}

impl Shared {
    /// Packets and bytes by slot.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Those of an object that was just loaded.
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, DataplaneError> {
        let counters =
            ebpf.take_map(name::COUNTERS).ok_or(DataplaneError::Missing { name: name::COUNTERS })?;
        Ok(Self { counters: Counters::new(counters), leases: Leases::take(ebpf)? })
    }

    /// Pins them, to hand them to the loader; their names and pins.
    pub(super) fn pin(&self, scratch: &Scratch) -> Result<Vec<(&'static str, PathBuf)>, DataplaneError> {
        let path = scratch.path("counters");
        self.counters.pin(&path).map_err(|error| DataplaneError::Map {
            name: name::COUNTERS,
            bytes: 0,
            error,
        })?;
        let mut pins = vec![(name::COUNTERS, path)];
        pins.extend(self.leases.pin(scratch)?);
        Ok(pins)
    }
}
