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
