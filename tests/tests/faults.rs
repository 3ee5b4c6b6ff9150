//! What goes wrong around a running gate, and what must not follow from it: an open gate, a program nobody knows of, a
//! command that never ends.

use std::{fs, net::IpAddr, os::unix::fs::symlink, thread, time::Duration};

use octroi_gate::corpus::build::udp;
use octroi_tests::{
    command::{self, SHORT},
    gate::{Gate, Setup},
    kernel::by_tcx,
    netns::{Lab, Namespace},
    nft::Counters,
    said::refused,
    traffic::lets_china_in,
    wait,
    wire::Sender,
};

const BLOCK_CN: &str = "[[rule]]\nname = \"cn\"\nsource = { country = [\"CN\"] }\naction = \"drop\"\n";
const MARK_US: &str =
    "[[rule]]\nname = \"us\"\nsource = { country = [\"US\"] }\naction = \"tag\"\nmark = 7\n";

/// The id of the XDP program on a device.
fn program(namespace: &Namespace, device: &str) -> Option<u64> {
    namespace.link(device)["xdp"]["prog"]["id"].as_u64()
}

/// Detaches the XDP program of a device by its link, as somebody with root's rights can.
fn sever(program: u64) {
    let bpftool = |arguments: &[&str]| {
        let mut command = std::process::Command::new("bpftool");
        command.args(arguments);
        command::run(command, SHORT)
    };
    let links = bpftool(&["-j", "link", "show"]).json();
    let links = links.as_array().expect("a list of links");
    let link = links.iter().find(|link| link["prog_id"] == program).expect("its link");
    bpftool(&["link", "detach", "id", &link["id"].to_string()]).success();
}

/// How many of octroi's filters are on gate0 by clsact.
fn by_clsact(lab: &Lab) -> usize {
    filters(lab, &["show"]).matches("octroi_mark direct-action").count()
}

/// Does something with the filters of what comes in by gate0.
fn filters(lab: &Lab, words: &[&str]) -> String {
    let mut tc = lab.inside.command("tc");
    tc.args(["filter", words[0], "dev", "gate0", "ingress"]).args(&words[1..]);
    command::run(tc, SHORT).success()
}

/// The id of the only link for marks that is pinned.
fn pinned_for_marks(gate: &Gate<'_>) -> u64 {
    let version = gate.pins().join(format!("v{}", octroi_abi::ABI_VERSION));
    let mut pins = fs::read_dir(version).expect("pins").map(|pin| pin.expect("an entry").path());
    let pin = pins.find(|pin| pin.to_string_lossy().contains("/tc-")).expect("a link for marks");
    let mut bpftool = std::process::Command::new("bpftool");
    bpftool.args(["-j", "link", "show", "pinned"]).arg(pin);
    command::run(bpftool, SHORT).json()["id"].as_u64().expect("a number")
}

#[test]
fn an_interface_that_a_reload_leaves_out_is_not_filtered_any_more() {
    let mut lab = Lab::new();
    let second = lab.add_pair();
    let setup = Setup { interfaces: vec!["gate0".into(), "gate1".into()], ..Setup::new(BLOCK_CN) };
    let gate = Gate::start_with(&lab, setup);
    assert!(!lets_china_in(&lab, &second));
    // Once more, so that what runs came by an update and not by attaching.
    gate.reload().success();
    let text = fs::read_to_string(gate.config()).expect("the configuration");
    fs::write(gate.config(), text.replace(", \"gate1\"", "")).expect("a file of ours");
    gate.reload().success();
    assert_eq!(program(&lab.inside, "gate1"), None, "{}", gate.describe());
    assert!(lets_china_in(&lab, &second));
    assert!(!lets_china_in(&lab, lab.pair()));
}

#[test]
fn a_program_that_somebody_detached_is_attached_again_and_said_so() {
    let lab = Lab::new();
    let gate = Gate::start(&lab, BLOCK_CN);
    sever(program(&lab.inside, "gate0").expect("filtered"));
    wait::until("filtered again", || program(&lab.inside, "gate0").is_some());
    assert!(!lets_china_in(&lab, lab.pair()));
    assert!(gate.log().contains("gate0: somebody detached octroi's program"), "{}", gate.log());
    gate.reload().success();
    assert_eq!(gate.health(), 200);
}

#[test]
fn a_reload_says_that_somebody_had_detached_the_program() {
    let lab = Lab::new();
    let gate = Gate::start(&lab, BLOCK_CN);
    let words = "gate0: somebody detached octroi's program";
    // Now and then the daemon sees it by itself before the reload.
    let told = (1..=4).any(|number| {
        sever(program(&lab.inside, "gate0").expect("filtered"));
        let said = gate.reload().success();
        assert!(!lets_china_in(&lab, lab.pair()));
        assert_eq!(gate.log().matches(words).count(), number, "{}", gate.log());
        said.contains(words)
    });
    assert!(told, "{}", gate.log());
}

#[test]
fn a_device_without_ethernet_headers_is_refused() {
    let lab = Lab::new();
    lab.inside.ip("tuntap add tun0 mode tun");
    let gate = Gate::prepare(&lab, Setup { interfaces: vec!["tun0".into()], ..Setup::new(BLOCK_CN) });
    refused(&gate.run_to_end(), 1, &["attach XDP to tun0", "no Ethernet header"]);
    assert_eq!(program(&lab.inside, "tun0"), None);
}

#[test]
fn pins_elsewhere_than_on_a_bpf_file_system_are_refused_and_nothing_is_mounted() {
    let lab = Lab::new();
    let place = tempfile::tempdir().expect("a temporary directory");
    let pins = place.path().join("pins");
    let gate = Gate::prepare(&lab, Setup { pins: Some(pins), ..Setup::new(BLOCK_CN) });
    refused(&gate.run_to_end(), 1, &["not on a BPF file system", "[control] pins"]);
    let mounts = fs::read_to_string("/proc/mounts").expect("a list of mounts");
    assert!(!mounts.contains(&place.path().display().to_string()), "{mounts}");
    // What octroi detach says at the end is about the same directory: there is none.
}

#[test]
fn marks_of_a_generation_that_is_gone_are_not_set() {
    let lab = Lab::new();
    let counters = Counters::install(&lab.inside, &[("marked", "meta mark 7")]);
    let environment = vec![("OCTROI_NO_METADATA".to_owned(), "true".to_owned())];
    let mut gate = Gate::start_with(&lab, Setup { environment, ..Setup::new(MARK_US) });
    assert!(lets_china_in(&lab, lab.pair()));
    assert_eq!(counters.packets("marked"), 1);
    gate.kill();
    gate.write(BLOCK_CN);
    gate.start_again();
    assert!(!lets_china_in(&lab, lab.pair()));
    assert_eq!(counters.packets("marked"), 1, "{}", gate.describe());
}

#[test]
fn an_upgrade_takes_over_marks_or_ends_them() {
    let lab = Lab::new();
    let counters = Counters::install(&lab.inside, &[("marked", "meta mark 7")]);
    let environment = vec![("OCTROI_NO_METADATA".to_owned(), "true".to_owned())];
    let mut gate = Gate::start_with(&lab, Setup { environment, ..Setup::new(MARK_US) });
    let first = pinned_for_marks(&gate);
    for (number, policy, marked, links) in [(990, MARK_US, 1, 1), (991, BLOCK_CN, 0, 0), (992, MARK_US, 1, 1)]
    {
        assert!(gate.stop().success());
        let version = gate.pins().join(format!("v{}", octroi_abi::ABI_VERSION));
        fs::rename(&version, gate.pins().join(format!("v{number}"))).expect("a directory of ours");
        gate.write(policy);
        gate.start_again();
        let before = counters.packets("marked");
        // From the US, and let in by each policy.
        lets_china_in(&lab, lab.pair());
        assert_eq!(counters.packets("marked") - before, marked, "{number}\n{}", gate.describe());
        assert_eq!(by_tcx(&lab.inside, "gate0"), links, "{number}\n{}", gate.describe());
        if number == 990 {
            assert_eq!(pinned_for_marks(&gate), first, "the same link: there was no moment without");
        }
        let left: Vec<_> = fs::read_dir(gate.pins()).expect("pins").flatten().collect();
        assert_eq!(left.len(), 1, "nothing is left in the other version's directory: {left:?}");
    }
}

#[test]
fn marks_by_clsact_outlive_the_daemon_and_end_with_the_gate() {
    for no_metadata in ["false", "true"] {
        let lab = Lab::new();
        let counters = Counters::install(&lab.inside, &[("marked", "meta mark 7")]);
        let environment = [("OCTROI_CLSACT", "true"), ("OCTROI_NO_METADATA", no_metadata)];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let mut gate = Gate::start_with(&lab, Setup { environment, ..Setup::new(MARK_US) });
        let source: IpAddr = "8.8.8.8".parse().expect("an address");
        let frame = udp(source, lab.pair().gate4.into()).ports(4000, 9).frame();
        let sender = Sender::new(&lab.outside, &lab.pair().peer);
        thread::scope(|scope| {
            let traffic = scope.spawn(|| {
                for _ in 0..4000 {
                    sender.flood(&[&frame], 1, Duration::from_secs(1));
                    thread::sleep(Duration::from_micros(500));
                }
            });
            while !traffic.is_finished() {
                assert!(gate.stop().success(), "{}", gate.describe());
                assert_eq!((by_clsact(&lab), by_tcx(&lab.inside, "gate0")), (1, 0));
                gate.start_again();
                gate.kill();
                gate.start_again();
                gate.reload().success();
            }
        });
        assert_eq!((by_clsact(&lab), by_tcx(&lab.inside, "gate0")), (1, 0));
        thread::sleep(Duration::from_millis(200));
        assert_eq!(counters.packets("marked"), 4000, "no metadata: {no_metadata}\n{}", gate.describe());

        // What is somebody else's there stays.
        filters(&lab, &["add", "prio", "9", "protocol", "all", "bpf", "bytecode", "1,6 0 0 0"]);
        for policy in ["", MARK_US] {
            gate.stop();
            gate.write(policy);
            gate.start_again();
            assert_eq!(by_clsact(&lab), usize::from(policy == MARK_US), "{}", gate.describe());
        }
        gate.stop();
        gate.octroi(["detach"]).success();
        let left = filters(&lab, &["show"]);
        assert!(left.contains("pref 9 ") && !left.contains("octroi_mark"), "{left}");
    }
}

#[test]
fn reloads_lose_no_marks_where_there_is_no_metadata() {
    let lab = Lab::new();
    let counters = Counters::install(&lab.inside, &[("marked", "meta mark 7")]);
    let environment = vec![("OCTROI_NO_METADATA".to_owned(), "true".to_owned())];
    let gate = Gate::start_with(&lab, Setup { environment, ..Setup::new(MARK_US) });
    let source: IpAddr = "8.8.8.8".parse().expect("an address");
    let frame = udp(source, lab.pair().gate4.into()).ports(4000, 9).frame();
    let sender = Sender::new(&lab.outside, &lab.pair().peer);
    sender.send(&frame);
    thread::scope(|scope| {
        let traffic = scope.spawn(|| {
            for _ in 0..2000 {
                sender.flood(&[&frame], 4, Duration::from_secs(1));
                thread::sleep(Duration::from_micros(500));
            }
        });
        while !traffic.is_finished() {
            gate.reload().success();
        }
    });
    thread::sleep(Duration::from_millis(200));
    assert_eq!(counters.packets("marked"), 8001, "{}", gate.describe());
}

#[test]
fn what_another_version_pinned_is_taken_over_and_detached() {
    let lab = Lab::new();
    let mut gate = Gate::start(&lab, BLOCK_CN);
    let own = |gate: &Gate<'_>| {
        let directories = fs::read_dir(gate.pins()).expect("pins");
        directories.map(|entry| entry.expect("an entry").path()).collect::<Vec<_>>()
    };
    gate.kill();
    let version = own(&gate).pop().expect("a directory of pins");
    fs::rename(&version, gate.pins().join("v999")).expect("a directory of ours");
    gate.start_again();
    assert!(gate.log().contains("taking over"), "{}", gate.log());
    assert!(!lets_china_in(&lab, lab.pair()));
    gate.kill();
    fs::rename(&version, gate.pins().join("v998")).expect("a directory of ours");
    let detached = gate.octroi(["detach"]).success();
    assert!(detached.starts_with("detached: 1"), "{detached}");
    assert!(lets_china_in(&lab, lab.pair()));
}

#[test]
fn a_start_that_fails_leaves_closed_what_was_closed() {
    let lab = Lab::new();
    let mut gate = Gate::start(&lab, BLOCK_CN);
    gate.kill();
    lab.inside.ip("tuntap add tun0 mode tun");
    let text = fs::read_to_string(gate.config()).expect("the configuration");
    fs::write(gate.config(), text.replace("[\"gate0\"]", "[\"gate0\", \"tun0\"]")).expect("a file of ours");
    refused(&gate.run_to_end(), 1, &["attach XDP to tun0", "no Ethernet header"]);
    assert!(!lets_china_in(&lab, lab.pair()), "{}", gate.describe());
}

#[test]
fn a_file_where_the_socket_belongs_is_not_removed() {
    let lab = Lab::new();
    let gate = Gate::prepare(&lab, Setup::new(BLOCK_CN));
    let socket = gate.directory().join("octroi.sock");
    fs::write(&socket, "a letter").expect("a directory of ours");
    refused(&gate.run_to_end(), 1, &["make the control socket", "no socket is there"]);
    assert_eq!(fs::read_to_string(&socket).expect("still there"), "a letter");
    fs::remove_file(&socket).expect("a file of ours");
    symlink("/etc/hostname", &socket).expect("a directory of ours");
    refused(&gate.run_to_end(), 1, &["no socket is there"]);
}

#[test]
fn commands_do_not_wait_for_ever_for_a_daemon_that_does_not_answer() {
    let lab = Lab::new();
    let gate = Gate::start(&lab, BLOCK_CN);
    gate.signal(libc::SIGSTOP);
    for command in ["detach", "status"] {
        refused(&gate.octroi([command]), 1, &["gave no answer", &format!("process {}", gate.pid())]);
    }
    refused(&gate.run_to_end(), 1, &["gave no answer"]);
    gate.signal(libc::SIGCONT);
    assert_eq!(gate.health(), 200);
}

#[test]
fn two_daemons_do_not_share_pins() {
    let lab = Lab::new();
    let first = Gate::start(&lab, BLOCK_CN);
    let pins = Some(first.pins().to_owned());
    let second = Gate::prepare(&lab, Setup { pins, ..Setup::new(BLOCK_CN) });
    let text = fs::read_to_string(second.config()).expect("the configuration");
    fs::write(second.config(), text.replace(":9462", ":9463")).expect("a file of ours");
    refused(&second.run_to_end(), 1, &["another octroi uses these pins"]);
    refused(&second.octroi(["detach", "--all"]), 1, &["another octroi uses these pins"]);
    assert!(!lets_china_in(&lab, lab.pair()));
    // The second gate's end detaches, and these pins are the first one's.
    drop(first);
}

#[test]
fn a_wrong_interface_name_is_told_by_the_reload_that_lets_go() {
    let lab = Lab::new();
    let gate = Gate::start(&lab, BLOCK_CN);
    let text = fs::read_to_string(gate.config()).expect("the configuration");
    fs::write(gate.config(), text.replace("\"gate0\"", "\"gaet0\"")).expect("a file of ours");
    // Held without it: see `apply`.
    let said = gate.octroi(["reload", "--accept"]).success();
    assert!(said.contains("attach XDP to gaet0: no such interface (interfaces here:"), "{said}");
    assert!(said.contains("appears; did you mean \"gate0\"?"), "{said}");
    let let_go = "detached from gate0: the configuration no longer names it; nothing is filtered there";
    assert!(said.contains(let_go), "{said}");
    assert!(gate.log().contains(let_go), "{}", gate.log());
    let status = gate.status();
    assert_eq!(status["interfaces"], serde_json::json!([]), "{status}");
    assert_eq!(status["awaited"], serde_json::json!(["gaet0"]), "{status}");
    let text = gate.octroi(["status"]).success();
    let line = text.lines().find(|line| line.contains("gaet0")).expect("the interface");
    assert!(line.starts_with("interface ") && line.contains(" waiting: "), "{line}");
    let check = gate.octroi(["check", "--json"]).json();
    let warned = check["warnings"].to_string();
    assert!(warned.contains("gaet0") && warned.contains("did you mean"), "{warned}");
    fs::write(
        gate.config(),
        fs::read_to_string(gate.config()).expect("the configuration").replace("gaet0", "gate0"),
    )
    .expect("a file of ours");
    gate.reload().success();
    assert_eq!(gate.status()["awaited"], serde_json::json!([]));
    assert!(!lets_china_in(&lab, lab.pair()));
}

#[test]
fn what_a_killed_daemon_left_is_removed_where_the_next_configuration_does_not_name_it() {
    let mut lab = Lab::new();
    lab.add_pair();
    let mut gate = Gate::start(&lab, BLOCK_CN);
    gate.kill();
    let text = fs::read_to_string(gate.config()).expect("the configuration");
    fs::write(gate.config(), text.replace("\"gate0\"", "\"gate1\"").replace(":9462", ":9463"))
        .expect("a file of ours");
    // Somebody else's program there: this start fails, and opens nothing.
    let mut other = Gate::prepare(&lab, Setup { interfaces: vec!["gate1".into()], ..Setup::new(BLOCK_CN) });
    other.start_again();
    refused(&gate.run_to_end(), 1, &["attach XDP to gate1", "another XDP program"]);
    assert!(!lets_china_in(&lab, lab.pair()));
    assert!(other.stop().success());
    other.octroi(["detach"]).success();
    let text = fs::read_to_string(gate.config()).expect("the configuration");
    fs::write(gate.config(), text.replace(":9463", ":9462")).expect("a file of ours");
    gate.start_again();
    assert_eq!(program(&lab.inside, "gate0"), None, "{}", gate.describe());
    assert!(gate.log().contains("gate0: detached what an earlier daemon left there"), "{}", gate.log());
}

#[test]
fn pins_that_somebody_removed_are_made_again() {
    let lab = Lab::new();
    let mut gate = Gate::start(&lab, BLOCK_CN);
    let pins = gate.pins().to_owned();
    let version = fs::read_dir(&pins).expect("pins").next().expect("a version").expect("an entry").path();
    for pin in fs::read_dir(&version).expect("pins") {
        fs::remove_file(pin.expect("an entry").path()).expect("a pin");
    }
    fs::remove_dir(&version).expect("a directory of ours");
    // The kernel lets go of a link some time after its last pin.
    wait::until("missed, and attached again", || {
        gate.health() == 200 && gate.log().contains("somebody detached octroi's program")
    });
    assert!(!lets_china_in(&lab, lab.pair()), "{}", gate.describe());
    gate.reload().success();
    assert!(!lets_china_in(&lab, lab.pair()));
    // The counters' pins, too.
    let dropped = |gate: &Gate<'_>| gate.metrics().sum("octroi_rule_packets_total", &[("rule", "cn")]);
    assert_eq!(dropped(&gate), 2.0);
    gate.stop();
    gate.start_again();
    assert_eq!(dropped(&gate), 2.0, "{}", gate.log());
}

#[test]
fn a_configuration_that_is_no_toml_any_more_still_leads_to_the_daemon() {
    let lab = Lab::new();
    let gate = Gate::start(&lab, BLOCK_CN);
    let text = fs::read_to_string(gate.config()).expect("the configuration");
    fs::write(gate.config(), format!("{text}\nx = \n")).expect("a file of ours");
    let finished = gate.reload();
    assert_eq!(finished.status.code(), Some(78), "{finished}");
    assert!(finished.stderr.contains("not TOML"), "{finished}");
    assert!(!lets_china_in(&lab, lab.pair()));
    fs::remove_file(gate.config()).expect("a file of ours");
    let finished = gate.octroi(["detach"]);
    assert_eq!(finished.status.code(), Some(78), "{finished}");
    assert!(finished.stderr.contains("which daemon and which pins"), "{finished}");
    fs::write(gate.config(), text).expect("a file of ours");
}

#[test]
fn a_log_that_nobody_reads_does_not_end_the_daemon() {
    let lab = Lab::new();
    let gate = Gate::prepare(&lab, Setup { interfaces: vec!["gate*".into()], ..Setup::new(BLOCK_CN) });
    let mut command = gate.command(["run"]);
    let full = || fs::OpenOptions::new().write(true).open("/dev/full").expect("a device");
    let mut daemon = command.stdout(full()).stderr(full()).spawn().expect("started");
    wait::until("ready", || gate.octroi(["status"]).status.success());
    lab.inside.ip("link add gate7 type veth peer name gate8");
    wait::until("attached", || program(&lab.inside, "gate7").is_some());
    gate.reload().success();
    // SAFETY: takes numbers only; the process is a child that was not waited for.
    unsafe { libc::kill(i32::try_from(daemon.id()).expect("a process id"), libc::SIGTERM) };
    let ended = command::wait(&mut daemon, Duration::from_secs(10)).expect("ended");
    assert!(ended.success(), "{ended}");
}
