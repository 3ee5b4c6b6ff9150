//! Native, generic and not at all: what `mode` asks for, what the kernel gives, and who is told.

use std::{net::IpAddr, time::Duration};

use octroi_gate::corpus::build::udp;
use octroi_tests::{
    gate::{Gate, Setup},
    netns::Lab,
    wait,
    wire::{Receiver, Sender},
};

const BLOCK_CN: &str = "[[rule]]\nname = \"cn\"\nsource = { country = [\"CN\"] }\naction = \"drop\"\n";

/// A lab whose `gate0` is the port of a bridge, `plain0`: a device without native XDP.
fn with_bridge() -> Lab {
    let lab = Lab::new();
    lab.inside.ip("link add plain0 type bridge");
    lab.inside.ip("link set plain0 up");
    lab.inside.ip("link set gate0 master plain0");
    lab
}

fn on_bridge(mode: &str) -> Setup {
    Setup { interfaces: vec!["plain0".into()], mode: mode.into(), ..Setup::new(BLOCK_CN) }
}

/// Whether frames from China, and from the United States, get through the bridge.
fn passing(lab: &Lab) -> (bool, bool) {
    let frame = |source: &str| {
        let source: IpAddr = source.parse().expect("an address");
        udp(source, lab.pair().gate4.into()).ports(4000, 9).frame()
    };
    let (blocked, allowed) = (frame("1.0.1.1"), frame("8.8.8.8"));
    let receiver = Receiver::new(&lab.inside, "plain0");
    Sender::new(&lab.outside, &lab.pair().peer).send_all(&[&blocked, &allowed]);
    let arrived = receiver.until(|frame| *frame == allowed, Duration::from_secs(5));
    (arrived.contains(&blocked), arrived.contains(&allowed))
}

#[test]
fn auto_falls_back_to_generic_where_the_driver_has_no_native_mode_and_warns() {
    let lab = with_bridge();
    let gate = Gate::start_with(&lab, on_bridge("auto"));
    let log = gate.log();
    assert!(log.contains("WARN"), "{log}");
    assert!(log.contains("no native XDP here: attached in generic mode"), "{log}");
    assert_eq!(gate.status()["interfaces"][0]["mode"], "generic");
    let labels = [("interface", "plain0"), ("mode", "generic")];
    assert_eq!(gate.metrics().sum("octroi_interface_info", &labels), 1.0);
    assert_eq!(passing(&lab), (false, true), "{}", gate.describe());
}

#[test]
fn generic_that_was_asked_for_is_no_reason_to_warn() {
    let lab = with_bridge();
    let gate = Gate::start_with(&lab, on_bridge("generic"));
    assert_eq!(gate.status()["interfaces"][0]["mode"], "generic");
    assert!(!gate.log().contains("WARN"), "{}", gate.log());
}

#[test]
fn native_is_refused_where_the_driver_has_none_and_nothing_is_attached() {
    let lab = with_bridge();
    let gate = Gate::prepare(&lab, on_bridge("native"));
    let refused = gate.run_to_end();
    assert_eq!(refused.status.code(), Some(1), "{refused}");
    for words in ["attach XDP to plain0", "native: "] {
        assert!(refused.stderr.contains(words), "no {words:?} in\n{refused}");
    }
    assert!(!refused.stderr.contains("generic"), "nobody asked for it: {refused}");
    assert!(lab.inside.link("plain0").get("xdp").is_none(), "{}", lab.describe());
    assert_eq!(passing(&lab), (true, true));
}

#[test]
fn an_interface_that_cannot_be_filtered_makes_the_daemon_unhealthy_until_it_can() {
    let mut lab = Lab::new();
    lab.add_pair();
    // Any XDP program will do: octroi's own, attached by somebody else's hand.
    let other = Setup { interfaces: vec!["gate1".into()], ..Setup::new("") };
    let mut stranger = Gate::start_with(&lab, other);
    stranger.kill();
    lab.inside.ip("link set gate1 down");
    lab.inside.ip("link set gate1 name foreign0");
    let setup = Setup { interfaces: vec!["gate0".into(), "later*".into()], ..Setup::new(BLOCK_CN) };
    let gate = Gate::start_with(&lab, setup);
    assert_eq!(gate.health(), 200);

    lab.inside.ip("link set foreign0 name later0");
    wait::until("unhealthy", || gate.health() == 503);
    let (_, reason) = octroi_tests::prom::get(&lab.inside, 9462, "/healthz").expect("an answer");
    assert!(reason.contains("attach XDP to later0: another XDP program"), "{reason}");
    let status = gate.status();
    let named = |name: &str| {
        let interfaces = status["interfaces"].as_array().expect("a list").iter();
        interfaces.clone().find(|one| one["name"] == name).unwrap_or_else(|| panic!("no {name} in {status}"))
    };
    assert_eq!((&named("gate0")["attached"], &named("later0")["attached"]), (&true.into(), &false.into()));
    let text = gate.octroi(["status"]).success();
    assert!(text.lines().any(|line| line.contains("later0") && line.contains("NOT FILTERED")), "{text}");
    assert_eq!(gate.metrics().sum("octroi_interface_info", &[("interface", "later0")]), 0.0);

    stranger.octroi(["detach"]).success();
    wait::until("healthy again", || gate.health() == 200);
    assert_eq!(gate.status()["interfaces"].as_array().map(Vec::len), Some(2));
}

#[test]
fn another_mode_needs_a_detach_and_who_asks_for_it_is_told_so() {
    let lab = Lab::new();
    let mut gate = Gate::start_with(&lab, Setup { mode: "native".into(), ..Setup::new(BLOCK_CN) });
    let mode =
        |gate: &Gate<'_>| gate.status()["interfaces"][0]["mode"].as_str().unwrap_or_default().to_owned();
    let write = |gate: &Gate<'_>, from: &str, to: &str| {
        let text = std::fs::read_to_string(gate.config()).expect("the configuration");
        let mode = |mode: &str| format!("mode = {mode:?}");
        std::fs::write(gate.config(), text.replace(&mode(from), &mode(to))).expect("a file of ours");
    };
    let told = |mode: &str, wanted: &str| {
        format!("gate0 goes on in {mode} mode, whatever mode = \"{wanted}\" would choose: ")
    };
    write(&gate, "native", "generic");
    let said = gate.reload().success();
    assert!(said.contains(&told("native", "generic")) && said.contains("run `octroi detach`"), "{said}");
    assert_eq!(mode(&gate), "native");
    assert!(gate.stop().success());
    gate.start_again();
    assert_eq!(mode(&gate), "native", "nobody opens the gate by himself");
    assert!(gate.log().contains(&told("native", "generic")), "{}", gate.log());
    assert!(!gate.reload().success().contains("goes on in"), "said at the start");

    // What is told helps.
    assert!(gate.stop().success());
    gate.octroi(["detach"]).success();
    gate.start_again();
    assert_eq!(mode(&gate), "generic");
    // It is no reason either to leave the gate without a daemon.
    write(&gate, "generic", "native");
    assert!(gate.reload().success().contains(&told("generic", "native")));
    assert!(gate.stop().success());
    gate.start_again();
    assert_eq!(mode(&gate), "generic");
    assert_eq!(gate.health(), 200);
    write(&gate, "native", "generic");
    assert!(!gate.reload().success().contains("goes on in"), "that is what it has");
}
