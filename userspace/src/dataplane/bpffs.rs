//! The directory on a BPF file system where octroi's pins are: who may write there, and what lies in it.

use std::{
    ffi::CString,
    fs, io,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use octroi_abi::ABI_VERSION;

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
    /// Somebody else may write there.
    #[error("{path}: owned by user {owner} with mode {mode:03o}; refusing pins that others could replace")]
    NotOurs {
        /// The directory.
        path: PathBuf,
        /// Its owner's id.
        owner: u32,
        /// Its permissions.
        mode: u32,
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

/// The directory of pins of this ABI version.
#[derive(Clone, Debug)]
pub struct Pins {
    directory: PathBuf,
}

impl Pins {
    /// Opens or makes the directory below `base`, which is `/sys/fs/bpf/octroi` unless configured otherwise. Where no
    /// BPF file system is mounted at `/sys/fs/bpf`, one is.
    ///
    /// # Errors
    /// When there is none and none can be mounted, or when others may write there.
    pub fn open(base: &Path) -> Result<Self, BpffsError> {
        let parent = base.parent().unwrap_or(base);
        if !is_bpffs(parent) {
            mount(parent).map_err(|error| BpffsError::NotMounted {
                path: base.into(),
                mount: parent.into(),
                error,
            })?;
            tracing::info!(path = %parent.display(), "mounted a BPF file system");
        }
        let directory = base.join(format!("v{ABI_VERSION}"));
        for path in [base, &directory] {
            match fs::create_dir(path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(BpffsError::Io { path: path.into(), error });
                }
                _ => check_owner(path)?,
            }
        }
        Ok(Self { directory })
    }

    /// Where the pin with that name is.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The names of all pins.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn names(&self) -> Result<Vec<String>, BpffsError> {
        let error = |error| BpffsError::Io { path: self.directory.clone(), error };
        let entries = fs::read_dir(&self.directory).map_err(error)?;
        Ok(entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect())
    }

    /// A directory that goes with the returned value.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn scratch(&self) -> Result<Scratch, BpffsError> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = self.directory.join(format!("load-{}-{number}", std::process::id()));
        fs::create_dir(&path).map_err(|error| BpffsError::Io { path: path.clone(), error })?;
        Ok(Scratch { path })
    }

    /// Removes the directories if nothing is left in them.
    pub fn remove_if_empty(&self) {
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
}

impl Scratch {
    /// Where the pin with that name goes.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        for entry in fs::read_dir(&self.path).into_iter().flatten().flatten() {
            let _ = fs::remove_file(entry.path());
        }
        let _ = fs::remove_dir(&self.path);
    }
}

fn is_bpffs(path: &Path) -> bool {
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

fn check_owner(path: &Path) -> Result<(), BpffsError> {
    let info = fs::symlink_metadata(path).map_err(|error| BpffsError::Io { path: path.into(), error })?;
    // SAFETY: the call has no arguments and cannot fail.
    let own = unsafe { libc::geteuid() };
    let mode = info.mode() & 0o777;
    let owner = info.uid();
    if !info.is_dir() || (owner != own && owner != 0) || mode & 0o022 != 0 {
        return Err(BpffsError::NotOurs { path: path.into(), owner, mode });
    }
    Ok(())
}
