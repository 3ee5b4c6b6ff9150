//! A loaded generation with all that belongs to it, so that it can be put in place of another one.

use std::{mem::swap, sync::Arc};

use octroi_abi::Counter;

use super::{
    book::Kept,
    engine::Live,
    fallback::Fallback,
    status::{DatabaseStatus, Tables},
};
use crate::{
    Failure,
    config::Config,
    dataplane::{DataplaneError, Program, bpffs::Pins, kept},
    policy::{
        Originals,
        slots::{Outcome, Slots},
        standing::Standings,
    },
};

/// A generation that is loaded and does not run.
#[derive(Debug)]
pub(super) struct Generation {
    pub(super) program: Program,
    pub(super) config: Arc<Config>,
    /// What the configuration was read from.
    pub(super) text: Arc<str>,
    pub(super) originals: Arc<Originals>,
    /// See [`Live::last_over`].
    pub(super) last_over: u64,
    pub(super) outcomes: Vec<Outcome>,
    pub(super) classes: usize,
    pub(super) tables: Tables,
    pub(super) databases: Vec<DatabaseStatus>,
    pub(super) standings: Standings,
    /// See [`Live::kept`].
    pub(super) kept: Option<Arc<Kept>>,
    /// See [`Live::accepted`].
    pub(super) accepted: bool,
    /// See [`Live::fallback`].
    pub(super) fallback: Option<Fallback>,
}

impl Live {
    /// Steps to the other generation, and leaves the one that ran in its place. What to tell of interfaces where the gate did
    /// not run any more.
    ///
    /// # Errors
    /// When the kernel refuses; then nothing has changed.
    pub(super) fn exchange(&mut self, other: &mut Generation) -> Result<Vec<String>, DataplaneError> {
        let lost = self.dataplane.forget_vanished()?;
        // Whoever gets the error is not told of them.
        let stepped = self.dataplane.exchange(&mut other.program);
        stepped.inspect_err(|_| lost.iter().for_each(|lost| tracing::warn!("{lost}")))?;
        swap(&mut self.config, &mut other.config);
        swap(&mut self.text, &mut other.text);
        swap(&mut self.originals, &mut other.originals);
        swap(&mut self.last_over, &mut other.last_over);
        swap(&mut self.outcomes, &mut other.outcomes);
        swap(&mut self.classes, &mut other.classes);
        swap(&mut self.tables, &mut other.tables);
        swap(&mut self.databases, &mut other.databases);
        swap(&mut self.standings, &mut other.standings);
        swap(&mut self.kept, &mut other.kept);
        swap(&mut self.accepted, &mut other.accepted);
        swap(&mut self.fallback, &mut other.fallback);
        self.generation += 1;
        Ok(lost)
    }
}

/// The slots of the daemon before this one, the outcomes that its generation may count, and what all slots stand at; where it
/// left none, none.
pub(super) fn counted_so_far(pins: &Pins) -> Result<(Slots, Vec<Outcome>, Vec<Counter>), Failure> {
    let nothing = (Slots::new(), Vec::new(), Vec::new());
    let Some(kept) = kept::find(pins) else { return Ok(nothing) };
    let Some((slots, running)) = Slots::read(&kept.meaning) else {
        tracing::warn!("counting anew: what the daemon before has counted is another version's");
        kept::forget(pins);
        return Ok(nothing);
    };
    let counters = kept.counters.read(slots.end())?;
    Ok((slots, running, counters))
}
