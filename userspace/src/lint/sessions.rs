//! Who is logged in by ssh, as the kernel's tables of connections tell.

use std::{
    collections::BTreeSet,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::{Login, cuts};
use crate::{
    config::Config,
    policy::{Databases, explain::Explainer, walk::Question},
};

/// Where ssh listens, wherever else it may.
const SSH: u16 = 22;

/// The logins that are looked at where a policy changes: of each client that has a connection to this host's port 22 or to
/// that of `asking`, whoever asks for the change; and `asking`. What comes from this host itself is no login.
#[must_use]
pub fn logins(asking: Option<Login>) -> Vec<Login> {
    let ports: BTreeSet<u16> = asking.iter().map(|login| login.port).chain([SSH]).collect();
    let mut found: BTreeSet<Login> = asking.into_iter().collect();
    // Of the process's own namespace. Without IPv6, there is no second table.
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = fs::read_to_string(table).unwrap_or_default();
        found.extend(text.lines().filter_map(connection).filter(|login| ports.contains(&login.port)));
    }
    found.into_iter().filter(|login| !login.address.is_loopback()).collect()
}

/// The client, and the port here, of a line that is about an established connection.
fn connection(line: &str) -> Option<Login> {
    const ESTABLISHED: &str = "01";
    let mut words = line.split_whitespace().skip(1);
    let (local, remote, state) = (words.next()?, words.next()?, words.next()?);
    if state != ESTABLISHED {
        return None;
    }
    let port = u16::from_str_radix(local.split_once(':')?.1, 16).ok()?;
    Some(Login { address: address(remote.split_once(':')?.0)?, port })
}

/// An address as the tables have it: words of 32 bits in the host's order, in hexadecimal digits.
fn address(digits: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let word = u32::from_str_radix(digits.get(8 * at..8 * at + 8)?, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    match digits.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?].concat();
            let bytes: [u8; 16] = words.try_into().ok()?;
            // A server with one socket for both families.
            Some(Ipv6Addr::from(bytes).to_canonical())
        }
        _ => None,
    }
}

/// Whom a policy keeps from logging in again.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct LockedOut {
    /// Who is kept out at once, a sentence each.
    pub now: Vec<String>,
    /// Who will be, a sentence each.
    pub later: Vec<String>,
}

impl LockedOut {
    /// Asks a policy about logins, at `now`, in nanoseconds since the Unix epoch, and whenever something changes by itself.
    #[must_use]
    pub fn by(config: &Config, databases: &Databases, logins: &[Login], now: u64) -> Self {
        let mut told = Self::default();
        if logins.is_empty() {
            return told;
        }
        // Whoever asks compiles the policy, and is told there that it does not fit.
        let Ok(explainer) = Explainer::new(config, databases, Question { service: None, at: now }) else {
            return told;
        };
        for cut in logins.iter().flat_map(|&login| cuts(config, &explainer, login, now)) {
            let text = cut.describe(config, "from which somebody is logged in", "that session");
            if cut.from.is_some() { told.later.push(text) } else { told.now.push(text) }
        }
        told
    }

    /// All of it.
    pub fn all(self) -> impl Iterator<Item = String> {
        self.now.into_iter().chain(self.later)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_kernel_s_tables_are_read() {
        let login = |address: &str, port| Some(Login { address: address.parse().expect("an address"), port });
        let rest = "00000000:00000000 02:000A 00000000     0        0 31337 4";
        let line = |local: &str, remote: &str, state: &str| format!("   1: {local} {remote} {state} {rest}");
        let native = |address: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(address));
        let remote = format!("{}:C350", native([192, 0, 2, 7]));
        assert_eq!(connection(&line("0100007F:0016", &remote, "01")), login("192.0.2.7", 22));
        assert_eq!(connection(&line("0100007F:08AE", &remote, "01")), login("192.0.2.7", 2222));
        assert_eq!(connection(&line("0100007F:0016", &remote, "0A")), None, "it listens");
        let six = [[0x20, 1, 0xd, 0xb8], [0; 4], [0; 4], [0, 0, 0, 7]].map(native).concat();
        let mapped = [[0; 4], [0; 4], [0, 0, 0xff, 0xff], [192, 0, 2, 7]].map(native).concat();
        let local = format!("{}:0016", "0".repeat(32));
        assert_eq!(connection(&line(&local, &format!("{six}:C350"), "01")), login("2001:db8::7", 22));
        assert_eq!(connection(&line(&local, &format!("{mapped}:C350"), "01")), login("192.0.2.7", 22));
        for text in
            ["", "  sl  local_address rem_address   st tx_queue", "1: x:y z 01", "1: 00:0016 é0000000:1 01"]
        {
            assert_eq!(connection(text), None, "{text}");
        }
    }

    #[test]
    fn whoever_asks_is_among_the_logins_unless_he_is_here() {
        let login = |address: &str| Login { address: address.parse().expect("an address"), port: 4711 };
        assert!(logins(Some(login("192.0.2.7"))).contains(&login("192.0.2.7")));
        assert!(!logins(Some(login("::1"))).contains(&login("::1")));
    }
}
