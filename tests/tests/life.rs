//! The daemon's life: start, reload, stop, crash, what stands in its way, and what it leaves behind.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use octroi_tests::{
    command,
    gate::{Gate, Setup},
    link,
    netns::Lab,
    policy::STORY,
    said::refused,
    traffic::lets_china_in,
    wait,
};

const BLOCK_CN: &str = "[[rule]]\nname = \"cn\"\nsource = { country = [\"CN\"] }\naction = \"drop\"\n";

/// The ids of the links that are pinned below a directory.
fn pinned_links(directory: &Path) -> Vec<u64> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display())) {
        let path = entry.expect("an entry of a directory of ours").path();
        if path.is_dir() {
            found.extend(pinned_links(&path));
        } else if ["xdp-", "tc-"]
            .iter()
            .any(|kind| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(kind)))
        {
            let mut bpftool = Command::new("bpftool");
            bpftool.args(["-j", "link", "show", "pinned"]).arg(path);
            found.push(command::run(bpftool, command::SHORT).json()["id"].as_u64().expect("a number"));
        }
    }
    found
}

/// Whether the kernel still has any of these links.
fn any_exists(links: &[u64]) -> bool {
    let mut bpftool = Command::new("bpftool");
    bpftool.args(["-j", "link", "show"]);
    let all = command::run(bpftool, command::SHORT).json();
    let ids: Vec<u64> = all.as_array().into_iter().flatten().filter_map(|link| link["id"].as_u64()).collect();
    links.iter().any(|link| ids.contains(link))
}

#[test]
fn sigterm_leaves_the_gate_closed_and_the_next_daemon_counts_on() {
    let lab = Lab::new();
    let mut gate = Gate::start(&lab, BLOCK_CN);
    assert!(!lets_china_in(&lab, lab.pair()));
    assert!(gate.stop().success(), "{}", gate.describe());
    assert!(!lets_china_in(&lab, lab.pair()), "nobody watches, and the gate is closed");
    gate.start_again();
    assert!(!lets_china_in(&lab, lab.pair()));
    let dropped = [("country", "CN"), ("verdict", "drop")];
    assert_eq!(gate.metrics().sum("octroi_packets_total", &dropped), 3.0, "{}", gate.describe());
    assert_eq!(gate.metrics().sum("octroi_rule_packets_total", &[("rule", "cn")]), 3.0);

    // With another policy, what was counted for rules that are gone stays, and what is new begins at 0.
    assert!(gate.stop().success());
    gate.write(&BLOCK_CN.replace("\"cn\"", "\"other\""));
    gate.start_again();
    assert!(!lets_china_in(&lab, lab.pair()));
    let rule = |name: &str| gate.metrics().sum("octroi_rule_packets_total", &[("rule", name)]);
    assert_eq!((rule("cn"), rule("other")), (3.0, 1.0), "{}", gate.describe());
    assert_eq!(gate.metrics().sum("octroi_packets_total", &dropped), 4.0);

    // Who detaches begins anew.
    gate.stop();
    gate.octroi(["detach"]).success();
    gate.start_again();
    assert_eq!(gate.metrics().sum("octroi_packets_total", &dropped), 0.0);
}

#[test]
fn sigterm_detaches_where_it_is_asked_to_and_leaves_nothing_behind() {
    let lab = Lab::new();
    // One that tags, too: there is a link at XDP and one at tc.
    let setup = Setup { control: "on_stop = \"detach\"".into(), ..Setup::new(STORY) };
    let mut gate = Gate::start_with(&lab, setup);
    assert!(!lets_china_in(&lab, lab.pair()));
    assert_eq!(gate.status()["interfaces"][0]["mode"], "native");
    let links = pinned_links(gate.pins());
    assert_eq!(links.len(), 2, "{links:?}");
    assert!(any_exists(&links[..1]) && any_exists(&links[1..]), "{links:?}");
    let attached = |lab: &Lab| lab.inside.link(&lab.pair().gate).get("xdp").is_some();
    assert!(attached(&lab), "{}", lab.describe());

    assert!(gate.stop().success(), "{}", gate.describe());
    // The kernel takes links apart some milliseconds after their pins are gone.
    wait::until("nothing is dropped", || lets_china_in(&lab, lab.pair()));
    assert!(!gate.pins().exists(), "{} is still there", gate.pins().display());
    assert!(!attached(&lab), "{}", lab.describe());
    wait::until("no link is left", || !any_exists(&links));
    let socket = gate.directory().join("octroi.sock");
    assert!(!socket.exists(), "{} is still there", socket.display());
}

#[test]
fn whoever_asks_while_a_daemon_detaches_closes_no_gate_again() {
    let lab = Lab::new();
    let setup = Setup { control: "on_stop = \"detach\"".into(), ..Setup::new(BLOCK_CN) };
    let mut gate = Gate::start_with(&lab, setup);
    for _ in 0..10 {
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !done.load(std::sync::atomic::Ordering::Relaxed) {
                        // Nobody answers at the end.
                        let _ = octroi_tests::prom::get(&lab.inside, 9462, "/healthz");
                    }
                });
            }
            let ended = gate.stop();
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(ended.success());
        });
        wait::until("nothing is dropped", || lets_china_in(&lab, lab.pair()));
        gate.start_again();
    }
}

#[test]
fn a_killed_daemon_leaves_the_gate_closed_and_the_next_one_takes_it_over() {
    let lab = Lab::new();
    let mut gate = Gate::start(&lab, BLOCK_CN);
    gate.kill();
    assert!(!lets_china_in(&lab, lab.pair()), "nobody watches, and the gate is closed");
    gate.start_again();
    assert!(gate.log().contains("taking over"), "{}", gate.log());
    assert!(!lets_china_in(&lab, lab.pair()));
    gate.kill();
    let detached = gate.octroi(["detach"]).success();
    assert!(detached.starts_with("detached: 1"), "{detached}");
    wait::until("nothing is dropped", || lets_china_in(&lab, lab.pair()));
}

#[test]
fn detach_refuses_while_a_daemon_runs() {
    let lab = Lab::new();
    let gate = Gate::start(&lab, BLOCK_CN);
    let what_to_do =
        ["octroi runs as process", "stop it (", "run `octroi detach` then", "on_stop = \"detach\""];
    refused(&gate.octroi(["detach"]), 1, &what_to_do);
    assert!(!lets_china_in(&lab, lab.pair()));
}

#[test]
fn a_second_daemon_is_refused_and_the_first_goes_on() {
    let lab = Lab::new();
    let gate = Gate::start(&lab, BLOCK_CN);
    refused(&gate.run_to_end(), 1, &["another octroi", &gate.pid().to_string()]);
    assert!(!lets_china_in(&lab, lab.pair()));
}

#[test]
fn a_foreign_program_is_named_and_left_alone() {
    let lab = Lab::new();
    // Any XDP program will do: octroi's own, attached by somebody else's hand.
    let mut first = Gate::start(&lab, BLOCK_CN);
    first.kill();
    let other = Gate::prepare(&lab, Setup::new(BLOCK_CN));
    refused(&other.run_to_end(), 1, &["attach XDP to gate0", "another XDP program", "bpftool prog show id"]);
    assert!(!lets_china_in(&lab, lab.pair()));
    first.octroi(["detach"]).success();
}

#[test]
fn a_start_that_fails_leaves_the_policy_of_before() {
    let mut lab = Lab::new();
    lab.add_pair();
    let mut other = Gate::start_with(&lab, Setup { interfaces: vec!["gate1".into()], ..Setup::new("") });
    other.kill();
    let mut gate = Gate::start(&lab, BLOCK_CN);
    gate.kill();
    let text = gate.text("").replace("\"gate0\"", "\"gate0\", \"gate1\"");
    fs::write(gate.config(), text).expect("a file of ours");
    refused(&gate.run_to_end(), 1, &["attach XDP to gate1: another XDP program"]);
    assert!(!lets_china_in(&lab, lab.pair()));
    other.octroi(["detach"]).success();
    gate.start_again();
    assert!(lets_china_in(&lab, lab.pair()));
}

/// The pin of gate0's link.
fn link_pin(gate: &Gate<'_>) -> PathBuf {
    let version =
        fs::read_dir(gate.pins()).expect("pins").next().expect("a version").expect("an entry").path();
    let pins = fs::read_dir(&version).expect("pins").map(|pin| pin.expect("an entry").path());
    pins.into_iter().find(|pin| pin.to_string_lossy().contains("/xdp-")).expect("a link")
}

#[test]
fn an_interface_where_another_generation_runs_steps_to_the_current_one() {
    let lab = Lab::new();
    let gate = Gate::start(&lab, "");
    let id = lab.inside.link("gate0")["xdp"]["prog"]["id"].to_string();
    let link = link_pin(&gate);
    // Where a generation could not be stepped back from, two run.
    let kept = gate.pins().join("former");
    let mut pin = Command::new("bpftool");
    pin.args(["prog", "pin", "id", &id]).arg(&kept);
    command::run(pin, command::SHORT).success();
    gate.write(BLOCK_CN);
    gate.reload().success();
    assert!(!lets_china_in(&lab, lab.pair()));
    link::step(&link, &kept);
    fs::remove_file(&kept).expect("pinned above");
    wait::until("stepped", || gate.log().contains("gate0: another generation ran there"));
    assert!(!lets_china_in(&lab, lab.pair()));
    assert_eq!((gate.health(), &gate.status()["generation"]), (200, &2.into()));
    assert!(!gate.log().contains("detached"), "{}", gate.log());
}

#[test]
fn interfaces_are_followed_as_they_come_and_go() {
    let lab = Lab::new();
    let setup = Setup { interfaces: vec!["gate*".into(), "later0".into()], ..Setup::new(BLOCK_CN) };
    let gate = Gate::start_with(&lab, setup);
    assert!(
        gate.log().contains("attach XDP to later0: no such interface (interfaces here:"),
        "{}",
        gate.log()
    );
    gate.namespace().ip("link add later0 type veth peer name later1");
    let names = |gate: &Gate<'_>| -> Vec<String> {
        let status = gate.status();
        let interfaces = status["interfaces"].as_array().expect("a list").clone();
        interfaces.iter().map(|one| one["name"].as_str().unwrap_or_default().to_owned()).collect()
    };
    wait::until("later0 is filtered", || names(&gate) == ["gate0", "later0"]);
    assert_eq!(gate.health(), 200);
    gate.namespace().ip("link del later0");
    wait::until("later0 is forgotten", || names(&gate) == ["gate0"]);
    assert_eq!(gate.health(), 200);
}

#[test]
fn an_interface_that_appears_during_a_reload_does_not_wait_for_it() {
    let lab = Lab::new();
    let setup = Setup { interfaces: vec!["gate0".into(), "later0".into()], ..Setup::new("") };
    let gate = Gate::start_with(&lab, setup);
    // Some seconds of work.
    let list: String =
        (0..600_000u32).map(|n| format!("{}\n", Ipv4Addr::from(0x0b00_0000 + 7 * n))).collect();
    fs::write(gate.directory().join("long.txt"), list).expect("a directory of ours");
    gate.write("[[rule]]\nname = \"long\"\nsource = { list = [\"long.txt\"] }\naction = \"drop\"\n");
    thread::scope(|scope| {
        let reload = scope.spawn(|| gate.reload().success());
        thread::sleep(Duration::from_millis(100));
        gate.namespace().ip("link add later0 type veth peer name later1");
        reload.join().expect("it says what is wrong");
    });
    let log = gate.log();
    let at = |words: &str| log.rfind(words).unwrap_or_else(|| panic!("no {words:?} in\n{log}"));
    assert!(at("attached interface=\"later0\"") < at("stepped to the new program"), "{log}");
    assert!(gate.namespace().link("later0")["xdp"]["prog"]["id"].is_u64());
}

#[test]
fn an_interface_that_is_renamed_is_filtered_by_its_name() {
    let lab = Lab::new();
    let setup = Setup { interfaces: vec!["gate*".into(), "later*".into()], ..Setup::new(BLOCK_CN) };
    let gate = Gate::start_with(&lab, setup);
    gate.namespace().ip("link add other0 type veth peer name other1");
    let filtered = |name: &str| gate.namespace().link(name)["xdp"]["prog"]["id"].is_u64();
    assert!(!filtered("other0"));
    gate.namespace().ip("link set other0 name later0");
    wait::until("its name is one of ours", || filtered("later0"));
    gate.namespace().ip("link set later0 name later1");
    gate.reload().success();
    assert!(filtered("later1"), "one of ours has another name");
    assert_eq!(gate.status()["interfaces"][1]["name"], "later1");
    // Nobody said that it is to be open; whoever reloads says so.
    gate.namespace().ip("link set later1 name other0");
    wait::until("its name is known", || gate.status()["interfaces"][1]["name"] == "other0");
    assert!(filtered("other0"));
    refused(&gate.reload(), 1, &["hold interfaces: other0", "\"later*\", which is not there"]);
    gate.octroi(["reload", "--accept"]).success();
    assert!(!filtered("other0"));
    assert_eq!(gate.health(), 200);
    assert!(!lets_china_in(&lab, lab.pair()));
}

#[test]
fn an_invalid_configuration_ends_with_78_and_leaves_a_running_gate_alone() {
    let lab = Lab::new();
    let gate = Gate::start(&lab, BLOCK_CN);
    gate.write("[[rule]]\nname = \"cn\"\nsource = { contry = [\"CN\"] }\naction = \"drop\"\n");
    refused(&gate.reload(), 78, &["octroi.toml:", "contry", "did you mean \"country\"?"]);
    refused(&gate.octroi(["check"]), 78, &["contry"]);
    let status = gate.status();
    assert_eq!(status["generation"], 1);
    assert_eq!(status["last_reload"]["result"], "failure");
    assert_eq!(gate.metrics().sum("octroi_config_last_reload_successful", &[]), 0.0);
    assert!(!lets_china_in(&lab, lab.pair()));
    gate.write("");
    gate.reload().success();
    assert!(lets_china_in(&lab, lab.pair()));
    assert_eq!(gate.status()["generation"], 2);
    let metrics = gate.metrics();
    assert_eq!(metrics.sum("octroi_packets_total", &[("country", "CN"), ("verdict", "drop")]), 1.0);
    assert_eq!(metrics.sum("octroi_packets_total", &[("country", "CN"), ("verdict", "pass")]), 1.0);
}

#[test]
fn damaged_and_wrong_databases_end_with_78_and_leave_a_running_gate_alone() {
    let lab = Lab::new();
    let gate = Gate::start(&lab, BLOCK_CN);
    let testdata = concat!(env!("CARGO_MANIFEST_DIR"), "/../userspace/testdata/mmdb");
    let sound = fs::read(format!("{testdata}/GeoIP2-Country-Test.mmdb")).expect("an official test file");
    let path = gate.directory().join("country.mmdb");
    let mut flipped = sound.clone();
    let middle = flipped.len() / 3;
    for byte in &mut flipped[middle..middle + 64] {
        *byte ^= 0xff;
    }
    let asn = fs::read(format!("{testdata}/GeoLite2-ASN-Test.mmdb")).expect("an official test file");
    let cases: [(&str, Vec<u8>, &str); 5] = [
        ("an ASN file", asn, "ASN"),
        ("cut short", sound[..sound.len() / 2].to_vec(), "country.mmdb"),
        ("bits flipped", flipped, "country.mmdb"),
        ("empty", Vec::new(), "empty"),
        ("text", b"not a database at all\n".to_vec(), "country.mmdb"),
    ];
    gate.write(&format!("[geoip]\ncountry = {path:?}\n{BLOCK_CN}"));
    for (name, bytes, words) in cases {
        fs::write(&path, bytes).expect("write into a directory of ours");
        let finished = gate.reload();
        refused(&finished, 78, &["country.mmdb", words]);
        assert_eq!(gate.status()["generation"], 1, "{name}");
    }
    assert!(!lets_china_in(&lab, lab.pair()));
    fs::write(&path, sound).expect("write into a directory of ours");
    // Whole, and tiny beside the embedded table.
    refused(&gate.reload(), 1, &["hold the country database", "CN (China)", "octroi reload --accept"]);
    assert_eq!(gate.status()["generation"], 1);
    gate.octroi(["reload", "--accept"]).success();
    assert_eq!(gate.status()["databases"][0]["type"], "GeoIP2-Country");
}

#[test]
fn without_a_daemon_status_says_what_is_filtered() {
    let lab = Lab::new();
    let mut gate = Gate::start(&lab, BLOCK_CN);
    gate.kill();
    let goes_on =
        ["is `octroi run` running", "the gate goes on without a daemon, by what is pinned in ", ", on gate0"];
    refused(&gate.octroi(["status"]), 1, &goes_on);
    gate.octroi(["detach"]).success();
    refused(&gate.octroi(["status"]), 1, &["nothing is filtered here by what is pinned in "]);
}

#[test]
fn a_wrong_usage_ends_with_2() {
    let lab = Lab::new();
    let gate = Gate::prepare(&lab, Setup::new(""));
    refused(&gate.octroi(["explain", "1.2.3"]), 2, &["IPv4 or IPv6 address"]);
    refused(&gate.octroi(["explode"]), 2, &["explode"]);
}

#[test]
fn explain_answers_lines_and_one_address_alike() {
    let lab = Lab::new();
    let gate = Gate::prepare(&lab, Setup::new(BLOCK_CN));
    let json = gate.octroi(["explain", "1.0.1.1", "--json"]).json();
    assert_eq!((json["verdict"].as_str(), json["rule"].as_str()), (Some("drop"), Some("cn")));
    assert_eq!(json["prefix"], "1.0.1.0/24");
    let command: Command = gate.command(["explain", "-"]);
    let lines = command::run_with_input(command, "1.0.1.1\n8.8.8.8\n::1\n", command::SHORT).success();
    let lines: Vec<&str> = lines.lines().collect();
    assert!(lines[0].starts_with("1.0.1.1 drop cn CN"), "{lines:?}");
    assert!(lines[1].starts_with("8.8.8.8 pass - US AS15169"), "{lines:?}");
    assert!(lines[2].starts_with("::1 pass - local"), "{lines:?}");
}
