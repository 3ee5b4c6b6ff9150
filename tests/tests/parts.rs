//! Tables in parts, as kernels before 6.0 need them where an image is above 4 MiB: forced here, on images of several
//! parts.
#![allow(clippy::print_stderr, reason = "figures of a test")]

use std::net::IpAddr;

use octroi::dataplane::ProgramOptions;
use octroi_abi::{Class, DSCP_KEEP, TABLE_PART, Verdict, slot};
use octroi_gate::{corpus::build::udp, host::Compiled, table::builder::build};
use octroi_tests::policy::{Kernel, Policy, host};

/// A million IPv4 runs and two million IPv6 runs, side by side, of 200 classes in no order.
fn large() -> Compiled {
    let class =
        |n: u64| u16::try_from(n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32 & 0xffff).expect("16 bits") % 200;
    let v4: Vec<(u32, u16)> = (0..1u32 << 20).map(|n| (n << 12 | (n % 7) << 4, class(n.into()))).collect();
    let v4 = [vec![(0, 0)], v4[1..].to_vec()].concat();
    let v6: Vec<(u128, u16)> = (0..1u64 << 21)
        .map(|n| ((0x2000 << 112) + (u128::from(n) << 92) + (u128::from(n % 7) << 88), class(n + 7)))
        .collect();
    let v6 = [vec![(0, 0)], v6].concat();
    let tables = build(200, &v4, &v6).expect("fits");
    let class = |number: u32| Class {
        slot: slot::FIRST_CLASS + 2 * number,
        detail: 0,
        verdict: Verdict::Drop as u8,
        dscp: DSCP_KEEP,
        _pad: [0; 2],
    };
    Compiled {
        tables,
        classes: (0..200).map(class).collect(),
        steps: Vec::new(),
        services: Vec::new(),
        limits: Vec::new(),
        leased: Vec::new(),
        malformed_passes: false,
    }
}

fn agree(compiled: &Compiled, addresses: impl Iterator<Item = IpAddr>) -> usize {
    let mut kernel = Kernel::load(compiled, ProgramOptions { parts: true, ..ProgramOptions::default() });
    let mut compared = 0;
    for address in addresses {
        let here = if address.is_ipv4() { "10.88.0.2" } else { "fd00:88::2" };
        let frame = udp(address, here.parse().expect("an address")).frame();
        assert_eq!(kernel.judge(&frame).0, host(compiled, &frame), "{address}");
        compared += 1;
    }
    compared
}

#[test]
fn images_of_several_parts_are_judged_as_on_the_host() {
    let compiled = large();
    let parts =
        [&compiled.tables.v4, &compiled.tables.v6].map(|image| image.len().div_ceil(TABLE_PART as usize));
    assert!(parts.iter().all(|&parts| parts > 1), "{parts:?} parts");
    let v4 = (0..60_000u32).map(|n| IpAddr::V4(n.wrapping_mul(0x9e37_79b1).into()));
    let v6 = (0..60_000u128).map(|n| IpAddr::V6(((1 << 125) | (n * 0x1234_5678_9abc_def1) << 61).into()));
    let compared = agree(&compiled, v4.chain(v6));
    eprintln!("{compared} addresses in images of {parts:?} parts, 0 differ");
}

#[test]
fn a_real_policy_is_judged_in_parts_as_on_the_host() {
    let policy = Policy::new("[policy]\ndefault = \"drop\"\nlocal = \"rules\"\n");
    let v4 = policy.databases.country.v4.iter().step_by(20).map(|run| IpAddr::V4(run.0.into()));
    let v6 = policy.databases.country.v6.iter().step_by(20).map(|run| IpAddr::V6(run.0.into()));
    agree(&policy.compiled, v4.chain(v6));
}
