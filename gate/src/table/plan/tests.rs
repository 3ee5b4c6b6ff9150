//! What planning remembers changes nothing but how long it takes.

use proptest::prelude::*;

use super::*;
use crate::table::cell::Run;

/// Runs of any classes, so many of whose first bits are zeros that they crowd, and with few bits that differ or many.
fn runs() -> impl Strategy<Value = Vec<Run<u128>>> {
    let starts = prop::collection::vec((any::<u128>(), 0..30u32, 0..5u16), 1..200);
    (8..60u32, 1..64u32, starts).prop_map(|(zeros, most, starts)| {
        let run = |(bits, length, class): (u128, u32, u16)| {
            let host = 128 - zeros - (most + length).min(128 - zeros);
            Run { start: bits >> zeros >> host << host, class }
        };
        let mut runs: Vec<Run<u128>> = starts.into_iter().map(run).collect();
        runs.push(Run { start: 0, class: 0 });
        runs.sort_unstable_by_key(|run| run.start);
        runs.dedup_by_key(|run| run.start);
        runs
    })
}

/// The upper halves of the keys.
fn halves(runs: &[Run<u128>]) -> Vec<Run<u64>> {
    let mut halves: Vec<Run<u64>> =
        runs.iter().map(|run| Run { start: (run.start >> 64) as u64, class: run.class }).collect();
    halves.dedup_by_key(|run| run.start);
    halves
}

/// Asks what is chosen for a cell with sums, at most so many, and without.
fn is_the_same_without<K: Key>(sums: usize, runs: &[Run<K>]) -> Result<(), TestCaseError> {
    for (_, cell) in Cell::whole(runs).parts(8).filter(|(_, cell)| !cell.is_plain()) {
        for shape in [Shape::V4, Shape::V6] {
            let mut memory = Vec::new();
            let ends = Ends::within(sums, &shape, cell, &mut memory);
            for steps in 1..=shape.steps {
                prop_assert_eq!(shape.node(cell, steps, &ends), shape.node(cell, steps, &Ends::UNKNOWN));
            }
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn what_is_known_beforehand_is_what_is_found_when_asked(
        runs in runs(),
        sums in prop_oneof![Just(usize::MAX), 0..2000usize],
    ) {
        is_the_same_without(sums, &runs)?;
        is_the_same_without(sums, &halves(&runs))?;
    }

    #[test]
    fn there_are_strides_to_choose_from_as_long_as_there_are_runs_inside(runs in runs()) {
        let whole = Cell::whole(&runs);
        for (_, cell) in (0..64).flat_map(|s| whole.parts(s)).filter(|(_, cell)| !cell.is_plain()) {
            let strides = strides(cell);
            prop_assert!(!strides.is_empty() && *strides.start() > 0 && *strides.end() <= cell.bits());
        }
    }
}

#[test]
fn a_very_large_cell_is_divided_before_nodes_come_to_their_end() {
    // One /18 of IPv6: what one entry of the root leads to.
    let run = |n: u64| Run { start: n << 30 | (n % 7) << 20, class: (n & 1) as u16 };
    let runs: Vec<Run<u64>> = (0..300_000).map(run).collect();
    let (_, cell) = Cell::whole(&runs).parts(15).next().expect("a part");
    assert_eq!(cell.inner().len(), 299_999);
    let mut memory = Vec::new();
    let ends = Ends::of(&Shape::V6, cell, &mut memory);
    let node = |steps: usize| Shape::V6.node(cell, steps, &ends);
    assert!(node(1).1 != 0 && node(2).1 != 0);
    assert_eq!(node(1), Shape::V6.node(cell, 1, &Ends::UNKNOWN));
}
