//! From a file to the kernel: octroi with the whole world, others with the prefixes of a country or of twenty.

use std::{fs, path::Path};

use anyhow::{Context, ensure};
use octroi::geoip::{Database, Kind};
use serde::Serialize;

use crate::{
    figures::Figure,
    kernel::Filled,
    rivals::Countries,
    sample::{Loaded, Ran, Steps, measure_octroi, measure_tool},
    world::TWENTY,
};

/// One line of the report.
#[derive(Serialize, Debug)]
pub(crate) struct Load {
    /// What loads: `octroi start`, `octroi reload`, `nft -f`, `ipset restore`, `lpm`.
    pub(crate) loader: &'static str,
    /// What is loaded.
    pub(crate) content: &'static str,
    /// How many of what the loader takes: runs for octroi, prefixes for the others.
    pub(crate) entries: usize,
    /// Milliseconds from the file until it is live; for `lpm` from runs in memory.
    pub(crate) ms: Figure,
    /// How many times as long it takes as octroi's start in the same round.
    pub(crate) ratio: Figure,
    /// Where octroi's milliseconds went.
    pub(crate) steps: Option<Steps<Figure>>,
    /// The loader's peak memory in MB.
    pub(crate) peak_mb: Option<Figure>,
    /// What the loader, which goes on running, keeps, in MB.
    pub(crate) rest_mb: Option<Figure>,
    /// What it takes in the kernel, in MB, where the kernel tells.
    pub(crate) kernel_mb: Option<f64>,
    /// octroi's tables in MB.
    pub(crate) tables_mb: Option<f64>,
}

/// A rival's command on some content.
struct Rival {
    loader: &'static str,
    content: &'static str,
    entries: usize,
    command: Vec<String>,
    ran: Vec<Ran>,
}

/// Measures all loaders in turn, round by round. `lpm` is a fill with the same world, measured before.
pub(crate) fn measure(database: &Path, lpm: [Filled; 2], rounds: usize) -> anyhow::Result<Vec<Load>> {
    let database = &fs::canonicalize(database).with_context(|| format!("find {}", database.display()))?;
    let folder = tempfile::tempdir().context("make a directory for scripts")?;
    let mut rivals = rivals(database, folder.path())?;
    let mut samples: Vec<Loaded> = Vec::new();
    for _ in 0..rounds {
        samples.push(measure_octroi(database)?);
        for rival in &mut rivals {
            let line: Vec<&str> = rival.command.iter().map(String::as_str).collect();
            let ran = measure_tool(&line)?;
            if let Some((_, entries)) = ran.sets {
                ensure!(entries == rival.entries as u64, "ipset took {entries} of {} entries", rival.entries);
            }
            rival.ran.push(ran);
        }
    }
    let totals: Vec<f64> = samples.iter().map(|sample| sample.start.total()).collect();
    let ratio = |ms: Vec<f64>| Figure::of(ms.into_iter().zip(&totals).map(|(ms, octroi)| ms / octroi));
    let mut lines = vec![
        octroi("octroi start", &samples, |sample| (sample.start, sample.peak), ratio),
        octroi("octroi reload", &samples, |sample| (sample.reload, sample.peak_reload), ratio),
    ];
    for Rival { loader, content, entries, ran, .. } in rivals {
        let sets = ran.iter().find_map(|ran| ran.sets);
        lines.push(Load {
            loader,
            content,
            entries,
            ms: Figure::of(ran.iter().map(|ran| ran.ms)),
            ratio: ratio(ran.iter().map(|ran| ran.ms).collect()),
            steps: None,
            peak_mb: Some(Figure::of(ran.iter().map(|ran| mb(ran.peak)))),
            rest_mb: None,
            kernel_mb: sets.map(|(bytes, _)| bytes as f64 / 1e6),
            tables_mb: None,
        });
    }
    let ms = 1e3 * (lpm[0].seconds + lpm[1].seconds);
    lines.push(Load {
        loader: "lpm",
        content: "world",
        entries: lpm[0].entries + lpm[1].entries,
        ms: Figure::of([ms]),
        ratio: ratio(vec![ms; rounds]),
        steps: None,
        peak_mb: None,
        rest_mb: None,
        kernel_mb: None,
        tables_mb: None,
    });
    Ok(lines)
}

fn rivals(database: &Path, folder: &Path) -> anyhow::Result<Vec<Rival>> {
    let database = Database::open(Kind::Country, database)?;
    let mut rivals = Vec::new();
    for (content, codes) in [("CN", &["CN"][..]), ("20 countries", &TWENTY)] {
        let countries = Countries::of(&database, codes);
        for (loader, text, command) in [
            ("nft -f", countries.nft(), ["nft", "-f"]),
            ("ipset restore", countries.ipset(), ["ipset", "-file"]),
        ] {
            let path = folder.join(format!("{}-{content}", command[0]));
            fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
            let mut command = [command[0], command[1], &path.to_string_lossy()].map(str::to_owned).to_vec();
            if loader == "ipset restore" {
                command.push("restore".into());
            }
            rivals.push(Rival { loader, content, entries: countries.entries(), command, ran: Vec::new() });
        }
    }
    Ok(rivals)
}

fn octroi(
    loader: &'static str,
    samples: &[Loaded],
    which: impl Fn(&Loaded) -> (Steps<f64>, u64),
    ratio: impl Fn(Vec<f64>) -> Figure,
) -> Load {
    let steps: Vec<Steps<f64>> = samples.iter().map(|sample| which(sample).0).collect();
    let step = |pick: fn(&Steps<f64>) -> f64| Figure::of(steps.iter().map(pick));
    let one = &samples[0];
    Load {
        loader,
        content: "world",
        entries: usize::try_from(one.intervals).expect("runs in memory"),
        ms: step(Steps::total),
        ratio: ratio(steps.iter().map(Steps::total).collect()),
        steps: Some(Steps {
            read: step(|steps| steps.read),
            classify: step(|steps| steps.classify),
            build: step(|steps| steps.build),
            load: step(|steps| steps.load),
            switch: step(|steps| steps.switch),
        }),
        peak_mb: Some(Figure::of(samples.iter().map(|sample| mb(which(sample).1)))),
        rest_mb: Some(Figure::of(samples.iter().map(|sample| mb(sample.rest)))),
        kernel_mb: Some(one.kernel as f64 / 1e6),
        tables_mb: Some(one.tables as f64 / 1e6),
    }
}

impl Steps<f64> {
    fn total(&self) -> f64 {
        let Self { read, classify, build, load, switch } = self;
        read + classify + build + load + switch
    }
}

fn mb(kib: u64) -> f64 {
    kib as f64 * 1024.0 / 1e6
}

/// Prints the section.
pub(crate) fn show(lines: &[Load]) {
    println!(
        "\nfrom file to gate: octroi all countries and networks, nft and ipset only the list named, lpm the world once, from memory \
         (peak and after: the loading process)"
    );
    println!(
        "{:<14} {:<13} {:>8} {:>22} {:>20} {:>20} {:>8} {:>9} {:>9}",
        "load",
        "content",
        "entries",
        "ms until live",
        "÷ octroi's start",
        "peak MB",
        "after MB",
        "kernel MB",
        "tables MB"
    );
    let dash = || "-".to_owned();
    for line in lines {
        println!(
            "{:<14} {:<13} {:>8} {:>22} {:>20} {:>20} {:>8} {:>9} {:>9}",
            line.loader,
            line.content,
            line.entries,
            line.ms,
            line.ratio,
            line.peak_mb.map_or_else(dash, |figure| figure.to_string()),
            line.rest_mb.map_or_else(dash, |figure| format!("{:.1}", figure.median)),
            line.kernel_mb.map_or_else(dash, |mb| format!("{mb:.2}")),
            line.tables_mb.map_or_else(dash, |mb| format!("{mb:.2}"))
        );
    }
    println!(
        "{:<14} {:>20} {:>20} {:>20} {:>20} {:>16}",
        "  of which, ms", "read and check", "decide", "build tables", "load and verify", "attach or step"
    );
    for line in lines {
        if let Some(Steps { read, classify, build, load, switch }) = &line.steps {
            println!("{:<14} {read:>20} {classify:>20} {build:>20} {load:>20} {switch:>16}", line.loader);
        }
    }
}
