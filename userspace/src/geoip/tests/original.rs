//! Reading a database a second time: the same, or an error.

use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use super::super::Original;
use super::*;

const CHINA: &str = "1.0.1.0,1.0.1.255,CN\n";
/// As long as the other.
const GERMANY: &str = "1.0.1.0,1.0.1.255,DE\n";

#[test]
fn a_file_that_was_replaced_removed_or_touched_reads_as_before() {
    let folder = tempfile::tempdir().unwrap();
    let (path, other) = (folder.path().join("country.csv"), folder.path().join("new"));
    fs::write(&path, CHINA).unwrap();
    let original = Original::open(Kind::Country, Some(&path)).unwrap();
    let first = original.read().unwrap();
    assert_eq!(country_of(&first, "1.0.1.1"), Some("CN"));

    File::options().append(true).open(&path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(original.read().unwrap(), first);
    fs::write(&other, GERMANY).unwrap();
    fs::rename(&other, &path).unwrap();
    assert_eq!(original.read().unwrap(), first);
    fs::remove_file(&path).unwrap();
    assert_eq!(original.read().unwrap(), first);
}

#[test]
fn a_file_that_was_written_into_is_not_taken_for_the_one_that_was_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("country.csv");
    fs::write(&path, CHINA).unwrap();
    let original = Original::open(Kind::Country, Some(&path)).unwrap();
    original.read().unwrap();
    // As long, and as old as before.
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    fs::write(&path, GERMANY).unwrap();
    File::options().append(true).open(&path).unwrap().set_modified(modified).unwrap();
    let error = original.read().unwrap_err().to_string();
    assert!(error.contains("country.csv was written into after it was loaded"), "{error}");
    fs::write(&path, CHINA).unwrap();
    assert!(original.read().is_ok(), "the same bytes again");
    fs::write(&path, "").unwrap();
    assert!(original.read().is_err());
}

#[test]
fn the_first_reading_is_of_what_is_there_then() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("country.csv");
    fs::write(&path, CHINA).unwrap();
    let original = Original::open(Kind::Country, Some(&path)).unwrap();
    fs::write(&path, GERMANY).unwrap();
    File::options()
        .append(true)
        .open(&path)
        .unwrap()
        .set_modified(SystemTime::now() - Duration::from_secs(60))
        .unwrap();
    assert_eq!(country_of(&original.read().unwrap(), "1.0.1.1"), Some("DE"));
}
