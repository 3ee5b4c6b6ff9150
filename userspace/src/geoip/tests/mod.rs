//! Tests of whole files: MaxMind's official ones (`testdata/mmdb`), crafted ones, CSV, damage, the embedded tables, lists.

#![allow(clippy::unwrap_used, reason = "a test may stop at whatever is not as it should be")]

mod anonymous;
mod craft;
mod csv;
mod damage;
mod embedded;
mod layouts;
mod list;
mod official;
mod original;
mod trees;
mod verify;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use maxminddb::path;

use super::{Database, DatabaseError, Kind};
use crate::anonymizer::Anonymizer;

/// The time of last change that bytes in memory have.
const MODIFIED: i64 = 1_750_000_000;

fn official(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/mmdb").join(name)
}

/// Reads bytes as if they were the file "test.mmdb".
fn read(kind: Kind, bytes: &[u8]) -> Result<Database, DatabaseError> {
    Database::from_bytes(kind, Path::new("test.mmdb"), bytes, MODIFIED)
}

fn country_of(database: &Database, address: &str) -> Option<&'static str> {
    database.lookup(address.parse().unwrap()).country.map(|country| country.as_str())
}

fn continent_of(database: &Database, address: &str) -> Option<&'static str> {
    database.lookup(address.parse().unwrap()).continent.map(|continent| continent.as_str())
}

/// First and last address of every run, and the addresses beside them.
fn edges(database: &Database) -> Vec<IpAddr> {
    let v4 =
        database.v4.iter().flat_map(|&(start, _)| [-2, -1, 0, 1].map(|by| start.wrapping_add_signed(by)));
    let v6 =
        database.v6.iter().flat_map(|&(start, _)| [-2, -1, 0, 1].map(|by| start.wrapping_add_signed(by)));
    v4.map(|v4| Ipv4Addr::from_bits(v4).into()).chain(v6.map(|v6| Ipv6Addr::from_bits(v6).into())).collect()
}

/// Where MaxMind's files have their IPv4 tree among IPv6 addresses.
fn is_alias(address: IpAddr) -> bool {
    let IpAddr::V6(address) = address else { return false };
    let bits = address.to_bits();
    bits >> 32 == 0 || bits >> 32 == 0xffff || bits >> 112 == 0x2002 || bits >> 96 == 0x2001_0000
}

/// Compares `database` at all its edges with what maxminddb's own lookup finds in the file, and returns how many
/// there were. Aliases must be empty.
fn assert_agrees(database: &Database, bytes: &[u8]) -> usize {
    let reader = maxminddb::Reader::from_source(bytes).unwrap();
    let edges = edges(database);
    for &address in &edges {
        let ours = database.lookup(address);
        if is_alias(address) || (address.is_ipv6() && reader.metadata().ip_version == 4) {
            assert_eq!(*ours, Default::default(), "{address}");
            continue;
        }
        let found = reader.lookup(address).unwrap();
        let text = |path: &[maxminddb::PathElement<'_>]| found.decode_path::<&str>(path).unwrap();
        match database.kind {
            Kind::Country => {
                let theirs = text(&path!["country", "iso_code"])
                    .or_else(|| text(&path!["registered_country", "iso_code"]));
                assert_eq!(ours.country.map(|country| country.as_str()), theirs, "{address}");
                let theirs = text(&path!["continent", "code"]);
                assert!(theirs.is_none() || ours.continent.map(|it| it.as_str()) == theirs, "{address}");
            }
            Kind::Asn => {
                let theirs = found.decode_path::<u32>(&path!["autonomous_system_number"]).unwrap();
                assert_eq!(ours.asn, theirs, "{address}");
                let theirs = text(&path!["autonomous_system_organization"]);
                assert_eq!(ours.organization.as_deref(), theirs, "{address}");
            }
            Kind::Anonymous => {
                let says = |field: &str| found.decode_path::<bool>(&path![field]).unwrap() == Some(true);
                for (field, kind) in [
                    ("is_anonymous_vpn", Anonymizer::Vpn),
                    ("is_tor_exit_node", Anonymizer::Tor),
                    ("is_public_proxy", Anonymizer::Proxy),
                    ("is_residential_proxy", Anonymizer::ResidentialProxy),
                    ("is_hosting_provider", Anonymizer::Hosting),
                ] {
                    assert_eq!(ours.anonymous.contains(kind), says(field), "{address} {field}");
                }
                assert_eq!(!ours.anonymous.is_empty(), says("is_anonymous"), "{address}");
            }
        }
    }
    edges.len()
}

/// What holds of every database, however it was made.
fn assert_sound(database: &Database) {
    assert_eq!(database.records[0], Default::default());
    assert_eq!((database.v4[0].0, database.v6[0].0), (0, 0));
    assert!(database.v4.is_sorted_by(|a, b| a.0 < b.0 && a.1 != b.1));
    assert!(database.v6.is_sorted_by(|a, b| a.0 < b.0 && a.1 != b.1));
    let records = database.records.len();
    assert!(database.v4.iter().all(|run| (run.1 as usize) < records));
    assert!(database.v6.iter().all(|run| (run.1 as usize) < records));
    let distinct: std::collections::HashSet<_> = database.records.iter().collect();
    assert_eq!(distinct.len(), records);
}
