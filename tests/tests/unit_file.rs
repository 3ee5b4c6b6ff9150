//! The systemd unit, as systemd's own tools see it.

use std::{fs, path::Path, process::Command};

use octroi::config::Control;

const UNIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/octroi.service");

fn systemd_analyze(arguments: &[&str]) -> (bool, String) {
    let output = Command::new("systemd-analyze")
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("start systemd-analyze: {error}; install Debian's package systemd"));
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn systemd_analyze_verify_has_nothing_to_say() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let unit = folder.path().join("octroi.service");
    // The binary is not installed where tests run; that it is there is all that differs.
    let text = fs::read_to_string(UNIT).expect("the unit file").replace("/usr/bin/octroi", "/bin/true");
    fs::write(&unit, text).expect("write into a directory of ours");
    let (success, said) = systemd_analyze(&["verify", "--man=no", unit.to_str().expect("UTF-8")]);
    // What only a newer systemd knows is left out by an older one, which says so.
    let known =
        |line: &str| ["RestartSteps", "RestartMaxDelaySec"].iter().any(|key| line.contains(&unknown(key)));
    let unknown_to_this = said.lines().filter(|line| known(line)).count();
    assert!(success && said.lines().count() == unknown_to_this && unknown_to_this % 2 == 0, "{said}");
}

fn unknown(key: &str) -> String {
    format!("Unknown key '{key}' in section [Service], ignoring.")
}

#[test]
fn the_gate_comes_before_networks_that_come_before_sysinit() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let unit = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("write into a directory of ours");
        path.to_str().expect("UTF-8").to_owned()
    };
    let text = fs::read_to_string(UNIT).expect("the unit file").replace("/usr/bin/octroi", "/bin/true");
    let octroi = unit("octroi.service", &text);
    // As cloud-init's network stage is ordered on Debian and Ubuntu.
    let cloud = unit(
        "like-cloud-init.service",
        "[Unit]\nDefaultDependencies=no\nAfter=network-pre.target octroi.service\nBefore=sysinit.target\n\
         Wants=sysinit.target octroi.service\n[Service]\nType=oneshot\nExecStart=/bin/true\n",
    );
    let (_, said) = systemd_analyze(&["verify", "--man=no", &octroi, &cloud]);
    assert!(!said.contains("cycle"), "{said}");
    // And it is asked: with what a service is ordered after by default, there is a circle.
    let octroi = unit("octroi.service", &text.replace("DefaultDependencies=no\n", ""));
    let (_, said) = systemd_analyze(&["verify", "--man=no", &octroi, &cloud]);
    assert!(said.contains("cycle"), "{said}");
}

#[test]
fn a_daemon_that_crashes_or_hangs_is_started_again_for_ever() {
    let text = fs::read_to_string(UNIT).expect("the unit file");
    for line in
        ["StartLimitIntervalSec=0", "Restart=on-failure", "RestartPreventExitStatus=78", "WatchdogSec=30"]
    {
        assert!(text.lines().any(|one| one == line), "no {line} in\n{text}");
    }
}

#[test]
fn systemd_analyze_security_gives_less_than_two_and_a_half() {
    let (_, said) = systemd_analyze(&["security", "--offline=true", "--no-pager", UNIT]);
    let line = said.lines().find(|line| line.contains("Overall exposure level")).unwrap_or_default();
    let score = line.split(": ").nth(1).and_then(|rest| rest.split(' ').next()?.parse::<f64>().ok());
    assert!(score.is_some_and(|score| score < 2.5), "{said}");
}

#[test]
fn what_is_kept_by_default_is_in_the_units_own_directory() {
    let text = fs::read_to_string(UNIT).expect("the unit file");
    let directory = text.lines().find_map(|line| line.strip_prefix("StateDirectory=")).expect("a line of it");
    // systemd makes it for the unit's user, and writable in spite of ProtectSystem=strict.
    assert_eq!(Control::default().state, Path::new("/var/lib").join(directory));
}
