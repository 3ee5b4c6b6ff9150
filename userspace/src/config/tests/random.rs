//! Whatever a file contains, the reader answers: a configuration or errors that can be printed.

use proptest::prelude::*;
use proptest::{collection, sample};

use super::example::uncommented_example;
use super::*;

/// Lines that files are made of, right and wrong ones.
fn line() -> impl Strategy<Value = String> {
    let name = sample::select(reference()).prop_map(|key| key.name().to_owned());
    let value = sample::select(vec![
        "\"drop\"",
        "\"tag\"",
        "\"x\"",
        "\"é\"",
        "[]",
        "{}",
        "[\"UK\", \"CN\"]",
        "[1, \"AS2\"]",
        "0",
        "-1",
        "0xffff_ffff_ffff",
        "true",
        "{ any = true }",
        "{ cidr = [\"1.2.3.4/8\", \"::ffff:0:0/95\"] }",
        "2026-07-09T00:00:00Z",
        "2026-07-09",
        "9999-12-31T23:59:59.999999999+23:59",
        "\"é/65536-0\"",
        "[\"tcp/443\", \"443/tcp\", \"é:é\", 47, 443]",
        "\"14d\"",
        "\"limit\"",
        "\"source\"",
        "nan",
        "\"\"\"\n\n\"\"\"",
    ]);
    let header = sample::select(vec![
        "[[rule]]",
        "[rule.source]",
        "[geoip]",
        "[policy]",
        "[metrics]",
        "[control]",
        "[[rule]] # é",
        "",
    ]);
    prop_oneof![
        3 => (name, value).prop_map(|(name, value)| format!("{name} = {value}")),
        1 => header.prop_map(str::to_owned),
        2 => (any::<u32>(), sample::select(vec![
            "action = \"drop\"",
            "action = \"reject\"\nservice = [\"tcp/443\", \"icmp\"]\nestablished = \"drop\"",
            "action = \"limit\"\nrate = 5\nper = \"source\"",
            "action = \"pass\"\nfrom = 2026-07-09T00:00:00Z\nramp = \"14d\"",
        ])).prop_map(|(number, keys)| {
            format!("[[rule]]\nname = \"{number}\"\nsource.asn = [1]\n{keys}")
        }),
    ]
}

proptest! {
    #[test]
    fn no_service_and_no_duration_makes_the_reader_panic(text in "(tcp|udp|icmp|tpc)?[-/:0-9 é]{0,12}[a-z]{0,4}") {
        let quoted = text.escape_debug().to_string();
        let rule = "[[rule]]\nname = \"r\"\nsource.any = true\naction = \"drop\"\nfrom = 2026-07-09T00:00:00Z\n";
        for keys in [format!("service = [\"{quoted}\"]"), format!("ramp = \"{quoted}\"")] {
            match parse(&format!("{MINIMAL}{rule}{keys}")) {
                Ok(config) => prop_assert!(config.rules[0].service.as_ref().is_none_or(|s| !s.entries.is_empty())),
                Err(errors) => prop_assert_eq!(errors.problems().len(), 1, "{}", errors),
            }
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,200}") {
        let _ = parse(&text).map_err(|errors| errors.to_string());
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in collection::vec(0u8.., 0..200)) {
        let _ = parse(&String::from_utf8_lossy(&bytes)).map_err(|errors| errors.to_string());
    }

    #[test]
    fn no_mixture_of_keys_makes_the_reader_panic_or_lose_a_rule(
        lines in collection::vec(line(), 0..20),
    ) {
        let text = format!("{MINIMAL}{}", lines.join("\n"));
        match parse(&text) {
            Ok(config) => prop_assert_eq!(config.rules.len(), text.matches("[[rule]]").count()),
            Err(errors) => prop_assert!(!errors.problems().is_empty() && !errors.to_string().is_empty()),
        }
    }

    #[test]
    fn the_example_cut_or_with_another_byte_makes_no_panic(at in 0usize..5000, byte in 0u8..128, cut: bool) {
        let mut bytes = uncommented_example().into_bytes();
        let at = at % bytes.len();
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        let _ = parse(&String::from_utf8_lossy(&bytes)).map_err(|errors| errors.to_string());
    }
}
