//! Who is at the other end of the control socket, what they may ask, and how many there may be: by the kernel's word
//! (unix(7), SO_PEERCRED and SO_PEERGROUPS), not by theirs.

use std::{
    ffi::CString,
    io::{self, Write},
    os::fd::{AsFd, AsRawFd},
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::UnixStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::control::{Reply, Request};

/// What is said to whoever may not ask what they ask.
pub(super) const NOT_PERMITTED: &str = "not permitted: root may, and the user that octroi runs as; members of [control] group may ask what changes nothing";
/// Connections at once of root and of the user that octroi runs as.
const OWN: usize = 256;
/// The same of all members of the group together. However many they make, the others' places are free.
const READERS: usize = 32;
/// How long a member waits for the answers of others.
const TURN: Duration = Duration::from_secs(60);

/// What somebody may ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Right {
    /// Everything: root, and the user that octroi runs as.
    All,
    /// What changes nothing: members of `[control] group`.
    Read,
    /// Nothing.
    Nothing,
}

impl Right {
    /// Whether this is enough for a request.
    pub(super) fn allows(self, request: &Request) -> bool {
        match self {
            Self::All => true,
            Self::Read => request.only_reads(),
            Self::Nothing => false,
        }
    }

    /// What whoever is at the other end of a connection may ask. `group`: the id of the group whose members may read.
    pub(super) fn of(stream: &UnixStream, group: Option<u32>) -> io::Result<Self> {
        let peer = stream.peer_cred()?;
        // SAFETY: the call has no arguments and cannot fail.
        if peer.uid() == 0 || peer.uid() == unsafe { libc::geteuid() } {
            return Ok(Self::All);
        }
        let Some(group) = group else { return Ok(Self::Nothing) };
        let member = peer.gid() == group || supplementary_groups(stream)?.contains(&group);
        Ok(if member { Self::Read } else { Self::Nothing })
    }
}

/// How many clients are served at once. Nobody waits for a place where others would wait behind him.
#[derive(Debug)]
pub(super) struct Places {
    own: Arc<Semaphore>,
    readers: Arc<Semaphore>,
    /// Held by a member whose answer may be long, until that is written: there is one in memory at most.
    long: Arc<Semaphore>,
}

impl Places {
    pub(super) fn new() -> Self {
        let places = |number| Arc::new(Semaphore::new(number));
        Self { own: places(OWN), readers: places(READERS), long: places(1) }
    }

    /// What a client may ask, and its place; else why there is none for it. Nothing is read from it, and nothing waited for.
    pub(super) fn admit(
        &self,
        stream: &UnixStream,
        group: Option<u32>,
    ) -> Result<(Right, OwnedSemaphorePermit), String> {
        let right = Right::of(stream, group).map_err(|error| format!("ask the kernel who asks: {error}"))?;
        let (places, number, who) = match right {
            Right::All => (&self.own, OWN, "root and the user that octroi runs as"),
            Right::Read => (&self.readers, READERS, "members of [control] group"),
            Right::Nothing => return Err(NOT_PERMITTED.into()),
        };
        let place = Arc::clone(places).try_acquire_owned().map_err(|_| {
            format!("refused: {who} have {number} connections at once, and all are taken; ask again in some seconds")
        })?;
        Ok((right, place))
    }

    /// Waits until a member may have an answer that may be long; nobody else waits for that. `Err`: it took too long.
    pub(super) async fn turn(
        &self,
        right: Right,
        request: &Request,
    ) -> Result<Option<OwnedSemaphorePermit>, String> {
        if right == Right::All || !request.may_have_a_long_answer() {
            return Ok(None);
        }
        match timeout(TURN, Arc::clone(&self.long).acquire_owned()).await {
            Ok(turn) => Ok(turn.ok()),
            Err(_) => Err(format!(
                "refused: other members of [control] group were being answered for {} s; ask again",
                TURN.as_secs()
            )),
        }
    }
}

/// Tells a client why nothing is read from it, where that can be written without waiting, and closes.
pub(super) fn turn_away(stream: UnixStream, why: String) -> io::Result<()> {
    tracing::debug!(why, "a client of the control socket is turned away");
    let mut text = serde_json::to_vec(&Reply::refused(why))?;
    text.push(b'\n');
    // Does not block, as before; tokio's own would first have to wait until it is known to be writable.
    stream.into_std()?.write_all(&text)
}

/// The id of a group.
///
/// # Errors
/// When there is none of that name.
pub(crate) fn group(name: &str) -> anyhow::Result<u32> {
    let unknown = || {
        anyhow::anyhow!(
            "[control] group {name:?}: no such group here; make it (groupadd {name}), or name another"
        )
    };
    let c_name = CString::new(name).map_err(|_| unknown())?;
    let mut buffer = vec![0; 64 << 10];
    // SAFETY: all zeros is a valid `group`.
    let mut entry: libc::group = unsafe { std::mem::zeroed() };
    let mut found = std::ptr::null_mut();
    // SAFETY: a string that ends in NUL, and structures and a buffer that live until the call returns.
    let result = unsafe {
        libc::getgrnam_r(c_name.as_ptr(), &raw mut entry, buffer.as_mut_ptr(), buffer.len(), &raw mut found)
    };
    if result != 0 || found.is_null() { Err(unknown()) } else { Ok(entry.gr_gid) }
}

fn supplementary_groups(stream: &impl AsFd) -> io::Result<Vec<u32>> {
    /// NGROUPS_MAX (include/uapi/linux/limits.h).
    const MOST: usize = 65_536;
    // Few have more, and whoever connects in a loop is to cost little.
    let mut groups = vec![0u32; 64];
    loop {
        let mut bytes = libc::socklen_t::try_from(size_of_val(groups.as_slice())).expect("256 KiB");
        // SAFETY: the kernel writes at most `bytes` bytes into a vector that has as many.
        let result = unsafe {
            libc::getsockopt(
                stream.as_fd().as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut bytes,
            )
        };
        if result == 0 {
            groups.truncate(bytes as usize / size_of::<u32>());
            return Ok(groups);
        }
        match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ERANGE) && groups.len() < MOST => {
                groups.resize(MOST, 0);
            }
            error => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_known_by_name() {
        assert_eq!(group("root").expect("it is everywhere"), 0);
        let error = group("no such group").expect_err("a name with spaces").to_string();
        assert!(error.contains("\"no such group\": no such group here"), "{error}");
    }

    #[tokio::test]
    async fn root_may_everything_and_so_may_the_own_user() {
        let (one, _other) = tokio::net::UnixStream::pair().expect("a pair");
        assert_eq!(Right::of(&one, None).expect("it is connected"), Right::All);
        supplementary_groups(&one).expect("Linux 4.13");
    }
}
