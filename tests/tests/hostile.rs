//! Clients that want to hold up the daemon: none does, and none leaves anything behind.
#![allow(clippy::print_stderr, reason = "figures of a test")]

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    time::{Duration, Instant},
};

use octroi_tests::{
    gate::{Gate, METRICS_PORT},
    netns::Lab,
    prom, wait,
};

const BLOCK_CN: &str = "[[rule]]\nname = \"cn\"\nsource = { country = [\"CN\"] }\naction = \"drop\"\n";

fn connect(gate: &Gate<'_>) -> TcpStream {
    let connect = || TcpStream::connect((Ipv4Addr::LOCALHOST, METRICS_PORT)).expect("it listens");
    gate.namespace().run(connect)
}

/// How many descriptors the daemon has open.
fn descriptors(gate: &Gate<'_>) -> usize {
    fs::read_dir(format!("/proc/{}/fd", gate.pid())).expect("the daemon runs").count()
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
    let before = descriptors(&gate);
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
    wait::until("all are closed", || descriptors(&gate) <= before);
}

#[test]
fn clients_that_say_nothing_hold_their_places_for_ten_seconds_only() {
    let lab = Lab::new();
    let gate = Gate::start(&lab, BLOCK_CN);
    let before = descriptors(&gate);
    let started = Instant::now();
    // More than there are places; and one in two begins a request that it never ends.
    let silent: Vec<TcpStream> = (0..100)
        .map(|number| {
            let mut stream = connect(&gate);
            if number % 2 == 0 {
                stream.write_all(b"GET /metrics HT").expect("it is open");
            }
            stream
        })
        .collect();
    assert!(descriptors(&gate) <= before + 64, "{} descriptors", descriptors(&gate));
    wait::until("somebody else is answered", || {
        prom::get(gate.namespace(), METRICS_PORT, "/healthz").is_ok_and(|(status, _)| status == 200)
    });
    eprintln!("answered after {:.1} s", started.elapsed().as_secs_f64());
    // Requests of octroi's own commands go another way.
    gate.status();
    drop(silent);
    wait::until("all are closed", || descriptors(&gate) <= before);
}
