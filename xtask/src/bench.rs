//! What octroi costs, measured (`bench/`).

use std::{fs, path::Path, process::Command};

use anyhow::{Context, bail};

use crate::{
    build, fetch,
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
    ensure(&PROGRAMS)?;
    crate::test::mount_bpffs()?;
    let database = fetch::country(root)?;
    let octroi = build::build(root, true)?;
    let object = build::ebpf(root, "bench")?;
    let folder = root.join("target/bench");
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let mut bench = Command::new("cargo");
    bench.env("OCTROI_BIN", octroi);
    let run =
        ["run", "--locked", "--quiet", "--profile", "measure", "--package", "octroi-bench", "--", "report"];
    bench.args(run);
    bench.arg("--object").arg(object).arg("--database").arg(database).arg("--output").arg(folder);
    if quick {
        bench.arg("--quick");
    }
    command(&mut bench)
}
