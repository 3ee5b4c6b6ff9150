//! Leases: exceptions and bans for a prefix that end by themselves. They are asked before any rule.

use octroi_abi::{DSCP_KEEP, Lease, Leased, Verdict, slot};

use crate::judge::Outcome;

/// What is asked of the world around one packet: the leases of its family, and the clock.
pub trait Leases {
    /// The lease with the longest prefix of at most `length` bits that the source is in.
    fn covering(&self, length: u32) -> Option<Lease>;
    /// Now, in nanoseconds since the Unix epoch.
    fn now(&self) -> u64;
}

/// What the lease with the longest prefix says, among those that are not over. `width`: the bits of an address.
#[inline(always)]
pub fn decide<L: Leases>(leases: &L, width: u32) -> Option<Verdict> {
    const PASS: u32 = Verdict::Pass as u32;
    // 0: not asked yet.
    let (mut length, mut now) = (width, 0);
    // As many prefixes as an address can be in.
    for _ in 0..=width {
        let lease = leases.covering(length)?;
        if now == 0 {
            now = leases.now();
        }
        if now < lease.until {
            return Some(if lease.verdict == PASS { Verdict::Pass } else { Verdict::Drop });
        }
        length = lease.length.checked_sub(1)?;
    }
    None
}

/// What happens to a packet that a lease decides about. `family`: 0 for IPv4, 1 for IPv6; `header`: offset of the IP header,
/// in bytes.
#[inline(always)]
#[must_use]
pub const fn outcome(verdict: Verdict, leased: Leased, family: u32, header: usize) -> Outcome {
    let slot = if matches!(verdict, Verdict::Pass) { leased.pass } else { leased.drop };
    Outcome { verdict, slot: slot + family, mark: 0, dscp: DSCP_KEEP, header }
}

/// Where packets are counted whose class number nobody defined.
pub const UNDEFINED: Leased = Leased { pass: slot::MALFORMED, drop: slot::MALFORMED };

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    /// Leases that one source is in, by the lengths of their prefixes; it is time 100.
    struct Around(Vec<Lease>);

    impl Leases for Around {
        fn covering(&self, length: u32) -> Option<Lease> {
            let shorter = self.0.iter().filter(|lease| lease.length <= length);
            shorter.max_by_key(|lease| lease.length).copied()
        }

        fn now(&self) -> u64 {
            100
        }
    }

    fn lease(length: u32, verdict: Verdict, until: u64) -> Lease {
        Lease { until, verdict: verdict as u32, length }
    }

    fn decided(leases: &[Lease]) -> Option<Verdict> {
        decide(&Around(leases.to_vec()), 32)
    }

    #[test]
    fn the_longest_prefix_decides_whatever_the_order() {
        let (wide, narrow) = (lease(8, Verdict::Drop, 200), lease(24, Verdict::Pass, 101));
        assert_eq!(decided(&[wide, narrow]), Some(Verdict::Pass));
        assert_eq!(decided(&[narrow, wide]), Some(Verdict::Pass));
        assert_eq!(decided(&[wide]), Some(Verdict::Drop));
        assert_eq!(decided(&[]), None);
    }

    #[test]
    fn a_lease_is_over_from_its_end_on_and_hides_none_around_it() {
        assert_eq!(decided(&[lease(24, Verdict::Drop, 101)]), Some(Verdict::Drop));
        assert_eq!(decided(&[lease(24, Verdict::Drop, 100)]), None);
        assert_eq!(
            decided(&[lease(24, Verdict::Drop, 100), lease(8, Verdict::Pass, 101)]),
            Some(Verdict::Pass)
        );
        assert_eq!(decided(&[lease(0, Verdict::Drop, 100), lease(32, Verdict::Pass, 1)]), None);
    }

    #[test]
    fn one_of_every_length_that_is_over_is_passed_by_and_the_last_still_found() {
        let mut all: Vec<Lease> = (0..=128).map(|length| lease(length, Verdict::Drop, 99)).collect();
        all[0] = lease(0, Verdict::Pass, 101);
        assert_eq!(decide(&Around(all.clone()), 128), Some(Verdict::Pass));
        all[0].until = 100;
        assert_eq!(decide(&Around(all), 128), None);
    }

    #[test]
    fn a_verdict_that_is_none_drops() {
        assert_eq!(decided(&[Lease { until: 101, verdict: 7, length: 8 }]), Some(Verdict::Drop));
    }
}
