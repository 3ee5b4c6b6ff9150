//! `octroi check` as scripts see it: what it prints, and how it ends.

use std::{fs, process::Command};

/// Exit code, standard output and standard error of `octroi check` over that configuration and databases of this year.
fn check(text: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    check_on("none*", text, arguments)
}

/// The same for those interfaces.
fn check_on(interfaces: &str, text: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let folder = tempfile::tempdir().expect("make a temporary directory");
    let file = |name: &str, contents: &str| {
        let path = folder.path().join(name);
        fs::write(&path, contents).expect("write into a directory of ours");
        path
    };
    file("country.csv", "1.0.1.0,1.0.3.255,CN\n5.1.64.0,5.1.127.255,DE\n");
    file("asn.csv", "1.0.2.0,1.0.2.255,58593,Azure China\n");
    let databases = "[geoip]\ncountry = \"country.csv\"\nasn = \"asn.csv\"\n";
    let path = file("octroi.toml", &format!("interfaces = [{interfaces:?}]\n{databases}{text}"));
    let output = Command::new(env!("CARGO_BIN_EXE_octroi"))
        .args(["check", "-c"])
        .arg(path)
        .args(arguments)
        .env_remove("SSH_CONNECTION")
        .env_remove("SSH_CLIENT")
        .output()
        .expect("run octroi");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

const PLAIN: &str = "[[rule]]\nname = \"cn\"\nsource.country = [\"CN\"]\naction = \"drop\"\n";
const TWICE: &str = "[[rule]]\nname = \"cn\"\nsource.country = [\"CN\"]\naction = \"drop\"\n\
                     [[rule]]\nname = \"partner\"\nsource.asn = [58593]\naction = \"pass\"\n";
const WARNING: &str = "rule \"partner\" passes nothing: rule \"cn\" above it drops all that it would pass; move it up, above \"cn\"";

#[test]
fn a_warning_is_printed_and_changes_nothing_else() {
    let (code, text, error) = check(TWICE, &[]);
    assert_eq!((code, error.as_str()), (Some(0), ""));
    assert!(text.contains(&format!("\nwarning     {WARNING}\n")) && text.ends_with("\nok\n"), "{text}");

    let (code, json, error) = check(TWICE, &["--json"]);
    assert_eq!((code, error.as_str()), (Some(0), ""));
    let report: serde_json::Value = serde_json::from_str(&json).expect("one JSON object");
    assert_eq!(report["warnings"], serde_json::json!([WARNING]));
}

#[test]
fn strict_takes_no_warning_and_still_prints_the_report() {
    let (code, text, error) = check(TWICE, &["--strict"]);
    assert_eq!((code, error.as_str()), (Some(1), "octroi: there is a warning, and --strict takes none\n"));
    assert!(text.contains(WARNING) && !text.contains("\nok\n"), "{text}");

    let (code, json, error) = check(
        &format!("{TWICE}until = 2020-01-01T00:00:00Z\n{TWICE}").replacen("\"cn\"", "\"a\"", 1).replacen(
            "\"partner\"",
            "\"b\"",
            1,
        ),
        &["--strict", "--json"],
    );
    assert_eq!((code, error.as_str()), (Some(1), "octroi: there are 3 warnings, and --strict takes none\n"));
    let report: serde_json::Value = serde_json::from_str(&json).expect("one JSON object");
    assert_eq!(report["warnings"].as_array().map(Vec::len), Some(3), "{json}");

    let (code, text, error) = check(PLAIN, &["--strict"]);
    assert_eq!((code, error.as_str()), (Some(0), ""));
    assert!(text.ends_with("\nok\n"), "{text}");
}

#[test]
fn a_name_of_no_interface_here_is_warned_of_and_no_reason_to_refuse() {
    let warning = "\nwarning     interfaces names \"none0\", and there is no such interface here: ";
    let (code, text, error) = check_on("none0", PLAIN, &["--strict"]);
    assert_eq!((code, error.as_str()), (Some(0), ""));
    assert!(text.contains(warning), "{text}");
    let (_, text, _) = check(PLAIN, &[]);
    assert!(!text.contains("warning"), "{text}");
}

#[test]
fn a_policy_that_asks_more_of_packets_than_fits_ends_with_78_and_says_whose_it_is() {
    let ports: Vec<String> = (1..=65).map(|port| format!("\"tcp/{}\"", 2 * port)).collect();
    let services = format!("{PLAIN}service = [{}]\n", ports.join(", "));
    let rule =
        |number| format!("[[rule]]\nname = \"{number}\"\nsource.country = [\"CN\"]\nservice = [\"tcp\"]\n");
    let steps: String = (0..1024).map(|number| rule(number) + "action = \"pass\"\n").collect();
    for (text, words) in [
        (
            services,
            "octroi.toml:9:11: 65 services, and a rule takes 64; bring ports together as ranges, or divide the rule",
        ),
        (steps, "concern the same sources (CN), and 1024 fit: bring services together in one rule"),
    ] {
        let (code, text, error) = check(&text, &[]);
        assert_eq!((code, text.as_str()), (Some(78), ""), "{error}");
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn what_is_invalid_ends_with_78_strict_or_not() {
    for arguments in [&[][..], &["--strict"]] {
        let (code, text, error) = check("mode = 3", arguments);
        assert_eq!((code, text.as_str()), (Some(78), ""));
        assert!(error.contains("unknown key \"mode\""), "{error}");
    }
}

#[test]
fn what_names_a_file_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().expect("make a temporary directory");
    let config = folder.path().join("octroi.toml");
    let write = |name: &str, bytes: &[u8]| {
        fs::write(folder.path().join(name), bytes).expect("write into a directory of ours");
    };
    write("list.txt", b"192.0.2.0/24\nnone\n192.0.2.1/24\n");
    write("empty.mmdb", b"");
    write("cut.mmdb", b"\x00\x01\x02\xff\xfe");
    write("bad.csv", b"1.0.0.0,1.0.0.255,CN\n1.0.0.0.0,1.0.1.255,CN\n");
    write("asn.csv", b"start,end,asn\n1.0.0.0,1.0.0.255,13335\n");
    let rule = "[[rule]]\nname = \"r\"\naction = \"drop\"\n";
    for (text, words) in [
        (
            "[geoip]\ncountry = \"none.mmdb\"\n",
            &["[geoip] country: read ", "none.mmdb: No such file", "create it"][..],
        ),
        ("[geoip]\nasn = \"empty.mmdb\"\n", &["[geoip] asn: ", "empty.mmdb is empty; fetch"]),
        (
            "[geoip]\nanonymous = \"cut.mmdb\"\n",
            &["[geoip] anonymous: ", "as if cut short", "fetch it again"],
        ),
        (
            "[geoip]\ncountry = \".\"\n",
            &["[geoip] country: read ", "it is a directory", "name the file itself"],
        ),
        ("[geoip]\ncountry = \"bad.csv\"\n", &["[geoip] country: ", "bad.csv:2: "]),
        (
            "[geoip]\ncountry = \"asn.csv\"\n",
            &["[geoip] country: ", "asn.csv:1: the header has no column country"],
        ),
        (
            "source.list = [\"list.txt\"]\n",
            &["list of rule \"r\": ", "list.txt:2: ", "list.txt:3: ", "put # before it"],
        ),
        ("source.list = [\"none.txt\"]\n", &["none.txt, which rule \"r\" lists: No such file", "create it"]),
        ("source.list = [\".\"]\n", &["which rule \"r\" lists: it is a directory", "name the file itself"]),
    ] {
        let before = if text.starts_with("source") { rule } else { "" };
        fs::write(&config, format!("interfaces = [\"none0\"]\n{before}{text}"))
            .expect("in a directory of ours");
        let mut command = Command::new(env!("CARGO_BIN_EXE_octroi"));
        let output = command.args(["check", "-c"]).arg(&config).output().expect("run octroi");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{error}");
        for word in words {
            assert!(error.contains(word), "no {word:?} in {error}");
        }
    }
}

#[test]
fn the_configuration_is_named_before_the_command_or_behind_it() {
    let folder = tempfile::tempdir().expect("make a temporary directory");
    let at = |name: &str| {
        let path = folder.path().join(name);
        fs::write(&path, "nonsense = 1\n").expect("write into a directory of ours");
        path.display().to_string()
    };
    let (one, other) = (at("one.toml"), at("other.toml"));
    for (arguments, named) in [
        (&["-c", &one, "check"][..], &one),
        (&["check", "-c", &one], &one),
        (&["-c", &one, "check", "-c", &other], &other),
        (&["-c", &one, "lease", "list"], &one),
        (&["lease", "--config", &one, "list"], &one),
        (&["--config", &one, "status"], &one),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_octroi")).args(arguments).output().expect("run octroi");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains(&format!("{named}:1")), "{arguments:?}: {error}");
    }
}

#[test]
fn a_replay_says_what_it_does_not_apply_and_that_nothing_is_nothing() {
    let folder = tempfile::tempdir().expect("make a temporary directory");
    let path = |name: &str| folder.path().join(name);
    let rule = "[[rule]]\nname = \"slow\"\nsource.any = true\naction = \"limit\"\nrate = 1\nper = \"rule\"\n";
    let write = |rule: &str| {
        fs::write(path("octroi.toml"), format!("interfaces = [\"none0\"]\n{rule}"))
            .expect("a directory of ours");
    };
    let header = [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 1, 0, 0, 0];
    // UDP from 8.8.8.8, three times in no time.
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0];
    frame.extend([8, 8, 8, 8, 192, 0, 2, 1, 0x10, 0, 0, 9, 0, 8, 0, 0]);
    let length = u32::try_from(frame.len()).expect("short").to_le_bytes();
    let packet = [&[0; 8][..], &length, &length, &frame].concat();
    fs::write(path("empty.pcap"), header).expect("a directory of ours");
    fs::write(path("full.pcap"), [&header[..], &packet, &packet, &packet].concat())
        .expect("a directory of ours");
    let replay = |capture: &str, arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_octroi"));
        command.arg("replay").arg(path(capture)).args(["--engine", "host"]).args(arguments);
        let output = command.arg("-c").arg(path("octroi.toml")).output().expect("run octroi");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    write("");
    let nothing = (Some(0), "0 packets: the capture has none\n".to_owned(), String::new());
    assert_eq!(replay("empty.pcap", &[]), nothing);
    assert_eq!(replay("empty.pcap", &["--json"]), (Some(0), String::new(), String::new()));
    assert_eq!(replay("full.pcap", &[]).2, "", "no limit");
    write(rule);
    let (code, text, error) = replay("full.pcap", &[]);
    assert!(code == Some(0) && text.contains("pass") && !text.contains("limit"), "{text}{error}");
    let told = "octroi: rates are not applied: 3 packets that limits decided about (\"slow\") count as within them, and pass";
    assert!(error.starts_with(told) && error.lines().count() == 1, "{error}");
    let (code, _, error) = replay(".", &[]);
    assert!(code == Some(1) && error.contains("it is a directory; name a file in it"), "{error}");
    fs::write(path("text.pcap"), "not a capture at all, but text").expect("a directory of ours");
    let (code, _, error) = replay("text.pcap", &[]);
    assert!(code == Some(1) && error.contains("its first bytes are of neither pcap nor pcapng"), "{error}");
}
