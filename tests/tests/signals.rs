//! Signals to the daemon, and what it tells the service manager (sd_notify(3)).

use std::{
    io::ErrorKind,
    os::unix::net::UnixDatagram,
    time::{Duration, Instant},
};

use octroi_tests::{
    gate::{Gate, Setup},
    netns::{Lab, PREFIX},
    wait,
};

const BLOCK_CN: &str = "[[rule]]\nname = \"cn\"\nsource = { country = [\"CN\"] }\naction = \"drop\"\n";
const BLOCK_DE: &str = "[[rule]]\nname = \"de\"\nsource = { country = [\"DE\"] }\naction = \"drop\"\n";
const BROKEN: &str = "[[rule]]\nname = \"cn\"\n";

#[test]
fn sighup_reloads_and_where_it_cannot_the_running_gate_stays() {
    let lab = Lab::new();
    let gate = Gate::start(&lab, BLOCK_CN);
    let pid = gate.pid();
    gate.write(BLOCK_DE);
    gate.signal(libc::SIGHUP);
    wait::until("generation 2", || gate.status()["generation"] == 2);
    let status = gate.status();
    assert_eq!(status["rules"][0]["name"], "de");
    assert_eq!((&status["last_reload"]["result"], &status["pid"]), (&"success".into(), &pid.into()));

    gate.write(BROKEN);
    gate.signal(libc::SIGHUP);
    wait::until("a reload that failed", || gate.status()["last_reload"]["result"] == "failure");
    let status = gate.status();
    assert_eq!((&status["generation"], &status["rules"][0]["name"]), (&2.into(), &"de".into()));
    let error = status["last_reload"]["error"].as_str().unwrap_or_default();
    assert!(error.contains("octroi.toml:") && error.contains("source"), "{status}");
    assert_eq!(gate.metrics().sum("octroi_reloads_total", &[("result", "failure")]), 1.0);
    assert_eq!(gate.health(), 200);
}

#[test]
fn sigint_ends_the_daemon_as_sigterm_does() {
    let lab = Lab::new();
    let mut gate = Gate::start(&lab, BLOCK_CN);
    gate.signal(libc::SIGINT);
    assert!(gate.stop().success(), "{}", gate.describe());
    assert!(gate.log().contains("goes on filtering until `octroi detach`: generation 1"), "{}", gate.log());
}

/// What the service manager would be: a socket, and the messages that came to it.
struct Manager {
    socket: UnixDatagram,
    _folder: tempfile::TempDir,
    path: String,
}

impl Manager {
    fn new() -> Manager {
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir().expect("make a temporary directory");
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("make a socket in a directory of ours");
        socket.set_read_timeout(Some(Duration::from_secs(15))).expect("a time limit");
        Manager { socket, path: path.display().to_string(), _folder: folder }
    }

    /// The next message that is not only about the status line: its lines.
    fn next(&self) -> Vec<String> {
        let deadline = Instant::now() + Duration::from_secs(15);
        let mut buffer = [0; 4096];
        loop {
            let length = match self.socket.recv(&mut buffer) {
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => panic!("no message from the daemon: {error}"),
            };
            let text = String::from_utf8_lossy(&buffer[..length]);
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            if lines.iter().any(|line| !line.starts_with("STATUS=")) {
                return lines;
            }
            assert!(Instant::now() < deadline, "nothing but the status line");
        }
    }
}

/// CLOCK_MONOTONIC in microseconds, as systemd compares it.
fn monotonic() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a timespec that lives until the call returns.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    u64::try_from(now.tv_sec * 1_000_000 + now.tv_nsec / 1000).expect("time since the boot")
}

#[test]
fn the_service_manager_is_told_of_start_reload_and_end() {
    let lab = Lab::new();
    let manager = Manager::new();
    let environment = vec![("NOTIFY_SOCKET".to_owned(), manager.path.clone())];
    let mut gate = Gate::start_with(&lab, Setup { environment, ..Setup::new(BLOCK_CN) });
    let status = |generation: u32| format!("STATUS=generation {generation} on gate0 (native), 1 rules");
    assert_eq!(manager.next(), ["READY=1", &status(1)]);

    for (policy, generation) in [(BLOCK_DE, 2), (BROKEN, 2)] {
        gate.write(policy);
        let before = monotonic();
        gate.signal(libc::SIGHUP);
        let message = manager.next();
        assert_eq!(message[0], "RELOADING=1", "{message:?}");
        let time = message[1].strip_prefix("MONOTONIC_USEC=").and_then(|time| time.parse().ok());
        assert!(time.is_some_and(|time: u64| before <= time && time <= monotonic()), "{message:?}");
        // Also where the reload failed: what runs is ready as before.
        assert_eq!(manager.next(), ["READY=1", &status(generation)]);
    }

    let new = gate.directory().join("new.toml");
    std::fs::write(&new, gate.text(BLOCK_CN)).expect("write into a directory of ours");
    gate.octroi(["apply", &new.display().to_string(), "--confirm-timeout", "1h"]).success();
    assert_eq!(manager.next()[0], "RELOADING=1");
    let waits = manager.next();
    let expected = format!("{}; {} waits for `octroi confirm` until 20", status(3), new.display());
    assert!(waits[0] == "READY=1" && waits[1].starts_with(&expected), "{waits:?}");
    gate.octroi(["rollback"]).success();
    assert_eq!(
        (manager.next()[0].as_str(), manager.next()),
        ("RELOADING=1", vec!["READY=1".into(), status(4)])
    );

    assert!(gate.stop().success(), "{}", gate.describe());
    assert_eq!(manager.next(), ["STOPPING=1"]);
}
