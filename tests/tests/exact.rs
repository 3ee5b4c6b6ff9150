//! Tables far larger than any database, with prefixes to /32 and /128: both ends of every interval and an address in
//! between, on the host and through the kernel's program, against a binary search over the intervals.
#![allow(clippy::print_stderr, reason = "figures of a test")]

use std::{net::IpAddr, time::Instant};

use octroi::dataplane::ProgramOptions;
use octroi_abi::{Class, DSCP_KEEP, Verdict, slot};
use octroi_gate::{corpus::build::udp, host::Compiled, table::builder::build};
use octroi_tests::{policy::Kernel, random::Random};

/// Starts in order, each with a class other than that before it.
fn runs(random: &mut Random, mut starts: Vec<u128>, classes: u64) -> Vec<(u128, u16)> {
    starts.push(0);
    starts.sort_unstable();
    starts.dedup();
    let mut class = 0;
    let mut next = || {
        class = (class + 1 + random.below(classes - 1)) % classes;
        u16::try_from(class).expect("16 bits")
    };
    starts.into_iter().map(|start| (start, next())).collect()
}

/// Prefixes of /24 to /32, a third of them side by side.
fn starts_v4(random: &mut Random, count: usize) -> Vec<u128> {
    let mut start = 0u32;
    let mut next = || {
        start = if random.below(3) == 0 {
            start.wrapping_add(1 << random.below(4))
        } else {
            let zeros = random.below(9);
            u32::try_from(random.next() >> 32).expect("32 bits") >> zeros << zeros
        };
        start.into()
    };
    (0..count).map(|_| next()).collect()
}

/// Prefixes of /32 to /64 in the /32s of networks in the blocks that the registries have, near each other; one of
/// twenty in a /64 that it divides, to /128; one of forty anywhere.
fn starts_v6(random: &mut Random, count: usize) -> Vec<u128> {
    const BLOCKS: [u128; 6] = [0x2001, 0x2400, 0x2600, 0x2800, 0x2a00, 0x2c00];
    let (mut network, mut start, mut zeros) = (BLOCKS[0] << 112, 0u128, 64);
    let mut next = || {
        match random.below(40) {
            0 => {
                let zeros = random.below(128);
                return random.next_u128() >> zeros << zeros;
            }
            1 => return start | u128::from(random.next() >> random.below(64)),
            2 => return start | u128::from(random.below(64)),
            3 => {
                let block = random.below(BLOCKS.len() as u64);
                network = BLOCKS[usize::try_from(block).expect("few")] << 112
                    | u128::from(random.below(1 << 20)) << 96;
                start = network;
            }
            4..20 => start = start.wrapping_add(1 << zeros),
            _ => {
                zeros = 64 + random.below(32);
                start = network | u128::from(random.below(1 << 32)) << 64 >> zeros << zeros;
            }
        }
        start
    };
    (0..count).map(|_| next()).collect()
}

/// Runs, and what was built of them.
struct Synthetic {
    v4: Vec<(u128, u16)>,
    v6: Vec<(u128, u16)>,
    compiled: Compiled,
}

/// The most classes that each have a slot of their own.
const SLOTS: u32 = (slot::COUNT - slot::FIRST_CLASS) / 2;

/// Where a class is counted. Beyond [`SLOTS`], classes share: on the host they are told apart nevertheless.
fn slot_of(class: u16) -> u32 {
    slot::FIRST_CLASS + 2 * (u32::from(class) % SLOTS)
}

impl Synthetic {
    /// At least `intervals` in each family.
    fn new(intervals: usize, classes: u16, seed: u64) -> Self {
        let mut random = Random(seed);
        // Some come twice.
        let count = intervals / 8 * 9;
        let starts = starts_v4(&mut random, count);
        let v4 = runs(&mut random, starts, classes.into());
        let starts = starts_v6(&mut random, count);
        let v6 = runs(&mut random, starts, classes.into());
        assert!(v4.len() >= intervals && v6.len() >= intervals, "{} and {}", v4.len(), v6.len());

        let narrow: Vec<(u32, u16)> =
            v4.iter().map(|&(start, class)| (u32::try_from(start).expect("32 bits"), class)).collect();
        let began = Instant::now();
        let tables = build(classes.into(), &narrow, &v6).expect("fits");
        eprintln!(
            "{} and {} intervals of {classes} classes: {} and {} bytes in {:.1} s",
            v4.len(),
            v6.len(),
            tables.v4.len(),
            tables.v6.len(),
            began.elapsed().as_secs_f64()
        );
        let class = |class| Class {
            slot: slot_of(class),
            detail: 0,
            verdict: if class % 2 == 0 { Verdict::Pass } else { Verdict::Drop } as u8,
            dscp: DSCP_KEEP,
            _pad: [0; 2],
        };
        let compiled = Compiled {
            tables,
            classes: (0..classes).map(class).collect(),
            steps: Vec::new(),
            services: Vec::new(),
            limits: Vec::new(),
            leased: Vec::new(),
            malformed_passes: false,
        };
        Self { v4, v6, compiled }
    }

    /// Gives `same` the addresses of every run whose number `step` divides, with what class they have; how many.
    fn each(runs: &[(u128, u16)], top: u128, step: usize, mut same: impl FnMut(u128, u16)) -> usize {
        let mut random = Random(7);
        let mut compared = 0;
        for (index, &(start, _)) in runs.iter().enumerate().step_by(step) {
            let last = runs.get(index + 1).map_or(top, |next| next.0 - 1);
            let inside = start + random.next_u128() % (last - start).max(1);
            for address in [start, inside, last, start.saturating_sub(1)] {
                let class = runs[runs.partition_point(|run| run.0 <= address) - 1].1;
                same(address, class);
                compared += 1;
            }
        }
        compared
    }

    /// Compares on the host; how many addresses.
    fn on_the_host(&self) -> usize {
        let compiled = &self.compiled;
        let v4 = || {
            Self::each(&self.v4, u32::MAX.into(), 1, |address, class| {
                let found = compiled.class_v4(u32::try_from(address).expect("32 bits"));
                assert_eq!(found, u32::from(class), "{address:#x}");
            })
        };
        let v6 = || {
            Self::each(&self.v6, u128::MAX, 1, |address, class| {
                let half = |half: u128| u64::try_from(half & u128::from(u64::MAX)).expect("64 bits");
                let found = compiled.class_v6(half(address >> 64), half(address));
                assert_eq!(found, u32::from(class), "{address:#x}");
            })
        };
        std::thread::scope(|scope| {
            let other = scope.spawn(v6);
            v4() + other.join().expect("no difference")
        })
    }

    /// Compares about `count` addresses through the kernel's program.
    fn in_the_kernel(&self, count: usize, options: ProgramOptions) -> usize {
        let mut kernel = Kernel::load(&self.compiled, options);
        let step = (4 * (self.v4.len() + self.v6.len()) / count).max(1);
        let mut same = |address: IpAddr, class: u16, family: u32| {
            let here = if address.is_ipv4() { "10.88.0.2" } else { "fd00:88::2" };
            let frame = udp(address, here.parse().expect("an address")).frame();
            let (found, _) = kernel.judge(&frame);
            let verdict = if class.is_multiple_of(2) { Verdict::Pass } else { Verdict::Drop };
            assert_eq!((found.slot, found.verdict), (slot_of(class) + family, verdict), "{address}");
        };
        let v4 = Self::each(&self.v4, u32::MAX.into(), step, |address, class| {
            same(IpAddr::V4(u32::try_from(address).expect("32 bits").into()), class, 0);
        });
        let v6 = Self::each(&self.v6, u128::MAX, step, |address, class| {
            same(IpAddr::V6(address.into()), class, 1);
        });
        v4 + v6
    }
}

#[test]
fn four_million_intervals_are_each_where_they_are() {
    let table = Synthetic::new(2_000_000, 256, 1);
    let (host, kernel) = (table.on_the_host(), table.in_the_kernel(200_000, ProgramOptions::default()));
    eprintln!("{host} addresses compared on the host, {kernel} through the kernel's program, 0 differ");
    assert!(host >= 10_000_000 && kernel >= 150_000);
}

#[test]
fn so_are_twenty_thousand_classes_and_as_many_as_one_byte_can_number() {
    for (classes, options) in [
        (20_000, ProgramOptions::default()),
        (255, ProgramOptions { parts: true, ..ProgramOptions::default() }),
    ] {
        let table = Synthetic::new(250_000, classes, classes.into());
        let (host, kernel) = (table.on_the_host(), table.in_the_kernel(100_000, options));
        eprintln!("{host} addresses compared on the host, {kernel} through the kernel's program, 0 differ");
        assert!(kernel >= 75_000);
    }
}
