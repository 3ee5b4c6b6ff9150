//! MMDB files: MaxMind GeoIP2 and GeoLite2, DB-IP, IPinfo, and flat `country_code` layouts.

use std::{collections::HashMap, fmt};

use maxminddb::{Reader, WithinOptions};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::{Collector, Database, Kind, Origin, Record, asn, country, oddity_notes};
use crate::{address::Key, country::Continent};

/// The marker in front of an MMDB file's metadata (MaxMind DB file format specification 2.0).
const MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";
/// The metadata begins in the last 128 KiB (same source).
const MARKER_SPACE: usize = 128 * 1024;

/// Whether the file has MMDB metadata at its end.
pub(super) fn looks_like(bytes: &[u8]) -> bool {
    let end = &bytes[bytes.len().saturating_sub(MARKER_SPACE)..];
    end.windows(MARKER.len()).any(|window| window == MARKER)
}

/// Reads an MMDB file.
pub(super) fn read(kind: Kind, origin: Origin, bytes: Vec<u8>) -> Result<Database, String> {
    let damaged = |error: maxminddb::MaxMindDbError| format!("the file is damaged: {error}");
    let reader = Reader::from_source(bytes).map_err(damaged)?;
    let metadata = reader.metadata();
    let database_type = metadata.database_type.clone();
    let built = i64::try_from(metadata.build_epoch).unwrap_or(i64::MAX);
    // `Reader::verify` refuses files that are in use everywhere (DB-IP's has no description). What matters is checked
    // on the way: every node of the tree is visited and every record decoded before anything is used, and a tree of n
    // nodes has n + 1 leaves, so that one which damage made a circle of is not followed for ever.
    let most = 2 * u64::from(metadata.node_count) + 2;
    let mut leaves = 0;

    let mut collector = Collector::new();
    let mut by_offset: HashMap<usize, u32> = HashMap::new();
    let mut oddities = HashMap::new();
    let mut shape = Shape::default();
    let options = WithinOptions::default().include_networks_without_data();
    // Aliases of the IPv4 tree (::ffff:0:0/96, 2002::/16, …) are not walked: each network comes once, and an
    // IPv4-mapped source is no IPv6 network.
    for network in reader.networks(options).map_err(damaged)? {
        let found = network.map_err(damaged)?;
        leaves += 1;
        if leaves > most {
            return Err("the file is damaged: its search tree has more leaves than nodes".into());
        }
        let Some(offset) = found.offset() else { continue };
        let number = match by_offset.get(&offset) {
            Some(&number) => number,
            None => {
                let fields: Fields = found.decode().map_err(damaged)?.unwrap_or_default();
                shape.look_at(&fields);
                let number = collector.number(fields.record(kind, &mut oddities));
                by_offset.insert(offset, number);
                number
            }
        };
        let network = found.network().map_err(damaged)?;
        if let Some((first, last)) = u32::range(&network) {
            collector.v4.push((first, last, number));
        } else if let Some((first, last)) = u128::range(&network) {
            if network.prefix() <= 96 && first == 0 {
                // One record for all of ::/96 and more: the IPv4 tree has no node of its own.
                collector.v4.push((u32::FIRST, u32::LAST, number));
            }
            collector.v6.push((first, last, number));
        }
    }
    shape.suits(kind, &database_type)?;
    collector.finish(kind, origin, database_type, built, oddity_notes(oddities))
}

/// What kinds of fields the records have.
#[derive(Default)]
struct Shape {
    countries: bool,
    networks: bool,
    anonymizers: bool,
}

impl Shape {
    fn look_at(&mut self, fields: &Fields) {
        let has = |name: &str| fields.0.contains_key(name);
        self.countries |= has("country_code")
            || has("registered_country")
            || has("continent")
            || has("continent_code")
            || has("country");
        self.networks |= has("autonomous_system_number") || has("asn");
        self.anonymizers |= has("is_anonymous") || has("is_anonymous_vpn") || has("is_hosting_provider");
    }

    fn suits(&self, kind: Kind, database_type: &str) -> Result<(), String> {
        let what = |name: &str| format!("(database_type \"{database_type}\"); give it as [geoip] {name}");
        match kind {
            Kind::Country if self.countries => Ok(()),
            Kind::Asn if self.networks => Ok(()),
            Kind::Country if self.networks => Err(format!("this is an ASN database {}", what("asn"))),
            Kind::Asn if self.countries => Err(format!("this is a country database {}", what("country"))),
            _ if self.anonymizers => Err(format!("this is an anonymizer database {}", what("anonymous"))),
            _ => Err(format!(
                "no record has a {} (database_type \"{database_type}\")",
                match kind {
                    Kind::Country => "country",
                    Kind::Asn => "number of an autonomous system",
                }
            )),
        }
    }
}

/// A record's fields, of whatever types the file has.
#[derive(Deserialize, Default)]
#[serde(transparent)]
struct Fields(HashMap<String, Field>);

impl Fields {
    fn record(&self, kind: Kind, oddities: &mut HashMap<String, u64>) -> Record {
        match kind {
            Kind::Country => {
                let located = [self.inner("country", "iso_code"), self.text("country_code"), self.text("country")];
                let registered = [self.inner("registered_country", "iso_code")];
                let mut first = |texts: &[Option<&str>]| {
                    texts.iter().flatten().find_map(|text| country(text, oddities))
                };
                let continent = self
                    .inner("continent", "code")
                    .or_else(|| self.text("continent_code"))
                    .or_else(|| self.text("continent"));
                Record {
                    country: first(&located).or_else(|| first(&registered)),
                    continent: continent.and_then(Continent::parse),
                    ..Record::default()
                }
            }
            Kind::Asn => {
                let number = ["autonomous_system_number", "asn"].iter().find_map(|name| match self.0.get(*name)? {
                    Field::Number(number) => u32::try_from(*number).ok().filter(|&number| number != 0),
                    Field::Text(text) => asn(text),
                    Field::Map(_) | Field::Other => None,
                });
                let name = ["autonomous_system_organization", "as_name", "organization", "name"];
                let name = name.iter().find_map(|name| self.text(name)).filter(|name| !name.is_empty());
                Record { asn: number, organization: number.and(name).map(Into::into), ..Record::default() }
            }
        }
    }

    fn text(&self, name: &str) -> Option<&str> {
        match self.0.get(name)? {
            Field::Text(text) => Some(text),
            _ => None,
        }
    }

    fn inner(&self, name: &str, inner: &str) -> Option<&str> {
        match self.0.get(name)? {
            Field::Map(map) => map.get(inner)?.as_deref(),
            _ => None,
        }
    }
}

/// A field's value, as far as any layout needs it.
enum Field {
    Text(String),
    Number(u64),
    /// The texts of a map; `None` for values that are no text.
    Map(HashMap<String, Option<String>>),
    Other,
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldVisitor)
    }
}

struct FieldVisitor;

impl<'de> Visitor<'de> for FieldVisitor {
    type Value = Field;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Field, E> {
        Ok(Field::Text(text.to_owned()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Field, E> {
        Ok(Field::Number(number))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Field, A::Error> {
        let mut texts = HashMap::new();
        while let Some(key) = map.next_key::<String>()? {
            // `names` and the like: large, and of no use here.
            if key == "iso_code" || key == "code" {
                let value = match map.next_value()? {
                    Field::Text(text) => Some(text),
                    _ => None,
                };
                texts.insert(key, value);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Field::Map(texts))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Field, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Field::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Field, E> {
        Ok(Field::Other)
    }

    fn visit_i64<E>(self, number: i64) -> Result<Field, E> {
        Ok(u64::try_from(number).map_or(Field::Other, Field::Number))
    }

    fn visit_u128<E>(self, _: u128) -> Result<Field, E> {
        Ok(Field::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Field, E> {
        Ok(Field::Other)
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Field, E> {
        Ok(Field::Other)
    }
}
