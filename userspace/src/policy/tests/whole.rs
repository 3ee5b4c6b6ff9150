//! From the text of a configuration, and a database written here, to what the host's engine does at an address.

use octroi_abi::{DSCP_KEEP, Verdict};

use super::{
    drop_rule,
    judge::{Files, Judged},
};

/// A country database with everything in it that published ones have and should not: multicast and space beyond
/// 2000::/3 in Switzerland, private space in Australia, documentation in Japan, a host of its own, pseudo-codes.
const COUNTRY: &str = "\
1.0.0.0,1.0.0.255,AU
1.0.1.0,1.0.1.76,CN
1.0.1.77,1.0.1.77,DE
1.0.1.78,1.0.3.255,CN
5.1.64.0,5.1.127.255,de
8.8.8.0,8.8.8.255,US
10.0.0.0,10.255.255.255,AU
31.0.0.0,31.0.0.255,EU
203.0.113.0,203.0.113.255,JP
224.0.0.0,239.255.255.255,CH
2001:db8::,2001:db8:ffff:ffff:ffff:ffff:ffff:ffff,JP
240e::,240e:ffff:ffff:ffff:ffff:ffff:ffff:ffff,CN
2a02:1200::,2a02:120f:ffff:ffff:ffff:ffff:ffff:ffff,CH
4000::,5fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff,CH
fc00::,fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff,AU
ff00::,ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff,CH
";

/// One network in China, one in the United States, and one that nobody should believe.
const ASN: &str = "\
1.0.2.0,1.0.2.255,58593,Azure China
8.8.8.0,8.8.8.255,15169,Google
10.0.0.0,10.255.255.255,15169,Google
240e:1::,240e:1:ffff:ffff:ffff:ffff:ffff:ffff,58593,Azure China
";

/// Judges one packet of each source by a policy over the databases above.
fn judged(text: &str, sources: &[&str]) -> Vec<Judged> {
    files().judged(&over_databases(text), sources)
}

/// Which of the sources a policy over the databases above drops.
fn dropped<'a>(text: &str, sources: &[&'a str]) -> Vec<&'a str> {
    files().dropped(&over_databases(text), sources)
}

fn files() -> Files {
    Files::new(&[("country.csv", COUNTRY), ("asn.csv", ASN)])
}

fn over_databases(text: &str) -> String {
    format!("[geoip]\ncountry = \"country.csv\"\nasn = \"asn.csv\"\n{text}")
}

const SWISS: [&str; 8] =
    ["2a02:1200::1", "ff02::1", "ff0e::1", "4000::1", "5fff::1", "224.0.0.251", "239.255.255.255", "3000::1"];

#[test]
fn a_rule_against_a_country_does_not_drop_multicast_or_space_that_nobody_was_given() {
    let rule = drop_rule("swiss", r#"country = ["CH"]"#);
    for local in ["pass", "rules"] {
        assert_eq!(
            dropped(&format!("[policy]\nlocal = {local:?}\n{rule}"), &SWISS),
            ["2a02:1200::1"],
            "{local}"
        );
    }
    let locations: Vec<String> = judged(&rule, &SWISS).into_iter().map(|judged| judged.location).collect();
    assert_eq!(
        locations,
        ["CH", "local", "local", "unknown", "unknown", "local", "local", "unknown"],
        "{SWISS:?}"
    );
}

#[test]
fn a_database_that_places_private_space_is_not_believed() {
    let sources = ["1.0.0.1", "10.0.0.1", "10.255.255.255", "fd00::1", "203.0.113.1", "2001:db8::1"];
    for rule in [r#"country = ["AU", "JP"]"#, r#"continent = ["OC", "AS"]"#] {
        let rule = drop_rule("one", rule);
        for local in ["pass", "rules"] {
            assert_eq!(
                dropped(&format!("[policy]\nlocal = {local:?}\n{rule}"), &sources),
                ["1.0.0.1"],
                "{rule}"
            );
        }
    }
    let google = format!("[policy]\nlocal = \"rules\"\n{}", drop_rule("google", "asn = [15169]"));
    assert_eq!(dropped(&google, &["8.8.8.8", "10.0.0.1"]), ["8.8.8.8"]);
}

#[test]
fn documentation_and_reserved_space_is_unknown_and_local_space_is_not() {
    let sources = [
        "203.0.113.1",
        "2001:db8::1",
        "4000::1",
        "31.0.0.1",
        "250.0.0.1",
        "2002:100::1",
        "9.0.0.1",
        "2a00::1",
    ];
    let rule = drop_rule("unknown", r#"country = ["unknown"]"#);
    assert_eq!(dropped(&rule, &sources), sources);
    let policy = format!("[policy]\nlocal = \"rules\"\n{rule}");
    assert!(dropped(&policy, &["10.0.0.1", "::1", "fe80::1", "ff02::1", "1.0.0.1", "240e::1"]).is_empty());
}

#[test]
fn an_allow_only_list_drops_unknown_sources_and_leaves_local_ones_alone() {
    let sources = [
        "1.0.0.1",
        "1.0.1.1",
        "5.1.64.1",
        "8.8.8.8",
        "31.0.0.1",
        "9.9.9.9",
        "203.0.113.1",
        "10.0.0.1",
        "127.0.0.1",
        "240e::1",
        "2a02:1200::1",
        "4000::1",
        "2a00::1",
        "fe80::1",
        "ff02::1",
    ];
    let outside =
        ["1.0.0.1", "1.0.1.1", "31.0.0.1", "9.9.9.9", "203.0.113.1", "240e::1", "4000::1", "2a00::1"];
    let rule = drop_rule("others", r#"not_country = ["US", "DE", "CH"]"#);
    for local in ["pass", "rules"] {
        assert_eq!(dropped(&format!("[policy]\nlocal = {local:?}\n{rule}"), &sources), outside, "{local}");
    }
    let known = drop_rule("others", r#"not_country = ["US", "DE", "CH", "unknown"]"#);
    assert_eq!(dropped(&known, &sources), ["1.0.0.1", "1.0.1.1", "240e::1"]);
}

#[test]
fn prefixes_of_private_space_count_only_where_local_sources_are_for_the_rules() {
    let sources =
        ["10.1.0.0", "10.1.255.255", "10.0.255.255", "10.2.0.0", "fd00:1::1", "fd00:2::1", "169.254.1.1"];
    let rule = drop_rule("lab", r#"cidr = ["10.1.0.0/16", "fd00:1::/32"]"#);
    assert!(dropped(&rule, &sources).is_empty());
    let policy = format!("[policy]\nlocal = \"rules\"\n{rule}");
    assert_eq!(dropped(&policy, &sources), ["10.1.0.0", "10.1.255.255", "fd00:1::1"]);
    let others = format!(
        "[policy]\nlocal = \"rules\"\n{}",
        drop_rule("not", r#"not_cidr = ["10.0.0.0/8", "fd00::/8"]"#)
    );
    assert_eq!(dropped(&others, &sources), ["169.254.1.1"]);
    let default = "[policy]\nlocal = \"rules\"\ndefault = \"drop\"\n";
    assert_eq!(dropped(default, &sources), sources);
}

#[test]
fn a_prefix_ends_where_it_ends_whatever_lies_around_it() {
    let rule =
        drop_rule("nets", r#"cidr = ["1.0.1.128/25", "1.0.0.200/30", "240e:0:0:1:8000::/65", "5.1.64.9"]"#);
    let sources = [
        "1.0.0.199",
        "1.0.0.200",
        "1.0.0.203",
        "1.0.0.204",
        "1.0.1.127",
        "1.0.1.128",
        "1.0.1.255",
        "1.0.2.0",
        "5.1.64.8",
        "5.1.64.9",
        "5.1.64.10",
        "240e:0:0:1:7fff:ffff:ffff:ffff",
        "240e:0:0:1:8000::",
        "240e:0:0:1:ffff:ffff:ffff:ffff",
        "240e:0:0:2::",
    ];
    let inside = [
        "1.0.0.200",
        "1.0.0.203",
        "1.0.1.128",
        "1.0.1.255",
        "5.1.64.9",
        "240e:0:0:1:8000::",
        "240e:0:0:1:ffff:ffff:ffff:ffff",
    ];
    assert_eq!(dropped(&rule, &sources), inside);
}

#[test]
fn a_partner_inside_a_country_is_passed_before_it_is_dropped() {
    let text = format!(
        "[[rule]]\nname = \"partner\"\nsource = {{ country = [\"CN\"], asn = [58593] }}\naction = \"pass\"\n{}",
        drop_rule("china", r#"country = ["CN"]"#)
    );
    let sources =
        ["1.0.1.1", "1.0.1.77", "1.0.2.0", "1.0.2.255", "1.0.3.0", "240e::1", "240e:1::1", "8.8.8.8"];
    assert_eq!(dropped(&text, &sources), ["1.0.1.1", "1.0.3.0", "240e::1"]);
    let rules: Vec<Option<String>> = judged(&text, &sources).into_iter().map(|judged| judged.rule).collect();
    let by = |name: &str| Some(name.to_owned());
    let (china, partner) = (by("china"), by("partner"));
    let expected =
        [china.clone(), None, partner.clone(), partner.clone(), china.clone(), china, partner, None];
    assert_eq!(rules, expected);
    let others = drop_rule("others", r#"country = ["CN"], not_asn = [58593]"#);
    assert_eq!(dropped(&others, &sources), ["1.0.1.1", "1.0.3.0", "240e::1"]);
}

#[test]
fn tags_and_observing_rules_reach_the_class() {
    let text = format!(
        "{}observe = true\n[[rule]]\nname = \"care\"\nsource = {{ continent = [\"EU\"] }}\naction = \"tag\"\nmark = 0x2a\ndscp = 8\n",
        drop_rule("see", r#"country = ["DE", "CN"]"#)
    );
    let found = judged(&text, &["5.1.64.1", "1.0.1.1", "8.8.8.8"]);
    let expected = |verdict, mark, dscp, location: &str, rule: Option<&str>, observed: &[&str]| Judged {
        verdict,
        mark,
        dscp,
        location: location.to_owned(),
        rule: rule.map(str::to_owned),
        observed: observed.iter().map(|&name| name.to_owned()).collect(),
    };
    assert_eq!(
        found,
        [
            expected(Verdict::Tag, 0x2a, 8, "DE", Some("care"), &["see"]),
            expected(Verdict::Pass, 0, DSCP_KEEP, "CN", None, &["see"]),
            expected(Verdict::Pass, 0, DSCP_KEEP, "US", None, &[]),
        ]
    );
}

#[test]
fn an_ipv4_address_written_as_ipv6_is_no_way_in() {
    // On the wire it is IPv6, outside 2000::/3: no rule about the IPv4 address concerns it.
    let rule = "[policy]\ndefault = \"drop\"\n[[rule]]\nname = \"us\"\nsource = { country = [\"US\"] }\naction = \"pass\"\n";
    assert_eq!(
        dropped(rule, &["8.8.8.8", "::ffff:8.8.8.8", "::8.8.8.8", "2002:808:808::"]),
        ["::ffff:8.8.8.8", "::8.8.8.8", "2002:808:808::"]
    );
}
