//! Which changes of a database are doubted, over the embedded tables with something taken out or put in.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::{
    geoip::{Origin, Record},
    policy::tests::config,
};

static COUNTRY: LazyLock<Database> = LazyLock::new(|| Database::embedded(Kind::Country));
static ASN: LazyLock<Database> = LazyLock::new(|| Database::embedded(Kind::Asn));
static COUNTED: LazyLock<Counted> = LazyLock::new(|| Counted::new(&ASN));

fn rules(sources: &[&str]) -> Vec<Rule> {
    let rule = |(number, source): (usize, &&str)| {
        format!("[[rule]]\nname = \"{number}\"\nsource = {{ {source} }}\naction = \"drop\"\n")
    };
    let rules: String = sources.iter().enumerate().map(rule).collect();
    config(&format!("geoip.anonymous = \"a\"\n{rules}")).rules
}

/// What is doubted of `new` in the place of `old`, at the default limit.
fn doubts(old: &Database, new: &Database, sources: &[&str]) -> Vec<String> {
    let rules = rules(sources);
    let standing = |database| Standing::of(&rules, database, &COUNTED);
    standing(new).doubts(&standing(old), &rules, 30)
}

/// The same database with other records in the places of some.
fn with(database: &Database, change: impl Fn(&Record) -> Record) -> Database {
    Database { records: database.records.iter().map(change).collect(), ..database.clone() }
}

fn without(database: &Database, gone: &str) -> Database {
    with(database, |record| match record.country {
        Some(code) if code.as_str() == gone => Record::default(),
        _ => record.clone(),
    })
}

/// With some addresses, from the first on, in a country.
fn plus(database: &Database, code: &str, first: u32, addresses: u32) -> Database {
    let country = database
        .records
        .iter()
        .position(|record| record.country.is_some_and(|known| known.as_str() == code))
        .and_then(|record| u32::try_from(record).ok())
        .expect("a country of the table");
    let end = first + addresses;
    let find = |address: u32| database.v4[database.v4.partition_point(|run| run.0 <= address) - 1].1;
    let before = database.v4.iter().copied().filter(|run| run.0 < first);
    let after = database.v4.iter().copied().filter(|run| run.0 > end);
    let v4 = before.chain([(first, country), (end, find(end))]).chain(after).collect();
    Database { v4, ..database.clone() }
}

#[test]
fn the_same_again_is_not_doubted_whatever_rules_name() {
    let sources = ["not_country = [\"DE\", \"unknown\"], continent = [\"AF\"]", "asn = [58593]"];
    assert_eq!(doubts(&COUNTRY, &COUNTRY, &sources), [""; 0]);
    assert_eq!(doubts(&ASN, &ASN, &sources), [""; 0]);
}

#[test]
fn a_country_that_a_rule_names_and_the_next_database_does_not_have_is_doubted_however_small() {
    for (code, v4) in [
        ("CN", "CN (China) goes from 352736933 to 0 IPv4 addresses (-100.0 %, limit 30 %)"),
        ("KP", "KP (North Korea) goes from 3744 to 0 IPv4 addresses (-100.0 %, limit 90 %)"),
    ] {
        let new = without(&COUNTRY, code);
        for source in ["country", "not_country"] {
            let found = doubts(&COUNTRY, &new, &[&format!("{source} = [\"US\", {code:?}]")]);
            assert_eq!(found.first().map(String::as_str), Some(v4), "{found:?}");
        }
        assert_eq!(doubts(&COUNTRY, &new, &["country = [\"US\"]"]), [""; 0], "{code} is not named");
    }
    let found = doubts(&COUNTRY, &without(&COUNTRY, "CN"), &["country = [\"CN\"]"]);
    assert!(
        found[1].starts_with("CN (China) goes from 9") && found[1].contains("to 0 IPv6 /64s"),
        "{found:?}"
    );
    assert_eq!(found.len(), 2);
}

#[test]
fn a_continent_is_doubted_as_a_whole() {
    let source = ["continent = [\"OC\"]"];
    assert_eq!(doubts(&COUNTRY, &without(&COUNTRY, "FJ"), &source), [""; 0]);
    let new = without(&without(&COUNTRY, "AU"), "NZ");
    let new = with(&new, |record| match record.country {
        None => Record::default(),
        Some(_) => record.clone(),
    });
    let found = doubts(&COUNTRY, &new, &source);
    assert!(found[0].starts_with("OC (Oceania) goes from 6"), "{found:?}");
}

#[test]
fn some_networks_more_or_less_in_a_small_country_are_not_doubted_and_many_are() {
    let source = ["country = [\"KP\"]"];
    // 9.0.0.0/8 is in the United States.
    assert_eq!(doubts(&COUNTRY, &plus(&COUNTRY, "KP", 0x0900_0000, 16_000), &source), [""; 0]);
    let found = doubts(&COUNTRY, &plus(&COUNTRY, "KP", 0x0900_0000, 20_000), &source);
    assert_eq!(found, ["KP (North Korea) goes from 3744 to 23744 IPv4 addresses (+534.1 %, limit 30 %)"]);
    // The same of a large one is nothing.
    assert_eq!(
        doubts(&COUNTRY, &plus(&COUNTRY, "CN", 0x0900_0000, 1 << 24), &["country = [\"CN\"]"]),
        [""; 0]
    );
}

#[test]
fn countries_that_change_places_are_doubted_though_no_rule_names_them() {
    let [china, america] = ["CN", "US"].map(|code| CountryCode::parse(code).expect("a code"));
    let swapped = with(&COUNTRY, |record| {
        let country = match record.country {
            Some(code) if code == china => Some(america),
            Some(code) if code == america => Some(china),
            other => other,
        };
        Record { country, ..record.clone() }
    });
    let found = doubts(&COUNTRY, &swapped, &["any = true"]);
    assert!(
        found[0].starts_with("of 3702258432 IPv4 addresses that have a country, 1067883768 or more get or lose one or another (28.8 %, limit 10 %)"),
        "{found:?}"
    );
    // Half of everything gone.
    let half = Database {
        v4: COUNTRY.v4.iter().copied().filter(|run| run.0 < 1 << 31).chain([(1 << 31, 0)]).collect(),
        ..COUNTRY.clone()
    };
    assert!(doubts(&COUNTRY, &half, &["any = true"])[0].contains("limit 10 %"));
}

#[test]
fn a_network_that_a_rule_names_is_doubted_and_others_are_nobody_s_business() {
    let gone = with(&ASN, |record| match record.asn {
        Some(58593) => Record::default(),
        _ => record.clone(),
    });
    let found = doubts(&ASN, &gone, &["country = [\"CN\"], asn = [58593]"]);
    assert!(
        found[0].starts_with("AS58593 goes from ") && found[0].contains(" to 0 IPv4 addresses"),
        "{found:?}"
    );
    assert_eq!(doubts(&ASN, &gone, &["not_asn = [13335]"]), [""; 0]);
    let empty = with(&ASN, |_| Record::default());
    assert_eq!(doubts(&ASN, &empty, &["country = [\"CN\"]"]), [""; 0]);
    let found = doubts(&ASN, &empty, &["asn = [13335]"]);
    assert!(found[0].starts_with("AS13335 goes from ") && found[2].contains("that have an ASN"), "{found:?}");
}

#[test]
fn kinds_of_anonymizer_are_doubted_as_rules_name_them() {
    let listed = |runs: &[(u32, u32)]| Database {
        kind: Kind::Anonymous,
        records: ["", "vpn", "tor"]
            .map(|word| Record {
                anonymous: crate::anonymizer::Anonymizer::parse(word)
                    .map(Anonymizers::of)
                    .unwrap_or_default(),
                ..Record::default()
            })
            .into(),
        v4: runs.to_vec(),
        v6: vec![(0, 0)],
        ..COUNTRY.clone()
    };
    let old = listed(&[(0, 0), (1 << 28, 1), ((1 << 28) + 100_000, 2), ((1 << 28) + 101_000, 0)]);
    let new = listed(&[(0, 0), (1 << 28, 1), ((1 << 28) + 100_000, 0)]);
    assert_eq!(doubts(&old, &new, &["anonymous = [\"vpn\"]"]), [""; 0]);
    assert_eq!(doubts(&old, &new, &["anonymous = [\"vpn\", \"tor\"]"]), [""; 0]);
    assert_eq!(
        doubts(&old, &new, &["anonymous = [\"tor\"]"]),
        ["tor goes from 1000 to 0 IPv4 addresses (-100.0 %, limit 90 %)"]
    );
}

#[test]
fn an_older_one_is_doubted_and_a_new_rule_about_what_nobody_counted_is_not() {
    let older = Database { built: COUNTRY.built - 1, origin: Origin::File("/a".into()), ..COUNTRY.clone() };
    let found = doubts(&COUNTRY, &older, &["any = true"]);
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("it was built 2026-06-01T"), "{found:?}");

    let (none, some) = (rules(&["any = true"]), rules(&["asn = [58593]", "country = [\"KP\"]"]));
    let running = Standing::of(&none, &ASN, &COUNTED);
    assert_eq!(Standing::of(&some, &ASN, &COUNTED).doubts(&running, &some, 30), [""; 0]);
    // Countries are counted whether or not a rule names them.
    let running = Standing::of(&none, &COUNTRY, &COUNTED);
    assert_eq!(Standing::of(&some, &without(&COUNTRY, "KP"), &COUNTED).doubts(&running, &some, 30).len(), 1);
}

#[test]
fn a_table_of_networks_that_is_complete_now_and_was_not_before_does_not_make_countries_doubtful() {
    let rules = rules(&["country = [\"CN\"]"]);
    let few = Counted::new(&with(&ASN, |_| Record::default()));
    assert!(COUNTED.announced && !few.announced);
    let (old, new) = (Standing::of(&rules, &COUNTRY, &few), Standing::of(&rules, &COUNTRY, &COUNTED));
    assert_eq!(new.doubts(&old, &rules, 30), [""; 0]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_country_is_doubted_exactly_when_more_than_the_limit_changes(limit in 1u32..200, addresses in 1u32..1 << 22) {
        let rules = rules(&["country = [\"CU\"]"]);
        let new = plus(&COUNTRY, "CU", 0x0900_0000, addresses);
        let standing = |database| Standing::of(&rules, database, &COUNTED);
        let (old, new) = (standing(&COUNTRY), standing(&new));
        // Cuba has 259,008.
        let expected = addresses >= 16_384 && u64::from(addresses) * 100 > 259_008 * u64::from(limit);
        // That much of the United States is little of all.
        let found = new.doubts(&old, &rules, limit);
        prop_assert_eq!(found.iter().any(|doubt| doubt.starts_with("CU")), expected, "{:?}", found);
        let back = old.doubts(&new, &rules, limit);
        let lost = addresses >= 16_384 && u64::from(addresses) * 100 > (259_008 + u64::from(addresses)) * u64::from(limit);
        let nearly = u64::from(addresses) * 100 > (259_008 + u64::from(addresses)) * u64::from(limit.clamp(90, 99));
        prop_assert_eq!(back.iter().any(|doubt| doubt.starts_with("CU")), lost || nearly, "{:?}", back);
    }
}
