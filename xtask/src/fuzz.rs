//! `fuzz/`: any bytes for the table and the packet parser, by libFuzzer.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, bail};
use octroi_gate::corpus;

use crate::{shell::run as command, tools::tool};

const VERSION: &str = "0.13.2";
const TARGETS: [&str; 2] = ["table", "packet"];
/// Compared values are of no use to the table, whose input says what prefixes have to do with each other, and take half of
/// its time.
const UNTRACED: [&str; 1] = ["table"];

/// Runs one target, or each, for `seconds`.
pub(crate) fn run(root: &Path, target: Option<&str>, seconds: u32) -> anyhow::Result<()> {
    let targets = match target {
        None => &TARGETS[..],
        Some(name) => match TARGETS.iter().position(|&known| known == name) {
            Some(at) => &TARGETS[at..=at],
            None => bail!("no fuzz target {name}: there are {}", TARGETS.join(" and ")),
        },
    };
    let tool = tool(root, "cargo-fuzz", VERSION)?;
    // cargo-fuzz takes whatever a changed lock file would say.
    let fetch = ["fetch", "--locked", "--quiet", "--manifest-path", "fuzz/Cargo.toml"];
    command(Command::new("cargo").args(fetch))?;
    for &target in targets {
        let corpus = root.join("target/fuzz/corpus").join(target);
        fs::create_dir_all(&corpus).with_context(|| format!("make {}", corpus.display()))?;
        if target == "packet" {
            seed(&corpus)?;
        }
        // No sanitizer: on the host, neither crate has unsafe code for one to watch, and a stable compiler has none.
        let mut fuzz = Command::new(&tool);
        fuzz.args(["run", "--fuzz-dir", "fuzz", "--target-dir", "target/fuzz", "--sanitizer", "none"]);
        fuzz.args(UNTRACED.contains(&target).then_some("--no-trace-compares"));
        fuzz.arg(target)
            .arg(&corpus)
            .args(["--", "-max_len=1024", "-timeout=20", "-print_final_stats=1"])
            .arg(format!("-max_total_time={seconds}"));
        command(&mut fuzz)?;
    }
    Ok(())
}

/// The named packets: from there, a mutation gets behind a header that bytes at random never come to.
fn seed(folder: &Path) -> anyhow::Result<()> {
    for case in corpus::corpus() {
        let name: String =
            case.name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let path = folder.join(name);
        fs::write(&path, &case.frame).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}
