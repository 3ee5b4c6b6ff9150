//! Rules that others leave nothing to, and exceptions in the wrong place.

use super::*;

/// What a rule named `late` is told that has another above it, or others.
fn never(deciders: &str, s: &str) -> String {
    format!(
        "rule \"late\" never matches: {deciders} above it decide{s} about all that it is about; remove \"late\", or move it up"
    )
}

#[test]
fn a_rule_whose_addresses_are_all_decided_above_it_never_matches() {
    for (above, late) in [
        (CN, CN),
        (ANY, CN),
        (CN, r#"country = ["CN"], asn = [58593]"#),
        // By these databases, that network is in China only.
        (CN, "asn = [58593]"),
        (r#"continent = ["AS"]"#, r#"country = ["CN", "KP"]"#),
        (r#"cidr = ["1.0.0.0/8"]"#, r#"cidr = ["1.2.3.0/24", "1.3.0.0/16"]"#),
        (r#"not_country = ["CN"]"#, r#"country = ["KP", "unknown"]"#),
    ] {
        for action in ["drop", "reject"] {
            let text = rule("early", above, "drop", "") + &rule("late", late, action, "");
            assert_eq!(warned(&text), [never("rule \"early\"", "s")], "{above} {late}");
        }
    }
}

#[test]
fn a_rule_that_an_address_is_left_to_is_not_warned_of() {
    for (above, late) in [
        (CN, ANY),
        (CN, r#"country = ["CN", "KP"]"#),
        (r#"country = ["CN"], not_asn = [58593]"#, CN),
        (CN, "asn = [15169]"),
        (r#"cidr = ["1.2.3.0/25"]"#, r#"cidr = ["1.2.3.0/24"]"#),
        (r#"not_country = ["CN", "KP"]"#, r#"country = ["CN", "unknown"]"#),
    ] {
        let text = rule("early", above, "drop", "") + &rule("late", late, "pass", "");
        assert_eq!(warned(&text), [""; 0], "{above} {late}");
    }
}

#[test]
fn several_rules_can_leave_nothing_together() {
    let early = |name: &str, source: &str, action: &str| rule(name, source, action, "");
    let late = rule("late", r#"country = ["CN", "KP"]"#, "drop", "");
    let two = early("a", CN, "drop") + &early("b", r#"country = ["KP"]"#, "pass");
    assert_eq!(warned(&format!("{two}{late}")), [never("rules \"a\" and \"b\"", "")]);

    let four = early("a", "asn = [58593]", "drop")
        + &early("b", r#"cidr = ["1.0.0.0/16"]"#, "pass")
        + &early("c", CN, "drop")
        + &early("d", r#"country = ["KP"]"#, "pass");
    assert_eq!(warned(&format!("{four}{late}")), [never("rules \"a\", \"b\", \"c\" and 1 more", "")]);
}

#[test]
fn a_rule_that_only_observes_leaves_everything_and_can_be_left_nothing() {
    let observing = |name: &str| rule(name, CN, "drop", "observe = true");
    let late = rule("late", CN, "drop", "");
    assert_eq!(warned(&(observing("early") + &late)), [""; 0]);
    assert_eq!(
        warned(&(rule("early", ANY, "pass", "") + &observing("late"))),
        [
            "rule \"late\" counts nothing: rule \"early\" above it decides about all that it is about; remove \"late\", or move \
             it up"
        ]
    );
}

#[test]
fn services_are_compared_by_what_they_stand_for() {
    for (above, late, covered) in [
        (vec!["\"tcp\""], "\"tcp/443\"", true),
        (vec!["6"], "\"tcp/443\"", true),
        (vec!["\"tcp/400-500\""], "\"tcp/443\"", true),
        (vec!["\"tcp/1-400\"", "\"tcp/401-65535\""], "\"tcp/390-410\"", true),
        (vec!["\"tcp/401-65535\"", "\"tcp/1-400\""], "\"tcp/390-410\"", true),
        (vec!["\"tcp/402-65535\"", "\"tcp/1-400\""], "\"tcp/390-410\"", false),
        (vec!["\"tcp/395-405\"", "\"tcp/406-410\"", "\"tcp/390-394\""], "\"tcp/390-410\"", true),
        (vec!["\"udp\"", "\"tcp\""], "\"tcp/443\", \"udp/443\"", true),
        (vec!["1", "58"], "\"icmp\"", true),
        (vec!["\"icmp\""], "58", true),
        (vec!["\"tcp/1-400\"", "\"tcp/402-65535\""], "\"tcp/390-410\"", false),
        (vec!["\"tcp/443\""], "\"tcp\"", false),
        (vec!["\"tcp/443\""], "\"tcp/443\", \"udp/443\"", false),
        (vec!["\"udp/443\""], "\"tcp/443\"", false),
        (vec!["1"], "\"icmp\"", false),
        // Port 0 is one of all.
        (vec!["\"tcp/1-65535\""], "\"tcp\"", false),
    ] {
        let text: String = above
            .iter()
            .enumerate()
            .map(|(number, service)| {
                rule(&format!("early{number}"), CN, "drop", &format!("service = [{service}]"))
            })
            .collect();
        let keys = format!("service = [{}]", late.replace(", ", ","));
        let found = warned(&(text + &rule("late", CN, "drop", &keys)));
        let told = found.iter().any(|warning| warning.starts_with("rule \"late\" never matches: rule"));
        assert_eq!(told, covered, "{above:?} {late} {found:?}");
    }
    let text = rule("early", CN, "drop", "service = [\"tcp\"]") + &rule("late", CN, "drop", "");
    assert_eq!(warned(&text), [""; 0]);
    let text = rule("early", CN, "drop", "") + &rule("late", CN, "drop", "service = [\"tcp/80\"]");
    assert_eq!(warned(&text), [never("rule \"early\"", "s")]);
}

#[test]
fn a_rule_that_passes_a_service_leaves_packets_that_do_not_tell_to_one_that_drops() {
    let early = rule("early", CN, "pass", "service = [\"tcp/443\"]");
    assert_eq!(warned(&(early.clone() + &rule("late", CN, "drop", "service = [\"tcp/443\"]"))), [""; 0]);
    let late = rule("late", CN, "pass", "service = [\"tcp/443\"]");
    assert_eq!(warned(&(early + &late)), [never("rule \"early\"", "s")]);
}

#[test]
fn what_is_covered_for_a_while_only_is_not_warned_of() {
    for early in ["until = 2026-08-01T00:00:00Z", "from = 2026-08-01T00:00:00Z"] {
        let text = rule("early", CN, "drop", early) + &rule("late", CN, "reject", "");
        assert_eq!(warned(&text), [""; 0], "{early}");
    }
    let text = rule("early", CN, "drop", "until = 2026-08-01T00:00:00Z")
        + &rule("late", CN, "drop", "until = 2026-08-01T00:00:00Z");
    assert_eq!(warned(&text), [never("rule \"early\"", "s")]);
}

#[test]
fn an_exception_after_what_it_excepts_is_told_to_move_up() {
    for (action, keys, does) in
        [("drop", "", "drops"), ("reject", "", "rejects"), ("limit", "rate = 1, per = \"rule\"", "limits")]
    {
        let text = rule("cn", CN, action, keys)
            + &rule("partner", r#"country = ["CN"], asn = [58593]"#, "pass", "service = [\"tcp/443\"]");
        let expected = format!(
            "rule \"partner\" passes nothing: rule \"cn\" above it {does} all that it would pass; move it up, above \"cn\""
        );
        assert_eq!(warned(&text), [expected]);
    }
    let text = rule("cn", CN, "drop", "")
        + &rule("kp", r#"country = ["KP"]"#, "drop", "")
        + &rule("partners", r#"country = ["KP", "CN"]"#, "pass", "");
    assert_eq!(
        warned(&text),
        [
            "rule \"partners\" passes nothing: rules \"cn\" and \"kp\" above it cut all that it would pass; move it up, above \
             \"cn\""
        ]
    );
    // One that another exception leaves nothing to is no exception in the wrong place.
    let text = rule("office", CN, "pass", "") + &rule("late", CN, "pass", "");
    assert_eq!(warned(&text), [never("rule \"office\"", "s")]);
}

#[test]
fn an_exception_that_a_larger_rule_above_takes_a_part_of_is_told_how_much() {
    let told = |much: &str| {
        format!(
            "rule \"partner\" passes only part of what it is about: rule \"above\" above it drops {much}; move it up, above \
             \"above\", unless that is meant"
        )
    };
    let de = r#"country = ["DE"]"#;
    let partner = |source: &str| rule("partner", source, "pass", "");
    for (above, exception, much) in [
        (de, "asn = [15169]", "256 of its 384 IPv4 addresses, such as 5.1.64.0/24"),
        (CN, r#"cidr = ["1.0.0.0/23", "5.1.64.0/32"]"#, "256 of its 513 IPv4 addresses, such as 1.0.1.0/24"),
        (
            CN,
            r#"cidr = ["1.0.3.255/32", "1.0.4.0/32", "240e:1::/33", "2a02:1200::/64"]"#,
            "1 of its 2 IPv4 addresses, such as 1.0.3.255/32 and 2147483648 of its 2147483649 IPv6 networks of /64, such as \
             240e:1::/33",
        ),
        (
            r#"cidr = ["240e::/16"], not_cidr = ["240e:1::1"]"#,
            r#"cidr = ["240e:1::/126"]"#,
            "3 of its 4 IPv6 addresses, such as 240e:1::2/127",
        ),
    ] {
        let found = warned(&(rule("above", above, "drop", "") + &partner(exception)));
        assert_eq!(found, [told(much)], "{above} {exception}");
        // In its place, and where what is above it passes as well, it is none.
        assert_eq!(warned(&(partner(exception) + &rule("above", above, "drop", ""))), [""; 0]);
        assert_eq!(warned(&(rule("above", above, "pass", "") + &partner(exception))), [""; 0]);
        assert_eq!(warned(&(rule("above", above, "drop", "observe = true") + &partner(exception))), [""; 0]);
    }
    // What an exception above it passes already is not cut.
    let first = rule("first", r#"cidr = ["5.1.64.0/24"]"#, "pass", "");
    assert_eq!(warned(&(first + &rule("above", de, "drop", "") + &partner("asn = [15169]"))), [""; 0]);
    let two = rule("above", de, "drop", "") + &rule("cn", CN, "drop", "");
    assert_eq!(
        warned(&(two + &partner(r#"cidr = ["1.0.0.0/23", "5.1.64.0/32"]"#))),
        [
            "rule \"partner\" passes only part of what it is about: rules \"above\" and \"cn\" above it cut 257 of its 513 IPv4 \
             addresses, such as 1.0.1.0/24; move it up, above \"above\", unless that is meant"
        ]
    );
    let later = rule("above", de, "drop", "from = 2026-08-01T00:00:00Z") + &partner("asn = [15169]");
    let found = warned(&later);
    assert!(
        found.len() == 1 && found[0].contains(" is about from 2026-08-01T00:00:00Z on: rule"),
        "{found:?}"
    );
}

#[test]
fn what_is_banned_of_a_larger_rule_and_what_is_of_other_services_is_no_exception() {
    for (above, keys, below) in [
        // No address of both.
        (CN, "", "asn = [15169]"),
        (r#"country = ["KP"]"#, "", r#"cidr = ["1.0.0.0/16"]"#),
        // The smaller of both is the exception, and first.
        (r#"cidr = ["5.1.64.0/25", "9.9.9.9/32"]"#, "", "asn = [15169]"),
        ("asn = [15169]", "", r#"country = ["DE"]"#),
        // A policy in layers.
        (r#"not_country = ["DE"]"#, "", r#"country = ["DE", "KP"]"#),
        // Some services of it only.
        (r#"country = ["DE"]"#, "service = [\"tcp/22\"]", "asn = [15169]"),
    ] {
        let text = rule("above", above, "drop", keys) + &rule("below", below, "pass", "");
        assert_eq!(warned(&text), [""; 0], "{above} {below}");
    }
    let same = rule("above", r#"country = ["DE"]"#, "drop", "service = [\"tcp\"]")
        + &rule("below", "asn = [15169]", "pass", "service = [\"tcp/443\"]");
    assert_eq!(warned(&same).len(), 1);
}

#[test]
fn an_exception_that_will_be_too_late_is_told_from_when_on() {
    let partner = rule("partner", "asn = [58593]", "pass", "");
    let cn = |keys: &str| rule("cn", CN, "drop", keys);
    let expected = |at: &str| {
        [format!(
            "rule \"partner\" passes nothing from {at} on: rule \"cn\" above it drops all that it would pass; move it up, above \
             \"cn\""
        )]
    };
    let from = "from = 2026-08-01T00:00:00Z";
    assert_eq!(warned(&(cn(from) + &partner)), expected("2026-08-01T00:00:00Z"));
    let ramp = format!("{from}, ramp = \"14d\"");
    assert_eq!(warned(&(cn(&ramp) + &partner)), expected("2026-08-15T00:00:00Z"));
    // It will not be there any more, or the other will not.
    let brief = rule("partner", "asn = [58593]", "pass", "until = 2026-08-01T00:00:00Z");
    assert_eq!(warned(&(cn(from) + &brief)), [""; 0]);
    assert_eq!(warned(&(cn(&format!("{from}, until = 2026-09-01T00:00:00Z")) + &partner)), [""; 0]);
    // What passes then passes now.
    assert_eq!(warned(&(rule("all", ANY, "pass", from) + &partner)), [""; 0]);
}

#[test]
fn a_source_that_no_address_has_is_told_so() {
    let nothing = "rule \"r\" never matches: no address has all that its source asks for, by these databases; its keys are \
                   ANDed, so check them against each other with octroi explain";
    for source in [
        r#"country = ["DE"], asn = [58593]"#,
        r#"country = ["CN"], cidr = ["5.1.64.0/24"]"#,
        r#"country = ["CN"], not_country = ["CN"]"#,
        r#"cidr = ["192.0.2.0/25"], not_cidr = ["192.0.2.0/24"]"#,
        // No database speaks about special space.
        r#"country = ["CN"], cidr = ["10.0.0.0/8"]"#,
    ] {
        assert_eq!(warned(&rule("r", source, "drop", "")), [nothing], "{source}");
    }
}

#[test]
fn a_rule_about_local_sources_only_is_told_that_they_pass() {
    let lan = rule("lan", r#"cidr = ["10.0.0.0/8", "fe80::/10"]"#, "drop", "");
    assert_eq!(
        warned(&lan),
        [
            "rule \"lan\" never matches: its source is local only, and local sources pass before any rule is looked at; set \
             local = \"rules\" in [policy], or remove it"
        ]
    );
    assert_eq!(warned(&format!("[policy]\nlocal = \"rules\"\n{lan}")), [""; 0]);
    assert_eq!(warned(&rule("lan", r#"cidr = ["10.0.0.0/7"]"#, "drop", "")), [""; 0]);
}
