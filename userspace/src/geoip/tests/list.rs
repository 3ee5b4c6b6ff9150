//! Lists of networks.

use std::fs;

use proptest::{collection, prelude::*, sample};

use super::super::{List, OriginalList};
use super::*;

fn list(text: impl AsRef<[u8]>) -> List {
    List::parse(Path::new("test.txt"), text.as_ref()).unwrap_or_else(|error| panic!("{error}"))
}

fn error(text: impl AsRef<[u8]>) -> String {
    List::parse(Path::new("test.txt"), text.as_ref()).unwrap_err().to_string()
}

/// Ranges of both families, as text.
fn ranges(list: &List) -> Vec<String> {
    let v4 = list.v4.iter().map(|range| format!("{}-{}", Ipv4Addr::from(range.0), Ipv4Addr::from(range.1)));
    let v6 = list.v6.iter().map(|range| format!("{}-{}", Ipv6Addr::from(range.0), Ipv6Addr::from(range.1)));
    v4.chain(v6).collect()
}

#[test]
fn networks_and_addresses_of_both_families_stand_one_a_line() {
    let list = list("198.51.100.0/24\n2001:db8::/64\n1.2.3.4\n2001:DB8:1::1\n10.0.0.0/8");
    assert_eq!(
        ranges(&list),
        [
            "1.2.3.4-1.2.3.4",
            "10.0.0.0-10.255.255.255",
            "198.51.100.0-198.51.100.255",
            "2001:db8::-2001:db8::ffff:ffff:ffff:ffff",
            "2001:db8:1::1-2001:db8:1::1",
        ]
    );
    assert_eq!((list.networks.v4, list.networks.v6), (3, 2));
}

#[test]
fn comments_blanks_line_ends_of_windows_and_a_byte_order_mark_do_not_count() {
    let expected = list("1.2.3.4\n2001:db8::/32\n");
    for text in [
        "# blocked\n1.2.3.4 # since May\n\n2001:db8::/32#no blank\n  # end",
        "\u{feff}1.2.3.4\r\n2001:db8::/32\r\n",
        "\u{feff}# first\r\n\r\n\t1.2.3.4\t\r\n  2001:db8::/32  \r\n\r\n",
        "; Spamhaus DROP List\n1.2.3.4 ; SBL1\n2001:db8::/32 ; SBL2 # both\n",
    ] {
        assert_eq!(list(text), expected, "{text:?}");
    }
    assert_eq!(list(b"1.2.3.4 # caf\xe9\n2001:db8::/32"), expected, "a comment in Latin-1");
}

#[test]
fn networks_that_repeat_overlap_or_touch_are_one_range() {
    let list = list("1.0.1.0/24\n1.0.0.0/24\n1.0.0.7\n1.0.0.0/24\n1.0.3.0/24\n2a00::/33\n2a00:0:8000::/33\n");
    assert_eq!(
        ranges(&list),
        ["1.0.0.0-1.0.1.255", "1.0.3.0-1.0.3.255", "2a00::-2a00:0:ffff:ffff:ffff:ffff:ffff:ffff"]
    );
    assert_eq!((list.networks.v4, list.networks.v6), (5, 2), "lines, not ranges");
    assert_eq!(ranges(&self::list("0.0.0.0/0\n255.255.255.255\n::/0\nffff::")).len(), 2);
}

#[test]
fn nothing_at_all_and_nothing_but_comments_are_empty_lists() {
    for text in ["", "\n", "# nothing today\r\n\r\n", "\u{feff}"] {
        assert!(list(text).is_empty(), "{text:?}");
    }
    assert!(!list("1.2.3.4").is_empty() && !list("::1").is_empty());
}

#[test]
fn a_bad_line_is_quoted_with_its_number_in_the_words_of_the_configuration() {
    for (line, reason) in [
        (
            "1.2.3.4/24 # x",
            "network \"1.2.3.4/24\" has bits set after its prefix length; the network is 1.2.3.0/24",
        ),
        ("1.2.3.0/33", "network \"1.2.3.0/33\" has the prefix length \"33\"; expected a number from 0 to 32"),
        (
            "::ffff:1.2.3.4",
            "network \"::ffff:1.2.3.4\" is IPv4-mapped, and packets carry IPv4 addresses as IPv4; write 1.2.3.4",
        ),
        (
            "1.2.3.4 5.6.7.8",
            "network \"1.2.3.4 5.6.7.8\" is not an IPv4 or IPv6 address, or network such as 192.0.2.0/24 or \
             2001:db8::/32",
        ),
    ] {
        assert_eq!(
            error(format!("# one\r\n9.9.9.9\r\n\r\n{line}\r\n1.2.3.4\r\n")),
            format!("test.txt:4: {reason}; correct what is wrong, or put # before it")
        );
    }
    let printed = error(b"\x1f\x8b\x08\xff\x1b[2J");
    assert!(
        printed.starts_with("test.txt:1: network \"\\u{1f}\u{fffd}\\u{8}\u{fffd}\\u{1b}[2J\" is not"),
        "{printed}"
    );
    let long = error("x".repeat(100_000));
    assert!(long.len() < 300, "{long}");
}

#[test]
fn a_file_that_cannot_be_opened_is_named_with_the_rule_and_the_next_step() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("blocked.txt");
    assert_eq!(
        OriginalList::open(&path, "drop-list").unwrap_err().to_string(),
        format!(
            "read {}, which rule \"drop-list\" lists: No such file or directory (os error 2); create it (it may be \
             empty), or take it out of the rule's list",
            path.display()
        )
    );
    let message = OriginalList::open(folder.path(), "drop-list").unwrap_err().to_string();
    assert!(
        message.ends_with("it is a directory, and has to be a regular file; name the file itself"),
        "{message}"
    );
}

#[test]
fn bad_lines_are_told_together() {
    let text: String = (1..=8).map(|number| format!("192.0.2.{number}\nbad{number}\n")).collect();
    let message = List::parse(Path::new("test.txt"), text.as_bytes()).unwrap_err().to_string();
    let lines: Vec<&str> = message.lines().collect();
    assert_eq!(lines.len(), 6, "{message}");
    assert!(
        lines[0].starts_with("test.txt:2: network \"bad1\" is not") && lines[4].starts_with("test.txt:10: ")
    );
    assert_eq!(lines[5], "and 3 more lines of test.txt; correct what is wrong, or put # before it");
}

#[test]
fn a_list_that_was_replaced_reads_as_before_and_one_that_was_written_into_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let (path, other) = (folder.path().join("blocked.txt"), folder.path().join("new"));
    fs::write(&path, "1.2.3.4\n").unwrap();
    let original = OriginalList::open(&path, "drop-list").unwrap();
    let first = original.read().unwrap();
    fs::write(&other, "5.6.7.8\n").unwrap();
    fs::rename(&other, &path).unwrap();
    assert_eq!(original.read().unwrap(), first);

    let original = OriginalList::open(&path, "drop-list").unwrap();
    original.read().unwrap();
    fs::write(&path, "1.2.3.4\n").unwrap();
    let message = original.read().unwrap_err().to_string();
    assert!(message.contains("blocked.txt was written into after it was loaded"), "{message}");
}

proptest! {
    #[test]
    fn whatever_a_file_holds_the_answer_is_a_list_or_a_line(
        bytes in collection::vec(prop_oneof![0u8.., sample::select(b"1.2:/#;\r\n \xef\xbb\xbf".to_vec())], 0..60),
    ) {
        match List::parse(Path::new("test.txt"), &bytes) {
            Ok(list) => prop_assert!(list.v4.is_sorted() && list.v6.is_sorted()),
            Err(error) => prop_assert!(error.to_string().starts_with("test.txt:")),
        }
    }
}
