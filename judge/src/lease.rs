//! Leases, which come before every rule.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::PassOrDrop;

/// A lease: "an exception or a ban for a while".
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lease {
    /// The sources that it is about: a network without bits after its prefix length, and no other lease's.
    pub prefix: IpNetwork,
    /// What it says of them.
    pub action: PassOrDrop,
    /// When it is over; nanoseconds since 1970.
    pub until: u64,
}

/// "Of those that cover a source, the longest prefix counts that is not over."
pub(crate) fn leased(leases: &[Lease], source: IpAddr, now: u64) -> Option<PassOrDrop> {
    let holding = leases.iter().filter(|lease| lease.prefix.contains(source) && now < lease.until);
    holding.max_by_key(|lease| lease.prefix.prefix()).map(|lease| lease.action)
}
