//! The support that end-to-end tests stand on: a lab carries frames, counts marks, and leaves nothing behind.

use std::collections::HashSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::panic::{self, AssertUnwindSafe};
use std::process::Command;
use std::time::{Duration, Instant};

use octroi_gate::corpus::{
    build::{TPID_8021AD, tcp, udp},
    corpus,
};
use octroi_tests::command::run;
use octroi_tests::netns::{Lab, leftovers};
use octroi_tests::nft::{self, Counters};
use octroi_tests::socket;
use octroi_tests::wire::{Receiver, Sender};

const SOON: Duration = Duration::from_secs(5);
/// Addresses that nobody in the lab has.
const FOREIGN4: IpAddr = IpAddr::V4(Ipv4Addr::new(1, 0, 1, 1));
const FOREIGN6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2404, 0x7940, 0, 0, 0, 0, 0, 1));

#[test]
fn a_frame_sent_outside_arrives_inside_as_it_was() {
    let lab = Lab::new();
    let receiver = Receiver::new(&lab.inside, &lab.pair().gate);
    let sender = Sender::new(&lab.outside, &lab.pair().peer);
    let (gate4, gate6) = (lab.pair().gate4.into(), lab.pair().gate6.into());
    let frames = [
        udp(FOREIGN4, gate4).payload(b"plain").frame(),
        udp(FOREIGN6, gate6).payload(b"plain").dscp(46).frame(),
        tcp(FOREIGN4, gate4).vlan(100).frame(),
        tcp(FOREIGN4, gate4).vlan(0).frame(),
        tcp(FOREIGN4, gate4).tagged(TPID_8021AD, 200).vlan(100).frame(),
    ];
    sender.send_all(&frames);
    let seen = receiver.collect(|frame| frames.iter().any(|sent| sent == frame), frames.len(), SOON);
    assert_eq!(seen, frames, "{}", lab.describe());
}

#[test]
fn without_a_gate_the_whole_corpus_arrives() {
    // The kernel takes tags out before anybody sees the frame, and drops what is cut in or right behind one.
    let cut_at_tag = [
        "ethernet_header_alone_tag",
        "tag_cut_behind_id",
        "tag_cut_in_ethertype",
        "tag_alone",
        "second_tag_missing",
    ];
    let lab = Lab::new();
    let receiver = Receiver::new(&lab.inside, &lab.pair().gate);
    let sender = Sender::new(&lab.outside, &lab.pair().peer);
    // What an Ethernet header and the MTU leave room for.
    let cases: Vec<_> = corpus().into_iter().filter(|case| (14..=1514).contains(&case.frame.len())).collect();
    let frames: Vec<_> = cases.iter().map(|case| &case.frame).collect();
    let marker = udp(FOREIGN4, lab.pair().gate4.into()).payload(b"the last one").frame();
    sender.send_all(&frames);
    sender.send(&marker);
    let seen: HashSet<_> = receiver.until(|frame| frame == marker, SOON).into_iter().collect();
    let missing: Vec<_> =
        cases.iter().filter(|case| !seen.contains(&case.frame)).map(|case| case.name).collect();
    assert_eq!(missing, cut_at_tag);
    assert!(cases.len() > 350, "only {} cases fit", cases.len());
}

#[test]
fn frames_before_a_marker_are_all_that_arrived() {
    let lab = Lab::new();
    let receiver = Receiver::new(&lab.inside, &lab.pair().gate);
    let sender = Sender::new(&lab.outside, &lab.pair().peer);
    let frame = |port| udp(FOREIGN4, lab.pair().gate4.into()).ports(40000, port).frame();
    let (wanted, marker) = (frame(1), frame(2));
    sender.send_all(&[&wanted, &wanted, &marker]);
    let seen = receiver.until(|frame| frame == marker, SOON);
    assert_eq!(seen.iter().filter(|frame| **frame == wanted).count(), 2);
}

#[test]
fn sockets_inside_accept_packets_from_any_source() {
    let lab = Lab::new();
    let sender = Sender::new(&lab.outside, &lab.pair().peer);
    let sources = [
        FOREIGN4,
        FOREIGN6,
        IpAddr::V4(Ipv4Addr::new(192, 168, 1, 1)),
        // The receiver's own network and address, and documentation space.
        IpAddr::V4(lab.pair().peer4),
        IpAddr::V4(lab.pair().gate4),
        IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1)),
        IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
    ];
    let socket = lab.inside.run(|| UdpSocket::bind("[::]:5300")).expect("bind a socket of the lab");
    socket.set_read_timeout(Some(SOON)).expect("a time limit");
    for source in sources {
        let gate = if source.is_ipv4() { lab.pair().gate4.into() } else { IpAddr::V6(lab.pair().gate6) };
        sender.send(&udp(source, gate).ports(40000, 5300).payload(b"hello").frame());
        let mut buffer = [0; 64];
        let (length, from) =
            socket.recv_from(&mut buffer).unwrap_or_else(|error| panic!("{source}: {error}"));
        assert_eq!((&buffer[..length], from.ip().to_canonical()), (&b"hello"[..], source));
    }
}

#[test]
fn connections_come_from_a_source_that_was_given() {
    let lab = Lab::new();
    for (source, gate) in [(FOREIGN4, IpAddr::from(lab.pair().gate4)), (FOREIGN6, lab.pair().gate6.into())] {
        lab.give_source(source);
        let listener = lab.inside.run(|| TcpListener::bind((gate, 0))).expect("listen inside");
        let address = listener.local_addr().expect("a bound socket has an address");
        let mut client = socket::connect(&lab.outside, source, address, SOON).expect("connect from outside");
        let (mut server, from) = listener.accept().expect("accept");
        assert_eq!(from.ip(), source);
        client.write_all(b"hello").expect("send");
        drop(client);
        let mut text = String::new();
        server.read_to_string(&mut text).expect("receive");
        assert_eq!(text, "hello");
    }
}

#[test]
fn a_refused_connection_says_so_at_once() {
    let lab = Lab::new();
    lab.give_source(FOREIGN4);
    let nobody = SocketAddr::from((lab.pair().gate4, 9));
    let error = socket::connect(&lab.outside, FOREIGN4, nobody, SOON).expect_err("nobody listens");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn a_connection_without_an_answer_ends_with_its_time() {
    let lab = Lab::new();
    lab.give_source(FOREIGN4);
    let drop_all = "table inet block {\n chain input { type filter hook input priority 0; policy drop; }\n}";
    nft::script(&lab.inside, drop_all);
    let nobody = SocketAddr::from((lab.pair().gate4, 9));
    let started = Instant::now();
    let error =
        socket::connect(&lab.outside, FOREIGN4, nobody, Duration::from_millis(300)).expect_err("no answer");
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    assert!(started.elapsed() < SOON);
}

#[test]
fn marks_are_counted_by_nftables() {
    let lab = Lab::new();
    let source = |last| IpAddr::V4(Ipv4Addr::new(1, 0, 1, last));
    nft::script(
        &lab.inside,
        "table inet marks {
           chain early {
             type filter hook prerouting priority -300;
             ip saddr 1.0.1.1 meta mark set 0x2a
           }
         }",
    );
    let counters = Counters::install(
        &lab.inside,
        &[
            ("marked", "meta mark 0x2a"),
            ("unmarked", "meta mark 0 ip saddr 1.0.1.2"),
            ("expedited", "ip dscp 46"),
        ],
    );
    let sender = Sender::new(&lab.outside, &lab.pair().peer);
    let packet = |last| udp(source(last), lab.pair().gate4.into()).payload(b"hello");
    sender.send_all(&[packet(1).frame(), packet(1).frame(), packet(2).frame(), packet(1).dscp(46).frame()]);
    let counted = || counters.read().values().map(|count| count.packets).sum::<u64>();
    let deadline = Instant::now() + SOON;
    while counted() < 5 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(counters.packets("marked"), 3, "{}", nft::describe(&lab.inside));
    assert_eq!(counters.packets("unmarked"), 1);
    assert_eq!(counters.read()["expedited"].bytes, 20 + 8 + 5);
}

#[test]
fn a_flood_is_fast_and_all_of_it_arrives() {
    let lab = Lab::new();
    let sender = Sender::new(&lab.outside, &lab.pair().peer);
    let frames: Vec<_> =
        (0..=255).map(|last| udp([1, 0, 1, last].into(), lab.pair().gate4.into()).frame()).collect();
    let before = received(&lab);
    let flood = sender.flood(&frames, 100_000, Duration::from_secs(20));
    assert_eq!(flood.sent, 100_000, "{flood:?}");
    // A tenth of what an idle machine does: shared ones have bad moments.
    assert!(flood.rate() > 20_000.0, "{} frames a second", flood.rate());
    assert!(received(&lab) - before >= flood.sent, "{}", lab.describe());
}

#[test]
fn a_second_wire_is_independent_of_the_first() {
    let mut lab = Lab::new();
    let second = lab.add_pair();
    assert_eq!((second.peer.as_str(), second.gate.as_str()), ("peer1", "gate1"));
    let first = Receiver::new(&lab.inside, &lab.pair().gate);
    let receiver = Receiver::new(&lab.inside, &second.gate);
    let frame = udp(FOREIGN4, second.gate4.into()).macs(second.peer_mac, second.gate_mac).frame();
    Sender::new(&lab.outside, &second.peer).send(&frame);
    assert_eq!(receiver.collect(|seen| seen == frame, 1, SOON), std::slice::from_ref(&frame));
    assert!(first.collect(|seen| seen == frame, 1, Duration::from_millis(50)).is_empty());
}

#[test]
fn neither_namespace_has_a_way_out() {
    let lab = Lab::new();
    for namespace in [&lab.outside, &lab.inside] {
        assert_eq!(namespace.ip("route show default"), "");
        assert_eq!(namespace.ip("-6 route show default"), "");
        let error = namespace.run(|| TcpStream::connect_timeout(&([192, 0, 2, 1], 80).into(), SOON));
        assert!(error.is_err());
    }
}

#[test]
fn a_command_runs_in_the_namespace_and_sees_the_same_files() {
    let lab = Lab::new();
    let there = |program: &str, argument: &str| {
        let mut command = lab.inside.command(program);
        command.arg(argument);
        run(command, SOON).success()
    };
    let here = |program: &str, argument: &str| {
        let mut command = Command::new(program);
        command.arg(argument);
        run(command, SOON).success()
    };
    assert!(there("cat", "/proc/self/net/dev").contains("gate0"));
    assert!(!here("cat", "/proc/self/net/dev").contains("gate0"));
    let mounts = |link: String| link.trim().to_owned();
    assert_eq!(mounts(there("readlink", "/proc/self/ns/mnt")), mounts(here("readlink", "/proc/self/ns/mnt")));
}

#[test]
fn nothing_is_left_of_a_lab_that_was_dropped() {
    let lab = Lab::new();
    let tag = lab.tag().to_owned();
    assert_eq!(leftovers(&tag).len(), 2, "two namespaces while it lives");
    drop(lab);
    assert_eq!(leftovers(&tag), Vec::<String>::new());
}

#[test]
fn nothing_is_left_of_a_lab_after_a_panic() {
    let mut tag = String::new();
    let result = panic::catch_unwind(AssertUnwindSafe(|| {
        let lab = Lab::new();
        lab.tag().clone_into(&mut tag);
        panic!("as a failing test would");
    }));
    assert!(result.is_err());
    assert!(!tag.is_empty());
    assert_eq!(leftovers(&tag), Vec::<String>::new());
}

#[test]
fn a_panic_inside_a_namespace_goes_on_outside() {
    let lab = Lab::new();
    let result = panic::catch_unwind(AssertUnwindSafe(|| lab.inside.run(|| panic!("in there"))));
    let payload = result.expect_err("the panic comes out");
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"in there"));
}

/// Packets that the inner end of the first wire has received.
fn received(lab: &Lab) -> u64 {
    let link = lab.inside.link(&lab.pair().gate);
    link["stats64"]["rx"]["packets"].as_u64().unwrap_or_else(|| panic!("no rx packets in {link}"))
}
