//! Clearing away what a daemon left, whoever it ran as.
//!
//! Root does this in directories of a user with fewer rights. So everything goes by descriptors of directories, and by
//! names in them: no symbolic link is followed, whenever somebody puts one there.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::{fd::AsRawFd, unix::fs::OpenOptionsExt},
    path::{Path, PathBuf},
};

use aya::programs::{loaded_links, loaded_programs};
use octroi_abi::name;

use super::{
    attach::{is_link, netns, pin_index},
    bpffs::{BpffsError, SCRATCH, SCRATCH_APART, is_bpffs, is_version},
    clsact, interfaces,
    kept::is_kept,
};

const AS_ROOT: &str = "run octroi detach as root";

/// What [`remove_pins`] did.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Removed {
    /// How many programs it detached.
    pub programs: usize,
    /// Those of other network namespaces, which it left: how many, by the namespace's number.
    pub elsewhere: BTreeMap<u64, usize>,
}

/// Removes the pins below `base` of every interface of this network namespace, or of all namespaces; `None` where there is
/// no such directory.
///
/// # Errors
/// When the directory cannot be read, is not what it has to be, or a pin cannot be removed.
pub fn remove_pins(base: &Path, all: bool) -> Result<Option<Removed>, BpffsError> {
    if let Some(mount) = base.parent().filter(|_| all) {
        sweep(mount);
    }
    let Some(outer) = Directory::open(base, base.to_owned())? else { return Ok(None) };
    if !is_bpffs(&outer.reach("")) {
        return Err(BpffsError::Elsewhere { path: base.into() });
    }
    let own = netns();
    let mut removed = Removed::default();
    // Other ABI versions' too: an older octroi may have left them.
    for version in outer.names()?.into_iter().filter(|name| is_version(Path::new(name))) {
        let Some(pins) = outer.child(&version)? else { continue };
        // A daemon that other configurations know of: it would attach again.
        if matches!(pins.file.try_lock(), Err(TryLockError::WouldBlock)) {
            return Err(BpffsError::InUse { path: pins.path });
        }
        for name in pins.names()? {
            let ours = all || name.ends_with(&own);
            if ours && (is_link(&name) || is_kept(&name)) {
                if let Some(index) = pin_index(&name) {
                    remove_filter(index)?;
                }
                pins.remove(&name)?;
                removed.programs += usize::from(is_link(&name));
            } else if all && name.starts_with(SCRATCH) {
                pins.remove_scratch(&name)?;
            } else if is_link(&name)
                && let Some(namespace) = namespace(&name)
            {
                *removed.elsewhere.entry(namespace).or_default() += 1;
            }
        }
        // A directory that is not empty stays: that is what this call is for, and the one below.
        let _ = fs::remove_dir(outer.reach(&version));
    }
    let _ = fs::remove_dir(base);
    Ok(Some(removed))
}

/// The interfaces of this network namespace that are filtered by what is pinned below `base`, daemon or not; none where nobody may
/// look.
#[must_use]
pub fn filtered_by_pins(base: &Path) -> Vec<String> {
    let Ok(Some(outer)) = Directory::open(base, base.to_owned()) else { return Vec::new() };
    let versions = outer.names().unwrap_or_default().into_iter().filter(|name| is_version(Path::new(name)));
    let pins = versions.filter_map(|version| outer.child(&version).ok()??.names().ok()).flatten();
    let indices: BTreeSet<u32> = pins.filter_map(|pin| pin_index(&pin)).collect();
    let present = interfaces::list().unwrap_or_default().into_iter();
    let filtered = present.filter(|one| one.xdp.is_some() && indices.contains(&one.index));
    filtered.map(|one| one.name).collect()
}

/// Removes the filter that sets marks where there is no link for it. What the gate has pinned there tells that it is this gate's.
fn remove_filter(index: u32) -> Result<(), BpffsError> {
    match clsact::remove(index) {
        // The interface is gone, and took it along.
        Err(error) if error.raw_os_error() != Some(libc::ENODEV) => Err(BpffsError::Filter { index, error }),
        _ => Ok(()),
    }
}

/// Removes what loads beside the pins left whose process was killed: directories that nobody has locked. What another user
/// left stays where this one may not remove it.
pub(super) fn sweep(mount: &Path) {
    let Ok(Some(mount)) = Directory::open(mount, mount.to_owned()) else { return };
    for name in mount.names().unwrap_or_default() {
        if !name.starts_with(SCRATCH_APART) || !is_bpffs(&mount.reach("")) {
            continue;
        }
        if let Ok(Some(scratch)) = mount.child(&name)
            && scratch.file.try_lock().is_ok()
        {
            let _ = mount.remove_scratch(&name);
        }
    }
}

/// The network namespace's number in the name of a pin.
fn namespace(pin: &str) -> Option<u64> {
    pin.rsplit_once("-netns-")?.1.parse().ok()
}

/// How many links the kernel has of octroi's XDP programs, in whichever namespace and wherever they are pinned; 0 for who may
/// not ask.
#[must_use]
pub fn links_in_kernel() -> usize {
    let named = |name: &str| [name::XDP_PROGRAM, name::XDP_FRAGS_PROGRAM].contains(&name);
    let programs: BTreeSet<u32> = loaded_programs()
        .filter_map(Result::ok)
        .filter(|program| program.name_as_str().is_some_and(named))
        .map(|program| program.id())
        .collect();
    loaded_links().filter_map(Result::ok).filter(|link| programs.contains(&link.program_id())).count()
}

/// An open directory: whatever happens to its name, it stays the same one.
struct Directory {
    file: File,
    path: PathBuf,
}

impl Directory {
    /// Opens the directory that is reached as `reach` and known as `path`; `None` where there is none.
    fn open(reach: &Path, path: PathBuf) -> Result<Option<Self>, BpffsError> {
        let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW;
        match OpenOptions::new().read(true).custom_flags(flags).open(reach) {
            Ok(file) => Ok(Some(Self { file, path })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOTDIR | libc::ELOOP)) => {
                Err(BpffsError::NotADirectory { path })
            }
            Err(error) => Err(BpffsError::io(path, error, AS_ROOT)),
        }
    }

    /// A path by which the kernel goes from the descriptor to the name, and nowhere else.
    fn reach(&self, name: &str) -> PathBuf {
        format!("/proc/self/fd/{}/{name}", self.file.as_raw_fd()).into()
    }

    fn child(&self, name: &str) -> Result<Option<Self>, BpffsError> {
        Self::open(&self.reach(name), self.path.join(name))
    }

    fn names(&self) -> Result<Vec<String>, BpffsError> {
        let entries =
            fs::read_dir(self.reach("")).map_err(|error| BpffsError::io(&self.path, error, AS_ROOT))?;
        Ok(entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect())
    }

    fn remove(&self, name: &str) -> Result<(), BpffsError> {
        let removed = fs::remove_file(self.reach(name));
        removed.map_err(|error| BpffsError::io(self.path.join(name), error, AS_ROOT))
    }

    /// Removes what a load left that was killed.
    fn remove_scratch(&self, name: &str) -> Result<(), BpffsError> {
        if let Some(scratch) = self.child(name)? {
            for name in scratch.names()? {
                scratch.remove(&name)?;
            }
        }
        let removed = fs::remove_dir(self.reach(name));
        removed.map_err(|error| BpffsError::io(self.path.join(name), error, AS_ROOT))
    }
}
