//! A change of policy that would lock out whoever is logged in by ssh: refused by `apply` and `lease add`, and by `reload` and `lease
//! remove` where it is whoever asks; of others `reload` tells.

use std::{
    fs,
    io::Read,
    net::{IpAddr, SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use octroi_tests::{
    apply,
    command::{self, Finished},
    echo::{serve, talks},
    gate::{Gate, Setup},
    netns::Lab,
    said::{contains, refused},
    socket::connect,
    wait,
};

const SOURCE: &str = "8.8.8.8";
const BLOCK_US: &str = "[[rule]]\nname = \"us\"\nsource = { country = [\"US\"] }\naction = \"drop\"\n";
const SHUT_US: &str =
    "[[rule]]\nname = \"us\"\nsource = { country = [\"US\"] }\naction = \"reject\"\nestablished = \"drop\"\n";

/// `octroi apply`, by somebody who is logged in as `session` says, where he is.
fn apply(gate: &Gate<'_>, policy: &str, session: &str, more: &[&str]) -> Finished {
    let mut command = apply::command(gate, policy, more);
    // Whoever runs the tests may be logged in by ssh.
    command.env("SSH_CONNECTION", session).env_remove("SSH_CLIENT");
    command::run(command, command::SHORT)
}

/// At the machine itself.
const CONSOLE: &str = "127.0.0.1 40000 127.0.0.1 22";

/// A connection from `SOURCE` to a port inside that answers what it hears. Where it is there before octroi is, it counts as a
/// login, since nobody knows for how long.
fn session(lab: &Lab, port: u16) -> TcpStream {
    let source: IpAddr = SOURCE.parse().expect("an address");
    lab.give_source(source);
    serve(lab, port);
    let here = SocketAddr::new(lab.pair().here(source), port);
    let stream = connect(&lab.outside, source, here, Duration::from_secs(2)).expect("nothing is dropped");
    stream.set_read_timeout(Some(Duration::from_secs(2))).expect("a socket of ours");
    stream
}

#[test]
fn who_is_logged_in_is_not_locked_out_unless_somebody_insists() {
    let lab = Lab::new();
    let mut stream = session(&lab, 22);
    let gate = Gate::start(&lab, "");
    assert!(talks(&mut stream));
    refused(
        &apply(&gate, BLOCK_US, CONSOLE, &[]),
        1,
        &[
            "apply ",
            "new.toml: refused, since it locks out whoever is logged in by ssh (--force applies it nevertheless)",
            "rule \"us\" drops 8.8.8.8, from which somebody seems to be logged in: that session would go on, the next login to port 22 \
             would not get through; put a rule above it with source = { cidr = [\"8.8.8.8\"] } and action = \"pass\"",
        ],
    );
    refused(
        &apply(&gate, SHUT_US, CONSOLE, &[]),
        1,
        &["rule \"us\" rejects 8.8.8.8", "that session would end"],
    );
    refused(
        &apply(&gate, "[policy]\ndefault = \"drop\"\n", CONSOLE, &[]),
        1,
        &["policy.default is \"drop\" and no rule passes 8.8.8.8"],
    );
    assert_eq!(gate.status()["generation"], 1);
    // What it says to do, helps; so does a rule that is about something else.
    let pass = "[[rule]]\nname = \"me\"\nsource = { cidr = [\"8.8.8.8\"] }\naction = \"pass\"\n";
    for policy in [format!("{pass}{SHUT_US}"), format!("{BLOCK_US}service = [\"tcp/443\"]\n")] {
        let said = apply(&gate, &policy, CONSOLE, &[]).success();
        assert!(!said.contains("warning"), "{said}");
        gate.octroi(["rollback"]).success();
    }
    let said = apply(&gate, SHUT_US, CONSOLE, &["--force", "--confirm-timeout", "3s"]).success();
    contains(&said, &["warning: rule \"us\" rejects 8.8.8.8"]);
    stream.set_read_timeout(Some(Duration::from_millis(500))).expect("a socket of ours");
    assert!(!talks(&mut stream), "locked out");
    stream.set_read_timeout(Some(Duration::from_secs(15))).expect("a socket of ours");
    let mut back = [0; 5];
    stream.read_exact(&mut back).expect("it went back by itself");
    assert!(talks(&mut stream));
    assert_eq!(gate.status()["generation"], 7);
}

#[test]
fn what_will_lock_out_somebody_is_told() {
    let lab = Lab::new();
    let mut stream = session(&lab, 22);
    let gate = Gate::start(&lab, "");
    let later = format!("{BLOCK_US}from = 2126-01-01T00:00:00Z\n");
    let said = apply(&gate, &later, CONSOLE, &[]).success();
    contains(
        &said,
        &[
            "warning: rule \"us\" drops 8.8.8.8, from which somebody seems to be logged in from 2126-01-01T00:00:00Z on at the latest",
        ],
    );
    gate.octroi(["rollback"]).success();
    let pass = "[[rule]]\nname = \"me\"\nsource = { cidr = [\"8.8.8.8\"] }\naction = \"pass\"\nuntil = 2126-01-01T00:00:00Z\n";
    contains(
        &apply(&gate, &format!("{pass}{BLOCK_US}"), CONSOLE, &[]).success(),
        &["from 2126-01-01T00:00:00Z on"],
    );
    gate.octroi(["rollback"]).success();
    // Who reloads is told, and gets what he asks for.
    gate.write(BLOCK_US);
    let said = gate.reload().success();
    contains(
        &said,
        &[
            "warning: rule \"us\" drops 8.8.8.8, from which somebody seems to be logged in: that session would go on",
        ],
    );
    contains(&gate.log(), &["rule \"us\" drops 8.8.8.8"]);
    assert!(talks(&mut stream));
}

#[test]
fn whoever_asks_is_not_locked_out_wherever_ssh_listens() {
    let lab = Lab::new();
    let mut stream = session(&lab, 2222);
    let gate = Gate::start(&lab, "");
    let own = "8.8.8.8 40000 192.168.1.1 2222";
    refused(
        &apply(&gate, BLOCK_US, own, &[]),
        1,
        &["rule \"us\" drops 8.8.8.8", "the next login to port 2222 would not get through"],
    );
    refused(
        &apply(&gate, &BLOCK_US.replace("US", "CN"), "240e::7 40000 2001:db8::1 22", &[]),
        1,
        &["drops 240e::7", "port 22"],
    );
    apply(&gate, &format!("{BLOCK_US}service = [\"tcp/22\"]\n"), own, &[]).success();
    gate.octroi(["rollback"]).success();
    // Others who are logged in the same way are found by the port.
    refused(
        &apply(&gate, BLOCK_US, "9.9.9.9 40000 192.168.1.1 2222", &[]),
        1,
        &["drops 8.8.8.8", "port 2222"],
    );
    let mut reload = gate.command(["reload"]);
    gate.write(&format!("{BLOCK_US}observe = true\n"));
    gate.reload().success();
    gate.write(BLOCK_US);
    reload.env("SSH_CONNECTION", own).env_remove("SSH_CLIENT");
    refused(
        &command::run(reload, command::SHORT),
        1,
        &["reload: refused, since it would lock you out (--force", "rule \"us\" drops 8.8.8.8", "port 2222"],
    );
    assert_eq!(gate.status()["last_reload"]["result"], "failure");
    let again = |more: &[&str]| {
        let mut reload = gate.command(["reload"].iter().chain(more));
        reload.env("SSH_CONNECTION", own).env_remove("SSH_CLIENT");
        command::run(reload, command::SHORT)
    };
    refused(&again(&["--accept"]), 1, &["--force reloads nevertheless"]);
    // Nothing would change for whom a lease lets in.
    gate.octroi(["lease", "add", "8.8.8.8", "--action", "pass", "--ttl", "1h"]).success();
    let told = ["warning: rule \"us\" drops 8.8.8.8", "port 2222"];
    contains(&again(&[]).success(), &told);
    gate.write(&format!("{BLOCK_US}observe = true\n"));
    gate.reload().success();
    gate.octroi(["lease", "remove", "8.8.8.8"]).success();
    gate.write(BLOCK_US);
    contains(&again(&["--force"]).success(), &told);
    // Who is kept out already is not locked out by it.
    contains(&again(&[]).success(), &told);
    gate.write(&format!("{BLOCK_US}observe = true\n"));
    gate.reload().success();
    // Nobody asks who could insist.
    gate.write(BLOCK_US);
    gate.signal(libc::SIGHUP);
    wait::until("reloaded", || {
        gate.status()["rules"][0]["action"] == "drop" && gate.log().contains("port 2222")
    });
    gate.write("");
    gate.reload().success();
    // To any other port they are customers.
    apply(&gate, BLOCK_US, CONSOLE, &[]).success();
    assert!(talks(&mut stream), "a connection that exists goes on");
}

#[test]
fn the_lease_that_lets_in_whoever_asks_is_not_removed_unless_he_insists() {
    let lab = Lab::new();
    let gate = Gate::start(&lab, BLOCK_US);
    let add = |prefix: &str, action: &str, ttl: &str| {
        gate.octroi(["lease", "add", prefix, "--action", action, "--ttl", ttl]).success()
    };
    let remove = |prefix: &str, session: &str, more: &[&str]| {
        let mut command = gate.command(["lease", "remove", prefix].iter().chain(more));
        command.env("SSH_CONNECTION", session).env_remove("SSH_CLIENT");
        command::run(command, command::SHORT)
    };
    let own = "8.8.8.8 40000 192.168.1.1 2222";
    let refusal = [
        "lease remove 8.8.8.8/32: refused, since it would cut you off",
        "(port 2222) from 8.8.8.8",
        "--force",
    ];
    add("8.8.8.8", "pass", "1h");
    refused(&remove("8.8.8.8", own, &[]), 1, &refusal);
    add("8.8.8.0/24", "pass", "1m");
    refused(&remove("8.8.8.8", own, &[]), 1, &refusal);
    add("8.8.8.0/24", "pass", "2h");
    remove("8.8.8.8", own, &[]).success();
    refused(&remove("8.8.8.0/24", own, &[]), 1, &["lease remove 8.8.8.0/24: refused"]);
    remove("8.8.8.0/24", own, &["--force"]).success();
    // Somebody else, or where the policy lets him in, or a ban is removed.
    add("8.8.8.8", "pass", "1h");
    remove("8.8.8.8", "9.9.9.9 40000 192.168.1.1 22", &[]).success();
    add("1.0.1.1", "pass", "1h");
    remove("1.0.1.1", "1.0.1.1 40000 192.168.1.1 22", &[]).success();
    add("8.8.8.8", "drop", "1h");
    remove("8.8.8.8", own, &[]).success();
    // A ban behind it would take its place.
    add("1.0.1.0/24", "drop", "1h");
    add("1.0.1.1", "pass", "1h");
    refused(&remove("1.0.1.1", "1.0.1.1 40000 192.168.1.1 22", &[]), 1, &["cut you off"]);
    assert_eq!(gate.status()["leases"], 2);
}

#[test]
fn who_is_kept_out_already_holds_up_nothing() {
    let lab = Lab::new();
    let mut stream = session(&lab, 22);
    let gate = Gate::start(&lab, BLOCK_US);
    assert!(talks(&mut stream), "from before");
    let pass = "[[rule]]\nname = \"office\"\nsource = { cidr = [\"9.9.9.9\"] }\naction = \"pass\"\n";
    let said = apply(&gate, &format!("{pass}{BLOCK_US}"), CONSOLE, &[]).success();
    assert!(!said.contains("warning"), "{said}");
    gate.octroi(["rollback"]).success();
    // But whoever asks does, and is asked about when he goes back, too.
    refused(&apply(&gate, BLOCK_US, "8.8.8.8 40000 192.168.1.1 22", &[]), 1, &["drops 8.8.8.8"]);
    apply(&gate, "", CONSOLE, &[]).success();
    gate.octroi(["confirm"]).success();
    let back = |more: &[&str]| {
        let mut command = gate.command(["rollback"].iter().chain(more));
        command.env("SSH_CONNECTION", CONSOLE).env_remove("SSH_CLIENT");
        command::run(command, command::SHORT)
    };
    refused(&back(&[]), 1, &["rollback: refused, since it locks out", "--force goes back", "drops 8.8.8.8"]);
    contains(&back(&["--force"]).success(), &["warning: rule \"us\" drops 8.8.8.8"]);
}

#[test]
fn files_that_lock_out_somebody_wait_until_he_has_gone() {
    let lab = Lab::new();
    let stream = session(&lab, 22);
    let mut gate = Gate::prepare(&lab, Setup::new(""));
    let list = gate.directory().join("bad.txt");
    fs::write(&list, "9.9.9.9\n").expect("a directory of ours");
    gate.write("[[rule]]\nname = \"bad\"\nsource = { list = [\"bad.txt\"] }\naction = \"drop\"\n");
    gate.start_again();
    fs::write(&list, "9.9.9.9\n8.8.8.0/24\n").expect("a file of ours");
    let held = || gate.status()["held"][0].clone();
    wait::until("held", || !held().is_null());
    assert_eq!((&held()["database"], &gate.status()["generation"]), (&"list".into(), &1.into()));
    contains(held()["path"].as_str().unwrap_or_default(), &["/bad.txt"]);
    contains(
        held()["reason"].as_str().unwrap_or_default(),
        &["whoever is logged in by ssh would be locked out: rule \"bad\" drops 8.8.8.8"],
    );
    assert_eq!(gate.metrics().get("octroi_geoip_held", &[("database", "list")]), Some(1.0));
    contains(&gate.octroi(["status"]).success(), &["HELD", "bad.txt", "drops 8.8.8.8"]);
    drop(stream);
    let gone = Instant::now();
    while gate.status()["generation"] == 1 {
        assert!(gone.elapsed() < Duration::from_secs(40), "{}", gate.describe());
        thread::sleep(Duration::from_millis(200));
    }
    assert!(held().is_null());
    assert_eq!(gate.metrics().get("octroi_geoip_held", &[("database", "list")]), Some(0.0));
    assert_eq!(gate.log().matches("hold files that changed").count(), 1, "{}", gate.log());
    let told = "files are taken that were held while somebody was logged in: whoever is logged in by ssh would be locked out";
    contains(&gate.log(), &[told]);
}

#[test]
fn a_connection_that_has_just_begun_is_no_login_and_holds_up_nothing() {
    let lab = Lab::new();
    let mut gate = Gate::prepare(&lab, Setup::new(""));
    let list = gate.directory().join("bad.txt");
    fs::write(&list, "9.9.9.9\n").expect("a directory of ours");
    let listed = "[[rule]]\nname = \"bad\"\nsource = { list = [\"bad.txt\"] }\naction = \"drop\"\n";
    gate.write(listed);
    gate.start_again();
    // Anybody can have one.
    let mut stream = session(&lab, 22);
    assert!(talks(&mut stream));
    let said = apply(&gate, &format!("{listed}{BLOCK_US}"), CONSOLE, &[]).success();
    assert!(!said.contains("warning"), "{said}");
    gate.octroi(["rollback"]).success();
    let ban = |session: &str| {
        let mut command = gate.command(["lease", "add", "8.8.8.0/24", "--action", "drop", "--ttl", "1h"]);
        command.env("SSH_CONNECTION", session).env_remove("SSH_CLIENT");
        command::run(command, command::SHORT)
    };
    // But whoever asks has logged in.
    let own = "8.8.8.8 40000 192.168.1.1 22";
    refused(&ban(own), 1, &["(port 22) from 8.8.8.8"]);
    refused(&apply(&gate, &format!("{listed}{BLOCK_US}"), own, &[]), 1, &["drops 8.8.8.8"]);
    let generation = gate.status()["generation"].clone();
    fs::write(&list, "9.9.9.9\n8.8.8.0/24\n").expect("a file of ours");
    wait::until("the list is taken", || gate.status()["generation"] != generation);
    assert_eq!(gate.status()["held"], serde_json::json!([]));
    assert!(talks(&mut stream), "a connection that exists goes on");
    gate.write("");
    gate.reload().success();
    ban(CONSOLE).success();
    stream.set_read_timeout(Some(Duration::from_millis(500))).expect("a socket of ours");
    assert!(!talks(&mut stream), "cut off");
}

#[test]
fn a_ban_of_whoever_is_logged_in_is_refused_unless_somebody_insists() {
    let lab = Lab::new();
    let mut stream = session(&lab, 22);
    let gate = Gate::start(&lab, "");
    let ban = |prefix: &str, session: &str, more: &[&str]| {
        let words = ["lease", "add", prefix, "--action", "drop", "--ttl", "1h"];
        let mut command = gate.command(words.iter().chain(more));
        command.env("SSH_CONNECTION", session).env_remove("SSH_CLIENT");
        command::run(command, command::SHORT)
    };
    let own = "8.8.8.8 40000 192.168.1.1 2222";
    let refusal = "lease add 8.8.0.0/16: refused, since it would cut off whoever is logged in by ssh (port 2222) from 8.8.8.8";
    refused(&ban("8.8.0.0/16", own, &[]), 1, &[refusal, "--force", "octroi lease add 8.8.8.8 --action pass"]);
    refused(
        &ban("8.8.8.0/24", CONSOLE, &[]),
        1,
        &["lease add 8.8.8.0/24: refused", "(port 22) from 8.8.8.8"],
    );
    assert_eq!(gate.status()["leases"], 0);
    ban("9.9.9.0/24", own, &[]).success();
    // What it says to do, helps.
    gate.octroi(["lease", "add", "8.8.8.8", "--action", "pass", "--ttl", "2h"]).success();
    ban("8.8.8.0/24", own, &[]).success();
    assert!(talks(&mut stream));
    refused(&ban("8.8.8.8", own, &[]), 1, &["(port 2222) from 8.8.8.8"]);
    // Of one address it is meant, as where fail2ban bans whoever has a connection to port 22 for that very reason.
    ban("8.8.8.8", CONSOLE, &[]).success();
    stream.set_read_timeout(Some(Duration::from_millis(500))).expect("a socket of ours");
    assert!(!talks(&mut stream), "cut off");
}
