//! docs/configuration.md is the reference of keys, word for word; every key of the contract is in it; its examples are valid.

use std::{fmt::Write as _, fs, path::Path};

use octroi::config::{Config, reference};

/// What configurations are written against, whatever the code says.
const KEYS: [&str; 42] = [
    "interfaces",
    "mode",
    "geoip",
    "geoip.country",
    "geoip.asn",
    "geoip.anonymous",
    "geoip.follow",
    "geoip.max_change",
    "policy",
    "policy.default",
    "policy.local",
    "policy.malformed",
    "metrics",
    "metrics.listen",
    "control",
    "control.socket",
    "rule",
    "rule.name",
    "rule.source",
    "rule.source.any",
    "rule.source.country",
    "rule.source.not_country",
    "rule.source.continent",
    "rule.source.asn",
    "rule.source.not_asn",
    "rule.source.cidr",
    "rule.source.not_cidr",
    "rule.source.list",
    "rule.source.anonymous",
    "rule.service",
    "rule.action",
    "rule.mark",
    "rule.dscp",
    "rule.rate",
    "rule.burst",
    "rule.per",
    "rule.observe",
    "rule.from",
    "rule.until",
    "rule.ramp",
    "rule.established",
    "rule.note",
];

/// And the words that some of them take.
const WORDS: [(&str, &[&str]); 9] = [
    ("mode", &["auto", "native", "generic"]),
    ("policy.default", &["pass", "drop"]),
    ("policy.local", &["pass", "rules"]),
    ("policy.malformed", &["drop", "pass"]),
    ("rule.source.anonymous", &["vpn", "tor", "proxy", "residential_proxy", "hosting", "any"]),
    ("rule.action", &["pass", "drop", "reject", "tag", "limit"]),
    ("rule.per", &["source", "rule"]),
    ("rule.established", &["pass", "drop"]),
    ("rule.service", &["tcp/", "udp/", "icmp"]),
];

fn page() -> String {
    let mut page = String::from(
        "# Every key of the configuration\n\n\
         Written from the keys themselves: `OCTROI_WRITE_REFERENCE=1 cargo test -p octroi --test reference` writes it again.\n\n\
         | key | takes | left out | |\n| --- | --- | --- | --- |\n",
    );
    for key in reference() {
        let left_out = key.default.unwrap_or("has to be given");
        let cells = [key.kind, left_out, key.meaning].map(|cell| cell.replace('|', "\\|"));
        // Writing to a string cannot fail.
        let _ = writeln!(page, "| `{}` | {} |", key.path, cells.join(" | "));
    }
    page + "\n" + EXAMPLES
}

const EXAMPLES: &str = r#"## Examples

Regions that may not be served from a date on, on the ports that are meant; a partner until its contract ends:

```toml
interfaces = ["eth0"]

[[rule]]
name   = "partner"
source = { country = ["CN"], asn = [58593] }
action = "pass"
until  = 2027-01-31T00:00:00Z
note   = "contract 4711, bd@example.org"

[[rule]]
name    = "unsupported-regions"
source  = { country = ["CN", "KP"] }
service = ["tcp/443", "udp/443", "tcp/8000-8100"]
action  = "reject"
from    = 2026-07-09T00:00:00Z
```

Only some countries may come in, everything else little by little over two weeks, and what is local as ever:

```toml
interfaces = ["eth0", "eth1"]

[[rule]]
name   = "supported"
source = { country = ["CH", "DE", "AT", "LI"] }
action = "pass"

[[rule]]
name   = "everybody-else"
source = { any = true }
action = "drop"
from   = 2026-07-09T00:00:00Z
ramp   = "14d"
```

Anonymizers are marked for the application, name servers get what they can bear, and nothing is cut that is connected:

```toml
interfaces = ["eth*"]

[geoip]
anonymous = "/usr/share/GeoIP/GeoIP2-Anonymous-IP.mmdb"

[[rule]]
name   = "come-round"
source = { anonymous = ["vpn", "tor"] }
action = "tag"
mark   = 0x77

[[rule]]
name    = "questions"
source  = { any = true }
service = ["udp/53"]
action  = "limit"
rate    = 50
burst   = 200
per     = "source"
```
"#;

fn path() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md")
}

#[test]
fn the_page_says_what_the_keys_say() {
    if std::env::var_os("OCTROI_WRITE_REFERENCE").is_some() {
        fs::write(path(), page()).expect("write the page");
    }
    let written = fs::read_to_string(path()).expect("docs/configuration.md is there");
    assert!(
        written == page(),
        "docs/configuration.md is old: OCTROI_WRITE_REFERENCE=1 cargo test -p octroi --test reference"
    );
}

#[test]
fn every_key_of_the_contract_is_in_it() {
    let known: Vec<&str> = reference().iter().map(|key| key.path).collect();
    let missing: Vec<_> = KEYS.into_iter().filter(|key| !known.contains(key)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    for (path, words) in WORDS {
        let key = reference().iter().find(|key| key.path == path).expect("one of the keys");
        let says = format!("{} {}", key.kind, key.meaning);
        let missing: Vec<_> = words.iter().filter(|word| !says.contains(**word)).collect();
        assert!(missing.is_empty(), "{path}: {missing:?} not in {says}");
    }
}

#[test]
fn its_examples_are_valid() {
    let blocks: Vec<&str> =
        EXAMPLES.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(blocks.len(), 3);
    for block in blocks {
        Config::parse(block, Path::new("/example.toml")).unwrap_or_else(|errors| panic!("{errors}\n{block}"));
    }
}
