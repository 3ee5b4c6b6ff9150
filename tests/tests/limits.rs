//! `action = "limit"`: what passes of what is offered on two CPUs at once, for each rate, per rule and per source.
#![allow(clippy::print_stderr, reason = "figures of a test")]

use std::{
    fmt::Write as _,
    net::IpAddr,
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

const RATES: [u32; 4] = [10, 100, 1000, 10_000];
const TIME: Duration = Duration::from_secs(3);

/// A rule, and the source it is about.
struct Limit {
    name: String,
    per: &'static str,
    rate: u32,
    burst: u32,
    source: IpAddr,
}

/// Each rate, per rule and per source.
fn limits(rates: &[u32]) -> Vec<Limit> {
    let mut limits = Vec::new();
    for (net, per) in [(1, "rule"), (2, "source")] {
        for (host, &rate) in (1..).zip(rates) {
            let (name, source) = (format!("{per}_{rate}"), [1, 0, net, host].into());
            limits.push(Limit { name, per, rate, burst: rate / 2, source });
        }
    }
    limits
}

fn policy(limits: &[Limit]) -> String {
    let mut policy = String::new();
    for Limit { name, per, rate, burst, source } in limits {
        write!(
            policy,
            "[[rule]]\nname = {name:?}\nsource = {{ cidr = [\"{source}\"] }}\naction = \"limit\"\n\
             rate = {rate}\nburst = {burst}\nper = {per:?}\n"
        )
        .expect("a string takes all");
    }
    policy
}

/// What a rule has counted.
#[derive(Clone, Copy, Debug)]
struct Counted {
    passed: f64,
    limited: f64,
    bytes: f64,
}

fn counted(gate: &Gate<'_>, rule: &str) -> Counted {
    let metrics = gate.metrics();
    let of = |name, verdict| metrics.sum(name, &[("rule", rule), ("verdict", verdict)]);
    let bytes = |verdict| of("octroi_rule_bytes_total", verdict);
    Counted {
        passed: of("octroi_rule_packets_total", "pass"),
        limited: of("octroi_rule_packets_total", "limit"),
        bytes: bytes("pass") + bytes("limit"),
    }
}

fn frame(pair: &Pair, source: IpAddr) -> Vec<u8> {
    udp(source, pair.gate4.into()).macs(pair.peer_mac, pair.gate_mac).ports(4000, 9).frame()
}

/// Sends from a source to two interfaces, from one CPU each, at four times the limit's rate altogether. What veth receives is
/// judged on the CPU that sends it. How many were sent, and within how long.
fn offer(lab: &Lab, limit: &Limit) -> (u64, Duration) {
    let send = |pair: &Pair, cpu| {
        cpus::keep_to(cpu);
        let sender = Sender::new(&lab.outside, &pair.peer);
        let started = Instant::now();
        let sent = sender.steadily(&[frame(pair, limit.source)], 2 * limit.rate, TIME).sent;
        (sent, started, Instant::now())
    };
    thread::scope(|scope| {
        let [first, second] = cpus::two();
        let [one, other] = [&lab.pairs()[0], &lab.pairs()[1]];
        let one = scope.spawn(move || send(one, first));
        let other = scope.spawn(move || send(other, second));
        let (one, other) = (one.join(), other.join());
        let (one, other) = (one.expect("a sender does not panic"), other.expect("a sender does not panic"));
        (one.0 + other.0, one.2.max(other.2) - one.1.min(other.1))
    })
}

fn a_limit_passes_burst_and_rate(mode: &str, rates: &[u32]) {
    let mut lab = Lab::new();
    lab.add_pair();
    let limits = limits(rates);
    let expressions: Vec<(&str, String)> =
        limits.iter().map(|limit| (&*limit.name, format!("udp dport 9 ip saddr {}", limit.source))).collect();
    let expressions: Vec<(&str, &str)> = expressions.iter().map(|(name, text)| (*name, &**text)).collect();
    let counters = Counters::install(&lab.inside, &expressions);
    let interfaces = vec!["gate0".into(), "gate1".into()];
    let gate =
        Gate::start_with(&lab, Setup { interfaces, mode: mode.into(), ..Setup::new(&policy(&limits)) });
    let mut table = format!(
        "{mode}:\nper     rate  burst  offered/s    sent  passed  burst + rate × time  quotient  on each CPU\n"
    );
    let mut all_limited = 0.0;
    for limit in &limits {
        let before = cpus::counted(&lab.inside, "gate0");
        let (sent, elapsed) = offer(&lab, limit);
        thread::sleep(Duration::from_millis(50));
        let after = cpus::counted(&lab.inside, "gate0");
        let on_each = cpus::two().map(|cpu| after[&cpu] - before[&cpu]);
        let Counted { passed, limited, bytes } = counted(&gate, &limit.name);
        let granted = f64::from(limit.burst) + f64::from(limit.rate) * elapsed.as_secs_f64();
        writeln!(
            table,
            "{:6} {:5}  {:5}  {:9.0}  {sent:6}  {passed:6}  {granted:19.1}  {:8.3}  {on_each:?}",
            limit.per,
            limit.rate,
            limit.burst,
            sent as f64 / elapsed.as_secs_f64(),
            passed / granted,
        )
        .expect("a string takes all");
        let context = || format!("{table}{}", gate.describe());
        // What a bucket promises, without any tolerance.
        assert!(passed < granted + 1.0, "{}", context());
        let least = f64::from(limit.burst) + f64::from(limit.rate) * TIME.as_secs_f64();
        assert!(passed >= 0.95 * least, "{}", context());
        assert_eq!(passed + limited, sent as f64, "{}", context());
        assert_eq!(bytes, (sent * frame(lab.pair(), limit.source).len() as u64) as f64, "{}", context());
        assert_eq!(counters.packets(&limit.name) as f64, passed, "{}", context());
        all_limited += limited;
        assert!(on_each.iter().all(|&packets| packets * 4 > sent), "{}", context());
    }
    assert_eq!(gate.metrics().sum("octroi_packets_total", &[("verdict", "limit")]), all_limited);
    eprintln!("{table}");
}

#[test]
fn a_limit_passes_burst_and_rate_of_what_two_cpus_receive() {
    a_limit_passes_burst_and_rate("native", &RATES);
    a_limit_passes_burst_and_rate("generic", &[100, 10_000]);
}
