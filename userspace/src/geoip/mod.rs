//! GeoIP data: MMDB, CSV and the embedded tables, as sorted runs of records.

mod csv;
pub mod embedded;
mod mmdb;
pub mod special;

use std::{
    collections::HashMap,
    fmt,
    fs::File,
    io::{self, Read},
    net::IpAddr,
    path::{Path, PathBuf},
};

use crate::{
    address::{self, Key},
    country::{Continent, CountryCode},
};

/// What a database is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// Address to country.
    Country,
    /// Address to autonomous system.
    Asn,
}

impl Kind {
    /// The word in the configuration, in metrics and in `--json`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Country => "country",
            Self::Asn => "asn",
        }
    }
}

/// What a database says about a network.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug)]
pub struct Record {
    /// Where it is located; where only its registration is known, where it is registered.
    pub country: Option<CountryCode>,
    /// The continent, where the record names one.
    pub continent: Option<Continent>,
    /// Number of the autonomous system.
    pub asn: Option<u32>,
    /// Name of the autonomous system's organisation.
    pub organization: Option<Box<str>>,
}

/// A figure for each family.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct PerFamily<T> {
    /// IPv4.
    pub v4: T,
    /// IPv6.
    pub v6: T,
}

/// Where a database came from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// From octroi itself.
    Embedded,
    /// From a file.
    File(PathBuf),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded => f.write_str("embedded"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// A database, read whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Database {
    /// What it was asked for.
    pub kind: Kind,
    /// Where it came from.
    pub origin: Origin,
    /// What it calls itself; `csv` for a CSV file.
    pub database_type: String,
    /// When it was built, Unix seconds; for a CSV file, when it was last written.
    pub built: i64,
    /// Networks in the file, each counted once.
    pub networks: PerFamily<u64>,
    /// What runs refer to. Record 0: nothing is known.
    pub records: Vec<Record>,
    /// IPv4 as runs: first address, record. The first run starts at 0; neighbours differ.
    pub v4: Vec<(u32, u32)>,
    /// IPv6 as runs.
    pub v6: Vec<(u128, u32)>,
    /// What is odd about it, one sentence each.
    pub notes: Vec<String>,
}

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{kind} database {path}: {reason}", kind = .kind.as_str(), path = .path.display())]
pub struct DatabaseError {
    kind: Kind,
    path: PathBuf,
    reason: String,
}

impl Database {
    /// Reads a file: an MMDB, or a CSV of `start,end,country` (`start,end,asn,organisation` for [`Kind::Asn`]).
    ///
    /// The whole file is read and checked before anything of it is used: whoever writes to it meanwhile spoils this
    /// copy at most, and then it fails the check.
    ///
    /// # Errors
    /// When it cannot be read, is damaged, or is of another kind.
    pub fn open(kind: Kind, path: &Path) -> Result<Self, DatabaseError> {
        let failed = |reason: String| DatabaseError { kind, path: path.into(), reason };
        let (bytes, written) = read(path).map_err(|error| failed(error.to_string()))?;
        if bytes.is_empty() {
            return Err(failed("the file is empty".into()));
        }
        let origin = Origin::File(path.into());
        if mmdb::looks_like(&bytes) {
            mmdb::read(kind, origin, bytes).map_err(failed)
        } else if csv::looks_like(&bytes) {
            csv::read(kind, origin, &bytes, written).map_err(failed)
        } else {
            Err(failed(
                "neither an MMDB file (its metadata is missing: it may be cut short) nor a CSV of start,end,…".into(),
            ))
        }
    }

    /// The table that travels in the binary.
    ///
    /// # Panics
    /// When the binary's own data is damaged.
    #[must_use]
    pub fn embedded(kind: Kind) -> Self {
        embedded::database(kind)
    }

    /// What is known about an address; special-purpose space is not taken out here.
    #[must_use]
    pub fn lookup(&self, address: IpAddr) -> &Record {
        let record = match address {
            IpAddr::V4(address) => value(&self.v4, u32::from(address)),
            IpAddr::V6(address) => value(&self.v6, u128::from(address)),
        };
        &self.records[record as usize]
    }
}

fn value<K: Key>(runs: &[(K, u32)], key: K) -> u32 {
    let after = runs.partition_point(|run| run.0 <= key);
    after.checked_sub(1).map_or(0, |index| runs[index].1)
}

fn read(path: &Path) -> io::Result<(Vec<u8>, i64)> {
    let mut file = File::open(path)?;
    let info = file.metadata()?;
    if info.is_dir() {
        return Err(io::Error::from_raw_os_error(libc::EISDIR));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(info.len()).unwrap_or(0));
    file.read_to_end(&mut bytes)?;
    let written = info.modified()?.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Ok((bytes, i64::try_from(written).unwrap_or(i64::MAX)))
}

/// Collects records, each distinct one once, and the ranges that have them.
#[derive(Debug)]
struct Collector {
    records: Vec<Record>,
    numbers: HashMap<Record, u32>,
    v4: Vec<(u32, u32, u32)>,
    v6: Vec<(u128, u128, u32)>,
}

impl Collector {
    fn new() -> Self {
        let nothing = Record::default();
        Self {
            records: vec![nothing.clone()],
            numbers: HashMap::from([(nothing, 0)]),
            v4: Vec::new(),
            v6: Vec::new(),
        }
    }

    fn number(&mut self, record: Record) -> u32 {
        let next = u32::try_from(self.records.len()).expect("fewer records than addresses");
        let number = *self.numbers.entry(record).or_insert_with_key(|record| {
            self.records.push(record.clone());
            next
        });
        number
    }

    fn finish(
        self,
        kind: Kind,
        origin: Origin,
        database_type: String,
        built: i64,
        mut notes: Vec<String>,
    ) -> Result<Database, String> {
        let networks = PerFamily { v4: self.v4.len() as u64, v6: self.v6.len() as u64 };
        if networks.v4 + networks.v6 == 0 {
            return Err("no network in it".into());
        }
        let (v4, overlaps_v4) = address::runs(&self.v4);
        let (v6, overlaps_v6) = address::runs(&self.v6);
        if overlaps_v4 + overlaps_v6 > 0 {
            notes.push(format!(
                "{} ranges begin inside another one; where ranges overlap, the narrower counts",
                overlaps_v4 + overlaps_v6
            ));
        }
        Ok(Database { kind, origin, database_type, built, networks, records: self.records, v4, v6, notes })
    }
}

/// A country code as databases write it. Codes that are no country's (`EU`, `AP`, `A1`, `ZZ`, `-`, empty, …) place
/// nothing; `oddities` counts those that look like codes.
fn country(text: &str, oddities: &mut HashMap<String, u64>) -> Option<CountryCode> {
    let code = CountryCode::parse(text.trim());
    if code.is_none() && text.trim().len() == 2 {
        *oddities.entry(text.trim().to_ascii_uppercase()).or_default() += 1;
    }
    code
}

fn oddity_notes(oddities: HashMap<String, u64>) -> Vec<String> {
    let mut codes: Vec<(String, u64)> = oddities.into_iter().collect();
    codes.sort_unstable();
    let list: Vec<String> = codes.iter().map(|(code, count)| format!("{code} ({count})")).collect();
    if list.is_empty() {
        return Vec::new();
    }
    vec![format!("codes of no country, taken as unknown, with the number of records: {}", list.join(", "))]
}

/// An AS number as databases write it: `AS123`, `as123` or `123`.
fn asn(text: &str) -> Option<u32> {
    let digits = text.trim();
    let digits = digits.strip_prefix("AS").or_else(|| digits.strip_prefix("as")).unwrap_or(digits);
    digits.parse().ok().filter(|&asn| asn != 0)
}
