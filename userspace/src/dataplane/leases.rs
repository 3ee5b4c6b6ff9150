//! Leases in the kernel, shared by all generations: an LPM trie for each family.

use std::{collections::BTreeSet, io, path::PathBuf};

use aya::{
    Ebpf, Pod,
    maps::{Map, MapData, MapError, lpm_trie::Key, lpm_trie::LpmTrie},
};
use ipnetwork::IpNetwork;
use octroi_abi::{Lease, MAX_LEASES, Verdict, name};

use super::{DataplaneError, bpffs::Scratch};

/// A lease as aya writes it: the bytes of [`Lease`].
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Raw(Lease);

// SAFETY: one u64 and two u32 without padding; every bit pattern is valid.
unsafe impl Pod for Raw {}

/// The maps of leases, and what is in them.
#[derive(Debug)]
pub struct Leases {
    v4: Trie,
    v6: Trie,
}

/// One family's.
#[derive(Debug)]
struct Trie {
    name: &'static str,
    map: Map,
    prefixes: BTreeSet<IpNetwork>,
}

impl Leases {
    /// Those of an object that was just loaded: none yet.
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, DataplaneError> {
        let mut trie = |name| -> Result<Trie, DataplaneError> {
            let map = ebpf.take_map(name).ok_or(DataplaneError::Missing { name })?;
            Ok(Trie { name, map, prefixes: BTreeSet::new() })
        };
        Ok(Self { v4: trie(name::LEASES_V4)?, v6: trie(name::LEASES_V6)? })
    }

    /// Pins the maps, to hand them to the loader; their names and pins.
    pub(super) fn pin(&self, scratch: &Scratch) -> Result<[(&'static str, PathBuf); 2], DataplaneError> {
        Ok([self.v4.pin(scratch)?, self.v6.pin(scratch)?])
    }

    /// How many there are, of both families.
    #[must_use]
    pub fn count(&self) -> u32 {
        u32::try_from(self.v4.prefixes.len() + self.v6.prefixes.len()).unwrap_or(u32::MAX)
    }

    /// Gives the sources of a prefix a verdict until that time, in nanoseconds since the Unix epoch, in place of the lease that
    /// the prefix may have.
    ///
    /// # Errors
    /// When no more fit, or the kernel does not take it; then nothing has changed.
    pub(super) fn set(
        &mut self,
        prefix: IpNetwork,
        verdict: Verdict,
        until: u64,
    ) -> Result<(), DataplaneError> {
        let trie = self.of(prefix);
        if trie.prefixes.len() >= MAX_LEASES as usize && !trie.prefixes.contains(&prefix) {
            return Err(DataplaneError::LeasesFull { prefix });
        }
        let lease = Lease { until, verdict: u32::from(verdict as u8), length: prefix.prefix().into() };
        let inserted = match prefix {
            IpNetwork::V4(network) => trie.insert(network.network().octets(), lease),
            IpNetwork::V6(network) => trie.insert(network.network().octets(), lease),
        };
        inserted.map_err(|error| DataplaneError::Lease { prefix, error })?;
        trie.prefixes.insert(prefix);
        Ok(())
    }

    /// Takes away the lease of a prefix, where it has one.
    ///
    /// # Errors
    /// When the kernel keeps it.
    pub(super) fn remove(&mut self, prefix: IpNetwork) -> Result<(), DataplaneError> {
        let trie = self.of(prefix);
        if !trie.prefixes.contains(&prefix) {
            return Ok(());
        }
        let length = prefix.prefix();
        let removed = match prefix {
            IpNetwork::V4(network) => trie.remove(network.network().octets(), length),
            IpNetwork::V6(network) => trie.remove(network.network().octets(), length),
        };
        removed.map_err(|error| DataplaneError::Lease { prefix, error })?;
        trie.prefixes.remove(&prefix);
        Ok(())
    }

    fn of(&mut self, prefix: IpNetwork) -> &mut Trie {
        if prefix.is_ipv4() { &mut self.v4 } else { &mut self.v6 }
    }
}

/// An address's bytes are in the order in which a packet has them.
impl Trie {
    fn pin(&self, scratch: &Scratch) -> Result<(&'static str, PathBuf), DataplaneError> {
        let path = scratch.path(self.name);
        let Map::LpmTrie(data) = &self.map else { unreachable!("the loader made it an LPM trie") };
        data.pin(&path).map_err(|error| DataplaneError::Map {
            name: self.name,
            bytes: 0,
            error: io::Error::other(error),
        })?;
        Ok((self.name, path))
    }

    fn insert<const N: usize>(&mut self, address: [u8; N], lease: Lease) -> Result<(), MapError> {
        let mut trie: LpmTrie<&mut MapData, [u8; N], Raw> = (&mut self.map).try_into()?;
        trie.insert(&Key::new(lease.length, address), Raw(lease), 0)
    }

    fn remove<const N: usize>(&mut self, address: [u8; N], length: u8) -> Result<(), MapError> {
        let mut trie: LpmTrie<&mut MapData, [u8; N], Raw> = (&mut self.map).try_into()?;
        trie.remove(&Key::new(length.into(), address))
    }
}
