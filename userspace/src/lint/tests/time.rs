//! Rules that are over.

use super::{super::time::Window, *};
use crate::config::Rule;

#[test]
fn a_rule_is_over_from_its_until_on_and_not_before() {
    for (until, over) in [
        ("2020-01-31T00:00:00Z", true),
        ("2026-07-09T00:00:00Z", true),
        ("2026-07-09T00:00:00.000000001Z", false),
        ("2027-01-31T00:00:00Z", false),
    ] {
        let found = warned(&rule("old", CN, "drop", &format!("until = {until}")));
        let expected = format!(
            "rule \"old\" is over: its until, {until}, is past, so it does nothing; remove it, or give it a later until"
        );
        assert_eq!(found, if over { vec![expected] } else { Vec::new() }, "{until}");
    }
}

#[test]
fn of_a_rule_that_is_over_nothing_else_is_said() {
    let first = rule("cn", CN, "drop", "");
    let over = rule("old", CN, "pass", "until = 2026-01-01T00:00:00Z");
    assert_eq!(warned(&format!("{first}{over}")).len(), 1);
    // Nor does it leave nothing to another.
    assert_eq!(warned(&format!("{over}{first}")).len(), 1);
}

fn window(keys: &str) -> Window {
    let rules: Vec<Rule> = opened(&rule("r", CN, "drop", keys)).0.rules;
    Window::of(&rules[0], HERE.now)
}

#[test]
fn a_window_covers_what_is_never_outside_of_it() {
    let past = "from = 2026-01-01T00:00:00Z";
    let august = "from = 2026-08-01T00:00:00Z";
    let to_september = "until = 2026-09-01T00:00:00Z";
    let to_october = "until = 2026-10-01T00:00:00Z";
    for (one, other, covers) in [
        ("", "", true),
        ("", past, true),
        // What was before now does not matter.
        (past, "", true),
        ("", august, true),
        (august, "", false),
        (august, august, true),
        ("", to_september, true),
        (to_september, "", false),
        (to_october, to_september, true),
        (to_september, to_october, false),
        (august, &format!("{august}, ramp = \"7d\""), true),
        (&format!("{august}, ramp = \"7d\""), august, false),
        (&format!("{august}, ramp = \"7d\""), &format!("{august}, ramp = \"14d\""), true),
        (&format!("{august}, ramp = \"14d\""), &format!("{august}, ramp = \"7d\""), false),
        (&format!("{august}, ramp = \"7d\""), "from = 2026-08-08T00:00:00Z", true),
        // A rule that only observes does so from the start.
        (august, &format!("{august}, observe = true"), false),
        ("", &format!("{august}, observe = true"), true),
    ] {
        assert_eq!(window(one).covers(&window(other)), covers, "{one:?} {other:?}");
    }
}
