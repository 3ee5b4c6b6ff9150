//! The whole gate a packet, by verdict and by part, against a program that only returns.

use octroi_abi::bench::{MIXED, ONLY_V4, ONLY_V6};
use serde::Serialize;

use crate::{
    addresses::{Distribution, draw},
    figures::Figure,
    kernel::Kernel,
    world::{GLOBAL_V6, World, starts, wide},
};

/// One line of the report.
#[derive(Serialize, Debug)]
pub(crate) struct Gate {
    /// What ran: a part of the gate, the whole of it, or the whole with the kernel's LPM trie.
    pub(crate) program: &'static str,
    /// The verdict on every packet.
    pub(crate) verdict: &'static str,
    /// `ipv4`, `ipv6`, or `mixed`: half each, in no order.
    pub(crate) family: &'static str,
    /// Nanoseconds a packet beyond a program that only returns.
    pub(crate) ns: Figure,
}

/// Draws the addresses of both families, uniform over intervals.
pub(crate) fn set_addresses(kernel: &mut Kernel, world: &World) -> anyhow::Result<()> {
    let v4 = starts(&wide(&world.v4));
    kernel.set_v4(&draw(Distribution::Intervals, &v4, 0, u32::MAX.into()))?;
    kernel.set_v6(&draw(Distribution::Intervals, &starts(&world.v6), GLOBAL_V6.0, GLOBAL_V6.1))
}

/// Measures programs on the addresses set before.
pub(crate) fn measure(
    kernel: &mut Kernel,
    verdict: &'static str,
    programs: &[&'static str],
    packets: u32,
    rounds: usize,
) -> anyhow::Result<Vec<Gate>> {
    for program in ["gate_none"].iter().chain(programs) {
        kernel.prepare(program)?;
    }
    let mut lines = Vec::new();
    for (family, number) in [("ipv4", ONLY_V4), ("ipv6", ONLY_V6), ("mixed", MIXED)] {
        let mut times: Vec<Vec<f64>> = vec![Vec::new(); programs.len()];
        for _ in 0..rounds {
            let nothing = kernel.run("gate_none", packets, number)?.ns;
            for (program, times) in programs.iter().zip(&mut times) {
                times.push(kernel.run(program, packets, number)?.ns - nothing);
            }
        }
        lines.extend(programs.iter().zip(times).map(|(program, times)| Gate {
            program,
            verdict,
            family,
            ns: Figure::of(times),
        }));
    }
    Ok(lines)
}

/// Prints the section.
pub(crate) fn show(lines: &[Gate]) {
    println!(
        "\n{:<38} {:<8} {:<7} {:>24}",
        "a packet's way through", "verdict", "family", "ns beyond a return"
    );
    for line in lines {
        let way = match line.program {
            "gate_parse" => "the headers",
            "gate_lookup" => "headers and look-up",
            "gate_octroi" => "the whole gate",
            "gate_lpm" => "the whole gate with LPM tries",
            "tables in parts" => "the whole gate, tables in parts",
            other => other,
        };
        println!("{way:<38} {:<8} {:<7} {:>24}", line.verdict, line.family, line.ns);
    }
}
