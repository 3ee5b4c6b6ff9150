//! `source.list` end to end: what is said about files, and what a running gate makes of a file that changes.

use std::fs;

use octroi_tests::{
    files::replace,
    gate::{Gate, Setup},
    netns::Lab,
};

fn verdict(gate: &Gate<'_>, address: &str, options: &[&str]) -> String {
    let explained = gate.octroi(["explain", address, "--json"].iter().chain(options)).json();
    explained["verdict"].as_str().expect("a verdict").to_owned()
}

/// A gate that drops what `blocked.txt` in its directory lists; it does not run yet.
fn prepared<'lab>(lab: &'lab Lab, text: &str) -> Gate<'lab> {
    let gate = Gate::prepare(lab, Setup::new(""));
    replace(&gate.directory().join("blocked.txt"), text);
    gate.write("[[rule]]\nname = \"blocked\"\nsource = { list = [\"blocked.txt\"] }\naction = \"drop\"\n");
    gate
}

#[test]
fn check_counts_the_networks_of_a_list_and_refuses_a_bad_line_with_its_number() {
    let lab = Lab::new();
    let gate = prepared(&lab, "# two\n9.9.9.0/24\n2a00:1::/32\n");
    let path = gate.directory().join("blocked.txt");
    let report = gate.octroi(["check", "--json"]).json();
    assert_eq!(
        report["lists"],
        serde_json::json!([{ "path": path.display().to_string(), "networks": { "ipv4": 1, "ipv6": 1 } }])
    );
    assert_eq!(verdict(&gate, "9.9.9.9", &[]), "drop");

    replace(&path, "9.9.9.0/24\r\n9.9.9.9/24\r\n");
    let refused = gate.octroi(["check"]);
    assert_eq!(refused.status.code(), Some(78), "{refused}");
    let words = "blocked.txt:2: network \"9.9.9.9/24\" has bits set after its prefix length; the network is 9.9.9.0/24";
    assert!(refused.stderr.contains(words), "{refused}");

    replace(&path, "");
    let text = gate.octroi(["check"]).success();
    assert!(text.contains("blocked.txt has no network in it, and matches nothing"), "{text}");
    fs::remove_file(&path).expect("a file of ours");
    let refused = gate.octroi(["check"]);
    assert_eq!(refused.status.code(), Some(78), "{refused}");
    assert!(refused.stderr.contains("blocked.txt, which rule \"blocked\" lists: No such file"), "{refused}");
}

#[test]
fn a_reload_reads_lists_again_and_until_then_what_was_loaded_is_explained() {
    let lab = Lab::new();
    let mut gate = prepared(&lab, "9.9.9.0/24\n");
    let path = gate.directory().join("blocked.txt");
    gate.start_again();
    assert_eq!(verdict(&gate, "9.9.9.9", &["--live"]), "drop");

    replace(&path, "8.8.8.8\n");
    assert_eq!(verdict(&gate, "9.9.9.9", &[]), "pass");
    assert_eq!(verdict(&gate, "9.9.9.9", &["--live"]), "drop");
    gate.reload().success();
    assert_eq!(verdict(&gate, "9.9.9.9", &["--live"]), "pass");
    assert_eq!(verdict(&gate, "8.8.8.8", &["--live"]), "drop");

    fs::write(&path, "9.9.9.9 # in place\n").expect("write into a directory of ours");
    let refused = gate.octroi(["explain", "8.8.8.8", "--live"]);
    assert_eq!(refused.status.code(), Some(1), "{refused}");
    assert!(refused.stderr.contains("blocked.txt was written into after it was loaded"), "{refused}");

    replace(&path, "9.9.9\n");
    let refused = gate.reload();
    assert_ne!(refused.status.code(), Some(0), "{refused}");
    assert!(refused.stderr.contains("blocked.txt:1: network \"9.9.9\" is not"), "{refused}");
    replace(&path, "# nothing any more\n");
    let text = gate.reload().success();
    assert!(text.contains("blocked.txt has no network in it, and matches nothing"), "{text}");
    assert_eq!(verdict(&gate, "8.8.8.8", &["--live"]), "pass");
}
