//! `from`, `until` and `ramp` in the kernel: packets sent all the time say when a rule takes hold, whether the daemon lives
//! or not.
#![allow(clippy::print_stderr, reason = "figures of a test")]

use std::{
    collections::{BTreeMap, HashSet},
    net::{IpAddr, Ipv4Addr},
    thread,
    time::Duration,
};

use octroi::time::{now_ns, text_ns};
use octroi_gate::{
    corpus::build::udp,
    packet::Source,
    ramp::{Ramp, WHOLE, position},
};
use octroi_tests::{
    command::{self, Finished},
    gate::Gate,
    netns::Lab,
    wire::{Receiver, Sender},
};

const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1000 * MILLISECOND;
/// How late a rule may take hold, as the sender of a packet sees it.
const LATE: u64 = 50 * MILLISECOND;
const SOON: Duration = Duration::from_secs(5);

/// A packet that says which it is, and when it was sent.
fn stamped(lab: &Lab, source: IpAddr, number: u32, sent: u64) -> Vec<u8> {
    let payload = [&number.to_be_bytes()[..], &sent.to_be_bytes()].concat();
    udp(source, lab.pair().here(source)).ports(4000, 9).payload(&payload).frame()
}

/// What it said, of a frame that arrived.
fn stamp(frame: &[u8]) -> Option<(u32, u64)> {
    let (rest, sent) = frame.split_last_chunk()?;
    let (_, number) = rest.split_last_chunk()?;
    Some((u32::from_be_bytes(*number), u64::from_be_bytes(*sent)))
}

fn rule(name: &str, network: &str, keys: &str) -> String {
    format!("[[rule]]\nname = {name:?}\nsource.cidr = [{network:?}]\naction = \"drop\"\n{keys}\n")
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// The frames that arrived until one that passes under every policy.
fn arrived(lab: &Lab, receiver: &Receiver, sender: &Sender) -> Vec<Vec<u8>> {
    let pair = lab.pair();
    let marker = udp(pair.peer4.into(), pair.gate4.into()).ports(1, 1).payload(b"the last one").frame();
    sender.send(&marker);
    let mut frames = receiver.until(|frame| *frame == marker, SOON);
    frames.pop();
    frames
}

#[test]
fn a_rule_takes_hold_and_ends_on_time_without_the_daemon() {
    let sources = ["1.0.1.1", "240e::1", "5.1.64.1", "2a01:4f8::1"].map(address);
    let lab = Lab::new();
    let receiver = Receiver::new(&lab.inside, &lab.pair().gate);
    let sender = Sender::new(&lab.outside, &lab.pair().peer);
    let turn = now_ns() + 3 * SECOND;
    let (from, until) = (format!("from = {}", text_ns(turn)), format!("until = {}", text_ns(turn)));
    let policy = [
        rule("begins4", "1.0.1.0/24", &from),
        rule("begins6", "240e::/16", &format!("{from}\nservice = [\"udp/9\"]")),
        rule("ends4", "5.1.64.0/24", &until),
        rule("ends6", "2a01::/16", &format!("{until}\nservice = [\"udp/9\"]")),
    ];
    let mut gate = Gate::start(&lab, &policy.concat());
    gate.kill();
    assert!(now_ns() + SECOND < turn, "the daemon took too long to start");

    let mut sent = Vec::new();
    while now_ns() < turn + SECOND / 2 {
        for (number, &source) in (0..).zip(&sources) {
            let now = now_ns();
            sender.send(&stamped(&lab, source, number, now));
            sent.push((number, now));
        }
        thread::sleep(Duration::from_millis(2));
    }
    let arrived: HashSet<_> =
        arrived(&lab, &receiver, &sender).iter().filter_map(|frame| stamp(frame)).collect();
    let after = |time: u64| i128::from(time) - i128::from(turn);
    let near = sent.iter().filter(|(_, time)| after(*time).unsigned_abs() < u128::from(10 * LATE)).count();
    assert!(near >= 100, "{near} packets were sent in the second around the turn");
    for (number, source) in (0..).zip(&sources) {
        let of = |arrives| -> Vec<i128> {
            let own = sent.iter().filter(|packet| packet.0 == number && arrived.contains(packet) == arrives);
            own.map(|(_, time)| after(*time)).collect()
        };
        let (first, then, what) = if number < 2 {
            (of(true), of(false), "passed last, was dropped first")
        } else {
            (of(false), of(true), "was dropped last, passed first")
        };
        let (before, since) = (first.into_iter().max(), then.into_iter().min());
        let (before, since) = (before.expect("packets before"), since.expect("packets after"));
        eprintln!("{source}: {what} {} and {} us after the turn", before / 1000, since / 1000);
        let late = i128::from(LATE);
        assert!((-late..late).contains(&before) && (-late..late).contains(&since), "{}", gate.describe());
    }
}

/// What there is to know of a rule: its stage by the metrics, packets that it would have dropped and did drop, and the next
/// change by status.
fn told(gate: &Gate<'_>) -> (String, f64, f64, serde_json::Value) {
    let (metrics, status) = (gate.metrics(), gate.status());
    let stages: Vec<_> = metrics.series("octroi_rule_stage").collect();
    let [(labels, 1.0)] = stages[..] else { panic!("{stages:?}") };
    assert_eq!(labels["rule"], "timed");
    let status = &status["rules"][0];
    assert_eq!(status["stage"], labels["stage"], "{status}");
    let count =
        |verdict| metrics.sum("octroi_rule_packets_total", &[("rule", "timed"), ("verdict", verdict)]);
    let next = status["next_change_seconds"].as_f64();
    assert_eq!(
        metrics.get("octroi_rule_next_change_timestamp_seconds", &[("rule", "timed")]),
        next,
        "{status}"
    );
    (labels["stage"].clone(), count("would_drop"), count("drop"), status["next_change"].clone())
}

fn wait_until(time: u64) {
    thread::sleep(Duration::from_nanos(time.saturating_sub(now_ns())));
}

#[test]
fn a_rule_s_stages_are_counted_and_told_as_they_come() {
    let source = address("1.0.1.1");
    let lab = Lab::new();
    let receiver = Receiver::new(&lab.inside, &lab.pair().gate);
    let sender = Sender::new(&lab.outside, &lab.pair().peer);
    // Whole seconds, as people type them and as the metric tells them.
    let from = (now_ns() / SECOND + 3) * SECOND;
    let ramped = from + SECOND;
    let until = ramped + SECOND;
    let (begins, ends) = (text_ns(from), text_ns(until));
    let keys = format!("from = {begins}\nramp = \"1s\"\nuntil = {ends}");
    let gate = Gate::start(&lab, &rule("timed", "1.0.1.0/24", &keys));
    let send = |count: u32| {
        let frames: Vec<_> = (0..count).map(|number| stamped(&lab, source, number, 0)).collect();
        sender.send_all(&frames);
        arrived(&lab, &receiver, &sender).iter().filter(|frame| frames.contains(frame)).count()
    };
    assert!(now_ns() + SECOND < from, "the daemon took too long to start");
    assert_eq!(send(5), 5);
    assert_eq!(told(&gate), ("observe".into(), 5.0, 0.0, begins.into()), "{}", gate.describe());
    wait_until(from + SECOND / 20);
    // This source is one of the first percent, so it is in by now.
    assert!(position(Source::V4(0x0100_0101)) < 200);
    assert_eq!(send(3), 0);
    assert_eq!(told(&gate), ("ramp".into(), 5.0, 3.0, text_ns(ramped).into()), "{}", gate.describe());
    let text = gate.octroi(["status"]).success();
    let line = text.lines().find(|line| line.starts_with("rule")).unwrap_or_else(|| panic!("{text}"));
    assert!(line.contains(" ramp ") && line.contains(&format!(", full at {}", text_ns(ramped))), "{line}");
    wait_until(ramped + SECOND / 20);
    assert_eq!(send(2), 0);
    assert_eq!(told(&gate), ("enforce".into(), 5.0, 5.0, ends.into()), "{}", gate.describe());
    wait_until(until + SECOND / 20);
    assert_eq!(send(7), 7);
    assert_eq!(told(&gate), ("expired".into(), 5.0, 5.0, serde_json::Value::Null), "{}", gate.describe());
}

/// A round of one packet from each source: when it began and ended, and which of them arrived.
struct Round {
    began: u64,
    ended: u64,
    passed: HashSet<u32>,
}

/// `octroi explain` about all sources at that time: the verdict on each, by number.
fn explained(gate: &Gate<'_>, sources: &[Ipv4Addr], at: &str) -> Vec<bool> {
    let input: String = sources.iter().map(|source| format!("{source}\n")).collect();
    let command = gate.command(["explain", "-", "--port", "udp/9", "--at", at]);
    drops(command::run_with_input(command, &input, command::SHORT))
}

fn drops(finished: Finished) -> Vec<bool> {
    let text = finished.success();
    text.lines().map(|line| line.split(' ').nth(1) == Some("drop")).collect()
}

#[test]
fn in_a_ramp_the_share_grows_evenly_and_explain_says_of_each_source_what_the_kernel_did() {
    const SOURCES: u32 = 1000;
    let lab = Lab::new();
    let receiver = Receiver::new(&lab.inside, &lab.pair().gate);
    let sender = Sender::new(&lab.outside, &lab.pair().peer);
    let sources: Vec<_> = (0..SOURCES).map(|number| Ipv4Addr::from_bits(0x0100_0000 + 61 * number)).collect();
    let (from, length) = (now_ns() + 2 * SECOND, 4 * SECOND);
    let keys = format!("from = {}\nramp = \"4s\"", text_ns(from));
    let gate = Gate::start(&lab, &rule("ramps", "1.0.0.0/15", &keys));
    assert!(now_ns() < from, "the daemon took too long to start");

    let mut rounds = Vec::new();
    let mut live = 0;
    while now_ns() < from + length + SECOND / 4 {
        let began = now_ns();
        let frames: Vec<_> = (0..)
            .zip(&sources)
            .map(|(number, &source)| stamped(&lab, source.into(), number, began))
            .collect();
        sender.send_all(&frames);
        let frames = arrived(&lab, &receiver, &sender);
        let ended = now_ns();
        let stamps = frames.iter().filter_map(|frame| stamp(frame));
        let passed = stamps.filter(|(_, sent)| *sent == began).map(|(number, _)| number).collect();
        rounds.push(Round { began, ended, passed });
        // What is live is asked meanwhile, whoever's turn comes while it answers.
        let input: String = sources.iter().map(|source| format!("{source}\n")).collect();
        let command = gate.command(["explain", "-", "--live"]);
        live += drops(command::run_with_input(command, &input, command::SHORT)).len();
        thread::sleep(Duration::from_millis(100));
    }

    let ramp = Ramp::new(from, length);
    let (mut compared, mut unsure, mut cut, mut shares) = (0, 0, HashSet::new(), BTreeMap::new());
    for Round { began, ended, passed } in &rounds {
        let [at_first, at_last] = [began, ended].map(|time| explained(&gate, &sources, &text_ns(*time)));
        for (number, (first, last)) in (0..).zip(at_first.into_iter().zip(at_last)) {
            // Whose turn came while the round was on its way may have been either.
            if first == last {
                assert_eq!(first, !passed.contains(&number), "{} at {began}", sources[number as usize]);
                compared += 1;
            } else {
                unsure += 1;
            }
        }
        let dropped: HashSet<u32> = (0..SOURCES).filter(|number| !passed.contains(number)).collect();
        assert!(cut.is_subset(&dropped), "a source that was in got out");
        let (least, most) = (ramp.share(*began), ramp.share(*ended));
        let share = u32::try_from(dropped.len()).expect("1000 at most") * WHOLE / SOURCES;
        // Within what a thousand sources can be off: four deviations of a binomial at most.
        assert!((least.saturating_sub(640)..=most + 640).contains(&share), "{share}, not {least} to {most}");
        shares.insert(began.saturating_sub(from) / MILLISECOND, share / 100);
        cut = dropped;
    }
    eprintln!(
        "{} rounds, {compared} verdicts as explained, {unsure} in a turn, {live} explained live; percent by ms: {shares:?}",
        rounds.len()
    );
    assert!(rounds.len() >= 15, "{} rounds", rounds.len());
    assert!(rounds[0].passed.len() == 1000 && rounds[0].ended < from, "nobody is in before");
    assert_eq!(cut.len(), 1000, "all are in at the end");
    assert!(compared > 10 * unsure, "{compared}, {unsure}");
}
