//! When a rule holds: `from`, `until` and `ramp`.

use jiff::{Span, SpanRelativeTo, Timestamp};
use toml::{de::DeValue, value::Datetime};

use super::error::{Problems, quoted};
use super::read::{At, Field};
use crate::time::{self, LATEST, TimeError};

/// See the fields of the same names in [`Rule`](super::Rule).
#[derive(Debug, Default)]
pub(super) struct Times {
    pub(super) from: Option<u64>,
    pub(super) until: Option<u64>,
    pub(super) ramp: u64,
}

/// Reports what is wrong with a rule's times; the result counts only where nothing was reported.
pub(super) fn check(
    from: &Field<Datetime>,
    until: &Field<Datetime>,
    ramp: &Field<String>,
    problems: &mut Problems<'_>,
) -> Times {
    let mut instant = |field: &Field<Datetime>, name| {
        let typed = field.given()?;
        nanoseconds(&typed.value)
            .map_err(|why| problems.report(&typed.span, format!("{name} {} {why}", typed.value)))
            .ok()
    };
    let times = Times { from: instant(from, "from"), until: instant(until, "until"), ramp: 0 };
    let holds = holds(&times, from, until, problems);
    let Field::Given(typed, key) = ramp else { return times };
    let length = duration(&typed.value)
        .map_err(|why| problems.report(&typed.span, format!("ramp {} {why}", quoted(&typed.value))))
        .ok();
    match (from, length) {
        (Field::Absent, _) => {
            let message = "\"ramp\" begins at \"from\", which this rule does not have; add from = \
                           2026-07-09T00:00:00Z, the time at which the share starts to grow";
            problems.report(key, message);
        }
        (Field::Given(from, _), Some(length)) if holds => {
            check_end(&times, from, until, typed, length, problems);
        }
        (Field::Given(..) | Field::Wrong, _) => {}
    }
    Times { ramp: length.unwrap_or_default(), ..times }
}

/// Whether there is time between `from` and `until`; reports it where there is none.
fn holds(
    times: &Times,
    from: &Field<Datetime>,
    until: &Field<Datetime>,
    problems: &mut Problems<'_>,
) -> bool {
    if let (Some(start), Some(end), Some(from), Some(until)) =
        (times.from, times.until, from.given(), until.given())
        && end <= start
    {
        let message = format!(
            "until {} is not after from {}, so the rule would never hold; exchange them, or leave one out",
            until.value, from.value
        );
        problems.report(&until.span, message);
        return false;
    }
    true
}

/// Whether a date-time has all that an instant needs.
pub(super) fn is_instant(typed: &Datetime) -> bool {
    typed.date.is_some() && typed.time.is_some() && typed.offset.is_some()
}

/// The next step where a value is no date-time with an offset: nothing where none is known.
pub(super) fn as_instant(value: &DeValue<'_>) -> String {
    match value {
        DeValue::Datetime(typed) => match (typed.date, typed.time) {
            (Some(_), Some(_)) => format!("; add the offset, such as Z for UTC: {typed}Z"),
            (Some(date), None) => {
                format!("; add the time and the offset, such as Z for UTC: {date}T00:00:00Z")
            }
            (None, _) => "; add the date and the offset".to_owned(),
        },
        DeValue::String(text) => match text.trim().parse::<Datetime>() {
            Ok(typed) if is_instant(&typed) => format!("; remove the quotes: {typed}"),
            Ok(typed) => {
                "; remove the quotes".to_owned()
                    + &as_instant(&DeValue::Datetime(typed)).replacen("; ", ", and ", 1)
            }
            Err(_) => String::new(),
        },
        DeValue::Integer(seconds) => {
            let time = seconds.as_str().parse().ok().filter(|_| seconds.radix() == 10);
            let time = time.and_then(|seconds: i64| Timestamp::from_second(seconds).ok());
            time.map(|time| format!("; {seconds} seconds after 1970 are {time}")).unwrap_or_default()
        }
        DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Array(_) | DeValue::Table(_) => String::new(),
    }
}

/// Nanoseconds since the Unix epoch of a date-time with an offset.
fn nanoseconds(typed: &Datetime) -> Result<u64, String> {
    time::parse_ns(&typed.to_string()).map_err(|why| match why {
        TimeError::TooEarly | TimeError::TooLate => {
            format!("is {why}; expected a date-time such as 2026-07-09T00:00:00Z")
        }
        _ => "is not in the calendar; expected a date-time such as 2026-07-09T00:00:00Z".to_owned(),
    })
}

/// Nanoseconds of a duration; more than 0.
fn duration(typed: &str) -> Result<u64, String> {
    const EXPECTED: &str = "expected a duration such as \"14d\", \"36h\" or \"1d 12h\"";
    let span: Span = typed.trim().parse().map_err(|_| {
        let bare = !typed.is_empty() && typed.bytes().all(|byte| byte.is_ascii_digit());
        if bare {
            format!("has no unit; for days, write \"{typed}d\"")
        } else {
            format!("is not a duration; {EXPECTED}")
        }
    })?;
    let length = span
        .to_duration(SpanRelativeTo::days_are_24_hours())
        .map_err(|_| format!("is in months or years, which have no fixed length; {EXPECTED}"))?;
    match u64::try_from(length.as_nanos()) {
        Ok(0) => Err("takes no time; leave it out, and the rule holds for every source at once".to_owned()),
        Ok(length) => Ok(length),
        Err(_) if length.is_negative() => Err(format!("is negative; {EXPECTED}")),
        Err(_) => Err(format!("is longer than the kernel's clock goes; {EXPECTED}")),
    }
}

/// Reports a ramp of `length` ns that does not end before the rule is gone, or before the clock ends.
fn check_end(
    times: &Times,
    from: &At<Datetime>,
    until: &Field<Datetime>,
    ramp: &At<String>,
    length: u64,
    problems: &mut Problems<'_>,
) {
    let Some(start) = times.from else { return };
    let (typed, from) = (quoted(&ramp.value), &from.value);
    match (start.checked_add(length), times.until, until.given()) {
        (None, _, _) => {
            problems.report(&ramp.span, format!("ramp {typed} after from {from} ends {LATEST}; shorten it"));
        }
        (Some(end), Some(gone), Some(until)) if end > gone => {
            let until = until.value;
            let message = format!(
                "ramp {typed} after from {from} ends after until {until}, so the rule would be gone before it holds \
                 for every source; shorten the ramp, or let the rule hold for longer"
            );
            problems.report(&ramp.span, message);
        }
        (Some(_), _, _) => {}
    }
}
