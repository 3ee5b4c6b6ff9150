//! Databases of anonymizers: IPinfo's layout, oddities, CSV. MaxMind's is in `official`.

use serde_json::{Value, json};

use super::craft::mmdb;
use super::*;
use crate::anonymizer::Anonymizers;

/// The words for an address.
fn kinds(database: &Database, address: &str) -> Vec<&'static str> {
    database.lookup(address.parse().unwrap()).anonymous.words().collect()
}

fn anonymous(networks: &[(&str, Value)]) -> Database {
    let database = read(Kind::Anonymous, &mmdb(6, "Test", networks)).unwrap();
    assert_sound(&database);
    database
}

fn csv(text: &str) -> Database {
    let database = read(Kind::Anonymous, text.as_bytes()).unwrap();
    assert_sound(&database);
    database
}

fn error(text: &str) -> String {
    read(Kind::Anonymous, text.as_bytes()).unwrap_err().to_string()
}

#[test]
fn ipinfo_says_yes_and_no_with_booleans_or_with_words() {
    let flags = |vpn: Value, proxy: Value, tor: Value, relay: Value, hosting: Value| json!({"hosting": hosting, "proxy": proxy, "relay": relay, "service": "", "tor": tor, "vpn": vpn});
    let (yes, no) = (json!("true"), json!(""));
    for (yes, no) in
        [(yes, no), (json!("true"), json!("false")), (json!(true), json!(false)), (json!(1), json!(0))]
    {
        let database = anonymous(&[
            ("1.0.0.0/24", flags(yes.clone(), no.clone(), no.clone(), no.clone(), yes.clone())),
            ("1.0.1.0/24", flags(no.clone(), yes.clone(), no.clone(), no.clone(), no.clone())),
            ("1.0.2.0/24", flags(no.clone(), no.clone(), yes.clone(), no.clone(), no.clone())),
            ("1.0.3.0/24", flags(no.clone(), no.clone(), no.clone(), yes.clone(), no.clone())),
            ("1.0.4.0/24", flags(no.clone(), no.clone(), no.clone(), no.clone(), no.clone())),
            ("2a00::/32", flags(yes.clone(), no.clone(), no.clone(), yes.clone(), no.clone())),
        ]);
        assert_eq!(kinds(&database, "1.0.0.1"), ["vpn", "hosting"]);
        assert_eq!(kinds(&database, "1.0.1.1"), ["proxy"]);
        assert_eq!(kinds(&database, "1.0.2.1"), ["tor"]);
        assert_eq!(kinds(&database, "1.0.3.1"), ["other"], "a relay has no word of its own");
        assert!(kinds(&database, "1.0.4.1").is_empty() && kinds(&database, "9.9.9.9").is_empty());
        assert_eq!(kinds(&database, "2a00::1"), ["vpn"]);
        assert_eq!(database.notes, Vec::<String>::new());
    }
}

#[test]
fn an_anonymizer_without_a_kind_is_one_all_the_same() {
    let database = anonymous(&[
        ("1.0.0.0/24", json!({"is_anonymous": true})),
        ("1.0.1.0/24", json!({"is_anonymous": true, "is_residential_proxy": true})),
        ("1.0.2.0/24", json!({"is_anonymous": false})),
    ]);
    assert_eq!(kinds(&database, "1.0.0.1"), ["other"]);
    assert_eq!(kinds(&database, "1.0.1.1"), ["residential_proxy"]);
    assert!(kinds(&database, "1.0.2.1").is_empty());
    assert!(database.lookup([1, 0, 0, 1].into()).anonymous.intersects(Anonymizers::ANY));
}

#[test]
fn what_is_neither_yes_nor_no_is_taken_for_no_and_noted() {
    let database = anonymous(&[
        ("1.0.0.0/24", json!({"vpn": "perhaps", "tor": true})),
        ("1.0.1.0/24", json!({"vpn": 7, "tor": ["true"]})),
        ("2a00::/32", json!({"vpn": "perhaps"})),
    ]);
    assert_eq!(kinds(&database, "1.0.0.1"), ["tor"]);
    assert!(kinds(&database, "1.0.1.1").is_empty());
    assert_eq!(
        database.notes,
        [
            "unknown tor \"(not a boolean)\" in 1 record: taken for none",
            "unknown vpn \"7\" in 1 record: taken for none",
            "unknown vpn \"perhaps\" in 2 records: taken for none",
        ]
    );
}

#[test]
fn a_csv_file_has_kinds_separated_by_bars() {
    let text = "1.0.0.0,1.0.0.255,vpn\n1.0.1.0,1.0.1.255, VPN | hosting \n1.0.2.0,1.0.2.255,\n1.0.3.0,1.0.3.255,-\n\
                1.0.4.0,1.0.4.255,other\n2a00::,2a00::ff,residential_proxy\n";
    for text in [text.to_owned(), format!("start,end,kinds\n{text}"), format!("first,last,anonymous\n{text}")]
    {
        let database = csv(&text);
        assert_eq!(kinds(&database, "1.0.0.1"), ["vpn"]);
        assert_eq!(kinds(&database, "1.0.1.1"), ["vpn", "hosting"]);
        assert!(
            ["1.0.2.1", "1.0.3.1", "2a00::100"].iter().all(|address| kinds(&database, address).is_empty())
        );
        assert_eq!(kinds(&database, "1.0.4.1"), ["other"]);
        assert_eq!(kinds(&database, "2a00::1"), ["residential_proxy"]);
        assert_eq!((database.networks.v4, database.networks.v6), (5, 1));
    }
    assert_eq!(
        error("1.0.0.0,1.0.0.255,vpn|any\n"),
        "test.mmdb:1: \"any\" is no kind of anonymizer; give one of vpn, tor, proxy, residential_proxy, hosting, other, or \
         several separated by |"
    );
    assert_eq!(error("1.0.0.0,1.0.0.255\n"), "test.mmdb:1: 2 columns, no kinds: give start,end,kinds");
}

#[test]
fn the_publishers_own_csv_files_are_read_by_their_headers() {
    let ipinfo = csv("start_ip,end_ip,join_key,hosting,proxy,tor,vpn,relay,service\n\
                      1.0.0.0,1.0.0.255,1.0.0.0,true,,,true,,NordVPN\n2a00::,2a00::ff,2a00::,,,,,true,\n");
    let network = csv("network,hosting,proxy,tor,relay,vpn,service\n\
                       1.0.0.0/24,true,false,false,false,true,NordVPN\n2a00::/120,false,false,false,true,false,\n");
    let maxmind =
        csv("network,is_anonymous,is_anonymous_vpn,is_hosting_provider,is_public_proxy,is_tor_exit_node,\
                       is_residential_proxy\n1.0.0.0/24,1,1,1,0,0,0\n2a00::/120,1,0,0,0,0,0\n");
    for database in [ipinfo, network, maxmind] {
        assert_eq!(kinds(&database, "1.0.0.255"), ["vpn", "hosting"]);
        assert_eq!(kinds(&database, "2a00::ff"), ["other"]);
        assert!(kinds(&database, "1.0.1.0").is_empty() && kinds(&database, "2a00::100").is_empty());
    }
    assert_eq!(
        error("network,vpn\n1.0.0.1/24,true\n"),
        "test.mmdb:2: network \"1.0.0.1/24\" has bits set after its prefix length; the network is 1.0.0.0/24"
    );
    assert_eq!(
        error("network,country\n"),
        "test.mmdb:1: the header has no column kinds or anonymous; name one so"
    );
}

#[test]
fn special_purpose_space_is_kept_as_published_and_noted() {
    let database = csv("10.0.0.0,10.255.255.255,vpn\n1.0.0.0,1.0.0.255,vpn\n");
    assert_eq!(kinds(&database, "10.1.2.3"), ["vpn"]);
    assert_eq!(database.notes, ["1 range in special-purpose space ignored (10.0.0.0)"]);
}
