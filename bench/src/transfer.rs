//! A connection that was open before its source was blocked: how fast it goes on, where each of its packets is looked for among
//! this host's sockets.

use std::{
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpListener},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use octroi_tests::{gate::Gate, netns::Lab, socket::connect};
use serde::Serialize;

use crate::figures::Figure;

/// One line of the report.
#[derive(Serialize, Debug)]
pub(crate) struct Transfer {
    /// What filters.
    pub(crate) gate: &'static str,
    /// Bytes of one transfer.
    pub(crate) bytes: u64,
    /// Megabytes (10^6) a second over one connection, from the blocked source to the filtered host.
    pub(crate) megabytes_per_second: Figure,
    /// The same relative to a gate that lets the source through without a look, in the same round.
    pub(crate) ratio: Figure,
}

/// A country's address that is blocked, once it is.
const BLOCKED: &str = "1.0.1.1";
const PORT: u16 = 443;
const BLOCK: &str = "[[rule]]\nname = \"cn\"\nsource = { country = [\"CN\"] }\naction = \"drop\"\n";
/// What filters, and its policy.
const GATES: [(&str, Option<&str>); 3] =
    [("octroi, nothing blocked", Some("")), ("octroi, its source blocked", Some(BLOCK)), ("none", None)];

/// Measures all of them in turn, round by round.
pub(crate) fn measure(quick: bool) -> anyhow::Result<Vec<Transfer>> {
    let (rounds, bytes) = if quick { (2, 100_000_000) } else { (5, 1_000_000_000) };
    let mut rates: Vec<Vec<f64>> = vec![Vec::new(); GATES.len()];
    for _ in 0..rounds {
        for ((_, policy), rates) in GATES.iter().zip(&mut rates) {
            rates.push(rate(*policy, bytes)?);
        }
    }
    let lines = GATES.iter().zip(&rates).map(|((gate, _), own)| Transfer {
        gate,
        bytes,
        megabytes_per_second: Figure::of(own.iter().copied()),
        ratio: Figure::of(own.iter().zip(&rates[0]).map(|(own, open)| own / open)),
    });
    Ok(lines.collect())
}

/// Opens a connection, then the gate comes into force, then `bytes` go over it: megabytes a second.
fn rate(policy: Option<&str>, bytes: u64) -> anyhow::Result<f64> {
    let lab = Lab::new();
    let source: IpAddr = BLOCKED.parse()?;
    lab.give_source(source);
    let listener = lab.inside.run(|| TcpListener::bind(("0.0.0.0", PORT))).context("listen")?;
    let here = SocketAddr::new(lab.pair().here(source), PORT);
    let patience = Duration::from_secs(5);
    let mut client = connect(&lab.outside, source, here, patience).context("connect")?;
    let (mut server, _) = listener.accept().context("accept")?;
    let gate = policy.map(|policy| Gate::start(&lab, policy));
    if policy == Some(BLOCK) {
        let second = connect(&lab.outside, source, here, Duration::from_millis(300));
        ensure!(second.is_err(), "a new connection came through");
    }
    let started = Instant::now();
    let received = thread::scope(|scope| {
        let receiver = scope.spawn(move || {
            let mut buffer = vec![0; 1 << 20];
            let mut received = 0;
            while received < bytes {
                match server.read(&mut buffer) {
                    Ok(count @ 1..) => received += count as u64,
                    Ok(0) | Err(_) => break,
                }
            }
            received
        });
        let buffer = vec![7; 1 << 20];
        let mut sent = 0;
        while sent < bytes {
            let count = (bytes - sent).min(1 << 20);
            client.write_all(&buffer[..usize::try_from(count).expect("1 MiB at most")])?;
            sent += count;
        }
        receiver.join().map_err(|_| anyhow::anyhow!("the receiver panicked"))
    })?;
    ensure!(received == bytes, "{received} of {bytes} bytes arrived");
    let seconds = started.elapsed().as_secs_f64();
    drop(gate);
    Ok(bytes as f64 / 1e6 / seconds)
}

/// Prints the section.
pub(crate) fn show(lines: &[Transfer]) {
    let megabytes = lines.first().map_or(0, |line| line.bytes / 1_000_000);
    println!(
        "\n{:<34} {:>28} {:>24}",
        format!("{megabytes} MB over one connection"),
        "MB/s",
        "÷ nothing blocked's"
    );
    for line in lines {
        println!("{:<34} {:>28} {:>24}", line.gate, line.megabytes_per_second, line.ratio);
    }
}
