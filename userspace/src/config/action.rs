//! A rule's `action`, and the keys that belong to one: what happens to the packets that match.

use std::num::NonZeroU32;

use super::check::choice;
use super::dscp;
use super::error::{Problems, quoted};
use super::limit::{self, Limit};
use super::raw::RawRule;
use super::read::{At, Field, Number};

/// The verdict of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The packet goes on.
    Pass,
    /// The packet is dropped.
    Drop,
    /// The packet is dropped, and its sender told so.
    Reject,
    /// The packet goes on with at least one of these.
    Tag {
        /// The skb mark to set.
        mark: Option<NonZeroU32>,
        /// The DSCP to write into the header, 0..=63.
        dscp: Option<u8>,
    },
    /// The packet goes on within a rate, and is dropped above it.
    Limit(Limit),
}

impl Action {
    /// The word in the configuration and in `--json`.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Drop => "drop",
            Self::Reject => "reject",
            Self::Tag { .. } => "tag",
            Self::Limit(_) => "limit",
        }
    }
}

/// An action's word, before the keys that belong to it are looked at.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Pass,
    Drop,
    Reject,
    Tag,
    Limit,
}

const KINDS: [(&str, Kind); 5] = [
    ("pass", Kind::Pass),
    ("drop", Kind::Drop),
    ("reject", Kind::Reject),
    ("tag", Kind::Tag),
    ("limit", Kind::Limit),
];

/// A rule's action and its `established`: see [`Rule`](super::Rule). `None` only where something was reported, here or
/// by the reader.
pub(super) fn check(raw: &RawRule, problems: &mut Problems<'_>) -> Option<(Action, bool)> {
    let kind = choice(&raw.action, "action", &KINDS, problems)?;
    if kind != Kind::Tag {
        only_with("tag", &raw.mark, "mark", raw, problems);
        only_with("tag", &raw.dscp, "dscp", raw, problems);
    }
    if kind != Kind::Limit {
        only_with("limit", &raw.rate, "rate", raw, problems);
        only_with("limit", &raw.burst, "burst", raw, problems);
        only_with("limit", &raw.per, "per", raw, problems);
    }
    let established = match kind {
        Kind::Drop | Kind::Reject | Kind::Limit => established(&raw.established, problems),
        Kind::Pass | Kind::Tag => {
            no_established(raw, problems);
            Some(false)
        }
    };
    let action = match kind {
        Kind::Pass => Some(Action::Pass),
        Kind::Drop => Some(Action::Drop),
        Kind::Reject => Some(Action::Reject),
        Kind::Tag => Some(check_tag(raw, problems)),
        Kind::Limit => limit::check(raw, problems).map(Action::Limit),
    };
    action.zip(established)
}

/// Whether packets of connections that exist on this host are let through.
fn established(field: &Field<String>, problems: &mut Problems<'_>) -> Option<bool> {
    match field {
        Field::Absent => Some(true),
        Field::Wrong => None,
        Field::Given(..) => choice(field, "established", &[("pass", true), ("drop", false)], problems),
    }
}

/// Reports the key in a rule that lets packets go on.
fn no_established(raw: &RawRule, problems: &mut Problems<'_>) {
    if let (Field::Given(_, key), Some(action)) = (&raw.established, raw.action.given()) {
        let action = &action.value;
        let message = format!(
            "\"established\" is for actions drop, reject and limit, and this rule's is {action:?}, which lets packets \
             go on whether or not their connection exists; remove it"
        );
        problems.report(key, message);
    }
}

/// Reports a key that was typed for another action than `action`.
fn only_with<T>(action: &str, field: &Field<T>, name: &str, raw: &RawRule, problems: &mut Problems<'_>) {
    if let (Field::Given(_, key), Some(typed)) = (field, raw.action.given()) {
        let typed = &typed.value;
        let message = format!(
            "{name:?} is for action {action:?}, and this rule's is {typed:?}; remove it, or write action = {action:?}"
        );
        problems.report(key, message);
    }
}

fn check_tag(raw: &RawRule, problems: &mut Problems<'_>) -> Action {
    if let (Field::Absent, Field::Absent, Some(action)) = (&raw.mark, &raw.dscp, raw.action.given()) {
        let message = "action \"tag\" needs mark = 1 to 0xffffffff, dscp = 0 to 63, or both";
        problems.report(&action.span, message);
    }
    Action::Tag {
        mark: raw.mark.given().and_then(|mark| check_mark(mark, problems)),
        dscp: raw.dscp.given().and_then(|dscp| check_dscp(dscp, problems)),
    }
}

fn check_mark(mark: &At<i128>, problems: &mut Problems<'_>) -> Option<NonZeroU32> {
    let value = mark.value;
    let checked = u32::try_from(value).ok().and_then(NonZeroU32::new);
    if checked.is_none() {
        let why = if value == 0 { "tags nothing" } else { "is out of range" };
        problems.report(&mark.span, format!("mark {value} {why}; expected an integer from 1 to 0xffffffff"));
    }
    checked
}

fn check_dscp(dscp: &At<Number>, problems: &mut Problems<'_>) -> Option<u8> {
    let (checked, typed, why) = match &dscp.value {
        Number::Value(value) => {
            (u8::try_from(*value).ok().filter(|&bits| bits < 64), value.to_string(), "is out of range")
        }
        Number::Name(name) => (dscp::by_name(name), quoted(name), "is no standard name"),
    };
    if checked.is_none() {
        let message = format!(
            "dscp {typed} {why}; expected an integer from 0 to 63, or CS0 to CS7, AF11 to AF43, EF, VOICE-ADMIT, LE \
             or BE"
        );
        problems.report(&dscp.span, message);
    }
    checked
}
