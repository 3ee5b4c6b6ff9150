//! Policies that go unless somebody confirms them: applied, confirmed, gone back from.
//!
//! The generation that ran stays loaded beside the one that waits, so that going back needs no file, no compiler and no
//! verifier. What waits is on disk before the step: a daemon that is killed knows at its next start how much time is left,
//! and one that starts after the machine did that nobody can have confirmed it.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    admission::{Admission, must_stay},
    book::{Book, Gone, Instead, Kept, Pending, Why, fingerprint_of},
    control::Reply,
    engine::{Candidate, Engine, failure},
    generation::Generation,
    memory,
    rollback::{Back, WentBack, still_pending},
    status::PendingStatus,
};
use crate::{
    Failure, config::Config, dataplane::clock::since_boot, lease::Ttl, lint::Login, policy::Originals,
    state::fingerprint, time,
};

/// What `octroi apply` asks for.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub struct Order {
    /// The file that the text is in, for messages.
    pub file: PathBuf,
    /// The policy.
    pub text: String,
    /// How long it waits for its confirmation.
    pub timeout: Ttl,
    /// Also where it locks out somebody who is logged in.
    pub force: bool,
    /// Where whoever asks is logged in from.
    pub login: Option<Login>,
}

/// A change of policy that somebody waits for.
#[derive(Debug)]
pub enum Change {
    /// `octroi apply`.
    Apply(Box<Order>),
    /// `octroi confirm`.
    Confirm,
    /// `octroi rollback`.
    Rollback(Back),
}

/// A text that is to be in the configured file.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct Install {
    /// The configured file.
    pub path: PathBuf,
    /// What it is to say.
    pub text: String,
    /// Somebody has changed the file since, so that it counts as it is.
    pub changed: bool,
}

/// What runs and waits for its confirmation.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) pending: Pending,
    /// What ran before, still loaded.
    pub(super) former: Generation,
    /// Where the kernel refused to go back: when it is tried again, in nanoseconds since boot.
    pub(super) again: u64,
}

/// Which boot of the machine this is; empty where the kernel does not tell.
fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

impl Pending {
    /// How much time is left, by a clock that nobody can set.
    ///
    /// # Errors
    /// There is none, and why: how a sentence goes on after "not confirmed".
    pub(super) fn left(&self) -> Result<Duration, &'static str> {
        if self.boot.is_empty() || self.boot != boot() {
            return Err("before the machine was started anew");
        }
        let left = self.left_in_this_boot();
        if left.is_zero() { Err("in time") } else { Ok(left) }
    }

    /// The same for one that was applied in this boot of the machine.
    pub(super) fn left_in_this_boot(&self) -> Duration {
        Duration::from_nanos(self.deadline.saturating_sub(since_boot()))
    }

    /// When its time is over, in Unix seconds by the clock as it is now.
    fn until(&self) -> i64 {
        const HALF: u64 = 500_000_000;
        let left = self.deadline.saturating_sub(since_boot());
        let until = time::now_ns().saturating_add(left).saturating_add(HALF);
        i64::try_from(until / 1_000_000_000).unwrap_or(i64::MAX)
    }
}

impl Waiting {
    pub(super) fn status(&self) -> PendingStatus {
        let until_seconds = self.pending.until();
        PendingStatus {
            file: self.pending.file.display().to_string(),
            since: time::text(self.pending.since),
            until: time::text(until_seconds),
            until_seconds,
        }
    }

    /// `new.toml waits for …`.
    pub(super) fn describe(&self) -> String {
        let PendingStatus { file, until, .. } = self.status();
        format!("{file} waits for `octroi confirm` until {until}")
    }
}

impl Engine {
    /// Does what somebody waits for.
    pub fn change_policy(&self, change: Change) -> Reply {
        let reply = match change {
            Change::Apply(order) => {
                let file = order.file.clone();
                let applied = self.apply(*order);
                let refused = applied.is_err() && self.live().waiting.is_none();
                let text = Arc::clone(&self.live().text);
                let how = || format!("{} was refused", file.display());
                self.policies.gone(refused.then(|| Gone::new(how(), &text)));
                Reply::new(applied, |(until, warnings)| Reply::Applied {
                    generation: self.live().generation,
                    until,
                    warnings,
                })
            }
            Change::Confirm => {
                Reply::new(self.confirm(), |(file, install)| Reply::Confirmed { file, install })
            }
            Change::Rollback(back) => {
                let done = |WentBack { from, kept, install, warnings }| Reply::RolledBack {
                    generation: self.live().generation,
                    from,
                    kept,
                    install,
                    warnings,
                };
                Reply::new(self.rollback(back), done)
            }
        };
        if let Reply::Failed { error, .. } = &reply {
            tracing::error!("{error}");
        }
        memory::give_back();
        reply
    }

    /// Refuses to `what` while a policy waits for its confirmation.
    pub(super) fn none_waits(&self, what: &str) -> Result<(), Failure> {
        match &self.live().waiting {
            None => Ok(()),
            Some(waiting) => Err(anyhow::anyhow!(
                "{what}: not now, since {}; run `octroi confirm` or `octroi rollback` first",
                waiting.describe()
            )
            .into()),
        }
    }

    /// Steps to a policy that waits for its confirmation from now on; until when, RFC 3339, and what to tell.
    fn apply(&self, order: Order) -> Result<(String, Vec<String>), Failure> {
        let Order { file, text, timeout, force, login } = order;
        let what = format!("apply {}", file.display());
        self.none_waits(&what)?;
        let config = Config::parse_named(&text, &self.path, &file)?;
        must_stay(&what, &Arc::clone(&self.live().in_force), &config)?;
        let originals = Originals::open(&config)?;
        let candidate = Candidate::new(config, text.as_str().into(), originals, &self.logins(login))?;
        candidate.must_let_in(&what, force, "applies it")?;
        let alone = self.policies.alone();
        let kept = self.keep_running(&alone).map_err(anyhow::Error::from);
        kept.map_err(|error| {
            error.context(format!("{what}: what runs now, which it would go back to, cannot be kept"))
        })?;
        let pending = Pending {
            configured: fingerprint_of(&self.path),
            path: self.path.clone(),
            since: time::now(),
            deadline: since_boot().saturating_add(timeout.nanoseconds()),
            boot: boot(),
            file: file.clone(),
            text,
        };
        let before = self.policies.book();
        let book = Book { pending: Some(pending.clone()), gone: None, ..before.clone() };
        self.policies.write(book).map_err(|error| anyhow::Error::from(error).context(what))?;
        let stepped = self.step_and_wait(candidate, pending, Admission::new(force, "`octroi apply --force`"));
        let warnings = match stepped {
            Ok(warnings) => warnings,
            Err(refused) => {
                let undone = self.policies.insist(before);
                return Err(match undone {
                    Ok(()) => refused,
                    Err(error) => refused.and(&still_pending(&error, &file)),
                });
            }
        };
        let mut live = self.live();
        live.done();
        live.last_success = time::now();
        live.reloads.success += 1;
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
        let status = live.waiting.as_ref().map(Waiting::status);
        let described = live.waiting.as_ref().map(Waiting::describe).unwrap_or_default();
        tracing::warn!(generation = live.generation, "applied: {described}, and goes unless that comes");
        Ok((status.map(|status| status.until).unwrap_or_default(), warnings))
    }

    fn step_and_wait(
        &self,
        candidate: Candidate,
        pending: Pending,
        how: Admission,
    ) -> Result<Vec<String>, Failure> {
        let (warnings, former) = self.step(candidate, how)?;
        self.live().waiting = Some(Waiting { pending, former, again: 0 });
        Ok(warnings)
    }

    /// Steps once more to a policy that waited for its confirmation when a daemon before this one ended.
    pub(super) fn resume(&self, pending: Pending) {
        let _alone = self.policies.alone();
        let file = pending.file.display().to_string();
        let candidate = || {
            let config = Config::parse_named(&pending.text, &self.path, &pending.file)?;
            let originals = Originals::open(&config)?;
            Candidate::new(config, pending.text.as_str().into(), originals, &[])
        };
        match candidate()
            .and_then(|candidate| self.step_and_wait(candidate, pending.clone(), Admission::Certain))
        {
            Ok(warnings) => {
                for warning in warnings {
                    tracing::warn!("{warning}");
                }
                let described = self.live().waiting.as_ref().map(Waiting::describe).unwrap_or_default();
                tracing::warn!("{described}, as before this start");
            }
            Err(error) => {
                tracing::error!(
                    "{error}\n{file} waited for its confirmation and cannot be loaded again: what ran before runs on"
                );
                self.live().last_reload = failure(&error.to_string());
                for warning in self.give_up(format!("{file} could not be loaded again")) {
                    tracing::warn!("{warning}");
                }
            }
        }
    }

    /// What waits is what was meant: it counts from now on. The file that it came from, and what is to be in the configured
    /// file, where that does not say it.
    fn confirm(&self) -> Result<(PathBuf, Option<Install>), Failure> {
        let alone = self.policies.alone();
        let waits = {
            let live = self.live();
            let pending = live.waiting.as_ref().map(|waiting| waiting.pending.clone());
            pending.map(|pending| (pending, Arc::clone(&live.originals), live.generation, live.accepted))
        };
        let Some((pending, originals, generation, accepted)) = waits else {
            return Err(anyhow::anyhow!(
                "confirm: no policy waits for it; `octroi status` says what runs, and its last reload why"
            )
            .into());
        };
        // Where copies cannot be made, the policy is confirmed nevertheless: somebody who can get in said so.
        let kept = self.policies.shelf.copy(&self.path, &pending.text, &originals);
        let kept = Arc::new(kept.unwrap_or_else(|error| {
            tracing::error!("keep the confirmed policy's databases and lists: {error}");
            Kept::without_copies(&self.path, &pending.text)
        }));
        let mut book = self.policies.book();
        let there = fingerprint_of(&self.path);
        let install = (there != Some(fingerprint(pending.text.as_bytes()))).then(|| Install {
            path: self.path.clone(),
            text: pending.text.clone(),
            changed: there != pending.configured,
        });
        book.instead = install
            .as_ref()
            .filter(|install| !install.changed)
            .map(|_| Instead { configured: there, why: Why::Confirmed });
        (book.pending, book.gone) = (None, None);
        book.keep(&kept, accepted);
        self.policies.write(book).map_err(|error| {
            let what = format!("confirm {}: it goes back unless this works in time", pending.file.display());
            anyhow::Error::from(error).context(what)
        })?;
        drop(alone);
        let mut live = self.live();
        live.waiting = None;
        live.done();
        live.kept = Some(kept);
        tracing::info!(generation, "confirmed: {}", pending.file.display());
        drop(live);
        Ok((pending.file, install))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(deadline: u64, boot: String) -> Pending {
        let (file, path) = (PathBuf::from("new.toml"), PathBuf::from("/etc/octroi/octroi.toml"));
        Pending { file, path, text: String::new(), since: 0, deadline, boot, configured: None }
    }

    #[test]
    fn time_is_left_by_the_clock_of_this_boot_alone() {
        const HOUR: u64 = 3_600_000_000_000;
        let (now, here) = (since_boot(), boot());
        assert_eq!(here.len(), 36, "{here}");
        let left = pending(now + HOUR, here.clone()).left().expect("an hour");
        assert!(left <= Duration::from_secs(3600) && left > Duration::from_secs(3590), "{left:?}");
        assert_eq!(pending(now, here.clone()).left(), Err("in time"));
        assert_eq!(pending(0, here.clone()).left(), Err("in time"));
        // However early the other boot's clock is.
        let other = here.replace(|digit: char| digit.is_ascii_hexdigit(), "0");
        assert_eq!(pending(now + HOUR, other).left(), Err("before the machine was started anew"));
        assert_eq!(pending(now + HOUR, String::new()).left(), Err("before the machine was started anew"));
        // What people are told follows the clock, which somebody may set.
        assert!(pending(now + HOUR, here).until().abs_diff(time::now() + 3600) <= 1);
    }
}
