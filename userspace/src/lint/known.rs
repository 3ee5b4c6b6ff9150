//! Countries and autonomous systems that rules name and no database knows.

use std::collections::{BTreeSet, HashSet};

use crate::{
    config::{Place, Rule},
    geoip::Database,
};

/// Countries of which the database has no network.
pub(super) fn countries(rules: &[Rule], database: &Database) -> Vec<String> {
    let known: HashSet<_> = database.records.iter().filter_map(|record| record.country).collect();
    let mut warnings = Vec::new();
    for rule in rules {
        for (key, places) in [("country", &rule.source.country), ("not_country", &rule.source.not_country)] {
            let unknown = places.iter().flat_map(|places| places.iter()).filter_map(|place| match place {
                Place::Country(code) if !known.contains(&code) => Some(code),
                Place::Country(_) | Place::Unknown => None,
            });
            let unknown: Vec<String> =
                unknown.map(|code| format!("{} ({})", code.as_str(), code.name())).collect();
            warnings.extend(warning(rule, key, &unknown, "country", "in", database));
        }
    }
    warnings
}

/// Autonomous systems of which the database has no network.
pub(super) fn networks(rules: &[Rule], database: &Database) -> Vec<String> {
    let known: HashSet<u32> = database.records.iter().filter_map(|record| record.asn).collect();
    let mut warnings = Vec::new();
    for rule in rules {
        for (key, numbers) in [("asn", &rule.source.asn), ("not_asn", &rule.source.not_asn)] {
            let unknown: BTreeSet<u32> =
                numbers.iter().flatten().copied().filter(|number| !known.contains(number)).collect();
            let unknown: Vec<String> = unknown.iter().map(|number| format!("AS{number}")).collect();
            warnings.extend(warning(rule, key, &unknown, "ASN", "of", database));
        }
    }
    warnings
}

/// One warning about all of a key's values that are not known.
fn warning(
    rule: &Rule,
    key: &str,
    unknown: &[String],
    kind: &str,
    of: &str,
    database: &Database,
) -> Option<String> {
    const SHOWN: usize = 5;
    let them = match unknown {
        [] => return None,
        [_] => "it",
        _ => "them",
    };
    let effect = if key.starts_with("not_") { "excludes" } else { "matches" };
    let mut list = unknown[..unknown.len().min(SHOWN)].join(", ");
    if unknown.len() > SHOWN {
        list += &format!(" and {} more", unknown.len() - SHOWN);
    }
    Some(format!(
        "rule {:?} names {list} in {key}, and the {kind} database ({}) has no network {of} {them}: that {effect} nothing; \
         check {them}, or use a database that knows {them}",
        rule.name, database.origin
    ))
}
