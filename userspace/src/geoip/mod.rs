//! GeoIP databases: a file (MMDB or CSV) or an embedded table, read into sorted runs of addresses. And lists of
//! networks, read into sorted ranges.
//!
//! This is the only part that knows the formats. It says what a database says: address space that no database
//! decides (`special`) is laid over by whoever compiles a policy.

mod anonymous;
mod csv;
pub mod embedded;
mod error;
mod held;
mod list;
mod mmdb;
mod original;
pub mod placed;
mod record;
mod runs;
pub mod special;
pub(crate) mod sweep;
mod tree;
mod verify;

#[cfg(test)]
mod tests;

use std::hash::{BuildHasher, Hasher};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

pub use error::DatabaseError;
pub use held::{Held, Identity};
pub use list::{List, Lists, OriginalList};
pub use original::Original;

use crate::{
    anonymizer::Anonymizers,
    country::{Continent, CountryCode},
};

/// What a database is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// Country and continent.
    Country,
    /// Autonomous system: number and organisation.
    Asn,
    /// Kinds of anonymizer.
    Anonymous,
}

impl Kind {
    /// The key under `[geoip]`, which is also the value of the metrics' label `database`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Country => "country",
            Self::Asn => "asn",
            Self::Anonymous => "anonymous",
        }
    }

    /// What its records have, with an article.
    pub(crate) fn wanted(self) -> &'static str {
        match self {
            Self::Country => "a country",
            Self::Asn => "an ASN",
            Self::Anonymous => "an anonymizer",
        }
    }
}

/// Where a database came from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// A table inside this program.
    Embedded,
    /// A file, by the path it was asked for.
    File(PathBuf),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Embedded => f.write_str("embedded"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// What a database says of a run of addresses. A country database fills `country` and `continent`, an ASN database
/// `asn` and `organization`, one of anonymizers `anonymous`, whatever else the file holds.
#[derive(Clone, Default, PartialEq, Eq, Hash, Debug)]
pub struct Record {
    /// Where the address is located; where the file knows only where it is registered, that. Pseudo-codes (`EU`,
    /// `A1`, `ZZ`, …) are no country.
    pub country: Option<CountryCode>,
    /// The file's own continent; where it has none, the country's.
    pub continent: Option<Continent>,
    /// Never 0, which stands for "not routed".
    pub asn: Option<u32>,
    /// Who runs the autonomous system; never empty.
    pub organization: Option<Box<str>>,
    /// Kinds of anonymizer at these addresses.
    pub anonymous: Anonymizers,
}

/// A value for each address family.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct PerFamily<T> {
    /// IPv4.
    pub v4: T,
    /// IPv6.
    pub v6: T,
}

/// A database in memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Database {
    /// What it was read for.
    pub kind: Kind,
    /// Where it came from.
    pub origin: Origin,
    /// As the file calls itself ("GeoLite2-Country"); "csv" for CSV.
    pub database_type: String,
    /// When it was built, in seconds since 1970; for CSV the time of the file's last change.
    pub built: i64,
    /// Networks in the file that have a record; for CSV, ranges. An IPv4 network counts once, however many aliases
    /// lead to it.
    pub networks: PerFamily<u64>,
    /// What runs refer to. Record 0 is the empty one: nothing known. No two are equal.
    pub records: Vec<Record>,
    /// Start of a run (the address as a number) and index of its record; a run ends where the next starts, the last
    /// at 255.255.255.255. Sorted; the first starts at 0; neighbours differ.
    pub v4: Vec<(u32, u32)>,
    /// The same for IPv6. IPv4 addresses written as IPv6 ones are not in here: where a file has its IPv4 networks
    /// (`::/96`) and where it repeats them (`::ffff:0:0/96`, `2002::/16`, …), nothing is known.
    pub v6: Vec<(u128, u32)>,
    /// Oddities found, a sentence each, for `octroi check`.
    pub notes: Vec<String>,
}

impl Database {
    /// Reads a file, MMDB or CSV (told apart by content), whole and checks all of it.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, changes meanwhile, is damaged, or holds nothing of this kind.
    pub fn open(kind: Kind, path: &Path) -> Result<Self, DatabaseError> {
        Original::open(kind, Some(path))?.read()
    }

    /// The table inside this program. There is none of anonymizers: of them, nothing is known without a file.
    ///
    /// # Panics
    ///
    /// Never: a test decodes both committed tables, whose checksums are part of them.
    #[must_use]
    pub fn embedded(kind: Kind) -> Self {
        let Some(table) = embedded::table(kind) else { return Self::unknowing(kind) };
        embedded::decode(table).expect("the committed table decodes: a test proves it")
    }

    /// A database that knows nothing.
    fn unknowing(kind: Kind) -> Self {
        Self {
            kind,
            origin: Origin::Embedded,
            database_type: "none".to_owned(),
            built: 0,
            networks: PerFamily::default(),
            records: vec![Record::default()],
            v4: vec![(0, 0)],
            v6: vec![(0, 0)],
            notes: Vec::new(),
        }
    }

    /// What the database says of one address. An IPv6 address is looked up as such, even if it has an IPv4 address
    /// inside.
    #[must_use]
    pub fn lookup(&self, address: IpAddr) -> &Record {
        let record = match address {
            IpAddr::V4(v4) => runs::find(&self.v4, v4.to_bits()),
            IpAddr::V6(v6) => runs::find(&self.v6, v6.to_bits()),
        };
        &self.records[record as usize]
    }

    /// The same as `open` once the file is in memory; `path` is for messages and `origin`.
    fn from_bytes(kind: Kind, path: &Path, bytes: &[u8], modified: i64) -> Result<Self, DatabaseError> {
        if bytes.is_empty() {
            return Err(DatabaseError::Empty { path: path.to_owned() });
        }
        if mmdb::is_mmdb(bytes) {
            return mmdb::read(kind, path, bytes);
        }
        let invalid =
            |reason: &str| DatabaseError::Invalid { path: path.to_owned(), reason: reason.to_owned() };
        csv::read(kind, path, csv::text(bytes).map_err(invalid)?, modified)
    }
}

/// Hashes one number by one multiplication: offsets in a file looked up a million times. Not for keys that an
/// attacker chooses freely to collide; a file that does so is only slow to read.
#[derive(Clone, Copy, Default)]
struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        // 2^64 / the golden ratio; the fold brings the well mixed high bits to where tables look.
        let product = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = product ^ (product >> 32);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl BuildHasher for NumberHasher {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        Self::default()
    }
}
