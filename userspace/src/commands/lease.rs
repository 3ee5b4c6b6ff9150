//! `octroi lease`: temporary exceptions and bans.

use std::{fmt::Write, io};

use jiff::SignedDuration;
use serde::Serialize;

use super::{
    cli::{AddLeaseArgs, LeaseCommand, ReadArgs, RemoveLeaseArgs},
    print, print_json,
    running::{ask_at, places, request, unexpected},
    shown,
};
use crate::{
    Failure,
    config::Control,
    daemon::{
        control::{AskError, Reply, Request},
        leases::Wish,
    },
    lease::{Lease, store::Store},
    lint,
    text::some,
    time,
};

/// Runs the command.
///
/// # Errors
/// When no daemon answers, or it cannot do what was asked; for `list` without a daemon: when the file, or
/// something in it, cannot be read.
pub fn run(command: &LeaseCommand) -> Result<(), Failure> {
    match command {
        LeaseCommand::Add(args) => add(args),
        LeaseCommand::List(args) => list(args),
        LeaseCommand::Remove(args) => remove(args),
    }
}

fn add(args: &AddLeaseArgs) -> Result<(), Failure> {
    let AddLeaseArgs { prefix, action, ttl, ref reason, force, ref config } = *args;
    let (reason, login) = (reason.clone(), lint::own_login());
    match request(config, Request::AddLease(Wish { prefix, action, ttl, reason, force, login }))? {
        Reply::LeaseAdded { lease, replaced } => {
            let replaced = replaced.map(|old| format!("; it replaces {} until {}", word(&old), end(&old)));
            print(&format!(
                "added: {} {} until {}{}\n",
                lease.prefix,
                word(&lease),
                end(&lease),
                replaced.unwrap_or_default()
            ));
            Ok(())
        }
        other => Err(unexpected(other)),
    }
}

fn remove(args: &RemoveLeaseArgs) -> Result<(), Failure> {
    let RemoveLeaseArgs { prefix, force, ref config } = *args;
    match request(config, Request::RemoveLease { prefix, force, login: lint::own_login() })? {
        Reply::LeaseRemoved { lease } => {
            print(&format!("removed: {} {} until {}\n", lease.prefix, word(&lease), end(&lease)));
            Ok(())
        }
        other => Err(unexpected(other)),
    }
}

/// What `lease list --json` prints.
#[derive(Serialize)]
struct Listed<'a> {
    /// Whether a daemon runs; else these are the leases that are kept.
    daemon: bool,
    leases: Vec<Line>,
    /// What is kept and cannot be read, a phrase each.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    bad: &'a [String],
}

#[derive(Serialize)]
struct Line {
    #[serde(flatten)]
    lease: Lease,
    /// Until its end.
    seconds_left: u64,
}

fn list(args: &ReadArgs) -> Result<(), Failure> {
    let mut bad = Vec::new();
    let control = places(&args.config)?;
    let (leases, kept) = match running(&control)? {
        Some(leases) => (leases, None),
        None => {
            let mut store = Store::new(&control.state);
            let found = store.read(time::now_ns()).map_err(anyhow::Error::from)?;
            bad = found.bad;
            (found.leases.iter().cloned().collect(), Some(store))
        }
    };
    if args.json {
        let line = |lease: Lease| Line { seconds_left: left(&lease), lease };
        let leases = leases.into_iter().map(line).collect();
        print_json(&Listed { daemon: kept.is_none(), leases, bad: &bad })?;
    } else {
        print(&text(&leases, kept.as_ref()));
    }
    match kept {
        Some(store) if !bad.is_empty() => Err(anyhow::anyhow!(
            "in the leases in {}: {}; correct that while octroi is not running: else it starts with the others, and keeps \
             the file as it is under another name",
            store.path().display(),
            some(&bad, 10)
        )
        .into()),
        _ => Ok(()),
    }
}

/// The list for people.
fn text(leases: &[Lease], kept: Option<&Store>) -> String {
    let mut text = String::new();
    if let Some(store) = kept {
        text += &format!("no daemon runs; what is kept in {}:\n", store.path().display());
    }
    if leases.is_empty() {
        text += "no leases\n";
    }
    for lease in leases {
        let left = SignedDuration::from_secs(left(lease).try_into().unwrap_or(i64::MAX));
        let reason = lease.reason.as_ref().map(|reason| format!("  # {}", shown(reason))).unwrap_or_default();
        let (prefix, word) = (lease.prefix.to_string(), word(lease));
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{prefix:<24} {word:<5} until {} ({left:#} left){reason}", end(lease));
    }
    text
}

/// The running daemon's leases; `None`: none runs.
fn running(control: &Control) -> Result<Option<Vec<Lease>>, Failure> {
    match ask_at(control, Request::Leases)? {
        Ok(Reply::Leases { leases }) => Ok(Some(leases)),
        Ok(other) => Err(unexpected(other)),
        // A socket that is not there, or that nobody listens at; another that this user may not ask is one.
        Err(AskError::Absent { error, .. })
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
        {
            Ok(None)
        }
        Err(error) => Err(anyhow::Error::from(error).into()),
    }
}

fn word(lease: &Lease) -> &'static str {
    lease.action.verdict().as_str()
}

/// When it ends, to the second.
fn end(lease: &Lease) -> String {
    time::text(i64::try_from(lease.until / 1_000_000_000).unwrap_or(i64::MAX))
}

/// Seconds until its end, the last one whole.
fn left(lease: &Lease) -> u64 {
    lease.until.saturating_sub(time::now_ns()).div_ceil(1_000_000_000)
}
