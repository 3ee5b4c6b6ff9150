//! Reloads under a flood: does the packet path stall when the generation changes, and what do two generations take?
//!
//! One CPU sends as fast as it can, so that a packet is processed every microsecond or two; one in 32 is allowed, and
//! stamped by the kernel behind the gate. The gap between two stamps is what 32 packets took. Gaps also come from
//! whatever else the machine does, and compiling a policy is a lot: a phase in which the same is compiled and nothing is
//! reloaded tells that from the step itself.

use std::{
    collections::BTreeMap,
    fs,
    net::Ipv4Addr,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, ensure};
use octroi_gate::corpus::build::udp;
use octroi_tests::{gate::Gate, netns::Lab, wire::Sender};
use serde::Serialize;

use crate::{
    pin::{RECEIVER, SENDER, pin, prefer},
    stamps::Stamps,
};

const PORT: u16 = 9;
const BLOCKED: Ipv4Addr = Ipv4Addr::new(1, 0, 1, 1);
const ALLOWED: Ipv4Addr = Ipv4Addr::new(8, 8, 8, 8);
/// Of so many packets, one is allowed.
const ONE_IN: u64 = 32;
/// The longest that the flood lasts, whatever the rest does.
const LONGEST: Duration = Duration::from_secs(300);

/// Two policies over the whole embedded tables that agree on the two sources, and differ in classes and slots.
const POLICIES: [&str; 2] = [
    "[[rule]]\nname = \"cn\"\nsource = { country = [\"CN\"] }\naction = \"drop\"\n",
    "[[rule]]\nname = \"partner\"\nsource = { country = [\"CN\"], asn = [58593] }\naction = \"pass\"\n\
     [[rule]]\nname = \"cn\"\nsource = { country = [\"CN\", \"KP\"] }\naction = \"drop\"\n",
];

/// What reloads did to the packet path, and what they took.
#[derive(Serialize, Debug)]
pub(crate) struct Flip {
    flips: usize,
    seconds: f64,
    /// Packets a second over the whole flood.
    packets_per_second: f64,
    gaps: Vec<Gaps>,
    /// The system call that gives an interface's link the new program, as the daemon times it.
    pub(crate) step: Spread,
    /// Bytes of the daemon's memory that are resident, before the first reload and after the last.
    resident: [u64; 2],
    /// The most that ever was.
    peak_resident: u64,
    /// Bytes of the daemon's maps in the kernel, with one generation loaded.
    maps: u64,
    /// The most that they were found to be while it reloaded, which is with two.
    peak_maps: u64,
}

/// Gaps of one phase.
#[derive(Serialize, Debug)]
struct Gaps {
    phase: &'static str,
    allowed_packets: usize,
    /// Between allowed packets: 32 packets were processed in it.
    gap: Spread,
}

/// Microseconds.
#[derive(Clone, Copy, Serialize, Debug)]
pub(crate) struct Spread {
    pub(crate) p50: f64,
    p99: f64,
    max: f64,
}

/// Name, begin and end of a phase in nanoseconds of Unix time.
type Phase = (&'static str, u64, u64);

/// Reloads under a flood.
pub(crate) fn measure(quick: bool) -> anyhow::Result<Flip> {
    let (flips, quiet) = if quick { (6, Duration::from_millis(700)) } else { (100, Duration::from_secs(5)) };
    let lab = Lab::new();
    let stamps = Stamps::open(&lab.inside, PORT)?;
    let gate = Gate::start(&lab, POLICIES[0]);
    let before = Memory::of(gate.pid())?;
    let (sending, receiving, reloading) =
        (AtomicBool::new(true), AtomicBool::new(true), AtomicBool::new(true));
    let started = Instant::now();
    let (sent, times, peak_maps, phases) = thread::scope(|scope| {
        let sender = scope.spawn(|| flood(&lab, &sending));
        let receiver = scope.spawn(|| receive(&stamps, &receiving));
        let watcher = scope.spawn(|| watch(gate.pid(), &reloading));
        let phases = phases(&gate, flips, quiet);
        // In this order, and also when something failed: the others would never end.
        reloading.store(false, Ordering::Relaxed);
        sending.store(false, Ordering::Relaxed);
        let sent = sender.join().map_err(|_| anyhow::anyhow!("the sender panicked"));
        thread::sleep(Duration::from_millis(300));
        receiving.store(false, Ordering::Relaxed);
        let times = receiver.join().map_err(|_| anyhow::anyhow!("the receiver panicked"));
        let peak = watcher.join().map_err(|_| anyhow::anyhow!("watching the memory panicked"));
        anyhow::Ok((sent??, times??, peak??, phases?))
    })?;
    let seconds = started.elapsed().as_secs_f64();
    let allowed = sent / ONE_IN;
    ensure!(times.len() as u64 == allowed, "of {allowed} allowed packets, {} arrived", times.len());
    let after = Memory::of(gate.pid())?;
    let steps = steps(&gate.log());
    ensure!(
        steps.len() == flips,
        "{flips} reloads, and the daemon tells of {} steps:\n{}",
        steps.len(),
        gate.log()
    );
    Ok(Flip {
        flips,
        seconds,
        packets_per_second: sent as f64 / seconds,
        gaps: phases.iter().map(|&phase| Gaps::of(phase, &times)).collect::<Result<_, _>>()?,
        step: Spread::of(steps).context("no step")?,
        resident: [before.resident, after.resident],
        peak_resident: after.peak,
        maps: before.maps,
        peak_maps,
    })
}

fn phases(gate: &Gate<'_>, flips: usize, quiet: Duration) -> anyhow::Result<Vec<Phase>> {
    let mut phases = Vec::new();
    let mut phase = |name, act: &mut dyn FnMut()| {
        let begin = now()?;
        act();
        phases.push((name, begin, now()?));
        anyhow::Ok(())
    };
    // The first packets meet cold caches, and the sender has just been moved to its CPU.
    thread::sleep(Duration::from_millis(200));
    phase("before", &mut || thread::sleep(quiet))?;
    phase("compiling, no reload", &mut || {
        let started = Instant::now();
        while started.elapsed() < quiet {
            gate.octroi(["check"]).success();
        }
    })?;
    phase("reloading", &mut || {
        for flip in 1..=flips {
            gate.write(POLICIES[flip % 2]);
            gate.reload().success();
        }
    })?;
    phase("after", &mut || thread::sleep(quiet))?;
    Ok(phases)
}

/// Sends until told not to, at full speed; how many packets.
fn flood(lab: &Lab, go: &AtomicBool) -> anyhow::Result<u64> {
    pin(0, SENDER)?;
    prefer(0)?;
    let sender = Sender::new(&lab.outside, &lab.pair().peer);
    let frame = |source: Ipv4Addr| udp(source.into(), lab.pair().gate4.into()).ports(4000, PORT).frame();
    let frames: Vec<_> =
        (1..=2 * ONE_IN).map(|n| frame(if n % ONE_IN == 0 { ALLOWED } else { BLOCKED })).collect();
    let started = Instant::now();
    let mut sent = 0;
    while go.load(Ordering::Relaxed) && started.elapsed() < LONGEST {
        let count = 100 * ONE_IN;
        let flood = sender.flood(&frames, count, Duration::from_secs(30));
        ensure!(flood.sent == count, "{} of {count} packets were sent in 30 s", flood.sent);
        sent += count;
    }
    Ok(sent)
}

/// The stamps of all that passes, until told that no more will.
fn receive(stamps: &Stamps, go: &AtomicBool) -> anyhow::Result<Vec<u64>> {
    pin(0, RECEIVER)?;
    prefer(0)?;
    let mut times = Vec::new();
    loop {
        match stamps.next()? {
            Some((source, time)) => {
                ensure!(source == ALLOWED, "a blocked packet passed: from {source}");
                times.push(time);
            }
            None if go.load(Ordering::Relaxed) => {}
            None => return Ok(times),
        }
    }
}

/// The most bytes that the daemon's maps take, looked at again and again.
fn watch(pid: u32, go: &AtomicBool) -> anyhow::Result<u64> {
    let mut most = 0;
    while go.load(Ordering::Relaxed) {
        most = most.max(maps(pid)?);
        thread::sleep(Duration::from_millis(3));
    }
    Ok(most)
}

/// A process's memory in bytes.
struct Memory {
    resident: u64,
    peak: u64,
    maps: u64,
}

impl Memory {
    fn of(pid: u32) -> anyhow::Result<Self> {
        let path = format!("/proc/{pid}/status");
        let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            let kilobytes: Option<u64> = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
            kilobytes.map(|kilobytes| kilobytes * 1024).with_context(|| format!("no {name} in {path}"))
        };
        Ok(Self { resident: field("VmRSS:")?, peak: field("VmHWM:")?, maps: maps(pid)? })
    }
}

/// Bytes in the kernel of the maps that a process holds open, each once.
fn maps(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/fdinfo");
    let mut maps = BTreeMap::new();
    for entry in fs::read_dir(&path).with_context(|| format!("read {path}"))? {
        // A descriptor may have been closed since it was listed.
        let text = fs::read_to_string(entry?.path()).unwrap_or_default();
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|value| value.trim().parse::<u64>().ok())
        };
        if let (Some(id), Some(bytes)) = (field("map_id:"), field("memlock:")) {
            maps.insert(id, bytes);
        }
    }
    Ok(maps.values().sum())
}

/// Microseconds of each step that the daemon's log tells of.
fn steps(log: &str) -> Vec<f64> {
    let told = log.lines().filter(|line| line.contains("stepped to the new program"));
    told.filter_map(|line| line.split_once("microseconds=")?.1.split_whitespace().next()?.parse().ok())
        .collect()
}

impl Gaps {
    fn of((phase, begin, end): Phase, times: &[u64]) -> anyhow::Result<Self> {
        let from = times.partition_point(|&time| time < begin);
        let times = &times[from..times.partition_point(|&time| time < end)];
        let gaps = times.windows(2).map(|pair| pair[1].saturating_sub(pair[0]) as f64 / 1e3);
        let gap = Spread::of(gaps).with_context(|| format!("no packets passed in the phase \"{phase}\""))?;
        Ok(Self { phase, allowed_packets: times.len(), gap })
    }
}

impl Spread {
    /// Of values in any order; none of none.
    fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let at = |percent: usize| values.get((values.len() * percent).div_ceil(100).max(1) - 1).copied();
        Some(Self { p50: at(50)?, p99: at(99)?, max: at(100)? })
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:>10.1} {:>10.1} {:>10.1}", self.p50, self.p99, self.max)
    }
}

fn now() -> anyhow::Result<u64> {
    Ok(u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos())?)
}

/// Prints the figures.
pub(crate) fn show(flip: &Flip) {
    println!(
        "\n{} reloads of full tables in {:.1} s under {:.0} packets a second, one in {ONE_IN} allowed: none was lost, no blocked one passed",
        flip.flips, flip.seconds, flip.packets_per_second
    );
    println!(
        "{:<34} {:>10} {:>10} {:>10}",
        format!("µs between two allowed, {ONE_IN} packets"),
        "p50",
        "p99",
        "max"
    );
    for line in &flip.gaps {
        println!("{:<34} {}", format!("gap {}", line.phase), line.gap);
    }
    println!(
        "(the daemon shares a CPU with the packets: compare \"reloading\" with \"compiling, no reload\")"
    );
    println!("{:<34} {}", "the step: the daemon waits, µs", flip.step);
    let mb = |bytes: u64| bytes as f64 / 1e6;
    println!(
        "daemon: {:.1} MB resident before, {:.1} after, {:.1} at most; its maps: {:.1} MB, {:.1} with two generations",
        mb(flip.resident[0]),
        mb(flip.resident[1]),
        mb(flip.peak_resident),
        mb(flip.maps),
        mb(flip.peak_maps)
    );
}
