//! What a policy means: facts against one rule (`decide`), chains of rules as classes and steps (`steps`), what is explained
//! of packets and times (`walk`), and addresses against everything from the text of a configuration and files to the
//! table (`whole`, `lists`, `anonymous`).

mod anonymous;
mod decide;
mod judge;
mod lists;
mod steps;
mod walk;
mod whole;

use std::path::Path;

use crate::config::Config;

/// A configuration without the line that every one needs.
pub(super) fn config(text: &str) -> Config {
    let text = format!("interfaces = [\"none0\"]\n{text}");
    Config::parse(&text, Path::new("/test.toml")).unwrap_or_else(|errors| panic!("{errors}\n{text}"))
}

/// A rule with that source, which drops.
fn drop_rule(name: &str, source: &str) -> String {
    format!("[[rule]]\nname = {name:?}\nsource = {{ {source} }}\naction = \"drop\"\n")
}

/// A rule about every source that drops, with more keys.
pub(super) fn rule(keys: &str) -> crate::config::Rule {
    let text = format!("{}{keys}", drop_rule("one", "any = true"));
    config(&text).rules.remove(0)
}
