//! Lists of networks (`source.list`): a file with a prefix or an address a line, read into sorted ranges.
//!
//! `#` and `;` begin a comment, on a line of its own or after a network. Blanks around a network do not count, empty
//! lines neither. An empty list is one: blocklists may have nothing to block.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ipnetwork::IpNetwork;

use super::{DatabaseError, PerFamily, held::Held};
use crate::{
    address::{Key, join},
    config::{network, quoted},
};

/// Lists by the paths that rules name them by.
pub type Lists = BTreeMap<PathBuf, List>;

/// A list in memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct List {
    /// How many networks the file has; one that it has twice counts twice.
    pub networks: PerFamily<u64>,
    /// First and last address of each range, ascending; between two is at least one address.
    pub v4: Vec<(u32, u32)>,
    /// The same for IPv6.
    pub v6: Vec<(u128, u128)>,
}

/// So many bad lines are told of each.
const TOLD: usize = 5;

impl List {
    /// Reads the lines; `path` is for messages.
    pub(crate) fn parse(path: &Path, bytes: &[u8]) -> Result<Self, DatabaseError> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        let (mut bad, mut more) = (Vec::new(), 0);
        for (number, line) in (1..).zip(bytes.split(|&byte| byte == b'\n')) {
            let end = line.iter().position(|byte| matches!(byte, b'#' | b';'));
            let text = line[..end.unwrap_or(line.len())].trim_ascii();
            if text.is_empty() {
                continue;
            }
            match network(text) {
                Ok(network @ IpNetwork::V4(_)) => v4.extend(u32::range(&network)),
                Ok(network @ IpNetwork::V6(_)) => v6.extend(u128::range(&network)),
                Err(reason) if bad.len() < TOLD => bad.push((number, reason)),
                Err(_) => more += 1,
            }
        }
        if !bad.is_empty() {
            return Err(DatabaseError::Lines { path: path.to_owned(), lines: bad, more });
        }
        let networks = PerFamily { v4: v4.len() as u64, v6: v6.len() as u64 };
        join(&mut v4);
        join(&mut v6);
        Ok(Self { networks, v4, v6 })
    }

    /// Whether it lists nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }
}

/// What a line holds, or why it is no network: in the words of the configuration.
fn network(text: &[u8]) -> Result<IpNetwork, String> {
    let text = String::from_utf8_lossy(text);
    network::parse(&text).map_err(|error| format!("network {} {error}", quoted(&text)))
}

/// Where a list is read from.
#[derive(Debug)]
pub struct OriginalList {
    file: Held,
    /// The first rule that lists it.
    rule: String,
}

impl OriginalList {
    /// Opens the file that the rule of that name lists.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path, rule: &str) -> Result<Self, DatabaseError> {
        let rule = rule.to_owned();
        match Held::open(path) {
            Ok(file) => Ok(Self { file, rule }),
            Err(source) => Err(DatabaseError::List { path: path.to_owned(), rule, source }),
        }
    }

    /// Reads it, whole: the first time whatever is there, then only the same again.
    ///
    /// # Errors
    /// When the file cannot be read, changes meanwhile, has been written into since the first time, or has a line that
    /// is no network.
    pub fn read(&self) -> Result<List, DatabaseError> {
        let (bytes, _) = self.file.read()?;
        List::parse(self.file.path(), &bytes)
    }

    /// The file.
    #[must_use]
    pub const fn file(&self) -> &Held {
        &self.file
    }

    /// The first rule that lists it.
    #[must_use]
    pub fn rule(&self) -> &str {
        &self.rule
    }
}
