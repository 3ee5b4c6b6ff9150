//! The tables inside this program, and their form.
//!
//! `data/country.bin.zst` and `data/asn.bin.zst` are made by `cargo xtask data` (see `data/PROVENANCE.md`). The form
//! is ours: a header, the records, and the runs of each family as columns, compressed by zstd with its checksum.
//! Lengths and numbers are varints of seven bits a byte, least significant first. Of a run's start what is kept is
//! its distance to the start before, as a shift (one byte: most distances end in many zero bits) and what is left.

use std::fmt;

use super::runs::Address;
use super::{Database, Kind, Origin, PerFamily, Record};
use crate::{anonymizer::Anonymizers, country::CountryCode};

/// The first bytes after decompression; the last of them counts versions of the form.
const MAGIC: [u8; 8] = *b"octroig\x01";

/// Compression for the repository: made once, read at every start.
const LEVEL: i32 = 19;

/// The committed table of a kind, compressed; there is none of anonymizers.
#[must_use]
pub fn table(kind: Kind) -> Option<&'static [u8]> {
    match kind {
        Kind::Country => Some(include_bytes!("../../data/country.bin.zst")),
        Kind::Asn => Some(include_bytes!("../../data/asn.bin.zst")),
        Kind::Anonymous => None,
    }
}

/// Packs a database into the embedded form. Origin and notes are not kept, nor continents: those of the countries
/// are known.
///
/// # Errors
///
/// When compression fails.
pub fn encode(database: &Database) -> std::io::Result<Vec<u8>> {
    let mut out = Writer(MAGIC.to_vec());
    out.0.push(match database.kind {
        Kind::Country => 0,
        Kind::Asn => 1,
        Kind::Anonymous => 2,
    });
    out.bytes(database.database_type.as_bytes());
    out.0.extend(database.built.to_le_bytes());
    out.number(database.networks.v4.into());
    out.number(database.networks.v6.into());
    out.number(database.records.len() as u128);
    for record in &database.records {
        match database.kind {
            Kind::Country => out.bytes(record.country.map_or("", CountryCode::as_str).as_bytes()),
            Kind::Asn => {
                out.number(record.asn.unwrap_or(0).into());
                out.bytes(record.organization.as_deref().unwrap_or("").as_bytes());
            }
            Kind::Anonymous => out.number(record.anonymous.bits().into()),
        }
    }
    out.runs(&database.v4);
    out.runs(&database.v6);

    let mut encoder = zstd::Encoder::new(Vec::new(), LEVEL)?;
    encoder.include_checksum(true)?;
    encoder.set_pledged_src_size(Some(out.0.len() as u64))?;
    encoder.include_contentsize(true)?;
    std::io::Write::write_all(&mut encoder, &out.0)?;
    encoder.finish()
}

/// Unpacks what `encode` made.
///
/// # Errors
///
/// When the bytes are anything else, damage included.
pub fn decode(packed: &[u8]) -> Result<Database, Damaged> {
    let bytes = zstd::decode_all(packed).map_err(|_| Damaged("compressed bytes or checksum"))?;
    let mut from = Cursor(&bytes);
    if from.take(MAGIC.len())? != MAGIC {
        return Err(Damaged("magic or version"));
    }
    let kind = match from.take(1)? {
        [0] => Kind::Country,
        [1] => Kind::Asn,
        [2] => Kind::Anonymous,
        _ => return Err(Damaged("kind")),
    };
    let database_type = from.text()?.to_owned();
    let built = from.take(8)?.try_into().map(i64::from_le_bytes).map_err(|_| Damaged("build date"))?;
    let networks = PerFamily { v4: from.number()?, v6: from.number()? };
    let count: usize = from.number()?;
    let mut records = Vec::with_capacity(count.min(bytes.len()));
    for _ in 0..count {
        records.push(match kind {
            Kind::Country => match from.text()? {
                "" => Record::default(),
                code => {
                    let country = CountryCode::parse(code).ok_or(Damaged("country code"))?;
                    let continent = Some(country.continent());
                    Record { country: Some(country), continent, ..Record::default() }
                }
            },
            Kind::Asn => {
                let asn = Some(from.number::<u32>()?).filter(|&asn| asn != 0);
                let organization = Some(from.text()?).filter(|name| !name.is_empty()).map(Box::from);
                Record { asn, organization, ..Record::default() }
            }
            Kind::Anonymous => {
                Record { anonymous: Anonymizers::from_bits(from.number()?), ..Record::default() }
            }
        });
    }
    if records.first() != Some(&Record::default()) {
        return Err(Damaged("record 0"));
    }
    let v4 = from.runs(records.len())?;
    let v6 = from.runs(records.len())?;
    if !from.0.is_empty() {
        return Err(Damaged("length"));
    }
    let origin = Origin::Embedded;
    Ok(Database { kind, origin, database_type, built, networks, records, v4, v6, notes: Vec::new() })
}

/// A table is not as `encode` made it; what is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Damaged(&'static str);

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "embedded table is damaged: its {} is wrong; run cargo xtask data and build again", self.0)
    }
}

impl std::error::Error for Damaged {}

/// What starts are made of: numbers of up to 128 bits, and back.
trait Number: Address + Into<u128> + TryFrom<u128> {}

impl Number for u32 {}
impl Number for u128 {}

struct Writer(Vec<u8>);

impl Writer {
    fn number(&mut self, mut number: u128) {
        loop {
            let low = (number & 0x7f) as u8;
            number >>= 7;
            if number == 0 {
                return self.0.push(low);
            }
            self.0.push(low | 0x80);
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u128);
        self.0.extend_from_slice(bytes);
    }

    fn runs<A: Number>(&mut self, runs: &[(A, u32)]) {
        // The first run starts at 0: only its record is kept.
        self.number(runs.len() as u128);
        let distances = || runs.windows(2).map(|pair| pair[1].0.into() - pair[0].0.into());
        for distance in distances() {
            let shift = u8::try_from(distance.trailing_zeros()).expect("a shift is less than 128");
            self.0.push(shift);
        }
        for distance in distances() {
            self.number(distance >> distance.trailing_zeros() >> 1);
        }
        for &(_, record) in runs {
            self.number(record.into());
        }
    }
}

/// What is left to read.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Damaged> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Damaged("length"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn number<N: TryFrom<u128>>(&mut self) -> Result<N, Damaged> {
        let wide = || Damaged("number");
        // Nearly all are short: 128 bits only where 64 are not enough.
        let mut number = 0u64;
        for (index, &byte) in self.0.iter().enumerate().take(9) {
            number |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.0 = &self.0[index + 1..];
                return N::try_from(number.into()).map_err(|_| wide());
            }
        }
        let mut number = 0u128;
        for (index, &byte) in self.0.iter().enumerate().take(19) {
            let bits = u128::from(byte & 0x7f);
            let shifted = bits << (7 * index);
            if shifted >> (7 * index) != bits {
                return Err(wide());
            }
            number |= shifted;
            if byte < 0x80 {
                self.0 = &self.0[index + 1..];
                return N::try_from(number).map_err(|_| wide());
            }
        }
        Err(Damaged("length"))
    }

    fn text(&mut self) -> Result<&'a str, Damaged> {
        let length = self.number()?;
        std::str::from_utf8(self.take(length)?).map_err(|_| Damaged("text"))
    }

    fn runs<A: Number>(&mut self, records: usize) -> Result<Vec<(A, u32)>, Damaged> {
        let count: usize = self.number()?;
        let shifts = self.take(count.checked_sub(1).ok_or(Damaged("first run"))?)?;
        let mut runs = Vec::with_capacity(count);
        runs.push((A::FIRST, 0));
        let mut start = 0u128;
        for &shift in shifts {
            let odd = self.number::<u128>()?.checked_mul(2).ok_or(Damaged("start"))? | 1;
            let distance = odd.checked_shl(shift.into()).filter(|moved| moved >> shift == odd);
            start = distance.and_then(|distance| start.checked_add(distance)).ok_or(Damaged("start"))?;
            runs.push((A::try_from(start).map_err(|_| Damaged("start"))?, 0));
        }
        for (_, record) in &mut runs {
            *record = self.number()?;
            if *record as usize >= records {
                return Err(Damaged("record index"));
            }
        }
        Ok(runs)
    }
}
