//! README.md names every key, command, option and metric that there is, and its configurations are valid.

use std::{collections::BTreeSet, path::Path};

use clap::CommandFactory;
use octroi::{
    commands::cli::Cli,
    config::{Config, reference},
};

const README: &str = include_str!("../../README.md");
const METRICS: &str = include_str!("../src/metrics/mod.rs");

/// What dashboards and alerts rely on, whatever the code says.
const PROMISED: [&str; 23] = [
    "octroi_packets_total",
    "octroi_bytes_total",
    "octroi_rule_packets_total",
    "octroi_rule_bytes_total",
    "octroi_lease_packets_total",
    "octroi_other_packets_total",
    "octroi_interface_info",
    "octroi_interfaces_awaited",
    "octroi_geoip_build_timestamp_seconds",
    "octroi_geoip_networks",
    "octroi_geoip_held",
    "octroi_table_bytes",
    "octroi_table_intervals",
    "octroi_rule_stage",
    "octroi_generation",
    "octroi_config_last_reload_successful",
    "octroi_pending_confirmation_timestamp_seconds",
    "octroi_fallback",
    "octroi_config_ignored",
    "octroi_last_reload_success_timestamp_seconds",
    "octroi_reloads_total",
    "octroi_build_info",
    // Not octroi's own, but what it serves them at.
    "/metrics",
];

/// What stands between backquotes on one line: prose that happens to have a key's name in it does not count.
fn code() -> Vec<&'static str> {
    prose().into_iter().flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

/// The lines outside of fenced blocks.
fn prose() -> Vec<&'static str> {
    let mut fenced = false;
    let lines = README.lines().filter(|line| {
        let fence = line.starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    });
    lines.collect()
}

/// The contents of fenced blocks of that language.
fn blocks(language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = README.lines();
    while lines.by_ref().any(|line| line == format!("```{language}")) {
        blocks.push(lines.by_ref().take_while(|line| *line != "```").collect::<Vec<_>>().join("\n"));
    }
    blocks
}

/// The words of all code in prose: `[policy] default = "pass"` has policy, default and pass.
fn words() -> BTreeSet<&'static str> {
    code().into_iter().flat_map(|code| code.split(|c: char| !c.is_alphanumeric() && c != '_')).collect()
}

fn assert_none(missing: &[String], what: &str) {
    assert!(
        missing.is_empty(),
        "README.md does not name these {what}, in backquotes: {}",
        missing.join(", ")
    );
}

#[test]
fn every_key_is_named() {
    let words = words();
    let missing = reference().iter().filter(|key| !words.contains(key.name()));
    assert_none(&missing.map(|key| key.path.to_owned()).collect::<Vec<_>>(), "keys");
}

/// All commands that do something, with what is typed to have them.
fn commands<'c>(prefix: &str, command: &'c clap::Command) -> Vec<(String, &'c clap::Command)> {
    let shown = command.get_subcommands().filter(|command| !command.is_hide_set());
    let below = shown.flat_map(|command| {
        let name = format!("{prefix} {}", command.get_name());
        if command.has_subcommands() { commands(&name, command) } else { vec![(name, command)] }
    });
    below.collect()
}

#[test]
fn every_command_and_option_is_named() {
    let (code, cli) = (code(), Cli::command());
    // `octroi detach [--all]` has --all in it.
    let named = |wanted: &str| code.iter().any(|code| code.split([' ', '[', ']']).any(|word| word == wanted));
    let mut missing = Vec::new();
    for (name, command) in commands("octroi", &cli) {
        if !code.iter().any(|code| *code == name || code.starts_with(&format!("{name} "))) {
            missing.push(name.clone());
        }
        for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
            let spelled = [
                argument.get_short().map(|short| format!("-{short}")),
                argument.get_long().map(|long| format!("--{long}")),
            ];
            let spelled: Vec<String> = spelled.into_iter().flatten().collect();
            if !spelled.is_empty() && !spelled.iter().any(|one| named(one)) {
                missing.push(format!("{name} {}", spelled.join(" or ")));
            }
        }
    }
    assert_none(&missing, "commands or options");
}

#[test]
fn every_metric_is_named() {
    let served = METRICS.split('"').skip(1).step_by(2).filter(|word| {
        word.starts_with("octroi_") && word.chars().all(|c| c.is_ascii_lowercase() || c == '_')
    });
    let served: BTreeSet<&str> = served.collect();
    let gone: Vec<_> =
        PROMISED.iter().filter(|name| name.starts_with("octroi_") && !served.contains(*name)).collect();
    assert!(gone.is_empty(), "promised, and not served any more: {gone:?}");
    let named = |name: &str| code().iter().any(|code| code.split(' ').any(|word| word == name));
    let missing = served.iter().chain(&PROMISED).filter(|name| !named(name));
    assert_none(&missing.map(|name| (*name).to_owned()).collect::<Vec<_>>(), "metrics");
}

#[test]
fn every_example_is_a_valid_configuration() {
    let blocks = blocks("toml");
    assert!(!blocks.is_empty());
    for (number, block) in blocks.iter().enumerate() {
        let name = format!("README.md, example {}", number + 1);
        Config::parse(block, Path::new(&name)).unwrap_or_else(|errors| panic!("{errors}"));
    }
    let packaged = include_str!("../../packaging/octroi.toml");
    Config::parse(packaged, Path::new("packaging/octroi.toml")).unwrap_or_else(|errors| panic!("{errors}"));
}
