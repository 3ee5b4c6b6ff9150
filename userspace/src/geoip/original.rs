//! A database that can be read more than once, and is the same each time or an error.

use std::path::Path;

use super::{Database, DatabaseError, Kind, held::Held};

/// Where a database is read from.
#[derive(Debug)]
pub struct Original {
    kind: Kind,
    /// `None`: the table inside this program.
    file: Option<Held>,
}

impl Original {
    /// Opens a file; without one, the table inside this program stands for it.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(kind: Kind, path: Option<&Path>) -> Result<Self, DatabaseError> {
        let held = |path: &Path| {
            Held::open(path).map_err(|source| DatabaseError::Read { path: path.to_owned(), source })
        };
        Ok(Self { kind, file: path.map(held).transpose()? })
    }

    /// Reads it, whole, and checks all of it: the first time whatever is there, then only the same again.
    ///
    /// # Errors
    /// When the file cannot be read, changes meanwhile, has been written into since the first time, is damaged, or
    /// holds nothing of this kind.
    pub fn read(&self) -> Result<Database, DatabaseError> {
        let Some(file) = &self.file else { return Ok(Database::embedded(self.kind)) };
        let (bytes, modified) = file.read()?;
        Database::from_bytes(self.kind, file.path(), &bytes, modified)
    }

    /// What it is asked for.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The file; `None`: the table inside this program.
    #[must_use]
    pub fn file(&self) -> Option<&Held> {
        self.file.as_ref()
    }
}
