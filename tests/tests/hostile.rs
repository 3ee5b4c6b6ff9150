//! Clients that want to hold up the daemon: none does, and none leaves anything behind.
#![allow(clippy::print_stderr, reason = "figures of a test")]

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        net::UnixStream,
    },
    process::Command,
    time::{Duration, Instant},
};

use octroi_tests::{
    command, descriptors,
    gate::{Gate, METRICS_PORT, Setup},
    netns::Lab,
    prom, wait,
};

const BLOCK_CN: &str = "[[rule]]\nname = \"cn\"\nsource = { country = [\"CN\"] }\naction = \"drop\"\n";

fn connect(gate: &Gate<'_>) -> TcpStream {
    let connect = || TcpStream::connect((Ipv4Addr::LOCALHOST, METRICS_PORT)).expect("it listens");
    gate.namespace().run(connect)
}

/// How many clients are served at once, by either socket. More than these want to hold up the daemon.
const PLACES: u64 = 64;
const CLIENTS: usize = 100;

/// Makes more clients than there are places, by `client`, and waits until the daemon has as many as it takes.
fn fill<C>(gate: &Gate<'_>, before: u64, client: impl Fn(usize) -> C) -> Vec<C> {
    let clients: Vec<C> = (0..CLIENTS).map(client).collect();
    wait::until("all places are taken", || descriptors::now(gate) >= before + PLACES);
    assert_eq!(descriptors::at_rest(gate), before + PLACES, "as many clients as there are places");
    clients
}

/// What no HTTP request is, and what is one that nobody would send.
fn garbage(number: usize) -> Vec<u8> {
    match number % 6 {
        0 => vec![0xff; number % 700 + 1],
        1 => b"GET /metrics HTTP/9.9\r\n\r\n".to_vec(),
        2 => format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(number % 3000)).into_bytes(),
        3 => b"POST /metrics HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n".to_vec(),
        4 => format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(number % 200)).into_bytes(),
        _ => b"\r\n\r\n\r\n".to_vec(),
    }
}

#[test]
fn ten_thousand_garbage_requests_leave_metrics_as_they_were() {
    let lab = Lab::new();
    let gate = Gate::start(&lab, BLOCK_CN);
    gate.metrics();
    let before = descriptors::at_rest(&gate);
    let started = Instant::now();
    for number in 0..10_000 {
        let mut stream = connect(&gate);
        // It may be closed already, which is as good an answer as any.
        let _ = stream.write_all(&garbage(number));
        if number % 50 == 0 {
            let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
            let _ = stream.read(&mut [0; 64]);
        }
    }
    eprintln!("10,000 requests in {:.1} s", started.elapsed().as_secs_f64());
    gate.metrics();
    assert_eq!(gate.health(), 200);
    wait::until("all are closed", || descriptors::now(&gate) <= before);
}

#[test]
fn clients_that_say_nothing_hold_their_places_for_ten_seconds_only() {
    let lab = Lab::new();
    let gate = Gate::start(&lab, BLOCK_CN);
    let before = descriptors::at_rest(&gate);
    let started = Instant::now();
    // One in two begins a request that it never ends.
    let silent = fill(&gate, before, |number| {
        let mut stream = connect(&gate);
        if number % 2 == 0 {
            stream.write_all(b"GET /metrics HT").expect("it is open");
        }
        stream
    });
    wait::until("somebody else is answered", || {
        prom::get(gate.namespace(), METRICS_PORT, "/healthz").is_ok_and(|(status, _)| status == 200)
    });
    eprintln!("answered after {:.1} s", started.elapsed().as_secs_f64());
    // Requests of octroi's own commands go another way.
    gate.status();
    drop(silent);
    wait::until("all are closed", || descriptors::now(&gate) <= before);
}

fn ask(gate: &Gate<'_>) -> UnixStream {
    UnixStream::connect(gate.directory().join("octroi.sock")).expect("it listens")
}

#[test]
fn ten_thousand_garbage_requests_leave_the_control_socket_as_it_was() {
    let lab = Lab::new();
    let gate = Gate::start(&lab, BLOCK_CN);
    gate.status();
    let before = descriptors::at_rest(&gate);
    for number in 0..10_000 {
        let mut stream = ask(&gate);
        let mut request = match number % 5 {
            0 => b"{\"command\":\"nothing\"}".to_vec(),
            1 => b"{\"command\":\"explain\",\"addresses\":[1,2,3]}".to_vec(),
            2 => vec![0xff; number],
            3 => b"[".repeat(number * 20),
            _ => b"{\"command\":\"add_lease\",\"prefix\":\"::/0\",\"action\":\"pass\",\"ttl\":0}".to_vec(),
        };
        request.push(b'\n');
        // It may be refused before all of it is read.
        let _ = stream.write_all(&request);
        if number % 50 == 0 {
            let mut reply = String::new();
            let _ = stream.read_to_string(&mut reply);
            assert!(reply.is_empty() || reply.contains("not understood"), "{reply}");
        }
    }
    gate.status();
    assert_eq!(gate.octroi(["lease", "list", "--json"]).json()["leases"], serde_json::json!([]));
    wait::until("all are closed", || descriptors::now(&gate) <= before);
}

#[test]
fn clients_of_the_control_socket_that_say_nothing_hold_their_places_for_five_seconds_only() {
    let lab = Lab::new();
    let gate = Gate::start(&lab, BLOCK_CN);
    let before = descriptors::at_rest(&gate);
    let silent = fill(&gate, before, |_| ask(&gate));
    wait::until("somebody else is answered", || gate.octroi(["status"]).status.success());
    drop(silent);
    wait::until("all are closed", || descriptors::now(&gate) <= before);
}

/// Runs a command as user 65534, in these groups.
fn as_somebody(gate: &Gate<'_>, groups: &str, arguments: &[&str]) -> command::Finished {
    let mut setpriv = Command::new("setpriv");
    setpriv.args(["--reuid", "65534", "--regid", "65534", "--groups", groups, "--inh-caps", "-all"]);
    // Where everybody may run it.
    let binary = gate.directory().join("octroi");
    if !binary.exists() {
        fs::copy(octroi_tests::gate::binary(), &binary).expect("a directory of ours");
    }
    setpriv.arg(binary).args(arguments).arg("-c").arg(gate.config());
    command::run(setpriv, command::SHORT)
}

#[test]
fn a_group_may_ask_and_change_nothing_and_others_may_not_ask() {
    let lab = Lab::new();
    let (adm, other) = ("4", "65533");
    let control = "group = \"adm\"".to_owned();
    let gate = Gate::start_with(&lab, Setup { control, ..Setup::new(BLOCK_CN) });
    for path in [gate.directory(), &gate.config()] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("it is ours");
    }
    let group = fs::read_to_string("/etc/group").expect("it is everywhere");
    assert!(
        group.lines().any(|line| line.starts_with("adm:x:4:")),
        "this test needs the group adm, with the id 4"
    );
    as_somebody(&gate, adm, &["status"]).success();
    as_somebody(&gate, adm, &["lease", "list"]).success();
    as_somebody(&gate, adm, &["explain", "1.0.1.1", "--live"]).success();
    for (groups, arguments) in [
        (adm, &["reload"][..]),
        (adm, &["lease", "add", "1.0.1.1", "--action", "pass", "--ttl", "1h"]),
        (other, &["status"]),
    ] {
        let refused = as_somebody(&gate, groups, arguments);
        assert_eq!(refused.status.code(), Some(1), "{refused}");
        assert!(refused.stderr.contains("not permitted: root may"), "{refused}");
    }
    assert_eq!(gate.status()["generation"], 1);
}

#[test]
fn without_a_group_the_socket_is_its_owners() {
    let lab = Lab::new();
    let gate = Gate::start(&lab, BLOCK_CN);
    let socket = fs::metadata(gate.directory().join("octroi.sock")).expect("it is there");
    assert_eq!(socket.mode() & 0o777, 0o600);
    let nobody = Setup { control: "group = \"no-such-group\"".into(), ..Setup::new(BLOCK_CN) };
    let other = Gate::prepare(&lab, nobody).run_to_end();
    assert_eq!(other.status.code(), Some(1), "{other}");
    assert!(other.stderr.contains("[control] group \"no-such-group\": no such group here"), "{other}");
}
