//! The control socket: one request a connection, one line of JSON each way.

use std::{
    fs, io,
    net::IpAddr,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::{Semaphore, mpsc, oneshot},
    time::timeout,
};

use super::{
    Event,
    confirm::{Change, Install, Order},
    engine::Engine,
    leases::Wish,
    peer::{self, Right},
    rollback::Back,
    status::Status,
};
use crate::{
    Failure,
    config::Control,
    lease::{Lease, Prefix},
    lint::Login,
    policy::{
        explain::{Brief, Explanation},
        walk::Question,
    },
};

/// What may be asked.
#[derive(Clone, Serialize, Deserialize, Debug)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Request {
    /// `octroi status`.
    Status,
    /// `octroi reload`.
    Reload {
        /// Where whoever asks is logged in from.
        #[serde(default)]
        login: Option<Login>,
        /// Whether databases are taken however much they differ from those that run.
        #[serde(default)]
        accept: bool,
    },
    /// `octroi explain --live`.
    Explain {
        /// The sources.
        addresses: Vec<IpAddr>,
        /// What is asked about them.
        question: Question,
    },
    /// `octroi explain - --live`, without the reasons.
    ExplainBriefly {
        /// The sources.
        addresses: Vec<IpAddr>,
        /// What is asked about them.
        question: Question,
    },
    /// `octroi lease add`.
    AddLease(Wish),
    /// `octroi lease remove`.
    RemoveLease {
        /// The lease's prefix.
        prefix: Prefix,
    },
    /// `octroi lease list`.
    Leases,
    /// `octroi apply`.
    Apply(Box<Order>),
    /// `octroi confirm`.
    Confirm,
    /// `octroi rollback`.
    Rollback(Back),
    /// What was to be in the configured file is there.
    Installed,
}

impl Request {
    /// Whether it changes nothing.
    pub(super) const fn only_reads(&self) -> bool {
        matches!(self, Self::Status | Self::Explain { .. } | Self::ExplainBriefly { .. } | Self::Leases)
    }
}

/// What is answered.
#[derive(Serialize, Deserialize, Debug)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    /// To [`Request::Status`].
    Status(Box<Status>),
    /// To [`Request::Reload`]: it is done; what to mind.
    Reloaded {
        /// The file that the daemon reads.
        #[serde(default)]
        file: Option<PathBuf>,
        /// What is in it does not count, and another policy does in its place.
        #[serde(default)]
        ignored: bool,
        /// One sentence each.
        warnings: Vec<String>,
    },
    /// To [`Request::Explain`].
    Explained {
        /// One for each address, in their order.
        explanations: Vec<Explanation>,
    },
    /// To [`Request::ExplainBriefly`].
    ExplainedBriefly {
        /// One for each address, in their order.
        briefs: Vec<Brief>,
    },
    /// To [`Request::AddLease`]: it holds, and is kept.
    LeaseAdded {
        /// The lease.
        lease: Lease,
        /// The one of the same prefix that it replaced.
        replaced: Option<Lease>,
    },
    /// To [`Request::RemoveLease`]: it holds no more.
    LeaseRemoved {
        /// What there was.
        lease: Lease,
    },
    /// To [`Request::Leases`].
    Leases {
        /// Those that are not over.
        leases: Vec<Lease>,
    },
    /// To [`Request::Apply`]: it runs.
    Applied {
        /// Its number.
        generation: u64,
        /// Until when it does unless somebody confirms it, RFC 3339.
        until: String,
        /// What to mind, one sentence each.
        warnings: Vec<String>,
    },
    /// To [`Request::Confirm`]: it counts.
    Confirmed {
        /// The file that was applied.
        file: PathBuf,
        /// What is to be in the configured file, where that does not say it.
        install: Option<Install>,
    },
    /// To [`Request::Rollback`]: what ran before runs.
    RolledBack {
        /// Its number.
        generation: u64,
        /// What it went back from, where that waited for its confirmation.
        from: Option<PathBuf>,
        /// When what runs now was kept, RFC 3339, where it had to be loaded.
        kept: Option<String>,
        /// What is to be in the configured file, where that does not say it.
        install: Option<Install>,
        /// What to mind, one sentence each.
        warnings: Vec<String>,
    },
    /// To [`Request::Installed`].
    Noted,
    /// It could not be done.
    Failed {
        /// Why.
        error: String,
        /// Configuration or database is invalid.
        invalid: bool,
    },
}

impl Reply {
    /// What `done` makes of a success, or why there was none.
    pub fn new<T>(result: Result<T, Failure>, done: impl FnOnce(T) -> Self) -> Self {
        match result {
            Ok(value) => done(value),
            Err(error) => {
                Self::Failed { error: error.to_string(), invalid: matches!(error, Failure::Config(_)) }
            }
        }
    }
}

/// A request is this long at most: some thousand addresses. The socket is for octroi's own commands.
const MAX_REQUEST: u64 = 256 << 10;
/// Connections at once; beyond, whoever connects waits until one ends.
const CONNECTIONS: usize = 64;
/// A policy that is applied is this long at most; what is large about policies is in lists.
pub const MAX_POLICY: usize = 4 << 20;
/// One with a policy: in JSON, a line's end is two characters.
const MAX_ORDER: u64 = 2 * MAX_POLICY as u64 + MAX_REQUEST;
/// How one with a policy begins, as `ask` writes it.
const ORDER: &[u8] = b"{\"command\":\"apply\",";
/// How long a client may take to ask, and to read the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The socket, which goes with this value.
#[derive(Debug)]
pub struct Listener {
    listener: UnixListener,
    path: PathBuf,
    /// The id of the group whose members may read.
    group: Option<u32>,
}

impl Listener {
    /// Makes the socket: for its owner only, or, where a group may read, for everybody, who are then told apart by [`Right`].
    ///
    /// # Errors
    /// When another daemon answers there, it cannot be made, or there is no such group.
    pub async fn bind(control: &Control) -> anyhow::Result<Self> {
        let path = control.socket.as_path();
        let group = control.group.as_deref().map(peer::group).transpose()?;
        let failed = |error: io::Error| {
            let next = match error.kind() {
                io::ErrorKind::PermissionDenied => {
                    "; run octroi as root or by octroi.service, whose user may, or name another place with [control] socket"
                }
                _ => "",
            };
            anyhow::anyhow!("make the control socket {}: {error}{next}", path.display())
        };
        match ask(path, Request::Status).await {
            Ok(Reply::Status(status)) => anyhow::bail!(
                "another octroi (process {}) already runs and answers at {}",
                status.pid,
                path.display()
            ),
            Err(error @ AskError::Silent { .. }) => return Err(error.into()),
            Ok(_) | Err(AskError::Absent { .. }) => {}
        }
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(failed)?;
        }
        match fs::symlink_metadata(path) {
            // Left by a daemon that was killed.
            Ok(there) if there.file_type().is_socket() => fs::remove_file(path).map_err(failed)?,
            Ok(_) => anyhow::bail!(
                "make the control socket {}: something that is no socket is there; remove it, or name another place with \
                 [control] socket",
                path.display()
            ),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        let mode = if group.is_some() { 0o666 } else { 0o600 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed)?;
        Ok(Self { listener, path: path.into(), group })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Answers requests, each in a task of its own.
pub async fn serve(listener: Listener, engine: Arc<Engine>, events: mpsc::Sender<Event>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let place = Arc::clone(&places).acquire_owned().await.expect("nobody closes it");
        match listener.listener.accept().await {
            Ok((stream, _)) => {
                let (engine, events) = (Arc::clone(&engine), events.clone());
                let right = Right::of(&stream, listener.group);
                tokio::spawn(async move {
                    if let Err(error) = answer(stream, right, engine, events).await {
                        tracing::debug!(%error, "control socket");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accept on the control socket");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn answer(
    mut stream: UnixStream,
    right: io::Result<Right>,
    engine: Arc<Engine>,
    events: mpsc::Sender<Event>,
) -> io::Result<()> {
    let right = right?;
    let (reader, mut writer) = stream.split();
    let line = timeout(PATIENCE, request(reader)).await??;
    let failed = |error: String| Reply::Failed { error, invalid: false };
    let reply = match serde_json::from_slice(&line) {
        Ok(request) if !right.allows(&request) => failed(
            "not permitted: root may, and the user that octroi runs as; members of [control] group may ask what changes nothing"
                .into(),
        ),
        Ok(Request::Status) => {
            let status =
                tokio::task::spawn_blocking(move || engine.status()).await.map_err(io::Error::other)?;
            Reply::new(status, |status| Reply::Status(Box::new(status)))
        }
        Ok(Request::Reload { accept, login }) => {
            in_turn(&events, |answer| Event::Reload { accept, login, answer: Some(answer) }).await
        }
        Ok(Request::Apply(order)) => {
            in_turn(&events, |answer| Event::Change(Change::Apply(order), answer)).await
        }
        Ok(Request::Confirm) => in_turn(&events, |answer| Event::Change(Change::Confirm, answer)).await,
        Ok(Request::Rollback(back)) => {
            in_turn(&events, |answer| Event::Change(Change::Rollback(back), answer)).await
        }
        Ok(Request::Installed) => {
            tokio::task::spawn_blocking(move || engine.keep()).await.map_err(io::Error::other)?;
            Reply::Noted
        }
        Ok(Request::Explain { addresses, question }) => {
            let explain = move || {
                engine.explain(&addresses, question, |explainer, one, lease| {
                    explainer.explain_under(one, lease)
                })
            };
            let result = tokio::task::spawn_blocking(explain).await.map_err(io::Error::other)?;
            Reply::new(result, |explanations| Reply::Explained { explanations })
        }
        Ok(Request::ExplainBriefly { addresses, question }) => {
            let explain = move || {
                engine
                    .explain(&addresses, question, |explainer, one, lease| explainer.brief_under(one, lease))
            };
            let result = tokio::task::spawn_blocking(explain).await.map_err(io::Error::other)?;
            Reply::new(result, |briefs| Reply::ExplainedBriefly { briefs })
        }
        Ok(Request::AddLease(wish)) => {
            let add = move || engine.add_lease(wish);
            let result = tokio::task::spawn_blocking(add).await.map_err(io::Error::other)?;
            Reply::new(result, |(lease, replaced)| Reply::LeaseAdded { lease, replaced })
        }
        Ok(Request::RemoveLease { prefix }) => {
            let remove = move || engine.remove_lease(prefix);
            let result = tokio::task::spawn_blocking(remove).await.map_err(io::Error::other)?;
            Reply::new(result, |lease| Reply::LeaseRemoved { lease })
        }
        Ok(Request::Leases) => {
            let leases = tokio::task::spawn_blocking(move || engine.leases());
            Reply::Leases { leases: leases.await.map_err(io::Error::other)? }
        }
        Err(error) => failed(format!("not understood: {error}")),
    };
    let mut text = serde_json::to_vec(&reply)?;
    text.push(b'\n');
    timeout(PATIENCE, writer.write_all(&text)).await?
}

/// One line, or as much of it as a request may have.
async fn request(reader: impl AsyncRead + Unpin) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut reader = BufReader::new(reader.take(MAX_REQUEST));
    reader.read_until(b'\n', &mut line).await?;
    if line.starts_with(ORDER) && !line.ends_with(b"\n") {
        reader.get_mut().set_limit(MAX_ORDER - MAX_REQUEST);
        reader.read_until(b'\n', &mut line).await?;
    }
    Ok(line)
}

/// The answer to what has to wait for its turn among all that happens to the daemon.
async fn in_turn(events: &mpsc::Sender<Event>, event: impl FnOnce(oneshot::Sender<Reply>) -> Event) -> Reply {
    let (answer, answered) = oneshot::channel();
    let sent = events.send(event(answer)).await;
    match (sent, answered.await) {
        (Ok(()), Ok(reply)) => reply,
        _ => Reply::Failed { error: "the daemon is about to end".into(), invalid: false },
    }
}

/// Why a daemon gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// No daemon is there.
    #[error("ask the daemon at {}: {error}; {}", path.display(), advice(.error))]
    Absent {
        /// The socket.
        path: PathBuf,
        /// Why nobody is there.
        error: io::Error,
    },
    /// One is there, and does not answer.
    #[error(
        "the daemon at {} (process {}) took the question and gave no answer in {} s; it may still do what it was asked; look at its \
         log, or end it: kill -9 {}, after which its programs go on filtering",
        path.display(), spell(*.pid), patience.as_secs(), spell(*.pid)
    )]
    Silent {
        /// The socket.
        path: PathBuf,
        /// The process that made it.
        pid: Option<i32>,
        /// How long it had.
        patience: Duration,
    },
}

fn advice(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EACCES) => "run this as root, or as the user that octroi runs as",
        _ => {
            "is `octroi run` running with this configuration? (Where its [control] socket has just been changed, the daemon answers \
             at the former one until it is restarted.)"
        }
    }
}

fn spell(pid: Option<i32>) -> String {
    pid.map_or_else(|| "unknown".into(), |pid| pid.to_string())
}

/// Asks the daemon at that socket.
///
/// # Errors
/// When nobody answers.
pub async fn ask(path: &Path, request: Request) -> Result<Reply, AskError> {
    // A reload of large databases on a slow machine takes a while.
    let patience = match request {
        Request::Status => PATIENCE,
        // Changes to leases and explanations wait for it.
        Request::Reload { .. }
        | Request::Explain { .. }
        | Request::ExplainBriefly { .. }
        | Request::AddLease(_)
        | Request::RemoveLease { .. }
        | Request::Leases
        | Request::Apply(_)
        | Request::Confirm
        | Request::Rollback(_)
        | Request::Installed => 24 * PATIENCE,
    };
    let absent = |error: io::Error| AskError::Absent { path: path.into(), error };
    let connect = timeout(PATIENCE, UnixStream::connect(path)).await;
    let silent = |pid| AskError::Silent { path: path.into(), pid, patience };
    let mut stream = connect.map_err(|_| silent(None))?.map_err(absent)?;
    let pid = stream.peer_cred().ok().and_then(|peer| peer.pid());
    let exchange = async {
        let mut text = serde_json::to_vec(&request)?;
        text.push(b'\n');
        stream.write_all(&text).await?;
        let mut line = String::new();
        if BufReader::new(&mut stream).read_line(&mut line).await? == 0 {
            return Err(io::Error::other("it ended before it answered"));
        }
        Ok(serde_json::from_str(&line)?)
    };
    timeout(patience, exchange).await.map_err(|_| silent(pid))?.map_err(absent)
}
