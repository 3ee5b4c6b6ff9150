//! Rejected packets that get no answer: those that must not, and those above the rate. They are dropped, and counted so.
#![allow(clippy::print_stderr, reason = "figures of a test")]

use std::{
    net::IpAddr,
    thread,
    time::{Duration, Instant},
};

use octroi_gate::corpus::build::{Build, ICMP, ICMPV6, SENDER_MAC, icmp, icmp_type, other, tcp, udp};
use octroi_tests::{
    answer::{Answer, Says},
    far_end::FarEnd,
    gate::{Gate, Setup},
    netns::Lab,
    wire::{Receiver, Sender},
};

const CN: &str = "1.0.1.1";
const CN6: &str = "240e::1";
const REJECT: &str = "[[rule]]\nname = \"no\"\nsource = { country = [\"CN\"] }\naction = \"reject\"\n\
                      established = \"drop\"\n";
const SOON: Duration = Duration::from_secs(5);
const RST: u8 = 4;

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Packets and bytes that the rule has counted with a verdict.
fn counted(gate: &Gate<'_>, verdict: &str) -> (f64, f64) {
    let metrics = gate.metrics();
    let of = |name| metrics.sum(name, &[("rule", "no"), ("verdict", verdict)]);
    (of("octroi_rule_packets_total"), of("octroi_rule_bytes_total"))
}

/// What must not be answered, by name.
fn unanswerable(lab: &Lab) -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<(String, Build)> = Vec::new();
    let mut add = |name: &str, build: Build| all.push((name.to_owned(), build));
    for (family, source, groups) in
        [("IPv4", CN, ["224.0.0.1", "255.255.255.255"]), ("IPv6", CN6, ["ff02::1", "ff0e::5"])]
    {
        let source = address(source);
        let here = lab.pair().here(source);
        for flags in [RST, RST | 16, RST | 2] {
            add(&format!("{family}: reset, flags {flags}"), tcp(source, here).flags(flags));
        }
        let half = tcp(source, here).fragment(0, true).keep(16);
        add(&format!("{family}: half a TCP header, the rest in another fragment"), half);
        add(&format!("{family}: TCP header that is too short"), tcp(source, here).claim_data_offset(4));
        for group in groups.map(address) {
            for packet in [tcp, udp, icmp] {
                add(&format!("{family}: to {group}"), packet(source, group));
            }
        }
        for mac in [[0xff; 6], [1, 0, 0x5e, 0, 0, 1], [0x33, 0x33, 0, 0, 0, 1]] {
            for packet in [tcp, udp, icmp] {
                add(&format!("{family}: to MAC {mac:02x?}"), packet(source, here).macs(SENDER_MAC, mac));
            }
        }
        let later = |build: Build| build.payload(&[7; 64]).fragment(8, false);
        for packet in [tcp, udp, icmp] {
            add(&format!("{family}: later fragment"), later(packet(source, here)));
        }
        // Errors; redirects; what nobody has heard of.
        let (protocol, kinds) =
            if source.is_ipv4() { (ICMP, [3, 4, 5, 11, 12, 99]) } else { (ICMPV6, [1, 2, 3, 4, 100, 199]) };
        for kind in kinds {
            let quoted = other(here, source, 17).payload(&[0; 8]).frame()[14..].to_vec();
            let error = icmp_type(source, here, protocol, kind).payload(&quoted);
            add(&format!("{family}: ICMP type {kind}"), error);
        }
    }
    all.into_iter().map(|(name, build)| (name, build.frame())).collect()
}

fn nothing_is_answered_that_must_not_be(mode: &str) {
    let lab = Lab::new();
    let _far_end = FarEnd::of(&lab);
    let gate = Gate::start_with(&lab, Setup { mode: mode.into(), ..Setup::new(REJECT) });
    let receiver = Receiver::new(&lab.outside, &lab.pair().peer);
    let sender = Sender::new(&lab.outside, &lab.pair().peer);
    let inside = Receiver::new(&lab.inside, &lab.pair().gate);
    let frames = unanswerable(&lab);
    for (_, frame) in &frames {
        sender.send(frame);
    }
    // What is answered shows that everything before it was not.
    sender.send(&tcp(address(CN), lab.pair().gate4.into()).ports(1, 2).frame());
    let is_last = |frame: &[u8]| {
        let answer = Answer::read(frame);
        answer.is_some_and(|answer| matches!(answer.says, Says::Tcp { ports: (2, 1), .. }))
    };
    let seen = receiver.until(is_last, SOON);
    let answers: Vec<Answer> = seen.iter().filter_map(|frame| Answer::read(frame)).collect();
    assert_eq!(answers.len(), 1, "{answers:?}\n{}", gate.describe());
    let bytes: usize = frames.iter().map(|(_, frame)| frame.len()).sum();
    assert_eq!(counted(&gate, "drop"), (frames.len() as f64, bytes as f64), "{}", gate.describe());
    assert_eq!(counted(&gate, "reject").0, 1.0);
    // None of them came in, either.
    let passing = udp(lab.pair().peer4.into(), lab.pair().gate4.into()).frame();
    sender.send(&passing);
    let arrived = inside.until(|frame| *frame == passing, SOON);
    let names: Vec<&str> =
        frames.iter().filter(|(_, frame)| arrived.contains(frame)).map(|(name, _)| name.as_str()).collect();
    assert!(names.is_empty(), "came in: {names:?}");
    eprintln!("{mode}: {} packets without an answer", frames.len());
}

#[test]
fn errors_resets_groups_and_later_fragments_are_dropped_without_an_answer() {
    nothing_is_answered_that_must_not_be("native");
}

#[test]
fn errors_resets_groups_and_later_fragments_are_dropped_without_an_answer_in_generic_mode() {
    nothing_is_answered_that_must_not_be("generic");
}

/// How many answers leave a host in so many seconds, at most: README.md, "What to know".
fn most(seconds: f64) -> f64 {
    1000.0 + 1000.0 * seconds
}

fn answers_keep_to_their_rate(mode: &str) {
    const ASKED: u16 = 5000;
    let lab = Lab::new();
    let _far_end = FarEnd::of(&lab);
    let gate = Gate::start_with(&lab, Setup { mode: mode.into(), ..Setup::new(REJECT) });
    let receiver = Receiver::new(&lab.outside, &lab.pair().peer);
    let sender = Sender::new(&lab.outside, &lab.pair().peer);
    // TCP in one family and UDP in the other: the rate is the host's.
    let frames: Vec<Vec<u8>> = (0..ASKED)
        .map(|number| {
            let ports = |build: Build| build.ports(10_000 + number, 443).frame();
            let (v4, v6) = (address(CN), address(CN6));
            if number % 2 == 0 {
                ports(tcp(v4, lab.pair().here(v4)))
            } else {
                ports(udp(v6, lab.pair().here(v6)))
            }
        })
        .collect();
    let started = Instant::now();
    for (number, some) in (0u32..).zip(frames.chunks(100)) {
        thread::sleep(
            (started + Duration::from_millis(20) * number).saturating_duration_since(Instant::now()),
        );
        sender.send_all(some);
    }
    let seconds = started.elapsed().as_secs_f64();
    let answers =
        receiver.collect(|frame| Answer::read(frame).is_some(), frames.len(), Duration::from_millis(500));
    let answered = answers.len() as f64;
    let (rejected, dropped) = (counted(&gate, "reject").0, counted(&gate, "drop").0);
    eprintln!(
        "{mode}: {ASKED} packets in {seconds:.2} s: {answered} answers; {rejected} reject, {dropped} drop"
    );
    assert!(answered <= most(seconds) + 1.0, "{answered} in {seconds} s");
    assert!(answered >= 0.95 * most(seconds).min(f64::from(ASKED)), "{answered} in {seconds} s");
    assert_eq!((rejected, rejected + dropped), (answered, f64::from(ASKED)), "{}", gate.describe());

    // A new generation begins with a thousand.
    gate.reload().success();
    let started = Instant::now();
    for some in frames[..2000].chunks(100) {
        sender.send_all(some);
    }
    let seconds = started.elapsed().as_secs_f64();
    let again = receiver
        .collect(|frame| Answer::read(frame).is_some(), 2000, Duration::from_millis(500))
        .len() as f64;
    eprintln!("{mode}: after a reload, 2000 packets in {seconds:.2} s: {again} answers");
    assert!((1000.0..=most(seconds) + 1.0).contains(&again), "{again} in {seconds} s");
}

#[test]
fn a_host_sends_a_thousand_answers_a_second_and_drops_the_surplus() {
    answers_keep_to_their_rate("native");
}

#[test]
fn a_host_sends_a_thousand_answers_a_second_in_generic_mode_too() {
    answers_keep_to_their_rate("generic");
}
