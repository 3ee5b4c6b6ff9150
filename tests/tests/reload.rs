//! Reloads under traffic: nobody gets through, nobody is lost, and the counters are exact.
#![allow(clippy::print_stderr, reason = "figures of a test")]

use std::{
    net::IpAddr,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use octroi_gate::corpus::build::udp;
use octroi_tests::{
    gate::{Gate, Setup},
    netns::Lab,
    nft::Counters,
    wire::Sender,
};

const RELOADS: u32 = 200;

/// Two policies that agree on China and the United States, and on little else: classes, tables and slots differ.
const POLICIES: [&str; 2] = [
    "[[rule]]\nname = \"cn\"\nsource = { country = [\"CN\"] }\naction = \"drop\"\n",
    "[[rule]]\nname = \"eu\"\nsource = { continent = [\"EU\"] }\naction = \"tag\"\nmark = 9\n\
     [[rule]]\nname = \"net\"\nsource = { cidr = [\"1.0.1.0/24\", \"9.0.0.0/8\"] }\naction = \"drop\"\nobserve = true\n\
     [[rule]]\nname = \"cn\"\nsource = { country = [\"CN\", \"KP\"] }\naction = \"drop\"\n",
];

fn no_packet_is_lost_or_let_in(mode: &str, reloads: u32) {
    let lab = Lab::new();
    let counters =
        Counters::install(&lab.inside, &[("blocked", "ip saddr 1.0.1.1"), ("allowed", "ip saddr 8.8.8.8")]);
    let gate = Gate::start_with(&lab, Setup { mode: mode.into(), ..Setup::new(POLICIES[0]) });
    let frame = |source: &str| {
        let source: IpAddr = source.parse().expect("an address");
        udp(source, lab.pair().gate4.into()).ports(4000, 9).frame()
    };
    let frames = [frame("1.0.1.1"), frame("8.8.8.8")];
    let done = AtomicBool::new(false);
    let started = Instant::now();
    let sent = thread::scope(|scope| {
        let traffic = scope.spawn(|| {
            let sender = Sender::new(&lab.outside, &lab.pair().peer);
            let mut sent = 0;
            // About 20,000 frames a second, so that the receiving end's queue never runs over.
            while !done.load(Ordering::Relaxed) && sent < 10_000_000 {
                sent += sender.flood(&frames, 40, Duration::from_secs(1)).sent;
                thread::sleep(Duration::from_millis(2));
            }
            sent
        });
        for reload in 1..=reloads {
            gate.write(POLICIES[reload as usize % 2]);
            gate.reload().success();
        }
        done.store(true, Ordering::Relaxed);
        traffic.join().expect("the sender does not panic")
    });
    thread::sleep(Duration::from_millis(300));
    let each = sent / 2;
    let metrics = gate.metrics();
    let count =
        |country, verdict| metrics.sum("octroi_packets_total", &[("country", country), ("verdict", verdict)]);
    eprintln!(
        "{mode}: {reloads} reloads in {:.1} s under {sent} frames: {} blocked ones arrived, {} allowed ones were lost; counted {} and {}",
        started.elapsed().as_secs_f64(),
        counters.packets("blocked"),
        each - counters.packets("allowed"),
        count("CN", "drop"),
        count("US", "pass"),
    );
    assert_eq!(counters.packets("blocked"), 0);
    assert_eq!(counters.packets("allowed"), each);
    #[expect(clippy::cast_precision_loss, reason = "a test sends fewer frames than 2^53")]
    let each = each as f64;
    assert_eq!((count("CN", "drop"), count("US", "pass")), (each, each), "{}", gate.describe());
    assert_eq!(metrics.sum("octroi_rule_packets_total", &[("rule", "cn"), ("verdict", "drop")]), each);
    assert_eq!(gate.status()["generation"], u64::from(reloads) + 1);
}

#[test]
fn no_packet_is_lost_or_let_in_by_200_reloads() {
    no_packet_is_lost_or_let_in("native", RELOADS);
}

#[test]
fn no_packet_is_lost_or_let_in_by_reloads_in_generic_mode() {
    no_packet_is_lost_or_let_in("generic", 20);
}
