//! Leases of the running gate: added and removed in the kernel and on disk, or in neither; ended.

use std::{
    path::{Path, PathBuf},
    sync::{MutexGuard, PoisonError},
    time::Duration,
};

use octroi_abi::Verdict;
use serde::{Deserialize, Serialize};

use super::{
    engine::{Engine, Live},
    status::DamagedLeases,
};
use crate::{
    Failure,
    dataplane::{Dataplane, DataplaneError},
    lease::{
        Action, Lease, Leases, Prefix, Reason, Ttl,
        store::{Found, Store, StoreError},
    },
    lint::Login,
    policy::walk::{Purpose, Question},
    text::some,
    time,
};

/// What `octroi lease add` asks for.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub struct Wish {
    /// The sources that the lease is about.
    pub prefix: Prefix,
    /// What it says.
    pub action: Action,
    /// How long it holds.
    pub ttl: Ttl,
    /// Why, for people.
    pub reason: Option<Reason>,
    /// Also where it cuts off somebody who is logged in.
    #[serde(default)]
    pub force: bool,
    /// Where whoever asks is logged in from.
    #[serde(default)]
    pub login: Option<Login>,
}

/// Of these logins, the first that a ban would cut off: one that no lease of a longer prefix lets in for as long as it holds.
fn cut_off(leases: &Leases, ban: &Lease, logins: &[Login]) -> Option<Login> {
    let spared = |login: &Login| {
        let within = leases.iter().filter(|lease| lease.prefix.network().contains(login.address));
        let longer = within.filter(|lease| lease.prefix.network().prefix() > ban.prefix.network().prefix());
        longer.into_iter().any(|lease| lease.action == Action::Pass && lease.until >= ban.until)
    };
    logins.iter().copied().find(|login| ban.prefix.network().contains(login.address) && !spared(login))
}

/// What a start could not take of the leases that are kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Damage {
    /// The file in which they are now.
    file: PathBuf,
    /// What is wrong with it, a phrase each.
    bad: Vec<String>,
}

impl Damage {
    /// What `octroi status` says, until somebody has looked after it: as long as the file is there.
    pub(super) fn status(&self) -> Option<DamagedLeases> {
        let Self { file, bad } = self;
        let there = file.symlink_metadata().is_ok();
        there.then(|| DamagedLeases { file: file.display().to_string(), bad: bad.clone() })
    }
}

/// The protocol that ssh uses.
const TCP: u8 = 6;

/// So many complaints go into one line of the log.
const TOLD: usize = 10;

/// Reads what is kept in that directory and puts it into the kernel, before anything is attached. What cannot be read keeps
/// nobody from closing the gate, nor other leases from holding: the log says so.
pub(super) fn restore(directory: &Path, dataplane: &mut Dataplane) -> (Store, Leases, Option<Damage>) {
    let mut store = Store::new(directory);
    let path = store.path().display().to_string();
    let (leases, damage) = match store.read(time::now_ns()) {
        Ok(Found { leases, bad }) if bad.is_empty() => (leases, None),
        Ok(Found { leases, bad }) => {
            let what = format!("in the leases in {path}: {}", some(&bad, TOLD));
            let rest = leases.len();
            let (file, next) = match store.set_aside(&leases) {
                Ok(aside) => {
                    let next = format!("the file as it was is {}", aside.display());
                    (aside, next)
                }
                Err(error) => (
                    store.path().to_owned(),
                    format!("{error}; the next change to a lease replaces the file"),
                ),
            };
            tracing::error!(
                "{what}; what that is about does not hold, and the other {rest} leases do; {next}: add again what is missing with \
                 `octroi lease add`, and remove that file"
            );
            (leases, Some(Damage { file, bad }))
        }
        Err(error) => {
            tracing::error!(
                "{error}; none of its leases holds, and octroi changes none until it can be read, and then asks for a restart"
            );
            let bad = vec![format!("none of its leases holds: {error}")];
            (Leases::default(), Some(Damage { file: store.path().to_owned(), bad }))
        }
    };
    for lease in leases.iter() {
        // It stays on the list, and in the file: the next start tries again.
        if let Err(error) = put(dataplane, lease.prefix, Some(lease)) {
            tracing::error!("{error}; it does not hold: remove it and add it again, or restart octroi");
        }
    }
    if !leases.is_empty() {
        tracing::info!("{} leases of {path}", leases.len());
    }
    (store, leases, damage)
}

/// Makes a prefix have that lease in the kernel, or none.
fn put(dataplane: &mut Dataplane, prefix: Prefix, lease: Option<&Lease>) -> Result<(), DataplaneError> {
    match lease {
        Some(lease) => dataplane.set_lease(prefix.network(), lease.action.verdict(), lease.until),
        None => dataplane.remove_lease(prefix.network()),
    }
}

impl Engine {
    /// Adds a lease that begins now; with it, the one of the same prefix that it replaces.
    ///
    /// # Errors
    /// When it would cut off whoever is logged in, or cannot be kept on disk or put into the kernel; then all is as it was.
    pub fn add_lease(&self, wish: Wish) -> Result<(Lease, Option<Lease>), Failure> {
        let Wish { prefix, action, ttl, reason, force, login } = wish;
        let store = self.store();
        let since = time::now_ns();
        let (until, reason) = (since.saturating_add(ttl.nanoseconds()), reason.map(String::from));
        let lease = Lease { prefix, action, since, until, reason };
        if !force && action == Action::Drop {
            // A ban of one host is meant for that one, whose connection to port 22 may be why (fail2ban).
            let logins = if prefix.is_one_host() { login.into_iter().collect() } else { self.logins(login) };
            let cut = cut_off(&self.live().leases, &lease, &logins);
            if let Some(Login { address, port }) = cut {
                return Err(anyhow::anyhow!(
                    "lease add {prefix}: refused, since it would cut off whoever is logged in by ssh (port {port}) from {address}, \
                     this session and the next (--force adds it nevertheless); to spare that address, let it in for longer first: \
                     octroi lease add {address} --action pass --ttl {}s",
                    ttl.nanoseconds() / 1_000_000_000 + 60
                )
                .into());
            }
        }
        let replaced = self.change(&store, prefix, Some(&lease))?.filter(|old| !old.is_over(since));
        tracing::info!(action = lease.action.verdict().as_str(), "added {}", lease.describe());
        Ok((lease, replaced))
    }

    /// Removes the lease of a prefix.
    ///
    /// # Errors
    /// When there is none, when it is what lets in whoever is `asking`, or when its end cannot be kept on disk or put into the
    /// kernel; then all is as it was.
    pub fn remove_lease(&self, prefix: Prefix, asking: Option<Login>) -> Result<Lease, Failure> {
        // Before the lock is taken, since asking the policy takes a while.
        if let Some(Login { address, port }) = asking.filter(|&login| self.needs_lease(prefix, login)) {
            return Err(anyhow::anyhow!(
                "lease remove {prefix}: refused, since it would cut you off, logged in by ssh (port {port}) from {address}, which \
                 nothing else lets in (--force removes it nevertheless); let that address in by a rule, or by another lease, first"
            )
            .into());
        }
        let store = self.store();
        if !self.leases().iter().any(|lease| lease.prefix == prefix) {
            return Err(anyhow::anyhow!(
                "remove the lease {prefix}: there is none of exactly that prefix; `octroi lease list` shows all there are"
            )
            .into());
        }
        let removed = self.change(&store, prefix, None)?;
        let removed =
            removed.ok_or_else(|| anyhow::anyhow!("remove the lease {prefix}: it has just ended"))?;
        tracing::info!("removed {}", removed.describe());
        Ok(removed)
    }

    /// Whether the lease of a prefix is what lets in a login: it does, no other would for as long, and the policy does not.
    fn needs_lease(&self, prefix: Prefix, login: Login) -> bool {
        let now = time::now_ns();
        let mut leases = self.live().leases.clone();
        // Where a longer one decides, this one changes nothing.
        let counts = |lease: &Lease| lease.prefix == prefix && lease.action == Action::Pass;
        let Some(lease) = leases.covering(login.address, now).filter(|lease| counts(lease)).cloned() else {
            return false;
        };
        leases.remove(prefix);
        match leases.covering(login.address, now) {
            Some(next) if next.action == Action::Drop => return true,
            Some(next) if next.until >= lease.until => return false,
            _ => {}
        }
        let question = Question { service: Some(Purpose::Protocol(TCP, Some(login.port))), at: now };
        let asked = self.explain(&[login.address], question, |explainer, address, _| {
            explainer.outcome(address, question).verdict
        });
        // Where nobody can say why, he may be let in by the lease alone.
        asked.map_or(true, |verdicts| {
            verdicts.iter().any(|verdict| matches!(verdict, Some(Verdict::Drop | Verdict::Reject)))
        })
    }

    /// The leases that are not over.
    #[must_use]
    pub fn leases(&self) -> Vec<Lease> {
        let now = time::now_ns();
        self.live().leases.iter().filter(|lease| !lease.is_over(now)).cloned().collect()
    }

    /// Forgets leases that are over. Nobody waits for it: the kernel goes by the time, and whoever reads the file too.
    pub fn end_leases(&self) {
        let mut live = self.live();
        for prefix in live.leases.over(time::now_ns()) {
            // Kept where the kernel keeps it: the next event tries again.
            match put(&mut live.dataplane, prefix, None) {
                Ok(()) => {
                    if let Some(lease) = live.leases.remove(prefix) {
                        tracing::info!("ended: {}", lease.describe());
                    }
                }
                Err(error) => tracing::error!("{error}; it is over nevertheless"),
            }
        }
    }

    /// How long until the next lease is over.
    #[must_use]
    pub fn until_lease_ends(&self) -> Option<Duration> {
        let end = self.live().leases.next_end()?;
        Some(Duration::from_nanos(end.saturating_sub(time::now_ns())))
    }

    /// Held by whoever changes leases, so that what is on disk is what is in the kernel.
    fn store(&self) -> MutexGuard<'_, Store> {
        // Whoever panicked with the lock held left a whole file behind.
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a prefix have that lease or none; the one that it had.
    ///
    /// What takes long or is likely to fail, the disk, comes first, and holds up nobody but who changes leases.
    fn change(&self, store: &Store, prefix: Prefix, lease: Option<&Lease>) -> Result<Option<Lease>, Failure> {
        let mut wanted = self.live().leases.clone();
        set(&mut wanted, prefix, lease);
        let failed = |error: StoreError| Failure::from(anyhow::Error::from(error));
        let prepared = store.prepare(&wanted).map_err(failed)?;
        let old = self.live().change(prefix, lease)?;
        if let Err(error) = prepared.commit() {
            if let Err(error) = self.live().change(prefix, old.as_ref()) {
                tracing::error!("{error}; what was refused holds until octroi ends");
            }
            return Err(failed(error));
        }
        Ok(old)
    }
}

impl Live {
    /// Makes a prefix have that lease or none, in the kernel; the one that it had.
    fn change(&mut self, prefix: Prefix, lease: Option<&Lease>) -> Result<Option<Lease>, DataplaneError> {
        put(&mut self.dataplane, prefix, lease)?;
        Ok(set(&mut self.leases, prefix, lease))
    }
}

/// Makes a prefix have that lease or none; the one that it had.
fn set(leases: &mut Leases, prefix: Prefix, lease: Option<&Lease>) -> Option<Lease> {
    match lease {
        Some(lease) => leases.insert(lease.clone()),
        None => leases.remove(prefix),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ban_spares_whom_a_longer_lease_lets_in_for_as_long() {
        let lease = |prefix: &str, action, until| Lease {
            prefix: prefix.parse().expect("a prefix"),
            action,
            since: 0,
            until,
            reason: None,
        };
        let login = |address: &str| Login { address: address.parse().expect("an address"), port: 22 };
        let cut = |leases: &[Lease]| {
            let leases: Leases = leases.iter().cloned().collect();
            let ban = lease("192.0.2.0/24", Action::Drop, 100);
            let logins = ["198.51.100.1", "2001:db8::1", "192.0.2.7"].map(login);
            cut_off(&leases, &ban, &logins).is_some()
        };
        assert!(cut(&[]) && cut(&[lease("192.0.2.0/24", Action::Pass, 200)]), "it replaces that one");
        assert!(cut(&[lease("192.0.0.0/16", Action::Pass, 200)]), "shorter");
        assert!(cut(&[lease("192.0.2.7", Action::Pass, 99)]), "over before the ban");
        assert!(cut(&[lease("192.0.2.7", Action::Drop, 200), lease("192.0.2.8", Action::Pass, 200)]));
        assert!(!cut(&[lease("192.0.2.7", Action::Pass, 100)]));
        let elsewhere = lease("203.0.113.0/24", Action::Drop, 100);
        assert_eq!(cut_off(&Leases::default(), &elsewhere, &[login("192.0.2.7"), login("::1")]), None);
    }
}
