//! The eBPF object first, then the binary with the object inside.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context;

use crate::{shell::run, toolchain};

/// Builds the eBPF object into target/ebpf/octroi.bpf.o.
pub(crate) fn object(root: &Path) -> anyhow::Result<()> {
    ebpf(root, "octroi").map(drop)
}

/// The same, where a warning is an error.
pub(crate) fn object_without_warnings(root: &Path) -> anyhow::Result<()> {
    // Not by RUSTFLAGS: other flags than those of `build` would make each build all of it again.
    let deny = ["-Z", "warnings", "--config", "build.warnings=\"deny\""];
    ebpf_with(root, "octroi", &deny).map(drop)
}

/// Builds one of the binaries in ebpf/ into target/ebpf/NAME.bpf.o; that path.
pub(crate) fn ebpf(root: &Path, name: &str) -> anyhow::Result<PathBuf> {
    ebpf_with(root, name, &[])
}

fn ebpf_with(root: &Path, name: &str, arguments: &[&str]) -> anyhow::Result<PathBuf> {
    let toolchain = toolchain::setup(root)?;
    let folder = root.join("target/ebpf");
    let mut cargo = toolchain.cargo();
    cargo
        .current_dir(root.join("ebpf"))
        .args([
            "build",
            "--quiet",
            "--locked",
            "--release",
            "--target",
            "bpfel-unknown-none",
            "-Z",
            "build-std=core",
            "--bin",
            name,
        ])
        .arg("--target-dir")
        .arg(&folder)
        .args(arguments);
    run(&mut cargo)?;
    let built = folder.join("bpfel-unknown-none/release").join(name);
    let object = folder.join(format!("{name}.bpf.o"));
    let bytes = fs::read(&built).with_context(|| format!("read {}", built.display()))?;
    // The same bytes are not written again: the binary would be rebuilt for nothing.
    if fs::read(&object).ok().as_ref() != Some(&bytes) {
        fs::write(&object, bytes).with_context(|| format!("write {}", object.display()))?;
    }
    Ok(object)
}

/// Builds everything; where the binary is.
pub(crate) fn build(root: &Path, release: bool) -> anyhow::Result<PathBuf> {
    object(root)?;
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--locked", "--package", "octroi"]);
    if release {
        cargo.arg("--release");
    }
    run(&mut cargo)?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let binary = target.join(if release { "release" } else { "debug" }).join("octroi");
    println!("built {}", binary.strip_prefix(root).unwrap_or(&binary).display());
    Ok(binary)
}
