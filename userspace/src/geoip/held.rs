//! A file that can be read more than once, and is the same each time or an error.

use std::{
    fs::{File, Metadata},
    hash::{DefaultHasher, Hasher},
    io::{self, Read, Seek},
    os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock, PoisonError},
    time::UNIX_EPOCH,
};

use super::DatabaseError;

/// A file, held open: replaced or removed, it can still be read as it was. One that was written into cannot, and the
/// next reading says so. That costs no memory, and the disk space of a file that nobody else has any more.
#[derive(Debug)]
pub struct Held {
    path: PathBuf,
    /// Locked while it is read, since it has one position.
    file: Mutex<File>,
    first: OnceLock<Seen>,
}

/// What the first reading found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// Of all bytes.
    pub(crate) fingerprint: u64,
    /// Time of the last change, in seconds since 1970.
    modified: i64,
    /// Which file it was.
    pub(crate) identity: Identity,
}

/// What changes whenever somebody replaces a file, or writes into it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    /// Times of the last change to the contents, and to anything, in seconds and nanoseconds: who writes into a file may set
    /// the first one back.
    changed: [(i64, i64); 2],
}

impl Identity {
    /// That of a file.
    #[must_use]
    pub fn of(file: &Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
            size: file.size(),
            changed: [(file.mtime(), file.mtime_nsec()), (file.ctime(), file.ctime_nsec())],
        }
    }
}

impl Held {
    /// Opens a file: a regular one, since others have no end, or wait for somebody.
    ///
    /// # Errors
    /// When it cannot be opened, or is something else.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        // A FIFO would wait for a writer here.
        let opened = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path);
        let file = opened.map_err(|error| match error.raw_os_error() {
            Some(libc::ENXIO) => not_regular("a socket"),
            _ => error,
        })?;
        let kind = file.metadata()?.file_type();
        if !kind.is_file() {
            return Err(not_regular(match () {
                () if kind.is_dir() => "a directory",
                () if kind.is_fifo() => "a FIFO",
                () => "a device",
            }));
        }
        Ok(Self { path: path.to_owned(), file: Mutex::new(file), first: OnceLock::new() })
    }

    /// As it was named when it was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the first reading found, once there was one.
    pub(crate) fn seen(&self) -> Option<&Seen> {
        self.first.get()
    }

    /// All bytes, and the time of the last change in seconds since 1970: the first time whatever is there, then only
    /// the same again.
    ///
    /// # Errors
    /// When the file cannot be read, changes meanwhile, or has been written into since the first time.
    pub fn read(&self) -> Result<(Vec<u8>, i64), DatabaseError> {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let (bytes, modified, identity) = read_settled(&file, &self.path)?;
        let mut hasher = DefaultHasher::new();
        hasher.write(&bytes);
        let fingerprint = hasher.finish();
        let first = self.first.get_or_init(|| Seen { fingerprint, modified, identity });
        if first.fingerprint != fingerprint {
            return Err(DatabaseError::Overwritten { path: self.path.clone() });
        }
        // The first time's: `touch` does not make it another file.
        Ok((bytes, first.modified))
    }
}

fn not_regular(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("it is {what}, and has to be a regular file"))
}

/// The whole file, the time of its last change in seconds since 1970, and which file it is. Size and time must be the same
/// before and after, or somebody is writing into the file.
fn read_settled(mut file: &File, path: &Path) -> Result<(Vec<u8>, i64, Identity), DatabaseError> {
    let failed = |source| DatabaseError::Read { path: path.to_owned(), source };
    let before = file.metadata().map_err(failed)?;
    file.rewind().map_err(failed)?;
    let mut bytes = Vec::with_capacity(usize::try_from(before.len()).unwrap_or(0));
    file.read_to_end(&mut bytes).map_err(failed)?;
    let after = file.metadata().map_err(failed)?;
    let modified = before.modified().map_err(failed)?;
    if before.len() != bytes.len() as u64
        || after.len() != before.len()
        || after.modified().map_err(failed)? != modified
    {
        return Err(DatabaseError::Changed { path: path.to_owned() });
    }
    let seconds = match modified.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Err(earlier) => -i64::try_from(earlier.duration().as_secs()).unwrap_or(i64::MAX),
    };
    Ok((bytes, seconds, Identity::of(&after)))
}
