//! What `rate`, `burst` and `per` of a rule that limits hold.

use octroi_gate::bucket;

use super::check::choice;
use super::error::Problems;
use super::raw::RawRule;
use super::read::{At, Field};

/// Up to which rate packets go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Packets a second, 1..=[`bucket::Limit::MAX_RATE`].
    pub rate: u32,
    /// Packets that may come at once after a pause; at least 1.
    pub burst: u32,
    /// Who has the rate.
    pub per: Per,
}

/// Who has a limit's rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    /// Each source by itself.
    Source,
    /// All sources that the rule matches together.
    Rule,
}

/// `None` only where something was reported, here or by the reader.
pub(super) fn check(raw: &RawRule, problems: &mut Problems<'_>) -> Option<Limit> {
    let highest = bucket::Limit::MAX_RATE;
    require(&raw.rate, &format!("rate = 1 to {highest}, in packets a second"), raw, problems);
    require(&raw.per, "per = \"source\" or \"rule\"", raw, problems);
    let rate = raw.rate.given().and_then(|rate| integer(rate, "rate", highest, "packets a second", problems));
    let burst = match &raw.burst {
        Field::Absent => rate,
        Field::Wrong => None,
        Field::Given(burst, _) => integer(burst, "burst", u32::MAX, "packets", problems),
    };
    let per = choice(&raw.per, "per", &[("source", Per::Source), ("rule", Per::Rule)], problems);
    Some(Limit { rate: rate?, burst: burst?, per: per? })
}

fn require<T>(field: &Field<T>, example: &str, raw: &RawRule, problems: &mut Problems<'_>) {
    if let (Field::Absent, Some(action)) = (field, raw.action.given()) {
        problems.report(&action.span, format!("action \"limit\" needs {example}"));
    }
}

fn integer(
    typed: &At<i128>,
    name: &str,
    highest: u32,
    unit: &str,
    problems: &mut Problems<'_>,
) -> Option<u32> {
    let value = typed.value;
    let checked = u32::try_from(value).ok().filter(|value| (1..=highest).contains(value));
    if checked.is_none() {
        let why = if value == 0 { "lets nothing through" } else { "is out of range" };
        let hint = if value == 0 { "; to let nothing through, write action = \"drop\"" } else { "" };
        let message =
            format!("{name} {value} {why}; expected an integer from 1 to {highest}, in {unit}{hint}");
        problems.report(&typed.span, message);
    }
    checked
}
