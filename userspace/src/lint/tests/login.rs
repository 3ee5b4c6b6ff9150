//! Whoever is logged in and would not get in again.

use super::*;
use crate::lint::LockedOut;

fn told(text: &str, address: &str) -> Vec<String> {
    let login = Login { address: address.parse().expect("an address"), port: 22 };
    let found = warned_at(text, &Surroundings { login: Some(login), ..HERE });
    found.into_iter().filter(|warning| warning.contains("logged in")).collect()
}

const DEFAULT_DROP: &str = "[policy]\ndefault = \"drop\"\n";

fn by_rule(name: &str, does: &str, from: &str, session: &str) -> String {
    format!(
        "rule {name:?} {does} 1.0.1.7, from which you are logged in{from}: this session would {session}, the next login to port \
         22 would not get through; put a rule above it with source = {{ cidr = [\"1.0.1.7\"] }} and action = \"pass\""
    )
}

#[test]
fn an_allow_only_policy_without_one_s_own_address_is_warned_of() {
    let expected = |address: &str| {
        format!(
            "policy.default is \"drop\" and no rule passes {address}, from which you are logged in: this session would go on, \
             the next login to port 22 would not get through; add a rule with source = {{ cidr = [\"{address}\"] }} and action \
             = \"pass\""
        )
    };
    let text = DEFAULT_DROP.to_owned() + &rule("de", r#"country = ["DE"]"#, "pass", "");
    for address in ["1.0.1.7", "203.0.113.7", "240e::7"] {
        assert_eq!(told(&text, address), [expected(address)]);
    }
    assert_eq!(told(&text, "5.1.64.7"), [""; 0]);
    // Neither counts: one is about the web, the other lets nobody in.
    for keys in ["service = [\"tcp/443\"]", "observe = true", "until = 2026-07-01T00:00:00Z"] {
        let text = DEFAULT_DROP.to_owned() + &rule("cn", CN, "pass", keys);
        assert_eq!(told(&text, "1.0.1.7"), [expected("1.0.1.7")], "{keys}");
    }
    // Not yet.
    let text = DEFAULT_DROP.to_owned() + &rule("cn", CN, "pass", "from = 2026-08-01T00:00:00Z");
    assert_eq!(told(&text, "1.0.1.7"), [expected("1.0.1.7")]);
    for (action, keys) in [
        ("pass", "service = [\"tcp/1-1023\",\"udp\"]"),
        ("tag", "mark = 1"),
        ("limit", "rate = 9, per = \"source\""),
    ] {
        let text = DEFAULT_DROP.to_owned() + &rule("cn", CN, action, keys);
        assert_eq!(told(&text, "1.0.1.7"), [""; 0], "{action}");
    }
}

#[test]
fn a_rule_that_drops_one_s_own_address_is_warned_of() {
    for (action, does) in [("drop", "drops"), ("reject", "rejects")] {
        assert_eq!(told(&rule("cn", CN, action, ""), "1.0.1.7"), [by_rule("cn", does, "", "go on")]);
        let keys = "service = [\"tcp/22\"], established = \"drop\"";
        assert_eq!(told(&rule("cn", CN, action, keys), "1.0.1.7"), [by_rule("cn", does, "", "end")]);
    }
    let pass = rule("me", r#"cidr = ["1.0.1.7"]"#, "pass", "");
    assert_eq!(told(&(pass.clone() + &rule("cn", CN, "drop", "")), "1.0.1.7"), [""; 0]);
    assert_eq!(told(&(pass + &rule("cn", CN, "drop", "")), "1.0.1.8").len(), 1);
    for keys in ["service = [\"tcp/443\"]", "service = [\"udp/22\"]", "observe = true"] {
        assert_eq!(told(&rule("cn", CN, "drop", keys), "1.0.1.7"), [""; 0], "{keys}");
    }
    assert_eq!(told(&rule("cn", CN, "drop", ""), "5.1.64.7"), [""; 0]);
}

#[test]
fn a_rule_that_will_drop_one_s_own_address_is_warned_of_with_the_time() {
    let august = "from = 2026-08-01T00:00:00Z, ramp = \"1d\"";
    let later = by_rule("cn", "drops", " from 2026-08-02T00:00:00Z on at the latest", "go on");
    assert_eq!(told(&rule("cn", CN, "drop", august), "1.0.1.7"), std::slice::from_ref(&later));
    // What decides until then is looked at, too.
    let both = rule("cn", CN, "drop", august) + &rule("all", ANY, "reject", "");
    assert_eq!(told(&both, "1.0.1.7"), [by_rule("all", "rejects", "", "go on"), later.clone()]);
    let pass = |keys: &str| rule("me", CN, "pass", keys) + &rule("cn", CN, "drop", august);
    assert_eq!(told(&pass("from = 2026-08-01T00:00:00Z"), "1.0.1.7"), [""; 0]);
    assert_eq!(told(&pass("from = 2026-09-01T00:00:00Z"), "1.0.1.7"), [later]);
}

#[test]
fn a_pass_that_ends_is_warned_of_with_what_comes_after_it() {
    let pass = rule("me", CN, "pass", "until = 2026-08-01T00:00:00Z");
    let text = pass.clone() + &rule("cn", CN, "drop", "");
    let from = " from 2026-08-01T00:00:00Z on at the latest";
    assert_eq!(told(&text, "1.0.1.7"), [by_rule("cn", "drops", from, "go on")]);
    let [warning] = told(&(DEFAULT_DROP.to_owned() + &pass), "1.0.1.7").try_into().expect("one warning");
    assert!(
        warning.contains("logged in from 2026-08-01T00:00:00Z on: this session would go on"),
        "{warning}"
    );
}

#[test]
fn a_ramp_under_way_is_asked_whether_it_has_come_to_the_address() {
    // Begun a minute ago, for a long time; and nearly done.
    let young = rule("cn", CN, "drop", "from = 2026-07-08T23:59:00Z, ramp = \"1000d\"");
    let told_young = told(&young, "1.0.1.7");
    assert_eq!(told_young.len(), 1);
    assert!(told_young[0].contains(" on at the latest"), "{told_young:?}");
    let old = rule("cn", CN, "drop", "from = 2023-10-14T00:00:00Z, ramp = \"1000d\"");
    assert_eq!(told(&old, "1.0.1.7"), [by_rule("cn", "drops", "", "go on")]);
}

#[test]
fn whom_a_policy_locks_out_is_told_by_whether_it_is_now() {
    let (config, databases) = opened(
        &(rule("kp", r#"country = ["KP"]"#, "drop", "")
            + &rule("cn", CN, "reject", "established = \"drop\", from = 2026-08-01T00:00:00Z")),
    );
    let login = |address: &str| Login { address: address.parse().expect("an address"), port: 2222 };
    let logins = [login("1.0.1.7"), login("5.1.64.7"), login("175.45.176.1")];
    let found = LockedOut::by(&config, &databases, &logins, HERE.now);
    let expected = |rule: &str, does: &str, end: &str| {
        format!(
            "{rule} {does}: that session would {end}, the next login to port 2222 would not get through; put a rule above"
        )
    };
    assert!(
        found.now.len() == 1
            && found.now[0].starts_with(&expected(
                "rule \"kp\"",
                "drops 175.45.176.1, from which somebody seems to be logged in",
                "go on"
            )),
        "{found:?}"
    );
    assert!(
        found.later.len() == 1
            && found.later[0].starts_with(&expected(
                "rule \"cn\"",
                "rejects 1.0.1.7, from which somebody seems to be logged in from 2026-08-01T00:00:00Z on at the latest",
                "end"
            )),
        "{found:?}"
    );
    assert_eq!(LockedOut::by(&config, &databases, &[], HERE.now), LockedOut::default());
}

#[test]
fn a_login_from_local_space_is_asked_about_only_where_rules_are() {
    let all = rule("all", ANY, "drop", "");
    assert_eq!(told(&(DEFAULT_DROP.to_owned() + &all), "192.168.1.7"), [""; 0]);
    assert_eq!(told(&format!("[policy]\nlocal = \"rules\"\n{all}"), "192.168.1.7").len(), 1);
}

#[test]
fn who_is_not_logged_in_from_elsewhere_is_told_nothing() {
    assert_eq!(warned(&(DEFAULT_DROP.to_owned() + &rule("cn", CN, "drop", ""))), [""; 0]);
}
