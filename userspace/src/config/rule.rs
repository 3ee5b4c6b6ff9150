//! Rules: what `[[rule]]` holds once it is checked.

use std::collections::HashMap;
use std::num::NonZeroU32;

use super::check::choice;
use super::dscp;
use super::error::{Problems, Span, quoted};
use super::raw::RawRule;
use super::read::{At, Field, Number};
use super::source::{self, Source};

/// One rule. Rules are read top down; the first that matches decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Unique; 1 to 64 bytes, printable, without quotes and backslashes, so that it is a label value and a log
    /// field as it stands.
    pub name: String,
    /// Which sources it is about.
    pub source: Source,
    /// The verdict.
    pub action: Action,
    /// Whether it only counts what it would have done.
    pub observe: bool,
    /// For people.
    pub note: Option<String>,
}

/// The verdict of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The packet goes on.
    Pass,
    /// The packet is dropped.
    Drop,
    /// The packet goes on with at least one of these.
    Tag {
        /// The skb mark to set.
        mark: Option<NonZeroU32>,
        /// The DSCP to write into the header, 0..=63.
        dscp: Option<u8>,
    },
}

impl Action {
    /// The word in the configuration and in `--json`.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Drop => "drop",
            Self::Tag { .. } => "tag",
        }
    }
}

/// Reports what is wrong with the rules; the result counts only where nothing was reported.
pub(super) fn check(raw: &[At<RawRule>], problems: &mut Problems<'_>) -> Vec<Rule> {
    let mut names = HashMap::new();
    raw.iter().filter_map(|rule| check_rule(rule, &mut names, problems)).collect()
}

/// `None` only where something was reported, here or by the reader.
fn check_rule<'r>(
    rule: &'r At<RawRule>,
    names: &mut HashMap<&'r str, Span>,
    problems: &mut Problems<'_>,
) -> Option<Rule> {
    let raw = &rule.value;
    require(&raw.name, "name", "name = \"…\"", rule, problems);
    require(&raw.source, "source", "source = { country = [\"…\"] }", rule, problems);
    require(&raw.action, "action", "action = \"pass\", \"drop\" or \"tag\"", rule, problems);
    if let Some(name) = raw.name.given() {
        check_name(name, names, problems);
    }
    let source = raw.source.given().map(|source| source::check(source, &raw.label, problems));
    let action = check_action(raw, problems);
    Some(Rule {
        name: raw.name.given()?.value.clone(),
        source: source?,
        action: action?,
        observe: raw.observe.given().is_some_and(|observe| observe.value),
        note: raw.note.given().map(|note| note.value.clone()),
    })
}

fn require<T>(field: &Field<T>, name: &str, example: &str, rule: &At<RawRule>, problems: &mut Problems<'_>) {
    if matches!(field, Field::Absent) {
        problems.report(&rule.span, format!("{} has no {name}; add {example}", rule.value.label));
    }
}

fn check_name<'r>(name: &'r At<String>, names: &mut HashMap<&'r str, Span>, problems: &mut Problems<'_>) {
    const LONGEST: usize = 64;
    let text = name.value.as_str();
    let length = text.len();
    if text.is_empty() {
        problems.report(
            &name.span,
            "the name of a rule is empty; it appears in metrics, events and explanations",
        );
    } else if length > LONGEST {
        let message = format!("rule name {} has {length} bytes; at most {LONGEST} are allowed", quoted(text));
        problems.report(&name.span, message);
    } else if !is_plain(text) {
        let message = format!(
            "rule name {} has a quote, a backslash, a control or other unprintable character, or space around it; \
             it becomes a label value and a log field, so leave these out",
            quoted(text)
        );
        problems.report(&name.span, message);
    } else if let Some(first) = names.get(text) {
        let line = problems.line(first);
        let message = format!("rule name {text:?} is taken by the rule in line {line}; names are unique");
        problems.report(&name.span, message);
    } else {
        names.insert(text, name.span.clone());
    }
}

/// What `escape_debug` leaves alone is printable and holds no quote and no backslash.
fn is_plain(text: &str) -> bool {
    text.trim() == text && text.escape_debug().eq(text.chars())
}

fn check_action(raw: &RawRule, problems: &mut Problems<'_>) -> Option<Action> {
    #[derive(Clone, Copy, PartialEq)]
    enum Kind {
        Pass,
        Drop,
        Tag,
    }
    let choices = [("pass", Kind::Pass), ("drop", Kind::Drop), ("tag", Kind::Tag)];
    let kind = choice(&raw.action, "action", &choices, &["reject", "limit"], problems)?;
    match kind {
        Kind::Tag => {
            if let (Field::Absent, Field::Absent, Some(action)) = (&raw.mark, &raw.dscp, raw.action.given()) {
                let message = "action \"tag\" needs mark = 1 to 0xffffffff, dscp = 0 to 63, or both";
                problems.report(&action.span, message);
            }
            let mark = raw.mark.given().and_then(|mark| check_mark(mark, problems));
            let dscp = raw.dscp.given().and_then(|dscp| check_dscp(dscp, problems));
            Some(Action::Tag { mark, dscp })
        }
        Kind::Pass | Kind::Drop => {
            tag_only(&raw.mark, "mark", raw, problems);
            tag_only(&raw.dscp, "dscp", raw, problems);
            Some(if kind == Kind::Pass { Action::Pass } else { Action::Drop })
        }
    }
}

fn tag_only<T>(field: &Field<T>, name: &str, raw: &RawRule, problems: &mut Problems<'_>) {
    if let (Field::Given(_, key), Some(action)) = (field, raw.action.given()) {
        let action = &action.value;
        let message = format!(
            "{name:?} is for action \"tag\", and this rule's is {action:?}; remove it, or write action = \"tag\""
        );
        problems.report(key, message);
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
