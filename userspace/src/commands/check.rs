//! `octroi check`: what a configuration would load.

use std::fmt::Write;

use serde::Serialize;

use super::{cli::CheckArgs, diff, print, print_json, shown};
use crate::{
    Failure,
    config::Config,
    daemon::{
        account::{database_status, tables},
        peer,
        status::{DatabaseStatus, Families, Tables},
    },
    dataplane::interfaces,
    lint::{self, Surroundings},
    policy::{Databases, compile::compile, slots::Slots, window::Stage},
};

/// What `check --json` prints.
#[derive(Serialize, Debug)]
pub struct Report {
    rules: Vec<Rule>,
    interfaces: Vec<String>,
    tables: Tables,
    classes: usize,
    databases: Vec<DatabaseStatus>,
    lists: Vec<List>,
    warnings: Vec<String>,
}

#[derive(Serialize, Debug)]
struct Rule {
    name: String,
    action: String,
    stage: &'static str,
    note: Option<String>,
}

/// A file that rules list.
#[derive(Serialize, Debug)]
struct List {
    path: String,
    networks: Families,
}

/// A database older than this is worth a warning, in seconds: GeoIP data moves by several percent a quarter.
const OLD: i64 = 90 * 86_400;

/// Runs the command.
///
/// # Errors
/// When configuration, databases or policy are invalid; under `--strict`, after the report, also when there is a warning of
/// something else than a database's age: what is valid is no `EX_CONFIG`, so that ends with 1.
pub fn run(args: &CheckArgs) -> Result<(), Failure> {
    if let Some([old, new]) = args.diff.as_deref() {
        return diff::run(old, new, args);
    }
    let config = Config::load(&args.read.config.config)?;
    let databases = Databases::open(&config)?;
    let mut compilation = compile(&config, &databases).map_err(Failure::config)?;
    compilation
        .assign(&mut Slots::new(), &[], |_| octroi_abi::Counter::default())
        .map_err(Failure::config)?;
    let mut warnings = Vec::new();
    // Under --strict, the same configuration must not be refused from some day on.
    let mut tolerated = 0;
    for database in databases.all() {
        let age = crate::time::now() - database.built;
        if age > OLD {
            let (kind, days) = (database.kind.as_str(), age / 86_400);
            warnings.push(format!(
                "the {kind} database {} is {days} days old: name a newer one in [geoip] {kind}",
                database.origin
            ));
            tolerated += 1;
        }
        warnings.extend(database.notes.iter().map(|note| format!("{}: {note}", database.origin)));
    }
    // Nor must one be refused that waits for an interface: where none can be listed, nobody knows.
    let absent = lint::interfaces(&config, &interfaces::names().unwrap_or_default());
    tolerated += absent.len();
    warnings.extend(absent);
    let group = config.control.group.as_deref().map(peer::group).transpose();
    warnings.extend(group.err().map(|error| error.to_string()));
    warnings.extend(databases.empty_lists());
    warnings.extend(lint::warnings(&config, &databases, &Surroundings::here()));
    let now = crate::time::now_ns();
    let rule = |rule: &crate::config::Rule| Rule {
        name: rule.name.clone(),
        action: rule.action.as_str().into(),
        stage: Stage::of(rule, now).as_str(),
        note: rule.note.clone(),
    };
    let report = Report {
        rules: config.rules.iter().map(rule).collect(),
        interfaces: config.interfaces.iter().map(|pattern| pattern.as_str().to_owned()).collect(),
        tables: tables(databases.country.networks, &compilation),
        classes: compilation.compiled.classes.len(),
        databases: databases.all().map(database_status).collect(),
        lists: databases
            .lists
            .iter()
            .map(|(path, list)| List {
                path: path.display().to_string(),
                networks: Families { ipv4: list.networks.v4, ipv6: list.networks.v6 },
            })
            .collect(),
        warnings,
    };
    let doubts = report.warnings.len() - tolerated;
    let refused = args.strict && doubts > 0;
    if args.read.json {
        print_json(&report)?
    } else {
        print(&(report.text() + if refused { "" } else { "ok\n" }))
    }
    match doubts {
        1 if refused => Err(anyhow::anyhow!("there is a warning, and --strict takes none").into()),
        many if refused => Err(anyhow::anyhow!("there are {many} warnings, and --strict takes none").into()),
        _ => Ok(()),
    }
}

impl Report {
    fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |args: std::fmt::Arguments<'_>| {
            // Writing to a string cannot fail.
            let _ = text.write_fmt(format_args!("{args}\n"));
        };
        line(format_args!("interfaces  {}", self.interfaces.join(", ")));
        for database in &self.databases {
            line(format_args!(
                "database    {:<9} {} ({}), built {}, {} IPv4 and {} IPv6 networks",
                database.kind,
                database.path,
                database.database_type,
                database.built,
                database.networks.ipv4,
                database.networks.ipv6
            ));
        }
        for List { path, networks } in &self.lists {
            line(format_args!(
                "list        {path}: {} IPv4 and {} IPv6 networks",
                networks.ipv4, networks.ipv6
            ));
        }
        for rule in &self.rules {
            let note = rule.note.as_ref().map(|note| format!("  # {}", shown(note))).unwrap_or_default();
            line(format_args!("rule        {:<24} {:<6} {}{note}", rule.name, rule.action, rule.stage));
        }
        for (family, table) in [("IPv4", self.tables.ipv4), ("IPv6", self.tables.ipv6)] {
            line(format_args!("table       {family}: {} intervals, {} bytes", table.intervals, table.bytes));
        }
        line(format_args!("classes     {}", self.classes));
        for warning in &self.warnings {
            line(format_args!("warning     {warning}"));
        }
        text
    }
}
