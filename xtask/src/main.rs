//! octroi's developer commands: `cargo xtask VERB`. Each installs what it needs, says what, and fails when what it shows
//! is not right.

mod bench;
mod build;
mod data;
mod demo;
mod fetch;
mod fuzz;
mod lint;
mod package;
mod packages;
mod shell;
mod test;
mod toolchain;
mod tools;
mod vm;

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};

/// octroi's developer commands.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Find or install the toolchain that builds the eBPF object.
    Setup,
    /// Build the eBPF object and the binary around it.
    Build {
        /// target/release/octroi instead of target/debug/octroi.
        #[arg(long)]
        release: bool,
    },
    /// Show the gate at work between two network namespaces, on real data.
    Demo,
    /// Format, lints, layers, and all tests.
    Test {
        /// Passed on to `cargo test`.
        #[arg(last = true)]
        args: Vec<String>,
    },
    /// Which part may import what, and how long a file may be.
    Lint,
    /// Measure what octroi costs, beside what others cost.
    ///
    /// As root, on CPUs 0 and 1, which it keeps busy at the highest priority for about six minutes: not on a machine in service.
    /// Installs iproute2, ethtool, nftables, ipset and iptables where they are missing. Attaches in network namespaces of its
    /// own, never to an interface of the machine. Writes report.json and report.svg to target/bench.
    Bench {
        /// About a minute once built, with wider spreads; no tables of 4 million intervals.
        #[arg(long)]
        quick: bool,
    },
    /// Any bytes for the table's builder and the packet parser, by libFuzzer.
    Fuzz {
        /// How long, for each target.
        #[arg(long, default_value_t = 60)]
        seconds: u32,
        /// `table` or `packet`; both where none is given.
        target: Option<String>,
    },
    /// Packages for Debian (.deb, checked by lintian) and for others (.rpm), into target/package.
    ///
    /// Installs lintian and rpm where they are missing, and builds cargo-deb and cargo-generate-rpm into target/tools.
    Package,
    /// The package in a machine of its own, with a real systemd: boots, upgrades, crashes, hangs, clocks, power cuts,
    /// removal.
    ///
    /// As root. By QEMU without KVM, whose machine has no way out: its one interface leads to this program. Installs
    /// qemu-system-x86 and mmdebstrap where they are missing; the machine is made of Debian's packages from where
    /// this one's come from, once, into target/vm.
    Vm {
        /// Of which release of Debian the machine is.
        #[arg(long, value_name = "RELEASE", default_value = "trixie")]
        debian: String,
        /// Only this part between installation and removal, such as `upgrade`; several may be given.
        #[arg(long = "part", value_name = "PART")]
        parts: Vec<String>,
    },
    /// Refresh the embedded tables from their packages.
    Data,
}

fn main() -> anyhow::Result<()> {
    let root = root();
    std::env::set_current_dir(&root)?;
    match Cli::parse().verb {
        Verb::Setup => toolchain::setup(&root).map(|found| println!("{found}")),
        Verb::Build { release } => build::build(&root, release).map(drop),
        Verb::Demo => demo::run(&root),
        Verb::Test { args } => test::run(&root, &args),
        Verb::Lint => lint::run(&root),
        Verb::Bench { quick } => bench::run(&root, quick),
        Verb::Fuzz { seconds, target } => fuzz::run(&root, target.as_deref(), seconds),
        Verb::Package => package::all(&root),
        Verb::Vm { debian, parts } => vm::run(&root, &debian, &parts),
        Verb::Data => data::run(&root),
    }
}

/// The workspace's folder.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace").into()
}
