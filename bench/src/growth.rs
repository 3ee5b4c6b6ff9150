//! How look-ups and memory grow with the number of intervals.

use std::path::Path;

use serde::Serialize;

use crate::{
    addresses::Distribution,
    figures::Figure,
    kernel::Kernel,
    latency,
    lookup::{Compared, Family},
    synthetic,
    world::World,
};

/// A size to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Intervals of each family.
    pub(crate) intervals: usize,
    /// Classes.
    pub(crate) classes: u16,
    /// Whether the LPM trie is filled, too, which takes more than a microsecond a prefix.
    pub(crate) lpm: bool,
}

/// One line of the report: a family of a world.
#[derive(Serialize, Debug)]
pub(crate) struct Intervals {
    /// `ipv4`, `ipv6`.
    pub(crate) family: &'static str,
    /// Intervals of this family.
    pub(crate) intervals: usize,
    /// Classes of the world.
    pub(crate) classes: u16,
    /// Nanoseconds a look-up, uniform over intervals.
    pub(crate) ns: Figure,
    /// Bytes of the table.
    pub(crate) bytes: usize,
    /// Nanoseconds of one load that waits for the one before, at random places of as many bytes.
    pub(crate) load_ns: Figure,
    /// Bytes of the table for each interval.
    pub(crate) bytes_per_interval: f64,
    /// Milliseconds that building both families' tables took.
    pub(crate) build_ms: f64,
    /// The LPM trie with the same, on the same addresses.
    pub(crate) lpm: Option<Lpm>,
}

/// The rival.
#[derive(Serialize, Debug)]
pub(crate) struct Lpm {
    /// Nanoseconds a look-up.
    pub(crate) ns: Figure,
    /// How many times as long as octroi's in the same round.
    pub(crate) ratio: Figure,
    /// Its prefixes.
    pub(crate) entries: usize,
    /// Seconds that filling took.
    pub(crate) seconds: f64,
}

/// The sizes of a run.
pub(crate) fn sizes(quick: bool) -> Vec<Size> {
    let size = |intervals, classes, lpm| Size { intervals, classes, lpm };
    if quick {
        return vec![size(10_000, 256, true), size(100_000, 256, true), size(1_000_000, 256, false)];
    }
    vec![
        size(10_000, 256, true),
        size(100_000, 256, true),
        size(1_000_000, 256, true),
        size(4_000_000, 256, true),
        size(4_000_000, 20_000, true),
    ]
}

/// Measures one size.
pub(crate) fn measure(
    object: &Path,
    country: &World,
    size: Size,
    packets: u32,
    rounds: usize,
) -> anyhow::Result<[Intervals; 2]> {
    let Size { intervals, classes, lpm } = size;
    let (world, build_ms) = synthetic::world(country, intervals, classes)?;
    let mut kernel = Kernel::load(object, &world, false)?;
    let filled = if lpm { Some(kernel.fill_lpm(&world)?) } else { None };
    let families = Family::both(&world, if lpm { &["lpm"] } else { &[] });
    let tables = &world.compiled.tables;
    let mut lines = Vec::new();
    for (n, (family, image)) in families.iter().zip([&tables.v4, &tables.v6]).enumerate() {
        family.prepare(&mut kernel)?;
        let compared = family.compare(&mut kernel, &world, Distribution::Intervals, packets, rounds)?;
        let rival = compared.iter().find(|one| one.structure == "lpm").zip(filled);
        lines.push(Intervals {
            family: family.name,
            intervals,
            classes,
            ns: compared[0].ns,
            bytes: image.len(),
            load_ns: latency::dependent_load(image.len(), rounds),
            bytes_per_interval: image.len() as f64 / intervals as f64,
            build_ms,
            lpm: rival.map(|(&Compared { ns, ratio, .. }, filled)| Lpm {
                ns,
                ratio,
                entries: filled[n].entries,
                seconds: filled[n].seconds,
            }),
        });
    }
    Ok(lines.try_into().expect("two families"))
}

/// Prints the section.
pub(crate) fn show(lines: &[Intervals]) {
    println!(
        "\nsynthetic worlds, intervals a family; build ms: both tables; one dependent load: in as much memory, beside nothing else"
    );
    println!(
        "{:<7} {:>9} {:>7} {:>22} {:>20} {:>22} {:>26} {:>8} {:>8} {:>8} {:>9} {:>7}",
        "family",
        "intervals",
        "classes",
        "ns a look-up",
        "one dependent load",
        "LPM's ÷ octroi's",
        "LPM ns",
        "MB",
        "B/int.",
        "build ms",
        "LPM keys",
        "LPM s"
    );
    for line in lines {
        let lpm = |show: fn(&Lpm) -> String| line.lpm.as_ref().map_or_else(|| "-".to_owned(), show);
        println!(
            "{:<7} {:>9} {:>7} {:>22} {:>20} {:>22} {:>26} {:>8.2} {:>8.2} {:>8.0} {:>9} {:>7}",
            line.family,
            line.intervals,
            line.classes,
            line.ns,
            line.load_ns,
            lpm(|lpm| lpm.ratio.to_string()),
            lpm(|lpm| lpm.ns.to_string()),
            line.bytes as f64 / 1e6,
            line.bytes_per_interval,
            line.build_ms,
            lpm(|lpm| lpm.entries.to_string()),
            lpm(|lpm| format!("{:.1}", lpm.seconds)),
        );
    }
}
