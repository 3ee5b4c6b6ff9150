//! Moments at which something about a policy or a lease changes, or just has, or just will.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::{
    prelude::*,
    sample::{Index, select},
};

use crate::{Lease, Moment, Policy, position};

/// A second in nanoseconds.
pub(super) const SECOND: u64 = 1_000_000_000;

/// Around when policies begin and end: 2026-07-09, 00:00:00 UTC.
pub(super) const START: u64 = 1_783_555_200 * SECOND;

/// Which moment.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    /// Which of the policy's times or the leases' ends, and how far in its ramp.
    at: Index,
    /// The place in all ramps.
    share: u64,
    /// Whose turn in a ramp it is.
    whose: Index,
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
        // So that a clock that runs meanwhile stays on that side.
        2 => select(&[-4_000_000i64, 4_000_000]),
        1 => -second..=second,
        1 => -40 * second..=40 * second,
    ];
    (any::<Index>(), 0u64..=10_000, any::<Index>(), off, any::<bool>(), any::<bool>()).prop_map(
        |(at, share, whose, off, established, over)| Choice { at, share, whose, off, established, over },
    )
}

impl Choice {
    /// That moment for a policy, leases, and those who send.
    pub(super) fn moment(
        &self,
        policy: &Policy,
        leases: &[Lease],
        sources: &[(Ipv4Addr, Ipv6Addr)],
    ) -> Moment {
        let mut times = vec![START];
        times.extend(leases.iter().map(|lease| lease.until));
        let (v4, v6) = self.whose.get(sources);
        let turn = |position: u32| u64::from(position) + 1;
        for rule in &policy.rules {
            times.extend(rule.until);
            times.extend(rule.from);
            if let (Some(from), Some(ramp)) = (rule.from, rule.ramp) {
                let shares = [self.share, turn(position((*v4).into())), turn(position((*v6).into()))];
                times.extend(shares.map(|share| from + share * (ramp / 10_000)));
                times.push(from + ramp);
            }
        }
        Moment {
            now: self.at.get(&times).saturating_add_signed(self.off),
            established: self.established,
            over: self.over,
        }
    }
}
