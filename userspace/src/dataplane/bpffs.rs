//! The directory on a BPF file system where octroi's pins are: who may write there, and what lies in it.

use std::{
    ffi::CString,
    fs::{self, File},
    io,
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, MetadataExt},
    },
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use octroi_abi::ABI_VERSION;

use super::{
    attach::{is_link, netns},
    kept,
};

/// BPF_FS_MAGIC (include/uapi/linux/magic.h).
const BPF_FS_MAGIC: i64 = 0xcafe_4a11;

/// Why the directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BpffsError {
    /// No BPF file system there, and none could be mounted.
    #[error(
        "{path}: not on a BPF file system, and mounting one failed: {error}; run: mount -t bpf bpf {mount}"
    )]
    NotMounted {
        /// The directory.
        path: PathBuf,
        /// Where one would have to be mounted.
        mount: PathBuf,
        /// Why mounting failed.
        error: io::Error,
    },
    /// Pins can be on a BPF file system only.
    #[error("{path}: not on a BPF file system; give [control] pins a directory below /sys/fs/bpf")]
    Elsewhere {
        /// The directory.
        path: PathBuf,
    },
    /// A link could lead anywhere.
    #[error(
        "{path}: a symbolic link or a file, where octroi's directory of pins belongs, and octroi follows none; find out \
         who made it, and remove it by hand"
    )]
    NotADirectory {
        /// What is in the way.
        path: PathBuf,
    },
    /// The directory is another user's.
    #[error(
        "{path}: belongs to user {}, and octroi runs as user {}, which takes over no pins that somebody else could have \
         replaced; run octroi as the owner (the systemd unit does as user octroi), or stop the owner's daemon and run, \
         as root: octroi detach --all",
        user(*.owner),
        user(*.own)
    )]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// Its owner's id.
        owner: u32,
        /// The id of the user that octroi runs as.
        own: u32,
    },
    /// Another daemon has these pins.
    #[error(
        "{path}: another octroi uses these pins; stop it (systemctl stop octroi), or give this one others with [control] pins"
    )]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// Not only its owner may write there.
    #[error("{path}: has mode {mode:03o}, so that others could replace pins; run: chmod 0700 {path}")]
    Writable {
        /// The directory.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// This user is not let in.
    #[error("{path}: permission denied to user {}; {next}", user(*.own))]
    Denied {
        /// The file or directory.
        path: PathBuf,
        /// The id of the user that octroi runs as.
        own: u32,
        /// What helps.
        next: &'static str,
    },
    /// A filter that goes with the pins stays.
    #[error(
        "remove the tc filter that sets marks from interface {index}: {error}; run octroi detach as root, or remove it by hand: tc \
         filter show dev NAME ingress"
    )]
    Filter {
        /// The interface's index.
        index: u32,
        /// The kernel's reason.
        error: io::Error,
    },
    /// Anything else.
    #[error("{path}: {error}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What went wrong.
        error: io::Error,
    },
}

impl BpffsError {
    /// What went wrong with a path; where it is a lack of permission, `next` is what helps.
    pub(super) fn io(path: impl Into<PathBuf>, error: io::Error, next: &'static str) -> Self {
        let path = path.into();
        match error.kind() {
            io::ErrorKind::PermissionDenied => Self::Denied { path, own: own_user(), next },
            _ => Self::Io { path, error },
        }
    }
}

/// What a user needs who is kept out.
const LET_IN: &str = "it has to own that directory and to be let through to it: as root, run systemd-tmpfiles --create \
                      octroi.conf, or run octroi as root";

/// What the names of directories begin with that are there for one load.
pub(super) const SCRATCH: &str = "load-";

/// The name of the directory below the configured one: pins of another ABI are not looked at.
pub(super) fn version_directory() -> String {
    format!("v{ABI_VERSION}")
}

/// Whether a directory is named as one for pins of some ABI version.
pub(super) fn is_version(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let number = name.and_then(|name| name.strip_prefix('v'));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The directory of pins of this ABI version.
#[derive(Debug)]
pub struct Pins {
    directory: PathBuf,
    /// Locked while a daemon has it.
    lock: Option<File>,
}

impl Pins {
    /// Opens or makes the directory below `base`, which is `/sys/fs/bpf/octroi` unless configured otherwise. Where no
    /// BPF file system is mounted at `/sys/fs/bpf`, one is.
    ///
    /// # Errors
    /// When there is none and none can be mounted, or when others may write there.
    pub fn open(base: &Path) -> Result<Self, BpffsError> {
        require_bpffs(base.parent().unwrap_or(base), base)?;
        let directory = base.join(version_directory());
        let own = own_user();
        // Root may have made the first for us, as systemd-tmpfiles does; pins are made in the second, by us alone.
        for (path, owners) in [(base, [own, 0]), (&directory, [own, own])] {
            match make(path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(BpffsError::io(path, error, LET_IN));
                }
                _ => check_owner(path, owners)?,
            }
        }
        Ok(Self { directory, lock: None })
    }

    /// Keeps other daemons away from these pins as long as this value lives.
    ///
    /// # Errors
    /// When another one has them, of whichever version.
    pub fn lock(&mut self) -> Result<(), BpffsError> {
        if self.lock.is_some() {
            return Ok(());
        }
        for path in self.of_other_versions("") {
            let held = File::open(&path).map(|directory| directory.try_lock());
            if matches!(held, Ok(Err(fs::TryLockError::WouldBlock))) {
                return Err(BpffsError::InUse { path });
            }
        }
        let path = &self.directory;
        let file = File::open(path).map_err(|error| BpffsError::io(path, error, LET_IN))?;
        match file.try_lock() {
            Ok(()) => self.lock = Some(file),
            Err(fs::TryLockError::WouldBlock) => return Err(BpffsError::InUse { path: path.clone() }),
            Err(fs::TryLockError::Error(error)) => return Err(BpffsError::io(path, error, LET_IN)),
        }
        Ok(())
    }

    /// What the configured directory is in.
    pub(super) fn mount(&self) -> Option<&Path> {
        self.directory.parent()?.parent()
    }

    /// Where the pin with that name is.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// What `known` makes of the names of all pins. What loads left that were killed is removed: only the daemon that
    /// holds the lock loads anything here.
    pub(super) fn left<T>(&self, known: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, BpffsError> {
        let entries =
            fs::read_dir(&self.directory).map_err(|error| BpffsError::io(&self.directory, error, LET_IN))?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let names: Vec<String> = names.collect();
        for name in names.iter().filter(|name| name.starts_with(SCRATCH)) {
            remove_with_pins(&self.directory.join(name));
        }
        Ok(names.iter().filter_map(|name| known(name)).collect())
    }

    /// Makes the directories again, where somebody removed them.
    pub(super) fn restore(&self) -> Result<(), BpffsError> {
        for path in self.directory.parent().into_iter().chain([self.directory.as_path()]) {
            match make(path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(BpffsError::io(path, error, LET_IN));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Where pins with that name are in directories of other ABI versions.
    pub(super) fn of_other_versions(&self, name: &str) -> Vec<PathBuf> {
        let base = self.directory.parent().and_then(|base| fs::read_dir(base).ok());
        let others = base.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
        let others = others.filter(|directory| *directory != self.directory && is_version(directory));
        others.map(|directory| directory.join(name)).filter(|pin| pin.exists()).collect()
    }

    /// A directory that goes with the returned value.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn scratch(&self) -> Result<Scratch, BpffsError> {
        self.restore()?;
        Scratch::make(&self.directory, SCRATCH)
    }

    /// Removes what is of no use without a link, and the directories, if there is nothing else in them.
    pub fn tidy(&self) {
        let is_link = |name: &str| name.ends_with(&netns()) && is_link(name);
        if self.left(|name| is_link(name).then_some(())).is_ok_and(|links| links.is_empty()) {
            kept::forget(self);
        }
        // A directory that is not empty stays: that is what these calls are for.
        let _ = fs::remove_dir(&self.directory);
        if let Some(base) = self.directory.parent() {
            let _ = fs::remove_dir(base);
        }
    }
}

/// Pins that only one load needs, to hand maps to the loader.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    /// Locked as long as its process lives: what is not is left by one that was killed. Process ids tell less: they come again,
    /// and differ from one container to the next.
    _lock: File,
}

/// What the names of such directories begin with beside the pins' own.
pub(super) const SCRATCH_APART: &str = "octroi-load-";

impl Scratch {
    /// A directory on the BPF file system at `mount` that nobody but this process knows of: for programs that are never
    /// attached, beside a daemon whose directory may be another user's. Where none is mounted, one is.
    ///
    /// # Errors
    /// When there is none and none can be mounted, or when this user may not write there.
    pub fn apart(mount: &Path) -> Result<Self, BpffsError> {
        require_bpffs(mount, mount)?;
        Self::make(mount, SCRATCH_APART)
    }

    fn make(directory: &Path, prefix: &str) -> Result<Self, BpffsError> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let mut attempts = 100;
        loop {
            attempts -= 1;
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = directory.join(format!("{prefix}{}-{number}", std::process::id()));
            match make(&path) {
                Ok(()) => {
                    // Where somebody swept it away before it was locked, there is another number.
                    if let Some(lock) = lock_there(&path) {
                        return Ok(Self { path, _lock: lock });
                    }
                    if attempts == 0 {
                        let error = io::Error::other("removed as soon as it was made");
                        return Err(BpffsError::io(path, error, "run octroi as root"));
                    }
                }
                // Left by a process that was killed and had this id, or made by somebody who wants to be in the way.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && attempts > 0 => {}
                Err(error) => return Err(BpffsError::io(path, error, "run octroi as root")),
            }
        }
    }

    /// Where the pin with that name goes.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        remove_with_pins(&self.path);
    }
}

/// Removes a directory with what is in it, as far as that goes.
fn remove_with_pins(path: &Path) {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        let _ = fs::remove_file(entry.path());
    }
    let _ = fs::remove_dir(path);
}

/// The directory at that path, locked; `None` where it is not there any more, or somebody else has it.
fn lock_there(path: &Path) -> Option<File> {
    let lock = File::open(path).ok()?;
    lock.try_lock().ok()?;
    let same = fs::symlink_metadata(path).ok()?.ino() == lock.metadata().ok()?.ino();
    same.then_some(lock)
}

/// Makes a directory for this user only.
fn make(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(path)
}

/// Where systemd mounts a BPF file system, and octroi where nobody did.
pub const USUAL: &str = "/sys/fs/bpf";

/// Sees to it that a BPF file system is at `at`, for `path`: mounts one at the usual place, where there is none.
fn require_bpffs(at: &Path, path: &Path) -> Result<(), BpffsError> {
    if is_bpffs(at) {
        return Ok(());
    }
    // Anywhere else, a mount would hide what is there.
    if at != Path::new(USUAL) {
        return Err(BpffsError::Elsewhere { path: path.into() });
    }
    mount(at).map_err(|error| BpffsError::NotMounted { path: path.into(), mount: at.into(), error })?;
    tracing::warn!(
        path = %at.display(),
        "mounted a BPF file system, which goes with this mount namespace: under `ip netns exec`, the gate would open with \
         the daemon's end; use `nsenter --net=` instead"
    );
    Ok(())
}

/// Whether a path is on a BPF file system.
#[must_use]
pub fn is_bpffs(path: &Path) -> bool {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else { return false };
    // SAFETY: all zeros is a valid `statfs`.
    let mut info: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: a string that ends in NUL, and a structure of the type that the call fills.
    let result = unsafe { libc::statfs(path.as_ptr(), &raw mut info) };
    result == 0 && info.f_type == BPF_FS_MAGIC
}

fn mount(path: &Path) -> io::Result<()> {
    let target = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: strings that end in NUL; no data.
    let result = unsafe {
        libc::mount(
            c"bpf".as_ptr(),
            target.as_ptr(),
            c"bpf".as_ptr(),
            libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC,
            std::ptr::null(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn check_owner(path: &Path, owners: [u32; 2]) -> Result<(), BpffsError> {
    let info = fs::symlink_metadata(path).map_err(|error| BpffsError::io(path, error, LET_IN))?;
    let (path, owner, mode) = (path.into(), info.uid(), info.mode() & 0o777);
    if !info.is_dir() {
        return Err(BpffsError::NotADirectory { path });
    }
    if !owners.contains(&owner) {
        return Err(BpffsError::Foreign { path, owner, own: own_user() });
    }
    if mode & 0o022 != 0 {
        return Err(BpffsError::Writable { path, mode });
    }
    Ok(())
}

fn own_user() -> u32 {
    // SAFETY: the call has no arguments and cannot fail.
    unsafe { libc::geteuid() }
}

/// A user as people know it: the id, and the name where /etc/passwd has one.
fn user(id: u32) -> String {
    let known = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = known.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then_some(name)
    });
    name.map_or_else(|| id.to_string(), |name| format!("{id} ({name})"))
}
