//! Real connections from an address of choice.

use std::io;
use std::mem;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use crate::netns::Namespace;

/// Connects from `source`, which has to be an address of the namespace
/// ([`give_source`](crate::netns::Lab::give_source)), to `destination`.
///
/// # Errors
/// What the kernel says: refused, unreachable, … and `TimedOut` where there is no answer within `limit`.
///
/// # Panics
/// Where the addresses are of different families.
pub fn connect(
    namespace: &Namespace,
    source: IpAddr,
    destination: SocketAddr,
    limit: Duration,
) -> io::Result<TcpStream> {
    assert_eq!(source.is_ipv4(), destination.is_ipv4(), "{source} and {destination} differ in family");
    let family = if source.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let socket = namespace.run(|| {
        // SAFETY: takes numbers only.
        let socket = check(unsafe { libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) })?;
        // SAFETY: it was opened just now, and nobody else knows it.
        Ok::<_, io::Error>(unsafe { OwnedFd::from_raw_fd(socket) })
    })?;
    let stream = TcpStream::from(socket);
    // connect(2) keeps to the time limit for sending.
    stream.set_write_timeout(Some(limit))?;
    let (from, length) = address(SocketAddr::new(source, 0));
    // SAFETY: `from` is an address of `length` bytes, which is only read.
    check(unsafe { libc::bind(stream.as_raw_fd(), (&raw const from).cast(), length) })?;
    let (to, length) = address(destination);
    // SAFETY: `to` is an address of `length` bytes, which is only read.
    let connected = check(unsafe { libc::connect(stream.as_raw_fd(), (&raw const to).cast(), length) });
    match connected {
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Err(io::ErrorKind::TimedOut.into()),
        Err(error) => Err(error),
        Ok(_) => {
            stream.set_write_timeout(None)?;
            Ok(stream)
        }
    }
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// A socket address as the kernel wants it, and its length in bytes.
fn address(address: SocketAddr) -> (libc::sockaddr_storage, libc::socklen_t) {
    // SAFETY: all zeros are a valid sockaddr_storage.
    let mut storage: libc::sockaddr_storage = unsafe { mem::zeroed() };
    let length = match address {
        SocketAddr::V4(address) => {
            let raw = libc::sockaddr_in {
                sin_family: libc::sa_family_t::try_from(libc::AF_INET).expect("2"),
                sin_port: address.port().to_be(),
                // Octets in memory order are network byte order.
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
                sin_zero: [0; 8],
            };
            // SAFETY: sockaddr_storage is as large and as aligned as every address type.
            unsafe { (&raw mut storage).cast::<libc::sockaddr_in>().write(raw) };
            size_of_val(&raw)
        }
        SocketAddr::V6(address) => {
            let raw = libc::sockaddr_in6 {
                sin6_family: libc::sa_family_t::try_from(libc::AF_INET6).expect("10"),
                sin6_port: address.port().to_be(),
                sin6_flowinfo: 0,
                sin6_addr: libc::in6_addr { s6_addr: address.ip().octets() },
                sin6_scope_id: address.scope_id(),
            };
            // SAFETY: sockaddr_storage is as large and as aligned as every address type.
            unsafe { (&raw mut storage).cast::<libc::sockaddr_in6>().write(raw) };
            size_of_val(&raw)
        }
    };
    (storage, libc::socklen_t::try_from(length).expect("addresses are short"))
}
