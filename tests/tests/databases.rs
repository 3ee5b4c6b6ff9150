//! Published databases, whole: octroi's reader beside the `maxminddb` crate's; and every layout by `octroi check`.
#![allow(clippy::print_stderr, reason = "figures of a test")]

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
    process::Command,
};

use maxminddb::{PathElement, Reader};
use maxminddb_writer::{Database as Writer, metadata::IpVersion};
use octroi::{
    country::CountryCode,
    geoip::{Database, Kind},
};
use octroi_tests::{
    command::{self, Finished},
    files::fetched,
    gate::binary,
    netns::PREFIX,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// First and last address of every run, and those beside them.
fn edges(database: &Database) -> Vec<IpAddr> {
    let around = [-2, -1, 0, 1];
    let v4 = database.v4.iter().flat_map(|run| around.map(|by| run.0.wrapping_add_signed(by)));
    let v6 = database.v6.iter().flat_map(|run| around.map(|by| run.0.wrapping_add_signed(by.into())));
    let v4 = v4.map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits)));
    v4.chain(v6.map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits)))).collect()
}

/// `::/96`, where a file has its IPv4 tree, and where MaxMind's repeat it: prefix and its length. These are not looked up
/// as IPv6.
const IPV4_TREE: (u128, u32) = (0, 96);
const ALIASES: [(u128, u32); 4] =
    [IPV4_TREE, (0xffff << 32, 96), (0x2002 << 112, 16), (0x2001_0000 << 96, 32)];

/// What one file has where.
struct Layout<'a> {
    /// Where maxminddb finds a country's code: the first that a record has.
    codes: &'a [&'a [PathElement<'a>]],
    /// Where it finds the continent's; else it is the country's.
    continent: Option<&'a [PathElement<'a>]>,
    /// IPv6 prefixes that lead to the IPv4 tree.
    aliases: &'a [(u128, u32)],
}

impl Layout<'_> {
    fn is_alias(&self, address: IpAddr) -> bool {
        let IpAddr::V6(address) = address else { return false };
        self.aliases.iter().any(|&(prefix, length)| (address.to_bits() ^ prefix) >> (128 - length) == 0)
    }
}

/// Reads a file both ways and compares them at every edge.
fn agrees(name: &str, layout: &Layout<'_>) -> Database {
    let path = fetched(name);
    let database = Database::open(Kind::Country, &path).unwrap_or_else(|error| panic!("{error}"));
    let reader = Reader::open_readfile(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (mut differing, mut placed) = (Vec::new(), 0u64);
    let edges = edges(&database);
    for &address in &edges {
        let found = reader.lookup(address).expect("an address of a known family");
        let text = |path: &[PathElement<'_>]| found.decode_path::<&str>(path).expect("a sound file");
        let theirs = if layout.is_alias(address) {
            (None, None)
        } else {
            let country = layout.codes.iter().find_map(|code| text(code)).and_then(CountryCode::parse);
            let own = layout.continent.and_then(text).map(str::to_owned);
            (country, own.or_else(|| country.map(|country| country.continent().as_str().to_owned())))
        };
        let record = database.lookup(address);
        let ours = (record.country, record.continent.map(|continent| continent.as_str().to_owned()));
        placed += u64::from(ours.0.is_some());
        if ours != theirs {
            differing.push((address, ours, theirs));
        }
    }
    eprintln!("{name}: {} addresses, {placed} in a country, {} differ", edges.len(), differing.len());
    assert!(differing.is_empty(), "(address, ours, theirs): {:?}", &differing[..differing.len().min(20)]);
    assert!(placed > edges.len() as u64 / 2, "{placed} of {}", edges.len());
    database
}

#[test]
fn the_nested_file_of_maxmind_is_read_as_maxminddb_reads_it() {
    let iso = PathElement::Key("iso_code");
    let layout = Layout {
        codes: &[&[PathElement::Key("country"), iso.clone()], &[PathElement::Key("registered_country"), iso]],
        continent: Some(&[PathElement::Key("continent"), PathElement::Key("code")]),
        aliases: &ALIASES,
    };
    let database = agrees("GeoLite2-Country.mmdb", &layout);
    assert_eq!(database.database_type, "GeoLite2-Country");
    assert!(database.v4.len() > 300_000 && database.v6.len() > 100_000, "{:?}", database.networks);
    let registered_only = database.lookup([1, 1, 1, 1].into());
    assert_eq!(registered_only.country.map(|code| code.as_str().to_owned()).as_deref(), Some("AU"));
}

#[test]
fn the_flat_file_of_db_ip_is_read_as_maxminddb_reads_it() {
    let codes: &[&[PathElement<'_>]] = &[&[PathElement::Key("country_code")]];
    let database = agrees("dbip-country.mmdb", &Layout { codes, continent: None, aliases: &[IPV4_TREE] });
    assert!(database.v4.len() > 200_000 && database.v6.len() > 200_000, "{:?}", database.networks);
}

/// A configuration with databases in a directory of its own.
struct Files {
    folder: TempDir,
}

impl Files {
    fn new() -> Files {
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir().expect("make a temporary directory");
        Files { folder }
    }

    fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, contents).expect("write into a directory of ours");
        path
    }

    fn octroi(&self, arguments: &[&str], country: &Path, asn: &Path) -> Finished {
        let text = format!(
            "interfaces = [\"none0\"]\n[geoip]\ncountry = {country:?}\nasn = {asn:?}\n\
             [[rule]]\nname = \"partner\"\nsource = {{ country = [\"CN\"], asn = [58593] }}\naction = \"drop\"\n"
        );
        let config = self.write("octroi.toml", text);
        let mut octroi = Command::new(binary());
        octroi.args(arguments).arg("-c").arg(config);
        command::run(octroi, command::SHORT)
    }

    /// `octroi check` has to take the files, and `explain` has to find a Chinese and an Australian address in them.
    fn are_taken(&self, country: &Path, asn: &Path, kind: &str) {
        let text = self.octroi(&["check"], country, asn).success();
        assert!(text.ends_with("ok\n") && text.contains(&country.display().to_string()), "{text}");
        let report = self.octroi(&["check", "--json"], country, asn).json();
        assert_eq!(report["databases"][0]["type"], kind, "{report}");
        assert_eq!(report["databases"][0]["path"], country.display().to_string());
        assert!(report["databases"][0]["networks"]["ipv4"].as_u64() >= Some(2), "{report}");
        assert!(report["databases"][0]["networks"]["ipv6"].as_u64() >= Some(1), "{report}");
        for (address, country_code, verdict) in [
            ("1.0.0.1", json!("AU"), "pass"),
            ("1.0.2.1", json!("CN"), "drop"),
            ("240e::1", json!("CN"), "drop"),
            ("9.9.9.9", Value::Null, "pass"),
        ] {
            let answer = self.octroi(&["explain", address, "--json"], country, asn).json();
            assert_eq!(
                (&answer["country"], &answer["verdict"]),
                (&country_code, &json!(verdict)),
                "{answer}"
            );
        }
    }
}

/// An MMDB file with these records for one Australian and two Chinese networks.
fn mmdb(database_type: &str, australia: &Value, china: &Value) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.metadata.ip_version = IpVersion::V6;
    writer.metadata.database_type = database_type.to_owned();
    writer.metadata.binary_format_major_version = 2;
    writer.metadata.build_epoch = 1_760_000_000;
    writer.metadata.description.insert("en".to_owned(), "made for a test".to_owned());
    let networks: [(IpAddr, usize, &Value); 3] = [
        (Ipv6Addr::from_bits(0x0100_0000).into(), 96 + 24, australia),
        (Ipv6Addr::from_bits(0x0100_0200).into(), 96 + 24, china),
        (Ipv6Addr::from_bits(0x240e << 112).into(), 20, china),
    ];
    for (address, length, record) in networks {
        let IpAddr::V6(address) = address else { continue };
        let bits: Vec<bool> = (0..length).map(|bit| address.to_bits() >> (127 - bit) & 1 == 1).collect();
        let data = writer.insert_value(record).expect("a record");
        writer.insert_node(bits.into_iter(), data);
    }
    writer.write_to(Vec::new()).expect("write into memory")
}

#[test]
fn a_file_of_ipinfo_is_taken_for_both_kinds() {
    let files = Files::new();
    let record = |country, code, continent, continent_code, asn, name| {
        json!({"country": country, "country_code": code, "continent": continent, "continent_code": continent_code,
               "asn": asn, "as_name": name, "as_domain": "example.net"})
    };
    let bytes = mmdb(
        "ipinfo generic_lite.mmdb",
        &record("Australia", "AU", "Oceania", "OC", "AS13335", "Cloudflare, Inc."),
        &record("China", "CN", "Asia", "AS", "AS58593", "Azure China"),
    );
    let path = files.write("ipinfo_lite.mmdb", bytes);
    files.are_taken(&path, &path, "ipinfo generic_lite.mmdb");
}

#[test]
fn csv_files_are_taken() {
    let files = Files::new();
    let country = files.write(
        "country.csv",
        "start,end,country\n1.0.0.0,1.0.0.255,AU\n1.0.2.0,1.0.2.255,CN\n240e::,240e:fff:ffff:ffff:ffff:ffff:ffff:ffff,CN\n",
    );
    let asn = files.write(
        "asn.csv",
        "1.0.2.0,1.0.2.255,58593,\"Azure, China\"\n240e::,240e:0:ffff:ffff:ffff:ffff:ffff:ffff,AS58593,Azure\n",
    );
    files.are_taken(&country, &asn, "csv");
}

#[test]
fn an_ipv6_list_of_ip2location_is_taken_for_both_families() {
    let files = Files::new();
    let mapped = |a, b, c, d| u128::from(u32::from_be_bytes([a, b, c, d])) | 0xffff << 32;
    let line =
        |first: u128, last: u128, code, name| format!("\"{first}\",\"{last}\",\"{code}\",\"{name}\"\r\n");
    let text = [
        line(0, mapped(0, 0, 0, 0) - 1, "-", "-"),
        line(mapped(0, 0, 0, 0), mapped(0, 255, 255, 255), "-", "-"),
        line(mapped(1, 0, 0, 0), mapped(1, 0, 0, 255), "AU", "Australia"),
        line(mapped(1, 0, 1, 0), mapped(1, 0, 3, 255), "CN", "China"),
        line(0x240e << 112, (0x240f << 112) - 1, "CN", "China"),
    ]
    .concat();
    let country = files.write("IP2LOCATION-LITE-DB1.IPV6.CSV", text);
    let asn = files
        .write("asn.csv", "1.0.2.0,1.0.2.255,58593\n240e::,240e:0:ffff:ffff:ffff:ffff:ffff:ffff,58593\n");
    files.are_taken(&country, &asn, "csv");
}
