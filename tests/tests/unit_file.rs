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
    assert!(success && said.trim().is_empty(), "{said}");
}

#[test]
fn systemd_analyze_security_gives_less_than_three() {
    let (_, said) = systemd_analyze(&["security", "--offline=true", "--no-pager", UNIT]);
    let line = said.lines().find(|line| line.contains("Overall exposure level")).unwrap_or_default();
    let score = line.split(": ").nth(1).and_then(|rest| rest.split(' ').next()?.parse::<f64>().ok());
    assert!(score.is_some_and(|score| score < 3.0), "{said}");
}

#[test]
fn what_is_kept_by_default_is_in_the_units_own_directory() {
    let text = fs::read_to_string(UNIT).expect("the unit file");
    let directory = text.lines().find_map(|line| line.strip_prefix("StateDirectory=")).expect("a line of it");
    // systemd makes it for the unit's user, and writable in spite of ProtectSystem=strict.
    assert_eq!(Control::default().state, Path::new("/var/lib").join(directory));
}
