//! Packs databases into the embedded tables: `cargo xtask data` runs this.
//!
//! `pack KIND DATABASE BUILT OUT`: KIND is `country` or `asn`, DATABASE an MMDB or CSV file, BUILT its date in RFC
//! 3339 or `-` for the file's own, OUT the file to write. Facts for PROVENANCE.md go to standard output, one
//! `key: value` a line.

use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use octroi::geoip::{Database, Kind, Origin, embedded};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, file, built, out] = arguments.as_slice() else {
        bail!("usage: pack country|asn DATABASE BUILT|- OUT");
    };
    let kind = match kind.as_str() {
        "country" => Kind::Country,
        "asn" => Kind::Asn,
        other => bail!("kind {other:?} is neither country nor asn"),
    };
    let mut database = Database::open(kind, Path::new(file))?;
    if built != "-" {
        let time: jiff::Timestamp = built.parse().with_context(|| format!("date {built:?}"))?;
        database.built = time.as_second();
    }
    let packed = embedded::encode(&database).context("compress")?;
    let notes = std::mem::take(&mut database.notes);
    database.origin = Origin::Embedded;
    ensure!(
        embedded::decode(&packed)? == database,
        "{file} has something that the embedded form does not keep"
    );
    std::fs::write(out, &packed).with_context(|| format!("write {out}"))?;

    println!("built: {}", jiff::Timestamp::from_second(database.built)?);
    println!("type: {}", database.database_type);
    println!("networks: {} IPv4, {} IPv6", database.networks.v4, database.networks.v6);
    println!("runs: {} IPv4, {} IPv6", database.v4.len(), database.v6.len());
    println!("records: {}", database.records.len());
    println!("bytes: {}", packed.len());
    for note in &notes {
        println!("note: {note}");
    }
    Ok(())
}
