//! `octroi apply`, and the commands that go back from it.

use std::{fs, process::Command};

use crate::{command::Finished, gate::Gate};

/// Goes back from a policy that waits for its confirmation.
pub const GO_BACK: &[&str] = &["rollback"];
/// Goes back from the last policy that was meant to the one before.
pub const GO_BACK_FURTHER: &[&str] = &["rollback", "--previous"];

/// `octroi apply` of a file beside the configuration, `new.toml`, which is written with that policy.
pub fn command(gate: &Gate<'_>, policy: &str, more: &[&str]) -> Command {
    gate.command(words(gate, policy, more))
}

/// The same, run: the policy waits for that time.
///
/// # Panics
/// As [`Gate::octroi`].
#[track_caller]
pub fn apply(gate: &Gate<'_>, policy: &str, timeout: &str) -> Finished {
    gate.octroi(words(gate, policy, &["--confirm-timeout", timeout]))
}

fn words(gate: &Gate<'_>, policy: &str, more: &[&str]) -> Vec<String> {
    let path = gate.directory().join("new.toml");
    fs::write(&path, gate.text(policy)).expect("write into a directory of ours");
    let path = path.display().to_string();
    ["apply", &path].iter().chain(more).map(|&word| word.to_owned()).collect()
}
