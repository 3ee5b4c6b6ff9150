//! The daemon's state, and everything that can be done to it. No loop, no sockets: those are in `mod.rs`.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};

use super::{
    account::{database_status, tables},
    admission::{Admission, restart_needed},
    book::{Kept, Pending},
    confirm::Waiting,
    fallback::Fallback,
    generation::{Generation, counted_so_far},
    good::Policies,
    leases::{Damage, restore},
    logins::{Asking, Sessions},
    memory,
    opening::Opening,
    status::{DatabaseStatus, HeldDatabase, LastReload, Reloads, Tables},
};
use crate::{
    Failure,
    config::{Config, OnStop},
    dataplane::{self, Beside, Dataplane, ProgramOptions, bpffs::Pins},
    lease::{Leases, store::Store},
    lint::{LockedOut, Login},
    policy::{
        Originals,
        compile::{Compilation, classify},
        slots::{Outcome, Slots},
        standing::{Standings, standings},
        window::last_over,
    },
    time,
};

/// The running gate.
#[derive(Debug)]
pub struct Engine {
    pub(super) path: PathBuf,
    live: Mutex<Live>,
    /// Held while the live generation is explained: its databases are in memory once at most.
    pub(super) explaining: Mutex<()>,
    /// Where leases are kept; held by whoever changes them, and locked before `live`.
    pub(super) store: Mutex<Store>,
    /// What is kept of policies; locked before `live`.
    pub(super) policies: Policies,
    /// Who has been connected to ssh, and since when.
    pub(super) sessions: Sessions,
}

/// What belongs to the live generation.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) config: Arc<Config>,
    /// What it was read from.
    pub(super) text: Arc<str>,
    /// The configuration that the daemon was started with: some of it holds until it ends.
    pub(super) in_force: Arc<Config>,
    /// Where the databases were read from.
    pub(super) originals: Arc<Originals>,
    /// See [`last_over`]: what was over when it was compiled.
    pub(super) last_over: u64,
    pub(super) dataplane: Dataplane,
    /// Those that are in the kernel.
    pub(super) leases: Leases,
    /// What of those that are kept is not among them.
    pub(super) damage: Option<Damage>,
    pub(super) slots: Slots,
    pub(super) outcomes: Vec<Outcome>,
    pub(super) classes: usize,
    pub(super) tables: Tables,
    pub(super) databases: Vec<DatabaseStatus>,
    /// What the next databases are compared with.
    pub(super) standings: Standings,
    /// Databases and lists that were not taken.
    pub(super) held: Vec<HeldDatabase>,
    /// Whom files that were held would have locked out, and how.
    pub(super) spared: Option<String>,
    pub(super) generation: u64,
    /// Whether somebody has asked for a configuration that is not the live one, in vain.
    pub(super) refused: bool,
    pub(super) last_reload: LastReload,
    pub(super) last_success: i64,
    pub(super) reloads: Reloads,
    /// Whether the gate is open for good: whoever still asks, attaches to nothing.
    pub(super) ended: bool,
    /// Why metrics are not served, where that is so.
    pub(super) unserved: Option<String>,
    /// Why interfaces that exist are not filtered, by name.
    pub(super) unfiltered: Vec<(String, String)>,
    /// What it is kept as, to be loaded again, where it is.
    pub(super) kept: Option<Arc<Kept>>,
    /// Whether somebody accepted databases of it that were held.
    pub(super) accepted: bool,
    /// Why the last good policy runs in place of the configured one, where it does.
    pub(super) fallback: Option<Fallback>,
    /// What it goes back to unless somebody confirms it, where that is so.
    pub(super) waiting: Option<Waiting>,
}

/// A policy ready to be loaded: read, checked and compiled without touching the gate.
#[derive(Debug)]
pub struct Candidate {
    pub(super) config: Arc<Config>,
    pub(super) originals: Arc<Originals>,
    /// See [`Live::last_over`].
    last_over: u64,
    compilation: Compilation,
    databases: Vec<DatabaseStatus>,
    pub(super) standings: Standings,
    tables: Tables,
    /// What is allowed and seldom meant, a sentence each.
    pub(super) warnings: Vec<String>,
    pub(super) text: Arc<str>,
    /// Those of the logins asked about that it keeps out.
    pub(super) locked_out: LockedOut,
    /// See [`Live::kept`].
    pub(super) kept: Option<Arc<Kept>>,
    /// See [`Live::fallback`].
    pub(super) fallback: Option<Fallback>,
}

impl Candidate {
    /// Compiles a configuration that was read from `text`, over the files that it names or copies of them. `logins` are asked
    /// about.
    ///
    /// # Errors
    /// [`Failure::Config`] when a database is invalid, or the policy does not fit.
    pub(super) fn new(
        config: impl Into<Arc<Config>>,
        text: Arc<str>,
        originals: impl Into<Arc<Originals>>,
        logins: &[Login],
    ) -> Result<Self, Failure> {
        let (config, originals, now) = (config.into(), originals.into(), time::now_ns());
        dataplane::prepare();
        let databases = originals.read()?;
        let (classified, standings) = std::thread::scope(|scope| {
            let standings = scope.spawn(|| standings(&config, &databases));
            let classified = classify(&config, &databases, Some(now));
            (classified, standings.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        });
        let classified = classified.map_err(Failure::config)?;
        let networks = databases.country.networks;
        let statuses = databases.all().map(database_status).collect();
        let warnings = databases.empty_lists().collect();
        let locked_out = LockedOut::by(&config, &databases, logins, now);
        let compilation = classified.build_last(&config, databases).map_err(Failure::config)?;
        let tables = tables(networks, &compilation);
        Ok(Self {
            last_over: last_over(&config.rules, now),
            config,
            originals,
            compilation,
            databases: statuses,
            standings,
            tables,
            warnings,
            text,
            locked_out,
            kept: None,
            fallback: None,
        })
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Loads it as the first generation; what it was, and the slots that it counts in, with it.
    ///
    /// # Errors
    /// When it does not fit, or the kernel does not take it; its configuration is left then.
    fn load(
        mut self,
        pins: Pins,
        options: ProgramOptions,
    ) -> Result<(Self, Slots, Dataplane), (Arc<Config>, Failure)> {
        let load = || {
            let (mut slots, running, counters) = counted_so_far(&pins)?;
            self.compilation
                .assign(&mut slots, &running, |slot| counters[slot as usize])
                .map_err(Failure::config)?;
            let dataplane = Dataplane::load(pins, &self.compilation.compiled, options)?;
            dataplane.keep_meaning(&slots.keep(self.compilation.outcomes.iter().chain(&running)));
            Ok((slots, dataplane))
        };
        match load() {
            Ok((slots, dataplane)) => Ok((self, slots, dataplane)),
            Err(error) => Err((self.config, error)),
        }
    }
}

impl Engine {
    /// Loads what there is to start with as the first generation, or the last good policy where the kernel does not take that,
    /// and attaches it to every configured interface that exists. With it, what to step to then.
    ///
    /// # Errors
    /// When the kernel refuses the programs, or an interface does: see [`Live::attach_first`].
    pub(super) fn start(
        opening: Opening,
        options: ProgramOptions,
    ) -> Result<(Self, Option<Pending>), Failure> {
        let Opening { candidate, policies, resume, given_up } = opening;
        let mut pins = Pins::open(&candidate.config.control.pins)?;
        pins.lock()?;
        let (candidate, slots, mut dataplane) = match candidate.load(pins, options) {
            Ok(loaded) => loaded,
            Err((config, error)) => {
                let other = Opening::for_want(&policies, &config, &error);
                let mut pins = Pins::open(&config.control.pins)?;
                pins.lock()?;
                match other.map(|other| other.load(pins, options)) {
                    Some(Ok(loaded)) => loaded,
                    _ => return Err(error),
                }
            }
        };
        let (store, leases, damage) = restore(&candidate.config.control.state, &mut dataplane);
        let path = candidate.config.path.clone();
        let config = candidate.config;
        let mut live = Live {
            in_force: Arc::clone(&config),
            config,
            text: candidate.text,
            originals: candidate.originals,
            last_over: candidate.last_over,
            dataplane,
            leases,
            damage,
            slots,
            outcomes: candidate.compilation.outcomes,
            classes: candidate.compilation.compiled.classes.len(),
            tables: candidate.tables,
            databases: candidate.databases,
            standings: candidate.standings,
            held: Vec::new(),
            spared: None,
            generation: 1,
            refused: false,
            last_reload: match (&candidate.fallback, &given_up) {
                (Some(Fallback { reason, .. }), _) | (None, Some(reason)) => failure(reason),
                (None, None) => success(),
            },
            last_success: time::now(),
            reloads: match (&candidate.fallback, &given_up) {
                (None, None) => Reloads { success: 1, failure: 0 },
                _ => Reloads { success: 0, failure: 1 },
            },
            ended: false,
            unserved: None,
            unfiltered: Vec::new(),
            kept: candidate.kept,
            accepted: false,
            fallback: candidate.fallback,
            waiting: None,
        };
        let held = live.fallback.as_ref().map(|fallback| fallback.held.clone());
        live.hold(held.into_iter().flatten());
        // What nobody confirmed must not go on, whatever else is wrong.
        live.attach_first(given_up.is_some())?;
        live.clear();
        let modes = live.other_modes(live.dataplane.taken_over());
        let told = candidate.warnings.into_iter().chain(candidate.locked_out.all());
        for warning in told.chain(live.missing()).chain(modes) {
            tracing::warn!("{warning}");
        }
        let engine = Self {
            path,
            live: Mutex::new(live),
            explaining: Mutex::new(()),
            store: Mutex::new(store),
            policies,
            sessions: Sessions::begin(),
        };
        Ok((engine, resume))
    }

    /// Reads configuration and databases again, compiles them beside the running generation, and steps to the new one.
    /// What to tell whoever asked for it, logged in from there. `accept`: databases are taken however much they differ from
    /// those that run. Whoever asks is kept out only if he insists; of others he is told.
    ///
    /// # Errors
    /// Why not; the running gate is then as it was.
    pub fn reload(&self, accept: bool, asking: Option<Asking>) -> Result<Vec<String>, Failure> {
        self.none_waits("reload").inspect_err(|error| tracing::warn!("{error}"))?;
        let candidate = self.counting_candidate(asking.map(|asking| asking.login));
        let known = self.counting_is_known();
        let result = candidate.and_then(|candidate| {
            candidate.must_let_in_asking(self.whom_it_may_lock_out(asking))?;
            self.take(candidate, Admission::new(accept, Admission::ACCEPT))
        });
        memory::give_back();
        if result.is_ok() {
            self.policies.gone(None);
        }
        let mut live = self.live();
        live.refused = result.is_err() && !known;
        match &result {
            Ok(warnings) => live.succeeded(warnings),
            Err(error) => live.failed(error),
        }
        result
    }

    pub(super) fn take(&self, candidate: Candidate, how: Admission) -> Result<Vec<String>, Failure> {
        self.step(candidate, how).map(|(warnings, _)| warnings)
    }

    /// Loads a candidate beside the running generation and steps to it. What to tell whoever asked for it, and the generation
    /// that ran, still loaded.
    pub(super) fn step(
        &self,
        mut candidate: Candidate,
        how: Admission,
    ) -> Result<(Vec<String>, Generation), Failure> {
        let (accepted, beside) = self.live().make_room(&mut candidate, how)?;
        // Without the lock, since it takes a while: interfaces that appear meanwhile are attached to. Nobody else steps.
        let program = beside.load(&candidate.compilation.compiled)?;
        let mut guard = self.live();
        let live = &mut *guard;
        let warnings = restart_needed(&live.in_force, &candidate.config);
        let mut generation = Generation {
            program,
            config: candidate.config,
            text: candidate.text,
            originals: candidate.originals,
            last_over: candidate.last_over,
            outcomes: candidate.compilation.outcomes,
            classes: candidate.compilation.compiled.classes.len(),
            tables: candidate.tables,
            databases: candidate.databases,
            standings: candidate.standings,
            kept: candidate.kept,
            accepted: !accepted.is_empty(),
            fallback: candidate.fallback,
        };
        let lost = live.exchange(&mut generation)?;
        live.held.clear();
        let told = lost.into_iter().chain(accepted).chain(warnings).chain(candidate.warnings);
        Ok((told.chain(candidate.locked_out.all()).chain(live.settle()).collect(), generation))
    }

    /// Tells the gate what time it is, attaches to interfaces that appeared, and forgets those that vanished.
    ///
    /// # Errors
    /// When interfaces cannot be listed.
    pub fn look_around(&self) -> Result<(), Failure> {
        let mut live = self.live();
        live.dataplane.set_clock();
        live.look_at_interfaces()
    }

    /// Tells the gate what time it is: somebody has set the clock.
    pub fn set_clock(&self) {
        self.live().dataplane.set_clock();
    }

    /// What becomes of the gate when the daemon ends, as the policy says that was meant: not one that waits for its confirmation.
    #[must_use]
    pub fn on_stop(&self) -> OnStop {
        let live = self.live();
        let config = live.waiting.as_ref().map_or(&live.config, |waiting| &waiting.former.config);
        config.control.on_stop
    }

    /// Leaves the gate to itself; where it is.
    #[must_use]
    pub fn leave(&self) -> String {
        let mut live = self.live();
        live.step_back_meanwhile();
        live.dataplane.leave();
        live.summary()
    }

    /// Detaches from every interface.
    pub fn detach_all(&self) {
        let mut live = self.live();
        live.ended = true;
        live.dataplane.detach_all();
    }

    pub(super) fn live(&self) -> std::sync::MutexGuard<'_, Live> {
        // Whoever panicked with the lock held left counters and kernel state as they are: both stay readable.
        self.live.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Live {
    /// Finds out whether a candidate may come, and makes room for it; what it was accepted in spite of. See [`Live::admit`].
    fn make_room(
        &mut self,
        candidate: &mut Candidate,
        how: Admission,
    ) -> Result<(Vec<String>, Beside), Failure> {
        let accepted = self.admit(candidate, how)?;
        // Where one waits, and is compiled once more, also what would come back.
        let former = self.waiting.iter().flat_map(|waiting| &waiting.former.outcomes);
        let counting: Vec<Outcome> = self.outcomes.iter().chain(former).cloned().collect();
        let counters = self.dataplane.counters().read(self.slots.end())?;
        candidate
            .compilation
            .assign(&mut self.slots, &counting, |slot| counters[slot as usize])
            .map_err(Failure::config)?;
        let outcomes = candidate.compilation.outcomes.iter().chain(&counting);
        self.dataplane.keep_meaning(&self.slots.keep(outcomes));
        Ok((accepted, self.dataplane.place_beside()?))
    }

    /// Books a new generation.
    pub(super) fn succeeded(&mut self, warnings: &[String]) {
        self.reloads.success += 1;
        self.last_success = time::now();
        // What was asked for in vain still waits.
        if !self.refused {
            self.last_reload = success();
        }
        tracing::info!(generation = self.generation, "reloaded");
        for warning in warnings {
            tracing::warn!("{warning}");
        }
    }

    /// Books that what somebody asked for is done: what was asked for in vain before does not wait any more.
    pub(super) fn done(&mut self) {
        self.refused = false;
        self.last_reload = success();
    }

    /// Books that there is none.
    pub(super) fn failed(&mut self, failed: &Failure) {
        self.reloads.failure += 1;
        let error = failed.to_string();
        let generation = self.generation;
        match failed {
            Failure::Held(_) => tracing::warn!(%error, generation, "the running generation stays"),
            _ => tracing::error!(%error, generation, "reload failed; the running generation stays"),
        }
        self.last_reload = failure(&error);
    }
}

pub(super) fn success() -> LastReload {
    LastReload { time: time::now_text(), result: "success".into(), error: None }
}

pub(super) fn failure(error: &str) -> LastReload {
    LastReload { time: time::now_text(), result: "failure".into(), error: Some(error.into()) }
}
