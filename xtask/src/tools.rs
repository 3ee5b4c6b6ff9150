//! Cargo's tools that a verb runs, each in one version.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::shell::{output, run};

/// A tool, built into target/tools where it is not there in this version; where it is.
pub(crate) fn tool(root: &Path, name: &str, version: &str) -> anyhow::Result<PathBuf> {
    let tools = root.join("target/tools");
    let tool = tools.join("bin").join(name);
    let have = output(Command::new(&tool).arg("--version")).unwrap_or_default();
    // Some say their name first.
    if have.split_whitespace().last() != Some(version) {
        println!("building {name} {version} into target/tools");
        let install = ["install", name, "--version", version, "--locked", "--force", "--quiet", "--root"];
        run(Command::new("cargo").args(install).arg(&tools))?;
    }
    Ok(tool)
}
