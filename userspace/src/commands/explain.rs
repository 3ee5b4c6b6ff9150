//! `octroi explain`: why a packet from an address meets its verdict.

use std::{
    fmt::Write as _,
    io::{self, BufRead, BufWriter, Write},
    net::IpAddr,
};

use super::{
    cli::{Addresses, ExplainArgs},
    print, print_json,
};
use crate::{
    Failure,
    config::Config,
    policy::{
        Databases,
        explain::{Explainer, Explanation},
    },
};

/// Runs the command.
///
/// # Errors
/// When the configuration or a database is invalid, or a line is not an address.
pub fn run(args: &ExplainArgs) -> Result<(), Failure> {
    let config = Config::load(&args.read.config.config)?;
    let databases = Databases::open(&config)?;
    let explainer = Explainer::new(&config, &databases);
    match args.address {
        Addresses::One(address) => {
            let explanation = explainer.explain(address);
            if args.read.json {
                print_json(&explanation)?
            } else {
                print(&text(&explanation))
            }
            Ok(())
        }
        Addresses::StandardInput => stream(&explainer, args.read.json).map_err(Failure::from),
    }
}

/// Answers each line of standard input with one line, in order. A line that is not an address is answered too, and
/// makes the command fail at the end.
fn stream(explainer: &Explainer<'_>, json: bool) -> anyhow::Result<()> {
    let mut input = io::stdin().lock();
    let mut output = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let (mut line, mut number, mut bad) = (String::new(), 0u64, Vec::new());
    let mut answer = String::new();
    loop {
        line.clear();
        if input.read_line(&mut line)? == 0 {
            break;
        }
        number += 1;
        let word = line.trim();
        if word.is_empty() {
            continue;
        }
        answer.clear();
        match word.parse::<IpAddr>() {
            Ok(address) if json => answer.push_str(&serde_json::to_string(&explainer.explain(address))?),
            Ok(address) => {
                let brief = explainer.brief(address);
                let rule = brief.rule.as_deref().unwrap_or("-");
                write!(answer, "{address} {} {rule} {}", brief.verdict, brief.location)?;
                match brief.asn {
                    Some(asn) => write!(answer, " AS{asn} {}", brief.prefix)?,
                    None => write!(answer, " - {}", brief.prefix)?,
                }
            }
            Err(_) => {
                bad.push(number);
                let error = format!("line {number}: \"{word}\" is not an address");
                if json {
                    answer.push_str(&serde_json::to_string(&serde_json::json!({ "error": error }))?);
                } else {
                    answer.push_str(&error);
                }
            }
        }
        answer.push('\n');
        if let Err(error) = output.write_all(answer.as_bytes()) {
            // Whoever read has gone: `octroi explain - | head`.
            return if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error.into()) };
        }
    }
    output.flush()?;
    match bad.first() {
        None => Ok(()),
        Some(first) => anyhow::bail!("{} lines are not addresses, the first of them line {first}", bad.len()),
    }
}

fn text(explanation: &Explanation) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<12} {value}");
    };
    line("address", &explanation.address);
    line("prefix", &explanation.prefix);
    line("country", explanation.country.as_deref().unwrap_or("none"));
    let network = match (explanation.asn, &explanation.organization) {
        (Some(asn), Some(name)) => format!("AS{asn} {name}"),
        (Some(asn), None) => format!("AS{asn}"),
        (None, _) => "none".into(),
    };
    line("network", &network);
    for rule in &explanation.rules {
        let sign = if rule.matched { "matches" } else { "no" };
        line(
            "rule",
            &format!("{:<24} {:<5} {:<8} {sign:<8} {}", rule.name, rule.action, rule.stage, rule.reason),
        );
    }
    for database in &explanation.databases {
        line("database", &format!("{:<8} {}, built {}", database.kind, database.path, database.built));
    }
    line("verdict", &format!("{}: {}", explanation.verdict, explanation.because));
    text
}
