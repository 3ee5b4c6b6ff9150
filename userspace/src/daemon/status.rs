//! What `octroi status` says: the daemon's own account of what runs.

use serde::{Deserialize, Serialize};

/// The running daemon.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub struct Status {
    /// octroi's version.
    pub version: String,
    /// The source revision it was built from.
    pub revision: String,
    /// The daemon's process id.
    pub pid: u32,
    /// Number of the live generation, from 1.
    pub generation: u64,
    /// Interfaces that match the configuration and exist.
    pub interfaces: Vec<InterfaceStatus>,
    /// Names and globs of the configuration that no interface here has.
    #[serde(default)]
    pub awaited: Vec<String>,
    /// The rules, in their order.
    pub rules: Vec<RuleStatus>,
    /// How many leases there are.
    pub leases: usize,
    /// What a start could not take of the leases that are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damaged_leases: Option<DamagedLeases>,
    /// Networks and bytes of the live tables.
    pub tables: Tables,
    /// How many classes the policy tells apart.
    pub classes: usize,
    /// The databases that the live generation was compiled from.
    pub databases: Vec<DatabaseStatus>,
    /// Databases that were not taken, because they differ too much from those that run.
    #[serde(default)]
    pub held: Vec<HeldDatabase>,
    /// The last reload, or the first load.
    pub last_reload: LastReload,
    /// Unix time at which the live generation was loaded.
    pub last_success: i64,
    /// Reloads so far.
    pub reloads: Reloads,
    /// A policy that waits for `octroi confirm`.
    pub pending_confirmation: Option<PendingStatus>,
    /// The last good policy runs in place of the configured one.
    #[serde(default)]
    pub fallback: Option<FallbackStatus>,
    /// Why what is in the configured file does not count.
    #[serde(default)]
    pub ignored: Option<String>,
    /// Of when the copies are that run in the place of databases and lists, RFC 3339.
    #[serde(default)]
    pub copies: Option<String>,
    /// Why metrics are not served.
    #[serde(default)]
    pub unserved: Option<String>,
}

/// A policy that goes unless somebody confirms it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct PendingStatus {
    /// The file that was applied.
    pub file: String,
    /// When it was applied, RFC 3339.
    pub since: String,
    /// When it goes, RFC 3339.
    pub until: String,
    /// The same, in Unix seconds; for metrics.
    #[serde(skip)]
    pub until_seconds: i64,
}

/// Leases that are kept and do not hold, because they cannot be read.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct DamagedLeases {
    /// The file that they are in.
    pub file: String,
    /// What is wrong with it: which entry, and what about it, a phrase each.
    pub bad: Vec<String>,
}

/// The last good policy runs in place of the configured one.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct FallbackStatus {
    /// Why the configured one could not be loaded.
    pub reason: String,
}

/// One interface.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub struct InterfaceStatus {
    /// Its name.
    pub name: String,
    /// How the program is attached: `native` or `generic`; empty where it is not.
    pub mode: String,
    /// Whether it is filtered.
    pub attached: bool,
    /// Why it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One rule.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub struct RuleStatus {
    /// Its name.
    pub name: String,
    /// Its action.
    pub action: String,
    /// `observe`, `ramp`, `enforce` or `expired`.
    pub stage: String,
    /// When it changes next, RFC 3339; none: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_change: Option<String>,
    /// The stage that it is in from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_stage: Option<String>,
    /// When it changes next, in Unix seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_change_seconds: Option<u64>,
    /// Packets that it decided, or would have.
    pub packets: u64,
    /// Bytes of those packets.
    pub bytes: u64,
    /// Its note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A figure for each family.
#[derive(Clone, Copy, Default, Serialize, Deserialize, Debug)]
pub struct Families {
    /// IPv4.
    pub ipv4: u64,
    /// IPv6.
    pub ipv6: u64,
}

/// One family's table.
#[derive(Clone, Copy, Default, Serialize, Deserialize, Debug)]
pub struct Table {
    /// Networks in the country database.
    pub networks: u64,
    /// Intervals of addresses of one class.
    pub intervals: u64,
    /// Size of the table in bytes.
    pub bytes: u64,
}

/// Both tables.
#[derive(Clone, Copy, Default, Serialize, Deserialize, Debug)]
pub struct Tables {
    /// IPv4.
    pub ipv4: Table,
    /// IPv6.
    pub ipv6: Table,
}

/// One database.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub struct DatabaseStatus {
    /// `country` or `asn`.
    pub kind: String,
    /// Its file, or `embedded`.
    pub path: String,
    /// What it calls itself.
    #[serde(rename = "type")]
    pub database_type: String,
    /// When it was built, RFC 3339.
    pub built: String,
    /// The same as Unix time.
    pub built_seconds: i64,
    /// Networks in it.
    pub networks: Families,
}

/// A database that was not taken.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct HeldDatabase {
    /// `country`, `asn`, `anonymous` or `list`.
    pub database: String,
    /// Its file.
    pub path: String,
    /// What is doubtful about it.
    pub reason: String,
    /// Since when, RFC 3339.
    pub since: String,
}

/// The last reload.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub struct LastReload {
    /// When, RFC 3339.
    pub time: String,
    /// `success` or `failure`.
    pub result: String,
    /// Why it failed.
    pub error: Option<String>,
}

/// Reloads so far.
#[derive(Clone, Copy, Default, Serialize, Deserialize, Debug)]
pub struct Reloads {
    /// That succeeded.
    pub success: u64,
    /// That failed.
    pub failure: u64,
}
