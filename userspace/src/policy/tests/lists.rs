//! `source.list`: from files with networks to what the host's engine does at an address.

use std::{
    fmt::Write,
    net::{Ipv4Addr, Ipv6Addr},
};

use octroi_abi::Verdict;

use super::{drop_rule, judge::Files};
use crate::policy::Originals;

const BLOCKED: &str = "\
# One of each family, a network in private space, one in documentation.
9.9.9.0/24
2a00:1::/32   # a comment
10.1.0.0/16
192.0.2.0/25
";
const MORE: &str = "9.9.10.7\r\n9.9.9.128/25\r\n2a00:1:0:1:8000::/65\r\n";

const SOURCES: [&str; 9] = [
    "9.9.8.255",
    "9.9.9.0",
    "9.9.9.255",
    "9.9.10.7",
    "2a00:1::1",
    "2a00:2::1",
    "10.1.2.3",
    "10.2.2.3",
    "192.0.2.1",
];

fn files() -> Files {
    Files::new(&[
        ("blocked.txt", BLOCKED),
        ("more.txt", MORE),
        ("empty.txt", "# nothing today\n"),
        ("country.csv", "9.9.9.0,9.9.9.127,CH\n2a00:1::,2a00:1:7fff:ffff:ffff:ffff:ffff:ffff,CH\n"),
    ])
}

#[test]
fn a_rule_matches_what_any_of_its_files_lists() {
    let one = drop_rule("one", r#"list = ["blocked.txt"]"#);
    assert_eq!(files().dropped(&one, &SOURCES), ["9.9.9.0", "9.9.9.255", "2a00:1::1", "192.0.2.1"]);
    let both = drop_rule("both", r#"list = ["blocked.txt", "more.txt", "empty.txt"]"#);
    let dropped = ["9.9.9.0", "9.9.9.255", "9.9.10.7", "2a00:1::1", "192.0.2.1"];
    assert_eq!(files().dropped(&both, &SOURCES), dropped);
    let twice = drop_rule("twice", r#"list = ["more.txt", "./more.txt", "blocked.txt"]"#);
    assert_eq!(files().dropped(&twice, &SOURCES), dropped);
}

#[test]
fn a_list_of_private_space_counts_only_where_local_sources_are_for_the_rules() {
    let rule = format!("[policy]\nlocal = \"rules\"\n{}", drop_rule("one", r#"list = ["blocked.txt"]"#));
    assert_eq!(
        files().dropped(&rule, &SOURCES),
        ["9.9.9.0", "9.9.9.255", "2a00:1::1", "10.1.2.3", "192.0.2.1"]
    );
}

#[test]
fn a_list_is_one_key_among_others() {
    for (source, dropped) in [
        (r#"list = ["blocked.txt"], country = ["CH"]"#, &["9.9.9.0", "2a00:1::1"][..]),
        (r#"list = ["blocked.txt"], not_country = ["CH"]"#, &["9.9.9.255", "192.0.2.1"]),
        (r#"list = ["blocked.txt"], cidr = ["9.9.0.0/16"]"#, &["9.9.9.0", "9.9.9.255"]),
        (r#"list = ["blocked.txt"], not_cidr = ["9.9.9.0/25"]"#, &["9.9.9.255", "2a00:1::1", "192.0.2.1"]),
        (r#"list = ["more.txt"], cidr = ["192.0.2.0/24"]"#, &[]),
        (r#"any = true, list = ["more.txt"]"#, &["9.9.9.255", "9.9.10.7"]),
    ] {
        let text = format!("[geoip]\ncountry = \"country.csv\"\n{}", drop_rule("one", source));
        assert_eq!(files().dropped(&text, &SOURCES), dropped, "{source}");
    }
}

#[test]
fn lists_of_several_rules_are_each_rule_s_own_and_a_file_of_several_is_read_once() {
    let text = [
        drop_rule("first", r#"list = ["more.txt"]"#),
        drop_rule("second", r#"list = ["blocked.txt", "more.txt"]"#),
        "[[rule]]\nname = \"third\"\nsource = { list = [\"blocked.txt\"], cidr = [\"0.0.0.0/0\"] }\naction = \"pass\"\n"
            .to_owned(),
    ]
    .concat();
    let judged = files().judged(&text, &SOURCES);
    let rules: Vec<Option<&str>> = judged.iter().map(|judged| judged.rule.as_deref()).collect();
    let (first, second) = (Some("first"), Some("second"));
    assert_eq!(rules, [None, second, first, first, second, None, None, None, second]);
    let files = files();
    let (_, databases) = files.read(&text).expect("valid");
    assert_eq!(databases.lists.len(), 2);
}

#[test]
fn an_empty_list_matches_nothing_and_is_named_as_such() {
    let files = files();
    let text = drop_rule("one", r#"list = ["empty.txt"]"#) + &drop_rule("two", r#"list = ["more.txt"]"#);
    assert_eq!(files.dropped(&text, &SOURCES), ["9.9.9.255", "9.9.10.7"]);
    let (_, databases) = files.read(&text).expect("valid");
    let warnings: Vec<String> = databases.empty_lists().collect();
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].ends_with("empty.txt has no network in it, and matches nothing"), "{warnings:?}");
}

#[test]
fn a_missing_list_and_a_bad_line_are_configuration_errors_that_name_the_file() {
    let files = Files::new(&[("bad.txt", "1.2.3.0/24\n1.2.3.4/24\n")]);
    for (name, words) in [
        ("none.txt", "none.txt, which rule \"one\" lists: No such file"),
        (
            "bad.txt",
            "bad.txt:2: network \"1.2.3.4/24\" has bits set after its prefix length; the network is 1.2.3.0/24",
        ),
    ] {
        let refused = files.read(&drop_rule("one", &format!("list = [{name:?}]"))).expect_err(name);
        assert!(matches!(&refused, crate::Failure::Config(message) if message.contains(words)), "{refused}");
    }
}

#[test]
fn an_explanation_names_the_files_that_an_address_is_not_in() {
    let text = drop_rule("one", r#"list = ["blocked.txt", "more.txt"]"#);
    let explained = files().explain(&text, "9.9.9.1");
    assert_eq!((&*explained.verdict, &*explained.prefix), (Verdict::Drop.as_str(), "9.9.9.0/24"));
    let reason = files().explain(&text, "9.9.11.1").rules.remove(0).reason;
    assert!(reason.starts_with("in none of the rule's files (list): /"), "{reason}");
    assert!(reason.contains("/blocked.txt, /") && reason.ends_with("/more.txt"), "{reason}");
}

#[test]
fn lists_are_read_again_as_they_were() {
    let files = files();
    let (config, databases) = files.read(&drop_rule("one", r#"list = ["more.txt"]"#)).expect("valid");
    let originals = Originals::open(&config).expect("files of ours");
    let (first, again) = (originals.read().expect("valid"), originals.read().expect("valid"));
    assert_eq!((&first.lists, &again.lists), (&databases.lists, &databases.lists));
}

/// Numbers all over 64 bits, the same each time.
fn numbers() -> impl Iterator<Item = u64> {
    (1u64..).map(|n| {
        let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        mixed ^ (mixed >> 32)
    })
}

#[test]
fn a_million_networks_of_both_families_are_a_list_like_any_other() {
    const LINES: usize = 1_000_000;
    let (mut text, mut samples) = (String::new(), Vec::new());
    for (line, number) in numbers().take(LINES).enumerate() {
        let (high, low) = ((number >> 32) as u32, number % 1024);
        let address = if number % 2 == 0 {
            let length = 24 + low / 2 % 9;
            let first = Ipv4Addr::from(high & (u32::MAX << (32 - length)));
            let _ = writeln!(text, "{first}/{length}");
            first.to_string()
        } else {
            let length = 48 + low / 2 % 17;
            let first = 1 << 125 | u128::from(number) << 61;
            let first = Ipv6Addr::from(first & (u128::MAX << (128 - length)));
            let _ = writeln!(text, "{first}/{length}");
            first.to_string()
        };
        if line % 1000 == 0 {
            samples.push(address);
        }
    }
    let files = Files::new(&[("million.txt", &text)]);
    let policy = format!("[policy]\nlocal = \"rules\"\n{}", drop_rule("one", r#"list = ["million.txt"]"#));
    let (_, databases) = files.read(&policy).expect("valid");
    let networks = databases.lists.values().next().expect("one list").networks;
    assert_eq!(networks.v4 + networks.v6, LINES as u64);
    let samples: Vec<&str> = samples.iter().map(String::as_str).collect();
    assert_eq!(files.dropped(&policy, &samples), samples);
    // The list has less than a hundredth of IPv4.
    let others: Vec<String> = numbers()
        .skip(LINES)
        .take(1000)
        .map(|number| Ipv4Addr::from((number >> 32) as u32).to_string())
        .collect();
    let others: Vec<&str> = others.iter().map(String::as_str).collect();
    assert!(files.dropped(&policy, &others).len() < 100);
}
