//! The main job on one screen: `cargo xtask demo` builds everything and runs this.
//!
//! Two namespaces with a wire between them, the daemon on one end with the embedded tables, and packets from real
//! source addresses. Whatever is shown is compared with what the policy says; the first difference makes it fail.

use std::{net::IpAddr, time::Duration};

use anyhow::ensure;
use octroi_gate::corpus::build::udp;
use octroi_tests::{
    gate::{Gate, METRICS_PORT},
    netns::Lab,
    nft::Counters,
    policy::STORY,
    prom,
    wire::{Receiver, Sender},
};

/// Who sends, and what the policy makes of it: who, address, arrives, marked, country, verdict, rule that counts it.
struct Visitor(
    &'static str,
    &'static str,
    bool,
    bool,
    &'static str,
    &'static str,
    Option<(&'static str, &'static str)>,
);

const VISITORS: [Visitor; 9] = [
    Visitor("China Telecom", "1.0.1.1", false, false, "CN", "drop", Some(("unsupported-regions", "drop"))),
    Visitor("China Telecom", "240e::1", false, false, "CN", "drop", Some(("unsupported-regions", "drop"))),
    Visitor("Azure China", "40.72.0.1", true, false, "CN", "pass", Some(("partner", "pass"))),
    Visitor("Azure China", "2404:7940::1", true, false, "CN", "pass", Some(("partner", "pass"))),
    Visitor("Deutsche Telekom", "80.128.0.1", true, true, "DE", "tag", Some(("handle-with-care", "tag"))),
    Visitor("Hetzner", "2a01:4f8::1", true, true, "DE", "tag", Some(("handle-with-care", "tag"))),
    Visitor("Free", "2a01:e00::1", true, false, "FR", "pass", Some(("next-in-line", "would_drop"))),
    Visitor("Google", "8.8.8.8", true, false, "US", "pass", None),
    Visitor("the LAN", "192.168.1.20", true, false, "local", "pass", None),
];

/// Packets of each.
const EACH: usize = 5;

fn main() -> anyhow::Result<()> {
    let lab = Lab::new();
    let pair = lab.pair();
    let counters = Counters::install(
        &lab.inside,
        &[
            ("marked", "meta mark 0x2a udp dport 443"),
            ("marked_v4", "meta mark 0x2a ip dscp cs1 udp dport 443"),
            ("marked_v6", "meta mark 0x2a ip6 dscp cs1 udp dport 443"),
        ],
    );
    println!("The policy:\n\n{STORY}");
    let gate = Gate::start(&lab, STORY);
    let log = gate.log();
    println!("octroi run:\n{log}");
    ensure!(log.contains("ready"), "the daemon is not ready");

    let receiver = Receiver::new(&lab.inside, &pair.gate);
    let sender = Sender::new(&lab.outside, &pair.peer);
    for Visitor(_, address, ..) in &VISITORS {
        let source: IpAddr = address.parse()?;
        let here = pair.here(source);
        for _ in 0..EACH {
            sender.send(&udp(source, here).ports(40_000, 443).frame());
        }
    }
    let frames =
        receiver.collect(|frame| source(frame).is_some(), EACH * VISITORS.len(), Duration::from_millis(500));
    let metrics = gate.metrics();

    println!(
        "{:<18} {:<15} {:>4} {:>8} {:>6}  {:<8} counted as",
        "from", "address", "sent", "arrived", "DSCP", "verdict"
    );
    for Visitor(who, address, arrives, marked, country, verdict, rule) in &VISITORS {
        let from: IpAddr = address.parse()?;
        let own: Vec<&Vec<u8>> = frames.iter().filter(|frame| source(frame) == Some(from)).collect();
        let dscps: Vec<u8> = own.iter().map(|frame| dscp(frame)).collect();
        let shown = dscps.first().map_or("-".to_owned(), ToString::to_string);
        let counted =
            rule.map_or_else(|| "no rule".to_owned(), |(rule, verdict)| format!("{rule} {verdict}"));
        println!(
            "{who:<18} {address:<15} {EACH:>4} {:>8} {shown:>6}  {verdict:<8} {country}, {counted}",
            own.len()
        );
        ensure!(own.len() == if *arrives { EACH } else { 0 }, "{address}: {} of {EACH} arrived", own.len());
        ensure!(dscps.iter().all(|&dscp| dscp == if *marked { 8 } else { 0 }), "{address}: DSCP {dscps:?}");
        let family = if from.is_ipv4() { "ipv4" } else { "ipv6" };
        let labels = [("country", *country), ("family", family), ("verdict", *verdict)];
        let packets = metrics.sum("octroi_packets_total", &labels);
        ensure!(packets >= EACH as f64, "octroi_packets_total{labels:?} is {packets}");
    }
    let (marked, v4, v6) =
        (counters.packets("marked"), counters.packets("marked_v4"), counters.packets("marked_v6"));
    println!("\nnftables saw mark 0x2a on {marked} packets: with DSCP CS1 on {v4} of IPv4 and {v6} of IPv6");
    let each = EACH as u64;
    ensure!((marked, v4, v6) == (2 * each, each, each), "expected {} marked packets", 2 * each);

    let explained = gate.octroi(["explain", "40.72.0.1"]).success();
    println!("\noctroi explain 40.72.0.1:\n{explained}");
    for line in [
        "address 40.72.0.1",
        "country CN",
        "network AS58593",
        "rule partner pass enforce matches matches, and decides",
        "rule unsupported-regions drop enforce matches matches, but a rule above decided",
        "rule handle-with-care tag enforce no country is CN (China), not among those of the rule",
        "rule next-in-line drop observe no country is CN (China), not among those of the rule",
        "database country embedded",
        "database asn embedded",
        "verdict pass: rule \"partner\"",
    ] {
        says(&explained, line)?;
    }
    let status = gate.octroi(["status"]).success();
    println!("octroi status:\n{status}");
    says(&status, "generation 1")?;
    says(&status, &format!("interface {} native", pair.gate))?;
    for (rule, action, stage) in [
        ("partner", "pass", "enforce"),
        ("unsupported-regions", "drop", "enforce"),
        ("handle-with-care", "tag", "enforce"),
        ("next-in-line", "drop", "observe"),
    ] {
        says(&status, &format!("rule {rule} {action} {stage} {} packets,", counted_by(rule)))?;
    }
    says(&status, "database country embedded,")?;
    says(&status, "last reload")?;
    let (_, text) = prom::get(gate.namespace(), METRICS_PORT, "/metrics").map_err(anyhow::Error::msg)?;
    let shown =
        |line: &&str| line.starts_with("octroi_") && line.contains("packets_total") && !line.ends_with(" 0");
    println!("GET /metrics, the packets:\n{}", text.lines().filter(shown).collect::<Vec<_>>().join("\n"));
    for Visitor(.., rule) in &VISITORS {
        let Some((rule, verdict)) = rule else { continue };
        let packets = metrics.sum("octroi_rule_packets_total", &[("rule", rule), ("verdict", verdict)]);
        ensure!(packets == counted_by(rule) as f64, "rule {rule}: {packets} packets");
    }
    drop(gate);
    drop(lab);
    println!("\nEverything as the policy says; daemon, programs and namespaces are gone again.");
    Ok(())
}

/// How many packets a rule has to count.
fn counted_by(rule: &str) -> usize {
    let visitors = VISITORS.iter().filter(|one| one.6.is_some_and(|(name, _)| name == rule));
    EACH * visitors.count()
}

/// Fails unless a line begins with these words, however many blanks lie between them.
fn says(text: &str, words: &str) -> anyhow::Result<()> {
    let begins = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ").starts_with(words);
    ensure!(text.lines().any(begins), "no line begins with {words:?} in:\n{text}");
    Ok(())
}

/// The source of one of our packets.
fn source(frame: &[u8]) -> Option<IpAddr> {
    let port = |at: usize| frame.get(at..at + 2) == Some(&443u16.to_be_bytes());
    match frame.get(12..14)? {
        [0x08, 0x00] if port(36) => Some(<[u8; 4]>::try_from(frame.get(26..30)?).ok()?.into()),
        [0x86, 0xdd] if port(56) => Some(<[u8; 16]>::try_from(frame.get(22..38)?).ok()?.into()),
        _ => None,
    }
}

fn dscp(frame: &[u8]) -> u8 {
    if frame[14] >> 4 == 4 { frame[15] >> 2 } else { (frame[14] & 0x0f) << 2 | frame[15] >> 6 }
}
