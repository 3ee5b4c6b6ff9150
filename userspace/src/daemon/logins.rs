//! Who is asked about where a policy changes, so that nobody who is logged in is locked out unasked.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use octroi_abi::Verdict;
use octroi_gate::corpus::build::tcp;

use super::{
    engine::{Candidate, Engine, Live},
    events::LOOK_AGAIN,
    status::HeldDatabase,
};
use crate::{
    Failure,
    lint::{self, Connection, LockedOut, Login},
    policy::Changed,
    time,
};

/// Where ssh listens, wherever else it may.
const SSH: u16 = 22;
/// For longer than that, sshd lets nobody be who has not logged in (`LoginGraceTime`, 120 s unless it is told otherwise, and a
/// few more where it takes its time): a connection that is older is a login.
const GRACE: Duration = Duration::from_secs(130);
/// So many connections are remembered, the oldest: whoever can make more does not make the daemon grow.
const KEPT: usize = 4096;
/// So many ports are looked at, ssh's among them: the others are those that whoever asked came by.
const PORTS: usize = 8;

/// Since when connections to ssh are there: anybody can have one, and only who has logged in can keep it.
#[derive(Default, Debug)]
pub(super) struct Sessions(Mutex<Seen>);

#[derive(Default, Debug)]
struct Seen {
    /// Those that are looked at: ssh's, and then the one that was asked about last.
    ports: Vec<u16>,
    /// Since when each was seen; `None`: it was there when its port was looked at first, and nobody knows for how long.
    connections: BTreeMap<Connection, Option<Instant>>,
}

impl Sessions {
    /// Of what is there by now, nobody knows since when.
    pub(super) fn begin() -> Self {
        let sessions = Self::default();
        sessions.look(SSH);
        sessions
    }

    /// Looks at all connections again, those to that port among them; whoever has one for long enough.
    fn look(&self, port: u16) -> Vec<Login> {
        // Whoever panicked with the lock held left connections that the next look takes out or in.
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if let Err(error) = seen.look(now, port, |ports, tell| lint::connections(ports, tell)) {
            tracing::warn!(%error, "read /proc/net/tcp: who is logged in by ssh is known from before only");
        }
        seen.old(now).collect()
    }
}

impl Seen {
    /// `list` tells of all connections to some ports.
    ///
    /// # Errors
    /// Those of `list`; then none is forgotten.
    fn look(
        &mut self,
        now: Instant,
        port: u16,
        list: impl FnOnce(&[u16], &mut dyn FnMut(Connection)) -> io::Result<()>,
    ) -> io::Result<()> {
        let before = self.ports.clone();
        self.ports.retain(|&known| known != port || known == SSH);
        if !self.ports.contains(&port) {
            self.ports.insert(self.ports.len().min(1), port);
            self.ports.truncate(PORTS);
        }
        let Self { ports, connections } = self;
        let mut gone: BTreeMap<Connection, Option<Instant>> = std::mem::take(connections);
        let listed = list(ports, &mut |found| {
            if let Some(since) = gone.remove(&found) {
                connections.insert(found, since);
            } else if gone.len() + connections.len() < KEPT && !connections.contains_key(&found) {
                connections.insert(found, before.contains(&found.login.port).then_some(now));
            }
        });
        if listed.is_err() {
            connections.append(&mut gone);
        }
        listed
    }

    /// Clients that have had a connection for long enough, or for nobody knows how long.
    fn old(&self, now: Instant) -> impl Iterator<Item = Login> {
        let old = move |since: &Option<Instant>| since.is_none_or(|since| now >= since + GRACE);
        self.connections.iter().filter(move |(_, since)| old(since)).map(|(connection, _)| connection.login)
    }
}

/// Whoever has a connection to ssh, for a start, which nobody asked and which nothing runs before.
pub(super) fn connected() -> Vec<Login> {
    let mut found = Sessions::default().look(SSH);
    found.sort_unstable();
    found.dedup();
    found
}

/// Looks at connections now and then, for as long as the daemon runs: nobody waits for it.
pub(super) async fn watch(engine: Arc<Engine>) {
    loop {
        tokio::time::sleep(LOOK_AGAIN).await;
        let engine = Arc::clone(&engine);
        if tokio::task::spawn_blocking(move || engine.sessions.look(SSH)).await.is_err() {
            return;
        }
    }
}

/// Whoever asks for a reload.
#[derive(Clone, Copy, Debug)]
pub struct Asking {
    /// Where he is logged in from.
    pub login: Login,
    /// Also where that keeps him out.
    pub force: bool,
}

impl Engine {
    /// Whoever asks for a change, first; and of those who are logged in by his port, or ssh's, as far as their connections tell,
    /// the ones whom the gate lets in now: who is kept out already is not locked out by what comes.
    pub(super) fn logins(&self, asking: Option<Login>) -> Vec<Login> {
        let port = asking.map_or(SSH, |asking| asking.port);
        // First, since it reads all connections: nobody else waits for that.
        let mut found = self.sessions.look(port);
        found.retain(|login| [SSH, port].contains(&login.port) && Some(*login) != asking);
        // One client may have many.
        found.sort_unstable();
        found.dedup();
        let mut live = self.live();
        found.retain(|&login| live.lets_in(login));
        // What comes from this host itself is no login.
        asking.into_iter().filter(|login| !login.address.is_loopback()).chain(found).collect()
    }

    /// Whoever asks, unless he insists, where something would change for him: who is kept out already, or let in by a lease
    /// whatever the policy says, is not locked out by what comes.
    pub(super) fn whom_it_may_lock_out(&self, asking: Option<Asking>) -> Option<Login> {
        let Asking { login, .. } = asking.filter(|asking| !asking.force)?;
        let mut live = self.live();
        let spared = live.leases.covering(login.address, time::now_ns()).is_some();
        (!spared && live.lets_in(login)).then_some(login)
    }
}

impl Candidate {
    /// # Errors
    /// Where it keeps out that one, who asks for it by `octroi reload`.
    pub(super) fn must_let_in_asking(&self, asking: Option<Login>) -> Result<(), Failure> {
        let LockedOut { now, whose, .. } = &self.locked_out;
        let cut = now.iter().zip(whose).find(|&(_, &login)| Some(login) == asking);
        cut.map_or(Ok(()), |(cut, _)| {
            Err(anyhow::anyhow!(
                "reload: refused, since it would lock you out (--force reloads nevertheless; `octroi apply` goes back by itself):\n{cut}"
            )
            .into())
        })
    }

    /// # Errors
    /// Whom it keeps out though he is logged in, unless by `force`, which `does` it.
    pub(super) fn must_let_in(&self, what: &str, force: bool, does: &str) -> Result<(), Failure> {
        let cut = &self.locked_out.now;
        if cut.is_empty() || force {
            return Ok(());
        }
        Err(anyhow::anyhow!(
            "{what}: refused, since it locks out whoever is logged in by ssh (--force {does} nevertheless):\n{}",
            cut.join("\n")
        )
        .into())
    }

    /// Whom it keeps out though he is logged in, and why: where nobody said that the policy is to change, it does not.
    pub(super) fn locks_out(&self) -> Option<String> {
        let now = &self.locked_out.now;
        (!now.is_empty())
            .then(|| format!("whoever is logged in by ssh would be locked out: {}", now.join("; ")))
    }
}

impl Live {
    /// Whether the gate, leases and all, lets in a new connection.
    fn lets_in(&mut self, Login { address, port }: Login) -> bool {
        const CLIENT: u16 = 50_000;
        let here: IpAddr =
            if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
        let probed = self.dataplane.probe(&tcp(address, here).ports(CLIENT, port).frame());
        // Where the kernel does not tell, he may be somebody.
        !probed.is_ok_and(|probed| matches!(probed.verdict, Verdict::Drop | Verdict::Reject))
    }

    /// Leaves files that lock somebody out, until he has gone; they are tried again.
    pub(super) fn leave_until_nobody_is_locked_out(&mut self, files: Vec<Changed>, reason: &str) {
        self.failed_once(&Failure::Held(format!(
            "hold files that changed, until those have gone, since {reason} (`octroi reload` takes them nevertheless)"
        )));
        self.hold(files.into_iter().map(|file| (file, reason.to_owned())));
        self.spared = Some(reason.to_owned());
    }

    /// Those are taken by now, or others: whoever was spared has gone, and does not get in again. That is told, where it is so.
    pub(super) fn nobody_is_spared(&mut self, taken: bool) {
        if let Some(reason) = self.spared.take().filter(|_| taken) {
            tracing::warn!("files are taken that were held while somebody was logged in: {reason}");
        }
    }

    /// Shows files that are held, in place of those that were.
    pub(super) fn hold(&mut self, files: impl IntoIterator<Item = (Changed, String)>) {
        let before = std::mem::take(&mut self.held);
        let held = files.into_iter().map(|(Changed { kind, path }, reason)| {
            let same = before.iter().find(|held| held.path == path && held.reason == reason);
            let since = same.map_or_else(time::now_text, |held| held.since.clone());
            HeldDatabase { database: kind.into(), path, reason, since }
        });
        self.held = held.collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(host: u16, port: u16, inode: u64) -> Connection {
        let [high, low] = host.to_be_bytes();
        let login = Login { address: Ipv4Addr::new(192, 0, high, low).into(), port };
        Connection { login, client: 50_000, inode }
    }

    /// Who counts as logged in so many seconds after the first look, when these connections are there.
    fn after(seen: &mut Seen, start: Instant, seconds: u64, port: u16, there: &[Connection]) -> Vec<Login> {
        let now = start + Duration::from_secs(seconds);
        let list = |ports: &[u16], tell: &mut dyn FnMut(Connection)| {
            there.iter().copied().filter(|one| ports.contains(&one.login.port)).for_each(tell);
            Ok(())
        };
        seen.look(now, port, list).expect("it does not fail");
        seen.old(now).collect()
    }

    #[test]
    fn a_connection_is_a_login_once_it_is_older_than_sshd_lets_anybody_be_without_one() {
        let (mut seen, start) = (Seen::default(), Instant::now());
        let [old, young, other] = [connection(1, 22, 7), connection(2, 22, 8), connection(2, 22, 9)];
        assert_eq!(
            after(&mut seen, start, 0, SSH, &[old]),
            [old.login],
            "nobody knows since when it is there"
        );
        assert_eq!(after(&mut seen, start, 5, SSH, &[old, young]), [old.login]);
        assert_eq!(after(&mut seen, start, 134, SSH, &[old, young]), [old.login]);
        assert_eq!(after(&mut seen, start, 135, SSH, &[old, young]), [old.login, young.login]);
        // Another one between the same ports, and one that has gone for a look, begin anew.
        assert_eq!(after(&mut seen, start, 140, SSH, &[old, other]), [old.login]);
        assert_eq!(after(&mut seen, start, 145, SSH, &[]), []);
        assert_eq!(after(&mut seen, start, 300, SSH, &[old, other]), []);
        assert_eq!(after(&mut seen, start, 430, SSH, &[old, other]).len(), 2);
    }

    #[test]
    fn of_a_port_that_somebody_comes_by_nobody_knows_at_first_and_few_are_looked_at() {
        let (mut seen, start) = (Seen::default(), Instant::now());
        let [first, second] = [connection(1, 2222, 7), connection(2, 2222, 8)];
        assert_eq!(after(&mut seen, start, 0, SSH, &[first]), []);
        assert_eq!(after(&mut seen, start, 5, 2222, &[first]), [first.login]);
        assert_eq!(after(&mut seen, start, 10, 2222, &[first, second]), [first.login]);
        assert_eq!(
            after(&mut seen, start, 15, SSH, &[first, second]),
            [first.login],
            "it is still looked at"
        );
        for port in 3000..3100 {
            after(&mut seen, start, 20, port, &[first, second]);
            assert!(seen.ports.len() <= PORTS && seen.ports[0] == SSH && seen.ports.contains(&port));
        }
        assert_eq!(seen.connections.len(), 0, "there were too many others");
    }

    #[test]
    fn the_oldest_are_kept_however_many_there_are_and_all_where_nobody_can_look() {
        let (mut seen, start) = (Seen::default(), Instant::now());
        let old = connection(60_000, 22, 1);
        let crowd: Vec<Connection> = (0..5_000).map(|host| connection(host, 22, 2)).chain([old]).collect();
        after(&mut seen, start, 0, SSH, &[old]);
        assert_eq!(after(&mut seen, start, 5, SSH, &crowd), [old.login]);
        assert_eq!(seen.connections.len(), KEPT);
        assert_eq!(after(&mut seen, start, 140, SSH, &crowd).len(), KEPT);
        let now = start + Duration::from_secs(145);
        let fails = |_: &[u16], tell: &mut dyn FnMut(Connection)| {
            tell(old);
            Err(io::Error::from_raw_os_error(libc::EMFILE))
        };
        assert!(seen.look(now, SSH, fails).is_err());
        assert_eq!(seen.old(now).count(), KEPT);
    }
}
