//! What systemd is told (sd_notify(3)); without systemd, nothing happens.

use std::{future::Future, time::Duration};

use sd_notify::NotifyState;
use tokio::time::{Instant, timeout};

/// What systemd's watchdog (`WatchdogSec=`) hears of the daemon's loop. Without a watchdog, nothing.
#[derive(Clone, Copy)]
pub(super) struct Heart {
    /// Half of what the watchdog waits for.
    beat: Option<Duration>,
}

/// A piece of work, such as a reload, that takes longer than this is taken for one that never ends.
const LONGEST_WORK: Duration = Duration::from_secs(300);

impl Heart {
    pub(super) fn new() -> Self {
        Self { beat: sd_notify::watchdog_enabled().map(|limit| limit / 2) }
    }

    /// The loop has come round: it looked after the engine, whose lock it had for that.
    pub(super) fn beat(self) {
        if self.beat.is_some() {
            notify(&[NotifyState::Watchdog]);
        }
    }

    /// How long the loop may wait for something to happen.
    pub(super) fn patience(self, wanted: Duration) -> Duration {
        self.beat.map_or(wanted, |beat| wanted.min(beat))
    }

    /// Waits for a piece of work, which may take longer than the watchdog waits, but not for ever.
    pub(super) async fn through<T>(self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        let begun = Instant::now();
        while let Some(beat) = self.beat.filter(|_| begun.elapsed() < LONGEST_WORK) {
            if let Ok(done) = timeout(beat, &mut work).await {
                return done;
            }
            self.beat();
        }
        work.await
    }
}

/// The gate is closed on every configured interface that exists.
pub(super) fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// A reload begins. `MONOTONIC_USEC` lets `Type=notify-reload` tell this reload from the one before.
pub(super) fn reloading() {
    let monotonic = NotifyState::monotonic_usec_now();
    match monotonic {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(_) => notify(&[NotifyState::Reloading]),
    }
}

/// The status line.
pub(super) fn status(status: &str) {
    notify(&[NotifyState::Status(status)]);
}

/// The daemon is about to detach.
pub(super) fn stopping() {
    notify(&[NotifyState::Stopping]);
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "notify systemd");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_waited_for_with_and_without_a_watchdog() {
        for beat in [None, Some(Duration::from_millis(1))] {
            let work = async {
                tokio::time::sleep(Duration::from_millis(10)).await;
                7
            };
            assert_eq!(Heart { beat }.through(work).await, 7);
        }
    }

    #[test]
    fn a_short_watchdog_makes_the_loop_impatient_and_a_long_one_does_not() {
        let second = Duration::from_secs;
        let patience = |beat| Heart { beat }.patience(second(5));
        assert_eq!(
            [None, Some(second(15)), Some(second(1))].map(patience),
            [second(5), second(5), second(1)]
        );
    }
}
