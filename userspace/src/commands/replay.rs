//! `octroi replay`: what a policy does to the packets of a capture.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{self, BufWriter, Write},
    net::IpAddr,
};

use octroi_abi::{Counter, slot};
use octroi_gate::{
    host::{Circumstances, Compiled, Judged},
    judge::Outcome,
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
    config::{Action, Config},
    dataplane::{Program, ProgramOptions, Sharing, bpffs::Scratch},
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
    let at = args.at.unwrap_or_else(crate::time::now_ns);
    let mut judge = Judge::new(args.engine, &config, compilation.compiled, at)?;
    let mut report = Report::default();
    let mut output = BufWriter::new(io::stdout().lock());
    let mut number = 0;
    let mut cut = Cut::default();
    let mut limits = Limits::of(&config);
    let all = packets(&args.capture, |captured| {
        number += 1;
        let judged = judge.judge(captured.frame)?;
        cut.add(&captured, judged.outcome.slot);
        let line = line(number, &captured, &judged, &slots);
        limits.add(&line);
        if args.read.json {
            output.write_all((serde_json::to_string(&line)? + "\n").as_bytes())?;
        } else {
            report.add(&line, captured.length);
        }
        Ok(())
    });
    // What was judged before a capture turned out to be cut short is told all the same.
    match number {
        _ if args.read.json => {}
        0 if all.is_ok() => print("0 packets: the capture has none\n"),
        0 => {}
        _ => print(&report.text(judge.name())),
    }
    let written = all.and_then(|()| Ok(output.flush()?));
    cut.warn();
    limits.warn();
    match written {
        // Whoever read has gone: `octroi replay --json | head`.
        Err(error) if is_broken_pipe(&error) => Ok(()),
        other => Ok(other?),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// What rules that limit decided about: nobody counts rates here, since a capture's times are not the gate's.
struct Limits {
    rules: Vec<String>,
    packets: u64,
}

impl Limits {
    fn of(config: &Config) -> Self {
        let rules = config.rules.iter().filter(|rule| matches!(rule.action, Action::Limit(_)));
        Self { rules: rules.map(|rule| rule.name.clone()).collect(), packets: 0 }
    }

    fn add(&mut self, line: &Line<'_>) {
        self.packets += u64::from(line.rule.is_some_and(|name| self.rules.iter().any(|rule| rule == name)));
    }

    fn warn(&self) {
        let Self { rules, packets } = self;
        if let Some((first, rest)) = rules.split_first() {
            let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
            note(&format!(
                "rates are not applied: {packets} packets that limits decided about ({first:?}{more}) count as within them, and pass; \
                 an observing limit counts none"
            ));
        }
    }
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
struct Judge {
    host: Compiled,
    /// The program, where it judges.
    kernel: Option<Box<Program>>,
    around: Circumstances,
}

/// The kernel does not take shorter frames for a test run (ETH_HLEN).
const SHORTEST: usize = 14;
/// Nor longer ones: a page less its headroom and what the kernel keeps behind a frame.
const LONGEST: usize = 3000;

impl Judge {
    /// `now`: when the packets come, in nanoseconds since the Unix epoch.
    fn new(engine: Option<EngineKind>, config: &Config, host: Compiled, now: u64) -> Result<Self, Failure> {
        let around = Circumstances { now, ..Circumstances::default() };
        if engine == Some(EngineKind::Host) {
            return Ok(Self { host, kernel: None, around });
        }
        let options = ProgramOptions { trace: true, alone: true, ..ProgramOptions::default() };
        // On the same BPF file system as a daemon's pins, but not among them: they may be another user's.
        let pins = &config.control.pins;
        let loaded = Scratch::apart(pins.parent().unwrap_or(pins))
            .map_err(Failure::from)
            .and_then(|scratch| Ok(Program::load(&scratch, &host, Sharing::Nothing, options)?));
        match loaded {
            Ok((program, _)) => Ok(Self { host, kernel: Some(Box::new(program)), around }),
            // Without privilege there is no kernel engine, and the host's gives the same answers.
            Err(error) if engine.is_none() => {
                note(&format!("the host engine judges, since the kernel's is not to be had: {error}"));
                Ok(Self { host, kernel: None, around })
            }
            Err(error) => Err(error),
        }
    }

    const fn name(&self) -> &'static str {
        if self.kernel.is_some() { "kernel" } else { "host" }
    }

    /// What becomes of a frame. What rules observed, the host tells: the kernel only counts it.
    fn judge(&mut self, frame: &[u8]) -> anyhow::Result<Judged> {
        let mut judged = self.host.judge_in(frame, self.around);
        let Some(program) = &mut self.kernel else { return Ok(judged) };
        let head = &frame[..frame.len().min(LONGEST)];
        // Headers that go on behind what the kernel takes decide too: the engines never differ.
        let decided_behind = head.len() < frame.len() && self.host.judge_in(head, self.around) != judged;
        if frame.len() < SHORTEST || decided_behind {
            return Ok(judged);
        }
        program.set_now(self.around.now);
        let result = program.test_run(head).map_err(|error| anyhow::anyhow!(error.to_string()))?;
        (judged.outcome.slot, judged.outcome.verdict) = (result.slot, result.verdict);
        Ok(judged)
    }
}

fn line<'a>(packet: u64, captured: &Captured<'_>, judged: &Judged, slots: &'a Slots) -> Line<'a> {
    let Outcome { slot, verdict, .. } = judged.outcome;
    let outcome = slots.outcome(slot);
    let all = judged.observed.iter().filter_map(|&slot| slots.outcome(slot)).chain(outcome);
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
        observed: all.flat_map(|outcome| outcome.observed.iter().map(|(rule, _)| rule.as_str())).collect(),
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
