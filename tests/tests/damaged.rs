//! A database that is cut off, or has bits that are not what was written, under a running gate: which stays as it is, and says so.
//!
//! Neither format has a checksum: what makes a file that is valid, and much like the one before, is beyond finding out.

use std::{
    fs,
    net::Ipv4Addr,
    thread,
    time::{Duration, Instant},
};

use maxminddb_writer::{Database as Writer, metadata::IpVersion};
use octroi_tests::{
    arrive::arriving,
    gate::{Gate, Setup},
    netns::Lab,
};

const BLOCK_CN: &str = "[[rule]]\nname = \"cn\"\nsource = { country = [\"CN\"] }\naction = \"drop\"\n";
/// Each with 65,536 addresses: fewer are soon too few to doubt.
const NETWORKS: [(Ipv4Addr, &str); 2] =
    [(Ipv4Addr::new(1, 0, 0, 0), "CN"), (Ipv4Addr::new(8, 8, 0, 0), "US")];
const BOTH: [&str; 2] = ["1.0.1.1", "8.8.8.8"];

/// Puts one damaged file after the other in the place of a whole one, and that one back.
fn the_gate_stays_with_each(name: &str, whole: &[u8], damages: &[(&str, Vec<u8>, &str)]) {
    let lab = Lab::new();
    let mut gate = Gate::prepare(&lab, Setup::new(""));
    let path = gate.directory().join(name);
    fs::write(&path, whole).expect("a directory of ours");
    gate.write(&format!("[geoip]\ncountry = {path:?}\n{BLOCK_CN}"));
    gate.start_again();
    let wait_for = |what: &str, result: &str| {
        let started = Instant::now();
        while gate.status()["last_reload"]["result"] != result {
            let late = started.elapsed() > Duration::from_secs(40);
            assert!(!late, "no {result} within 40 s: {what}\n{}", gate.describe());
            thread::sleep(Duration::from_millis(100));
        }
    };
    for (what, bytes, reason) in damages {
        assert_ne!(bytes, whole, "{what}");
        // In place, as a disk or a download does it.
        fs::write(&path, bytes).expect("a file of ours");
        wait_for(what, "failure");
        let status = gate.status();
        let error = status["last_reload"]["error"].as_str().unwrap_or_default();
        assert!(error.contains(name) && error.contains(reason), "{what}: {error}");
        assert_eq!(status["generation"], 1, "{what}: {status}");
        assert_eq!(arriving(&lab, &BOTH), ["8.8.8.8"], "{what}");
        assert_eq!(gate.metrics().sum("octroi_config_last_reload_successful", &[]), 0.0, "{what}");
        assert_eq!(gate.health(), 200, "{what}: it filters");
        fs::write(&path, whole).expect("a file of ours");
        wait_for(what, "success");
        assert_eq!(gate.status()["generation"], 1, "{what}: those bytes run already");
    }
    for (what, bytes, reason) in damages {
        fs::write(&path, bytes).expect("a file of ours");
        let reload = gate.reload();
        assert!(!reload.status.success() && reload.stderr.contains(reason), "{what}: {reload}");
        assert_eq!(gate.status()["generation"], 1, "{what}");
    }
    assert_eq!(arriving(&lab, &BOTH), ["8.8.8.8"]);
}

/// The bytes with bits of one of them flipped.
fn flipped(whole: &[u8], at: usize, bits: u8) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    bytes[at] ^= bits;
    bytes
}

fn find(whole: &[u8], text: &[u8]) -> usize {
    whole.windows(text.len()).position(|window| window == text).expect("written above")
}

#[test]
fn an_mmdb_file_that_is_damaged_leaves_the_gate_as_it_is() {
    let mut writer = Writer::default();
    writer.metadata.ip_version = IpVersion::V4;
    writer.metadata.database_type = "Test-Country".to_owned();
    writer.metadata.binary_format_major_version = 2;
    writer.metadata.build_epoch = 1_760_000_000;
    writer.metadata.description.insert("en".to_owned(), "made for a test".to_owned());
    for (address, code) in NETWORKS {
        let data = writer.insert_value(serde_json::json!({"country": {"iso_code": code}})).expect("a record");
        writer.insert_node((0..16).map(|bit| address.to_bits() >> (31 - bit) & 1 == 1), data);
    }
    let whole = writer.write_to(Vec::new()).expect("write into memory");
    let china = find(&whole, b"CN");
    let damages = [
        ("cut off", whole[..whole.len() / 2].to_vec(), "is not a valid database"),
        ("a bit in the tree", flipped(&whole, 0, 0x80), "is not a valid database"),
        (
            "a bit in a record's type",
            flipped(&whole, china - 1, 0x80),
            "CN (China) goes from 65536 to 0 IPv4 addresses",
        ),
        // CN becomes CO.
        (
            "a bit in a country",
            flipped(&whole, china + 1, 0x01),
            "CN (China) goes from 65536 to 0 IPv4 addresses",
        ),
    ];
    the_gate_stays_with_each("country.mmdb", &whole, &damages);
}

#[test]
fn a_csv_file_that_is_damaged_leaves_the_gate_as_it_is() {
    let whole: String = NETWORKS
        .iter()
        .map(|(first, code)| format!("{first},{},{code}\n", Ipv4Addr::from(first.to_bits() + 0xffff)))
        .rev()
        .collect();
    let whole = whole.into_bytes();
    let china = find(&whole, b"CN");
    let line = find(&whole, b"1.0.0.0");
    let damages = [
        ("cut off in a line", whole[..line + 9].to_vec(), "country.csv"),
        ("cut off behind a line", whole[..line].to_vec(), "CN (China) goes from 65536 to 0 IPv4 addresses"),
        ("a bit in an address", flipped(&whole, line, 0x40), "country.csv"),
        (
            "a bit in a country",
            flipped(&whole, china + 1, 0x01),
            "CN (China) goes from 65536 to 0 IPv4 addresses",
        ),
    ];
    the_gate_stays_with_each("country.csv", &whole, &damages);
}
