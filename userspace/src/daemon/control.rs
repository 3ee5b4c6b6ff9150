//! The control socket: one request a connection, one line of JSON each way.

use std::{
    fs, io,
    net::IpAddr,
    os::unix::fs::{FileTypeExt, PermissionsExt, chown},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::{mpsc, oneshot},
    time::{sleep, timeout},
};

use super::{
    Event,
    confirm::{Change, Install, Order},
    engine::Engine,
    leases::Wish,
    logins::Asking,
    peer::{self, NOT_PERMITTED, Places, Right},
    rollback::Back,
    status::Status,
};
pub use super::{
    ask::{AskError, ask},
    live::{MOST_BRIEFLY, MOST_WITH_REASONS},
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
        /// Also where it keeps out whoever asks.
        #[serde(default)]
        force: bool,
    },
    /// `octroi explain --live`.
    Explain {
        /// The sources, [`MOST_WITH_REASONS`] at most.
        addresses: Vec<IpAddr>,
        /// What is asked about them.
        question: Question,
    },
    /// `octroi explain - --live`, without the reasons.
    ExplainBriefly {
        /// The sources, [`MOST_BRIEFLY`] at most.
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
        /// Also where it keeps out whoever asks.
        #[serde(default)]
        force: bool,
        /// Where whoever asks is logged in from.
        #[serde(default)]
        login: Option<Login>,
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
        matches!(self, Self::Status) || self.may_have_a_long_answer()
    }

    /// Whether its answer may be megabytes long.
    pub(super) const fn may_have_a_long_answer(&self) -> bool {
        matches!(self, Self::Explain { .. } | Self::ExplainBriefly { .. } | Self::Leases)
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
        /// One for each address, in their order; only the first of them, and one at least, where more would be too long.
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

    /// It is not done, and configuration and databases have no part in that.
    pub(super) const fn refused(error: String) -> Self {
        Self::Failed { error, invalid: false }
    }
}

/// A request is this long at most: some thousand addresses. The socket is for octroi's own commands.
const MAX_REQUEST: u64 = 256 << 10;
/// A policy that is applied is this long at most; what is large about policies is in lists.
pub const MAX_POLICY: usize = 4 << 20;
/// One with a policy: in JSON, a line's end is two characters.
const MAX_ORDER: u64 = 2 * MAX_POLICY as u64 + MAX_REQUEST;
/// How one with a policy begins, as `ask` writes it.
const ORDER: &[u8] = b"{\"command\":\"apply\",";
/// How long a client may take to ask, and to read the answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// How long to wait where no connection can be accepted: descriptors may be free again by then.
const PAUSE: Duration = Duration::from_millis(100);

/// The socket, which goes with this value.
#[derive(Debug)]
pub struct Listener {
    listener: UnixListener,
    path: PathBuf,
    /// The id of the group whose members may read.
    group: Option<u32>,
}

impl Listener {
    /// Makes the socket: for its owner only, or, where a group may read, for the group, too. Where it cannot be given to the
    /// group, it is for everybody; who may ask what is [`Right`]'s business in any case.
    ///
    /// # Errors
    /// When another daemon answers there, or it cannot be made.
    pub async fn bind(control: &Control) -> anyhow::Result<Self> {
        let path = control.socket.as_path();
        // The gate waits for no group: it may come with the network.
        let group = control.group.as_deref().map(peer::group).transpose().unwrap_or_else(|error| {
            tracing::error!("{error}; until octroi is restarted, nobody has its rights");
            None
        });
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
            Ok(_) => anyhow::bail!("another octroi already runs and answers at {}", path.display()),
            Err(error @ AskError::Silent { .. }) => return Err(error.into()),
            Err(AskError::Absent { .. }) => {}
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
        let mode = match group.map(|group| chown(path, None, Some(group))) {
            None => 0o600,
            Some(Ok(())) => 0o660,
            Some(Err(error)) => {
                tracing::info!(
                    "give the control socket {} to [control] group {:?}: {error}; everybody may connect, and is told apart by \
                     the kernel's word; to keep others from that, make the user that octroi runs as a member of the group \
                     (SupplementaryGroups= in octroi.service)",
                    path.display(),
                    control.group.as_deref().unwrap_or_default()
                );
                0o666
            }
        };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed)?;
        Ok(Self { listener, path: path.into(), group })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Answers requests, each in a task of its own. Whoever has no place, or no right to one, is turned away at once: what waits to
/// be accepted waits for nobody.
pub async fn serve(listener: Listener, engine: Arc<Engine>, events: mpsc::Sender<Event>) {
    let places = Arc::new(Places::new());
    loop {
        let stream = match listener.listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "accept on the control socket");
                sleep(PAUSE).await;
                continue;
            }
        };
        match places.admit(&stream, listener.group) {
            Ok((right, place)) => {
                let (engine, events, places) = (Arc::clone(&engine), events.clone(), Arc::clone(&places));
                tokio::spawn(async move {
                    if let Err(error) = answer(stream, right, &places, engine, events).await {
                        tracing::debug!(%error, "control socket");
                    }
                    drop(place);
                });
            }
            Err(why) => {
                // It may have gone.
                let _ = peer::turn_away(stream, why);
            }
        }
    }
}

async fn answer(
    mut stream: UnixStream,
    right: Right,
    places: &Places,
    engine: Arc<Engine>,
    events: mpsc::Sender<Event>,
) -> io::Result<()> {
    let (reader, mut writer) = stream.split();
    let line = timeout(PATIENCE, request(reader, right)).await??;
    let mut turn = None;
    let reply = match understand(&line, right) {
        Ok(request) => match places.turn(right, &request).await {
            Ok(waited) => {
                turn = waited;
                carry_out(request, engine, events).await?
            }
            Err(why) => Reply::refused(why),
        },
        Err(why) => Reply::refused(why),
    };
    let mut text = serde_json::to_vec(&reply)?;
    drop(reply);
    text.push(b'\n');
    let written = timeout(PATIENCE, writer.write_all(&text)).await?;
    drop(turn);
    written
}

/// What is asked, where it may be; else what to say.
fn understand(line: &[u8], right: Right) -> Result<Request, String> {
    if !line.ends_with(b"\n") && line.len() as u64 >= MAX_REQUEST {
        return Err(if line.starts_with(ORDER) && right != Right::All {
            NOT_PERMITTED.into()
        } else {
            format!(
                "refused: a request has {MAX_REQUEST} bytes at most; ask about fewer addresses at a time, as `octroi explain -` does"
            )
        });
    }
    match serde_json::from_slice::<Request>(line) {
        Ok(request) if !right.allows(&request) => Err(NOT_PERMITTED.into()),
        Ok(request) => Ok(request),
        Err(error) => Err(format!("not understood: {error}")),
    }
}

async fn carry_out(request: Request, engine: Arc<Engine>, events: mpsc::Sender<Event>) -> io::Result<Reply> {
    Ok(match request {
        Request::Status => {
            let status =
                tokio::task::spawn_blocking(move || engine.status()).await.map_err(io::Error::other)?;
            Reply::new(status, |status| Reply::Status(Box::new(status)))
        }
        Request::Reload { accept, force, login } => {
            let login = login.map(|login| Asking { login, force });
            in_turn(&events, |answer| Event::Reload { accept, login, answer: Some(answer) }).await
        }
        Request::Apply(order) => in_turn(&events, |answer| Event::Change(Change::Apply(order), answer)).await,
        Request::Confirm => in_turn(&events, |answer| Event::Change(Change::Confirm, answer)).await,
        Request::Rollback(back) => {
            in_turn(&events, |answer| Event::Change(Change::Rollback(back), answer)).await
        }
        Request::Installed => {
            tokio::task::spawn_blocking(move || engine.keep()).await.map_err(io::Error::other)?;
            Reply::Noted
        }
        Request::Explain { addresses, question } => {
            let explain = move || engine.explain_fully(&addresses, question);
            let result = tokio::task::spawn_blocking(explain).await.map_err(io::Error::other)?;
            Reply::new(result, |explanations| Reply::Explained { explanations })
        }
        Request::ExplainBriefly { addresses, question } => {
            let explain = move || engine.explain_briefly(&addresses, question);
            let result = tokio::task::spawn_blocking(explain).await.map_err(io::Error::other)?;
            Reply::new(result, |briefs| Reply::ExplainedBriefly { briefs })
        }
        Request::AddLease(wish) => {
            let add = move || engine.add_lease(wish);
            let result = tokio::task::spawn_blocking(add).await.map_err(io::Error::other)?;
            Reply::new(result, |(lease, replaced)| Reply::LeaseAdded { lease, replaced })
        }
        Request::RemoveLease { prefix, force, login } => {
            let remove = move || engine.remove_lease(prefix, login.filter(|_| !force));
            let result = tokio::task::spawn_blocking(remove).await.map_err(io::Error::other)?;
            Reply::new(result, |lease| Reply::LeaseRemoved { lease })
        }
        Request::Leases => {
            let leases = tokio::task::spawn_blocking(move || engine.leases());
            Reply::Leases { leases: leases.await.map_err(io::Error::other)? }
        }
    })
}

/// One line, or as much of it as a request may have.
async fn request(reader: impl AsyncRead + Unpin, right: Right) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut reader = BufReader::new(reader.take(MAX_REQUEST));
    reader.read_until(b'\n', &mut line).await?;
    if right == Right::All && line.starts_with(ORDER) && !line.ends_with(b"\n") {
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
        _ => Reply::refused("the daemon is about to end".into()),
    }
}
