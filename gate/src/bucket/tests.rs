//! The bucket against its promise: any arrivals, any rate, years of silence, many CPUs.

use core::{
    cell::Cell,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};
use std::{thread, vec, vec::Vec};

use proptest::prelude::*;

use super::*;

const YEAR: u64 = 365 * 86_400 * SECOND;

/// Which of the packets at `times` (ns, never going back) a new bucket lets through.
fn passed(limit: &Limit, times: impl IntoIterator<Item = u64>) -> Vec<u64> {
    let mut state = 0;
    let mut passed = Vec::new();
    for now in times {
        let taken = limit.take(state, now);
        state = taken.state;
        if taken.allowed {
            passed.push(now);
        }
    }
    passed
}

/// Two packets between which more were let through than promised, and how many. In 256ths of billionths of a packet, so
/// without rounding.
fn exceeds(rate: u32, burst: u32, passed: &[u64]) -> Option<(u64, u64, usize)> {
    for (first, from) in passed.iter().enumerate() {
        for (last, to) in passed.iter().enumerate().skip(first) {
            let count = last - first + 1;
            let granted = u128::from(to - from) * u128::from(rate) * 256;
            let most = (u128::from(burst) * 256 + 1) * 1_000_000_000 + granted;
            if count as u128 * 256 * 1_000_000_000 >= most {
                return Some((*from, *to, count));
            }
        }
    }
    None
}

#[test]
fn a_new_bucket_grants_the_burst_and_then_the_rate() {
    let limit = Limit::new(10, 5);
    let start = 3 * YEAR;
    let times = (0..20).map(|_| start).chain([start + SECOND / 10, start + SECOND / 10, start + SECOND]);
    let passed = passed(&limit, times);
    assert_eq!(passed, [vec![start; 5], vec![start + SECOND / 10, start + SECOND]].concat());
}

#[test]
fn nothing_is_lost_to_rounding_in_a_year_of_thirds() {
    let limit = Limit::new(3, 1);
    let third = |n: u64| (n * SECOND).div_ceil(3);
    let (start, mut state) = (YEAR, 0);
    // Each third of a second for a day, and again a year later.
    for n in (0..259_200).chain(94_608_000..94_867_200) {
        let taken = limit.take(state, start + third(n));
        assert!(taken.allowed, "packet {n}");
        state = taken.state;
    }
    // A flood gets no more than that.
    let flood = passed(&limit, (0..1_000_000).map(|n| start + n * 100_000));
    assert!((300..=301).contains(&flood.len()), "{} in 100 s", flood.len());
}

#[test]
fn the_highest_rate_is_exact_after_a_century() {
    let limit = Limit::new(Limit::MAX_RATE, 1);
    let start = 100 * YEAR;
    let flood = passed(&limit, (0..1_000_000).map(|n| start + n * 10));
    assert!((100_000..=100_001).contains(&flood.len()), "{} in 10 ms", flood.len());
    let conforming = passed(&limit, (0..100_000).map(|n| start + n * 100));
    assert_eq!(conforming.len(), 100_000);
}

#[test]
fn limits_out_of_range_are_brought_into_it() {
    assert_eq!(Limit::new(0, 0), Limit::new(1, 1));
    assert_eq!(Limit::new(u32::MAX, 7), Limit::new(Limit::MAX_RATE, 7));
}

#[test]
fn a_clock_that_goes_back_and_forth_grants_nothing() {
    let limit = Limit::new(Limit::MAX_RATE, 3);
    let start = YEAR;
    // Two CPUs, the second 50 ns behind, in turn; the first one's clock goes on by 1 ns a packet.
    let mut state = 0;
    let mut allowed = 0;
    for n in 0..100_000u64 {
        let now = start + n - if n % 2 == 0 { 0 } else { 50 };
        let taken = limit.take(state, now);
        state = taken.state;
        allowed += u64::from(taken.allowed);
    }
    // 100 µs at 10 a µs, and the burst.
    assert!(allowed <= 1_000 + 3, "{allowed}");
}

#[test]
fn a_word_of_another_rate_or_clock_heals_at_this_rate() {
    let limit = Limit::new(100, 10);
    for foreign in [u64::MAX, u64::MAX - 1, Limit::new(Limit::MAX_RATE, 10).clock(YEAR)] {
        let denied = limit.take(foreign, YEAR);
        assert!(!denied.allowed);
        let next = limit.take(denied.state, YEAR + SECOND / 100);
        assert!(next.allowed, "{foreign:#x}");
        let again = limit.take(next.state, YEAR + SECOND / 100);
        assert!(!again.allowed, "no burst from it");
    }
}

#[test]
fn many_cpus_get_no_more_than_one_would() {
    let word = Shared(AtomicU64::new(0));
    let limit = Limit::new(1_000, 500);
    // All at one moment: the burst is all there is.
    let allowed: usize = thread::scope(|scope| {
        let cpus: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| (0..10_000).filter(|_| admit(&word, &limit, YEAR)).count()))
            .collect();
        cpus.into_iter().map(|cpu| cpu.join().expect("does not panic")).sum()
    });
    assert_eq!(allowed, 500);
}

#[test]
fn who_never_gets_hold_of_the_word_is_over_the_limit() {
    /// Somebody else always takes one first.
    struct Contended(Cell<u64>, Cell<u32>);
    impl Word for Contended {
        fn load(&self) -> u64 {
            self.0.get()
        }
        fn compare_exchange(&self, _: u64, _: u64) -> u64 {
            self.1.set(self.1.get() + 1);
            self.0.set(self.0.get() + 1);
            self.0.get()
        }
    }
    let word = Contended(Cell::new(0), Cell::new(0));
    assert!(!admit(&word, &Limit::new(1, u32::MAX), 0));
    assert_eq!(word.1.get(), TRIES);
}

#[test]
fn over_the_limit_nothing_is_written() {
    struct ReadOnly(u64);
    impl Word for ReadOnly {
        fn load(&self) -> u64 {
            self.0
        }
        fn compare_exchange(&self, old: u64, new: u64) -> u64 {
            panic!("{old} was to become {new}")
        }
    }
    let limit = Limit::new(10, 1);
    let empty = limit.take(0, YEAR).state;
    assert!(!admit(&ReadOnly(empty), &limit, YEAR));
}

struct Shared(AtomicU64);

impl Word for Shared {
    fn load(&self) -> u64 {
        self.0.load(Relaxed)
    }

    fn compare_exchange(&self, old: u64, new: u64) -> u64 {
        self.0.compare_exchange(old, new, Relaxed, Relaxed).unwrap_or_else(|found| found)
    }
}

/// Rates of all magnitudes.
fn rates() -> impl Strategy<Value = u32> {
    prop_oneof![1u32..10, 1u32..10_000, 1u32..=Limit::MAX_RATE, Just(Limit::MAX_RATE)]
}

/// Times between packets, in packets' intervals: floods, conforming ones, silence; and years.
fn gaps() -> impl Strategy<Value = Vec<(u64, u8)>> {
    prop::collection::vec((0u64..2_000, any::<u8>()), 1..300)
}

/// Arrivals from `start` on: each gap is thousandths of the rate's interval, and a few are years.
fn arrivals(start: u64, rate: u32, gaps: &[(u64, u8)]) -> Vec<u64> {
    let mut now = start;
    let interval = SECOND / u64::from(rate);
    gaps.iter()
        .map(|(gap, kind)| {
            now += match kind {
                0..=150 => gap * interval / 20_000,
                151..=253 => gap * interval / 1_000,
                _ => gap * (YEAR / 1_000),
            };
            now
        })
        .collect()
}

/// At most 30 silences of up to two years, so that the clock stays within its centuries.
fn few_years(gaps: &[(u64, u8)]) -> Vec<(u64, u8)> {
    let mut silences = 0;
    gaps.iter()
        .map(|(gap, kind)| {
            silences += u32::from(*kind > 253);
            (*gap, if silences > 30 { 0 } else { *kind })
        })
        .collect()
}

/// Those of the packets that a bucket of billionths of packets lets through, which rounds nothing.
fn conforming(rate: u32, burst: u32, times: &[u64]) -> Vec<u64> {
    const WHOLE: u128 = 1_000_000_000;
    let capacity = u128::from(burst) * WHOLE;
    let (mut level, mut before) = (capacity, 0);
    let passes = |now: &u64| {
        level = capacity.min(level + u128::from(now - before) * u128::from(rate));
        before = *now;
        let passes = level >= WHOLE;
        level -= if passes { WHOLE } else { 0 };
        passes
    };
    times.iter().copied().filter(passes).collect()
}

proptest! {
    #[test]
    fn no_window_has_more_than_burst_and_rate(
        rate in rates(), burst in 1u32..50, start in 0..50 * YEAR, gaps in gaps(),
    ) {
        let passed = passed(&Limit::new(rate, burst), arrivals(start, rate, &few_years(&gaps)));
        prop_assert_eq!(exceeds(rate, burst, &passed), None);
        prop_assert!(!passed.is_empty());
    }

    #[test]
    fn a_flow_that_keeps_to_the_rate_is_never_limited(
        rate in rates(), burst in 1u32..50, start in 0..50 * YEAR, gaps in gaps(),
    ) {
        let conforming = conforming(rate, burst, &arrivals(start, rate, &few_years(&gaps)));
        prop_assert_eq!(passed(&Limit::new(rate, burst), conforming.iter().copied()), conforming);
    }

    #[test]
    fn bursts_that_the_rate_has_paid_for_pass(
        rate in rates(), burst in 1u32..1_000, start in 0..100 * YEAR, rounds in 1u64..5,
    ) {
        let limit = Limit::new(rate, burst);
        let pause = (u64::from(burst) * SECOND).div_ceil(u64::from(rate));
        let times = (0..rounds).flat_map(|round| (0..burst).map(move |_| start + round * pause));
        prop_assert_eq!(passed(&limit, times).len() as u64, rounds * u64::from(burst));
    }

    #[test]
    fn no_word_and_no_time_panics(state: u64, now: u64, rate: u32, burst: u32) {
        let taken = Limit::new(rate, burst).take(state, now);
        prop_assert!(!taken.allowed || taken.state != state);
    }

    #[test]
    fn an_earlier_clock_never_finds_more(
        state in 0..u64::MAX / 2, now in 0..100 * YEAR, back in 0..SECOND, rate in rates(), burst in 1u32..1_000,
    ) {
        let limit = Limit::new(rate, burst);
        let (earlier, later) = (limit.take(state, now.saturating_sub(back)), limit.take(state, now));
        prop_assert!(!earlier.allowed || later.allowed);
    }
}
