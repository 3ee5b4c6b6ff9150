//! Which part may import what, and how long a file may be.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};

/// A crate, and the folders that may name it.
const LAYERS: [(&str, &[&str]); 4] = [
    ("aya", &["userspace/src/dataplane", "bench/src/kernel.rs", "tests/src/kernel.rs"]),
    ("maxminddb", &["userspace/src/geoip", "tests"]),
    ("prometheus", &["userspace/src/metrics"]),
    ("aya_ebpf", &["ebpf/src"]),
];

/// A file beyond this is more than one thing.
const LONGEST: usize = 600;

/// Checks every source file.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let mut findings = Vec::new();
    let mut files = Vec::new();
    let folders =
        ["abi", "gate", "ebpf/src", "userspace", "xtask", "tests", "bench", "fuzz/fuzz_targets", "judge"];
    for folder in folders {
        sources(&root.join(folder), &mut files)?;
    }
    for file in &files {
        let text = fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
        let name = file.strip_prefix(root).unwrap_or(file).to_string_lossy().into_owned();
        if text.lines().count() > LONGEST {
            findings
                .push(format!("{name}: {} lines; {LONGEST} are enough for one thing", text.lines().count()));
        }
        if !text.starts_with("//!") {
            findings.push(format!("{name}:1: the first line does not say what the file is for"));
        }
        for (number, line) in text.lines().enumerate() {
            findings.extend(misplaced(&name, line).map(|what| format!("{name}:{}: {what}", number + 1)));
        }
    }
    for finding in &findings {
        println!("{finding}");
    }
    if !findings.is_empty() {
        bail!("{} findings in {} files", findings.len(), files.len());
    }
    println!("layers: {} files, nothing out of place", files.len());
    Ok(())
}

/// What a line imports from a place that its file may not know.
fn misplaced(file: &str, line: &str) -> Option<String> {
    let code = line.split("//").next().unwrap_or_default();
    let names = |krate: &str| {
        let path = format!("{krate}::");
        code.match_indices(&path).any(|(at, _)| {
            !code[..at]
                .ends_with(|before: char| before.is_alphanumeric() || matches!(before, '_' | ':' | '"'))
        })
    };
    let outside = |folders: &[&str]| !folders.iter().any(|folder| file.starts_with(folder));
    for (krate, folders) in LAYERS {
        if !file.starts_with("xtask/") && names(krate) && outside(folders) {
            return Some(format!("only {} may import {krate}", folders.join(" and ")));
        }
    }
    let ours = ["octroi", "octroi_gate", "octroi_abi"].into_iter().find(|krate| names(krate));
    if let (true, Some(krate)) = (file.starts_with("judge/"), ours) {
        return Some(format!("judge is a second opinion, and knows nothing of {krate}"));
    }
    let pure = file.starts_with("gate/src") || file.starts_with("abi/src");
    let foreign = ["aya", "libc", "tokio"].into_iter().find(|krate| pure && names(krate));
    foreign.map(|krate| format!("gate and abi are pure, and {krate} is not"))
}

fn sources(folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() && path.file_name().is_none_or(|name| name != "target") {
            sources(&path, files)?;
        } else if path.extension().is_some_and(|end| end == "rs") {
            files.push(path);
        }
    }
    Ok(())
}
