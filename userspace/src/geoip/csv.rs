//! CSV files of `start,end,country`, or `start,end,asn,organisation`.

use std::{collections::HashMap, net::IpAddr};

use super::{Collector, Database, Kind, Origin, Record, asn, country, oddity_notes};

/// Whether the first line that is no comment has two addresses, or names them.
pub(super) fn looks_like(bytes: &[u8]) -> bool {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(4096)]).into_owned();
    let mut lines = head.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.next().is_some_and(|line| {
        let fields: Vec<&str> = line.split(',').map(|field| field.trim_matches([' ', '"'])).collect();
        fields.len() >= 3 && (address(fields[0]).is_some() && address(fields[1]).is_some() || is_header(&fields))
    })
}

/// Reads a CSV file.
pub(super) fn read(kind: Kind, origin: Origin, bytes: &[u8], written: i64) -> Result<Database, String> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .comment(Some(b'#'))
        .trim(csv::Trim::All)
        .from_reader(bytes);
    let mut collector = Collector::new();
    let mut oddities = HashMap::new();
    let mut first = true;
    let mut row = csv::StringRecord::new();
    while reader.read_record(&mut row).map_err(|error| error.to_string())? {
        let line = row.position().map_or(0, csv::Position::line);
        let fields: Vec<&str> = row.iter().collect();
        if std::mem::take(&mut first) && is_header(&fields) {
            continue;
        }
        let failed = |reason: String| format!("line {line}: {reason}");
        let [start, end, value, ..] = fields[..] else {
            return Err(failed(format!("expected start,end,{}; found {} fields", kind.as_str(), fields.len())));
        };
        let (Some(from), Some(to)) = (address(start), address(end)) else {
            let bad = if address(start).is_none() { start } else { end };
            return Err(failed(format!("\"{bad}\" is not an address")));
        };
        let record = match kind {
            Kind::Country => Record { country: country(value, &mut oddities), ..Record::default() },
            Kind::Asn => {
                let number = asn(value);
                if number.is_none() && !matches!(value, "" | "0" | "AS0") {
                    return Err(failed(format!("\"{value}\" is not the number of an autonomous system")));
                }
                let name = fields.get(3).copied().filter(|name| !name.is_empty());
                Record { asn: number, organization: number.and(name).map(Into::into), ..Record::default() }
            }
        };
        if from > to || from.is_ipv4() != to.is_ipv4() {
            return Err(failed(format!("{from} to {to} is no range")));
        }
        let number = collector.number(record);
        match (from, to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => collector.v4.push((from.into(), to.into(), number)),
            (IpAddr::V6(from), IpAddr::V6(to)) => collector.v6.push((from.into(), to.into(), number)),
            _ => return Err(failed(format!("{from} and {to} are of different families"))),
        }
    }
    collector.finish(kind, origin, "csv".into(), written, oddity_notes(oddities))
}

/// An address as text, or an IPv4 address as a number.
fn address(text: &str) -> Option<IpAddr> {
    text.parse().ok().or_else(|| text.parse::<u32>().ok().map(|number| IpAddr::V4(number.into())))
}

fn is_header(fields: &[&str]) -> bool {
    fields.len() >= 3
        && fields[..2].iter().all(|field| {
            let name = field.to_ascii_lowercase();
            ["start", "end", "first", "last", "from", "to", "ip", "range"].iter().any(|word| name.contains(word))
        })
}
