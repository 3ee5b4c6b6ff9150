//! `octroi explain --live`: by what the daemon has loaded, whatever the files hold by now.

use std::{fs, net::Ipv4Addr, path::Path};

use octroi_gate::corpus::build::udp;
use octroi_tests::{
    command::{self, Finished},
    gate::Gate,
    netns::Lab,
    policy::STORY,
    wait::until,
    wire::Sender,
};
use serde_json::Value;

const BLOCK_CN: &str = "[[rule]]\nname = \"cn\"\nsource = { country = [\"CN\"] }\naction = \"drop\"\n";
const PASS_CN: &str = "[[rule]]\nname = \"china\"\nsource = { country = [\"CN\"] }\naction = \"pass\"\n";

fn explain(gate: &Gate<'_>, address: &str) -> Value {
    gate.octroi(["explain", address, "--json"]).json()
}

fn live(gate: &Gate<'_>, address: &str) -> Value {
    gate.octroi(["explain", address, "--json", "--live"]).json()
}

fn stream(gate: &Gate<'_>, arguments: &[&str], input: &str) -> Finished {
    let command = gate.command(["explain", "-"].iter().chain(arguments));
    command::run_with_input(command, input, command::SHORT)
}

#[test]
fn a_changed_or_broken_configuration_changes_only_what_the_files_say() {
    let lab = Lab::new();
    let gate = Gate::start(&lab, BLOCK_CN);
    let before = live(&gate, "1.0.1.1");
    assert_eq!(before, explain(&gate, "1.0.1.1"), "the same keys, the same words");
    assert_eq!((&before["verdict"], &before["rule"]), (&"drop".into(), &"cn".into()));

    gate.write(PASS_CN);
    let new = explain(&gate, "1.0.1.1");
    assert_eq!((&new["verdict"], &new["rule"]), (&"pass".into(), &"china".into()));
    assert_eq!(live(&gate, "1.0.1.1"), before);
    let text = gate.octroi(["explain", "1.0.1.1", "--live"]).success();
    assert!(text.contains("drop: rule \"cn\""), "{text}");
    let lines = stream(&gate, &["--live"], "1.0.1.1\n8.8.8.8\n").success();
    assert!(lines.starts_with("1.0.1.1 drop cn CN"), "{lines}");

    gate.write("[[rule]]\nname = \"china\"\n");
    assert_eq!(gate.octroi(["explain", "1.0.1.1"]).status.code(), Some(78));
    assert_eq!(live(&gate, "1.0.1.1"), before);
    gate.reload();
    assert_eq!(live(&gate, "1.0.1.1"), before, "a reload that fails changes nothing");

    gate.write(PASS_CN);
    gate.reload().success();
    assert_eq!(live(&gate, "1.0.1.1"), new);
}

#[test]
fn a_replaced_database_is_read_as_it_was_and_an_overwritten_one_is_not_taken_for_it() {
    let lab = Lab::new();
    let mut gate = Gate::prepare(&lab, octroi_tests::gate::Setup::new(""));
    let path = gate.directory().join("country.csv");
    let replace = |path: &Path, text: &str| {
        let new = path.with_extension("new");
        fs::write(&new, text).expect("write into a directory of ours");
        fs::rename(&new, path).expect("rename within a directory of ours");
    };
    replace(&path, "1.0.1.0,1.0.1.255,CN\n");
    // Whatever comes is taken, and only when asked for.
    gate.write(&format!("[geoip]\ncountry = {path:?}\nfollow = false\nmax_change = \"any\"\n{BLOCK_CN}"));
    gate.start_again();
    let before = live(&gate, "1.0.1.1");
    assert_eq!((&before["verdict"], &before["prefix"]), (&"drop".into(), &"1.0.1.0/24".into()));

    replace(&path, "1.0.0.0,1.0.255.255,DE\n");
    assert_eq!(explain(&gate, "1.0.1.1")["country"], "DE");
    assert_eq!(live(&gate, "1.0.1.1"), before);
    fs::remove_file(&path).expect("a file of ours");
    assert_eq!(live(&gate, "1.0.1.1"), before);

    replace(&path, "1.0.0.0,1.0.255.255,DE\n");
    gate.reload().success();
    assert_eq!(live(&gate, "1.0.1.1")["country"], "DE");
    fs::write(&path, "1.0.0.0,1.0.255.255,CN\n").expect("write into a directory of ours");
    let refused = gate.octroi(["explain", "1.0.1.1", "--live"]);
    assert_eq!(refused.status.code(), Some(1), "{refused}");
    for words in [
        "generation 2",
        "country.csv was written into after it was loaded",
        "what the kernel holds for 1.0.1.1: pass by no rule, country DE",
        "octroi reload",
    ] {
        assert!(refused.stderr.contains(words), "no {words:?} in\n{refused}");
    }
    assert!(refused.stdout.is_empty(), "{refused}");
    let refused = stream(&gate, &["--live", "--json"], "1.0.1.1\n1.0.1.2\n");
    assert_eq!(refused.status.code(), Some(1), "{refused}");
    gate.reload().success();
    assert_eq!(live(&gate, "1.0.1.1"), explain(&gate, "1.0.1.1"));
}

#[test]
fn thousands_of_addresses_are_explained_alike_and_none_is_counted() {
    let lab = Lab::new();
    let gate = Gate::start(&lab, &format!("{STORY}\n[policy]\nlocal = \"rules\"\ndefault = \"drop\"\n"));
    let mut input = String::from(
        "240e::1\n2404:7940::1\n2a01:e00::1\n::1\nfe80::1\n::ffff:1.0.1.1\nff02::1\n2001:db8::1\n",
    );
    // All over IPv4, special-purpose space included: more than one batch.
    input.extend((0..6000u32).map(|n| format!("{}\n", Ipv4Addr::from(n.wrapping_mul(0x9e37_79b1)))));
    let files = stream(&gate, &[], &input).success();
    assert_eq!(files.lines().count(), 6008);
    assert!(["drop", "pass", "tag"].iter().all(|verdict| files.contains(&format!(" {verdict} "))), "{files}");
    assert_eq!(stream(&gate, &["--live"], &input).success(), files);
    let few: String = input.split_inclusive('\n').take(700).collect();
    assert_eq!(
        stream(&gate, &["--live", "--json"], &few).success(),
        stream(&gate, &["--json"], &few).success()
    );
    let counted = gate.metrics().sum("octroi_packets_total", &[("country", "CN")]);
    assert!(counted == 0.0, "{counted} packets counted, and none was sent");
}

#[test]
fn what_is_asked_live_is_counted_by_no_rule_and_taken_from_no_bucket() {
    let rule = |name: &str, rest: &str| format!("[[rule]]\nname = {name:?}\nsource.any = true\n{rest}\n");
    let limit = "action = \"limit\"\nrate = 1\nburst = 1\nper = \"rule\"\n";
    let policy = [
        rule("later", "action = \"drop\"\nfrom = 2200-01-01T00:00:00Z"),
        rule("watched", &format!("{limit}observe = true")),
        rule("refused", "action = \"reject\"\nservice = [\"tcp\"]"),
        rule("held", limit),
    ];
    let lab = Lab::new();
    let gate = Gate::start(&lab, &policy.concat());
    for port in ["tcp/443", "udp/443"] {
        let lines = stream(&gate, &["--live", "--port", port], &"1.0.1.1\n240e::1\n".repeat(50)).success();
        assert_eq!(lines.lines().count(), 100, "{lines}");
    }
    let counted = |labels: &[(&str, &str)]| gate.metrics().sum("octroi_rule_packets_total", labels);
    assert_eq!(counted(&[]), 0.0, "{}", gate.describe());
    let pair = lab.pair();
    Sender::new(&lab.outside, &pair.peer)
        .send(&udp(Ipv4Addr::new(1, 0, 1, 1).into(), pair.gate4.into()).frame());
    until("the packet is counted", || counted(&[("rule", "held")]) > 0.0);
    assert_eq!(counted(&[("rule", "held"), ("verdict", "pass")]), 1.0, "{}", gate.describe());
    assert_eq!((counted(&[("rule", "later")]), counted(&[("rule", "watched")])), (1.0, 0.0));
}

#[test]
fn a_line_that_is_no_address_is_answered_and_fails_the_command_at_the_end() {
    let lab = Lab::new();
    let gate = Gate::start(&lab, BLOCK_CN);
    let finished = stream(&gate, &["--live"], "1.0.1\n\n1.0.1.1\n");
    assert_eq!(finished.status.code(), Some(1), "{finished}");
    let lines: Vec<&str> = finished.stdout.lines().collect();
    assert_eq!(lines[0], "line 1: \"1.0.1\" is not an address");
    assert!(lines[1].starts_with("1.0.1.1 drop cn CN"), "{finished}");
    assert!(finished.stderr.contains("not an address: line 1"), "{finished}");
}

#[test]
fn without_a_daemon_there_is_nothing_live_to_explain() {
    let lab = Lab::new();
    let gate = Gate::prepare(&lab, octroi_tests::gate::Setup::new(BLOCK_CN));
    let refused = gate.octroi(["explain", "1.0.1.1", "--live"]);
    assert_eq!(refused.status.code(), Some(1), "{refused}");
    assert!(refused.stderr.contains("is `octroi run` running with this configuration?"), "{refused}");
}
