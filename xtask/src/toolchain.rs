//! The toolchain for the eBPF object: a rustc with the source of `core`, and a bpf-linker with the same LLVM.
//!
//! Two ways. rustup's: a nightly with `rust-src`. Debian's: `rustc-web` and `rust-web-src`, which install beside rustup
//! without touching it. `bpf-linker` is built into target/tools, against the LLVM of whichever rustc was found.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};

use crate::{
    packages,
    shell::{has, output, run, run_quietly},
};

const LINKER_VERSION: &str = "0.10.3";

/// A toolchain that builds the eBPF object.
pub(crate) struct Toolchain {
    rustc: PathBuf,
    /// Folders that go in front of PATH.
    path: Vec<PathBuf>,
    llvm: u32,
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rustc, llvm) = (self.rustc.display(), self.llvm);
        write!(f, "eBPF toolchain: {rustc} (LLVM {llvm}), bpf-linker {LINKER_VERSION} in target/tools")
    }
}

impl Toolchain {
    /// `cargo` with this toolchain, ready for a subcommand.
    pub(crate) fn cargo(&self) -> Command {
        let mut cargo = Command::new("cargo");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = self.path.iter().cloned().chain(std::env::split_paths(&path));
        cargo
            .env("PATH", std::env::join_paths(path).unwrap_or_default())
            // What cargo run set for this program would otherwise hold for the one it starts.
            .env_remove("RUSTC_WRAPPER")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            // The stable compiler's libraries, among which bpf-linker would find the wrong libLLVM.
            .env_remove("LD_LIBRARY_PATH")
            .env("RUSTC", &self.rustc)
            // Debian's rustc calls itself stable; -Z build-std asks for a nightly.
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", "bpf-linker")
            // v3 has instructions of 32 bits; kernels know it from 5.1 on.
            .env("RUSTFLAGS", "-C link-arg=--btf -C debuginfo=2 -C target-cpu=v3");
        cargo
    }
}

/// Finds or installs the toolchain.
pub(crate) fn setup(root: &Path) -> anyhow::Result<Toolchain> {
    let tools = root.join("target/tools");
    let found = from_rustup().or_else(|| from_debian().ok());
    let rustc = match found {
        Some(rustc) => rustc,
        None => install()?,
    };
    let llvm = llvm_major(&rustc)?;
    let debian = rustc.starts_with("/usr");
    let stamp = tools.join("linker");
    let wanted = format!("{LINKER_VERSION} llvm-{llvm} {}", if debian { "debian" } else { "rustup" });
    if fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) && tools.join("bin/bpf-linker").exists() {
        return Ok(toolchain(rustc, &tools, debian, llvm));
    }
    println!(
        "eBPF toolchain: {} (LLVM {llvm}); building bpf-linker {LINKER_VERSION} into target/tools",
        rustc.display()
    );
    let mut install = Command::new("cargo");
    install
        .args([
            "install",
            "bpf-linker",
            "--version",
            LINKER_VERSION,
            "--locked",
            "--force",
            "--quiet",
            "--root",
        ])
        .arg(&tools)
        .env_remove("RUSTFLAGS")
        .env_remove("LD_LIBRARY_PATH");
    if debian {
        let prefix = format!("/usr/lib/llvm-{llvm}");
        if !Path::new(&prefix).join("bin/llvm-config").exists() {
            let dev = format!("llvm-{llvm}-dev");
            let polly = format!("libpolly-{llvm}-dev");
            packages::install(&[&dev, &polly, "zlib1g-dev", "libzstd-dev"])?;
        }
        let path = format!("{prefix}/bin:{}", std::env::var("PATH").unwrap_or_default());
        install
            .args(["--no-default-features", "--features"])
            .arg(format!("llvm-{llvm}"))
            .env("PATH", path)
            .env(format!("LLVM_SYS_{llvm}1_PREFIX"), prefix);
    } else {
        // rustup's rustc brings its own libLLVM, which this feature loads.
        install.args(["--no-default-features", "--features"]).arg(format!("rust-llvm-{llvm}"));
    }
    run(&mut install)?;
    fs::write(&stamp, wanted).with_context(|| format!("write {}", stamp.display()))?;
    Ok(toolchain(rustc, &tools, debian, llvm))
}

fn toolchain(rustc: PathBuf, tools: &Path, debian: bool, llvm: u32) -> Toolchain {
    let mut path = vec![tools.join("bin")];
    if debian {
        path.push(format!("/usr/lib/llvm-{llvm}/bin").into());
    }
    Toolchain { rustc, path, llvm }
}

/// rustup's nightly, where its source of `core` is really there (rustup may believe so wrongly).
fn from_rustup() -> Option<PathBuf> {
    let ask =
        |what: &[&str]| output(Command::new("rustup").args(["run", "nightly", "rustc"]).args(what)).ok();
    let sysroot = PathBuf::from(ask(&["--print", "sysroot"])?.trim());
    has_source(&sysroot).then(|| sysroot.join("bin/rustc"))
}

fn from_debian() -> anyhow::Result<PathBuf> {
    let rustc = PathBuf::from("/usr/bin/rustc");
    if !rustc.exists() {
        bail!("no /usr/bin/rustc");
    }
    let sysroot = output(Command::new(&rustc).args(["--print", "sysroot"]))?;
    if !has_source(Path::new(sysroot.trim())) {
        bail!("/usr/bin/rustc has no source of core");
    }
    Ok(rustc)
}

fn has_source(sysroot: &Path) -> bool {
    sysroot.join("lib/rustlib/src/rust/library/core/src/lib.rs").exists()
}

/// Debian's packages where apt has them: they come from where the machine's software comes from, and leave rustup as it
/// is. Else rustup.
fn install() -> anyhow::Result<PathBuf> {
    if packages::offered(&["rustc-web", "rust-web-src"])? {
        packages::install(&["rustc-web", "rust-web-src"])?;
        return from_debian();
    }
    let advice = "no toolchain for eBPF: with rustup, run `rustup toolchain install nightly --component rust-src`; on \
                  Debian 12, as root, install rustc-web and rust-web-src from its security suite";
    if !has("rustup") {
        bail!("{advice}");
    }
    println!("eBPF toolchain: installing a nightly with rust-src by rustup");
    let add = ["toolchain", "install", "nightly", "--profile", "minimal", "--component", "rust-src"];
    run_quietly(Command::new("rustup").args(add)).context(advice)?;
    from_rustup().context(advice)
}

fn llvm_major(rustc: &Path) -> anyhow::Result<u32> {
    let version = output(Command::new(rustc).arg("-vV"))?;
    let line = version.lines().find_map(|line| line.strip_prefix("LLVM version: "));
    line.and_then(|text| text.split('.').next()?.parse().ok())
        .with_context(|| format!("{} does not tell its LLVM version:\n{version}", rustc.display()))
}
