//! Waiting for what happens soon, and saying what did not.

use std::thread;
use std::time::{Duration, Instant};

/// How long a test waits: far longer than anything takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(15);

/// Waits until it holds.
///
/// # Panics
/// With `what`, where it does not in time.
#[track_caller]
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// The same where the moment matters, and how long it took.
///
/// # Panics
/// As [`until`].
#[track_caller]
pub fn closely(what: &str, mut holds: impl FnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_micros(100));
    }
    begun.elapsed()
}
