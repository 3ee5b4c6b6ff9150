//! What a candidate is asked before it may come: whether its databases have changed too much or lists lost too much, whether it
//! lets go of an interface for one that is not there, and what of it a restart alone brings.

use std::path::Path;

use super::engine::{Candidate, Live};
use crate::{
    Failure,
    config::{Config, Control},
    dataplane::interfaces,
    lint::{Absent, absent},
    policy::{Changed, standing::Standings},
};

/// Whether a candidate comes that one would be in doubt about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Admission {
    /// Whatever it is: somebody insists, or it has run before.
    Certain,
    /// Only without a doubt. It says how to insist.
    Doubted(&'static str),
    /// Nobody asked: files have changed. Lists may have lost too much, too.
    Followed,
}

impl Admission {
    /// How to insist on a reload.
    pub(super) const ACCEPT: &str = "`octroi reload --accept`";

    /// Of what somebody asks for who insists, or could, that way.
    pub(super) fn new(insists: bool, way: &'static str) -> Self {
        if insists { Self::Certain } else { Self::Doubted(way) }
    }
}

/// Clauses of a reason that are told; there may be one for each country.
const TOLD: usize = 3;

impl Live {
    /// Compares a candidate with what runs. What one would be in doubt about, a sentence each.
    ///
    /// # Errors
    /// When there is such a thing and nobody insists: what, and how to.
    pub(super) fn admit(&mut self, candidate: &Candidate, how: Admission) -> Result<Vec<String>, Failure> {
        let doubtful: Vec<(Changed, String)> = doubtful(candidate, &self.standings).collect();
        let shrunk = self.shrunk(candidate);
        let mut said = told(&doubtful);
        let lost = self.lost_for_want(&candidate.config)?;
        let doubted = !said.is_empty() || lost.is_some();
        let unasked = matches!(how, Admission::Followed) && !shrunk.is_empty();
        let insist = match how {
            Admission::Doubted(way) if doubted => way,
            Admission::Followed if doubted => Admission::ACCEPT,
            // Whoever says so knows what he wrote.
            Admission::Followed if unasked => "`octroi reload`",
            _ => {
                said.extend(lost);
                return Ok(said.into_iter().map(|one| format!("accepted {one}")).collect());
            }
        };
        let diff = if said.is_empty() { "" } else { "`octroi check --diff OLD NEW` shows what changes, " };
        if unasked {
            said.extend(
                shrunk.iter().map(|(Changed { path, .. }, reason)| format!("the list {path}: {reason}")),
            );
        }
        if !said.is_empty() {
            // A list that was held does not run either.
            self.hold(doubtful.into_iter().chain(shrunk));
        }
        said.extend(lost);
        Err(Failure::Held(format!("hold {}; {diff}{insist} takes it", said.join("; and "))))
    }

    /// Lists that have lost too much of what runs, and how much; none where whatever comes is to be taken.
    fn shrunk(&self, candidate: &Candidate) -> Vec<(Changed, String)> {
        let limit = candidate.config.geoip.max_change;
        limit.map_or_else(Vec::new, |_| candidate.standings.shrunk(&self.standings).collect())
    }

    /// Interfaces that nothing would be filtered on any more, where a name is wanted in their place that no interface has: most
    /// likely mistyped.
    fn lost_for_want(&self, config: &Config) -> Result<Option<String>, Failure> {
        let here =
            interfaces::names().map_err(|error| anyhow::anyhow!("list network interfaces: {error}"))?;
        let lost: Vec<&str> = self
            .dataplane
            .filtered()
            .values()
            .map(|one| one.name.as_str())
            .filter(|name| here.iter().any(|here| here == name) && !config.wants(name))
            .collect();
        let wanted: Vec<String> = absent(config, &here)
            .iter()
            .map(|Absent { pattern, near }| {
                let question = near.map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
                format!("{:?}{question}", pattern.as_str())
            })
            .collect();
        let both = !lost.is_empty() && !wanted.is_empty();
        Ok(both.then(|| {
            format!(
                "interfaces: {}, where nothing would be filtered any more, for {}, which is not there",
                lost.join(", "),
                wanted.join(", ")
            )
        }))
    }
}

/// Databases of a candidate that differ too much from those that run, and how.
pub(super) fn doubtful(
    candidate: &Candidate,
    running: &Standings,
) -> impl Iterator<Item = (Changed, String)> {
    let limit = candidate.config.geoip.max_change;
    let doubted = limit.map(|limit| candidate.standings.doubted(running, &candidate.config.rules, limit));
    doubted.into_iter().flatten().map(|(file, doubts)| (file, listed(&doubts)))
}

/// What is said of databases that are held; `insist` says how to take them.
pub(super) fn held(doubtful: &[(Changed, String)], insist: &str) -> String {
    let said = told(doubtful).join("; and ");
    format!("hold {said}; `octroi check --diff OLD NEW` shows what changes, {insist} takes it")
}

fn told(doubtful: &[(Changed, String)]) -> Vec<String> {
    let told = |(Changed { kind, path }, reason): &(Changed, String)| {
        format!("the {kind} database {path}: {reason}")
    };
    doubtful.iter().map(told).collect()
}

fn listed(doubts: &[String]) -> String {
    let told = doubts[..doubts.len().min(TOLD)].join(", and ");
    match doubts.len().saturating_sub(TOLD) {
        0 => told,
        more => format!("{told}, and {more} more of this kind"),
    }
}

/// What a reload leaves as it was, and what to do about it, a sentence each.
pub(super) fn restart_needed(old: &Config, new: &Config) -> Vec<String> {
    let next = |moved: &Moved| match moved.key {
        "socket" => format!(
            "; restart octroi now (the gate stays closed), since commands look for it at {} and it is at {}",
            moved.new.display(),
            moved.old.display()
        ),
        "pins" => format!(
            "; a start would find the programs that are pinned in {} and take them for somebody else's: stop octroi, open the gate \
             by `octroi detach` with the configuration of before, and start it",
            moved.old.display()
        ),
        _ => format!(
            "; leases and former policies stay in {}: stop octroi, move what is there to {}, and start it",
            moved.old.display(),
            moved.new.display()
        ),
    };
    let moved = moved(&old.control, &new.control);
    let moved = moved.iter().map(|moved| format!("[control] {}{}", moved.key, next(moved)));
    let others = [
        (old.metrics != new.metrics, "[metrics] listen"),
        (old.control.group != new.control.group, "[control] group"),
    ];
    let others = others.into_iter().filter(|(changed, _)| *changed).map(|(_, what)| what.to_owned());
    others.chain(moved).map(|what| format!("changed, but in force only after a restart: {what}")).collect()
}

/// Refuses a policy that moves what a restart alone can move: whoever confirms it would not find the daemon any more, nor the
/// daemon its leases.
pub(super) fn must_stay(what: &str, old: &Config, new: &Config) -> Result<(), Failure> {
    match moved(&old.control, &new.control).first() {
        None => Ok(()),
        Some(Moved { key, old, new }) => Err(anyhow::anyhow!(
            "{what}: refused, since it moves [control] {key} from {} to {}, which takes a restart: apply it with the former, and \
             move that by the configured file and a restart",
            old.display(),
            new.display()
        )
        .into()),
    }
}

/// A place that another one is named for.
struct Moved<'a> {
    key: &'static str,
    old: &'a Path,
    new: &'a Path,
}

fn moved<'a>(old: &'a Control, new: &'a Control) -> Vec<Moved<'a>> {
    let places = [
        ("socket", &old.socket, &new.socket),
        ("pins", &old.pins, &new.pins),
        ("state", &old.state, &new.state),
    ];
    let moved = places.into_iter().filter(|(_, old, new)| old != new);
    moved.map(|(key, old, new)| Moved { key, old, new }).collect()
}
