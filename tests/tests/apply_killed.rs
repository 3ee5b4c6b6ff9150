//! Daemons that are killed while a policy is applied, confirmed or gone back from, under traffic: nobody gets through, nobody is
//! lost, counting goes on, and what was acknowledged holds.
#![allow(clippy::print_stderr, reason = "figures of a test")]

use std::{
    fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use octroi_tests::{
    apply::{self, GO_BACK, GO_BACK_FURTHER},
    arrive::arriving,
    command::{self, Finished, SHORT},
    gate::{Gate, Setup},
    netns::Lab,
    policy::AGREEING,
    traffic::Traffic,
    wait,
};

/// How many moments of each command are tried: the last one is behind its end, and the one before at about its end.
const MOMENTS: u32 = 4;
/// Longer than the test.
const LONG: &str = "1h";
/// Long enough for a daemon to start meanwhile.
const BRIEF: &str = "2s";
/// What the first of the two policies drops beyond what they agree on, and a source of those.
const JAPAN: &str = "[[rule]]\nname = \"jp\"\nsource = { country = [\"JP\"] }\naction = \"drop\"\n";
const JP: &str = "1.0.16.1";

/// A small world, so that there is time for many moments, and so that there are files to keep copies of.
const WORLD: &str = "1.0.1.0,1.0.1.255,CN\n1.0.16.0,1.0.31.255,JP\n8.8.8.0,8.8.8.255,US\n";

/// The policies.
fn text(policy: usize) -> String {
    format!("[geoip]\ncountry = \"country.csv\"\n{}{}", AGREEING[policy], [JAPAN, ""][policy])
}

/// What the daemon is killed during.
#[derive(Clone, Copy, Debug)]
enum Order {
    /// Of the other policy.
    Apply,
    /// Of the other policy, which waits.
    Confirm,
    /// From the other policy, which waits.
    GoBack,
    /// To the other policy, which ran before this one.
    GoBackFurther,
}

/// Which of the two policies runs, and whether it waits for its confirmation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct State {
    policy: usize,
    waits: bool,
}

impl Order {
    const ALL: [Order; 4] = [Order::Apply, Order::Confirm, Order::GoBack, Order::GoBackFurther];

    fn command(self, gate: &Gate<'_>, other: usize, timeout: &str) -> Command {
        match self {
            Order::Apply => apply::command(gate, &text(other), &["--confirm-timeout", timeout]),
            Order::Confirm => gate.command(["confirm"]),
            Order::GoBack => gate.command(GO_BACK),
            Order::GoBackFurther => gate.command(GO_BACK_FURTHER),
        }
    }

    /// What it has printed if the daemon acknowledged it.
    fn acknowledged(self) -> &'static str {
        match self {
            Order::Apply => "applied: ",
            Order::Confirm => "confirmed: ",
            Order::GoBack | Order::GoBackFurther => "rolled back: ",
        }
    }

    /// The states before and after it, where `policy` is the one that was meant last.
    fn states(self, policy: usize) -> [State; 2] {
        let other = 1 - policy;
        let (meant, waiting) = (State { policy, waits: false }, State { policy: other, waits: true });
        let other = State { policy: other, waits: false };
        match self {
            Order::Apply => [meant, waiting],
            Order::Confirm => [waiting, other],
            Order::GoBack => [waiting, meant],
            Order::GoBackFurther => [meant, other],
        }
    }

    /// Makes the state before it.
    fn prepare(self, gate: &Gate<'_>, policy: usize) {
        if self.states(policy)[0].waits {
            do_whole(gate, Order::Apply, policy);
        }
    }
}

impl State {
    /// As `octroi status` says it.
    fn of(gate: &Gate<'_>) -> State {
        let status = gate.status();
        let rules = status["rules"].as_array().expect("a list of rules");
        let names: Vec<_> = rules.iter().filter_map(|rule| rule["name"].as_str()).collect();
        let policy = match names[..] {
            ["cn", "jp"] => 0,
            ["eu", "net", "cn"] => 1,
            _ => panic!("neither policy runs: {status}"),
        };
        State { policy, waits: !status["pending_confirmation"].is_null() }
    }
}

/// Lets a command do what it does, and says how long that took.
fn do_whole(gate: &Gate<'_>, order: Order, policy: usize) -> Duration {
    let command = order.command(gate, 1 - policy, LONG);
    let begun = Instant::now();
    command::run(command, SHORT).success();
    let took = begun.elapsed();
    assert_eq!(State::of(gate), order.states(policy)[1], "{order:?}");
    took
}

/// Kills the daemon at that moment of a command, or once it has ended, and gives what is left of the command.
fn killed_during(gate: &mut Gate<'_>, command: Command, moment: Option<Duration>) -> Finished {
    let running = thread::spawn(move || command::run(command, SHORT));
    match moment {
        Some(moment) => thread::sleep(moment),
        None => wait::until("it ends", || running.is_finished()),
    }
    gate.kill();
    running.join().expect("it ends")
}

/// Ends what a killed daemon's successor goes on with, in one of three ways, and says which policy that leaves.
fn settle(gate: &Gate<'_>, found: State, policy: usize, brief: bool, number: u32) -> usize {
    if !found.waits {
        found.policy
    } else if brief {
        wait::until("back by itself", || !State::of(gate).waits);
        policy
    } else if number.is_multiple_of(2) {
        gate.octroi(["confirm"]).success();
        found.policy
    } else {
        gate.octroi(GO_BACK).success();
        policy
    }
}

#[test]
fn kills_while_policies_change_open_nothing_lose_no_count_and_undo_nothing_acknowledged() {
    let lab = Lab::new();
    let mut traffic = Traffic::new(&lab);
    let mut gate = Gate::prepare(&lab, Setup::new(&text(0)));
    fs::write(gate.directory().join("country.csv"), WORLD).expect("a directory of ours");
    gate.start_again();
    let (mut before, mut after, mut acknowledged) = (0, 0, 0);
    traffic.during(|| {
        // So that there is one to go back further to; and how long each takes.
        let (mut took, mut policy) = ([Duration::ZERO; 4], 0);
        for (order, took) in Order::ALL.into_iter().zip(&mut took) {
            order.prepare(&gate, policy);
            *took = do_whole(&gate, order, policy);
            // Applied in vain: it waits for the next order, which needs none to wait or applies it itself.
            if State::of(&gate).waits {
                gate.octroi(GO_BACK).success();
            }
            policy = State::of(&gate).policy;
        }
        eprintln!("{:?} take {took:?}", Order::ALL);
        // In the way of what is renamed into the configured file's place.
        let in_the_way = gate.directory().join("octroi.toml.new");
        for number in 1..=MOMENTS {
            // So that what the daemon has on disk has to do.
            let uninstalled = number.is_multiple_of(2);
            if uninstalled {
                fs::create_dir(&in_the_way).expect("a directory of ours");
            }
            for (order, took) in Order::ALL.into_iter().zip(took) {
                let brief = matches!(order, Order::Apply) && number == MOMENTS - 1;
                order.prepare(&gate, policy);
                let command = order.command(&gate, 1 - policy, if brief { BRIEF } else { LONG });
                let moment = (number < MOMENTS).then(|| took * number / (MOMENTS - 1));
                let left = killed_during(&mut gate, command, moment);
                gate.start_again();
                let found = State::of(&gate);
                let lets_in = !arriving(&lab, &[JP]).is_empty();
                let [undone, done] = order.states(policy);
                let told = left.stdout.contains(order.acknowledged());
                let what = format!("{order:?}, policy {policy} before, after {moment:?}: {found:?}\n{left}");
                // A brief time may be over by now.
                assert!(found == done || (found == undone && (brief || !told)), "{what}");
                assert!(brief || lets_in == (found.policy == 1), "{what}");
                assert!(moment.is_some() || told, "{what}");
                before += u32::from(found == undone);
                after += u32::from(found == done);
                acknowledged += u32::from(told);

                policy = settle(&gate, found, policy, brief, number);
                let meant = State { policy, waits: false };
                assert_eq!(State::of(&gate), meant, "{what}");
                assert_eq!(arriving(&lab, &[JP]).is_empty(), policy == 0, "{what}");
                if uninstalled {
                    // What runs is what counts as configured, too.
                    gate.reload().success();
                    assert_eq!(State::of(&gate), meant, "{what}");
                }
            }
            if uninstalled {
                fs::remove_dir(&in_the_way).expect("made above");
            }
        }
    });
    eprintln!(
        "killed during {} commands: {before} had not happened, {after} had, {acknowledged} were acknowledged; {}",
        before + after,
        traffic.check(&gate)
    );
}
