//! `geoip.anonymous` and `source.anonymous` end to end: MaxMind's official test file, and what commands and metrics say.

use std::path::PathBuf;

use octroi_tests::{
    gate::{Gate, Setup},
    netns::Lab,
};

const NAME: &str = "GeoIP2-Anonymous-IP-Test.mmdb";
const RULE: &str = "[[rule]]\nname = \"tor\"\nsource = { anonymous = [\"tor\"] }\naction = \"drop\"\n";

fn official() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../userspace/testdata/mmdb")).join(NAME)
}

#[test]
fn a_gate_drops_tor_exits_and_says_why_and_by_which_database() {
    let lab = Lab::new();
    let policy = format!("[geoip]\nanonymous = {:?}\n{RULE}", official());
    let gate = Gate::start(&lab, &policy);

    let report = gate.octroi(["check", "--json"]).json();
    assert_eq!(report["databases"][2]["kind"], "anonymous", "{report}");
    assert_eq!(report["databases"][2]["type"], "GeoIP2-Anonymous-IP");
    assert!(
        gate.octroi(["check"])
            .success()
            .contains("GeoIP2-Anonymous-IP-Test.mmdb (GeoIP2-Anonymous-IP), built 20")
    );

    // The file's own: nothing but a Tor exit, every kind, nothing but a VPN.
    for (address, kinds, verdict) in [
        ("65.0.0.1", &["tor"][..], "drop"),
        ("81.2.69.1", &["vpn", "tor", "proxy", "residential_proxy", "hosting"], "drop"),
        ("1.2.0.1", &["vpn"], "pass"),
        ("9.9.9.9", &[], "pass"),
    ] {
        for options in [&[][..], &["--live"]] {
            let explained = gate.octroi(["explain", address, "--json"].iter().chain(options)).json();
            assert_eq!(explained["anonymous"], serde_json::json!(kinds), "{explained}");
            assert_eq!(explained["verdict"], verdict, "{explained}");
            assert_eq!(explained["databases"][2]["kind"], "anonymous", "{explained}");
        }
    }
    let text = gate.octroi(["explain", "1.2.0.1"]).success();
    assert!(text.contains("\nanonymizer   vpn\n") && text.contains("anonymizer is vpn, not among"), "{text}");

    let metrics = gate.metrics();
    let built = metrics.get("octroi_geoip_build_timestamp_seconds", &[("database", "anonymous")]);
    assert!(built > Some(1_400_000_000.0), "{built:?}");
    let networks = metrics.get("octroi_geoip_networks", &[("database", "anonymous"), ("family", "ipv4")]);
    assert!(networks > Some(5.0), "{networks:?}");
}

#[test]
fn a_rule_about_anonymizers_without_a_database_is_refused_with_the_next_step() {
    let lab = Lab::new();
    let gate = Gate::prepare(&lab, Setup::new(RULE));
    let refused = gate.octroi(["check"]);
    assert_eq!(refused.status.code(), Some(78), "{refused}");
    assert!(refused.stderr.contains("none is embedded; name one in [geoip]"), "{refused}");
}
