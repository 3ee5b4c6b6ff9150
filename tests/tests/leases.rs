//! `octroi lease` end to end: what real packets and connections meet, what the daemon keeps, and what it refuses.

use std::{
    fs,
    io::Read,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use octroi_gate::corpus::build::udp;
use octroi_tests::{
    arrive::arriving,
    command::{self, Finished},
    echo::{serve, talks},
    gate::{Gate, Setup},
    netns::Lab,
    nft::Counters,
    said::refused,
    socket::connect,
    traffic::Traffic,
    wait,
    wire::Sender,
};
use serde_json::Value;

const BLOCK_CN: &str = "[[rule]]\nname = \"cn\"\nsource = { country = [\"CN\"] }\naction = \"drop\"\n";
/// China, twice in each family.
const CN: [&str; 2] = ["1.0.1.1", "1.0.1.2"];
const CN6: [&str; 2] = ["240e::1", "240e::2"];
const US: &str = "8.8.8.8";

fn add(gate: &Gate<'_>, prefix: &str, action: &str, ttl: &str) -> Finished {
    gate.octroi(["lease", "add", prefix, "--action", action, "--ttl", ttl])
}

/// `lease list --json`: whether a daemon runs, and prefix and action of each.
fn listed(gate: &Gate<'_>) -> (bool, Vec<(String, String)>) {
    let list = gate.octroi(["lease", "list", "--json"]).json();
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{list}")).to_owned();
    let leases = list["leases"].as_array().unwrap_or_else(|| panic!("{list}"));
    let leases = leases.iter().map(|lease| (text(&lease["prefix"]), text(&lease["action"]))).collect();
    (list["daemon"].as_bool().unwrap_or_else(|| panic!("{list}")), leases)
}

fn pairs(leases: &[(&str, &str)]) -> Vec<(String, String)> {
    leases.iter().map(|(prefix, action)| ((*prefix).to_owned(), (*action).to_owned())).collect()
}

#[test]
fn a_lease_lets_one_source_in_and_out_again_with_nobody_watching() {
    let lab = Lab::new();
    let mut gate = Gate::start(&lab, BLOCK_CN);
    let all = [CN[0], CN[1], CN6[0], CN6[1]];
    assert_eq!(arriving(&lab, &all), [""; 0]);
    let began = Instant::now();
    let added = add(&gate, CN[0], "pass", "6s").success();
    assert!(added.starts_with("added: 1.0.1.1/32 pass until 20"), "{added}");
    add(&gate, CN6[0], "pass", "6s").success();
    assert_eq!(arriving(&lab, &all), [CN[0], CN6[0]], "in at once");
    gate.kill();
    assert_eq!(arriving(&lab, &all), [CN[0], CN6[0]], "nobody watches, and they hold");
    assert!(began.elapsed() < Duration::from_secs(6), "too slow a machine for this test");
    assert_eq!(listed(&gate), (false, pairs(&[("1.0.1.1/32", "pass"), ("240e::1/128", "pass")])));
    wait::until("both are over", || arriving(&lab, &all).is_empty());
    assert!(began.elapsed() >= Duration::from_secs(6), "over after {:?}", began.elapsed());
    assert_eq!(listed(&gate), (false, vec![]), "the file has them, and they are over");

    gate.start_again();
    assert_eq!((listed(&gate), &gate.status()["leases"]), ((true, vec![]), &0.into()));
    assert_eq!(arriving(&lab, &all), [""; 0]);
}

#[test]
fn a_ban_cuts_a_connection_at_once_and_its_removal_lets_it_go_on() {
    let lab = Lab::new();
    let source: IpAddr = US.parse().expect("an address");
    lab.give_source(source);
    serve(&lab, 443);
    let gate = Gate::start(&lab, "");
    let here = SocketAddr::new(lab.pair().here(source), 443);
    let mut stream = connect(&lab.outside, source, here, Duration::from_secs(2)).expect("nothing is dropped");
    stream.set_read_timeout(Some(Duration::from_millis(500))).expect("a socket of ours");
    assert!(talks(&mut stream));
    let banned = gate.octroi([
        "lease",
        "add",
        "8.8.8.0/24",
        "--action",
        "drop",
        "--ttl",
        "1h",
        "--reason",
        "abuse\u{1b}[2J, ticket 7",
    ]);
    banned.success();
    assert!(gate.log().contains("(abuse\\u{1b}[2J, ticket 7)"), "{}", gate.log());
    assert!(!talks(&mut stream), "established, and cut");
    let list = gate.octroi(["lease", "list"]).success();
    assert!(list.starts_with("8.8.8.0/24"), "{list}");
    for words in ["drop  until 20", " left)  ", "# abuse\\u{1b}[2J, ticket 7"] {
        assert!(list.contains(words), "no {words:?} in {list}");
    }

    let removed = gate.octroi(["lease", "remove", "8.8.8.0/24"]).success();
    assert!(removed.starts_with("removed: 8.8.8.0/24 drop until 20"), "{removed}");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket of ours");
    let mut back = [0; 5];
    stream.read_exact(&mut back).expect("what was said under the ban is sent again");
    assert!(talks(&mut stream));
    assert_eq!(listed(&gate), (true, vec![]));
}

#[test]
fn leases_survive_restarts_and_reloads_and_are_changed_in_place() {
    let lab = Lab::new();
    let mut gate = Gate::start(&lab, BLOCK_CN);
    add(&gate, "1.0.1.1", "pass", "1h").success();
    add(&gate, "8.0.0.0/8", "drop", "1h").success();
    let holds = |lab: &Lab| assert_eq!(arriving(lab, &[CN[0], CN[1], US]), [CN[0]]);
    holds(&lab);
    gate.write(&format!("{BLOCK_CN}[policy]\ndefault = \"drop\"\n"));
    gate.reload().success();
    holds(&lab);
    gate.write("");
    gate.reload().success();
    assert_eq!(arriving(&lab, &[CN[0], CN[1], US]), CN, "the rule is gone, the leases are not");
    gate.write(BLOCK_CN);
    gate.kill();
    gate.start_again();
    holds(&lab);
    assert!(gate.log().contains("2 leases of"), "{}", gate.log());
    gate.stop();
    gate.start_again();
    holds(&lab);
    assert_eq!(gate.status()["leases"], 2);
    let text = gate.octroi(["status"]).success();
    assert!(text.lines().any(|line| line.split_whitespace().eq(["leases", "2"])), "{text}");

    let replaced = add(&gate, "1.0.1.1/32", "drop", "2h").success();
    assert!(replaced.contains("; it replaces pass until 20"), "{replaced}");
    assert_eq!(arriving(&lab, &[CN[0], CN[1], US]), [""; 0]);
    assert_eq!(listed(&gate), (true, pairs(&[("1.0.1.1/32", "drop"), ("8.0.0.0/8", "drop")])));
    gate.octroi(["lease", "remove", "8.0.0.0/8"]).success();
    gate.stop();
    gate.start_again();
    assert_eq!(arriving(&lab, &[CN[0], CN[1], US]), [US], "what was removed stays so");
    refused(&gate.octroi(["lease", "remove", "1.0.1.0/24"]), 1, &["1.0.1.0/24", "exactly that prefix"]);
}

#[test]
fn the_longest_prefix_counts_for_local_sources_too() {
    let lab = Lab::new();
    let gate = Gate::start(&lab, BLOCK_CN);
    for (prefix, action) in [
        ("1.0.0.0/8", "pass"),
        ("1.0.1.0/30", "drop"),
        ("1.0.1.1", "pass"),
        ("192.168.0.0/16", "drop"),
        ("192.168.7.7", "pass"),
        ("240e::/16", "pass"),
        ("240e::2", "drop"),
        ("fd00::/8", "drop"),
    ] {
        add(&gate, prefix, action, "1h").success();
    }
    let sources =
        ["1.0.1.1", "1.0.1.2", "1.0.1.4", "192.168.7.7", "192.168.7.8", "240e::1", "240e::2", "fd00::1"];
    assert_eq!(arriving(&lab, &sources), ["1.0.1.1", "1.0.1.4", "192.168.7.7", "240e::1"]);
    assert_eq!(gate.status()["leases"], 8);
}

#[test]
fn packets_under_leases_are_counted_by_country_and_under_no_rule() {
    let lab = Lab::new();
    let gate = Gate::start(&lab, BLOCK_CN);
    let before = gate.metrics();
    let leased = |metrics: &octroi_tests::prom::Metrics, verdict| {
        metrics.get("octroi_lease_packets_total", &[("verdict", verdict)])
    };
    assert_eq!(
        (leased(&before, "pass"), leased(&before, "drop")),
        (Some(0.0), Some(0.0)),
        "there from the start"
    );
    for (prefix, action) in [(CN[0], "pass"), (CN6[0], "pass"), (US, "drop"), ("192.168.7.7", "drop")] {
        add(&gate, prefix, action, "1h").success();
    }
    let sources = [CN[0], CN[0], CN[1], CN6[0], US, "192.168.7.7", "192.168.7.8"];
    assert_eq!(arriving(&lab, &sources), [CN[0], CN[0], CN6[0], "192.168.7.8"]);
    let metrics = gate.metrics();
    let packets = |country, family, verdict| {
        metrics.sum("octroi_packets_total", &[("country", country), ("family", family), ("verdict", verdict)])
    };
    assert_eq!((packets("CN", "ipv4", "pass"), packets("CN", "ipv4", "drop")), (2.0, 1.0));
    assert_eq!((packets("CN", "ipv6", "pass"), packets("CN", "ipv6", "drop")), (1.0, 0.0));
    assert_eq!((packets("US", "ipv4", "drop"), packets("local", "ipv4", "drop")), (1.0, 1.0));
    assert_eq!((leased(&metrics, "pass"), leased(&metrics, "drop")), (Some(3.0), Some(2.0)));
    assert_eq!(metrics.sum("octroi_rule_packets_total", &[("rule", "cn")]), 1.0);
    gate.reload().success();
    assert_eq!(leased(&gate.metrics(), "pass"), Some(3.0), "a reload takes nothing away");
}

#[test]
fn a_bad_entry_takes_no_other_ban_with_it() {
    let lab = Lab::new();
    let mut gate = Gate::start(&lab, "");
    add(&gate, CN[0], "drop", "1h").success();
    add(&gate, US, "drop", "1h").success();
    gate.kill();
    let store = gate.state().join("leases.json");
    let kept = fs::read_to_string(&store).expect("kept by the daemon");
    let broken = kept.replace("8.8.8.8/32", "8.8.8.8/24");
    fs::write(&store, &broken).expect("write into a directory of ours");
    let what = "entry 2 (\"8.8.8.8/24\"): prefix \"8.8.8.8/24\" has bits set after its prefix length";
    let list = gate.octroi(["lease", "list"]);
    refused(&list, 1, &[what, "leases.json", "correct that while octroi is not running"]);
    assert!(list.stdout.contains("1.0.1.1/32"), "{list}");

    gate.start_again();
    assert_eq!(arriving(&lab, &[CN[0], CN[1], US]), [CN[1], US], "one ban holds, one is bad");
    let aside = gate.state().join("leases.json.broken");
    assert_eq!(fs::read_to_string(&aside).expect("kept aside"), broken);
    let log = gate.log();
    for words in ["ERROR", what, "the other 1 leases do", "leases.json.broken", "lease add"] {
        assert!(log.contains(words), "no {words:?} in\n{log}");
    }
    let status = gate.status();
    assert_eq!(status["damaged_leases"]["file"], aside.display().to_string());
    let status = gate.octroi(["status"]).success();
    assert!(status.contains("BAD LEASES") && status.contains(what), "{status}");
    fs::remove_file(&aside).expect("kept aside");
    assert!(gate.status()["damaged_leases"].is_null(), "looked after");
    gate.kill();
    gate.start_again();
    assert_eq!(listed(&gate), (true, pairs(&[("1.0.1.1/32", "drop")])), "nothing is bad any more");
}

#[test]
fn a_broken_store_is_kept_aside_and_keeps_no_gate_from_closing() {
    let lab = Lab::new();
    let mut gate = Gate::prepare(&lab, Setup::new(BLOCK_CN));
    let store = gate.state().join("leases.json");
    fs::create_dir(gate.state()).expect("in a directory of ours");
    fs::write(&store, "{\"leases\": [{\"prefix\":\n").expect("write into a directory of ours");
    refused(&gate.octroi(["lease", "list"]), 1, &["leases.json", "line 2"]);
    gate.start_again();
    let log = gate.log();
    for words in ["ERROR", "leases.json: entry 1: cut short in line 2", "leases.json.broken", "lease add"] {
        assert!(log.contains(words), "no {words:?} in\n{log}");
    }
    assert!(gate.state().join("leases.json.broken").exists());
    assert_eq!(arriving(&lab, &[CN[0], US]), [US]);
    add(&gate, CN[0], "pass", "1h").success();
    assert_eq!(arriving(&lab, &[CN[0], US]), [CN[0], US]);
    gate.kill();
    gate.start_again();
    assert_eq!(listed(&gate), (true, pairs(&[("1.0.1.1/32", "pass")])));
}

#[test]
fn a_lease_that_cannot_be_kept_does_not_hold() {
    let lab = Lab::new();
    let gate = Gate::start(&lab, BLOCK_CN);
    // In the way of the directory, where what runs is kept by now.
    wait::until("kept", || gate.state().join("policies.json").exists());
    fs::remove_dir_all(gate.state()).expect("made by the daemon");
    fs::write(gate.state(), "").expect("write into a directory of ours");
    refused(&add(&gate, CN[0], "pass", "1h"), 1, &["keep the leases in", "leases.json", "[control] state"]);
    assert_eq!((listed(&gate), arriving(&lab, &[CN[0], US])), ((true, vec![]), vec![US]));
    fs::remove_file(gate.state()).expect("made above");
    add(&gate, CN[0], "pass", "1h").success();
    // A directory in the way of the file: the kernel has the lease by the time it turns out, and loses it again.
    let store = gate.state().join("leases.json");
    fs::remove_file(&store).expect("made by the daemon");
    fs::create_dir_all(store.join("in the way")).expect("in a directory of ours");
    refused(&add(&gate, CN[0], "drop", "1h"), 1, &["keep the leases in", "leases.json"]);
    refused(&add(&gate, US, "drop", "1h"), 1, &["keep the leases in", "leases.json"]);
    assert_eq!(arriving(&lab, &[CN[0], US]), [CN[0], US], "as it was");
    assert_eq!(listed(&gate), (true, pairs(&[("1.0.1.1/32", "pass")])));
}

#[test]
fn without_a_daemon_nothing_is_added_and_what_is_kept_is_listed() {
    let lab = Lab::new();
    let mut gate = Gate::start(&lab, BLOCK_CN);
    add(&gate, CN[0], "pass", "1h").success();
    gate.stop();
    for refusal in [add(&gate, CN[1], "pass", "1h"), gate.octroi(["lease", "remove", CN[0]])] {
        refused(&refusal, 1, &["ask the daemon at", "is `octroi run` running with this configuration?"]);
    }
    let list = gate.octroi(["lease", "list"]).success();
    assert!(list.starts_with("no daemon runs; what is kept in /") && list.contains("\n1.0.1.1/32"), "{list}");
    assert_eq!(listed(&gate), (false, pairs(&[("1.0.1.1/32", "pass")])));
    fs::remove_dir_all(gate.state()).expect("made by the daemon");
    let list = gate.octroi(["lease", "list"]).success();
    assert!(list.ends_with("\nno leases\n"), "{list}");
}

#[test]
fn what_is_no_prefix_no_action_and_no_time_is_wrong_usage() {
    let lab = Lab::new();
    let gate = Gate::prepare(&lab, Setup::new(BLOCK_CN));
    for (prefix, action, ttl, words) in [
        ("1.0.1.1/24", "pass", "1h", "the network is 1.0.1.0/24"),
        ("::ffff:1.0.1.1", "pass", "1h", "write 1.0.1.1"),
        ("CN", "pass", "1h", "is not an IPv4 or IPv6 address"),
        ("1.0.1.1", "tag", "1h", "possible values: pass, drop"),
        ("1.0.1.1", "drop", "1mo", "is in months or years"),
        ("1.0.1.1", "drop", "366d", "is longer than a year"),
        ("1.0.1.1", "drop", "0s", "is shorter than a second"),
        ("1.0.1.1", "drop", "-5s", "is negative; expected a duration such as 90s"),
    ] {
        refused(&add(&gate, prefix, action, ttl), 2, &[words]);
    }
    refused(&gate.octroi(["lease", "add", "1.0.1.1", "--action", "pass"]), 2, &["--ttl"]);
    let long = "x".repeat(201);
    let reason = ["lease", "add", "1.0.1.1", "--action", "pass", "--ttl", "1h", "--reason", &long];
    refused(&gate.octroi(reason), 2, &["has 201 characters, and a reason 200 at most"]);
    refused(&gate.octroi(["lease"]), 2, &["Usage"]);
}

#[test]
fn live_explanations_name_the_lease_and_offline_ones_know_none() {
    let lab = Lab::new();
    let gate = Gate::start(&lab, BLOCK_CN);
    let arguments = ["--action", "pass", "--ttl", "1h", "--reason", "partner call"];
    gate.octroi(["lease", "add", "1.0.1.0/31"].iter().chain(&arguments)).success();
    let explain =
        |address: &str, more: &[&str]| gate.octroi(["explain", address, "--json"].iter().chain(more)).json();
    let live = explain(CN[0], &["--live"]);
    assert_eq!(
        (&live["verdict"], &live["rule"], &live["country"]),
        (&"pass".into(), &Value::Null, &"CN".into())
    );
    let because = live["because"].as_str().unwrap_or_default();
    assert!(
        because.starts_with("lease 1.0.1.0/31 until 20") && because.ends_with(" (partner call)"),
        "{live}"
    );
    assert_eq!(live["rules"][0]["reason"], "matches, but a lease decides");
    assert_eq!(explain(CN[0], &[])["verdict"], "drop");
    assert_eq!(explain(CN[1], &["--live"]), explain(CN[1], &[]), "the next one has none");
    let over = explain(CN[0], &["--live", "--at", "2126-01-01T00:00:00Z"]);
    assert_eq!((&over["verdict"], &over["rule"]), (&"drop".into(), &"cn".into()), "it is over by then");
    let lines = gate.command(["explain", "-", "--live"]);
    let lines = command::run_with_input(lines, "1.0.1.1\n1.0.1.2\n", command::SHORT).success();
    assert!(lines.starts_with("1.0.1.1 pass - CN") && lines.contains("\n1.0.1.2 drop cn CN"), "{lines}");
}

#[test]
fn leases_that_are_over_are_forgotten_on_time() {
    let lab = Lab::new();
    let gate = Gate::start(&lab, BLOCK_CN);
    add(&gate, CN[0], "pass", "1s").success();
    add(&gate, CN[1], "pass", "1h").success();
    wait::until("one is left", || gate.status()["leases"] == 1);
    assert!(gate.log().contains("ended: lease 1.0.1.1/32 until"), "{}", gate.log());
    assert_eq!(arriving(&lab, &CN), [CN[1]]);
}

#[test]
fn no_packet_slips_past_a_ban_while_generations_change() {
    const RELOADS: usize = 10;
    let lab = Lab::new();
    let mut traffic = Traffic::between(&lab, US, CN[0]);
    let gate = Gate::start(&lab, BLOCK_CN);
    add(&gate, US, "drop", "1h").success();
    add(&gate, CN[0], "pass", "1h").success();
    traffic.during(|| {
        for reload in 0..RELOADS {
            gate.write(&format!("{BLOCK_CN}{}", "[policy]\nlocal = \"rules\"\n".repeat(reload % 2)));
            gate.reload().success();
            // Others come and go meanwhile.
            add(&gate, "9.9.9.9", "drop", "1h").success();
            gate.octroi(["lease", "remove", "9.9.9.9"]).success();
        }
    });
    #[expect(clippy::cast_precision_loss, reason = "a test sends fewer frames than 2^53")]
    let each = traffic.exact().sent as f64;
    let dropped = gate.metrics().sum("octroi_lease_packets_total", &[("verdict", "drop")]);
    assert_eq!(dropped, each, "{}", gate.describe());
}

#[test]
fn a_source_under_a_lease_is_not_tagged_whoever_decides_about_marks() {
    let lab = Lab::new();
    let counters =
        Counters::install(&lab.inside, &[("marked", "meta mark 7"), ("plain", "meta mark 0 udp dport 9")]);
    let policy =
        "[[rule]]\nname = \"us\"\nsource = { country = [\"US\"] }\naction = \"tag\"\nmark = 7\ndscp = 10\n";
    for (round, no_metadata) in [(1, "false"), (2, "true")] {
        let environment = vec![("OCTROI_NO_METADATA".to_owned(), no_metadata.to_owned())];
        let gate = Gate::start_with(&lab, Setup { environment, ..Setup::new(policy) });
        add(&gate, US, "pass", "1h").success();
        let source = |text: &str| {
            udp(text.parse().expect("an address"), lab.pair().gate4.into()).ports(4000, 9).frame()
        };
        let sender = Sender::new(&lab.outside, &lab.pair().peer);
        // The tagged one first: from then on tc decides again, where there is no metadata.
        sender.send_all(&[source("8.8.4.4"), source(US)]);
        let counted = || (counters.packets("marked"), counters.packets("plain"));
        wait::until("both have arrived", || counted().0 + counted().1 == 2 * round);
        assert_eq!(counted(), (round, round), "{}", gate.describe());
    }
}
