//! The main job on one screen; what is shown is checked on the way (`tests/examples/demo.rs`).

use std::{path::Path, process::Command};

use anyhow::bail;

use crate::{
    build,
    packages::{ensure, is_root},
    shell::run as command,
};

/// Builds everything and shows it.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    if !is_root() {
        bail!("the demo makes network namespaces and attaches programs: run `cargo xtask demo` as root");
    }
    ensure(&[("ip", "iproute2"), ("nft", "nftables")])?;
    crate::test::mount_bpffs()?;
    let binary = build::build(root, true)?;
    let demo = ["run", "--locked", "--quiet", "--package", "octroi-tests", "--example", "demo"];
    command(Command::new("cargo").args(demo).env("OCTROI_BIN", binary))
}
