//! Puts the eBPF object where `include_bytes!` finds it, and says which source revision this is.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let object = env::var_os("OCTROI_EBPF_OBJECT")
        .map_or_else(|| root.join("target/ebpf/octroi.bpf.o"), PathBuf::from);
    println!("cargo::rerun-if-env-changed=OCTROI_EBPF_OBJECT");
    println!("cargo::rerun-if-changed={}", object.display());
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("octroi.bpf.o");
    if let Err(error) = fs::copy(&object, &out) {
        println!(
            "cargo::error=the eBPF object {} is missing ({error}): run `cargo xtask build`, which makes it first",
            object.display()
        );
    }
    println!("cargo::rustc-env=OCTROI_REVISION={}", revision(&root));
}

/// The commit, abbreviated; `unknown` outside a repository.
fn revision(root: &Path) -> String {
    let git = |args: &[&str]| {
        let output = Command::new("git").arg("-C").arg(root).args(args).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    // A commit or a checkout writes one of them; the branch has no file of its own while it is packed, so its log too.
    for name in ["HEAD", "logs/HEAD", &git(&["symbolic-ref", "-q", "HEAD"]).unwrap_or_default()] {
        if let Some(path) = git(&["rev-parse", "--git-path", name]).map(|path| root.join(path))
            && path.is_file()
        {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
    git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".into())
}
