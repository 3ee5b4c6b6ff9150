//! `source.anonymous`: from a database of anonymizers to what the host's engine does at an address.

use super::{drop_rule, judge::Files};
use crate::policy::Originals;

/// One network of each kind, some of two, and one that nobody should believe.
const ANONYMOUS: &str = "\
5.1.0.0,5.1.0.255,vpn
5.1.1.0,5.1.1.255,tor
5.1.2.0,5.1.2.255,proxy
5.1.3.0,5.1.3.255,residential_proxy
5.1.4.0,5.1.4.255,hosting
5.1.5.0,5.1.5.255,vpn|hosting
5.1.6.0,5.1.6.255,other
10.0.0.0,10.255.255.255,vpn
198.51.100.0,198.51.100.255,tor
2a00:5::,2a00:5:ffff:ffff:ffff:ffff:ffff:ffff,tor
";

const SOURCES: [&str; 12] = [
    "5.1.0.1",
    "5.1.1.1",
    "5.1.2.1",
    "5.1.3.1",
    "5.1.4.1",
    "5.1.5.1",
    "5.1.6.1",
    "5.1.7.1",
    "10.1.1.1",
    "198.51.100.1",
    "2a00:5::1",
    "2a00:6::1",
];

fn files() -> Files {
    Files::new(&[
        ("anonymous.csv", ANONYMOUS),
        ("country.csv", "5.1.0.0,5.1.1.255,CH\n5.1.2.0,5.1.7.255,DE\n2a00:5::,2a00:6::ffff,CH\n"),
        ("listed.txt", "5.1.1.0/24\n"),
    ])
}

fn over_databases(text: &str) -> String {
    format!("[geoip]\ncountry = \"country.csv\"\nanonymous = \"anonymous.csv\"\n{text}")
}

#[test]
fn each_kind_matches_what_the_database_knows_as_one_and_any_matches_all() {
    for (kinds, dropped) in [
        (r#"["vpn"]"#, &["5.1.0.1", "5.1.5.1"][..]),
        (r#"["tor"]"#, &["5.1.1.1", "2a00:5::1"]),
        (r#"["proxy"]"#, &["5.1.2.1"]),
        (r#"["residential_proxy"]"#, &["5.1.3.1"]),
        (r#"["hosting"]"#, &["5.1.4.1", "5.1.5.1"]),
        (r#"["tor", "hosting"]"#, &["5.1.1.1", "5.1.4.1", "5.1.5.1", "2a00:5::1"]),
        (
            r#"["any"]"#,
            &["5.1.0.1", "5.1.1.1", "5.1.2.1", "5.1.3.1", "5.1.4.1", "5.1.5.1", "5.1.6.1", "2a00:5::1"],
        ),
    ] {
        // Private and documentation space is in the database, and no database is asked about it.
        for local in ["pass", "rules"] {
            let rule = drop_rule("one", &format!("anonymous = {kinds}"));
            let text = over_databases(&format!("[policy]\nlocal = {local:?}\n{rule}"));
            assert_eq!(files().dropped(&text, &SOURCES), dropped, "{kinds} {local}");
        }
    }
}

#[test]
fn a_kind_is_one_key_among_others() {
    for (source, dropped) in [
        (r#"anonymous = ["any"], country = ["CH"]"#, &["5.1.0.1", "5.1.1.1", "2a00:5::1"][..]),
        (r#"anonymous = ["vpn"], not_country = ["CH"]"#, &["5.1.5.1"]),
        (r#"anonymous = ["any"], list = ["listed.txt"]"#, &["5.1.1.1"]),
        (r#"anonymous = ["vpn"], list = ["listed.txt"]"#, &[]),
        (r#"anonymous = ["any"], cidr = ["5.1.6.0/23"]"#, &["5.1.6.1"]),
    ] {
        let text = over_databases(&drop_rule("one", source));
        assert_eq!(files().dropped(&text, &SOURCES), dropped, "{source}");
    }
}

#[test]
fn rules_about_several_kinds_each_take_their_own() {
    let text = [
        "[[rule]]\nname = \"tor\"\nsource = { anonymous = [\"tor\"] }\naction = \"tag\"\nmark = 9\n"
            .to_owned(),
        drop_rule("hosting", r#"anonymous = ["hosting"]"#),
        drop_rule("rest", r#"anonymous = ["any"]"#) + "observe = true\n",
    ]
    .concat();
    let judged = files().judged(&over_databases(&text), &SOURCES);
    let found: Vec<(Option<&str>, usize, u32)> =
        judged.iter().map(|one| (one.rule.as_deref(), one.observed.len(), one.mark)).collect();
    let (tor, hosting, rest) = ((Some("tor"), 0, 9), (Some("hosting"), 0, 0), (None, 1, 0));
    let none = (None, 0, 0);
    assert_eq!(found, [rest, tor, rest, rest, hosting, hosting, rest, none, none, none, tor, none]);
}

#[test]
fn kinds_that_no_rule_names_make_no_class_and_no_interval() {
    let files = files();
    let without = files.compiled("[geoip]\ncountry = \"country.csv\"\n").0;
    let unasked = files.compiled(&over_databases("")).0;
    assert_eq!((unasked.outcomes.len(), unasked.intervals), (without.outcomes.len(), without.intervals));
    let proxy = drop_rule("one", r#"anonymous = ["proxy"]"#);
    let network = drop_rule("one", r#"cidr = ["5.1.2.0/24"]"#);
    let (asked, alike) =
        (files.compiled(&over_databases(&proxy)).0, files.compiled(&over_databases(&network)).0);
    assert_eq!((asked.outcomes.len(), asked.intervals), (alike.outcomes.len(), alike.intervals));
}

#[test]
fn an_explanation_names_the_kinds_the_database_and_why_a_rule_does_not_match() {
    let text = over_databases(&drop_rule("tor", r#"anonymous = ["tor"]"#));
    let explained = files().explain(&text, "5.1.5.9");
    assert_eq!(explained.anonymous, ["vpn", "hosting"]);
    assert_eq!((&*explained.verdict, &*explained.prefix), ("pass", "5.1.5.0/24"));
    assert_eq!(explained.rules[0].reason, "anonymizer is vpn and hosting, not among those of the rule");
    let kinds: Vec<&str> = explained.databases.iter().map(|database| &*database.kind).collect();
    assert_eq!(kinds, ["country", "asn", "anonymous"]);
    assert_eq!(files().explain(&text, "5.1.1.9").anonymous, ["tor"]);
    assert_eq!(files().explain(&text, "5.1.1.9").verdict, "drop");
    let unknown = files().explain(&text, "9.9.9.9");
    assert_eq!(
        (&unknown.anonymous, &*unknown.rules[0].reason),
        (&Vec::new(), "the address is no known anonymizer")
    );
    assert!(files().explain(&text, "10.1.1.1").anonymous.is_empty(), "no database speaks about local space");
    assert!(files().explain(&text, "198.51.100.1").anonymous.is_empty());
}

#[test]
fn a_database_of_anonymizers_is_read_again_as_it_was() {
    let files = files();
    let (config, databases) = files.read(&over_databases("")).expect("valid");
    assert!(databases.anonymous.is_some());
    let originals = Originals::open(&config).expect("files of ours");
    originals.read().expect("valid");
    assert_eq!(originals.read().expect("valid").anonymous, databases.anonymous);
    let (_, without) = files.read("").expect("valid");
    assert_eq!(without.anonymous, None);
}
