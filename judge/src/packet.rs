//! What a frame is: written from the section "Packets" of the documentation and the RFCs.

use std::net::{IpAddr, Ipv4Addr};

use crate::ipv6;

/// What a frame holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Packet {
    /// Too short for its own headers, or behind more than two tags.
    Malformed,
    /// Not for rules: passes.
    Other(Other),
    /// For rules.
    Ip(Ip),
}

/// "ARP, IPv6 neighbour discovery (ICMPv6 133–137) and everything that is not IP pass."
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Other {
    /// ARP.
    Arp,
    /// Neither IPv4 nor IPv6, behind up to two VLAN tags.
    NonIp,
    /// ICMPv6 of the types 133 to 137, not fragmented.
    NeighbourDiscovery,
}

/// An IPv4 or IPv6 packet. "The outer addresses decide; tunnels are not opened."
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ip {
    /// The source address.
    pub source: IpAddr,
    /// The destination address.
    pub destination: IpAddr,
    /// How many bytes are in front of the IP header.
    pub header: usize,
    /// What is behind the headers.
    pub protocol: Protocol,
    /// The destination port of TCP and UDP, where it is known.
    pub port: Option<u16>,
    /// Whether it is a whole packet, or one of its fragments.
    pub piece: Piece,
    /// TCP with SYN and without ACK: it opens a connection.
    pub opens: bool,
    /// The flags of TCP, where they are known.
    pub flags: Option<u8>,
    /// TCP whose header is all there, and as long as one has to be.
    pub segment: bool,
    /// The type of ICMP in IPv4 and of ICMPv6 in IPv6, where its header is all there.
    pub icmp: Option<u8>,
}

/// What is behind IPv4 options, or behind IPv6 extension headers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// This one.
    Known(u8),
    /// An IPv6 header of this number, which is not walked: something may be behind it.
    NotWalked(u8),
    /// Nobody can tell.
    Unknown,
}

/// What of a packet a frame holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Piece {
    /// All of it.
    Whole,
    /// All of it, behind an IPv6 fragment header that says so (RFC 6946).
    Atomic,
    /// Its first fragment.
    First,
    /// Another fragment, in which no header is.
    Later,
}

pub(crate) const ICMP: u8 = 1;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const ICMPV6: u8 = 58;

/// Flags of TCP (RFC 9293).
const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// Reads an Ethernet frame, without preamble and checksum.
#[must_use]
pub fn read(frame: &[u8]) -> Packet {
    // Two addresses of six bytes, and an EtherType. "Behind up to two VLAN tags (802.1Q, 802.1ad)": where an EtherType is a
    // tag's, there are two bytes of tag and the next EtherType.
    let mut at = 12;
    let mut tags = 0;
    loop {
        let Some(ether_type) = u16_at(frame, at) else { return Packet::Malformed };
        at += 2;
        match ether_type {
            0x8100 | 0x88a8 if tags < 2 => {
                tags += 1;
                at += 2;
            }
            0x0800 => return ipv4(frame, at),
            0x86dd => return ipv6::read(frame, at),
            0x0806 => return Packet::Other(Other::Arp),
            // "Behind more than two tags: malformed".
            0x8100 | 0x88a8 => return Packet::Malformed,
            _ => return Packet::Other(Other::NonIp),
        }
    }
}

/// RFC 791, the header at byte `at`.
fn ipv4(frame: &[u8], at: usize) -> Packet {
    let rest = &frame[at..];
    if rest.len() < 20 || rest[0] >> 4 != 4 {
        return Packet::Malformed;
    }
    let header = usize::from(rest[0] & 15) * 4; // with its options
    let total = match usize::from(u16::from_be_bytes([rest[2], rest[3]])) {
        0 => rest.len(), // until the end of the frame
        total => total,
    };
    if header < 20 || total < header || rest.len() < header {
        return Packet::Malformed;
    }
    // What is cut off behind the headers does not matter to them.
    let end = total.min(rest.len());
    let flags_and_offset = u16::from_be_bytes([rest[6], rest[7]]);
    let address =
        |at: usize| Ipv4Addr::from_bits(u32::from_be_bytes(rest[at..at + 4].try_into().expect("four bytes")));
    let start = Start {
        source: address(12).into(),
        destination: address(16).into(),
        header: at,
        piece: piece(flags_and_offset & 0x2000 != 0, flags_and_offset & 0x1fff),
    };
    transport(start, rest[9], &rest[header..end])
}

/// "More fragments", and the offset in any unit.
pub(crate) fn piece(more: bool, offset: u16) -> Piece {
    match (more, offset) {
        (_, 1..) => Piece::Later,
        (true, 0) => Piece::First,
        (false, 0) => Piece::Whole,
    }
}

/// What the IP header says about a packet.
#[derive(Clone, Copy)]
pub(crate) struct Start {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) header: usize,
    pub(crate) piece: Piece,
}

impl Start {
    /// A packet of which no more than this is known.
    pub(crate) fn ip(self, protocol: Protocol) -> Ip {
        let Self { source, destination, header, piece } = self;
        Ip {
            source,
            destination,
            header,
            protocol,
            port: None,
            piece,
            opens: false,
            flags: None,
            segment: false,
            icmp: None,
        }
    }
}

/// What is behind all headers of IP: `rest`, up to the end of the IP packet or of the frame. Whatever is behind a fragment
/// header may go on elsewhere: it is not malformed by being short.
pub(crate) fn transport(start: Start, protocol: u8, rest: &[u8]) -> Packet {
    let needed = match protocol {
        TCP => 20,
        UDP | ICMP | ICMPV6 => 8,
        _ => 0,
    };
    if start.piece == Piece::Whole && rest.len() < needed {
        return Packet::Malformed;
    }
    let mut ip = start.ip(Protocol::Known(protocol));
    if start.piece == Piece::Later {
        return Packet::Ip(ip);
    }
    let discovers = rest.first().is_some_and(|kind| (133..=137).contains(kind));
    // RFC 6980: behind a fragment header there is no neighbour discovery.
    if protocol == ICMPV6 && ip.source.is_ipv6() && start.piece == Piece::Whole && discovers {
        return Packet::Other(Other::NeighbourDiscovery);
    }
    if protocol == TCP || protocol == UDP {
        ip.port = u16_at(rest, 2);
    }
    if protocol == TCP {
        ip.flags = rest.get(13).copied();
        ip.opens = ip.flags.is_some_and(|flags| flags & (SYN | ACK) == SYN);
        let length = rest.get(12).map_or(0, |words| usize::from(words >> 4) * 4);
        ip.segment = (20..=rest.len()).contains(&length);
    }
    if protocol == if ip.source.is_ipv4() { ICMP } else { ICMPV6 } {
        ip.icmp = if rest.len() < needed { None } else { rest.first().copied() };
    }
    Packet::Ip(ip)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}
