//! End to end over veth: the same flood of blocked packets against octroi and against what others use.
//!
//! One CPU sends as fast as the wire takes it, the other receives. What is measured is the time that the receiving thread runs
//! for a packet that came out of the wire: taking it off the ring, all that lies before the tool, and the tool. What
//! veth adds to XDP counts, too: it copies every packet into a page with headroom, where a card's driver has received
//! it into one.

mod lane;
mod list;
mod tools;

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde::Serialize;

use self::{
    lane::Lane,
    list::List,
    tools::{Installed, Tool},
};
use crate::{figures::Figure, world::TWENTY};

/// Packets that nobody blocked, and that no tool counts: neighbour discovery and the like.
const STRAY: u64 = 16;

/// One line of the report.
#[derive(Serialize, Debug)]
pub(crate) struct Veth {
    /// What drops.
    pub(crate) tool: &'static str,
    /// What it blocks.
    pub(crate) list: &'static str,
    /// How many prefixes that is, of both families.
    pub(crate) prefixes: usize,
    /// Seconds until it was set up.
    pub(crate) setup_seconds: f64,
    /// Packets a second that it dropped: the sender tries again where the wire is full, so that it is also what was sent.
    pub(crate) dropped_per_second: Figure,
    /// Nanoseconds that the receiving thread ran for each of them.
    pub(crate) cpu_ns_per_packet: Figure,
    /// Percent of the time that the receiving thread ran: near 100, it was the receiver that could do no more; below,
    /// the sender, or whoever else wanted its CPU.
    pub(crate) busy_percent: Figure,
    /// How many times octroi's, in native mode, in the same round.
    pub(crate) ratio: Figure,
}

/// A tool in its lab, and what its rounds came to.
struct Runner<'lab> {
    lane: &'lab Lane,
    installed: Installed<'lab>,
    setup_seconds: f64,
    rounds: Vec<Round>,
}

struct Round {
    busy: f64,
    dropped: f64,
    cpu: f64,
}

/// Measures every tool on both lists.
pub(crate) fn measure(quick: bool) -> anyhow::Result<Vec<Veth>> {
    let cpus = std::thread::available_parallelism()?;
    ensure!(cpus.get() > 1, "one CPU sends and another receives: {cpus} is not enough for this part");
    let (rounds, time) =
        if quick { (3, Duration::from_millis(100)) } else { (7, Duration::from_millis(500)) };
    let mut lines = compare(&List::new("CN", &["CN"])?, rounds, time)?;
    lines.extend(compare(&List::new("20 countries", &TWENTY)?, rounds, time)?);
    Ok(lines)
}

fn compare(list: &List, rounds: usize, time: Duration) -> anyhow::Result<Vec<Veth>> {
    let lanes = Tool::ALL.map(|_| Lane::new()).into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    let mut runners = Vec::new();
    for (tool, lane) in Tool::ALL.into_iter().zip(&lanes) {
        let started = Instant::now();
        let installed = Installed::new(tool, &lane.lab, list);
        let setup_seconds = started.elapsed().as_secs_f64();
        lane.settle()?;
        let runner = Runner { lane, installed, setup_seconds, rounds: Vec::new() };
        runner.prove(list).with_context(|| format!("{}, {}", tool.as_str(), list.name))?;
        runners.push(runner);
    }
    let frames = list.blocked(lanes[0].lab.pair());
    for _ in 0..rounds {
        for runner in &mut runners {
            let of = format!("{}, {}", runner.installed.tool.as_str(), list.name);
            let round = runner.round(&frames, time).context(of)?;
            runner.rounds.push(round);
        }
    }
    let octroi = runners.iter().find(|runner| runner.installed.tool == Tool::Native);
    let octroi: Vec<f64> = octroi.iter().flat_map(|runner| &runner.rounds).map(|round| round.cpu).collect();
    let prefixes = list.prefixes().map(|prefixes| prefixes.len()).iter().sum();
    let lines = runners.iter().map(|runner| {
        let each = |value: fn(&Round) -> f64| Figure::of(runner.rounds.iter().map(value));
        Veth {
            tool: runner.installed.tool.as_str(),
            list: list.name,
            prefixes,
            setup_seconds: runner.setup_seconds,
            dropped_per_second: each(|round| round.dropped),
            cpu_ns_per_packet: each(|round| round.cpu),
            busy_percent: each(|round| round.busy),
            ratio: Figure::of(runner.rounds.iter().zip(&octroi).map(|(round, octroi)| round.cpu / octroi)),
        }
    });
    Ok(lines.collect())
}

impl Runner<'_> {
    /// Shows that every blocked packet is dropped, and that packets from right beside what is blocked pass.
    fn prove(&self, list: &List) -> anyhow::Result<()> {
        let pair = self.lane.lab.pair();
        let blocks = self.installed.tool != Tool::None;
        for (what, frames, drops) in
            [("blocked", list.blocked(pair), blocks), ("allowed", list.allowed(pair), false)]
        {
            let (arrived, dropped) = (self.lane.arrived()?, self.installed.dropped()?);
            self.lane.send(&frames)?;
            let (arrived, dropped) = (self.lane.arrived()? - arrived, self.installed.dropped()? - dropped);
            let sent = frames.len() as u64;
            let expected = if drops { (0, sent) } else { (sent, 0) };
            ensure!(
                !frames.is_empty() && (arrived, dropped) == expected,
                "of {sent} {what} packets, {arrived} passed and {dropped} were dropped"
            );
        }
        Ok(())
    }

    fn round(&self, frames: &[Vec<u8>], time: Duration) -> anyhow::Result<Round> {
        let (arrived, dropped) = (self.lane.arrived()?, self.installed.dropped()?);
        let received = self.lane.flood(frames, time)?;
        let (mut arrived, mut dropped) =
            (self.lane.arrived()? - arrived, self.installed.dropped()? - dropped);
        if self.installed.tool == Tool::None {
            // UDP drops them.
            (arrived, dropped) = (0, arrived);
        }
        ensure!(
            arrived == 0 && dropped > 0 && received.packets.abs_diff(dropped) <= STRAY,
            "of {} blocked packets that came, {arrived} passed and {dropped} were dropped",
            received.packets
        );
        // Each takes a hundred nanoseconds at least: less means that they were received elsewhere.
        ensure!(
            received.cpu > 50 * dropped,
            "the receiving thread ran {} ns for {dropped} packets: it is not what received them",
            received.cpu
        );
        Ok(Round {
            busy: received.cpu as f64 / received.flood.elapsed.as_secs_f64() / 1e7,
            dropped: dropped as f64 / received.flood.elapsed.as_secs_f64(),
            cpu: received.cpu as f64 / dropped as f64,
        })
    }
}

/// Prints the lines.
pub(crate) fn show(lines: &[Veth]) {
    println!(
        "\nblocked packets over veth, one CPU sending and one receiving; below 95 % busy it is the sender that limits them: \
         compare the CPU time\n(\"nothing\": up to UDP, where nobody listens; veth copies each packet for native XDP, which a card's \
         driver does not)"
    );
    println!(
        "{:<26} {:<13} {:>8} {:>8} {:>24} {:>24} {:>24} {:>18}",
        "tool",
        "list",
        "prefixes",
        "set up s",
        "dropped, thousands/s",
        "CPU ns a packet",
        "receiver busy %",
        "CPU ÷ octroi's"
    );
    for line in lines {
        println!(
            "{:<26} {:<13} {:>8} {:>8.1} {:>24} {:>24} {:>24} {:>18}",
            line.tool,
            line.list,
            line.prefixes,
            line.setup_seconds,
            line.dropped_per_second.scaled(1e-3),
            line.cpu_ns_per_packet,
            line.busy_percent,
            line.ratio
        );
    }
}
