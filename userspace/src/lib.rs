//! octroi's daemon and command line as a library, so that tests reach every part of it.
//!
//! Three ways lead through it, each readable in one direction (see ARCHITECTURE.md):
//! a policy (`config` → `geoip` → `policy` → `dataplane`), a number (`dataplane` → `metrics`, `status`), and
//! a command (`commands`). The packet's own way is in the crate `octroi-gate`.

pub mod address;
pub mod anonymizer;
pub mod commands;
pub mod config;
pub mod country;
pub mod daemon;
pub mod dataplane;
mod failure;
pub mod geoip;
pub mod lease;
pub mod lint;
pub mod log;
pub mod metrics;
pub mod policy;
pub mod state;
mod text;
pub mod time;

pub use failure::Failure;

/// The source's commit, abbreviated; `unknown` where it was built outside a repository.
pub const REVISION: &str = env!("OCTROI_REVISION");
