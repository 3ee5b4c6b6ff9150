//! Several interfaces under one daemon, and several namespaces under one directory of pins.

use std::{net::IpAddr, os::unix::fs::MetadataExt, path::PathBuf, time::Duration};

use octroi_gate::corpus::build::udp;
use octroi_tests::{
    command,
    gate::{Gate, Setup, binary},
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

    let others = format!("1 in network namespace {}", number(second.inside.name()));
    let told = here.octroi(["detach"]).success();
    assert!(
        told.starts_with(&format!("detached: 1 programs; others go on filtering: {others} (nsenter")),
        "{told}"
    );
    // The kernel takes a link apart some milliseconds after its pin is gone.
    wait::until("detached here", || passing(&first, first.pair()) == everything);
    assert_eq!(passing(&second, second.pair()), blocked, "the other namespace's gate stays closed");
    let again = here.octroi(["detach"]);
    assert_eq!(
        again.status.code(),
        Some(1),
        "nothing of its own is left, and the gate there is closed: {again}"
    );
    for words in
        ["no program of this network namespace", &others, second.inside.name(), "`octroi detach --all`"]
    {
        assert!(again.stderr.contains(words), "no {words:?} in {again}");
    }

    assert_eq!(here.octroi(["detach", "--all"]).success(), "detached: 1 programs\n");
    wait::until("detached there", || passing(&second, second.pair()) == everything);
    assert!(!here.pins().exists(), "{} is still there", here.pins().display());
    assert!(here.octroi(["detach"]).success().starts_with("nothing to detach: "));
}

#[test]
fn detach_finds_out_that_pins_are_hidden() {
    let lab = Lab::new();
    let mut gate = Gate::start(&lab, BLOCK_CN);
    gate.kill();
    // A mount namespace with a /sys of its own, as `ip netns exec` makes one.
    let mut hidden = gate.namespace().command("unshare");
    hidden
        .args(["--mount", "sh", "-c", "mount -t tmpfs none /sys/fs/bpf && exec \"$@\"", "sh"])
        .arg(binary());
    hidden.args(["detach", "-c"]).arg(gate.config());
    let hidden = command::run(hidden, Duration::from_secs(60));
    assert_eq!(hidden.status.code(), Some(1), "{hidden}");
    for words in ["/sys/fs/bpf is no BPF file system here", "links of octroi's programs", "nsenter"] {
        assert!(hidden.stderr.contains(words), "no {words:?} in {hidden}");
    }
    assert!(gate.octroi(["detach"]).success().starts_with("detached: 1"));
}

/// The number that the kernel gave a network namespace.
fn number(name: &str) -> u64 {
    std::fs::metadata(format!("/run/netns/{name}")).expect("a namespace of ours").ino()
}
