//! What records say about anonymizers: MaxMind's Anonymous IP (`is_anonymous_vpn`, …), IPinfo's privacy detection
//! (`vpn`, …), or a list of kinds in a CSV file.

use super::record::Field;
use crate::{
    anonymizer::{Anonymizer, Anonymizers},
    config::quoted,
};

/// Fields that say yes or no, and what yes stands for. MaxMind's `is_anonymous` is true for every kind that it tells
/// apart, and IPinfo's relays are of a kind that no rule names.
pub(super) const FLAGS: [(&str, Anonymizer); 11] = [
    ("is_anonymous", Anonymizer::Other),
    ("is_anonymous_vpn", Anonymizer::Vpn),
    ("is_hosting_provider", Anonymizer::Hosting),
    ("is_public_proxy", Anonymizer::Proxy),
    ("is_residential_proxy", Anonymizer::ResidentialProxy),
    ("is_tor_exit_node", Anonymizer::Tor),
    ("hosting", Anonymizer::Hosting),
    ("proxy", Anonymizer::Proxy),
    ("relay", Anonymizer::Other),
    ("tor", Anonymizer::Tor),
    ("vpn", Anonymizer::Vpn),
];

/// What a record has in each of these fields.
pub(super) type Flags<'a> = [Field<'a>; FLAGS.len()];

/// The number of the field with that name among [`FLAGS`].
pub(super) fn flag(name: &str) -> Option<usize> {
    FLAGS.iter().position(|(known, _)| *known == name)
}

/// Whether a field says yes; the error is what it says instead of yes or no.
pub(super) fn is_set(field: Field<'_>) -> Result<bool, String> {
    match field {
        Field::Absent | Field::Number(0) => Ok(false),
        Field::Flag(set) => Ok(set),
        Field::Number(1) => Ok(true),
        Field::Number(other) => Err(other.to_string()),
        Field::Other => Err("(not a boolean)".to_owned()),
        Field::Text(text) => {
            let is = |words: &[&str]| words.iter().any(|word| word.eq_ignore_ascii_case(text.trim()));
            if is(&["", "false", "0", "-"]) {
                Ok(false)
            } else if is(&["true", "1"]) {
                Ok(true)
            } else {
                Err(text.to_owned())
            }
        }
    }
}

/// The kinds; that it is an anonymizer is said by each of them, and by itself only where there is none.
pub(super) fn settle(kinds: Anonymizers) -> Anonymizers {
    let named = kinds.without(Anonymizer::Other);
    if named.is_empty() { kinds } else { named }
}

/// Reads the kinds in a cell, separated by `|`; nothing, or `-`, for none.
pub(super) fn kinds(cell: &str) -> Result<Anonymizers, String> {
    if matches!(cell.trim(), "" | "-") {
        return Ok(Anonymizers::NONE);
    }
    let kind = |word: &str| {
        Anonymizer::parse(word.trim()).map(Anonymizers::of).ok_or_else(|| {
            let known = Anonymizer::ALL.map(Anonymizer::as_str).join(", ");
            format!(
                "{} is no kind of anonymizer; give one of {known}, or several separated by |",
                quoted(word)
            )
        })
    };
    cell.split('|').map(kind).collect()
}
