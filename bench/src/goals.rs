//! What was promised, and what was measured.

use serde::Serialize;

use crate::{Report, gate::Gate, growth::Intervals, lookup::Lookup};

/// A promise, kept or not on this machine in this run.
#[derive(Serialize, Debug)]
pub(crate) struct Goal {
    /// What it is about.
    pub(crate) of: &'static str,
    /// The bound.
    pub(crate) bound: Bound,
    /// What was measured; none where this run left it out.
    pub(crate) measured: Option<f64>,
    /// What both numbers count.
    pub(crate) unit: &'static str,
    /// Whether it is met; none where it was not measured.
    pub(crate) met: Option<bool>,
}

/// On which side of a number the measured one has to be.
#[derive(Clone, Copy, Serialize, Debug)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bound {
    /// That much or more.
    AtLeast(f64),
    /// That much or less.
    AtMost(f64),
}

use Bound::{AtLeast, AtMost};

/// All goals.
pub(crate) fn all(report: &Report) -> Vec<Goal> {
    let lookup = |family: &str, structure: &str| {
        let uniform = |line: &&Lookup| line.distribution == "uniform over intervals";
        report.lookup.iter().filter(uniform).find(|line| line.family == family && line.structure == structure)
    };
    let ratio = |family| lookup(family, "lpm").map(|line| line.ratio.median);
    let country_bytes = |family| lookup(family, "octroi").and_then(|line| line.bytes);
    let both = country_bytes("ipv4").zip(country_bytes("ipv6")).map(|(v4, v6)| (v4 + v6) as f64 / 1e6);
    let mixed = |line: &&Gate| (line.program, line.verdict, line.family) == ("gate_octroi", "drop", "mixed");
    let whole = report.gate.iter().find(mixed).map(|line| line.ns.median);
    let octroi = report.load.iter().filter(|line| line.steps.is_some());
    let live = octroi.clone().map(|line| line.ms.median).reduce(f64::max);
    let switch = octroi.filter(|line| line.loader == "octroi reload");
    let switch = switch.filter_map(|line| Some(line.steps.as_ref()?.switch.median)).next();
    let largest = |family: &'static str, classes: u16| {
        let of_this = move |line: &&Intervals| {
            (line.family, line.classes, line.intervals) == (family, classes, 4_000_000)
        };
        report.intervals().find(of_this)
    };
    let lpm = |family, classes| Some(largest(family, classes)?.lpm.as_ref()?.ratio.median);
    let larger = |family, runs: usize| {
        let country = country_bytes(family)? as f64 / runs as f64;
        let bytes = [256, 20_000]
            .into_iter()
            .filter_map(|classes| Some(largest(family, classes)?.bytes_per_interval));
        bytes.reduce(f64::max).map(|bytes| bytes / country)
    };
    let [v4, v6] = report.country;
    let rules =
        report.rules().find(|line| (line.rules, line.listed) == (500, 0)).map(|line| line.ratio.median);
    vec![
        goal("LPM trie / octroi, IPv4 look-up, country table", AtLeast(100.0), "×", ratio("ipv4")),
        goal("LPM trie / octroi, IPv6 look-up, country table", AtLeast(70.0), "×", ratio("ipv6")),
        goal("whole gate beyond an empty program, drop, mixed", AtMost(26.9), "ns", whole),
        goal("both tables, every country a class", AtMost(4.0), "MB", both),
        goal("database file until live, start or reload", AtMost(200.0), "ms", live),
        goal("the step of a reload, one interface", AtMost(10.0), "ms", switch),
        goal("the same in reloads under a flood", AtMost(10.0), "ms", Some(report.flip.step.p50 / 1000.0)),
        goal("LPM trie / octroi, IPv4, 4 M, 256 classes", AtLeast(30.0), "×", lpm("ipv4", 256)),
        goal("LPM trie / octroi, IPv6, 4 M, 256 classes", AtLeast(30.0), "×", lpm("ipv6", 256)),
        goal("LPM trie / octroi, IPv4, 4 M, 20,000 classes", AtLeast(30.0), "×", lpm("ipv4", 20_000)),
        goal("LPM trie / octroi, IPv6, 4 M, 20,000 classes", AtLeast(30.0), "×", lpm("ipv6", 20_000)),
        goal("bytes an interval, IPv4, 4 M / country table", AtMost(1.5), "×", larger("ipv4", v4)),
        goal("bytes an interval, IPv6, 4 M / country table", AtMost(1.5), "×", larger("ipv6", v6)),
        goal("whole gate, 500 rules / one rule", AtMost(1.1), "×", rules),
    ]
}

fn goal(of: &'static str, bound: Bound, unit: &'static str, measured: Option<f64>) -> Goal {
    let met = measured.map(|measured| match bound {
        AtLeast(least) => measured >= least,
        AtMost(most) => measured <= most,
    });
    Goal { of, bound, measured, unit, met }
}

/// Prints the section.
pub(crate) fn show(goals: &[Goal]) {
    println!("\n{:<48} {:>12} {:>14}", "goal", "bound", "measured");
    for Goal { of, bound, measured, unit, met } in goals {
        let bound = match bound {
            AtLeast(least) => format!("≥ {least} {unit}"),
            AtMost(most) => format!("≤ {most} {unit}"),
        };
        let measured = measured.map_or_else(|| "-".to_owned(), |measured| format!("{measured:.2} {unit}"));
        let met = match met {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "not measured in this run",
        };
        println!("{of:<48} {bound:>12} {measured:>14}  {met}");
    }
    let count = |met| goals.iter().filter(|goal| goal.met == met).count();
    println!(
        "{} met, {} missed, {} not measured; goals are shown, not enforced",
        count(Some(true)),
        count(Some(false)),
        count(None)
    );
}
