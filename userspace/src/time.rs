//! Unix seconds and RFC 3339.

use jiff::{Timestamp, fmt::temporal::Pieces};

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

/// What lies beyond nanoseconds in 64 bits, which is what the kernel's clock counts in.
pub const LATEST: &str = "after 2554-07-21T23:34:33Z";

/// Why a text is no time for the kernel's clock.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error, Debug)]
pub enum TimeError {
    /// Nor any other.
    #[error("not a time; write one as 2026-07-09T00:00:00Z, with its offset from UTC or Z")]
    NotATime,
    /// A date.
    #[error("has no time of day; write it as 2026-07-09T00:00:00Z, with its offset from UTC or Z")]
    NoTimeOfDay,
    /// A date and a time of day.
    #[error("has no offset from UTC; write it as 2026-07-09T00:00:00Z, with its offset or Z")]
    NoOffset,
    /// The clock begins later.
    #[error("before 1970, which the kernel's clock does not reach")]
    TooEarly,
    /// The clock ends earlier.
    #[error("{LATEST}, which the kernel's clock does not reach")]
    TooLate,
}

/// Nanoseconds since the Unix epoch of an RFC 3339 time.
///
/// # Errors
/// What is wrong with it.
pub fn parse_ns(text: &str) -> Result<u64, TimeError> {
    match text.parse::<Timestamp>() {
        Ok(time) if time < Timestamp::UNIX_EPOCH => Err(TimeError::TooEarly),
        Ok(time) => u64::try_from(time.as_nanosecond()).map_err(|_| TimeError::TooLate),
        // A text that has all that a time has is further away than times go.
        Err(_) => Err(match Pieces::parse(text) {
            Err(_) => TimeError::NotATime,
            Ok(pieces) if pieces.time().is_none() => TimeError::NoTimeOfDay,
            Ok(pieces) if pieces.offset().is_none() => TimeError::NoOffset,
            Ok(pieces) if pieces.date().year() < 1970 => TimeError::TooEarly,
            Ok(_) => TimeError::TooLate,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_time_for_the_kernel_is_told_why() {
        assert_eq!(parse_ns("1970-01-01T00:00:01Z"), Ok(1_000_000_000));
        assert_eq!(parse_ns("2554-07-21T23:34:33Z"), Ok(18_446_744_073_000_000_000));
        for (text, words) in [
            ("1969-12-31T23:59:59Z", "before 1970"),
            ("-009999-01-01T00:00:00Z", "before 1970"),
            ("2554-07-21T23:34:34Z", "after 2554-07-21T23:34:33Z"),
            ("2996-01-01T00:00:00Z", "after 2554-07-21T23:34:33Z"),
            ("9999-12-31T23:59:59Z", "after 2554-07-21T23:34:33Z"),
            ("2026-07-09", "has no time of day"),
            ("2026-07-09T00:00:00", "has no offset from UTC"),
            ("2026-02-30T00:00:00Z", "not a time; write one as 2026-07-09T00:00:00Z"),
            ("tomorrow", "not a time"),
            ("", "not a time"),
        ] {
            let refused = parse_ns(text).expect_err(text).to_string();
            assert!(refused.starts_with(words), "{text}: {refused}");
        }
    }
}
