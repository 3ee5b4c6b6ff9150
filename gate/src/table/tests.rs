//! Tables against a naive longest-prefix match, at every address at which the answer may change.

use super::*;
use crate::table;
use proptest::prelude::*;

#[path = "oracle.rs"]
mod oracle;

use oracle::{Prefix, check, compare};
use std::collections::BTreeMap;

/// Tables of runs too many for the naive match: asked about the start of each, and the address before.
fn check_runs(v4: &[(u32, u16)], v6: &[(u128, u16)], classes: usize) -> Tables {
    let tables = build(classes, v4, v6).expect("fits");
    let expected = |runs: &[(u128, u16)]| -> BTreeMap<u128, u16> {
        let before = runs.windows(2).map(|pair| (pair[1].0 - 1, pair[0].1));
        before.chain(runs.iter().copied()).collect()
    };
    let v4: Vec<(u128, u16)> = v4.iter().map(|&(start, class)| (start.into(), class)).collect();
    compare(&tables, &expected(&v4), &expected(v6));
    tables
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

/// Prefixes at and around the ends of what is looked up in different ways.
fn at_ends() -> impl Strategy<Value = Vec<Prefix>> {
    const FIRST_GLOBAL: u128 = 1 << 125;
    const FIRST_BEYOND: u128 = 2 << 125;
    const FIRST_OF_64: u128 = 0x2a00 << 112;
    let address = (
        prop::sample::select(vec![0, FIRST_GLOBAL, FIRST_OF_64, FIRST_BEYOND]),
        prop_oneof![-3i128..4, prop::sample::select(vec![1 << 63, 1 << 64, -(1 << 63), -(1 << 64)])],
    );
    let length = prop_oneof![0..=4u32, 61..=66u32, 124..=128u32];
    let prefix = (address, length, 0..5u16).prop_map(|((end, step), length, class)| {
        let host = 128 - length;
        let address = end.wrapping_add_signed(step);
        (address.checked_shr(host).map_or(0, |bits| bits << host), length, class)
    });
    prop::collection::vec(prefix, 0..20)
}

proptest! {
    #[test]
    fn any_prefixes_give_the_longest_match(
        (v4, v6, classes) in prop_oneof![1u16..20, 254u16..258, 1u16..2000]
            .prop_flat_map(|n| (prefixes(32, n), prefixes(128, n), Just(n)))
    ) {
        check(&v4, &v6, classes, &[]);
    }

    #[test]
    fn so_do_prefixes_where_one_way_of_looking_up_ends_and_the_next_begins(v6 in at_ends()) {
        check(&[], &v6, 5, &[]);
    }
}

#[test]
fn every_length_of_prefix_may_lie_around_one_address() {
    for text in ["::", "::1", "2000::", "2a00:db8:5555:aaaa:5555:aaaa:5555:aaaa", "3fff::1", "ffff::5555"] {
        let address: u128 = text.parse::<std::net::Ipv6Addr>().expect("an address").into();
        let around = |width: u32, address: u128| -> Vec<Prefix> {
            let base = |host: u32| address.checked_shr(host).map_or(0, |bits| bits << host);
            (0..=width).map(|length| (base(width - length), length, length as u16 % 7)).collect()
        };
        check(&around(32, address >> 96), &around(128, address), 7, &[]);
        // All that differ in the last bits only.
        let last: Vec<Prefix> = (0..40).map(|n| (address ^ n, 128, n as u16 % 7)).collect();
        check(&[], &last, 7, &[]);
    }
}

#[test]
fn an_image_is_wide_from_256_classes_on() {
    for classes in [254, 255, 256, 257] {
        let v4: Vec<Prefix> = (0..classes).map(|n| (0x0a00_0000 | u128::from(n) << 3, 32, n)).collect();
        // The last /64 is divided: its class, the escape, is the number after those.
        let v6: Vec<Prefix> = (0..classes).map(|n| (0x2a00 << 112 | u128::from(n) << 64, 64, n)).collect();
        check(&v4, &[v6, vec![(0x2a00 << 112 | 0xffff << 64, 128, 3)]].concat(), classes, &[]);
        assert_eq!(build(classes.into(), &[(0, 0)], &[(0, 0)]).expect("fits").wide, classes > 255);
    }
}

#[test]
fn the_highest_class_is_not_taken_for_the_escape() {
    let classes = [0, 1, 254, 255, 256, 65_534, 65_533, 65_534];
    let prefixes = |base: u128, shift: u32, length: u32| -> Vec<Prefix> {
        (0u32..).zip(classes).map(|(n, class)| (base | u128::from(n) << shift, length, class)).collect()
    };
    let v6 =
        [prefixes(0x2a00 << 112, 64, 64), prefixes(0x2b00 << 112, 0, 128), prefixes(0xfe80 << 112, 32, 96)];
    check(&prefixes(0x0a00_0000, 8, 24), &v6.concat(), 65_535, &[]);
}

/// Runs whose starts are as far apart as `spread` says, in one cell of an otherwise empty space.
fn in_one_cell(base: u128, runs: u16, spread: u128) -> Vec<(u128, u16)> {
    let inner = (1..runs).map(|n| (base + u128::from(n) * spread, n % 200));
    [(0, 199)].into_iter().chain(inner).collect()
}

#[test]
fn a_list_may_be_full_and_one_run_more_is_none() {
    // The most runs of a list are 8 and 16: all numbers around them, and far beyond.
    for runs in (2..40).chain([100, 200]) {
        let v4: Vec<(u32, u16)> =
            in_one_cell(0x0a01_0000, runs, 301).iter().map(|&(start, class)| (start as u32, class)).collect();
        // In one /48, in one /64, in 48 bits at the end of both spaces, and of fe80::/16.
        for (base, bits, step) in [
            (0x2a00_0db8_0001 << 80, 80, 1 << 64),
            (0x2a00_0db8_0001 << 80, 64, 1),
            (0x2a00_0db8_0001 << 80, 48, 1),
            (0xfe80 << 112, 48, 1),
            (0xfe80 << 112, 112, 1),
        ] {
            // So that the last bit that differs is the last of all.
            let spread = ((1u128 << bits) / 211 / step * step) | step;
            check_runs(&v4, &in_one_cell(base, runs, spread), 200);
        }
    }
}

#[test]
fn a_window_may_be_as_large_as_a_leaf_can_be() {
    // As many classes as 16 bits can choose from; with the same class on both sides, two fewer.
    for (first, last) in [(0, 0xffff), (1, 0xfffe), (1, 0xffff), (0, 0xfffe)] {
        let cells = |base: u128, shift: u32| -> Vec<(u128, u16)> {
            let inner = (first..=last).map(|n: u128| (base + (n << shift), 1 + (n * n % 199) as u16));
            let end = (base + ((last + 1) << shift), 0);
            [(0, 0)].into_iter().chain(inner).chain([end]).collect()
        };
        let v4: Vec<(u32, u16)> =
            cells(0x0a01_0000, 0).into_iter().map(|(start, class)| (start as u32, class)).collect();
        for (base, shift) in
            [(0x2a00 << 112, 96), (0x2a00 << 112, 64), (0x2a00 << 112, 0), (0xfe80 << 112, 0)]
        {
            let tables = check_runs(&v4, &cells(base, shift), 200);
            // A root, and one byte a cell: one leaf.
            assert!(tables.v4.len() < (4 << 16) + (1 << 16) + 8192, "{}", tables.v4.len());
        }
    }
}

#[test]
fn one_class_needs_no_node() {
    let tables = build(1, &[(0, 0)], &[(0, 0)]).expect("fits");
    // The root, and next to nothing below it.
    assert!(tables.v4.len() < (4 << 16) + 1024 && tables.v6.len() < (4 << 15) + 1024);
    check(&[], &[], 1, &[]);
}

#[test]
fn a_single_host_is_found_in_each_part_of_the_ipv6_space() {
    for text in
        ["::", "::1", "fe80::1", "2000::", "3fff:ffff::ffff", "4000::", "ffff::ffff", "2001:db8::8000:0:0:0"]
    {
        let address: std::net::Ipv6Addr = text.parse().expect("an address");
        check(&[], &[(address.into(), 128, 1)], 2, &[]);
    }
    check(&[], &[(u128::MAX, 128, 1), (u128::MAX - 1, 128, 2)], 3, &[]);
}

#[test]
fn every_host_of_a_subnet_may_have_its_own_class() {
    let v6: Vec<Prefix> = (0..2000).map(|i| ((0x2a00 << 112) | (i * 7), 128, (i % 997) as u16 + 1)).collect();
    let v4: Vec<Prefix> = (0..2000).map(|i| (0x0a00_0000 + i * 3, 32, (i % 997) as u16 + 1)).collect();
    check(&v4, &v6, 998, &[]);
}

#[test]
fn every_subnet_may_be_divided_in_its_own_way() {
    let v6: Vec<Prefix> =
        (0..3000).map(|i| ((0x2a00 << 112) | (i << 64) | (i * i), 128, (i % 7) as u16 + 1)).collect();
    check(&[], &v6, 8, &[]);
}

#[test]
fn more_classes_than_numbers_are_refused() {
    assert!(build(65_535, &[(0, 65_534)], &[(0, 65_534)]).is_ok());
    let error = build(65_536, &[(0, 0)], &[(0, 0)]).expect_err("one too many");
    assert_eq!(error, TableError::TooManyClasses { classes: 65_536 });
}

#[test]
fn an_image_above_a_part_is_read_within_parts() {
    let class = |n: u64| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as u16 % 200;
    let v4 = (1..1u32 << 19).map(|n| ((n << 13) + n.wrapping_mul(n) % 8191, class(n.into())));
    let v4: Vec<(u32, u16)> = [(0, 0)].into_iter().chain(v4).collect();
    // In every tenth place, a /64 that is divided.
    let v6 = (0..1u128 << 17).map(|n| {
        let low = if n % 10 == 0 { n } else { 0 };
        ((0x2000 << 112) + (n << 97) + ((n % 7) << 84) + low, class(n as u64 + 7))
    });
    let v6: Vec<(u128, u16)> = [(0, 0)].into_iter().chain(v6).collect();
    let tables = check_runs(&v4, &v6, 200);
    let parts = [&tables.v4, &tables.v6].map(|image| image.len().div_ceil(TABLE_PART as usize));
    assert!(parts.iter().all(|&parts| parts > 1), "{parts:?}");
}

#[test]
fn equal_bytes_at_a_place_that_is_not_aligned_do_not_become_a_list() {
    let mut builder = Builder::new(1, false, Shape::V6);
    let part = [7; 16];
    while builder.image.len().is_multiple_of(8) {
        builder.append(&[0; 4], 4);
    }
    let node = builder.place(&part, 0, 4, 0);
    let list = builder.place(&part, 0, 8, 0);
    assert_eq!((node % 8, list % 8), (4, 0));
    // From then on that one is there for both.
    let length = builder.image.len();
    assert_eq!(builder.place(&part, 0, 8, 0), list);
    assert!([node, list].contains(&builder.place(&part, 0, 4, 0)));
    assert_eq!(builder.image.len(), length);
}

#[test]
fn an_image_that_entries_cannot_name_is_refused() {
    let with = |bytes: usize| {
        let mut builder = Builder::new(1, false, Shape::V4);
        builder.image.resize(bytes, 0);
        builder
    };
    let least = BASE as usize + 1;
    assert!(with(least - 1).finish().is_ok());
    assert_eq!(with(least).finish(), Err(TableError::TooLarge { bytes: least }));
    // Building goes on to its end.
    let mut builder = with(least);
    let part = [7; 16];
    assert_eq!(builder.place(&part, 0, 4, 2) & !BASE, 0);
    builder.place(&part, 0, 4, 2);
    let bytes = builder.image.len();
    assert_eq!(builder.finish(), Err(TableError::TooLarge { bytes }));
}
