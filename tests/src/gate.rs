//! `octroi run` in a namespace: started, waited for, asked, stopped; and when a test fails, all there is to know.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::command::{self, Finished};
use crate::netns::{Lab, Namespace, PREFIX, report};
use crate::nft;
use crate::prom::{self, Metrics};

/// Where metrics are served, in the gate's own namespace.
pub const METRICS_PORT: u16 = 9462;

/// How long the daemon may take until it is ready: tables of a million networks on a slow machine included.
const START: Duration = Duration::from_secs(30);
/// How long it may take to end.
const STOP: Duration = Duration::from_secs(15);
/// How long a command may take.
const COMMAND: Duration = Duration::from_secs(60);
/// Where pins live.
const BPFFS: &str = "/sys/fs/bpf";

/// What a daemon is started with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// `interfaces`: names or globs.
    pub interfaces: Vec<String>,
    /// `mode`: `auto`, `native` or `generic`.
    pub mode: String,
    /// The port that metrics are served on.
    pub metrics_port: u16,
    /// More lines for `[control]`, behind `socket`, `pins` and `state`.
    pub control: String,
    /// Everything else: tables only (`[policy]`, `[geoip]`, `[[rule]]`, …), no bare keys.
    pub policy: String,
    /// Environment variables for the daemon.
    pub environment: Vec<(String, String)>,
    /// The directory of pins; `None` takes one of the gate's own.
    pub pins: Option<PathBuf>,
    /// The binary; `None` takes `$OCTROI_BIN`, else `octroi` beside the directory of the running test.
    pub binary: Option<PathBuf>,
}

impl Setup {
    /// A gate on the first wire's inner end, `mode = "auto"`.
    pub fn new(policy: &str) -> Setup {
        Setup {
            interfaces: vec!["gate0".to_owned()],
            mode: "auto".to_owned(),
            metrics_port: METRICS_PORT,
            control: String::new(),
            policy: policy.to_owned(),
            environment: Vec::new(),
            pins: None,
            binary: None,
        }
    }
}

/// A running daemon, stopped and detached when dropped.
#[derive(Debug)]
pub struct Gate<'lab> {
    lab: &'lab Lab,
    setup: Setup,
    binary: PathBuf,
    directory: TempDir,
    pins: PathBuf,
    daemon: Option<Daemon>,
    /// What daemons of this gate that have ended wrote.
    past: String,
}

#[derive(Debug)]
struct Daemon {
    child: Child,
    command: String,
    log: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl<'lab> Gate<'lab> {
    /// Starts a gate on the first wire of a lab, and waits until it is ready.
    ///
    /// # Panics
    /// With everything there is to know, where it does not become ready; and where the binary or the BPF file system
    /// is missing.
    #[track_caller]
    pub fn start(lab: &'lab Lab, policy: &str) -> Gate<'lab> {
        Gate::start_with(lab, Setup::new(policy))
    }

    /// The same, with a say in all of it.
    ///
    /// # Panics
    /// As [`start`](Gate::start).
    #[track_caller]
    pub fn start_with(lab: &'lab Lab, setup: Setup) -> Gate<'lab> {
        let mut gate = Gate::prepare(lab, setup);
        gate.start_again();
        gate
    }

    /// A gate with configuration and places for socket and pins, but without a daemon: for commands that need none,
    /// and for daemons that are not to start.
    ///
    /// # Panics
    /// Where the binary or the BPF file system is missing.
    #[track_caller]
    pub fn prepare(lab: &'lab Lab, setup: Setup) -> Gate<'lab> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        require_bpffs();
        let binary = setup.binary.clone().unwrap_or_else(binary);
        let directory =
            tempfile::Builder::new().prefix(PREFIX).tempdir().expect("make a temporary directory");
        let name = format!("{}-{}", lab.tag(), COUNT.fetch_add(1, Ordering::Relaxed));
        let pins = setup.pins.clone().unwrap_or_else(|| Path::new(BPFFS).join(name));
        let gate = Gate { lab, setup, binary, directory, pins, daemon: None, past: String::new() };
        gate.write(&gate.setup.policy);
        gate
    }

    /// Starts the daemon, after [`stop`](Gate::stop), [`kill`](Gate::kill) or [`prepare`](Gate::prepare), with the
    /// same configuration and the same pins, and waits until it is ready.
    ///
    /// # Panics
    /// As [`start`](Gate::start), and where a daemon is running.
    #[track_caller]
    pub fn start_again(&mut self) {
        self.spawn();
        self.wait_until_ready();
    }

    /// Starts the daemon, and does not wait for it.
    ///
    /// # Panics
    /// Where it cannot be started, and where one is running.
    #[track_caller]
    pub fn spawn(&mut self) {
        assert!(self.daemon.is_none(), "the daemon is running already");
        let mut command = self.command(["run"]);
        command.env("RUST_BACKTRACE", "1");
        command.envs(self.setup.environment.iter().map(|(key, value)| (key, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let name = command::spell(&command);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("start `{name}`: {error}"));
        let log = Arc::new(Mutex::new(String::new()));
        let stdout = keep(child.stdout.take().expect("piped above"), "stdout", &log);
        let stderr = keep(child.stderr.take().expect("piped above"), "stderr", &log);
        self.daemon = Some(Daemon { child, command: name, log, readers: vec![stdout, stderr] });
    }

    /// Runs a daemon that has to end by itself, and gives what is left of it.
    ///
    /// # Panics
    /// Where it is still running after the time in which it has to be ready.
    #[track_caller]
    pub fn run_to_end(&self) -> Finished {
        command::run(self.command(["run"]), START)
    }

    /// Writes a new policy into the configuration file, at once and whole. The daemon is not told.
    pub fn write(&self, policy: &str) {
        let new = self.directory.path().join("octroi.toml.new");
        fs::write(&new, self.text(policy)).expect("write into a directory of ours");
        fs::rename(new, self.config()).expect("rename within a directory of ours");
    }

    /// `octroi reload`: fails, without touching the running gate, where the new configuration is invalid.
    #[track_caller]
    pub fn reload(&self) -> Finished {
        self.octroi(["reload"])
    }

    /// `octroi status --json`.
    ///
    /// # Panics
    /// Where it fails.
    #[track_caller]
    pub fn status(&self) -> Value {
        self.octroi(["status", "--json"]).json()
    }

    /// Runs an `octroi` command in the gate's namespace, to its end, with `-c` and the configuration file behind the
    /// arguments.
    #[track_caller]
    pub fn octroi(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Finished {
        command::run(self.command(arguments), COMMAND)
    }

    /// An `octroi` command as [`octroi`](Gate::octroi) would run it.
    pub fn command(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = self.namespace().command(&self.binary);
        command.args(arguments).arg("-c").arg(self.config());
        command
    }

    /// `/metrics`.
    ///
    /// # Panics
    /// Where it fails.
    #[track_caller]
    pub fn metrics(&self) -> Metrics {
        prom::scrape(self.namespace(), self.setup.metrics_port)
    }

    /// The status code of `/healthz`.
    ///
    /// # Panics
    /// Where nobody answers.
    #[track_caller]
    pub fn health(&self) -> u16 {
        prom::get(self.namespace(), self.setup.metrics_port, "/healthz")
            .unwrap_or_else(|error| panic!("{error}"))
            .0
    }

    /// Where the daemon runs.
    pub fn namespace(&self) -> &'lab Namespace {
        &self.lab.inside
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.directory.path().join("octroi.toml")
    }

    /// A directory that goes with the gate: for databases, lists and captures.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The directory of what outlives the machine's restart.
    pub fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    /// The directory of pins.
    pub fn pins(&self) -> &Path {
        &self.pins
    }

    /// The daemon's process id.
    ///
    /// # Panics
    /// Where none runs.
    pub fn pid(&self) -> u32 {
        self.daemon.as_ref().expect("a daemon runs").child.id()
    }

    /// What the daemon has written until now, both outputs, and its predecessors with the same gate.
    pub fn log(&self) -> String {
        let now = self.daemon.as_ref().map(|daemon| daemon.log.lock().expect("readers do not panic").clone());
        format!("{}{}", self.past, now.unwrap_or_default())
    }

    /// Sends the daemon a signal.
    ///
    /// # Panics
    /// Where none runs.
    pub fn signal(&self, signal: libc::c_int) {
        let pid = libc::pid_t::try_from(self.pid()).expect("process ids are positive ints");
        // SAFETY: takes numbers only; the process is a child that was not waited for, so the id is not another's.
        let result = unsafe { libc::kill(pid, signal) };
        assert_eq!(result, 0, "send signal {signal} to {pid}: {}", std::io::Error::last_os_error());
    }

    /// Ends the daemon with SIGTERM and says how it ended. What it has pinned stays.
    ///
    /// # Panics
    /// Where none runs, and where it is still there after 15 s.
    #[track_caller]
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(libc::SIGTERM);
        let daemon = self.daemon.as_mut().expect("a daemon runs");
        let Some(status) = command::wait(&mut daemon.child, STOP) else {
            panic!("the daemon is still running {STOP:?} after SIGTERM")
        };
        self.bury(&status.to_string());
        status
    }

    /// Kills the daemon, as a crash would. What it has pinned stays.
    pub fn kill(&mut self) {
        if let Some(daemon) = &mut self.daemon {
            command::kill(&mut daemon.child);
            self.bury("SIGKILL");
        }
    }

    /// Everything there is to know: command, configuration, output, metrics, devices, nftables.
    pub fn describe(&self) -> String {
        let command = self.daemon.as_ref().map_or("no daemon runs", |daemon| &daemon.command);
        let config = fs::read_to_string(self.config()).unwrap_or_else(|error| error.to_string());
        let metrics = match prom::get(self.namespace(), self.setup.metrics_port, "/metrics") {
            Ok((_, body)) => body,
            Err(error) => error,
        };
        let parts = [
            ("command", command.to_owned()),
            ("configuration", config),
            ("output", self.log()),
            ("metrics", metrics),
            ("devices", self.lab.describe()),
            ("nftables", nft::describe(self.namespace())),
        ];
        parts.map(|(title, text)| format!("=== {title}\n{}\n", text.trim_end())).concat()
    }

    /// The whole configuration with that policy.
    pub fn text(&self, policy: &str) -> String {
        let Setup { interfaces, mode, control, metrics_port, .. } = &self.setup;
        let interfaces: Vec<_> = interfaces.iter().map(|name| format!("{name:?}")).collect();
        format!(
            "interfaces = [{}]\nmode = {mode:?}\n\n[metrics]\nlisten = \"127.0.0.1:{metrics_port}\"\n\n\
             [control]\nsocket = {:?}\npins = {:?}\nstate = {:?}\n{control}\n\n{policy}\n",
            interfaces.join(", "),
            self.directory.path().join("octroi.sock"),
            self.pins,
            self.state(),
        )
    }

    #[track_caller]
    fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + START;
        loop {
            let daemon = self.daemon.as_mut().expect("started by the caller");
            if let Some(status) = daemon.child.try_wait().expect("a child of ours can be waited for") {
                self.bury(&status.to_string());
                panic!("the daemon ended before it was ready");
            }
            let said_so = says_ready(&daemon.log.lock().expect("readers do not panic"));
            let healthy = || prom::get(self.namespace(), self.setup.metrics_port, "/healthz");
            if said_so && healthy().is_ok_and(|(status, _)| status == 200) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "the daemon is not ready after {START:?}; it said so: {said_so}"
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Keeps what an ended daemon has written.
    fn bury(&mut self, end: &str) {
        let Some(daemon) = self.daemon.take() else { return };
        for reader in daemon.readers {
            // A reader that panicked has nothing more to say.
            drop(reader.join());
        }
        self.past += &daemon.log.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        self.past += &format!("[`{}` ended: {end}]\n", daemon.command);
    }
}

impl Drop for Gate<'_> {
    fn drop(&mut self) {
        let failing = thread::panicking();
        if failing {
            quietly(|| report(&self.describe()));
        }
        quietly(|| self.kill());
        // Also where nothing is left to detach: it has to succeed then.
        let detached = quietly(|| self.octroi(["detach", "--all"]));
        let left = remove(&self.pins);
        match detached {
            Some(detached) if detached.status.success() => {}
            Some(detached) if failing => report(&detached.to_string()),
            Some(detached) => panic!("{detached}"),
            None => {}
        }
        // A test that fails already has said why.
        assert!(failing || left.is_empty(), "`octroi detach --all` has left behind: {left:?}");
    }
}

/// Does something that may panic where a panic would end the whole test run, or hide the first one. What it says is
/// printed by the panic itself.
fn quietly<T>(work: impl FnOnce() -> T) -> Option<T> {
    panic::catch_unwind(AssertUnwindSafe(work)).ok()
}

/// Whether a line of the log holds the word "ready": "already" is not it.
fn says_ready(log: &str) -> bool {
    log.split(|c: char| !c.is_alphanumeric()).any(|word| word == "ready")
}

/// `$OCTROI_BIN`, else `target/debug/octroi` for a test in `target/debug/deps`.
///
/// # Panics
/// Where there is none.
#[track_caller]
pub fn binary() -> PathBuf {
    let path = std::env::var_os("OCTROI_BIN").map_or_else(
        || {
            let test = std::env::current_exe().expect("a running program has a path");
            test.ancestors().nth(2).expect("tests are in a directory of the target directory").join("octroi")
        },
        PathBuf::from,
    );
    assert!(path.is_file(), "{} is missing: run `cargo xtask build`, or set OCTROI_BIN", path.display());
    path
}

#[track_caller]
fn require_bpffs() {
    let path = std::ffi::CString::new(Path::new(BPFFS).as_os_str().as_bytes()).expect("no zero byte");
    // SAFETY: all zeros are a valid statfs.
    let mut found: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: a string that ends with a zero byte, and a buffer of the right type; both live until the call returns.
    let result = unsafe { libc::statfs(path.as_ptr(), &raw mut found) };
    assert_eq!(result, 0, "{BPFFS}: {}", std::io::Error::last_os_error());
    let magic = found.f_type;
    let expected = libc::BPF_FS_MAGIC;
    assert_eq!(magic, expected, "{BPFFS} is no BPF file system: run `mount -t bpf bpf {BPFFS}`");
}

/// Removes a directory and everything in it, and says what was there. One that does not exist is empty.
fn remove(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(remove(&path));
        } else {
            // What cannot be removed is reported by who asked, as left behind.
            drop(fs::remove_file(&path));
            found.push(path);
        }
    }
    drop(fs::remove_dir(directory));
    found
}

/// Reads an output to its end, line by line, into the log.
fn keep(from: impl Read + Send + 'static, name: &'static str, log: &Arc<Mutex<String>>) -> JoinHandle<()> {
    let log = Arc::clone(log);
    thread::spawn(move || {
        let mut lines = BufReader::new(from);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            let text = format!("{name}: {}\n", String::from_utf8_lossy(&line).trim_end());
            log.lock().expect("nobody panics with the log in hand").push_str(&text);
            line.clear();
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_word_itself_means_ready() {
        assert!(says_ready("stderr: INFO octroi: ready, generation 1\n"));
        assert!(!says_ready("stderr: pins exist already\n"));
    }
}
