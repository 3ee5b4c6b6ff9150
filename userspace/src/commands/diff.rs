//! `octroi check --diff`: what a newer database changes.

use std::{
    fmt::{self, Write},
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{
    cli::{CheckArgs, DEFAULT_CONFIG},
    print, print_json,
};
use crate::{
    Failure,
    config::{Config, GeoIp},
    daemon::{
        account::database_status,
        status::{DatabaseStatus, Families},
    },
    geoip::{Database, DatabaseError, Kind, PerFamily, placed::Counted},
    policy::{
        Databases,
        difference::{self, Change, Decided, Difference, Turn, turns},
        standing::{Part, Standing},
    },
    time,
};

/// What `check --diff --json` prints. IPv4 is counted in addresses, IPv6 in /64s.
#[derive(Serialize, Debug)]
struct Report {
    kind: &'static str,
    old: DatabaseStatus,
    new: DatabaseStatus,
    /// Whether of IPv6 only what somebody announces is counted.
    announced_only: bool,
    /// Of how many addresses anything is said; gained are those of which nothing was, lost those of which nothing is any more.
    all: Both<Counts>,
    /// Of how many addresses something else is said.
    changed: Families,
    /// What changes, the most first.
    parts: Vec<PartReport>,
    /// Verdicts that change; `null`: there is no configuration.
    verdicts: Option<Vec<TurnReport>>,
    /// Why a running daemon would hold the new one.
    held: Vec<String>,
}

#[derive(Serialize, Debug)]
struct Both<T> {
    ipv4: T,
    ipv6: T,
}

#[derive(Serialize, Debug)]
struct Counts {
    before: u64,
    after: u64,
    gained: u64,
    lost: u64,
}

#[derive(Serialize, Debug)]
struct PartReport {
    /// ISO code, number with AS before it, or kinds of anonymizer.
    name: String,
    #[serde(flatten)]
    counts: Both<Counts>,
}

#[derive(Serialize, Debug)]
struct TurnReport {
    from: Decision,
    to: Decision,
    #[serde(flatten)]
    counts: Families,
    examples: Vec<String>,
}

#[derive(Serialize, Debug)]
struct Decision {
    verdict: &'static str,
    rule: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// When a file, or the configuration, is invalid; under `--strict`, after the report, when the new one would be held.
pub(super) fn run(old: &Path, new: &Path, args: &CheckArgs) -> Result<(), Failure> {
    let config = config(&args.read.config.config)?;
    let (kind, old) = open(config.as_ref(), old, new)?;
    let new = Database::open(kind, new)?;
    let report = Report::new(config, kind, old, new)?;
    if args.read.json {
        print_json(&report)?
    } else {
        print(&report.text())
    }
    if args.strict && !report.held.is_empty() {
        return Err(anyhow::anyhow!("the new one would be held, and --strict takes none that is").into());
    }
    Ok(())
}

/// Without a file at the usual place, databases are compared without a policy.
fn config(path: &Path) -> Result<Option<Config>, Failure> {
    if path.as_os_str() == DEFAULT_CONFIG && !path.exists() {
        return Ok(None);
    }
    Ok(Some(Config::load(path)?))
}

/// The old database, and which kind it is: the one that the configuration names either file as, or else the first one that it
/// knows anything about.
fn open(config: Option<&Config>, old: &Path, new: &Path) -> Result<(Kind, Database), DatabaseError> {
    let named = |kind: &Kind| {
        let file = config.and_then(|config| file(&config.geoip, *kind));
        file.is_some_and(|file| *file == old || *file == new)
    };
    let kinds = [Kind::Country, Kind::Asn, Kind::Anonymous];
    if let Some(kind) = kinds.into_iter().find(named) {
        return Ok((kind, Database::open(kind, old)?));
    }
    let mut first = None;
    for kind in kinds {
        match Database::open(kind, old) {
            // A CSV file is valid as any kind, and says nothing as most.
            Ok(database) if database.records.len() > 1 => return Ok((kind, database)),
            Ok(database) => drop(first.get_or_insert(Ok((kind, database)))),
            Err(error @ (DatabaseError::Read { .. } | DatabaseError::Empty { .. })) => return Err(error),
            Err(error) => drop(first.get_or_insert(Err(error))),
        }
    }
    first.unwrap_or_else(|| Ok((Kind::Country, Database::embedded(Kind::Country))))
}

fn file(geoip: &GeoIp, kind: Kind) -> Option<&PathBuf> {
    match kind {
        Kind::Country => geoip.country.as_ref(),
        Kind::Asn => geoip.asn.as_ref(),
        Kind::Anonymous => geoip.anonymous.as_ref(),
    }
}

impl Report {
    fn new(config: Option<Config>, kind: Kind, old: Database, new: Database) -> Result<Self, Failure> {
        // The other databases are the configuration's; the old one stands where its kind does.
        let databases = match &config {
            Some(config) => others(config, old)?,
            None => Databases {
                asn: if kind == Kind::Asn { old.clone() } else { Database::embedded(Kind::Asn) },
                anonymous: (kind == Kind::Anonymous).then(|| old.clone()),
                country: if kind == Kind::Country { old } else { Database::embedded(Kind::Country) },
                lists: Default::default(),
            },
        };
        let old = databases.all().find(|one| one.kind == kind).unwrap_or(&databases.country);
        let counted = Counted::new(&databases.asn);
        let difference = difference::difference(old, &new, &counted);
        let rules = config.as_ref().map_or(&[][..], |config| &config.rules);
        let limit =
            config.as_ref().map_or_else(|| GeoIp::default().max_change, |config| config.geoip.max_change);
        let held = limit.map_or_else(Vec::new, |limit| {
            // As the daemon counts it: by the networks that it would know then.
            let counted_then = if kind == Kind::Asn { &Counted::new(&new) } else { &counted };
            let running = Standing::of(rules, old, &counted);
            Standing::of(rules, &new, counted_then).doubts(&running, rules, limit)
        });
        let (old_status, new_status) = (database_status(old), database_status(&new));
        let verdicts = match &config {
            Some(config) => {
                let turns =
                    turns(config, databases, new, &counted, time::now_ns()).map_err(Failure::config)?;
                Some(turns.into_iter().map(TurnReport::from).collect())
            }
            None => None,
        };
        Ok(Self {
            kind: kind.as_str(),
            old: old_status,
            new: new_status,
            announced_only: counted.announced,
            all: difference.all.into(),
            changed: difference.changed.into(),
            parts: changed_parts(&difference),
            verdicts,
            held,
        })
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, rest: fmt::Arguments<'_>| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name:<11} {rest}");
        };
        for (name, one) in [("old", &self.old), ("new", &self.new)] {
            let Families { ipv4, ipv6 } = one.networks;
            line(
                name,
                format_args!(
                    "{} ({}), built {}, {ipv4} IPv4 and {ipv6} IPv6 networks",
                    one.path, one.database_type, one.built
                ),
            );
        }
        let unit = if self.announced_only { "announced IPv6 /64s" } else { "IPv6 /64s" };
        line(
            self.kind,
            format_args!(
                "known of {} IPv4 addresses and {unit} {}",
                Spelt(&self.all.ipv4),
                Spelt(&self.all.ipv6)
            ),
        );
        line(
            "changed",
            format_args!(
                "{} IPv4 addresses{}, {} {unit}{}",
                self.changed.ipv4,
                Share(self.changed.ipv4, &self.all.ipv4),
                self.changed.ipv6,
                Share(self.changed.ipv6, &self.all.ipv6)
            ),
        );
        for part in self.parts.iter().take(SHOWN) {
            line(
                &part.name,
                format_args!("IPv4 {}, IPv6 /64s {}", Spelt(&part.counts.ipv4), Spelt(&part.counts.ipv6)),
            );
        }
        if let Some(more @ 1..) = self.parts.len().checked_sub(SHOWN) {
            line("", format_args!("and {more} more (--json has all)"));
        }
        match &self.verdicts {
            None => line(
                "verdicts",
                format_args!("unknown: there is no {DEFAULT_CONFIG}; name a configuration with -c FILE"),
            ),
            Some(none) if none.is_empty() => line("verdicts", format_args!("none changes")),
            Some(turns) => {
                for TurnReport { from, to, counts: Families { ipv4, ipv6 }, examples } in turns {
                    line(
                        "verdict",
                        format_args!(
                            "{from} -> {to}: {ipv4} IPv4 addresses, {ipv6} {unit}, such as {}",
                            examples.join(", ")
                        ),
                    );
                }
            }
        }
        for reason in &self.held {
            line("held", format_args!("a running daemon would hold it: {reason}"));
        }
        text
    }
}

/// So many parts are for people.
const SHOWN: usize = 20;

/// The configuration's databases, with that one in the place of its kind.
fn others(config: &Config, old: Database) -> Result<Databases, Failure> {
    let mut config = config.clone();
    // Not read: it may be missing, or as large as these.
    match old.kind {
        Kind::Country => config.geoip.country = None,
        Kind::Asn => config.geoip.asn = None,
        Kind::Anonymous => config.geoip.anonymous = None,
    }
    let mut databases = Databases::open(&config)?;
    match old.kind {
        Kind::Country => databases.country = old,
        Kind::Asn => databases.asn = old,
        Kind::Anonymous => databases.anonymous = Some(old),
    }
    Ok(databases)
}

fn changed_parts(difference: &Difference) -> Vec<PartReport> {
    let mut parts: Vec<(&Part, &PerFamily<Change>)> =
        difference.parts.iter().filter(|(_, change)| moved(change.v4) > 0 || moved(change.v6) > 0).collect();
    parts.sort_by_key(|(_, change)| std::cmp::Reverse((moved(change.v4), moved(change.v6))));
    let report = |(part, change): (&Part, &PerFamily<Change>)| PartReport {
        name: match part {
            Part::Country(code) => code.to_string(),
            other => other.to_string(),
        },
        counts: (*change).into(),
    };
    parts.into_iter().map(report).collect()
}

const fn moved(change: Change) -> u64 {
    change.gained + change.lost
}

impl From<PerFamily<Change>> for Both<Counts> {
    fn from(change: PerFamily<Change>) -> Self {
        let counts = |Change { before, after, gained, lost }| Counts { before, after, gained, lost };
        Self { ipv4: counts(change.v4), ipv6: counts(change.v6) }
    }
}

impl From<PerFamily<u64>> for Families {
    fn from(count: PerFamily<u64>) -> Self {
        Self { ipv4: count.v4, ipv6: count.v6 }
    }
}

impl From<Turn> for TurnReport {
    fn from(turn: Turn) -> Self {
        let decision = |Decided { verdict, rule }| Decision { verdict, rule };
        Self {
            from: decision(turn.from),
            to: decision(turn.to),
            counts: turn.count.into(),
            examples: turn.examples.iter().map(ToString::to_string).collect(),
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.rule {
            Some(rule) => write!(f, "{} by {rule:?}", self.verdict),
            None => write!(f, "{} by no rule", self.verdict),
        }
    }
}

/// `7 -> 9 (+3 -1)`.
struct Spelt<'a>(&'a Counts);

impl fmt::Display for Spelt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { before, after, gained, lost } = self.0;
        if gained + lost == 0 {
            return write!(f, "{after}");
        }
        write!(f, "{before} -> {after} (+{gained} -{lost})")
    }
}

/// ` (1.2 %)` of what there was.
struct Share<'a>(u64, &'a Counts);

impl fmt::Display for Share<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (u128::from(self.0) * 1000).checked_div(self.1.before.into()) {
            Some(thousandths) => write!(f, " ({}.{} %)", thousandths / 10, thousandths % 10),
            None => Ok(()),
        }
    }
}
