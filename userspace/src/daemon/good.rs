//! The last good policy: kept after every load that succeeds, and what a start begins with where it has no other.

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError},
    time::{Duration, Instant},
};

use super::{
    book::{Book, BookError, Gone, Instead, Kept, Shelf, Why, fingerprint_of},
    engine::{Candidate, Engine, Live},
    fallback::Fallback,
    memory,
    opening::counting,
};
use crate::{
    Failure,
    config::{Config, read_text},
    lint::Login,
    policy::Originals,
    state::{fingerprint, require_writable},
};

/// What is kept of policies, in memory and on disk.
#[derive(Debug)]
pub(super) struct Policies {
    pub(super) shelf: Shelf,
    /// What holds: it is on disk, unless it is `due`.
    book: Mutex<Book>,
    /// Since when what holds is not on disk, or when that was last tried in vain.
    due: Mutex<Option<Instant>>,
    /// See [`Policies::alone`].
    keeping: Mutex<()>,
}

/// How soon what could not be written is tried again.
const AGAIN: Duration = Duration::from_secs(1);

impl Policies {
    /// With what is on disk, and how the last change has gone where that has just been found out.
    pub(super) fn new(shelf: Shelf, mut book: Book, gone: Option<String>) -> Self {
        let gone = gone.zip(book.good.as_ref()).map(|(how, good)| Gone::new(how, &good.text));
        let due = gone.is_some().then(Instant::now);
        book.gone = gone.or(book.gone);
        Self { shelf, book: Mutex::new(book), due: Mutex::new(due), keeping: Mutex::new(()) }
    }

    /// Says how the last change of policy has gone; `None`: it holds, or waits.
    pub(super) fn gone(&self, gone: Option<Gone>) {
        if self.locked().gone == gone {
            return;
        }
        let _alone = self.alone();
        if let Err(error) = self.insist(Book { gone, ..self.book() }) {
            tracing::error!(
                "{error}; `octroi rollback` after a start would not know how the last change has gone"
            );
        }
    }

    /// Held by whoever changes what is kept, which may take as long as copying databases does; before any other lock.
    pub(super) fn alone(&self) -> MutexGuard<'_, ()> {
        // Whoever panicked with the lock held left a whole file behind, as for `book`.
        self.keeping.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that is kept.
    pub(super) fn book(&self) -> Book {
        self.locked().clone()
    }

    /// Keeps that instead: for what is acknowledged only if it is kept.
    ///
    /// # Errors
    /// When it cannot be written; then all is as it was.
    pub(super) fn write(&self, book: Book) -> Result<(), BookError> {
        self.shelf.write(&book)?;
        self.shelf.sweep(&book);
        *self.locked() = book;
        *self.due() = None;
        Ok(())
    }

    /// Keeps that instead, on disk or not: for what has happened already. What cannot be written is tried again, see
    /// [`Policies::write_what_is_due`]; nothing that is written meanwhile says what holds no more.
    ///
    /// # Errors
    /// When it cannot be written yet.
    pub(super) fn insist(&self, book: Book) -> Result<(), BookError> {
        *self.locked() = book.clone();
        self.write(book).inspect_err(|_| *self.due() = Some(Instant::now()))
    }

    /// Whether there is something to try again.
    pub(super) fn is_due(&self) -> bool {
        self.due().is_some_and(|tried| tried.elapsed() >= AGAIN)
    }

    /// Tries again what could not be written.
    pub(super) fn write_what_is_due(&self) {
        // Whoever is at it writes what holds, too.
        let _alone = match self.keeping.try_lock() {
            Ok(alone) => alone,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        // Said where it failed first.
        if self.due().is_some() && self.insist(self.book()).is_ok() {
            tracing::warn!("{} could be written again, and says what holds", self.shelf.path().display());
        }
    }

    fn due(&self) -> MutexGuard<'_, Option<Instant>> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What to tell where nothing can be kept; somebody may see to it before it is needed.
    fn doubt(&self) -> Option<String> {
        let path = self.shelf.path();
        let directory = path.parent().unwrap_or(&path);
        let error = require_writable(directory).err()?;
        Some(format!(
            "[control] state, {}, cannot be written: {error}; no lease can be added and no policy applied, and what runs cannot be \
             kept for a start that has no other; make it writable for the user that octroi runs as",
            directory.display()
        ))
    }

    fn locked(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Why {
    /// That the file does not count, why, and what to do.
    pub(super) fn describe(self, path: &Path) -> String {
        let path = path.display();
        match self {
            Self::Confirmed => format!(
                "{path} does not count, since it does not say what was applied and confirmed after it: write that into it, or \
                 change it, and it counts again"
            ),
            Self::Unconfirmed => format!(
                "{path} does not count, since what it says was applied and not confirmed: apply it once more, and confirm it, or \
                 change it, and it counts again"
            ),
            Self::RolledBack => format!(
                "{path} does not count, since `octroi rollback` went back from what it says: change it, and it counts again"
            ),
        }
    }
}

impl Gone {
    /// Since when the policy of that text runs.
    pub(super) fn new(how: String, text: &str) -> Self {
        Self { how, runs: fingerprint(text.as_bytes()) }
    }
}

impl Book {
    /// Makes it the last good policy, and the one before it `previous`: the same rules over newer files are the same policy, unless
    /// somebody `accepted` files that were held. Whether it was not that yet.
    pub(super) fn keep(&mut self, kept: &Kept, accepted: bool) -> bool {
        if self.good.as_ref().is_some_and(|good| good.is_same(kept)) {
            return false;
        }
        let before = self.good.replace(kept.clone());
        if accepted || before.as_ref().is_none_or(|before| before.text != kept.text) {
            self.previous = before;
        }
        true
    }

    /// Forgets what waits for its confirmation. Where the configured file says the same, and not what is good, it does not
    /// count from now on.
    pub(super) fn give_up(&mut self, path: &Path) {
        let Some(pending) = self.pending.take() else { return };
        let there = fingerprint_of(path);
        let good = self.good.as_ref().is_some_and(|good| good.text == pending.text);
        if !good && there == Some(fingerprint(pending.text.as_bytes())) {
            self.instead = Some(Instead { configured: there, why: Why::Unconfirmed });
        }
    }
}

impl Kept {
    /// Loads it again, by its own copies of databases and lists. `logins` are asked about.
    ///
    /// # Errors
    /// When a copy is not what was kept.
    pub(super) fn load(&self, shelf: &Shelf, path: &Path, logins: &[Login]) -> Result<Candidate, Failure> {
        let copies = shelf.find(self).map_err(Failure::config)?;
        let config = Config::parse(&self.text, path)?;
        let originals = Originals::open_copies(&config, |named| {
            let copy = copies.iter().find(|(path, _)| path == named);
            copy.map_or(named, |(_, copy)| copy)
        })?;
        let mut candidate = Candidate::new(config, self.text.as_str().into(), originals, logins)?;
        candidate.kept = Some(Arc::new(self.clone()));
        Ok(candidate)
    }
}

impl Engine {
    /// Loads what counts as the configuration; whoever is logged in is asked about.
    pub(super) fn counting_candidate(&self, asking: Option<Login>) -> Result<Candidate, Failure> {
        counting(&self.path, &self.policies.book(), &self.logins(asking))
    }

    /// Whether what counts as the configuration is what runs, whatever becomes of the files that it names.
    pub(super) fn counting_is_known(&self) -> bool {
        let Book { good, instead, .. } = self.policies.book();
        let there = fingerprint_of(&self.path);
        let instead = instead.filter(|instead| instead.configured == there).and(good);
        let text = instead.map_or_else(|| read_text(&self.path).ok(), |good| Some(good.text));
        let config = text.and_then(|text| Config::parse(&text, &self.path).ok());
        config.is_some_and(|config| config == *self.live().config)
    }

    /// How the last change of policy has gone, a clause, where it does not hold, and what ran before it does.
    pub(super) fn last_gone(&self) -> Option<String> {
        let runs = fingerprint(self.live().text.as_bytes());
        self.policies.book().gone.filter(|gone| gone.runs == runs).map(|gone| gone.how)
    }

    /// Why what is in the configured file does not count, where that is so.
    pub(super) fn ignored(&self) -> Option<String> {
        let Instead { configured, why } = self.policies.book().instead?;
        (configured == fingerprint_of(&self.path)).then(|| why.describe(&self.path))
    }

    /// Tells the log where nothing can be kept.
    pub fn look_at_state(&self) {
        if let Some(doubt) = self.policies.doubt() {
            tracing::error!("{doubt}");
        }
    }

    /// Keeps what runs as the last good policy, unless it waits for its confirmation. Where that fails, the log says so, and
    /// whoever asked is to be told.
    pub fn keep(&self) -> Option<String> {
        let alone = self.policies.alone();
        let failed = self.keep_running(&alone).err();
        drop(alone);
        memory::give_back();
        let told =
            failed.map(|error| format!("keep the running policy, for a start that has no other: {error}"));
        told.inspect(|told| tracing::error!("{told}"))
    }

    /// Keeps what runs, if that is not done yet. Nobody is held up meanwhile but who changes what is kept.
    pub(super) fn keep_running(&self, _alone: &MutexGuard<'_, ()>) -> Result<(), BookError> {
        let (generation, text, originals, kept, accepted) = {
            let live = self.live();
            if live.waiting.is_some() {
                return Ok(());
            }
            let (text, originals) = (Arc::clone(&live.text), Arc::clone(&live.originals));
            (live.generation, text, originals, live.kept.clone(), live.accepted)
        };
        let kept = match kept {
            Some(kept) => kept,
            None => Arc::new(self.policies.shelf.copy(&self.path, &text, &originals)?),
        };
        let mut book = self.policies.book();
        let old = book.instead.as_ref().is_some_and(|one| one.configured != fingerprint_of(&self.path));
        let changed = book.keep(&kept, accepted);
        if old {
            book.instead = None;
        }
        if old || changed {
            self.policies.write(book)?;
        }
        let mut live = self.live();
        if live.generation == generation {
            live.kept = Some(kept);
        }
        Ok(())
    }
}

impl Live {
    /// What a summary has to say of a policy that is not simply the configured one; else nothing.
    pub(super) fn about_policy(&self) -> String {
        let mut text = String::new();
        if let Some(Fallback { reason, .. }) = &self.fallback {
            let reason = reason.lines().next().unwrap_or_default();
            text +=
                &format!("; THE LAST GOOD POLICY runs, since the configured one cannot be loaded: {reason}");
        }
        if let Some(waiting) = &self.waiting {
            text += &format!("; {}", waiting.describe());
        }
        text
    }
}
