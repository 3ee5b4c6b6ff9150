//! Why a database or a list could not be used.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a database or a list could not be used; every message names the file and what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DatabaseError {
    /// What is wrong with the file that somebody named.
    #[error("{name}: {error}")]
    Named {
        /// What names it: a key, or a rule's.
        name: String,
        /// What is wrong.
        error: Box<DatabaseError>,
    },
    /// The file could not be read.
    #[error("read {}: {source}; {}", path.display(), advice(source, "create it, or name another"))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file of a list could not be opened.
    #[error(
        "read {}, which rule \"{rule}\" lists: {source}; {}",
        path.display(),
        advice(source, "create it (it may be empty), or take it out of the rule's list")
    )]
    List {
        /// The file.
        path: PathBuf,
        /// The first rule that lists it.
        rule: String,
        /// What the system said.
        source: io::Error,
    },
    /// The file has no bytes.
    #[error("{} is empty; fetch the database again", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Size or time of last change moved while the file was read.
    #[error("{} changed while it was read; try again when its writer is done", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The file's bytes are not those of the first reading any more.
    #[error("{} was written into after it was loaded, and what was loaded cannot be read any more", path.display())]
    Overwritten {
        /// The file.
        path: PathBuf,
    },
    /// The file is damaged, cut short, or no database at all.
    #[error("{} is not a valid database: {reason}; fetch it again", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file is whole, and holds something else than what was asked for.
    #[error("{} is {found} database (database_type \"{database_type}\"); give it as [geoip] {key}", path.display())]
    OtherKind {
        /// The file.
        path: PathBuf,
        /// What it is, with its article: "an ASN".
        found: &'static str,
        /// What the file calls itself.
        database_type: String,
        /// The key under `[geoip]` that it is for.
        key: &'static str,
    },
    /// The file is whole, and no record in it has the field that was asked for.
    #[error(
        "{} has no record with {wanted} (database_type \"{database_type}\"); give a database that has as [geoip] {key}",
        path.display()
    )]
    Nothing {
        /// The file.
        path: PathBuf,
        /// What was looked for: "a country".
        wanted: &'static str,
        /// What the file calls itself.
        database_type: String,
        /// The key under `[geoip]`.
        key: &'static str,
    },
    /// Lines of a list are not right.
    #[error("{}; correct what is wrong, or put # before it", lines_of(path, lines, *more))]
    Lines {
        /// The file.
        path: PathBuf,
        /// Some of them, counted from 1, and what is wrong with each.
        lines: Vec<(usize, String)>,
        /// How many more there are.
        more: usize,
    },
    /// A line of a CSV file is not right.
    #[error("{}:{line}: {reason}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
}

impl DatabaseError {
    /// The same, with what names the file.
    pub(crate) fn named(self, name: impl Into<String>) -> Self {
        match self {
            // That has the rule's name.
            list @ Self::List { .. } => list,
            error => Self::Named { name: name.into(), error: Box::new(error) },
        }
    }
}

/// The next step for a file that could not be read; `absent`: for one that is not there.
fn advice<'a>(error: &io::Error, absent: &'a str) -> &'a str {
    match error.kind() {
        io::ErrorKind::NotFound => absent,
        io::ErrorKind::PermissionDenied => {
            "let the user that this runs as read it, and enter the directories on the way to it"
        }
        io::ErrorKind::InvalidInput => "name the file itself",
        _ => "look at the disk that it is on",
    }
}

fn lines_of(path: &Path, lines: &[(usize, String)], more: usize) -> String {
    let path = path.display();
    let lines: Vec<String> = lines.iter().map(|(line, reason)| format!("{path}:{line}: {reason}")).collect();
    let more = if more == 0 { String::new() } else { format!("\nand {more} more lines of {path}") };
    lines.join("\n") + &more
}
