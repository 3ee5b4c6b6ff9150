//! Files that tests replace, and files that were fetched for them.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Puts a file in the place of another one, at once and whole.
///
/// # Panics
/// Where its directory cannot be written.
#[track_caller]
pub fn replace(path: &Path, contents: impl AsRef<[u8]>) {
    let new = path.with_extension("new");
    fs::write(&new, contents).expect("write into a directory of ours");
    fs::rename(&new, path).expect("rename within a directory of ours");
}

/// A file that `cargo xtask test` fetches, in `$OCTROI_TESTDATA`, else in `target/testdata`.
///
/// # Panics
/// Where it is not there.
#[track_caller]
pub fn fetched(name: &str) -> PathBuf {
    let folder = std::env::var_os("OCTROI_TESTDATA").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/testdata")),
        PathBuf::from,
    );
    let path = folder.join(name);
    assert!(path.is_file(), "{} is missing: `cargo xtask test` fetches it", path.display());
    path
}
