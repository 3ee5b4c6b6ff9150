//! Which daemon, pins and leases commands are about where the configuration is broken.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

fn octroi(config: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_octroi"));
    command.args(arguments).arg("-c").arg(config).output().expect("run octroi")
}

/// Every command that is about the running daemon.
const COMMANDS: [&[&str]; 9] = [
    &["status"],
    &["reload"],
    &["confirm"],
    &["rollback"],
    &["detach"],
    &["lease", "list"],
    &["lease", "add", "192.0.2.1", "--action", "pass", "--ttl", "1h"],
    &["lease", "remove", "192.0.2.1"],
    &["explain", "192.0.2.1", "--live"],
];

#[test]
fn where_a_broken_configuration_does_not_tell_the_places_nothing_is_done() {
    let folder = tempfile::tempdir().expect("make a temporary directory");
    let config = folder.path().join("octroi.toml");
    for (text, words) in [
        (Some("[control]\nsocket = /run/other.sock\n"), "octroi.toml:2:"),
        (
            Some("interfaces = [\"a\"]\n[control]\nsokcet = \"/run/other.sock\"\n"),
            "octroi.toml:3:1: unknown key",
        ),
        (None, "no such file; create it, or name another with -c FILE"),
    ] {
        match text {
            Some(text) => fs::write(&config, text).expect("write into a directory of ours"),
            None => fs::remove_file(&config).expect("written above"),
        }
        for command in COMMANDS {
            let output = octroi(&config, command);
            let error = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(78), "{command:?}: {error}");
            assert!(output.stdout.is_empty(), "{command:?}: {output:?}");
            assert!(error.contains(words) && error.contains("nothing was done"), "{command:?}: {error}");
        }
    }
}

#[test]
fn where_only_the_rest_is_broken_its_places_count_and_it_is_told() {
    let folder = tempfile::tempdir().expect("make a temporary directory");
    let at = |name: &str| folder.path().join(name).display().to_string();
    let config = folder.path().join("octroi.toml");
    let control = format!("[control]\nsocket = \"{}\"\nstate = \"{}\"\n", at("socket"), at("state"));
    fs::create_dir(folder.path().join("state")).expect("in a directory of ours");
    let kept = "{\"leases\":[{\"prefix\":\"192.0.2.1\",\"action\":\"drop\",\"since\":\"2026-01-01T00:00:00Z\",\
                \"until\":\"2126-01-01T00:00:00Z\"}]}";
    fs::write(folder.path().join("state/leases.json"), kept).expect("in a directory of ours");
    for broken in ["nonsense = 1\n", "interfaces = [\n"] {
        fs::write(&config, format!("{broken}{control}")).expect("write into a directory of ours");
        let output = octroi(&config, &["lease", "list"]);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("192.0.2.1/32"), "{output:?}");
        assert!(error.starts_with("octroi: warning: ") && error.contains("octroi.toml:"), "{error}");
        assert_eq!(
            (
                error.lines().count(),
                error.contains("what it says of [control], or leaves out, counts nevertheless")
            ),
            (1, true)
        );
        let output = octroi(&config, &["status"]);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains(&format!("ask the daemon at {}", at("socket"))), "{error}");
    }
}
