//! The story that octroi is for, with real connections: regions are announced and cut on a date, on the ports that are meant;
//! what is open goes on; a partner has until the end of its contract; whoever comes round is marked; nobody is watching; and
//! a customer who was cut by mistake is let in for a while.

use std::{
    fs, io,
    net::{IpAddr, SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant, SystemTime},
};

use octroi_gate::corpus::build::udp;
use octroi_tests::{
    echo::{serve, talks},
    gate::{Gate, Setup},
    netns::Lab,
    nft::Counters,
    socket::connect,
    wire::Sender,
};

/// China, a customer there, and Azure China (AS58593); an address in Germany that a VPN has.
const CN: &str = "1.0.1.1";
const CUSTOMER: &str = "1.0.1.9";
const PARTNER: &str = "40.72.0.1";
const VPN: &str = "5.1.64.9";
const API: u16 = 443;
const SSH: u16 = 22;

/// Seconds from the start of the test until the date, and from the date until the partner's contract ends.
const NOTICE: u64 = 8;
const CONTRACT: u64 = 3;

fn policy(date: u64) -> String {
    let time = |seconds: u64| octroi::time::text_ns(seconds * 1_000_000_000);
    format!(
        r#"[geoip]
anonymous = "anonymous.csv"

[[rule]]
name = "partner"
source = {{ country = ["CN"], asn = [58593] }}
action = "pass"
until = {until}
note = "contract 4711"

[[rule]]
name = "unsupported-regions"
source = {{ country = ["CN", "KP"] }}
service = ["tcp/443", "udp/443"]
action = "reject"
from = {from}

[[rule]]
name = "come-round"
source = {{ anonymous = ["any"] }}
action = "tag"
mark = 0x77
"#,
        until = time(date + CONTRACT),
        from = time(date),
    )
}

fn client(lab: &Lab, source: &str, port: u16) -> io::Result<TcpStream> {
    let source: IpAddr = source.parse().expect("an address");
    let here = SocketAddr::new(lab.pair().here(source), port);
    let stream = connect(&lab.outside, source, here, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    Ok(stream)
}

fn wait_until(seconds: u64, milliseconds: u64) {
    let then = SystemTime::UNIX_EPOCH + Duration::from_millis(seconds * 1000 + milliseconds);
    thread::sleep(then.duration_since(SystemTime::now()).expect("the test is slower than its story"));
}

fn is_refused(result: io::Result<TcpStream>) -> bool {
    result.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

#[test]
fn regions_are_announced_and_cut_on_the_date_with_nobody_watching() {
    let lab = Lab::new();
    for source in [CN, CUSTOMER, PARTNER, VPN] {
        lab.give_source(source.parse().expect("an address"));
    }
    let marked = Counters::install(&lab.inside, &[("marked", "meta mark 0x77")]);
    serve(&lab, API);
    serve(&lab, SSH);
    // The generic program: a native answer needs a program on the wire's other end as well.
    let mut gate = Gate::prepare(&lab, Setup { mode: "generic".into(), ..Setup::new("") });
    fs::write(gate.directory().join("anonymous.csv"), format!("{VPN},{VPN},vpn\n")).expect("write into ours");
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
    let date = now + NOTICE;
    gate.write(&policy(date));
    gate.start_again();

    // Announced: nothing is cut, and counters say what would be.
    let mut opened = client(&lab, CN, API).expect("before the date");
    assert!(talks(&mut opened) && client(&lab, PARTNER, API).is_ok() && client(&lab, CN, SSH).is_ok());
    let metrics = gate.metrics();
    let rule = |verdict| {
        let labels = [("rule", "unsupported-regions"), ("verdict", verdict)];
        metrics.sum("octroi_rule_packets_total", &labels)
    };
    assert!(rule("would_reject") >= 3.0 && rule("reject") == 0.0, "{}", gate.describe());
    let change = metrics.get("octroi_rule_next_change_timestamp_seconds", &[("rule", "unsupported-regions")]);
    assert_eq!(change, Some(date as f64));
    let stage = [("rule", "unsupported-regions"), ("stage", "observe")];
    assert_eq!(metrics.get("octroi_rule_stage", &stage), Some(1.0));

    // Whoever comes round is marked, wherever the address is.
    let vpn: IpAddr = VPN.parse().expect("an address");
    Sender::new(&lab.outside, &lab.pair().peer).send(&udp(vpn, lab.pair().here(vpn)).ports(4000, 9).frame());
    octroi_tests::wait::until("the packet is marked", || marked.packets("marked") > 0);

    // The date comes, and nobody is watching.
    gate.kill();
    wait_until(date, 50);
    assert!(is_refused(client(&lab, CN, API)), "a new connection is reset");
    assert!(talks(&mut opened), "what was open goes on");
    assert!(client(&lab, CN, SSH).is_ok_and(|mut ssh| talks(&mut ssh)), "other ports are not meant");
    assert!(client(&lab, PARTNER, API).is_ok(), "the contract runs");
    assert!(client(&lab, VPN, API).is_ok(), "the VPN's country is not meant");

    // So does the end of the contract.
    wait_until(date + CONTRACT, 50);
    assert!(is_refused(client(&lab, PARTNER, API)), "the contract is over");

    gate.start_again();
    assert!(is_refused(client(&lab, CN, API)), "a restart changes nothing");
    assert!(talks(&mut opened), "nor for what is open");
    let status = gate.status();
    let stages: Vec<_> =
        status["rules"].as_array().expect("rules").iter().map(|rule| &rule["stage"]).collect();
    assert_eq!(stages, ["expired", "enforce", "enforce"], "{status}");

    // A customer calls, and is let in for as long as it takes.
    assert!(is_refused(client(&lab, CUSTOMER, API)), "cut as everybody there");
    let begun = Instant::now();
    gate.octroi(["lease", "add", CUSTOMER, "--action", "pass", "--ttl", "4s", "--reason", "ticket 12"])
        .success();
    assert!(client(&lab, CUSTOMER, API).is_ok_and(|mut api| talks(&mut api)), "in at once");
    assert!(is_refused(client(&lab, CN, API)), "nobody else is meant");
    assert!(begun.elapsed() < Duration::from_secs(4), "the test is slower than its story");
    octroi_tests::wait::until("the lease is over", || is_refused(client(&lab, CUSTOMER, API)));
    assert!(begun.elapsed() >= Duration::from_secs(4), "over after {:?}", begun.elapsed());
}
