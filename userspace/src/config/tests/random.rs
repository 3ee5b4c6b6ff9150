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
        2 => any::<u32>().prop_map(|number| {
            format!("[[rule]]\nname = \"{number}\"\nsource.asn = [1]\naction = \"drop\"")
        }),
    ]
}

proptest! {
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
