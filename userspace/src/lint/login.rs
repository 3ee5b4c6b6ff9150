//! Who would not get in again: whoever asks, and whoever is logged in.

use std::collections::BTreeSet;

use octroi_abi::Verdict;

use super::{Login, Surroundings};
use crate::{
    config::{Config, Rule},
    policy::{
        explain::Explainer,
        walk::{Purpose, Question},
    },
    time::text_ns,
};

const TCP: u8 = 6;

/// A login that a policy keeps from coming again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Cut {
    pub(crate) login: Login,
    /// Index of the rule that drops or rejects it; none: `policy.default`, where no rule passes it.
    rule: Option<usize>,
    /// From when on, where that is not now; it may be earlier where a ramp leads there.
    pub(crate) from: Option<u64>,
}

/// What keeps out a new connection to the login's port, now or from some time on: each rule that ever does, and
/// `default = "drop"`, once, in the order in which they come to it.
///
/// The question is a new connection's: this one is let through where connections that exist are, so the policy would seem
/// to work until one is logged out. One that a limit's rate is up to gets through. Leases, which end, are not asked.
pub(crate) fn cuts(config: &Config, explainer: &Explainer<'_>, login: Login, now: u64) -> Vec<Cut> {
    let mut found: Vec<Cut> = Vec::new();
    for at in moments(&config.rules, now) {
        let question = Question { service: Some(Purpose::Protocol(TCP, Some(login.port))), at };
        let outcome = explainer.outcome(login.address, question);
        if !matches!(outcome.verdict, Some(Verdict::Drop | Verdict::Reject)) {
            continue;
        }
        let name = outcome.rule.as_deref();
        let rule = name.and_then(|name| config.rules.iter().position(|rule| rule.name == name));
        if !found.iter().any(|cut| cut.rule == rule) {
            found.push(Cut { login, rule, from: (at > now).then_some(at) });
        }
    }
    found
}

/// Now, and when rules begin to concern every source, and end. What a ramp does before its end is looked at now only.
fn moments(rules: &[Rule], now: u64) -> BTreeSet<u64> {
    let changes = rules.iter().flat_map(|rule| {
        let from = rule.from.filter(|_| !rule.observe);
        [from.map(|from| from.saturating_add(rule.ramp)), rule.until]
    });
    changes.flatten().filter(|&time| time > now).chain([now]).collect()
}

impl Cut {
    /// What happens to whom, why, and what to do, without a full stop. `who` says who the address is to whoever reads it, and
    /// `session` calls his session.
    pub(crate) fn describe(&self, config: &Config, who: &str, session: &str) -> String {
        let Login { address, port } = self.login;
        let from = self.from.map(text_ns);
        let Some(rule) = self.rule.and_then(|index| config.rules.get(index)) else {
            let from = from.map(|from| format!(" from {from} on")).unwrap_or_default();
            return format!(
                "policy.default is \"drop\" and no rule passes {address}, {who}{from}: {session} would go on, the next login to \
                 port {port} would not get through; add a rule with source = {{ cidr = [\"{address}\"] }} and action = \"pass\""
            );
        };
        let does = if rule.action == crate::config::Action::Reject { "rejects" } else { "drops" };
        let from = from.map(|from| format!(" from {from} on at the latest")).unwrap_or_default();
        let end = if rule.established { "go on" } else { "end" };
        format!(
            "rule {:?} {does} {address}, {who}{from}: {session} would {end}, the next login to port {port} would not get \
             through; put a rule above it with source = {{ cidr = [\"{address}\"] }} and action = \"pass\"",
            rule.name
        )
    }
}

/// What would keep out the next login from the address that whoever asks is logged in from.
pub(super) fn locked_out(config: &Config, explainer: &Explainer<'_>, here: &Surroundings) -> Vec<String> {
    let Some(login) = here.login else { return Vec::new() };
    let cuts = cuts(config, explainer, login, here.now);
    cuts.iter().map(|cut| cut.describe(config, "from which you are logged in", "this session")).collect()
}
