//! Who has a connection to ssh, as the kernel's tables tell.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::{Login, cuts};
use crate::{
    config::Config,
    policy::{Databases, explain::Explainer, walk::Question},
};

/// An established connection that a process of this host has taken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Connection {
    /// The client, and the port here.
    pub login: Login,
    /// The client's port.
    pub client: u16,
    /// Of the socket here: another connection between the same ports has another one.
    pub inode: u64,
}

/// Tells of each connection to one of these ports of this host, except those that come from it.
///
/// # Errors
/// When the tables cannot be read; some connections may have been told of.
pub fn connections(ports: &[u16], mut tell: impl FnMut(Connection)) -> io::Result<()> {
    // Of the process's own namespace.
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let file = match File::open(table) {
            // Without IPv6, there is no second table.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            file => file?,
        };
        // Line by line: there may be a million.
        for line in BufReader::new(file).lines() {
            let found = connection(&line?).filter(|found| ports.contains(&found.login.port));
            found.into_iter().filter(|found| !found.login.address.is_loopback()).for_each(&mut tell);
        }
    }
    Ok(())
}

/// The established connection that a line is about.
fn connection(line: &str) -> Option<Connection> {
    const ESTABLISHED: &str = "01";
    let mut words = line.split_ascii_whitespace().skip(1);
    let (local, remote, state) = (words.next()?, words.next()?, words.next()?);
    if state != ESTABLISHED {
        return None;
    }
    let port = |end: &str| u16::from_str_radix(end.split_once(':')?.1, 16).ok();
    let login = Login { address: address(remote.split_once(':')?.0)?, port: port(local)? };
    // 0 where no process has it, not yet or not any more: nobody has logged in by it.
    let inode = words.nth(5)?.parse().ok().filter(|&inode| inode != 0)?;
    Some(Connection { login, client: port(remote)?, inode })
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
    /// Whose sentence each of those `now` is.
    pub whose: Vec<Login>,
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
            let text = cut.describe(config, "from which somebody seems to be logged in", "that session");
            if cut.from.is_some() {
                told.later.push(text);
            } else {
                told.now.push(text);
                told.whose.push(cut.login);
            }
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
        let found = |address: &str, port| {
            let login = Login { address: address.parse().expect("an address"), port };
            Some(Connection { login, client: 50_000, inode: 31_337 })
        };
        let rest = "00000000:00000000 02:000A 00000000     0        0 31337 4";
        let line = |local: &str, remote: &str, state: &str| format!("   1: {local} {remote} {state} {rest}");
        let native = |address: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(address));
        let remote = format!("{}:C350", native([192, 0, 2, 7]));
        let ssh = line("0100007F:0016", &remote, "01");
        assert_eq!(connection(&ssh), found("192.0.2.7", 22));
        assert_eq!(connection(&line("0100007F:08AE", &remote, "01")), found("192.0.2.7", 2222));
        assert_eq!(connection(&line("0100007F:0016", &remote, "0A")), None, "it listens");
        assert_eq!(connection(&ssh.replace("31337", "0")), None, "nobody has accepted it");
        let six = [[0x20, 1, 0xd, 0xb8], [0; 4], [0; 4], [0, 0, 0, 7]].map(native).concat();
        let mapped = [[0; 4], [0; 4], [0, 0, 0xff, 0xff], [192, 0, 2, 7]].map(native).concat();
        let local = format!("{}:0016", "0".repeat(32));
        assert_eq!(connection(&line(&local, &format!("{six}:C350"), "01")), found("2001:db8::7", 22));
        assert_eq!(connection(&line(&local, &format!("{mapped}:C350"), "01")), found("192.0.2.7", 22));
        for text in
            ["", "  sl  local_address rem_address   st tx_queue", "1: x:y z 01", "1: 00:0016 é0000000:1 01"]
        {
            assert_eq!(connection(text), None, "{text}");
        }
    }
}
