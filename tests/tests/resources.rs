//! What the machine runs out of, or takes away, while octroi needs it: the gate stays closed, and what could not be done is said.
#![allow(clippy::print_stderr, reason = "figures of a test")]

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use octroi_tests::{
    apply::apply,
    command::{self, Finished, SHORT},
    descriptors,
    gate::{Gate, Setup},
    netns::Lab,
    said::{contains, refused},
    traffic::lets_china_in,
    wait,
};

const BLOCK_CN: &str = "[[rule]]\nname = \"cn\"\nsource = { country = [\"CN\"] }\naction = \"drop\"\n";

/// Limits a resource of the daemon.
fn limit(gate: &Gate<'_>, resource: libc::__rlimit_resource_t, soft: u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    let pid = libc::pid_t::try_from(gate.pid()).expect("process ids are positive ints");
    // SAFETY: nothing to read, and a structure that lives until the call returns.
    let mut result = unsafe { libc::prlimit(pid, resource, std::ptr::null(), &raw mut limit) };
    if result == 0 {
        limit.rlim_cur = soft;
        // SAFETY: a structure that lives until the call returns, and nowhere to write the old limit.
        result = unsafe { libc::prlimit(pid, resource, &raw const limit, std::ptr::null_mut()) };
    }
    assert_eq!(result, 0, "limit a resource of {pid}: {}", io::Error::last_os_error());
}

fn run(program: &str, arguments: &[&str]) -> Finished {
    let mut command = Command::new(program);
    command.args(arguments);
    command::run(command, SHORT)
}

#[test]
fn without_descriptors_a_reload_fails_and_the_gate_stays() {
    let lab = Lab::new();
    let gate = Gate::start(&lab, BLOCK_CN);
    // The first generation has fewer.
    gate.reload().success();
    gate.metrics();
    let before = descriptors::at_rest(&gate);
    // One is left for whoever asks for the reload.
    limit(&gate, libc::RLIMIT_NOFILE, before + 1);
    let reload = gate.reload();
    refused(&reload, 1, &["Too many open files"]);
    assert!(!lets_china_in(&lab, lab.pair()));
    limit(&gate, libc::RLIMIT_NOFILE, 1024);
    gate.reload().success();
    gate.metrics();
    assert_eq!(gate.status()["generation"], 3);
    wait::until("no descriptor is left over", || descriptors::now(&gate) <= before);
}

#[test]
fn without_memory_the_daemon_may_end_and_the_gate_stays() {
    let lab = Lab::new();
    let mut gate = Gate::start(&lab, BLOCK_CN);
    // A reload takes about 50 MiB.
    limit(&gate, libc::RLIMIT_AS, (size(&gate) + (8 << 10)) << 10);
    let reload = gate.reload();
    eprintln!("{}", reload.stderr.trim_end());
    assert_eq!(reload.status.code(), Some(1), "{reload}");
    assert!(!lets_china_in(&lab, lab.pair()));
    gate.kill();
    gate.start_again();
    assert!(!lets_china_in(&lab, lab.pair()));
    let dropped = [("country", "CN"), ("verdict", "drop")];
    assert_eq!(gate.metrics().sum("octroi_packets_total", &dropped), 2.0, "{}", gate.describe());
}

/// A file system in memory, as small as a disk that is full.
struct Disk(PathBuf);

impl Disk {
    fn mount(path: &Path) -> Self {
        fs::create_dir_all(path).expect("a directory of ours");
        let path = path.to_owned();
        let text = path.to_str().expect("it is ASCII");
        run("mount", &["-t", "tmpfs", "-o", "size=64k", "tmpfs", text]).success();
        Self(path)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The daemon may have it open.
        drop(run("umount", &["-l", self.0.to_str().expect("it is ASCII")]));
    }
}

#[test]
fn on_a_full_disk_no_lease_is_added_and_none_is_lost() {
    let lab = Lab::new();
    let mut gate = Gate::prepare(&lab, Setup::new(BLOCK_CN));
    let disk = Disk::mount(&gate.state());
    gate.start_again();
    let add = |prefix: &str| gate.octroi(["lease", "add", prefix, "--action", "pass", "--ttl", "1h"]);
    add("9.9.9.9").success();
    let filler = disk.0.join("filler");
    let filled = fs::write(&filler, vec![0; 1 << 20]).expect_err("it is larger than the disk");
    assert_eq!(filled.kind(), io::ErrorKind::StorageFull);
    refused(&add("1.0.1.1"), 1, &["keep the leases in", "No space left on device"]);
    assert!(!lets_china_in(&lab, lab.pair()), "what was refused does not hold");
    // The policy needs no disk.
    gate.reload().success();
    let listed = |gate: &Gate<'_>| gate.octroi(["lease", "list"]).success();
    assert!(listed(&gate).contains("9.9.9.9/32") && !listed(&gate).contains("1.0.1.1"));
    fs::remove_file(filler).expect("it is ours");
    gate.octroi(["lease", "add", "1.0.1.1", "--action", "pass", "--ttl", "1h"]).success();
    assert!(lets_china_in(&lab, lab.pair()));
    gate.kill();
    gate.start_again();
    assert!(listed(&gate).contains("9.9.9.9/32") && listed(&gate).contains("1.0.1.1/32"));
    drop(disk);
}

#[test]
fn what_was_gone_back_from_on_a_full_disk_does_not_come_back() {
    const OPEN: &str = "# Open.\n";
    let lab = Lab::new();
    let mut gate = Gate::prepare(&lab, Setup::new(BLOCK_CN));
    let disk = Disk::mount(&gate.state());
    let filler = disk.0.join("filler");
    let fill = || {
        let filled = fs::write(&filler, vec![0; 1 << 20]).expect_err("it is larger than the disk");
        assert_eq!(filled.kind(), io::ErrorKind::StorageFull);
    };
    let pending = |gate: &Gate<'_>| {
        let text = fs::read_to_string(gate.state().join("policies.json")).expect("kept");
        let kept: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        !kept["pending"].is_null()
    };
    gate.start_again();
    apply(&gate, OPEN, "1h").success();
    fill();
    let words = [
        "No space left on device",
        "make room there",
        "until it can be written, which is tried again every few seconds, a start before its time is over would step to ",
        "new.toml once more",
    ];
    contains(&gate.octroi(["rollback"]).success(), &words);
    contains(&gate.log(), &words);
    assert!(!lets_china_in(&lab, lab.pair()));
    // What it says is true.
    gate.kill();
    gate.start_again();
    assert!(!gate.status()["pending_confirmation"].is_null() && lets_china_in(&lab, lab.pair()));
    contains(&gate.octroi(["rollback"]).success(), &words);
    assert!(pending(&gate));
    fs::remove_file(&filler).expect("it is ours");
    gate.write(&format!("{BLOCK_CN}# Later.\n"));
    gate.reload().success();
    wait::until("written", || !pending(&gate));
    gate.kill();
    gate.start_again();
    assert!(gate.status()["pending_confirmation"].is_null() && !lets_china_in(&lab, lab.pair()));

    // The same where its time is over; nobody does anything but make room.
    apply(&gate, OPEN, "2s").success();
    fill();
    wait::until("back by itself", || gate.status()["pending_confirmation"].is_null());
    assert!(pending(&gate) && !lets_china_in(&lab, lab.pair()));
    fs::remove_file(&filler).expect("it is ours");
    wait::until("written", || !pending(&gate));
    contains(&gate.log(), &["policies.json could be written again, and says what holds"]);

    // What is acknowledged only if it is kept is refused as ever, and a stop is the last attempt.
    apply(&gate, OPEN, "1h").success();
    fill();
    refused(&gate.octroi(["confirm"]), 1, &["it goes back unless this works in time", "make room there"]);
    gate.octroi(["rollback"]).success();
    refused(&apply(&gate, OPEN, "1h"), 1, &["No space left on device"]);
    fs::remove_file(&filler).expect("it is ours");
    gate.stop();
    assert!(!pending(&gate));
    drop(disk);
}

/// A gate whose daemon runs as this script says, which ends with the daemon's command in `"$@"`.
fn by_way_of<'lab>(lab: &'lab Lab, script: &str) -> (tempfile::TempDir, Gate<'lab>) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let path = folder.path().join("octroi");
    let binary = octroi_tests::gate::binary();
    let text = format!("#!/bin/sh\nset -- {} \"$@\"\n{script}\n", binary.display());
    fs::write(&path, text).expect("a file of ours");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
    (folder, Gate::prepare(lab, Setup { binary: Some(path), ..Setup::new(BLOCK_CN) }))
}

/// How large the daemon's process is, in KiB.
fn size(gate: &Gate<'_>) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", gate.pid())).expect("the daemon runs");
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).expect("every process has one");
    size.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn a_start_without_memory_says_so_and_what_filtered_goes_on() {
    let lab = Lab::new();
    let script = "limit=${0%/*}/limit\n\
                  if [ \"$2\" = run ] && [ -f \"$limit\" ]; then ulimit -v \"$(cat \"$limit\")\"; fi\nexec \"$@\"";
    let (folder, mut gate) = by_way_of(&lab, script);
    let limit = |mebibytes: u64| fs::write(folder.path().join("limit"), format!("{}\n", mebibytes << 10));
    let out_of_memory = |gate: &Gate<'_>, mebibytes: u64| {
        limit(mebibytes).expect("a directory of ours");
        let finished = gate.run_to_end();
        eprintln!("{mebibytes} MiB: {}", finished.status);
        let said = finished.stderr.to_lowercase();
        assert!(!finished.status.success() && said.contains("memory"), "{mebibytes} MiB: {finished}");
    };
    // Enough to begin, and too little for the tables to be built.
    out_of_memory(&gate, 64);
    assert!(lets_china_in(&lab, lab.pair()), "a first start that fails attaches nothing");
    fs::remove_file(folder.path().join("limit")).expect("a file of ours");
    gate.start_again();
    eprintln!("without a limit: {} MiB", size(&gate) >> 10);
    gate.kill();
    for mebibytes in [64, 128, 256] {
        out_of_memory(&gate, mebibytes);
        assert!(!lets_china_in(&lab, lab.pair()), "{}", gate.describe());
    }
    fs::remove_file(folder.path().join("limit")).expect("a file of ours");
    gate.start_again();
    let dropped = [("country", "CN"), ("verdict", "drop")];
    assert_eq!(gate.metrics().sum("octroi_packets_total", &dropped), 3.0, "{}", gate.describe());
}

#[test]
fn a_limit_of_locked_memory_is_none_for_bpf() {
    // From Linux 5.11 on, maps and programs count as the control group's memory; before, this is why the unit has
    // LimitMEMLOCK=infinity.
    let lab = Lab::new();
    let (_folder, mut gate) = by_way_of(&lab, "[ \"$2\" = run ] && ulimit -l 64\nexec \"$@\"");
    gate.start_again();
    let limits = fs::read_to_string(format!("/proc/{}/limits", gate.pid())).expect("the daemon runs");
    let locked =
        limits.lines().find(|line| line.starts_with("Max locked memory")).expect("every process has it");
    assert!(locked.split_whitespace().filter(|word| *word == "65536").count() == 2, "{locked}");
    assert!(!lets_china_in(&lab, lab.pair()));
    gate.reload().success();
    assert_eq!(gate.status()["generation"], 2);
    assert!(!lets_china_in(&lab, lab.pair()));
}

#[test]
fn a_bpf_file_system_that_is_read_only_is_named() {
    let lab = Lab::new();
    // Only the daemon sees it so: the command that clears away has to succeed.
    let script = "[ \"$2\" = run ] || exec \"$@\"\n\
                  exec unshare -m sh -c 'mount --bind /sys/fs/bpf /sys/fs/bpf && mount -o remount,bind,ro /sys/fs/bpf && exec \"$@\"' - \"$@\"";
    let (_folder, gate) = by_way_of(&lab, script);
    refused(&gate.run_to_end(), 1, &["/sys/fs/bpf/", "Read-only file system"]);
    assert!(lets_china_in(&lab, lab.pair()), "nothing was attached");
}

#[test]
fn a_bpf_file_system_that_is_not_mounted_is_mounted() {
    let lab = Lab::new();
    let script = "[ \"$2\" = run ] || exec \"$@\"\n\
                  exec unshare -m sh -c 'umount -l /sys/fs/bpf && exec \"$@\"' - \"$@\"";
    let (_folder, mut gate) = by_way_of(&lab, script);
    gate.start_again();
    assert!(
        gate.log().contains("mounted a BPF file system, which goes with this mount namespace"),
        "{}",
        gate.log()
    );
    assert!(!lets_china_in(&lab, lab.pair()));
    gate.kill();
    wait::until("its pins are gone with its mount", || lets_china_in(&lab, lab.pair()));
}

#[test]
fn interfaces_that_come_and_go_faster_than_they_are_attached_to_leave_nothing_behind() {
    let lab = Lab::new();
    let gate = Gate::start_with(
        &lab,
        Setup { interfaces: vec!["gate*".into(), "later*".into()], ..Setup::new(BLOCK_CN) },
    );
    let pins =
        || fs::read_dir(gate.pins().join(format!("v{}", octroi_abi::ABI_VERSION))).expect("pins").count();
    // What goes on once it is ready has begun by then: files are followed, and the policy is kept.
    wait::until("kept", || gate.state().join("policies.json").exists());
    let before = (descriptors::at_rest(&gate), pins());
    for round in 0..60u64 {
        gate.namespace().ip("link add later0 type veth peer name later1");
        thread::sleep(std::time::Duration::from_millis(round % 12));
        gate.namespace().ip("link del later0");
    }
    wait::until("nothing is left", || {
        let now = (descriptors::now(&gate), pins());
        // One more: the program for fragments, which is loaded where the other one cannot be attached, and kept.
        now.0 <= before.0 + 1 && now.1 == before.1
    });
    assert_eq!(gate.health(), 200, "{}", gate.log());
    assert!(!lets_china_in(&lab, lab.pair()));
    gate.reload().success();
}

#[test]
fn a_foreign_program_that_takes_the_place_meanwhile_is_named_and_left_alone() {
    let lab = Lab::new();
    let gate = Gate::start(&lab, BLOCK_CN);
    // Somebody detaches octroi's program and attaches another before octroi looks.
    gate.signal(libc::SIGSTOP);
    let program = gate.namespace().link(&lab.pair().gate)["xdp"]["prog"]["id"].as_u64().expect("an id");
    let links = run("bpftool", &["-j", "link", "show"]).json();
    let link =
        links.as_array().into_iter().flatten().find(|link| link["prog_id"] == program).expect("its link");
    run("bpftool", &["link", "detach", "id", &link["id"].to_string()]).success();
    let mut other = Gate::start_with(&lab, Setup { metrics_port: 9463, ..Setup::new(BLOCK_CN) });
    gate.signal(libc::SIGCONT);
    wait::until("octroi says so", || gate.health() == 503);
    wait::until("its log names it", || gate.log().contains("another XDP program"));
    let now = gate.namespace().link(&lab.pair().gate)["xdp"]["prog"]["id"].as_u64();
    assert!(now.is_some_and(|now| now != program), "{}", lab.describe());
    other.stop();
    other.octroi(["detach"]).success();
    wait::until("octroi is back", || gate.health() == 200);
    assert!(!lets_china_in(&lab, lab.pair()));
}

#[test]
fn a_list_that_is_written_in_place_while_it_is_read_ends_no_daemon() {
    let lab = Lab::new();
    let mut gate = Gate::prepare(&lab, Setup::new(""));
    let list = gate.directory().join("list.txt");
    let text: String = (0..40_000u32).map(|n| format!("1.{}.{}.0/24\n", n >> 8 & 255, n & 255)).collect();
    fs::write(&list, &text).expect("a file of ours");
    gate.write("[[rule]]\nname = \"list\"\nsource = { list = [\"list.txt\"] }\naction = \"drop\"\n");
    gate.start_again();
    let done = AtomicBool::new(false);
    let (mut took, mut not) = (0, 0);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                // As a careless script does it: emptied first, then written.
                fs::write(&list, &text).expect("a file of ours");
            }
        });
        // Until one meets a list that is not whole.
        while took + not < 30 || (not == 0 && took < 300) {
            let reload = gate.reload();
            if reload.status.success() {
                took += 1
            } else {
                not += 1
            }
            assert!(reload.status.success() || reload.stderr.contains("list.txt"), "{reload}");
        }
        done.store(true, Ordering::Relaxed);
    });
    eprintln!("reloads while the list was written: {took} took it, {not} refused it");
    assert!(not > 0, "nothing was tried");
    gate.reload().success();
    assert!(!lets_china_in(&lab, lab.pair()));
}
