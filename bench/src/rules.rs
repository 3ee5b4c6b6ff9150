//! What more rules cost a packet: nothing but a larger table.

use std::{
    fmt::Write,
    fs,
    net::{Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::Context;

use octroi::geoip::{Database, Kind};
use octroi_abi::bench::MIXED;
use serde::Serialize;

use crate::{figures::Figure, gate, kernel::Kernel, world::World};

/// One line of the report.
#[derive(Serialize, Debug)]
pub(crate) struct Rules {
    /// Rules of the policy.
    pub(crate) rules: usize,
    /// Prefixes of the list that one of them names.
    pub(crate) listed: usize,
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

/// Rules, and prefixes of a list.
const POLICIES: [(usize, usize); 5] = [(1, 0), (10, 0), (100, 0), (500, 0), (500, 1_000_000)];
/// The one whose addresses all are measured on: the finest without a list.
const FINEST: usize = 3;

/// Measures all policies in turn, round by round, on the same packets.
pub(crate) fn measure(object: &Path, packets: u32, rounds: usize) -> anyhow::Result<Vec<Rules>> {
    let mut worlds = Vec::new();
    let folder = tempfile::tempdir().context("make a directory for a list")?;
    for (rules, listed) in POLICIES {
        let list = folder.path().join("list.txt");
        if listed != 0 {
            fs::write(&list, prefixes(listed)).with_context(|| format!("write {}", list.display()))?;
        }
        let started = Instant::now();
        let world = World::new(&policy(rules, (listed != 0).then_some(&list)))?;
        worlds.push((world, started.elapsed().as_secs_f64() * 1e3));
    }
    let mut kernels = Vec::new();
    for (world, _) in &worlds {
        let mut kernel = Kernel::load(object, world, false)?;
        // The finest: what the most rules divide is looked up as such by all.
        gate::set_addresses(&mut kernel, &worlds[FINEST].0)?;
        for program in ["gate_none", "gate_octroi"] {
            kernel.prepare(program)?;
        }
        kernels.push(kernel);
    }
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); POLICIES.len()];
    for _ in 0..rounds {
        for (kernel, times) in kernels.iter_mut().zip(&mut times) {
            let nothing = kernel.run("gate_none", packets, MIXED)?.ns;
            times.push(kernel.run("gate_octroi", packets, MIXED)?.ns - nothing);
        }
    }
    let lines =
        POLICIES.iter().zip(&worlds).zip(&times).map(|((&(rules, listed), (world, compile_ms)), own)| {
            Rules {
                rules,
                listed,
                classes: world.compiled.classes.len(),
                intervals: world.v4.len() + world.v6.len(),
                bytes: world.compiled.tables.v4.len() + world.compiled.tables.v6.len(),
                compile_ms: *compile_ms,
                ns: Figure::of(own.iter().copied()),
                ratio: Figure::of(own.iter().zip(&times[0]).map(|(own, one)| own / one.max(0.1))),
            }
        });
    Ok(lines.collect())
}

/// So many rules, in turn about a country and about a network of the ASN table, the last about everything. All packets are
/// dropped, whatever matches and whatever they belong to, so that the policies differ in nothing but their number of rules.
fn policy(count: usize, list: Option<&PathBuf>) -> String {
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
        } else if let (0, Some(list)) = (n, list) {
            format!("list = [{list:?}]")
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

/// So many prefixes, one a line: three quarters IPv4 of /20 to /32, the rest IPv6 of /32 to /64.
fn prefixes(count: usize) -> String {
    let mut random = fastrand::Rng::with_seed(count as u64);
    let mut text = String::new();
    for n in 0..count {
        let _ = if n % 4 != 0 {
            let length = random.u32(20..=32);
            let address = Ipv4Addr::from(random.u32(1 << 24..224 << 24) >> (32 - length) << (32 - length));
            writeln!(text, "{address}/{length}")
        } else {
            let length = random.u32(32..=64);
            let high = (0x2000 << 48 | random.u64(..1 << 61)) >> (64 - length) << (64 - length);
            writeln!(text, "{}/{length}", Ipv6Addr::from(u128::from(high) << 64))
        };
    }
    text
}

/// Prints the section.
pub(crate) fn show(lines: &[Rules]) {
    println!(
        "\n{:>5} {:>9} {:>8} {:>9} {:>8} {:>11} {:>24} {:>20}",
        "rules",
        "of a list",
        "classes",
        "intervals",
        "MB",
        "compile ms",
        "ns beyond a return",
        "÷ one rule's"
    );
    for line in lines {
        println!(
            "{:>5} {:>9} {:>8} {:>9} {:>8.2} {:>11.0} {:>24} {:>20}",
            line.rules,
            line.listed,
            line.classes,
            line.intervals,
            line.bytes as f64 / 1e6,
            line.compile_ms,
            line.ns,
            line.ratio
        );
    }
}
