//! The networks that rules name, as ranges, and which of them an address is in.

use std::{
    borrow::Cow,
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
};

use ipnetwork::IpNetwork;

use super::layers::Family;
use crate::{
    address::{Key, join},
    config::{Rule, Source},
    geoip::Lists,
};

/// Which sets an address is in: bit n stands for set n.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Membership(Box<[u64]>);

/// The sets of each rule.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Set {
    /// The networks of its `cidr`.
    Cidr,
    /// Those of its `not_cidr`.
    NotCidr,
    /// Those in the files of its `list`.
    List,
}

impl Set {
    const ALL: [Self; 3] = [Self::Cidr, Self::NotCidr, Self::List];

    /// The number of this set of the rule with that index.
    const fn of(self, rule: usize) -> usize {
        Self::ALL.len() * rule + self as usize
    }

    /// The set's ranges of one family, sorted and disjoint; none touches the next.
    fn ranges<'a, K: Family>(self, source: &Source, lists: &'a Lists) -> Cow<'a, [(K, K)]> {
        match self {
            Self::Cidr => disjoint(source.cidr.as_deref()),
            Self::NotCidr => disjoint(source.not_cidr.as_deref()),
            Self::List => {
                let files = source.list.as_deref().unwrap_or_default();
                let mut files = files.iter().map(|path| K::list(&lists[path]));
                match (files.next(), files.next()) {
                    (None, _) => Cow::default(),
                    (Some(only), None) => only.into(),
                    (Some(first), Some(second)) => {
                        let mut ranges = [first, second].concat();
                        files.for_each(|list| ranges.extend_from_slice(list));
                        join(&mut ranges);
                        ranges.into()
                    }
                }
            }
        }
    }
}

fn disjoint<'a, K: Key>(networks: Option<&[IpNetwork]>) -> Cow<'a, [(K, K)]> {
    let mut ranges = networks.unwrap_or_default().iter().filter_map(K::range).collect();
    join(&mut ranges);
    ranges.into()
}

impl Membership {
    /// Of an address that is in no set.
    pub(crate) fn none(rules: usize) -> Self {
        Self(vec![0; (Set::ALL.len() * rules).div_ceil(64)].into())
    }

    /// Whether the address is in that set of the rule with that index.
    pub(crate) fn contains(&self, rule: usize, set: Set) -> bool {
        let set = set.of(rule);
        self.0[set / 64] >> (set % 64) & 1 == 1
    }

    fn toggle(&mut self, set: usize) {
        self.0[set / 64] ^= 1 << (set % 64);
    }
}

/// The distinct memberships that occur; number 0 is "in no set".
#[derive(Debug)]
pub(crate) struct Memberships {
    rules: usize,
    all: Vec<Membership>,
    numbers: HashMap<Membership, u32>,
}

impl Memberships {
    pub(crate) fn new(rules: usize) -> Self {
        let none = Membership::none(rules);
        Self { rules, all: vec![none.clone()], numbers: HashMap::from([(none, 0)]) }
    }

    pub(crate) fn get(&self, number: u32) -> &Membership {
        &self.all[number as usize]
    }

    fn number(&mut self, membership: &Membership) -> u32 {
        if let Some(&number) = self.numbers.get(membership) {
            return number;
        }
        let number = u32::try_from(self.all.len()).expect("fewer memberships than prefixes");
        self.all.push(membership.clone());
        self.numbers.insert(membership.clone(), number);
        number
    }

    /// Runs of equal membership over the whole family: `(first address, number)`, the first at 0.
    pub(crate) fn runs<K: Family>(&mut self, rules: &[Rule], lists: &Lists) -> Vec<(K, u32)> {
        let sets = rules.iter().enumerate().flat_map(|(index, rule)| {
            Set::ALL.map(|set| (set.of(index), set.ranges::<K>(&rule.source, lists)))
        });
        let sets: Vec<_> = sets.collect();
        let mut runs = Vec::with_capacity(1 + sets.iter().map(|(_, ranges)| 2 * ranges.len()).sum::<usize>());
        runs.push((K::FIRST, 0));
        // Where each set begins or ends next. A list may have millions of ranges: their edges are nowhere together.
        let mut ahead: Vec<_> = sets.iter().map(|(set, ranges)| (*set, edges(ranges))).collect();
        let next =
            ahead.iter_mut().enumerate().filter_map(|(at, (_, edges))| Some(Reverse((edges.next()?, at))));
        let mut next: BinaryHeap<_> = next.collect();
        let mut current = Membership::none(self.rules);
        while let Some(Reverse((address, at))) = next.pop() {
            let (set, edges) = &mut ahead[at];
            current.toggle(*set);
            if let Some(edge) = edges.next() {
                next.push(Reverse((edge, at)));
            }
            if next.peek().is_some_and(|Reverse((following, _))| *following == address) {
                continue;
            }
            let number = self.number(&current);
            match runs.last_mut() {
                Some(last) if last.0 == address => last.1 = number,
                Some(last) if last.1 == number => {}
                _ => runs.push((address, number)),
            }
        }
        runs
    }
}

/// First addresses of ranges, and those after their ends.
fn edges<K: Key>(ranges: &[(K, K)]) -> impl Iterator<Item = K> {
    ranges.iter().flat_map(|&(first, last)| std::iter::once(first).chain(last.next()))
}

#[cfg(test)]
mod tests {
    use std::{
        fmt::Write,
        net::{IpAddr, Ipv4Addr, Ipv6Addr},
        path::PathBuf,
    };

    use proptest::{collection, prelude::*};

    use super::*;
    use crate::{
        geoip::{List, PerFamily},
        policy::tests::config,
    };

    /// Networks of both families around the first 256 addresses and the last, so that many share an edge.
    fn network() -> impl Strategy<Value = IpNetwork> {
        (0u8.., 0u8..9, any::<bool>(), any::<bool>()).prop_map(|(byte, length, v6, at_end)| {
            let byte = u32::from(byte) & (0xff << (8 - length));
            let v4 = if at_end { 0xffff_ff00 | byte } else { byte };
            let wide = if at_end { !0xff | u128::from(byte) } else { u128::from(byte) };
            let (address, length): (IpAddr, u8) = if v6 {
                (Ipv6Addr::from(wide).into(), 120 + length)
            } else {
                (Ipv4Addr::from(v4).into(), 24 + length)
            };
            IpNetwork::new(address, length).expect("a length of the family")
        })
    }

    fn networks() -> impl Strategy<Value = Vec<IpNetwork>> {
        collection::vec(network(), 0..6)
    }

    fn list(networks: &[IpNetwork]) -> List {
        let (mut v4, mut v6): (Vec<_>, Vec<_>) = (
            networks.iter().filter_map(Key::range).collect(),
            networks.iter().filter_map(Key::range).collect(),
        );
        join(&mut v4);
        join(&mut v6);
        List { networks: PerFamily::default(), v4, v6 }
    }

    /// Runs against the networks themselves. `address` makes an address of a number.
    fn runs_hold<K: Family>(
        rules: &[Rule],
        lists: &Lists,
        files: &[Vec<IpNetwork>],
        address: impl Fn(K) -> IpAddr,
    ) {
        let mut memberships = Memberships::new(rules.len());
        let runs = memberships.runs::<K>(rules, lists);
        assert_eq!(runs[0].0, K::FIRST);
        assert!(runs.is_sorted_by(|one, next| one.0 < next.0 && one.1 != next.1), "{runs:?}");
        let starts = runs.iter().map(|run| run.0);
        let before = starts.clone().filter(|&start| start != K::FIRST).map(Key::before);
        let all = files
            .iter()
            .chain(rules.iter().flat_map(|rule| [&rule.source.cidr, &rule.source.not_cidr]).flatten());
        let edges: Vec<K> =
            all.flatten().filter_map(K::range).flat_map(|(first, last)| [first, last]).collect();
        for at in before.chain(starts).chain(edges).chain([K::LAST]) {
            let membership = memberships.get(runs[runs.partition_point(|run| run.0 <= at) - 1].1);
            let within =
                |networks: &[IpNetwork]| networks.iter().any(|network| network.contains(address(at)));
            for (index, Rule { source, .. }) in rules.iter().enumerate() {
                let of = |networks: &Option<Vec<IpNetwork>>| networks.as_deref().is_some_and(within);
                let listed = source.list.iter().flatten().any(|path| {
                    let file = lists.keys().position(|known| known == path).expect("a file of ours");
                    within(&files[file])
                });
                for (set, expected) in
                    [(Set::Cidr, of(&source.cidr)), (Set::NotCidr, of(&source.not_cidr)), (Set::List, listed)]
                {
                    assert_eq!(membership.contains(index, set), expected, "{at:?} rule {index} {set:?}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn runs_say_of_every_address_which_networks_it_is_in(
            rules in collection::vec((networks(), networks(), collection::vec(0usize..3, 0..3)), 0..30),
            files in [networks(), networks(), networks()],
        ) {
            let mut text = String::new();
            for (number, (cidr, not_cidr, listed)) in rules.iter().enumerate() {
                let _ = write!(text, "[[rule]]\nname = \"{number}\"\naction = \"drop\"\n[rule.source]\nany = true\n");
                for (key, values) in [
                    ("cidr", cidr.iter().map(IpNetwork::to_string).collect::<Vec<_>>()),
                    ("not_cidr", not_cidr.iter().map(IpNetwork::to_string).collect()),
                    ("list", listed.iter().map(|file| format!("/list/{file}")).collect()),
                ] {
                    if !values.is_empty() {
                        let _ = writeln!(text, "{key} = {values:?}");
                    }
                }
            }
            let rules = config(&text).rules;
            let paths = (0..).map(|file| PathBuf::from(format!("/list/{file}")));
            let lists: Lists = paths.zip(files.iter().map(|networks| list(networks))).collect();
            runs_hold::<u32>(&rules, &lists, &files, |bits| Ipv4Addr::from(bits).into());
            runs_hold::<u128>(&rules, &lists, &files, |bits| Ipv6Addr::from(bits).into());
        }
    }
}
