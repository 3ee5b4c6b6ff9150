//! The configuration file: what was typed (`raw`), and what holds (`Config`); after that nothing is validated
//! again. Everything that is wrong with a file is reported together.

mod action;
mod check;
mod control;
mod dscp;
mod error;
mod interface;
mod key;
mod limit;
pub(crate) mod network;
mod place;
mod raw;
mod read;
mod rule;
mod service;
mod source;
#[cfg(test)]
mod tests;
mod time;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};

use toml::de::DeTable;

pub use action::Action;
pub use control::{Control, OnStop};
pub use error::{ConfigErrors, Problem};
pub use interface::{InterfacePattern, PatternError};
pub use key::{Key, reference};
pub use limit::{Limit, Per};
pub use network::NetworkError;
pub(crate) use network::parse as parse_network;
pub use place::{Place, PlaceSet};
pub use rule::Rule;
pub use service::Services;
pub use source::Source;

pub(crate) use error::quoted;
pub(crate) use key::nearest;

use error::Problems;
use raw::RawConfig;

/// A configuration that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The file, as it was named when it was opened.
    pub path: PathBuf,
    /// The interfaces to filter; at least one pattern, each once.
    pub interfaces: Vec<InterfacePattern>,
    /// How XDP is attached.
    pub mode: Mode,
    /// Databases.
    pub geoip: GeoIp,
    /// What happens where no rule decides.
    pub policy: Defaults,
    /// Where metrics are served; `None` for nowhere.
    pub metrics: Option<SocketAddr>,
    /// Where the daemon is reached, and where it keeps its pins.
    pub control: Control,
    /// The rules, in the file's order; the first that matches decides. May be empty.
    pub rules: Vec<Rule>,
}

/// How XDP is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Native; generic, with a warning, where the driver has no native mode.
    Auto,
    /// In the driver, or not at all.
    Native,
    /// In the network stack.
    Generic,
}

impl Mode {
    /// As the file spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }
}

/// Paths of the databases, relative ones already joined to the configuration's folder, and what happens when they change.
/// Whether the files exist is not known yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeoIp {
    /// Address to country; `None` for the embedded table.
    pub country: Option<PathBuf>,
    /// Address to autonomous system; `None` for the embedded table.
    pub asn: Option<PathBuf>,
    /// Address to kinds of anonymizer; `None` for no such knowledge.
    pub anonymous: Option<PathBuf>,
    /// Whether a running daemon takes files that change, lists of rules included, without being told.
    pub follow: bool,
    /// By how many percent at most a running daemon lets what rules name change with a database, 1..=1000; `None`: by any.
    pub max_change: Option<u32>,
}

/// `[policy]`: what happens where no rule decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// The verdict when no rule matches.
    pub default: DefaultVerdict,
    /// Private, link-local, loopback, multicast and unspecified sources.
    pub local: Local,
    /// Packets too short for their own headers, or behind more than two VLAN tags.
    pub malformed: Malformed,
}

/// The verdict when no rule matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultVerdict {
    /// The packet goes on.
    Pass,
    /// The packet is dropped.
    Drop,
}

/// What happens to packets from local sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Local {
    /// They go on; no rule is looked at.
    Pass,
    /// The rules are looked at, as for any other source.
    Rules,
}

/// What happens to packets that are too short for their own headers, or behind more than two VLAN tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// They are dropped.
    Drop,
    /// They go on.
    Pass,
}

/// The text of the file at `path`.
///
/// # Errors
/// When it cannot be read, or is not UTF-8.
pub fn read_text(path: &Path) -> Result<String, ConfigErrors> {
    read_named_by(path, "-c FILE")
}

/// The same of a file that was named by `option`, for messages.
///
/// # Errors
/// When it cannot be read, or is not UTF-8.
pub fn read_named_by(path: &Path, option: &str) -> Result<String, ConfigErrors> {
    let bytes = std::fs::read(path)
        .map_err(|error| ConfigErrors::unreadable(path, format!("not read: {}", reason(&error, option))))?;
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        not_utf8(error.as_bytes(), valid, path)
    })
}

impl Config {
    /// Whether the interface of that name is to be filtered.
    #[must_use]
    pub fn wants(&self, interface: &str) -> bool {
        self.interfaces.iter().any(|pattern| pattern.matches(interface))
    }

    /// Reads and checks the file. Relative paths of databases in it start at the file's folder.
    pub fn load(path: &Path) -> Result<Config, ConfigErrors> {
        Self::parse(&read_text(path)?, path)
    }

    /// Checks `text` as the contents of the file at `path`, which need not exist.
    pub fn parse(text: &str, path: &Path) -> Result<Config, ConfigErrors> {
        Self::parse_named(text, path, path)
    }

    /// Checks `text`, which is in the file at `named`, as if it were the contents of the one at `path`: relative paths
    /// start there, and messages name the file that the text is in.
    pub fn parse_named(text: &str, path: &Path, named: &Path) -> Result<Config, ConfigErrors> {
        // A byte order mark is no character of the first line.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut problems = Problems::new(text);
        let document = match DeTable::parse(text) {
            Ok(document) => document,
            Err(error) => {
                let span = error.span().unwrap_or(text.len()..text.len());
                problems.report(&span, syntax_message(&error, text.get(span.clone()).unwrap_or_default()));
                return Err(problems.finish(named).expect_err("one problem was reported"));
            }
        };
        let raw = RawConfig::read(document.get_ref(), &mut problems);
        let config = check::check(&raw, path, &mut problems);
        problems.finish(named)?;
        Ok(config)
    }
}

impl Default for GeoIp {
    fn default() -> Self {
        Self { country: None, asn: None, anonymous: None, follow: true, max_change: Some(30) }
    }
}

impl Default for Defaults {
    fn default() -> Self {
        Self { default: DefaultVerdict::Pass, local: Local::Pass, malformed: Malformed::Drop }
    }
}

const DEFAULT_LISTEN: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9462));

/// What kept a file from being read, and the next step where one is known.
fn reason(error: &io::Error, option: &str) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => format!("no such file; create it, or name another with {option}"),
        io::ErrorKind::PermissionDenied => {
            format!("permission denied; run as a user who may read it, or name another with {option}")
        }
        io::ErrorKind::IsADirectory => format!("it is a directory; name the file in it with {option}"),
        _ => error.to_string(),
    }
}

/// The parser's words, with the key that they are about where they do not name it.
fn syntax_message(error: &toml::de::Error, at: &str) -> String {
    match error.message() {
        "duplicate key" => format!("not TOML: duplicate key {}", quoted(at)),
        message => format!("not TOML: {message}"),
    }
}

/// The bytes before `valid` are UTF-8, and those at it are not.
fn not_utf8(bytes: &[u8], valid: usize, path: &Path) -> ConfigErrors {
    let shown = String::from_utf8_lossy(bytes);
    let mut problems = Problems::new(&shown);
    problems.report(&(valid..valid + 1), "not UTF-8 text; save the file as UTF-8");
    problems.finish(path).expect_err("one problem was reported")
}
