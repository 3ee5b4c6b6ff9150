//! A wire whose two ends run on two CPUs, so that what receiving costs can be told from what sending costs.
//!
//! veth hands packets to the receiver's NAPI, as a network card does; here that is a kernel thread of its own on the
//! second CPU. Its poll is put off for a moment, as cards coalesce interrupts: a thread that is woken for every packet
//! would be measured more for waking up the faster it is.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use octroi_tests::{
    command::{SHORT, run},
    netns::{Lab, Namespace},
    wire::{Flood, Sender},
};

use crate::pin::{RECEIVER, SENDER, cpu_time, pin, prefer};

/// How long packets wait in the wire's ring of 256 for the receiver to look, in nanoseconds.
const COALESCED: u32 = 100_000;

/// A lab whose first wire is received by a thread of its own.
pub(crate) struct Lane {
    pub(crate) lab: Lab,
    napi: u32,
    sender: Sender,
}

/// What a flood came to at the other end.
pub(crate) struct Received {
    pub(crate) flood: Flood,
    /// Packets that came out of the wire; the others found its ring full.
    pub(crate) packets: u64,
    /// Nanoseconds that the receiving thread ran.
    pub(crate) cpu: u64,
}

impl Lane {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let lab = Lab::new();
        let before = napi_threads();
        let device = &lab.pair().gate;
        // Packets go through the receiver's NAPI also where no XDP program asks for it: where the receiver has GRO, and
        // the sender does not segment by itself what GRO would merge again.
        for (namespace, device, feature, value) in
            [(&lab.outside, &lab.pair().peer, "tso", "off"), (&lab.inside, device, "gro", "on")]
        {
            let mut ethtool = namespace.command("ethtool");
            ethtool.args(["-K", device, feature, value]);
            run(ethtool, SHORT).success();
        }
        for (file, value) in
            [("threaded", 1), ("gro_flush_timeout", COALESCED), ("napi_defer_hard_irqs", 1_000_000)]
        {
            // /sys shows the devices of the namespace that it was mounted in: `ip netns exec` mounts another.
            let mut command = std::process::Command::new("ip");
            let set = format!("echo {value} > /sys/class/net/{device}/{file}");
            command.args(["netns", "exec", lab.inside.name(), "sh", "-c", &set]);
            run(command, SHORT).success();
        }
        let new: Vec<u32> = napi_threads().into_iter().filter(|thread| !before.contains(thread)).collect();
        let &[napi] = new.as_slice() else {
            anyhow::bail!("{} threads receive on {device}, where one was expected: {new:?}", new.len())
        };
        let sender = Sender::new(&lab.outside, &lab.pair().peer).without_waiting();
        Ok(Self { lab, napi, sender })
    }

    /// Keeps the receiving thread where it belongs; whatever was attached since may have moved it.
    pub(crate) fn settle(&self) -> anyhow::Result<()> {
        pin(self.napi, RECEIVER)?;
        prefer(self.napi)
    }

    /// Sends frames as fast as one CPU can.
    pub(crate) fn flood(&self, frames: &[Vec<u8>], limit: Duration) -> anyhow::Result<Received> {
        let (packets, cpu) = (self.packets()?, cpu_time(self.napi)?);
        let flood = thread::scope(|scope| {
            let send = || {
                pin(0, SENDER)?;
                prefer(0)?;
                Ok(self.sender.flood(frames, octroi_tests::wire::MOST_FRAMES, limit))
            };
            scope.spawn(send).join().map_err(|_| anyhow::anyhow!("the sender panicked"))?
        });
        let flood: anyhow::Result<Flood> = flood;
        let flood = flood?;
        self.drained()?;
        Ok(Received { flood, packets: self.packets()? - packets, cpu: cpu_time(self.napi)? - cpu })
    }

    /// Sends each frame once, no faster than it is received.
    pub(crate) fn send(&self, frames: &[Vec<u8>]) -> anyhow::Result<()> {
        for some in frames.chunks(128) {
            let wanted = self.packets()? + some.len() as u64;
            self.sender.send_all(some);
            let deadline = Instant::now() + Duration::from_secs(5);
            while self.packets()? < wanted {
                ensure!(
                    Instant::now() < deadline,
                    "of {} packets, {} were not received within 5 s",
                    some.len(),
                    wanted - self.packets()?
                );
                thread::sleep(Duration::from_micros(200));
            }
        }
        self.drained()
    }

    /// Waits until nothing comes any more.
    fn drained(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(5);
        let mut last = self.packets()?;
        loop {
            thread::sleep(Duration::from_millis(5));
            let now = self.packets()?;
            if now == last {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "packets still come 5 s after the last was sent");
            last = now;
        }
    }

    /// Packets that have come out of the wire, whatever became of them.
    fn packets(&self) -> anyhow::Result<u64> {
        let device = format!("{}:", self.lab.pair().gate);
        let text = read(&self.lab.inside, "dev")?;
        let line = text.lines().find_map(|line| line.trim().strip_prefix(&device));
        number(line.and_then(|line| line.split_whitespace().nth(1)), &device)
    }

    /// UDP packets that have come up to a port that nobody listens on.
    pub(crate) fn arrived(&self) -> anyhow::Result<u64> {
        let v4 = read(&self.lab.inside, "snmp")?;
        let lines: Vec<Vec<&str>> = v4
            .lines()
            .filter(|line| line.starts_with("Udp:"))
            .map(|line| line.split(' ').collect())
            .collect();
        let at = lines.first().and_then(|names| names.iter().position(|&name| name == "NoPorts"));
        let v4 = at.and_then(|at| lines.get(1)?.get(at).copied());
        let v6 = read(&self.lab.inside, "snmp6")?;
        let v6 = v6.lines().find_map(|line| line.strip_prefix("Udp6NoPorts"));
        Ok(number(v4, "NoPorts")? + number(v6.map(str::trim), "Udp6NoPorts")?)
    }
}

fn number(text: Option<&str>, name: &str) -> anyhow::Result<u64> {
    let text = text.with_context(|| format!("no {name} among the kernel's network counters"))?;
    text.parse().with_context(|| format!("{name} is {text:?}"))
}

/// A file of /proc/net as a thread in that namespace sees it.
fn read(namespace: &Namespace, file: &str) -> anyhow::Result<String> {
    let path = format!("/proc/thread-self/net/{file}");
    namespace
        .run(|| fs::read_to_string(&path))
        .with_context(|| format!("read {path} in {}", namespace.name()))
}

/// The kernel's threads that receive on devices called gate0, in whatever namespace.
fn napi_threads() -> Vec<u32> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(thread) = entry.file_name().to_string_lossy().parse() else { continue };
        // One that has ended in the meantime is none of ours.
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        if name.starts_with("napi/gate0-") {
            found.push(thread);
        }
    }
    found
}
