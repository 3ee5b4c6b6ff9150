//! What it costs a packet that rules ask more than where it comes from.

use std::path::Path;

use octroi_abi::bench::ONLY_V4;
use octroi_gate::corpus::build::{Build, tcp, udp};
use serde::Serialize;

use crate::{figures::Figure, gate, kernel::Kernel, world::World};

/// One line of the report.
#[derive(Serialize, Debug)]
pub(crate) struct Ask {
    /// What the one rule about every source asks, and what comes.
    pub(crate) of: &'static str,
    /// Nanoseconds of the whole gate beyond a program that only returns; IPv4, addresses uniform over intervals.
    pub(crate) ns: Figure,
    /// The same beyond the first line's in the same round.
    pub(crate) more: Figure,
}

/// A policy's keys beside name and source, and a packet.
type Case = (&'static str, &'static str, fn() -> Build);

const CASES: [Case; 10] = [
    ("nothing: dropped at once", "action = \"drop\"\nestablished = \"drop\"", datagram),
    ("a socket, for UDP that has none", "action = \"drop\"", datagram),
    ("a socket, for TCP (ACK) that has none", "action = \"drop\"", segment),
    ("no socket, for TCP that begins (SYN)", "action = \"drop\"", opening),
    (
        "a service, which it is for",
        "action = \"drop\"\nestablished = \"drop\"\nservice = [\"tcp/443\", \"udp/443\"]",
        datagram,
    ),
    ("a service, which it is not for", "action = \"drop\"\nservice = [\"tcp/80\"]", datagram),
    ("the time, which has not come", "action = \"drop\"\nfrom = 2100-01-01T00:00:00Z", datagram),
    (
        "the time, within a ramp",
        "action = \"drop\"\nestablished = \"drop\"\nfrom = 2020-01-01T00:00:00Z\nramp = \"36500d\"",
        datagram,
    ),
    ("a bucket for all", "action = \"limit\"\nestablished = \"drop\"\nrate = 1000\nper = \"rule\"", datagram),
    (
        "a bucket for each source",
        "action = \"limit\"\nestablished = \"drop\"\nrate = 1000\nper = \"source\"",
        datagram,
    ),
];

/// Measures each case in turn, round by round, on the same addresses.
pub(crate) fn measure(object: &Path, packets: u32, rounds: usize) -> anyhow::Result<Vec<Ask>> {
    let mut kernels = Vec::new();
    for (_, keys, packet) in CASES {
        let rule = format!("[[rule]]\nname = \"all\"\nsource = {{ any = true }}\n{keys}\n");
        let world = World::new(&format!("[policy]\nlocal = \"rules\"\n{rule}"))?;
        let mut kernel = Kernel::load(object, &world, false)?;
        gate::set_addresses(&mut kernel, &world)?;
        for program in ["gate_none", "gate_octroi"] {
            kernel.prepare(program)?;
        }
        kernels.push((kernel, packet().frame()));
    }
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); CASES.len()];
    for _ in 0..rounds {
        for ((kernel, frame), times) in kernels.iter_mut().zip(&mut times) {
            let nothing = kernel.run_on("gate_none", packets, ONLY_V4, frame)?.ns;
            times.push(kernel.run_on("gate_octroi", packets, ONLY_V4, frame)?.ns - nothing);
        }
    }
    let lines = CASES.iter().zip(&times).map(|((of, ..), own)| Ask {
        of,
        ns: Figure::of(own.iter().copied()),
        more: Figure::of(own.iter().zip(&times[0]).map(|(own, first)| own - first)),
    });
    Ok(lines.collect())
}

/// Prints the section.
pub(crate) fn show(lines: &[Ask]) {
    println!(
        "\n{:<40} {:>24} {:>24}",
        "what the rule asks of a packet", "ns beyond a return", "more than the first"
    );
    for line in lines {
        println!("{:<40} {:>24} {:>24}", line.of, line.ns, line.more);
    }
}

fn datagram() -> Build {
    udp(address("192.0.2.1"), address("10.88.0.2")).ports(4000, 443)
}

fn segment() -> Build {
    tcp(address("192.0.2.1"), address("10.88.0.2")).ports(4000, 443).flags(0x10)
}

fn opening() -> Build {
    tcp(address("192.0.2.1"), address("10.88.0.2")).ports(4000, 443).flags(0x02)
}

fn address(text: &str) -> std::net::IpAddr {
    text.parse().expect("an address")
}
