//! What an operator is told who is about to be wrong.

use std::fs;

use octroi_tests::{
    command::{self, Finished},
    gate::{Gate, binary},
    netns::Lab,
};

const BLOCK_CN: &str = "[[rule]]\nname = \"cn\"\nsource = { country = [\"CN\"] }\naction = \"drop\"\n";

/// Runs octroi in the gate's namespace with another configuration than the gate's.
fn octroi_with(gate: &Gate<'_>, command: &str, config: &std::path::Path) -> Finished {
    let mut octroi = gate.namespace().command(binary());
    octroi.args([command, "-c"]).arg(config);
    command::run(octroi, std::time::Duration::from_secs(60))
}

#[test]
fn a_reload_says_which_file_the_daemon_read_and_that_it_read_no_other() {
    let lab = Lab::new();
    let gate = Gate::start(&lab, BLOCK_CN);
    let read = format!("reloaded: {}\n", gate.config().display());
    assert_eq!(gate.reload().success(), read);
    let link = gate.directory().join("link.toml");
    std::os::unix::fs::symlink(gate.config(), &link).expect("a directory of ours");
    assert_eq!(octroi_with(&gate, "reload", &link).success(), read, "it leads to that file");

    let other = gate.directory().join("other.toml");
    fs::write(&other, gate.text("")).expect("a directory of ours");
    let said = octroi_with(&gate, "reload", &other).success();
    let warning = format!("warning: {} was not read: ", other.display());
    assert!(said.starts_with(&warning) && said.ends_with(&read), "{said}");
    assert!(said.contains(&format!("was started with {}", gate.config().display())), "{said}");
    assert_eq!(gate.status()["rules"][0]["name"], "cn");
}

#[test]
fn status_says_what_happens_to_a_rule_at_which_time() {
    let lab = Lab::new();
    let rule = |name: &str, keys: &str| {
        format!("[[rule]]\nname = {name:?}\nsource = {{ country = [\"CN\"] }}\naction = \"drop\"\n{keys}\n")
    };
    let from = "from = 2100-01-01T00:00:00Z";
    let policy = rule("begins", from)
        + &rule("grows", &format!("{from}\nramp = \"14d\""))
        + &rule("ends", "until = 2100-01-01T00:00:00Z");
    let gate = Gate::start(&lab, &policy);
    let status = gate.octroi(["status"]).success();
    let json = gate.status();
    for (at, (name, what, stage)) in
        [("begins", "enforces from", "enforce"), ("grows", "ramps from", "ramp"), ("ends", "ends", "expired")]
            .into_iter()
            .enumerate()
    {
        let line = status.lines().find(|line| line.contains(&format!("  {name} "))).unwrap_or_default();
        assert!(line.ends_with(&format!(" bytes, {what} 2100-01-01T00:00:00Z")), "{name}: {status}");
        assert_eq!(json["rules"][at]["next_stage"], stage, "{json}");
    }
}

#[test]
fn a_state_directory_that_cannot_be_written_is_told_at_the_start() {
    const TOLD: &str = "[control] state, ";
    let lab = Lab::new();
    let mut gate = Gate::start(&lab, BLOCK_CN);
    assert!(!gate.log().contains(TOLD), "{}", gate.log());
    assert!(gate.stop().success());
    // For root, hardly anything is not writable.
    fs::remove_dir_all(gate.state()).expect("the gate's own");
    fs::write(gate.state(), "").expect("a directory of ours");
    gate.start_again();
    let log = gate.log();
    let line = log.lines().find(|line| line.contains(TOLD)).unwrap_or_else(|| panic!("{log}"));
    for words in ["cannot be written: ", "no lease can be added", "cannot be kept for a start"] {
        assert!(line.contains(words), "no {words:?} in {line}");
    }
}
