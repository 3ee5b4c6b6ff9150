//! When a rule applies, and to whom.

use std::net::IpAddr;

use crate::Rule;

/// How far a rule has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    Observes,
    Applies,
    Gone,
}

/// "Before `from` the rule observes; from `until` on it is gone." In a ramp, it applies to those sources whose turn has come.
pub(crate) fn stage(rule: &Rule, source: IpAddr, now: u64) -> Stage {
    if rule.until.is_some_and(|until| now >= until) {
        return Stage::Gone;
    }
    if rule.observe || now < turn(rule, source) { Stage::Observes } else { Stage::Applies }
}

/// When a rule takes hold of what comes from a source, in nanoseconds since 1970; 0: it always has.
fn turn(rule: &Rule, source: IpAddr) -> u64 {
    match (rule.from, rule.ramp) {
        (None, _) => 0,
        (Some(from), None) => from,
        (Some(from), Some(ramp)) => from + (u64::from(position(source)) + 1) * (ramp / 10_000),
    }
}

/// When in a ramp the turn of a source comes, 0..=9999: the same for all addresses of an IPv6 /64. It is what SplitMix64 first
/// puts out when its state is the address, or the upper half of an IPv6 one, scaled.
#[must_use]
pub fn position(source: IpAddr) -> u32 {
    let key = match source {
        IpAddr::V4(address) => u64::from(address.to_bits()),
        IpAddr::V6(address) => u64::try_from(address.to_bits() >> 64).expect("64 bits are left"),
    };
    let scaled = ((split_mix(key) >> 32) * 10_000) >> 32;
    u32::try_from(scaled).expect("less than 10,000")
}

/// <https://prng.di.unimi.it/splitmix64.c>
fn split_mix(state: u64) -> u64 {
    let z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mixing_is_that_of_splitmix64() {
        // Its first two outputs from the seed 0.
        let step = 0x9e37_79b9_7f4a_7c15_u64;
        assert_eq!(split_mix(0), 0xe220_a839_7b1d_cdaf);
        assert_eq!(split_mix(step), 0x6e78_9e6a_a1b9_65f4);
    }

    #[test]
    fn positions_are_what_octroi_has_given_since_the_first_release() {
        let sources =
            ["0.0.0.0", "1.0.1.1", "255.255.255.255", "::1", "2404:7940::1", "ffff:ffff:ffff:ffff::1"];
        let positions = sources.map(|text| position(text.parse().expect("an address")));
        assert_eq!(positions, [8833, 109, 4519, 8833, 2286, 8939]);
    }

    #[test]
    fn positions_are_spread_evenly_and_those_of_a_64_are_one() {
        let mut counts = [0; 10];
        for address in 0..100_000u32 {
            let position = position(IpAddr::V4((0x0100_0000 + address).into()));
            counts[usize::try_from(position / 1000).expect("a digit")] += 1;
        }
        assert!(counts.iter().all(|count| (9_500..10_500).contains(count)), "{counts:?}");
        let of = |text: &str| position(text.parse().expect("an address"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:ffff:ffff:ffff"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
    }
}
