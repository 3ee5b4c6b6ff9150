//! A rule's `source`: which addresses the rule is about.

use std::path::{Path, PathBuf};

use ipnetwork::IpNetwork;

use super::check::file;
use super::error::{Problems, quoted};
use super::key::{nearest, one_of};
use super::network;
use super::place::{self, PlaceSet};
use super::raw::RawSource;
use super::read::{At, Field};
use crate::anonymizer::{Anonymizer, Anonymizers};
use crate::country::Continent;

/// Which sources a rule is about. Keys are ANDed, values within a key ORed; at least one key is there, and no
/// list is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// Every source, as far as the other keys match too.
    pub any: bool,
    /// Located in one of these.
    pub country: Option<PlaceSet>,
    /// Located in none of these; an unknown place matches unless the set contains it.
    pub not_country: Option<PlaceSet>,
    /// Located on one of these.
    pub continent: Option<Vec<Continent>>,
    /// Announced by one of these autonomous systems, 1..=u32::MAX.
    pub asn: Option<Vec<u32>>,
    /// Announced by none of these autonomous systems, 1..=u32::MAX.
    pub not_asn: Option<Vec<u32>>,
    /// Within one of these; no bit is set after a prefix length, and none is IPv4-mapped.
    pub cidr: Option<Vec<IpNetwork>>,
    /// Within none of these; as in `cidr`.
    pub not_cidr: Option<Vec<IpNetwork>>,
    /// Within a network that one of these files lists. Relative paths are already joined to the configuration's folder;
    /// whether the files exist is not known yet.
    pub list: Option<Vec<PathBuf>>,
    /// An anonymizer of one of these kinds; where it is given, so is [`GeoIp::anonymous`](super::GeoIp::anonymous).
    pub anonymous: Option<Anonymizers>,
}

/// Reports what is wrong with `raw`; the result counts only where nothing was reported. Relative paths start at
/// `folder`.
pub(super) fn check(raw: &At<RawSource>, label: &str, folder: &Path, problems: &mut Problems<'_>) -> Source {
    let RawSource {
        empty,
        any,
        country,
        not_country,
        continent,
        asn,
        not_asn,
        cidr,
        not_cidr,
        list: files,
        anonymous,
    } = &raw.value;
    if *empty {
        let message = format!("the source of {label} is empty; for every source, write {{ any = true }}");
        problems.report(&raw.span, message);
    }
    if let Some(At { value: false, span }) = any.given() {
        problems.report(span, "any = false matches nothing; leave \"any\" out, or write any = true");
    }
    let mut places = |field: &Field<_>| {
        let read = list(field, problems, |text: &String| place::place(text));
        read.and_then(PlaceSet::new)
    };
    Source {
        any: any.given().is_some(),
        country: places(country),
        not_country: places(not_country),
        continent: list(continent, problems, |text| place::continent(text)),
        asn: list(asn, problems, |&number| as_number(number)),
        not_asn: list(not_asn, problems, |&number| as_number(number)),
        cidr: list(cidr, problems, |text| networks(text)),
        not_cidr: list(not_cidr, problems, |text| networks(text)),
        list: list(files, problems, |text| list_file(text).map(|path| folder.join(path))),
        anonymous: list(anonymous, problems, |text| anonymizers(text)).map(Anonymizers::from_iter),
    }
}

/// Converts each element, and reports each one that cannot be.
fn list<R, T>(
    field: &Field<Vec<At<R>>>,
    problems: &mut Problems<'_>,
    convert: impl Fn(&R) -> Result<T, String>,
) -> Option<Vec<T>> {
    let elements = &field.given()?.value;
    let mut converted = Vec::with_capacity(elements.len());
    for element in elements {
        match convert(&element.value) {
            Ok(value) => converted.push(value),
            Err(message) => problems.report(&element.span, message),
        }
    }
    Some(converted)
}

fn as_number(number: i128) -> Result<u32, String> {
    match u32::try_from(number) {
        // RFC 7607: nobody may announce from AS 0.
        Ok(0) => Err("AS number 0 announces nothing; expected an integer from 1 to 4294967295".to_owned()),
        Ok(number) => Ok(number),
        Err(_) => {
            Err(format!("AS number {number} is out of range; expected an integer from 1 to 4294967295"))
        }
    }
}

fn networks(text: &str) -> Result<IpNetwork, String> {
    network::parse(text).map_err(|error| format!("network {} {error}", quoted(text)))
}

fn anonymizers(text: &str) -> Result<Anonymizers, String> {
    const ANY: &str = "any";
    if text.eq_ignore_ascii_case(ANY) {
        return Ok(Anonymizers::ANY);
    }
    // What a database leaves without a kind has no word here: only `any` has it.
    let named = Anonymizer::parse(text).filter(|&kind| kind != Anonymizer::Other);
    named.map(Anonymizers::of).ok_or_else(|| {
        let known = Anonymizer::ALL.into_iter().filter(|&kind| kind != Anonymizer::Other);
        let names: Vec<&str> = known.map(Anonymizer::as_str).chain([ANY]).collect();
        let hint = nearest(text, names.iter().copied()).map(|near| format!("; did you mean {near:?}?"));
        let hint = hint.unwrap_or_default();
        format!("anonymizer {} is unknown; expected {}{hint}", quoted(text), one_of(&names))
    })
}

fn list_file(text: &str) -> Result<&Path, String> {
    if network::parse(text).is_ok() {
        return Err(format!("list takes paths of files, and {text:?} is a network; write cidr = [{text:?}]"));
    }
    file(text, "list", "name a file")
}
