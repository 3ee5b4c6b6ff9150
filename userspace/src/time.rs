//! Unix seconds and RFC 3339.

use jiff::Timestamp;

/// Now, in Unix seconds.
#[must_use]
pub fn now() -> i64 {
    Timestamp::now().as_second()
}

/// Now, as RFC 3339 in UTC, to the second.
#[must_use]
pub fn now_text() -> String {
    text(now())
}

/// Unix seconds as RFC 3339 in UTC; what lies beyond the calendar is given as a number.
#[must_use]
pub fn text(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

/// Now, in nanoseconds since the Unix epoch; 0 before it.
#[must_use]
pub fn now_ns() -> u64 {
    u64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(0)
}

/// Nanoseconds since the Unix epoch as RFC 3339 in UTC.
#[must_use]
pub fn text_ns(nanoseconds: u64) -> String {
    Timestamp::from_nanosecond(nanoseconds.into())
        .map_or_else(|_| nanoseconds.to_string(), |time| time.to_string())
}

/// Nanoseconds since the Unix epoch of an RFC 3339 time.
///
/// # Errors
/// What is wrong with it.
pub fn parse_ns(text: &str) -> Result<u64, String> {
    let time: Timestamp = text.parse().map_err(|_| {
        "not a time; write one as 2026-07-09T00:00:00Z, with its offset from UTC or Z".to_owned()
    })?;
    u64::try_from(time.as_nanosecond()).map_err(|_| "before 1970".to_owned())
}
