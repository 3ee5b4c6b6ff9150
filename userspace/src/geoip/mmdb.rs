//! MMDB files: checks all of a file, walks its tree and reads each record once.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use super::record::{self, Raw};
use super::runs::{Records, Runs};
use super::special::Spaces;
use super::tree::{Damage, Tree, Visit};
use super::verify::verify;
use super::{Database, DatabaseError, Kind, NumberHasher, Origin, PerFamily};

/// What every MMDB file has before its metadata, near its end.
const MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";

/// Whether the file is an MMDB, by its metadata. A file cut short is none any more.
pub(super) fn is_mmdb(bytes: &[u8]) -> bool {
    // The format allows metadata of up to 128 KiB; searching everything would find a marker quoted in a CSV file.
    let tail = &bytes[bytes.len().saturating_sub(128 * 1024 + MARKER.len())..];
    tail.windows(MARKER.len()).rev().any(|window| window == MARKER)
}

/// Reads and checks the whole file.
pub(super) fn read(kind: Kind, path: &Path, bytes: &[u8]) -> Result<Database, DatabaseError> {
    let invalid = |reason: String| DatabaseError::Invalid { path: path.to_owned(), reason };
    let reader = maxminddb::Reader::from_source(bytes).map_err(|error| invalid(reason(&error)))?;
    let metadata = reader.metadata();
    let built = i64::try_from(metadata.build_epoch)
        .map_err(|_| invalid(format!("build_epoch {} is no time", metadata.build_epoch)))?;
    let tree = Tree::new(bytes, metadata.node_count, metadata.record_size, metadata.ip_version)
        .ok_or_else(|| invalid("the search tree is not all there".to_owned()))?;

    let mut collector = Collector {
        reader: &reader,
        fields: record::Reader::new(kind),
        indices: HashMap::default(),
        last: None,
        records: Records::new(),
        v4: Runs::new(),
        v6: Runs::new(),
        networks: PerFamily::default(),
        spaces: Spaces::new(),
    };
    tree.walk(&mut collector).map_err(|Reason(reason)| invalid(reason))?;
    verify(bytes, metadata, collector.indices.keys().copied()).map_err(|error| invalid(reason(&error)))?;
    collector.finish(kind, path, metadata.database_type.clone(), built)
}

/// Gathers networks into runs.
struct Collector<'a> {
    reader: &'a maxminddb::Reader<&'a [u8]>,
    fields: record::Reader,
    /// A value in the tree to the index of its record: most networks share a few.
    indices: HashMap<u32, u32, NumberHasher>,
    /// The value and index used last; neighbours often share theirs.
    last: Option<(u32, u32)>,
    records: Records,
    v4: Runs<u32>,
    v6: Runs<u128>,
    networks: PerFamily<u64>,
    spaces: Spaces,
}

/// Why a file is invalid.
struct Reason(String);

impl From<Damage> for Reason {
    fn from(damage: Damage) -> Self {
        Self(damage.as_str().to_owned())
    }
}

impl Visit<Reason> for Collector<'_> {
    fn v4(&mut self, first: u32, last: u32, value: u32) -> Result<(), Reason> {
        let record = self.record(value, || Ipv4Addr::from_bits(first).into())?;
        self.networks.v4 += 1;
        if record != 0 {
            self.spaces.note_v4(first, last);
        }
        self.v4.add(first, last, record);
        Ok(())
    }

    fn v6(&mut self, first: u128, last: u128, value: u32) -> Result<(), Reason> {
        let record = self.record(value, || Ipv6Addr::from_bits(first).into())?;
        self.networks.v6 += 1;
        if record != 0 {
            self.spaces.note_v6(first, last);
        }
        self.v6.add(first, last, record);
        Ok(())
    }
}

impl Collector<'_> {
    /// The index of the record at `value`, which is what the tree has for `address`.
    fn record(&mut self, value: u32, address: impl FnOnce() -> IpAddr) -> Result<u32, Reason> {
        if let Some((last, index)) = self.last
            && last == value
        {
            return Ok(index);
        }
        let index = match self.indices.get(&value) {
            Some(&index) => index,
            None => {
                let address = address();
                let found = self.reader.lookup(address).map_err(|error| Reason(reason(&error)))?;
                let raw = found
                    .decode::<Raw<'_>>()
                    .map_err(|error| Reason(format!("the record of {address}: {}", reason(&error))))?;
                let index = self.records.index(self.fields.record(&raw.unwrap_or_default()));
                self.indices.insert(value, index);
                index
            }
        };
        self.last = Some((value, index));
        Ok(index)
    }

    fn finish(
        self,
        kind: Kind,
        path: &Path,
        database_type: String,
        built: i64,
    ) -> Result<Database, DatabaseError> {
        let path = path.to_owned();
        if !self.fields.found_kind() {
            return Err(match self.fields.other_kind() {
                Some(found) => DatabaseError::OtherKind {
                    path,
                    found: found.wanted(),
                    database_type,
                    key: found.as_str(),
                },
                None => {
                    DatabaseError::Nothing { path, wanted: kind.wanted(), database_type, key: kind.as_str() }
                }
            });
        }
        let mut notes = self.fields.notes();
        notes.extend(self.spaces.note("network"));
        Ok(Database {
            kind,
            origin: Origin::File(path),
            database_type,
            built,
            networks: self.networks,
            records: self.records.into_vec(),
            v4: self.v4.finish(),
            v6: self.v6.finish(),
            notes,
        })
    }
}

/// maxminddb's message without the introduction, which ours has already.
fn reason(error: &maxminddb::MaxMindDbError) -> String {
    match error {
        maxminddb::MaxMindDbError::InvalidDatabase { message, offset: Some(offset) } => {
            format!("{message} (at byte {offset})")
        }
        maxminddb::MaxMindDbError::InvalidDatabase { message, offset: None } => message.clone(),
        other => other.to_string(),
    }
}
