//! `octroi apply`, `confirm` and `rollback` end to end: what packets meet, what becomes of the configured file, and what is
//! refused.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    thread,
    time::Duration,
};

use octroi_tests::{
    apply::apply,
    arrive::arriving,
    gate::{Gate, Setup},
    netns::Lab,
    said::{contains, refused},
    traffic::Traffic,
    wait,
};
use serde_json::Value;

const BLOCK_CN: &str = "[[rule]]\nname = \"cn\"\nsource = { country = [\"CN\"] }\naction = \"drop\"\n";
const BLOCK_US: &str = "[[rule]]\nname = \"us\"\nsource = { country = [\"US\"] }\naction = \"drop\"\n";
const LISTED: &str = "[[rule]]\nname = \"listed\"\nsource = { list = [\"listed.txt\"] }\naction = \"drop\"\n";
const CN: &str = "1.0.1.1";
const US: &str = "8.8.8.8";
const BOTH: [&str; 2] = [CN, US];

#[test]
fn what_nobody_confirms_goes_by_itself_with_all_that_ran_before() {
    let lab = Lab::new();
    let gate = Gate::prepare(&lab, Setup::new(&format!("{BLOCK_CN}{LISTED}")));
    let list = gate.directory().join("listed.txt");
    fs::write(&list, "8.8.8.8\n").expect("write into a directory of ours");
    let mut gate = gate;
    gate.start_again();
    assert_eq!(arriving(&lab, &["9.9.9.9", CN, US]), ["9.9.9.9"]);
    assert_eq!(gate.status()["pending_confirmation"], Value::Null);
    let waits = "octroi_pending_confirmation_timestamp_seconds";
    assert_eq!(gate.metrics().get(waits, &[]), None);

    let said = apply(&gate, "", "6s").success();
    contains(&said, &["new.toml is generation 2 until 20", "octroi confirm", "octroi rollback"]);
    assert_eq!(arriving(&lab, &["9.9.9.9", CN, US]), ["9.9.9.9", CN, US]);
    // What it goes back to is in no file any more.
    fs::write(&list, "9.9.9.9\n").expect("a file of ours");
    let status = gate.status();
    let pending = &status["pending_confirmation"];
    let text = |key: &str| pending[key].as_str().unwrap_or_else(|| panic!("no {key} in {status}"));
    assert!(text("file").ends_with("/new.toml") && text("since") < text("until"), "{status}");
    assert_eq!(pending.as_object().map(serde_json::Map::len), Some(3));
    assert!(gate.metrics().get(waits, &[]).is_some_and(|time| time > 1.7e9));
    contains(&gate.octroi(["status"]).success(), &["PENDING", "new.toml goes at 20", "`octroi confirm`"]);

    wait::until("back by itself", || gate.status()["generation"] == 3);
    assert_eq!(arriving(&lab, &["9.9.9.9", CN, US]), ["9.9.9.9"], "the list as it was");
    let status = gate.status();
    assert_eq!(
        (&status["pending_confirmation"], &status["rules"][1]["name"]),
        (&Value::Null, &"listed".into())
    );
    let error = status["last_reload"]["error"].as_str().unwrap_or_default();
    contains(
        error,
        &["new.toml was applied and not confirmed in time", "back to the policy that ran before"],
    );
    let metrics = gate.metrics();
    assert_eq!(
        (metrics.get(waits, &[]), metrics.get("octroi_config_last_reload_successful", &[])),
        (None, Some(0.0))
    );
    contains(&gate.log(), &["ERROR", "not confirmed in time", "waits for `octroi confirm` until"]);
    // Reads the file again, as ever.
    gate.reload().success();
    assert_eq!(arriving(&lab, &["9.9.9.9", CN, US]), [US]);
    refused(&gate.octroi(["confirm"]), 1, &["no policy waits"]);
}

#[test]
fn what_is_confirmed_stays_and_is_the_configuration() {
    let lab = Lab::new();
    let mut gate = Gate::start(&lab, BLOCK_CN);
    let config = gate.config();
    fs::set_permissions(&config, fs::Permissions::from_mode(0o640)).expect("a file of ours");
    chown(&config, Some(4711), Some(4712)).expect("as root");
    apply(&gate, BLOCK_US, "6s").success();
    assert_eq!(arriving(&lab, &BOTH), [CN]);
    let said = gate.octroi(["confirm"]).success();
    contains(&said, &["confirmed: ", "/new.toml\n", "installed: ", "as ", "octroi.toml.previous"]);
    assert_eq!(fs::read_to_string(&config).expect("a file"), gate.text(BLOCK_US));
    let previous = gate.directory().join("octroi.toml.previous");
    assert_eq!(fs::read_to_string(&previous).expect("a file"), gate.text(BLOCK_CN));
    for path in [&config, &previous] {
        let there = fs::metadata(path).expect("a file");
        assert_eq!((there.mode() & 0o7777, there.uid(), there.gid()), (0o640, 4711, 4712));
    }
    thread::sleep(Duration::from_secs(7));
    let status = gate.status();
    assert_eq!((&status["generation"], &status["pending_confirmation"]), (&2.into(), &Value::Null));
    assert_eq!(arriving(&lab, &BOTH), [CN], "its time is over, and it stays");
    assert_eq!(gate.metrics().get("octroi_config_last_reload_successful", &[]), Some(1.0));
    gate.reload().success();
    gate.kill();
    gate.start_again();
    assert_eq!(arriving(&lab, &BOTH), [CN]);
    assert!(!gate.log().contains("counts again") && !gate.log().contains("does not count"), "{}", gate.log());
}

#[test]
fn rollback_goes_back_at_once_and_later_to_the_policy_before() {
    let lab = Lab::new();
    let mut gate = Gate::start(&lab, BLOCK_CN);
    refused(&gate.octroi(["rollback"]), 1, &["no policy waits", "none before the one that runs is kept in"]);
    apply(&gate, BLOCK_US, "1h").success();
    assert_eq!(arriving(&lab, &BOTH), [CN]);
    let said = gate.octroi(["rollback"]).success();
    contains(&said, &["rolled back: generation 3 is what ran before", "new.toml"]);
    assert_eq!(arriving(&lab, &BOTH), [US]);
    assert_eq!(gate.status()["last_reload"]["result"], "success");
    assert_eq!(fs::read_to_string(gate.config()).expect("a file"), gate.text(BLOCK_CN));
    refused(&gate.octroi(["confirm"]), 1, &["no policy waits"]);
    // Once more, by somebody who is not sure: that is not meant to open the gate.
    refused(
        &gate.octroi(["rollback"]),
        1,
        &[
            "`octroi rollback` went back from ",
            "new.toml, and what ran before runs",
            "octroi rollback --previous`",
        ],
    );
    refused(&gate.octroi(["rollback", "--previous"]), 1, &["none before the one that runs is kept in"]);
    gate.stop();
    gate.start_again();
    refused(&gate.octroi(["rollback"]), 1, &["`octroi rollback` went back from ", "new.toml, and what ran"]);

    apply(&gate, BLOCK_US, "1h").success();
    gate.octroi(["confirm"]).success();
    for (runs, passes, more) in
        [(BLOCK_CN, US, &[][..]), (BLOCK_US, CN, &["--previous"]), (BLOCK_CN, US, &["--previous"])]
    {
        let said = gate.octroi(["rollback"].iter().chain(more)).success();
        contains(
            &said,
            &["is the policy before the last, as it was at 20", "installed: the policy that runs now, as "],
        );
        assert_eq!(arriving(&lab, &BOTH), [passes]);
        assert_eq!(fs::read_to_string(gate.config()).expect("a file"), gate.text(runs));
        gate.kill();
        gate.start_again();
        refused(&gate.octroi(["rollback"]), 1, &["`octroi rollback` went back, and what ran before runs"]);
    }
    gate.reload().success();
    gate.kill();
    gate.start_again();
    assert_eq!(arriving(&lab, &BOTH), [US]);
    // A reload is a change, too, and what it read before is kept with its files.
    let list = gate.directory().join("listed.txt");
    fs::write(&list, "9.9.9.9\n").expect("a directory of ours");
    gate.write(LISTED);
    gate.reload().success();
    wait::until("kept", || kept(&gate).contains("listed.txt"));
    fs::remove_file(&list).expect("a file of ours");
    gate.octroi(["rollback"]).success();
    assert_eq!(arriving(&lab, &["9.9.9.9", CN]), ["9.9.9.9"]);
    gate.octroi(["rollback", "--previous"]).success();
    assert_eq!(arriving(&lab, &["9.9.9.9", CN]), [CN], "the list is gone, and kept");
    contains(&gate.octroi(["status"]).success(), &["COPIES", "and nothing is followed"]);
    // Now the file says so, and its list is not there.
    refused(&gate.reload(), 78, &["listed.txt", "which rule \"listed\" lists"]);
}

#[test]
fn rollback_comes_too_late_for_what_has_gone_and_skips_newer_files_of_the_same_policy() {
    let lab = Lab::new();
    let gate = Gate::start(&lab, "");
    let list = gate.directory().join("listed.txt");
    fs::write(&list, "9.9.9.9\n").expect("a directory of ours");
    gate.write(LISTED);
    gate.reload().success();
    let good = || serde_json::from_str(&kept(&gate)).unwrap_or(Value::Null)["good"]["files"].clone();
    wait::until("kept", || good().as_array().is_some_and(|files| files.len() == 1));
    let first = good();
    // What is in the list is no other policy.
    fs::write(&list, "9.9.9.9\n1.0.1.1\n").expect("a file of ours");
    gate.reload().success();
    wait::until("kept", || good() != first);
    assert_eq!(arriving(&lab, &["9.9.9.9", CN, US]), [US]);

    let late = |how: &str| {
        let words = [how, "new.toml", "and what ran before runs", "octroi rollback --previous"];
        refused(&gate.octroi(["rollback"]), 1, &words);
        assert_eq!(arriving(&lab, &["9.9.9.9", CN, US]), [US]);
    };
    apply(&gate, BLOCK_US, "1s").success();
    wait::until("back by itself", || gate.status()["pending_confirmation"].is_null());
    late("was not confirmed in time");
    refused(&apply(&gate, "x = ", "1h"), 78, &["not TOML"]);
    late("was refused");
    gate.octroi(["rollback", "--previous"]).success();
    assert_eq!(arriving(&lab, &["9.9.9.9", CN, US]), ["9.9.9.9", CN, US]);
}

#[test]
fn a_failed_reload_is_over_once_another_policy_was_meant_or_its_list_is_back() {
    let lab = Lab::new();
    let gate = Gate::prepare(&lab, Setup::new(LISTED));
    let list = gate.directory().join("listed.txt");
    let aside = gate.directory().join("aside");
    fs::write(&list, "9.9.9.9\n").expect("a directory of ours");
    let mut gate = gate;
    gate.start_again();
    let fine = || gate.metrics().get("octroi_config_last_reload_successful", &[]) == Some(1.0);
    fs::rename(&list, &aside).expect("files of ours");
    refused(&gate.reload(), 78, &["listed.txt"]);
    assert!(!fine());
    fs::rename(&aside, &list).expect("files of ours");
    wait::until("the list is back", fine);

    for end in [&["confirm"][..], &["rollback"], &["rollback", "--previous"]] {
        gate.write("[[rule]]\nname = \"cn\"\n");
        refused(&gate.reload(), 78, &["source"]);
        assert!(!fine());
        if end.len() == 1 {
            apply(&gate, &format!("{BLOCK_US}# {end:?}\n"), "1h").success();
        }
        gate.octroi(end).success();
        assert!(fine(), "{end:?}: {}", gate.status()["last_reload"]);
    }
}

/// What is kept of policies.
fn kept(gate: &Gate<'_>) -> String {
    fs::read_to_string(gate.state().join("policies.json")).unwrap_or_default()
}

#[test]
fn while_one_waits_nothing_else_changes_the_policy() {
    let lab = Lab::new();
    let gate = Gate::start(&lab, BLOCK_CN);
    apply(&gate, BLOCK_US, "1h").success();
    let words = ["new.toml waits for `octroi confirm` until 20", "octroi rollback` first"];
    refused(&gate.reload(), 1, &words);
    refused(&apply(&gate, "", "1h"), 1, &words);
    gate.signal(libc::SIGHUP);
    wait::until("refused, and said so", || gate.log().matches("reload: not now").count() == 2);
    assert_eq!((arriving(&lab, &BOTH), &gate.status()["generation"]), (vec![CN], &2.into()));
    gate.octroi(["rollback"]).success();
    gate.reload().success();
    assert_eq!(arriving(&lab, &BOTH), [US]);
}

#[test]
fn what_cannot_be_loaded_is_refused_with_the_file_s_own_name() {
    let lab = Lab::new();
    let gate = Gate::start(&lab, BLOCK_CN);
    let bad = |policy: &str, words: &[&str]| refused(&apply(&gate, policy, "60s"), 78, words);
    bad("[[rule]]\nname = \"cn\"\n", &["/new.toml:", "source"]);
    bad("x = ", &["/new.toml:", "not TOML"]);
    bad("[geoip]\ncountry = \"none.mmdb\"\n", &["none.mmdb", "No such file"]);
    bad(LISTED, &["listed.txt", "which rule \"listed\" lists"]);
    let missing = gate.octroi(["apply", "/none/new.toml"]);
    refused(
        &missing,
        78,
        &["/none/new.toml: not read: no such file; create it, or name another with octroi apply FILE"],
    );
    for (timeout, words) in [
        ("60", "has no unit"),
        ("0s", "shorter than a second"),
        ("2d", "longer than a day"),
        ("x", "not a duration"),
    ] {
        refused(&apply(&gate, BLOCK_US, timeout), 2, &[words]);
    }
    refused(&gate.octroi(["apply"]), 2, &["FILE"]);
    let long = format!("# {}\n", "a".repeat(4 << 20));
    refused(&apply(&gate, &long, "60s"), 1, &["4194304 at most", "lists"]);
    assert_eq!((arriving(&lab, &BOTH), &gate.status()["generation"]), (vec![US], &1.into()));
    assert_eq!(gate.status()["pending_confirmation"], Value::Null);

    // Nearly as long as it may be, and all line ends.
    let long = format!("{BLOCK_US}{}", "\n".repeat(4_190_000));
    apply(&gate, &long, "1h").success();
    assert_eq!(arriving(&lab, &BOTH), [CN]);
    let warned = gate.octroi(["rollback"]).success();
    assert!(!warned.contains("warning"), "{warned}");
}

#[test]
fn what_holds_until_a_restart_is_said_and_interfaces_follow_both_ways() {
    let mut lab = Lab::new();
    lab.add_pair();
    let gate = Gate::start(&lab, BLOCK_CN);
    let text = gate.text(BLOCK_CN).replace("\"gate0\"", "\"gate1\"").replace(":9462", ":9463");
    let path = gate.directory().join("new.toml");
    fs::write(&path, text).expect("a directory of ours");
    let attached = |name: &str| lab.inside.link(name).get("xdp").is_some();
    let said = gate.octroi(["apply", &path.display().to_string(), "--confirm-timeout", "3s"]).success();
    contains(&said, &["warning: changed, but in force only after a restart: [metrics] listen"]);
    assert!(!attached("gate0") && attached("gate1"), "{}", gate.describe());
    refused(&gate.octroi(["rollback", "--previous"]), 1, &["new.toml waits for `octroi confirm`"]);
    wait::until("back", || gate.status()["generation"] == 3);
    assert!(attached("gate0") && !attached("gate1"), "{}", gate.describe());
    assert_eq!(arriving(&lab, &BOTH), [US]);
}

#[test]
fn a_mistyped_interface_opens_nothing_and_what_a_restart_moves_is_not_applied() {
    let lab = Lab::new();
    let gate = Gate::start(&lab, BLOCK_CN);
    let path = gate.directory().join("new.toml");
    let policy = |from: &str, to: &str| {
        let text = gate.text(BLOCK_CN);
        assert!(text.contains(from), "{text}");
        fs::write(&path, text.replace(from, to)).expect("a file of ours");
        path.display().to_string()
    };
    let mistyped = policy("\"gate0\"", "\"gaet0\"");
    let words = [
        "hold interfaces: gate0, where nothing would be filtered any more, for \"gaet0\" (did you mean \"gate0\"?), which is \
         not there",
    ];
    let apply = |file: &str, more: &[&str]| gate.octroi(["apply", file].iter().chain(more));
    refused(&apply(&mistyped, &[]), 1, &[words[0], "`octroi apply --force` takes it"]);
    fs::copy(&mistyped, gate.config()).expect("files of ours");
    refused(&gate.reload(), 1, &[words[0], "`octroi reload --accept` takes it"]);
    assert_eq!(arriving(&lab, &BOTH), [US]);
    gate.write(BLOCK_CN);
    apply(&mistyped, &["--force"]).success();
    assert_eq!(arriving(&lab, &BOTH), BOTH, "as he insists");
    gate.octroi(["rollback"]).success();
    assert_eq!(arriving(&lab, &BOTH), [US]);

    let socket = gate.directory().join("octroi.sock").display().to_string();
    let moved = policy(&socket, "/run/octroi/elsewhere.sock");
    let refusal =
        format!("refused, since it moves [control] socket from {socket} to /run/octroi/elsewhere.sock");
    refused(&apply(&moved, &["--force"]), 1, &[&refusal, "takes a restart"]);
    let state = policy("[control]\n", "[control]\n# Moved.\n");
    apply(&state, &[]).success();
    gate.octroi(["rollback"]).success();
    let text = fs::read_to_string(gate.config()).expect("a file of ours");
    fs::write(gate.config(), text.replace("/state\"", "/elsewhere\"")).expect("a file of ours");
    let said = gate.reload().success();
    contains(&said, &["[control] state; leases and former policies stay in ", "/state: stop octroi, move"]);
    assert_eq!(arriving(&lab, &BOTH), [US]);
}

#[test]
fn a_confirmed_policy_that_cannot_be_installed_counts_until_the_file_changes() {
    let lab = Lab::new();
    let mut gate = Gate::start(&lab, BLOCK_CN);
    // In the way of what is renamed into its place.
    let in_the_way = gate.directory().join("octroi.toml.new");
    fs::create_dir(&in_the_way).expect("a directory of ours");
    apply(&gate, BLOCK_US, "3s").success();
    let said = gate.octroi(["confirm"]).success();
    contains(
        &said,
        &["confirmed: ", "warning: ", "octroi.toml does not say so", "write ", "new.toml into it"],
    );
    assert_eq!(fs::read_to_string(gate.config()).expect("a file"), gate.text(BLOCK_CN));
    let told = gate.reload().success();
    contains(
        &told,
        &["octroi.toml does not count, since it does not say what was applied and confirmed after it"],
    );
    contains(&told, &["reloaded: the policy that counts in place of ", "octroi.toml"]);
    contains(
        &gate.octroi(["status"]).success(),
        &["IGNORED", "octroi.toml does not count, since it does not say"],
    );
    assert_eq!(gate.metrics().get("octroi_config_ignored", &[]), Some(1.0));
    assert_eq!(arriving(&lab, &BOTH), [CN]);
    gate.kill();
    gate.start_again();
    assert_eq!(arriving(&lab, &BOTH), [CN]);
    contains(&gate.log(), &["octroi.toml does not count"]);
    fs::remove_dir(&in_the_way).expect("made above");
    gate.write(&format!("# Touched.\n{BLOCK_CN}"));
    gate.reload().success();
    assert_eq!(arriving(&lab, &BOTH), [US]);
    contains(&gate.log(), &["it counts again"]);
    assert!(!gate.reload().success().contains("count"));
    assert_eq!(gate.metrics().get("octroi_config_ignored", &[]), Some(0.0));
}

#[test]
fn a_configuration_that_was_changed_after_the_apply_is_left_alone() {
    let lab = Lab::new();
    let gate = Gate::start(&lab, BLOCK_CN);
    apply(&gate, BLOCK_US, "1h").success();
    gate.write("");
    let said = gate.octroi(["confirm"]).success();
    contains(
        &said,
        &["confirmed: ", "warning: ", "was changed since it was last loaded, so it stays as it is"],
    );
    assert_eq!(fs::read_to_string(gate.config()).expect("a file"), gate.text(""));
    assert_eq!(arriving(&lab, &BOTH), [CN]);
    gate.reload().success();
    assert_eq!(arriving(&lab, &BOTH), BOTH, "the file counts");
    let good = || {
        let kept: Value = serde_json::from_str(&kept(&gate)).unwrap_or_default();
        kept["good"]["text"].as_str().unwrap_or_default().to_owned()
    };
    wait::until("kept", || !good().is_empty() && !good().contains("us"));
    gate.write(BLOCK_CN);
    let said = gate.octroi(["rollback"]).success();
    contains(&said, &["is the policy before the last", "was changed since it was last loaded"]);
    assert_eq!(arriving(&lab, &BOTH), [CN]);
    gate.reload().success();
    assert_eq!(arriving(&lab, &BOTH), [US], "the file counts");
}

#[test]
fn no_packet_is_lost_or_slips_past_while_policies_come_and_go() {
    let lab = Lab::new();
    let mut traffic = Traffic::new(&lab);
    let gate = Gate::start(&lab, BLOCK_CN);
    traffic.during(|| {
        // Others that drop China, with other classes and outcomes.
        for round in 0..6 {
            apply(&gate, &format!("{BLOCK_CN}[policy]\nlocal = \"rules\"\n# {round}\n"), "1h").success();
            match round % 3 {
                0 => gate.octroi(["rollback"]).success(),
                1 => gate.octroi(["confirm"]).success(),
                _ => gate.octroi(["rollback"]).success() + &gate.octroi(["rollback", "--previous"]).success(),
            };
        }
    });
    traffic.check(&gate);
}

#[test]
fn what_was_there_before_a_confirmed_policy_counts_when_it_is_put_back() {
    let lab = Lab::new();
    let gate = Gate::start(&lab, BLOCK_CN);
    apply(&gate, BLOCK_US, "1h").success();
    gate.octroi(["confirm"]).success();
    assert_eq!(arriving(&lab, &BOTH), [CN]);
    // The same bytes, by the same name, as a backup or git puts them back.
    let mut previous = gate.config().into_os_string();
    previous.push(".previous");
    fs::rename(previous, gate.config()).expect("files of ours");
    let said = gate.reload().success();
    assert!(!said.contains("does not count"), "{said}");
    assert_eq!(arriving(&lab, &BOTH), [US]);
    // The same after going back.
    gate.octroi(["rollback"]).success();
    assert_eq!(arriving(&lab, &BOTH), [CN]);
    gate.write(BLOCK_CN);
    gate.reload().success();
    assert_eq!(arriving(&lab, &BOTH), [US]);
}
