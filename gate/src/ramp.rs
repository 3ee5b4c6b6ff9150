//! A rule that takes hold little by little: which sources it applies to already.
//!
//! Every source has a position, 0..=9999, that it keeps for good; at a share of `p` hundredths of a percent, the rule
//! applies to those whose position is below `p`. So whoever is in at one share is in at every larger one, and kernel,
//! daemon and `octroi explain` agree without asking each other. One source has the same position in every rule.

use crate::packet::Source;

/// All of it, in the unit of shares: hundredths of a percent.
pub const WHOLE: u32 = 10_000;

/// A source's place among all, 0..=9999, the same at all times and on every machine.
///
/// Of an IPv6 address the upper 64 bits count: who has a /64 has all addresses in it, and would choose.
#[inline(always)]
#[must_use]
pub const fn position(source: Source) -> u32 {
    let key = match source {
        Source::V4(address) => address as u64,
        Source::V6 { high, .. } => high,
    };
    // The upper half of the mix, scaled to the range: a division by 2^32 instead of one by 10000.
    let scaled = (mix(key) >> 32) * WHOLE as u64;
    ((scaled >> 32) & 0xffff_ffff) as u32
}

/// SplitMix64's output function (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators", 2014; constants
/// of Stafford's variant 13): each bit of the key changes each bit of the result with probability 1/2.
#[inline(always)]
const fn mix(key: u64) -> u64 {
    let key = key.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let key = (key ^ (key >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let key = (key ^ (key >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    key ^ (key >> 31)
}

/// When a rule's share grows: from 0 at `from`, evenly.
///
/// Times are nanoseconds of any one clock; who chooses the clock answers for its steps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ramp {
    /// When the share begins to grow, in ns.
    pub from: u64,
    /// How long each hundredth of a percent takes, in ns; 0: there is no ramp, all sources are in at `from`.
    pub step: u64,
}

impl Ramp {
    /// A ramp of `length` ns after `from`. Steps are whole nanoseconds, rounded down: the share is whole at the ramp's
    /// end, or at most 10 µs before it.
    #[must_use]
    pub const fn new(from: u64, length: u64) -> Self {
        Self { from, step: length / WHOLE as u64 }
    }

    /// Whether the rule applies at `now` (ns) to the source at `position`. Never before `from`.
    ///
    /// The same as `position < self.share(now)`, without the division: each position has its time.
    #[inline(always)]
    #[must_use]
    pub const fn applies(&self, position: u32, now: u64) -> bool {
        // A position is at most 9999, and 10000 steps are at most the ramp's length: no overflow.
        now >= self.from && now - self.from >= (position as u64 + 1).wrapping_mul(self.step)
    }

    /// The share of sources that the rule applies to at `now` (ns): 0..=10000 hundredths of a percent. For people; the
    /// kernel has [`applies`](Self::applies).
    #[must_use]
    pub const fn share(&self, now: u64) -> u32 {
        if now < self.from {
            return 0;
        }
        match (now - self.from).checked_div(self.step) {
            Some(steps) if steps < WHOLE as u64 => (steps & 0xffff) as u32,
            // No ramp, or its end is over.
            Some(_) | None => WHOLE,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    const fn v6(high: u64) -> Source {
        Source::V6 { high, low: 1 }
    }

    /// What a release may never change: sources would be cut that were not, and others not that were.
    #[test]
    fn positions_are_what_they_always_were() {
        let sources = [
            Source::V4(0),
            Source::V4(0x0100_0101),
            Source::V4(u32::MAX),
            v6(0),
            v6(0x2404_7940_0000_0000),
            v6(u64::MAX),
        ];
        let positions: Vec<_> = sources.into_iter().map(position).collect();
        assert_eq!(positions, POSITIONS);
    }

    /// Computed apart from this code, by SplitMix64 in another language.
    const POSITIONS: [u32; 6] = [8833, 109, 4519, 8833, 2286, 8939];

    #[test]
    fn every_set_of_addresses_is_cut_by_the_share_and_no_more() {
        let sets: [(&str, Vec<Source>); 6] = [
            (
                "the first of every /24 in a /8",
                (0..65536).map(|n| Source::V4(1 << 24 | n << 8 | 1)).collect(),
            ),
            ("addresses in a row", (0..65536).map(|n| Source::V4(0x5db8_0000 + n)).collect()),
            ("every other address", (0..65536).map(|n| Source::V4(0x5db8_0000 + 2 * n)).collect()),
            ("the first of every /16", (0..65536).map(|n| Source::V4(n << 16)).collect()),
            ("/64s in a /32", (0..65536).map(|n| v6(0x2404_7940_0000_0000 + n)).collect()),
            ("/48s in a /32", (0..65536).map(|n| v6(0x2404_7940_0000_0000 + (n << 16))).collect()),
        ];
        for (name, sources) in sets {
            for share in [100, 500, 1000, 2000, 2500, 5000, 7500, 9000, 9500, 9900] {
                let cut = sources.iter().filter(|source| position(**source) < share).count();
                let cut = u32::try_from(cut * 10_000 / sources.len()).expect("at most 10000");
                assert!(cut.abs_diff(share) <= 100, "{name}: {cut} of {share} hundredths of a percent");
            }
        }
    }

    #[test]
    fn a_source_of_ipv6_cannot_choose_within_its_64() {
        let high = 0x2404_7940_0000_0001;
        let positions = (0..1000).map(|low| position(Source::V6 { high, low }));
        assert!(positions.into_iter().all(|found| found == position(v6(high))));
    }

    #[test]
    fn a_ramp_is_nothing_before_half_in_the_middle_and_all_at_its_end() {
        const WEEK: u64 = 7 * 86_400 * 1_000_000_000;
        let ramp = Ramp::new(1_000, WEEK);
        let shares = [0, 999, 1_000, 1_000 + WEEK / 2, 1_000 + WEEK - 1, 1_000 + WEEK, u64::MAX];
        assert_eq!(shares.map(|now| ramp.share(now)), [0, 0, 0, 5000, 9999, 10_000, 10_000]);
    }

    #[test]
    fn without_a_ramp_all_are_in_at_once_and_none_before() {
        let ramp = Ramp::new(1_000, 0);
        assert_eq!([ramp.share(999), ramp.share(1_000)], [0, WHOLE]);
        assert!(!ramp.applies(0, 999) && ramp.applies(9_999, 1_000));
    }

    proptest! {
        #[test]
        fn positions_are_in_range(high: u64, low: u64, address: u32) {
            prop_assert!(position(Source::V4(address)) < WHOLE);
            let v6 = Source::V6 { high, low };
            prop_assert!(position(v6) < WHOLE);
        }

        #[test]
        fn the_kernel_applies_what_the_daemon_says(
            from: u64, length: u64, at in 0u32..WHOLE, now: u64, near in 0u64..200_000,
        ) {
            let ramp = Ramp::new(from, length);
            // Some time, and one around the very nanosecond at which the position's turn comes.
            let turn = from.saturating_add(u64::from(at + 1) * ramp.step);
            for now in [now, turn.saturating_sub(near), turn.saturating_sub(1), turn, turn.saturating_add(near)] {
                prop_assert_eq!(ramp.applies(at, now), at < ramp.share(now), "{:?} {} {}", ramp, at, now);
            }
        }

        #[test]
        fn who_is_in_stays_in(from: u64, length: u64, at in 0u32..WHOLE, now: u64, later: u64) {
            let ramp = Ramp::new(from, length);
            let later = now.saturating_add(later);
            prop_assert!(ramp.share(now) <= ramp.share(later));
            prop_assert!(!ramp.applies(at, now) || ramp.applies(at, later));
        }

        #[test]
        fn a_ramp_is_even(from in 0u64..1 << 62, length in 10_000_000u64..1 << 61, part in 0u64..=10_000) {
            let ramp = Ramp::new(from, length);
            let now = from + length / 10_000 * part;
            // A step that was rounded down to whole nanoseconds is at most one share in a thousand shorter.
            let expected = u32::try_from(part).expect("small");
            prop_assert!(ramp.share(now).abs_diff(expected) <= 10, "{} of {}", ramp.share(now), expected);
            prop_assert_eq!(ramp.share(from + length), WHOLE);
        }
    }
}
