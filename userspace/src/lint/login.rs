//! Whether whoever asks would lock himself out.

use std::collections::{BTreeMap, BTreeSet};

use octroi_gate::service::Service;

use super::{
    Login, Surroundings,
    time::{self, Window},
};
use crate::{
    config::{Action, Config, DefaultVerdict, Rule},
    policy::explain::Explainer,
    time::text_ns,
};

const TCP: u8 = 6;

/// What would keep out the next login from the address that whoever asks is logged in from: a rule that drops or rejects
/// it, now or from some time on, or `default = "drop"` where no rule passes it.
///
/// The question is a new connection's: this one is let through where connections that exist are, so the policy would seem
/// to work until one is logged out. Rules that only observe or are over have no part in it; one that limits counts as passing.
pub(super) fn locked_out(config: &Config, explainer: &Explainer<'_>, here: &Surroundings) -> Vec<String> {
    let Some(login) = here.login else { return Vec::new() };
    let together = explainer.matching(login.address);
    if together.skipped {
        return Vec::new();
    }
    let rules = together.rules.iter().map(|&index| &config.rules[index]);
    let rules = rules.filter(|rule| !rule.observe && !time::is_over(rule, here.now) && concerns(rule, login));
    let rules: Vec<(&Rule, Window)> = rules.map(|rule| (rule, Window::of(rule, here.now))).collect();
    // Nothing changes in between.
    let changes = rules.iter().flat_map(|(_, window)| [Some(window.start), Some(window.full), window.end]);
    let moments: BTreeSet<u64> = changes.flatten().chain([here.now]).collect();
    // When each of them first keeps the login out.
    let mut first = BTreeMap::new();
    for moment in moments {
        let cut = cut(&rules, config.policy.default, moment);
        first.entry(cut).or_insert(moment);
    }
    let warnings = first.into_iter().filter_map(|(cut, moment)| match cut {
        Cut::Not => None,
        Cut::ByRule(index) => {
            let (rule, window) = rules[index];
            let surely = window.full.max(moment);
            Some(by_rule(rule, login, (surely > here.now).then_some(surely)))
        }
        Cut::ByDefault => Some(by_default(login, (moment > here.now).then_some(moment))),
    });
    warnings.collect()
}

/// What becomes of the login, in the order of the policy.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cut {
    Not,
    /// The index of the rule, among those that concern it.
    ByRule(usize),
    ByDefault,
}

/// What becomes of the login at a moment. In its ramp, a rule may be about it: what would let it in does not count then, what
/// would keep it out does.
fn cut(rules: &[(&Rule, Window)], default: DefaultVerdict, moment: u64) -> Cut {
    for (index, (rule, window)) in rules.iter().enumerate() {
        if moment < window.start || window.end.is_some_and(|end| end <= moment) {
            continue;
        }
        match rule.action {
            Action::Pass | Action::Tag { .. } | Action::Limit(_) if moment < window.full => {}
            Action::Pass | Action::Tag { .. } | Action::Limit(_) => return Cut::Not,
            Action::Drop | Action::Reject => return Cut::ByRule(index),
        }
    }
    match default {
        DefaultVerdict::Pass => Cut::Not,
        DefaultVerdict::Drop => Cut::ByDefault,
    }
}

/// Whether a new connection to the login's port is for a service of the rule.
fn concerns(rule: &Rule, login: Login) -> bool {
    let fits = |entry: &Service| entry.protocol == TCP && (entry.low..=entry.high).contains(&login.port);
    rule.service.as_ref().is_none_or(|services| services.entries.iter().any(fits))
}

fn by_default(Login { address, port }: Login, later: Option<u64>) -> String {
    let from = later.map(|moment| format!(" from {} on", text_ns(moment))).unwrap_or_default();
    format!(
        "policy.default is \"drop\" and{from} no rule passes {address}, from which you are logged in: this session would go on, \
         the next login to port {port} would not get through; add a rule with source = {{ cidr = [\"{address}\"] }} and \
         action = \"pass\""
    )
}

fn by_rule(rule: &Rule, Login { address, port }: Login, later: Option<u64>) -> String {
    let does = if rule.action == Action::Reject { "rejects" } else { "drops" };
    let from = later.map(|full| format!(" from {} on at the latest", text_ns(full))).unwrap_or_default();
    let session = if rule.established { "this session would go on" } else { "this session would end" };
    format!(
        "rule {:?} {does} {address}, from which you are logged in{from}: {session}, the next login to port {port} would not get \
         through; put a rule above it with source = {{ cidr = [\"{address}\"] }} and action = \"pass\"",
        rule.name
    )
}
