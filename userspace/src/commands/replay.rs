//! `octroi replay`: what a policy does to the packets of a capture.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{self, BufWriter, Write},
    net::IpAddr,
};

use octroi_abi::{Counter, Verdict, slot};
use octroi_gate::{
    host::Compiled,
    packet::{Packet, Parsed, Source, parse},
};
use serde::Serialize;

use super::{
    capture::{Captured, packets},
    cli::{EngineKind, ReplayArgs},
    note, print,
};
use crate::{
    Failure,
    config::Config,
    dataplane::{Program, ProgramOptions, bpffs::Scratch},
    policy::{Databases, compile::compile, slots::Slots},
};

/// One packet, as `--json` prints it.
#[derive(Serialize)]
struct Line<'a> {
    packet: u64,
    source: Option<IpAddr>,
    country: Option<&'a str>,
    protocol: Option<u8>,
    port: Option<u16>,
    verdict: &'static str,
    rule: Option<&'a str>,
    /// What it is, where it is not a packet that rules are asked about.
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    /// Rules that only observe and matched.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    observed: Vec<&'a str>,
}

/// Runs the command.
///
/// # Errors
/// When configuration, database or capture are invalid, or the kernel engine was asked for and is not to be had.
pub fn run(args: &ReplayArgs) -> Result<(), Failure> {
    let config = Config::load(&args.read.config.config)?;
    let databases = Databases::open(&config)?;
    let mut compilation = compile(&config, &databases).map_err(Failure::config)?;
    let mut slots = Slots::new();
    compilation.assign(&mut slots, &[], |_| Counter::default()).map_err(Failure::config)?;
    let mut judge = Judge::new(args.engine, &config, compilation.compiled)?;
    let mut report = Report::default();
    let mut output = BufWriter::new(io::stdout().lock());
    let mut number = 0;
    let mut cut = Cut::default();
    let all = packets(&args.capture, |captured| {
        number += 1;
        let (slot, verdict) = judge.judge(captured.frame)?;
        cut.add(&captured, slot);
        let line = line(number, &captured, slot, verdict, &slots);
        if args.read.json {
            output.write_all((serde_json::to_string(&line)? + "\n").as_bytes())?;
        } else {
            report.add(&line, captured.length);
        }
        Ok(())
    });
    // What was judged before a capture turned out to be cut short is told all the same.
    if !args.read.json && number > 0 {
        print(&report.text(judge.name()));
    }
    let written = all.and_then(|()| Ok(output.flush()?));
    cut.warn();
    match written {
        // Whoever read has gone: `octroi replay --json | head`.
        Err(error) if is_broken_pipe(&error) => Ok(()),
        other => Ok(other?),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Packets of which the capture does not hold all.
#[derive(Default)]
struct Cut {
    packets: u64,
    malformed: u64,
}

impl Cut {
    fn add(&mut self, captured: &Captured<'_>, slot: u32) {
        if (captured.frame.len() as u64) < captured.length {
            self.packets += 1;
            self.malformed += u64::from(slot == slot::MALFORMED);
        }
    }

    /// The gate would have seen all of each: what is judged here is not always what it would have judged.
    fn warn(&self) {
        let Self { packets, malformed } = self;
        if *packets != 0 {
            note(&format!(
                "{packets} packets were captured only in part (snap length): {malformed} of them count as malformed here; \
                 capture whole packets, as tcpdump -s 0 does"
            ));
        }
    }
}

/// What judges: the kernel's program, or the same code here.
enum Judge {
    Kernel { program: Box<Program>, host: Compiled },
    Host(Compiled),
}

/// The kernel does not take shorter frames for a test run (ETH_HLEN).
const SHORTEST: usize = 14;
/// Nor longer ones: a page less its headroom and what the kernel keeps behind a frame.
const LONGEST: usize = 3000;

impl Judge {
    fn new(engine: Option<EngineKind>, config: &Config, compiled: Compiled) -> Result<Self, Failure> {
        if engine == Some(EngineKind::Host) {
            return Ok(Self::Host(compiled));
        }
        let options = ProgramOptions { trace: true, ..ProgramOptions::default() };
        // On the same BPF file system as a daemon's pins, but not among them: they may be another user's.
        let pins = &config.control.pins;
        let loaded = Scratch::apart(pins.parent().unwrap_or(pins))
            .map_err(Failure::from)
            .and_then(|scratch| Ok(Program::load(&scratch, &compiled, None, options)?));
        match loaded {
            Ok((program, _)) => Ok(Self::Kernel { program: Box::new(program), host: compiled }),
            // Without privilege there is no kernel engine, and the host's gives the same answers.
            Err(error) if engine.is_none() => {
                note(&format!("the host engine judges, since the kernel's is not to be had: {error}"));
                Ok(Self::Host(compiled))
            }
            Err(error) => Err(error),
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Kernel { .. } => "kernel",
            Self::Host(_) => "host",
        }
    }

    /// The slot and the verdict of a frame.
    fn judge(&mut self, frame: &[u8]) -> anyhow::Result<(u32, Verdict)> {
        let by_host = |host: &Compiled, frame: &[u8]| {
            let outcome = host.judge(frame);
            (outcome.slot, outcome.verdict)
        };
        let (program, host) = match self {
            Self::Kernel { program, host } => (program, host),
            Self::Host(host) => return Ok(by_host(host, frame)),
        };
        let head = &frame[..frame.len().min(LONGEST)];
        // Headers that go on behind what the kernel takes decide too: the engines never differ.
        let decided_behind = head.len() < frame.len() && by_host(host, head) != by_host(host, frame);
        if frame.len() < SHORTEST || decided_behind {
            return Ok(by_host(host, frame));
        }
        let result = program.test_run(head).map_err(|error| anyhow::anyhow!(error.to_string()))?;
        Ok((result.slot, result.verdict()))
    }
}

fn line<'a>(packet: u64, captured: &Captured<'_>, slot: u32, verdict: Verdict, slots: &'a Slots) -> Line<'a> {
    let outcome = slots.outcome(slot);
    let (source, protocol, port) = match parse(captured.frame) {
        Parsed::Ip(Packet { source: Source::V4(source), protocol, destination_port, .. }) => {
            (Some(IpAddr::V4(source.into())), protocol, destination_port)
        }
        Parsed::Ip(Packet { source: Source::V6 { high, low }, protocol, destination_port, .. }) => {
            let address = u128::from(high) << 64 | u128::from(low);
            (Some(IpAddr::V6(address.into())), protocol, destination_port)
        }
        _ => (None, None, None),
    };
    Line {
        packet,
        source,
        country: outcome.map(|outcome| outcome.location.as_str()),
        protocol,
        port,
        verdict: verdict.as_str(),
        rule: outcome.and_then(|outcome| outcome.rule.as_deref()),
        kind: match slot {
            slot::ARP => Some("arp"),
            slot::NON_IP => Some("non_ip"),
            slot::NEIGHBOUR_DISCOVERY => Some("neighbour_discovery"),
            slot::MALFORMED => Some("malformed"),
            _ => None,
        },
        observed: outcome
            .map(|outcome| outcome.observed.iter().map(|(rule, _)| rule.as_str()).collect())
            .unwrap_or_default(),
    }
}

/// Packets and bytes by verdict, country and rule.
#[derive(Default)]
struct Report {
    lines: BTreeMap<(&'static str, String, String), (u64, u64)>,
    observed: BTreeMap<String, (u64, u64)>,
}

impl Report {
    fn add(&mut self, line: &Line<'_>, bytes: u64) {
        let place = line.country.or(line.kind).unwrap_or("-").to_owned();
        let rule = line.rule.unwrap_or("-").to_owned();
        let add = |count: &mut (u64, u64)| *count = (count.0 + 1, count.1 + bytes);
        for observing in &line.observed {
            add(self.observed.entry((*observing).to_owned()).or_default());
        }
        add(self.lines.entry((line.verdict, place, rule)).or_default());
    }

    fn text(&self, engine: &str) -> String {
        let mut text = format!(
            "engine {engine}\n{:<8} {:<20} {:<24} {:>12} {:>14}\n",
            "verdict", "country", "rule", "packets", "bytes"
        );
        for ((verdict, place, rule), (packets, bytes)) in &self.lines {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{verdict:<8} {place:<20} {rule:<24} {packets:>12} {bytes:>14}");
        }
        for (rule, (packets, bytes)) in &self.observed {
            let _ = writeln!(text, "{:<8} {:<20} {rule:<24} {packets:>12} {bytes:>14}", "(would)", "-");
        }
        text
    }
}
