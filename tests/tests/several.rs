//! Several interfaces under one daemon, and several namespaces under one directory of pins.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use octroi_gate::corpus::build::udp;
use octroi_tests::{
    gate::{Gate, Setup},
    netns::{Lab, Pair},
    wait,
    wire::{Receiver, Sender},
};

const BLOCK_CN: &str = "[[rule]]\nname = \"cn\"\nsource = { country = [\"CN\"] }\naction = \"drop\"\n";
const BLOCK_US: &str = "[[rule]]\nname = \"us\"\nsource = { country = [\"US\"] }\naction = \"drop\"\n";

/// Of frames from China, the United States and Australia, those that arrive at the end of a wire.
fn passing(lab: &Lab, pair: &Pair) -> Vec<&'static str> {
    let sources = ["1.0.1.1", "8.8.8.8", "1.0.0.1"];
    let frame = |source: &str| {
        let source: IpAddr = source.parse().expect("an address");
        udp(source, pair.gate4.into()).macs(pair.peer_mac, pair.gate_mac).ports(4000, 9).frame()
    };
    let receiver = Receiver::new(&lab.inside, &pair.gate);
    Sender::new(&lab.outside, &pair.peer).send_all(&sources.map(frame));
    let last = frame(sources[2]);
    let arrived = receiver.until(|frame| *frame == last, Duration::from_secs(5));
    sources.into_iter().filter(|source| arrived.contains(&frame(source))).collect()
}

#[test]
fn one_reload_steps_on_all_interfaces() {
    let mut lab = Lab::new();
    lab.add_pair();
    lab.add_pair();
    let interfaces = vec!["gate0".to_owned(), "gate1".to_owned()];
    let gate = Gate::start_with(&lab, Setup { interfaces, ..Setup::new(BLOCK_CN) });
    let pairs = lab.pairs();
    let (china, states) = (vec!["8.8.8.8", "1.0.0.1"], vec!["1.0.1.1", "1.0.0.1"]);
    let everything = vec!["1.0.1.1", "8.8.8.8", "1.0.0.1"];
    let seen = || pairs.iter().map(|pair| passing(&lab, pair)).collect::<Vec<_>>();
    assert_eq!(seen(), [china.clone(), china.clone(), everything.clone()]);

    gate.write(BLOCK_US);
    gate.reload().success();
    assert_eq!(seen(), [states.clone(), states, everything.clone()]);
    let status = gate.status();
    assert_eq!(status["generation"], 2);
    assert_eq!(status["interfaces"].as_array().map(Vec::len), Some(2), "{status}");

    // Each interface's packets are counted once, in the counters that all share.
    let metrics = gate.metrics();
    let count =
        |country, verdict| metrics.sum("octroi_packets_total", &[("country", country), ("verdict", verdict)]);
    assert_eq!((count("CN", "drop"), count("CN", "pass")), (2.0, 2.0));
    assert_eq!((count("US", "drop"), count("US", "pass")), (2.0, 2.0));

    // One goes, one comes.
    let text = std::fs::read_to_string(gate.config()).expect("the gate's own file");
    let more = text.replace("[\"gate0\", \"gate1\"]", "[\"gate1\", \"gate2\"]").replace("US", "CN");
    assert_ne!(more, text);
    std::fs::write(gate.config(), more).expect("the gate's own file");
    gate.reload().success();
    wait::until("gate0 is let go", || passing(&lab, lab.pair()) == everything);
    assert_eq!(seen(), [everything.clone(), china.clone(), china.clone()]);
}

#[test]
fn detach_leaves_the_pins_of_another_namespace_alone() {
    let (first, second) = (Lab::new(), Lab::new());
    let pins = Some(PathBuf::from(format!("/sys/fs/bpf/{}-shared", first.tag())));
    let setup = || Setup { pins: pins.clone(), ..Setup::new(BLOCK_CN) };
    let mut here = Gate::start_with(&first, setup());
    here.kill();
    let mut there = Gate::start_with(&second, setup());
    there.kill();
    let blocked = vec!["8.8.8.8", "1.0.0.1"];
    let everything = vec!["1.0.1.1", "8.8.8.8", "1.0.0.1"];
    assert_eq!(passing(&first, first.pair()), blocked);
    assert_eq!(passing(&second, second.pair()), blocked);

    assert_eq!(here.octroi(["detach"]).success(), "detached: 1 programs\n");
    // The kernel takes a link apart some milliseconds after its pin is gone.
    wait::until("detached here", || passing(&first, first.pair()) == everything);
    assert_eq!(passing(&second, second.pair()), blocked, "the other namespace's gate stays closed");
    let again = here.octroi(["detach"]).success();
    assert!(again.starts_with("detached: 0 programs;"), "nothing of its own is left: {again}");

    assert_eq!(here.octroi(["detach", "--all"]).success(), "detached: 1 programs\n");
    wait::until("detached there", || passing(&second, second.pair()) == everything);
    assert!(!here.pins().exists(), "{} is still there", here.pins().display());
}
