//! A frame's headers: from Ethernet to the destination port, as far as the gate has to understand them.
//!
//! What is not understood is never guessed: a packet whose protocol or port cannot be known says so with `None`, and
//! rules treat it accordingly (closed for those that drop, no match for those that pass).

/// Read access to a frame, in the host's byte order after the read.
///
/// In the kernel this is the packet between `data` and `data_end`, on the host a slice. Every method returns `None`
/// where the frame ends before the last byte asked for. (There is no read of one byte: the kernel's verifier does not
/// take the comparison that LLVM makes of its bounds check.)
pub trait Frame {
    /// The frame's length in bytes, Ethernet header included.
    fn length(&self) -> usize;
    /// The big-endian 16-bit number at `offset`.
    fn be16(&self, offset: usize) -> Option<u16>;
    /// The big-endian 32-bit number at `offset`.
    fn be32(&self, offset: usize) -> Option<u32>;
    /// The big-endian 128-bit number at `offset`, upper half first.
    fn be128(&self, offset: usize) -> Option<(u64, u64)>;
}

/// What a frame turned out to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parsed {
    /// ARP.
    Arp,
    /// Neither IP nor ARP.
    NonIp,
    /// IPv6 neighbour discovery (RFC 4861: ICMPv6 133 to 137), not fragmented (RFC 6980).
    NeighbourDiscovery,
    /// Too short for its own headers, or behind more than two VLAN tags.
    Malformed,
    /// An IP packet.
    Ip(Packet),
}

/// An IP packet's outer headers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packet {
    /// The source address.
    pub source: Source,
    /// Offset of the IP header from the frame's start, in bytes.
    pub header: usize,
    /// The IP protocol after all extension headers; `None` where it cannot be known.
    pub protocol: Option<u8>,
    /// The destination port of TCP or UDP; `None` where there is none, or it cannot be known.
    pub destination_port: Option<u16>,
}

/// A source address; most significant bit first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// IPv4.
    V4(u32),
    /// IPv6, in halves.
    V6 {
        /// The upper 64 bits.
        high: u64,
        /// The lower 64 bits.
        low: u64,
    },
}

/// How many VLAN tags are looked behind (802.1Q, 802.1ad).
const MAX_VLAN_TAGS: usize = 2;
/// How many IPv6 extension headers are walked before the protocol counts as unknown.
const MAX_EXTENSION_HEADERS: usize = 8;

/// Ethernet type numbers (IEEE 802, IANA "EtherType").
#[derive(Clone, Copy, PartialEq, Eq)]
struct EtherType(u16);

impl EtherType {
    const IPV4: Self = Self(0x0800);
    const ARP: Self = Self(0x0806);
    const VLAN: Self = Self(0x8100);
    const IPV6: Self = Self(0x86dd);
    const SERVICE_VLAN: Self = Self(0x88a8);
}

/// IP protocol numbers (IANA "Protocol Numbers"), extension headers among them.
pub(crate) mod protocol {
    pub(super) const HOP_BY_HOP: u8 = 0;
    pub(crate) const ICMP: u8 = 1;
    pub(crate) const TCP: u8 = 6;
    pub(crate) const UDP: u8 = 17;
    pub(super) const ROUTING: u8 = 43;
    pub(super) const FRAGMENT: u8 = 44;
    pub(super) const AUTHENTICATION: u8 = 51;
    pub(crate) const ICMPV6: u8 = 58;
    pub(super) const DESTINATION_OPTIONS: u8 = 60;
}

/// Reads a frame's headers. Total: every byte string has an answer.
#[inline(always)]
pub fn parse<F: Frame + ?Sized>(frame: &F) -> Parsed {
    let mut at = 12;
    let Some(number) = frame.be16(at) else { return Parsed::Malformed };
    let mut ether_type = EtherType(number);
    at += 2;
    for _ in 0..MAX_VLAN_TAGS {
        if ether_type != EtherType::VLAN && ether_type != EtherType::SERVICE_VLAN {
            break;
        }
        let Some(number) = frame.be16(at + 2) else { return Parsed::Malformed };
        ether_type = EtherType(number);
        at += 4;
    }
    match ether_type {
        EtherType::IPV4 => ipv4(frame, at),
        EtherType::IPV6 => ipv6(frame, at),
        EtherType::ARP => Parsed::Arp,
        // Linux takes off any number of tags of VLAN 0: what is behind them is not unknown to everybody.
        EtherType::VLAN | EtherType::SERVICE_VLAN => Parsed::Malformed,
        _ => Parsed::NonIp,
    }
}

/// RFC 791.
#[inline(always)]
fn ipv4<F: Frame + ?Sized>(frame: &F, header: usize) -> Parsed {
    // One after the other, the last first: where it is there, so are the others.
    let Some(_) = frame.be32(header + 16) else { return Parsed::Malformed };
    let Some(start) = frame.be32(header) else { return Parsed::Malformed };
    let Some(fragment) = frame.be16(header + 6) else { return Parsed::Malformed };
    let Some(time_and_protocol) = frame.be16(header + 8) else { return Parsed::Malformed };
    let Some(source) = frame.be32(header + 12) else { return Parsed::Malformed };
    let protocol = (time_and_protocol & 0xff) as u8;
    let version = start >> 28;
    let header_length = ((start >> 24) & 0xf) as usize * 4;
    let claimed = claimed_by_ipv4(frame, header, start);
    let transport = header + header_length;
    if version != 4 || header_length < 20 || claimed < transport || transport > frame.length() {
        return Parsed::Malformed;
    }
    let end = frame.length().min(claimed);
    let port = match Fragment::of_ipv4(fragment) {
        Fragment::Later => None,
        Fragment::First | Fragment::Atomic => port_if_there(frame, protocol, transport, end),
        Fragment::None => {
            if transport + transport_header(protocol) > end {
                return Parsed::Malformed;
            }
            port_if_there(frame, protocol, transport, end)
        }
    };
    Parsed::Ip(Packet {
        source: Source::V4(source),
        header,
        protocol: Some(protocol),
        destination_port: port,
    })
}

/// Where an IPv4 packet ends by its own length, be it in the frame or not. `start`: its first four bytes.
#[inline(always)]
pub(crate) fn claimed_by_ipv4<F: Frame + ?Sized>(frame: &F, header: usize, start: u32) -> usize {
    match (start & 0xffff) as usize {
        // A segment that Linux merged beyond 64 KiB (BIG TCP). From a wire no host takes it, so it is no way in.
        0 => frame.length(),
        length => header + length,
    }
}

/// RFC 8200.
#[inline(always)]
fn ipv6<F: Frame + ?Sized>(frame: &F, header: usize) -> Parsed {
    let Some(_) = frame.be32(header + 36) else { return Parsed::Malformed };
    let Some(start) = frame.be16(header) else { return Parsed::Malformed };
    let Some(payload) = frame.be16(header + 4) else { return Parsed::Malformed };
    let Some(next_and_hops) = frame.be16(header + 6) else { return Parsed::Malformed };
    let Some((high, low)) = frame.be128(header + 8) else { return Parsed::Malformed };
    if start >> 12 != 6 {
        return Parsed::Malformed;
    }
    let transport = header + 40;
    let first = (next_and_hops >> 8) as u8;
    let payload = payload as usize;
    // 0: a jumbogram (RFC 2675), or a segment that the NIC merged beyond 64 KiB.
    let end = if payload == 0 { frame.length() } else { frame.length().min(transport + payload) };
    let chain = walk::<F, false>(frame, first, transport, end);
    let packet = |protocol, destination_port| {
        Parsed::Ip(Packet { source: Source::V6 { high, low }, header, protocol, destination_port })
    };
    match chain {
        Chain::Cut => Parsed::Malformed,
        Chain::Unknown => packet(None, None),
        Chain::End { protocol, fragment: Fragment::Later, .. } => packet(Some(protocol), None),
        Chain::End { protocol, at, fragment: Fragment::First | Fragment::Atomic } => {
            packet(Some(protocol), port_if_there(frame, protocol, at, end))
        }
        Chain::End { protocol, at, fragment: Fragment::None } => {
            if at + transport_header(protocol) > end {
                return Parsed::Malformed;
            }
            if protocol == protocol::ICMPV6
                && matches!(frame.be16(at).map(|start| start >> 8), Some(133..=137))
            {
                return Parsed::NeighbourDiscovery;
            }
            packet(Some(protocol), port_if_there(frame, protocol, at, end))
        }
    }
}

/// Where a packet stands in a fragmented one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fragment {
    /// Not fragmented.
    None,
    /// Not fragmented, behind an IPv6 fragment header that says so: offset 0, no more fragments (RFC 6946).
    Atomic,
    /// The first fragment: it has the transport header, or as much of it as the sender chose.
    First,
    /// A later fragment: no transport header.
    Later,
}

impl Fragment {
    /// From the 16 bits of flags and offset in an IPv4 header.
    #[inline(always)]
    pub(crate) fn of_ipv4(field: u16) -> Self {
        const MORE_FRAGMENTS: u16 = 0x2000;
        const OFFSET: u16 = 0x1fff;
        if field & OFFSET != 0 {
            Self::Later
        } else if field & MORE_FRAGMENTS != 0 {
            Self::First
        } else {
            Self::None
        }
    }
}

/// What a walk along IPv6 extension headers came to.
pub(crate) enum Chain {
    /// A header that the frame does not hold whole, before any fragment header.
    Cut,
    /// More headers than are walked, or a fragment that hides the rest of them.
    Unknown,
    /// An upper-layer protocol, or one that ends every walk (ESP, no next header, an unknown number).
    End { protocol: u8, at: usize, fragment: Fragment },
}

/// Walks extension headers from the header of type `next` at `at`; all of it must lie before `end`. Only where `ATOMIC` are
/// atomic fragments told from first ones: the parser treats both alike, and the verifier would walk twice as many ways.
#[inline(always)]
pub(crate) fn walk<F: Frame + ?Sized, const ATOMIC: bool>(
    frame: &F,
    mut next: u8,
    mut at: usize,
    end: usize,
) -> Chain {
    let mut fragment = Fragment::None;
    for _ in 0..MAX_EXTENSION_HEADERS {
        let unit = match next {
            protocol::HOP_BY_HOP | protocol::ROUTING | protocol::DESTINATION_OPTIONS => 8,
            protocol::AUTHENTICATION => 4,
            protocol::FRAGMENT => 0,
            _ => return Chain::End { protocol: next, at, fragment },
        };
        let cut = if fragment == Fragment::None { Chain::Cut } else { Chain::Unknown };
        if at + 8 > end {
            return cut;
        }
        let Some(start) = frame.be32(at) else { return cut };
        next = (start >> 24) as u8;
        let units = ((start >> 16) & 0xff) as usize;
        at += match unit {
            // RFC 8200 section 4.5: offset in the upper 13 bits; the header has no length of its own.
            0 => {
                if start & 0xfff8 != 0 {
                    return match next {
                        protocol::HOP_BY_HOP
                        | protocol::ROUTING
                        | protocol::DESTINATION_OPTIONS
                        | protocol::AUTHENTICATION
                        | protocol::FRAGMENT => Chain::Unknown,
                        _ => Chain::End { protocol: next, at, fragment: Fragment::Later },
                    };
                }
                let more = start & 1 != 0;
                let atomic = ATOMIC && !more && fragment != Fragment::First;
                fragment = if atomic { Fragment::Atomic } else { Fragment::First };
                8
            }
            // RFC 4302 section 2.2: in 4-byte units, minus 2.
            4 => units * 4 + 8,
            _ => units * 8 + 8,
        };
        if at > end {
            return if fragment == Fragment::None { Chain::Cut } else { Chain::Unknown };
        }
    }
    match next {
        protocol::HOP_BY_HOP
        | protocol::ROUTING
        | protocol::DESTINATION_OPTIONS
        | protocol::AUTHENTICATION
        | protocol::FRAGMENT => Chain::Unknown,
        _ => Chain::End { protocol: next, at, fragment },
    }
}

/// The destination port, where `protocol` has one and the transport header's first four bytes lie before `end`.
#[inline(always)]
fn port_if_there<F: Frame + ?Sized>(frame: &F, protocol: u8, at: usize, end: usize) -> Option<u16> {
    let has_ports = protocol == protocol::TCP || protocol == protocol::UDP;
    if has_ports && at + 4 <= end { frame.be16(at + 2) } else { None }
}

/// The least length of the protocol's header, in bytes; 0 for those that are not looked into.
#[inline(always)]
const fn transport_header(protocol: u8) -> usize {
    match protocol {
        protocol::TCP => 20,
        protocol::UDP | protocol::ICMP | protocol::ICMPV6 => 8,
        _ => 0,
    }
}

impl Frame for [u8] {
    fn length(&self) -> usize {
        self.len()
    }

    fn be16(&self, offset: usize) -> Option<u16> {
        self.get(offset..)?.first_chunk().copied().map(u16::from_be_bytes)
    }

    fn be32(&self, offset: usize) -> Option<u32> {
        self.get(offset..)?.first_chunk().copied().map(u32::from_be_bytes)
    }

    fn be128(&self, offset: usize) -> Option<(u64, u64)> {
        let bytes = self.get(offset..)?;
        let low = bytes.get(8..)?.first_chunk().copied().map(u64::from_be_bytes)?;
        let high = bytes.first_chunk().copied().map(u64::from_be_bytes)?;
        Some((high, low))
    }
}
