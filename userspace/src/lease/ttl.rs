//! How long a lease holds.

use std::str::FromStr;

use jiff::{SignedDuration, Span, SpanRelativeTo};
use serde::{Deserialize, Serialize};

/// A time to live in nanoseconds: from a second to 365 days.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Debug)]
#[serde(try_from = "u64", into = "u64")]
pub struct Ttl(u64);

const SECOND: u64 = 1_000_000_000;
const LONGEST: u64 = 365 * 24 * 60 * 60 * SECOND;
const EXPECTED: &str = "expected a duration such as 90s, 30m, 2h or 7d, from 1s to 365d";

impl Ttl {
    /// In nanoseconds.
    #[must_use]
    pub const fn nanoseconds(self) -> u64 {
        self.0
    }
}

impl FromStr for Ttl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let span: Span = text.trim().parse().map_err(|_| {
            let bare = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            if bare {
                format!("has no unit; write {text}s, {text}m, {text}h or {text}d")
            } else {
                format!("is not a duration; {EXPECTED}")
            }
        })?;
        let length: SignedDuration = span
            .to_duration(SpanRelativeTo::days_are_24_hours())
            .map_err(|_| format!("is in months or years, which have no fixed length; {EXPECTED}"))?;
        if length.is_negative() {
            return Err(format!("is negative; {EXPECTED}"));
        }
        u64::try_from(length.as_nanos()).unwrap_or(u64::MAX).try_into()
    }
}

impl TryFrom<u64> for Ttl {
    type Error = String;

    fn try_from(nanoseconds: u64) -> Result<Self, String> {
        match nanoseconds {
            0..SECOND => Err(format!("is shorter than a second; {EXPECTED}")),
            SECOND..=LONGEST => Ok(Self(nanoseconds)),
            _ => Err(format!("is longer than a year; {EXPECTED}")),
        }
    }
}

impl From<Ttl> for u64 {
    fn from(ttl: Ttl) -> Self {
        ttl.0
    }
}
