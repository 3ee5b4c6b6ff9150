//! Leases: what an operator says about one prefix for a while, before any rule.
//!
//! The kernel ends them ([`octroi_gate::lease`]); here is what they are, which of them covers an address, and where they are
//! kept ([`store`]).

mod kept;
mod prefix;
mod reason;
pub mod store;
#[cfg(test)]
mod tests;
mod ttl;

use std::{collections::BTreeMap, net::IpAddr};

use clap::ValueEnum;
use octroi_abi::Verdict;
use serde::{Deserialize, Serialize};

pub use self::{prefix::Prefix, reason::Reason, ttl::Ttl};
use crate::{text::shown, time};

/// What a lease says.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize, Debug)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Packets pass, whatever the rules say.
    Pass,
    /// Packets are dropped, those of existing connections too.
    Drop,
}

impl Action {
    /// The verdict that it is.
    #[must_use]
    pub const fn verdict(self) -> Verdict {
        match self {
            Self::Pass => Verdict::Pass,
            Self::Drop => Verdict::Drop,
        }
    }
}

/// A lease.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct Lease {
    /// The sources that it is about.
    pub prefix: Prefix,
    /// What it says.
    pub action: Action,
    /// When it was made, in nanoseconds since the Unix epoch.
    #[serde(with = "instant")]
    pub since: u64,
    /// From when on it is over, in nanoseconds since the Unix epoch.
    #[serde(with = "instant")]
    pub until: u64,
    /// Why, for people.
    #[serde(default)]
    pub reason: Option<String>,
}

impl Lease {
    /// Whether it is over at that time, in nanoseconds since the Unix epoch.
    #[must_use]
    pub const fn is_over(&self, at: u64) -> bool {
        self.until <= at
    }

    /// Its prefix and end, and why it is there: what decided, in words. Safe for a terminal and a log.
    #[must_use]
    pub fn describe(&self) -> String {
        let reason = self.reason.as_ref().map(|reason| format!(" ({})", shown(reason))).unwrap_or_default();
        format!("lease {} until {}{reason}", self.prefix, time::text_ns(self.until))
    }
}

/// All leases, one a prefix.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Leases(BTreeMap<Prefix, Lease>);

impl Leases {
    /// Adds a lease; the one of the same prefix that it replaces.
    pub fn insert(&mut self, lease: Lease) -> Option<Lease> {
        self.0.insert(lease.prefix, lease)
    }

    /// Takes away the lease of that prefix.
    pub fn remove(&mut self, prefix: Prefix) -> Option<Lease> {
        self.0.remove(&prefix)
    }

    /// The lease of that prefix.
    #[must_use]
    pub fn get(&self, prefix: Prefix) -> Option<&Lease> {
        self.0.get(&prefix)
    }

    /// The lease that holds for an address at that time: of those that are not over, the one with the longest prefix.
    #[must_use]
    pub fn covering(&self, address: IpAddr, at: u64) -> Option<&Lease> {
        let lengths = (0..=if address.is_ipv4() { 32 } else { 128 }).rev();
        let covering = lengths.filter_map(|length| self.get(Prefix::around(address, length)));
        covering.into_iter().find(|lease| !lease.is_over(at))
    }

    /// The prefixes of leases that are over at that time.
    #[must_use]
    pub fn over(&self, at: u64) -> Vec<Prefix> {
        self.iter().filter(|lease| lease.is_over(at)).map(|lease| lease.prefix).collect()
    }

    /// When the next one ends, in nanoseconds since the Unix epoch.
    #[must_use]
    pub fn next_end(&self) -> Option<u64> {
        self.iter().map(|lease| lease.until).min()
    }

    /// All of them: IPv4 first, in the order of addresses.
    pub fn iter(&self) -> impl Iterator<Item = &Lease> {
        self.0.values()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Lease> for Leases {
    fn from_iter<I: IntoIterator<Item = Lease>>(leases: I) -> Self {
        Self(leases.into_iter().map(|lease| (lease.prefix, lease)).collect())
    }
}

/// Nanoseconds since the Unix epoch as RFC 3339.
mod instant {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::time;

    pub(super) fn serialize<S: Serializer>(time: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&time::text_ns(*time))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = String::deserialize(deserializer)?;
        time::parse_ns(&text).map_err(|why| D::Error::custom(format!("{text:?}: {why}")))
    }
}
