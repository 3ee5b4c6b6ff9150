//! Whether whoever asks would lock himself out.

use octroi_gate::service::Service;

use super::{
    Login, Surroundings,
    time::{self, Window},
};
use crate::{
    config::{Action, Config, DefaultVerdict, Rule},
    policy::explain::Explainer,
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
    let mut warnings = Vec::new();
    // From when on a rule passes the login that does not yet.
    let mut passes_from = u64::MAX;
    for rule in together.rules.iter().map(|&index| &config.rules[index]) {
        if rule.observe || time::is_over(rule, here.now) || !concerns(rule, login) {
            continue;
        }
        let window = Window::of(rule, here.now);
        let later = (window.full > here.now).then_some(window.full);
        match rule.action {
            Action::Pass | Action::Tag { .. } | Action::Limit(_) => match later {
                None => return warnings,
                Some(full) => passes_from = passes_from.min(full),
            },
            Action::Drop | Action::Reject => {
                if window.start < passes_from {
                    warnings.push(by_rule(rule, login, later));
                }
                if later.is_none() {
                    return warnings;
                }
            }
        }
    }
    if config.policy.default == DefaultVerdict::Drop {
        let Login { address, port } = login;
        warnings.push(format!(
            "policy.default is \"drop\" and no rule passes {address}, from which you are logged in: this session would go on, \
             the next login to port {port} would not get through; add a rule with source = {{ cidr = [\"{address}\"] }} and \
             action = \"pass\""
        ));
    }
    warnings
}

/// Whether a new connection to the login's port is for a service of the rule.
fn concerns(rule: &Rule, login: Login) -> bool {
    let fits = |entry: &Service| entry.protocol == TCP && (entry.low..=entry.high).contains(&login.port);
    rule.service.as_ref().is_none_or(|services| services.entries.iter().any(fits))
}

fn by_rule(rule: &Rule, Login { address, port }: Login, later: Option<u64>) -> String {
    let does = if rule.action == Action::Reject { "rejects" } else { "drops" };
    let from = later.map(|full| format!(" from {} on at the latest", time::text(full))).unwrap_or_default();
    let session = if rule.established { "this session would go on" } else { "this session would end" };
    format!(
        "rule {:?} {does} {address}, from which you are logged in{from}: {session}, the next login to port {port} would not get \
         through; put a rule above it with source = {{ cidr = [\"{address}\"] }} and action = \"pass\"",
        rule.name
    )
}
