//! What is printed about a file: positions, unknown keys, missing keys, files that cannot be read.

use super::*;

#[test]
fn a_country_is_shown_with_its_line() {
    let text = format!(
        "{MINIMAL}{}[[rule]]\nname = \"r\"\naction = \"drop\"\n[rule.source]\ncountry = [\"CN\", \"UK\"]\n",
        "\n".repeat(8)
    );
    assert_eq!(
        refused(&text),
        r#"f.toml:14:18: country "UK" is not an ISO 3166-1 alpha-2 code; the United Kingdom is "GB"
   |
14 | country = ["CN", "UK"]
   |                  ^^^^"#
    );
}

#[test]
fn all_problems_are_printed_in_the_order_of_the_file() {
    let text = r#"interfaces = ["lo", "eth 0", 3]
mode = 3

[[rule]]
name = "partner"
source = { country = [] }
acton = "drop"

[policy]
default = "reject"
"#;
    assert_eq!(
        refused(text),
        r#"f.toml:1:15: interface "lo" is refused: the loopback device has no native XDP, and a rule on it would cut services that talk to each other on this host; name the interfaces that packets arrive on
  |
1 | interfaces = ["lo", "eth 0", 3]
  |               ^^^^

f.toml:1:21: interface "eth 0" contains ' ', which no interface name has
  |
1 | interfaces = ["lo", "eth 0", 3]
  |                     ^^^^^^^

f.toml:1:30: "interfaces" contains the integer 3; expected a list of strings, such as ["eth0", "veth*"]
  |
1 | interfaces = ["lo", "eth 0", 3]
  |                              ^

f.toml:2:8: "mode" is the integer 3; expected a string: auto, native or generic
  |
2 | mode = 3
  |        ^

f.toml:6:22: "country" is an empty list; expected a list of strings, such as ["CN", "unknown"]
  |
6 | source = { country = [] }
  |                      ^^

f.toml:7:1: unknown key "acton" in [[rule]] "partner"; did you mean "action"?
  |
7 | acton = "drop"
  | ^^^^^

f.toml:10:11: policy.default "reject" is unknown; expected pass or drop
   |
10 | default = "reject"
   |           ^^^^^^^^"#
    );
}

#[test]
fn missing_interfaces_are_shown_at_the_start() {
    assert_eq!(
        refused("mode = \"auto\""),
        r#"f.toml:1:1: no interfaces to filter; add interfaces = ["eth0"] at the top of the file, with names that `ip -brief link` lists
  |
1 | mode = "auto"
  | ^"#
    );
    assert_eq!(refused("").lines().last(), Some("  | ^"));
}

#[test]
fn a_second_rule_of_a_name_is_told_the_line_of_the_first() {
    let rule = "[[rule]]\nname = \"x\"\nsource.any = true\naction = \"drop\"\n";
    assert_eq!(
        refused(&format!("{MINIMAL}{rule}{rule}")),
        r#"f.toml:7:8: rule name "x" is taken by the rule in line 3; names are unique
  |
7 | name = "x"
  |        ^^^"#
    );
}

#[test]
fn a_rule_without_keys_is_told_what_it_needs() {
    assert_eq!(
        refused(&format!("{MINIMAL}[[rule]]\n")),
        r#"f.toml:2:1: [[rule]] number 1 has no name; add name = "…"
  |
2 | [[rule]]
  | ^^^^^^^^

f.toml:2:1: [[rule]] number 1 has no source; add source = { country = ["…"] }
  |
2 | [[rule]]
  | ^^^^^^^^

f.toml:2:1: [[rule]] number 1 has no action; add action = "pass", "drop", "reject", "tag" or "limit"
  |
2 | [[rule]]
  | ^^^^^^^^"#
    );
}

#[test]
fn a_file_that_is_no_toml_is_shown_where_it_ends_to_be_one() {
    assert_eq!(
        refused("interfaces = [\n  \"eth0\"\nmode = 3\n"),
        "f.toml:3:1: not TOML: missing comma between array elements, expected `,`\n  |\n3 | mode = 3\n  | ^"
    );
    assert_eq!(
        refused("mode = 1\nmode = 2\n"),
        "f.toml:2:1: not TOML: duplicate key \"mode\"\n  |\n2 | mode = 2\n  | ^^^^"
    );
}

#[test]
fn a_byte_order_mark_shifts_no_column() {
    assert_eq!(
        refused("\u{feff}interfaces = [\"\"]\r\n"),
        "f.toml:1:15: interface \"\" is empty\n  |\n1 | interfaces = [\"\"]\n  |               ^^"
    );
}

#[test]
fn a_rule_about_anonymizers_is_sent_for_a_database() {
    let rule = "[[rule]]\nname = \"r\"\nsource = { anonymous = [\"vpn\"] }\naction = \"drop\"\n";
    assert_eq!(
        refused(&format!("{MINIMAL}{rule}")),
        r#"f.toml:4:12: "anonymous" asks a database of anonymizers, and none is embedded; name one in [geoip], such as anonymous = "/usr/share/GeoIP/GeoIP2-Anonymous-IP.mmdb"
  |
4 | source = { anonymous = ["vpn"] }
  |            ^^^^^^^^^"#
    );
    let wrong = messages(&format!("geoip.anonymous = 1\n{rule}"));
    assert_eq!(
        wrong,
        ["\"anonymous\" is the integer 1; expected a string, the path of a file"],
        "once is enough"
    );
}

#[test]
fn an_unknown_key_is_named_with_what_was_meant() {
    for (text, message) in [
        ("modes = 1", "unknown key \"modes\"; did you mean \"mode\"?"),
        ("[polcy]", "unknown key \"polcy\"; did you mean \"policy\"?"),
        ("[metrics]\nport = 1", "unknown key \"port\" in [metrics]; known here: listen"),
        (
            "[geoip]\nmode = 1",
            "unknown key \"mode\" in [geoip]; it belongs at the top of the file, before the first [table]",
        ),
        ("country = []", "unknown key \"country\"; it belongs in [geoip] or in the source of a [[rule]]"),
    ] {
        assert_eq!(messages(text), [message], "{text}");
    }
    assert_eq!(
        rule_messages("name = \"r\"\nsource = { any = true }\naction = \"drop\"\ncidr = []"),
        ["unknown key \"cidr\" in [[rule]] \"r\"; it belongs in the source of a [[rule]]"]
    );
    assert_eq!(
        source_messages("contry = [\"CN\"]"),
        ["unknown key \"contry\" in the source of [[rule]] \"r\"; did you mean \"country\"?"]
    );
}

#[test]
fn a_misspelt_key_is_not_reported_as_missing_too() {
    assert_eq!(
        refused("interface = [\"eth0\"]"),
        "f.toml:1:1: unknown key \"interface\"; did you mean \"interfaces\"?\n  |\n1 | interface = [\"eth0\"]\n  | ^^^^^^^^^"
    );
}

#[test]
fn problems_have_positions_and_messages() {
    let errors = parse("mode = 3\ninterfaces = []\n").expect_err("two problems");
    assert_eq!(errors.path(), Path::new("/etc/octroi/octroi.toml"));
    let positions: Vec<_> = errors.problems().iter().map(|p| (p.line(), p.column())).collect();
    assert_eq!(positions, [(Some(1), Some(8)), (Some(2), Some(14))]);
}

#[test]
fn a_file_that_cannot_be_read_is_named_with_the_next_step() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let missing = folder.path().join("octroi.toml");
    let errors = Config::load(&missing).expect_err("no such file");
    assert_eq!(
        errors.to_string(),
        format!("{}: not read: no such file; create it, or name another with -c FILE", missing.display())
    );
    assert_eq!(errors.problems()[0].line(), None);
    let errors = Config::load(folder.path()).expect_err("a folder");
    assert!(
        errors.to_string().ends_with("not read: it is a directory; name the file in it with -c FILE"),
        "{errors}"
    );

    std::fs::write(&missing, b"interfaces = [\"eth0\"]\n# caf\xe9\n").expect("write");
    let errors = Config::load(&missing).expect_err("Latin-1");
    assert_eq!(
        errors.to_string(),
        format!(
            "{}:2:6: not UTF-8 text; save the file as UTF-8\n  |\n2 | # caf\u{fffd}\n  |      ^",
            missing.display()
        )
    );

    std::fs::write(&missing, "interfaces = [\"eth0\"]\ngeoip.asn = \"a.csv\"\n").expect("write");
    let config = Config::load(&missing).expect("a valid configuration");
    assert_eq!(config.geoip.asn, Some(folder.path().join("a.csv")));
}
