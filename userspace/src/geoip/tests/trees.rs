//! The walk through the search tree against maxminddb's lookup, in every record size, and on trees that are none.

use std::fs;

use super::*;
use crate::geoip::tree::{Damage, Tree, Visit};

/// Networks as they come by: first and last address, value.
#[derive(Default)]
struct Seen {
    v4: Vec<(u32, u32, u32)>,
    v6: Vec<(u128, u128, u32)>,
}

impl Visit<Damage> for Seen {
    fn v4(&mut self, first: u32, last: u32, value: u32) -> Result<(), Damage> {
        self.v4.push((first, last, value));
        Ok(())
    }

    fn v6(&mut self, first: u128, last: u128, value: u32) -> Result<(), Damage> {
        self.v6.push((first, last, value));
        Ok(())
    }
}

fn walk(file: &[u8]) -> Result<Seen, Damage> {
    let reader = maxminddb::Reader::from_source(file).unwrap();
    let metadata = reader.metadata();
    let mut seen = Seen::default();
    Tree::new(file, metadata.node_count, metadata.record_size, metadata.ip_version)
        .unwrap()
        .walk(&mut seen)?;
    Ok(seen)
}

#[test]
fn every_record_size_and_address_width_is_walked_in_order_and_whole() {
    for name in
        ["ipv4-24", "ipv4-28", "ipv4-32", "ipv6-24", "ipv6-28", "ipv6-32", "mixed-24", "mixed-28", "mixed-32"]
    {
        let file = fs::read(official(&format!("MaxMind-DB-test-{name}.mmdb"))).unwrap();
        let seen = walk(&file).unwrap();
        let reader = maxminddb::Reader::from_source(&file).unwrap();
        let nodes = reader.metadata().node_count;

        let mut theirs = Vec::new();
        for network in reader.networks(maxminddb::WithinOptions::default()).unwrap() {
            let network = network.unwrap();
            let value = u32::try_from(network.offset().unwrap()).unwrap() + nodes + 16;
            let range = network.network().unwrap();
            theirs.push((range.network(), range.broadcast(), value));
        }
        let v4 = seen.v4.iter().map(|&(first, last, value)| {
            (Ipv4Addr::from_bits(first).into(), Ipv4Addr::from_bits(last).into(), value)
        });
        let v6 = seen.v6.iter().map(|&(first, last, value)| {
            (Ipv6Addr::from_bits(first).into(), Ipv6Addr::from_bits(last).into(), value)
        });
        let ours: Vec<(IpAddr, IpAddr, u32)> = v4.chain(v6).collect();
        assert_eq!(ours, theirs, "{name}");
        assert!(!ours.is_empty(), "{name}");
    }
}

#[test]
fn a_file_without_an_ipv4_tree_gives_ipv4_what_covers_it() {
    // ::/64 is one network, so that every IPv4 address is found in it.
    let file = fs::read(official("MaxMind-DB-no-ipv4-search-tree.mmdb")).unwrap();
    let seen = walk(&file).unwrap();
    assert_eq!(seen.v4.len(), 1);
    assert_eq!((seen.v4[0].0, seen.v4[0].1), (0, u32::MAX));
    assert!(seen.v6.iter().any(|&(first, last, _)| (first, last) == (0, u128::from(u64::MAX))));
}

/// A file of `nodes`, with records of 24 bits, and one record after them.
pub(super) fn file_of(nodes: &[(usize, usize)]) -> Vec<u8> {
    let donor = craft::mmdb(6, "Test", &[("8000::/1", serde_json::json!({"country_code": "CH"}))]);
    // The donor's tree has one node; its count in the metadata is a number of one byte.
    let mut file: Vec<u8> = nodes
        .iter()
        .flat_map(|&(left, right)| [left, right])
        .flat_map(|child| u32::try_from(child).unwrap().to_be_bytes()[1..].to_vec())
        .collect();
    let key = b"node_count\xc1\x01";
    let mut rest = donor[6..].to_vec();
    let at = rest.windows(key.len()).rposition(|window| window == key).unwrap() + key.len() - 1;
    rest[at] = u8::try_from(nodes.len()).unwrap();
    file.extend(rest);
    file
}

#[test]
fn a_tree_that_leads_back_to_its_root_is_refused() {
    let error = read(Kind::Country, &file_of(&[(1, 18), (0, 0)])).unwrap_err().to_string();
    assert!(error.starts_with("test.mmdb is not a valid database: the search tree "), "{error}");
}

#[test]
fn more_ways_to_the_ipv4_tree_than_could_ever_be_walked_are_refused_at_once() {
    // Both sides of each of 96 nodes lead to the next: 2^96 ways to the IPv4 tree, all but one of them aliases.
    let mut nodes: Vec<(usize, usize)> = (0..96).map(|node| (node + 1, node + 1)).collect();
    nodes.push((97 + 16, 97));
    assert_eq!(walk(&file_of(&nodes)).err(), Some(Damage::Cycle));
    let error = read(Kind::Country, &file_of(&nodes)).unwrap_err().to_string();
    assert!(error.contains("the search tree runs in circles"), "{error}");
}

#[test]
fn a_tree_deeper_than_an_address_is_refused() {
    let mut nodes: Vec<(usize, usize)> = (0..129).map(|node| (node + 1, 129)).collect();
    nodes[128] = (129 + 16, 129);
    // The IPv4 tree is only 32 deep: 33 nodes below ::/96 are one too many.
    assert_eq!(walk(&file_of(&nodes)).err(), Some(Damage::TooDeep));
}
