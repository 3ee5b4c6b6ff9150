//! Lints over real configurations and databases written here; what each says, and what it says nothing about.

mod known;
mod login;
mod order;
mod random;
mod replies;
mod time;
mod whole;

use std::{fs, path::Path};

use super::{Login, Surroundings, warnings};
use crate::{config::Config, policy::Databases};

const COUNTRY: &str = "\
1.0.0.0,1.0.0.255,AU
1.0.1.0,1.0.3.255,CN
5.1.64.0,5.1.127.255,DE
175.45.176.0,175.45.179.255,KP
240e::,240e:ffff:ffff:ffff:ffff:ffff:ffff:ffff,CN
2a02:1200::,2a02:120f:ffff:ffff:ffff:ffff:ffff:ffff,CH
";

/// 58593 is in China only, 15169 in two countries.
const ASN: &str = "\
1.0.2.0,1.0.2.255,58593,Azure China
1.0.0.0,1.0.0.127,15169,Google
5.1.64.0,5.1.64.255,15169,Google
240e:1::,240e:1:ffff:ffff:ffff:ffff:ffff:ffff,58593,Azure China
";

/// 2026-07-09T00:00:00Z, on a host as most are, logged in at its console.
const HERE: Surroundings =
    Surroundings { now: 1_783_555_200_000_000_000, client_ports: 32768..=60999, login: None };

/// A configuration over the databases above, and those.
fn opened(text: &str) -> (Config, Databases) {
    let folder = tempfile::tempdir().expect("make a temporary directory");
    let file = |name: &str, contents: &str| {
        let path = folder.path().join(name);
        fs::write(&path, contents).expect("write into a directory of ours");
        path
    };
    let (country, asn) = (file("country.csv", COUNTRY), file("asn.csv", ASN));
    let text = format!("interfaces = [\"none0\"]\ngeoip.country = {country:?}\ngeoip.asn = {asn:?}\n{text}");
    let config = Config::parse(&text, Path::new("/test.toml")).unwrap_or_else(|errors| panic!("{errors}"));
    let databases = Databases::open(&config).unwrap_or_else(|error| panic!("{error}"));
    (config, databases)
}

fn warned_at(text: &str, here: &Surroundings) -> Vec<String> {
    let (config, databases) = opened(text);
    let folder = config.geoip.country.as_ref().and_then(|path| path.parent()).expect("a file in a folder");
    let folder = format!("{}/", folder.display());
    warnings(&config, &databases, here).into_iter().map(|warning| warning.replace(&folder, "")).collect()
}

/// Warnings about a configuration; databases without their folder.
fn warned(text: &str) -> Vec<String> {
    warned_at(text, &HERE)
}

/// A rule with that source and those other keys, separated by commas.
fn rule(name: &str, source: &str, action: &str, keys: &str) -> String {
    format!(
        "[[rule]]\nname = {name:?}\nsource = {{ {source} }}\naction = {action:?}\n{}\n",
        keys.replace(", ", "\n")
    )
}

const CN: &str = r#"country = ["CN"]"#;
const ANY: &str = "any = true";
