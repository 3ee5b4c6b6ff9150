//! What another database in the place of one changes: what is said of addresses, and which verdicts they meet.

use std::collections::{BTreeMap, HashMap};

use ipnetwork::IpNetwork;

use super::{
    Databases,
    compile::{Classified, CompileError, classify},
    layers::Family,
    standing::Part,
    walk::{Question, Walk},
};
use crate::{
    address::{Key, largest_within},
    config::Config,
    geoip::{
        Database, Kind, PerFamily, Record,
        placed::{Countable, Counted},
        sweep::{Piece, side_by_side},
    },
};

/// How a part's addresses change: of IPv4, addresses; of IPv6, /64s.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Change {
    /// How many there were.
    pub before: u64,
    /// How many there are.
    pub after: u64,
    /// How many come from elsewhere.
    pub gained: u64,
    /// How many go elsewhere.
    pub lost: u64,
}

/// What is said of addresses, before and after.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Difference {
    /// All of which anything is said; gained are those of which nothing was, lost those of which nothing is any more.
    pub all: PerFamily<Change>,
    /// Of how many something else is said.
    pub changed: PerFamily<u64>,
    /// Each part, whether or not it changes.
    pub parts: BTreeMap<Part, PerFamily<Change>>,
}

/// Compares what two databases of a kind say, where that counts.
#[must_use]
pub fn difference(old: &Database, new: &Database, counted: &Counted) -> Difference {
    let mut difference = Difference::default();
    let v4 = moves(&old.v4, &new.v4, &counted.v4);
    let v6 = moves(&old.v6, &new.v6, &counted.v6);
    let part = |database: &Database, record: u32| part(database.kind, &database.records[record as usize]);
    for ((one, other), count) in v4 {
        difference.add(part(old, one), part(new, other), count, |change| &mut change.v4, |sum| &mut sum.v4);
    }
    for ((one, other), count) in v6 {
        difference.add(part(old, one), part(new, other), count, |change| &mut change.v6, |sum| &mut sum.v6);
    }
    difference
}

impl Difference {
    fn add(
        &mut self,
        before: Option<Part>,
        after: Option<Part>,
        count: u64,
        of: impl Fn(&mut PerFamily<Change>) -> &mut Change,
        sum: impl Fn(&mut PerFamily<u64>) -> &mut u64,
    ) {
        let moved = if before == after { 0 } else { count };
        *sum(&mut self.changed) += moved;
        if let Some(part) = before {
            let change = of(self.parts.entry(part).or_default());
            change.before += count;
            change.lost += moved;
        }
        if let Some(part) = after {
            let change = of(self.parts.entry(part).or_default());
            change.after += count;
            change.gained += moved;
        }
        let all = of(&mut self.all);
        all.before += if before.is_some() { count } else { 0 };
        all.after += if after.is_some() { count } else { 0 };
        all.gained += if before.is_none() { moved } else { 0 };
        all.lost += if after.is_none() { moved } else { 0 };
    }
}

/// What a record is counted as.
fn part(kind: Kind, record: &Record) -> Option<Part> {
    match kind {
        Kind::Country => record.country.map(Part::Country),
        Kind::Asn => record.asn.map(Part::Asn),
        Kind::Anonymous => Some(Part::Anonymous(record.anonymous)).filter(|_| !record.anonymous.is_empty()),
    }
}

/// How many addresses have each pair of records, where that counts.
fn moves<K: Countable>(old: &[(K, u32)], new: &[(K, u32)], counted: &[(K, K)]) -> HashMap<(u32, u32), u64> {
    let mut moves = HashMap::new();
    for (pair, first, last) in within(old, new, counted) {
        *moves.entry(pair).or_default() += K::count(first, last);
    }
    moves
}

/// Pieces of two runs that lie in ranges: what both say, first and last address.
fn within<'a, K: Countable, V: Copy>(
    old: &'a [(K, V)],
    new: &'a [(K, V)],
    ranges: &[(K, K)],
) -> impl Iterator<Item = ((V, V), K, K)> + use<'a, K, V> {
    let pieces = side_by_side(old.iter().copied(), new.iter().copied());
    let pieces = pieces.map(|piece: Piece<K, V, V>| (piece.first, (piece.one, piece.other)));
    side_by_side(pieces, marked(ranges))
        .filter(|piece| piece.other)
        .map(|piece| (piece.one, piece.first, piece.last))
}

/// Ranges, which ascend, as runs that say whether an address is in one.
fn marked<K: Key>(ranges: &[(K, K)]) -> Vec<(K, bool)> {
    let mut runs: Vec<(K, bool)> = vec![(K::FIRST, false)];
    for &(first, last) in ranges {
        if runs.last().is_some_and(|run| run.0 == first) {
            runs.pop();
        }
        runs.push((first, true));
        runs.extend(last.next().map(|next| (next, false)));
    }
    runs
}

/// What decides about packets.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Decided {
    /// The verdict's word.
    pub verdict: &'static str,
    /// The rule; `None`: the default, or `policy.local`.
    pub rule: Option<String>,
}

/// Addresses that meet another verdict, or the same by another rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Turn {
    /// What decided.
    pub from: Decided,
    /// What decides.
    pub to: Decided,
    /// IPv4 addresses and IPv6 /64s.
    pub count: PerFamily<u64>,
    /// The largest prefixes of some of the largest ranges.
    pub examples: Vec<IpNetwork>,
}

/// How many examples of each family.
const EXAMPLES: usize = 3;

/// Which verdicts change when `new` takes the place of the database of its kind: those of packets whatever they are for, of no
/// connection, at `now`, in nanoseconds since the Unix epoch. A rule in its ramp is taken as applying to every source. The most
/// addresses first.
///
/// # Errors
/// When the policy does not fit.
pub fn turns(
    config: &Config,
    mut databases: Databases,
    new: Database,
    counted: &Counted,
    now: u64,
) -> Result<Vec<Turn>, CompileError> {
    let mut config = config.clone();
    for rule in &mut config.rules {
        if rule.from.is_some_and(|from| from <= now) {
            (rule.from, rule.ramp) = (None, 0);
        }
    }
    let old = classify(&config, &databases, None)?;
    match new.kind {
        Kind::Country => databases.country = new,
        Kind::Asn => databases.asn = new,
        Kind::Anonymous => databases.anonymous = Some(new),
    }
    let new = classify(&config, &databases, None)?;
    drop(databases);
    let mut decisions = Decisions { walk: Walk::new(&config)?, all: Vec::new(), now };
    let mut turns = BTreeMap::new();
    let v4 = [decisions.of::<u32>(&old), decisions.of::<u32>(&new)];
    collect(&v4[0], &v4[1], &counted.v4, &mut turns, |count| &mut count.v4);
    let v6 = [decisions.of::<u128>(&old), decisions.of::<u128>(&new)];
    collect(&v6[0], &v6[1], &counted.v6, &mut turns, |count| &mut count.v6);
    let mut turns: Vec<Turn> = turns
        .into_iter()
        .map(|((from, to), Found { count, examples })| Turn {
            from: decisions.all[from as usize].clone(),
            to: decisions.all[to as usize].clone(),
            count,
            examples: examples.into_iter().map(|(_, network)| network).collect(),
        })
        .collect();
    turns.sort_by_key(|turn| std::cmp::Reverse((turn.count.v4, turn.count.v6)));
    Ok(turns)
}

/// What decides about classes.
struct Decisions<'a> {
    walk: Walk<'a>,
    all: Vec<Decided>,
    now: u64,
}

impl Decisions<'_> {
    /// Runs of the numbers of what decides; neighbours differ.
    fn of<K: Classes>(&mut self, classified: &Classified) -> Vec<(K, u32)> {
        let question = Question { service: None, at: self.now };
        let mut number_of_class = Vec::with_capacity(classified.meanings.len());
        for (location, chain) in &classified.meanings {
            let found = self.walk.find(K::SOMEWHERE, *location, chain.clone(), question);
            let decided = Decided { verdict: found.verdict.as_str(), rule: found.outcome.rule };
            let number = self.all.iter().position(|known| *known == decided).unwrap_or(self.all.len());
            if number == self.all.len() {
                self.all.push(decided);
            }
            number_of_class.push(u32::try_from(number).expect("two for each rule at most"));
        }
        let mut runs: Vec<(K, u32)> = Vec::new();
        for &(start, class) in K::runs(classified) {
            let number = number_of_class[usize::from(class)];
            if runs.last().is_none_or(|last| last.1 != number) {
                runs.push((start, number));
            }
        }
        runs
    }
}

/// A family of classified addresses.
trait Classes: Family + Countable {
    /// Any address: without ramps and services, only its family matters.
    const SOMEWHERE: std::net::IpAddr;
    /// Its runs.
    fn runs(classified: &Classified) -> &[(Self, u16)];
    /// As an address.
    fn network(first: Self, last: Self) -> IpNetwork;
}

impl Classes for u32 {
    const SOMEWHERE: std::net::IpAddr = std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);

    fn runs(classified: &Classified) -> &[(Self, u16)] {
        &classified.v4
    }

    fn network(first: Self, last: Self) -> IpNetwork {
        largest_within(std::net::Ipv4Addr::from(first).into(), std::net::Ipv4Addr::from(last).into())
    }
}

impl Classes for u128 {
    const SOMEWHERE: std::net::IpAddr = std::net::IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED);

    fn runs(classified: &Classified) -> &[(Self, u16)] {
        &classified.v6
    }

    fn network(first: Self, last: Self) -> IpNetwork {
        largest_within(std::net::Ipv6Addr::from(first).into(), std::net::Ipv6Addr::from(last).into())
    }
}

/// What was found of one turn.
#[derive(Default)]
struct Found {
    count: PerFamily<u64>,
    /// With how much the range counts.
    examples: Vec<(u64, IpNetwork)>,
}

fn collect<K: Classes>(
    old: &[(K, u32)],
    new: &[(K, u32)],
    counted: &[(K, K)],
    turns: &mut BTreeMap<(u32, u32), Found>,
    of: impl Fn(&mut PerFamily<u64>) -> &mut u64,
) {
    // Of this family only: the other's are kept apart from them.
    let mut largest: BTreeMap<(u32, u32), Vec<(u64, IpNetwork)>> = BTreeMap::new();
    for (turn, first, last) in within(old, new, counted).filter(|((from, to), ..)| from != to) {
        let size = K::count(first, last);
        *of(&mut turns.entry(turn).or_default().count) += size;
        let examples = largest.entry(turn).or_default();
        if examples.len() < EXAMPLES || examples.iter().any(|&(known, _)| known < size) {
            examples.push((size, K::network(first, last)));
            examples.sort_by_key(|&(size, network)| (std::cmp::Reverse(size), network));
            examples.truncate(EXAMPLES);
        }
    }
    for (turn, examples) in largest {
        turns.entry(turn).or_default().examples.extend(examples);
    }
}

#[cfg(test)]
mod tests;
