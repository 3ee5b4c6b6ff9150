//! A change of policy by whoever is logged in over a real ssh, from an address that the change is about.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{IpAddr, SocketAddr},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use octroi_tests::{
    command::{self, Finished},
    gate::Gate,
    netns::Lab,
    socket::connect,
    wait,
};

const HOME: &str = "8.8.8.8";
const BLOCK_US: &str = "[[rule]]\nname = \"us\"\nsource = { country = [\"US\"] }\naction = \"drop\"\n";
/// Sessions end, too.
const SHUT_US: &str =
    "[[rule]]\nname = \"us\"\nsource = { country = [\"US\"] }\naction = \"reject\"\nestablished = \"drop\"\n";

/// OpenSSH's server inside, for root with a key that the outside has.
struct Server<'lab> {
    lab: &'lab Lab,
    keys: tempfile::TempDir,
    child: Child,
}

impl<'lab> Server<'lab> {
    fn start(lab: &'lab Lab) -> Self {
        let source: IpAddr = HOME.parse().expect("an address");
        lab.give_source(source);
        let keys = tempfile::tempdir().expect("a temporary directory");
        for name in ["host", "id"] {
            let mut make = Command::new("ssh-keygen");
            make.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(keys.path().join(name));
            command::run(make, command::SHORT).success();
        }
        let folder = keys.path().display();
        let config = format!(
            "HostKey {folder}/host\nAuthorizedKeysFile {folder}/id.pub\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n\
             PidFile none\n"
        );
        let file = keys.path().join("sshd_config");
        fs::write(&file, config).expect("a directory of ours");
        // Where its unprivileged part is locked in.
        fs::create_dir_all("/run/sshd").expect("make /run/sshd");
        let mut server = lab.inside.command("setpriv");
        // All of its sessions end with it, and it with the tests.
        server.args(["--pdeathsig", "KILL", "unshare", "--pid", "--fork", "--kill-child", "/usr/sbin/sshd"]);
        server.args(["-D", "-e", "-f"]).arg(file).stdout(Stdio::null()).stderr(Stdio::null());
        let child = server.spawn().expect("setpriv and unshare are in util-linux");
        let here = SocketAddr::new(lab.pair().here(source), 22);
        wait::until("sshd (Debian's openssh-server) listens", || {
            connect(&lab.outside, source, here, Duration::from_millis(200)).is_ok()
        });
        Server { lab, keys, child }
    }

    /// A command of somebody who logs in for it from `HOME`.
    fn login(&self, words: &str) -> Command {
        let mut client = self.lab.outside.command("ssh");
        client.args(["-F", "none", "-T", "-b", HOME, "-i"]).arg(self.keys.path().join("id"));
        for option in [
            "IdentitiesOnly=yes",
            "BatchMode=yes",
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
        ] {
            client.args(["-o", option]);
        }
        client.arg(format!("root@{}", self.lab.pair().gate4)).arg(words);
        client
    }

    /// Logs in and runs an `octroi` command.
    fn octroi(&self, gate: &Gate<'_>, words: &str) -> Finished {
        let config = gate.config();
        let words = format!("{} {words} -c {}", octroi_tests::gate::binary().display(), config.display());
        command::run(self.login(&words), command::SHORT)
    }

    /// Whether somebody who logs in now gets in, before `limit`.
    fn lets_in(&self, limit: Duration) -> bool {
        let mut client = self.login("true");
        client.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = client.spawn().expect("ssh: install openssh-client");
        let status = command::wait(&mut child, limit);
        command::kill(&mut child);
        status.is_some_and(|status| status.success())
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        command::kill(&mut self.child);
    }
}

/// A session that says what it hears.
struct Session {
    child: Child,
    heard: std::sync::mpsc::Receiver<String>,
}

impl Session {
    fn open(server: &Server<'_>) -> Self {
        let mut client = server.login("cat");
        client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = client.spawn().expect("ssh: install openssh-client");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let (say, heard) = std::sync::mpsc::channel();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| say.send(line)));
        let mut session = Session { child, heard };
        assert!(session.talks(), "it has just begun");
        session
    }

    fn talks(&mut self) -> bool {
        let said = self.child.stdin.as_mut().expect("piped").write_all(b"hello\n");
        said.is_ok() && self.heard.recv_timeout(SOON).is_ok_and(|line| line == "hello")
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        command::kill(&mut self.child);
    }
}

/// Writes a candidate, and names it.
fn candidate(gate: &Gate<'_>, policy: &str) -> String {
    let path = gate.directory().join("new.toml");
    fs::write(&path, gate.text(policy)).expect("a directory of ours");
    path.display().to_string()
}

const SOON: Duration = Duration::from_secs(2);

#[test]
fn who_would_lock_himself_out_is_told_so_and_stays_in() {
    let lab = Lab::new();
    let server = Server::start(&lab);
    let gate = Gate::start(&lab, "");
    let file = candidate(&gate, BLOCK_US);
    let refused = server.octroi(&gate, &format!("apply {file}"));
    assert_eq!(refused.status.code(), Some(1), "{refused}");
    let words = "rule \"us\" drops 8.8.8.8, from which somebody seems to be logged in";
    assert!(refused.stderr.contains(words), "no {words:?} in\n{refused}");
    assert!(server.lets_in(SOON));
    assert_eq!(gate.status()["generation"], 1);
}

#[test]
fn who_locks_himself_out_is_back_in_by_himself() {
    let lab = Lab::new();
    let server = Server::start(&lab);
    let gate = Gate::start(&lab, "");
    let mut session = Session::open(&server);
    let file = candidate(&gate, SHUT_US);
    let begun = Instant::now();
    let mut apply = server.login(&format!(
        "{} apply {file} --force --confirm-timeout 8s -c {}",
        octroi_tests::gate::binary().display(),
        gate.config().display()
    ));
    apply.stdout(Stdio::null()).stderr(Stdio::null());
    let mut apply = apply.spawn().expect("ssh: install openssh-client");
    wait::until("locked out", || gate.status()["generation"] == 2);
    assert!(!session.talks(), "this session ends with its next packet");
    assert!(!server.lets_in(SOON));
    assert!(begun.elapsed() < Duration::from_secs(8), "too slow a machine to see it");
    wait::until("back in", || server.lets_in(SOON));
    let after = begun.elapsed();
    assert!((Duration::from_secs(8)..Duration::from_secs(14)).contains(&after), "{after:?}");
    let status = gate.status();
    let error = status["last_reload"]["error"].as_str().unwrap_or_default();
    assert!(error.contains("new.toml was applied and not confirmed in time"), "{status}");
    command::kill(&mut apply);
}

#[test]
fn who_still_gets_in_confirms_and_his_session_goes_on() {
    let lab = Lab::new();
    let server = Server::start(&lab);
    let gate = Gate::start(&lab, "");
    let mut session = Session::open(&server);
    // Only what is meant; and somebody who is logged in stays so in any case.
    let file = candidate(&gate, &format!("{BLOCK_US}service = [\"tcp/443\"]\n"));
    server.octroi(&gate, &format!("apply {file} --confirm-timeout 5s")).success();
    assert!(session.talks());
    server.octroi(&gate, "confirm").success();
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!(gate.status()["rules"][0]["name"], "us", "it did not go");
    let file = candidate(&gate, BLOCK_US);
    // By a session that is open already, since the next one does not get in.
    server.octroi(&gate, &format!("apply {file} --force --confirm-timeout 5s")).success();
    assert!(session.talks());
    assert!(!server.lets_in(SOON));
    gate.octroi(["rollback"]).success();
    assert!(server.lets_in(SOON));
    assert!(session.talks());
}
