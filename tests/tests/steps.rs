//! Policies that ask packets and the time, through both engines: the same code on the host, and the loaded program by
//! BPF_PROG_TEST_RUN, whose counters then have to hold what the host says, observing rules included.
#![allow(clippy::print_stderr, reason = "figures of a test")]

use std::{fmt::Write as _, net::IpAddr};

use octroi_abi::{Counter, MAX_SERVICES, MAX_STEPS, Verdict};
use octroi_gate::{
    corpus::{build::tcp, corpus, truncations},
    host::Circumstances,
    packet::{Parsed, parse},
    ramp::position,
};
use octroi_tests::policy::{Judged, Kernel, Policy};

const SECOND: u64 = 1_000_000_000;
/// The times of all rules that have any.
const FROM: u64 = 1_783_555_200 * SECOND;
const UNTIL: u64 = FROM + 100 * SECOND;
const TIMES: &str = "from = 2026-07-09T00:00:00Z\nuntil = 2026-07-09T00:01:40Z\n";

/// Rules about every source.
fn rules(rules: &[(&str, &str)]) -> String {
    let mut text = String::from("[policy]\nlocal = \"rules\"\n");
    for (number, (action, keys)) in rules.iter().enumerate() {
        // Writing to a string cannot fail.
        let _ =
            write!(text, "[[rule]]\nname = \"{number}\"\nsource.any = true\naction = {action:?}\n{keys}\n");
    }
    text
}

/// Policies of every action with services, times, and both.
fn policies() -> Vec<(&'static str, String)> {
    let observing = "observe = true\n";
    let timed = |keys: &str| format!("{TIMES}{keys}");
    let ramping = |keys: &str| format!("{TIMES}ramp = \"100s\"\n{keys}");
    let (https, udp, icmp) =
        ("service = [\"tcp/443\"]", "service = [\"udp\"]", "service = [\"icmp\", 47, 253]");
    let limit = "rate = 10\nper = \"source\"\n";
    vec![
        ("services, dropped", rules(&[("drop", https), ("drop", icmp), ("tag", "mark = 7")])),
        (
            "services, passed, and the rest dropped",
            rules(&[("pass", https), ("pass", udp), ("pass", icmp), ("drop", "")]),
        ),
        (
            "services of every action",
            rules(&[
                ("reject", https),
                ("tag", &format!("dscp = 10\n{udp}")),
                ("limit", &format!("{limit}{icmp}")),
                ("drop", "service = [\"tcp/1-1024\", \"tcp/40000\", 58]"),
            ]),
        ),
        (
            "observing rules about services",
            rules(&[
                ("drop", &format!("{observing}{https}")),
                ("pass", &format!("{observing}{udp}")),
                ("reject", observing),
                ("limit", &format!("{observing}{limit}{icmp}")),
                ("tag", &format!("{observing}mark = 1\nservice = [\"tcp\"]")),
                ("drop", "service = [\"udp/443\"]"),
            ]),
        ),
        (
            "times",
            rules(&[
                ("drop", &timed("")),
                ("pass", &timed(&format!("{observing}{udp}"))),
                ("tag", "dscp = 46"),
            ]),
        ),
        ("a ramp", rules(&[("drop", &ramping("")), ("reject", &ramping("")), ("pass", "")])),
        (
            "services and times",
            rules(&[
                ("pass", &timed("service = [\"tcp/443\", \"icmp\"]")),
                ("drop", &ramping("service = [\"tcp\", \"udp\"]")),
                ("limit", &timed(&format!("{limit}{udp}"))),
                ("reject", &format!("from = 2026-07-09T00:00:50Z\n{icmp}")),
                ("drop", "until = 2026-07-09T00:00:50Z"),
            ]),
        ),
    ]
}

/// Both engines, and what is counted by each.
struct Engines {
    policy: Policy,
    kernel: Kernel,
    counted: Vec<Counter>,
    before: Vec<Counter>,
}

impl Engines {
    fn new(text: &str) -> Engines {
        let policy = Policy::new(text);
        let kernel = Kernel::load_alone(&policy.compiled);
        let before = kernel.counts(policy.slots.end());
        Engines { counted: vec![Counter::default(); before.len()], policy, kernel, before }
    }

    /// Judges a frame by both at that time, and compares.
    fn judge(&mut self, frame: &[u8], now: u64, name: impl Fn() -> String) -> Verdict {
        let around = Circumstances { now, ..Circumstances::default() };
        let judged = self.policy.compiled.judge_in(frame, around);
        let expected = Judged { verdict: judged.outcome.verdict, slot: judged.outcome.slot };
        self.kernel.set_now(now);
        let (found, _) = self.kernel.judge(frame);
        let relative = i128::from(now) - i128::from(FROM);
        assert_eq!(found, expected, "{}, {relative} ns after from", name());
        for slot in judged.observed.into_iter().chain([judged.outcome.slot]) {
            let counter = &mut self.counted[slot as usize];
            counter.packets += 1;
            counter.bytes += frame.len() as u64;
        }
        judged.outcome.verdict
    }

    /// Compares what the kernel has counted; how many packets were counted in slots of rules that observed.
    fn compare(&mut self, name: &str) -> u64 {
        let now = self.kernel.counts(self.policy.slots.end());
        let mut observed = 0;
        for (slot, ((now, before), expected)) in now.iter().zip(&self.before).zip(&self.counted).enumerate() {
            let found = Counter { packets: now.packets - before.packets, bytes: now.bytes - before.bytes };
            let outcome = self.policy.slots.outcome(u32::try_from(slot).expect("few"));
            assert_eq!(found, *expected, "slot {slot}, {outcome:?}, under {name}");
            if outcome.is_some_and(|outcome| outcome.verdict.is_none()) {
                observed += found.packets;
            }
        }
        observed
    }
}

/// Frames that the kernel takes for a test run.
fn takes(frame: &[u8]) -> bool {
    (14..=3000).contains(&frame.len())
}

#[test]
fn both_engines_judge_the_corpus_alike_at_every_turn_of_a_policy() {
    let moments = [
        0,
        FROM - 1,
        FROM,
        // Turns of positions in a ramp of 100 s: 10 ms each.
        FROM + SECOND / 100 - 1,
        FROM + 33 * SECOND,
        FROM + 50 * SECOND - 1,
        FROM + 50 * SECOND,
        UNTIL - 1,
        UNTIL,
        u64::MAX,
    ];
    let (mut compared, mut observed, mut verdicts) = (0u64, 0, [0u64; 5]);
    for (name, text) in policies() {
        let mut engines = Engines::new(&text);
        for now in moments {
            for case in corpus().iter().filter(|case| takes(&case.frame)) {
                let verdict = engines.judge(&case.frame, now, || format!("{} under {name}", case.name));
                verdicts[usize::from(verdict as u8)] += 1;
                compared += 1;
            }
        }
        observed += engines.compare(name);
    }
    eprintln!(
        "{compared} frames judged and counted alike, {observed} times observed (pass, drop, tag, reject, limit: \
         {verdicts:?})"
    );
    assert!(compared > 25_000 && observed > 5_000, "{compared}, {observed}");
    // Nobody is over a rate here.
    assert!(verdicts[..4].iter().all(|&count| count > 500) && verdicts[4] == 0, "{verdicts:?}");
}

#[test]
fn both_engines_judge_all_cuts_of_the_corpus_alike() {
    let (mut compared, mut observed) = (0u64, 0);
    for (name, text) in policies() {
        let mut engines = Engines::new(&text);
        for case in corpus() {
            let cuts = truncations(&case.frame).chain([case.frame.as_slice()]);
            for frame in cuts.filter(|frame| takes(frame)) {
                let what = || format!("{} cut to {} bytes under {name}", case.name, frame.len());
                engines.judge(frame, FROM + 25 * SECOND, what);
                compared += 1;
            }
        }
        observed += engines.compare(name);
    }
    eprintln!("{compared} frames judged and counted alike, {observed} times observed");
    assert!(compared > 250_000 && observed > 10_000, "{compared}, {observed}");
}

#[test]
fn a_source_is_in_a_ramp_from_the_nanosecond_of_its_turn_on() {
    let mut engines = Engines::new(&rules(&[("drop", "from = 2026-07-09T00:00:00Z\nramp = \"100s\"")]));
    for last in 0..=255 {
        for source in [format!("1.0.1.{last}"), format!("2404:7940:{last:x}::1")] {
            let source: IpAddr = source.parse().expect("an address");
            let here = if source.is_ipv4() { "10.88.0.2" } else { "fd00:88::2" };
            let frame = tcp(source, here.parse().expect("an address")).frame();
            let Parsed::Ip(packet) = parse(frame.as_slice()) else { panic!("an IP packet") };
            let turn = FROM + (u64::from(position(packet.source)) + 1) * SECOND / 100;
            for (now, verdict) in [(turn - 1, Verdict::Pass), (turn, Verdict::Drop)] {
                assert_eq!(engines.judge(&frame, now, || source.to_string()), verdict, "{source} {now}");
            }
        }
    }
    assert_eq!(engines.compare("a ramp"), 512, "each was observed before its turn");
}

#[test]
fn as_many_steps_and_services_as_fit_are_gone_through_to_the_last_one() {
    // Every rule but the last names ports that no packet here is for, as many as it can.
    let ports: Vec<String> = (0..MAX_SERVICES).map(|n| format!("\"tcp/{}\"", 10_000 + 2 * n)).collect();
    let other = format!("service = [{}]", ports.join(", "));
    let last_port = format!("service = [{}, \"tcp/443\"]", ports[1..].join(", "));
    let count = MAX_STEPS as usize - 1;
    let mut list: Vec<(&str, &str)> = vec![("drop", &other); count - 1];
    list.push(("reject", &last_port));
    // Of one network: over all countries there would be more to count than fits.
    let mut engines =
        Engines::new(&rules(&list).replace("source.any = true", "source.cidr = [\"1.0.1.0/24\"]"));
    let class = engines.policy.compiled.class_v4(0x0100_0101);
    assert_eq!(engines.policy.compiled.class(class).detail, MAX_STEPS);
    assert_eq!(engines.policy.compiled.services.len(), count * MAX_SERVICES as usize);
    let frame = |port| tcp([1, 0, 1, 1].into(), [10, 88, 0, 2].into()).ports(1, port).frame();
    for (port, verdict) in [(443, Verdict::Reject), (444, Verdict::Pass), (10_126, Verdict::Drop)] {
        assert_eq!(engines.judge(&frame(port), FROM, || port.to_string()), verdict, "{port}");
    }
    engines.compare("as many steps as fit");
}

#[test]
fn services_of_many_rules_are_each_found() {
    // 70,400 services: more than 16 bits can number.
    let mut text = String::new();
    for number in 0..1100u32 {
        let ports: Vec<String> =
            (0..MAX_SERVICES).map(|n| format!("\"tcp/{}\"", 1 + number + 1100 * (n % 59) + n / 59)).collect();
        let _ = write!(
            text,
            "[[rule]]\nname = \"{number}\"\nsource.cidr = [\"1.{}.{}.0/24\"]\naction = \"drop\"\nservice = [{}]\n",
            8 + number / 256,
            number % 256,
            ports.join(", ")
        );
    }
    let mut engines = Engines::new(&text);
    assert!(engines.policy.compiled.services.len() > 1 << 16, "{}", engines.policy.compiled.services.len());
    for number in [0u32, 1, 512, 1023, 1024, 1098, 1099] {
        let [high, low] = [8 + number / 256, number % 256].map(|byte| u8::try_from(byte).expect("a byte"));
        for (port, verdict) in [
            (1 + number, Verdict::Drop),
            (1 + number + 1100 * 58, Verdict::Drop),
            (9 + number, Verdict::Pass),
        ] {
            let frame = tcp([1, high, low, 7].into(), [10, 88, 0, 2].into());
            let frame = frame.ports(1, u16::try_from(port).expect("a port")).frame();
            assert_eq!(
                engines.judge(&frame, FROM, || format!("{number} {port}")),
                verdict,
                "{number} {port}"
            );
        }
    }
    engines.compare("many services");
}
