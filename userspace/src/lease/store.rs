//! Where leases are kept over restarts of the daemon: one JSON file, replaced whole.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{Lease, Leases};
use crate::state;

/// Why leases could not be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be read.
    #[error("read the leases in {}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// The file is there, and says something else.
    #[error("read the leases in {}: {error}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong, and in which line.
        error: serde_json::Error,
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

/// The file's contents.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept<L> {
    leases: L,
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

    /// The leases in the file that are not over at `now`, in nanoseconds since the Unix epoch; none where there is no file.
    ///
    /// # Errors
    /// When the file cannot be read, which [`prepare`](Self::prepare) then refuses to replace, or is broken.
    pub fn read(&mut self, now: u64) -> Result<Leases, StoreError> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Leases::default()),
            Err(error) => {
                self.unread = true;
                return Err(StoreError::Read { path: self.path.clone(), error });
            }
        };
        let kept: Kept<Vec<Lease>> = serde_json::from_slice(&text)
            .map_err(|error| StoreError::Broken { path: self.path.clone(), error })?;
        Ok(kept.leases.into_iter().filter(|lease| !lease.is_over(now)).collect())
    }

    /// Moves the file out of the way, so that the next change does not overwrite it; where it is then: nothing that was moved
    /// there before is overwritten either.
    ///
    /// # Errors
    /// When it stays where it is.
    pub fn set_aside(&self) -> io::Result<PathBuf> {
        state::set_aside(&self.path)
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
            let mut text = serde_json::to_vec_pretty(&Kept { leases: leases.iter().collect::<Vec<_>>() })?;
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
