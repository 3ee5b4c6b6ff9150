//! Databases and lists that change under a running gate: taken, held, or left alone.

use std::sync::Arc;

use super::{
    admission::Admission,
    engine::{Candidate, Engine, Live, success},
    follow::Found,
    memory,
};
use crate::{
    Failure,
    policy::{Changed, Originals},
};

/// What became of files that changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Followed {
    /// They have the bytes that run.
    Same,
    /// A new generation runs.
    Taken,
    /// A database differs too much from the one that runs, or a list has lost too much.
    Held,
    /// They would keep out somebody who is logged in.
    LocksOut,
    /// They have changed since they had settled.
    Moved,
}

/// What came of trying them, before it is booked.
pub(super) enum Tried {
    Same,
    Moved,
    /// What to tell.
    Taken(Vec<String>),
    /// Which, and whom.
    LocksOut(Vec<Changed>, String),
}

/// The files that are followed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Files {
    /// The generation that they were read for.
    pub(super) generation: u64,
    /// Which they were then.
    pub(super) read: Found,
    /// Whether they are left alone for now.
    pub(super) wait: bool,
}

impl Engine {
    /// The files that the live generation was read from, or those that it runs for want of; none where `[geoip] follow` is off.
    /// While it waits for its confirmation nothing else changes the policy, so they wait, too.
    pub(super) fn files(&self) -> Files {
        let live = self.live();
        if let Some(wanted) = live.wanted_files() {
            return wanted;
        }
        let read = if live.config.geoip.follow { live.originals.followed() } else { Found::new() };
        Files { generation: live.generation, read, wait: live.waiting.is_some() }
    }

    /// Reads the files of the live configuration again, and steps to a new generation where they differ. Where they are not those
    /// that are `expected`, somebody has begun to write.
    ///
    /// # Errors
    /// When one cannot be read, or has become invalid; nothing is booked then, since it may be about to change again.
    pub(super) fn follow_files(&self, expected: Option<&Found>) -> Result<Followed, Failure> {
        if let Some(tried) = self.try_wanted(expected) {
            return tried;
        }
        let (config, text, running) = {
            let live = self.live();
            if live.waiting.is_some() {
                return Ok(Followed::Same);
            }
            (Arc::clone(&live.config), Arc::clone(&live.text), Arc::clone(&live.originals))
        };
        let try_them = || {
            let originals = Originals::open(&config)?;
            let changed = originals.changed(&running)?;
            if expected.is_some_and(|expected| *expected != originals.followed()) {
                return Ok(Tried::Moved);
            }
            if changed.is_empty() {
                return Ok(Tried::Same);
            }
            let candidate = Candidate::new(config, text, originals, &self.logins(None))?;
            if let Some(reason) = candidate.locks_out() {
                return Ok(Tried::LocksOut(changed, reason));
            }
            self.take(candidate, Admission::Followed).map(Tried::Taken)
        };
        let result = try_them();
        memory::give_back();
        let mut live = self.live();
        match result {
            Ok(Tried::Same) => {
                live.as_before();
                Ok(Followed::Same)
            }
            Ok(Tried::Moved) => Ok(Followed::Moved),
            Ok(Tried::Taken(warnings)) => {
                live.nobody_is_spared(true);
                live.succeeded(&warnings);
                Ok(Followed::Taken)
            }
            Ok(Tried::LocksOut(changed, reason)) => {
                live.leave_until_nobody_is_locked_out(changed, &reason);
                Ok(Followed::LocksOut)
            }
            Err(held @ Failure::Held(_)) => {
                live.failed_once(&held);
                Ok(Followed::Held)
            }
            Err(failure) => Err(failure),
        }
    }

    /// Books that files which changed cannot be taken.
    pub(super) fn leave_files(&self, failure: &Failure) {
        let mut live = self.live();
        // What was held has gone, or may have: it is looked at again with the rest.
        live.held.clear();
        live.failed_once(failure);
    }
}

impl Live {
    /// The files are those that run: what was held of others, or wrong with them, is over.
    fn as_before(&mut self) {
        self.held.clear();
        self.nobody_is_spared(false);
        if !self.refused && self.last_reload.error.is_some() {
            self.last_reload = success();
            tracing::info!(generation = self.generation, "the files are again those that were loaded");
        }
    }

    /// Books a failure unless it is the one that was booked last.
    pub(super) fn failed_once(&mut self, failure: &Failure) {
        if self.last_reload.error.as_deref() != Some(failure.to_string().as_str()) {
            self.failed(failure);
        }
    }
}
