//! One measured load in a process of its own, so that its peak memory is that of one load alone. Each has a network
//! namespace of its own, too, which ends with it.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, bail, ensure};
use clap::Subcommand;
use octroi::{
    config::{self, Config},
    daemon::memory,
    dataplane::{self, Dataplane, ProgramOptions, bpffs::Pins, interfaces},
    policy::{
        Databases,
        compile::{Compilation, classify},
        slots::Slots,
    },
};
use octroi_abi::Counter;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// What a child process measures.
#[derive(Subcommand)]
pub(crate) enum Sample {
    /// octroi: a database file becomes live, and then once more.
    Octroi {
        /// The country database.
        database: PathBuf,
        /// The directory of pins.
        pins: PathBuf,
    },
    /// Another program.
    Tool {
        /// Its name and arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
}

/// Milliseconds from a file to the gate.
#[derive(Clone, Copy, Serialize, Deserialize, Debug)]
pub(crate) struct Steps<T> {
    /// Read the databases and check all of them.
    pub(crate) read: T,
    /// Decide about every address.
    pub(crate) classify: T,
    /// Build both tables.
    pub(crate) build: T,
    /// Make and fill the maps, and have the programs verified.
    pub(crate) load: T,
    /// At a start: attach to the interface. At a reload: the step to the new generation.
    pub(crate) switch: T,
}

/// What octroi's load came to.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct Loaded {
    /// The first generation.
    pub(crate) start: Steps<f64>,
    /// The second, which replaces it.
    pub(crate) reload: Steps<f64>,
    /// Peak memory up to the first generation, in KiB.
    pub(crate) peak: u64,
    /// Peak memory with both generations in the kernel, in KiB.
    pub(crate) peak_reload: u64,
    /// Memory once what is free was given back, in KiB.
    pub(crate) rest: u64,
    /// What one generation's maps take in the kernel, in bytes, counters included.
    pub(crate) kernel: u64,
    /// Both tables, in bytes.
    pub(crate) tables: u64,
    /// Runs in both tables.
    pub(crate) intervals: u64,
}

/// What another program came to.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct Ran {
    /// Wall time in milliseconds.
    pub(crate) ms: f64,
    /// Peak memory in KiB.
    pub(crate) peak: u64,
    /// Bytes that its sets take in the kernel, and the number of their entries, where it tells.
    pub(crate) sets: Option<(u64, u64)>,
}

/// The README's first policy, enforced.
const POLICY: &str = "[[rule]]\nname = \"partner\"\nsource = { country = [\"CN\"], asn = [58593] }\naction = \"pass\"\n\
                      [[rule]]\nname = \"unsupported-regions\"\nsource = { country = [\"CN\", \"KP\"] }\naction = \"drop\"\n";
const INTERFACE: &str = "gate0";

impl Sample {
    /// Measures, and prints the result as JSON for the parent.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        // SAFETY: the call only takes a number, and there is no other thread yet.
        let result = unsafe { libc::unshare(libc::CLONE_NEWNET) };
        ensure!(result == 0, "make a network namespace: {}", std::io::Error::last_os_error());
        let text = match self {
            Self::Octroi { database, pins } => serde_json::to_string(&octroi(&database, &pins)?)?,
            Self::Tool { command } => serde_json::to_string(&tool(&command)?)?,
        };
        println!("{text}");
        Ok(())
    }
}

/// Measures octroi's load in a child process.
pub(crate) fn measure_octroi(database: &Path) -> anyhow::Result<Loaded> {
    let pins = PathBuf::from(format!("/sys/fs/bpf/octroi-bench-{}", std::process::id()));
    let result = measure(|command| command.arg("octroi").arg(database).arg(&pins));
    // Left only by a child that failed; the error says so already.
    for folder in fs::read_dir(&pins).into_iter().flatten().flatten() {
        let _ = fs::remove_dir_all(folder.path());
    }
    let _ = fs::remove_dir(&pins);
    result
}

/// Measures another program in a child process.
pub(crate) fn measure_tool(line: &[&str]) -> anyhow::Result<Ran> {
    measure(|command| command.arg("tool").arg("--").args(line))
}

fn measure<T: DeserializeOwned>(arguments: impl Fn(&mut Command) -> &mut Command) -> anyhow::Result<T> {
    let mut command = Command::new(std::env::current_exe()?);
    arguments(command.arg("sample"));
    let output = command.stderr(Stdio::inherit()).output().with_context(|| format!("run {command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", output.status);
    let text = String::from_utf8(output.stdout)?;
    serde_json::from_str(&text).with_context(|| format!("read what {command:?} measured: {text}"))
}

fn octroi(database: &Path, pins: &Path) -> anyhow::Result<Loaded> {
    run(&["ip", "link", "add", INTERFACE, "type", "veth", "peer", "name", "peer0"])?;
    run(&["ip", "link", "set", INTERFACE, "up"])?;
    memory::prepare();
    let text = format!("interfaces = [\"{INTERFACE}\"]\n[geoip]\ncountry = {database:?}\n{POLICY}");
    let config = Config::parse(&text, Path::new("/bench.toml"))?;
    let mut slots = Slots::new();

    let mut clock = Clock(Instant::now());
    let (first, [read, classify, build]) = compile(&config, &mut clock, &mut slots)?;
    let mut dataplane = Dataplane::load(Pins::open(pins)?, &first.compiled, ProgramOptions::default())?;
    let load = clock.lap();
    let present = interfaces::list()?;
    let interface = present.iter().find(|one| one.name == INTERFACE).context("the veth is gone")?;
    dataplane.attach(interface, config::Mode::Auto)?;
    let start = Steps { read, classify, build, load, switch: clock.lap() };
    let (peak, kernel) = (memory_of("VmHWM")?, kernel_bytes()?);
    let images = &first.compiled.tables;
    let tables = (images.v4.len() + images.v6.len()) as u64;
    let intervals = first.intervals.v4 + first.intervals.v6;
    drop(first);
    memory::give_back();

    let mut clock = Clock(Instant::now());
    let (second, [read, classify, build]) = compile(&config, &mut clock, &mut slots)?;
    let mut program = dataplane.beside(&second.compiled)?;
    let load = clock.lap();
    dataplane.exchange(&mut program)?;
    drop(program);
    let reload = Steps { read, classify, build, load, switch: clock.lap() };
    let peak_reload = memory_of("VmHWM")?;
    drop(second);
    memory::give_back();
    let rest = memory_of("VmRSS")?;
    dataplane.detach_all();
    Ok(Loaded { start, reload, peak, peak_reload, rest, kernel, tables, intervals })
}

/// Reads and compiles; how long reading, deciding and building took.
fn compile(config: &Config, clock: &mut Clock, slots: &mut Slots) -> anyhow::Result<(Compilation, [f64; 3])> {
    dataplane::prepare();
    let databases = Databases::open(config)?;
    let read = clock.lap();
    let classified = classify(config, &databases, None)?;
    let decided = clock.lap();
    let mut compilation = classified.build_last(config, databases)?;
    compilation.assign(slots, &[], |_| Counter::default())?;
    Ok((compilation, [read, decided, clock.lap()]))
}

/// Milliseconds since it was last asked.
struct Clock(Instant);

impl Clock {
    fn lap(&mut self) -> f64 {
        let now = Instant::now();
        let since = now - std::mem::replace(&mut self.0, now);
        since.as_secs_f64() * 1e3
    }
}

fn tool(command: &[String]) -> anyhow::Result<Ran> {
    let [program, arguments @ ..] = command else { bail!("no program") };
    let started = Instant::now();
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| format!("run {program}"))?;
    let mut status = 0;
    // SAFETY: all zeros is a valid `rusage`.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    let id = libc::pid_t::try_from(child.id())?;
    // SAFETY: a child of ours that nobody has waited for; both places outlive the call.
    let waited = unsafe { libc::wait4(id, &raw mut status, 0, &raw mut usage) };
    ensure!(waited == id, "wait for {program}: {}", std::io::Error::last_os_error());
    let ms = started.elapsed().as_secs_f64() * 1e3;
    ensure!(status == 0, "{}: status {status:#x}", command.join(" "));
    let sets = if program == "ipset" { Some(sets()?) } else { None };
    Ok(Ran { ms, peak: u64::try_from(usage.ru_maxrss)?, sets })
}

/// Bytes and entries of the IP sets in this namespace.
fn sets() -> anyhow::Result<(u64, u64)> {
    let text = run(&["ipset", "list", "-terse"])?;
    let sum =
        |key: &str| text.lines().filter_map(|line| line.strip_prefix(key)?.trim().parse::<u64>().ok()).sum();
    Ok((sum("Size in memory:"), sum("Number of entries:")))
}

fn run(command: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(command[0]).args(&command[1..]).output();
    let output = output.with_context(|| format!("run {}", command.join(" ")))?;
    let message = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {message}", command.join(" "));
    Ok(String::from_utf8(output.stdout)?)
}

/// A size in KiB from this process's status.
fn memory_of(key: &str) -> anyhow::Result<u64> {
    let text = fs::read_to_string("/proc/self/status")?;
    let value =
        text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')?.trim().strip_suffix(" kB"));
    value.with_context(|| format!("no {key} in /proc/self/status"))?.parse().context("a number of KiB")
}

/// What the kernel charges for the maps that this process holds.
fn kernel_bytes() -> anyhow::Result<u64> {
    let mut seen = HashSet::new();
    let mut bytes = 0;
    for entry in fs::read_dir("/proc/self/fd")? {
        let name = entry?.file_name();
        // The descriptor of this very listing is gone by the end.
        let Ok(text) = fs::read_to_string(Path::new("/proc/self/fdinfo").join(name)) else { continue };
        let number =
            |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse::<u64>().ok());
        if let (Some(id), Some(size)) = (number("map_id:"), number("memlock:"))
            && seen.insert(id)
        {
            bytes += size;
        }
    }
    ensure!(bytes > 0, "the kernel tells no sizes of maps");
    Ok(bytes)
}
