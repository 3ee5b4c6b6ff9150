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
