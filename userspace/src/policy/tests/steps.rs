//! What chains of rules become: a class that says all, or steps; what is counted as what; and what does not fit.

use octroi_abi::{Class, DSCP_KEEP, Limit, MAX_SERVICES, MAX_STEPS, STEPS, Step, Verdict, asks};
use octroi_gate::{reject, service::Service};

use super::config;
use crate::{
    anonymizer::Anonymizers,
    config::Config,
    country::CountryCode,
    geoip::{Record, special::Special},
    policy::{
        decide::{Location, Subject, chain},
        sets::Memberships,
        steps::{Planner, TooManySteps},
    },
};

const SECOND: u64 = 1_000_000_000;
/// A rule that takes hold at second 100, ramps for 50 and is gone at 300.
const TIMED: &str = "from = 1970-01-01T00:01:40Z\nramp = \"50s\"\nuntil = 1970-01-01T00:05:00Z";

/// Rules about every source, each of a name, an action and more keys.
fn rules(rules: &[(&str, &str, &str)]) -> String {
    let rule = |(name, action, keys): &(&str, &str, &str)| {
        format!("[[rule]]\nname = {name:?}\nsource.any = true\naction = {action:?}\n{keys}\n")
    };
    rules.iter().map(rule).collect()
}

/// Plans the class of a source in that country; of a local one, where there is no such country.
fn plan(planner: &mut Planner<'_>, config: &Config, country: &str) -> Result<Class, TooManySteps> {
    let memberships = Memberships::new(config.rules.len());
    let country = Record { country: CountryCode::parse(country), ..Record::default() };
    let special = (country.country.is_none()).then_some(Special::Local);
    let asn = Record::default();
    let anonymous = Anonymizers::NONE;
    let subject =
        Subject { special, country: &country, asn: &asn, anonymous, membership: memberships.get(0) };
    let chain = chain(config, planner.windows(), &subject);
    planner.class(subject.location(), &chain)
}

/// A class in words: a line for each of its steps, or the one line that says all.
fn words(planner: &Planner<'_>, class: &Class) -> Vec<String> {
    let outcome = |number: u32| {
        let outcome = &planner.outcomes[number as usize - 1];
        let seen: Vec<_> = outcome
            .observed
            .iter()
            .map(|(rule, verdict)| format!("{rule} would {}", verdict.as_str()))
            .collect();
        let by = outcome.rule.as_deref().unwrap_or("nobody");
        match outcome.verdict {
            Some(verdict) if seen.is_empty() => format!("{} by {by}", verdict.as_str()),
            Some(verdict) => format!("{} by {by} where {}", verdict.as_str(), seen.join(", ")),
            None => seen.join(", "),
        }
    };
    if class.verdict != STEPS {
        let connected = class.verdict == Verdict::Drop as u8 && class.detail != 0;
        let connected = if connected { format!(", or {}", outcome(class.detail)) } else { String::new() };
        return vec![outcome(class.slot) + &connected];
    }
    let step = |(step, rule): (&Step, &Option<usize>)| {
        let mut text = rule.map_or("rest".to_owned(), |_| "rule".to_owned());
        for (name, number) in [
            ("decides", step.slot),
            ("sees", step.observed),
            ("connected", step.connected),
            ("otherwise", step.otherwise),
        ] {
            if number != 0 {
                text += &format!("; {name} {}", outcome(number));
            }
        }
        if step.services != 0 {
            text += &format!("; services {}+{}", step.service, step.services);
        }
        if step.from | step.until != 0 {
            text += &format!("; from {} by {} until {}", step.from / SECOND, step.ramp, step.until / SECOND);
        }
        if step.observes == 0 { text } else { text + "; only observes" }
    };
    let range = class.slot as usize..(class.slot + class.detail) as usize;
    planner.steps[range.clone()].iter().zip(&planner.rules[range]).map(step).collect()
}

/// What packets of a German source meet; `now`: when the policy is loaded.
fn planned_at(text: &str, now: Option<u64>) -> Vec<String> {
    let config = config(text);
    let mut planner = Planner::new(&config, now).unwrap_or_else(|error| panic!("{error}"));
    let class = plan(&mut planner, &config, "DE").unwrap_or_else(|error| panic!("{error}"));
    words(&planner, &class)
}

fn planned(text: &str) -> Vec<String> {
    planned_at(text, None)
}

#[test]
fn where_every_packet_meets_the_same_a_class_says_all() {
    for (list, expected) in [
        (&[][..], "pass by nobody"),
        (&[("a", "pass", "")], "pass by a"),
        (&[("a", "tag", "mark = 7")], "tag by a"),
        (&[("a", "drop", "")], "drop by a, or pass by a"),
        (&[("a", "drop", "established = \"drop\"")], "drop by a"),
        // What is below one that decides about all packets is never looked at.
        (&[("a", "pass", ""), ("b", "drop", ""), ("c", "drop", "service = [\"tcp\"]")], "pass by a"),
    ] {
        assert_eq!(planned(&rules(list)), [expected], "{list:?}");
    }
    assert_eq!(planned("[policy]\ndefault = \"drop\""), ["drop by nobody, or pass by nobody"]);
}

#[test]
fn rules_that_observe_every_packet_are_part_of_what_it_is_counted_as() {
    let seen = ("see", "drop", "observe = true");
    let seen_too = ("look", "reject", "observe = true");
    let text = rules(&[seen, seen_too, ("a", "drop", ""), ("b", "pass", "")]);
    let where_seen = "where see would drop, look would reject";
    assert_eq!(planned(&text), [format!("drop by a {where_seen}, or pass by a {where_seen}")]);
    assert_eq!(planned(&rules(&[seen])), ["pass by nobody where see would drop"]);
    // A rule that tags would have decided, too.
    let tags = ("tags", "tag", "mark = 1\nobserve = true");
    assert_eq!(planned(&rules(&[tags, ("a", "pass", "")])), ["pass by a where tags would tag"]);
}

#[test]
fn a_service_makes_a_step_and_what_is_left_is_the_last_one() {
    let https = "service = [\"tcp/443\", \"icmp\"]";
    assert_eq!(
        planned(&rules(&[
            ("a", "drop", https),
            ("b", "tag", "mark = 1\nservice = [\"udp\"]"),
            ("c", "drop", "")
        ])),
        [
            "rule; decides drop by a; connected pass by a; services 0+3",
            "rule; decides tag by b; services 3+1",
            "rule; decides drop by c; connected pass by c",
        ]
    );
    assert_eq!(
        planned(&rules(&[("a", "pass", https)])),
        ["rule; decides pass by a; services 0+3", "rest; decides pass by nobody"]
    );
    let text = format!("[policy]\ndefault = \"drop\"\n{}", rules(&[("a", "pass", https)]));
    assert_eq!(planned(&text)[1], "rest; decides drop by nobody; connected pass by nobody");
}

#[test]
fn what_rejects_or_limits_is_a_step_though_it_is_about_every_packet() {
    assert_eq!(
        planned(&rules(&[("a", "reject", "")])),
        ["rule; decides reject by a; connected pass by a; otherwise drop by a"]
    );
    assert_eq!(
        planned(&rules(&[("a", "limit", "rate = 5\nper = \"rule\"\nestablished = \"drop\"")])),
        ["rule; decides limit by a; otherwise pass by a"]
    );
}

#[test]
fn what_observes_some_packets_is_a_step_that_counts_them_and_decides_nothing() {
    let above = ("see", "drop", "observe = true");
    for (action, keys, verdict, more) in [
        ("drop", "service = [\"tcp\"]", "drop", "; services 0+1"),
        ("pass", "service = [\"tcp\"]", "pass", "; services 0+1"),
        ("reject", "until = 1970-01-01T00:05:00Z", "reject", "; from 0 by 0 until 300"),
        ("limit", "rate = 5\nper = \"rule\"", "limit", ""),
    ] {
        let list = [above, ("a", action, &*format!("observe = true\n{keys}")), ("b", "pass", "")];
        assert_eq!(
            planned(&rules(&list)),
            [
                format!("rule; sees a would {verdict}{more}; only observes"),
                "rule; decides pass by b where see would drop".to_owned()
            ],
            "{keys}"
        );
    }
}

#[test]
fn a_step_is_counted_with_those_that_observe_above_it_and_not_with_those_below() {
    let list = [
        ("first", "drop", "observe = true"),
        ("a", "drop", "service = [\"tcp\"]"),
        ("second", "tag", "mark = 1\nobserve = true"),
        ("b", "reject", "service = [\"udp\"]"),
    ];
    let first = "where first would drop";
    let both = "where first would drop, second would tag";
    assert_eq!(
        planned(&rules(&list)),
        [
            format!("rule; decides drop by a {first}; connected pass by a {first}; services 0+1"),
            format!(
                "rule; decides reject by b {both}; connected pass by b {both}; otherwise drop by b {both}; services 1+1"
            ),
            format!("rest; decides pass by nobody {both}"),
        ]
    );
}

#[test]
fn before_it_takes_hold_a_rule_observes_and_has_a_place_to_count_that() {
    let step =
        "rule; decides drop by a; sees a would drop; connected pass by a; from 100 by 5000000 until 300";
    let rest = "rest; decides pass by nobody";
    let text = rules(&[("a", "drop", TIMED)]);
    // A ramp of 50 s: 5 ms for each hundredth of a percent.
    for now in [None, Some(0), Some(100 * SECOND), Some(150 * SECOND - 1)] {
        assert_eq!(planned_at(&text, now), [step, rest], "{now:?}");
    }
}

#[test]
fn what_is_over_when_a_policy_is_loaded_costs_no_packet_a_look_at_the_clock() {
    let text = rules(&[("a", "drop", TIMED), ("b", "pass", "")]);
    let ramped = "rule; decides drop by a; connected pass by a; from 0 by 0 until 300";
    assert_eq!(planned_at(&text, Some(150 * SECOND)), [ramped, "rule; decides pass by b"]);
    assert_eq!(planned_at(&text, Some(300 * SECOND)), ["pass by b"]);
    let started = rules(&[("a", "drop", "from = 1970-01-01T00:01:40Z"), ("b", "pass", "")]);
    assert_eq!(planned_at(&started, Some(100 * SECOND - 1)).len(), 2);
    assert_eq!(planned_at(&started, Some(100 * SECOND)), ["drop by a, or pass by a"]);
    let ended = rules(&[("see", "drop", "observe = true\nuntil = 1970-01-01T00:05:00Z")]);
    assert_eq!(planned_at(&ended, Some(300 * SECOND)), ["pass by nobody"], "it observes nothing any more");
}

#[test]
fn local_sources_have_a_class_without_rules_unless_these_are_for_them() {
    for (local, expected) in [("pass", "pass by nobody"), ("rules", "drop by a, or pass by a")] {
        let config = config(&format!(
            "[policy]\ndefault = \"drop\"\nlocal = {local:?}\n{}",
            rules(&[("a", "drop", "")])
        ));
        let mut planner = Planner::new(&config, None).expect("fits");
        let class = plan(&mut planner, &config, "-").expect("fits");
        assert_eq!(words(&planner, &class), [expected]);
        assert_eq!(planner.outcomes[0].location, Location::Local);
    }
}

#[test]
fn classes_of_one_chain_differ_in_where_their_sources_are_and_share_services() {
    let config = config(&rules(&[
        ("a", "drop", "service = [\"tcp/443\"]"),
        ("b", "pass", ""),
        ("c", "drop", "service = [\"udp\", \"tcp/1-9\"]"),
    ]));
    let mut planner = Planner::new(&config, None).expect("fits");
    let classes = ["DE", "FR", "DE"].map(|country| plan(&mut planner, &config, country).expect("fits"));
    assert_eq!(classes.map(|class| (class.slot, class.detail)), [(0, 2), (2, 2), (4, 2)]);
    assert_eq!(words(&planner, &classes[0]), words(&planner, &classes[1]));
    assert_ne!(planner.steps[0].slot, planner.steps[2].slot, "counted by country");
    assert_eq!(planner.steps[0], planner.steps[4], "one outcome has one number");
    assert_eq!(planner.outcomes.len(), 6);
    assert_eq!(planner.rules, [Some(0), Some(1), Some(0), Some(1), Some(0), Some(1)]);
    let services = [Service::ports(6, 443, 443), Service::whole(17), Service::ports(6, 1, 9)];
    assert_eq!(planner.services, services);
}

#[test]
fn a_tag_s_mark_and_dscp_are_the_step_s_and_no_other_action_has_any() {
    let config = config(&rules(&[
        ("a", "tag", "mark = 0x2a\ndscp = 46\nservice = [\"tcp\"]"),
        ("b", "tag", "dscp = 8\nservice = [\"udp\"]"),
        ("c", "drop", ""),
    ]));
    let mut planner = Planner::new(&config, None).expect("fits");
    plan(&mut planner, &config, "DE").expect("fits");
    let tags: Vec<_> = planner.steps.iter().map(|step| (step.detail, step.dscp)).collect();
    assert_eq!(tags, [(0x2a, 46), (0, 8), (0, DSCP_KEEP)]);
}

#[test]
fn a_class_says_what_its_steps_ask_for() {
    let [service, starts] = ["service = [\"tcp\"]", "from = 1970-01-01T00:01:40Z"];
    for (keys, expected) in [
        ([service, ""], asks::SERVICE),
        ([starts, ""], asks::TIME),
        (["until = 1970-01-01T00:05:00Z", ""], asks::TIME),
        ([TIMED, ""], asks::TIME | asks::PLACE),
        ([TIMED, service], asks::TIME | asks::PLACE | asks::SERVICE),
        ([service, starts], asks::TIME | asks::SERVICE),
    ] {
        let [first, second] = keys;
        let config = config(&rules(&[("a", "drop", first), ("b", "drop", second), ("c", "reject", "")]));
        let mut planner = Planner::new(&config, None).expect("fits");
        assert_eq!(plan(&mut planner, &config, "DE").expect("fits").dscp, expected, "{keys:?}");
    }
    let config = config(&rules(&[("a", "reject", "")]));
    let mut planner = Planner::new(&config, None).expect("fits");
    assert_eq!(
        plan(&mut planner, &config, "DE").expect("fits").dscp,
        0,
        "a connection is asked for where it counts"
    );
}

#[test]
fn limits_are_numbered_behind_that_of_answers_and_only_where_something_is_rejected_or_limited() {
    let planned = |list: &[(&str, &str, &str)]| {
        let config = config(&rules(list));
        let mut planner = Planner::new(&config, None).expect("fits");
        plan(&mut planner, &config, "DE").expect("fits");
        (planner.limits, planner.steps.iter().map(|step| step.detail).collect::<Vec<_>>())
    };
    let limit = |rate, burst, per_source| Limit { rate, burst, per_source, ..Limit::default() };
    assert_eq!(planned(&[("a", "drop", "service = [\"tcp\"]")]), (vec![], vec![0, 0]));
    assert_eq!(planned(&[("a", "reject", "")]), (vec![reject::RATE], vec![0]));
    let list = [
        ("a", "limit", "rate = 5\nper = \"rule\"\nservice = [\"tcp\"]"),
        ("b", "tag", "mark = 9\nservice = [\"udp\"]"),
        ("c", "limit", "rate = 6\nburst = 7\nper = \"source\""),
    ];
    let expected = vec![reject::RATE, limit(5, 5, 0), limit(6, 7, 1)];
    assert_eq!(planned(&list), (expected, vec![1, 9, 2]));
}

/// A rule for that many ports that are not next to each other.
fn ports(count: usize) -> String {
    let ports: Vec<String> = (1..=count).map(|port| format!("\"tcp/{}\"", 2 * port)).collect();
    format!("service = [{}]", ports.join(", "))
}

#[test]
fn as_many_services_as_a_rule_takes_fit() {
    let most = MAX_SERVICES as usize;
    let fits = planned(&rules(&[("a", "drop", &ports(most)), ("b", "drop", &ports(most))]));
    assert!(fits[1].ends_with("; services 64+64"), "{fits:?}");
}

#[test]
fn as_many_steps_as_a_class_has_are_taken_and_one_more_is_refused_with_the_sources_place() {
    let policy = |count: u32| {
        let names: Vec<String> = (0..count).map(|number| number.to_string()).collect();
        let list: Vec<_> = names.iter().map(|name| (name.as_str(), "pass", "service = [\"tcp\"]")).collect();
        rules(&list)
    };
    // What no rule decides about is a step of its own.
    assert_eq!(planned(&policy(MAX_STEPS - 1)).len(), MAX_STEPS as usize);
    let config = config(&policy(MAX_STEPS));
    let mut planner = Planner::new(&config, None).expect("services fit");
    let error = plan(&mut planner, &config, "DE").expect_err("one too many");
    assert_eq!(
        error.to_string(),
        "1025 rules that ask for a service or the time concern the same sources (DE), and 1024 fit: bring services \
         together in one rule"
    );
}
