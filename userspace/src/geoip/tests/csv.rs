//! CSV files.

use super::*;
use crate::geoip::Origin;

fn error(kind: Kind, text: &str) -> String {
    read(kind, text.as_bytes()).unwrap_err().to_string()
}

#[test]
fn ranges_of_both_families_in_any_order() {
    let text =
        "2a00::,2a00:ffff:ffff:ffff:ffff:ffff:ffff:ffff,ch\n1.0.1.0,1.0.1.255,CN\r\n\n1.0.0.0,1.0.0.255,AU";
    let database = read(Kind::Country, text.as_bytes()).unwrap();
    assert_sound(&database);
    assert_eq!(country_of(&database, "0.255.255.255"), None);
    assert_eq!(country_of(&database, "1.0.0.0"), Some("AU"));
    assert_eq!(country_of(&database, "1.0.1.255"), Some("CN"));
    assert_eq!(country_of(&database, "1.0.2.0"), None);
    assert_eq!(country_of(&database, "2a00:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), Some("CH"));
    assert_eq!(country_of(&database, "2a01::"), None);
    assert_eq!((database.networks.v4, database.networks.v6), (2, 1));
    assert_eq!((&*database.database_type, database.built), ("csv", MODIFIED));
    assert_eq!(database.origin, Origin::File("test.mmdb".into()));
}

#[test]
fn the_name_of_the_file_does_not_matter_and_built_is_its_last_change() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("country.mmdb");
    std::fs::write(&path, "0.0.0.0,255.255.255.255,AU\n").unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_234_567)).unwrap();
    let database = Database::open(Kind::Country, &path).unwrap();
    assert_eq!(database.built, 1_234_567);
    assert_eq!(database.v4, [(0, 1)]);
}

#[test]
fn organisations_with_commas_and_quotes() {
    let text = "1.0.0.0,1.0.0.255,13335,\"Cloudflare, Inc.\"\n1.0.1.0,1.0.1.255,AS7,\"the \"\"A\"\" team\"\n1.0.2.0,1.0.2.255,8";
    let database = read(Kind::Asn, text.as_bytes()).unwrap();
    let of = |address: &str| {
        let record = database.lookup(address.parse().unwrap());
        (record.asn, record.organization.as_deref())
    };
    assert_eq!(of("1.0.0.1"), (Some(13335), Some("Cloudflare, Inc.")));
    assert_eq!(of("1.0.1.1"), (Some(7), Some("the \"A\" team")));
    assert_eq!(of("1.0.2.1"), (Some(8), None));
}

#[test]
fn addresses_as_numbers() {
    let text = "16777216,16777471,AU\n42540528726795050063891204319802818560,42540528806023212578155541913346768895,JP\n";
    let database = read(Kind::Country, text.as_bytes()).unwrap();
    assert_eq!(country_of(&database, "1.0.0.255"), Some("AU"));
    assert_eq!(country_of(&database, "2001:200::1"), Some("JP"));
}

/// The first lines of IP2LOCATION-LITE-DB1.IPV6.CSV, and two of its others: IPv4 is in `::ffff:0:0/96` only, and what lies
/// before it starts at 0, which fits an IPv4 address.
#[test]
fn an_ipv6_list_of_ip2location_has_ipv4_too() {
    let text = "\"0\",\"281470681743359\",\"-\",\"-\"\r\n\
                \"281470681743360\",\"281470698520575\",\"-\",\"-\"\r\n\
                \"281470698520576\",\"281470698520831\",\"AU\",\"Australia\"\r\n\
                \"281470698520832\",\"281470698521599\",\"CN\",\"China\"\r\n\
                \"281474976710656\",\"42540528726795050063891204319802818559\",\"-\",\"-\"\r\n\
                \"42540528726795050063891204319802818560\",\"42540528806023212578155541913346768895\",\"JP\",\"Japan\"\r\n";
    let database = read(Kind::Country, text.as_bytes()).unwrap();
    assert_sound(&database);
    for (address, country) in [
        ("0.255.255.255", None),
        ("1.0.0.0", Some("AU")),
        ("1.0.0.255", Some("AU")),
        ("1.0.1.0", Some("CN")),
        ("1.0.3.255", Some("CN")),
        ("1.0.4.0", None),
        ("2001:200::", Some("JP")),
        ("2001:200:ffff:ffff:ffff:ffff:ffff:ffff", Some("JP")),
        ("2001:201::", None),
        ("::", None),
        ("::ffff:1.0.0.1", None),
    ] {
        assert_eq!(country_of(&database, address), country, "{address}");
    }
    assert_eq!((database.networks.v4, database.networks.v6), (3, 3));
    assert_eq!(database.notes, Vec::<String>::new());
}

#[test]
fn a_header_names_the_columns() {
    let text = "\u{feff}start_ip,end_ip,country,country_name,continent\n1.0.0.0,1.0.0.255,AU,Australia,OC\n";
    let database = read(Kind::Country, text.as_bytes()).unwrap();
    assert_eq!(
        (country_of(&database, "1.0.0.1"), continent_of(&database, "1.0.0.1")),
        (Some("AU"), Some("OC"))
    );

    let text = "org,asn,end,start\nSomebody,AS5,1.0.0.255,1.0.0.0\n";
    let database = read(Kind::Asn, text.as_bytes()).unwrap();
    assert_eq!(database.lookup("1.0.0.1".parse().unwrap()).organization.as_deref(), Some("Somebody"));

    let text = error(Kind::Country, "start,end,asn\n1.0.0.0,1.0.0.255,5\n");
    assert_eq!(text, "test.mmdb:1: the header has no column country_code or country; name one so");
}

#[test]
fn a_column_of_networks_stands_for_start_and_end() {
    let text = "network,country,asn\n1.0.0.0/24,AU,5\n1.0.1.7,CN,6\n2a00::/32,CH,7\n";
    let database = read(Kind::Country, text.as_bytes()).unwrap();
    assert_sound(&database);
    assert_eq!(country_of(&database, "1.0.0.255"), Some("AU"));
    assert_eq!((country_of(&database, "1.0.1.7"), country_of(&database, "1.0.1.8")), (Some("CN"), None));
    assert_eq!(country_of(&database, "2a00:0:ffff:ffff:ffff:ffff:ffff:ffff"), Some("CH"));
    let database = read(Kind::Asn, text.as_bytes()).unwrap();
    assert_eq!(database.lookup("1.0.1.7".parse().unwrap()).asn, Some(6));
}

#[test]
fn a_bad_line_is_an_error_with_its_number() {
    for (line, reason) in [
        ("1.0.0.0,1.0.0.255", "2 columns, no country: give start,end,country"),
        ("1.0.0.300,1.0.0.255,AU", "\"1.0.0.300\" is no address"),
        ("1.0.0.9,1.0.0.1,AU", "the range ends at 1.0.0.1, before its start 1.0.0.9"),
        ("1.0.0.9,::1,AU", "1.0.0.9 and ::1 are of two address families"),
        ("1.0.0.9,281470681743359,AU", "1.0.0.9 and 281470681743359 are of two address families"),
        ("9,::8,AU", "the range ends at ::8, before its start 9"),
        ("281470681743359,9,AU", "the range ends at 9, before its start 281470681743359"),
        ("1.0.0.9,1.0.0.9,13335", "\"13335\" is no country code; give a list of ASNs as [geoip] asn"),
        ("1.0.0.9,1.0.0.9,\"AU", "a quote is not closed on its line"),
        ("1.0.0.9,1.0.0.9,\"A\"U", "\"U\" follows a closing quote; put a comma there"),
        (
            "340282366920938463463374607431768211456,1.0.0.9,AU",
            "340282366920938463463374607431768211456 is larger than any address",
        ),
    ] {
        let text = format!("9.0.0.0,9.0.0.255,AU\n\n{line}\n");
        assert_eq!(error(Kind::Country, &text), format!("test.mmdb:3: {reason}"));
    }
    assert_eq!(
        error(Kind::Asn, "1.0.0.9,1.0.0.9,AU\n"),
        "test.mmdb:1: \"AU\" is no ASN; give 123 or AS123, or a list of countries as [geoip] country"
    );
}

#[test]
fn overlapping_lines_are_an_error_that_names_both() {
    assert_eq!(
        error(Kind::Country, "2.0.0.0,2.0.0.9,AU\n1.0.0.0,1.0.9.255,AU\n1.0.1.0,1.0.1.255,CN\n"),
        "test.mmdb:3: 1.0.1.0-1.0.1.255 overlaps 1.0.0.0-1.0.9.255 of line 2; every address may be in one range only"
    );
    assert_eq!(
        error(Kind::Country, "1.0.1.0,1.0.1.255,CN\n1.0.0.0,1.0.9.255,AU\n"),
        "test.mmdb:2: 1.0.0.0-1.0.9.255 overlaps 1.0.1.0-1.0.1.255 of line 1; every address may be in one range only"
    );
    let text = error(Kind::Country, "2a00::,2a00::9,AU\n2a00::9,2a00::a,AU\n");
    assert!(text.contains("2a00::9-2a00::a overlaps 2a00::-2a00::9 of line 1"), "{text}");
}

#[test]
fn pseudo_codes_special_space_and_mapped_addresses_are_noted() {
    let text = "1.0.0.0,1.0.0.255,EU\n10.0.0.0,10.0.0.255,AU\n::ffff:1.0.0.0,::ffff:1.0.0.255,AU\n1.0.1.0,1.0.1.255,-\n";
    let database = read(Kind::Country, text.as_bytes()).unwrap();
    assert_eq!(country_of(&database, "1.0.0.1"), None);
    assert_eq!(country_of(&database, "::ffff:1.0.0.1"), None);
    assert_eq!(database.networks.v6, 0);
    assert_eq!(
        database.notes,
        [
            "unknown country \"EU\" in 1 record: taken for none",
            "1 range in special-purpose space ignored (10.0.0.0)",
            "ranges inside ::ffff:0:0/96 ignored: 1; the file has IPv4 ranges that are written as IPv4",
        ]
    );
}

#[test]
fn text_that_is_no_list_is_an_error() {
    assert_eq!(
        error(Kind::Country, "<html>not found</html>\n"),
        "test.mmdb is not a valid database: it is HTML or XML, such as a server's error page; fetch it again"
    );
    assert_eq!(
        error(Kind::Country, "1.0.0.0,1.0.0.9\n"),
        "test.mmdb:1: 2 columns, no country: give start,end,country"
    );
    assert_eq!(
        error(Kind::Country, "\n\n"),
        "test.mmdb is not a valid database: it has no line with a range; fetch it again"
    );
    assert_eq!(
        error(Kind::Country, "start,end,country\n"),
        "test.mmdb is not a valid database: it has no line with a range; fetch it again"
    );
}
