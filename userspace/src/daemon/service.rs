//! What systemd is told (sd_notify(3)); without systemd, nothing happens.

use sd_notify::NotifyState;

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
