//! `octroi explain`: why a packet from an address meets its verdict.

use std::{
    fmt::Write as _,
    io::{self, BufRead, BufWriter, Write},
    net::IpAddr,
    os::unix::net::UnixStream,
    slice,
};

use super::{
    cli::{Addresses, ExplainArgs},
    note, print, print_json,
    running::{ask_at, places, unexpected},
    shown,
};
use crate::{
    Failure,
    config::{Config, Control},
    daemon::control::{MOST_BRIEFLY, MOST_WITH_REASONS, Reply, Request},
    geoip::Kind,
    lease::store::{Found, Store},
    policy::{
        Databases,
        explain::{Brief, Explainer, Explanation},
        walk::{Purpose, Question},
    },
    time,
};

/// Runs the command.
///
/// # Errors
/// When the configuration or a database is invalid, a line is not an address, or the daemon does not answer or cannot
/// tell.
pub fn run(args: &ExplainArgs) -> Result<(), Failure> {
    if let Some(Purpose::Protocol(number, None)) = args.port {
        note(&format!(
            "--port {number} is IP protocol {number}; for port {number}, write tcp/{number} or udp/{number}"
        ));
    }
    let question = Question { service: args.port, at: args.at.unwrap_or_else(time::now_ns) };
    if args.live {
        // Of the file, only where the socket is: it may hold another policy by now, or none.
        return answer(&Daemon(places(&args.read.config)?, question), args);
    }
    let config = Config::load(&args.read.config.config)?;
    let databases = Databases::open(&config)?;
    answer(&Explainer::new(&config, &databases, question).map_err(Failure::config)?, args)?;
    if let Some(where_from) = leases_elsewhere(&config.control) {
        note(&format!("leases, which come before the rules, were not looked at, and {where_from}"));
    }
    Ok(())
}

/// Where there may be leases that the files say nothing of, and what to do: nothing where there are none.
fn leases_elsewhere(control: &Control) -> Option<String> {
    if UnixStream::connect(&control.socket).is_ok() {
        return Some("a daemon runs: --live asks it".into());
    }
    let store = Store::new(&control.state);
    // One that this user may not read may have some.
    let there = store.clone().read(time::now_ns()).map_or(true, |found| found != Found::default());
    there.then(|| format!("{} keeps some: `octroi lease list` shows them", store.path().display()))
}

/// Who explains.
trait Source {
    fn explanations(&self, addresses: &[IpAddr]) -> Result<Vec<Explanation>, Failure>;
    fn briefs(&self, addresses: &[IpAddr]) -> Result<Vec<Brief>, Failure>;
}

/// The files.
impl Source for Explainer<'_> {
    fn explanations(&self, addresses: &[IpAddr]) -> Result<Vec<Explanation>, Failure> {
        Ok(addresses.iter().map(|&address| self.explain(address)).collect())
    }

    fn briefs(&self, addresses: &[IpAddr]) -> Result<Vec<Brief>, Failure> {
        Ok(addresses.iter().map(|&address| self.brief(address)).collect())
    }
}

/// The daemon in those places.
struct Daemon(Control, Question);

impl Daemon {
    fn ask(&self, request: Request) -> Result<Reply, Failure> {
        Ok(ask_at(&self.0, request)?.map_err(anyhow::Error::from)?)
    }
}

impl Source for Daemon {
    fn explanations(&self, addresses: &[IpAddr]) -> Result<Vec<Explanation>, Failure> {
        let mut all = Vec::with_capacity(addresses.len());
        // With many rules, an answer has only the first of them.
        while let Some(rest @ [_, ..]) = addresses.get(all.len()..) {
            match self.ask(Request::Explain { addresses: rest.to_vec(), question: self.1 })? {
                Reply::Explained { explanations } if !explanations.is_empty() => all.extend(explanations),
                other => return Err(unexpected(other)),
            }
        }
        Ok(all)
    }

    fn briefs(&self, addresses: &[IpAddr]) -> Result<Vec<Brief>, Failure> {
        match self.ask(Request::ExplainBriefly { addresses: addresses.to_vec(), question: self.1 })? {
            Reply::ExplainedBriefly { briefs } => Ok(briefs),
            other => Err(unexpected(other)),
        }
    }
}

fn answer(source: &impl Source, args: &ExplainArgs) -> Result<(), Failure> {
    match args.address {
        Addresses::StandardInput => lines(source, args.read.json),
        Addresses::One(address) => {
            for explanation in source.explanations(slice::from_ref(&address))? {
                if args.read.json {
                    print_json(&explanation)?;
                } else {
                    print(&text(&explanation));
                }
            }
            Ok(())
        }
    }
}

/// Answers each line of standard input with one line, in order. A line that is not an address is answered too, and
/// makes the command fail at the end.
fn lines(source: &impl Source, json: bool) -> Result<(), Failure> {
    let mut input = io::stdin().lock();
    let mut output = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    // The daemon reads its databases again for each batch.
    let size = if json { MOST_WITH_REASONS } else { MOST_BRIEFLY };
    let (mut number, mut bad) = (0, Vec::new());
    loop {
        let batch = Batch::read(&mut input, size, &mut number)
            .map_err(|error| anyhow::anyhow!("read standard input: {error}"))?;
        let last = batch.lines.is_empty();
        let answers = batch.answer(source, json)?;
        bad.extend(batch.bad);
        let written = output.write_all(answers.as_bytes());
        match if last { written.and_then(|()| output.flush()) } else { written } {
            // Whoever read has gone: `octroi explain - | head`.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(anyhow::anyhow!("write to standard output: {error}").into()),
            Ok(()) if last => break,
            Ok(()) => {}
        }
    }
    let Some(first) = bad.first() else { return Ok(()) };
    Err(anyhow::anyhow!("not an address: line {first}{}", more(bad.len() - 1)).into())
}

fn more(count: usize) -> String {
    match count {
        0 => String::new(),
        1 => ", and one more line".into(),
        _ => format!(", and {count} more lines"),
    }
}

/// Some lines of the input.
struct Batch {
    /// For each line, what is wrong with it; nothing is wrong with an address.
    lines: Vec<Option<String>>,
    addresses: Vec<IpAddr>,
    /// Numbers of the lines that are not addresses.
    bad: Vec<u64>,
}

impl Batch {
    /// Reads until there are `size` lines that ask something; fewer at the input's end. `number` counts all lines.
    fn read(input: &mut impl BufRead, size: usize, number: &mut u64) -> io::Result<Self> {
        let mut batch = Self { lines: Vec::new(), addresses: Vec::new(), bad: Vec::new() };
        let mut line = Vec::new();
        while batch.lines.len() < size {
            line.clear();
            if input.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            *number += 1;
            let line = String::from_utf8_lossy(&line);
            let word = line.trim();
            match word.parse::<IpAddr>() {
                _ if word.is_empty() => {}
                Ok(address) => {
                    // Servers with one socket for both families log IPv4 clients as mapped addresses.
                    batch.addresses.push(address.to_canonical());
                    batch.lines.push(None);
                }
                Err(_) => {
                    batch.bad.push(*number);
                    batch.lines.push(Some(format!("line {number}: \"{}\" is not an address", shown(word))));
                }
            }
        }
        Ok(batch)
    }

    /// The answers, one line for each.
    fn answer(&self, source: &impl Source, json: bool) -> Result<String, Failure> {
        let answers: Vec<String> = if self.addresses.is_empty() {
            Vec::new()
        } else if json {
            source.explanations(&self.addresses)?.iter().map(to_json).collect::<anyhow::Result<_>>()?
        } else {
            source.briefs(&self.addresses)?.iter().map(brief).collect()
        };
        let mut answers = answers.into_iter();
        let mut text = String::new();
        for line in &self.lines {
            match line {
                Some(error) if json => text += &serde_json::json!({ "error": error }).to_string(),
                Some(error) => text += error,
                None => {
                    text += &answers.next().ok_or_else(|| anyhow::anyhow!("fewer answers than addresses"))?;
                }
            }
            text.push('\n');
        }
        Ok(text)
    }
}

fn to_json(explanation: &Explanation) -> anyhow::Result<String> {
    Ok(serde_json::to_string(explanation)?)
}

fn brief(brief: &Brief) -> String {
    let Brief { address, prefix, location, asn, verdict, rule } = brief;
    let rule = rule.as_deref().unwrap_or("-");
    match asn {
        Some(asn) => format!("{address} {verdict} {rule} {location} AS{asn} {prefix}"),
        None => format!("{address} {verdict} {rule} {location} - {prefix}"),
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
    if explanation.databases.iter().any(|database| database.kind == Kind::Anonymous.as_str()) {
        let kinds = explanation.anonymous.join(", ");
        line("anonymizer", if kinds.is_empty() { "none" } else { &kinds });
    }
    for rule in &explanation.rules {
        let sign = if rule.matched { "matches" } else { "no" };
        line(
            "rule",
            &format!("{:<24} {:<5} {:<8} {sign:<8} {}", rule.name, rule.action, rule.stage, rule.reason),
        );
    }
    for database in &explanation.databases {
        line("database", &format!("{:<9} {}, built {}", database.kind, database.path, database.built));
    }
    line("verdict", &format!("{}: {}", explanation.verdict, shown(&explanation.because)));
    text
}
