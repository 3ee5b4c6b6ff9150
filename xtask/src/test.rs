//! Everything that has to hold before a change lands.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::bail;

use crate::{
    build, fetch, lint,
    packages::{ensure, is_root},
    shell::run as command,
};

/// What tests call: `(program, Debian package)`.
const PROGRAMS: [(&str, &str); 11] = [
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("tc", "iproute2"),
    ("bpftool", "bpftool"),
    ("tcpdump", "tcpdump"),
    ("curl", "curl"),
    ("ssh", "openssh-client"),
    ("sshd", "openssh-server"),
    ("promtool", "prometheus"),
    ("systemd-analyze", "systemd"),
    ("npm", "npm"),
];

/// Runs it all.
pub(crate) fn run(root: &Path, args: &[String]) -> anyhow::Result<()> {
    if !is_root() {
        bail!(
            "tests attach programs and make network namespaces, for which they need CAP_NET_ADMIN, CAP_BPF, CAP_PERFMON \
             and CAP_SYS_ADMIN: run `cargo xtask test` as root"
        );
    }
    let mut steps = Steps(Vec::new());
    steps.step("packages", || ensure(&PROGRAMS))?;
    steps.step("bpffs", mount_bpffs)?;
    steps.step("eBPF object", || build::object_without_warnings(root))?;
    steps.step("format", || {
        command(Command::new("cargo").args(["fmt", "--all", "--check"]))?;
        command(Command::new("cargo").args(["fmt", "--check"]).current_dir(root.join("ebpf")))?;
        command(Command::new("cargo").args(["fmt", "--check"]).current_dir(root.join("fuzz")))
    })?;
    steps.step("layers", || lint::run(root))?;
    steps.step("clippy", || {
        let strict =
            ["clippy", "--locked", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"];
        command(Command::new("cargo").args(strict))?;
        // Checked for this machine: the toolchain that builds for the kernel may have no clippy.
        let strict = [
            "clippy",
            "--locked",
            "--quiet",
            "--target-dir",
            "../target/ebpf-clippy",
            "--",
            "-D",
            "warnings",
        ];
        command(
            Command::new("cargo")
                .args(strict)
                .current_dir(root.join("ebpf"))
                .env("RUSTC_BOOTSTRAP", "1")
                .env("RUSTFLAGS", "-C panic=abort"),
        )
    })?;
    steps.step("test data", || fetch::for_tests(root))?;
    steps.step("tests", || {
        command(Command::new("cargo").args(["build", "--locked", "--quiet", "--package", "octroi"]))?;
        let test = ["test", "--locked", "--workspace"];
        command(
            Command::new("cargo").args(test).args(args).env("OCTROI_TESTDATA", root.join("target/testdata")),
        )
    })?;
    println!("\nall good:");
    for (name, time) in steps.0 {
        println!("  {name:<12} {:>7.1} s", time.as_secs_f64());
    }
    Ok(())
}

/// Mounts the BPF file system, where it is not.
pub(crate) fn mount_bpffs() -> anyhow::Result<()> {
    let mounted = std::fs::read_to_string("/proc/mounts")?.contains(" /sys/fs/bpf bpf ");
    if mounted { Ok(()) } else { command(Command::new("mount").args(["-t", "bpf", "bpf", "/sys/fs/bpf"])) }
}

struct Steps(Vec<(&'static str, Duration)>);

impl Steps {
    fn step(&mut self, name: &'static str, act: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
        println!("== {name}");
        let start = Instant::now();
        act()?;
        self.0.push((name, start.elapsed()));
        Ok(())
    }
}
