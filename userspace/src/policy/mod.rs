//! From a checked configuration and databases to the bytes that judge packets.
//!
//! ```text
//! Config + Databases ─ sets (prefixes of each rule as ranges) ─┐
//!   special-purpose space ─────────────────────────────────────┤
//!   country runs, ASN runs ────────────────────────────────────┴─ layers: merged runs of facts
//!        └─ decide, once per distinct facts ─ classes ─ table ─ Compiled
//! ```
//!
//! `decide` is also what `octroi explain` asks, so that an explanation cannot differ from the gate.

pub mod compile;
pub mod decide;
pub mod explain;
mod layers;
mod sets;
pub mod slots;

use crate::{
    config::Config,
    geoip::{Database, DatabaseError, Kind},
};

/// The databases that a configuration names, or the embedded ones in their place.
#[derive(Debug)]
pub struct Databases {
    /// Address to country.
    pub country: Database,
    /// Address to autonomous system.
    pub asn: Database,
}

impl Databases {
    /// Opens what `[geoip]` names; what it does not name is embedded.
    ///
    /// # Errors
    /// The first database that cannot be used.
    pub fn open(config: &Config) -> Result<Self, DatabaseError> {
        let open = |kind: Kind, path: &Option<std::path::PathBuf>| match path {
            Some(path) => Database::open(kind, path),
            None => Ok(Database::embedded(kind)),
        };
        // Two files, two threads: reading them is most of a reload.
        std::thread::scope(|scope| {
            let asn = scope.spawn(|| open(Kind::Asn, &config.geoip.asn));
            let country = open(Kind::Country, &config.geoip.country)?;
            let asn = asn.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            Ok(Self { country, asn })
        })
    }

    /// Both, in the order in which they are listed everywhere.
    #[must_use]
    pub const fn all(&self) -> [&Database; 2] {
        [&self.country, &self.asn]
    }
}
