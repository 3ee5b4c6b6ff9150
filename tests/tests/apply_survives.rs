//! A policy that waits for its confirmation, and a daemon that is killed, a machine that is started anew, a configured file
//! that says what nobody confirmed.

use std::{fs, thread, time::Duration};

use octroi_tests::{
    apply::apply,
    arrive::arriving,
    gate::{Gate, Setup},
    netns::Lab,
    said::contains,
    wait,
};
use serde_json::Value;

const BLOCK_CN: &str = "[[rule]]\nname = \"cn\"\nsource = { country = [\"CN\"] }\naction = \"drop\"\n";
const BLOCK_US: &str = "[[rule]]\nname = \"us\"\nsource = { country = [\"US\"] }\naction = \"drop\"\n";
const LISTED: &str = "[[rule]]\nname = \"listed\"\nsource = { list = [\"listed.txt\"] }\naction = \"drop\"\n";
const CN: &str = "1.0.1.1";
const US: &str = "8.8.8.8";
const BOTH: [&str; 2] = [CN, US];

/// `octroi apply` of the configured file itself.
fn apply_configured(gate: &Gate<'_>, policy: &str, timeout: &str) {
    gate.write(policy);
    gate.octroi(["apply", &gate.config().display().to_string(), "--confirm-timeout", timeout]).success();
}

/// When the policy that waits goes, in Unix seconds.
fn until(gate: &Gate<'_>) -> Option<f64> {
    gate.metrics().get("octroi_pending_confirmation_timestamp_seconds", &[])
}

/// Makes what is kept say something else.
fn rewrite(gate: &Gate<'_>, change: impl FnOnce(&mut Value)) {
    let path = gate.state().join("policies.json");
    let text = fs::read_to_string(&path).expect("kept");
    let mut kept: Value = serde_json::from_str(&text).expect("JSON");
    change(&mut kept);
    fs::write(&path, kept.to_string()).expect("a file of ours");
}

#[test]
fn a_killed_daemon_s_successor_goes_on_waiting_until_the_same_time() {
    let lab = Lab::new();
    let mut gate = Gate::start(&lab, BLOCK_CN);
    apply(&gate, BLOCK_US, "8s").success();
    let before = until(&gate).expect("it waits");
    gate.kill();
    assert_eq!(arriving(&lab, &BOTH), [CN], "nobody watches, and it runs");
    gate.start_again();
    contains(&gate.log(), &["new.toml waits for `octroi confirm` until 20", "as before this start"]);
    assert_eq!(arriving(&lab, &BOTH), [CN]);
    let after = until(&gate).expect("it waits still");
    assert!((before - after).abs() <= 1.0, "{before} and {after}");
    wait::until("back by itself", || until(&gate).is_none());
    assert_eq!(arriving(&lab, &BOTH), [US]);
    contains(&gate.log(), &["new.toml was applied and not confirmed in time"]);

    // Confirmed by a successor, it stays.
    apply(&gate, BLOCK_US, "1h").success();
    gate.kill();
    gate.start_again();
    gate.octroi(["confirm"]).success();
    gate.kill();
    gate.start_again();
    assert_eq!((until(&gate), arriving(&lab, &BOTH)), (None, vec![CN]));
    // Stopped in good order, too.
    apply(&gate, BLOCK_CN, "1h").success();
    assert_eq!(arriving(&lab, &BOTH), [US]);
    gate.stop();
    assert_eq!(arriving(&lab, &BOTH), [CN], "nobody could confirm it, or go back");
    gate.start_again();
    assert_eq!((until(&gate).is_some(), arriving(&lab, &BOTH)), (true, vec![US]));
    gate.octroi(["rollback"]).success();
    assert_eq!(arriving(&lab, &BOTH), [CN]);
}

#[test]
fn what_nobody_confirmed_does_not_say_what_a_stop_does() {
    let lab = Lab::new();
    let mut gate = Gate::start(&lab, BLOCK_CN);
    let policy = |on_stop: &str| {
        let text = gate.text(BLOCK_CN).replace("[control]\n", &format!("[control]\non_stop = {on_stop:?}\n"));
        assert!(text.contains(on_stop), "{text}");
        let path = gate.directory().join("new.toml");
        fs::write(&path, text).expect("a directory of ours");
        path.display().to_string()
    };
    let opens = policy("detach");
    gate.octroi(["apply", &opens]).success();
    gate.stop();
    assert_eq!(arriving(&lab, &BOTH), [US]);
    gate.start_again();
    gate.octroi(["rollback"]).success();
    gate.octroi(["apply", &opens]).success();
    gate.octroi(["confirm"]).success();
    gate.stop();
    assert_eq!(arriving(&lab, &BOTH), BOTH, "it is meant now");
}

#[test]
fn a_start_after_the_time_is_over_goes_back_with_the_lists_of_before() {
    let lab = Lab::new();
    let mut gate = Gate::prepare(&lab, Setup::new(LISTED));
    let list = gate.directory().join("listed.txt");
    fs::write(&list, "8.8.8.8\n").expect("a directory of ours");
    gate.start_again();
    apply(&gate, BLOCK_CN, "2s").success();
    gate.kill();
    fs::write(&list, "9.9.9.9\n").expect("a file of ours");
    thread::sleep(Duration::from_secs(2));
    let sources = ["9.9.9.9", CN, US];
    assert_eq!(arriving(&lab, &sources), ["9.9.9.9", US]);
    gate.start_again();
    assert_eq!(gate.status()["generation"], 1, "nothing else ran");
    assert_eq!(arriving(&lab, &sources), ["9.9.9.9", CN]);
    contains(
        &gate.log(),
        &["ERROR", "new.toml was applied at 20", "not confirmed in time: back to the policy that ran before"],
    );
    assert_eq!(until(&gate), None);
    gate.reload().success();
    assert_eq!(arriving(&lab, &sources), [CN, US]);
}

#[test]
fn after_the_machine_was_started_anew_nothing_waits() {
    let lab = Lab::new();
    let mut gate = Gate::start(&lab, BLOCK_CN);
    apply(&gate, BLOCK_US, "1h").success();
    gate.kill();
    rewrite(&gate, |kept| kept["pending"]["boot"] = "8c7a0a4e-0000-4000-8000-000000000000".into());
    gate.start_again();
    contains(&gate.log(), &["ERROR", "not confirmed before the machine was started anew: back to"]);
    assert_eq!((until(&gate), arriving(&lab, &BOTH)), (None, vec![US]));
    gate.kill();
    gate.start_again();
    assert_eq!(gate.log().matches("started anew").count(), 1, "said once: {}", gate.log());
}

#[test]
fn one_that_cannot_be_loaded_again_is_given_up() {
    let lab = Lab::new();
    let mut gate = Gate::start(&lab, BLOCK_CN);
    let list = gate.directory().join("listed.txt");
    fs::write(&list, "8.8.8.8\n").expect("a directory of ours");
    apply(&gate, LISTED, "1h").success();
    gate.kill();
    fs::remove_file(&list).expect("a file of ours");
    gate.start_again();
    contains(&gate.log(), &["listed.txt", "waited for its confirmation and cannot be loaded again"]);
    assert_eq!((until(&gate), arriving(&lab, &BOTH)), (None, vec![US]));
    assert_eq!(gate.metrics().get("octroi_config_last_reload_successful", &[]), Some(0.0));
    gate.kill();
    gate.start_again();
    assert_eq!(arriving(&lab, &BOTH), [US]);
}

#[test]
fn a_configured_file_that_nobody_confirmed_does_not_count_until_it_changes() {
    let lab = Lab::new();
    let mut gate = Gate::start(&lab, BLOCK_CN);
    apply_configured(&gate, BLOCK_US, "2s");
    assert_eq!(arriving(&lab, &BOTH), [CN]);
    wait::until("back by itself", || until(&gate).is_none());
    assert_eq!(arriving(&lab, &BOTH), [US]);
    let words = ["octroi.toml does not count, since what it says was applied and not confirmed"];
    contains(&gate.log(), &words);
    // Such as the one that follows a new database.
    contains(&gate.reload().success(), &words);
    assert_eq!(arriving(&lab, &BOTH), [US]);
    gate.kill();
    gate.start_again();
    assert_eq!(arriving(&lab, &BOTH), [US], "nor at a start");
    apply_configured(&gate, BLOCK_US, "1h");
    assert_eq!(arriving(&lab, &BOTH), [CN], "applied once more, and confirmed this time");
    let said = gate.octroi(["confirm"]).success();
    assert!(!said.contains("installed") && !said.contains("warning"), "{said}");
    gate.reload().success();
    gate.kill();
    gate.start_again();
    assert_eq!(arriving(&lab, &BOTH), [CN]);

    // What has run all the time, and is applied for once: nobody has to change the file.
    apply_configured(&gate, BLOCK_US, "1h");
    let said = gate.octroi(["rollback"]).success() + &gate.reload().success();
    assert!(!said.contains("count"), "{said}");

    apply_configured(&gate, BLOCK_CN, "1h");
    contains(&gate.octroi(["rollback"]).success(), &words);
    gate.kill();
    gate.start_again();
    assert_eq!(arriving(&lab, &BOTH), [CN]);
    gate.write(&format!("# Changed.\n{BLOCK_CN}"));
    gate.reload().success();
    assert_eq!(arriving(&lab, &BOTH), [US]);
}

#[test]
fn a_configured_file_that_nobody_could_confirm_before_a_crash_does_not_count_either() {
    let lab = Lab::new();
    let mut gate = Gate::start(&lab, BLOCK_CN);
    apply_configured(&gate, BLOCK_US, "1h");
    gate.kill();
    rewrite(&gate, |kept| kept["pending"]["deadline"] = 1.into());
    gate.start_again();
    assert_eq!(arriving(&lab, &BOTH), [US]);
    gate.kill();
    gate.start_again();
    assert_eq!(arriving(&lab, &BOTH), [US]);
    contains(&gate.reload().success(), &["octroi.toml does not count"]);
}

#[test]
fn where_the_kernel_refuses_to_go_back_it_is_tried_again() {
    let lab = Lab::new();
    let gate = Gate::start(&lab, BLOCK_CN);
    apply(&gate, BLOCK_US, "2s").success();
    // Nobody can step on a link without its pin.
    let version =
        fs::read_dir(gate.pins()).expect("pins").next().expect("a version").expect("an entry").path();
    let pins = fs::read_dir(&version).expect("pins").map(|pin| pin.expect("an entry").path());
    let links = pins.filter(|pin| pin.to_string_lossy().contains("/xdp-"));
    let pins: Vec<_> = links.collect();
    let aside = |pin: &std::path::Path| pin.with_file_name("aside");
    assert_eq!(pins.len(), 1, "{pins:?}");
    fs::rename(&pins[0], aside(&pins[0])).expect("a pin");
    wait::until("refused", || gate.log().contains("and tried again in a second"));
    assert!(until(&gate).is_some());
    assert_eq!(arriving(&lab, &BOTH), [CN]);
    let refused = gate.octroi(["rollback"]);
    assert_eq!(refused.status.code(), Some(1), "{refused}");
    contains(&refused.stderr, &["go back from ", "replace the program on gate0"]);
    fs::rename(aside(&pins[0]), &pins[0]).expect("a pin");
    wait::until("back by itself", || until(&gate).is_none());
    assert_eq!(arriving(&lab, &BOTH), [US]);
    gate.reload().success();
}

#[test]
fn without_a_place_to_keep_what_it_would_go_back_to_nothing_is_applied() {
    let lab = Lab::new();
    let gate = Gate::prepare(&lab, Setup::new(BLOCK_CN));
    // In the way of the directory.
    fs::write(gate.state(), "").expect("a directory of ours");
    let mut gate = gate;
    gate.start_again();
    wait::until("said", || gate.log().contains("keep the running policy"));
    contains(
        &gate.reload().success(),
        &["warning: keep the running policy, for a start that has no other: "],
    );
    let refused = apply(&gate, BLOCK_US, "1h");
    assert_eq!(refused.status.code(), Some(1), "{refused}");
    contains(
        &refused.stderr,
        &["what runs now, which it would go back to, cannot be kept", "[control] state"],
    );
    assert_eq!((until(&gate), arriving(&lab, &BOTH)), (None, vec![US]));
    fs::remove_file(gate.state()).expect("made above");
    apply(&gate, BLOCK_US, "1h").success();
    assert_eq!(arriving(&lab, &BOTH), [CN]);
    // What is confirmed has to be on disk.
    let aside = gate.directory().join("aside");
    fs::rename(gate.state(), &aside).expect("directories of ours");
    fs::write(gate.state(), "").expect("a directory of ours");
    let refused = gate.octroi(["confirm"]);
    assert_eq!(refused.status.code(), Some(1), "{refused}");
    contains(&refused.stderr, &["it goes back unless this works in time", "policies.json"]);
    assert!(until(&gate).is_some());
    fs::remove_file(gate.state()).expect("made above");
    fs::rename(aside, gate.state()).expect("directories of ours");
    gate.octroi(["confirm"]).success();
    assert_eq!((until(&gate), arriving(&lab, &BOTH)), (None, vec![CN]));
}
