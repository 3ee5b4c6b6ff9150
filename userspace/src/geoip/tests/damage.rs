//! Files that are broken, cut short, being written, or nothing at all: always an error that names the file, never a
//! panic, never a wait.

use std::fs;
use std::time::{Duration, Instant};

use super::*;

#[test]
fn every_officially_broken_file_is_refused() {
    // Unusual rather than broken, or broken where maxminddb finds nothing wrong either; what they lack is a country.
    let whole = [
        "MaxMind-DB-test-pointer-decoder-dos-ipv6.mmdb",
        "MaxMind-DB-test-pointer-decoder-dos.mmdb",
        "libmaxminddb-corrupt-search-tree.mmdb",
        "libmaxminddb-empty-array-last-in-metadata.mmdb",
        "libmaxminddb-empty-map-last-in-metadata.mmdb",
    ];
    let mut files = 0;
    for entry in fs::read_dir(official("bad")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let error = Database::open(Kind::Country, &path).unwrap_err();
        let text = error.to_string();
        match error {
            DatabaseError::Invalid { .. } => {}
            DatabaseError::Nothing { .. } if whole.contains(&name) => {}
            _ => panic!("{name}: {text}"),
        }
        assert!(text.starts_with(path.to_str().unwrap()), "{text}");
        files += 1;
    }
    assert_eq!(files, 27);
}

#[test]
fn a_file_cut_short_anywhere_is_refused() {
    let file = fs::read(official("GeoLite2-Country-Test.mmdb")).unwrap();
    for cut in 0..200 {
        let length = file.len() * cut / 200;
        let error = read(Kind::Country, &file[..length]).unwrap_err().to_string();
        assert!(error.starts_with("test.mmdb is "), "{error}");
    }
    let error = read(Kind::Country, &file[..file.len() / 2]).unwrap_err().to_string();
    assert_eq!(
        error,
        "test.mmdb is not a valid database: it has no MMDB metadata, as if cut short or still being written, and is \
         no CSV text; fetch it again"
    );
}

#[test]
fn a_flipped_bit_anywhere_never_panics_and_never_hangs() {
    let mut seed = 0x2545_f491_4f6c_dd1du64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed >> 16).unwrap()
    };
    let mut refused = 0;
    for name in ["GeoLite2-Country-Test.mmdb", "GeoLite2-ASN-Test.mmdb", "GeoIP2-Anonymous-IP-Test.mmdb"] {
        let file = fs::read(official(name)).unwrap();
        let metadata = file.len() - 1000;
        for round in 0..1000 {
            let mut flipped = file.clone();
            // Half of them near the end, where the metadata is and a bit counts most.
            let at = if round % 2 == 0 { random() % file.len() } else { metadata + random() % 1000 };
            flipped[at] ^= 1 << (random() % 8);
            for kind in [Kind::Country, Kind::Asn, Kind::Anonymous] {
                let start = Instant::now();
                match read(kind, &flipped) {
                    Ok(database) => assert_sound(&database),
                    Err(_) => refused += 1,
                }
                assert!(start.elapsed() < Duration::from_secs(5), "{name}: bit flipped at byte {at}");
            }
        }
    }
    // The kinds that do not fit are always refused: 6000. Some of the others must have been noticed, too.
    assert!(refused > 6100, "{refused}");
}

#[test]
fn a_file_half_overwritten_by_another_is_refused() {
    // A writer in place has put the first half of the new file over the old one.
    let old = fs::read(official("GeoIP2-City-Test.mmdb")).unwrap();
    let new = fs::read(official("GeoIP2-Country-Test.mmdb")).unwrap();
    let mut mixed = old.clone();
    mixed[..new.len() / 2].copy_from_slice(&new[..new.len() / 2]);
    let error = read(Kind::Country, &mixed).unwrap_err();
    assert!(matches!(error, DatabaseError::Invalid { .. }), "{error}");
}

#[test]
fn a_file_that_changes_while_it_is_read_is_refused() {
    // A file that has other bytes than its size says, always.
    let error = Database::open(Kind::Country, Path::new("/proc/version")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/proc/version changed while it was read; try again when its writer is done"
    );
}

#[test]
fn what_is_no_regular_file_is_refused_and_nobody_waits_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("fifo.mmdb");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let socket = directory.path().join("socket.mmdb");
    let _listening = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    for (path, what) in [
        (fifo.as_path(), "a FIFO"),
        (directory.path(), "a directory"),
        (Path::new("/dev/zero"), "a device"),
        (&socket, "a socket"),
    ] {
        let error = Database::open(Kind::Country, path).unwrap_err().to_string();
        let expected = format!("it is {what}, and has to be a regular file; name the file itself");
        assert_eq!(error, format!("read {}: {expected}", path.display()));
    }
}

#[test]
fn an_empty_file_and_a_missing_one_say_so() {
    let error = read(Kind::Country, b"").unwrap_err().to_string();
    assert_eq!(error, "test.mmdb is empty; fetch the database again");
    let error = Database::open(Kind::Country, Path::new("/nonexistent/x.mmdb")).unwrap_err().to_string();
    assert_eq!(
        error,
        "read /nonexistent/x.mmdb: No such file or directory (os error 2); create it, or name another"
    );
    for (text, reason) in [
        ("<!DOCTYPE html>\n<html>\n", "it is HTML or XML, such as a server's error page"),
        ("Access denied\n", "it is neither MMDB nor CSV: its first line has no comma"),
    ] {
        let error = read(Kind::Country, text.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with(&format!("test.mmdb is not a valid database: {reason}")), "{error}");
    }
}

#[test]
fn a_compressed_file_says_so() {
    let error = read(Kind::Country, &[0x1f, 0x8b, 8, 0]).unwrap_err().to_string();
    assert!(error.contains("it is gzip-compressed: unpack it first"), "{error}");
}

#[test]
fn a_separator_that_is_not_empty_is_refused() {
    let mut file = craft::mmdb(4, "Test", &[("1.0.0.0/8", serde_json::json!({"country_code": "AU"}))]);
    let nodes = maxminddb::Reader::from_source(&file).unwrap().metadata().node_count as usize;
    file[nodes * 6 + 3] = 1;
    assert!(matches!(read(Kind::Country, &file), Err(DatabaseError::Invalid { .. })));
}
