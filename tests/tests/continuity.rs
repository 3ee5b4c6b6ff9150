//! Daemons come and go under traffic, by every way there is: nobody gets through, nobody is lost, and counting goes on.
#![allow(clippy::print_stderr, reason = "figures of a test")]

use std::{fs, path::Path, thread, time::Duration};

use octroi_tests::{
    gate::{Gate, Setup},
    netns::Lab,
    policy::AGREEING,
    traffic::Traffic,
    wait,
    world::whole,
};

const RESTARTS: usize = 50;
const KILLS: usize = 20;
const UPDATES: usize = 5;

/// The next policy in turn.
fn turn(gate: &Gate<'_>, number: usize) {
    gate.write(AGREEING[number % 2]);
}

fn under(mode: &str, what: &str, work: impl FnOnce(&mut Gate<'_>)) {
    let lab = Lab::new();
    let mut traffic = Traffic::new(&lab);
    let mut gate = Gate::start_with(&lab, Setup { mode: mode.into(), ..Setup::new(AGREEING[0]) });
    traffic.during(|| work(&mut gate));
    eprintln!("{mode}, {what}: {}", traffic.check(&gate));
}

#[test]
fn restarts_open_nothing_and_lose_no_count() {
    under("native", "50 restarts", |gate| {
        for number in 1..=RESTARTS {
            assert!(gate.stop().success(), "{}", gate.describe());
            turn(gate, number);
            gate.start_again();
        }
    });
}

#[test]
fn kills_at_any_moment_open_nothing_and_lose_no_count() {
    under("native", "20 times kill -9", |gate| {
        // At moments from 0 to 190 ms after a start or a reload began: while it reads, builds, loads, steps, and after it; and
        // while it ends.
        for number in 1..=KILLS {
            let moment = Duration::from_millis(number as u64 * 10 - 10);
            turn(gate, number);
            match number % 5 {
                0 => {
                    gate.signal(libc::SIGTERM);
                    thread::sleep(moment / 50);
                }
                1 | 3 => {
                    gate.signal(libc::SIGHUP);
                    thread::sleep(moment);
                }
                _ => {
                    gate.kill();
                    gate.start_and_kill(moment);
                }
            }
            gate.kill();
            gate.start_again();
        }
    });
}

#[test]
fn a_restart_in_generic_mode_opens_nothing_and_loses_no_count() {
    under("generic", "5 restarts", |gate| {
        for number in 1..=5 {
            assert!(gate.stop().success(), "{}", gate.describe());
            turn(gate, number);
            gate.start_again();
        }
    });
}

#[test]
fn an_upgrade_takes_over_what_another_version_pinned() {
    under("native", "an upgrade", |gate| {
        for number in [990, 991] {
            gate.stop();
            let version = gate.pins().join(format!("v{}", octroi_abi::ABI_VERSION));
            fs::rename(&version, gate.pins().join(format!("v{number}"))).expect("a directory of ours");
            turn(gate, number);
            gate.start_again();
            let names: Vec<_> = fs::read_dir(gate.pins()).expect("it is there").flatten().collect();
            assert_eq!(names.len(), 1, "nothing is left in the other version's directory: {names:?}");
        }
    });
}

#[test]
fn databases_that_are_updated_open_nothing_and_lose_no_count() {
    let lab = Lab::new();
    let mut traffic = Traffic::new(&lab);
    let mut gate = Gate::prepare(&lab, Setup::new(""));
    let (path, new) = (gate.directory().join("country.csv"), gate.directory().join("country.csv.new"));
    // Of a country that no rule names.
    let versions = [whole("LI"), whole("")];
    fs::write(&path, &versions[1]).expect("a directory of ours");
    gate.write(&format!("[geoip]\ncountry = {path:?}\n{}", AGREEING[0]));
    gate.start_again();
    traffic.during(|| {
        for number in 0..UPDATES {
            fs::write(&new, &versions[number % 2]).expect("a directory of ours");
            fs::rename(&new, &path).expect("within a directory of ours");
            wait::until("taken by itself", || gate.status()["generation"] == number + 2);
        }
    });
    eprintln!("native, {UPDATES} updates of the country database: {}", traffic.check(&gate));
}

#[test]
fn counters_that_nobody_can_read_are_left_behind() {
    let lab = Lab::new();
    let mut gate = Gate::start(&lab, AGREEING[0]);
    gate.stop();
    let meaning = pin(&gate, "meaning-netns-");
    fs::remove_file(meaning).expect("a pin of ours");
    gate.start_again();
    assert!(pin(&gate, "counters-netns-").exists() && pin(&gate, "meaning-netns-").exists());
    gate.stop();
    gate.octroi(["detach"]).success();
    assert!(!gate.pins().exists());
}

/// The pin whose name begins so.
fn pin(gate: &Gate<'_>, name: &str) -> std::path::PathBuf {
    let directory = gate.pins().join(format!("v{}", octroi_abi::ABI_VERSION));
    let all = fs::read_dir(&directory).expect("it is there").flatten().map(|entry| entry.path());
    let is = |path: &Path| path.file_name().is_some_and(|one| one.to_string_lossy().starts_with(name));
    all.into_iter().find(|path| is(path)).unwrap_or_else(|| panic!("no {name} in {}", directory.display()))
}
