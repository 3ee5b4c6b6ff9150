//! All lints at once, and none where nothing is odd.

use super::*;

/// Each lint once, in the order in which they are printed.
#[test]
fn a_configuration_with_everything_that_is_odd_is_told_all_of_it() {
    let text = r#"
        [policy]
        default = "drop"

        [[rule]]
        name = "old"
        source = { country = ["CN"] }
        action = "pass"
        until = 2026-01-01T00:00:00Z

        [[rule]]
        name = "unsupported"
        source = { country = ["CN", "AQ"] }
        action = "drop"

        [[rule]]
        name = "partner"
        source = { country = ["CN"], asn = [58593, 64500] }
        action = "pass"

        [[rule]]
        name = "again"
        source = { cidr = ["1.0.1.0/24"] }
        action = "reject"

        [[rule]]
        name = "lan"
        source = { cidr = ["192.168.0.0/16"] }
        action = "pass"

        [[rule]]
        name = "nobody"
        source = { country = ["DE"], asn = [58593] }
        action = "drop"

        [[rule]]
        name = "high"
        source = { country = ["KP"] }
        service = ["tcp/1024-65535", "icmp"]
        action = "drop"
        established = "drop"

        [[rule]]
        name = "names"
        source = { country = ["AU"] }
        service = ["udp"]
        action = "drop"
    "#;
    let login = Login { address: "5.1.64.7".parse().expect("an address"), port: 22 };
    let found = warned_at(text, &Surroundings { login: Some(login), ..HERE });
    for warning in &found {
        println!("{warning}");
    }
    let starts = [
        "rule \"old\" is over: ",
        "rule \"unsupported\" names AQ (Antarctica) in country, ",
        "rule \"partner\" names AS64500 in asn, ",
        "rule \"partner\" passes nothing: rule \"unsupported\" above it drops ",
        "rule \"again\" never matches: rule \"unsupported\" above it decides ",
        "rule \"lan\" never matches: its source is local only, ",
        "rule \"nobody\" never matches: no address has all that its source asks for, ",
        "rule \"high\" drops answers to this host's own connections: ",
        "rule \"high\" drops ICMP, ",
        "rule \"names\" drops answers to questions that this host asks ",
        "policy.default is \"drop\" and no rule passes 5.1.64.7, ",
    ];
    let as_expected = found.iter().zip(starts).all(|(warning, start)| warning.starts_with(start));
    assert!(as_expected && found.len() == starts.len(), "{found:#?}");
    assert!(found.iter().all(|warning| warning.contains("; ")), "each says what to do: {found:#?}");
}

#[test]
fn the_packaged_example_has_nothing_odd_over_the_embedded_databases() {
    let example = include_str!("../../../../packaging/octroi.toml");
    let setting = |line: &&str| line.starts_with('#') && !line.starts_with("# ") && line.len() > 1;
    let text = example.lines().map(|line| if setting(&line) { &line[1..] } else { line });
    // Its paths are of files that are not here.
    let text: Vec<&str> = text.filter(|line| !line.contains(".mmdb\"")).collect();
    let config =
        Config::parse(&text.join("\n"), Path::new("/test.toml")).unwrap_or_else(|errors| panic!("{errors}"));
    assert!(config.geoip.country.is_none() && config.rules.len() > 4);
    let databases = Databases::open(&config).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(warnings(&config, &databases, &HERE), [""; 0]);
}
