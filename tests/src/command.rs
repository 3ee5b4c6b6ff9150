//! Child processes with a time limit, and what is left of one: enough to say why it failed.

use std::fmt;
use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long set-up commands (`ip`, `nft`) may take.
pub const SHORT: Duration = Duration::from_secs(20);

/// A child that has ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Program and arguments, quoted where necessary.
    pub command: String,
    /// How it ended.
    pub status: ExitStatus,
    /// All of its standard output.
    pub stdout: String,
    /// All of its standard error.
    pub stderr: String,
}

impl Finished {
    /// Standard output of a child that has to have succeeded.
    ///
    /// # Panics
    /// With command, status, and both outputs, where it did not.
    #[track_caller]
    pub fn success(self) -> String {
        assert!(self.status.success(), "{self}");
        self.stdout
    }

    /// Standard output, read as JSON, of a child that has to have succeeded.
    ///
    /// # Panics
    /// With command, status, and both outputs, where it did not, or where its output is not JSON.
    #[track_caller]
    pub fn json(self) -> serde_json::Value {
        assert!(self.status.success(), "{self}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("not JSON: {error}\n{self}"))
    }
}

impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "`{}` ended with {}", self.command, self.status)?;
        writeln!(f, "--- stdout\n{}", self.stdout.trim_end())?;
        write!(f, "--- stderr\n{}", self.stderr.trim_end())
    }
}

/// Runs a command to its end, without standard input.
///
/// # Panics
/// Where it cannot be started, or is still there after `limit`; it is killed then.
#[track_caller]
pub fn run(command: Command, limit: Duration) -> Finished {
    run_with_input(command, "", limit)
}

/// Runs a command to its end, with `input` on its standard input.
///
/// # Panics
/// As [`run`].
#[track_caller]
pub fn run_with_input(mut command: Command, input: &str, limit: Duration) -> Finished {
    let name = spell(&command);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("start `{name}`: {error}"));
    let stdout = read_all(child.stdout.take().expect("piped above"));
    let stderr = read_all(child.stderr.take().expect("piped above"));
    let mut stdin = child.stdin.take().expect("piped above");
    let input = input.to_owned();
    // Written from a thread of its own: a child that answers while it is being asked must not block both. A child that
    // ends without reading its input is for its exit status to tell.
    let writer = thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let ended = wait(&mut child, limit);
    if ended.is_none() {
        kill(&mut child);
    }
    // The child has ended: it has read what it wanted to read.
    drop(writer.join());
    let (stdout, stderr) = (joined(stdout), joined(stderr));
    let Some(status) = ended else {
        panic!("`{name}` was still running after {limit:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}")
    };
    Finished { command: name, status, stdout, stderr }
}

/// Waits for a child. `None` where it is still there after `limit`.
pub fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait().expect("a child of ours can be waited for") {
            return Some(status);
        }
        if Instant::now() >= deadline {
            return None;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Kills a child and waits for it. One that has ended already is only waited for.
pub fn kill(child: &mut Child) {
    if child.kill().is_ok() {
        child.wait().expect("a child of ours can be waited for");
    }
}

/// Runs `ip` with arguments separated by blanks.
///
/// # Panics
/// Where it fails.
#[track_caller]
pub fn ip(arguments: &str) -> String {
    let mut command = Command::new("ip");
    command.args(arguments.split_whitespace());
    run(command, SHORT).success()
}

/// Program and arguments as one would type them.
pub fn spell(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let quoted = words.map(|word| {
        let word = word.to_string_lossy();
        let plain = !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || "-_./:=,@%+".contains(c));
        if plain { word.into_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

fn read_all(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).expect("a pipe can be read");
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn joined(reader: JoinHandle<String>) -> String {
    reader.join().expect("reading a pipe does not panic")
}
