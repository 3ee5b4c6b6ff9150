//! What a database says of what the rules ask, and how much a list has, in numbers: kept of those that run, so that the next can
//! be compared.

mod compare;
mod lists;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::PathBuf,
};

use super::{Changed, Databases, LIST};
use crate::{
    anonymizer::Anonymizers,
    config::{Config, Place, Rule},
    country::{Continent, CountryCode},
    geoip::{Database, Kind, PerFamily, Record, placed::Counted},
};

/// What addresses are counted by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Part {
    /// Located in this country.
    Country(CountryCode),
    /// Located on this continent.
    Continent(Continent),
    /// Announced by the autonomous system of that number.
    Asn(u32),
    /// An anonymizer of one of these kinds.
    Anonymous(Anonymizers),
}

impl Part {
    fn has(self, record: &Record) -> bool {
        match self {
            Self::Country(code) => record.country == Some(code),
            Self::Continent(continent) => record.continent == Some(continent),
            Self::Asn(number) => record.asn == Some(number),
            Self::Anonymous(kinds) => record.anonymous.intersects(kinds),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Country(code) => write!(f, "{code} ({})", code.name()),
            Self::Continent(continent) => write!(f, "{continent} ({})", continent.name()),
            Self::Asn(number) => write!(f, "AS{number}"),
            Self::Anonymous(kinds) => f.write_str(&kinds.words().collect::<Vec<_>>().join(" or ")),
        }
    }
}

/// What there is to know of a database once it is not in memory any more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standing {
    /// What it is asked for.
    pub kind: Kind,
    /// Its file, or `embedded`.
    pub path: String,
    /// When it was built, in seconds since 1970.
    built: i64,
    /// IPv4 addresses and IPv6 /64s of each country, and of what rules name.
    parts: BTreeMap<Part, PerFamily<u64>>,
    /// All that it says something about; `None`: no rule asked it anything, so nobody counted.
    all: Option<PerFamily<u64>>,
    /// Whether IPv6 was counted only where it is announced.
    announced: bool,
}

/// The standings of all databases, and how much each list has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standings {
    databases: Vec<Standing>,
    lists: BTreeMap<PathBuf, PerFamily<u64>>,
}

/// The standings, for the rules that there are.
#[must_use]
pub fn standings(config: &Config, databases: &Databases) -> Standings {
    let counted = Counted::new(&databases.asn);
    let lists = databases.lists.iter().map(|(path, list)| (path.clone(), lists::count(list)));
    Standings {
        lists: lists.collect(),
        databases: databases.all().map(|database| Standing::of(&config.rules, database, &counted)).collect(),
    }
}

impl Standings {
    /// Databases that differ too much from those that run, and how: see [`Standing::doubts`].
    pub fn doubted(
        &self,
        running: &Self,
        rules: &[Rule],
        limit: u32,
    ) -> impl Iterator<Item = (Changed, Vec<String>)> {
        let doubts = move |standing: &Standing| {
            let before = running.databases.iter().find(|before| before.kind == standing.kind)?;
            let doubts = standing.doubts(before, rules, limit);
            let file = Changed { kind: standing.kind.as_str(), path: standing.path.clone() };
            (!doubts.is_empty()).then_some((file, doubts))
        };
        self.databases.iter().filter_map(doubts)
    }

    /// Lists that have lost too much of what those have that run, and how much: nobody knows whether that is all of a list.
    pub fn shrunk(&self, running: &Self) -> impl Iterator<Item = (Changed, String)> {
        self.lists.iter().filter_map(|(path, &after)| {
            let reason = lists::doubt(*running.lists.get(path)?, after)?;
            Some((Changed { kind: LIST, path: path.display().to_string() }, reason))
        })
    }
}

impl Standing {
    /// Counts a database.
    #[must_use]
    pub fn of(rules: &[Rule], database: &Database, counted: &Counted) -> Self {
        let named = mentioned(rules, database.kind);
        let (kind, path, built) = (database.kind, database.origin.to_string(), database.built);
        if !matters(kind, &named) {
            let announced = counted.announced;
            return Self { kind, path, built, parts: BTreeMap::new(), all: None, announced };
        }
        let mut parts: BTreeMap<Part, PerFamily<u64>> =
            named.iter().map(|&part| (part, PerFamily::default())).collect();
        // Sets of countries, or of kinds: a record may be in several.
        let sets: Vec<Part> = named
            .into_iter()
            .filter(|part| matches!(part, Part::Continent(_) | Part::Anonymous(_)))
            .collect();
        let mut all = PerFamily::default();
        for (record, count) in database.records.iter().zip(counted.by_record(database)).skip(1) {
            // Of countries there are few, so all are kept: by the time of the next database, rules may name any.
            let country = record.country.map(Part::Country);
            let asn = record.asn.map(Part::Asn).filter(|asn| parts.contains_key(asn));
            let sets = sets.iter().copied().filter(|part| part.has(record));
            for part in country.into_iter().chain(asn).chain(sets) {
                add(parts.entry(part).or_default(), count);
            }
            if record.country.is_some() || record.asn.is_some() || !record.anonymous.is_empty() {
                add(&mut all, count);
            }
        }
        Self { kind, path, built, parts, all: Some(all), announced: counted.announced }
    }
}

/// Whether it changes anything what a database of a kind says, where rules ask it about these: packets are counted by country,
/// whether or not a rule names one.
fn matters(kind: Kind, mentioned: &BTreeSet<Part>) -> bool {
    kind == Kind::Country || !mentioned.is_empty()
}

/// What rules ask the database of a kind about.
fn mentioned(rules: &[Rule], kind: Kind) -> BTreeSet<Part> {
    let mut parts = BTreeSet::new();
    for source in rules.iter().map(|rule| &rule.source) {
        match kind {
            Kind::Country => {
                let places = [&source.country, &source.not_country].into_iter().flatten();
                parts.extend(places.flat_map(|set| set.iter()).filter_map(|place| match place {
                    Place::Country(code) => Some(Part::Country(code)),
                    Place::Unknown => None,
                }));
                parts.extend(source.continent.iter().flatten().map(|&continent| Part::Continent(continent)));
            }
            Kind::Asn => {
                let numbers = [&source.asn, &source.not_asn].into_iter().flatten().flatten();
                parts.extend(numbers.map(|&number| Part::Asn(number)));
            }
            Kind::Anonymous => parts.extend(source.anonymous.map(Part::Anonymous)),
        }
    }
    parts
}

fn add(count: &mut PerFamily<u64>, more: PerFamily<u64>) {
    count.v4 += more.v4;
    count.v6 += more.v6;
}
