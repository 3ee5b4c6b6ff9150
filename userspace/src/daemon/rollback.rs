//! Going back: from a policy that waits for its confirmation, by hand or when its time is over, and to the policy before the last.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    admission::Admission,
    book::{BookError, Gone, Instead, Why, fingerprint_of},
    confirm::Install,
    engine::{Engine, Live, failure},
};
use crate::{Failure, dataplane::clock::since_boot, lint::Login, state::fingerprint, time};

/// What `octroi rollback` asks for.
#[derive(Clone, Copy, Default, Serialize, Deserialize, Debug)]
pub struct Back {
    /// To the policy before the one that runs, also where that is one that was gone back to.
    #[serde(default)]
    pub previous: bool,
    /// Also where it locks out somebody who is logged in.
    #[serde(default)]
    pub force: bool,
    /// Where whoever asks is logged in from.
    #[serde(default)]
    pub login: Option<Login>,
}

/// What came of `octroi rollback`.
#[derive(Debug, Default)]
pub(super) struct WentBack {
    /// What it went back from, where that waited for its confirmation.
    pub(super) from: Option<PathBuf>,
    /// When what runs now was kept, RFC 3339, where it had to be loaded.
    pub(super) kept: Option<String>,
    /// What is to be in the configured file, where that does not say it.
    pub(super) install: Option<Install>,
    /// What to mind, a sentence each.
    pub(super) warnings: Vec<String>,
}

/// How soon going back is tried again where the kernel refused, in nanoseconds.
const AGAIN: u64 = 1_000_000_000;

impl Engine {
    /// Goes back: from what waits, or else to the policy before the last one that was meant.
    pub(super) fn rollback(&self, Back { previous, force, login }: Back) -> Result<WentBack, Failure> {
        if previous {
            self.none_waits("rollback --previous")?;
        }
        let waits = self.live().waiting.as_ref().map(|waiting| waiting.pending.file.clone());
        if let Some(file) = waits {
            let warnings = self.go_back(format!("`octroi rollback` went back from {}", file.display()))?;
            let mut live = self.live();
            live.done();
            tracing::warn!(
                generation = live.generation,
                "octroi rollback: back from {} to the policy that ran before",
                file.display()
            );
            for warning in &warnings {
                tracing::warn!("{warning}");
            }
            return Ok(WentBack { from: Some(file), warnings, ..WentBack::default() });
        }
        // Who asks has come too late to go back from that, and means nothing else.
        if let Some(gone) = self.last_gone().filter(|_| !previous) {
            return Err(anyhow::anyhow!(
                "rollback: {gone}, and what ran before runs; to go to the policy before that, run `octroi rollback --previous`"
            )
            .into());
        }
        let alone = self.policies.alone();
        // What runs has to be known as such, or the one before it would be taken for the one before that.
        let unkept = self.keep_running(&alone).err();
        let mut book = self.policies.book();
        let before = if unkept.is_some() { &book.good } else { &book.previous };
        let Some(previous) = before.clone() else {
            return Err(anyhow::anyhow!(
                "rollback: no policy waits for its confirmation, and none before the one that runs is kept in {}",
                self.policies.shelf.path().display()
            )
            .into());
        };
        let candidate = previous.load(&self.policies.shelf, &self.path, &self.logins(login))?;
        candidate.must_let_in("rollback", force, "goes back")?;
        let (mut warnings, _) = self.step(candidate, Admission::Certain)?;
        let there = fingerprint_of(&self.path);
        let is = |text: &str| there == Some(fingerprint(text.as_bytes()));
        let known = book.good.as_ref().is_some_and(|good| is(&good.text))
            || book.instead.as_ref().is_some_and(|instead| instead.configured == there);
        let install = (!is(&previous.text)).then(|| Install {
            path: self.path.clone(),
            text: previous.text.clone(),
            changed: !known,
        });
        book.instead = install
            .as_ref()
            .filter(|install| !install.changed)
            .map(|_| Instead { configured: there, why: Why::RolledBack });
        let kept = Some(time::text(previous.since));
        book.gone = Some(Gone::new("`octroi rollback` went back".into(), &previous.text));
        match unkept {
            Some(error) => {
                warnings.push(format!("what ran is not kept, so nothing leads back to it: {error}"))
            }
            None => book.previous = book.good.replace(previous),
        }
        if let Err(error) = self.policies.insist(book) {
            warnings.push(format!(
                "{error}; until it can be written, which is tried again every few seconds, a start knows nothing of this rollback, \
                 and goes by what {} says then",
                self.path.display()
            ));
        }
        let mut live = self.live();
        live.done();
        live.last_success = time::now();
        live.reloads.success += 1;
        tracing::warn!(
            generation = live.generation,
            "octroi rollback: back to the policy before the last one"
        );
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
        Ok(WentBack { from: None, kept, install, warnings })
    }

    /// Goes back where the time of what waits is over.
    ///
    /// # Errors
    /// When the kernel refuses; it is tried again.
    pub fn end_waiting(&self) -> Result<(), Failure> {
        let over = {
            let live = self.live();
            let pending = live.waiting.as_ref().map(|waiting| &waiting.pending);
            let over = pending.filter(|pending| pending.left_in_this_boot().is_zero());
            over.map(|pending| pending.file.display().to_string())
        };
        let Some(file) = over else { return Ok(()) };
        let warnings = self.go_back(format!("{file} was not confirmed in time")).inspect_err(|error| {
            tracing::error!("{error}; not confirmed in time, and tried again in a second")
        })?;
        let mut live = self.live();
        let told =
            format!("{file} was applied and not confirmed in time: back to the policy that ran before");
        tracing::error!(generation = live.generation, "{told}");
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        live.reloads.failure += 1;
        live.last_reload = failure(&told);
        Ok(())
    }

    /// How long until what waits goes.
    #[must_use]
    pub fn until_waiting_ends(&self) -> Option<Duration> {
        let live = self.live();
        let waiting = live.waiting.as_ref()?;
        let again = Duration::from_nanos(waiting.again.saturating_sub(since_boot()));
        Some(waiting.pending.left_in_this_boot().max(again))
    }

    /// Goes back from what waits, which has gone that way, a clause; what to tell.
    fn go_back(&self, how: String) -> Result<Vec<String>, Failure> {
        let mut warnings = {
            let mut guard = self.live();
            let live = &mut *guard;
            let Some(mut waiting) = live.waiting.take() else { return Ok(Vec::new()) };
            let lost = match live.exchange(&mut waiting.former) {
                Ok(lost) => lost,
                Err(error) => {
                    let what = format!("go back from {}", waiting.pending.file.display());
                    waiting.again = since_boot().saturating_add(AGAIN);
                    live.waiting = Some(waiting);
                    return Err(anyhow::Error::from(error).context(what).into());
                }
            };
            live.last_success = time::now();
            [lost, live.settle()].concat()
        };
        // The gate first: whoever is locked out waits.
        let _alone = self.policies.alone();
        warnings.extend(self.give_up(how));
        Ok(warnings)
    }

    /// Takes what waited off the disk, and says how it has gone; what to tell, of the disk and of the configured file.
    pub(super) fn give_up(&self, how: String) -> Vec<String> {
        let mut book = self.policies.book();
        let file = book.pending.as_ref().map(|pending| pending.file.clone()).unwrap_or_default();
        book.give_up(&self.path);
        book.gone = Some(Gone::new(how, &self.live().text));
        let ignored = book.instead.as_ref().map(|instead| instead.why.describe(&self.path));
        let unwritten = self.policies.insist(book).err().map(|error| still_pending(&error, &file));
        unwritten.into_iter().chain(ignored).collect()
    }
}

/// That the disk has a policy as waiting which does not any more.
pub(super) fn still_pending(error: &BookError, file: &Path) -> String {
    format!(
        "{error}; until it can be written, which is tried again every few seconds, a start before its time is over would step to {} \
         once more",
        file.display()
    )
}

impl Live {
    /// Steps back from what waits for the time without a daemon, in which nobody could confirm it, or go back. The next start
    /// steps to it once more, if there is time left.
    pub(super) fn step_back_meanwhile(&mut self) {
        let Some(mut waiting) = self.waiting.take() else { return };
        let what = waiting.describe();
        match self.exchange(&mut waiting.former) {
            Ok(lost) => {
                let told = [lost, self.settle()].concat();
                tracing::warn!("{what}: until octroi starts again, the policy that ran before does");
                told.iter().for_each(|told| tracing::warn!("{told}"));
            }
            Err(error) => tracing::error!("{what}, and runs until octroi starts again: {error}"),
        }
    }
}
