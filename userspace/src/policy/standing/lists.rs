//! Whether a list may take the place of the one that runs where nobody asked for it.
//!
//! Whoever writes a list may be cut off in the middle, or download nothing, and what is left is as valid as the whole. What a
//! list gains is no reason to doubt: it came from whoever may write it.

use super::compare::{Family, exceeds, percent};
use crate::geoip::{List, PerFamily};

/// In percent: lists of those who misbehave get shorter each hour, seldom by more than half at once.
const LIMIT: u32 = 50;
/// Losses of fewer addresses, or /64s, are no reason to doubt: bans end.
const FEW: u64 = 64;

/// How many IPv4 addresses a list has, and how many IPv6 /64s it has any of.
pub(super) fn count(list: &List) -> PerFamily<u64> {
    let v4 = list.v4.iter().map(|&(first, last)| u64::from(last - first) + 1).sum();
    let (mut v6, mut counted) = (0u128, None);
    for (first, last) in list.v6.iter().map(|&(first, last)| (first >> 64, last >> 64)) {
        v6 += last - first + u128::from(counted != Some(first));
        counted = Some(last);
    }
    PerFamily { v4, v6: u64::try_from(v6).unwrap_or(u64::MAX) }
}

/// Why not to take a list that has `after` in the place of one that has `before`.
pub(super) fn doubt(before: PerFamily<u64>, after: PerFamily<u64>) -> Option<String> {
    let empty = after == PerFamily::default();
    let clauses = [Family::V4, Family::V6].into_iter().filter_map(|family| {
        let (before, after) = (family.of(before), family.of(after));
        let lost = before.saturating_sub(after);
        let much = lost >= FEW && exceeds(before, lost, LIMIT);
        (much || (empty && lost > 0)).then(|| {
            let (unit, lost) = (family.unit(), percent(before, lost));
            format!("from {before} to {after} {unit} (-{lost}, limit {LIMIT} %)")
        })
    });
    let clauses: Vec<String> = clauses.collect();
    (!clauses.is_empty()).then(|| format!("it goes {}", clauses.join(" and ")))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn of(text: &str) -> PerFamily<u64> {
        count(&List::parse(Path::new("list"), text.as_bytes()).expect("a list"))
    }

    #[test]
    fn addresses_and_smallest_networks_are_counted_once() {
        let v6 = |v6| PerFamily { v4: 0, v6 };
        assert_eq!(of("1.0.0.0/24\n1.0.0.7\n9.9.9.9\n0.0.0.0/32"), PerFamily { v4: 258, v6: 0 });
        assert_eq!(of("0.0.0.0/0").v4, 1 << 32);
        assert_eq!(of("2001:db8::1\n2001:db8::3\n2001:db8::9:0:0:1\n2001:db8:0:1::/64"), v6(2));
        assert_eq!(of("2001:db8::1\n2001:db8:0:2::/63\n2001:db8:0:4::9"), v6(4));
        assert_eq!(of("2000::/3"), v6(1 << 61));
        assert_eq!(of("::/0"), v6(u64::MAX));
    }

    #[test]
    fn what_loses_more_than_half_is_doubted_unless_that_is_little_or_all_is_gone() {
        let doubted = |before: [u64; 2], after: [u64; 2]| {
            let [before, after] = [before, after].map(|[v4, v6]| PerFamily { v4, v6 });
            doubt(before, after)
        };
        let words = "it goes from 400 to 199 IPv4 addresses (-50.2 %, limit 50 %)";
        assert_eq!(doubted([400, 0], [199, 0]).as_deref(), Some(words));
        assert_eq!(doubted([400, 0], [200, 0]), None, "half of it");
        assert_eq!(doubted([64, 0], [1, 0]), None, "63 of it");
        assert_eq!(doubted([65, 0], [1, 0]).map(|_| ()), Some(()));
        assert_eq!(
            doubted([400, 200], [400, 0]).as_deref().map(|why| why.contains("200 to 0 IPv6 /64s")),
            Some(true)
        );
        assert_eq!(doubted([400, 3], [400, 0]), None, "others are left");
        let words = "it goes from 1 to 0 IPv4 addresses (-100.0 %, limit 50 %) and from 2 to 0 IPv6 /64s (-100.0 %, limit 50 %)";
        assert_eq!(doubted([1, 2], [0, 0]).as_deref(), Some(words));
        assert_eq!(doubted([0, 0], [0, 0]), None);
        assert_eq!(doubted([1, 1], [1 << 32, u64::MAX]), None);
        // What halves day by day is compared with what ran the day before.
        let mut running = 4_096;
        while running > 0 {
            let next = if running == 1 { 1 } else { running / 2 };
            assert_eq!(doubted([running, 0], [next, 0]), None);
            running = if next == running { 0 } else { next };
        }
    }
}
