//! `action = "limit"`: whose bucket a packet is taken from, what is not taken from it, and when it begins anew.
#![allow(clippy::print_stderr, reason = "figures of a test")]

use std::{
    net::{IpAddr, Ipv4Addr},
    thread,
    time::{Duration, Instant},
};

use octroi_gate::corpus::build::udp;
use octroi_tests::{
    cpus,
    gate::{Gate, Setup},
    netns::{Lab, Pair},
    nft::Counters,
    wire::Sender,
};

/// A rule that limits a network.
fn rule(name: &str, source: &str, rest: &str) -> String {
    format!("[[rule]]\nname = {name:?}\nsource = {{ cidr = [{source:?}] }}\naction = \"limit\"\n{rest}\n")
}

/// Packets that a rule has counted with a verdict.
fn counted(gate: &Gate<'_>, rule: &str, verdict: &str) -> f64 {
    gate.metrics().sum("octroi_rule_packets_total", &[("rule", rule), ("verdict", verdict)])
}

fn frame_to(pair: &Pair, source: IpAddr, port: u16) -> Vec<u8> {
    udp(source, pair.here(source)).macs(pair.peer_mac, pair.gate_mac).ports(4000, port).frame()
}

fn frame(lab: &Lab, source: &str, port: u16) -> Vec<u8> {
    frame_to(lab.pair(), source.parse().expect("an address"), port)
}

/// Sends each frame so many times, at once.
fn send(lab: &Lab, frames: &[Vec<u8>], times: usize) {
    let sender = Sender::new(&lab.outside, &lab.pair().peer);
    for _ in 0..times {
        sender.send_all(frames);
    }
}

#[test]
fn who_stays_below_the_rate_loses_nothing_beside_who_floods() {
    const TIME: Duration = Duration::from_secs(3);
    let mut lab = Lab::new();
    lab.add_pair();
    let policy = [
        rule("each", "1.0.1.0/24", "rate = 1000\nper = \"source\""),
        rule("all", "1.0.2.0/24", "rate = 1000\nper = \"rule\""),
    ]
    .concat();
    let passing = [("flooding", "udp dport 9 ip saddr 1.0.1.1"), ("modest", "udp dport 9 ip saddr 1.0.1.2")];
    let counters = Counters::install(&lab.inside, &passing);
    let interfaces = vec!["gate0".into(), "gate1".into()];
    let gate = Gate::start_with(&lab, Setup { interfaces, ..Setup::new(&policy) });
    let steadily = |pair: &Pair, cpu, sources: &[[u8; 4]], rate| {
        cpus::keep_to(cpu);
        let frames: Vec<_> = sources.iter().map(|&source| frame_to(pair, source.into(), 9)).collect();
        Sender::new(&lab.outside, &pair.peer).steadily(&frames, rate, TIME).sent
    };
    let started = Instant::now();
    let [flooded, modest, together] = thread::scope(|scope| {
        let [first, second] = cpus::two();
        let [one, other] = [&lab.pairs()[0], &lab.pairs()[1]];
        let flood = scope.spawn(move || steadily(one, first, &[[1, 0, 1, 1]], 20_000));
        let modest = scope.spawn(move || steadily(other, second, &[[1, 0, 1, 2]], 900));
        let sources = [[1, 0, 2, 1], [1, 0, 2, 2], [1, 0, 2, 3]];
        let together = scope.spawn(move || steadily(other, second, &sources, 900));
        [flood, modest, together].map(|thread| thread.join().expect("a sender does not panic"))
    });
    let most = 1000.0 + 1000.0 * started.elapsed().as_secs_f64();
    thread::sleep(Duration::from_millis(50));
    let of_flood = counters.packets("flooding") as f64;
    eprintln!("flooding: {of_flood} of {flooded}, modest: {} of {modest}", counters.packets("modest"));
    assert_eq!(counters.packets("modest"), modest, "{}", gate.describe());
    assert_eq!((counted(&gate, "all", "pass"), counted(&gate, "all", "limit")), (together as f64, 0.0));
    assert!(of_flood < most + 1.0 && of_flood > 0.9 * most, "{of_flood} of {most}");
    let counts = (counted(&gate, "each", "pass"), counted(&gate, "each", "limit"));
    assert_eq!(counts, (of_flood + modest as f64, flooded as f64 - of_flood), "{}", gate.describe());
}

#[test]
fn addresses_of_one_64_share_a_bucket_and_others_do_not() {
    let lab = Lab::new();
    let policy = [
        rule("v6", "240e::/16", "rate = 1\nburst = 10\nper = \"source\""),
        rule("v4", "1.0.1.0/24", "rate = 1\nburst = 10\nper = \"source\""),
    ]
    .concat();
    let sources = [
        ("first", "ip6 saddr 240e::1"),
        ("same_64", "ip6 saddr 240e::ffff:ffff:ffff:ffff"),
        ("next_64", "ip6 saddr 240e:0:0:1::1"),
        ("host", "ip saddr 1.0.1.1"),
        ("neighbour", "ip saddr 1.0.1.2"),
    ];
    let counters = Counters::install(&lab.inside, &sources);
    let gate = Gate::start(&lab, &policy);
    let passed = |source: &str, counter: &str| {
        let started = Instant::now();
        send(&lab, &[frame(&lab, source, 9)], 30);
        // Three seconds for a machine that has other things to do.
        assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
        counters.packets(counter)
    };
    let full = 10..=13;
    let some = 0..=3;
    let v6 = [
        passed("240e::1", "first"),
        passed("240e::ffff:ffff:ffff:ffff", "same_64"),
        passed("240e:0:0:1::1", "next_64"),
    ];
    assert!(full.contains(&v6[0]) && some.contains(&v6[1]) && full.contains(&v6[2]), "{v6:?}");
    let v4 = [passed("1.0.1.1", "host"), passed("1.0.1.2", "neighbour")];
    assert!(v4.iter().all(|passed| full.contains(passed)), "{v4:?}");
    eprintln!("of 30 each: a /64 {} and {}, the next /64 {}; two IPv4 addresses {v4:?}", v6[0], v6[1], v6[2]);
    let sums = |verdict| counted(&gate, "v6", verdict) + counted(&gate, "v4", verdict);
    assert_eq!(sums("pass") + sums("limit"), 150.0, "{}", gate.describe());
}

#[test]
fn rules_have_buckets_of_their_own_for_the_same_source() {
    let lab = Lab::new();
    let limited = |name: &str, port: u16, per: &str| {
        let rest = format!("service = [\"udp/{port}\"]\nrate = 1\nburst = 10\nper = {per:?}");
        rule(name, "1.0.1.0/24", &rest)
    };
    let rules = [("a", 1, "source"), ("b", 2, "source"), ("c", 3, "rule"), ("d", 4, "rule")];
    let policy = rules.map(|(name, port, per)| limited(name, port, per)).concat();
    let gate = Gate::start(&lab, &policy);
    let started = Instant::now();
    for (name, port, _) in rules {
        send(&lab, &[frame(&lab, "1.0.1.1", port)], 30);
        let passed = counted(&gate, name, "pass");
        let most = 10.0 + started.elapsed().as_secs_f64() + 1.0;
        assert!((10.0..=most).contains(&passed), "{name}: {passed}\n{}", gate.describe());
        assert_eq!(passed + counted(&gate, name, "limit"), 30.0);
    }
}

#[test]
fn more_sources_than_there_are_buckets_pass_and_who_floods_meanwhile_is_held() {
    /// Three times as many as there are buckets.
    const SOURCES: u32 = 3 << 16;
    let lab = Lab::new();
    let rest = "rate = 1\nburst = 2\nper = \"source\"";
    let counters = Counters::install(
        &lab.inside,
        &[("once", "udp dport 9 ip saddr 20.0.0.0/8"), ("again", "udp dport 9 ip saddr 21.0.0.1")],
    );
    let gate =
        Gate::start(&lab, &[rule("once", "20.0.0.0/8", rest), rule("again", "21.0.0.1", rest)].concat());
    let first = u32::from(Ipv4Addr::new(20, 0, 0, 0));
    let flood = frame(&lab, "21.0.0.1", 9);
    let frames: Vec<Vec<u8>> = (first..first + SOURCES)
        .flat_map(|source| {
            let once = frame_to(lab.pair(), Ipv4Addr::from(source).into(), 9);
            // One in nine is of the source that floods.
            if source % 8 == 0 { vec![once, flood.clone()] } else { vec![once] }
        })
        .collect();
    let sender = Sender::new(&lab.outside, &lab.pair().peer);
    let rate = 60_000;
    let time = Duration::from_secs_f64(frames.len() as f64 / f64::from(rate));
    let started = Instant::now();
    let flood = sender.steadily(&frames, rate, time);
    let seconds = started.elapsed().as_secs_f64();
    thread::sleep(Duration::from_millis(50));
    let sent = flood.sent as f64;
    let (once, again) = (counters.packets("once") as f64, counters.packets("again") as f64);
    let of_flood = again + counted(&gate, "again", "limit");
    eprintln!(
        "{seconds:.1} s: {once} sources, of which {} were limited; of {of_flood} packets of one more, {again} passed",
        counted(&gate, "once", "limit")
    );
    assert_eq!(counted(&gate, "once", "limit"), 0.0, "{}", gate.describe());
    assert_eq!(once + of_flood, sent, "{}", gate.describe());
    // The kernel keeps who comes again and again.
    assert!(again <= 2.0 + seconds + 1.0, "{again} in {seconds} s");
}

#[test]
fn an_observing_limit_counts_what_is_above_the_rate_and_lets_all_of_it_go_on() {
    for per in ["rule", "source"] {
        let lab = Lab::new();
        let observing = format!("rate = 10\nburst = 100\nper = {per:?}\nobserve = true");
        let next =
            "[[rule]]\nname = \"next\"\nsource = { cidr = [\"1.0.1.0/24\"] }\naction = \"tag\"\nmark = 7\n";
        let gate = Gate::start(&lab, &(rule("watch", "1.0.1.0/24", &observing) + next));
        let one = [frame(&lab, "1.0.1.1", 9)];
        let started = Instant::now();
        send(&lab, &one, 100);
        assert_eq!(counted(&gate, "watch", "would_limit"), 0.0, "{per}: within the burst");
        send(&lab, &one, 200);
        let granted = 10.0 * started.elapsed().as_secs_f64() + 1.0;
        let would = counted(&gate, "watch", "would_limit");
        assert!((200.0 - granted..=200.0).contains(&would), "{per}: {would}\n{}", gate.describe());
        assert_eq!(counted(&gate, "next", "tag"), 300.0, "{per}: {}", gate.describe());
        assert_eq!((counted(&gate, "watch", "limit"), counted(&gate, "watch", "pass")), (0.0, 0.0), "{per}");
    }
}

#[test]
fn a_packet_within_the_rate_passes_and_no_later_rule_is_asked() {
    let lab = Lab::new();
    let next = "[[rule]]\nname = \"next\"\nsource = { any = true }\naction = \"drop\"\n";
    let counters = Counters::install(&lab.inside, &[("passed", "udp dport 9 ip saddr 1.0.1.1")]);
    let held = rule("held", "1.0.1.0/24", "rate = 1\nburst = 10\nper = \"source\"");
    let gate = Gate::start(&lab, &(held + next));
    send(&lab, &[frame(&lab, "1.0.1.1", 9)], 10);
    assert_eq!(counters.packets("passed"), 10, "{}", gate.describe());
    let counts = ["pass", "limit"].map(|verdict| counted(&gate, "held", verdict));
    assert_eq!((counts, counted(&gate, "next", "drop")), ([10.0, 0.0], 0.0));
}

#[test]
fn a_reload_begins_with_full_buckets() {
    for per in ["rule", "source"] {
        let lab = Lab::new();
        let gate =
            Gate::start(&lab, &rule("held", "1.0.1.0/24", &format!("rate = 1\nburst = 50\nper = {per:?}")));
        let one = [frame(&lab, "1.0.1.1", 9)];
        let started = Instant::now();
        let mut before = 0.0;
        for round in 1..=3 {
            send(&lab, &one, 100);
            let passed = counted(&gate, "held", "pass");
            let most = 50.0 + started.elapsed().as_secs_f64() + 1.0;
            assert!((50.0..=most).contains(&(passed - before)), "{per}, {round}: {passed}, before {before}");
            assert_eq!(passed + counted(&gate, "held", "limit"), 100.0 * f64::from(round));
            before = passed;
            gate.reload().success();
        }
    }
}
