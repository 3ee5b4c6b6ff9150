//! Packs a database into the form that travels in the binary: `cargo xtask data` runs it.
//!
//! Arguments: `country|asn`, the file to write, the Unix time of the data (0: what the database says), its type, and
//! the databases to read: one MMDB or CSV, or CSV files of one family each.

use std::{fs, path::Path};

use anyhow::{Context, bail};
use octroi::geoip::{Database, Kind, embedded};

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [kind, output, built, database_type, first, rest @ ..] = args.as_slice() else {
        bail!("usage: pack country|asn OUTPUT BUILT TYPE DATABASE…");
    };
    let kind = match kind.as_str() {
        "country" => Kind::Country,
        "asn" => Kind::Asn,
        other => bail!("{other}: expected country or asn"),
    };
    let mut bytes = fs::read(first).with_context(|| format!("read {first}"))?;
    let mut path = Path::new(first).to_path_buf();
    if !rest.is_empty() {
        for file in rest {
            bytes.extend(fs::read(file).with_context(|| format!("read {file}"))?);
        }
        path = Path::new(output).with_extension("joined");
        fs::write(&path, bytes)?;
    }
    let mut database = Database::open(kind, &path)?;
    if !rest.is_empty() {
        fs::remove_file(&path).with_context(|| format!("remove {}", path.display()))?;
    }
    match built.parse()? {
        0 => {}
        built => database.built = built,
    }
    database.database_type.clone_from(database_type);
    fs::write(output, embedded::encode(&database)?).with_context(|| format!("write {output}"))?;
    let (v4, v6, records) = (database.v4.len(), database.v6.len(), database.records.len());
    for note in &database.notes {
        println!("{note}");
    }
    println!("{output}: {v4} IPv4 and {v6} IPv6 runs, {records} records, built {}", database.built);
    Ok(())
}
