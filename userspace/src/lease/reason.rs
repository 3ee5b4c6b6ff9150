//! Why there is a lease.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why somebody adds a lease, for people: 200 characters at most. Whoever shows it escapes what a terminal would act on.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(try_from = "String", into = "String")]
pub struct Reason(String);

const LONGEST: usize = 200;

impl FromStr for Reason {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.chars().count() {
            0..=LONGEST => Ok(Self(text.to_owned())),
            long => Err(format!(
                "has {long} characters, and a reason {LONGEST} at most; say it in fewer, or name a ticket that says it"
            )),
        }
    }
}

impl TryFrom<String> for Reason {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map_err(|why| format!("reason {why}"))
    }
}

impl From<Reason> for String {
    fn from(reason: Reason) -> Self {
        reason.0
    }
}
