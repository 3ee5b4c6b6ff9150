//! The last good policy in the place of the configured one, and the way back where a file was all that was wrong.

use std::{collections::BTreeMap, path::Path, path::PathBuf, sync::Arc};

use super::{
    admission::Admission,
    book::{Book, fingerprint_of},
    databases::{Files, Followed, Tried},
    engine::{Candidate, Engine, Live},
    follow::Found,
    memory,
};
use crate::{
    Failure,
    config::{Config, read_text},
    policy::{Changed, Originals},
    state::fingerprint,
};

/// Why the last good policy runs, and what would run otherwise.
#[derive(Clone, Debug)]
pub(super) struct Fallback {
    pub(super) reason: String,
    /// The configured policy, where its text is valid and it follows files: databases and lists are what was wrong.
    wanted: Option<Wanted>,
    /// Databases that differ too much from those that run, where they are why, and how.
    pub(super) held: Vec<(Changed, String)>,
}

/// A policy that is tried again when its files change.
#[derive(Clone, Debug)]
struct Wanted {
    text: Arc<str>,
    config: Arc<Config>,
}

impl Fallback {
    /// Of a start whose configured policy, at `path`, could not be loaded for that reason.
    pub(super) fn new(reason: String, path: &Path, book: &Book) -> Self {
        // Where something else counts in the file's place, its text is in the book, and so are its files.
        let text = book.instead.is_none().then(|| read_text(path).ok()).flatten();
        let wanted = text.and_then(|text| {
            let config = Config::parse(&text, path).ok().filter(|config| config.geoip.follow)?;
            Some(Wanted { text: text.into(), config: Arc::new(config) })
        });
        Self { reason, wanted, held: Vec::new() }
    }

    /// Of a start whose configured policy could be loaded, and has databases that are in doubt.
    pub(super) fn held(
        reason: String,
        text: &Arc<str>,
        config: Arc<Config>,
        held: Vec<(Changed, String)>,
    ) -> Self {
        let wanted = config.geoip.follow.then(|| Wanted { text: Arc::clone(text), config });
        Self { reason, wanted, held }
    }
}

impl Wanted {
    /// Its files. Which they were when they were read in vain, nobody knows: they are read once more.
    fn files(&self) -> BTreeMap<PathBuf, Option<crate::geoip::Identity>> {
        let geoip = &self.config.geoip;
        let lists = self.config.rules.iter().flat_map(|rule| rule.source.list.iter().flatten());
        let named = [&geoip.country, &geoip.asn, &geoip.anonymous].into_iter().flatten().chain(lists);
        named.map(|path| (path.clone(), None)).collect()
    }
}

impl Live {
    /// The files of the configured policy, where they are why it does not run.
    pub(super) fn wanted_files(&self) -> Option<Files> {
        let wanted = self.fallback.as_ref()?.wanted.as_ref().filter(|_| self.waiting.is_none())?;
        Some(Files { generation: self.generation, read: wanted.files(), wait: false })
    }
}

impl Engine {
    /// Tries the configured policy once more, as a reload would, but only if it lets in whoever is logged in; `None` where files
    /// are not why another one runs.
    pub(super) fn try_wanted(&self, expected: Option<&Found>) -> Option<Result<Followed, Failure>> {
        let wanted = {
            let live = self.live();
            live.fallback.as_ref()?.wanted.clone().filter(|_| live.waiting.is_none())?
        };
        // A policy changes when somebody says so: what the file says by now waits for a reload.
        if fingerprint_of(&self.path) != Some(fingerprint(wanted.text.as_bytes())) {
            return Some(Ok(Followed::Same));
        }
        let try_it = || {
            let Wanted { text, config } = wanted;
            let originals = Arc::new(Originals::open(&config)?);
            let candidate = Candidate::new(config, text, Arc::clone(&originals), &self.logins(None))?;
            if expected.is_some_and(|expected| *expected != originals.followed()) {
                return Ok(Tried::Moved);
            }
            if let Some(reason) = candidate.locks_out() {
                // Nothing is held of what runs, which is copies.
                return Ok(Tried::LocksOut(Vec::new(), reason));
            }
            self.take(candidate, Admission::Followed).map(Tried::Taken)
        };
        let result = try_it();
        memory::give_back();
        let mut live = self.live();
        Some(match result {
            Ok(Tried::Same) => Ok(Followed::Same),
            Ok(Tried::Moved) => Ok(Followed::Moved),
            Ok(Tried::LocksOut(files, reason)) => {
                live.leave_until_nobody_is_locked_out(files, &reason);
                Ok(Followed::LocksOut)
            }
            Ok(Tried::Taken(warnings)) => {
                // Whoever asked for it in vain meanwhile asked for this.
                live.refused = false;
                tracing::warn!("the configured policy can be loaded again, and runs");
                live.succeeded(&warnings);
                Ok(Followed::Taken)
            }
            Err(held @ Failure::Held(_)) => {
                live.failed_once(&held);
                Ok(Followed::Held)
            }
            Err(failure) => Err(failure),
        })
    }
}
