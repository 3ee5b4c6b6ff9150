//! Tables against a naive longest-prefix match, at every address at which the answer may change.

use super::*;
use crate::table::{Bytes, class_v4, class_v6};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// A prefix: address bits, length, class.
type Prefix = (u128, u32, u16);

/// Longest-prefix match by looking at every prefix; of equal ones the last counts.
fn naive(prefixes: &[Prefix], width: u32, address: u128) -> u16 {
    let matches = |&&(base, length, _): &&Prefix| {
        let host = width - length;
        host >= 128 || base >> host == address >> host
    };
    prefixes.iter().filter(matches).max_by_key(|prefix| prefix.1).map_or(0, |prefix| prefix.2)
}

/// Every address at which the answer may change, with its neighbours.
fn edges(prefixes: &[Prefix], width: u32) -> Vec<u128> {
    let top = if width == 128 { u128::MAX } else { (1 << width) - 1 };
    let mut edges = vec![0, top];
    for &(base, length, _) in prefixes {
        let size = 1u128.checked_shl(width - length).unwrap_or(0);
        let last = base.wrapping_add(size.wrapping_sub(1)) & top;
        edges.extend([base.wrapping_sub(1) & top, base, last, last.wrapping_add(1) & top]);
    }
    edges
}

fn runs(prefixes: &[Prefix], width: u32) -> Vec<(u128, u16)> {
    let starts: BTreeMap<u128, u16> =
        edges(prefixes, width).into_iter().map(|edge| (edge, naive(prefixes, width, edge))).collect();
    let mut runs: Vec<(u128, u16)> = starts.into_iter().collect();
    runs.dedup_by_key(|run| run.1);
    runs
}

fn prefixes(width: u32, classes: u16) -> impl Strategy<Value = Vec<Prefix>> {
    // Few distinct bits, so that prefixes nest and share /64s.
    let address =
        (0u128..16, 0u32..32, any::<u128>(), any::<bool>()).prop_map(move |(few, shift, any, wide)| {
            let value = if wide { any } else { 0x2001_0db8 << 96 | few << (shift * 4) };
            if width == 128 { value } else { value & ((1 << width) - 1) }
        });
    let prefix = (address, 0..=width, 0..classes).prop_map(move |(address, length, class)| {
        let host = width - length;
        let base = if host >= 128 { 0 } else { address >> host << host };
        (base, length, class)
    });
    prop::collection::vec(prefix, 0..60)
}

fn check(v4: &[Prefix], v6: &[Prefix], classes: u16) {
    let runs_v4: Vec<(u32, u16)> = runs(v4, 32).iter().map(|&(start, class)| (start as u32, class)).collect();
    let tables = build(usize::from(classes), &runs_v4, &runs(v6, 128)).expect("fits");
    let image = |image| Bytes { image, wide: tables.wide };
    for edge in edges(v4, 32) {
        let found = class_v4(&image(&tables.v4), tables.roots.v4, edge as u32);
        assert_eq!(found, u32::from(naive(v4, 32, edge)), "{:?}", std::net::Ipv4Addr::from(edge as u32));
    }
    for edge in edges(v6, 128) {
        let found = class_v6(&image(&tables.v6), &tables.roots.v6, (edge >> 64) as u64, edge as u64);
        assert_eq!(found, u32::from(naive(v6, 128, edge)), "{:?}", std::net::Ipv6Addr::from(edge));
    }
}

proptest! {
    #[test]
    fn any_prefixes_give_the_longest_match(
        (v4, v6, classes) in (1u16..600).prop_flat_map(|n| (prefixes(32, n), prefixes(128, n), Just(n)))
    ) {
        check(&v4, &v6, classes);
    }
}

#[test]
fn one_class_needs_no_node() {
    let tables = build(1, &[(0, 0)], &[(0, 0)]).expect("fits");
    // The root, and next to nothing below it.
    assert!(tables.v4.len() < (4 << 16) + 1024 && tables.v6.len() < (4 << 15) + 1024);
    check(&[], &[], 1);
}

#[test]
fn a_single_host_is_found_in_each_part_of_the_ipv6_space() {
    for text in
        ["::", "::1", "fe80::1", "2000::", "3fff:ffff::ffff", "4000::", "ffff::ffff", "2001:db8::8000:0:0:0"]
    {
        let address: std::net::Ipv6Addr = text.parse().expect("an address");
        check(&[], &[(address.into(), 128, 1)], 2);
    }
    check(&[], &[(u128::MAX, 128, 1), (u128::MAX - 1, 128, 2)], 3);
}

#[test]
fn every_host_of_a_subnet_may_have_its_own_class() {
    let v6: Vec<Prefix> = (0..2000).map(|i| ((0x2a00 << 112) | (i * 7), 128, (i % 997) as u16 + 1)).collect();
    let v4: Vec<Prefix> = (0..2000).map(|i| (0x0a00_0000 + i * 3, 32, (i % 997) as u16 + 1)).collect();
    check(&v4, &v6, 998);
}

#[test]
fn every_subnet_may_be_divided_in_its_own_way() {
    let v6: Vec<Prefix> =
        (0..3000).map(|i| ((0x2a00 << 112) | (i << 64) | (i * i), 128, (i % 7) as u16 + 1)).collect();
    check(&[], &v6, 8);
}

#[test]
fn more_classes_than_numbers_are_refused() {
    assert!(build(65_535, &[(0, 65_534)], &[(0, 65_534)]).is_ok());
    let error = build(65_536, &[(0, 0)], &[(0, 0)]).expect_err("one too many");
    assert_eq!(error, TableError::TooManyClasses { classes: 65_536 });
}
