//! What more rules cost a packet: nothing but a larger table.

use std::{fmt::Write, path::Path, time::Instant};

use octroi::geoip::{Database, Kind};
use octroi_abi::bench::MIXED;
use serde::Serialize;

use crate::{figures::Figure, gate, kernel::Kernel, world::World};

/// One line of the report.
#[derive(Serialize, Debug)]
pub(crate) struct Rules {
    /// Rules of the policy.
    pub(crate) rules: usize,
    /// Classes that it comes to.
    pub(crate) classes: usize,
    /// Runs of both tables.
    pub(crate) intervals: usize,
    /// Bytes of both tables.
    pub(crate) bytes: usize,
    /// Milliseconds to decide and to build the tables, databases read included.
    pub(crate) compile_ms: f64,
    /// Nanoseconds of the whole gate beyond a program that only returns; families mixed.
    pub(crate) ns: Figure,
    /// The same relative to the policy of one rule in the same round.
    pub(crate) ratio: Figure,
}

const COUNTS: [usize; 4] = [1, 10, 100, 500];

/// Measures all policies in turn, round by round, on the same packets.
pub(crate) fn measure(object: &Path, packets: u32, rounds: usize) -> anyhow::Result<Vec<Rules>> {
    let mut worlds = Vec::new();
    for count in COUNTS {
        let started = Instant::now();
        let world = World::new(&policy(count))?;
        worlds.push((world, started.elapsed().as_secs_f64() * 1e3));
    }
    let mut kernels = Vec::new();
    for (world, _) in &worlds {
        let mut kernel = Kernel::load(object, world, false)?;
        // The finest: what the most rules divide is looked up as such by all.
        gate::set_addresses(&mut kernel, &worlds[COUNTS.len() - 1].0)?;
        for program in ["gate_none", "gate_octroi"] {
            kernel.prepare(program)?;
        }
        kernels.push(kernel);
    }
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); COUNTS.len()];
    for _ in 0..rounds {
        for (kernel, times) in kernels.iter_mut().zip(&mut times) {
            let nothing = kernel.run("gate_none", packets, MIXED)?.ns;
            times.push(kernel.run("gate_octroi", packets, MIXED)?.ns - nothing);
        }
    }
    let lines = COUNTS.iter().zip(&worlds).zip(&times).map(|((&rules, (world, compile_ms)), own)| Rules {
        rules,
        classes: world.compiled.classes.len(),
        intervals: world.v4.len() + world.v6.len(),
        bytes: world.compiled.tables.v4.len() + world.compiled.tables.v6.len(),
        compile_ms: *compile_ms,
        ns: Figure::of(own.iter().copied()),
        ratio: Figure::of(own.iter().zip(&times[0]).map(|(own, one)| own / one.max(0.1))),
    });
    Ok(lines.collect())
}

/// So many rules, in turn about a country and about a network of the ASN table, the last about everything. All packets are
/// dropped, whatever matches and whatever they belong to, so that the policies differ in nothing but their number of rules.
fn policy(count: usize) -> String {
    let database = Database::embedded(Kind::Country);
    let mut countries: Vec<&str> = database
        .records
        .iter()
        .filter_map(|record| record.country.as_ref().map(|code| code.as_str()))
        .collect();
    countries.sort_unstable();
    let database = Database::embedded(Kind::Asn);
    let mut networks: Vec<u32> = database.records.iter().filter_map(|record| record.asn).collect();
    networks.sort_unstable();
    let mut text = String::from("[policy]\nlocal = \"rules\"\n");
    for n in 0..count {
        let source = if n + 1 == count {
            "any = true".to_owned()
        } else if n % 2 == 0 {
            format!("country = [\"{}\"]", countries[n / 2 * 7 % countries.len()])
        } else {
            // All over the numbers, old and new.
            format!("asn = [{}]", networks[n / 2 * 311 % networks.len()])
        };
        let _ = write!(
            text,
            "[[rule]]\nname = \"rule-{n}\"\nsource = {{ {source} }}\naction = \"drop\"\n\
             established = \"drop\"\n"
        );
    }
    text
}

/// Prints the section.
pub(crate) fn show(lines: &[Rules]) {
    println!(
        "\n{:>5} {:>8} {:>9} {:>8} {:>11} {:>24} {:>20}",
        "rules", "classes", "intervals", "MB", "compile ms", "ns beyond a return", "÷ one rule's"
    );
    for line in lines {
        println!(
            "{:>5} {:>8} {:>9} {:>8.2} {:>11.0} {:>24} {:>20}",
            line.rules,
            line.classes,
            line.intervals,
            line.bytes as f64 / 1e6,
            line.compile_ms,
            line.ns,
            line.ratio
        );
    }
}
