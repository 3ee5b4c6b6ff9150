//! The layouts and oddities of published files, each in a crafted one.

use serde_json::{Value, json};

use super::craft::{mmdb, with_aliases, with_record_size};
use super::*;

fn country(networks: &[(&str, Value)]) -> Database {
    let database = read(Kind::Country, &mmdb(6, "Test", networks)).unwrap();
    assert_sound(&database);
    database
}

fn asn(networks: &[(&str, Value)]) -> Database {
    read(Kind::Asn, &mmdb(6, "Test", networks)).unwrap()
}

#[test]
fn flat_country_codes() {
    let database = country(&[
        ("1.0.0.0/24", json!({"country_code": "AU"})),
        ("1.0.1.0/24", json!({"country_code": "cn"})),
        ("2a00::/32", json!({"country_code": "CH"})),
    ]);
    assert_eq!(country_of(&database, "1.0.0.255"), Some("AU"));
    assert_eq!(country_of(&database, "1.0.1.0"), Some("CN"), "lower case");
    assert_eq!(country_of(&database, "1.0.2.0"), None);
    assert_eq!(country_of(&database, "2a00::1"), Some("CH"));
    assert_eq!(continent_of(&database, "2a00::1"), Some("EU"), "the country's");
    assert_eq!(database.built, 1_700_000_000);
    assert_eq!(database.notes, Vec::<String>::new());
}

#[test]
fn dbip_nested() {
    let database = country(&[(
        "1.0.0.0/24",
        json!({"continent": {"code": "OC", "names": {"en": "Oceania"}},
               "country": {"geoname_id": 2077456, "is_in_european_union": false, "iso_code": "AU", "names": {"en": "Australia"}}}),
    )]);
    assert_eq!(country_of(&database, "1.0.0.0"), Some("AU"));
    assert_eq!(continent_of(&database, "1.0.0.0"), Some("OC"));
}

#[test]
fn ipinfo_with_codes_and_with_names_beside_codes() {
    let old =
        country(&[("1.0.0.0/24", json!({"country": "AU", "country_name": "Australia", "continent": "OC"}))]);
    assert_eq!((country_of(&old, "1.0.0.0"), continent_of(&old, "1.0.0.0")), (Some("AU"), Some("OC")));
    let lite = [(
        "1.0.0.0/24",
        json!({"country": "United States", "country_code": "US", "continent": "North America", "continent_code": "NA",
               "asn": "AS13335", "as_name": "Cloudflare, Inc.", "as_domain": "cloudflare.com"}),
    )];
    let database = country(&lite);
    assert_eq!(
        (country_of(&database, "1.0.0.0"), continent_of(&database, "1.0.0.0")),
        (Some("US"), Some("NA"))
    );
    assert_eq!(database.notes, Vec::<String>::new());
    // The same file is an ASN database, too.
    let database = asn(&lite);
    let record = database.lookup("1.0.0.0".parse().unwrap());
    assert_eq!((record.asn, record.organization.as_deref()), (Some(13335), Some("Cloudflare, Inc.")));
}

#[test]
fn asn_in_every_layout() {
    let database = asn(&[
        (
            "1.0.0.0/24",
            json!({"autonomous_system_number": 1221, "autonomous_system_organization": "Telstra"}),
        ),
        (
            "1.0.1.0/24",
            json!({"asn": "AS58593", "name": "Azure China", "route": "1.0.1.0/24", "type": "hosting"}),
        ),
        ("1.0.2.0/24", json!({"asn": 7018})),
        ("1.0.3.0/24", json!({"asn": "", "name": ""})),
        ("1.0.4.0/24", json!({"asn": 0, "name": "Not routed"})),
        ("1.0.5.0/24", json!({"asn": "ASx"})),
    ]);
    let of = |address: &str| {
        let record = database.lookup(address.parse().unwrap());
        (record.asn, record.organization.as_deref())
    };
    assert_eq!(of("1.0.0.1"), (Some(1221), Some("Telstra")));
    assert_eq!(of("1.0.1.1"), (Some(58593), Some("Azure China")));
    assert_eq!(of("1.0.2.1"), (Some(7018), None));
    for nothing in ["1.0.3.1", "1.0.4.1", "1.0.5.1", "1.0.6.1"] {
        assert_eq!(of(nothing), (None, None), "{nothing}");
    }
    assert_eq!(database.notes, ["unknown asn \"ASx\" in 1 record: taken for none"]);
}

#[test]
fn where_a_record_has_only_registered_country_that_one_and_else_where_it_is_located() {
    let database = country(&[
        ("1.1.1.0/24", json!({"registered_country": {"iso_code": "AU"}})),
        ("1.1.2.0/24", json!({"country": {"iso_code": "CN"}, "registered_country": {"iso_code": "US"}})),
        ("1.1.3.0/24", json!({"country": {"names": {"en": "?"}}, "registered_country": {"iso_code": "FR"}})),
    ]);
    assert_eq!(country_of(&database, "1.1.1.1"), Some("AU"));
    assert_eq!(country_of(&database, "1.1.2.1"), Some("CN"));
    assert_eq!(country_of(&database, "1.1.3.1"), Some("FR"), "a country without code is none");
}

#[test]
fn records_that_are_only_a_continent_or_anycast() {
    let database = country(&[
        ("1.0.0.0/24", json!({"continent": {"code": "EU", "geoname_id": 6255148}})),
        ("1.0.1.0/24", json!({"traits": {"is_anycast": true}})),
        ("1.0.2.0/24", json!({"country": {"iso_code": "DE"}, "traits": {"is_anycast": true}})),
        ("1.0.3.0/24", json!({})),
    ]);
    assert_eq!((country_of(&database, "1.0.0.1"), continent_of(&database, "1.0.0.1")), (None, Some("EU")));
    assert_eq!(*database.lookup("1.0.1.1".parse().unwrap()), Default::default());
    assert_eq!(country_of(&database, "1.0.2.1"), Some("DE"));
    assert_eq!(*database.lookup("1.0.3.1".parse().unwrap()), Default::default());
    assert_eq!(database.networks.v4, 4);
}

#[test]
fn pseudo_codes_are_no_country() {
    let codes = ["EU", "AP", "A1", "A2", "null", "", "-", "ZZ", "None"];
    let networks: Vec<String> = (0..codes.len()).map(|index| format!("1.0.{index}.0/24")).collect();
    let mut records: Vec<(&str, Value)> = networks
        .iter()
        .zip(codes)
        .map(|(network, code)| (&**network, json!({"country_code": code})))
        .collect();
    records.push(("2.0.0.0/8", json!({"country": {"iso_code": "EU"}, "continent": {"code": "EU"}})));
    let database = country(&records);
    for (index, code) in codes.iter().enumerate() {
        assert_eq!(country_of(&database, &format!("1.0.{index}.1")), None, "{code}");
    }
    assert_eq!((country_of(&database, "2.0.0.1"), continent_of(&database, "2.0.0.1")), (None, Some("EU")));
    assert_eq!(
        database.notes,
        [
            "unknown country \"A1\" in 1 record: taken for none",
            "unknown country \"A2\" in 1 record: taken for none",
            "unknown country \"AP\" in 1 record: taken for none",
            "unknown country \"EU\" in 2 records: taken for none",
        ]
    );
}

#[test]
fn fields_of_unexpected_types_are_as_good_as_none() {
    let database = country(&[
        ("1.0.0.0/24", json!({"country_code": 7})),
        ("1.0.1.0/24", json!({"country": ["AU"]})),
        ("1.0.2.0/24", json!({"country": {"iso_code": true}})),
        ("1.0.3.0/24", json!({"country": {"iso_code": {"code": "AU"}}, "extra": [1, {"deep": [2.5, "x"]}]})),
        ("1.0.4.0/24", json!("AU")),
        ("1.0.5.0/24", json!(["AU"])),
        ("1.0.6.0/24", json!(1.5)),
    ]);
    for address in ["1.0.0.1", "1.0.1.1", "1.0.2.1", "1.0.4.1", "1.0.5.1", "1.0.6.1"] {
        assert_eq!(country_of(&database, address), None, "{address}");
    }
    assert_eq!(database.notes, ["unknown country \"(not a text)\" in 3 records: taken for none"]);
}

#[test]
fn aliases_of_the_ipv4_tree_are_neither_walked_nor_counted() {
    let aliases = ["::ffff:0:0/96", "2002::/16", "64:ff9b::/96", "2001::/32"];
    let au = || json!({"country_code": "AU"});
    let mut networks: Vec<(&str, Value)> = aliases.iter().map(|prefix| (*prefix, json!({}))).collect();
    networks.extend([("1.0.0.0/8", au()), ("9.0.0.0/8", json!({"country_code": "US"})), ("2a00::/16", au())]);
    let file = with_aliases(mmdb(6, "Test", &networks), &aliases);
    let reader = maxminddb::Reader::from_source(&file).unwrap();
    for alias in ["::ffff:1.0.0.1", "2002:100::1", "64:ff9b::1.0.0.1", "2001:0:100::1"] {
        assert!(reader.lookup(alias.parse().unwrap()).unwrap().has_data(), "{alias} is an alias in the file");
    }

    let database = read(Kind::Country, &file).unwrap();
    assert_eq!((database.networks.v4, database.networks.v6), (2, 1));
    assert_eq!(database.v6.len(), 3, "before, 2a00::/16, after");
    assert_eq!(country_of(&database, "1.0.0.1"), Some("AU"));
    assert_eq!(country_of(&database, "2a00::1"), Some("AU"));
    for alias in ["::1.0.0.1", "::ffff:1.0.0.1", "2002:100::1", "64:ff9b::1.0.0.1", "2001:0:100::1"] {
        assert_eq!(country_of(&database, alias), None, "{alias}");
    }
}

#[test]
fn an_ipv6_network_with_the_record_that_covers_ipv4_is_no_alias() {
    // Without an IPv4 tree, ::/64 and 2a00::/16 may share a record; both hold.
    let mut file = mmdb(6, "Test", &[("::/64", json!({"country_code": "AU"})), ("2a00::/16", json!({}))]);
    let (from, to) = ("::".parse().unwrap(), "2a00::".parse().unwrap());
    let value = |file: &[u8], address: IpAddr| {
        let reader = maxminddb::Reader::from_source(file).unwrap();
        let offset = reader.lookup(address).unwrap().offset().unwrap();
        u32::try_from(offset).unwrap() + reader.metadata().node_count + 16
    };
    let (shared, own) = (value(&file, from).to_be_bytes(), value(&file, to).to_be_bytes());
    let nodes = maxminddb::Reader::from_source(&file).unwrap().metadata().node_count as usize;
    let at = (0..nodes * 2).map(|record| record * 3).find(|&at| file[at..at + 3] == own[1..]).unwrap();
    file[at..at + 3].copy_from_slice(&shared[1..]);

    let database = read(Kind::Country, &file).unwrap();
    assert_eq!(country_of(&database, "2a00::1"), Some("AU"));
    assert_eq!(country_of(&database, "8.8.8.8"), Some("AU"));
}

#[test]
fn an_ipv4_only_database_knows_nothing_of_ipv6() {
    let file = mmdb(4, "Test", &[("1.0.0.0/8", json!({"country_code": "AU"}))]);
    let database = read(Kind::Country, &file).unwrap();
    assert_sound(&database);
    assert_eq!(country_of(&database, "1.255.255.255"), Some("AU"));
    assert_eq!(country_of(&database, "::1.0.0.1"), None);
    assert_eq!((database.networks.v4, database.networks.v6), (1, 0));
    assert_eq!(database.v6, [(0, 0)]);
}

#[test]
fn every_record_size_reads_the_same() {
    let networks = [
        ("1.0.0.0/8", json!({"country_code": "AU"})),
        ("203.0.112.0/24", json!({"country_code": "DE"})),
        ("2a00::/16", json!({"country_code": "CH"})),
    ];
    for ip_version in [4, 6] {
        let take = if ip_version == 4 { 2 } else { 3 };
        let file = mmdb(ip_version, "Test", &networks[..take]);
        let database = read(Kind::Country, &file).unwrap();
        for record_bits in [28, 32] {
            let other = read(Kind::Country, &with_record_size(&file, record_bits)).unwrap();
            assert_eq!(other, database, "{record_bits} bits, IPv{ip_version}");
        }
    }
}

#[test]
fn prefixes_longer_than_64_down_to_single_addresses() {
    let database = country(&[
        ("2a00::/65", json!({"country_code": "CH"})),
        ("2a00:0:0:1::42/128", json!({"country_code": "DE"})),
        ("2a00:0:0:1::44/127", json!({"country_code": "FR"})),
        ("1.2.3.4/32", json!({"country_code": "AU"})),
    ]);
    for (address, expected) in [
        ("2a00::7fff:ffff:ffff:ffff", Some("CH")),
        ("2a00::8000:0:0:0", None),
        ("2a00:0:0:1::41", None),
        ("2a00:0:0:1::42", Some("DE")),
        ("2a00:0:0:1::43", None),
        ("2a00:0:0:1::45", Some("FR")),
        ("2a00:0:0:1::46", None),
        ("1.2.3.3", None),
        ("1.2.3.4", Some("AU")),
        ("1.2.3.5", None),
    ] {
        assert_eq!(country_of(&database, address), expected, "{address}");
    }
}

#[test]
fn neighbours_with_the_same_country_are_one_run() {
    let database = country(&[
        ("1.0.0.0/24", json!({"country_code": "AU", "city": "Perth"})),
        ("1.0.1.0/24", json!({"country_code": "AU", "city": "Sydney"})),
    ]);
    assert_eq!(database.networks.v4, 2);
    assert_eq!(database.v4.len(), 3);
    assert_eq!(database.records.len(), 2);
}

#[test]
fn special_purpose_space_is_kept_as_published_and_noted() {
    let database = country(&[
        ("10.0.0.0/8", json!({"country_code": "AU"})),
        ("11.0.0.0/8", json!({"country_code": "US"})),
        ("4000::/3", json!({"country_code": "CH"})),
        ("ff00::/8", json!({"country_code": "CH"})),
    ]);
    assert_eq!(country_of(&database, "ff02::1"), Some("CH"));
    assert_eq!(database.notes, ["3 networks in special-purpose space ignored (the first at 10.0.0.0)"]);
}

#[test]
fn a_file_without_a_description_is_checked_all_the_same() {
    let file = mmdb(6, "country", &[("1.0.0.0/8", json!({"country_code": "AU"}))]);
    let without = craft::without_description(&file);
    assert_eq!(country_of(&read(Kind::Country, &without).unwrap(), "1.2.3.4"), Some("AU"));

    let nodes = maxminddb::Reader::from_source(&file).unwrap().metadata().node_count as usize;
    let mut damaged = without;
    damaged[nodes * 6] = 1;
    assert!(matches!(read(Kind::Country, &damaged), Err(DatabaseError::Invalid { .. })));
}

#[test]
fn a_database_without_networks_has_nothing_to_give() {
    let error = read(Kind::Country, &mmdb(6, "Test", &[("1.0.0.0/8", json!({}))])).unwrap_err().to_string();
    assert_eq!(
        error,
        "test.mmdb has no record with a country (database_type \"Test\"); give a database that has as [geoip] country"
    );
}
