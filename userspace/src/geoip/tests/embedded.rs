//! The tables inside the program.

use super::*;
use crate::geoip::embedded::{decode, encode, table};
use crate::geoip::{Origin, PerFamily};

#[test]
fn the_country_table_decodes_and_knows_the_world() {
    let database = Database::embedded(Kind::Country);
    assert_sound(&database);
    assert_eq!((database.kind, &database.origin), (Kind::Country, &Origin::Embedded));
    assert!(database.built > 1_780_000_000, "built in June 2026 or later");
    // A refreshed table may change by a few per cent, not by more.
    assert!((340_000..=380_000).contains(&database.v4.len()), "{} IPv4 runs", database.v4.len());
    assert!((320_000..=380_000).contains(&database.v6.len()), "{} IPv6 runs", database.v6.len());
    assert!(database.networks.v4 > 500_000 && database.networks.v6 > 600_000);
    assert!(database.records.len() > 240);
    for (address, country) in [
        ("8.8.8.8", "US"),
        ("114.114.114.114", "CN"),
        ("175.45.176.1", "KP"),
        ("2a00:1450:4001::1", "DE"),
        ("240e::1", "CN"),
    ] {
        assert_eq!(country_of(&database, address), Some(country), "{address}");
    }
}

#[test]
fn the_asn_table_decodes_and_has_azure_china() {
    let database = Database::embedded(Kind::Asn);
    assert_sound(&database);
    assert_eq!((database.kind, &database.origin), (Kind::Asn, &Origin::Embedded));
    assert!((440_000..=500_000).contains(&database.v4.len()), "{} IPv4 runs", database.v4.len());
    assert!((160_000..=200_000).contains(&database.v6.len()), "{} IPv6 runs", database.v6.len());
    assert!(database.records.len() > 80_000);

    let asn = |address: IpAddr| database.lookup(address).asn;
    for (first, last) in [
        ("40.72.0.0", "40.73.255.255"),
        ("42.159.0.0", "42.159.255.255"),
        ("52.130.0.0", "52.131.255.255"),
        ("139.217.0.0", "139.217.255.255"),
        ("2404:7940::", "2404:7940:ffff:ffff:ffff:ffff:ffff:ffff"),
    ] {
        assert_eq!(asn(first.parse().unwrap()), Some(58593), "{first}");
        assert_eq!(asn(last.parse().unwrap()), Some(58593), "{last}");
    }
    let record = database.lookup("42.159.0.1".parse().unwrap());
    assert_eq!(record.organization.as_deref(), Some("Shanghai Blue Cloud Technology Co.,Ltd"));
}

#[test]
fn provenance_names_the_tables_that_are_there() {
    let text =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("data/PROVENANCE.md")).unwrap();
    for kind in [Kind::Country, Kind::Asn] {
        let database = Database::embedded(kind);
        let built = jiff::Timestamp::from_second(database.built).unwrap();
        for fact in [
            format!("built: {built}\n"),
            format!("runs: {} IPv4, {} IPv6\n", database.v4.len(), database.v6.len()),
            format!("bytes: {}\n", table(kind).expect("both are embedded").len()),
        ] {
            assert!(text.contains(&fact), "{fact}");
        }
    }
}

#[test]
fn of_anonymizers_nothing_is_embedded_and_nothing_known() {
    let database = Database::embedded(Kind::Anonymous);
    assert_sound(&database);
    assert_eq!(database.records, [Default::default()]);
}

#[test]
fn what_is_packed_comes_out_again() {
    let file = std::fs::read(official("GeoLite2-ASN-Test.mmdb")).unwrap();
    let mut database = read(Kind::Asn, &file).unwrap();
    database.origin = Origin::Embedded;
    assert_eq!(decode(&encode(&database).unwrap()).unwrap(), database);

    let csv = b"1.0.0.0,1.0.0.255,vpn|hosting\n1.0.1.0,1.0.1.255,other\n2a00::,2a00::ff,tor\n";
    let mut anonymous = read(Kind::Anonymous, csv).unwrap();
    anonymous.origin = Origin::Embedded;
    assert_eq!(decode(&encode(&anonymous).unwrap()).unwrap(), anonymous);

    // The shortest and the longest distances, and one run only.
    let mut extreme = database.clone();
    extreme.v4 = vec![(0, 1), (1, 0), (u32::MAX, 2)];
    extreme.v6 = vec![(0, 1), (1, 0), (1 << 127, 2), (u128::MAX - 1, 0), (u128::MAX, 1)];
    assert_eq!(decode(&encode(&extreme).unwrap()).unwrap(), extreme);
    extreme.v4 = vec![(0, 0)];
    extreme.networks = PerFamily { v4: 0, v6: u64::MAX };
    extreme.built = -1;
    assert_eq!(decode(&encode(&extreme).unwrap()).unwrap(), extreme);
}

#[test]
fn a_damaged_table_is_refused_by_its_checksum_and_by_its_form() {
    let database = read(Kind::Country, b"1.0.0.0,1.0.0.255,AU\n2a00::,2a00::ff,CH\n").unwrap();
    let packed = encode(&database).unwrap();
    for at in 0..packed.len() {
        for bit in 0..8 {
            let mut flipped = packed.clone();
            flipped[at] ^= 1 << bit;
            // A flag of the frame may be flipped without effect; then everything is there.
            if let Ok(decoded) = decode(&flipped) {
                assert_eq!((&decoded.v4, &decoded.v6), (&database.v4, &database.v6), "byte {at}, bit {bit}");
            }
        }
        assert!(decode(&packed[..at]).is_err(), "cut at {at}");
    }

    // Without the checksum in the way: any other content is refused or read, never a panic.
    let plain = zstd::decode_all(&packed[..]).unwrap();
    for at in 0..plain.len() {
        for byte in [0, 1, 0x7f, 0x80, 0xff] {
            let mut other = plain.clone();
            other[at] = byte;
            if let Ok(decoded) = decode(&zstd::encode_all(&other[..], 1).unwrap()) {
                assert!(decoded.v4.iter().all(|run| (run.1 as usize) < decoded.records.len()));
            }
        }
    }
}
