//! What outlives the daemon beside the links: the counters, and what each of them means.
//!
//! Both are pinned before anything is attached that counts by them, and the meaning again before each step to a generation that
//! counts more. Whoever starts takes over both, or begins anew: counters that nobody can read are worth nothing.

use std::{fs, io, os::fd::AsFd, path::PathBuf};

use aya::maps::{Map, MapData, MapType};
use octroi_abi::{Counter, slot};

use super::{
    attach::netns,
    bpffs::Pins,
    counters::Counters,
    sys::{Mapped, create_mappable},
};

/// What an earlier daemon left.
#[derive(Debug)]
pub struct Kept {
    /// What the slots stand at.
    pub counters: Counters,
    /// What they mean, as [`write_meaning`] was given it.
    pub meaning: Vec<u8>,
}

/// What an earlier daemon left in this network namespace, of whichever version; `None` where there is nothing, or nothing that
/// this version can count on with. The caller holds the lock.
pub fn find(pins: &Pins) -> Option<Kept> {
    if let Some(kept) = open(&pins.path(&counters_name()), &pins.path(&meaning_name())) {
        return Some(kept);
    }
    // Half of it is nothing.
    forget(pins);
    for counters in pins.of_other_versions(&counters_name()) {
        let Some(kept) = open(&counters, &counters.with_file_name(meaning_name())) else { continue };
        match write_meaning(pins, &kept.meaning).and_then(|()| kept.counters.pin(&counters_path(pins))) {
            Ok(()) => {
                tracing::info!(pin = %counters.display(), "counting goes on from another version's counters");
                return Some(kept);
            }
            Err(error) => {
                tracing::warn!(%error, pin = %counters.display(), "take over another version's counters")
            }
        }
        forget(pins);
    }
    None
}

/// The pin of the counters of this network namespace.
pub(super) fn counters_path(pins: &Pins) -> PathBuf {
    pins.path(&counters_name())
}

/// Pins what the slots mean, in the place of what they meant before, at once.
///
/// # Errors
/// When the kernel has no memory for it, or the directory takes no pin.
pub(super) fn write_meaning(pins: &Pins, meaning: &[u8]) -> io::Result<()> {
    // A map's value cannot be empty.
    let map = create_mappable("meaning", meaning.len().max(1), 1)?;
    Mapped::new(&map, meaning.len().max(1))?.write(meaning);
    let map = MapData::from_fd(map).map_err(io::Error::other)?;
    let new = pins.path(&format!("meaning-new{}", netns()));
    // Left by a daemon that was killed here.
    let _ = fs::remove_file(&new);
    map.pin(&new).map_err(io::Error::other)?;
    fs::rename(new, pins.path(&meaning_name()))
}

/// Removes both pins: what starts next begins anew.
pub fn forget(pins: &Pins) {
    // What is not there need not be removed.
    let _ = fs::remove_file(counters_path(pins));
    forget_meaning(pins);
}

/// Removes the meaning's pin; without it, the counters' is worth nothing.
pub(super) fn forget_meaning(pins: &Pins) {
    let _ = fs::remove_file(pins.path(&meaning_name()));
}

/// Removes what was taken over from other versions.
pub(super) fn forget_other_versions(pins: &Pins) {
    for name in [counters_name(), meaning_name()] {
        for pin in pins.of_other_versions(&name) {
            let _ = fs::remove_file(&pin);
            // Other network namespaces may have pins there, too: then it stays.
            let _ = pin.parent().map(fs::remove_dir);
        }
    }
}

/// Whether a pin's name is one of these.
pub(super) fn is_kept(name: &str) -> bool {
    name.starts_with("counters-netns-") || name.starts_with("meaning-")
}

fn counters_name() -> String {
    format!("counters{}", netns())
}

fn meaning_name() -> String {
    format!("meaning{}", netns())
}

fn open(counters: &std::path::Path, meaning: &std::path::Path) -> Option<Kept> {
    let counters = MapData::from_pin(counters).ok()?;
    let info = counters.info().ok()?;
    let as_ours = info.map_type().ok()? == MapType::PerCpuArray
        && info.value_size() as usize == slot::BLOCK as usize * size_of::<Counter>()
        && info.max_entries() == slot::COUNT / slot::BLOCK;
    let meaning = MapData::from_pin(meaning).ok()?;
    let length = meaning.info().ok()?.value_size() as usize;
    let meaning = Mapped::new(&meaning.fd().as_fd(), length).ok()?.read();
    as_ours.then_some(Kept { counters: Counters::new(Map::PerCpuArray(counters)), meaning })
}
