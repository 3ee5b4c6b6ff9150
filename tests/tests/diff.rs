//! `octroi check --diff`: what a newer database changes, over published ones and small ones.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use octroi_tests::{
    command::{self, Finished},
    files::fetched,
    gate::binary,
    netns::PREFIX,
};
use serde_json::{Value, json};
use tempfile::TempDir;

const RULES: &str = "[[rule]]\nname = \"partner\"\nsource = { country = [\"CN\"], asn = [58593] }\naction = \"pass\"\n\
                     [[rule]]\nname = \"cn\"\nsource = { country = [\"CN\", \"KP\"] }\naction = \"drop\"\n";

/// A configuration in a directory of its own.
struct Files {
    folder: TempDir,
}

impl Files {
    fn new() -> Files {
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir().expect("make a temporary directory");
        Files { folder }
    }

    fn write(&self, name: &str, contents: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, contents).expect("write into a directory of ours");
        path
    }

    fn octroi(&self, arguments: &[&str], geoip: &str) -> Finished {
        let text = format!("interfaces = [\"none0\"]\n[geoip]\n{geoip}\n{RULES}");
        let config = self.write("octroi.toml", &text);
        let mut octroi = Command::new(binary());
        octroi.args(arguments).arg("-c").arg(config);
        command::run(octroi, command::SHORT)
    }

    fn diff(&self, old: &Path, new: &Path, more: &[&str]) -> Finished {
        let [old, new] = [old, new].map(|path| path.display().to_string());
        self.octroi(&[&["check", "--diff", &old, &new], more].concat(), "")
    }
}

fn sum(parts: &Value, family: &str, key: &str) -> u64 {
    let parts = parts.as_array().expect("a list");
    parts.iter().map(|part| part[family][key].as_u64().expect("a number")).sum()
}

#[test]
fn what_two_publishers_think_of_the_world_differs_as_explain_says_of_both() {
    let files = Files::new();
    let (maxmind, dbip) = (fetched("GeoLite2-Country.mmdb"), fetched("dbip-country.mmdb"));
    let started = Instant::now();
    let report = files.diff(&maxmind, &dbip, &["--json", "--strict"]).json();
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
    assert_eq!((&report["kind"], &report["announced_only"]), (&json!("country"), &json!(true)));
    // The newer one of another publisher is not held under this policy.
    assert_eq!(report["held"], json!([]));
    for family in ["ipv4", "ipv6"] {
        let changed = report["changed"][family].as_u64().expect("a number");
        let all = &report["all"][family];
        let number = |key: &str| all[key].as_u64().expect("a number");
        assert!(changed > number("before") / 100 && changed < number("before") / 10, "{changed} of {all}");
        assert_eq!(sum(&report["parts"], family, "gained") + number("lost"), changed, "{family}");
        assert_eq!(sum(&report["parts"], family, "lost") + number("gained"), changed, "{family}");
        assert_eq!(number("before") + number("gained"), number("after") + number("lost"), "{all}");
    }
    let verdicts = report["verdicts"].as_array().expect("a list");
    assert!(verdicts.len() >= 2, "{verdicts:?}");
    for turn in verdicts {
        for example in turn["examples"].as_array().expect("a list") {
            let address = example.as_str().and_then(|prefix| prefix.split('/').next()).expect("a prefix");
            for (database, side) in [(&maxmind, "from"), (&dbip, "to")] {
                let answer =
                    files.octroi(&["explain", address, "--json"], &format!("country = {database:?}")).json();
                let decided = json!({"verdict": answer["verdict"], "rule": answer["rule"]});
                assert_eq!(decided, turn[side], "{address} in {}", database.display());
            }
        }
    }
    // The other way round it is older.
    let text = files.diff(&dbip, &maxmind, &[]).success();
    assert!(text.contains("held        a running daemon would hold it: it was built 2026-01-30T"), "{text}");
    assert!(
        text.contains("\nCN          IPv4 ")
            && text.contains("verdict     drop by \"cn\" -> pass by no rule"),
        "{text}"
    );
    let refused = files.diff(&dbip, &maxmind, &["--strict"]);
    assert_eq!(refused.status.code(), Some(1), "{refused}");
}

#[test]
fn the_kind_is_found_by_content_or_by_the_configuration() {
    let files = Files::new();
    let old = files.write("old.csv", "1.0.1.0,1.0.1.255,58593,\"Azure, China\"\n1.0.2.0,1.0.2.255,4134\n");
    let new = files.write("new.csv", "1.0.1.0,1.0.1.127,58593,\"Azure, China\"\n1.0.2.0,1.0.2.255,4134\n");
    let report = files.diff(&old, &new, &["--json"]).json();
    assert_eq!(report["kind"], "asn");
    assert_eq!(report["parts"][0]["name"], "AS58593");
    assert_eq!(report["parts"][0]["ipv4"], json!({"before": 256, "after": 128, "gained": 0, "lost": 128}));
    // 1.0.1.0/24 is in China by the embedded table: what was the partner's is dropped.
    let turn = &report["verdicts"][0];
    assert_eq!(turn["from"], json!({"verdict": "pass", "rule": "partner"}), "{report}");
    assert_eq!(turn["to"], json!({"verdict": "drop", "rule": "cn"}), "{report}");
    assert_eq!((&turn["ipv4"], &turn["examples"]), (&json!(128), &json!(["1.0.1.128/25"])), "{report}");

    let tor = files.write("tor.csv", "1.0.1.0,1.0.1.255,tor\n");
    let none = files.write("none.csv", "1.0.1.0,1.0.1.0,-\n");
    let diff = |old: &Path, new: &Path, geoip: &str| {
        let [old, new] = [old, new].map(|path| path.display().to_string());
        files.octroi(&["check", "--json", "--diff", &old, &new], geoip).json()
    };
    assert_eq!(diff(&tor, &none, "")["kind"], "anonymous");
    let report = diff(&none, &tor, &format!("anonymous = {tor:?}"));
    assert_eq!(
        (&report["kind"], &report["parts"][0]["name"]),
        (&json!("anonymous"), &json!("tor")),
        "{report}"
    );
}

#[test]
fn a_country_that_is_gone_is_said_to_be_held() {
    let files = Files::new();
    let old = files.write("old.csv", "1.0.1.0,1.0.2.255,CN\n8.8.8.0,8.8.8.255,US\n");
    let new = files.write("new.csv", "8.8.8.0,8.8.8.255,US\n");
    let text = files.diff(&old, &new, &[]).success();
    for line in [
        "country     known of 768 -> 256 (+0 -512) IPv4 addresses",
        "CN          IPv4 512 -> 0 (+0 -512), IPv6 /64s 0\n",
        "verdict     drop by \"cn\" -> pass by no rule: 512 IPv4 addresses, 0 announced IPv6 /64s, such as 1.0.1.0/24",
        "held        a running daemon would hold it: CN (China) goes from 512 to 0 IPv4 addresses (-100.0 %, limit 90 %)",
    ] {
        assert!(text.contains(line), "no {line:?} in\n{text}");
    }
    let same = files.diff(&old, &old, &["--strict"]).success();
    assert!(
        same.contains("changed     0 IPv4 addresses") && same.contains("verdicts    none changes"),
        "{same}"
    );
}

#[test]
fn what_cannot_be_compared_ends_with_78_and_says_why() {
    let files = Files::new();
    let old = files.write("old.csv", "1.0.1.0,1.0.2.255,CN\n");
    let empty = files.write("empty.csv", "");
    let asn =
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../userspace/testdata/mmdb/GeoLite2-ASN-Test.mmdb"));
    let nowhere = files.folder.path().join("nowhere.mmdb");
    for (old, new, words) in [
        (old.as_path(), nowhere.as_path(), "nowhere.mmdb: No such file"),
        (&nowhere, &old, "nowhere.mmdb: No such file"),
        (&old, &empty, "empty.csv is empty"),
        (&old, asn, "is an ASN database"),
    ] {
        let refused = files.diff(old, new, &[]);
        assert_eq!(refused.status.code(), Some(78), "{refused}");
        assert!(refused.stderr.contains(words) && refused.stdout.is_empty(), "no {words:?} in\n{refused}");
    }
}
