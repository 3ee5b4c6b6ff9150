//! Facts about one source, and what rules make of them.

use octroi_abi::{DSCP_KEEP, STEPS, Verdict};

use super::{config, drop_rule};
use crate::{
    anonymizer::{Anonymizer, Anonymizers},
    config::Config,
    country::{Continent, CountryCode},
    geoip::{Lists, Record, special::Special},
    policy::{
        decide::{Location, Mismatch, Subject, chain, mismatch},
        sets::Memberships,
        steps::Planner,
    },
};

/// What is known of a source; its address counts only for prefixes.
#[derive(Clone, Copy, Debug)]
struct Source {
    address: [u8; 4],
    special: Option<Special>,
    country: Option<&'static str>,
    continent: Option<&'static str>,
    asn: Option<u32>,
    anonymous: Anonymizers,
}

/// Nothing is known of it.
const NOWHERE: Source = Source {
    address: [203, 1, 2, 3],
    special: None,
    country: None,
    continent: None,
    asn: None,
    anonymous: Anonymizers::NONE,
};
const CHINA: Source = Source { country: Some("CN"), asn: Some(4134), ..NOWHERE };
const PARTNER: Source = Source { asn: Some(58593), anonymous: Anonymizers::of(Anonymizer::Hosting), ..CHINA };
const GERMANY: Source =
    Source { country: Some("DE"), anonymous: Anonymizers::of(Anonymizer::Other), ..NOWHERE };
/// A record that has only a continent.
const EUROPE: Source = Source { continent: Some("EU"), ..NOWHERE };
/// Whatever the record says, no database speaks about such a source.
const LOCAL: Source = Source {
    special: Some(Special::Local),
    continent: Some("AS"),
    address: [10, 1, 2, 3],
    anonymous: Anonymizers::ANY,
    ..CHINA
};
const RESERVED: Source = Source { special: Some(Special::Unknown), ..LOCAL };

/// What a policy without conditions comes to.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Decision {
    verdict: Verdict,
    rule: Option<usize>,
    observed: Vec<usize>,
    mark: u32,
    dscp: u8,
}

fn decided(config: &Config, source: Source) -> Decision {
    let country = Record {
        country: source.country.map(|code| CountryCode::parse(code).expect("a code")),
        continent: source.continent.map(|code| Continent::parse(code).expect("a code")),
        ..Record::default()
    };
    let asn = Record { asn: source.asn, ..Record::default() };
    let mut memberships = Memberships::new(config.rules.len());
    let runs = memberships.runs::<u32>(&config.rules, &Lists::new());
    let after = runs.partition_point(|run| run.0 <= u32::from_be_bytes(source.address));
    let membership = memberships.get(runs[after - 1].1);
    let Source { special, anonymous, .. } = source;
    let subject = Subject { special, country: &country, asn: &asn, anonymous, membership };
    let mut planner = Planner::new(config, None).expect("fits");
    let chain = chain(config, planner.windows(), &subject);
    let class = planner.class(subject.location(), &chain).expect("fits");
    assert_ne!(class.verdict, STEPS, "{chain:?}");
    let outcome = planner.outcomes[class.slot as usize - 1].clone();
    let index = |name: &String| config.rules.iter().position(|rule| rule.name == *name).expect("a rule");
    let verdict = outcome.verdict.expect("decided");
    Decision {
        verdict,
        rule: outcome.rule.as_ref().map(index),
        observed: outcome.observed.iter().map(|(name, _)| index(name)).collect(),
        mark: if verdict == Verdict::Tag { class.detail } else { 0 },
        dscp: class.dscp,
    }
}

/// Whether a rule with this source matches.
fn matches(rule: &str, source: Source) -> bool {
    let text = format!("geoip.anonymous = \"a\"\n[policy]\nlocal = \"rules\"\n{}", drop_rule("one", rule));
    let config = config(&text);
    let decision = decided(&config, source);
    assert_eq!(decision.rule.is_some(), decision.verdict == Verdict::Drop, "{rule}: {decision:?}");
    decision.rule.is_some()
}

#[test]
fn each_key_of_a_source_matches_what_it_names_and_nothing_else() {
    // The sources that match, among these; the order is that of the list.
    let sources = [
        ("CN", CHINA),
        ("partner", PARTNER),
        ("DE", GERMANY),
        ("EU", EUROPE),
        ("nowhere", NOWHERE),
        ("local", LOCAL),
        ("reserved", RESERVED),
    ];
    for (rule, expected) in [
        (r#"country = ["CN"]"#, &["CN", "partner"][..]),
        (r#"country = ["DE", "CN"]"#, &["CN", "partner", "DE"]),
        (r#"country = ["KP"]"#, &[]),
        (r#"country = ["unknown"]"#, &["EU", "nowhere", "reserved"]),
        (r#"country = ["unknown", "DE"]"#, &["DE", "EU", "nowhere", "reserved"]),
        (r#"not_country = ["CN"]"#, &["DE", "EU", "nowhere", "reserved"]),
        (r#"not_country = ["CN", "DE"]"#, &["EU", "nowhere", "reserved"]),
        (r#"not_country = ["unknown"]"#, &["CN", "partner", "DE"]),
        (r#"not_country = ["CN", "unknown"]"#, &["DE"]),
        (r#"continent = ["AS"]"#, &["CN", "partner"]),
        (r#"continent = ["EU"]"#, &["DE", "EU"]),
        (r#"continent = ["AS", "EU"]"#, &["CN", "partner", "DE", "EU"]),
        ("asn = [58593]", &["partner"]),
        ("asn = [58593, 4134]", &["CN", "partner"]),
        ("not_asn = [58593]", &["CN", "DE", "EU", "nowhere", "reserved"]),
        ("not_asn = [58593, 4134]", &["DE", "EU", "nowhere", "reserved"]),
        (r#"cidr = ["10.0.0.0/8"]"#, &["local", "reserved"]),
        (
            r#"cidr = ["203.1.2.3", "10.1.0.0/16"]"#,
            &["CN", "partner", "DE", "EU", "nowhere", "local", "reserved"],
        ),
        (r#"cidr = ["203.1.2.2"]"#, &[]),
        (r#"not_cidr = ["203.1.2.0/24"]"#, &["local", "reserved"]),
        (r#"not_cidr = ["203.1.2.0/24", "10.0.0.0/8"]"#, &[]),
        (r#"anonymous = ["hosting"]"#, &["partner"]),
        (r#"anonymous = ["vpn", "tor", "proxy", "residential_proxy"]"#, &[]),
        (r#"anonymous = ["any"]"#, &["partner", "DE"]),
        ("any = true", &["CN", "partner", "DE", "EU", "nowhere", "local", "reserved"]),
        // Keys are ANDed.
        (r#"country = ["CN"], asn = [58593]"#, &["partner"]),
        (r#"country = ["DE"], asn = [58593]"#, &[]),
        (r#"country = ["CN"], not_asn = [58593]"#, &["CN"]),
        (r#"anonymous = ["any"], country = ["DE"]"#, &["DE"]),
        (r#"continent = ["EU"], country = ["unknown"]"#, &["EU"]),
        (r#"continent = ["AS", "EU"], not_country = ["CN"]"#, &["DE", "EU"]),
        (r#"country = ["CN"], cidr = ["10.0.0.0/8"]"#, &[]),
        (r#"country = ["CN"], not_cidr = ["203.1.2.3"]"#, &[]),
        (r#"cidr = ["203.1.0.0/16"], not_cidr = ["203.1.2.0/24"]"#, &[]),
        (
            r#"cidr = ["203.1.0.0/16"], not_cidr = ["203.1.3.0/24"]"#,
            &["CN", "partner", "DE", "EU", "nowhere"],
        ),
        (r#"any = true, country = ["DE"]"#, &["DE"]),
        (r#"any = true, cidr = ["10.0.0.0/8"]"#, &["local", "reserved"]),
    ] {
        let found: Vec<&str> =
            sources.iter().filter(|(_, source)| matches(rule, *source)).map(|(name, _)| *name).collect();
        assert_eq!(found, expected, "{rule}");
    }
}

#[test]
fn a_record_s_own_continent_goes_before_that_of_its_country() {
    // Databases differ about Cyprus, for one: the file's word counts.
    let cyprus = Source { country: Some("CY"), continent: Some("AS"), ..NOWHERE };
    assert!(matches(r#"continent = ["AS"]"#, cyprus));
    assert!(!matches(r#"continent = ["EU"]"#, cyprus));
}

#[test]
fn a_key_that_asks_a_database_says_of_a_local_source_that_none_speaks_about_it() {
    for rule in [
        r#"country = ["unknown"]"#,
        r#"not_country = ["DE"]"#,
        r#"continent = ["AS"]"#,
        "asn = [58593]",
        "not_asn = [58593]",
        r#"anonymous = ["any"]"#,
    ] {
        let rule = drop_rule("one", &format!("{rule}, any = true"));
        let config = config(&format!("geoip.anonymous = \"a\"\n{rule}"));
        let (none, record) = (Memberships::new(1), Record::default());
        let subject = Subject {
            special: LOCAL.special,
            country: &record,
            asn: &record,
            anonymous: LOCAL.anonymous,
            membership: none.get(0),
        };
        assert_eq!(mismatch(0, &config.rules[0], &subject), Some(Mismatch::Local), "{rule}");
    }
}

#[test]
fn a_second_rule_s_prefixes_are_its_own() {
    let text =
        [drop_rule("first", r#"cidr = ["9.0.0.0/8"]"#), drop_rule("second", r#"cidr = ["203.0.0.0/8"]"#)]
            .concat();
    assert_eq!(decided(&config(&text), NOWHERE).rule, Some(1));
    let first = Source { address: [9, 0, 0, 0], ..NOWHERE };
    assert_eq!(decided(&config(&text), first).rule, Some(0));
}

#[test]
fn the_first_rule_that_matches_decides_and_a_tag_is_a_decision() {
    let text = r#"
        [[rule]]
        name = "other"
        source = { country = ["DE"] }
        action = "drop"
        [[rule]]
        name = "partner"
        source = { asn = [58593] }
        action = "pass"
        [[rule]]
        name = "care"
        source = { country = ["CN"] }
        action = "tag"
        mark = 42
        dscp = "CS1"
        [[rule]]
        name = "late"
        source = { any = true }
        action = "drop"
    "#;
    let config = config(text);
    let at = |source| {
        let Decision { verdict, rule, observed, mark, dscp } = decided(&config, source);
        assert_eq!(observed, Vec::<usize>::new());
        (verdict, rule, mark, dscp)
    };
    assert_eq!(at(GERMANY), (Verdict::Drop, Some(0), 0, DSCP_KEEP));
    assert_eq!(at(PARTNER), (Verdict::Pass, Some(1), 0, DSCP_KEEP));
    assert_eq!(at(CHINA), (Verdict::Tag, Some(2), 42, 8));
    assert_eq!(at(NOWHERE), (Verdict::Drop, Some(3), 0, DSCP_KEEP));
}

#[test]
fn a_tag_of_one_thing_leaves_the_other_as_it_is() {
    let tag = |what: &str| {
        let text = format!("[[rule]]\nname = \"one\"\nsource = {{ any = true }}\naction = \"tag\"\n{what}\n");
        let decision = decided(&config(&text), CHINA);
        (decision.verdict, decision.mark, decision.dscp)
    };
    assert_eq!(tag("mark = 0xffffffff"), (Verdict::Tag, u32::MAX, DSCP_KEEP));
    assert_eq!(tag("dscp = 0"), (Verdict::Tag, 0, 0));
    assert_eq!(tag("mark = 1\ndscp = 63"), (Verdict::Tag, 1, 63));
}

#[test]
fn a_rule_that_observes_is_noted_and_the_next_one_is_looked_at() {
    let observing = |name, source| format!("{}observe = true\n", drop_rule(name, source));
    let text = [
        observing("see-china", r#"country = ["CN"]"#),
        observing("see-germany", r#"country = ["DE"]"#),
        observing("see-all", "any = true"),
        "[[rule]]\nname = \"partner\"\nsource = { asn = [58593] }\naction = \"pass\"\n".to_owned(),
        observing("see-rest", "any = true"),
    ]
    .concat();
    for (default, verdict) in [("pass", Verdict::Pass), ("drop", Verdict::Drop)] {
        let config = config(&format!("[policy]\ndefault = {default:?}\n{text}"));
        let at = |source| {
            let decision = decided(&config, source);
            (decision.verdict, decision.rule, decision.observed)
        };
        assert_eq!(at(PARTNER), (Verdict::Pass, Some(3), vec![0, 2]));
        assert_eq!(at(CHINA), (verdict, None, vec![0, 2, 4]));
        assert_eq!(at(GERMANY), (verdict, None, vec![1, 2, 4]));
    }
}

#[test]
fn without_a_match_the_default_decides_and_that_is_pass_unless_it_is_given() {
    for (text, verdict) in [
        ("", Verdict::Pass),
        ("[policy]\ndefault = \"pass\"\n", Verdict::Pass),
        ("[policy]\ndefault = \"drop\"\n", Verdict::Drop),
    ] {
        for source in [CHINA, NOWHERE, RESERVED] {
            let decision = decided(&config(text), source);
            assert_eq!((decision.verdict, decision.rule), (verdict, None), "{text}{source:?}");
        }
    }
}

#[test]
fn a_local_source_passes_unless_it_is_for_the_rules_and_then_they_and_the_default_decide() {
    let rules = format!(
        "default = \"drop\"\n{}observe = true\n{}",
        drop_rule("see", "any = true"),
        drop_rule("ten", r#"cidr = ["10.0.0.0/8"]"#)
    );
    let elsewhere = Source { address: [192, 168, 0, 1], ..LOCAL };
    for local in ["", "local = \"pass\"\n"] {
        let config = config(&format!("[policy]\n{local}{rules}"));
        for source in [LOCAL, elsewhere] {
            let decision = decided(&config, source);
            assert_eq!((decision.verdict, decision.rule), (Verdict::Pass, None));
            assert_eq!(decision.observed, Vec::<usize>::new(), "no rule is looked at");
        }
        assert_eq!(decided(&config, RESERVED).rule, Some(1), "reserved space is not local");
    }
    let config = config(&format!("[policy]\nlocal = \"rules\"\n{rules}"));
    assert_eq!(decided(&config, LOCAL).rule, Some(1));
    let decision = decided(&config, elsewhere);
    assert_eq!((decision.verdict, decision.rule, decision.observed), (Verdict::Drop, None, vec![0]));
}

#[test]
fn a_source_counts_where_it_is() {
    let location = |source: Source| {
        let country = Record { country: source.country.and_then(CountryCode::parse), ..Record::default() };
        let none = Memberships::new(0);
        let asn = Record::default();
        let Source { special, anonymous, .. } = source;
        Subject { special, country: &country, asn: &asn, anonymous, membership: none.get(0) }.location()
    };
    assert_eq!(location(CHINA), Location::Country(CountryCode::parse("CN").expect("a code")));
    assert_eq!(location(EUROPE), Location::Unknown);
    assert_eq!(location(LOCAL), Location::Local);
    assert_eq!(location(RESERVED), Location::Unknown, "whatever a database says");
}
