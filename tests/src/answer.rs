//! What comes back for a rejected packet, read from its frame by nothing that octroi has a part in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use octroi_gate::corpus::build::{ICMP, ICMPV6, TCP, TPID_8021AD, TPID_8021Q, checksum};

/// An answer. That its lengths and checksums are right, and that it has no options, was seen when it was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The MAC address it is sent to.
    pub to_mac: [u8; 6],
    /// The MAC address it comes from.
    pub from_mac: [u8; 6],
    /// VLAN tags: TPID and TCI, the outer one first.
    pub tags: Vec<(u16, u16)>,
    /// The address it comes from.
    pub source: IpAddr,
    /// The address it is sent to.
    pub destination: IpAddr,
    /// What it says.
    pub says: Says,
}

/// What an answer says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Says {
    /// A TCP segment without data.
    Tcp {
        /// Source and destination port.
        ports: (u16, u16),
        /// Sequence number.
        sequence: u32,
        /// Acknowledgement number.
        acknowledgement: u32,
        /// The flags byte: FIN 1, SYN 2, RST 4, PSH 8, ACK 16.
        flags: u8,
    },
    /// An ICMP or ICMPv6 error.
    Icmp {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
        /// The packet that it is about, or its beginning, from its IP header on.
        quoted: Vec<u8>,
    },
}

impl Answer {
    /// Reads a frame. `None` for what a kernel says unasked: ARP, neighbour discovery, multicast listening.
    ///
    /// # Panics
    /// Where it is anything else than a sound answer.
    #[track_caller]
    pub fn read(frame: &[u8]) -> Option<Answer> {
        let mut tags = Vec::new();
        let mut at = 12;
        while matches!(be16(frame, at), TPID_8021Q | TPID_8021AD) {
            tags.push((be16(frame, at), be16(frame, at + 2)));
            at += 4;
        }
        let packet = &frame[at + 2..];
        let (source, destination, protocol, content) = match be16(frame, at) {
            0x0806 => return None,
            0x0800 => ipv4(packet),
            0x86dd if is_unasked(packet) => return None,
            0x86dd => ipv6(packet),
            other => panic!("no answer has ethertype {other:#x}: {frame:02x?}"),
        };
        let says = match protocol {
            TCP => reset(content),
            ICMP | ICMPV6 => error(content),
            other => panic!("no answer is of protocol {other}: {frame:02x?}"),
        };
        let length = u32::try_from(content.len()).expect("frames are short").to_be_bytes();
        let pseudo = [&octets(source)[..], &octets(destination), &length, &[0, 0, 0, protocol]].concat();
        let pseudo = if protocol == ICMP { &[][..] } else { &pseudo };
        assert_eq!(checksum(&[pseudo, content]), 0, "checksum of protocol {protocol}: {frame:02x?}");
        let (to_mac, from_mac) = (bytes(frame, 0), bytes(frame, 6));
        Some(Answer { to_mac, from_mac, tags, source, destination, says })
    }
}

/// Multicast listening behind hop-by-hop options, and neighbour discovery.
fn is_unasked(packet: &[u8]) -> bool {
    packet[6] == 0 || packet[6] == ICMPV6 && matches!(packet[40], 133..=137 | 143)
}

type Content<'a> = (IpAddr, IpAddr, u8, &'a [u8]);

fn ipv4(packet: &[u8]) -> Content<'_> {
    assert_eq!(packet[0], 0x45, "IPv4 without options: {packet:02x?}");
    assert_eq!(checksum(&[&packet[..20]]), 0, "the IPv4 header's checksum: {packet:02x?}");
    assert_eq!((be16(packet, 6), packet[8]), (0x4000, 64), "never fragmented, time to live: {packet:02x?}");
    let (content, padding) = packet[20..].split_at(usize::from(be16(packet, 2)) - 20);
    only_padding(packet, padding);
    let address = |at| IpAddr::from(Ipv4Addr::from(bytes::<4>(packet, at)));
    (address(12), address(16), packet[9], content)
}

fn ipv6(packet: &[u8]) -> Content<'_> {
    assert_eq!((be16(packet, 0), be16(packet, 2)), (0x6000, 0), "no traffic class: {packet:02x?}");
    assert_eq!(packet[7], 64, "hop limit: {packet:02x?}");
    let (content, padding) = packet[40..].split_at(usize::from(be16(packet, 4)));
    only_padding(packet, padding);
    let address = |at| IpAddr::from(Ipv6Addr::from(bytes::<16>(packet, at)));
    (address(8), address(24), packet[6], content)
}

fn only_padding(packet: &[u8], padding: &[u8]) {
    assert!(padding.len() <= 6 && padding.iter().all(|byte| *byte == 0), "behind its end: {packet:02x?}");
}

fn reset(segment: &[u8]) -> Says {
    assert_eq!((segment.len(), segment[12]), (20, 5 << 4), "a header alone: {segment:02x?}");
    assert_eq!((be16(segment, 14), be16(segment, 18)), (0, 0), "window, urgent pointer: {segment:02x?}");
    Says::Tcp {
        ports: (be16(segment, 0), be16(segment, 2)),
        sequence: be32(segment, 4),
        acknowledgement: be32(segment, 8),
        flags: segment[13],
    }
}

fn error(message: &[u8]) -> Says {
    assert_eq!(be32(message, 4), 0, "unused: {message:02x?}");
    Says::Icmp { kind: message[0], code: message[1], quoted: message[8..].to_vec() }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

#[track_caller]
fn bytes<const N: usize>(from: &[u8], at: usize) -> [u8; N] {
    *from.get(at..).and_then(|rest| rest.first_chunk()).unwrap_or_else(|| panic!("ends early: {from:02x?}"))
}

#[track_caller]
fn be16(from: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(bytes(from, at))
}

#[track_caller]
fn be32(from: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes(from, at))
}
