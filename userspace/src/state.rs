//! Files that outlive a restart of the daemon and of the machine: each is replaced whole, also where the power fails.

use std::{
    fs::{self, File, FileTimes, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

/// A file on disk that is not in its place yet. It goes with this value, unless [`Prepared::commit`] puts it there.
#[derive(Debug)]
pub struct Prepared {
    new: PathBuf,
    path: PathBuf,
}

impl Prepared {
    /// Writes `bytes` to disk beside the file at `path`, for its owner only; makes the directory where there is none.
    ///
    /// # Errors
    /// When that fails; the file at `path` is then as it was.
    pub fn new(path: &Path, bytes: &[u8]) -> io::Result<Self> {
        Self::at(path, bytes, None)
    }

    /// The same; `modified`, in seconds since 1970, becomes the time of the file's last change.
    ///
    /// # Errors
    /// As [`Prepared::new`].
    pub fn dated(path: &Path, bytes: &[u8], modified: i64) -> io::Result<Self> {
        Self::at(path, bytes, Some(modified))
    }

    fn at(path: &Path, bytes: &[u8], modified: Option<i64>) -> io::Result<Self> {
        let mut new = path.as_os_str().to_owned();
        new.push(".new");
        let prepared = Self { new: new.into(), path: path.to_owned() };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory(path))?;
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&prepared.new)?;
        // One that was there has the mode that it had.
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(bytes)?;
        // Before 1970 no file system of today keeps a time.
        if let Some(seconds) = modified.and_then(|seconds| u64::try_from(seconds).ok()) {
            file.set_times(FileTimes::new().set_modified(UNIX_EPOCH + Duration::from_secs(seconds)))?;
        }
        file.sync_all()?;
        Ok(prepared)
    }

    /// Puts it in the file's place, whole, also where the power fails. Where the disk does not confirm that it has the new name, it is
    /// in place nevertheless: a power cut may bring the old one back, and the log says so.
    ///
    /// # Errors
    /// When that fails; the file at `path` is then as it was.
    pub fn commit(self) -> io::Result<()> {
        fs::rename(&self.new, &self.path)?;
        if let Err(error) = File::open(directory(&self.path)).and_then(|directory| directory.sync_all()) {
            let path = self.path.display();
            tracing::error!(%error, "{path}: the disk may not have the new one yet, and a power cut may bring the old one back");
        }
        Ok(())
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        // Gone where it was put in the file's place.
        let _ = fs::remove_file(&self.new);
    }
}

/// Whether files can be put into a directory, which is made where there is none.
///
/// # Errors
/// Why not.
pub fn require_writable(directory: &Path) -> io::Result<()> {
    Prepared::new(&directory.join("writable"), b"").map(drop)
}

/// Moves a file that cannot be used out of the way, so that the next change does not overwrite it; where it is then: nothing
/// that was moved there before is overwritten either.
///
/// # Errors
/// When it stays where it is.
pub fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let aside = beside(path);
    fs::rename(path, &aside).map(|()| aside)
}

/// Keeps what is in a file under another name, too, which nothing that was kept before has; that name.
///
/// # Errors
/// When that cannot be.
pub fn keep_aside(path: &Path) -> io::Result<PathBuf> {
    let aside = beside(path);
    // Where the file system has no second names, a copy does.
    fs::hard_link(path, &aside).or_else(|_| fs::copy(path, &aside).map(drop)).map(|()| aside)
}

/// `PATH.broken`, or the first free `PATH.broken-N`.
fn beside(path: &Path) -> PathBuf {
    let name = |ending: String| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    };
    let numbered = (1..).map(|number| format!(".broken-{number}"));
    let mut names = std::iter::once(".broken".to_owned()).chain(numbered).map(name);
    names.find(|name| name.symlink_metadata().is_err()).expect("some number is free")
}

/// A number that two files share only if they have the same bytes, or somebody meant them to: 64-bit FNV-1a, the same on
/// every machine and in every version, since it is kept on disk.
#[must_use]
pub fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn directory(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_only_by_a_commit() {
        let folder = tempfile::tempdir().expect("make a temporary directory");
        let path = folder.path().join("deep/kept.json");
        let text = || fs::read_to_string(&path).ok();
        drop(Prepared::new(&path, b"never").expect("a directory of ours"));
        assert_eq!(text(), None);
        Prepared::new(&path, b"one").and_then(Prepared::commit).expect("a directory of ours");
        let prepared = Prepared::dated(&path, b"two", 1_000_000).expect("a directory of ours");
        assert_eq!(text().as_deref(), Some("one"));
        prepared.commit().expect("a directory of ours");
        assert_eq!(text().as_deref(), Some("two"));
        let there = fs::metadata(&path).expect("committed");
        assert_eq!(there.permissions().mode() & 0o7777, 0o600);
        assert_eq!(there.modified().expect("a time"), UNIX_EPOCH + Duration::from_secs(1_000_000));
        assert_eq!(fs::read_dir(folder.path().join("deep")).expect("made above").count(), 1);
        let aside = set_aside(&path).expect("a file of ours");
        assert_eq!((aside, text()), (folder.path().join("deep/kept.json.broken"), None));
    }

    #[test]
    fn fingerprints_are_those_of_the_published_function() {
        assert_eq!(fingerprint(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fingerprint(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fingerprint(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
