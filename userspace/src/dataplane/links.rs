//! Which generation runs on which interface, and the step from one to the next.
//!
//! Every interface has a pinned link to the XDP program (and, where a policy has marks, one to the tc program). The
//! step is `bpf_link_update` on each: a packet runs the old program or the new one, whole, and none runs neither.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use ipnetwork::IpNetwork;
use octroi_abi::Verdict;
use octroi_gate::host::Compiled;

use super::{
    DataplaneError,
    attach::Slot,
    bpffs::{Pins, Scratch},
    counters::Counters,
    filters::Filters,
    interfaces::{self, Interface, Mode},
    kept,
    leases::Leases,
    program::{Probed, Program, ProgramOptions, Sharing},
    shared::Shared,
};
use crate::config;

/// An interface that is filtered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Filtered {
    /// Its name.
    pub name: String,
    /// How the program is attached, as the kernel reports it.
    pub mode: Mode,
    /// The program for fragments runs, because of a large MTU.
    frags: bool,
    /// An earlier daemon attached it: where this one cannot start, it goes on.
    taken_over: bool,
}

/// What runs in the kernel.
#[derive(Debug)]
pub struct Dataplane {
    pins: Pins,
    shared: Shared,
    current: Program,
    /// By interface index.
    filtered: BTreeMap<u32, Filtered>,
    filters: Filters,
    /// Indices of interfaces that an earlier daemon filters and that could not be taken over.
    refused: BTreeSet<u32>,
    options: ProgramOptions,
}

/// Where a generation is loaded beside one that runs.
#[derive(Debug)]
pub struct Beside {
    scratch: Scratch,
    shared: Vec<(&'static str, PathBuf)>,
    options: ProgramOptions,
}

impl Beside {
    /// Loads it. [`Dataplane::exchange`] tells it what the one that runs has learnt.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub fn load(self, compiled: &Compiled) -> Result<Program, DataplaneError> {
        Program::load(&self.scratch, compiled, Sharing::All(&self.shared), self.options).map(|(new, _)| new)
    }
}

impl Dataplane {
    /// Loads the first generation. Nothing is attached yet.
    ///
    /// # Errors
    /// When the kernel refuses it, or another daemon has these pins.
    pub fn load(
        mut pins: Pins,
        compiled: &Compiled,
        options: ProgramOptions,
    ) -> Result<Self, DataplaneError> {
        pins.lock()?;
        let counters = kept::counters_path(&pins);
        let sharing = Sharing::Counters(&counters);
        let loaded = Program::load(&pins.scratch()?, compiled, sharing, options);
        let (current, shared) = loaded.inspect_err(|_| pins.tidy())?;
        let shared = shared.ok_or(DataplaneError::Missing { name: "COUNTERS" })?;
        let (filtered, filters) = (BTreeMap::new(), Filters::new(options));
        Ok(Self { pins, shared, current, filtered, filters, refused: BTreeSet::new(), options })
    }

    /// Keeps what the counters mean for the daemon that comes after this one: before anything is attached that counts by them. It is
    /// none of the gate's business if that fails: the next daemon then counts anew.
    pub fn keep_meaning(&self, meaning: &[u8]) {
        if let Err(error) = kept::write_meaning(&self.pins, meaning) {
            tracing::warn!(%error, "keep what the counters mean: the next daemon will count anew");
            kept::forget_meaning(&self.pins);
        }
    }

    /// Whether somebody removed the pin of the counters.
    #[must_use]
    pub fn counters_are_lost(&self) -> bool {
        !kept::counters_path(&self.pins).exists()
    }

    /// Pins the counters, and what they mean, once more.
    pub fn keep_again(&self, meaning: &[u8]) {
        self.keep_meaning(meaning);
        match self
            .pins
            .restore()
            .map_err(std::io::Error::other)
            .and_then(|()| self.shared.counters.pin(&kept::counters_path(&self.pins)))
        {
            Ok(()) => tracing::warn!("somebody removed the pins of the counters: they are there again"),
            Err(error) => {
                tracing::warn!(%error, "pin the counters again: the next daemon will count anew");
            }
        }
    }

    /// The counters of all generations.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// The leases of all generations.
    #[must_use]
    pub const fn leases(&self) -> &Leases {
        &self.shared.leases
    }

    /// Gives the sources of a prefix a verdict until that time, in nanoseconds since the Unix epoch, in place of the lease that
    /// the prefix may have.
    ///
    /// # Errors
    /// When no more fit, or the kernel does not take it; then nothing has changed.
    pub fn set_lease(
        &mut self,
        prefix: IpNetwork,
        verdict: Verdict,
        until: u64,
    ) -> Result<(), DataplaneError> {
        self.current.lease(&mut self.shared, prefix, verdict, until)
    }

    /// Takes away the lease of a prefix, where it has one.
    ///
    /// # Errors
    /// When the kernel keeps it.
    pub fn remove_lease(&mut self, prefix: IpNetwork) -> Result<(), DataplaneError> {
        self.shared.leases.remove(prefix)?;
        self.current.set_leases(self.shared.leases.count());
        Ok(())
    }

    /// The interfaces that are filtered, by index.
    #[must_use]
    pub const fn filtered(&self) -> &BTreeMap<u32, Filtered> {
        &self.filtered
    }

    /// Those of them that an earlier daemon attached to.
    pub fn taken_over(&self) -> impl Iterator<Item = &Filtered> {
        self.filtered.values().filter(|filtered| filtered.taken_over)
    }

    /// Loads a generation beside the running one.
    ///
    /// # Errors
    /// When it cannot be loaded.
    pub fn beside(&self, compiled: &Compiled) -> Result<Program, DataplaneError> {
        self.place_beside()?.load(compiled)
    }

    /// A place for a generation beside the running one, which whoever loads it there does not hold up.
    ///
    /// # Errors
    /// When what all generations share cannot be pinned.
    pub fn place_beside(&self) -> Result<Beside, DataplaneError> {
        let scratch = self.pins.scratch()?;
        let shared = self.shared.pin(&scratch)?;
        Ok(Beside { scratch, shared, options: self.options })
    }

    /// Steps to a generation that was loaded beside this one, on every interface, and leaves the one that ran in its place, so
    /// that whoever keeps it can step back. [`forget_vanished`](Self::forget_vanished) comes before: an interface that is gone
    /// takes none.
    ///
    /// # Errors
    /// When some interface does not take it; then the old one runs on everywhere, and `other` is still the new one.
    pub fn exchange(&mut self, other: &mut Program) -> Result<(), DataplaneError> {
        // Now and not at its load: some may have come or gone since, the clock may have been set, a driver have refused.
        other.set_leases(self.shared.leases.count());
        other.set_epoch(super::clock::epoch());
        other.set_metadata_refused(self.current.metadata_refused() || other.metadata_refused());
        let stepped = self.step(other);
        if stepped.is_err() {
            self.step_back();
        } else {
            std::mem::swap(&mut self.current, other);
        }
        stepped
    }

    /// Steps to a generation on every interface; where one does not take it, others may have taken it.
    fn step(&mut self, new: &mut Program) -> Result<(), DataplaneError> {
        // The tc program first: all it does is to act on what the new XDP program leaves for it.
        if new.marks {
            for (&index, filtered) in &self.filtered {
                self.filters.attach(&self.pins, new, index, &filtered.name)?;
            }
        }
        for (&index, filtered) in &self.filtered {
            Slot { pins: &self.pins, index, name: &filtered.name }.update(new, filtered.frags)?;
        }
        if !new.marks {
            for &index in self.filtered.keys() {
                self.filters.detach(&self.pins, index);
            }
        }
        Ok(())
    }

    /// Sees to it that the running generation is the one that runs everywhere.
    fn step_back(&mut self) {
        for (&index, filtered) in &self.filtered {
            let slot = Slot { pins: &self.pins, index, name: &filtered.name };
            let mut result = slot.update(&mut self.current, filtered.frags);
            if self.current.marks {
                let marks = self.filters.attach(&self.pins, &mut self.current, index, &filtered.name);
                result = result.and(marks);
            } else {
                self.filters.detach(&self.pins, index);
            }
            if let Err(error) = result {
                tracing::error!(%error, "step back to the generation before");
            }
        }
    }

    /// Tells the running generation what time it is, where somebody has set the clock.
    pub fn set_clock(&mut self) {
        self.current.set_epoch(super::clock::epoch());
    }

    /// How the running generation judges a frame of at least 14 bytes: what the kernel holds, without a count.
    ///
    /// # Errors
    /// When the kernel refuses the test run.
    pub fn probe(&mut self, frame: &[u8]) -> Result<Probed, DataplaneError> {
        self.current.probe(frame)
    }

    /// Of interfaces that an earlier daemon filters: see [`Dataplane::order`].
    pub const LAST: u8 = 2;

    /// In which order interfaces are attached to where one that fails ends it all: first those that somebody else has, whose
    /// refusal changes nothing; last those that an earlier daemon filters, since nobody can step them back.
    #[must_use]
    pub fn order(&self, interface: &Interface) -> u8 {
        let slot = Slot { pins: &self.pins, index: interface.index, name: &interface.name };
        match interface.xdp {
            Some(attached) if slot.is_left(attached) => Self::LAST,
            Some(_) => 0,
            None => 1,
        }
    }

    /// Attaches the running generation to an interface, or takes over what an earlier daemon left there.
    ///
    /// # Errors
    /// When the interface does not take it, or runs somebody else's XDP program; then nothing of ours stays there but
    /// what an earlier daemon left.
    pub fn attach(&mut self, interface: &Interface, wanted: config::Mode) -> Result<Mode, DataplaneError> {
        let Interface { index, ref name, .. } = *interface;
        if !interface.ethernet {
            return Err(DataplaneError::Attach {
                interface: name.clone(),
                reason: "its packets have no Ethernet header, and octroi judges Ethernet only; name the interface that they \
                         come in by, or a glob that leaves this one out"
                    .into(),
            });
        }
        let slot = Slot { pins: &self.pins, index, name };
        let (frags, taken_over) = match interface.xdp {
            Some(attached) => match slot.take_over(&mut self.current, attached) {
                Ok(frags) => (frags, true),
                Err(error) => {
                    self.refused.insert(index);
                    return Err(error);
                }
            },
            None => (slot.attach(&mut self.current, wanted, interface.mtu)?, false),
        };
        let marks = if self.current.marks {
            self.filters.attach(&self.pins, &mut self.current, index, name)
        } else {
            // Left by an earlier daemon, whose policy had marks.
            self.filters.detach(&self.pins, index);
            Ok(())
        };
        // What was taken over keeps its mode, which nobody can change without opening the gate.
        let wanted = if taken_over { config::Mode::Auto } else { wanted };
        match marks.and_then(|()| slot.mode(wanted)) {
            Ok(mode) => {
                let name = name.clone();
                self.filtered.insert(index, Filtered { name, mode, frags, taken_over });
                Ok(mode)
            }
            Err(error) => {
                if taken_over {
                    self.refused.insert(index);
                } else {
                    self.detach(index);
                }
                Err(error)
            }
        }
    }

    /// Compares with what the kernel says: drops interfaces that are gone, and those where octroi's program is not the
    /// one that runs any more; follows renames. Where another generation of it runs, since stepping back failed there, it
    /// steps to the running one. What to tell of each.
    ///
    /// # Errors
    /// When interfaces cannot be listed, or the kernel does not say what runs.
    pub fn forget_vanished(&mut self) -> Result<Vec<String>, DataplaneError> {
        let present = interfaces::list().map_err(DataplaneError::Interfaces)?;
        let own = self.current.ids()?;
        let mut lost = Vec::new();
        for index in self.filtered.keys().copied().collect::<Vec<_>>() {
            let Some(filtered) = self.filtered.get_mut(&index) else { continue };
            let found = present.iter().find(|interface| interface.index == index);
            let runs =
                found.and_then(|interface| interface.xdp).is_some_and(|xdp| own.contains(&xdp.program));
            match found {
                Some(interface) if runs => filtered.name.clone_from(&interface.name),
                Some(Interface { name, xdp: Some(attached), .. })
                    if (Slot { pins: &self.pins, index, name }).is_ours(*attached) =>
                {
                    filtered.name.clone_from(name);
                    let slot = Slot { pins: &self.pins, index, name };
                    // Whatever goes wrong, what is there filters.
                    lost.push(match slot.update(&mut self.current, filtered.frags) {
                        Ok(()) => format!("{name}: another generation ran there; now the one that runs does"),
                        Err(error) => format!("{name}: another generation runs there: {error}"),
                    });
                }
                Some(interface) => {
                    lost.push(format!("{}: somebody detached octroi's program", interface.name));
                    self.detach(index);
                }
                None => {
                    lost.push(format!("{}: the interface is gone", filtered.name));
                    self.detach(index);
                }
            }
        }
        Ok(lost)
    }

    /// Removes what earlier daemons left in this network namespace on interfaces that are not filtered now (on those that exist,
    /// only to `let_go`), and what they had begun to load. What to tell of each.
    ///
    /// # Errors
    /// When the directory of pins cannot be read.
    pub fn clear(&mut self, let_go: bool) -> Result<Vec<String>, DataplaneError> {
        let present = interfaces::list().map_err(DataplaneError::Interfaces)?;
        let mut cleared = Vec::new();
        for index in self.pins.left(super::attach::pin_index)? {
            // Whatever stands on an interface that could not be taken over stays: it keeps the gate closed.
            let ours = |one: &&Interface| one.index == index && one.xdp.is_some();
            if self.filtered.contains_key(&index) || self.refused.contains(&index) {
                continue;
            }
            if let Some(Interface { name, .. }) = present.iter().find(ours) {
                if !let_go {
                    cleared.push(format!(
                        "{name}: what an earlier daemon left there goes on, though the configuration does not name it"
                    ));
                    continue;
                }
                cleared.push(format!(
                    "{name}: detached what an earlier daemon left there, since the configuration does not name it"
                ));
            }
            self.detach(index);
        }
        kept::forget_other_versions(&self.pins);
        if let Some(mount) = self.pins.mount() {
            super::detach::sweep(mount);
        }
        Ok(cleared)
    }

    /// Detaches from an interface: no packet there is judged any more.
    pub fn detach(&mut self, index: u32) {
        self.filters.detach(&self.pins, index);
        // The pin held the link; without it the kernel detaches the program.
        let _ = fs::remove_file(self.pins.path(&super::attach::pin_name("xdp", index)));
        self.filtered.remove(&index);
    }

    /// Detaches from every interface that this daemon attached to. What it took over goes on filtering.
    pub fn detach_own(&mut self) {
        let own = self.filtered.iter().filter(|(_, filtered)| !filtered.taken_over);
        for index in own.map(|(&index, _)| index).collect::<Vec<_>>() {
            self.detach(index);
        }
        self.pins.tidy();
    }

    /// Leaves everything as it is, for the daemon that comes after this one; only what nothing needs goes.
    pub fn leave(&self) {
        self.pins.tidy();
    }

    /// Detaches from every interface.
    pub fn detach_all(&mut self) {
        for index in self.filtered.keys().copied().collect::<Vec<_>>() {
            self.detach(index);
        }
        self.pins.tidy();
    }
}
