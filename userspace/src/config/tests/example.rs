//! The packaged example and the reference of keys say what the reader does.

use super::*;

const EXAMPLE: &str = include_str!("../../../../packaging/octroi.toml");

/// The packaged example, with the settings that it comments out.
pub(super) fn uncommented_example() -> String {
    let setting = |line: &&str| line.starts_with('#') && !line.starts_with("# ") && line.len() > 1;
    EXAMPLE.lines().map(|line| if setting(&line) { &line[1..] } else { line }).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_packaged_example_loads_and_comments_out_only_defaults() {
    let example = parse(EXAMPLE).expect("the example is valid");
    assert_eq!(example, accepted(""));

    let all = parse(&uncommented_example()).expect("the example is valid without its comment signs");
    assert_eq!(all.rules.len(), 6);
    assert!(all.geoip.country.is_some() && all.geoip.asn.is_some());
    // None of these has a default that could be written down.
    let control = Control { group: None, ..all.control.clone() };
    assert_eq!(Config { rules: Vec::new(), geoip: GeoIp::default(), control, ..all }, example);
}

#[test]
fn the_packaged_example_shows_every_key() {
    let text = uncommented_example();
    let document = DeTable::parse(&text).expect("TOML").into_inner();
    for key in reference().iter().filter(|key| key.default.is_none_or(|d| d != "no rules")) {
        let name = key.name();
        let shown = match key.table() {
            "" => document.contains_key(name),
            "rule" => text.lines().any(|line| line.starts_with(&format!("{name} = "))),
            // Described above the rules; not each one is worth an example.
            "rule.source" => text.contains(name),
            table => {
                let table = document.get(table).and_then(|table| table.get_ref().as_table());
                table.is_some_and(|table| table.contains_key(name))
            }
        };
        assert!(shown, "packaging/octroi.toml does not show {}", key.path);
    }
}

#[test]
fn every_key_is_read() {
    // A wrong type is noticed only by whoever reads the key.
    for key in reference().iter() {
        let name = key.name();
        let text = match key.table() {
            "" => format!("{name} = 1979-05-27"),
            "rule" => format!("[[rule]]\n{name} = 1979-05-27"),
            "rule.source" => format!("[[rule]]\nsource.{name} = 1979-05-27"),
            table => format!("{table}.{name} = 1979-05-27"),
        };
        let printed = refused(&text);
        assert!(
            printed.contains(&format!("{name:?} is the date-time 1979-05-27; expected {}", key.kind)),
            "{printed}"
        );
    }
}
