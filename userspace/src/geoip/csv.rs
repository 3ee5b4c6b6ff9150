//! CSV: `start,end,country`, or `start,end,asn,organisation`, or `start,end,kinds` (of anonymizer, separated by `|`), one
//! range a line.
//!
//! Addresses are text or decimal numbers (an IPv4 one where it fits in 32 bits). The first line may be a header; then
//! columns are found by name, otherwise by place; a header may name a column `network` in place of start and end, and
//! fields of an anonymizer database in place of kinds. Ranges may come in any order, but must not overlap: which of two
//! should win is for the publisher to say, not for us to guess.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use ipnetwork::IpNetwork;

use super::anonymous::{self, FLAGS};
use super::record::{Field, Raw, Reader, parse_asn};
use super::runs::{Address, Records, Runs};
use super::special::Spaces;
use super::{Database, DatabaseError, Kind, Origin, PerFamily};
use crate::config::{network, quoted};

/// The text of a file that is no MMDB, or why it cannot be CSV either.
pub(super) fn text(bytes: &[u8]) -> Result<&str, &'static str> {
    const CUT: &str = "it has no MMDB metadata, as if cut short or still being written, and is no CSV text";
    if bytes.starts_with(&[0x1f, 0x8b]) {
        return Err("it is gzip-compressed: unpack it first");
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => text.strip_prefix('\u{feff}').unwrap_or(text),
        _ => return Err(CUT),
    };
    match text.trim_start().lines().next() {
        Some(first) if first.starts_with('<') => Err("it is HTML or XML, such as a server's error page"),
        Some(first) if !first.contains(',') => {
            Err("it is neither MMDB nor CSV: its first line has no comma, as in start,end,country")
        }
        _ => Ok(text),
    }
}

/// Reads the whole file. `modified` is in seconds since 1970.
pub(super) fn read(kind: Kind, path: &Path, text: &str, modified: i64) -> Result<Database, DatabaseError> {
    let at = |line: usize, reason: String| DatabaseError::Line { path: path.to_owned(), line, reason };

    let mut columns: Option<Columns> = None;
    let mut fields = Reader::new(kind);
    let mut records = Records::new();
    let (mut v4, mut mapped, mut v6) = (Vec::new(), Vec::new(), Vec::new());
    let mut cells = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        if line.trim().is_empty() {
            continue;
        }
        split(line, &mut cells).map_err(|reason| at(number, reason))?;
        let columns = match &columns {
            Some(columns) => columns,
            None => match Columns::of_header(kind, &cells).map_err(|reason| at(number, reason))? {
                Some(header) => {
                    columns = Some(header);
                    continue;
                }
                None => columns.insert(Columns::by_place(kind)),
            },
        };
        let line = Line::parse(kind, columns, &cells).map_err(|reason| at(number, reason))?;
        let record = records.index(fields.record(&line.raw));
        match line.range {
            Range::V4(first, last) => v4.push(Entry { first, last, line: number, record }),
            Range::V6(first, last) => match (inner(first), inner(last)) {
                (Some(first), Some(last)) => mapped.push(Entry { first, last, line: number, record }),
                _ => v6.push(Entry { first, last, line: number, record }),
            },
        }
    }
    // IP2Location's IPv6 lists have IPv4 like this, and nowhere else. Beside IPv4 ranges it would be a second truth.
    let ignored = if v4.is_empty() {
        v4 = mapped;
        0
    } else {
        mapped.len()
    };
    if v4.is_empty() && v6.is_empty() {
        return Err(DatabaseError::Invalid {
            path: path.to_owned(),
            reason: "it has no line with a range".into(),
        });
    }

    let networks = PerFamily { v4: v4.len() as u64, v6: v6.len() as u64 };
    let mut spaces = Spaces::new();
    let v4 = merge(v4, |first, last| spaces.note_v4(first, last), |a| Ipv4Addr::from_bits(a).into())
        .map_err(|(line, reason)| at(line, reason))?;
    let v6 = merge(v6, |first, last| spaces.note_v6(first, last), |a| Ipv6Addr::from_bits(a).into())
        .map_err(|(line, reason)| at(line, reason))?;
    let mut notes = fields.notes();
    notes.extend(spaces.note("range"));
    if ignored != 0 {
        notes.push(format!(
            "ranges inside ::ffff:0:0/96 ignored: {ignored}; the file has IPv4 ranges that are written as IPv4"
        ));
    }
    Ok(Database {
        kind,
        origin: Origin::File(path.to_owned()),
        database_type: "csv".to_owned(),
        built: modified,
        networks,
        records: records.into_vec(),
        v4,
        v6,
        notes,
    })
}

/// Which column holds what.
struct Columns {
    place: Place,
    value: Value,
    continent: Option<usize>,
    organization: Option<usize>,
    /// Whether a line may lack the organisation.
    by_place: bool,
}

/// Which columns hold a range.
#[derive(Clone, Copy)]
enum Place {
    Range { start: usize, end: usize },
    Network(usize),
}

/// Which columns hold what is known.
enum Value {
    Column(usize),
    /// Columns that say yes or no about a kind of anonymizer, and which of [`FLAGS`] they are; never empty.
    Flags(Vec<(usize, usize)>),
}

impl Columns {
    fn by_place(kind: Kind) -> Self {
        let organization = (kind == Kind::Asn).then_some(3);
        let place = Place::Range { start: 0, end: 1 };
        Self { place, value: Value::Column(2), continent: None, organization, by_place: true }
    }

    /// The columns if `cells` is a header: its first cell then is a word, not an address.
    fn of_header(kind: Kind, cells: &[String]) -> Result<Option<Self>, String> {
        let is_word = |cell: &str| cell.starts_with(|c: char| c.is_ascii_alphabetic()) && !cell.contains(':');
        if !cells.first().is_some_and(|cell| is_word(cell)) {
            return Ok(None);
        }
        let find = |names: &[&str]| {
            names.iter().find_map(|name| cells.iter().position(|cell| cell.eq_ignore_ascii_case(name)))
        };
        let need = |names: &[&str]| {
            find(names).ok_or_else(|| format!("the header has no column {}; name one so", names.join(" or ")))
        };
        let value: &[&str] = match kind {
            Kind::Country => &["country_code", "country"],
            Kind::Asn => &["asn", "autonomous_system_number"],
            Kind::Anonymous => &["kinds", "anonymous"],
        };
        let flags: Vec<(usize, usize)> = match kind {
            Kind::Anonymous => {
                (0..).zip(FLAGS).filter_map(|(flag, (name, _))| Some((find(&[name])?, flag))).collect()
            }
            Kind::Country | Kind::Asn => Vec::new(),
        };
        let value = match find(value) {
            Some(column) => Value::Column(column),
            None if flags.is_empty() => Value::Column(need(value)?),
            None => Value::Flags(flags),
        };
        const STARTS: [&str; 5] = ["start", "start_ip", "ip_range_start", "ip_from", "first"];
        let place = match (find(&STARTS), find(&["network"])) {
            (None, Some(network)) => Place::Network(network),
            _ => Place::Range {
                start: need(&STARTS)?,
                end: need(&["end", "end_ip", "ip_range_end", "ip_to", "last"])?,
            },
        };
        Ok(Some(Self {
            place,
            value,
            continent: find(&["continent_code", "continent"]),
            organization: find(&["as_name", "name", "org", "organization", "autonomous_system_organization"]),
            by_place: false,
        }))
    }
}

/// One line, parsed.
struct Line<'a> {
    range: Range,
    raw: Raw<'a>,
}

/// First and last address.
enum Range {
    V4(u32, u32),
    V6(u128, u128),
}

impl<'a> Line<'a> {
    fn parse(kind: Kind, columns: &Columns, cells: &'a [String]) -> Result<Self, String> {
        let cell = |column: usize, what: &str| {
            cells.get(column).map(|cell| cell.trim()).ok_or_else(|| {
                format!("{} columns, no {what}: give start,end,{}", cells.len(), value_name(kind))
            })
        };
        let range = match columns.place {
            Place::Range { start, end } => range(cell(start, "start")?, cell(end, "end")?)?,
            Place::Network(column) => in_network(cell(column, "network")?)?,
        };
        let mut raw = Raw::default();
        let column = match &columns.value {
            Value::Column(column) => *column,
            Value::Flags(flags) => {
                for &(column, flag) in flags {
                    raw.flags[flag] = Field::Text(cell(column, FLAGS[flag].0)?);
                }
                return Ok(Self { range, raw });
            }
        };
        let value = cell(column, value_name(kind))?;
        match kind {
            Kind::Country => {
                if value.bytes().any(|byte| byte.is_ascii_digit()) && parse_asn(value).is_some() {
                    return Err(format!("{value:?} is no country code; give a list of ASNs as [geoip] asn"));
                }
                raw.country_code = Field::Text(value);
                if let Some(column) = columns.continent {
                    raw.continent_code = Field::Text(cell(column, "continent")?);
                }
            }
            Kind::Asn => {
                if parse_asn(value).is_none() && !value.is_empty() && value != "-" {
                    return Err(format!(
                        "{value:?} is no ASN; give 123 or AS123, or a list of countries as [geoip] country"
                    ));
                }
                raw.asn = Field::Text(value);
                match columns.organization {
                    Some(column) if column < cells.len() || !columns.by_place => {
                        raw.organization = Field::Text(cell(column, "organisation")?);
                    }
                    _ => {}
                }
            }
            Kind::Anonymous => raw.kinds = Some(anonymous::kinds(value)?),
        }
        Ok(Self { range, raw })
    }
}

/// What a line has besides its range.
fn value_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Country => "country",
        Kind::Asn => "asn",
        Kind::Anonymous => "kinds",
    }
}

fn in_network(text: &str) -> Result<Range, String> {
    match network::parse(text) {
        Ok(IpNetwork::V4(v4)) => Ok(Range::V4(v4.network().to_bits(), v4.broadcast().to_bits())),
        Ok(IpNetwork::V6(v6)) => Ok(Range::V6(v6.network().to_bits(), v6.broadcast().to_bits())),
        Err(error) => Err(format!("network {} {error}", quoted(text))),
    }
}

fn range(start: &str, end: &str) -> Result<Range, String> {
    use Written::{Number, V4, V6};
    let backwards = || format!("the range ends at {end}, before its start {start}");
    let v6 = |first, last| if first <= last { Ok(Range::V6(first, last)) } else { Err(backwards()) };
    match (address(start)?, address(end)?) {
        (V4(first) | Number(first), V4(last) | Number(last)) if first <= last => Ok(Range::V4(first, last)),
        (V4(_) | Number(_), V4(_) | Number(_)) => Err(backwards()),
        (V6(first), V6(last)) => v6(first, last),
        // A number of an IPv6 list may be small enough for IPv4.
        (Number(first), V6(last)) => v6(first.into(), last),
        (V6(first), Number(last)) => v6(first, last.into()),
        (V4(_), V6(_)) | (V6(_), V4(_)) => Err(format!("{start} and {end} are of two address families")),
    }
}

/// An address as it is written.
enum Written {
    V4(u32),
    V6(u128),
    /// A number of at most 32 bits: an IPv4 address, or one of the first IPv6 ones.
    Number(u32),
}

fn address(text: &str) -> Result<Written, String> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let number: u128 = text.parse().map_err(|_| format!("{text} is larger than any address"))?;
        return Ok(u32::try_from(number).map_or(Written::V6(number), Written::Number));
    }
    match text.parse() {
        Ok(IpAddr::V4(address)) => Ok(Written::V4(address.to_bits())),
        Ok(IpAddr::V6(address)) => Ok(Written::V6(address.to_bits())),
        Err(_) => Err(format!("{text:?} is no address")),
    }
}

/// The IPv4 address in an IPv4-mapped IPv6 one, `::ffff:0:0/96`.
fn inner(address: u128) -> Option<u32> {
    Ipv6Addr::from_bits(address).to_ipv4_mapped().map(Ipv4Addr::to_bits)
}

/// A range and the line that it is from.
struct Entry<A> {
    first: A,
    last: A,
    line: usize,
    record: u32,
}

/// Sorts ranges into runs; an error names the line to blame.
fn merge<A: Address>(
    mut entries: Vec<Entry<A>>,
    mut note: impl FnMut(A, A),
    show: impl Fn(A) -> IpAddr,
) -> Result<Vec<(A, u32)>, (usize, String)> {
    entries.sort_by_key(|entry| (entry.first, entry.line));
    let mut runs = Runs::new();
    let mut before: Option<&Entry<A>> = None;
    for entry in &entries {
        if let Some(other) = before
            && other.last >= entry.first
        {
            let (early, late) = if other.line < entry.line { (other, entry) } else { (entry, other) };
            return Err((
                late.line,
                format!(
                    "{}-{} overlaps {}-{} of line {}; every address may be in one range only",
                    show(late.first),
                    show(late.last),
                    show(early.first),
                    show(early.last),
                    early.line
                ),
            ));
        }
        if entry.record != 0 {
            note(entry.first, entry.last);
        }
        runs.add(entry.first, entry.last, entry.record);
        before = Some(entry);
    }
    Ok(runs.finish())
}

/// Splits a line at commas outside quotes into `cells`; a quote inside quotes is written twice.
fn split(line: &str, cells: &mut Vec<String>) -> Result<(), String> {
    cells.clear();
    let mut rest = line;
    loop {
        let (cell, after) = if let Some(quoted) = rest.trim_start().strip_prefix('"') {
            unquote(quoted)?
        } else {
            match rest.split_once(',') {
                Some((cell, after)) => (cell.trim().to_owned(), Some(after)),
                None => (rest.trim().to_owned(), None),
            }
        };
        cells.push(cell);
        match after {
            Some(after) => rest = after,
            None => return Ok(()),
        }
    }
}

/// A cell whose opening quote is gone, and what follows the comma after it.
fn unquote(mut rest: &str) -> Result<(String, Option<&str>), String> {
    let mut cell = String::new();
    loop {
        let Some((part, after)) = rest.split_once('"') else {
            return Err("a quote is not closed on its line".to_owned());
        };
        cell.push_str(part);
        if let Some(after) = after.strip_prefix('"') {
            cell.push('"');
            rest = after;
            continue;
        }
        let after = after.trim_start();
        return match after.strip_prefix(',') {
            Some(next) => Ok((cell, Some(next))),
            None if after.is_empty() => Ok((cell, None)),
            None => Err(format!("{after:?} follows a closing quote; put a comma there")),
        };
    }
}
