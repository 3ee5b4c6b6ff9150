//! When a rule observes, decides, and is gone.

use crate::config::Rule;

/// What is left of a rule's times, in nanoseconds since the Unix epoch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Window {
    /// It decides, always.
    Always,
    /// It is gone for good.
    Gone,
    /// It depends on the time.
    Timed {
        /// Before it, the rule observes; 0: it has always decided.
        from: u64,
        /// After `from`, how long the share of sources grows; 0: all at once.
        ramp: u64,
        /// From it on, the rule is gone; 0: never.
        until: u64,
    },
}

impl Window {
    /// A rule's window. `now`: changes before that time are done, and cost no packet a look at the clock any more. Who does not
    /// say what time it is gets one that is right at any time.
    #[must_use]
    pub fn of(rule: &Rule, now: Option<u64>) -> Self {
        let over = |time: u64| now.is_some_and(|now| time <= now);
        // Who only observes does it before `from` and after.
        let from = rule.from.filter(|&from| !rule.observe && !over(from.saturating_add(rule.ramp)));
        let ramp = if from.is_some() { rule.ramp } else { 0 };
        match (from, rule.until) {
            (_, Some(until)) if over(until) => Self::Gone,
            (None, None) => Self::Always,
            // A time of 0 stands for none: what is to be at the epoch is a nanosecond later.
            (from, until) => {
                let given = |time: Option<u64>| time.map_or(0, |time| time.max(1));
                Self::Timed { from: given(from), ramp, until: given(until) }
            }
        }
    }
}

/// The stage that a rule is in, as `status`, `explain` and `octroi_rule_stage` call it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// It counts what it would do.
    Observe,
    /// It decides about a growing share of sources.
    Ramp,
    /// It decides.
    Enforce,
    /// It is gone.
    Expired,
}

impl Stage {
    /// The stage of a rule at `now`, in nanoseconds since the Unix epoch.
    #[must_use]
    pub fn of(rule: &Rule, now: u64) -> Self {
        match (rule.from, rule.until) {
            (_, Some(until)) if until <= now => Self::Expired,
            _ if rule.observe => Self::Observe,
            (Some(from), _) if now < from => Self::Observe,
            (Some(from), _) if now < from.saturating_add(rule.ramp) => Self::Ramp,
            _ => Self::Enforce,
        }
    }

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Ramp => "ramp",
            Self::Enforce => "enforce",
            Self::Expired => "expired",
        }
    }
}

/// The last change of these rules that is over at `now`, and that [`Window::of`] leaves out therefore; 0: none. Before it, what
/// was compiled for `now` is wrong. All in nanoseconds since the Unix epoch.
#[must_use]
pub fn last_over(rules: &[Rule], now: u64) -> u64 {
    let changes = rules.iter().flat_map(|rule| {
        let ramped = rule.from.filter(|_| !rule.observe).map(|from| from.saturating_add(rule.ramp));
        [ramped, rule.until]
    });
    changes.flatten().filter(|&time| time <= now).max().unwrap_or(0)
}

/// When a rule's stage changes next after `now`; both in nanoseconds since the Unix epoch.
#[must_use]
pub fn next_change(rule: &Rule, now: u64) -> Option<u64> {
    let from = rule.from.filter(|_| !rule.observe);
    let ramped = from.map(|from| from.saturating_add(rule.ramp));
    [from, ramped, rule.until].into_iter().flatten().filter(|&time| time > now).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::tests::rule;

    const SECOND: u64 = 1_000_000_000;

    /// A rule that takes hold at second 100, ramps for 50 and is gone at 300.
    fn timed() -> Rule {
        rule("from = 1970-01-01T00:01:40Z\nramp = \"50s\"\nuntil = 1970-01-01T00:05:00Z\n")
    }

    #[test]
    fn a_rule_goes_through_its_stages_on_the_second() {
        let stages: Vec<_> = [0, 99, 100, 149, 150, 299, 300, 1000]
            .map(|second| Stage::of(&timed(), second * SECOND).as_str())
            .to_vec();
        let expected = ["observe", "observe", "ramp", "ramp", "enforce", "enforce", "expired", "expired"];
        assert_eq!(stages, expected);
        let observing = rule("observe = true\nuntil = 1970-01-01T00:05:00Z\n");
        assert_eq!(
            [0, 300].map(|second| Stage::of(&observing, second * SECOND).as_str()),
            ["observe", "expired"]
        );
    }

    #[test]
    fn its_next_change_is_the_first_one_ahead() {
        let next = |rule: &Rule, second| next_change(rule, second * SECOND).map(|time| time / SECOND);
        let timed = timed();
        assert_eq!(
            [0, 99, 100, 150, 299, 300].map(|second| next(&timed, second)),
            [Some(100), Some(100), Some(150), Some(300), Some(300), None]
        );
        assert_eq!(
            next(&rule("observe = true\nfrom = 1970-01-01T00:01:40Z\n"), 0),
            None,
            "it only observes, for good"
        );
    }

    #[test]
    fn what_is_left_out_is_known_by_the_last_change_that_is_over() {
        let rules = [timed(), rule(""), rule("observe = true\nfrom = 1970-01-01T00:02:00Z\n")];
        let last =
            [0, 100, 149, 150, 299, 300, 1000].map(|second| last_over(&rules, second * SECOND) / SECOND);
        assert_eq!(last, [0, 0, 0, 150, 150, 300, 300]);
        // From it on, and up to the next, nothing that is compiled differs.
        for (now, last) in [(299, 150), (1000, 300)] {
            let at = |second| rules.each_ref().map(|rule| Window::of(rule, Some(second * SECOND)));
            assert_eq!(at(now), at(last));
            assert_ne!(at(last), at(last - 1));
        }
    }

    #[test]
    fn what_is_over_costs_nothing_any_more_and_what_is_ahead_is_kept_whole() {
        let at = |second| Window::of(&timed(), Some(second * SECOND));
        let whole = Window::Timed { from: 100 * SECOND, ramp: 50 * SECOND, until: 300 * SECOND };
        assert_eq!([at(0), at(100), at(149)], [whole; 3], "a ramp is over when it is over");
        assert_eq!(at(150), Window::Timed { from: 0, ramp: 0, until: 300 * SECOND });
        assert_eq!(at(300), Window::Gone);
        assert_eq!(Window::of(&timed(), None), whole);
        assert_eq!(Window::of(&rule(""), Some(0)), Window::Always);
        let started = rule("from = 1970-01-01T00:01:40Z\n");
        assert_eq!(Window::of(&started, Some(100 * SECOND)), Window::Always);
    }

    #[test]
    fn when_a_rule_that_only_observes_would_take_hold_makes_no_difference() {
        let begins = rule("observe = true\nfrom = 1970-01-01T00:01:40Z\nramp = \"50s\"\n");
        assert_eq!(
            [None, Some(0), Some(200 * SECOND)].map(|now| Window::of(&begins, now)),
            [Window::Always; 3]
        );
        let ends = rule("observe = true\nfrom = 1970-01-01T00:01:40Z\nuntil = 1970-01-01T00:05:00Z\n");
        let ahead = Window::Timed { from: 0, ramp: 0, until: 300 * SECOND };
        assert_eq!([None, Some(0), Some(200 * SECOND)].map(|now| Window::of(&ends, now)), [ahead; 3]);
    }
}
