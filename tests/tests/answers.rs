//! The answers to rejected packets, byte by byte as they come back over the wire, and as tcpdump reads them.
#![allow(clippy::print_stderr, reason = "figures of a test")]

use std::{
    net::{IpAddr, UdpSocket},
    time::Duration,
};

use octroi_gate::corpus::build::{
    Build, RECEIVER_MAC, SENDER_MAC, TPID_8021AD, TPID_8021Q, checksum, icmp, other, padded, tcp, udp,
};
use octroi_tests::{
    answer::{Answer, Says},
    capture::decoded,
    far_end::FarEnd,
    gate::{Gate, Setup},
    netns::Lab,
    wire::{Receiver, Sender},
};

const SOURCES: [&str; 2] = ["1.0.1.1", "240e::1"];
const REJECT: &str = "[[rule]]\nname = \"no\"\nsource = { country = [\"CN\"] }\naction = \"reject\"\n\
                      established = \"drop\"\n";
const SOON: Duration = Duration::from_secs(5);

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const PSH: u8 = 8;
const ACK: u8 = 16;

/// Tags in front of a packet: none, of priority alone (VLAN 0), of a VLAN, of a VLAN within another.
const TAGS: [&[(u16, u16)]; 5] = [
    &[],
    &[(TPID_8021Q, 0)],
    &[(TPID_8021Q, 6 << 13)],
    &[(TPID_8021Q, 5)],
    &[(TPID_8021AD, 7), (TPID_8021Q, 2 << 13 | 5)],
];

/// A packet, and what has to be said to it.
struct Case {
    name: &'static str,
    asked: Vec<u8>,
    tags: &'static [(u16, u16)],
    source: IpAddr,
    says: Says,
}

/// All cases of a family, behind these tags.
fn cases(lab: &Lab, source: &str, tags: &'static [(u16, u16)]) -> Vec<Case> {
    const SEQUENCE: u32 = 0x1234_5678;
    const EXPECTED: u32 = 0x9abc_def0;
    let source: IpAddr = source.parse().expect("an address");
    let here = lab.pair().here(source);
    let tagged = |build: Build| tags.iter().fold(build, |build, &(tpid, tci)| build.tagged(tpid, tci));
    let case = |name, asked, says| Case { name, asked, tags, source, says };
    let reset = |sequence, acknowledgement, flags| Says::Tcp {
        ports: (443, 40000),
        sequence,
        acknowledgement,
        flags,
    };
    let header = 14 + 4 * tags.len();
    let segment = |flags, payload: &[u8], sequence| {
        let frame = tagged(tcp(source, here)).flags(flags).payload(payload).frame();
        numbered(frame, header + if source.is_ipv4() { 20 } else { 40 }, sequence, EXPECTED)
    };
    let (kind, code, most) = if source.is_ipv4() { (3, 13, 576 - 28) } else { (1, 1, 1280 - 48) };
    let prohibited = |name, build: Build| {
        let asked = tagged(build).frame();
        let packet = &asked[header..];
        let quoted = packet[..packet.len().min(most)].to_vec();
        case(name, asked, Says::Icmp { kind, code, quoted })
    };
    vec![
        case("SYN", segment(SYN, b"", SEQUENCE), reset(0, SEQUENCE + 1, RST | ACK)),
        case("SYN, the last number", segment(SYN, b"", u32::MAX), reset(0, 0, RST | ACK)),
        case("SYN with data", segment(SYN, b"hello", SEQUENCE), reset(0, SEQUENCE + 6, RST | ACK)),
        case("padded SYN", fill(segment(SYN, b"", SEQUENCE)), reset(0, SEQUENCE + 1, RST | ACK)),
        case("data", segment(PSH | ACK, &[7; 1000], SEQUENCE), reset(EXPECTED, 0, RST)),
        case("ACK", segment(ACK, b"", SEQUENCE), reset(EXPECTED, 0, RST)),
        case("FIN and ACK", segment(FIN | ACK, b"", SEQUENCE), reset(EXPECTED, 0, RST)),
        case("FIN", segment(FIN, b"", SEQUENCE), reset(0, SEQUENCE + 1, RST | ACK)),
        prohibited("UDP", udp(source, here).payload(b"hello")),
        prohibited("long UDP", udp(source, here).payload(&[7; 1400])),
        prohibited("echo request", icmp(source, here)),
        prohibited("first fragment", udp(source, here).payload(&[7; 64]).fragment(0, true)),
        prohibited("GRE", other(source, here, 47).payload(&[0; 32])),
    ]
}

/// A TCP frame of the builder with other numbers. `at`: where the TCP header is.
fn numbered(mut frame: Vec<u8>, at: usize, sequence: u32, acknowledgement: u32) -> Vec<u8> {
    let old = u16::from_be_bytes([frame[at + 16], frame[at + 17]]);
    // What the builder writes is taken out of the sum (RFC 1624), and is 1 and 0.
    let (sequence, acknowledgement) = (sequence.to_be_bytes(), acknowledgement.to_be_bytes());
    let sum = checksum(&[&(!old).to_be_bytes(), &(!1u32).to_be_bytes(), &sequence, &acknowledgement]);
    frame[at + 4..at + 8].copy_from_slice(&sequence);
    frame[at + 8..at + 12].copy_from_slice(&acknowledgement);
    frame[at + 16..at + 18].copy_from_slice(&sum.to_be_bytes());
    frame
}

/// As a network card does it.
fn fill(frame: Vec<u8>) -> Vec<u8> {
    if frame.len() < 60 { padded(frame, 60) } else { frame }
}

fn answers_say_what_the_standards_want(mode: &str) {
    let lab = Lab::new();
    let _far_end = FarEnd::of(&lab);
    let gate = Gate::start_with(&lab, Setup { mode: mode.into(), ..Setup::new(REJECT) });
    let receiver = Receiver::new(&lab.outside, &lab.pair().peer);
    let sender = Sender::new(&lab.outside, &lab.pair().peer);
    let cases: Vec<Case> = SOURCES
        .iter()
        .flat_map(|source| TAGS.iter().flat_map(|tags| cases(&lab, source, tags)).collect::<Vec<_>>())
        .collect();
    let mut frames = Vec::new();
    for case in &cases {
        sender.send(&case.asked);
        let found = receiver.collect(|frame| Answer::read(frame).is_some(), 1, SOON);
        let [frame] = found.as_slice() else {
            panic!("no answer to {} from {}: {}", case.name, case.source, gate.describe())
        };
        let expected = Answer {
            to_mac: SENDER_MAC,
            from_mac: RECEIVER_MAC,
            tags: case.tags.to_vec(),
            source: lab.pair().here(case.source),
            destination: case.source,
            says: case.says.clone(),
        };
        assert_eq!(Answer::read(frame), Some(expected), "to {} from {}", case.name, case.source);
        if let "SYN" | "padded SYN" = case.name {
            let alone = 14 + 4 * case.tags.len() + if case.source.is_ipv4() { 40 } else { 60 };
            let padded = case.asked.len() >= 60;
            assert_eq!(frame.len(), if padded { alone.max(60) } else { alone }, "padded as it came");
        }
        frames.push(frame.clone());
    }
    let counted =
        |verdict| gate.metrics().sum("octroi_rule_packets_total", &[("rule", "no"), ("verdict", verdict)]);
    assert_eq!((counted("reject"), counted("drop")), (cases.len() as f64, 0.0));
    tcpdump_finds_nothing_wrong(mode, &cases, &frames);
}

fn tcpdump_finds_nothing_wrong(mode: &str, cases: &[Case], frames: &[Vec<u8>]) {
    let texts = decoded(frames);
    assert_eq!(texts.len(), frames.len(), "{texts:#?}");
    for (case, text) in cases.iter().zip(&texts) {
        let said = |words: &str| assert!(text.contains(words), "no {words:?} to {}: {text}", case.name);
        match (&case.says, case.source) {
            (Says::Tcp { flags, .. }, _) => {
                said(" (correct)");
                said(if flags & ACK == 0 { "Flags [R]," } else { "Flags [R.]," });
            }
            (Says::Icmp { .. }, IpAddr::V4(_)) => said("unreachable - admin prohibited filter"),
            (Says::Icmp { .. }, IpAddr::V6(_)) => {
                said("[icmp6 sum ok]");
                said("unreachable prohibited");
            }
        }
        for words in ["incorrect", "wrong", "bad"] {
            assert!(!text.contains(words), "{words} to {}: {text}", case.name);
        }
        if matches!(case.name, "SYN" | "data" | "UDP") && matches!(case.tags, [] | [(_, 0)]) {
            eprintln!("{mode}, {}: {}", case.name, text.split_once(' ').map_or(&**text, |(_, text)| text));
        }
    }
}

#[test]
fn answers_over_the_wire_say_what_the_standards_want() {
    answers_say_what_the_standards_want("native");
}

#[test]
fn answers_over_the_wire_say_the_same_in_generic_mode() {
    answers_say_what_the_standards_want("generic");
}

#[test]
fn an_answer_behind_a_priority_tag_reaches_the_socket_that_asked() {
    let lab = Lab::new();
    let _far_end = FarEnd::of(&lab);
    let gate = Gate::start(&lab, REJECT);
    let sender = Sender::new(&lab.outside, &lab.pair().peer);
    for (source, expected) in SOURCES.iter().zip([libc::EHOSTUNREACH, libc::EACCES]) {
        let source: IpAddr = source.parse().expect("an address");
        lab.give_source(source);
        let here = lab.pair().here(source);
        let socket = lab.outside.run(|| UdpSocket::bind((source, 0))).expect("an address of the lab");
        socket.connect((here, 9)).expect("connect");
        socket.set_read_timeout(Some(SOON)).expect("a time limit");
        // The socket itself sends nothing: it would do so without a tag.
        let port = socket.local_addr().expect("a bound socket has an address").port();
        sender.send(&udp(source, here).ports(port, 9).vlan(0).payload(b"hello").frame());
        let error = socket.recv(&mut [0; 1]).expect_err("nobody sends anything");
        assert_eq!(error.raw_os_error(), Some(expected), "{source}: {error}\n{}", gate.describe());
    }
}
