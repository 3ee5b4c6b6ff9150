//! Moments at which something about a policy changes, or just has, or just will.

use proptest::{
    prelude::*,
    sample::{Index, select},
};

use super::Features;
use crate::{Moment, Policy};

/// A second in nanoseconds.
pub(super) const SECOND: u64 = 1_000_000_000;

/// Around when policies begin and end: 2026-07-09, 00:00:00 UTC.
pub(super) const START: u64 = 1_783_555_200 * SECOND;

/// Which moment.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    /// Which of the policy's times, and how far in its ramp.
    at: Index,
    share: u64,
    /// Nanoseconds after it, or before.
    off: i64,
    established: bool,
    over: bool,
}

/// Any of them.
pub(super) fn choice() -> impl Strategy<Value = Choice> {
    let second = 1_000_000_000i64;
    let off = prop_oneof![
        3 => select(&[0i64, -1, 1]),
        1 => -second..=second,
        1 => -40 * second..=40 * second,
    ];
    (any::<Index>(), 0u64..=10_000, off, any::<bool>(), any::<bool>())
        .prop_map(|(at, share, off, established, over)| Choice { at, share, off, established, over })
}

impl Choice {
    /// That moment for a policy.
    pub(super) fn moment(&self, features: Features, policy: &Policy) -> Moment {
        let mut times = vec![START];
        for rule in &policy.rules {
            times.extend(rule.until);
            times.extend(rule.from);
            if let (Some(from), Some(ramp)) = (rule.from, rule.ramp) {
                times.extend([from + self.share * (ramp / 10_000), from + ramp]);
            }
        }
        Moment {
            now: self.at.get(&times).saturating_add_signed(self.off),
            established: features.established && self.established,
            over: features.limit && self.over,
        }
    }
}
