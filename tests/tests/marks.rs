//! Who sees the mark of a tagged packet, other than nftables (`verdicts.rs`): tc filters and sockets.

use std::{
    io,
    net::{IpAddr, UdpSocket},
    os::fd::AsRawFd,
    time::Duration,
};

use octroi_gate::corpus::build::{Build, udp};
use octroi_tests::{
    command::{SHORT, run},
    gate::{Gate, Setup},
    netns::Lab,
    policy::STORY,
    wire::{Receiver, Sender},
};

/// Tagged with mark 42 and DSCP CS1; passed; only watched.
const DE: &str = "5.1.64.1";
const DE6: &str = "2a01:4f8::1";
const US: &str = "8.8.8.8";
const FR: &str = "2a01:e00::1";
const PORT: u16 = 5300;

/// With metadata or without, by tcx or by clsact.
fn setups() -> [Setup; 4] {
    let environment = vec![("OCTROI_NO_METADATA".to_owned(), "true".to_owned())];
    [
        Setup { mode: "native".into(), ..Setup::new(STORY) },
        Setup { mode: "generic".into(), ..Setup::new(STORY) },
        Setup { environment, ..Setup::new(STORY) },
        Setup { environment: vec![("OCTROI_CLSACT".to_owned(), "true".to_owned())], ..Setup::new(STORY) },
    ]
}

fn packet(lab: &Lab, source: &str) -> Build {
    let source: IpAddr = source.parse().expect("an address");
    udp(source, lab.pair().here(source)).ports(4000, PORT)
}

#[test]
fn a_tc_filter_that_was_there_before_sees_the_mark() {
    // Loads the mark (SKF_AD_OFF + SKF_AD_MARK), and matches where it is 42. Classic BPF: every kernel with tc has it.
    const MARKED: &str = "4,32 0 0 4294963220,21 0 1 42,6 0 0 4294967295,6 0 0 0";
    for setup in setups() {
        let mut lab = Lab::new();
        let second = lab.add_pair();
        let tc = |words: &[&str]| {
            let mut command = lab.inside.command("tc");
            command.args(words);
            run(command, SHORT).success();
        };
        tc(&["qdisc", "add", "dev", "gate0", "clsact"]);
        let filter =
            ["filter", "add", "dev", "gate0", "ingress", "protocol", "all", "bpf", "bytecode", MARKED];
        tc(&[&filter[..], &["action", "mirred", "egress", "redirect", "dev", &second.gate]].concat());
        let described = format!("{setup:?}");
        let gate = Gate::start_with(&lab, setup);
        // What is marked goes out again by the second wire.
        let receiver = Receiver::new(&lab.outside, &second.peer);
        let frames = [US, DE, FR, DE6].map(|source| packet(&lab, source).frame());
        Sender::new(&lab.outside, &lab.pair().peer).send_all(&frames);
        let tagged = [DE, DE6].map(|source| packet(&lab, source).dscp(8).frame());
        let mut arrived = receiver.until(|frame| *frame == tagged[1], Duration::from_secs(5));
        arrived.retain(|frame| frames.contains(frame) || tagged.contains(frame));
        assert_eq!(arrived, tagged, "{described}\n{}", gate.describe());
    }
}

#[test]
fn a_socket_sees_the_mark() {
    for setup in setups() {
        let lab = Lab::new();
        let described = format!("{setup:?}");
        let gate = Gate::start_with(&lab, setup);
        let socket = lab.inside.run(|| UdpSocket::bind(("::", PORT))).expect("bind a socket of the lab");
        socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a time limit");
        ask_for_marks(&socket);
        let sender = Sender::new(&lab.outside, &lab.pair().peer);
        for (source, mark) in [(DE, 42), (US, 0), (DE6, 42), (FR, 0)] {
            sender.send(&packet(&lab, source).payload(source.as_bytes()).frame());
            let (payload, found) = receive(&socket);
            assert_eq!((&*payload, found), (source, mark), "{described}\n{}", gate.describe());
        }
    }
}

/// The number of SO_RCVMARK (include/uapi/asm-generic/socket.h); Linux 5.19.
const SO_RCVMARK: libc::c_int = 75;

fn ask_for_marks(socket: &UdpSocket) {
    let on: libc::c_int = 1;
    let length = libc::socklen_t::try_from(size_of_val(&on)).expect("4");
    // SAFETY: `length` is the size of `on`, which is only read.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, SO_RCVMARK, (&raw const on).cast(), length)
    };
    assert_eq!(result, 0, "SO_RCVMARK: {}", io::Error::last_os_error());
}

/// A datagram's text, and the mark that came with it.
fn receive(socket: &UdpSocket) -> (String, u32) {
    let mut buffer = [0u8; 64];
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // Of u64, for the alignment that control messages need.
    let mut control = [0u64; 8];
    // SAFETY: all zeros are a valid msghdr.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(&control);
    // SAFETY: the header names `buffer` and `control` with their lengths; both live until the call returns.
    let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, 0) };
    let length = usize::try_from(length)
        .unwrap_or_else(|_| panic!("no datagram came to the socket: {}", io::Error::last_os_error()));
    // SAFETY: recvmsg has filled in the header; its control buffer is alive and aligned.
    let message = unsafe { libc::CMSG_FIRSTHDR(&raw const header) };
    // SAFETY: CMSG_FIRSTHDR gives null or a whole header within the buffer.
    let found = unsafe { message.as_ref() }.expect("a mark comes with each datagram, be it 0");
    assert_eq!((found.cmsg_level, found.cmsg_type), (libc::SOL_SOCKET, libc::SO_MARK));
    // SAFETY: the header is whole, see above.
    let data = unsafe { libc::CMSG_DATA(message) };
    // SAFETY: data of this type is a u32; it may be unaligned.
    let mark = unsafe { data.cast::<u32>().read_unaligned() };
    (String::from_utf8_lossy(&buffer[..length]).into_owned(), mark)
}
