//! From a checked configuration and databases to the bytes that judge packets.
//!
//! ```text
//! Config + lists ─ sets (networks of each rule as ranges) ─────┐
//!   special-purpose space ─────────────────────────────────────┤
//!   country runs, ASN runs, runs of anonymizers ───────────────┴─ layers: merged runs of facts
//!        └─ decide, for each family once per distinct facts ─ classes ─ table ─ Compiled
//! ```
//!
//! `decide` is also what `octroi explain` asks, so that an explanation cannot differ from the gate.

pub mod compile;
pub mod decide;
pub mod difference;
pub mod explain;
mod layers;
pub(crate) mod matches;
mod sets;
pub mod slots;
pub mod standing;
mod steps;
pub mod walk;
pub mod window;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, btree_map::Entry},
    path::{Path, PathBuf},
    thread::{ScopedJoinHandle, scope},
};

use crate::{
    config::Config,
    geoip::{Database, DatabaseError, Held, Identity, Kind, Lists, Original, OriginalList},
};

/// The databases that a configuration names, or the embedded ones in their place; and the lists that its rules name.
#[derive(Debug)]
pub struct Databases {
    /// Address to country.
    pub country: Database,
    /// Address to autonomous system.
    pub asn: Database,
    /// Address to kinds of anonymizer, where there is one.
    pub anonymous: Option<Database>,
    /// Each list, by its path.
    pub lists: Lists,
}

impl Databases {
    /// Reads what `[geoip]` names, and what it does not name is embedded; reads the lists of the rules.
    ///
    /// # Errors
    /// The first database or list that cannot be used.
    pub fn open(config: &Config) -> Result<Self, DatabaseError> {
        Originals::open(config)?.read()
    }

    /// All databases, in the order in which they are listed everywhere.
    pub fn all(&self) -> impl Iterator<Item = &Database> {
        [&self.country, &self.asn].into_iter().chain(&self.anonymous)
    }

    /// Lists that have nothing in them, a sentence each: allowed, and seldom meant.
    pub fn empty_lists(&self) -> impl Iterator<Item = String> {
        let empty = self.lists.iter().filter(|(_, list)| list.is_empty());
        empty.map(|(path, _)| format!("list {} has no network in it, and matches nothing", path.display()))
    }
}

/// A file that has other bytes than the one that runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Changed {
    /// The kind of a database, or [`LIST`].
    pub kind: &'static str,
    /// The file.
    pub path: String,
}

/// What a list is called where databases are called by their kinds.
pub const LIST: &str = "list";

/// Where the databases and lists of a configuration are read from: whoever keeps it can read the same ones again.
#[derive(Debug)]
pub struct Originals {
    country: Original,
    asn: Original,
    anonymous: Option<Original>,
    /// Each once, whatever the number of rules that list it.
    lists: BTreeMap<PathBuf, OriginalList>,
    /// Whether they stand for the files that are named.
    copies: bool,
}

impl Originals {
    /// Opens what `[geoip]` and the rules name, without reading it.
    ///
    /// # Errors
    /// The first file that cannot be opened.
    pub fn open(config: &Config) -> Result<Self, DatabaseError> {
        let originals = Self::open_copies(config, |path| path)?;
        Ok(Self { copies: false, ..originals })
    }

    /// Opens, for each file that is named, the one that `copy` says.
    ///
    /// # Errors
    /// The first file that cannot be opened.
    pub fn open_copies<'a>(
        config: &'a Config,
        copy: impl Fn(&'a Path) -> &'a Path,
    ) -> Result<Self, DatabaseError> {
        let geoip = &config.geoip;
        let mut lists = BTreeMap::new();
        for rule in &config.rules {
            for path in rule.source.list.iter().flatten() {
                if let Entry::Vacant(entry) = lists.entry(path.clone()) {
                    entry.insert(OriginalList::open(copy(path), &rule.name)?);
                }
            }
        }
        Ok(Self {
            country: open(Kind::Country, geoip.country.as_deref().map(&copy))?,
            asn: open(Kind::Asn, geoip.asn.as_deref().map(&copy))?,
            anonymous: match &geoip.anonymous {
                Some(path) => Some(open(Kind::Anonymous, Some(copy(path)))?),
                None => None,
            },
            lists,
            copies: true,
        })
    }

    /// The files among them.
    pub fn files(&self) -> impl Iterator<Item = &Held> {
        self.kinds().map(|(_, file)| file)
    }

    /// The same, and what each is: the kind of a database, or `list`.
    fn kinds(&self) -> impl Iterator<Item = (&'static str, &Held)> {
        let databases = [&self.country, &self.asn].into_iter().chain(&self.anonymous);
        let databases = databases.filter_map(|one| one.file().map(|file| (one.kind().as_str(), file)));
        databases.chain(self.lists.values().map(|list| (LIST, list.file())))
    }

    /// Whether they stand for the files that are named.
    #[must_use]
    pub const fn are_copies(&self) -> bool {
        self.copies
    }

    /// All files, each once, and which they were when they were read; none of copies, which nobody replaces.
    #[must_use]
    pub fn followed(&self) -> BTreeMap<PathBuf, Option<Identity>> {
        if self.copies {
            return BTreeMap::new();
        }
        let identity = |held: &Held| held.seen().map(|seen| seen.identity);
        self.files().map(|held| (held.path().to_owned(), identity(held))).collect()
    }

    /// Which of these files have not the bytes that those had. Both are of the same configuration.
    ///
    /// # Errors
    /// The first file that cannot be read.
    pub fn changed(&self, those: &Self) -> Result<Vec<Changed>, DatabaseError> {
        let mut changed = Vec::new();
        for ((kind, this), (_, that)) in self.kinds().zip(those.kinds()) {
            this.read()?;
            let fingerprint = |held: &Held| held.seen().map(|seen| seen.fingerprint);
            if fingerprint(this) != fingerprint(that) {
                changed.push(Changed { kind, path: this.path().display().to_string() });
            }
        }
        Ok(changed)
    }

    /// Reads them: see [`Original::read`] and [`OriginalList::read`].
    ///
    /// # Errors
    /// The first database or list that cannot be used.
    pub fn read(&self) -> Result<Databases, DatabaseError> {
        // Several files, several threads: reading them is most of a reload.
        scope(|scope| {
            let asn = scope.spawn(|| read(&self.asn));
            let anonymous = self.anonymous.as_ref().map(|original| scope.spawn(|| read(original)));
            let lists = scope.spawn(|| {
                let read = self.lists.iter().map(|(path, list)| {
                    let named = |error: DatabaseError| error.named(format!("list of rule {:?}", list.rule()));
                    Ok((path.clone(), list.read().map_err(named)?))
                });
                read.collect::<Result<Lists, DatabaseError>>()
            });
            let country = read(&self.country)?;
            let asn = joined(asn)?;
            let anonymous = anonymous.map(joined).transpose()?;
            Ok(Databases { country, asn, anonymous, lists: joined(lists)? })
        })
    }
}

/// Opens what `[geoip]` names; what goes wrong has the key's name.
fn open(kind: Kind, path: Option<&Path>) -> Result<Original, DatabaseError> {
    Original::open(kind, path).map_err(|error| error.named(key(kind)))
}

/// The same for reading it.
fn read(original: &Original) -> Result<Database, DatabaseError> {
    original.read().map_err(|error| error.named(key(original.kind())))
}

fn key(kind: Kind) -> String {
    format!("[geoip] {}", kind.as_str())
}

/// What a thread came to.
fn joined<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
