//! Rules that are over; and when a rule does what.

use crate::{config::Rule, time::text_ns};

/// Rules whose `until` is past: they do nothing any more.
pub(super) fn expired(rules: &[Rule], now: u64) -> Vec<String> {
    let over = rules.iter().filter(|rule| is_over(rule, now)).filter_map(|rule| {
        let until = text_ns(rule.until?);
        Some(format!(
            "rule {:?} is over: its until, {until}, is past, so it does nothing; remove it, or give it a later until",
            rule.name
        ))
    });
    over.collect()
}

pub(super) fn is_over(rule: &Rule, now: u64) -> bool {
    rule.until.is_some_and(|until| until <= now)
}

/// From when on, and until when, a rule does something, for the more sources the later. All in nanoseconds since the Unix
/// epoch; what is past counts as now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Window {
    /// From here on for the first sources.
    pub(super) start: u64,
    /// From here on for all.
    pub(super) full: u64,
    /// From here on no more.
    end: Option<u64>,
}

impl Window {
    /// When the rule decides; of one that only observes, when it counts.
    pub(super) fn of(rule: &Rule, now: u64) -> Self {
        let from = if rule.observe { 0 } else { rule.from.unwrap_or(0) };
        let ramp = if rule.observe { 0 } else { rule.ramp };
        Self { start: from.max(now), full: from.saturating_add(ramp).max(now), end: rule.until }
    }

    /// Whether this one holds whenever `other` does, for each source. Shares grow evenly and a source has the same place
    /// in every ramp, so what is so at both ends is so between them.
    pub(super) fn covers(&self, other: &Self) -> bool {
        self.start <= other.start
            && self.full <= other.full
            && self.end.is_none_or(|end| other.end.is_some_and(|other| other <= end))
    }
}
