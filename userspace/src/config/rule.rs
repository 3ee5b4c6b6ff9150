//! Rules: what `[[rule]]` holds once it is checked.

use std::collections::HashMap;
use std::path::Path;

use super::action::{self, Action};
use super::error::{Problems, Span, quoted};
use super::raw::RawRule;
use super::read::{At, Field};
use super::service::{self, Services};
use super::source::{self, Source};
use super::time::{self, Times};

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
    /// Destination services; `None`: every packet.
    pub service: Option<Services>,
    /// When it takes hold, as nanoseconds since the Unix epoch; `None`: always has. Before it, the rule observes.
    pub from: Option<u64>,
    /// When it is gone, likewise, exclusive; later than `from`.
    pub until: Option<u64>,
    /// Nanoseconds after `from` over which the share of sources grows; 0: none. Not longer than until `until`.
    pub ramp: u64,
    /// Whether packets of connections that exist on this host are let through; always false for pass and tag.
    pub established: bool,
}

/// Reports what is wrong with the rules; the result counts only where nothing was reported. Relative paths start at
/// `folder`.
pub(super) fn check(raw: &[At<RawRule>], folder: &Path, problems: &mut Problems<'_>) -> Vec<Rule> {
    let mut names = HashMap::new();
    raw.iter().filter_map(|rule| check_rule(rule, folder, &mut names, problems)).collect()
}

/// `None` only where something was reported, here or by the reader.
fn check_rule<'r>(
    rule: &'r At<RawRule>,
    folder: &Path,
    names: &mut HashMap<&'r str, Span>,
    problems: &mut Problems<'_>,
) -> Option<Rule> {
    let raw = &rule.value;
    require(&raw.name, "name", "name = \"…\"", rule, problems);
    require(&raw.source, "source", "source = { country = [\"…\"] }", rule, problems);
    require(
        &raw.action,
        "action",
        "action = \"pass\", \"drop\", \"reject\", \"tag\" or \"limit\"",
        rule,
        problems,
    );
    if let Some(name) = raw.name.given() {
        check_name(name, names, problems);
    }
    let source = raw.source.given().map(|source| source::check(source, &raw.label, folder, problems));
    let action = action::check(raw, problems);
    let service = service::check(&raw.service, problems);
    let Times { from, until, ramp } = time::check(&raw.from, &raw.until, &raw.ramp, problems);
    let (action, established) = action?;
    Some(Rule {
        name: raw.name.given()?.value.clone(),
        source: source?,
        action,
        observe: raw.observe.given().is_some_and(|observe| observe.value),
        note: raw.note.given().map(|note| note.value.clone()),
        service,
        from,
        until,
        ramp,
        established,
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
