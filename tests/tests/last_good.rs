//! A start whose policy cannot be loaded: the last good one in its place, loudly, and until somebody mends it.

use std::{fs, os::unix::fs::MetadataExt, path::PathBuf};

use octroi_tests::{
    arrive::arriving,
    gate::{Gate, Setup},
    netns::Lab,
    said::{contains, refused},
    wait,
};
use serde_json::Value;

const BLOCK_CN: &str = "[[rule]]\nname = \"cn\"\nsource = { country = [\"CN\"] }\naction = \"drop\"\n";
const BLOCK_US: &str = "[[rule]]\nname = \"us\"\nsource = { country = [\"US\"] }\naction = \"drop\"\n";
const BROKEN: &str = "[[rule]]\nname = \"cn\"\n";
/// Over files, where 9.9.9.9 is in China and 8.8.8.8 is listed.
const FILES: &str = "[geoip]\ncountry = \"country.csv\"\n[[rule]]\nname = \"cn\"\nsource = { country = [\"CN\"] }\naction = \
                     \"drop\"\n[[rule]]\nname = \"listed\"\nsource = { list = [\"listed.txt\"] }\naction = \"drop\"\n";
const CN: &str = "1.0.1.1";
const US: &str = "8.8.8.8";
const BOTH: [&str; 2] = [CN, US];
const ALL: [&str; 3] = [CN, US, "9.9.9.9"];

/// Waits until what runs is kept.
fn kept(gate: &Gate<'_>, words: &str) {
    let book = gate.state().join("policies.json");
    let good = || {
        let text = fs::read_to_string(&book).unwrap_or_default();
        let kept: Value = serde_json::from_str(&text).unwrap_or_default();
        kept["good"].to_string()
    };
    wait::until("kept", || good().contains(words));
}

fn copies(gate: &Gate<'_>) -> Vec<PathBuf> {
    let entries = fs::read_dir(gate.state().join("policies")).expect("made by the daemon");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

/// A running gate over files in its directory, kept.
fn over_files(lab: &Lab) -> Gate<'_> {
    let mut gate = Gate::prepare(lab, Setup::new(FILES));
    fs::write(gate.directory().join("country.csv"), "9.9.9.0,9.9.9.255,CN\n").expect("a directory of ours");
    fs::write(gate.directory().join("listed.txt"), "8.8.8.8\n").expect("a directory of ours");
    gate.start_again();
    kept(&gate, "listed.txt");
    gate
}

#[test]
fn a_configuration_that_is_broken_at_a_start_is_stood_in_for_until_it_is_mended() {
    let lab = Lab::new();
    let mut gate = Gate::start(&lab, BLOCK_CN);
    assert_eq!(
        (&gate.status()["fallback"], gate.metrics().get("octroi_fallback", &[])),
        (&Value::Null, Some(0.0))
    );
    kept(&gate, "CN");
    gate.stop();
    gate.write(BROKEN);
    refused(&gate.octroi(["check"]), 78, &["octroi.toml:"]);
    gate.start_again();
    assert_eq!(arriving(&lab, &BOTH), [US]);
    let status = gate.status();
    let reason = status["fallback"]["reason"].as_str().unwrap_or_else(|| panic!("{status}"));
    contains(reason, &["octroi.toml:", "source"]);
    assert_eq!(
        (&status["last_reload"]["result"], &status["last_reload"]["error"]),
        (&"failure".into(), &reason.into())
    );
    let metrics = gate.metrics();
    let one = |name| metrics.get(name, &[]);
    assert_eq!((one("octroi_config_last_reload_successful"), one("octroi_fallback")), (Some(0.0), Some(1.0)));
    assert_eq!((gate.health(), metrics.sum("octroi_reloads_total", &[("result", "failure")])), (200, 1.0));
    contains(&gate.octroi(["status"]).success(), &["FALLBACK", "the last good policy runs", "octroi.toml:"]);
    contains(
        &gate.log(),
        &["ERROR", "the last good one, kept at 20", "then run `octroi reload`", "THE LAST GOOD POLICY runs"],
    );
    refused(&gate.octroi(["check"]), 78, &["octroi.toml:"]);
    refused(&gate.reload(), 78, &["octroi.toml:"]);
    assert_eq!(arriving(&lab, &BOTH), [US]);
    // Once more, by a crash.
    gate.kill();
    gate.start_again();
    assert_eq!(arriving(&lab, &BOTH), [US]);
    gate.write(BLOCK_US);
    gate.reload().success();
    assert_eq!(arriving(&lab, &BOTH), [CN]);
    let status = gate.status();
    assert_eq!((&status["fallback"], &status["last_reload"]["result"]), (&Value::Null, &"success".into()));
    assert_eq!(gate.metrics().get("octroi_fallback", &[]), Some(0.0));
    kept(&gate, "US");
    gate.write(BROKEN);
    gate.kill();
    gate.start_again();
    assert_eq!(arriving(&lab, &BOTH), [CN], "the last one, not the first");
}

#[test]
fn databases_and_lists_that_are_gone_or_damaged_are_stood_in_for_by_copies() {
    let lab = Lab::new();
    let mut gate = over_files(&lab);
    let (country, list) = (gate.directory().join("country.csv"), gate.directory().join("listed.txt"));
    let whole = fs::read(&country).expect("a file of ours");
    assert_eq!(arriving(&lab, &ALL), [CN]);
    for (path, bytes, word) in [
        (&country, None, "country.csv: No such file"),
        (&country, Some("9.9.9.0,9.9"), "country.csv"),
        (&country, Some(""), "country.csv is empty"),
        (&list, None, "which rule \"listed\" lists"),
        (&list, Some("8.8.8.8\nno network\n"), "listed.txt:2: "),
    ] {
        gate.kill();
        match bytes {
            None => fs::remove_file(path).expect("a file of ours"),
            Some(bytes) => fs::write(path, bytes).expect("a directory of ours"),
        }
        gate.start_again();
        assert_eq!(arriving(&lab, &ALL), [CN], "{word}");
        let status = gate.status();
        contains(status["fallback"]["reason"].as_str().unwrap_or_default(), &[word]);
        contains(status["databases"][0]["path"].as_str().unwrap_or_default(), &["/state/policies/"]);
        fs::write(&country, &whole).expect("a directory of ours");
        fs::write(&list, "8.8.8.8\n").expect("a directory of ours");
    }
    let live = gate.octroi(["explain", "9.9.9.9", "--live", "--json"]).json();
    assert_eq!((&live["verdict"], &live["country"]), (&"drop".into(), &"CN".into()));
    fs::write(&country, "9.9.9.0,9.9.9.255,DE\n").expect("a file of ours");
    gate.octroi(["reload", "--accept"]).success();
    assert_eq!(arriving(&lab, &ALL), [CN, "9.9.9.9"]);
}

#[test]
fn who_wants_no_stand_in_gets_none_and_nor_does_who_has_none() {
    let lab = Lab::new();
    let mut gate = Gate::start_with(
        &lab,
        Setup { control: "fallback = false\non_stop = \"detach\"".into(), ..Setup::new(BLOCK_CN) },
    );
    kept(&gate, "CN");
    gate.stop();
    gate.write(BROKEN);
    refused(&gate.run_to_end(), 78, &["octroi.toml:", "source"]);
    assert!(lab.inside.link("gate0").get("xdp").is_none());

    let mut other = Gate::prepare(&lab, Setup::new(BROKEN));
    refused(&other.run_to_end(), 78, &["octroi.toml:", "source"]);
    assert!(!other.state().exists(), "nothing is kept of what cannot be loaded");
    // Another configuration's is no stand-in.
    fs::create_dir(other.state()).expect("a directory of ours");
    let book = "policies.json";
    fs::copy(gate.state().join(book), other.state().join(book)).expect("directories of ours");
    refused(&other.run_to_end(), 78, &["is of another configuration", "octroi.toml:", "source"]);
    other.write(BLOCK_US);
    other.start_again();
    assert_eq!(arriving(&lab, &BOTH), [CN]);
}

#[test]
fn what_is_kept_and_damaged_is_moved_aside_and_never_opens_a_gate() {
    let lab = Lab::new();
    let mut gate = over_files(&lab);
    gate.kill();
    let book = gate.state().join("policies.json");
    let whole = fs::read(&book).expect("kept");
    // As a power cut leaves it: what was begun is no part of it.
    fs::write(gate.state().join("policies.json.new"), "{").expect("a directory of ours");
    fs::write(gate.state().join("policies/0123456789abcdef-7.new"), "9.9").expect("a directory of ours");
    fs::write(&book, &whole[..whole.len() / 2]).expect("a file of ours");
    gate.start_again();
    contains(&gate.log(), &["ERROR", "read the kept policies in", "policies.json.broken now"]);
    assert_eq!(arriving(&lab, &ALL), [CN], "the configured one");
    kept(&gate, "listed.txt");
    assert_eq!(copies(&gate).len(), 2, "{:?}", copies(&gate));
    gate.kill();
    fs::write(&book, "{").expect("a file of ours");
    gate.write(BROKEN);
    refused(&gate.run_to_end(), 78, &["policies.json.broken-1 now", "octroi.toml:"]);
    assert_eq!(arriving(&lab, &ALL), [CN], "what the killed daemon left filters on");

    fs::write(&book, &whole).expect("a file of ours");
    for copy in copies(&gate) {
        fs::write(&copy, "9.9.9.0,9.9.9.255,DE\n").expect("a file of ours");
    }
    let words = [
        "octroi.toml:",
        "and the last good policy, kept at 20",
        "cannot be loaded either",
        "has changed and is ",
    ];
    refused(&gate.run_to_end(), 78, &words);
    assert_eq!(arriving(&lab, &ALL), [CN]);
    assert!(copies(&gate).iter().any(|copy| copy.to_string_lossy().ends_with(".broken")));
    gate.write(FILES);
    gate.start_again();
    // What is on disk says so already: the copies have to be whole again.
    wait::until("kept anew", || {
        let whole = |path: &PathBuf| fs::read_to_string(path).is_ok_and(|text| !text.contains("DE"));
        copies(&gate).iter().filter(|path| whole(path)).count() == 2
    });
    gate.kill();
    gate.write(BROKEN);
    gate.start_again();
    assert_eq!(arriving(&lab, &ALL), [CN], "kept anew");
}

#[test]
fn copies_are_for_their_owner_only_and_written_once() {
    let lab = Lab::new();
    let gate = over_files(&lab);
    let inode = |path: &PathBuf| fs::metadata(path).expect("a copy").ino();
    let before: Vec<_> = copies(&gate).into_iter().map(|path| (inode(&path), path)).collect();
    assert_eq!(before.len(), 2);
    for (_, path) in &before {
        assert_eq!(fs::metadata(path).expect("a copy").mode() & 0o7777, 0o600);
    }
    assert_eq!(fs::metadata(gate.state().join("policies")).expect("a directory").mode() & 0o7777, 0o700);
    assert_eq!(fs::metadata(gate.state().join("policies.json")).expect("a file").mode() & 0o7777, 0o600);
    // Another policy over the same files; then one over none.
    gate.write(&format!("{FILES}# Later.\n"));
    gate.reload().success();
    kept(&gate, "Later");
    let after: Vec<_> = copies(&gate).into_iter().map(|path| (inode(&path), path)).collect();
    assert_eq!(before, after);
    for text in ["# One.\n", "# Two.\n"] {
        gate.write(&format!("{BLOCK_CN}{text}"));
        gate.octroi(["reload", "--accept"]).success();
        kept(&gate, text.trim());
    }
    wait::until("no policy needs them", || copies(&gate).is_empty());
    // A reload that fails keeps what was kept.
    gate.write(BROKEN);
    refused(&gate.reload(), 78, &["octroi.toml:"]);
    kept(&gate, "Two");
}

#[test]
fn a_stand_in_for_want_of_a_file_goes_by_itself_when_the_file_is_there_and_not_for_what_is_doubtful() {
    let lab = Lab::new();
    let mut gate = Gate::prepare(&lab, Setup::new(FILES));
    let (country, list) = (gate.directory().join("country.csv"), gate.directory().join("listed.txt"));
    let write = |path: &PathBuf, text: &str| {
        fs::write(path.with_extension("new"), text).expect("a directory of ours");
        fs::rename(path.with_extension("new"), path).expect("a directory of ours");
    };
    let china = "9.9.0.0,9.9.255.255,CN\n";
    write(&country, china);
    write(&list, "8.8.8.8\n");
    gate.start_again();
    kept(&gate, "listed.txt");
    gate.kill();
    fs::remove_file(&country).expect("a file of ours");
    // The configured policy is another one than the last good one.
    let more = format!(
        "{FILES}[[rule]]\nname = \"third\"\nsource = {{ cidr = [\"1.0.1.1\"] }}\naction = \"drop\"\n"
    );
    gate.write(&more);
    gate.start_again();
    assert_eq!(arriving(&lab, &ALL), [CN]);
    let fallback = |gate: &Gate<'_>| !gate.status()["fallback"].is_null();
    assert!(fallback(&gate));

    // Too much is missing: held, as at a reload.
    write(&country, "9.9.0.0,9.9.255.255,DE\n");
    wait::until("held", || gate.status()["held"] != serde_json::json!([]));
    assert!(fallback(&gate));
    assert_eq!(arriving(&lab, &ALL), [CN]);
    // Nobody has said that what is in the configuration by now is to hold.
    gate.write(BLOCK_US);
    write(&country, &format!("{china}7.7.7.0,7.7.7.255,DE\n"));
    std::thread::sleep(std::time::Duration::from_secs(8));
    assert!(fallback(&gate), "{}", gate.describe());
    gate.write(&more);
    write(&country, &format!("{china}7.7.7.0,7.7.8.255,DE\n"));
    wait::until("the configured policy", || !fallback(&gate));
    let status = gate.status();
    assert_eq!((&status["generation"], &status["last_reload"]["result"]), (&2.into(), &"success".into()));
    assert_eq!(status["held"], serde_json::json!([]), "{status}");
    assert_eq!(gate.metrics().get("octroi_fallback", &[]), Some(0.0));
    assert_eq!(arriving(&lab, &ALL), [""; 0]);
    contains(&gate.log(), &["the configured policy can be loaded again, and runs"]);
    kept(&gate, "third");
    // From here on its files are followed as ever.
    write(&list, "8.8.8.9\n");
    wait::until("generation 3", || gate.status()["generation"] == 3);
    assert_eq!(arriving(&lab, &ALL), [US]);
}
