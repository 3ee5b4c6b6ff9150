//! The check of a stand-in finds what maxminddb's check of the file itself finds.

use std::collections::BTreeSet;
use std::fs;

use super::*;
use crate::geoip::tree::{self, Damage, Tree, Visit};
use crate::geoip::verify::verify;

/// The values in a tree.
#[derive(Default)]
struct Values(BTreeSet<u32>);

impl Visit<Damage> for Values {
    fn v4(&mut self, _: u32, _: u32, value: u32) -> Result<(), Damage> {
        self.0.insert(value);
        Ok(())
    }

    fn v6(&mut self, _: u128, _: u128, value: u32) -> Result<(), Damage> {
        self.0.insert(value);
        Ok(())
    }
}

#[test]
fn damage_is_found_in_the_stand_in_exactly_where_it_is_found_in_the_file() {
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = move |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap() % below
    };
    let (mut whole, mut damaged) = (0, 0);
    for name in [
        "GeoIP2-City-Test",
        "MaxMind-DB-test-decoder",
        "MaxMind-DB-test-ipv4-28",
        "MaxMind-DB-test-mixed-24",
        "MaxMind-DB-test-mixed-32",
        "MaxMind-DB-no-ipv4-search-tree",
    ] {
        let file = fs::read(official(&format!("{name}.mmdb"))).unwrap();
        for round in 0..1500 {
            let mut flipped = file.clone();
            if round != 0 {
                flipped[random(file.len())] ^= 1 << random(8);
            }
            let Ok(reader) = maxminddb::Reader::from_source(flipped.as_slice()) else { continue };
            let metadata = reader.metadata();
            let tree = Tree::new(&flipped, metadata.node_count, metadata.record_size, metadata.ip_version);
            let mut values = Values::default();
            if tree.unwrap().walk(&mut values).is_err() {
                continue;
            }
            let theirs = reader.verify().is_ok();
            assert_eq!(verify(&flipped, metadata, values.0.into_iter()).is_ok(), theirs, "{name}, {round}");
            assert!(theirs || round != 0, "{name}");
            if theirs { whole += 1 } else { damaged += 1 }
        }
    }
    assert!(whole > 500 && damaged > 500, "{whole}, {damaged}");
}

#[test]
fn the_smallest_trees_are_checked_as_files_are() {
    // One value is at 16 beyond the nodes, nothing at their number.
    for nodes in [
        &[(1, 1)][..],
        &[(17, 1)],
        &[(17, 17)],
        &[(1, 2), (2, 2)],
        &[(1, 2), (18, 2)],
        // The second node is reached on both sides.
        &[(1, 1), (2, 2)],
        &[(1, 1), (2, 18)],
    ] {
        assert_flips_are_found_alike(&trees::file_of(nodes), &format!("{nodes:?}"));
    }
    // As many values as a tree of one node has places, and of two.
    let country = |code: &str| serde_json::json!({ "country_code": code });
    let networks =
        [("0.0.0.0/1", country("AU")), ("128.0.0.0/2", country("CH")), ("192.0.0.0/2", country("FR"))];
    for networks in [&[networks[0].clone(), ("128.0.0.0/1", country("CH"))][..], &networks] {
        assert_flips_are_found_alike(&craft::mmdb(4, "Test", networks), &format!("{networks:?}"));
    }
}

/// Flips each bit of the data by itself: what is then found in the stand-in, and by reading the file with and without
/// a description, is what maxminddb's check of the file finds.
fn assert_flips_are_found_alike(file: &[u8], name: &str) {
    let reader = maxminddb::Reader::from_source(file).unwrap();
    let data = reader.metadata().node_count as usize * 6 + 16;
    let end = file.windows(14).rposition(|window| window == b"\xab\xcd\xefMaxMind.com").unwrap();
    let used = !values(file).is_empty();
    let mut damaged = 0;
    for bit in (data * 8 - 1)..end * 8 {
        let mut flipped = file.to_vec();
        // The first is the separator's last, which counts even where nothing leads to the data.
        flipped[bit / 8] ^= 1 << (bit % 8);
        let reader = maxminddb::Reader::from_source(flipped.as_slice()).unwrap();
        let theirs = reader.verify().is_ok();
        damaged += usize::from(!theirs);
        let values = values(&flipped);
        let ours = verify(&flipped, reader.metadata(), values.iter().copied());
        assert_eq!(ours.is_ok(), theirs, "{name}: bit {bit}: {ours:?}");
        let without = craft::without_description(&flipped);
        let reader = maxminddb::Reader::from_source(without.as_slice()).unwrap();
        let ours = verify(&without, reader.metadata(), values.into_iter());
        assert_eq!(ours.is_ok(), theirs, "{name}, without description: bit {bit}: {ours:?}");
        assert!(theirs || read(Kind::Country, &without).is_err(), "{name}, read: bit {bit}");
    }
    assert!(if used { damaged > 8 } else { damaged == 1 }, "{name}: {damaged}");
}

fn values(file: &[u8]) -> BTreeSet<u32> {
    let reader = maxminddb::Reader::from_source(file).unwrap();
    let metadata = reader.metadata();
    let mut values = Values::default();
    Tree::new(file, metadata.node_count, metadata.record_size, metadata.ip_version)
        .unwrap()
        .walk(&mut values)
        .unwrap();
    values.0
}

#[test]
fn what_is_written_into_a_node_is_read_from_it() {
    for (bits, values) in
        [(24, [0x00fe_dcba, 0x0012_3456]), (28, [0x0fed_cba9, 0x0123_4567]), (32, [0xfedc_ba98, 0x1234_5678])]
    {
        for [left, right] in [values, [values[1], values[0]]] {
            let mut nodes = vec![0; 16];
            for (place, value) in [1, right, left, right].into_iter().enumerate() {
                tree::set_child(&mut nodes, bits, place / 2, place % 2, value);
            }
            let mut seen = Values::default();
            Tree::new(&nodes, 2, bits, 4).unwrap().walk(&mut seen).unwrap();
            assert_eq!(seen.0, BTreeSet::from([left, right]), "{bits} bits");
        }
    }
}
