//! Tests of whole files: helpers, and what holds where nothing is wrong.

mod actions;
mod example;
mod messages;
mod random;
mod services;
mod times;
mod values;

use std::num::NonZeroU32;

use super::*;
use crate::{
    anonymizer::{Anonymizer, Anonymizers},
    country::{Continent, CountryCode},
};

const MINIMAL: &str = "interfaces = [\"eth0\"]\n";

fn parse(text: &str) -> Result<Config, ConfigErrors> {
    Config::parse(text, Path::new("/etc/octroi/octroi.toml"))
}

/// The configuration of `text` after the interfaces.
fn accepted(text: &str) -> Config {
    parse(&format!("{MINIMAL}{text}")).expect("a valid configuration")
}

/// All that is printed about `text`, the whole file.
fn refused(text: &str) -> String {
    Config::parse(text, Path::new("f.toml")).expect_err(text).to_string()
}

/// The messages about `text` after the interfaces, without positions.
fn messages(text: &str) -> Vec<String> {
    let errors = parse(&format!("{MINIMAL}{text}")).expect_err(text);
    errors.problems().iter().map(|problem| problem.message().to_owned()).collect()
}

/// The messages about a rule that consists of `keys`.
fn rule_messages(keys: &str) -> Vec<String> {
    messages(&format!("[[rule]]\n{keys}"))
}

/// The messages about `keys` in a source.
fn source_messages(keys: &str) -> Vec<String> {
    rule_messages(&format!("name = \"r\"\naction = \"drop\"\nsource = {{ {keys} }}"))
}

fn source_of(keys: &str) -> Source {
    let config = accepted(&format!("[[rule]]\nname = \"r\"\naction = \"drop\"\nsource = {{ {keys} }}"));
    config.rules[0].source.clone()
}

fn action_of(keys: &str) -> Action {
    accepted(&format!("[[rule]]\nname = \"r\"\nsource = {{ any = true }}\n{keys}")).rules[0].action
}

fn country(code: &str) -> Place {
    Place::Country(CountryCode::parse(code).expect(code))
}

#[test]
fn interfaces_alone_give_the_defaults() {
    assert_eq!(
        accepted(""),
        Config {
            path: "/etc/octroi/octroi.toml".into(),
            interfaces: vec![InterfacePattern::parse("eth0").expect("a name")],
            mode: Mode::Auto,
            geoip: GeoIp { country: None, asn: None, anonymous: None, follow: true, max_change: Some(30) },
            policy: Defaults {
                default: DefaultVerdict::Pass,
                local: Local::Pass,
                malformed: Malformed::Drop
            },
            metrics: Some("127.0.0.1:9462".parse().expect("an address")),
            control: Control {
                socket: "/run/octroi/octroi.sock".into(),
                pins: "/sys/fs/bpf/octroi".into(),
                state: "/var/lib/octroi".into(),
                fallback: true,
                on_stop: OnStop::Keep,
                group: None,
            },
            rules: Vec::new(),
        }
    );
}

#[test]
fn every_setting_is_read() {
    let config = parse(
        r#"
        interfaces = ["eth0", "wan*", "eth0"]
        mode = "native"
        [geoip]
        country = "country.mmdb"
        asn = "/usr/share/GeoIP/asn.mmdb"
        anonymous = "anonymous.mmdb"
        [policy]
        default = "drop"
        local = "rules"
        malformed = "pass"
        [metrics]
        listen = "[::1]:9000"
        [control]
        socket = "/tmp/o.sock"
        pins = "/sys/fs/bpf/other"
        state = "/srv/octroi"
        fallback = false
        on_stop = "detach"
        group = "adm"
        "#,
    )
    .expect("a valid configuration");
    let interfaces: Vec<&str> = config.interfaces.iter().map(InterfacePattern::as_str).collect();
    assert_eq!(interfaces, ["eth0", "wan*"]);
    assert_eq!(config.mode, Mode::Native);
    assert_eq!(config.geoip.country, Some("/etc/octroi/country.mmdb".into()));
    assert_eq!(config.geoip.asn, Some("/usr/share/GeoIP/asn.mmdb".into()));
    assert_eq!(config.geoip.anonymous, Some("/etc/octroi/anonymous.mmdb".into()));
    assert_eq!(
        config.policy,
        Defaults { default: DefaultVerdict::Drop, local: Local::Rules, malformed: Malformed::Pass }
    );
    assert_eq!(config.metrics, Some("[::1]:9000".parse().expect("an address")));
    assert_eq!(
        config.control,
        Control {
            socket: "/tmp/o.sock".into(),
            pins: "/sys/fs/bpf/other".into(),
            state: "/srv/octroi".into(),
            fallback: false,
            on_stop: OnStop::Detach,
            group: Some("adm".into()),
        }
    );
    assert_eq!(accepted("mode = \"generic\"\nmetrics.listen = \"\"").metrics, None);
}

#[test]
fn messages_name_the_file_that_the_text_is_in_and_paths_start_where_it_is_to_stand() {
    let (path, named) = (Path::new("/etc/octroi/octroi.toml"), Path::new("new.toml"));
    let text = "interfaces = [\"eth0\"]\ngeoip.country = \"country.mmdb\"\n";
    let config = Config::parse_named(text, path, named).expect("a valid configuration");
    assert_eq!(config, parse(text).expect("the same"));
    let errors = Config::parse_named("interfaces = 7", path, named).expect_err("no list");
    assert!(errors.to_string().starts_with("new.toml:1:14: "), "{errors}");
    let errors = Config::parse_named("interfaces = [", path, named).expect_err("no TOML");
    assert!(errors.to_string().starts_with("new.toml:1:"), "{errors}");
}

#[test]
fn rules_are_read_in_order() {
    let config = accepted(
        r#"
        [[rule]]
        name = "partner"
        source = { country = ["cn"], asn = [58593] }
        action = "pass"
        note = "contract 4711, bd@example.org"

        [[rule]]
        name = "trial"
        action = "drop"
        observe = true
        [rule.source]
        not_country = ["AT", "unknown"]
        continent = ["EU", "as"]
        not_asn = [1, 4294967295]
        cidr = ["192.0.2.0/24", "2001:db8::1"]
        not_cidr = ["192.0.2.7"]
        list = ["blocked.txt", "/var/lib/lists/more.txt"]
        "#,
    );
    let [partner, trial] = config.rules.as_slice() else { panic!("two rules: {:?}", config.rules) };
    assert_eq!(
        partner,
        &Rule {
            name: "partner".to_owned(),
            source: Source {
                country: PlaceSet::new([country("CN")]),
                asn: Some(vec![58593]),
                ..Source::default()
            },
            action: Action::Pass,
            observe: false,
            note: Some("contract 4711, bd@example.org".to_owned()),
            service: None,
            from: None,
            until: None,
            ramp: 0,
            established: false,
        }
    );
    let network = |text: &str| text.parse().expect("a network");
    assert_eq!(
        trial,
        &Rule {
            name: "trial".to_owned(),
            source: Source {
                any: false,
                country: None,
                not_country: PlaceSet::new([country("AT"), Place::Unknown]),
                continent: Some(["EU", "AS"].map(|code| Continent::parse(code).expect(code)).to_vec()),
                asn: None,
                not_asn: Some(vec![1, u32::MAX]),
                cidr: Some(vec![network("192.0.2.0/24"), network("2001:db8::1/128")]),
                not_cidr: Some(vec![network("192.0.2.7/32")]),
                list: Some(vec!["/etc/octroi/blocked.txt".into(), "/var/lib/lists/more.txt".into()]),
                anonymous: None,
            },
            action: Action::Drop,
            observe: true,
            note: None,
            service: None,
            from: None,
            until: None,
            ramp: 0,
            established: true,
        }
    );
}

#[test]
fn any_stands_alone_or_with_other_keys() {
    assert_eq!(source_of("any = true"), Source { any: true, ..Source::default() });
    assert!(source_of("any = true, asn = [1]").any);
}

#[test]
fn kinds_of_anonymizer_are_one_set_whatever_the_case_and_the_order() {
    let of = |kinds: &str| {
        let rule = format!("name = \"r\"\naction = \"drop\"\nsource = {{ anonymous = [{kinds}] }}");
        accepted(&format!("geoip.anonymous = \"a.mmdb\"\n[[rule]]\n{rule}")).rules[0].source.anonymous
    };
    let set =
        |kinds: &[Anonymizer]| Some(kinds.iter().copied().map(Anonymizers::of).collect::<Anonymizers>());
    assert_eq!(of("\"vpn\""), set(&[Anonymizer::Vpn]));
    assert_eq!(of("\"TOR\", \"vpn\", \"tor\""), set(&[Anonymizer::Vpn, Anonymizer::Tor]));
    let named = "\"vpn\", \"tor\", \"proxy\", \"residential_proxy\", \"hosting\"";
    assert_eq!(of(named), Some(Anonymizers::ANY.without(Anonymizer::Other)));
    assert_eq!(of("\"any\", \"vpn\""), Some(Anonymizers::ANY));
}

#[test]
fn a_relative_path_starts_at_the_folder_of_the_file() {
    let text = format!("{MINIMAL}geoip.country = \"db/c.mmdb\"");
    let config = Config::parse(&text, Path::new("conf/o.toml")).expect("a valid configuration");
    assert_eq!(config.geoip.country, Some("conf/db/c.mmdb".into()));
    let config = Config::parse(&text, Path::new("o.toml")).expect("a valid configuration");
    assert_eq!(config.geoip.country, Some("db/c.mmdb".into()));
}
