//! What leases are read as, which covers an address, and what is on disk.

use std::{fs, os::unix::fs::PermissionsExt};

use super::{
    store::{Found, Store, StoreError},
    *,
};

const SECOND: u64 = 1_000_000_000;

fn lease(prefix: &str, action: Action, until: u64) -> Lease {
    let prefix = prefix.parse().expect("a prefix");
    Lease { prefix, action, since: 1, until, reason: None }
}

/// What covers an address at time 100, by prefix.
fn covering(leases: &[Lease], address: &str) -> Option<String> {
    let leases: Leases = leases.iter().cloned().collect();
    let address = address.parse().expect("an address");
    leases.covering(address, 100).map(|lease| lease.prefix.to_string())
}

#[test]
fn times_to_live_are_durations_from_a_second_to_a_year() {
    let read = |text: &str| text.parse().map(Ttl::nanoseconds);
    for (text, seconds) in [
        ("1s", 1),
        ("90s", 90),
        ("30m", 1800),
        ("2h", 7200),
        ("7d", 604_800),
        ("1d 12h", 129_600),
        ("2w", 1_209_600),
        ("365d", 31_536_000),
    ] {
        assert_eq!(read(text), Ok(seconds * SECOND), "{text}");
    }
    assert_eq!(read("1500ms"), Ok(SECOND * 3 / 2));
    for (text, words) in [
        ("2", "has no unit; write 2s, 2m, 2h or 2d"),
        ("", "is not a duration; expected a duration such as 90s, 30m, 2h or 7d, from 1s to 365d"),
        ("soon", "is not a duration"),
        ("1mo", "is in months or years, which have no fixed length"),
        ("1y", "is in months or years"),
        ("999ms", "is shorter than a second"),
        ("0s", "is shorter than a second"),
        ("-2h", "is negative; expected a duration"),
        ("366d", "is longer than a year"),
        ("8760h 1s", "is longer than a year"),
        ("99999999d", "is not a duration"),
    ] {
        let refused = read(text).expect_err(text);
        assert!(refused.contains(words), "{text}: {refused}");
    }
}

#[test]
fn the_longest_prefix_that_is_not_over_covers() {
    let leases = [
        lease("1.0.0.0/8", Action::Pass, 200),
        lease("1.0.1.0/24", Action::Drop, 100),
        lease("1.0.2.0/24", Action::Drop, 101),
        lease("2001:db8::/32", Action::Drop, 200),
        lease("2001:db8::1", Action::Pass, 200),
    ];
    for (address, prefix) in [
        ("1.0.1.1", Some("1.0.0.0/8")),
        ("1.0.2.255", Some("1.0.2.0/24")),
        ("2.0.0.0", None),
        ("2001:db8::1", Some("2001:db8::1/128")),
        ("2001:db8::2", Some("2001:db8::/32")),
        ("::1", None),
    ] {
        assert_eq!(covering(&leases, address).as_deref(), prefix, "{address}");
    }
    assert_eq!(covering(&[lease("0.0.0.0/0", Action::Drop, 101)], "9.9.9.9").as_deref(), Some("0.0.0.0/0"));
    assert_eq!(covering(&[lease("0.0.0.0/0", Action::Drop, 101)], "::"), None, "the other family's");
}

#[test]
fn a_prefix_has_one_lease_and_leases_end_one_by_one() {
    let mut leases = Leases::default();
    assert_eq!(leases.insert(lease("1.0.0.0/8", Action::Pass, 200)), None);
    let replaced = leases.insert(lease("1.0.0.0/8", Action::Drop, 300));
    assert_eq!(replaced, Some(lease("1.0.0.0/8", Action::Pass, 200)));
    leases.insert(lease("2.0.0.0/8", Action::Drop, 250));
    assert_eq!((leases.len(), leases.next_end()), (2, Some(250)));
    let over = |at| leases.over(at).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!([over(249), over(250)], [vec![], vec!["2.0.0.0/8".to_owned()]]);
    assert_eq!(over(300).len(), 2);
    assert_eq!(Leases::default().next_end(), None);
}

#[test]
fn what_is_kept_is_read_again_but_what_is_over() {
    let folder = tempfile::tempdir().expect("make a temporary directory");
    let mut store = Store::new(&folder.path().join("state"));
    assert_eq!(store.read(0).expect("no file is no lease"), Found::default());

    let mut leases: Leases = [
        lease("1.0.0.0/8", Action::Pass, 1_700_000_000_123_456_789),
        lease("::/0", Action::Drop, 5 * SECOND),
    ]
    .into_iter()
    .collect();
    leases.insert(Lease { reason: Some("ticket 7".into()), ..lease("1.2.3.4", Action::Drop, 6 * SECOND) });
    store.prepare(&leases).expect("written").commit().expect("kept");
    assert_eq!(store.read(0).expect("read").leases, leases);
    let mode = |path: &std::path::Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!((mode(store.path()), mode(&folder.path().join("state"))), (0o600, 0o700));
    leases.remove("::/0".parse().expect("a prefix"));
    assert_eq!(store.read(5 * SECOND).expect("read").leases, leases);

    let names = || fs::read_dir(folder.path().join("state")).expect("a directory of ours").count();
    assert_eq!(names(), 1);
    // Dropped, as where the kernel refuses the change.
    drop(store.prepare(&Leases::default()).expect("written"));
    assert_eq!((store.read(5 * SECOND).expect("read").leases, names()), (leases, 1));
}

/// An entry of a file that can be read, of this prefix.
fn entry(prefix: &str) -> String {
    let times = "\"since\":\"2026-01-01T00:00:00Z\",\"until\":\"2126-01-01T00:00:00Z\"";
    format!("{{\"prefix\":\"{prefix}\",\"action\":\"drop\",{times},\"reason\":\"a {{ b\"}}")
}

/// The prefixes that a file has leases of, and what it says of the others.
fn found(text: &str) -> (String, Vec<String>) {
    let Found { leases, bad } = Found::read(text.as_bytes());
    let prefixes: Vec<String> = leases.iter().map(|lease| lease.prefix.to_string()).collect();
    (prefixes.join(" "), bad)
}

#[test]
fn a_bad_entry_takes_no_other_with_it_and_is_named() {
    let bad = |change: (&str, &str)| {
        let entries =
            [entry("1.0.0.0/8"), entry("2.0.0.0/8").replace(change.0, change.1), entry("3.0.0.0/8")];
        format!("{{\"leases\":[\n{}\n]}}", entries.join(",\n"))
    };
    for (change, words) in [
        (
            ("2.0.0.0/8", "2.0.0.1/8"),
            "entry 2 (\"2.0.0.1/8\"): prefix \"2.0.0.1/8\" has bits set after its prefix length",
        ),
        (
            ("2.0.0.0/8", "2.0.0.0/33"),
            "entry 2 (\"2.0.0.0/33\"): prefix \"2.0.0.0/33\" has the prefix length \"33\"",
        ),
        (("drop", "tag"), "entry 2 (\"2.0.0.0/8\"): action \"tag\" is neither pass nor drop"),
        (("2126-01-01T00:00:00Z", "never"), "entry 2 (\"2.0.0.0/8\"): until \"never\": not a time"),
        (("2126", "9126"), "until \"9126-01-01T00:00:00Z\": after 2554-07-21T23:34:33Z"),
        (("\"2126-01-01T00:00:00Z\"", "4922899200"), "until \"4922899200\" is not a text"),
        (("\"prefix\"", "\"prefixes\""), "entry 2: it has no \"prefix\""),
        (("\"a { b\"", "7"), "reason \"7\" is not a text"),
        // No JSON from here on.
        (("\"drop\"", "drop"), "entry 2: not JSON in line 3: expected"),
        (("2.0.0.0/8\"", "2.0.0.0/8"), "entry 2: not JSON in line 3: "),
        (("}", ""), "entry 2: not JSON in line 4: "),
    ] {
        let (prefixes, told) = found(&bad(change));
        assert_eq!(prefixes, "1.0.0.0/8 3.0.0.0/8", "{change:?}: {told:?}");
        assert!(told.len() == 1 && told[0].contains(words), "{change:?}: {told:?}");
    }
}

#[test]
fn what_is_whole_of_a_file_that_is_not_counts() {
    let whole = format!("{{\"leases\":[{},\n{}]}}", entry("1.0.0.0/8"), entry("2.0.0.0/8"));
    assert_eq!(found(&whole), ("1.0.0.0/8 2.0.0.0/8".into(), vec![]));
    for (text, prefixes, words) in [
        (whole[..whole.len() - 5].to_owned(), "1.0.0.0/8", "entry 2: cut short in line 2"),
        (whole[..whole.len() - 1].to_owned(), "1.0.0.0/8 2.0.0.0/8", "cut short in line 2"),
        (whole.replace("},", "}"), "1.0.0.0/8 2.0.0.0/8", "not JSON in line 2: expected `,` or `]`"),
        (whole.replace("]}", "],\"more\":1}"), "1.0.0.0/8 2.0.0.0/8", "a key \"more\", which is unknown"),
        (String::new(), "", "it is empty"),
        ("\n{".into(), "", "cut short in line 2"),
        ("{}".into(), "", "it has no list \"leases\""),
        ("{\"leases\":7}".into(), "", "its \"leases\" is not a list"),
        ("{\"leases\":[7]}".into(), "", "entry 1: not an object"),
        ("[]".into(), "", "it is not an object with a list \"leases\""),
    ] {
        let (read, told) = found(&text);
        assert_eq!(read, prefixes, "{text}: {told:?}");
        assert!(told.len() == 1 && told[0].contains(words), "{text}: {told:?}");
    }
}

#[test]
fn a_file_is_kept_as_it_was_beside_what_could_be_read_of_it() {
    let folder = tempfile::tempdir().expect("make a temporary directory");
    let mut store = Store::new(folder.path());
    for (text, aside) in [("one", "leases.json.broken"), ("two", "leases.json.broken-1")] {
        fs::write(store.path(), text).expect("write into a directory of ours");
        let leases: Leases = [lease("1.0.0.0/8", Action::Pass, 200)].into_iter().collect();
        let aside = (folder.path().join(aside), store.set_aside(&leases).expect("a directory of ours"));
        assert_eq!(aside.0, aside.1);
        assert_eq!(fs::read_to_string(aside.0).expect("kept"), text);
        assert_eq!(store.read(0).expect("written"), Found { leases, bad: vec![] });
    }
    fs::remove_file(folder.path().join("leases.json.broken")).expect("kept above");
    assert_eq!(fs::read_dir(folder.path()).expect("a directory of ours").count(), 2);
}

#[test]
fn a_reason_is_bounded_and_safe_to_show() {
    assert!("x".repeat(200).parse::<Reason>().is_ok());
    let refused = "é".repeat(201).parse::<Reason>().expect_err("too long");
    assert!(refused.starts_with("has 201 characters, and a reason 200 at most"), "{refused}");
    let lease = Lease { reason: Some("a\n\u{1b}[2Jb".into()), ..lease("1.0.0.0/8", Action::Drop, 200) };
    assert!(lease.describe().ends_with(" (a\\n\\u{1b}[2Jb)"), "{}", lease.describe());
}

#[test]
fn a_file_that_could_not_be_read_is_not_replaced() {
    let folder = tempfile::tempdir().expect("make a temporary directory");
    let mut store = Store::new(folder.path());
    // Root may read whatever is a file.
    fs::create_dir(store.path()).expect("make a directory in ours");
    let error = store.read(0).expect_err("a directory");
    assert!(
        matches!(error, StoreError::Read { .. }) && error.to_string().contains("move the directory away")
    );
    fs::remove_dir(store.path()).expect("it is ours");
    let refused = store.prepare(&Leases::default()).expect_err("it may be there again").to_string();
    assert!(refused.contains("leases.json") && refused.contains("restart octroi"), "{refused}");
}
