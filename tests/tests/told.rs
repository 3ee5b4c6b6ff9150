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
