//! Ways round a rule for a service, and ways in past one: each trick against both engines and against docs/evasion.md, and on
//! the wire against a host that listens.
#![allow(clippy::print_stderr, reason = "figures of a test")]

mod cases;

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket},
    time::Duration,
};

use octroi_abi::{Verdict, slot};
use octroi_gate::{corpus::build::tcp, host::Circumstances};
use octroi_tests::{
    gate::Gate,
    netns::Lab,
    policy::{Judged, Kernel, Policy},
    wire::{Receiver, Sender},
};

use cases::{Aim, CASES, Case};

/// The service's port, and another one.
const SERVICE: u16 = 443;
const OTHER: u16 = 22;
const DROP: &str =
    "[[rule]]\nname = \"no\"\nsource.any = true\nservice = [\"tcp/443\", \"udp/443\"]\naction = \"drop\"\n";
const PASS: &str = "[policy]\ndefault = \"drop\"\n[[rule]]\nname = \"only\"\nsource.any = true\n\
                    service = [\"tcp/443\", \"udp/443\"]\naction = \"pass\"\n";
const SOON: Duration = Duration::from_secs(5);

/// A trick's frames for each family that it is for, aimed at a port. Each trick has a source of its own, so that nobody puts
/// fragments of several together.
fn aims(lab: Option<&Lab>, port: u16, cover: u16) -> Vec<(&'static Case, Aim)> {
    let mut aims = Vec::new();
    for (number, case) in (1..).zip(CASES) {
        for family in case.families {
            let (source, here) = match family {
                4 => (
                    IpAddr::V4(Ipv4Addr::new(1, 0, 1, u8::try_from(number).expect("few"))),
                    [10, 88, 0, 2].into(),
                ),
                _ => (
                    IpAddr::V6(Ipv6Addr::new(0x240e, 0, 0, 0, 0, 0, 0, number)),
                    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x88, 0, 0, 0, 0, 0, 2)),
                ),
            };
            assert!(lab.is_none_or(|lab| lab.pair().here(source) == here));
            aims.push((
                case,
                Aim { source, here, from: 20_000 + 2 * number + u16::from(family / 6), port, cover },
            ));
        }
    }
    aims
}

/// What both engines make of each frame: one word where it is the same for all.
struct Engines {
    policy: Policy,
    kernel: Kernel,
}

impl Engines {
    fn new(text: &str) -> Engines {
        let policy = Policy::new(text);
        let kernel = Kernel::load_alone(&policy.compiled);
        Engines { policy, kernel }
    }

    fn words(&mut self, case: &Case, aim: &Aim) -> String {
        let mut words = Vec::new();
        for frame in (case.frames)(aim) {
            let outcome = self.policy.compiled.judge_in(&frame, Circumstances::default()).outcome;
            let expected = Judged { verdict: outcome.verdict, slot: outcome.slot };
            assert_eq!(self.kernel.judge(&frame).0, expected, "{}", case.name);
            words.push(match (outcome.verdict, outcome.slot) {
                (Verdict::Drop, slot::MALFORMED) => "malformed",
                (Verdict::Drop, _) => "dropped",
                (Verdict::Pass, slot::NON_IP) => "passes as not IP",
                (Verdict::Pass, _) => "passes",
                (verdict, _) => panic!("{}: {verdict:?}", case.name),
            });
        }
        if words.iter().all(|word| *word == words[0]) { words[0].to_owned() } else { words.join(", ") }
    }
}

#[test]
fn each_trick_meets_what_it_is_said_to_under_both_rules() {
    let (mut drop, mut pass) = (Engines::new(DROP), Engines::new(PASS));
    let mut wrong = Vec::new();
    for (case, aim) in aims(None, SERVICE, OTHER) {
        let found = (drop.words(case, &aim), pass.words(case, &aim));
        if (found.0.as_str(), found.1.as_str()) != (case.drop, case.pass) {
            wrong.push((case.name, aim.source.is_ipv4(), found));
        }
    }
    assert!(wrong.is_empty(), "(name, IPv4, (drop rule, pass rule)): {wrong:#?}");
}

#[test]
fn no_trick_is_let_in_for_another_port_than_the_rule_s() {
    let mut pass = Engines::new(PASS);
    for (case, aim) in aims(None, OTHER, SERVICE) {
        let words = pass.words(case, &aim);
        // The decoys pass; what they are decoys for does not. A port that is the source's is a packet to the service.
        let expected = match case.name {
            "source_port" => words == "passes",
            "snap" => words == "passes as not IP",
            _ => words.contains("dropped") || words == "malformed",
        };
        assert!(expected, "{}: {words}", case.name);
    }
}

/// The table of docs/evasion.md.
fn table() -> String {
    let versions = |case: &Case| case.families.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
    let row = |case: &Case| {
        format!("| `{}` | {} | {} | {} | {} |\n", case.name, versions(case), case.tried, case.drop, case.pass)
    };
    CASES.iter().map(row).collect()
}

#[test]
fn the_document_has_each_trick_and_what_it_meets() {
    let document = include_str!("../../../docs/evasion.md");
    let rows: String =
        document.lines().filter(|line| line.starts_with("| `")).map(|line| line.to_owned() + "\n").collect();
    assert_eq!(rows, table(), "the table of docs/evasion.md has to be\n{}", table());
    let names: BTreeSet<_> = CASES.iter().map(|case| case.name).collect();
    assert_eq!(names.len(), CASES.len(), "a name is there twice");
}

/// A host that listens on a port, without a gate or behind one.
struct Host<'lab> {
    lab: &'lab Lab,
    port: u16,
    _listener: TcpListener,
    datagrams: UdpSocket,
    answers: Receiver,
    sender: Sender,
}

impl<'lab> Host<'lab> {
    fn new(lab: &'lab Lab, port: u16) -> Host<'lab> {
        let listener = lab.inside.run(|| TcpListener::bind(("::", port))).expect("listen inside");
        let datagrams = lab.inside.run(|| UdpSocket::bind(("::", port))).expect("bind inside");
        datagrams.set_nonblocking(true).expect("a socket");
        let answers = Receiver::new(&lab.outside, &lab.pair().peer);
        let sender = Sender::new(&lab.outside, &lab.pair().peer);
        Host { lab, port, _listener: listener, datagrams, answers, sender }
    }

    /// The tricks that were answered from the port, or whose datagrams came through, of those aimed at it.
    fn reached(&self, aims: &[(&'static Case, Aim)]) -> BTreeSet<(&'static str, bool)> {
        let known = |port: u16| {
            let found = aims.iter().find(|(_, aim)| aim.from == port);
            found.map(|(case, aim)| (case.name, aim.source.is_ipv4()))
        };
        // Each by itself, since the listener remembers few that do not answer it.
        let mut reached = BTreeSet::new();
        for (number, (case, aim)) in aims.iter().enumerate() {
            for frame in (case.frames)(aim) {
                self.sender.send(&frame);
            }
            let number = u16::try_from(number).expect("few");
            let answered = self.marked(40_000 + number);
            reached.extend(answered.into_iter().filter_map(known));
        }
        let mut buffer = [0; 256];
        while let Ok((_, from)) = self.datagrams.recv_from(&mut buffer) {
            reached.extend(known(from.port()));
        }
        reached
    }

    /// The ports to which SYN-ACKs went, up to the one to a SYN from a local source, which passes under every policy.
    fn marked(&self, from: u16) -> Vec<u16> {
        let pair = self.lab.pair();
        self.sender.send(&tcp(pair.peer4.into(), pair.gate4.into()).ports(from, self.port).frame());
        let frames = self.answers.until(|frame| self.answered(frame) == Some(from), SOON);
        frames.iter().filter_map(|frame| self.answered(frame)).collect()
    }

    /// The port that a SYN-ACK from the host's port went to.
    fn answered(&self, frame: &[u8]) -> Option<u16> {
        let (protocol, header) = match frame.get(12..14)? {
            [0x08, 0x00] => (frame.get(23)?, 14 + 20),
            [0x86, 0xdd] => (frame.get(20)?, 14 + 40),
            _ => return None,
        };
        let transport = frame.get(header..header + 14)?;
        let port = |at: usize| u16::from_be_bytes([transport[at], transport[at + 1]]);
        (*protocol == 6 && transport[13] & 0x12 == 0x12 && port(0) == self.port).then(|| port(2))
    }
}

/// Which tricks reach a host's port by the looks of another one, without a gate or behind one; in a lab of its own, where no
/// fragments wait of another policy.
fn reached(policy: Option<&str>, port: u16, cover: u16) -> BTreeSet<(&'static str, bool)> {
    let lab = Lab::new();
    let pair = lab.pair();
    lab.inside.ip(&format!("route add 1.0.1.0/24 via {}", pair.peer4));
    lab.inside.ip(&format!("-6 route add 240e::/64 via {}", pair.peer6));
    let _gate = policy.map(|policy| Gate::start(&lab, policy));
    // The other port is somebody's, too.
    let (host, _other) = (Host::new(&lab, port), Host::new(&lab, cover));
    host.reached(&aims(Some(&lab), port, cover))
}

#[test]
fn no_trick_reaches_a_host_s_port_round_a_rule_that_drops_though_some_would() {
    let open = reached(None, SERVICE, OTHER);
    eprintln!("{} tricks reach a host without octroi: {open:?}", open.len());
    assert!(open.len() >= 20, "{open:?}");
    assert_eq!(reached(Some(DROP), SERVICE, OTHER), BTreeSet::new());
}

#[test]
fn no_trick_reaches_another_port_past_a_rule_that_lets_one_in() {
    let open = reached(None, OTHER, SERVICE);
    assert!(open.len() >= 20, "{open:?}");
    assert_eq!(reached(Some(PASS), OTHER, SERVICE), BTreeSet::new());
}

#[test]
fn whoever_is_let_in_comes_as_a_whole_packet_whose_port_is_in_it() {
    let passed = reached(Some(PASS), SERVICE, OTHER);
    eprintln!("{} of them come in for the service", passed.len());
    let whole = |name| {
        CASES
            .iter()
            .any(|case| case.name == name && case.pass.starts_with("passes") && !case.pass.contains(','))
    };
    assert!(passed.len() >= 10 && passed.iter().all(|(name, _)| whole(*name)), "{passed:?}");
}
