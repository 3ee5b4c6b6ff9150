//! What octroi costs, measured (`bench/`).

use std::{fs, path::Path, process::Command};

use anyhow::{Context, bail};

use crate::{
    build,
    packages::{ensure, is_root},
    shell::run as command,
};

/// What it calls, and what octroi is compared with: `(program, Debian package)`.
const PROGRAMS: [(&str, &str); 5] = [
    ("ip", "iproute2"),
    ("ethtool", "ethtool"),
    ("nft", "nftables"),
    ("ipset", "ipset"),
    ("iptables", "iptables"),
];

/// Builds the measuring programs and runs them; the report goes to target/bench/.
pub(crate) fn run(root: &Path, quick: bool) -> anyhow::Result<()> {
    if !is_root() {
        bail!("the benchmark loads programs into the kernel: run `cargo xtask bench` as root");
    }
    crate::test::mount_bpffs()?;
    ensure(&PROGRAMS)?;
    let octroi = build::build(root, true)?;
    let object = build::ebpf(root, "bench")?;
    let folder = root.join("target/bench");
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let mut bench = Command::new("cargo");
    bench.env("OCTROI_BIN", octroi);
    let profile = ["--profile", "measure"];
    bench.args(["run", "--locked", "--quiet"]).args(profile).args([
        "--package",
        "octroi-bench",
        "--",
        "--object",
    ]);
    bench.arg(object).arg("--output").arg(folder.join("report.json"));
    if quick {
        bench.arg("--quick");
    }
    command(&mut bench)
}
