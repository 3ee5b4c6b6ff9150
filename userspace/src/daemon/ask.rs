//! The other end of the control socket: octroi's commands.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
    time::{sleep, timeout},
};

use super::control::{PATIENCE, Reply, Request};

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
        "the daemon at {} (process {}) gave no answer in {} s, and may still do what it was asked; ask again, and look at its log (journalctl -u octroi); only if it \
         goes on like that, end it: kill -9 {}, after which its programs go on filtering",
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
        Some(libc::EACCES) => {
            "run this as root, as the user that octroi runs as, or, if it changes nothing, as a member of [control] group"
        }
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
    let connect = timeout(PATIENCE, connect(path)).await;
    let silent = |pid| AskError::Silent { path: path.into(), pid, patience };
    let mut stream = connect.map_err(|_| silent(None))?.map_err(absent)?;
    let pid = stream.peer_cred().ok().and_then(|peer| peer.pid());
    let exchange = async {
        let mut text = serde_json::to_vec(&request)?;
        text.push(b'\n');
        // Whoever is turned away is told so before all is written.
        let written = stream.write_all(&text).await;
        let mut line = String::new();
        let read = BufReader::new(&mut stream).read_line(&mut line).await;
        if line.is_empty() {
            written?;
            read?;
            return Err(io::Error::other("it ended before it answered"));
        }
        Ok(serde_json::from_str(&line)?)
    };
    timeout(patience, exchange).await.map_err(|_| silent(pid))?.map_err(absent)
}

/// How long to wait where too many others wait to be accepted.
const PAUSE: Duration = Duration::from_millis(20);

/// Connects, as soon as not too many others wait to be accepted.
async fn connect(path: &Path) -> io::Result<UnixStream> {
    loop {
        match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(PAUSE).await,
            result => return result,
        }
    }
}
