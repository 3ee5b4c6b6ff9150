//! Rules that others leave nothing to.

use std::collections::{BTreeMap, BTreeSet};

use octroi_gate::service::Service;

use super::{
    named,
    time::{self, Window},
};
use crate::{
    address::largest_within,
    config::{Action, Rule},
    policy::matches::{Extent, Together},
    time::text_ns,
};

/// Rules that never match, and exceptions behind what they should except.
///
/// A rule is left nothing where, for every address that its source matches, rules above it decide whatever it would: they
/// enforce, hold whenever it does, and are about every service that it is about. `together` are all sets of rules that match
/// some address; a rule that is over, which has its own warning, neither gets one here nor covers another.
///
/// An exception is looked at as things will be once rules of the future hold, too: until then nobody notices that it stands
/// in the wrong place. Any other rule may well be there only for the time until one above it holds.
pub(super) fn unreachable(
    rules: &[Rule],
    together: &BTreeMap<Together, [Extent; 2]>,
    now: u64,
) -> Vec<String> {
    let policy = Policy { rules, together };
    let alive = (0..rules.len()).filter(|&index| !time::is_over(&rules[index], now));
    alive.filter_map(|index| policy.warning(index, now)).collect()
}

struct Policy<'a> {
    rules: &'a [Rule],
    together: &'a BTreeMap<Together, [Extent; 2]>,
}

impl Policy<'_> {
    fn warning(&self, index: usize, now: u64) -> Option<String> {
        let rule = &self.rules[index];
        let places: Vec<&Together> =
            self.together.keys().filter(|together| together.rules.contains(&index)).collect();
        let asked: Vec<&[usize]> = places
            .iter()
            .filter(|place| !place.skipped)
            .map(|place| &place.rules[..place.rules.partition_point(|&other| other < index)])
            .collect();
        if asked.is_empty() {
            return Some(matches_nothing(rule, !places.is_empty()));
        }
        if let Some(above) = self.covered(index, &asked, now) {
            return Some(self.covered_warning(rule, &above, None));
        }
        if rule.action != Action::Pass || rule.observe {
            return None;
        }
        // When rules above begin to hold for every source: only then can more be covered than now.
        let mut later: Vec<u64> =
            self.rules[..index].iter().map(|above| Window::of(above, now).full).collect();
        later.sort_unstable();
        let still = later.into_iter().filter(|&at| at > now && !time::is_over(rule, at));
        let still: Vec<u64> = still.collect();
        let covered = still.iter().find_map(|&at| {
            let above = self.covered(index, &asked, at)?;
            let cut = above.iter().all(|&above| !passes(&self.rules[above].action));
            cut.then(|| self.covered_warning(rule, &above, Some(at)))
        });
        covered.or_else(|| {
            let at = [now].into_iter().chain(still).find(|&at| !self.cut(index, at).is_empty())?;
            Some(self.cut_warning(index, &self.cut(index, at), (at > now).then_some(at)))
        })
    }

    /// What rules above the one with that index, an exception, take of its addresses from `at` on, by rule and family.
    ///
    /// Rules that cut some of what another passes are what policies are made of: a list of what is banned, and then a country
    /// that may come in. An exception names networks, and fewer addresses than the rule that it stands below: so only where
    /// that is so. What is cut is what whole services are cut of, whatever else may be.
    fn cut(&self, index: usize, at: u64) -> BTreeMap<usize, [Extent; 2]> {
        let rule = &self.rules[index];
        let source = &rule.source;
        let mut cut: BTreeMap<usize, [Extent; 2]> = BTreeMap::new();
        if source.asn.is_none() && source.cidr.is_none() && source.list.is_none() {
            return cut;
        }
        for (place, extent) in self.asked(index) {
            let mut above = place.rules.iter().copied().take_while(|&above| above < index);
            let decides = |&above: &usize| {
                may_decide(&self.rules[above], rule, at) && enough(self.rules, &[above], rule).is_some()
            };
            if let Some(decider) = above.find(decides).filter(|&above| !passes(&self.rules[above].action)) {
                add(cut.entry(decider).or_default(), extent);
            }
        }
        let own = self.extent(index);
        cut.retain(|&above, cut| {
            let its = self.extent(above);
            (0..2).any(|family| cut[family].count > 0 && own[family].count < its[family].count)
        });
        cut
    }

    /// Where a rule is asked and its source matches.
    fn asked(&self, index: usize) -> impl Iterator<Item = (&Together, &[Extent; 2])> {
        self.together.iter().filter(move |(place, _)| !place.skipped && place.rules.contains(&index))
    }

    /// The addresses of a rule, as far as it is asked.
    fn extent(&self, index: usize) -> [Extent; 2] {
        let mut all = <[Extent; 2]>::default();
        self.asked(index).for_each(|(_, extent)| add(&mut all, extent));
        all
    }

    fn cut_warning(&self, index: usize, cut: &BTreeMap<usize, [Extent; 2]>, from: Option<u64>) -> String {
        let mut all = <[Extent; 2]>::default();
        cut.values().for_each(|extent| add(&mut all, extent));
        let own = self.extent(index);
        let above: Vec<&Rule> = cut.keys().map(|&above| &self.rules[above]).collect();
        let does = match above.as_slice() {
            [one] => cuts(&one.action),
            _ => "cut",
        };
        let parts: Vec<String> =
            (0..2).filter_map(|family| amount(family, &all[family], &own[family])).collect();
        let from = from.map(|at| format!(" from {} on", text_ns(at))).unwrap_or_default();
        let top = above.first().map(|first| format!(", above {:?}", first.name)).unwrap_or_default();
        format!(
            "rule {:?} passes only part of what it is about{from}: {} above it {does} {}; move it up{top}, unless that is meant",
            self.rules[index].name,
            named(&above),
            parts.join(" and ")
        )
    }

    /// The rules that leave nothing to the one with that index from `at` on; `None` where something is left. `places` are the
    /// rules above it that match where it does.
    fn covered(&self, index: usize, places: &[&[usize]], at: u64) -> Option<BTreeSet<usize>> {
        let mut all = BTreeSet::new();
        for above in places {
            let above = above.iter().copied();
            let deciding: Vec<usize> =
                above.filter(|&above| may_decide(&self.rules[above], &self.rules[index], at)).collect();
            all.extend(enough(self.rules, &deciding, &self.rules[index])?);
        }
        Some(all)
    }

    fn covered_warning(&self, rule: &Rule, above: &BTreeSet<usize>, from: Option<u64>) -> String {
        let above: Vec<&Rule> = above.iter().map(|&above| &self.rules[above]).collect();
        let (name, deciders) = (&rule.name, named(&above));
        let from = from.map(|at| format!(" from {} on", text_ns(at))).unwrap_or_default();
        let s = if above.len() == 1 { "s" } else { "" };
        if rule.action == Action::Pass && above.iter().all(|above| !passes(&above.action)) {
            let does = match above.as_slice() {
                [one] => cuts(&one.action),
                _ => "cut",
            };
            let top = above.first().map(|first| format!(" above {:?}", first.name)).unwrap_or_default();
            return format!(
                "rule {name:?} passes nothing{from}: {deciders} above it {does} all that it would pass; move it up,{top}"
            );
        }
        let never = if rule.observe { "counts nothing" } else { "never matches" };
        format!(
            "rule {name:?} {never}{from}: {deciders} above it decide{s} about all that it is about; remove {name:?}, or move \
             it up"
        )
    }
}

fn add(to: &mut [Extent; 2], extent: &[Extent; 2]) {
    to.iter_mut().zip(extent).for_each(|(to, extent)| to.add(*extent));
}

/// How much of a family's addresses is cut; IPv6 in networks of /64 where there are any.
fn amount(family: usize, cut: &Extent, of: &Extent) -> Option<String> {
    let (first, last) = cut.most?;
    let such = largest_within(first, last);
    let (cut, of) = (cut.count, of.count);
    Some(match family {
        0 => format!("{cut} of its {of} IPv4 addresses, such as {such}"),
        _ if cut >> 64 > 0 => {
            format!("{} of its {} IPv6 networks of /64, such as {such}", cut >> 64, of >> 64)
        }
        _ => format!("{cut} of its {of} IPv6 addresses, such as {such}"),
    })
}

/// `local`: whether it would match, were local sources not let through before.
fn matches_nothing(rule: &Rule, local: bool) -> String {
    let name = &rule.name;
    if local {
        format!(
            "rule {name:?} never matches: its source is local only, and local sources pass before any rule is looked at; \
             set local = \"rules\" in [policy], or remove it"
        )
    } else {
        format!(
            "rule {name:?} never matches: no address has all that its source asks for, by these databases; its keys are \
             ANDed, so check them against each other with octroi explain"
        )
    }
}

/// What a rule with this action does, of those that do not pass.
const fn cuts(action: &Action) -> &'static str {
    match action {
        Action::Pass | Action::Tag { .. } => "passes",
        Action::Drop => "drops",
        Action::Reject => "rejects",
        Action::Limit(_) => "limits",
    }
}

/// Whether a packet goes on after a rule with this action.
const fn passes(action: &Action) -> bool {
    matches!(action, Action::Pass | Action::Tag { .. })
}

/// Whether `above`, as far as it matches, leaves nothing to `rule` from `at` on, services aside.
///
/// A rule of a service that passes never matches a packet that does not tell its port, and one that drops does (contract,
/// "Packets"): to that, the first leaves something.
fn may_decide(above: &Rule, rule: &Rule, at: u64) -> bool {
    let untold = passes(&above.action) && above.service.is_some() && !passes(&rule.action);
    !above.observe
        && !time::is_over(above, at)
        && !untold
        && Window::of(above, at).covers(&Window::of(rule, at))
}

/// Those of `deciding`, in their order, that suffice for every service of `rule`; `None` where they do not.
fn enough(rules: &[Rule], deciding: &[usize], rule: &Rule) -> Option<Vec<usize>> {
    let mut used = Vec::new();
    let mut left: Option<Vec<Service>> = rule.service.as_ref().map(|services| services.entries.clone());
    for &above in deciding {
        match (&rules[above].service, &mut left) {
            (None, _) => {
                used.push(above);
                return Some(used);
            }
            (Some(_), None) => {}
            (Some(services), Some(left)) => {
                let before = left.clone();
                for entry in &services.entries {
                    *left = left.iter().flat_map(|one| without(one, entry)).collect();
                }
                if *left != before {
                    used.push(above);
                }
                if left.is_empty() {
                    return Some(used);
                }
            }
        }
    }
    None
}

/// What is left of a service without another: nothing, itself, or one or two ranges of ports.
fn without(service: &Service, other: &Service) -> impl Iterator<Item = Service> {
    let apart = service.protocol != other.protocol || other.high < service.low || service.high < other.low;
    let part = |low: u16, high: u16| Service::ports(service.protocol, low, high);
    let parts = if apart {
        [Some(*service), None]
    } else {
        [
            (service.low < other.low).then(|| part(service.low, other.low - 1)),
            (other.high < service.high).then(|| part(other.high + 1, service.high)),
        ]
    };
    parts.into_iter().flatten()
}
