//! What is explained of packets for a service and of a time: what each reason says, and that the verdict is the one that the
//! host's engine gives the packet itself.

use std::{fs, net::IpAddr};

use octroi_abi::{Counter, Verdict};
use octroi_gate::{
    corpus::build::{icmp, other, tcp, udp},
    host::{Circumstances, Compiled},
    packet::Source,
    ramp::{Ramp, position},
};

use super::config;
use crate::{
    config::Config,
    policy::{
        Databases,
        compile::classify,
        explain::{Explainer, Explanation},
        slots::{Outcome, Slots},
        walk::{Purpose, Question},
    },
};

const SECOND: u64 = 1_000_000_000;

/// Sources in China of both families, one in Germany, a local one.
const SOURCES: [&str; 4] = ["1.0.1.1", "240e::1", "5.1.64.1", "10.0.0.1"];

fn opened(text: &str) -> (Config, Databases) {
    let folder = tempfile::tempdir().expect("make a temporary directory");
    let path = folder.path().join("country.csv");
    let country =
        "1.0.1.0,1.0.3.255,CN\n5.1.64.0,5.1.127.255,DE\n240e::,240e:ffff:ffff:ffff:ffff:ffff:ffff:ffff,CN\n";
    fs::write(&path, country).expect("write into a directory of ours");
    let config = config(&format!("geoip.country = {path:?}\n{text}"));
    let databases = Databases::open(&config).unwrap_or_else(|error| panic!("{error}"));
    (config, databases)
}

/// A rule about China.
fn china(name: &str, action: &str, keys: &str) -> String {
    format!("[[rule]]\nname = {name:?}\nsource.country = [\"CN\"]\naction = {action:?}\n{keys}\n")
}

/// What is explained of packets from the first of the sources.
fn explained(text: &str, service: Option<Purpose>, second: u64) -> Explanation {
    let (config, databases) = opened(text);
    let question = Question { service, at: second * SECOND };
    let explainer = Explainer::new(&config, &databases, question).expect("fits");
    explainer.explain(SOURCES[0].parse().expect("an address"))
}

/// The same of each rule: its stage, whether it matches, and why.
fn reasons(text: &str, service: Option<Purpose>, second: u64) -> Vec<(String, bool, String)> {
    let rules = explained(text, service, second).rules;
    rules.into_iter().map(|rule| (rule.stage, rule.matched, rule.reason)).collect()
}

fn matches(stage: &str, reason: &str) -> (String, bool, String) {
    (stage.to_owned(), true, reason.to_owned())
}

fn does_not(stage: &str, reason: &str) -> (String, bool, String) {
    (stage.to_owned(), false, reason.to_owned())
}

const HTTPS: Option<Purpose> = Some(Purpose::Protocol(6, Some(443)));
const SSH: Option<Purpose> = Some(Purpose::Protocol(6, Some(22)));

#[test]
fn of_a_service_it_is_said_which_and_whether_the_packet_is_for_it() {
    let text = china("web", "drop", "service = [\"tcp/443\", \"udp/443\"]\nestablished = \"drop\"")
        + &china("rest", "pass", "");
    let above = "matches, but a rule above decided";
    for (service, expected) in [
        (
            None,
            [matches("enforce", "matches, and decides about tcp/443, udp/443"), matches("enforce", above)],
        ),
        (HTTPS, [matches("enforce", "matches, and decides"), matches("enforce", above)]),
        (
            SSH,
            [
                does_not("enforce", "it is for tcp/443, udp/443 only"),
                matches("enforce", "matches, and decides"),
            ],
        ),
    ] {
        assert_eq!(reasons(&text, service, 0), expected, "{service:?}");
    }
    let told = explained(&text, SSH, 0);
    assert_eq!(
        (&*told.verdict, told.rule.as_deref(), &*told.because),
        ("pass", Some("rest"), "rule \"rest\"")
    );
    let told = explained(&china("web", "drop", "service = [\"tcp/443\"]"), SSH, 0);
    let because = "no rule matches, and policy.default is \"pass\"";
    assert_eq!((&*told.verdict, told.rule.as_deref(), &*told.because), ("pass", None, because));
}

#[test]
fn what_becomes_of_connections_and_of_packets_within_a_rate_is_said_of_the_rule_that_decides() {
    let goes_on = "; packets of connections that exist go on";
    for (action, keys, reason) in [
        ("drop", "", format!("matches, and decides{goes_on}")),
        ("drop", "established = \"drop\"", "matches, and decides".to_owned()),
        ("reject", "", format!("matches, and decides{goes_on}")),
        ("pass", "", "matches, and decides".to_owned()),
        ("tag", "mark = 1", "matches, and decides".to_owned()),
        (
            "limit",
            "rate = 50\nper = \"source\"",
            format!(
                "matches, and decides: up to 50 packets a second from a source pass, and what is above is dropped{goes_on}"
            ),
        ),
        (
            "limit",
            "rate = 1\nper = \"rule\"\nestablished = \"drop\"",
            "matches, and decides: up to 1 packets a second pass, and what is above is dropped".to_owned(),
        ),
    ] {
        let text = china("one", action, keys);
        assert_eq!(reasons(&text, HTTPS, 0), [matches("enforce", &reason)], "{keys}");
        let told = explained(&text, HTTPS, 0);
        assert_eq!(told.verdict, action, "of a packet that does not go on");
        assert_eq!(told.because.contains("; within its rate, "), action == "limit", "{}", told.because);
    }
}

#[test]
fn a_rule_s_time_is_said_in_each_of_its_stages() {
    let times = "from = 1970-01-01T00:01:40Z\nuntil = 1970-01-01T00:05:00Z\nestablished = \"drop\"";
    let text = china("timed", "drop", times) + &china("see", "drop", "observe = true");
    let [seen, above] = ["matches; it only observes", "matches, but a rule above decided"];
    let before = "matches; it only observes until 1970-01-01T00:01:40Z";
    let during = "matches, and decides; it ends at 1970-01-01T00:05:00Z";
    let after = "it ended at 1970-01-01T00:05:00Z";
    for (second, expected, rule) in [
        (0, [matches("observe", before), matches("observe", seen)], None),
        (99, [matches("observe", before), matches("observe", seen)], None),
        (100, [matches("enforce", during), matches("observe", above)], Some("timed")),
        (299, [matches("enforce", during), matches("observe", above)], Some("timed")),
        (300, [does_not("expired", after), matches("observe", seen)], None),
    ] {
        assert_eq!(reasons(&text, HTTPS, second), expected, "{second}");
        assert_eq!(explained(&text, HTTPS, second).rule.as_deref(), rule, "{second}");
    }
    // What is over is said before what it was for.
    let both = china("timed", "drop", &format!("{times}\nservice = [\"tcp/443\"]"));
    assert_eq!(reasons(&both, SSH, 300), [does_not("expired", after)]);
    assert_eq!(reasons(&both, SSH, 0), [does_not("observe", "it is for tcp/443 only")]);
}

#[test]
fn in_a_ramp_it_is_said_how_far_it_is_and_on_which_side_the_source_stands() {
    let text =
        china("ramps", "drop", "from = 1970-01-01T00:01:40Z\nramp = \"10000s\"\nestablished = \"drop\"");
    let place = position(Source::V4(0x0100_0101));
    // A second for each hundredth of a percent.
    let turn = 100 + u64::from(place) + 1;
    let outside = format!(
        "matches; this source is not among the {}.{:02} % that it applies to so far",
        place / 100,
        place % 100
    );
    let before = "matches; it only observes until 1970-01-01T00:01:40Z";
    let none = "matches; this source is not among the 0.00 % that it applies to so far";
    for (second, stage, reason) in [
        (99, "observe", before),
        (100, "ramp", none),
        (turn - 1, "ramp", &outside),
        (turn, "ramp", "matches, and decides"),
        (10_099, "ramp", "matches, and decides"),
        (10_100, "enforce", "matches, and decides"),
    ] {
        assert_eq!(reasons(&text, None, second), [matches(stage, reason)], "{second}");
    }
}

#[test]
fn of_local_sources_it_is_said_that_no_rule_was_looked_at() {
    let (config, databases) = opened(
        "[policy]\ndefault = \"drop\"\n[[rule]]\nname = \"all\"\nsource.any = true\naction = \"drop\"\nservice = [\"tcp/443\"]\n",
    );
    let explainer = Explainer::new(&config, &databases, Question { service: SSH, at: 0 }).expect("fits");
    let told = explainer.explain(SOURCES[3].parse().expect("an address"));
    assert_eq!((&*told.verdict, &*told.because), ("pass", "local sources pass (policy.local = \"pass\")"));
    let reason = "not looked at: local sources pass (policy.local = \"pass\")";
    assert_eq!((told.rules[0].matched, &*told.rules[0].reason), (false, reason));
}

/// A policy in which services, times, ramps and observing rules meet.
fn intricate() -> String {
    let timed = "from = 1970-01-01T00:01:40Z\nuntil = 1970-01-01T00:05:00Z";
    [
        "[policy]\nlocal = \"rules\"\n".to_owned(),
        china("see", "drop", "observe = true\nuntil = 1970-01-01T00:05:00Z"),
        china("look", "tag", "mark = 1\nobserve = true\nfrom = 1970-01-01T00:01:40Z"),
        china("partner", "pass", "service = [\"tcp/8443\"]\nuntil = 1970-01-01T00:01:40Z"),
        china("web", "drop", &format!("service = [\"tcp/443\", 47]\n{timed}")),
        china("ramps", "drop", &format!("service = [\"udp\"]\n{timed}\nramp = \"150s\"")),
        china("slow", "limit", "service = [\"udp\"]\nrate = 1\nper = \"rule\""),
        china("mail", "reject", "service = [\"tcp/25\", \"udp/25\"]\nfrom = 1970-01-01T00:01:40Z"),
        china("ping", "drop", "service = [58]"),
        "[[rule]]\nname = \"care\"\nsource.any = true\naction = \"tag\"\nmark = 7\nservice = [\"tcp\", 253]\n".to_owned(),
    ]
    .concat()
}

/// What the host's engine counts a frame as at that time, where it belongs to no connection, every bucket is empty and every
/// answer may be sent.
fn judged<'a>(compiled: &Compiled, slots: &'a Slots, frame: &[u8], now: u64) -> &'a Outcome {
    let judge =
        |over| compiled.judge_in(frame, Circumstances { now, over, ..Circumstances::default() }).outcome;
    let [full, empty] = [false, true].map(judge);
    let outcome = if full.verdict == Verdict::Reject { full } else { empty };
    let counted = slots.outcome(outcome.slot).expect("a slot of the policy");
    assert_eq!(counted.verdict, Some(outcome.verdict));
    counted
}

#[test]
fn what_is_explained_is_what_the_engine_does_to_such_a_packet_at_that_time() {
    let (config, databases) = opened(&intricate());
    let times = [0, 99, 100, 101, 175, 249, 250, 299, 300, 1000];
    let mut compared = 0;
    // Loaded for any time, and at that time or before it.
    for loaded in [None, Some(0), Some(100), Some(250), Some(300)] {
        let classified = classify(&config, &databases, loaded.map(|second| second * SECOND));
        let mut compilation = classified.expect("fits").build(&config).expect("fits");
        let mut slots = Slots::new();
        compilation.assign(&mut slots, &[], |_| Counter::default()).expect("fits");
        for at in times.into_iter().filter(|&at| loaded.is_none_or(|loaded| loaded <= at)) {
            for (purpose, packet) in packets() {
                let question = Question { service: Some(purpose), at: at * SECOND };
                let explainer = Explainer::new(&config, &databases, question).expect("fits");
                for source in SOURCES.map(|source| source.parse::<IpAddr>().expect("an address")) {
                    let expected = judged(&compilation.compiled, &slots, &packet(source), at * SECOND);
                    let what = format!("{source} {purpose:?} at {at}, loaded at {loaded:?}");
                    assert_eq!(explainer.outcome(source, question), *expected, "{what}");
                    let (told, brief) = (explainer.explain(source), explainer.brief(source));
                    let expected = (expected.verdict.map(Verdict::as_str), &expected.rule);
                    assert_eq!((Some(told.verdict.as_str()), &told.rule), expected, "{what}");
                    assert_eq!((Some(brief.verdict.as_str()), &brief.rule), expected, "{what}");
                    compared += 1;
                }
            }
        }
    }
    assert!(compared > 2000, "{compared}");
}

type Packet = Box<dyn Fn(IpAddr) -> Vec<u8>>;

/// Packets for services, as `--port` names these.
fn packets() -> Vec<(Purpose, Packet)> {
    fn here(source: IpAddr) -> IpAddr {
        let here = if source.is_ipv4() { "9.9.9.9" } else { "2a00::9" };
        here.parse().expect("an address")
    }
    let mut packets: Vec<(Purpose, Packet)> = Vec::new();
    for port in [25, 443, 8443, 1] {
        packets.push((
            Purpose::Protocol(6, Some(port)),
            Box::new(move |source| tcp(source, here(source)).ports(9, port).frame()),
        ));
        packets.push((
            Purpose::Protocol(17, Some(port)),
            Box::new(move |source| udp(source, here(source)).ports(9, port).frame()),
        ));
    }
    for number in [1, 47, 50, 58, 132, 253] {
        packets.push((
            Purpose::Protocol(number, None),
            Box::new(move |source| other(source, here(source), number).payload(&[0; 8]).frame()),
        ));
    }
    packets.push((Purpose::Icmp, Box::new(|source| icmp(source, here(source)).frame())));
    packets
}

#[test]
fn a_source_is_explained_to_be_in_a_ramp_exactly_when_its_turn_has_come() {
    let (config, databases) =
        opened(&china("ramps", "drop", "from = 1970-01-01T00:01:40Z\nramp = \"10000ms\""));
    let ramp = Ramp::new(100 * SECOND, 10 * SECOND);
    for last in 0..=255u32 {
        let address = 0x0100_0200 | last;
        let turn = 100 * SECOND + 1_000_000 * (u64::from(position(Source::V4(address))) + 1);
        for (at, verdict) in [(turn - 1, "pass"), (turn, "drop")] {
            assert_eq!(ramp.applies(position(Source::V4(address)), at), verdict == "drop");
            let explainer =
                Explainer::new(&config, &databases, Question { service: None, at }).expect("fits");
            assert_eq!(explainer.brief(IpAddr::V4(address.into())).verdict, verdict, "{address:#x}");
        }
    }
}
