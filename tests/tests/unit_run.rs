//! What the systemd unit sets up, without systemd: a BPF file system for root alone, the unit's own preparation, and
//! the daemon as the unit's user with the unit's capabilities. Then what root does about it.

use std::{
    fs,
    net::IpAddr,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use octroi_gate::corpus::build::udp;
use octroi_tests::{
    command::{self, SHORT},
    gate::{Gate, Setup, binary},
    netns::{Lab, PREFIX},
    said::refused,
    traffic::lets_china_in,
    wait,
};
use tempfile::TempDir;

const PACKAGING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging");
const BPFFS: &str = "/sys/fs/bpf";
const PINS: &str = "/sys/fs/bpf/octroi";
const BLOCK_CN: &str = "[[rule]]\nname = \"cn\"\nsource = { country = [\"CN\"] }\naction = \"drop\"\n";
/// The one that needs the tc program.
const TAG_ALL: &str = "[[rule]]\nname = \"all\"\nsource = { any = true }\naction = \"tag\"\nmark = 7\n";

/// CAP_NET_ADMIN, CAP_PERFMON, CAP_BPF (include/uapi/linux/capability.h).
const THREE: u64 = 1 << 12 | 1 << 38 | 1 << 39;

fn sh(script: &str) -> String {
    let mut command = Command::new("sh");
    command.args(["-ec", script]);
    command::run(command, SHORT).success()
}

/// The only line of the unit that begins with that key.
fn unit(key: &str) -> String {
    let unit = fs::read_to_string(format!("{PACKAGING}/octroi.service")).expect("the unit file");
    let lines: Vec<&str> =
        unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect();
    assert_eq!(lines.len(), 1, "{key}= in octroi.service: {lines:?}");
    lines[0].to_owned()
}

/// A host as systemd makes it, for the calling thread and its children alone: it goes with them.
struct Host {
    files: TempDir,
}

impl Host {
    fn new() -> Host {
        // SAFETY: takes a number only; the calling thread alone changes its view of mounts.
        let result = unsafe { libc::unshare(libc::CLONE_NEWNS) };
        let error = std::io::Error::last_os_error();
        assert_eq!(result, 0, "make a mount namespace: {error}; run the tests as root");
        let files = tempfile::Builder::new().prefix(PREFIX).tempdir().expect("make a temporary directory");
        let folder = files.path().display();
        // An /etc of its own, since the user that sysusers makes is to exist nowhere else.
        sh(&format!(
            "mount --make-rprivate /
             mount -t bpf -o mode=0700 bpf {BPFFS}
             chmod 755 {folder}
             install -m 755 {} {folder}/octroi
             mkdir -p {folder}/etc/tmpfiles.d
             cp /etc/passwd /etc/group /etc/nsswitch.conf {folder}/etc/
             cp {PACKAGING}/octroi.tmpfiles {folder}/etc/tmpfiles.d/octroi.conf
             mount --bind {folder}/etc /etc
             systemd-sysusers {PACKAGING}/octroi.sysusers",
            binary().display(),
        ));
        let host = Host { files };
        fs::write(host.octroi(), host.script()).expect("write into a directory of ours");
        fs::set_permissions(host.octroi(), fs::Permissions::from_mode(0o755)).expect("a file of ours");
        host
    }

    /// The command: `run` as the unit does it, anything else as root.
    fn octroi(&self) -> PathBuf {
        self.files.path().join("as-the-unit")
    }

    fn script(&self) -> String {
        let list = |key| -> String {
            let names = unit(key).to_lowercase();
            names.split(' ').map(|name| format!(",+{}", name.trim_start_matches("cap_"))).collect()
        };
        let ambient = list("AmbientCapabilities");
        let bounding = list("CapabilityBoundingSet");
        let (user, group, writable) = (unit("User"), unit("Group"), unit("ReadWritePaths"));
        let binary = self.files.path().join("octroi");
        let binary = binary.display();
        format!(
            "#!/bin/sh -e
             case $1 in
             run) shift; exec unshare --mount \"$0\" confined \"$@\" ;;
             confined) shift
                 mount --bind {writable} {writable}
                 mount -o remount,bind,ro {BPFFS}
                 exec setpriv --reuid={user} --regid={group} --clear-groups --no-new-privs \\
                     --bounding-set=-all{bounding} --inh-caps=-all{ambient} --ambient-caps=-all{ambient} \\
                     {binary} run \"$@\" ;;
             nobody) shift; exec setpriv --reuid=65534 --regid=65534 --clear-groups {binary} \"$@\" ;;
             root-run) shift; exec {binary} run \"$@\" ;;
             *) exec {binary} \"$@\" ;;
             esac\n"
        )
    }

    /// The unit's ExecStartPre=.
    fn prepare(&self) {
        let line = unit("ExecStartPre");
        sh(line.strip_prefix('+').expect("with root's rights"));
    }

    /// A gate whose configuration and socket belong to the unit's user, as the unit's directories do.
    fn gate<'lab>(&self, lab: &'lab Lab) -> Gate<'lab> {
        let setup = Setup { pins: Some(PINS.into()), binary: Some(self.octroi()), ..Setup::new(BLOCK_CN) };
        let gate = Gate::prepare(lab, setup);
        sh(&format!("chown {}: {}", unit("User"), gate.directory().display()));
        gate
    }
}

/// Runs a test on such a host, in the namespace to be protected.
fn on_host(test: impl Fn(&Host, &mut Gate<'_>, &Lab) + Sync) {
    let lab = Lab::new();
    lab.inside.run(|| {
        let host = Host::new();
        let mut gate = host.gate(&lab);
        test(&host, &mut gate, &lab);
    });
}

/// The kernel takes links apart some milliseconds after their pins are gone.
fn wait_until_open(lab: &Lab) {
    wait::until("nothing is dropped", || lets_china_in(lab, lab.pair()));
}

fn mode(path: &str) -> u32 {
    fs::metadata(path).unwrap_or_else(|error| panic!("{path}: {error}")).mode() & 0o7777
}

#[test]
fn the_units_user_filters_and_root_detaches() {
    on_host(|host, gate, lab| {
        host.prepare();
        assert_eq!((mode(BPFFS), mode(PINS)), (0o711, 0o700));
        gate.start_again();
        let status = fs::read_to_string(format!("/proc/{}/status", gate.pid())).expect("it runs");
        let field = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
            line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        let owner = fs::metadata(PINS).expect("made above").uid().to_string();
        assert!(owner != "0" && field("Uid:").iter().all(|id| *id == owner), "{owner}\n{status}");
        for set in ["CapEff:", "CapPrm:", "CapBnd:", "CapAmb:"] {
            assert_eq!(field(set), [format!("{THREE:016x}")], "{set}");
        }
        assert_eq!(gate.status()["interfaces"][0]["mode"], "native");
        assert!(!lets_china_in(lab, lab.pair()));
        gate.write(TAG_ALL);
        gate.reload().success();
        assert!(lets_china_in(lab, lab.pair()));
        gate.write(BLOCK_CN);
        gate.reload().success();

        gate.kill();
        assert!(!lets_china_in(lab, lab.pair()), "nobody watches, and the gate is closed");
        host.prepare();
        gate.start_again();
        assert!(gate.log().contains("taking over"), "{}", gate.log());
        refused(&gate.octroi(["detach"]), 1, &["octroi runs as process"]);
        gate.kill();
        // Root trusts no pins of another user, and says whose they are.
        let words = [PINS, "belongs to user", "(octroi)", "user 0 (root)", "detach --all"];
        refused(&gate.octroi(["root-run"]), 1, &words);
        let detached = gate.octroi(["detach"]).success();
        assert!(detached.starts_with("detached: 1"), "{detached}");
        assert!(!Path::new(PINS).exists());
        wait_until_open(lab);

        // Gone with its directory, and yet the next start is an ordinary one.
        host.prepare();
        gate.start_again();
        assert!(!lets_china_in(lab, lab.pair()));
        assert!(gate.stop().success(), "{}", gate.describe());
        assert!(!lets_china_in(lab, lab.pair()), "a stop opens nothing");
        gate.octroi(["detach"]).success();
        wait_until_open(lab);
    });
}

#[test]
fn a_file_system_for_root_alone_is_said_to_be_one() {
    on_host(|host, gate, _| {
        host.prepare();
        // As it is without the rule in octroi.tmpfiles.
        sh(&format!("chmod 0700 {BPFFS}"));
        let words = [PINS, "permission denied to user", "(octroi)", "systemd-tmpfiles --create"];
        refused(&gate.run_to_end(), 1, &words);
    });
}

#[test]
fn detach_follows_no_symbolic_link() {
    on_host(|host, gate, _| {
        host.prepare();
        let other = format!("{BPFFS}/other");
        let version = format!("{PINS}/v{}", octroi_abi::ABI_VERSION);
        fs::create_dir(&other).expect("root may");
        // No pin, but an entry of that name.
        let entry = format!("{other}/xdp-1-netns-1");
        symlink("/nowhere", &entry).expect("root may");
        symlink(&other, &version).expect("root may");
        refused(&gate.octroi(["detach", "--all"]), 1, &[&version, "a symbolic link"]);
        fs::remove_file(version).expect("made above");
        fs::remove_dir(PINS).expect("nothing in it");
        symlink(&other, PINS).expect("root may");
        refused(&gate.octroi(["detach", "--all"]), 1, &[PINS, "a symbolic link"]);
        assert!(fs::symlink_metadata(&entry).is_ok(), "{entry} is gone");
        fs::remove_file(PINS).expect("made above");
    });
}

#[test]
fn replay_as_root_asks_the_kernel_and_leaves_the_daemons_directory_alone() {
    on_host(|host, gate, lab| {
        host.prepare();
        let source: IpAddr = "1.0.1.1".parse().expect("an address");
        let frame = udp(source, lab.pair().gate4.into()).frame();
        let length = u32::try_from(frame.len()).expect("short");
        // pcap, version 2.4, Ethernet; one packet.
        let words = [0xa1b2_c3d4, 4 << 16 | 2, 0, 0, 65535, 1, 0, 0, length, length];
        let capture = gate.directory().join("one.pcap");
        let bytes = [words.map(u32::to_le_bytes).concat(), frame].concat();
        fs::write(&capture, bytes).expect("write into a directory of ours");
        let capture = capture.to_str().expect("UTF-8");
        sh(&format!("chmod 755 {}", gate.directory().display()));

        let names = || sh(&format!("ls -AR {BPFFS}"));
        let before = names();
        let judged = gate.octroi(["replay", capture]);
        assert!(judged.stdout.starts_with("engine kernel") && judged.stderr.is_empty(), "{judged}");
        assert!(judged.stdout.contains("CN"), "{judged}");
        assert_eq!(names(), before);

        let judged = gate.octroi(["nobody", "replay", capture]);
        assert!(judged.status.success() && judged.stdout.starts_with("engine host"), "{judged}");
        assert!(
            judged.stderr.contains("host engine") && judged.stderr.contains("permission denied"),
            "{judged}"
        );
        assert_eq!(judged.stderr.lines().count(), 1, "{judged}");
        refused(&gate.octroi(["nobody", "replay", "--engine", "kernel", capture]), 1, &["permission denied"]);
    });
}

#[test]
fn the_units_user_keeps_policies_and_root_installs_what_he_confirms() {
    on_host(|host, gate, lab| {
        host.prepare();
        gate.start_again();
        let new = gate.directory().join("new.toml");
        fs::write(&new, gate.text("")).expect("a directory of ours");
        let name = new.display().to_string();
        assert_eq!(gate.octroi(["nobody", "apply", &name]).status.code(), Some(1));
        gate.octroi(["apply", &name, "--confirm-timeout", "1h"]).success();
        assert!(lets_china_in(lab, lab.pair()));
        gate.kill();
        host.prepare();
        gate.start_again();
        assert!(lets_china_in(lab, lab.pair()), "it waits still");
        gate.octroi(["rollback"]).success();
        assert!(!lets_china_in(lab, lab.pair()));
        gate.octroi(["apply", &name, "--confirm-timeout", "1h"]).success();
        let installed = gate.octroi(["confirm"]).success();
        assert!(installed.contains("\ninstalled: "), "{installed}");
        assert_eq!(fs::read_to_string(gate.config()).expect("a file"), gate.text(""));
        let daemon = fs::metadata(format!("/proc/{}", gate.pid())).expect("it runs").uid();
        let owner =
            |path: &Path| fs::metadata(path).map(|info| (info.mode() & 0o777, info.uid())).expect("kept");
        assert_eq!(owner(&gate.state().join("policies.json")), (0o600, daemon));
        assert_eq!(owner(&gate.config()).1, 0);
        gate.kill();
        host.prepare();
        gate.write("[[rule]]\n");
        gate.start_again();
        assert!(lets_china_in(lab, lab.pair()) && gate.log().contains("the last good one"), "{}", gate.log());
    });
}

#[test]
fn the_units_user_keeps_leases_that_root_makes() {
    on_host(|host, gate, lab| {
        host.prepare();
        gate.start_again();
        gate.octroi(["lease", "add", "1.0.1.1", "--action", "pass", "--ttl", "1h"]).success();
        assert!(lets_china_in(lab, lab.pair()));
        let store = fs::metadata(gate.state().join("leases.json")).expect("it is kept");
        let daemon = fs::metadata(format!("/proc/{}", gate.pid())).expect("it runs");
        assert_eq!((store.mode() & 0o777, store.uid()), (0o600, daemon.uid()));
        gate.kill();
        host.prepare();
        gate.start_again();
        assert!(lets_china_in(lab, lab.pair()), "it is read again");
        let refused = gate.octroi(["nobody", "lease", "list"]);
        assert_eq!(refused.status.code(), Some(1), "{refused}");
        assert!(refused.stderr.contains("run this as root"), "{refused}");
    });
}
