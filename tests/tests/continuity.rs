//! Daemons come and go under traffic, by every way there is: nobody gets through, nobody is lost, and counting goes on.
#![allow(clippy::print_stderr, reason = "figures of a test")]

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, UNIX_EPOCH},
};

use octroi_tests::{
    gate::{Gate, Setup},
    netns::Lab,
    policy::AGREEING,
    random::Random,
    traffic::Traffic,
    wait,
    world::whole,
};

const RESTARTS: usize = 50;
const KILLS: usize = 20;
const UPDATES: usize = 5;

/// What the log says right before a start's step, and right after each step.
const TAKING_OVER: &str = "taking over the program";
const STEPPED: &str = "stepped to the new program";
/// Over what time kills are spread where a part takes less.
const LEAST: Duration = Duration::from_millis(4);

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

/// What a daemon is killed during.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Order {
    Start,
    Reload,
    Stop,
}

/// When a daemon is killed: so long after a part of its order began.
#[derive(Clone, Copy, Debug)]
struct Moment {
    part: usize,
    after: Duration,
}

impl Order {
    /// What the log says where the second part of it begins, and each later one.
    fn marks(self) -> &'static [&'static str] {
        match self {
            Order::Start => &[TAKING_OVER, STEPPED],
            Order::Reload => &[STEPPED],
            Order::Stop => &[],
        }
    }

    /// How many kills each part gets: as many before the step as from it on.
    fn kills(self) -> &'static [u32] {
        match self {
            Order::Start => &[4, 2, 2],
            Order::Reload => &[4, 4],
            Order::Stop => &[4],
        }
    }

    /// Gives it, and does not wait; where its own part of the log begins. A start comes after a crash.
    fn begin(self, gate: &mut Gate<'_>) -> usize {
        if self == Order::Start {
            gate.kill();
        }
        let since = gate.log().len();
        match self {
            Order::Start => gate.spawn(),
            Order::Reload => gate.signal(libc::SIGHUP),
            Order::Stop => gate.signal(libc::SIGTERM),
        }
        since
    }

    /// Whether it has done all it does. `log` is what the daemon has written since it began.
    fn ended(self, gate: &Gate<'_>, log: &str) -> bool {
        match self {
            Order::Start => log.contains("ready in "),
            Order::Reload => log.contains("reloaded"),
            Order::Stop => {
                // Nobody has waited for it: it stays in the list of processes.
                let stat = fs::read_to_string(format!("/proc/{}/stat", gate.pid())).expect("a child of ours");
                stat.contains(") Z ")
            }
        }
    }

    /// Lets it do all it does; how long each part took.
    fn measure(self, gate: &mut Gate<'_>) -> Vec<Duration> {
        let since = self.begin(gate);
        let mark = |mark: &&str| wait::closely(mark, || gate.log()[since..].contains(*mark));
        let mut parts: Vec<_> = self.marks().iter().map(mark).collect();
        parts.push(wait::closely("the end", || self.ended(gate, &gate.log()[since..])));
        gate.kill();
        gate.start_again();
        parts
    }

    /// Moments in all of its parts, at random.
    fn moments(self, parts: &[Duration], random: &mut Random) -> Vec<(Order, Moment)> {
        let mut moments = Vec::new();
        for (part, (&took, &kills)) in parts.iter().zip(self.kills()).enumerate() {
            // A little goes on behind the end: files are written.
            let each = if part == 0 { took } else { took.max(LEAST) } / kills;
            let within = u64::try_from(each.as_nanos()).expect("not centuries") + 1;
            moments.extend((0..kills).map(|kill| {
                let after = each * kill + Duration::from_nanos(random.below(within));
                (self, Moment { part, after })
            }));
        }
        moments
    }

    /// Kills the daemon at that moment; which of its marks it had come to, and whether it had done all.
    fn cut_short(self, gate: &mut Gate<'_>, Moment { part, after }: Moment) -> Cut {
        let since = self.begin(gate);
        if let Some(mark) = part.checked_sub(1).map(|mark| self.marks()[mark]) {
            wait::closely(mark, || gate.log()[since..].contains(mark));
        }
        thread::sleep(after);
        let stopped = self == Order::Stop && self.ended(gate, "");
        gate.kill();
        let log = &gate.log()[since..];
        Cut {
            order: self,
            at_step: log.contains(TAKING_OVER),
            stepped: log.contains(STEPPED),
            ended: stopped || (self != Order::Stop && self.ended(gate, log)),
        }
    }
}

/// How far an order had come when the daemon was killed, as the daemon's log says.
#[derive(Clone, Copy, Debug)]
struct Cut {
    order: Order,
    at_step: bool,
    stepped: bool,
    ended: bool,
}

#[test]
fn kills_at_any_moment_open_nothing_and_lose_no_count() {
    // Given, the moments are what they were, as far as all takes as long as it did.
    let given = std::env::var("OCTROI_SEED").map(|seed| seed.parse().expect("OCTROI_SEED: a number"));
    let seed = given.unwrap_or_else(|_| UNIX_EPOCH.elapsed().expect("it is later").as_secs());
    let mut random = Random(seed);
    let orders = [Order::Start, Order::Reload, Order::Stop];
    under("native", &format!("{KILLS} times kill -9"), |gate| {
        // The shorter of two, so that what is meant to come before the step does, had the machine more to do just then.
        let took = orders.map(|order| order.measure(gate).min(order.measure(gate)));
        let mut moments: Vec<_> =
            orders.iter().zip(&took).flat_map(|(order, parts)| order.moments(parts, &mut random)).collect();
        assert_eq!(moments.len(), KILLS);
        moments.sort_by_cached_key(|_| random.next());
        eprintln!("{orders:?}, part by part, take {took:?}\nkills, OCTROI_SEED={seed}: {moments:?}");
        let mut cuts = Vec::new();
        for (number, &(order, moment)) in moments.iter().enumerate() {
            turn(gate, number + 1);
            cuts.push(order.cut_short(gate, moment));
            gate.start_again();
        }
        for order in orders {
            let count =
                |which: fn(&Cut) -> bool| cuts.iter().filter(|cut| cut.order == order && which(cut)).count();
            let (all, at_step) = (count(|_| true), count(|cut| cut.at_step && !cut.stepped));
            let (stepped, ended) = (count(|cut| cut.stepped), count(|cut| cut.ended));
            eprintln!(
                "{order:?}: {all} kills, {at_step} while it took over, {stepped} behind the step, {ended} behind the end"
            );
            let struck = order == Order::Stop || (0 < stepped && stepped + at_step < all);
            assert!(struck, "kills of {order:?} are to come before the step and behind it: {cuts:?}");
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
