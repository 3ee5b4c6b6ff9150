//! Countries and autonomous systems that no database knows.

use super::*;

#[test]
fn a_country_that_the_database_has_no_network_of_is_named() {
    assert_eq!(
        warned(&rule("south", r#"country = ["CN", "AQ"]"#, "drop", "")),
        [
            "rule \"south\" names AQ (Antarctica) in country, and the country database (country.csv) has no network in it: \
             that matches nothing; check it, or use a database that knows it"
        ]
    );
    assert_eq!(
        warned(&rule("r", r#"not_country = ["AQ", "AX", "CN", "unknown"]"#, "drop", "")),
        [
            "rule \"r\" names AQ (Antarctica), AX (Åland Islands) in not_country, and the country database (country.csv) has \
             no network in them: that excludes nothing; check them, or use a database that knows them"
        ]
    );
    assert_eq!(warned(&rule("r", r#"country = ["CN", "CH", "unknown"]"#, "drop", "")), [""; 0]);
}

#[test]
fn an_autonomous_system_without_prefixes_is_named() {
    assert_eq!(
        warned(&rule("r", "asn = [15169, 64500]", "drop", "")),
        [
            "rule \"r\" names AS64500 in asn, and the ASN database (asn.csv) has no network of it: that matches nothing; \
             check it, or use a database that knows it"
        ]
    );
    assert_eq!(
        warned(&rule("r", "not_asn = [3, 2, 1, 3, 5, 4, 7, 58593]", "drop", "")),
        [
            "rule \"r\" names AS1, AS2, AS3, AS4, AS5 and 1 more in not_asn, and the ASN database (asn.csv) has no network of \
             them: that excludes nothing; check them, or use a database that knows them"
        ]
    );
}
