//! Where leases are kept over restarts of the daemon: one JSON file, replaced whole.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::Serialize;

pub use super::kept::Found;
use super::{Lease, Leases};
use crate::state;

/// Why leases could not be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be read.
    #[error("read the leases in {}: {error}; {}", path.display(), advice(error))]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// The file could not be read, so that a change would lose what is in it.
    #[error(
        "keep the leases in {}: octroi could not read it when it started, and what is in it would be lost; make it readable \
         for the user that octroi runs as, and restart octroi",
        path.display()
    )]
    Unread {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be written.
    #[error(
        "keep the leases in {}: {error}; it has to be writable for the user that octroi runs as ([control] state names the \
         directory)",
        path.display()
    )]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
}

/// What to do about a file that cannot be read.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "read it as root or as the user that octroi runs as, whose it has to be (chown)"
        }
        io::ErrorKind::IsADirectory => "move the directory away, or name another place with [control] state",
        _ => "look at the disk and at what [control] state names",
    }
}

/// The file's contents.
#[derive(Serialize)]
struct Kept<'a> {
    leases: Vec<&'a Lease>,
}

/// The file in the directory for state.
#[derive(Clone, Debug)]
pub struct Store {
    path: PathBuf,
    /// It is there, and could not be read.
    unread: bool,
}

impl Store {
    /// The one in that directory, which need not be there.
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        Self { path: directory.join("leases.json"), unread: false }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The leases in the file that are not over at `now`, in nanoseconds since the Unix epoch, and what in it is none; nothing
    /// where there is no file.
    ///
    /// # Errors
    /// When the file cannot be read, which [`prepare`](Self::prepare) then refuses to replace.
    pub fn read(&mut self, now: u64) -> Result<Found, StoreError> {
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::default()),
            Err(error) => {
                self.unread = true;
                return Err(StoreError::Read { path: self.path.clone(), error });
            }
        };
        let mut found = Found::read(&bytes);
        for over in found.leases.over(now) {
            found.leases.remove(over);
        }
        Ok(found)
    }

    /// Keeps the file as it is under another name, for somebody to correct, and puts those leases in its place; the other
    /// name: nothing that was kept there before is overwritten.
    ///
    /// # Errors
    /// When it stays as it is.
    pub fn set_aside(&self, leases: &Leases) -> Result<PathBuf, StoreError> {
        // First what holds, so that there is no moment without: the file goes under its new name when all else is on disk.
        let prepared = self.prepare(leases)?;
        let aside = state::keep_aside(&self.path)
            .map_err(|error| StoreError::Write { path: self.path.clone(), error })?;
        prepared.commit()?;
        Ok(aside)
    }

    /// Writes these leases to disk, beside the file that holds until [`Prepared::commit`].
    ///
    /// # Errors
    /// When they cannot be written; the file is then as it was.
    pub fn prepare(&self, leases: &Leases) -> Result<Prepared, StoreError> {
        if self.unread {
            return Err(StoreError::Unread { path: self.path.clone() });
        }
        let write = || {
            let mut text = serde_json::to_vec_pretty(&Kept { leases: leases.iter().collect() })?;
            text.push(b'\n');
            state::Prepared::new(&self.path, &text)
        };
        let file = write().map_err(|error| StoreError::Write { path: self.path.clone(), error })?;
        Ok(Prepared { file, path: self.path.clone() })
    }
}

/// Leases on disk that are not kept yet.
#[derive(Debug)]
pub struct Prepared {
    file: state::Prepared,
    path: PathBuf,
}

impl Prepared {
    /// Puts them in the file's place, whole, also where the power fails.
    ///
    /// # Errors
    /// When the file is as it was.
    pub fn commit(self) -> Result<(), StoreError> {
        let Self { file, path } = self;
        file.commit().map_err(|error| StoreError::Write { path, error })
    }
}
