//! Any bytes as a frame: no panic, an outcome that the policy has, and an answer that is one where a rule rejects.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use octroi_abi::{Class, DSCP_KEEP, Leased, Verdict, slot};
use octroi_gate::{
    host::{Circumstances, Compiled},
    judge::Outcome,
    packet::{Fragment, Packet, Parsed, Source, parse},
    reject::{Kind, answer, plan},
    service::{Carried, Fit, Service},
    table::builder::build,
    transport::{Transport, Upper, transport},
};

fuzz_target!(|frame: &[u8]| {
    let parsed = parse(frame);
    for policy in POLICIES.iter() {
        let outcome = policy.judge(frame);
        assert_eq!(outcome, expected(policy, &parsed), "{parsed:?}");
        indifferent(policy, frame, outcome);
        for lease in [Verdict::Pass, Verdict::Drop] {
            let under = Circumstances { lease: Some(lease), ..Circumstances::default() };
            let judged = policy.judge_in(frame, under);
            assert_eq!(judged.outcome, leased(policy, &parsed, lease), "{parsed:?}");
        }
    }
    match parsed {
        Parsed::Ip(packet) => {
            plausible(frame, &packet);
            let transport = transport(frame, &packet);
            the_same_again(frame, &packet, &transport);
            fitting(&transport);
            answered(frame, &packet, &transport);
        }
        _ => assert_eq!(answer(frame), None, "{parsed:?}"),
    }
});

/// Both answers to malformed packets, over tables in which every bit of the source's first byte matters.
static POLICIES: LazyLock<[Compiled; 2]> = LazyLock::new(|| {
    let v4: Vec<(u32, u16)> = (0..=255).map(|n| (n << 24, n as u16 % 251)).collect();
    let v6: Vec<(u128, u16)> = (0..=255).map(|n| (n << 120, n as u16 % 241)).collect();
    let tables = build(251, &v4, &v6).expect("fits");
    let class = |n: u32| Class {
        slot: slot::FIRST_CLASS + 2 * n,
        detail: if n % 3 == 2 { n } else { 0 },
        verdict: (n % 3) as u8,
        dscp: if n % 3 == 2 { n as u8 & 63 } else { DSCP_KEEP },
        _pad: [0; 2],
    };
    let policy = |malformed_passes| Compiled {
        tables: tables.clone(),
        classes: (0..251).map(class).collect(),
        steps: Vec::new(),
        services: Vec::new(),
        limits: Vec::new(),
        leased: (0..251).map(leased_at).collect(),
        malformed_passes,
    };
    [policy(false), policy(true)]
});

/// Where packets of a class are counted that a lease decides about.
const fn leased_at(class: u32) -> Leased {
    let first = slot::FIRST_CLASS + 1000 + 4 * class;
    Leased { pass: first, drop: first + 2 }
}

/// What a lease makes of what a frame is: of nothing but packets for rules anything else than the policy does.
fn leased(policy: &Compiled, parsed: &Parsed, verdict: Verdict) -> Outcome {
    let Parsed::Ip(packet) = parsed else { return expected(policy, parsed) };
    let (number, family) = class(packet.source);
    let Leased { pass, drop } = leased_at(number);
    let slot = family + if verdict == Verdict::Pass { pass } else { drop };
    Outcome { verdict, slot, mark: 0, dscp: DSCP_KEEP, header: packet.header }
}

/// The class of a source by these tables, and 0 for IPv4, 1 for IPv6.
fn class(source: Source) -> (u32, u32) {
    match source {
        Source::V4(address) => ((address >> 24) % 251, 0),
        Source::V6 { high, .. } => ((high >> 56) as u32 % 241, 1),
    }
}

/// What the policy says about what a frame is.
fn expected(policy: &Compiled, parsed: &Parsed) -> Outcome {
    let without = |slot, verdict| Outcome { verdict, slot, mark: 0, dscp: DSCP_KEEP, header: 0 };
    match parsed {
        Parsed::Arp => without(slot::ARP, Verdict::Pass),
        Parsed::NonIp => without(slot::NON_IP, Verdict::Pass),
        Parsed::NeighbourDiscovery => without(slot::NEIGHBOUR_DISCOVERY, Verdict::Pass),
        Parsed::Malformed if policy.malformed_passes => without(slot::MALFORMED, Verdict::Pass),
        Parsed::Malformed => without(slot::MALFORMED, Verdict::Drop),
        Parsed::Ip(packet) => {
            let (number, family) = class(packet.source);
            let class = policy.class(number);
            Outcome {
                verdict: Verdict::ALL[usize::from(class.verdict)],
                slot: class.slot + family,
                mark: class.detail,
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
    // 0: to the frame's end, wherever that is.
    if length != 0 && header + usize::from(length) <= frame.len() {
        other.resize(frame.len() + 64, 0xa5);
        assert_eq!(policy.judge(&other), outcome);
    }
}

/// What is read behind the headers is what the parser has found there, and lies within the frame.
fn the_same_again(frame: &[u8], packet: &Packet, transport: &Transport) {
    let number = match transport.upper {
        Upper::Known(number) | Upper::Behind(number) => Some(number),
        Upper::Unknown => None,
    };
    let port = transport.ports.map(|ports| ports.destination);
    assert_eq!((number, port), (packet.protocol, packet.destination_port), "{transport:?}");
    assert!(packet.header <= transport.at && transport.at <= transport.end, "{transport:?}");
    assert!(
        transport.end <= frame.len() && transport.end - transport.at <= transport.length,
        "{transport:?}"
    );
    assert!(transport.ports.is_none() || transport.fragment != Fragment::Later, "{transport:?}");
}

/// No packet is for two protocols, nor for two ports; one that does not tell is for no port, and may be for any.
fn fitting(transport: &Transport) {
    let carried = Carried::of(transport);
    let fits = |service: Service| service.fits(carried);
    let yes = (0..=255).filter(|&protocol| fits(Service::whole(protocol)) == Fit::Yes).count();
    assert!(yes <= 1, "{transport:?}");
    for protocol in [6, 17] {
        let whole = fits(Service::whole(protocol));
        let port = transport.ports.map_or(443, |ports| ports.destination);
        assert_eq!(fits(Service::ports(protocol, port, port)), whole, "{transport:?}");
        let below = port.checked_sub(1).map_or(Fit::No, |last| fits(Service::ports(protocol, 0, last)));
        let above =
            port.checked_add(1).map_or(Fit::No, |first| fits(Service::ports(protocol, first, u16::MAX)));
        assert_eq!(below.or(above), if whole == Fit::Yes { Fit::No } else { whole }, "{transport:?}");
        assert_eq!(whole == Fit::Yes, transport.ports.is_some() && transport.upper == Upper::Known(protocol));
    }
}

/// An answer goes back where the frame came from, is as long as was planned, and gets none itself.
fn answered(frame: &[u8], packet: &Packet, transport: &Transport) {
    let (plan, bytes) = (plan(frame, packet, transport), answer(frame));
    assert_eq!(plan.is_some(), bytes.is_some(), "{plan:?}");
    let (Some(plan), Some(bytes)) = (plan, bytes) else { return };
    assert_eq!(bytes.len(), plan.length, "{plan:?}");
    assert!(bytes.len() <= frame.len() + plan.head && bytes.len() <= 22 + 1280, "{plan:?}");
    assert_eq!((&bytes[..6], &bytes[6..12]), (&frame[6..12], &frame[..6]), "MAC addresses");
    assert_eq!(bytes[12..packet.header], frame[12..packet.header], "tags");

    let Parsed::Ip(parsed) = parse(bytes.as_slice()) else { panic!("{bytes:02x?}") };
    plausible(&bytes, &parsed);
    let (protocol, size, at) = match packet.source {
        Source::V4(_) => (1, 4, packet.header + 12),
        Source::V6 { .. } => (58, 16, packet.header + 8),
    };
    let protocol = if plan.kind == Kind::Reset { 6 } else { protocol };
    assert_eq!((parsed.header, parsed.protocol), (packet.header, Some(protocol)));
    assert_eq!(bytes[packet.header] >> 4, frame[packet.header] >> 4, "family");
    let halves = |bytes: &[u8]| [bytes[at..at + size].to_vec(), bytes[at + size..at + 2 * size].to_vec()];
    let [source, destination] = halves(frame);
    assert_eq!(halves(&bytes), [destination, source]);
    assert_eq!(answer(&bytes), None, "an answer is not answered");
}
