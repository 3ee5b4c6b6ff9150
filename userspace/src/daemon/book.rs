//! Policies on disk, in `[control] state`: the last good one, the one before it, and one that waits for its confirmation.
//!
//! `policies.json` is replaced whole, so that every change of what is said there is one step. Databases and lists are
//! beside it in `policies/`, under names that their bytes give them: what two policies share is there once, and written
//! once.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    geoip::DatabaseError,
    policy::Originals,
    state::{self, Prepared, fingerprint},
    time,
};

/// All that is said in `policies.json`.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Book {
    /// What ran last and was meant to.
    pub(super) good: Option<Kept>,
    /// What ran before that.
    pub(super) previous: Option<Kept>,
    /// Where the configured file does not count.
    pub(super) instead: Option<Instead>,
    /// What waits for its confirmation.
    pub(super) pending: Option<Pending>,
    /// What became of the last change, where it has gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) gone: Option<Gone>,
}

/// A change of policy that does not hold: was refused, not confirmed, gone back from.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Gone {
    /// How it has gone, a clause.
    pub(super) how: String,
    /// The fingerprint of the policy that runs since: of any other one this says nothing.
    pub(super) runs: u64,
}

/// A policy that can be loaded again.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    /// The configured file.
    pub(super) path: PathBuf,
    /// What the policy says.
    pub(super) text: String,
    /// When it was kept, in Unix seconds.
    pub(super) since: i64,
    /// The databases and lists that it names, those in the binary apart.
    pub(super) files: Vec<Copied>,
}

/// A file that there is a copy of.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Copied {
    /// As the policy names it.
    path: PathBuf,
    bytes: u64,
    fingerprint: u64,
}

/// While the configured file is what it was, the last good policy's text counts in its place.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Instead {
    /// The fingerprint of what is in the configured file; none: it is not there.
    pub(super) configured: Option<u64>,
    pub(super) why: Why,
}

/// Why the configured file does not count.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(rename_all = "snake_case")]
pub(super) enum Why {
    /// Another text was applied and confirmed, and is not in the file.
    Confirmed,
    /// What is in it was applied and not confirmed.
    Unconfirmed,
    /// Somebody went back to the policy before it.
    RolledBack,
}

/// A policy that goes unless somebody confirms it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Pending {
    /// The file that it came from, for people.
    pub(super) file: PathBuf,
    /// The configured file.
    pub(super) path: PathBuf,
    pub(super) text: String,
    /// When it was applied, in Unix seconds, for people: the clock may have been set since.
    pub(super) since: i64,
    /// When its time is over, in nanoseconds since boot, of the boot named here.
    pub(super) deadline: u64,
    pub(super) boot: String,
    /// The fingerprint of what was in the configured file when it was applied; none: it was not there.
    pub(super) configured: Option<u64>,
}

impl Book {
    /// The configured file that it is about, where that is not the one at `path`.
    pub(super) fn of_another(&self, path: &Path) -> Option<PathBuf> {
        let kept = [&self.good, &self.previous].into_iter().flatten().map(|kept| &kept.path);
        let all = kept.chain(self.pending.as_ref().map(|pending| &pending.path));
        all.into_iter().find(|&kept| kept != path).cloned()
    }
}

impl Kept {
    /// One that is loaded by the files that it names, as they are then.
    pub(super) fn without_copies(path: &Path, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned(), since: time::now(), files: Vec::new() }
    }

    /// Whether the other one would be loaded as the same policy.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.path == other.path && self.text == other.text && self.files == other.files
    }
}

impl Copied {
    fn name(&self) -> String {
        format!("{:016x}-{}", self.fingerprint, self.bytes)
    }
}

/// Why policies could not be kept or read.
#[derive(Debug, thiserror::Error)]
pub(super) enum BookError {
    /// Something in the directory cannot be written.
    #[error(
        "write {}: {error}; {} ([control] state names the directory)",
        path.display(),
        advice(.error)
    )]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// What was loaded cannot be read any more.
    #[error("{0}; `octroi reload` loads what is there now")]
    Gone(DatabaseError),
    /// A copy is not what was kept.
    #[error("the copy of {} at {} {reason}", named.display(), copy.display())]
    Copy {
        /// As the policy names it.
        named: PathBuf,
        /// Where the copy is, or was.
        copy: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room there",
        _ => "it has to be writable for the user that octroi runs as",
    }
}

/// The directory.
#[derive(Clone, Debug)]
pub(super) struct Shelf {
    directory: PathBuf,
}

impl Shelf {
    /// The one in that directory for state, which need not be there.
    pub(super) fn new(state: &Path) -> Self {
        Self { directory: state.to_owned() }
    }

    /// The file.
    pub(super) fn path(&self) -> PathBuf {
        self.directory.join("policies.json")
    }

    fn copies(&self) -> PathBuf {
        self.directory.join("policies")
    }

    /// Reads the file; where it is broken, it is moved aside and the log says so: then nothing is known of former policies,
    /// and the configured one counts.
    pub(super) fn read(&self) -> Book {
        let path = self.path();
        let problem = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Book::default(),
            Err(error) => error.to_string(),
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(book) => return book,
                Err(error) => error.to_string(),
            },
        };
        let next = match state::set_aside(&path) {
            Ok(aside) => format!("it is {} now", aside.display()),
            Err(error) => format!("and it stays there ({error}) until it is written anew"),
        };
        tracing::error!(
            "read the kept policies in {}: {problem}; {next}; the configured file counts, and there is no policy to go back to \
             until one has been loaded",
            path.display()
        );
        Book::default()
    }

    /// Puts it in place of what was said before.
    ///
    /// # Errors
    /// When that fails; what was said before is then said still.
    pub(super) fn write(&self, book: &Book) -> Result<(), BookError> {
        let path = self.path();
        let write = || {
            let mut text = serde_json::to_vec_pretty(book)?;
            text.push(b'\n');
            Prepared::new(&path, &text)?.commit()
        };
        write().map_err(|error| BookError::Write { path: path.clone(), error })
    }

    /// Copies the files of a policy that is loaded, where there is no such copy yet.
    ///
    /// # Errors
    /// When one cannot be read as it was, or written.
    pub(super) fn copy(&self, path: &Path, text: &str, originals: &Originals) -> Result<Kept, BookError> {
        let mut files = BTreeSet::new();
        for file in originals.files() {
            let (bytes, modified) = file.read().map_err(BookError::Gone)?;
            let named = file.path().to_owned();
            let copied = Copied { path: named, bytes: bytes.len() as u64, fingerprint: fingerprint(&bytes) };
            let copy = self.copies().join(copied.name());
            if !fs::read(&copy).is_ok_and(|there| there == bytes) {
                let written = Prepared::dated(&copy, &bytes, modified).and_then(Prepared::commit);
                written.map_err(|error| BookError::Write { path: copy, error })?;
            }
            files.insert(copied);
        }
        Ok(Kept { files: files.into_iter().collect(), ..Kept::without_copies(path, text) })
    }

    /// Where the copies of a kept policy's files are, behind the names that it has for them.
    ///
    /// # Errors
    /// When one is not what was kept; it is moved aside.
    pub(super) fn find(&self, kept: &Kept) -> Result<Vec<(PathBuf, PathBuf)>, BookError> {
        let find = |file: &Copied| {
            let copy = self.copies().join(file.name());
            let broken =
                |reason: String| BookError::Copy { named: file.path.clone(), copy: copy.clone(), reason };
            let bytes = fs::read(&copy).map_err(|error| broken(format!("cannot be read: {error}")))?;
            if bytes.len() as u64 == file.bytes && fingerprint(&bytes) == file.fingerprint {
                return Ok((file.path.clone(), copy));
            }
            let aside = state::set_aside(&copy);
            let aside = aside.map(|aside| format!(" and is {} now", aside.display())).unwrap_or_default();
            Err(broken(format!("has changed{aside}")))
        };
        kept.files.iter().map(find).collect()
    }

    /// Whether one of these files is another one than what was kept of it.
    pub(super) fn differ(&self, kept: &Kept, originals: &Originals) -> bool {
        originals.files().any(|file| {
            let copied = kept.files.iter().find(|copied| copied.path == file.path());
            copied.is_some_and(|copied| {
                file.read().is_ok_and(|(bytes, _)| fingerprint(&bytes) != copied.fingerprint)
            })
        })
    }

    /// Removes copies that no policy needs any more, and what a power cut left half written.
    pub(super) fn sweep(&self, book: &Book) {
        let kept = [&book.good, &book.previous].into_iter().flatten();
        let needed: BTreeSet<String> = kept.flat_map(|kept| &kept.files).map(Copied::name).collect();
        for entry in fs::read_dir(self.copies()).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !needed.contains(&name) && !name.ends_with(".broken") {
                // What stays is tried again the next time.
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// The fingerprint of what is in a file; none where it cannot be read.
pub(super) fn fingerprint_of(path: &Path) -> Option<u64> {
    fs::read(path).ok().map(|bytes| fingerprint(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    /// A policy over files in a folder, loaded.
    fn loaded(folder: &Path, list: &str) -> (Config, Originals) {
        fs::write(folder.join("country.csv"), "1.0.0.0,1.0.0.255,AU\n").expect("a folder of ours");
        // Replaced, not written into: who holds the old one open reads the old one.
        fs::write(folder.join("list.new"), list).expect("a folder of ours");
        fs::rename(folder.join("list.new"), folder.join("list.txt")).expect("a folder of ours");
        let text = "interfaces = [\"none0\"]\ngeoip.country = \"country.csv\"\n[[rule]]\nname = \"a\"\nsource = { list = \
                    [\"list.txt\"] }\naction = \"drop\"\n";
        let config =
            Config::parse(text, &folder.join("octroi.toml")).unwrap_or_else(|errors| panic!("{errors}"));
        let originals = Originals::open(&config).unwrap_or_else(|error| panic!("{error}"));
        originals.read().unwrap_or_else(|error| panic!("{error}"));
        (config, originals)
    }

    fn names(shelf: &Shelf) -> Vec<String> {
        let entries = fs::read_dir(shelf.copies()).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn files_are_kept_once_and_only_while_some_policy_needs_them() {
        let folder = tempfile::tempdir().expect("make a temporary directory");
        let shelf = Shelf::new(&folder.path().join("state"));
        let (config, originals) = loaded(folder.path(), "192.0.2.0/24\n");
        let first = shelf.copy(&config.path, "one", &originals).expect("a folder of ours");
        assert_eq!((first.files.len(), names(&shelf).len()), (2, 2));
        let (config, originals) = loaded(folder.path(), "198.51.100.0/24\n");
        let second = shelf.copy(&config.path, "two", &originals).expect("a folder of ours");
        assert_eq!(names(&shelf).len(), 3, "the database is shared");
        assert!(!first.is_same(&second));
        let mut book = Book { good: Some(second), previous: Some(first.clone()), ..Book::default() };
        shelf.write(&book).expect("a folder of ours");
        assert_eq!(shelf.read(), book);
        shelf.sweep(&book);
        assert_eq!(names(&shelf).len(), 3);
        book.previous = None;
        shelf.sweep(&book);
        assert_eq!(names(&shelf).len(), 2);
        assert!(shelf.find(&first).expect_err("swept").to_string().contains("cannot be read"));
    }

    #[test]
    fn a_copy_that_changed_is_found_out_and_what_is_loaded_is_what_is_copied() {
        let folder = tempfile::tempdir().expect("make a temporary directory");
        let shelf = Shelf::new(&folder.path().join("state"));
        let (config, originals) = loaded(folder.path(), "192.0.2.0/24\n");
        let kept = shelf.copy(&config.path, "one", &originals).expect("a folder of ours");
        let found = shelf.find(&kept).expect("whole");
        let copy = &found.iter().find(|(named, _)| named.ends_with("list.txt")).expect("a list").1;
        assert_eq!(fs::read_to_string(copy).expect("a copy"), "192.0.2.0/24\n");
        fs::write(copy, "192.0.3.0/24\n").expect("a file of ours");
        let error = shelf.find(&kept).expect_err("changed").to_string();
        assert!(error.contains("list.txt at ") && error.contains(" has changed and is "), "{error}");
        // Written into, not replaced.
        fs::write(folder.path().join("list.txt"), "203.0.113.0/24\n").expect("a file of ours");
        let error = shelf.copy(&config.path, "one", &originals).expect_err("overwritten").to_string();
        assert!(error.contains("written into after it was loaded"), "{error}");
    }

    #[test]
    fn a_broken_book_is_moved_aside() {
        let folder = tempfile::tempdir().expect("make a temporary directory");
        let shelf = Shelf::new(folder.path());
        assert_eq!(shelf.read(), Book::default());
        let names = ["", "-1", "-2", "-3"].map(|number| format!("policies.json.broken{number}"));
        for (text, name) in ["", "{", "{\"good\": 7}", "{\"bad\": null}"].into_iter().zip(names) {
            fs::write(shelf.path(), text).expect("a folder of ours");
            assert_eq!(shelf.read(), Book::default());
            assert!(!shelf.path().exists());
            let aside = folder.path().join(name);
            assert_eq!(fs::read_to_string(aside).expect("moved there"), text);
        }
    }
}
