//! Starts where something is wrong: what can be closed is closed, and what an earlier daemon left is not opened.

use std::{fs, net::TcpListener, thread, time::Duration};

use octroi_tests::{
    apply::apply,
    arrive::arriving,
    command,
    files::replace,
    gate::{Gate, Setup},
    netns::Lab,
    said::{contains, refused},
    wait,
};

const BLOCK_CN: &str = "[[rule]]\nname = \"cn\"\nsource = { country = [\"CN\"] }\naction = \"drop\"\n";
const BLOCK_US: &str = "[[rule]]\nname = \"us\"\nsource = { country = [\"US\"] }\naction = \"drop\"\n";
const CN: &str = "1.0.1.1";
const US: &str = "8.8.8.8";
const BOTH: [&str; 2] = [CN, US];

/// Interfaces of which one may be there that nobody can filter.
fn with_a_tunnel(policy: &str) -> Setup {
    Setup { interfaces: vec!["gate0".into(), "tun*".into()], ..Setup::new(policy) }
}

#[test]
fn one_interface_that_cannot_be_filtered_opens_no_other() {
    let lab = Lab::new();
    lab.inside.ip("tuntap add tun0 mode tun");
    let mut gate = Gate::prepare(&lab, with_a_tunnel(BLOCK_CN));
    let words = ["attach XDP to tun0", "what could be closed is, and stays so until `octroi detach`: gate0"];
    refused(&gate.run_to_end(), 1, &words);
    assert_eq!(arriving(&lab, &BOTH), [US]);
    // What is there already goes on by its own policy.
    gate.write(BLOCK_US);
    refused(&gate.run_to_end(), 1, &["attach XDP to tun0"]);
    assert_eq!(arriving(&lab, &BOTH), [US]);
    lab.inside.ip("link del tun0");
    gate.start_again();
    assert_eq!(arriving(&lab, &BOTH), [CN]);
    gate.stop();
    gate.octroi(["detach"]).success();
    // Who wants the gate to open with the daemon wants no gate without one.
    lab.inside.ip("tuntap add tun0 mode tun");
    let text = gate.text(BLOCK_CN).replace("[control]\n", "[control]\non_stop = \"detach\"\n");
    fs::write(gate.config(), text).expect("a file of ours");
    refused(&gate.run_to_end(), 1, &["attach XDP to tun0"]);
    assert_eq!(arriving(&lab, &BOTH), BOTH);
}

#[test]
fn what_nobody_confirmed_does_not_go_on_where_the_start_fails() {
    let lab = Lab::new();
    let mut gate = Gate::start_with(&lab, with_a_tunnel(BLOCK_CN));
    apply(&gate, BLOCK_US, "1s").success();
    gate.kill();
    lab.inside.ip("tuntap add tun0 mode tun");
    thread::sleep(Duration::from_secs(1));
    assert_eq!(arriving(&lab, &BOTH), [CN]);
    refused(&gate.run_to_end(), 1, &["attach XDP to tun0"]);
    assert_eq!(arriving(&lab, &BOTH), [US]);
    lab.inside.ip("link del tun0");
    gate.start_again();
    assert_eq!(arriving(&lab, &BOTH), [US]);
}

#[test]
fn a_start_says_that_it_went_back() {
    let lab = Lab::new();
    let mut gate = Gate::start(&lab, BLOCK_CN);
    apply(&gate, BLOCK_US, "1s").success();
    gate.kill();
    thread::sleep(Duration::from_secs(1));
    gate.start_again();
    assert_eq!(arriving(&lab, &BOTH), [US]);
    let reload = gate.status()["last_reload"].clone();
    assert_eq!(reload["result"], "failure");
    contains(reload["error"].as_str().unwrap_or_default(), &["new.toml was not confirmed in time"]);
}

#[test]
fn without_what_to_go_back_to_nothing_unconfirmed_runs() {
    let lab = Lab::new();
    let mut gate = Gate::prepare(&lab, Setup::new(""));
    let list = gate.directory().join("listed.txt");
    fs::write(&list, "9.9.9.9\n").expect("a directory of ours");
    gate.write(&format!(
        "{BLOCK_CN}[[rule]]\nname = \"l\"\nsource.list = [\"listed.txt\"]\naction = \"drop\"\n"
    ));
    gate.start_again();
    gate.write(BLOCK_US);
    let config = gate.config().display().to_string();
    gate.octroi(["apply", &config]).success();
    assert_eq!(arriving(&lab, &BOTH), [CN]);
    gate.kill();
    for copy in fs::read_dir(gate.state().join("policies")).expect("copies") {
        fs::write(copy.expect("an entry").path(), "damaged").expect("a file of ours");
    }
    gate.start_again();
    assert!(gate.status()["pending_confirmation"].is_null());
    contains(&gate.log(), &["not confirmed and there is nothing to go back to: given up"]);
    assert_eq!(arriving(&lab, &BOTH), [US], "the former text, by the files that it names");
}

#[test]
fn a_gate_does_not_wait_for_whoever_watches_it() {
    let lab = Lab::new();
    let taken = lab.inside.run(|| TcpListener::bind("127.0.0.1:9462").expect("free until now"));
    let mut gate = Gate::prepare(&lab, Setup::new(BLOCK_CN));
    let (socket, status) = (gate.directory().join("octroi.sock"), gate.command(["status"]));
    thread::scope(|scope| {
        scope.spawn(|| {
            wait::until("it answers", || socket.exists());
            // So that it has tried to.
            thread::sleep(Duration::from_secs(1));
            let said = command::run(status, command::SHORT).success();
            contains(&said, &["NO METRICS", "serve metrics on 127.0.0.1:9462: Address already in use"]);
            assert_eq!(arriving(&lab, &BOTH), [US]);
            drop(taken);
        });
        // Which takes metrics to be served for being ready.
        gate.start_again();
    });
    contains(&gate.log(), &["tried again every 5 s", "metrics are served on 127.0.0.1:9462"]);
    assert_eq!(gate.health(), 200);
    assert!(gate.status()["unserved"].is_null());
}

#[test]
fn a_policy_that_does_not_fit_falls_back_as_one_that_cannot_be_read() {
    let lab = Lab::new();
    let mut gate = Gate::start(&lab, BLOCK_CN);
    wait::until("kept", || gate.state().join("policies.json").exists());
    // Each of them is an outcome of its own, in each country.
    let rules: String = (1..400)
        .map(|n| format!("[[rule]]\nname = \"r{n}\"\nsource.any = true\naction = \"drop\"\nobserve = true\nservice = [\"tcp/{n}\"]\n"))
        .collect();
    gate.write(&format!("[policy]\nlocal = \"rules\"\n{rules}"));
    refused(&gate.reload(), 78, &["outcomes"]);
    gate.stop();
    gate.octroi(["detach"]).success();
    gate.start_again();
    assert_eq!(arriving(&lab, &BOTH), [US]);
    contains(&gate.octroi(["status"]).success(), &["FALLBACK", "outcomes"]);
}

/// China has some, or none.
const WORLD: &str =
    "1.0.1.0,1.0.1.255,CN\n1.4.0.0,1.4.255.255,CN\n8.8.8.0,8.8.8.255,US\n9.0.0.0,9.255.255.255,US\n";
const WITHOUT_CN: &str = "8.8.8.0,8.8.8.255,US\n9.0.0.0,9.255.255.255,US\n";

#[test]
fn a_database_that_is_held_is_not_taken_by_a_start() {
    let lab = Lab::new();
    let mut gate = Gate::prepare(&lab, Setup::new(""));
    let path = gate.directory().join("country.csv");
    replace(&path, WORLD);
    gate.write(&format!("[geoip]\ncountry = \"country.csv\"\n{BLOCK_CN}"));
    gate.start_again();
    assert_eq!(arriving(&lab, &BOTH), [US]);
    gate.stop();
    replace(&path, WITHOUT_CN);
    gate.start_again();
    assert_eq!(arriving(&lab, &BOTH), [US]);
    let status = gate.status();
    assert_eq!(status["held"][0]["database"], "country", "{status}");
    contains(
        &gate.octroi(["status"]).success(),
        &["FALLBACK", "hold the country database", "CN (China)", "octroi reload --accept", "HELD"],
    );
    refused(&gate.reload(), 1, &["hold the country database"]);
    // New rules come with it nevertheless, over what was kept.
    gate.kill();
    gate.write(&format!("[geoip]\ncountry = \"country.csv\"\n{BLOCK_CN}{BLOCK_US}"));
    gate.start_again();
    assert!(arriving(&lab, &BOTH).is_empty());
    gate.octroi(["reload", "--accept"]).success();
    assert_eq!(arriving(&lab, &BOTH), [CN]);
    assert!(gate.status()["fallback"].is_null());
    gate.kill();
    gate.start_again();
    assert_eq!(arriving(&lab, &BOTH), [CN], "accepted");
}

#[test]
fn a_mistyped_interface_opens_nothing_at_a_start_either() {
    let lab = Lab::new();
    let mut gate = Gate::start(&lab, BLOCK_CN);
    gate.stop();
    let good = gate.text(BLOCK_CN);
    fs::write(gate.config(), good.replace("\"gate0\"", "\"gaet0\"")).expect("a file of ours");
    gate.start_again();
    contains(
        &gate.log(),
        &[
            "gate0: what an earlier daemon left there goes on, though the configuration does not name it (gaet0, which",
        ],
    );
    assert_eq!(arriving(&lab, &BOTH), [US]);
    fs::write(gate.config(), good).expect("a file of ours");
    gate.reload().success();
    assert_eq!(gate.status()["interfaces"][0]["name"], "gate0");
    assert_eq!((arriving(&lab, &BOTH), gate.health()), (vec![US], 200));
}
