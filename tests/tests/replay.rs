//! `octroi replay`: both formats, both engines, every packet of the corpus, and captures that hold less than there was.

use std::{fs, net::IpAddr, os::unix::fs::PermissionsExt};

use octroi_gate::corpus::{
    Expect,
    build::{DESTINATION_OPTIONS, cut, tcp, udp},
    corpus,
};
use octroi_tests::{
    capture::{Captured, pcap, pcapng, pcapng_of_simple_packets},
    command::Finished,
    gate::{Gate, Setup, binary},
    netns::Lab,
    policy::STORY,
};
use serde_json::{Value, json};

const ENGINES: [&str; 2] = ["kernel", "host"];

/// Replays a capture under the demo's policy, and what else that is given.
struct Replay<'lab>(Gate<'lab>);

impl<'lab> Replay<'lab> {
    fn new(lab: &'lab Lab, policy: &str) -> Self {
        Replay(Gate::prepare(lab, Setup::new(&format!("{STORY}{policy}"))))
    }

    fn run(&self, capture: &[u8], arguments: &[&str]) -> Finished {
        let path = self.0.directory().join("capture");
        fs::write(&path, capture).expect("write into a directory of ours");
        let path = path.display().to_string();
        self.0.octroi(["replay", &path].iter().chain(arguments))
    }

    /// One JSON object for each packet; nothing else may be said.
    fn lines(&self, capture: &[u8], engine: &str) -> Vec<Value> {
        let finished = self.run(capture, &["--json", "--engine", engine]);
        assert_eq!(finished.stderr, "", "{finished}");
        let text = finished.success();
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
    }
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

#[test]
fn every_packet_of_the_corpus_is_told_alike_by_both_engines_and_in_both_formats() {
    let lab = Lab::new();
    let replay = Replay::new(&lab, "[policy]\nlocal = \"rules\"\ndefault = \"drop\"\n");
    let cases = corpus();
    let packets: Vec<Captured> = cases.iter().map(|case| Captured::whole(&case.frame)).collect();
    assert!(
        cases.iter().any(|case| case.frame.len() > 3000),
        "one that the kernel takes only the beginning of"
    );
    assert!(cases.iter().any(|case| case.frame.len() < 14), "one that the kernel does not take");
    let lines = replay.lines(&pcap(&packets), "kernel");
    for (capture, engine) in
        [(pcap(&packets), "host"), (pcapng(&packets), "kernel"), (pcapng(&packets), "host")]
    {
        assert_eq!(replay.lines(&capture, engine), lines, "{engine}");
    }
    assert_eq!(lines.len(), cases.len());
    for ((number, case), line) in cases.iter().enumerate().zip(&lines) {
        let (source, protocol, port, kind) = match case.expect {
            Expect::Arp => (None, None, None, Some("arp")),
            Expect::NonIp => (None, None, None, Some("non_ip")),
            Expect::NeighbourDiscovery => (None, None, None, Some("neighbour_discovery")),
            Expect::Malformed => (None, None, None, Some("malformed")),
            Expect::Ip { source, protocol, port } => (Some(source.to_string()), protocol, port, None),
        };
        assert_eq!(line["packet"], number + 1, "{}", case.name);
        assert_eq!(
            (&line["source"], &line["protocol"], &line["port"]),
            (&json!(source), &json!(protocol), &json!(port)),
            "{}: {line}",
            case.name
        );
        assert_eq!(line.get("kind"), kind.map(|kind| json!(kind)).as_ref(), "{}: {line}", case.name);
        let verdict = match case.expect {
            Expect::Malformed => "drop",
            Expect::Ip { .. } => continue,
            _ => "pass",
        };
        assert_eq!(line["verdict"], verdict, "{}", case.name);
    }
}

#[test]
fn headers_that_go_on_behind_what_the_kernel_takes_decide_all_the_same() {
    let lab = Lab::new();
    // Cut at 3,000 bytes, these are malformed, which passes under one of the policies.
    let long = |source| {
        let build = tcp(address(source), address("fd00:88::2"));
        build.extension_of(DESTINATION_OPTIONS, 2048).extension_of(DESTINATION_OPTIONS, 2048).frame()
    };
    let frames = [long("240e::1"), long("2404:7940::1"), cut(long("240e::1"), 4000), long("2a02::1")];
    let packets: Vec<Captured> = frames.iter().map(|frame| Captured::whole(frame)).collect();
    for malformed in ["drop", "pass"] {
        let replay = Replay::new(&lab, &format!("[policy]\nmalformed = {malformed:?}\n"));
        for engine in ENGINES {
            let lines = replay.lines(&pcap(&packets), engine);
            let told: Vec<_> =
                lines.iter().map(|line| (&line["verdict"], &line["rule"], &line["port"])).collect();
            let (port, none) = (json!(443), Value::Null);
            assert_eq!(
                told,
                [
                    (&json!("drop"), &json!("unsupported-regions"), &port),
                    (&json!("pass"), &json!("partner"), &port),
                    (&json!(malformed), &none, &none),
                    (&json!("pass"), &none, &port),
                ],
                "{engine}"
            );
        }
    }
}

#[test]
fn a_line_has_the_keys_that_scripts_count_on() {
    let lab = Lab::new();
    let replay = Replay::new(&lab, "");
    let here = address("10.88.0.2");
    let frames = [
        tcp(address("1.0.1.1"), here).ports(4000, 8443).frame(),
        udp(address("2a01:e00::1"), address("fd00:88::2")).frame(),
        udp(address("203.0.113.9"), here).frame(),
        cut(udp(address("1.0.1.1"), here).frame(), 30),
    ];
    let packets: Vec<Captured> = frames.iter().map(|frame| Captured::whole(frame)).collect();
    for engine in ENGINES {
        assert_eq!(
            replay.lines(&pcapng(&packets), engine),
            [
                json!({"packet": 1, "source": "1.0.1.1", "country": "CN", "protocol": 6, "port": 8443,
                       "verdict": "drop", "rule": "unsupported-regions"}),
                json!({"packet": 2, "source": "2a01:e00::1", "country": "FR", "protocol": 17, "port": 443,
                       "verdict": "pass", "rule": null, "observed": ["next-in-line"]}),
                json!({"packet": 3, "source": "203.0.113.9", "country": "unknown", "protocol": 17, "port": 443,
                       "verdict": "pass", "rule": null}),
                json!({"packet": 4, "source": null, "country": null, "protocol": null, "port": null,
                       "verdict": "drop", "rule": null, "kind": "malformed"}),
            ]
        );
    }
}

#[test]
fn packets_are_judged_as_if_they_came_at_the_time_that_is_given() {
    let lab = Lab::new();
    let timed = "[[rule]]\nname = \"web\"\nsource.country = [\"JP\"]\nservice = [\"tcp/443\"]\naction = \"drop\"\n\
                 from = 2026-07-09T00:00:00Z\nuntil = 2026-08-09T00:00:00Z\n";
    let replay = Replay::new(&lab, timed);
    let here = address("10.88.0.2");
    let japan = address("1.0.16.1");
    let frames = [
        tcp(japan, here).frame(),
        tcp(japan, here).ports(4000, 80).frame(),
        // A later fragment may be for port 443.
        tcp(japan, here).payload(&[7; 24]).fragment(3, false).frame(),
        tcp(address("1.0.1.1"), here).frame(),
    ];
    let capture = pcap(&frames.iter().map(|frame| Captured::whole(frame)).collect::<Vec<_>>());
    let [before, during] = ["2026-07-08T23:59:59.999999999Z", "2026-07-09T00:00:00Z"];
    for engine in ENGINES {
        for (at, verdicts, observed) in [
            (before, ["pass", "pass", "pass", "drop"], json!(["web"])),
            (during, ["drop", "pass", "drop", "drop"], Value::Null),
            ("2026-08-08T23:59:59.999999999Z", ["drop", "pass", "drop", "drop"], Value::Null),
            ("2026-08-09T00:00:00Z", ["pass", "pass", "pass", "drop"], Value::Null),
        ] {
            let finished = replay.run(&capture, &["--json", "--engine", engine, "--at", at]);
            let text = finished.success();
            let lines: Vec<Value> = text
                .lines()
                .map(|line| serde_json::from_str(line).expect("an object on each line"))
                .collect();
            let found: Vec<_> = lines.iter().map(|line| &line["verdict"]).collect();
            assert_eq!(found, verdicts, "{engine} at {at}");
            let seen: Vec<_> = lines.iter().map(|line| &line["observed"]).collect();
            assert_eq!(seen, [&observed, &Value::Null, &observed, &Value::Null], "{engine} at {at}");
            let rule = if verdicts[0] == "drop" { json!("web") } else { Value::Null };
            assert_eq!((&lines[0]["rule"], &lines[2]["rule"]), (&rule, &rule), "{engine} at {at}");
        }
    }
    // What is no time is wrong usage.
    let finished = replay.run(&capture, &["--json", "--at", "July"]);
    assert_eq!(finished.status.code(), Some(2), "{finished}");
}

#[test]
fn the_table_adds_up_packets_and_bytes_on_the_wire() {
    let lab = Lab::new();
    let replay = Replay::new(&lab, "");
    let frame = |source| udp(address(source), address("10.88.0.2")).payload(&[7; 100]).frame();
    let packets: Vec<Captured> = ["1.0.1.1", "8.8.8.8", "1.0.1.2", "5.1.64.1", "1.0.1.1"]
        .iter()
        .map(|source| Captured::snapped(&frame(source), 60))
        .collect();
    for engine in ENGINES {
        let finished = replay.run(&pcapng(&packets), &["--engine", engine]);
        let text = finished.clone().success();
        assert!(text.starts_with(&format!("engine {engine}\n")), "{finished}");
        let row = |words: &[&str]| {
            let found = text.lines().any(|line| line.split_whitespace().eq(words.iter().copied()));
            assert!(found, "no {words:?} in\n{finished}");
        };
        row(&["drop", "CN", "unsupported-regions", "3", "426"]);
        row(&["pass", "US", "-", "1", "142"]);
        row(&["tag", "DE", "handle-with-care", "1", "142"]);
    }
}

#[test]
fn packets_that_a_snap_length_has_cut_are_counted_and_warned_of_once() {
    let lab = Lab::new();
    let replay = Replay::new(&lab, "");
    let frame = |source| tcp(address(source), address("10.88.0.2")).payload(&[7; 100]).frame();
    let packets = [
        Captured::whole(&frame("8.8.8.8")),
        // All of the headers, and not all of them.
        Captured::snapped(&frame("8.8.8.8"), 60),
        Captured::snapped(&frame("8.8.8.8"), 40),
        Captured::snapped(&frame("1.0.1.1"), 30),
    ];
    let (first, third) = (frame("8.8.8.8"), frame("1.0.1.1"));
    let simple = pcapng_of_simple_packets(38, &[&first[..38], &first, &third]);
    let one_of_three =
        "octroi: 3 packets were captured only in part (snap length): 2 of them count as malformed";
    let all_malformed =
        "octroi: 2 packets were captured only in part (snap length): 2 of them count as malformed";
    for (capture, expected, whole) in [
        (pcap(&packets), one_of_three, 2),
        (pcapng(&packets), one_of_three, 2),
        // The first is 38 bytes long as well, and says so: malformed by itself.
        (simple, all_malformed, 0),
    ] {
        for arguments in [&["--engine", "host"][..], &["--engine", "kernel"], &["--engine", "host", "--json"]]
        {
            let finished = replay.run(&capture, arguments);
            assert!(finished.stderr.starts_with(expected), "{finished}");
            assert_eq!(finished.stderr.lines().count(), 1, "{finished}");
            assert!(finished.stderr.contains("tcpdump -s 0"), "{finished}");
            if arguments.contains(&"--json") {
                let passed = finished.stdout.lines().filter(|line| line.contains("\"verdict\":\"pass\""));
                assert_eq!(passed.count(), whole, "{finished}");
            }
            finished.success();
        }
    }
}

#[test]
fn a_capture_that_is_damaged_or_no_ethernet_is_refused_by_name() {
    let lab = Lab::new();
    let replay = Replay::new(&lab, "");
    let packets = [Captured::whole(&udp(address("8.8.8.8"), address("10.88.0.2")).frame())];
    let sound = pcap(&packets);
    // LINKTYPE_LINUX_SLL, which tcpdump -i any writes.
    let mut cooked = sound.clone();
    cooked[20] = 113;
    for (capture, words) in [
        (sound[..sound.len() - 1].to_vec(), "is damaged after packet 0: it ends too early"),
        (cooked, "has link type 113"),
        (b"not a capture at all, but text".to_vec(), "neither pcap nor pcapng"),
    ] {
        let finished = replay.run(&capture, &["--engine", "host"]);
        assert_eq!(finished.status.code(), Some(1), "{finished}");
        assert!(finished.stderr.contains(words), "no {words:?} in\n{finished}");
    }
}

#[test]
fn a_process_with_less_address_space_than_a_gibibyte_loads_the_program() {
    let lab = Lab::new();
    let folder = tempfile::tempdir().expect("a temporary directory");
    let script = folder.path().join("octroi");
    let text = format!("#!/bin/sh\nexec prlimit --as={} {} \"$@\"\n", 800 << 20, binary().display());
    fs::write(&script, text).expect("write into a directory of ours");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("a file of ours");
    let replay = Replay(Gate::prepare(&lab, Setup { binary: Some(script), ..Setup::new(STORY) }));
    let frame = udp(address("1.0.1.1"), lab.pair().gate4.into()).frame();
    assert_eq!(replay.lines(&pcap(&[Captured::whole(&frame)]), "kernel").len(), 1);
}
