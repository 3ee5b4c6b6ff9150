//! What lints have to know apart from configuration and databases: the time, this host, and who is asking.

use std::{fs, net::IpAddr, ops::RangeInclusive, process};

use serde::{Deserialize, Serialize};

/// Where and when a configuration is looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Surroundings {
    /// Now, in nanoseconds since the Unix epoch.
    pub now: u64,
    /// The ports that this host's own clients talk from.
    pub client_ports: RangeInclusive<u16>,
    /// Where whoever asks is logged in from, where that is another host.
    pub login: Option<Login>,
}

/// A login by ssh.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Debug)]
pub struct Login {
    /// The client's address; IPv4 as IPv4, though a server with one socket for both families says `::ffff:192.0.2.1`.
    pub address: IpAddr,
    /// The server's port, on this host.
    pub port: u16,
}

/// Where the kernel says from which ports clients talk.
pub(super) const CLIENT_PORTS: &str = "/proc/sys/net/ipv4/ip_local_port_range";

/// The kernel's default, for hosts that do not say.
const USUAL_CLIENT_PORTS: RangeInclusive<u16> = 32768..=60999;

impl Surroundings {
    /// This host, now.
    #[must_use]
    pub fn here() -> Self {
        let ports = fs::read_to_string(CLIENT_PORTS).ok().and_then(|text| client_ports(&text));
        Self { now: crate::time::now_ns(), client_ports: ports.unwrap_or(USUAL_CLIENT_PORTS), login: login() }
    }
}

fn client_ports(text: &str) -> Option<RangeInclusive<u16>> {
    let (low, high) = text.trim().split_once(char::is_whitespace)?;
    Some(low.parse().ok()?..=high.trim().parse().ok()?)
}

/// The login by ssh of this process or else of one that it descends from: sudo takes the variables away, and who checks a
/// configuration as root came by it.
pub fn login() -> Option<Login> {
    let own = ["SSH_CONNECTION", "SSH_CLIENT"].into_iter().find_map(|name| std::env::var(name).ok());
    own.as_deref().and_then(connection).or_else(|| {
        let mut process = process::id();
        // Deeper than any shell in a shell; a loop could only come from processes that end meanwhile.
        (0..64).find_map(|_| {
            process = parent(&fs::read_to_string(format!("/proc/{process}/status")).ok()?)?;
            environment(&fs::read(format!("/proc/{process}/environ")).unwrap_or_default())
        })
    })
}

/// The parent in what `/proc/PID/status` says.
fn parent(status: &str) -> Option<u32> {
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

/// The login in an environment as in `/proc/PID/environ`.
fn environment(bytes: &[u8]) -> Option<Login> {
    let text = String::from_utf8_lossy(bytes);
    let value = |name: &str| text.split('\0').find_map(|entry| entry.strip_prefix(name)?.strip_prefix('='));
    value("SSH_CONNECTION").or_else(|| value("SSH_CLIENT")).and_then(connection)
}

/// `CLIENT PORT SERVER PORT` or `CLIENT PORT PORT`: the server's port is last in both.
fn connection(text: &str) -> Option<Login> {
    let mut words = text.split_whitespace();
    // A link-local address has its interface behind it: fe80::1%eth0.
    let address: IpAddr = words.next()?.split('%').next()?.parse().ok()?;
    Some(Login { address: address.to_canonical(), port: words.last()?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(address: &str, port: u16) -> Option<Login> {
        Some(Login { address: address.parse().expect("an address"), port })
    }

    #[test]
    fn both_of_ssh_s_variables_are_understood() {
        assert_eq!(connection("192.0.2.7 50000 198.51.100.1 2222"), login("192.0.2.7", 2222));
        assert_eq!(connection("192.0.2.7 50000 22"), login("192.0.2.7", 22));
        assert_eq!(connection("2001:db8::7 50000 2001:db8::1 22"), login("2001:db8::7", 22));
        assert_eq!(connection("::ffff:192.0.2.7 50000 ::ffff:198.51.100.1 22"), login("192.0.2.7", 22));
        assert_eq!(connection("fe80::7%eth0 50000 fe80::1%eth0 22"), login("fe80::7", 22));
        for text in ["", "192.0.2.7", "UNKNOWN 50000 22", "192.0.2.7 50000 ssh"] {
            assert_eq!(connection(text), None, "{text}");
        }
    }

    #[test]
    fn a_login_is_found_in_the_environment_of_another_process() {
        let environ = b"A=B\0SSH_CLIENT=192.0.2.7 50000 22\0SSH_CONNECTION=192.0.2.7 50000 198.51.100.1 22\0";
        assert_eq!(environment(environ), login("192.0.2.7", 22));
        assert_eq!(environment(b"SSH_CLIENT=192.0.2.7 50000 22\0"), login("192.0.2.7", 22));
        assert_eq!(environment(b"NOT_SSH_CLIENT=192.0.2.7 50000 22\0SSH_CLIENTS=x\0"), None);
        assert_eq!(parent("Name:\tsudo\nPid:\t12\nPPid:\t7\n"), Some(7));
    }

    #[test]
    fn the_kernel_s_range_of_client_ports_is_read() {
        assert_eq!(client_ports("32768\t60999\n"), Some(32768..=60999));
        assert_eq!(client_ports("1024 65535"), Some(1024..=65535));
        assert_eq!(client_ports("no"), None);
        assert!(Surroundings::here().client_ports.end() > Surroundings::here().client_ports.start());
    }
}
