//! When packets came: the kernel's own stamps, taken behind XDP and before the IP stack.

use std::{
    io,
    mem::MaybeUninit,
    net::{Ipv4Addr, UdpSocket},
    os::fd::AsRawFd,
    time::Duration,
};

use anyhow::{Context, ensure};
use octroi_tests::netns::Namespace;

/// Room for packets that wait to be read, in bytes.
const RECEIVE_BUFFER: libc::c_int = 64 << 20;

/// A UDP port whose packets are stamped.
pub(crate) struct Stamps {
    socket: UdpSocket,
}

impl Stamps {
    /// Opens the port in a namespace.
    pub(crate) fn open(namespace: &Namespace, port: u16) -> anyhow::Result<Self> {
        let socket = namespace
            .run(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)))
            .with_context(|| format!("open UDP port {port} in {}", namespace.name()))?;
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        let stamps = Self { socket };
        stamps.set(libc::SO_TIMESTAMPNS, 1)?;
        stamps.set(libc::SO_RCVBUFFORCE, RECEIVE_BUFFER)?;
        Ok(stamps)
    }

    /// The next packet's source and its stamp, in nanoseconds of Unix time; none where none comes for a while.
    pub(crate) fn next(&self) -> anyhow::Result<Option<(Ipv4Addr, u64)>> {
        let mut data = [0u8; 64];
        let mut part = libc::iovec { iov_base: data.as_mut_ptr().cast(), iov_len: data.len() };
        // Of u64, for the alignment that control messages need.
        let mut control = [0u64; 8];
        // SAFETY: all zeros are a valid sockaddr_in.
        let mut source: libc::sockaddr_in = unsafe { MaybeUninit::zeroed().assume_init() };
        // SAFETY: all zeros are a valid msghdr.
        let mut header: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
        header.msg_name = (&raw mut source).cast();
        header.msg_namelen = libc::socklen_t::try_from(size_of_val(&source))?;
        header.msg_iov = &raw mut part;
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = size_of_val(&control);
        // SAFETY: the header names `source`, `data` and `control` with their sizes; all live until the call returns.
        let length = unsafe { libc::recvmsg(self.socket.as_raw_fd(), &raw mut header, 0) };
        if length < 0 {
            let error = io::Error::last_os_error();
            let nothing = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted);
            return if nothing { Ok(None) } else { Err(error).context("receive a stamped packet") };
        }
        let stamp = stamp(&header).context("a packet came without a stamp")?;
        Ok(Some((u32::from_be(source.sin_addr.s_addr).into(), stamp)))
    }

    fn set(&self, option: libc::c_int, value: libc::c_int) -> anyhow::Result<()> {
        let length = libc::socklen_t::try_from(size_of_val(&value))?;
        let fd = self.socket.as_raw_fd();
        // SAFETY: `length` is the size of `value`, which is only read.
        let result =
            unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, option, (&raw const value).cast(), length) };
        ensure!(result == 0, "set option {option} of a UDP socket: {}", io::Error::last_os_error());
        Ok(())
    }
}

/// The time that the kernel has put into a control message.
fn stamp(header: &libc::msghdr) -> Option<u64> {
    // SAFETY: recvmsg has filled in the header; its control buffer is alive and aligned.
    let control = unsafe { libc::CMSG_FIRSTHDR(header) };
    // SAFETY: CMSG_FIRSTHDR gives null or a whole header within the buffer.
    let found = unsafe { control.as_ref() }?;
    if (found.cmsg_level, found.cmsg_type) != (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) {
        return None;
    }
    // SAFETY: the header is whole, see above.
    let data = unsafe { libc::CMSG_DATA(control) };
    // SAFETY: data of this type is a timespec; it may be unaligned.
    let time = unsafe { data.cast::<libc::timespec>().read_unaligned() };
    Some(u64::try_from(time.tv_sec).ok()? * 1_000_000_000 + u64::try_from(time.tv_nsec).ok()?)
}
