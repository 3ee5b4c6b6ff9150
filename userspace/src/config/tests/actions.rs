//! A rule's `action` and the keys that belong to one.

use super::*;

fn rule(keys: &str) -> String {
    format!("name = \"r\"\nsource.any = true\n{keys}")
}

fn limit(keys: &str) -> Limit {
    match action_of(&format!("action = \"limit\"\n{keys}")) {
        Action::Limit(limit) => limit,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_action_is_read_and_has_its_word() {
    for (keys, action) in [
        ("action = \"pass\"", Action::Pass),
        ("action = \"drop\"", Action::Drop),
        ("action = \"reject\"", Action::Reject),
        ("action = \"tag\"\nmark = 1", Action::Tag { mark: NonZeroU32::new(1), dscp: None }),
        (
            "action = \"limit\"\nrate = 100\nper = \"source\"",
            Action::Limit(Limit { rate: 100, burst: 100, per: Per::Source }),
        ),
    ] {
        assert_eq!(action_of(keys), action);
        assert!(keys.starts_with(&format!("action = {:?}", action.as_str())), "{action:?}");
    }
}

#[test]
fn tags_take_a_mark_a_dscp_or_both() {
    let mark = NonZeroU32::new;
    assert_eq!(
        action_of("action = \"tag\"\nmark = 0xffffffff"),
        Action::Tag { mark: mark(u32::MAX), dscp: None }
    );
    assert_eq!(action_of("action = \"tag\"\ndscp = 63"), Action::Tag { mark: None, dscp: Some(63) });
    assert_eq!(action_of("action = \"tag\"\ndscp = 0"), Action::Tag { mark: None, dscp: Some(0) });
    assert_eq!(
        action_of("action = \"tag\"\nmark = 1\ndscp = \"cs1\""),
        Action::Tag { mark: mark(1), dscp: Some(8) }
    );
}

#[test]
fn a_limit_has_a_rate_and_a_burst_of_as_much_unless_one_is_given() {
    assert_eq!(limit("rate = 1\nper = \"rule\""), Limit { rate: 1, burst: 1, per: Per::Rule });
    assert_eq!(
        limit("rate = 10_000_000\nburst = 1\nper = \"source\""),
        Limit { rate: 10_000_000, burst: 1, per: Per::Source }
    );
    assert_eq!(
        limit("rate = 50\nburst = 4294967295\nper = \"rule\""),
        Limit { rate: 50, burst: u32::MAX, per: Per::Rule }
    );
}

#[test]
fn the_reference_names_the_highest_rate_that_a_bucket_takes() {
    let rate = reference().iter().find(|key| key.path == "rule.rate").expect("a key");
    let highest = octroi_gate::bucket::Limit::MAX_RATE;
    assert_eq!(rate.kind, format!("an integer from 1 to {highest}"));
}

#[test]
fn a_limit_without_its_keys_is_told_which() {
    let rate = "action \"limit\" needs rate = 1 to 10000000, in packets a second";
    let per = "action \"limit\" needs per = \"source\" or \"rule\"";
    for (keys, expected) in
        [("", vec![rate, per]), ("rate = 5", vec![per]), ("per = \"rule\"\nburst = 5", vec![rate])]
    {
        assert_eq!(rule_messages(&rule(&format!("action = \"limit\"\n{keys}"))), expected, "{keys}");
    }
    // A key of the wrong type is there; a misspelt one too.
    assert_eq!(rule_messages(&rule("action = \"limit\"\nrate = \"5/s\"\nper = \"rule\"")).len(), 1);
    assert_eq!(
        rule_messages(&rule("action = \"limit\"\nrates = 5\nper = \"rule\"")),
        ["unknown key \"rates\" in [[rule]] \"r\"; did you mean \"rate\"?"]
    );
}

#[test]
fn values_of_a_limit_are_checked() {
    for (keys, message) in [
        (
            "rate = 0\nper = \"rule\"",
            "rate 0 lets nothing through; expected an integer from 1 to 10000000, in packets a second; to let nothing \
             through, write action = \"drop\"",
        ),
        (
            "rate = 10000001\nper = \"rule\"",
            "rate 10000001 is out of range; expected an integer from 1 to 10000000, in packets a second",
        ),
        (
            "rate = -1\nper = \"rule\"",
            "rate -1 is out of range; expected an integer from 1 to 10000000, in packets a second",
        ),
        (
            "rate = 1\nburst = 0\nper = \"rule\"",
            "burst 0 lets nothing through; expected an integer from 1 to 4294967295, in packets; to let nothing \
             through, write action = \"drop\"",
        ),
        (
            "rate = 1\nburst = 4294967296\nper = \"rule\"",
            "burst 4294967296 is out of range; expected an integer from 1 to 4294967295, in packets",
        ),
        (
            "rate = 1\nper = \"sources\"",
            "per \"sources\" is unknown; expected source or rule; did you mean \"source\"?",
        ),
        (
            "rate = \"5\"\nper = \"rule\"",
            "\"rate\" is the string \"5\"; expected an integer from 1 to 10000000; write 5 without quotes",
        ),
    ] {
        assert_eq!(rule_messages(&rule(&format!("action = \"limit\"\n{keys}"))), [message], "{keys}");
    }
}

#[test]
fn a_key_of_another_action_is_refused() {
    for action in ["pass", "drop", "reject"] {
        for (key, of) in
            [("mark = 1", "tag"), ("dscp = 99", "tag"), ("rate = 0", "limit"), ("burst = 1", "limit")]
        {
            let name = key.split(' ').next().expect("a word");
            let message = format!(
                "{name:?} is for action {of:?}, and this rule's is {action:?}; remove it, or write action = {of:?}"
            );
            assert_eq!(rule_messages(&rule(&format!("action = {action:?}\n{key}"))), [message]);
        }
    }
    assert_eq!(
        rule_messages(&rule("action = \"tag\"\nmark = 1\nper = \"rule\"")),
        [
            "\"per\" is for action \"limit\", and this rule's is \"tag\"; remove it, or write action = \"limit\""
        ]
    );
    assert_eq!(
        rule_messages(&rule("action = \"limit\"\nrate = 1\nper = \"rule\"\nmark = 1")),
        [
            "\"mark\" is for action \"tag\", and this rule's is \"limit\"; remove it, or write action = \"tag\""
        ]
    );
}

#[test]
fn tags_are_checked() {
    let dscp = "expected an integer from 0 to 63, or CS0 to CS7, AF11 to AF43, EF, VOICE-ADMIT, LE or BE";
    for (keys, message) in [
        (
            "action = \"tag\"",
            "action \"tag\" needs mark = 1 to 0xffffffff, dscp = 0 to 63, or both".to_owned(),
        ),
        (
            "action = \"tag\"\nmark = 0",
            "mark 0 tags nothing; expected an integer from 1 to 0xffffffff".to_owned(),
        ),
        (
            "action = \"tag\"\nmark = 0x1_0000_0000",
            "mark 4294967296 is out of range; expected an integer from 1 to 0xffffffff".to_owned(),
        ),
        ("action = \"tag\"\ndscp = 64", format!("dscp 64 is out of range; {dscp}")),
        ("action = \"tag\"\ndscp = \"AF44\"", format!("dscp \"AF44\" is no standard name; {dscp}")),
        (
            "action = \"Drop\"",
            "action \"Drop\" is unknown; expected pass, drop, reject, tag or limit; did you mean \"drop\"?"
                .to_owned(),
        ),
    ] {
        assert_eq!(rule_messages(&rule(keys)), [message], "{keys}");
    }
}

fn established(keys: &str) -> bool {
    accepted(&format!("[[rule]]\n{}", rule(keys))).rules[0].established
}

#[test]
fn connections_that_exist_are_let_through_unless_the_rule_cuts_them() {
    for action in
        ["action = \"drop\"", "action = \"reject\"", "action = \"limit\"\nrate = 1\nper = \"source\""]
    {
        assert!(established(action), "{action}");
        assert!(established(&format!("{action}\nestablished = \"pass\"")), "{action}");
        assert!(!established(&format!("{action}\nestablished = \"drop\"")), "{action}");
    }
    assert!(!established("action = \"pass\""));
    assert!(!established("action = \"tag\"\nmark = 1"));
}

#[test]
fn established_is_for_rules_that_cut() {
    for (action, more) in [("pass", ""), ("tag", "mark = 1\n")] {
        let message = format!(
            "\"established\" is for actions drop, reject and limit, and this rule's is {action:?}, which lets packets \
             go on whether or not their connection exists; remove it"
        );
        let keys = format!("action = {action:?}\n{more}established = \"pass\"");
        assert_eq!(rule_messages(&rule(&keys)), [message]);
    }
    for action in ["action = \"drop\"", "action = \"limit\""] {
        let messages = rule_messages(&rule(&format!("{action}\nestablished = \"reject\"")));
        let expected = "established \"reject\" is unknown; expected pass or drop";
        assert!(messages.iter().any(|message| message == expected), "{messages:?}");
    }
}
