//! A rule's `from`, `until` and `ramp`.

use super::*;

/// Nanoseconds in a second.
const SECOND: u64 = 1_000_000_000;
const DAY: u64 = 86_400 * SECOND;
/// 2026-07-09T00:00:00Z, as `date -u +%s` says.
const JULY: u64 = 1_783_555_200 * SECOND;

fn rule(keys: &str) -> String {
    format!("name = \"r\"\nsource.any = true\naction = \"drop\"\n{keys}")
}

fn times(keys: &str) -> (Option<u64>, Option<u64>, u64) {
    let rule = accepted(&format!("[[rule]]\n{}", rule(keys))).rules[0].clone();
    (rule.from, rule.until, rule.ramp)
}

#[test]
fn a_rule_without_times_always_holds() {
    assert_eq!(times(""), (None, None, 0));
}

#[test]
fn a_date_time_with_an_offset_is_an_instant() {
    for (typed, instant) in [
        ("2026-07-09T00:00:00Z", JULY),
        ("2026-07-09 00:00:00Z", JULY),
        ("2026-07-09t00:00:00z", JULY),
        ("2026-07-09T02:00:00+02:00", JULY),
        ("2026-07-08T18:30:00-05:30", JULY),
        ("2026-07-09T00:00:00.000000001Z", JULY + 1),
        ("2026-07-09T00:00:00.5Z", JULY + SECOND / 2),
        ("1970-01-01T00:00:00Z", 0),
        ("2554-07-21T23:34:33.709551615Z", u64::MAX),
    ] {
        assert_eq!(times(&format!("from = {typed}")), (Some(instant), None, 0), "{typed}");
        assert_eq!(times(&format!("until = {typed}")), (None, Some(instant), 0), "{typed}");
    }
}

#[test]
fn a_date_time_that_is_no_instant_is_told_what_is_missing() {
    let expected = "expected a date-time with an offset, such as 2026-07-09T00:00:00Z";
    for (typed, found) in [
        (
            "2026-07-09T00:00:00",
            format!(
                "the date-time 2026-07-09T00:00:00; {expected}; add the offset, such as Z for UTC: \
                 2026-07-09T00:00:00Z"
            ),
        ),
        (
            "2026-07-09",
            format!(
                "the date-time 2026-07-09; {expected}; add the time and the offset, such as Z for UTC: \
                 2026-07-09T00:00:00Z"
            ),
        ),
        ("12:00:00", format!("the date-time 12:00:00; {expected}; add the date and the offset")),
        (
            "\"2026-07-09T00:00:00Z\"",
            format!(
                "the string \"2026-07-09T00:00:00Z\"; {expected}; remove the quotes: 2026-07-09T00:00:00Z"
            ),
        ),
        (
            "\"2026-07-09\"",
            format!(
                "the string \"2026-07-09\"; {expected}; remove the quotes, and add the time and the offset, such as \
                 Z for UTC: 2026-07-09T00:00:00Z"
            ),
        ),
        ("\"tomorrow\"", format!("the string \"tomorrow\"; {expected}")),
        (
            "1783555200",
            format!(
                "the integer 1783555200; {expected}; 1783555200 seconds after 1970 are 2026-07-09T00:00:00Z"
            ),
        ),
        ("99999999999999999999", format!("the integer 99999999999999999999; {expected}")),
        ("true", format!("the boolean true; {expected}")),
    ] {
        for key in ["from", "until"] {
            let message = format!("{key:?} is {found}");
            assert_eq!(rule_messages(&rule(&format!("{key} = {typed}"))), [message], "{key} = {typed}");
        }
    }
}

#[test]
fn an_instant_beyond_the_clock_is_refused() {
    for (typed, side) in [
        ("1969-12-31T23:59:59Z", "before 1970"),
        ("1970-01-01T00:00:00+01:00", "before 1970"),
        ("2554-07-21T23:34:34Z", "after 2554-07-21T23:34:33Z"),
        ("9999-01-01T00:00:00Z", "after 2554-07-21T23:34:33Z"),
        ("9999-12-31T23:59:59Z", "after 2554-07-21T23:34:33Z"),
    ] {
        for key in ["from", "until"] {
            let message = format!(
                "{key} {typed} is {side}, which the kernel's clock does not reach; expected a date-time such as \
                 2026-07-09T00:00:00Z"
            );
            assert_eq!(rule_messages(&rule(&format!("{key} = {typed}"))), [message]);
        }
    }
}

#[test]
fn a_rule_that_ends_before_it_begins_is_refused() {
    for until in ["2026-07-09T00:00:00Z", "2026-07-09T01:00:00+02:00"] {
        let message = format!(
            "until {until} is not after from 2026-07-09T00:00:00Z, so the rule would never hold; exchange them, or \
             leave one out"
        );
        let keys = format!("until = {until}\nfrom = 2026-07-09T00:00:00Z");
        assert_eq!(rule_messages(&rule(&keys)), [message]);
    }
    let keys = "from = 2026-07-09T00:00:00Z\nuntil = 2026-07-09T00:00:00.000000001Z";
    assert_eq!(times(keys), (Some(JULY), Some(JULY + 1), 0));
}

#[test]
fn an_observing_rule_may_have_times() {
    let keys = "observe = true\nfrom = 2026-07-09T00:00:00Z\nramp = \"1d\"";
    assert_eq!(times(keys), (Some(JULY), None, DAY));
}

#[test]
fn a_ramp_is_a_duration() {
    for (typed, length) in [
        ("14d", 14 * DAY),
        ("36h", 36 * 3600 * SECOND),
        ("1d 12h", 36 * 3600 * SECOND),
        ("1d12h", 36 * 3600 * SECOND),
        ("2w", 14 * DAY),
        ("90m", 5400 * SECOND),
        ("90 min", 5400 * SECOND),
        ("30s", 30 * SECOND),
        ("1.5s", 3 * SECOND / 2),
        ("1 day, 2 hours", 26 * 3600 * SECOND),
        ("P14D", 14 * DAY),
        ("1ns", 1),
    ] {
        let keys = format!("from = 2026-07-09T00:00:00Z\nramp = {typed:?}");
        assert_eq!(times(&keys), (Some(JULY), None, length), "{typed}");
    }
}

#[test]
fn what_is_no_duration_is_refused() {
    let expected = "expected a duration such as \"14d\", \"36h\" or \"1d 12h\"";
    for (typed, why) in [
        ("14", "has no unit; for days, write \"14d\"".to_owned()),
        ("", format!("is not a duration; {expected}")),
        ("two weeks", format!("is not a duration; {expected}")),
        ("14d x", format!("is not a duration; {expected}")),
        ("0d", "takes no time; leave it out, and the rule holds for every source at once".to_owned()),
        ("-1d", format!("is negative; {expected}")),
        ("1 month", format!("is in months or years, which have no fixed length; {expected}")),
        ("1y", format!("is in months or years, which have no fixed length; {expected}")),
        ("300000d", format!("is longer than the kernel's clock goes; {expected}")),
    ] {
        let keys = format!("from = 2026-07-09T00:00:00Z\nramp = {typed:?}");
        assert_eq!(rule_messages(&rule(&keys)), [format!("ramp {typed:?} {why}")], "{typed}");
    }
    assert_eq!(
        rule_messages(&rule("from = 2026-07-09T00:00:00Z\nramp = 14")),
        ["\"ramp\" is the integer 14; expected a string, a duration such as \"14d\", \"36h\" or \"1d 12h\""]
    );
}

#[test]
fn a_ramp_needs_a_beginning() {
    assert_eq!(
        rule_messages(&rule("ramp = \"14d\"")),
        [
            "\"ramp\" begins at \"from\", which this rule does not have; add from = 2026-07-09T00:00:00Z, the time \
             at which the share starts to grow"
        ]
    );
    // The beginning is there, and wrong: said once.
    assert_eq!(rule_messages(&rule("ramp = \"14d\"\nfrom = 2026-07-09")).len(), 1);
}

#[test]
fn a_ramp_ends_before_the_rule_does() {
    let july = "from = 2026-07-09T00:00:00Z\n";
    let keys = |until: &str, ramp: &str| format!("{july}until = {until}\nramp = {ramp:?}");
    let whole = times(&keys("2026-07-23T00:00:00Z", "14d"));
    assert_eq!(whole, (Some(JULY), Some(JULY + 14 * DAY), 14 * DAY));
    assert_eq!(
        rule_messages(&rule(&keys("2026-07-22T23:59:59Z", "14d"))),
        [
            "ramp \"14d\" after from 2026-07-09T00:00:00Z ends after until 2026-07-22T23:59:59Z, so the rule would be \
             gone before it holds for every source; shorten the ramp, or let the rule hold for longer"
        ]
    );
    assert_eq!(
        rule_messages(&rule(&format!("{july}ramp = \"200000d\""))),
        ["ramp \"200000d\" after from 2026-07-09T00:00:00Z ends after 2554-07-21T23:34:33Z; shorten it"]
    );
}

#[test]
fn every_wrong_time_of_a_rule_is_reported() {
    assert_eq!(rule_messages(&rule("from = 1\nuntil = 1969-01-01T00:00:00Z\nramp = \"x\"")).len(), 3);
}
