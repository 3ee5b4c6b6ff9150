//! The tables that travel in the binary: a country and an ASN database in a form of octroi's own.
//!
//! Runs as they stand in memory, column by column (starts as differences, then records), which compresses to about a
//! third of the MMDB. All numbers are LEB128, unless said otherwise; the whole is one zstd frame with a checksum.
//!
//! ```text
//! magic "octroi-geoip-1\n"
//! type (text), built, networks v4, networks v6
//! records: count, then of each but the first: country (2 bytes, or 2 × 0), continent (the same), ASN, name (text)
//! v4 runs: count, starts: difference to the one before, records
//! v6 runs: count, starts: number of trailing zero bits of the difference (1 byte), difference without them; records
//! text: length, UTF-8
//! ```

use super::{Database, Kind, Origin, PerFamily, Record};
use crate::country::{Continent, CountryCode};

const MAGIC: &[u8] = b"octroi-geoip-1\n";

static COUNTRY: &[u8] = include_bytes!("../../data/country.bin.zst");
static ASN: &[u8] = include_bytes!("../../data/asn.bin.zst");

/// The embedded database of that kind.
pub(super) fn database(kind: Kind) -> Database {
    let bytes = match kind {
        Kind::Country => COUNTRY,
        Kind::Asn => ASN,
    };
    decode(kind, bytes).expect("the binary's own tables were decoded when they were made")
}

/// Packs a database.
///
/// # Errors
/// When compressing fails.
pub fn encode(database: &Database) -> std::io::Result<Vec<u8>> {
    let mut out = MAGIC.to_vec();
    put_text(&mut out, &database.database_type);
    put(&mut out, u128::try_from(database.built).unwrap_or(0));
    put(&mut out, database.networks.v4.into());
    put(&mut out, database.networks.v6.into());
    put(&mut out, database.records.len() as u128);
    for record in &database.records[1..] {
        put_code(&mut out, record.country.map(CountryCode::as_str));
        put_code(&mut out, record.continent.map(Continent::as_str));
        put(&mut out, record.asn.unwrap_or(0).into());
        put_text(&mut out, record.organization.as_deref().unwrap_or_default());
    }
    put(&mut out, database.v4.len() as u128);
    let mut before = 0;
    for &(start, _) in &database.v4 {
        put(&mut out, (start - before).into());
        before = start;
    }
    for &(_, record) in &database.v4 {
        put(&mut out, record.into());
    }
    put(&mut out, database.v6.len() as u128);
    let mut before = 0;
    for &(start, _) in &database.v6 {
        let difference: u128 = start - before;
        let zeros = difference.trailing_zeros() % 128;
        out.push(zeros.to_le_bytes()[0]);
        put(&mut out, difference >> zeros);
        before = start;
    }
    for &(_, record) in &database.v6 {
        put(&mut out, record.into());
    }
    let mut encoder = zstd::Encoder::new(Vec::new(), 19)?;
    encoder.include_checksum(true)?;
    std::io::Write::write_all(&mut encoder, &out)?;
    encoder.finish()
}

/// Unpacks a database.
///
/// # Errors
/// When the bytes are not what [`encode`] gives.
pub fn decode(kind: Kind, bytes: &[u8]) -> std::io::Result<Database> {
    let bytes = zstd::decode_all(bytes)?;
    Input(bytes.strip_prefix(MAGIC).unwrap_or_default())
        .database(kind)
        .ok_or_else(|| std::io::Error::new(std::io::ErrorKind::InvalidData, "not a packed database"))
}

fn put(out: &mut Vec<u8>, mut number: u128) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put(out, text.len() as u128);
    out.extend_from_slice(text.as_bytes());
}

fn put_code(out: &mut Vec<u8>, code: Option<&str>) {
    out.extend_from_slice(code.map_or(&[0, 0], str::as_bytes));
}

struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn database(mut self, kind: Kind) -> Option<Database> {
        let database_type = self.text()?;
        let built = i64::try_from(self.number()?).ok()?;
        let networks = PerFamily { v4: u64::try_from(self.number()?).ok()?, v6: u64::try_from(self.number()?).ok()? };
        let count = usize::try_from(self.number()?).ok()?;
        let mut records = vec![Record::default()];
        for _ in 1..count {
            let country = CountryCode::parse(&self.code()?);
            let continent = Continent::parse(&self.code()?);
            let asn = u32::try_from(self.number()?).ok().filter(|&asn| asn != 0);
            let name = self.text()?;
            let organization = (!name.is_empty()).then(|| name.into_boxed_str());
            records.push(Record { country, continent, asn, organization });
        }
        let v4 = self.runs(|input, before: u32| {
            let difference = u32::try_from(input.number()?).ok()?;
            before.checked_add(difference)
        })?;
        let v6 = self.runs(|input, before: u128| {
            let zeros = input.bytes(1)?[0];
            before.checked_add(input.number()?.checked_shl(zeros.into())?)
        })?;
        let known = |record: u32| (record as usize) < records.len();
        let whole = v4.iter().all(|run| known(run.1)) && v6.iter().all(|run| known(run.1));
        let origin = Origin::Embedded;
        whole.then_some(Database { kind, origin, database_type, built, networks, records, v4, v6, notes: Vec::new() })
    }

    fn runs<K: Copy + Default>(
        &mut self,
        start: impl Fn(&mut Self, K) -> Option<K>,
    ) -> Option<Vec<(K, u32)>> {
        let count = usize::try_from(self.number()?).ok()?;
        let mut runs = Vec::with_capacity(count.min(self.0.len()));
        let mut before = K::default();
        for _ in 0..count {
            before = start(self, before)?;
            runs.push((before, 0));
        }
        for run in &mut runs {
            run.1 = u32::try_from(self.number()?).ok()?;
        }
        Some(runs)
    }

    fn bytes(&mut self, count: usize) -> Option<&[u8]> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    fn number(&mut self) -> Option<u128> {
        let mut number = 0u128;
        for shift in (0..128).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u128::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::try_from(self.number()?).ok()?;
        String::from_utf8(self.bytes(length)?.to_vec()).ok()
    }

    fn code(&mut self) -> Option<String> {
        Some(String::from_utf8_lossy(self.bytes(2)?).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embedded_tables_decode_and_keep_their_form() {
        for (kind, least) in [(Kind::Country, 345_000), (Kind::Asn, 90_000)] {
            let database = database(kind);
            assert!(database.v4.len() > least && database.v6.len() > least, "{kind:?}");
            assert!(database.v4.is_sorted_by(|a, b| a.0 < b.0 && a.1 != b.1));
            assert!(database.v6.is_sorted_by(|a, b| a.0 < b.0 && a.1 != b.1));
            let again = decode(kind, &encode(&database).expect("encodes")).expect("decodes");
            assert!(again == database);
        }
    }

    #[test]
    fn azure_china_is_where_the_partner_rule_expects_it() {
        let database = database(Kind::Asn);
        for text in ["40.72.0.1", "42.159.0.1", "139.217.0.1", "2404:7940::1"] {
            let record = database.lookup(text.parse().expect("an address"));
            assert_eq!(record.asn, Some(58593), "{text}: {record:?}");
        }
    }

    #[test]
    fn a_damaged_table_is_refused() {
        let good = encode(&database(Kind::Asn)).expect("encodes");
        for at in (0..good.len()).step_by(good.len() / 50) {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            assert!(decode(Kind::Asn, &bad).is_err(), "byte {at}");
        }
        assert!(decode(Kind::Asn, &good[..good.len() / 2]).is_err());
    }
}
