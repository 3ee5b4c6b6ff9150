//! `cargo xtask bench`: what octroi costs, beside what others cost in the same run on the same addresses.
//!
//! Times of one machine are not stable over a day, let alone between machines: the ratios within a round are what to
//! quote. Everything runs in the real kernel; what is attached is attached in network namespaces made for it.
#![expect(clippy::cast_precision_loss, reason = "times and sizes as numbers for people")]

mod addresses;
mod asks;
mod figures;
mod flip;
mod gate;
mod goals;
mod growth;
mod kernel;
mod latency;
mod load;
mod lookup;
mod pin;
mod plot;
mod rivals;
mod rules;
mod sample;
mod stamps;
mod synthetic;
mod transfer;
mod veth;
mod world;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use serde::Serialize;

use crate::{
    asks::Ask, gate::Gate, goals::Goal, growth::Intervals, kernel::Kernel, load::Load, lookup::Lookup,
    rules::Rules, sample::Sample, transfer::Transfer, world::World,
};

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Measures everything.
    Report(Options),
    /// Measures one load, for the report.
    #[command(subcommand)]
    Sample(Sample),
}

#[derive(Args)]
struct Options {
    /// The eBPF object with the measuring programs.
    #[arg(long)]
    object: PathBuf,
    /// A country database.
    #[arg(long)]
    database: PathBuf,
    /// The folder for report.json and report.svg.
    #[arg(long)]
    output: PathBuf,
    /// About a minute: fewer packets, fewer rounds, no world of 4 million intervals.
    #[arg(long)]
    quick: bool,
}

/// All that was measured.
#[derive(Serialize)]
pub(crate) struct Report {
    machine: Machine,
    /// When it began, RFC 3339.
    time: String,
    /// The source's commit.
    revision: &'static str,
    /// Without the largest worlds, and with fewer packets and rounds.
    quick: bool,
    lookup: Vec<Lookup>,
    gate: Vec<Gate>,
    veth: Vec<veth::Veth>,
    transfer: Vec<Transfer>,
    flip: flip::Flip,
    load: Vec<Load>,
    asks: Vec<Ask>,
    growth: Vec<Growth>,
    goals: Vec<Goal>,
    /// IPv4 and IPv6 runs of the embedded country table under a policy that counts every country apart.
    country: [usize; 2],
}

/// What grows.
#[derive(Serialize)]
#[serde(tag = "of", rename_all = "snake_case")]
enum Growth {
    Intervals(Intervals),
    Rules(Rules),
}

/// Where it was measured.
#[derive(Serialize)]
struct Machine {
    cpu: String,
    cpus: usize,
    kernel: String,
}

/// Every country counted apart; all dropped, as under a flood, whatever they belong to.
const DROP: &str = "[policy]\nlocal = \"rules\"\n[[rule]]\nname = \"all\"\nsource = { any = true }\naction = \"drop\"\n\
                    established = \"drop\"\n";
const PASS: &str = "";
const TAG: &str = "[[rule]]\nname = \"all\"\nsource = { any = true }\naction = \"tag\"\ndscp = \"CS1\"\n";

fn main() -> anyhow::Result<()> {
    match Arguments::parse().verb {
        Verb::Report(options) => report(&options),
        Verb::Sample(sample) => sample.run(),
    }
}

fn report(options: &Options) -> anyhow::Result<()> {
    let (packets, rounds) = if options.quick { (1 << 18, 3) } else { (1 << 20, 7) };
    let object = &options.object;
    let (machine, time, revision) = (Machine::here()?, octroi::time::now_text(), octroi::REVISION);
    println!(
        "{time}, commit {revision}; {}, {} CPUs, Linux {}; {packets} packets a run, {rounds} rounds; figures: median (least–most) of the rounds",
        machine.cpu, machine.cpus, machine.kernel
    );

    let world = World::new(DROP)?;
    let mut kernel = Kernel::load(object, &world, true)?;
    let lpm = kernel.fill_lpm(&world)?;
    println!(
        "{} IPv4 and {} IPv6 intervals; for the LPM trie {} and {} prefixes, filled in {:.1} and {:.1} s\n",
        world.v4.len(),
        world.v6.len(),
        lpm[0].entries,
        lpm[1].entries,
        lpm[0].seconds,
        lpm[1].seconds
    );
    let lookup = lookup::measure(&mut kernel, &world, lpm, packets, rounds)?;
    lookup::show(&lookup);

    let gate = gates(object, kernel, &world, packets, rounds)?;
    gate::show(&gate);

    let veth = veth::measure(options.quick)?;
    veth::show(&veth);

    let transfer = transfer::measure(options.quick)?;
    transfer::show(&transfer);

    let flip = flip::measure(options.quick)?;
    flip::show(&flip);

    let load = load::measure(&options.database, lpm, rounds)?;
    load::show(&load);

    let rules = rules::measure(object, packets, rounds)?;
    rules::show(&rules);

    let asks = asks::measure(object, packets, rounds)?;
    asks::show(&asks);

    let mut intervals = Vec::new();
    for size in growth::sizes(options.quick) {
        intervals.extend(growth::measure(object, &world, size, packets / 4, rounds.min(5))?);
    }
    growth::show(&intervals);

    let growth = intervals.into_iter().map(Growth::Intervals).chain(rules.into_iter().map(Growth::Rules));
    let country = [world.v4.len(), world.v6.len()];
    let growth = growth.collect();
    let mut report = Report {
        machine,
        time,
        revision,
        quick: options.quick,
        lookup,
        gate,
        veth,
        transfer,
        flip,
        load,
        asks,
        growth,
        goals: Vec::new(),
        country,
    };
    report.goals = goals::all(&report);
    goals::show(&report.goals);
    report.write(&options.output)
}

/// The whole gate under a policy of each verdict, the first of them loaded already.
fn gates(
    object: &Path,
    mut kernel: Kernel,
    world: &World,
    packets: u32,
    rounds: usize,
) -> anyhow::Result<Vec<Gate>> {
    gate::set_addresses(&mut kernel, world)?;
    let parts = ["gate_parse", "gate_lookup", "gate_octroi", "gate_lpm"];
    let mut gate = gate::measure(&mut kernel, "drop", &parts, packets, rounds)?;
    drop(kernel);
    // What a map look-up before each read from a table costs: tables behind an array of maps would need one at least.
    let mut kernel = Kernel::load_in_parts(object, world)?;
    gate::set_addresses(&mut kernel, world)?;
    for line in gate::measure(&mut kernel, "drop", &["gate_octroi"], packets, rounds)? {
        gate.push(Gate { program: "tables in parts", ..line });
    }
    drop(kernel);
    for (verdict, policy) in [("pass", PASS), ("tag", TAG)] {
        let world = World::new(policy)?;
        let mut kernel = Kernel::load(object, &world, false)?;
        gate::set_addresses(&mut kernel, &world)?;
        gate.extend(gate::measure(&mut kernel, verdict, &["gate_octroi"], packets, rounds)?);
    }
    Ok(gate)
}

impl Report {
    fn intervals(&self) -> impl Iterator<Item = &Intervals> {
        self.growth.iter().filter_map(|line| match line {
            Growth::Intervals(line) => Some(line),
            Growth::Rules(_) => None,
        })
    }

    fn rules(&self) -> impl Iterator<Item = &Rules> {
        self.growth.iter().filter_map(|line| match line {
            Growth::Rules(line) => Some(line),
            Growth::Intervals(_) => None,
        })
    }

    fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let (json, svg) = (folder.join("report.json"), folder.join("report.svg"));
        fs::write(&json, serde_json::to_string_pretty(self)? + "\n")
            .with_context(|| format!("write {}", json.display()))?;
        plot::draw(self, &svg)?;
        println!("\nwritten to {} and {}", json.display(), svg.display());
        Ok(())
    }
}

impl Machine {
    fn here() -> anyhow::Result<Self> {
        let read = |path: &str| fs::read_to_string(path).with_context(|| format!("read {path}"));
        let cpu = read("/proc/cpuinfo")?;
        let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        Ok(Self {
            cpu: model.map_or("unknown processor", |(_, name)| name).trim().to_owned(),
            cpus: std::thread::available_parallelism().context("count CPUs")?.get(),
            kernel: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
        })
    }
}
