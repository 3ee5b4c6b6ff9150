//! What a daemon starts with: the configured policy, or what counts or has to do in its place.

use std::path::Path;

use super::{
    admission::{doubtful, held},
    book::{Book, Instead, Kept, Pending, Shelf, fingerprint_of},
    engine::Candidate,
    fallback::Fallback,
    good::Policies,
    logins::connected,
};
use crate::{
    Failure,
    config::{Config, Control, read_text},
    lint::Login,
    policy::Originals,
    state::fingerprint,
    time,
};

/// A policy to start with, and what is known of others.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) candidate: Candidate,
    pub(super) policies: Policies,
    /// What to step to once that runs: it was applied before, and there is time left to confirm it.
    pub(super) resume: Option<Pending>,
    /// What became of a policy that was applied, where it was not confirmed.
    pub(super) given_up: Option<String>,
}

impl Opening {
    /// Finds out what to start with: what is in the configured file at `path`, an absolute one, or what counts in its place;
    /// where that cannot be loaded, the last good policy; where a database of it has changed too much, the one before; and
    /// where somebody applied a policy that nobody confirmed, what ran before that.
    ///
    /// # Errors
    /// When there is no policy that can be loaded.
    pub(super) fn new(path: &Path) -> Result<Self, Failure> {
        // What cannot be read says nothing of places; what is in the usual ones counts only if it is of this file.
        let known = Control::despite_errors(path);
        let control = known.map_or_else(|_| Control::in_pieces(path), |(control, _)| control);
        let shelf = Shelf::new(&control.state);
        let mut book = shelf.read();
        if let Some(other) = book.of_another(path) {
            tracing::warn!(
                "{} is of another configuration, {}: not used, and replaced",
                shelf.path().display(),
                other.display()
            );
            book = Book::default();
        }
        let (mut before, mut resume, mut given_up) = (None, None, None);
        if let Some(pending) = book.pending.clone() {
            before = book.good.as_ref().and_then(|good| {
                let again = good.load(&shelf, path, &[]);
                again.map_err(|error| tracing::error!("load the policy that ran before: {error}")).ok()
            });
            let over = match pending.left() {
                // Nothing leads back from it otherwise.
                Ok(_) if before.is_none() => Err("and there is nothing to go back to"),
                left => left,
            };
            match over {
                Ok(_) => resume = Some(pending),
                Err(over) => {
                    tracing::error!(
                        "{} was applied at {} and not confirmed {over}: {}; `octroi reload` reads {} and all that it names again",
                        pending.file.display(),
                        time::text(pending.since),
                        match before {
                            Some(_) =>
                                "back to the policy that ran before, with the databases and lists that it had",
                            None => "given up",
                        },
                        path.display()
                    );
                    given_up = Some(format!("{} was not confirmed {over}", pending.file.display()));
                    book.give_up(path);
                    if let Err(error) = shelf.write(&book) {
                        tracing::error!("{error}");
                    }
                }
            }
        }
        let candidate = match before {
            Some(candidate) => candidate,
            // Who is logged in is told; somebody asked for this policy.
            None => match (counting(path, &book, &connected()), &book.good) {
                (Err(Failure::Config(reason)), Some(good)) if control.fallback => {
                    good.load_for_want(Fallback::new(reason, path, &book), &shelf, path)?
                }
                (Ok(candidate), Some(good)) if control.fallback => {
                    good.unless_doubtful(candidate, &shelf, path)?
                }
                (result, _) => result?,
            },
        };
        let policies = Policies::new(shelf, book, given_up.clone());
        Ok(Self { candidate, policies, resume, given_up })
    }

    /// The last good policy, where the one to start with turns out not to be for this kernel: too large for it, or refused.
    pub(super) fn for_want(policies: &Policies, config: &Config, error: &Failure) -> Option<Candidate> {
        let (book, path) = (policies.book(), &config.path);
        let good = book.good.as_ref().filter(|_| config.control.fallback)?;
        let fallback = Fallback::new(error.to_string(), path, &book);
        let loaded = good.load_for_want(fallback, &policies.shelf, path);
        // What was wrong with the first one counts.
        loaded.map_err(|error| tracing::error!("{error}")).ok()
    }
}

/// Loads what counts as the configuration at `path`: what is in the file, unless it was said that something else counts.
pub(super) fn counting(path: &Path, book: &Book, logins: &[Login]) -> Result<Candidate, Failure> {
    let mut instead = None;
    if let (Some(Instead { configured, why }), Some(good)) = (&book.instead, &book.good) {
        let there = fingerprint_of(path);
        if there == *configured {
            instead = Some((good, why));
        } else if there != Some(fingerprint(good.text.as_bytes())) {
            tracing::warn!("{} is not what it was when it did not count: it counts again", path.display());
        }
    }
    let text = match instead {
        Some((good, _)) => good.text.clone(),
        None => read_text(path)?,
    };
    let config = Config::parse(&text, path)?;
    let originals = Originals::open(&config)?;
    let mut candidate = Candidate::new(config, text.into(), originals, logins)?;
    candidate.warnings.extend(instead.map(|(_, why)| why.describe(path)));
    Ok(candidate)
}

impl Kept {
    /// Loads it in place of the configured policy.
    fn load_for_want(&self, fallback: Fallback, shelf: &Shelf, path: &Path) -> Result<Candidate, Failure> {
        let reason = &fallback.reason;
        match self.load(shelf, path, &[]) {
            Ok(mut candidate) => {
                tracing::error!(
                    "{reason}\nthe configured policy cannot be loaded, and the last good one, kept at {}, runs in its place: mend \
                     what is wrong, then run `octroi reload` (which octroi does by itself where databases or lists come back; [control] fallback = false would have ended this start)",
                    time::text(self.since)
                );
                candidate.fallback = Some(fallback);
                Ok(candidate)
            }
            Err(error) => Err(Failure::Config(format!(
                "{reason}\nand the last good policy, kept at {}, cannot be loaded either: {error}",
                time::text(self.since)
            ))),
        }
    }

    /// The candidate, unless a database of it differs too much from the one that was kept: then the same policy by what was kept.
    fn unless_doubtful(
        &self,
        candidate: Candidate,
        shelf: &Shelf,
        path: &Path,
    ) -> Result<Candidate, Failure> {
        if !shelf.differ(self, &candidate.originals) {
            return Ok(candidate);
        }
        let before = Self { text: candidate.text.to_string(), ..self.clone() };
        let mut before = match before.load(shelf, path, &[]) {
            Ok(before) => before,
            Err(error) => {
                tracing::warn!(
                    "compare databases with those that ran: {error}; those that are there are taken"
                );
                return Ok(candidate);
            }
        };
        let doubts: Vec<_> = doubtful(&candidate, &before.standings).collect();
        if doubts.is_empty() {
            return Ok(candidate);
        }
        let reason = held(&doubts, "`octroi reload --accept`");
        tracing::error!(
            "{reason}; until then, what was kept at {} runs in its place",
            time::text(self.since)
        );
        before.warnings = candidate.warnings;
        before.fallback = Some(Fallback::held(reason, &candidate.text, candidate.config, doubts));
        Ok(before)
    }
}
