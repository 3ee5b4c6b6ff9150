//! Who is asked about where a policy changes, so that nobody who is logged in is locked out unasked.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use octroi_abi::Verdict;
use octroi_gate::corpus::build::tcp;

use super::{
    engine::{Candidate, Engine, Live},
    status::HeldDatabase,
};
use crate::{
    Failure,
    lint::{self, Login},
    policy::Changed,
    time,
};

impl Engine {
    /// Whoever asks for a change, and of those who have a connection to his port, or to ssh's, the ones whom the gate lets in
    /// now: a connection alone says nothing of a login, and who is kept out already is not locked out by what comes.
    pub(super) fn logins(&self, asking: Option<Login>) -> Vec<Login> {
        // First, since it reads all connections: nobody waits for that.
        let found = lint::logins(asking);
        let mut live = self.live();
        found.into_iter().filter(|&login| Some(login) == asking || live.lets_in(login)).collect()
    }
}

impl Candidate {
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
