//! What is blocked: the prefixes that octroi's own tables have for some countries, and packets from there.

use std::{
    fmt::Display,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use anyhow::ensure;
use octroi_abi::Verdict;
use octroi_gate::corpus::build::udp;
use octroi_tests::netns::Pair;

use crate::world::{World, prefixes, wide};

/// How many packets from different blocked sources are sent, again and again.
pub(crate) const BLOCKED: usize = 4096;
/// How many from allowed ones are sent once.
const ALLOWED: usize = 512;

/// First and last address of what is blocked, merged, in ascending order.
type Intervals = Vec<(u128, u128)>;

/// A list of countries.
pub(crate) struct List {
    /// As the report calls it.
    pub(crate) name: &'static str,
    /// octroi's policy.
    pub(crate) policy: String,
    v4: Intervals,
    v6: Intervals,
}

impl List {
    /// Takes the countries' addresses from octroi's embedded tables.
    pub(crate) fn new(name: &'static str, countries: &[&str]) -> anyhow::Result<Self> {
        let policy = format!(
            "[[rule]]\nname = \"blocked\"\nsource = {{ country = {countries:?} }}\naction = \"drop\"\n"
        );
        let world = World::new(&policy)?;
        let v4 = blocked(&world, &wide(&world.v4), u32::MAX.into());
        let v6 = blocked(&world, &world.v6, u128::MAX);
        ensure!(!v4.is_empty() && !v6.is_empty(), "{name}: {} IPv4 and {} IPv6 networks", v4.len(), v6.len());
        Ok(Self { name, policy, v4, v6 })
    }

    /// Both families as prefixes.
    pub(crate) fn prefixes(&self) -> [Vec<String>; 2] {
        [spell_prefixes(&self.v4, 32, v4), spell_prefixes(&self.v6, 128, v6)]
    }

    /// Both families as intervals, which is what nftables makes of prefixes with `auto-merge`.
    pub(crate) fn intervals(&self) -> [Vec<String>; 2] {
        [spell_intervals(&self.v4, v4), spell_intervals(&self.v6, v6)]
    }

    /// Frames from blocked sources, uniform over the intervals, the families in turn.
    pub(crate) fn blocked(&self, pair: &Pair) -> Vec<Vec<u8>> {
        let mut random = fastrand::Rng::with_seed(7);
        let mut draw = |intervals: &Intervals| {
            let (first, last) = intervals[random.usize(..intervals.len())];
            random.u128(first..=last)
        };
        let both = |_| [frame(v4(draw(&self.v4)).into(), pair), frame(v6(draw(&self.v6)).into(), pair)];
        (0..BLOCKED / 2).flat_map(both).collect()
    }

    /// Frames from the addresses right behind what is blocked, the families in turn.
    pub(crate) fn allowed(&self, pair: &Pair) -> Vec<Vec<u8>> {
        let behind_v4 = self.v4.iter().filter_map(|&(_, last)| {
            let source = v4(last + 1);
            // The kernel itself drops some of the others.
            let global = (1..224).contains(&source.octets()[0])
                && !(source.is_private() || source.is_loopback() || source.is_link_local());
            global.then_some(IpAddr::from(source))
        });
        let behind_v6 = self.v6.iter().filter_map(|&(_, last)| {
            let next = last.checked_add(1)?;
            (next >> 125 == 1).then(|| IpAddr::from(v6(next)))
        });
        let both = behind_v4.zip(behind_v6).take(ALLOWED / 2);
        both.flat_map(|(v4, v6)| [frame(v4, pair), frame(v6, pair)]).collect()
    }
}

/// A UDP packet to a port that nobody listens on: 60 bytes over IPv4, 66 over IPv6, without FCS.
fn frame(source: IpAddr, pair: &Pair) -> Vec<u8> {
    let payload: &[u8] = if source.is_ipv4() { &[0; 18] } else { &[0; 4] };
    udp(source, pair.here(source)).ports(4000, 9).payload(payload).frame()
}

/// What a policy drops, merged.
fn blocked(world: &World, runs: &[(u128, u16)], top: u128) -> Intervals {
    let mut intervals = Intervals::new();
    for (n, &(start, class)) in runs.iter().enumerate() {
        if world.compiled.classes[usize::from(class)].verdict != Verdict::Drop as u8 {
            continue;
        }
        let last = runs.get(n + 1).map_or(top, |next| next.0 - 1);
        match intervals.last_mut() {
            Some(before) if before.1 + 1 == start => before.1 = last,
            _ => intervals.push((start, last)),
        }
    }
    intervals
}

fn spell_prefixes<A: Display>(intervals: &Intervals, width: u32, spell: fn(u128) -> A) -> Vec<String> {
    let mut runs = vec![(0, 0)];
    for &(first, last) in intervals {
        runs.push((first, 1));
        runs.extend(last.checked_add(1).map(|next| (next, 0)));
    }
    let prefixes = prefixes(&runs, width, 0).into_iter();
    prefixes.map(|(base, length, _)| format!("{}/{length}", spell(base))).collect()
}

fn spell_intervals<A: Display>(intervals: &Intervals, spell: fn(u128) -> A) -> Vec<String> {
    let one = |&(first, last): &(u128, u128)| match first == last {
        true => spell(first).to_string(),
        false => format!("{}-{}", spell(first), spell(last)),
    };
    intervals.iter().map(one).collect()
}

fn v4(address: u128) -> Ipv4Addr {
    u32::try_from(address).expect("an IPv4 address").into()
}

fn v6(address: u128) -> Ipv6Addr {
    address.into()
}
