//! Databases and lists whose files change under a running gate: taken by themselves, held, or left alone.

use std::{
    fs,
    net::Ipv4Addr,
    os::unix::fs::symlink,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use maxminddb_writer::{Database as Writer, metadata::IpVersion};
use octroi_tests::{
    files::replace,
    gate::{Gate, Setup},
    netns::Lab,
    traffic::lets_in,
    world::whole,
};

const BLOCK_CN: &str = "[[rule]]\nname = \"cn\"\nsource = { country = [\"CN\"] }\naction = \"drop\"\n";

/// A small database: two networks of China, one of them as large as a city, and others.
const FIRST: &str =
    "1.0.1.0,1.0.1.255,CN\n1.4.0.0,1.4.255.255,CN\n8.8.8.0,8.8.8.255,US\n9.0.0.0,9.255.255.255,US\n";

/// With one more network of China, which is too few to doubt.
fn second() -> String {
    format!("{FIRST}1.0.2.0,1.0.3.255,CN\n")
}

/// Without China.
const WITHOUT: &str = "8.8.8.0,8.8.8.255,US\n9.0.0.0,9.255.255.255,US\n";

/// A gate whose country database is a file of that text.
fn gate<'lab>(lab: &'lab Lab, text: &str, policy: &str) -> (Gate<'lab>, PathBuf) {
    let mut gate = Gate::prepare(lab, Setup::new(""));
    let path = gate.directory().join("country.csv");
    replace(&path, text);
    gate.write(&format!("[geoip]\ncountry = {path:?}\n{policy}"));
    gate.start_again();
    (gate, path)
}

fn generation(gate: &Gate<'_>) -> u64 {
    gate.status()["generation"].as_u64().expect("a number")
}

#[track_caller]
fn wait_for(gate: &Gate<'_>, what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(30), "not within 30 s: {what}\n{}", gate.describe());
        thread::sleep(Duration::from_millis(100));
    }
}

#[track_caller]
fn wait_for_generation(gate: &Gate<'_>, number: u64) {
    wait_for(gate, &format!("generation {number}"), || generation(gate) == number);
}

/// Longer than files have to keep still, and than a look takes to come round.
fn settle() {
    thread::sleep(Duration::from_secs(9));
}

#[test]
fn a_database_that_is_renamed_over_the_old_one_takes_hold_by_itself() {
    let lab = Lab::new();
    let (gate, path) = gate(&lab, FIRST, BLOCK_CN);
    assert!(!lets_in(&lab, lab.pair(), "1.0.1.1") && lets_in(&lab, lab.pair(), "1.0.2.1"));
    replace(&path, second());
    wait_for_generation(&gate, 2);
    assert!(!lets_in(&lab, lab.pair(), "1.0.1.1") && !lets_in(&lab, lab.pair(), "1.0.2.1"));
    let status = gate.status();
    assert_eq!(status["last_reload"]["result"], "success", "{status}");
    assert_eq!(status["held"], serde_json::json!([]), "{status}");
    assert_eq!(gate.metrics().sum("octroi_reloads_total", &[("result", "success")]), 2.0);
    assert_eq!(gate.metrics().sum("octroi_geoip_held", &[("database", "country")]), 0.0);
}

#[test]
fn a_database_that_is_written_in_place_takes_hold_once_it_is_whole() {
    let lab = Lab::new();
    let (gate, path) = gate(&lab, FIRST, BLOCK_CN);
    let text = second();
    // Half of it is a valid file with less in it; the writer pauses for longer than files have to keep still.
    let (begin, end) = text.split_at(text.find("9.0.0.0").expect("a line"));
    let mut file = fs::File::create(&path).expect("a file of ours");
    std::io::Write::write_all(&mut file, begin.as_bytes()).expect("a file of ours");
    thread::sleep(Duration::from_secs(5));
    assert_eq!(generation(&gate), 1, "{}", gate.log());
    std::io::Write::write_all(&mut file, end.as_bytes()).expect("a file of ours");
    drop(file);
    wait_for_generation(&gate, 2);
    assert!(!lets_in(&lab, lab.pair(), "1.0.1.1") && !lets_in(&lab, lab.pair(), "1.0.2.1"));
    assert!(!gate.log().contains("ERROR"), "{}", gate.log());
}

#[test]
fn a_list_that_somebody_has_open_is_never_taken_and_that_is_reported_and_closed_it_is_taken() {
    let lab = Lab::new();
    let mut gate = Gate::prepare(&lab, Setup::new(""));
    let list = gate.directory().join("blocked.txt");
    let line = |number: u32| format!("1.{}.{}.0/24\n", number / 256, number % 256);
    let text: String = (1..=400).map(line).collect();
    fs::write(&list, &text).expect("a directory of ours");
    gate.write("[[rule]]\nname = \"listed\"\nsource = { list = [\"blocked.txt\"] }\naction = \"drop\"\n");
    gate.start_again();
    // Of its last network, and of none.
    let (last, new) = ("1.1.144.1", "9.9.9.9");
    assert!(!lets_in(&lab, lab.pair(), last) && lets_in(&lab, lab.pair(), new));
    // As valid as the whole.
    let (begin, end) = text.split_at(text.find(&line(300)).expect("a line"));
    let mut file = fs::File::create(&list).expect("a file of ours");
    std::io::Write::write_all(&mut file, begin.as_bytes()).expect("a file of ours");
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(58) {
        thread::sleep(Duration::from_secs(2));
        assert_eq!(generation(&gate), 1, "after {:?}\n{}", begun.elapsed(), gate.log());
        assert!(!lets_in(&lab, lab.pair(), last), "after {:?}", begun.elapsed());
    }
    wait_for(&gate, "reported", || gate.status()["last_reload"]["result"] == "failure");
    let error = gate.status()["last_reload"]["error"].as_str().expect("a text").to_owned();
    assert!(error.contains("blocked.txt: still being written since 20"), "{error}");
    assert!(error.contains("replace it by renaming a whole file over it"), "{error}");
    settle();
    assert_eq!((generation(&gate), gate.log().matches("still being written").count()), (1, 1));
    for more in [end, "9.9.9.9\n"] {
        std::io::Write::write_all(&mut file, more.as_bytes()).expect("a file of ours");
    }
    drop(file);
    wait_for_generation(&gate, 2);
    assert!(!lets_in(&lab, lab.pair(), last) && !lets_in(&lab, lab.pair(), new));
    assert_eq!(gate.status()["last_reload"]["result"], "success");
}

#[test]
fn content_that_is_the_same_makes_no_generation() {
    let lab = Lab::new();
    let (gate, path) = gate(&lab, FIRST, BLOCK_CN);
    replace(&path, FIRST);
    settle();
    fs::write(&path, FIRST).expect("a file of ours");
    settle();
    let status = gate.status();
    assert_eq!((&status["generation"], &status["reloads"]["success"]), (&1.into(), &1.into()), "{status}");
    assert_eq!(status["last_reload"]["result"], "success", "{status}");
    replace(&path, second());
    wait_for_generation(&gate, 2);
}

#[test]
fn a_database_that_is_removed_leaves_the_gate_as_it_is_and_is_reported_and_put_back_it_is_taken() {
    let lab = Lab::new();
    let (gate, path) = gate(&lab, FIRST, BLOCK_CN);
    fs::remove_file(&path).expect("a file of ours");
    thread::sleep(Duration::from_secs(5));
    assert_eq!(gate.status()["last_reload"]["result"], "success", "missing for a moment is no error");
    wait_for(&gate, "reported", || gate.status()["last_reload"]["result"] == "failure");
    let error = gate.status()["last_reload"]["error"].as_str().expect("a text").to_owned();
    assert!(error.contains("country.csv: No such file"), "{error}");
    assert_eq!(generation(&gate), 1);
    assert!(!lets_in(&lab, lab.pair(), "1.0.1.1") && lets_in(&lab, lab.pair(), "1.0.2.1"));
    assert_eq!(gate.metrics().sum("octroi_config_last_reload_successful", &[]), 0.0);
    assert_eq!(gate.metrics().sum("octroi_reloads_total", &[("result", "failure")]), 1.0);
    assert_eq!(gate.health(), 200);

    // The same again is no generation, and the trouble is over.
    replace(&path, FIRST);
    wait_for(&gate, "over", || gate.status()["last_reload"]["result"] == "success");
    assert_eq!(generation(&gate), 1);
    fs::remove_file(&path).expect("a file of ours");
    thread::sleep(Duration::from_secs(3));
    replace(&path, second());
    wait_for_generation(&gate, 2);
    assert!(!lets_in(&lab, lab.pair(), "1.0.2.1"));
    let failures = gate.metrics().sum("octroi_reloads_total", &[("result", "failure")]);
    assert_eq!(failures, 1.0, "{}", gate.log());
}

#[test]
fn a_link_that_is_switched_leads_to_the_new_database() {
    let lab = Lab::new();
    let mut gate = Gate::prepare(&lab, Setup::new(""));
    let place = |name: &str| gate.directory().join(name);
    for (month, text) in [("october", FIRST.to_owned()), ("november", second())] {
        fs::create_dir(place(month)).expect("a directory of ours");
        fs::write(place(month).join("country.csv"), text).expect("a directory of ours");
    }
    let (current, next) = (place("current"), place("next"));
    let policy = format!("[geoip]\ncountry = {:?}\n{BLOCK_CN}", current.join("country.csv"));
    symlink("october", &current).expect("a directory of ours");
    gate.write(&policy);
    gate.start_again();
    assert!(lets_in(&lab, lab.pair(), "1.0.2.1"));
    symlink("november", &next).expect("a directory of ours");
    fs::rename(&next, &current).expect("a directory of ours");
    wait_for_generation(&gate, 2);
    assert!(!lets_in(&lab, lab.pair(), "1.0.2.1"));
}

#[test]
fn a_list_is_followed_too_and_a_line_that_is_none_leaves_the_gate_as_it_is() {
    let lab = Lab::new();
    let mut gate = Gate::prepare(&lab, Setup::new(""));
    let list = gate.directory().join("blocked.txt");
    fs::write(&list, "1.0.1.0/24\n").expect("a directory of ours");
    let rule = "[[rule]]\nname = \"listed\"\nsource = { list = [\"blocked.txt\"] }\naction = \"drop\"\n";
    gate.write(rule);
    gate.start_again();
    assert!(!lets_in(&lab, lab.pair(), "1.0.1.1") && lets_in(&lab, lab.pair(), "1.0.2.1"));
    fs::write(&list, "1.0.2.0/24\n").expect("a file of ours");
    wait_for_generation(&gate, 2);
    assert!(lets_in(&lab, lab.pair(), "1.0.1.1") && !lets_in(&lab, lab.pair(), "1.0.2.1"));
    fs::write(&list, "1.0.2.0/24\n1.0.3\n").expect("a file of ours");
    wait_for(&gate, "reported", || gate.status()["last_reload"]["result"] == "failure");
    assert!(gate.log().contains("blocked.txt:2: network \"1.0.3\""), "{}", gate.log());
    assert!(lets_in(&lab, lab.pair(), "1.0.1.1") && !lets_in(&lab, lab.pair(), "1.0.2.1"));
    fs::write(&list, "1.0.1.0/24\n").expect("a file of ours");
    wait_for_generation(&gate, 3);
    assert!(!lets_in(&lab, lab.pair(), "1.0.1.1") && lets_in(&lab, lab.pair(), "1.0.2.1"));
}

#[test]
fn a_list_that_loses_more_than_half_is_held_until_somebody_reloads_or_it_changes() {
    let lab = Lab::new();
    let mut gate = Gate::prepare(&lab, Setup::new(""));
    let (list, other) = (gate.directory().join("blocked.txt"), gate.directory().join("few.txt"));
    replace(&list, "1.0.1.0/24\n1.0.2.0/24\n1.0.3.0/24\n");
    replace(&other, "9.9.9.8\n9.9.9.9\n");
    let rule = "[[rule]]\nname = \"listed\"\nsource = { list = [\"blocked.txt\", \"few.txt\"] }\naction = \"drop\"\n";
    gate.write(rule);
    gate.start_again();
    let held = || gate.status()["held"].clone();
    let none = serde_json::json!([]);

    replace(&list, "1.0.1.0/24\n");
    wait_for(&gate, "held", || held() != none);
    let one = held()[0].clone();
    assert_eq!((&one["database"], &one["path"]), (&"list".into(), &list.display().to_string().into()));
    assert_eq!(one["reason"], "it goes from 768 to 256 IPv4 addresses (-66.6 %, limit 50 %)");
    assert_eq!(generation(&gate), 1);
    assert!(!lets_in(&lab, lab.pair(), "1.0.3.1"));
    assert_eq!(gate.metrics().sum("octroi_geoip_held", &[("database", "list")]), 1.0);
    assert!(gate.octroi(["status"]).success().contains("HELD"));
    settle();
    assert!(gate.log().contains("; `octroi reload` takes it"), "{}", gate.log());
    assert_eq!(gate.log().matches("hold the list").count(), 1, "{}", gate.log());

    // It comes back: nobody needs to say anything.
    replace(&list, "1.0.1.0/24\n1.0.2.0/24\n1.0.4.0/24\n");
    wait_for_generation(&gate, 2);
    assert!(lets_in(&lab, lab.pair(), "1.0.3.1") && !lets_in(&lab, lab.pair(), "1.0.4.1"));
    assert_eq!(held(), none);
    // A third of it is what lists lose; and a ban that ends, half of a short one.
    replace(&list, "1.0.1.0/24\n1.0.2.0/24\n");
    wait_for_generation(&gate, 3);
    replace(&other, "9.9.9.9\n");
    wait_for_generation(&gate, 4);

    // Of both, one after the other, nothing is left.
    fs::write(&other, "").expect("a file of ours");
    wait_for(&gate, "held", || held() != none);
    assert_eq!(held()[0]["reason"], "it goes from 1 to 0 IPv4 addresses (-100.0 %, limit 50 %)");
    fs::write(&list, "# nothing\n").expect("a file of ours");
    wait_for(&gate, "both held", || held().as_array().is_some_and(|held| held.len() == 2));
    assert!(!lets_in(&lab, lab.pair(), "1.0.1.1") && !lets_in(&lab, lab.pair(), "9.9.9.9"));
    // Whoever reloads says so.
    gate.reload().success();
    assert_eq!((generation(&gate), held()), (5, none));
    assert!(lets_in(&lab, lab.pair(), "1.0.1.1") && lets_in(&lab, lab.pair(), "9.9.9.9"));
    assert_eq!(gate.metrics().sum("octroi_geoip_held", &[("database", "list")]), 0.0);

    // Where whatever comes is to be taken, lists are no exception.
    replace(&list, "1.0.1.0/24\n");
    wait_for_generation(&gate, 6);
    gate.write(&format!("[geoip]\nmax_change = \"any\"\n{rule}"));
    gate.reload().success();
    replace(&list, "");
    wait_for_generation(&gate, 8);
    assert!(lets_in(&lab, lab.pair(), "1.0.1.1"));
}

#[test]
fn a_database_without_a_country_that_is_blocked_is_held_until_it_is_accepted() {
    let lab = Lab::new();
    let (gate, path) = gate(&lab, FIRST, BLOCK_CN);
    replace(&path, WITHOUT);
    wait_for(&gate, "held", || gate.status()["held"] != serde_json::json!([]));
    let status = gate.status();
    let held = &status["held"][0];
    assert_eq!((&held["database"], &held["path"]), (&"country".into(), &path.display().to_string().into()));
    let reason = held["reason"].as_str().expect("a text");
    assert_eq!(reason, "CN (China) goes from 65792 to 0 IPv4 addresses (-100.0 %, limit 30 %)");
    assert!(held["since"].as_str().is_some_and(|since| since.starts_with("20")), "{held}");
    assert_eq!((&status["generation"], &status["last_reload"]["result"]), (&1.into(), &"failure".into()));
    assert!(!lets_in(&lab, lab.pair(), "1.0.1.1"));
    assert_eq!(gate.metrics().sum("octroi_geoip_held", &[("database", "country")]), 1.0);
    assert_eq!(gate.metrics().sum("octroi_geoip_held", &[("database", "asn")]), 0.0);
    assert!(gate.octroi(["status"]).success().contains("HELD"), "{status}");

    // Asked for, it is held for the same reason; said once.
    let refused = gate.reload();
    assert_eq!(refused.status.code(), Some(1), "{refused}");
    assert!(
        refused.stderr.contains(reason) && refused.stderr.contains("octroi reload --accept"),
        "{refused}"
    );
    settle();
    assert_eq!(gate.status()["held"][0]["since"], held["since"]);
    // By the one who looked at the file, and by the one who was asked.
    assert_eq!(gate.log().matches("hold the country database").count(), 2, "{}", gate.log());
    assert!(!lets_in(&lab, lab.pair(), "1.0.1.1"));

    let accepted = gate.octroi(["reload", "--accept"]).success();
    assert!(accepted.contains("accepted the country database") && accepted.contains(reason), "{accepted}");
    let status = gate.status();
    assert_eq!((&status["generation"], &status["held"]), (&2.into(), &serde_json::json!([])), "{status}");
    assert!(lets_in(&lab, lab.pair(), "1.0.1.1"));
    assert_eq!(gate.metrics().sum("octroi_geoip_held", &[("database", "country")]), 0.0);
}

#[test]
fn what_was_held_is_forgotten_when_a_good_database_comes() {
    let lab = Lab::new();
    let (gate, path) = gate(&lab, FIRST, BLOCK_CN);
    replace(&path, WITHOUT);
    wait_for(&gate, "held", || gate.status()["held"] != serde_json::json!([]));
    replace(&path, FIRST);
    wait_for(&gate, "over", || gate.status()["held"] == serde_json::json!([]));
    let status = gate.status();
    assert_eq!((&status["generation"], &status["last_reload"]["result"]), (&1.into(), &"success".into()));
    replace(&path, WITHOUT);
    wait_for(&gate, "held again", || gate.status()["held"] != serde_json::json!([]));
    replace(&path, second());
    wait_for_generation(&gate, 2);
    let status = gate.status();
    assert_eq!(
        (&status["held"], &status["last_reload"]["result"]),
        (&serde_json::json!([]), &"success".into())
    );
    assert!(!lets_in(&lab, lab.pair(), "1.0.1.1") && !lets_in(&lab, lab.pair(), "1.0.2.1"));
}

#[test]
fn an_older_database_is_held_and_a_key_takes_whatever_comes() {
    let lab = Lab::new();
    let (gate, path) = gate(&lab, FIRST, BLOCK_CN);
    let older = path.with_extension("older");
    fs::write(&older, second()).expect("a directory of ours");
    let file = fs::File::options().append(true).open(&older).expect("a file of ours");
    let then = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    file.set_modified(then).expect("a file of ours");
    fs::rename(&older, &path).expect("a directory of ours");
    wait_for(&gate, "held", || gate.status()["held"] != serde_json::json!([]));
    let reason = gate.status()["held"][0]["reason"].as_str().expect("a text").to_owned();
    assert!(reason.starts_with("it was built 2023-11-14T22:13:20Z, and the one that runs 20"), "{reason}");
    assert!(lets_in(&lab, lab.pair(), "1.0.2.1"));

    gate.write(&format!("[geoip]\ncountry = {path:?}\nmax_change = \"any\"\n{BLOCK_CN}"));
    gate.reload().success();
    assert!(!lets_in(&lab, lab.pair(), "1.0.2.1"));
    replace(&path, WITHOUT);
    wait_for_generation(&gate, 3);
    assert!(lets_in(&lab, lab.pair(), "1.0.1.1"));
}

#[test]
fn files_that_are_not_followed_wait_for_a_reload_as_the_configuration_does() {
    let lab = Lab::new();
    let (gate, path) = gate(&lab, FIRST, &format!("follow = false\n{BLOCK_CN}"));
    replace(&path, second());
    settle();
    assert_eq!(generation(&gate), 1);
    gate.reload().success();
    assert!(!lets_in(&lab, lab.pair(), "1.0.2.1"));

    // A policy changes when somebody says so: what the file holds by now is not read with the databases.
    gate.write(&format!("[geoip]\ncountry = {path:?}\n"));
    settle();
    assert_eq!(generation(&gate), 2);
    gate.reload().success();
    assert!(lets_in(&lab, lab.pair(), "1.0.1.1"));
    gate.write("[geoip]\ncountry = 3\n");
    replace(&path, FIRST);
    wait_for_generation(&gate, 4);
    assert_eq!(gate.status()["last_reload"]["result"], "success");
    assert_eq!(gate.reload().status.code(), Some(78));
    replace(&path, second());
    wait_for_generation(&gate, 5);
    assert_eq!(gate.status()["last_reload"]["result"], "failure", "that was about the configuration");
}

#[test]
fn the_table_of_the_world_without_one_small_country_is_held_and_with_it_taken() {
    let lab = Lab::new();
    let rule = "[[rule]]\nname = \"few\"\nsource = { country = [\"KP\"] }\naction = \"drop\"\n";
    let (gate, path) = gate(&lab, &whole("FR"), rule);
    assert!(!lets_in(&lab, lab.pair(), "175.45.176.1"));
    replace(&path, whole("KP"));
    wait_for(&gate, "held", || gate.status()["held"] != serde_json::json!([]));
    let reason = gate.status()["held"][0]["reason"].as_str().expect("a text").to_owned();
    assert!(reason.starts_with("KP (North Korea) goes from 3744 to 0 IPv4 addresses (-100.0 %"), "{reason}");
    assert!(!lets_in(&lab, lab.pair(), "175.45.176.1"));
    // France comes back: no rule names it, and it is two in a hundred.
    replace(&path, whole(""));
    wait_for_generation(&gate, 2);
    assert!(!lets_in(&lab, lab.pair(), "175.45.176.1"));
    assert_eq!(gate.status()["held"], serde_json::json!([]));
}

/// An MMDB file of IPv4 networks, built at that time.
fn mmdb(built: u64, networks: &[(Ipv4Addr, usize, &str)]) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.metadata.ip_version = IpVersion::V4;
    writer.metadata.database_type = "Test-Country".to_owned();
    writer.metadata.binary_format_major_version = 2;
    writer.metadata.build_epoch = built;
    writer.metadata.description.insert("en".to_owned(), "made for a test".to_owned());
    for &(address, length, code) in networks {
        let data = writer.insert_value(serde_json::json!({"country": {"iso_code": code}})).expect("a record");
        let bits: Vec<bool> = (0..length).map(|bit| address.to_bits() >> (31 - bit) & 1 == 1).collect();
        writer.insert_node(bits.into_iter(), data);
    }
    writer.write_to(Vec::new()).expect("write into memory")
}

#[test]
fn an_mmdb_file_is_taken_when_it_is_newer_held_when_it_is_older_and_left_when_it_is_cut_short() {
    let lab = Lab::new();
    let mut gate = Gate::prepare(&lab, Setup::new(""));
    let path = gate.directory().join("country.mmdb");
    let networks = [(Ipv4Addr::new(1, 0, 1, 0), 24, "CN"), (Ipv4Addr::new(8, 8, 8, 0), 24, "US")];
    let more = [networks.as_slice(), &[(Ipv4Addr::new(1, 0, 2, 0), 24, "CN")]].concat();
    replace(&path, mmdb(1_760_000_000, &networks));
    gate.write(&format!("[geoip]\ncountry = {path:?}\n{BLOCK_CN}"));
    gate.start_again();

    replace(&path, mmdb(1_750_000_000, &more));
    wait_for(&gate, "held", || gate.status()["held"] != serde_json::json!([]));
    let reason = gate.status()["held"][0]["reason"].as_str().expect("a text").to_owned();
    assert_eq!(reason, "it was built 2025-06-15T15:06:40Z, and the one that runs 2025-10-09T08:53:20Z");
    assert!(lets_in(&lab, lab.pair(), "1.0.2.1"));

    let newer = mmdb(1_770_000_000, &more);
    replace(&path, &newer[..newer.len() / 2]);
    wait_for(&gate, "reported", || gate.log().contains("country.mmdb is not a valid database"));
    assert_eq!((generation(&gate), &gate.status()["held"]), (1, &serde_json::json!([])));
    assert!(!lets_in(&lab, lab.pair(), "1.0.1.1") && lets_in(&lab, lab.pair(), "1.0.2.1"));

    replace(&path, newer);
    wait_for_generation(&gate, 2);
    assert!(!lets_in(&lab, lab.pair(), "1.0.1.1") && !lets_in(&lab, lab.pair(), "1.0.2.1"));
    assert_eq!(gate.status()["databases"][0]["built"], "2026-02-02T02:40:00Z");
}
