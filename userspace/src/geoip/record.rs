//! One record of a database, of whatever layout, and what it means.
//!
//! Layouts: MaxMind's (`country.iso_code`, `registered_country.iso_code`, `continent.code`), DB-IP's (the same, or
//! flat `country_code`), IPinfo's (`country` or `country_code`, `continent` or `continent_code`, `asn = "AS123"`,
//! `as_name` or `name`), and flat ones in general; what says something about anonymizers is in `anonymous`.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::anonymous::{self, FLAGS, Flags};
use super::{Kind, Record};
use crate::anonymizer::Anonymizers;
use crate::country::{Continent, CountryCode};

/// The fields of a record that some layout puts a country, a continent, an autonomous system or an anonymizer in. What
/// a field holds is looked at by `Reader`, not here: a field of an unexpected type is as good as none.
#[derive(Default)]
pub(super) struct Raw<'a> {
    pub(super) country: Field<'a>,
    pub(super) country_code: Field<'a>,
    pub(super) registered_country: Field<'a>,
    pub(super) continent: Field<'a>,
    pub(super) continent_code: Field<'a>,
    pub(super) asn: Field<'a>,
    pub(super) organization: Field<'a>,
    /// Yes or no to kinds of anonymizer, by [`FLAGS`].
    pub(super) flags: Flags<'a>,
    /// A CSV file's kinds of anonymizer.
    pub(super) kinds: Option<Anonymizers>,
}

/// What a field holds.
#[derive(Default, Clone, Copy)]
pub(super) enum Field<'a> {
    #[default]
    Absent,
    Text(&'a str),
    Number(u64),
    Flag(bool),
    /// A type that none of the layouts uses here.
    Other,
}

/// Reads records of one database and remembers what was seen.
pub(super) struct Reader {
    kind: Kind,
    seen_country: bool,
    seen_asn: bool,
    seen_anonymizer: bool,
    /// Values that could not be understood, and in how many records.
    odd: BTreeMap<String, u64>,
}

impl Reader {
    pub(super) fn new(kind: Kind) -> Self {
        Self { kind, seen_country: false, seen_asn: false, seen_anonymizer: false, odd: BTreeMap::new() }
    }

    /// What `raw` says of the kind of fact that is read.
    pub(super) fn record(&mut self, raw: &Raw<'_>) -> Record {
        let located = raw.country_code.or(raw.country);
        self.seen_country |=
            located.or(raw.registered_country).or(raw.continent_code).or(raw.continent).present();
        self.seen_asn |= raw.asn.present();
        self.seen_anonymizer |= raw.kinds.is_some() || raw.flags.iter().any(|flag| flag.present());
        match self.kind {
            Kind::Country => {
                let country = self.country(located.or(raw.registered_country));
                let continent = self.continent(raw.continent_code.or(raw.continent));
                let continent = continent.or_else(|| country.map(CountryCode::continent));
                Record { country, continent, ..Record::default() }
            }
            Kind::Asn => {
                let asn = self.asn(raw.asn);
                // A name without a number is of no use to a rule, and would only split runs.
                let organization = asn.and(raw.organization.text()).map(Box::from);
                Record { asn, organization, ..Record::default() }
            }
            Kind::Anonymous => Record { anonymous: self.anonymizers(raw), ..Record::default() },
        }
    }

    /// Whether any record had the field that was asked for, understood or not.
    pub(super) fn found_kind(&self) -> bool {
        match self.kind {
            Kind::Country => self.seen_country,
            Kind::Asn => self.seen_asn,
            Kind::Anonymous => self.seen_anonymizer,
        }
    }

    /// What the database is instead.
    pub(super) fn other_kind(&self) -> Option<Kind> {
        let seen = [
            (self.seen_asn, Kind::Asn),
            (self.seen_country, Kind::Country),
            (self.seen_anonymizer, Kind::Anonymous),
        ];
        seen.into_iter().find_map(|(seen, kind)| seen.then_some(kind))
    }

    /// The notes for `Database::notes`.
    pub(super) fn notes(&self) -> Vec<String> {
        let records =
            |count: &u64| if *count == 1 { "1 record".to_owned() } else { format!("{count} records") };
        self.odd.iter().map(|(what, count)| format!("{what} in {}: taken for none", records(count))).collect()
    }

    fn country(&mut self, field: Field<'_>) -> Option<CountryCode> {
        let code = self.text(field, "country")?;
        let country = CountryCode::parse(code);
        if country.is_none() {
            self.odd("country", code);
        }
        country
    }

    fn continent(&mut self, field: Field<'_>) -> Option<Continent> {
        let code = self.text(field, "continent")?;
        let continent = Continent::parse(code)
            .or_else(|| Continent::ALL.into_iter().find(|known| known.name().eq_ignore_ascii_case(code)));
        if continent.is_none() {
            self.odd("continent", code);
        }
        continent
    }

    fn asn(&mut self, field: Field<'_>) -> Option<u32> {
        let number = match field {
            Field::Number(number) => u32::try_from(number).map_err(|_| number.to_string()),
            _ => {
                let text = self.text(field, "asn")?;
                parse_asn(text).ok_or_else(|| text.to_owned())
            }
        };
        match number {
            // AS0 stands for "not routed" (RFC 7607).
            Ok(0) => None,
            Ok(asn) => Some(asn),
            Err(text) => {
                self.odd("asn", &text);
                None
            }
        }
    }

    fn anonymizers(&mut self, raw: &Raw<'_>) -> Anonymizers {
        let mut kinds = raw.kinds.unwrap_or_default();
        for ((name, kind), &field) in FLAGS.into_iter().zip(&raw.flags) {
            match anonymous::is_set(field) {
                Ok(true) => kinds = kinds | Anonymizers::of(kind),
                Ok(false) => {}
                Err(value) => self.odd(name, &value),
            }
        }
        anonymous::settle(kinds)
    }

    /// The field's text unless it stands for nothing; a field that is neither text nor absent is odd.
    fn text<'a>(&mut self, field: Field<'a>, name: &str) -> Option<&'a str> {
        if let Field::Number(_) | Field::Flag(_) | Field::Other = field {
            self.odd(name, "(not a text)");
        }
        field.text()
    }

    fn odd(&mut self, field: &str, value: &str) {
        /// A database of nothing but nonsense must not fill the memory and the screen with it.
        const KEPT: usize = 20;
        const LENGTH: usize = 40;
        let value: String = value.chars().take(LENGTH).collect();
        let mut what = format!("unknown {field} {value:?}");
        if self.odd.len() >= KEPT && !self.odd.contains_key(&what) {
            what = format!("unknown {field} of further kinds");
        }
        *self.odd.entry(what).or_default() += 1;
    }
}

/// `123`, `AS123` or `as123`.
pub(super) fn parse_asn(text: &str) -> Option<u32> {
    let digits = match text.get(..2) {
        Some(prefix) if prefix.eq_ignore_ascii_case("as") => &text[2..],
        _ => text,
    };
    // `parse` would take a sign as well.
    if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None }
}

impl<'a> Field<'a> {
    pub(super) fn present(self) -> bool {
        !matches!(self, Self::Absent)
    }

    fn or(self, other: Self) -> Self {
        if self.present() { self } else { other }
    }

    /// The text without blanks around it, unless it is one that publishers write for "nothing".
    fn text(self) -> Option<&'a str> {
        let Self::Text(text) = self else { return None };
        let text = text.trim();
        let nothing = ["", "-", "--", "ZZ", "XX", "null", "none", "n/a", "unknown"];
        if nothing.iter().any(|word| word.eq_ignore_ascii_case(text)) { None } else { Some(text) }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Raw<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw<'de>, A::Error> {
        let mut raw = Raw::default();
        while let Some(key) = map.next_key::<&'de str>()? {
            let field = match key {
                "country" => &mut raw.country,
                "country_code" => &mut raw.country_code,
                "registered_country" => &mut raw.registered_country,
                "continent" => &mut raw.continent,
                "continent_code" => &mut raw.continent_code,
                "autonomous_system_number" | "asn" => &mut raw.asn,
                "autonomous_system_organization" | "as_name" | "name" => &mut raw.organization,
                _ => match anonymous::flag(key) {
                    Some(flag) => &mut raw.flags[flag],
                    None => {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    }
                },
            };
            *field = map.next_value()?;
        }
        Ok(raw)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw<'de>, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Raw::default())
    }

    // A record that is no map at all knows nothing that we look for.
    fn visit_borrowed_str<E>(self, _: &'de str) -> Result<Raw<'de>, E> {
        Ok(Raw::default())
    }

    fn visit_borrowed_bytes<E>(self, _: &'de [u8]) -> Result<Raw<'de>, E> {
        Ok(Raw::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Raw<'de>, E> {
        Ok(Raw::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Raw<'de>, E> {
        Ok(Raw::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Raw<'de>, E> {
        Ok(Raw::default())
    }

    fn visit_u128<E>(self, _: u128) -> Result<Raw<'de>, E> {
        Ok(Raw::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Raw<'de>, E> {
        Ok(Raw::default())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Field<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldVisitor)
    }
}

/// A text, number or boolean; of a map, the value of `iso_code` or `code`.
struct FieldVisitor;

impl<'de> Visitor<'de> for FieldVisitor {
    type Value = Field<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Field<'de>, A::Error> {
        let mut field = Field::Absent;
        while let Some(key) = map.next_key::<&'de str>()? {
            if matches!(key, "iso_code" | "code") {
                field = map.next_value()?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(field)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Field<'de>, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Field::Other)
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Field<'de>, E> {
        Ok(Field::Text(text))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Field<'de>, E> {
        Ok(Field::Number(number))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Field<'de>, E> {
        Ok(u64::try_from(number).map_or(Field::Other, Field::Number))
    }

    fn visit_borrowed_bytes<E>(self, _: &'de [u8]) -> Result<Field<'de>, E> {
        Ok(Field::Other)
    }

    fn visit_bool<E>(self, set: bool) -> Result<Field<'de>, E> {
        Ok(Field::Flag(set))
    }

    fn visit_u128<E>(self, _: u128) -> Result<Field<'de>, E> {
        Ok(Field::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Field<'de>, E> {
        Ok(Field::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn country(raw: &Raw<'_>) -> (Option<&'static str>, Vec<String>) {
        let mut reader = Reader::new(Kind::Country);
        let record = reader.record(raw);
        (record.country.map(CountryCode::as_str), reader.notes())
    }

    #[test]
    fn pseudo_codes_are_no_country_and_noted() {
        for code in ["EU", "AP", "A1", "A2", "eu", "Europe"] {
            let (country, notes) = country(&Raw { country_code: Field::Text(code), ..Raw::default() });
            assert_eq!(country, None, "{code}");
            assert_eq!(notes, [format!("unknown country {code:?} in 1 record: taken for none")]);
        }
    }

    #[test]
    fn what_stands_for_nothing_is_no_country_and_not_worth_a_note() {
        for code in ["", "-", "ZZ", "zz", "None", "null", "NULL", "  "] {
            let read = country(&Raw { country_code: Field::Text(code), ..Raw::default() });
            assert_eq!(read, (None, vec![]), "{code:?}");
        }
    }

    #[test]
    fn a_pseudo_code_is_not_replaced_by_where_the_address_is_registered() {
        let raw = Raw { country: Field::Text("EU"), registered_country: Field::Text("DE"), ..Raw::default() };
        assert_eq!(country(&raw).0, None);
    }

    #[test]
    fn as_numbers_in_every_spelling() {
        for (text, asn) in [
            ("AS123", Some(123)),
            ("as123", Some(123)),
            ("123", Some(123)),
            ("4294967295", Some(u32::MAX)),
            ("4294967296", None),
            ("AS", None),
            ("+5", None),
            ("AS-5", None),
            ("Aß", None),
        ] {
            assert_eq!(parse_asn(text), asn, "{text:?}");
        }
    }

    #[test]
    fn as_zero_is_not_routed_and_has_no_organisation() {
        let raw = Raw { asn: Field::Number(0), organization: Field::Text("Not routed"), ..Raw::default() };
        assert_eq!(Reader::new(Kind::Asn).record(&raw), Record::default());
    }

    #[test]
    fn notes_do_not_grow_without_bound() {
        let mut reader = Reader::new(Kind::Country);
        for number in 0..1000 {
            let code = format!("nonsense {number}");
            reader.record(&Raw { country_code: Field::Text(&code), ..Raw::default() });
        }
        assert_eq!(reader.notes().len(), 21);
    }
}
