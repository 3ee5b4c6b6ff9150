//! Writes what the packages hold of the command line: `cargo xtask package` runs this. An example, so that the binary
//! itself does not carry it.
//!
//! `manual DIRECTORY`: manual pages, one a command, go to DIRECTORY/man, completions to DIRECTORY/complete.

use std::{fs, path::Path};

use anyhow::{Context as _, bail};
use clap::CommandFactory as _;
use clap_complete::Shell;
use octroi::commands::cli::Cli;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory] = arguments.as_slice() else {
        bail!("usage: manual DIRECTORY");
    };
    let [man, complete] = ["man", "complete"].map(|name| Path::new(directory).join(name));
    for folder in [&man, &complete] {
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    }
    clap_mangen::generate_to(Cli::command(), &man).context("write manual pages")?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut Cli::command(), "octroi", &complete)
            .with_context(|| format!("write completions for {shell}"))?;
    }
    Ok(())
}
