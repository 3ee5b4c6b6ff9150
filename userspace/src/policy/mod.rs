//! From a checked configuration and databases to the bytes that judge packets.
//!
//! ```text
//! Config + Databases ─ sets (prefixes of each rule as ranges) ─┐
//!   special-purpose space ─────────────────────────────────────┤
//!   country runs, ASN runs ────────────────────────────────────┴─ layers: merged runs of facts
//!        └─ decide, for each family once per distinct facts ─ classes ─ table ─ Compiled
//! ```
//!
//! `decide` is also what `octroi explain` asks, so that an explanation cannot differ from the gate.

pub mod compile;
pub mod decide;
pub mod explain;
mod layers;
pub(crate) mod matches;
mod sets;
pub mod slots;
mod steps;
pub mod walk;
pub mod window;

#[cfg(test)]
mod tests;

use crate::{
    config::Config,
    geoip::{Database, DatabaseError, Kind, Original},
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
    /// Reads what `[geoip]` names; what it does not name is embedded.
    ///
    /// # Errors
    /// The first database that cannot be used.
    pub fn open(config: &Config) -> Result<Self, DatabaseError> {
        Originals::open(config)?.read()
    }

    /// Both, in the order in which they are listed everywhere.
    #[must_use]
    pub const fn all(&self) -> [&Database; 2] {
        [&self.country, &self.asn]
    }
}

/// Where the databases of a configuration are read from: whoever keeps it can read the same ones again.
#[derive(Debug)]
pub struct Originals {
    country: Original,
    asn: Original,
}

impl Originals {
    /// Opens what `[geoip]` names, without reading it.
    ///
    /// # Errors
    /// The first file that cannot be opened.
    pub fn open(config: &Config) -> Result<Self, DatabaseError> {
        let geoip = &config.geoip;
        Ok(Self {
            country: Original::open(Kind::Country, geoip.country.as_deref())?,
            asn: Original::open(Kind::Asn, geoip.asn.as_deref())?,
        })
    }

    /// Reads them: see [`Original::read`].
    ///
    /// # Errors
    /// The first database that cannot be used.
    pub fn read(&self) -> Result<Databases, DatabaseError> {
        // Two files, two threads: reading them is most of a reload.
        std::thread::scope(|scope| {
            let asn = scope.spawn(|| self.asn.read());
            let country = self.country.read()?;
            let asn = asn.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            Ok(Databases { country, asn })
        })
    }
}
