//! Every key of the configuration file: what it takes, what it means, and what a mistyped one may have been.

/// One key of the configuration file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Where it stands, tables separated by dots: `mode`, `geoip.country`, `rule.source.asn`.
    pub path: &'static str,
    /// What it takes, with its article: `a string: pass or drop`.
    pub kind: &'static str,
    /// What holds where it is left out, as TOML or in words; `None` where it has to be given.
    pub default: Option<&'static str>,
    /// What it means, in a line.
    pub meaning: &'static str,
}

impl Key {
    /// The last part of the path, as it is typed.
    pub fn name(&self) -> &'static str {
        split(self.path).1
    }

    /// The table that it stands in: `""` for the top level, `geoip`, `rule.source`.
    pub fn table(&self) -> &'static str {
        split(self.path).0
    }
}

/// All keys, tables included, in the order in which documentation lists them.
pub fn reference() -> &'static [Key] {
    REFERENCE
}

/// The key `name` of `table`.
pub(super) fn find(table: &str, name: &str) -> Option<&'static Key> {
    keys_of(table).find(|key| key.name() == name)
}

/// What this version knows in `table`, as a list in prose.
pub(super) fn known(table: &str) -> String {
    let names: Vec<&str> = keys_of(table).map(Key::name).collect();
    names.join(", ")
}

/// What to say about a key that a table does not have.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unknown {
    /// The next step: the nearest key, the table that it belongs in, or all keys there are.
    pub(super) advice: String,
    /// The key of this table that was meant, where one is near.
    pub(super) meant: Option<&'static str>,
}

/// Finds out what the unknown key `name` of `table` was meant to be.
pub(super) fn unknown(table: &str, name: &str) -> Unknown {
    let elsewhere = || REFERENCE.iter().filter(|key| key.name() == name).map(Key::table);
    // `asn` typed into a [[rule]] is meant for its source, not for [geoip].
    let inner: Vec<&str> = elsewhere().filter(|other| split(other).0 == table && !table.is_empty()).collect();
    let tables = if inner.is_empty() { elsewhere().collect() } else { inner };
    if !tables.is_empty() {
        let places: Vec<String> = tables.into_iter().map(place).collect();
        return Unknown { advice: format!("it belongs {}", places.join(" or ")), meant: None };
    }
    match nearest(name, keys_of(table).map(Key::name)) {
        Some(near) => Unknown { advice: format!("did you mean {near:?}?"), meant: Some(near) },
        None => Unknown { advice: format!("known here: {}", known(table)), meant: None },
    }
}

/// The candidate that `typed` most likely stands for: at most a third of its letters differ.
pub(crate) fn nearest<'c>(typed: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    let typed = typed.to_ascii_lowercase();
    candidates
        .map(|candidate| (strsim::osa_distance(&typed, candidate), candidate))
        .filter(|&(distance, candidate)| distance <= (candidate.chars().count() / 3).max(1))
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// `a`, `a or b`, `a, b or c`.
pub(super) fn one_of(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

fn keys_of(table: &str) -> impl Iterator<Item = &'static Key> {
    REFERENCE.iter().filter(move |key| key.table() == table)
}

fn split(path: &'static str) -> (&'static str, &'static str) {
    path.rsplit_once('.').unwrap_or(("", path))
}

fn place(table: &str) -> String {
    match table {
        "" => "at the top of the file, before the first [table]".to_owned(),
        "rule" => "in a [[rule]]".to_owned(),
        "rule.source" => "in the source of a [[rule]]".to_owned(),
        other => format!("in [{other}]"),
    }
}

const fn required(path: &'static str, kind: &'static str, meaning: &'static str) -> Key {
    Key { path, kind, default: None, meaning }
}

const fn optional(
    path: &'static str,
    kind: &'static str,
    default: &'static str,
    meaning: &'static str,
) -> Key {
    Key { path, kind, default: Some(default), meaning }
}

const PLACES: &str = r#"a list of strings, such as ["CN", "unknown"]"#;
const NETWORKS: &str = r#"a list of strings, such as ["192.0.2.0/24", "2001:db8::1"]"#;
const FILES: &str = r#"a list of strings, paths of files, such as ["blocked.txt"]"#;
const ANONYMIZERS: &str = r#"a list of strings, such as ["vpn", "tor"]"#;
const NUMBERS: &str = "a list of integers, such as [58593]";

const RATE: &str = "an integer from 1 to 10000000";
const INSTANT: &str = "a date-time with an offset, such as 2026-07-09T00:00:00Z";

const REFERENCE: &[Key] = &[
    required(
        "interfaces",
        r#"a list of strings, such as ["eth0", "veth*"]"#,
        "names or globs of the interfaces to filter; ones that appear later are picked up, lo never is",
    ),
    optional(
        "mode",
        "a string: auto, native or generic",
        r#""auto""#,
        "how XDP is attached; auto is native, else generic with a warning",
    ),
    optional(
        "geoip",
        "a table",
        "the embedded tables",
        "databases; relative paths start at this file's folder",
    ),
    optional("geoip.country", "a string, the path of a file", "the embedded table", "address to country"),
    optional(
        "geoip.asn",
        "a string, the path of a file",
        "the embedded table",
        "address to autonomous system",
    ),
    optional(
        "geoip.anonymous",
        "a string, the path of a file",
        "not set",
        "address to kinds of anonymizer; rules with anonymous need it",
    ),
    optional(
        "geoip.follow",
        "a boolean",
        "true",
        "whether a running daemon takes databases and lists of rules when their files change; never this file, which waits for a reload",
    ),
    optional(
        "geoip.max_change",
        r#"an integer from 1 to 1000, or "any""#,
        "30",
        "percent by which the addresses of a country, continent, network or kind of anonymizer that a rule names may change with a database, and a third of it all addresses, before it is held until octroi reload --accept; any: nothing is held, lists that lose more than half neither",
    ),
    optional("policy", "a table", "the defaults below", "what happens where no rule decides"),
    optional("policy.default", "a string: pass or drop", r#""pass""#, "the verdict when no rule matches"),
    optional(
        "policy.local",
        "a string: pass or rules",
        r#""pass""#,
        "private, link-local, loopback, multicast and unspecified sources: let through, or judged by the rules",
    ),
    optional(
        "policy.malformed",
        "a string: drop or pass",
        r#""drop""#,
        "packets too short for their own headers, or behind more than two VLAN tags",
    ),
    optional("metrics", "a table", "the default below", "the Prometheus endpoint"),
    optional(
        "metrics.listen",
        r#"a string: ADDRESS:PORT, or "" for none"#,
        r#""127.0.0.1:9462""#,
        "where /metrics and /healthz are served",
    ),
    optional(
        "control",
        "a table",
        "the defaults below",
        "where the daemon is reached, and where it keeps its pins, its leases and the last good policy",
    ),
    optional(
        "control.socket",
        "a string, an absolute path",
        r#""/run/octroi/octroi.sock""#,
        "the socket that commands talk to the daemon through",
    ),
    optional(
        "control.pins",
        "a string, an absolute path",
        r#""/sys/fs/bpf/octroi""#,
        "the directory on a bpffs for what outlives the daemon",
    ),
    optional(
        "control.state",
        "a string, an absolute path",
        r#""/var/lib/octroi""#,
        "the directory for what outlives a restart of the machine: leases, and the last good policy",
    ),
    optional(
        "control.fallback",
        "a boolean",
        "true",
        "where the policy cannot be loaded at a start, load the last good one instead of ending with 78",
    ),
    optional(
        "control.group",
        "a string, the name of a group",
        "none",
        "its members may ask the daemon what changes nothing (status, explain --live, lease list), where they reach the socket; all \
         else is for root and the user that octroi runs as",
    ),
    optional(
        "control.on_stop",
        r#""keep" or "detach""#,
        r#""keep""#,
        "what becomes of the gate when the daemon is told to end: it goes on filtering until `octroi detach`, or it opens",
    ),
    optional(
        "rule",
        "a list of tables, each written [[rule]]",
        "no rules",
        "the rules; the first that matches decides",
    ),
    required("rule.name", "a string", "unique; appears in metrics, events and explanations"),
    required(
        "rule.source",
        r#"a table, such as { country = ["CN"] }"#,
        "which sources it is about; keys are ANDed, values within a key ORed",
    ),
    optional("rule.source.any", "the boolean true", "not set", "every source"),
    optional(
        "rule.source.country",
        PLACES,
        "not set",
        "located in one of these; ISO 3166-1 alpha-2, or unknown",
    ),
    optional(
        "rule.source.not_country",
        PLACES,
        "not set",
        "located in none of these; matches unknown unless listed",
    ),
    optional(
        "rule.source.continent",
        r#"a list of strings, such as ["EU"]"#,
        "not set",
        "located on one of these: AF, AN, AS, EU, NA, OC, SA",
    ),
    optional("rule.source.asn", NUMBERS, "not set", "announced by one of these autonomous systems"),
    optional("rule.source.not_asn", NUMBERS, "not set", "announced by none of these autonomous systems"),
    optional("rule.source.cidr", NETWORKS, "not set", "within one of these networks"),
    optional("rule.source.not_cidr", NETWORKS, "not set", "within none of these networks"),
    optional(
        "rule.source.list",
        FILES,
        "not set",
        "within a network that one of these files lists: a prefix or an address a line, a million and more; what follows # or ; is \
         a comment, and a line that is neither is an error",
    ),
    optional(
        "rule.source.anonymous",
        ANONYMIZERS,
        "not set",
        "one of these kinds of anonymizer: vpn, tor, proxy, residential_proxy, hosting, or any",
    ),
    required("rule.action", "a string: pass, drop, reject, tag or limit", "the verdict for what matches"),
    optional(
        "rule.mark",
        "an integer from 1 to 0xffffffff",
        "not set",
        "with tag: the skb mark to go on with",
    ),
    optional(
        "rule.dscp",
        "an integer from 0 to 63, or a name such as \"CS1\"",
        "not set",
        "with tag: the DSCP to write into the packet's header",
    ),
    optional(
        "rule.observe",
        "a boolean",
        "false",
        "count what the rule would have done, and go on to the next",
    ),
    optional("rule.note", "a string", "not set", "for people: why the rule exists, who to ask"),
    optional(
        "rule.service",
        r#"a list of strings and protocol numbers, such as ["tcp/443", "udp/8000-8100", "icmp", 47]"#,
        "every packet",
        "what packets are for: destination ports, or protocols; 64 of them at most, and a range of ports is one",
    ),
    optional("rule.rate", RATE, "not set", "with limit: packets a second, above which packets are dropped"),
    optional(
        "rule.burst",
        "an integer from 1 to 4294967295",
        "the rate",
        "with limit: packets that may come at once after a pause",
    ),
    optional(
        "rule.per",
        "a string: source or rule",
        "not set",
        "with limit: whether each source has the rate, or all have it together",
    ),
    optional("rule.from", INSTANT, "not set", "before it, the rule observes"),
    optional("rule.until", INSTANT, "not set", "from it on, the rule is gone"),
    optional(
        "rule.ramp",
        r#"a string, a duration such as "14d", "36h" or "1d 12h""#,
        "not set",
        "how long after from the share of sources that the rule applies to grows, from 0 to 100 %",
    ),
    optional(
        "rule.established",
        "a string: pass or drop",
        r#""pass""#,
        "with drop, reject and limit: whether packets of connections that exist on this host are let through",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_stands_in_a_table_that_is_listed_before_it() {
        for (index, key) in REFERENCE.iter().enumerate() {
            assert!(!REFERENCE[..index].iter().any(|earlier| earlier.path == key.path), "{} twice", key.path);
            let table = key.table();
            let listed = REFERENCE[..index].iter().any(|earlier| earlier.path == table);
            assert!(table.is_empty() || listed, "{}: no table {table} before it", key.path);
        }
    }

    #[test]
    fn a_mistyped_key_is_recognised_and_a_foreign_one_is_not() {
        let rule_keys = || keys_of("rule").map(Key::name);
        assert_eq!(nearest("acton", rule_keys()), Some("action"));
        assert_eq!(nearest("Source", rule_keys()), Some("source"));
        assert_eq!(nearest("nmae", rule_keys()), Some("name"));
        assert_eq!(nearest("colour", rule_keys()), None);
    }

    #[test]
    fn a_key_of_another_table_is_sent_there() {
        let advice = |table, name| unknown(table, name).advice;
        assert_eq!(advice("rule", "asn"), "it belongs in the source of a [[rule]]");
        assert_eq!(advice("", "asn"), "it belongs in [geoip] or in the source of a [[rule]]");
        assert_eq!(advice("geoip", "mode"), "it belongs at the top of the file, before the first [table]");
        assert_eq!(advice("rule", "cidr"), "it belongs in the source of a [[rule]]");
        assert_eq!(advice("policy", "action"), "it belongs in a [[rule]]");
    }

    #[test]
    fn choices_are_listed_in_prose() {
        assert_eq!(one_of(&["pass", "drop", "tag"]), "pass, drop or tag");
        assert_eq!(one_of(&["pass"]), "pass");
    }
}
