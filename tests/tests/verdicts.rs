//! Real packets between two namespaces: what is dropped, what passes, what is tagged, and what is counted.

use std::{net::IpAddr, time::Duration};

use octroi_gate::corpus::build::{Build, tcp, udp};
use octroi_tests::{
    gate::{Gate, Setup},
    netns::Lab,
    nft::Counters,
    policy::STORY,
    wire::{Receiver, Sender},
};

/// China, and in it Azure China (AS58593); Germany; France; the United States.
const CN: &str = "1.0.1.1";
const CN6: &str = "240e::1";
const PARTNER: &str = "40.72.0.1";
const PARTNER6: &str = "2404:7940::1";
const DE: &str = "5.1.64.1";
const DE6: &str = "2a01:4f8::1";
const FR: &str = "2a01:e00::1";
const US: &str = "8.8.8.8";

fn to(lab: &Lab, source: &str) -> Build {
    let source: IpAddr = source.parse().expect("an address");
    udp(source, lab.pair().here(source)).ports(4000, 9)
}

/// The frames that arrive of those sent, before a marker that passes under every policy.
fn arriving(lab: &Lab, frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let pair = lab.pair();
    let marker = tcp(pair.peer4.into(), pair.gate4.into()).ports(4000, 1).payload(b"end of test").frame();
    let receiver = Receiver::new(&lab.inside, &pair.gate);
    let sender = Sender::new(&lab.outside, &pair.peer);
    for frame in frames {
        sender.send(frame);
    }
    sender.send(&marker);
    let mut arrived = receiver.until(|frame| *frame == marker, Duration::from_secs(5));
    arrived.pop();
    // The kernel's own ARP, neighbour discovery and multicast listening go on meanwhile.
    let own = |frame: &[u8]| match frame.get(12..14) {
        Some([0x08, 0x06]) => true,
        Some([0x86, 0xdd]) => {
            matches!(frame.get(20), Some(0 | 58)) && frame.get(22..24) != Some(&[0x24, 0x0e])
        }
        _ => false,
    };
    arrived.retain(|frame| !own(frame));
    arrived
}

/// Drop, pass, tag and observe in both families, behind VLAN tags too.
fn the_story_holds(setup: Setup) {
    let lab = Lab::new();
    let counters = Counters::install(
        &lab.inside,
        &[
            ("marked", "meta mark 0x2a ip dscp cs1"),
            ("marked6", "meta mark 0x2a ip6 dscp cs1"),
            ("unmarked", "meta mark 0 udp dport 9"),
        ],
    );
    let gate = Gate::start_with(&lab, setup);
    let sources = [CN, CN6, PARTNER, PARTNER6, DE, DE6, FR, US];
    let mut frames: Vec<Vec<u8>> = sources.iter().map(|source| to(&lab, source).frame()).collect();
    frames.extend([to(&lab, CN).vlan(5).frame(), to(&lab, US).vlan(5).frame()]);
    let arrived = arriving(&lab, &frames);

    let tagged = |source: &str| to(&lab, source).dscp(8).frame();
    let expected = [
        to(&lab, PARTNER).frame(),
        to(&lab, PARTNER6).frame(),
        tagged(DE),
        tagged(DE6),
        to(&lab, FR).frame(),
        to(&lab, US).frame(),
        to(&lab, US).vlan(5).frame(),
    ];
    assert_eq!(arrived, expected, "{}", gate.describe());
    assert_eq!((counters.packets("marked"), counters.packets("marked6")), (1, 1), "{}", gate.describe());
    assert_eq!(
        counters.packets("unmarked"),
        4,
        "two of the partner, one each of FR and US: {}",
        gate.describe()
    );

    let metrics = gate.metrics();
    let packets = |country, family, verdict| {
        metrics.sum("octroi_packets_total", &[("country", country), ("family", family), ("verdict", verdict)])
    };
    assert_eq!(packets("CN", "ipv4", "drop"), 2.0);
    assert_eq!(packets("CN", "ipv6", "drop"), 1.0);
    assert_eq!(packets("CN", "ipv4", "pass"), 1.0);
    assert_eq!(packets("DE", "ipv4", "tag"), 1.0);
    assert_eq!(packets("DE", "ipv6", "tag"), 1.0);
    let rule =
        |rule, verdict| metrics.sum("octroi_rule_packets_total", &[("rule", rule), ("verdict", verdict)]);
    assert_eq!(rule("unsupported-regions", "drop"), 3.0);
    assert_eq!(rule("partner", "pass"), 2.0);
    assert_eq!(rule("next-in-line", "would_drop"), 1.0);
    let bytes: usize = [CN, CN6].iter().map(|source| to(&lab, source).frame().len()).sum();
    let dropped = metrics.sum("octroi_bytes_total", &[("country", "CN"), ("verdict", "drop")]);
    let tagged_bytes = to(&lab, CN).vlan(5).frame().len();
    assert_eq!(dropped, (bytes + tagged_bytes) as f64);
}

#[test]
fn the_story_holds_in_native_mode() {
    the_story_holds(Setup { mode: "native".into(), ..Setup::new(STORY) });
}

#[test]
fn the_story_holds_in_generic_mode() {
    the_story_holds(Setup { mode: "generic".into(), ..Setup::new(STORY) });
}

#[test]
fn marks_are_set_where_a_driver_has_no_metadata() {
    let environment = vec![("OCTROI_NO_METADATA".to_owned(), "true".to_owned())];
    the_story_holds(Setup { environment, ..Setup::new(STORY) });
}

#[test]
fn default_drop_lets_named_countries_and_the_local_network_in_only() {
    let lab = Lab::new();
    let policy = "[policy]\ndefault = \"drop\"\n[[rule]]\nname = \"us\"\nsource = { country = [\"US\"] }\naction = \"pass\"\n";
    let _gate = Gate::start(&lab, policy);
    let local = [lab.pair().peer4.to_string(), lab.pair().peer6.to_string(), "192.168.7.7".into()];
    let frames: Vec<Vec<u8>> = [CN, CN6, DE, US, "203.0.113.9", "2001:db8::1"]
        .iter()
        .map(|source| to(&lab, source).frame())
        .chain(local.iter().map(|source| to(&lab, source).frame()))
        .collect();
    let arrived = arriving(&lab, &frames);
    let expected: Vec<Vec<u8>> =
        [US.to_owned()].iter().chain(&local).map(|source| to(&lab, source).frame()).collect();
    assert_eq!(arrived, expected);
}

#[test]
fn a_fragment_a_vlan_or_a_header_chain_is_no_way_round_a_rule() {
    let lab = Lab::new();
    let _gate = Gate::start(&lab, STORY);
    let payload = [7; 64];
    let frames = [
        to(&lab, CN).payload(&payload).fragment(0, true).frame(),
        to(&lab, CN).payload(&payload).fragment(64, false).frame(),
        to(&lab, CN).ihl(15).frame(),
        to(&lab, CN).vlan(1).vlan(2).frame(),
        to(&lab, CN6).extension(0).frame(),
        to(&lab, CN6).extension(60).extension(43).extension(44).frame(),
        (0..12).fold(to(&lab, CN6), |build, _| build.extension(60)).frame(),
    ];
    let arrived = arriving(&lab, &frames);
    assert!(arrived.is_empty(), "{} arrived", arrived.len());
}
