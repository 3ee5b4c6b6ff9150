//! `octroi explain` as scripts see it: for a service and a time, as text, as JSON and over standard input.

use std::{
    fs,
    io::Write,
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};

const POLICY: &str = r#"
[[rule]]
name = "web"
source.country = ["CN"]
service = ["tcp/443", "udp/443"]
action = "drop"
from = 2026-07-09T00:00:00Z
until = 2026-08-09T00:00:00Z

[[rule]]
name = "rest"
source.country = ["CN"]
service = ["icmp"]
action = "limit"
rate = 10
per = "source"
"#;

/// Runs `octroi explain` over that policy, with `input` on its standard input.
fn explain(arguments: &[&str], input: &str) -> Output {
    let folder = tempfile::tempdir().expect("make a temporary directory");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("write into a directory of ours");
        path
    };
    write("country.csv", "1.0.1.0,1.0.3.255,CN\n240e::,240e:ffff:ffff:ffff:ffff:ffff:ffff:ffff,CN\n");
    write("asn.csv", "1.0.2.0,1.0.2.255,58593,Azure China\n");
    let databases = "geoip.country = \"country.csv\"\ngeoip.asn = \"asn.csv\"\n";
    let config = write("octroi.toml", &format!("interfaces = [\"none0\"]\n{databases}{POLICY}"));
    let mut child = Command::new(env!("CARGO_BIN_EXE_octroi"))
        .arg("explain")
        .args(arguments)
        .arg("-c")
        .arg(config)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("run octroi");
    // Few lines, which fit into a pipe; whoever takes no input has closed it.
    let _ = child.stdin.take().expect("piped above").write_all(input.as_bytes());
    child.wait_with_output().expect("wait for octroi")
}

/// The object that it prints.
fn told(arguments: &[&str]) -> Value {
    let output = explain(&[arguments, &["--json"]].concat(), "");
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

const ADDRESS: &str = "1.0.1.1";
const BEFORE: &str = "2026-07-08T23:59:59Z";
const DURING: &str = "2026-07-09T00:00:00Z";
const AFTER: &str = "2026-08-09T00:00:00Z";

#[test]
fn the_object_has_each_rule_at_that_time_and_for_that_service() {
    let found = told(&[ADDRESS, "--port", "tcp/443", "--at", DURING]);
    let keys: Vec<&str> = found.as_object().expect("an object").keys().map(String::as_str).collect();
    for key in [
        "address",
        "family",
        "prefix",
        "country",
        "asn",
        "organization",
        "anonymous",
        "verdict",
        "rule",
        "rules",
        "databases",
    ] {
        assert!(keys.contains(&key), "no {key} in {found}");
    }
    assert_eq!(
        (&found["address"], &found["verdict"], &found["rule"]),
        (&json!(ADDRESS), &json!("drop"), &json!("web"))
    );
    assert_eq!(
        found["rules"],
        json!([
            {"name": "web", "action": "drop", "stage": "enforce", "matched": true,
             "reason": "matches, and decides; packets of connections that exist go on; it ends at 2026-08-09T00:00:00Z"},
            {"name": "rest", "action": "limit", "stage": "enforce", "matched": false, "reason": "it is for icmp only"},
        ])
    );
}

#[test]
fn the_verdict_is_that_of_the_time_and_the_service() {
    for (port, at, verdict, rule, stage) in [
        ("tcp/443", BEFORE, "pass", json!(null), "observe"),
        ("tcp/443", DURING, "drop", json!("web"), "enforce"),
        ("udp/443", DURING, "drop", json!("web"), "enforce"),
        // The same instant, and one a nanosecond before it.
        ("tcp/443", "2026-07-09T02:00:00+02:00", "drop", json!("web"), "enforce"),
        ("tcp/443", "2026-07-08T23:59:59.999999999Z", "pass", json!(null), "observe"),
        ("tcp/80", DURING, "pass", json!(null), "enforce"),
        ("47", DURING, "pass", json!(null), "enforce"),
        ("icmp", DURING, "limit", json!("rest"), "enforce"),
        ("tcp/443", AFTER, "pass", json!(null), "expired"),
    ] {
        for address in [ADDRESS, "240e::1"] {
            let found = told(&[address, "--port", port, "--at", at]);
            assert_eq!(
                (&found["verdict"], &found["rule"]),
                (&json!(verdict), &rule),
                "{address} {port} {at}"
            );
            assert_eq!(found["rules"][0]["stage"], stage, "{address} {port} {at}");
        }
    }
    // Without a service, rules about some count as matching.
    assert_eq!(told(&[ADDRESS, "--at", DURING])["rule"], "web");
    assert_eq!(told(&[ADDRESS, "--at", AFTER])["rule"], "rest");
}

#[test]
fn people_are_told_the_same_in_words() {
    let output = explain(&[ADDRESS, "--port", "tcp/80", "--at", BEFORE], "");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    for line in [
        "rule         web                      drop  observe  no       it is for tcp/443, udp/443 only",
        "rule         rest                     limit enforce  no       it is for icmp only",
        "verdict      pass: no rule matches, and policy.default is \"pass\"",
    ] {
        assert!(text.lines().any(|found| found == line), "no {line:?} in\n{text}");
    }
}

#[test]
fn every_address_of_standard_input_is_asked_about_for_that_service_and_time() {
    let input = format!("{ADDRESS}\n240e::1\n9.9.9.9\n::ffff:{ADDRESS}\n");
    let lines = |arguments: &[&str]| {
        let output = explain(&[&["-"], arguments].concat(), &input);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("UTF-8").lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let during =
        ["1.0.1.1 drop web CN - 1.0.1.0/24", "240e::1 drop web CN - 240e::/16", "9.9.9.9 pass - unknown - "];
    let found = lines(&["--port", "udp/443", "--at", DURING]);
    assert_eq!(found.len(), 4);
    assert_eq!((&*found[0], &*found[1], &*found[3]), (during[0], during[1], during[0]));
    assert!(found[2].starts_with(during[2]), "{found:?}");
    let found = lines(&["--port", "udp/443", "--at", BEFORE]);
    assert!(found[0].starts_with("1.0.1.1 pass - CN"), "{found:?}");
    let json = lines(&["--json", "--port", "icmp", "--at", BEFORE]);
    let of = |line: &str| serde_json::from_str::<Value>(line).expect("an object on each line");
    assert_eq!((json.len(), &of(&json[1])["verdict"]), (4, &json!("limit")));
}

#[test]
fn what_is_no_service_and_no_time_is_wrong_usage_and_says_what_is() {
    for (option, value, words) in [
        ("--port", "443", "443 is no protocol; for a port, write tcp/443 or udp/443"),
        ("--port", "tcp", "tcp has no port; write tcp/443"),
        ("--port", "tcp/0", "\"0\" is no port: 1 to 65535"),
        ("--port", "tcp/65536", "\"65536\" is no port: 1 to 65535"),
        ("--port", "tcp/443-444", "is no port"),
        ("--port", "sctp/443", "\"sctp\" is no protocol: tcp, udp, icmp or a number to 255"),
        ("--port", "icmp/8", "icmp has no ports; write icmp"),
        ("--port", "256", "is no protocol"),
        ("--port", "65536", "\"65536\" is no protocol: tcp, udp, icmp or a number to 255"),
        ("--at", "2026-07-09", "has no time of day; write it as 2026-07-09T00:00:00Z"),
        ("--at", "tomorrow", "not a time; write one as 2026-07-09T00:00:00Z"),
        ("--at", "2026-07-09T00:00:00", "has no offset from UTC; write it as 2026-07-09T00:00:00Z"),
        ("--at", "1969-12-31T23:59:59Z", "before 1970"),
        ("--at", "2996-01-01T00:00:00Z", "after 2554-07-21T23:34:33Z"),
        ("--at", "9999-12-31T23:59:59Z", "after 2554-07-21T23:34:33Z"),
    ] {
        let output = explain(&[ADDRESS, option, value], "");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{option} {value}: {error}");
        assert!(error.contains(words), "no {words:?} in {error}");
    }
}

#[test]
fn leases_that_are_not_looked_at_are_told() {
    let folder = tempfile::tempdir().expect("make a temporary directory");
    let at = |name: &str| folder.path().join(name);
    let (config, state, socket) = (at("octroi.toml"), at("state"), at("socket"));
    let control = format!("[control]\nsocket = {socket:?}\nstate = {state:?}\n");
    fs::write(&config, format!("interfaces = [\"none0\"]\n{control}")).expect("in a directory of ours");
    let told = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_octroi"));
        let output = command.args(["explain", ADDRESS, "-c"]).arg(&config).output().expect("run octroi");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert_eq!(told(), "", "no daemon, and no leases");
    fs::create_dir(&state).expect("in a directory of ours");
    let lease = |until: &str| {
        let text = format!(
            "{{\"leases\":[{{\"prefix\":\"192.0.2.1\",\"action\":\"drop\",\"since\":\"2026-01-01T00:00:00Z\",\
             \"until\":\"{until}\"}}]}}"
        );
        fs::write(state.join("leases.json"), text).expect("in a directory of ours");
    };
    lease("2026-01-02T00:00:00Z");
    assert_eq!(told(), "", "over");
    lease("2126-01-01T00:00:00Z");
    let error = told();
    assert!(error.starts_with("octroi: leases, which come before the rules, were not looked at"), "{error}");
    assert!(error.contains("leases.json keeps some") && error.lines().count() == 1, "{error}");
    let _listening = std::os::unix::net::UnixListener::bind(&socket).expect("in a directory of ours");
    assert!(told().contains("a daemon runs: --live asks it"));
}
