//! MaxMind's official test files.

use std::fs;

use super::*;
use crate::geoip::{Origin, PerFamily};

fn open(kind: Kind, name: &str) -> Database {
    let database = Database::open(kind, &official(name)).unwrap();
    assert_sound(&database);
    let edges = assert_agrees(&database, &fs::read(official(name)).unwrap());
    assert!(edges > 90, "{name}: {edges} edges");
    database
}

fn refused(kind: Kind, name: &str) -> String {
    Database::open(kind, &official(name)).unwrap_err().to_string()
}

#[test]
fn a_country_file_says_at_every_edge_what_maxminddb_finds() {
    let database = open(Kind::Country, "GeoIP2-Country-Test.mmdb");
    assert_eq!(database.database_type, "GeoIP2-Country");
    assert_eq!(database.origin, Origin::File(official("GeoIP2-Country-Test.mmdb")));
    assert!(database.built > 1_500_000_000);
    assert_eq!(country_of(&database, "89.160.20.128"), Some("SE"));
    assert_eq!(continent_of(&database, "89.160.20.128"), Some("EU"));
    assert_eq!(country_of(&database, "2001:218::1"), Some("JP"));
    assert_eq!(country_of(&database, "9.9.9.9"), None);
}

#[test]
fn the_same_of_the_free_edition() {
    let database = open(Kind::Country, "GeoLite2-Country-Test.mmdb");
    assert_eq!(database.database_type, "GeoLite2-Country");
}

#[test]
fn city_and_enterprise_files_work_as_country_ones() {
    let city = open(Kind::Country, "GeoIP2-City-Test.mmdb");
    assert_eq!(country_of(&city, "2.125.160.216"), Some("GB"));
    let enterprise = open(Kind::Country, "GeoIP2-Enterprise-Test.mmdb");
    assert_eq!(country_of(&enterprise, "74.209.24.0"), Some("US"));
}

#[test]
fn an_asn_file_says_at_every_edge_what_maxminddb_finds() {
    let database = open(Kind::Asn, "GeoLite2-ASN-Test.mmdb");
    let record = database.lookup("1.128.0.1".parse().unwrap());
    assert_eq!((record.asn, record.organization.as_deref()), (Some(1221), Some("Telstra Pty Ltd")));
    assert_eq!(record.country, None);
}

#[test]
fn an_anonymous_ip_file_says_at_every_edge_what_maxminddb_finds() {
    let database = open(Kind::Anonymous, "GeoIP2-Anonymous-IP-Test.mmdb");
    assert_eq!(database.database_type, "GeoIP2-Anonymous-IP");
    assert_eq!(database.notes, ["1 network in special-purpose space ignored (abcd:1000::)"]);
    assert!(database.records.len() > 5, "{}", database.records.len());
}

#[test]
fn an_ipv4_network_counts_once_however_many_aliases_lead_to_it() {
    for (kind, name) in [(Kind::Country, "GeoIP2-Country-Test.mmdb"), (Kind::Asn, "GeoLite2-ASN-Test.mmdb")] {
        let database = Database::open(kind, &official(name)).unwrap();
        let reader = maxminddb::Reader::open_readfile(official(name)).unwrap();
        let mut expected = PerFamily { v4: 0, v6: 0 };
        for network in reader.networks(maxminddb::WithinOptions::default()).unwrap() {
            match network.unwrap().network().unwrap() {
                ipnetwork::IpNetwork::V4(_) => expected.v4 += 1,
                ipnetwork::IpNetwork::V6(_) => expected.v6 += 1,
            }
        }
        assert_eq!(database.networks, expected, "{name}");
    }
}

#[test]
fn an_asn_file_as_country_says_where_it_belongs() {
    let error = refused(Kind::Country, "GeoLite2-ASN-Test.mmdb");
    assert!(
        error.ends_with(
            "GeoLite2-ASN-Test.mmdb is an ASN database (database_type \"GeoLite2-ASN\"); give it as [geoip] asn"
        ),
        "{error}"
    );
}

#[test]
fn a_country_file_as_something_else_says_where_it_belongs() {
    for kind in [Kind::Asn, Kind::Anonymous] {
        let error = refused(kind, "GeoIP2-City-Test.mmdb");
        assert!(
            error.ends_with(
                "is a country database (database_type \"GeoIP2-City\"); give it as [geoip] country"
            ),
            "{error}"
        );
    }
}

#[test]
fn an_anonymous_ip_file_as_country_or_asn_says_where_it_belongs() {
    for kind in [Kind::Country, Kind::Asn] {
        let error = refused(kind, "GeoIP2-Anonymous-IP-Test.mmdb");
        assert!(
            error.ends_with(
                "is an anonymizer database (database_type \"GeoIP2-Anonymous-IP\"); give it as [geoip] anonymous"
            ),
            "{error}"
        );
    }
}

#[test]
fn a_file_of_something_else_says_what_is_missing() {
    for name in [
        "GeoIP2-Connection-Type-Test.mmdb",
        "MaxMind-DB-string-value-entries.mmdb",
        "MaxMind-DB-no-ipv4-search-tree.mmdb",
        "MaxMind-DB-test-decoder.mmdb",
        "MaxMind-DB-test-mixed-24.mmdb",
    ] {
        let error = refused(Kind::Country, name);
        assert!(error.contains("has no record with a country (database_type \""), "{name}: {error}");
        let error = refused(Kind::Asn, name);
        assert!(error.contains("has no record with an ASN (database_type \""), "{name}: {error}");
        let error = refused(Kind::Anonymous, name);
        assert!(error.contains("has no record with an anonymizer (database_type \""), "{name}: {error}");
    }
}
