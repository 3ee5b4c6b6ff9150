//! Worlds of any size that look like the real one.

use std::time::Instant;

use octroi_abi::{Class, DSCP_KEEP, Verdict, slot};
use octroi_gate::{host::Compiled, table::builder::build};

use crate::world::{GLOBAL_V6, World, prefixes, wide};

/// A world with `intervals` runs a family and `classes` classes; how many milliseconds its tables took to build.
///
/// Its boundaries are those of the country table, coarsened or refined. Fewer runs: only the boundaries between the
/// largest blocks, which a less detailed database would have. More runs: the table's prefixes, any as likely as any other,
/// are split into halves, as more specific announcements do, 19 of 20 times no further than /24 or /48, else /28 or /56.
/// So boundaries crowd where real ones do, and a run is about as many prefixes as a real one. Classes are drawn
/// uniformly, which is harder than reality, where a few countries have most runs and neighbours repeat each other.
pub(crate) fn world(country: &World, intervals: usize, classes: u16) -> anyhow::Result<(World, f64)> {
    let mut random = fastrand::Rng::with_seed(intervals as u64 ^ u64::from(classes));
    let v4 = boundaries(&mut random, &wide(&country.v4), &V4, intervals);
    let v6 = boundaries(&mut random, &country.v6, &V6, intervals);
    let v4 = classed(&mut random, v4, classes)
        .into_iter()
        .map(|(start, class)| Ok((u32::try_from(start)?, class)));
    let v4 = v4.collect::<anyhow::Result<Vec<_>>>()?;
    let v6 = classed(&mut random, v6, classes);
    let started = Instant::now();
    let tables = build(classes.into(), &v4, &v6)?;
    let ms = started.elapsed().as_secs_f64() * 1e3;
    // Several classes share a slot where there are more of them.
    let pairs = (slot::COUNT - slot::FIRST_CLASS) / 2;
    let class = |number: u16| Class {
        slot: slot::FIRST_CLASS + 2 * (u32::from(number) % pairs),
        detail: 0,
        verdict: Verdict::Drop as u8,
        dscp: DSCP_KEEP,
        _pad: [0; 2],
    };
    let compiled = Compiled {
        tables,
        classes: (0..classes).map(class).collect(),
        steps: Vec::new(),
        services: Vec::new(),
        limits: Vec::new(),
        leased: Vec::new(),
        malformed_passes: false,
    };
    Ok((World { compiled, v4, v6 }, ms))
}

/// What differs between the families.
struct Family {
    width: u32,
    /// What databases speak about.
    space: (u128, u128),
    /// The longest prefix, mostly and at all.
    longest: [u32; 2],
}

const V4: Family = Family { width: 32, space: (0, u32::MAX as u128), longest: [24, 28] };
const V6: Family = Family { width: 128, space: GLOBAL_V6, longest: [48, 56] };

/// Starts in ascending order, the first at 0.
fn boundaries(random: &mut fastrand::Rng, real: &[(u128, u16)], family: &Family, count: usize) -> Vec<u128> {
    let (first, last) = family.space;
    let mut starts: Vec<u128> =
        real.iter().map(|run| run.0).filter(|start| (first.max(1)..=last).contains(start)).collect();
    // Any order among equals.
    random.shuffle(&mut starts);
    if starts.len() >= count {
        starts.sort_by_key(|start| std::cmp::Reverse(start.trailing_zeros()));
        starts.truncate(count - 1);
    } else {
        // No run has this class: nothing is left out.
        let mut blocks: Vec<(u128, u32)> = prefixes(real, family.width, u16::MAX)
            .into_iter()
            .filter(|(base, ..)| (first..=last).contains(base))
            .map(|(base, length, _)| (base, length))
            .collect();
        while starts.len() < count - 1 {
            let n = random.usize(..blocks.len());
            let (base, length) = blocks[n];
            let longest = family.longest[usize::from(random.u8(..20) == 0)];
            if length < longest {
                let half = base | 1 << (family.width - length - 1);
                blocks[n].1 += 1;
                blocks.push((half, length + 1));
                starts.push(half);
            }
        }
    }
    starts.push(0);
    starts.sort_unstable();
    starts
}

/// Gives each run a class that its neighbours do not have.
fn classed(random: &mut fastrand::Rng, starts: Vec<u128>, classes: u16) -> Vec<(u128, u16)> {
    let mut before = classes;
    let mut class = || {
        let mut class = random.u16(..classes);
        if class == before {
            class = (class + 1) % classes;
        }
        before = class;
        class
    };
    starts.into_iter().map(|start| (start, class())).collect()
}

#[cfg(test)]
mod tests {
    use super::{V4, V6, boundaries};

    #[test]
    fn worlds_smaller_and_larger_than_the_real_one_have_as_many_runs_as_asked_for() {
        let mut random = fastrand::Rng::with_seed(1);
        let v4: Vec<(u128, u16)> =
            (0..200).map(|n| (n << 24, u16::try_from(n % 2).expect("a bit"))).collect();
        let v6: Vec<(u128, u16)> =
            (0..200).map(|n| (0x2000 << 112 | n << 96, u16::try_from(n % 2).expect("a bit"))).collect();
        for count in [50, 5_000] {
            for starts in [boundaries(&mut random, &v4, &V4, count), boundaries(&mut random, &v6, &V6, count)]
            {
                assert_eq!(starts.len(), count);
                assert_eq!(starts[0], 0);
                assert!(starts.is_sorted_by(|a, b| a < b));
            }
        }
    }
}
