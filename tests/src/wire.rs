//! Frames on the wire: sent as they are, and seen as they arrive.
//!
//! A [`Receiver`] sees what XDP has let through (in native and in generic mode), before tc and the IP stack: use it for
//! what arrives, and with which DSCP. Marks are for [`crate::nft`].

use std::ffi::CString;
use std::io;
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use crate::netns::Namespace;

/// The most frames that one [`Sender::flood`] sends.
pub const MOST_FRAMES: u64 = 20_000_000;
/// The longest that one [`Sender::flood`] takes.
pub const LONGEST_FLOOD: Duration = Duration::from_secs(60);

/// How many frames go into one system call.
const BATCH: usize = 64;
/// The longest frame that is received whole: IPv4's longest packet with Ethernet header and two tags.
const LONGEST_FRAME: usize = 65536 + 22;
/// What may wait for a receiving end that is slower than the sender, in bytes: more than a veth device's ring holds.
static SEND_BUFFER: libc::c_int = 16 << 20;
/// What waits for a receiver until it is asked, in bytes.
const RECEIVE_BUFFER: libc::c_int = 64 << 20;

/// Sends frames from a device.
#[derive(Debug)]
pub struct Sender {
    socket: OwnedFd,
    device: String,
}

/// What a flood came to.
#[derive(Clone, Copy, Debug)]
pub struct Flood {
    /// Frames sent.
    pub sent: u64,
    /// From the first to the last.
    pub elapsed: Duration,
}

impl Flood {
    /// Frames a second.
    pub fn rate(&self) -> f64 {
        // Exact up to 2^53 frames.
        #[expect(clippy::cast_precision_loss, reason = "a flood has fewer frames than 2^53")]
        let sent = self.sent as f64;
        sent / self.elapsed.as_secs_f64().max(1e-9)
    }
}

impl Sender {
    /// A sender on a device of a namespace.
    ///
    /// # Panics
    /// Where there is no such device, or without CAP_NET_RAW.
    pub fn new(namespace: &Namespace, device: &str) -> Sender {
        // Protocol 0: it receives nothing, so that nothing piles up.
        let socket = open(namespace);
        bind(&socket, namespace, device, 0);
        Sender { socket, device: device.to_owned() }
    }

    /// Lets floods try again at once, instead of sleeping once a few hundred frames wait for the receiving end, so that
    /// it always has something to do.
    ///
    /// # Panics
    /// Without CAP_NET_ADMIN.
    pub fn without_waiting(self) -> Sender {
        let length = libc::socklen_t::try_from(size_of_val(&SEND_BUFFER)).expect("4");
        let (level, option) = (libc::SOL_SOCKET, libc::SO_SNDBUFFORCE);
        // SAFETY: `length` is the size of the value, which is only read.
        let result = unsafe {
            libc::setsockopt(self.socket.as_raw_fd(), level, option, (&raw const SEND_BUFFER).cast(), length)
        };
        let error = io::Error::last_os_error();
        assert_eq!(result, 0, "let a sender on {} have {SEND_BUFFER} bytes: {error}", self.device);
        self
    }

    /// Sends one frame: at least 14 bytes (the kernel sends none shorter), at most the device's MTU and the headers.
    ///
    /// # Panics
    /// Where the kernel refuses it.
    #[track_caller]
    pub fn send(&self, frame: &[u8]) {
        self.send_all(&[frame]);
    }

    /// Sends frames once each, in this order, as fast as possible.
    ///
    /// # Panics
    /// Where the kernel refuses one.
    #[track_caller]
    pub fn send_all(&self, frames: &[impl AsRef<[u8]>]) {
        let count = u64::try_from(frames.len()).expect("a number of frames");
        let flood = self.flood(frames, count, LONGEST_FLOOD);
        assert_eq!(flood.sent, count, "{} of {count} frames were sent to {}", flood.sent, self.device);
    }

    /// Sends the frames again and again, in this order, until `count` have been sent or `limit` is over. A receiving
    /// end that is too slow loses frames, as a network card does: `ip -s link` there counts them.
    ///
    /// # Panics
    /// Where the kernel refuses one, and above [`MOST_FRAMES`] and [`LONGEST_FLOOD`].
    #[track_caller]
    pub fn flood(&self, frames: &[impl AsRef<[u8]>], count: u64, limit: Duration) -> Flood {
        assert!(count <= MOST_FRAMES, "{count} frames are more than {MOST_FRAMES}");
        assert!(limit <= LONGEST_FLOOD, "{limit:?} are more than {LONGEST_FLOOD:?}");
        let mut parts: Vec<libc::iovec> = frames.iter().map(|frame| part(frame.as_ref())).collect();
        let mut messages: Vec<libc::mmsghdr> = parts.iter_mut().map(message).collect();
        let started = Instant::now();
        let (mut sent, mut next) = (0, 0);
        while sent < count && started.elapsed() < limit && !messages.is_empty() {
            let left = usize::try_from(count - sent).expect("bounded above");
            let end = messages.len().min(next + BATCH.min(left));
            match self.send_batch(&mut messages[next..end]) {
                Ok(done) => {
                    sent += u64::try_from(done).expect("a number of frames");
                    next = (next + done) % messages.len();
                }
                // The queue is full: it will not be for long.
                Err(error)
                    if matches!(error.raw_os_error(), Some(libc::ENOBUFS | libc::EAGAIN | libc::EINTR)) => {}
                Err(error) => {
                    let length = frames[next].as_ref().len();
                    panic!("send a frame of {length} bytes to {}: {error}", self.device)
                }
            }
        }
        Flood { sent, elapsed: started.elapsed() }
    }

    /// Sends at least one of the messages, and says how many.
    fn send_batch(&self, messages: &mut [libc::mmsghdr]) -> io::Result<usize> {
        let count = libc::c_uint::try_from(messages.len()).expect("a batch is short");
        // SAFETY: `messages` are `count` headers, each naming one part whose frame the caller of `flood` lends us.
        let sent = unsafe { libc::sendmmsg(self.socket.as_raw_fd(), messages.as_mut_ptr(), count, 0) };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }
}

/// Sees the frames that arrive at a device, from its making on, and not those that leave it.
///
/// The kernel itself drops frames that are cut in or right behind a VLAN tag, without any gate; they are not seen.
#[derive(Debug)]
pub struct Receiver {
    socket: OwnedFd,
    device: String,
}

impl Receiver {
    /// A receiver on a device of a namespace, in promiscuous mode.
    ///
    /// # Panics
    /// Where there is no such device, or without CAP_NET_RAW and CAP_NET_ADMIN.
    pub fn new(namespace: &Namespace, device: &str) -> Receiver {
        let every_protocol = u16::try_from(libc::ETH_P_ALL).expect("0x0003").to_be();
        let receiver = Receiver { socket: open(namespace), device: device.to_owned() };
        let promiscuous = libc::packet_mreq {
            mr_ifindex: namespace.run(|| index(device)),
            mr_type: u16::try_from(libc::PACKET_MR_PROMISC).expect("1"),
            mr_alen: 0,
            mr_address: [0; 8],
        };
        receiver.set(libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &1);
        receiver.set(libc::SOL_PACKET, libc::PACKET_AUXDATA, &1);
        receiver.set(libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &promiscuous);
        receiver.set(libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &RECEIVE_BUFFER);
        // Last: the usual buffer is full after some hundred frames, which may come at once.
        bind(&receiver.socket, namespace, device, every_protocol);
        receiver
    }

    /// Frames that `wanted` is true for, until there are `count` or `limit` is over; others are thrown away. A VLAN
    /// tag that the kernel has taken out is back in its place.
    ///
    /// # Panics
    /// Where the receiver itself lost frames.
    #[track_caller]
    pub fn collect(
        &self,
        mut wanted: impl FnMut(&[u8]) -> bool,
        count: usize,
        limit: Duration,
    ) -> Vec<Vec<u8>> {
        let deadline = Instant::now() + limit;
        let mut frames = Vec::new();
        while frames.len() < count {
            let Some(frame) = self.next(deadline) else { break };
            if wanted(&frame) {
                frames.push(frame);
            }
        }
        self.assert_nothing_lost();
        frames
    }

    /// Frames that arrive before one that `last` is true for, that one included. The way to show that something does
    /// not arrive: send it, then a frame that does.
    ///
    /// # Panics
    /// Where the last one has not come within `limit`, and where the receiver itself lost frames.
    #[track_caller]
    pub fn until(&self, mut last: impl FnMut(&[u8]) -> bool, limit: Duration) -> Vec<Vec<u8>> {
        let deadline = Instant::now() + limit;
        let mut frames = Vec::new();
        loop {
            let Some(frame) = self.next(deadline) else {
                panic!("{} frames came to {} in {limit:?}, but not the last one", frames.len(), self.device)
            };
            let done = last(&frame);
            frames.push(frame);
            if done {
                self.assert_nothing_lost();
                return frames;
            }
        }
    }

    /// The next frame, `None` at the deadline.
    fn next(&self, deadline: Instant) -> Option<Vec<u8>> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            // Rounded up, so that no time left means no time left.
            let milliseconds = i32::try_from(left.as_micros().div_ceil(1000)).unwrap_or(i32::MAX);
            let mut wait = libc::pollfd { fd: self.socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            // SAFETY: one pollfd, as the count says, that lives until the call returns.
            let ready = unsafe { libc::poll(&raw mut wait, 1, milliseconds) };
            match ready {
                0 => return None,
                1.. => return Some(self.receive()),
                // Interrupted: again, with the time that is left.
                _ => {}
            }
        }
    }

    /// The frame that is there.
    fn receive(&self) -> Vec<u8> {
        let mut frame = vec![0; LONGEST_FRAME];
        let mut part = libc::iovec { iov_base: frame.as_mut_ptr().cast(), iov_len: frame.len() };
        // Of u64, for the alignment that control messages need.
        let mut control = [0u64; 8];
        let mut header = message(&mut part).msg_hdr;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = size_of_val(&control);
        // SAFETY: the header names `frame` and `control` with their lengths; both live until the call returns.
        let length = unsafe { libc::recvmsg(self.socket.as_raw_fd(), &raw mut header, 0) };
        let length = usize::try_from(length)
            .unwrap_or_else(|_| panic!("receive from {}: {}", self.device, io::Error::last_os_error()));
        frame.truncate(length);
        if let Some((tpid, tci)) = tag(&header) {
            frame.splice(12..12, [tpid.to_be_bytes(), tci.to_be_bytes()].concat());
        }
        frame
    }

    fn assert_nothing_lost(&self) {
        let mut statistics = libc::tpacket_stats { tp_packets: 0, tp_drops: 0 };
        let mut length = libc::socklen_t::try_from(size_of_val(&statistics)).expect("8");
        // SAFETY: `length` is the size of `statistics`, which lives until the call returns.
        let result = unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                (&raw mut statistics).cast(),
                &raw mut length,
            )
        };
        assert_eq!(result, 0, "statistics of {}: {}", self.device, io::Error::last_os_error());
        let lost = statistics.tp_drops;
        assert_eq!(
            lost, 0,
            "the receiver on {} lost {lost} frames: ask it earlier, or send less",
            self.device
        );
    }

    fn set<T>(&self, level: libc::c_int, option: libc::c_int, value: &T) {
        let length = libc::socklen_t::try_from(size_of::<T>()).expect("options are small");
        // SAFETY: `length` is the size of `value`, which is only read.
        let result = unsafe {
            libc::setsockopt(self.socket.as_raw_fd(), level, option, (&raw const *value).cast(), length)
        };
        let error = io::Error::last_os_error();
        assert_eq!(result, 0, "set option {option} of level {level} on {}: {error}", self.device);
    }
}

/// A packet socket of a namespace that receives nothing yet.
fn open(namespace: &Namespace) -> OwnedFd {
    namespace.run(|| {
        // SAFETY: takes numbers only.
        let socket = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
        assert!(socket >= 0, "open a packet socket in {}: {}", namespace.name(), io::Error::last_os_error());
        // SAFETY: it was opened just now, and nobody else knows it.
        unsafe { OwnedFd::from_raw_fd(socket) }
    })
}

/// Binds it to a device: from then on it receives `protocol` (network byte order; 0: nothing).
fn bind(socket: &OwnedFd, namespace: &Namespace, device: &str, protocol: u16) {
    namespace.run(|| {
        // SAFETY: all zeros are a valid sockaddr_ll.
        let mut address: libc::sockaddr_ll = unsafe { MaybeUninit::zeroed().assume_init() };
        address.sll_family = u16::try_from(libc::AF_PACKET).expect("17");
        address.sll_protocol = protocol;
        address.sll_ifindex = index(device);
        let length = libc::socklen_t::try_from(size_of_val(&address)).expect("20");
        // SAFETY: `length` is the size of `address`, which is only read.
        let result = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) };
        let error = io::Error::last_os_error();
        assert_eq!(result, 0, "bind a packet socket to {device} in {}: {error}", namespace.name());
    });
}

/// The index of a device of the namespace that the calling thread is in.
pub(crate) fn index(device: &str) -> libc::c_int {
    let name = CString::new(device).expect("a device name without zero bytes");
    // SAFETY: a string that ends with a zero byte, and is only read.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    assert_ne!(index, 0, "{device}: {}", io::Error::last_os_error());
    libc::c_int::try_from(index).expect("device indexes are positive ints")
}

/// A part of a message to be sent. The kernel only reads what it names, though the type says otherwise.
fn part(frame: &[u8]) -> libc::iovec {
    libc::iovec { iov_base: frame.as_ptr().cast_mut().cast(), iov_len: frame.len() }
}

/// A message of one part, without address and control messages.
fn message(part: &mut libc::iovec) -> libc::mmsghdr {
    // SAFETY: all zeros are a valid mmsghdr: no address, no parts, no control messages.
    let mut message: libc::mmsghdr = unsafe { mem::zeroed() };
    message.msg_hdr.msg_iov = &raw mut *part;
    message.msg_hdr.msg_iovlen = 1;
    message
}

/// The VLAN tag (TPID, TCI) that the kernel has taken out of a received frame.
fn tag(header: &libc::msghdr) -> Option<(u16, u16)> {
    // SAFETY: recvmsg has filled in the header; its control buffer is alive and aligned.
    let control = unsafe { libc::CMSG_FIRSTHDR(&raw const *header) };
    // SAFETY: CMSG_FIRSTHDR gives null or a whole header within the buffer.
    let control_header = unsafe { control.as_ref() }?;
    // Auxiliary data is all that was asked for.
    assert_eq!(
        (control_header.cmsg_level, control_header.cmsg_type),
        (libc::SOL_PACKET, libc::PACKET_AUXDATA)
    );
    // SAFETY: the header is whole, see above.
    let data = unsafe { libc::CMSG_DATA(control) };
    // SAFETY: data of this type is a tpacket_auxdata; it may be unaligned.
    let auxiliary = unsafe { data.cast::<libc::tpacket_auxdata>().read_unaligned() };
    let valid = libc::TP_STATUS_VLAN_VALID | libc::TP_STATUS_VLAN_TPID_VALID;
    (auxiliary.tp_status & valid == valid).then_some((auxiliary.tp_vlan_tpid, auxiliary.tp_vlan_tci))
}
