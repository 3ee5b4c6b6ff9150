//! What is odd about a configuration that is valid: rules that do nothing, or something that nobody may have meant.
//!
//! A lint never guesses: what it says is true of this policy, over these databases, at this moment and on this host. It
//! names the rule, says why, and what to do.

mod absent;
mod known;
mod login;
mod order;
mod replies;
mod sessions;
mod surroundings;
#[cfg(test)]
mod tests;
mod time;

pub use absent::interfaces;
pub(crate) use absent::{Absent, absent};
pub(crate) use login::cuts;
pub use sessions::{Connection, LockedOut, connections};
pub use surroundings::{Login, Surroundings, login as own_login};

use crate::{
    config::{Config, Rule},
    policy::{Databases, explain::Explainer, walk::Question},
};

/// All warnings, a sentence each: those about rules in the rules' order by lint, then those about this host.
#[must_use]
pub fn warnings(config: &Config, databases: &Databases, here: &Surroundings) -> Vec<String> {
    let question = Question { service: None, at: here.now };
    // Whoever asks has compiled the policy, and was told there that it does not fit.
    let Ok(explainer) = Explainer::new(config, databases, question) else { return Vec::new() };
    let mut warnings = time::expired(&config.rules, here.now);
    warnings.extend(known::countries(&config.rules, &databases.country));
    warnings.extend(known::networks(&config.rules, &databases.asn));
    warnings.extend(order::unreachable(&config.rules, &explainer.together(), here.now));
    warnings.extend(replies::cut(&config.rules, here));
    warnings.extend(login::locked_out(config, &explainer, here));
    warnings
}

/// `rule "a"`; `rules "a" and "b"`; of many rules, the first three and how many more.
fn named(rules: &[&Rule]) -> String {
    const SHOWN: usize = 3;
    let names: Vec<String> = rules.iter().map(|rule| format!("{:?}", rule.name)).collect();
    match names.as_slice() {
        [] => "no rule".to_owned(),
        [one] => format!("rule {one}"),
        [first @ .., last] if names.len() <= SHOWN => format!("rules {} and {last}", first.join(", ")),
        many => format!("rules {} and {} more", many[..SHOWN].join(", "), many.len() - SHOWN),
    }
}
