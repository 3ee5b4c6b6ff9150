//! A database that can be read more than once, and is the same each time or an error.

use std::{
    fs::File,
    hash::{DefaultHasher, Hasher},
    io::{Read, Seek},
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock, PoisonError},
    time::UNIX_EPOCH,
};

use super::{Database, DatabaseError, Kind};

/// Where a database is read from.
///
/// A file is held open: replaced or removed, it can still be read as it was. One that was written into cannot, and the
/// next reading says so. That costs no memory, and the disk space of a file that nobody else has any more.
#[derive(Debug)]
pub struct Original {
    kind: Kind,
    /// `None`: the table inside this program.
    file: Option<Held>,
}

#[derive(Debug)]
struct Held {
    path: PathBuf,
    /// Locked while it is read, since it has one position.
    file: Mutex<File>,
    first: OnceLock<Seen>,
}

/// What the first reading found.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// Of all bytes.
    fingerprint: u64,
    /// Time of the last change, in seconds since 1970.
    modified: i64,
}

impl Original {
    /// Opens a file; without one, the table inside this program stands for it.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(kind: Kind, path: Option<&Path>) -> Result<Self, DatabaseError> {
        let held = |path: &Path| match File::open(path) {
            Ok(file) => Ok(Held { path: path.to_owned(), file: Mutex::new(file), first: OnceLock::new() }),
            Err(source) => Err(DatabaseError::Read { path: path.to_owned(), source }),
        };
        Ok(Self { kind, file: path.map(held).transpose()? })
    }

    /// Reads it, whole, and checks all of it: the first time whatever is there, then only the same again.
    ///
    /// # Errors
    /// When the file cannot be read, changes meanwhile, has been written into since the first time, is damaged, or
    /// holds nothing of this kind.
    pub fn read(&self) -> Result<Database, DatabaseError> {
        let Some(Held { path, file, first }) = &self.file else { return Ok(Database::embedded(self.kind)) };
        let (bytes, modified) = read_settled(&file.lock().unwrap_or_else(PoisonError::into_inner), path)?;
        let mut hasher = DefaultHasher::new();
        hasher.write(&bytes);
        let fingerprint = hasher.finish();
        let first = first.get_or_init(|| Seen { fingerprint, modified });
        if first.fingerprint != fingerprint {
            return Err(DatabaseError::Overwritten { path: path.clone() });
        }
        // The first time's: `touch` does not make it another database.
        Database::from_bytes(self.kind, path, &bytes, first.modified)
    }
}

/// The whole file and the time of its last change in seconds since 1970. Size and time must be the same before and
/// after, or somebody is writing into the file.
fn read_settled(mut file: &File, path: &Path) -> Result<(Vec<u8>, i64), DatabaseError> {
    let failed = |source| DatabaseError::Read { path: path.to_owned(), source };
    let before = file.metadata().map_err(failed)?;
    if before.is_file() {
        file.rewind().map_err(failed)?;
    }
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
    Ok((bytes, seconds))
}
