//! What is said about values that do not hold: types, names, sources, paths.

use super::*;

#[test]
fn a_wrong_type_says_what_was_expected_and_found() {
    for (text, message) in [
        ("geoip = 3", "\"geoip\" is the integer 3; expected a table"),
        ("policy.local = true", "\"local\" is the boolean true; expected a string: pass or rules"),
        (
            "metrics.listen = 9462",
            "\"listen\" is the integer 9462; expected a string: ADDRESS:PORT, or \"\" for none",
        ),
        ("control.socket = []", "\"socket\" is a list; expected a string, an absolute path"),
        (
            "rule = 1.5",
            "\"rule\" is the floating-point number 1.5; expected a list of tables, each written [[rule]]",
        ),
        (
            "rule = [\"a\"]",
            "\"rule\" contains the string \"a\"; expected a list of tables, each written [[rule]]",
        ),
        ("[rule]", "\"rule\" is a table; expected a list of tables, each written [[rule]]"),
        (
            "mode = 2026-07-09",
            "\"mode\" is the date-time 2026-07-09; expected a string: auto, native or generic",
        ),
    ] {
        assert_eq!(messages(text), [message], "{text}");
    }
    let rule = "name = \"r\"\nsource.any = true\naction = \"tag\"\n";
    for (key, message) in [
        ("mark = \"0x10\"", "\"mark\" is the string \"0x10\"; expected an integer from 1 to 0xffffffff"),
        (
            "mark = \"16\"",
            "\"mark\" is the string \"16\"; expected an integer from 1 to 0xffffffff; write 16 without quotes",
        ),
        (
            "dscp = true",
            "\"dscp\" is the boolean true; expected an integer from 0 to 63, or a name such as \"CS1\"",
        ),
        (
            "dscp = 1\nobserve = \"true\"",
            "\"observe\" is the string \"true\"; expected a boolean; write true without quotes",
        ),
        ("dscp = 1\nnote = {}", "\"note\" is a table; expected a string"),
    ] {
        assert_eq!(rule_messages(&format!("{rule}{key}")), [message], "{key}");
    }
    for (keys, message) in [
        (
            "country = \"CN\"",
            "\"country\" is the string \"CN\"; expected a list of strings, such as [\"CN\", \"unknown\"]; write [\"CN\"]",
        ),
        (
            "asn = 58593",
            "\"asn\" is the integer 58593; expected a list of integers, such as [58593]; write [58593]",
        ),
        (
            "asn = [\"AS58593\"]",
            "\"asn\" contains the string \"AS58593\"; expected a list of integers, such as [58593]; write 58593 without quotes",
        ),
        (
            "country = 3",
            "\"country\" is the integer 3; expected a list of strings, such as [\"CN\", \"unknown\"]",
        ),
        ("any = 1", "\"any\" is the integer 1; expected the boolean true"),
    ] {
        assert_eq!(source_messages(keys), [message], "{keys}");
    }
}

#[test]
fn an_integer_of_any_length_is_refused() {
    let long = "9".repeat(60);
    assert_eq!(
        source_messages(&format!("asn = [{long}]")),
        [format!("\"asn\" contains the integer {long}; expected a list of integers, such as [58593]")]
    );
}

#[test]
fn a_name_that_cannot_be_a_label_is_refused() {
    let of = |name: &str| rule_messages(&format!("name = {name}\nsource.any = true\naction = \"drop\""));
    assert_eq!(of("\"\""), ["the name of a rule is empty; it appears in metrics, events and explanations"]);
    let long = "x".repeat(65);
    assert_eq!(
        of(&format!("{long:?}")),
        [format!("rule name \"{}…\" has 65 bytes; at most 64 are allowed", "x".repeat(63))]
    );
    for name in [r#""a\"b""#, r#""a'b""#, r#""a\\b""#, r#""a\nb""#, r#""\u202Ea""#, r#"" a""#] {
        assert!(of(name)[0].contains("has a quote, a backslash, a control"), "{name}: {:?}", of(name));
    }
    for name in ["a", "中国 (trial)", "x-1_2.3:4/5", &"x".repeat(64)] {
        accepted(&format!("[[rule]]\nname = \"{name}\"\nsource.any = true\naction = \"drop\""));
    }
}

#[test]
fn a_source_that_matches_nothing_is_refused() {
    assert_eq!(
        source_messages(""),
        ["the source of [[rule]] \"r\" is empty; for every source, write { any = true }"]
    );
    assert_eq!(
        source_messages("any = false"),
        ["any = false matches nothing; leave \"any\" out, or write any = true"]
    );
    for key in
        ["country", "not_country", "continent", "asn", "not_asn", "cidr", "not_cidr", "list", "anonymous"]
    {
        let expected = format!("{key:?} is an empty list; expected a list of ");
        assert!(source_messages(&format!("{key} = []"))[0].starts_with(&expected), "{key}");
    }
}

#[test]
fn values_of_a_source_are_checked_one_by_one() {
    for (keys, expected) in [
        (
            "not_country = [\"EU\"]",
            "country \"EU\" is not an ISO 3166-1 alpha-2 code; for the continent, write continent = [\"EU\"]",
        ),
        ("continent = [\"Asia\"]", "continent \"Asia\" is unknown; Asia is \"AS\""),
        ("asn = [0]", "AS number 0 announces nothing; expected an integer from 1 to 4294967295"),
        (
            "not_asn = [4294967296]",
            "AS number 4294967296 is out of range; expected an integer from 1 to 4294967295",
        ),
        ("asn = [-1]", "AS number -1 is out of range; expected an integer from 1 to 4294967295"),
        (
            "cidr = [\"1.2.3.4/24\"]",
            "network \"1.2.3.4/24\" has bits set after its prefix length; the network is 1.2.3.0/24",
        ),
        (
            "not_cidr = [\"::ffff:1.2.3.4\"]",
            "network \"::ffff:1.2.3.4\" is IPv4-mapped, and packets carry IPv4 addresses as IPv4; write 1.2.3.4",
        ),
        ("list = [\"\"]", "list is empty; name a file"),
        ("list = [\"a\\u0000\"]", "list \"a\\0\" contains a zero byte, which no path can"),
        (
            "list = [\"192.0.2.0/24\"]",
            "list takes paths of files, and \"192.0.2.0/24\" is a network; write cidr = [\"192.0.2.0/24\"]",
        ),
    ] {
        assert_eq!(source_messages(keys), [expected], "{keys}");
    }
    assert_eq!(source_messages("country = [\"UK\", \"CN\", \"EL\"], asn = [0]").len(), 3);
    let expected = "expected vpn, tor, proxy, residential_proxy, hosting or any";
    for (kind, message) in [
        ("VPNs", format!("anonymizer \"VPNs\" is unknown; {expected}; did you mean \"vpn\"?")),
        ("other", format!("anonymizer \"other\" is unknown; {expected}")),
    ] {
        assert_eq!(
            messages(&format!(
                "geoip.anonymous = \"a\"\n[[rule]]\nname = \"r\"\naction = \"drop\"\nsource.anonymous = [{kind:?}]"
            )),
            [message]
        );
    }
}

#[test]
fn paths_and_addresses_are_checked() {
    let socket = format!("/{}", "s".repeat(107));
    for (text, message) in [
        (
            "geoip.country = \"\"",
            "geoip.country is empty; name a file, or leave the key out for the embedded table",
        ),
        ("geoip.anonymous = \"\"", "geoip.anonymous is empty; name a file, or leave the key out"),
        ("geoip.asn = \"a\\u0000\"", "geoip.asn \"a\\0\" contains a zero byte, which no path can"),
        (
            "metrics.listen = \"localhost:9462\"",
            "metrics.listen \"localhost:9462\" is not ADDRESS:PORT, such as 127.0.0.1:9462 or [::1]:9462, nor \"\" for none",
        ),
        (
            "control.socket = \"o.sock\"",
            "control.socket \"o.sock\" is not an absolute path, such as /run/octroi/octroi.sock",
        ),
        ("control.pins = \"\"", "control.pins \"\" is not an absolute path, such as /sys/fs/bpf/octroi"),
        (
            "control.state = \"state\"",
            "control.state \"state\" is not an absolute path, such as /var/lib/octroi",
        ),
        (
            &format!("control.socket = {socket:?}"),
            "control.socket has 108 bytes; a socket's path has at most 107",
        ),
    ] {
        assert_eq!(messages(text), [message], "{text}");
    }
    let longest = &socket[..107];
    assert_eq!(accepted(&format!("control.socket = {longest:?}")).control.socket, Path::new(longest));
}

#[test]
fn how_much_a_database_may_change_is_a_percentage_or_anything() {
    assert_eq!(accepted("geoip.max_change = 1000").geoip.max_change, Some(1000));
    assert_eq!(accepted("geoip.max_change = \"any\"").geoip.max_change, None);
    assert!(!accepted("geoip.follow = false").geoip.follow);
    let is = "is neither an integer from 1 to 1000, in percent, nor \"any\"";
    for (value, message) in [
        ("0", format!("geoip.max_change 0 {is}; to take whatever comes, write \"any\"")),
        ("1001", format!("geoip.max_change 1001 {is}")),
        ("-30", format!("geoip.max_change -30 {is}")),
        ("\"none\"", format!("geoip.max_change \"none\" {is}")),
    ] {
        assert_eq!(messages(&format!("geoip.max_change = {value}")), [message]);
    }
}
