//! One look-up a packet: octroi's table, the kernel's LPM trie and DIR-24-8, on the same addresses in the same run.

use anyhow::ensure;
use serde::Serialize;

use crate::{
    addresses::{Distribution, draw},
    figures::Figure,
    kernel::{Filled, Kernel},
    world::{GLOBAL_V6, World, starts, wide},
};

/// One line of the report.
#[derive(Serialize, Debug)]
pub(crate) struct Lookup {
    /// `octroi`, `lpm`, `dir-24-8`.
    pub(crate) structure: &'static str,
    /// `ipv4`, `ipv6`.
    pub(crate) family: &'static str,
    /// The distribution's name.
    pub(crate) distribution: &'static str,
    /// Nanoseconds a look-up; taking the address from its list is subtracted.
    pub(crate) ns: Figure,
    /// How many times as long it takes as octroi's in the same round; 1 for octroi.
    pub(crate) ratio: Figure,
    /// Memory of the structure's entries, in bytes; none where the kernel does not tell.
    pub(crate) bytes: Option<u64>,
}

/// A family, and the programs that look its addresses up: the one that only takes the address first, octroi's second.
pub(crate) struct Family {
    /// `ipv4`, `ipv6`.
    pub(crate) name: &'static str,
    programs: Vec<(&'static str, &'static str)>,
    starts: Vec<u128>,
    first: u128,
    last: u128,
}

/// A structure against octroi, over rounds.
pub(crate) struct Compared {
    /// As in [`Lookup`].
    pub(crate) structure: &'static str,
    /// As in [`Lookup`].
    pub(crate) ns: Figure,
    /// As in [`Lookup`].
    pub(crate) ratio: Figure,
}

impl Family {
    /// Both families of a world, with programs for octroi and these rivals.
    pub(crate) fn both(world: &World, rivals: &[&str]) -> [Self; 2] {
        const V4: [(&str, &str); 4] =
            [("none", "v4_none"), ("octroi", "v4_octroi"), ("lpm", "v4_lpm"), ("dir-24-8", "v4_dir24")];
        const V6: [(&str, &str); 3] = [("none", "v6_none"), ("octroi", "v6_octroi"), ("lpm", "v6_lpm")];
        let chosen = |all: &[(&'static str, &'static str)]| {
            let chosen =
                all.iter().filter(|(name, _)| ["none", "octroi"].contains(name) || rivals.contains(name));
            chosen.copied().collect()
        };
        let v4 = starts(&wide(&world.v4));
        let (first, last) = GLOBAL_V6;
        [
            Self { name: "ipv4", programs: chosen(&V4), starts: v4, first: 0, last: u32::MAX.into() },
            Self { name: "ipv6", programs: chosen(&V6), starts: starts(&world.v6), first, last },
        ]
    }

    /// Verifies the programs.
    pub(crate) fn prepare(&self, kernel: &mut Kernel) -> anyhow::Result<()> {
        self.programs.iter().try_for_each(|(_, program)| kernel.prepare(program))
    }

    /// Measures octroi and its rivals in turn on the same addresses, and compares what they answer.
    pub(crate) fn compare(
        &self,
        kernel: &mut Kernel,
        world: &World,
        distribution: Distribution,
        packets: u32,
        rounds: usize,
    ) -> anyhow::Result<Vec<Compared>> {
        let addresses = draw(distribution, &self.starts, self.first, self.last);
        let v4 = self.name == "ipv4";
        if v4 {
            kernel.set_v4(&addresses)?
        } else {
            kernel.set_v6(&addresses)?
        }
        let asked = addresses.iter().take(packets as usize);
        let expected: u64 = asked.map(|&address| u64::from(class(world, v4, address))).sum();
        let mut times: Vec<Vec<f64>> = vec![Vec::new(); self.programs.len()];
        for _ in 0..rounds {
            for ((structure, program), times) in self.programs.iter().zip(&mut times) {
                let timed = kernel.run(program, packets, 0)?;
                ensure!(
                    *structure == "none" || timed.sum == expected,
                    "{program} answers otherwise than octroi in user space: {} instead of {expected}, {}",
                    timed.sum,
                    distribution.as_str()
                );
                times.push(timed.ns);
            }
        }
        let net = |n: usize| {
            (0..rounds).map(move |round| (n, round)).map(|(n, round)| times[n][round] - times[0][round])
        };
        let lines = self.programs.iter().enumerate().skip(1).map(|(n, &(structure, _))| Compared {
            structure,
            ns: Figure::of(net(n)),
            ratio: Figure::of(net(n).zip(net(1)).map(|(own, octroi)| own / octroi.max(0.1))),
        });
        Ok(lines.collect())
    }
}

/// Measures every structure on every distribution.
pub(crate) fn measure(
    kernel: &mut Kernel,
    world: &World,
    lpm: [Filled; 2],
    packets: u32,
    rounds: usize,
) -> anyhow::Result<Vec<Lookup>> {
    let mut lines = Vec::new();
    for family in &Family::both(world, &["lpm", "dir-24-8"]) {
        family.prepare(kernel)?;
        for distribution in Distribution::ALL {
            let compared = family.compare(kernel, world, distribution, packets, rounds)?;
            lines.extend(compared.into_iter().map(|Compared { structure, ns, ratio }| Lookup {
                structure,
                family: family.name,
                distribution: distribution.as_str(),
                ns,
                ratio,
                bytes: bytes(structure, family.name == "ipv4", world, lpm),
            }));
        }
    }
    Ok(lines)
}

fn bytes(structure: &str, v4: bool, world: &World, lpm: [Filled; 2]) -> Option<u64> {
    let tables = &world.compiled.tables;
    Some(match structure {
        "octroi" if v4 => tables.v4.len() as u64,
        "octroi" => tables.v6.len() as u64,
        // kernel/bpf/lpm_trie.c: a node of 40 bytes with its key and value behind, of which an allocator keeps 64 bytes
        // each; inner nodes, at most as many again, are not counted.
        "lpm" => 64 * lpm[usize::from(!v4)].entries as u64,
        _ => 2 << 24,
    })
}

fn class(world: &World, v4: bool, address: u128) -> u32 {
    let half = |bits: u128| u64::try_from(bits & u128::from(u64::MAX)).expect("64 bits");
    if v4 {
        world.compiled.class_v4(u32::try_from(address).expect("an IPv4 address"))
    } else {
        world.compiled.class_v6(half(address >> 64), half(address))
    }
}

/// Prints the section.
pub(crate) fn show(lines: &[Lookup]) {
    println!(
        "{:<7} {:<24} {:<10} {:>22} {:>24} {:>10}",
        "family", "addresses", "structure", "ns a look-up", "÷ octroi's", "MB"
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
