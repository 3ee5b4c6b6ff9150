//! The prefix that a lease is about.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use crate::config::{NetworkError, parse_network};

/// An IPv4 or IPv6 prefix without bits behind its length; none is IPv4-mapped. An address is read as the prefix of only that
/// address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Debug)]
#[serde(try_from = "String", into = "String")]
pub struct Prefix(IpNetwork);

impl Prefix {
    /// The prefix of that length around an address.
    ///
    /// # Panics
    /// When the length is more than the family has bits.
    pub(super) fn around(address: IpAddr, length: u8) -> Self {
        let within = IpNetwork::new(address, length).expect("at most the family's bits");
        Self(IpNetwork::new(within.network(), length).expect("as above"))
    }

    /// Whether it is about one host: an address, or of IPv6 a /64 at most, which one host has to itself (RFC 7934).
    #[must_use]
    pub fn is_one_host(self) -> bool {
        self.0.prefix() >= if self.0.is_ipv4() { 32 } else { 64 }
    }

    /// As a network.
    #[must_use]
    pub const fn network(self) -> IpNetwork {
        self.0
    }
}

impl FromStr for Prefix {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        parse_network(text).map(Self)
    }
}

impl TryFrom<String> for Prefix {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map_err(|why| format!("prefix {text:?} {why}"))
    }
}

impl From<Prefix> for String {
    fn from(prefix: Prefix) -> Self {
        prefix.to_string()
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
