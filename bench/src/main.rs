//! `cargo xtask bench`: what octroi costs, beside what others cost in the same run on the same addresses.
//!
//! Times of one machine are not stable over a day, let alone between machines: the ratios within a round are what to
//! quote. Everything runs in the real kernel; what is attached is attached in network namespaces made for it.
#![expect(clippy::cast_precision_loss, reason = "times and sizes as numbers for people")]

mod addresses;
mod figures;
mod flip;
mod gate;
mod kernel;
mod lookup;
mod pin;
mod stamps;
mod veth;
mod world;

use std::{fs, path::PathBuf};

use anyhow::Context;
use clap::Parser;
use serde::Serialize;

use crate::{gate::Gate, kernel::Kernel, lookup::Lookup, world::World};

#[derive(Parser)]
struct Arguments {
    /// The eBPF object with the measuring programs.
    #[arg(long)]
    object: PathBuf,
    /// Where the report goes, as JSON.
    #[arg(long)]
    output: PathBuf,
    /// About a minute: fewer packets, fewer rounds.
    #[arg(long)]
    quick: bool,
}

#[derive(Serialize)]
struct Report {
    machine: Machine,
    lookup: Vec<Lookup>,
    gate: Vec<Gate>,
    veth: Vec<veth::Veth>,
    flip: flip::Flip,
}

/// Where it was measured.
#[derive(Serialize)]
struct Machine {
    cpu: String,
    kernel: String,
}

/// Every country counted apart; all dropped, as under a flood.
const DROP: &str = "[policy]\ndefault = \"drop\"\nlocal = \"rules\"\n";
const PASS: &str = "";
const TAG: &str = "[[rule]]\nname = \"all\"\nsource = { any = true }\naction = \"tag\"\ndscp = \"CS1\"\n";

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let (packets, rounds) = if arguments.quick { (1 << 18, 3) } else { (1 << 20, 7) };
    let machine = Machine::here()?;
    println!("{}, Linux {}; {packets} packets a run, {rounds} rounds", machine.cpu, machine.kernel);

    let world = World::new(DROP)?;
    let mut kernel = Kernel::load(&arguments.object, &world, true)?;
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
    show_lookups(&lookup);

    gate::set_addresses(&mut kernel, &world)?;
    let parts = ["gate_parse", "gate_lookup", "gate_octroi", "gate_lpm"];
    let mut gate = gate::measure(&mut kernel, "drop", &parts, packets, rounds)?;
    drop(kernel);
    for (verdict, policy) in [("pass", PASS), ("tag", TAG)] {
        let world = World::new(policy)?;
        let mut kernel = Kernel::load(&arguments.object, &world, false)?;
        gate::set_addresses(&mut kernel, &world)?;
        gate.extend(gate::measure(&mut kernel, verdict, &["gate_octroi"], packets, rounds)?);
    }
    show_gates(&gate);

    let veth = veth::measure(arguments.quick)?;
    veth::show(&veth);

    let flip = flip::measure(arguments.quick)?;
    flip::show(&flip);

    let report = Report { machine, lookup, gate, veth, flip };
    let text = serde_json::to_string_pretty(&report)?;
    fs::write(&arguments.output, text + "\n")
        .with_context(|| format!("write {}", arguments.output.display()))?;
    println!("\nwritten to {}", arguments.output.display());
    Ok(())
}

impl Machine {
    fn here() -> anyhow::Result<Self> {
        let read = |path: &str| fs::read_to_string(path).with_context(|| format!("read {path}"));
        let cpu = read("/proc/cpuinfo")?;
        let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        Ok(Self {
            cpu: model.map_or("unknown processor", |(_, name)| name).trim().to_owned(),
            kernel: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
        })
    }
}

fn show_lookups(lines: &[Lookup]) {
    println!(
        "{:<7} {:<24} {:<10} {:>22} {:>24} {:>10}",
        "family", "addresses", "structure", "ns a look-up", "× octroi", "MB"
    );
    for line in lines {
        println!(
            "{:<7} {:<24} {:<10} {:>22} {:>24} {:>10}",
            line.family,
            line.distribution,
            line.structure,
            line.ns,
            line.ratio,
            line.bytes.map_or("-".to_owned(), |bytes| format!("{:.2}", bytes as f64 / 1e6))
        );
    }
}

fn show_gates(lines: &[Gate]) {
    println!("\n{:<12} {:<8} {:<7} {:>24}", "program", "verdict", "family", "ns beyond a return");
    for line in lines {
        println!("{:<12} {:<8} {:<7} {:>24}", line.program, line.verdict, line.family, line.ns);
    }
}
