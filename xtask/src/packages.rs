//! Debian packages that a verb needs.

use std::process::Command;

use anyhow::bail;

use crate::shell::{has, output, run_quietly};

/// Installs the packages whose program is missing: `(program, package)`.
///
/// # Errors
/// Names the command to run, where this user cannot.
pub(crate) fn ensure(needed: &[(&str, &str)]) -> anyhow::Result<()> {
    let missing: Vec<&str> =
        needed.iter().filter(|(program, _)| !has(program)).map(|&(_, package)| package).collect();
    if missing.is_empty() { Ok(()) } else { install(&missing) }
}

/// Installs packages.
///
/// # Errors
/// Names the command to run, where this user cannot.
pub(crate) fn install(packages: &[&str]) -> anyhow::Result<()> {
    let list = packages.join(" ");
    if !has("apt-get") || !is_root() {
        bail!(
            "missing: {list}; as root, run: apt-get install {list} (or your distribution's packages of that kind)"
        );
    }
    println!("installing Debian packages: {list}");
    run_quietly(Command::new("apt-get").args(["update", "-q"]))?;
    run_quietly(
        Command::new("apt-get")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(["install", "-y", "-q", "--no-install-recommends"])
            .args(packages),
    )
}

/// Whether this user can install all of these packages here, asked of a fresh list.
///
/// # Errors
/// When the list cannot be refreshed.
pub(crate) fn offered(packages: &[&str]) -> anyhow::Result<bool> {
    if !has("apt-get") || !is_root() {
        return Ok(false);
    }
    run_quietly(Command::new("apt-get").args(["update", "-q"]))?;
    let policy = output(Command::new("apt-cache").env("LC_ALL", "C").arg("policy").args(packages))?;
    let candidates = policy.lines().filter_map(|line| line.trim().strip_prefix("Candidate: "));
    Ok(candidates.filter(|&version| version != "(none)").count() == packages.len())
}

/// Whether this process may do everything.
pub(crate) fn is_root() -> bool {
    std::fs::read_to_string("/proc/self/status")
        .unwrap_or_default()
        .lines()
        .any(|line| line.starts_with("Uid:\t0\t0"))
}
