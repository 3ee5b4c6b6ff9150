//! How many descriptors a daemon has open.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use crate::gate::Gate;

/// How long a number has to stay the same, and how often it is looked at.
const REST: Duration = Duration::from_millis(500);
const OFTEN: Duration = Duration::from_millis(5);
/// How long that may take to begin.
const PATIENCE: Duration = Duration::from_secs(15);

/// As many as there are now.
///
/// # Panics
/// Where no daemon runs.
#[track_caller]
pub fn now(gate: &Gate<'_>) -> u64 {
    fs::read_dir(format!("/proc/{}/fd", gate.pid())).expect("the daemon runs").count() as u64
}

/// As many as there are once nothing is opened or closed for half a second.
///
/// # Panics
/// Where no daemon runs, and where it opens and closes all the time.
#[track_caller]
pub fn at_rest(gate: &Gate<'_>) -> u64 {
    let deadline = Instant::now() + PATIENCE;
    let (mut count, mut since) = (now(gate), Instant::now());
    while since.elapsed() < REST {
        assert!(Instant::now() < deadline, "descriptors are opened and closed for {PATIENCE:?}: {count} now");
        thread::sleep(OFTEN);
        let seen = now(gate);
        if seen != count {
            (count, since) = (seen, Instant::now());
        }
    }
    count
}
