//! `action = "reject"` as clients meet it: sockets and curl of this kernel, which are told at once that they may not.
#![allow(clippy::print_stderr, reason = "figures of a test")]

use std::{
    io::{ErrorKind, Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use octroi_tests::{
    command::{SHORT, run},
    far_end::FarEnd,
    gate::{Gate, Setup},
    netns::Lab,
    socket,
};

/// China, which is rejected.
const CN: &str = "1.0.1.1";
const CN6: &str = "240e::1";
const REJECT_CN: &str = "[[rule]]\nname = \"no\"\nsource = { country = [\"CN\"] }\naction = \"reject\"\n";

/// How soon a client is told.
const AT_ONCE: Duration = Duration::from_millis(50);
/// How long it would wait.
const PATIENCE: Duration = Duration::from_secs(5);

/// A lab whose outside has addresses in China, and sees what is sent back.
fn lab() -> (Lab, FarEnd) {
    let lab = Lab::new();
    give_sources(&lab);
    let far_end = FarEnd::of(&lab);
    (lab, far_end)
}

fn give_sources(lab: &Lab) {
    for source in [CN, CN6] {
        lab.give_source(address(source));
    }
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Packets that the rule has counted with a verdict.
fn counted(gate: &Gate<'_>, verdict: &str) -> f64 {
    gate.metrics().sum("octroi_rule_packets_total", &[("rule", "no"), ("verdict", verdict)])
}

/// A server inside, on all addresses, and its port.
fn listen(lab: &Lab) -> (TcpListener, u16) {
    let listener = lab.inside.run(|| TcpListener::bind(("::", 0))).expect("listen inside");
    let port = listener.local_addr().expect("a bound socket has an address").port();
    (listener, port)
}

fn a_tcp_client_is_refused(mode: &str) {
    const TIMES: usize = 20;
    let (lab, _far_end) = lab();
    let gate = Gate::start_with(&lab, Setup { mode: mode.into(), ..Setup::new(REJECT_CN) });
    // So that nobody but the gate refuses.
    let (listener, port) = listen(&lab);
    for source in [CN, CN6].map(address) {
        let server = SocketAddr::new(lab.pair().here(source), port);
        let mut times: Vec<Duration> = Vec::new();
        for _ in 0..TIMES {
            let started = Instant::now();
            let error = socket::connect(&lab.outside, source, server, PATIENCE).expect_err("rejected");
            times.push(started.elapsed());
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{source}: {error}\n{}", gate.describe());
        }
        times.sort();
        let (median, longest) = (times[TIMES / 2], times[TIMES - 1]);
        eprintln!("{mode}, {source}: refused within {median:?} (median of {TIMES}), {longest:?} at most");
        assert!(median < AT_ONCE, "{source}: {times:?}");
        // A client that missed an answer asks again after a second.
        assert!(longest < Duration::from_millis(900), "{source}: {times:?}");
    }
    assert_eq!((counted(&gate, "reject"), counted(&gate, "drop")), (2.0 * TIMES as f64, 0.0));
    // Everybody else gets through to the same server.
    let from = IpAddr::from(lab.pair().peer4);
    let server = SocketAddr::new(lab.pair().gate4.into(), port);
    let _client = socket::connect(&lab.outside, from, server, PATIENCE).expect("not rejected");
    assert_eq!(listener.accept().expect("accept").1.ip().to_canonical(), from);
}

#[test]
fn a_tcp_client_is_refused_at_once() {
    a_tcp_client_is_refused("native");
}

#[test]
fn a_tcp_client_is_refused_at_once_in_generic_mode() {
    a_tcp_client_is_refused("generic");
}

/// What a connected UDP client is told when it sends so many bytes.
fn told(lab: &Lab, source: IpAddr, length: usize) -> (i32, Duration) {
    let socket = lab.outside.run(|| UdpSocket::bind((source, 0))).expect("an address of the lab");
    socket.connect((lab.pair().here(source), 9)).expect("connect");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    let started = Instant::now();
    assert_eq!(socket.send(&vec![7; length]).expect("send"), length);
    let error = socket.recv(&mut [0; 1]).expect_err("nobody sends anything");
    (error.raw_os_error().unwrap_or_else(|| panic!("{error}")), started.elapsed())
}

fn a_connected_udp_client_is_told(mode: &str) {
    let (lab, _far_end) = lab();
    let gate = Gate::start_with(&lab, Setup { mode: mode.into(), ..Setup::new(REJECT_CN) });
    // What Linux makes of ICMP 3/13 (net/ipv4/icmp.c) and of ICMPv6 1/1 (net/ipv6/icmp.c).
    for (source, expected) in [(CN, libc::EHOSTUNREACH), (CN6, libc::EACCES)] {
        for length in [0, 5, 1400] {
            let (error, after) = told(&lab, address(source), length);
            assert_eq!(error, expected, "{source}, {length} bytes: {}", gate.describe());
            assert!(after < Duration::from_millis(500), "{source}, {length} bytes: {after:?}");
        }
    }
    assert_eq!((counted(&gate, "reject"), counted(&gate, "drop")), (6.0, 0.0));
}

#[test]
fn a_connected_udp_client_is_told_host_unreachable_and_in_ipv6_permission_denied() {
    a_connected_udp_client_is_told("native");
}

#[test]
fn a_connected_udp_client_is_told_the_same_in_generic_mode() {
    a_connected_udp_client_is_told("generic");
}

#[test]
fn jumbo_frames_are_answered_too() {
    for mode in ["native", "generic"] {
        let lab = Lab::new();
        lab.outside.ip("link set peer0 mtu 9000");
        lab.inside.ip("link set gate0 mtu 9000");
        give_sources(&lab);
        let _far_end = FarEnd::of(&lab);
        let gate = Gate::start_with(&lab, Setup { mode: mode.into(), ..Setup::new(REJECT_CN) });
        for (source, expected) in [(CN, libc::EHOSTUNREACH), (CN6, libc::EACCES)] {
            for length in [500, 3000, 8900] {
                let (error, _) = told(&lab, address(source), length);
                assert_eq!(error, expected, "{mode}, {source}, {length} bytes: {}", gate.describe());
            }
        }
        assert_eq!(counted(&gate, "drop"), 0.0, "{mode}");
        // Ethernet, IP and UDP headers, and all of the payload, in however many buffers it came.
        let sent: usize = [42, 62].iter().map(|headers| 3 * headers + 500 + 3000 + 8900).sum();
        let rejected = [("rule", "no"), ("verdict", "reject")];
        assert_eq!(gate.metrics().sum("octroi_rule_bytes_total", &rejected), sent as f64, "{mode}");
    }
}

#[test]
fn curl_says_that_it_could_not_connect() {
    let (lab, _far_end) = lab();
    let gate = Gate::start(&lab, REJECT_CN);
    let (listener, port) = listen(&lab);
    let server = thread::spawn(move || {
        let (mut client, _) = listener.accept().expect("accept");
        client.read_exact(&mut [0; 16]).expect("a request");
        client.write_all(b"HTTP/1.0 204 No Content\r\n\r\n").expect("answer");
    });
    let curl = |from: IpAddr| {
        let host = match lab.pair().here(from) {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        };
        let mut command = lab.outside.command("curl");
        command.args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "5"]);
        command.args(["--interface", &from.to_string(), "--write-out", "%{http_code} %{time_total}"]);
        command.arg(format!("http://{host}:{port}/"));
        run(command, SHORT)
    };
    for source in [CN, CN6].map(address) {
        let refused = curl(source);
        eprintln!("{}: {}", refused.command, refused.stderr.trim());
        // "Failed to connect to host."
        assert_eq!(refused.status.code(), Some(7), "{refused}\n{}", gate.describe());
        let time: f64 = refused.stdout.trim_start_matches("000 ").parse().expect("seconds");
        assert!(time < 0.5, "{refused}");
    }
    assert!(curl(lab.pair().peer4.into()).success().starts_with("204 "));
    server.join().expect("the server does not panic");
}

#[test]
fn a_connection_that_exists_is_cut_where_the_rule_says_so_and_goes_on_where_not() {
    let cut = format!("{REJECT_CN}established = \"drop\"\n");
    for source in [CN, CN6].map(address) {
        let (lab, _far_end) = lab();
        let gate = Gate::start(&lab, "");
        let (listener, port) = listen(&lab);
        let server = SocketAddr::new(lab.pair().here(source), port);
        let mut client = socket::connect(&lab.outside, source, server, PATIENCE).expect("no rule yet");
        let (mut here, _) = listener.accept().expect("accept");
        client.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        here.set_read_timeout(Some(PATIENCE)).expect("a time limit");

        gate.write(REJECT_CN);
        gate.reload().success();
        for _ in 0..3 {
            client.write_all(b"to the server").expect("send");
            here.read_exact(&mut [0; 13]).unwrap_or_else(|error| panic!("{error}\n{}", gate.describe()));
            here.write_all(b"and back").expect("send");
            client.read_exact(&mut [0; 8]).unwrap_or_else(|error| panic!("{error}\n{}", gate.describe()));
        }
        let another = socket::connect(&lab.outside, source, server, PATIENCE).expect_err("rejected");
        assert_eq!(another.kind(), ErrorKind::ConnectionRefused);

        gate.write(&cut);
        gate.reload().success();
        let started = Instant::now();
        client.write_all(b"not any more").expect("the socket takes it");
        let error = client.read(&mut [0; 1]).expect_err("cut");
        // Only a reset with the very number that the client expects next does that (RFC 5961, 3.2).
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{source}: {}", gate.describe());
        assert!(started.elapsed() < Duration::from_millis(500), "{:?}", started.elapsed());
    }
}
