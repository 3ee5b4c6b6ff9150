//! Standard names of DSCP values: RFC 2474 (CS), 2597 (AF), 3246 (EF), 5865 (VOICE-ADMIT), 8622 (LE).

/// The 6-bit value of a name in either case.
pub(super) fn by_name(name: &str) -> Option<u8> {
    NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|&(_, value)| value)
}

const NAMES: &[(&str, u8)] = &[
    ("BE", 0),
    ("DF", 0),
    ("CS0", 0),
    ("LE", 1),
    ("CS1", 8),
    ("AF11", 10),
    ("AF12", 12),
    ("AF13", 14),
    ("CS2", 16),
    ("AF21", 18),
    ("AF22", 20),
    ("AF23", 22),
    ("CS3", 24),
    ("AF31", 26),
    ("AF32", 28),
    ("AF33", 30),
    ("CS4", 32),
    ("AF41", 34),
    ("AF42", 36),
    ("AF43", 38),
    ("CS5", 40),
    ("VOICE-ADMIT", 44),
    ("EF", 46),
    ("CS6", 48),
    ("CS7", 56),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_selectors_and_assured_forwarding_follow_their_formulas() {
        for class in 0..=7 {
            assert_eq!(by_name(&format!("CS{class}")), Some(class * 8));
        }
        for class in 1..=4 {
            for drop in 1..=3 {
                assert_eq!(by_name(&format!("af{class}{drop}")), Some(class * 8 + drop * 2));
            }
        }
    }

    #[test]
    fn other_names_are_unknown() {
        for name in ["CS8", "AF14", "AF51", "", "46"] {
            assert_eq!(by_name(name), None, "{name}");
        }
    }
}
