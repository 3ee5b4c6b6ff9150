//! Any bytes as a frame: no panic, and an answer that the policy has.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use octroi_abi::{Class, DSCP_KEEP, Verdict, slot};
use octroi_gate::{
    host::Compiled,
    judge::{Generation, Outcome},
    packet::{Packet, Parsed, Source, parse},
    table::builder::build,
};

fuzz_target!(|frame: &[u8]| {
    for policy in POLICIES.iter() {
        let parsed = parse(frame);
        let outcome = policy.judge(frame);
        assert_eq!(outcome, expected(policy, &parsed), "{parsed:?}");
        if let Parsed::Ip(packet) = parsed {
            plausible(frame, &packet);
        }
        indifferent(policy, frame, outcome);
    }
});

/// Both answers to malformed packets, over tables in which every bit of the source's first byte matters.
static POLICIES: LazyLock<[Compiled; 2]> = LazyLock::new(|| {
    let v4: Vec<(u32, u16)> = (0..=255).map(|n| (n << 24, n as u16 % 251)).collect();
    let v6: Vec<(u128, u16)> = (0..=255).map(|n| (n << 120, n as u16 % 241)).collect();
    let tables = build(251, &v4, &v6).expect("fits");
    let class = |n: u32| Class {
        slot: slot::FIRST_CLASS + 2 * n,
        mark: if n % 3 == 2 { n } else { 0 },
        verdict: (n % 3) as u8,
        dscp: if n % 3 == 2 { n as u8 & 63 } else { DSCP_KEEP },
        _pad: [0; 2],
    };
    let policy = |malformed_passes| Compiled {
        tables: tables.clone(),
        classes: (0..251).map(class).collect(),
        malformed_passes,
    };
    [policy(false), policy(true)]
});

/// What the policy says about what a frame is.
fn expected(policy: &Compiled, parsed: &Parsed) -> Outcome {
    let without = |slot, verdict| Outcome { verdict, slot, mark: 0, dscp: DSCP_KEEP, header: 0 };
    match parsed {
        Parsed::Arp => without(slot::ARP, Verdict::Pass),
        Parsed::NonIp => without(slot::NON_IP, Verdict::Pass),
        Parsed::NeighbourDiscovery => without(slot::NEIGHBOUR_DISCOVERY, Verdict::Pass),
        Parsed::Malformed if policy.malformed_passes() => without(slot::MALFORMED, Verdict::Pass),
        Parsed::Malformed => without(slot::MALFORMED, Verdict::Drop),
        Parsed::Ip(packet) => {
            let (number, family) = match packet.source {
                Source::V4(address) => ((address >> 24) % 251, 0),
                Source::V6 { high, .. } => ((high >> 56) as u32 % 241, 1),
            };
            let class = policy.class(number);
            Outcome {
                verdict: Verdict::ALL[usize::from(class.verdict)],
                slot: class.slot + family,
                mark: class.mark,
                dscp: class.dscp,
                header: packet.header,
            }
        }
    }
}

/// What the parser says is in the frame, where it says.
fn plausible(frame: &[u8], packet: &Packet) {
    assert!(matches!(packet.header, 14 | 18 | 22), "{packet:?}");
    let header = &frame[packet.header..];
    match packet.source {
        Source::V4(address) => {
            assert_eq!((header[0] >> 4, &header[12..16]), (4, &address.to_be_bytes()[..]));
            assert_eq!(packet.protocol, Some(header[9]));
        }
        Source::V6 { high, low } => {
            let address = u128::from(high) << 64 | u128::from(low);
            assert_eq!((header[0] >> 4, &header[8..24]), (6, &address.to_be_bytes()[..]));
        }
    }
    if let Some(port) = packet.destination_port {
        assert!(matches!(packet.protocol, Some(6 | 17)), "{packet:?}");
        assert!(header.windows(2).any(|bytes| bytes == port.to_be_bytes()), "{packet:?}");
    }
}

/// MAC addresses decide nothing, nor does what follows a whole IPv4 packet.
fn indifferent(policy: &Compiled, frame: &[u8], outcome: Outcome) {
    let mut other = frame.to_vec();
    other.iter_mut().take(12).for_each(|byte| *byte ^= 0xff);
    assert_eq!(policy.judge(&other), outcome);
    let header = outcome.header;
    let length = match frame.get(header..) {
        Some([0x40..=0x4f, _, high, low, ..]) if header != 0 => u16::from_be_bytes([*high, *low]),
        _ => return,
    };
    if header + usize::from(length) <= frame.len() {
        other.resize(frame.len() + 64, 0xa5);
        assert_eq!(policy.judge(&other), outcome);
    }
}
