//! What the daemon says of itself: status, metrics, health.

use octroi_abi::Counter;

use super::{
    confirm::Waiting,
    engine::{Engine, Live},
    leases::Damage,
    status::{self, DatabaseStatus, FallbackStatus, RuleStatus, Status, Tables},
};
use crate::{
    Failure,
    dataplane::counters::{Other, other},
    geoip::{Database, PerFamily},
    metrics::{Totals, render},
    policy::{
        compile::Compilation,
        window::{self, Stage},
    },
    time,
};

impl Engine {
    /// The daemon's account of itself.
    ///
    /// # Errors
    /// When the counters cannot be read, or interfaces cannot be listed.
    pub fn status(&self) -> Result<Status, Failure> {
        let ignored = self.ignored();
        let mut live = self.live();
        live.look_at_interfaces()?;
        let (totals, _) = live.totals()?;
        Ok(live.status(&totals, ignored))
    }

    /// What the log and systemd show: the generation and how many interfaces it filters.
    #[must_use]
    pub fn summary(&self) -> String {
        self.live().summary()
    }
}

impl crate::metrics::server::Source for Engine {
    fn metrics(&self) -> Result<String, String> {
        let ignored = self.ignored();
        let live = self.live();
        let (totals, other) = live.totals().map_err(|error| error.to_string())?;
        Ok(render(&live.status(&totals, ignored), &totals, &other))
    }

    fn health(&self) -> Result<(), String> {
        let mut live = self.live();
        // What the kernel says now, not what it said last time.
        live.look_at_interfaces().map_err(|error| error.to_string())?;
        let reasons: Vec<&str> = live.unfiltered.iter().map(|(_, reason)| reason.as_str()).collect();
        if reasons.is_empty() { Ok(()) } else { Err(reasons.join("\n")) }
    }

    fn unserved(&self, why: Option<String>) {
        self.live().unserved = why;
    }
}

impl Live {
    /// The generation and how many interfaces it filters.
    pub(super) fn summary(&self) -> String {
        let on: Vec<String> =
            self.dataplane.filtered().values().map(|one| format!("{} ({})", one.name, one.mode)).collect();
        let on = if on.is_empty() { "no interface".into() } else { on.join(", ") };
        let more = self.about_policy();
        format!("generation {} on {on}, {} rules{more}", self.generation, self.config.rules.len())
    }

    /// See [`Status::copies`].
    fn copies(&self) -> Option<String> {
        let kept = self.kept.as_ref().filter(|_| self.originals.are_copies())?;
        (!kept.files.is_empty()).then(|| time::text(kept.since))
    }

    /// Counters by outcome, and of frames that have none.
    fn totals(&self) -> Result<(Totals, Other), Failure> {
        let counters = self.dataplane.counters().read(self.slots.end())?;
        let totals = Totals::new(&self.slots, |slot| counters[slot as usize]);
        Ok((totals, other(&counters)))
    }

    fn status(&self, totals: &Totals, ignored: Option<String>) -> Status {
        let now = time::now_ns();
        let rules = self.config.rules.iter().map(|rule| {
            let mut count = Counter::default();
            let next = window::next_change(rule, now);
            for (_, one) in totals.rules.iter().filter(|((name, _), _)| *name == rule.name) {
                count.packets += one.packets;
                count.bytes += one.bytes;
            }
            RuleStatus {
                name: rule.name.clone(),
                action: rule.action.as_str().into(),
                stage: Stage::of(rule, now).as_str().into(),
                next_change: next.map(time::text_ns),
                next_stage: next.map(|time| Stage::of(rule, time).as_str().into()),
                next_change_seconds: next.map(|time| time / 1_000_000_000),
                packets: count.packets,
                bytes: count.bytes,
                note: rule.note.clone(),
            }
        });
        Status {
            version: env!("CARGO_PKG_VERSION").into(),
            revision: crate::REVISION.into(),
            pid: std::process::id(),
            generation: self.generation,
            interfaces: self.interfaces(),
            awaited: self.awaited(),
            rules: rules.collect(),
            leases: self.leases.len(),
            damaged_leases: self.damage.as_ref().and_then(Damage::status),
            tables: self.tables,
            classes: self.classes,
            databases: self.databases.clone(),
            held: self.held.clone(),
            last_reload: self.last_reload.clone(),
            last_success: self.last_success,
            reloads: self.reloads,
            pending_confirmation: self.waiting.as_ref().map(Waiting::status),
            fallback: self.fallback.clone().map(|one| FallbackStatus { reason: one.reason }),
            ignored,
            copies: self.copies(),
            unserved: self.unserved.clone(),
        }
    }
}

/// What a database says of itself.
#[must_use]
pub fn database_status(database: &Database) -> DatabaseStatus {
    DatabaseStatus {
        kind: database.kind.as_str().into(),
        path: database.origin.to_string(),
        database_type: database.database_type.clone(),
        built: time::text(database.built),
        built_seconds: database.built,
        networks: status::Families { ipv4: database.networks.v4, ipv6: database.networks.v6 },
    }
}

/// The size of a compiled policy's tables; `networks` are the country database's.
#[must_use]
pub fn tables(networks: PerFamily<u64>, compilation: &Compilation) -> Tables {
    let table =
        |networks, intervals, image: &[u8]| status::Table { networks, intervals, bytes: image.len() as u64 };
    let images = &compilation.compiled.tables;
    Tables {
        ipv4: table(networks.v4, compilation.intervals.v4, &images.v4),
        ipv6: table(networks.v6, compilation.intervals.v6, &images.v6),
    }
}
