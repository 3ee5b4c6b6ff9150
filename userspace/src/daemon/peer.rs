//! Who is at the other end of the control socket, and what they may ask: by the kernel's word (unix(7), SO_PEERCRED and
//! SO_PEERGROUPS), not by theirs.

use std::{
    ffi::CString,
    io,
    os::fd::{AsFd, AsRawFd},
};

use super::control::Request;

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
    pub(super) fn of(stream: &tokio::net::UnixStream, group: Option<u32>) -> io::Result<Self> {
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

/// The id of a group.
///
/// # Errors
/// When there is none of that name.
pub(super) fn group(name: &str) -> anyhow::Result<u32> {
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
    let mut groups = vec![0u32; MOST];
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
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    groups.truncate(bytes as usize / size_of::<u32>());
    Ok(groups)
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
