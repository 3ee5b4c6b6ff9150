//! Whether a database may take the place of the one that runs.

use std::collections::BTreeSet;

use super::{Part, Standing, mentioned};
use crate::{
    config::Rule,
    geoip::{Kind, PerFamily},
    time,
};

/// Changes of fewer addresses are no reason to doubt, however many percent they are: sixteen of the smallest allocations
/// that registries make; of IPv6, 64 of them.
const FEW: PerFamily<u64> = PerFamily { v4: 16 << 10, v6: 64 << 32 };
/// What loses nearly all is doubted however small it is, from so many addresses on: a /24, a /32.
const LEAST: PerFamily<u64> = PerFamily { v4: 256, v6: 1 << 32 };
/// In percent.
const NEARLY_ALL: u32 = 90;
/// All addresses together may change by this part of the limit: publishers that disagree do so about 4 % of them.
const OVERALL: u32 = 3;

impl Standing {
    /// Why not to take this database in the place of the one that runs without a question, a clause each. `rules` are those
    /// that it would serve; `limit` is the most that may change of what they name, in percent.
    #[must_use]
    pub fn doubts(&self, running: &Self, rules: &[Rule], limit: u32) -> Vec<String> {
        let mut doubts = Vec::new();
        let mentioned = mentioned(rules, self.kind);
        for part in mentioned {
            // A rule that is new may name what nobody counted.
            let Some(before) = running.count(part) else { continue };
            let after = self.count(part).unwrap_or_default();
            doubts.extend(
                self.families(running)
                    .filter_map(|family| doubt(part, family, family.of(before), family.of(after), limit)),
            );
        }
        doubts.extend(self.families(running).filter_map(|family| self.overall(running, family, limit)));
        if self.built < running.built {
            let (new, old) = (time::text(self.built), time::text(running.built));
            doubts.push(format!("it was built {new}, and the one that runs {old}"));
        }
        doubts
    }

    /// Those that were counted in the same way in both.
    fn families(&self, running: &Self) -> impl Iterator<Item = Family> + use<> {
        let same = self.announced == running.announced;
        [Family::V4, Family::V6].into_iter().filter(move |&family| same || family == Family::V4)
    }

    /// What was counted of a part; `None`: nobody did.
    fn count(&self, part: Part) -> Option<PerFamily<u64>> {
        let counted = self.parts.get(&part).copied();
        // Every country was; one without an entry has nothing.
        counted.or_else(|| matches!(part, Part::Country(_)).then(PerFamily::default))
    }

    fn overall(&self, running: &Self, family: Family, limit: u32) -> Option<String> {
        let limit = limit.div_ceil(OVERALL);
        let (before, after) = (family.of(running.all?), family.of(self.all?));
        let moved = match self.kind {
            Kind::Country => self.moved(running, family),
            Kind::Asn | Kind::Anonymous => before.abs_diff(after),
        };
        (moved >= family.of(FEW) && exceeds(before, moved, limit)).then(|| {
            let (unit, percent) = (family.unit(), percent(before, moved));
            let what = self.kind.wanted();
            format!(
                "of {before} {unit} that have {what}, {moved} or more get or lose one or another ({percent}, limit {limit} %), \
                 which leaves {after}"
            )
        })
    }

    /// How many addresses at least change country. Sums cannot tell more: what countries gained, or lost.
    fn moved(&self, running: &Self, family: Family) -> u64 {
        let keys = self.parts.keys().chain(running.parts.keys());
        let countries: BTreeSet<Part> =
            keys.copied().filter(|part| matches!(part, Part::Country(_))).collect();
        let (mut gained, mut lost) = (0, 0);
        for part in countries {
            let count = |standing: &Self| family.of(standing.count(part).unwrap_or_default());
            let (before, after) = (count(running), count(self));
            gained += after.saturating_sub(before);
            lost += before.saturating_sub(after);
        }
        gained.max(lost)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    pub(super) const fn of(self, count: PerFamily<u64>) -> u64 {
        match self {
            Self::V4 => count.v4,
            Self::V6 => count.v6,
        }
    }

    pub(super) const fn unit(self) -> &'static str {
        match self {
            Self::V4 => "IPv4 addresses",
            Self::V6 => "IPv6 /64s",
        }
    }
}

/// Why a part's change is doubtful, if it is.
fn doubt(part: Part, family: Family, before: u64, after: u64, limit: u32) -> Option<String> {
    let change = before.abs_diff(after);
    let nearly_all = limit.clamp(NEARLY_ALL, 99);
    let vanishes = after < before && before >= family.of(LEAST) && exceeds(before, change, nearly_all);
    let limit = match () {
        () if change >= family.of(FEW) && exceeds(before, change, limit) => limit,
        () if vanishes => nearly_all,
        () => return None,
    };
    let sign = if after < before { "-" } else { "+" };
    let change = if before == 0 { String::new() } else { format!("{sign}{}, ", percent(before, change)) };
    Some(format!("{part} goes from {before} to {after} {} ({change}limit {limit} %)", family.unit()))
}

/// Whether `change` is more than `limit` percent of `before`.
pub(super) fn exceeds(before: u64, change: u64, limit: u32) -> bool {
    u128::from(change) * 100 > u128::from(before) * u128::from(limit)
}

/// With one decimal; `before` is not 0.
pub(super) fn percent(before: u64, change: u64) -> String {
    let thousandths = u128::from(change) * 1000 / u128::from(before.max(1));
    format!("{}.{} %", thousandths / 10, thousandths % 10)
}
