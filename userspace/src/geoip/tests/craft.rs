//! MMDB files made for a test, in shapes that no official test file has.

use std::net::IpAddr;

use maxminddb_writer::Database;
use maxminddb_writer::metadata::IpVersion;
use serde_json::Value;

/// A file with these networks, in a tree of 24-bit records. With `ip_version` 6, IPv4 networks are at `::/96`.
pub(super) fn mmdb(ip_version: u8, database_type: &str, networks: &[(&str, Value)]) -> Vec<u8> {
    let mut database = Database::default();
    database.metadata.ip_version = if ip_version == 4 { IpVersion::V4 } else { IpVersion::V6 };
    database.metadata.database_type = database_type.to_owned();
    database.metadata.binary_format_major_version = 2;
    database.metadata.build_epoch = 1_700_000_000;
    database.metadata.description.insert("en".to_owned(), "crafted".to_owned());
    for (network, value) in networks {
        let data = database.insert_value(value).unwrap();
        database.insert_node(bits(network, ip_version).into_iter(), data);
    }
    database.write_to(Vec::new()).unwrap()
}

/// Makes each of `prefixes`, which must be networks of the file, an alias of its IPv4 tree.
pub(super) fn with_aliases(mut file: Vec<u8>, prefixes: &[&str]) -> Vec<u8> {
    let v4_start = (0..96).fold(0, |node, _| child(&file, node, false));
    for prefix in prefixes {
        let bits = bits(prefix, 6);
        let (&last, before) = bits.split_last().unwrap();
        let node = before.iter().fold(0, |node, &bit| child(&file, node, bit));
        let at = node * 6 + usize::from(last) * 3;
        file[at..at + 3].copy_from_slice(&u32::try_from(v4_start).unwrap().to_be_bytes()[1..]);
    }
    file
}

/// The same file with an empty description, as ip-location-db publishes them.
pub(super) fn without_description(file: &[u8]) -> Vec<u8> {
    let text = b"description\xe1\x42en\x47crafted";
    let at = file.windows(text.len()).position(|window| window == text).unwrap();
    [&file[..at], b"description\xe0", &file[at + text.len()..]].concat()
}

/// The same file with records of 28 or 32 bits.
pub(super) fn with_record_size(file: &[u8], record_bits: u8) -> Vec<u8> {
    let nodes = maxminddb::Reader::from_source(file).unwrap().metadata().node_count as usize;
    let mut out = Vec::new();
    for node in 0..nodes {
        let [left, right] = [false, true].map(|side| u32::try_from(child(file, node, side)).unwrap());
        match record_bits {
            28 => {
                out.extend(&left.to_be_bytes()[1..]);
                out.push(u8::try_from((left >> 24) << 4 | right >> 24).unwrap());
                out.extend(&right.to_be_bytes()[1..]);
            }
            32 => {
                out.extend(left.to_be_bytes());
                out.extend(right.to_be_bytes());
            }
            other => panic!("records of {other} bits"),
        }
    }
    let mut rest = file[nodes * 6..].to_vec();
    let key = b"record_size\xa1";
    let value = rest.windows(key.len()).rposition(|window| window == key).unwrap() + key.len();
    rest[value] = record_bits;
    out.extend(rest);
    out
}

/// One side of a node with records of 24 bits.
fn child(file: &[u8], node: usize, right: bool) -> usize {
    let at = node * 6 + usize::from(right) * 3;
    usize::from(file[at]) << 16 | usize::from(file[at + 1]) << 8 | usize::from(file[at + 2])
}

fn bits(network: &str, ip_version: u8) -> Vec<bool> {
    let (address, length) = network.split_once('/').unwrap();
    let length: usize = length.parse().unwrap();
    let (bits, width) = match address.parse().unwrap() {
        IpAddr::V4(v4) if ip_version == 4 => (u128::from(v4.to_bits()) << 96, length),
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), 96 + length),
        IpAddr::V6(v6) => (v6.to_bits(), length),
    };
    (0..width).map(|bit| bits >> (127 - bit) & 1 == 1).collect()
}
