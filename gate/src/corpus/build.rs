//! Builds Ethernet frames for tests: honest ones, with right lengths and checksums, and ones with one lie each.
//!
//! ```
//! use octroi_gate::corpus::build::tcp;
//! let (source, destination) = ("1.0.1.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
//! let frame = tcp(source, destination).ports(40000, 443).vlan(100).payload(b"hello").frame();
//! assert_eq!(frame.len(), 14 + 4 + 20 + 20 + 5);
//! ```

use std::net::IpAddr;
use std::vec;
use std::vec::Vec;

/// The MAC address that frames are sent to unless said otherwise: the receiving side of the lab in `tests`.
pub const RECEIVER_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x02];
/// The MAC address that frames come from unless said otherwise: the sending side of the lab in `tests`.
pub const SENDER_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x01];

/// Tag protocol identifier of a customer tag (802.1Q).
pub const TPID_8021Q: u16 = 0x8100;
/// Tag protocol identifier of a service tag (802.1ad).
pub const TPID_8021AD: u16 = 0x88a8;

/// IPv6 hop-by-hop options, an extension header.
pub const HOP_BY_HOP: u8 = 0;
/// ICMP, an IP protocol.
pub const ICMP: u8 = 1;
/// TCP, an IP protocol.
pub const TCP: u8 = 6;
/// UDP, an IP protocol.
pub const UDP: u8 = 17;
/// IPv6 routing, an extension header.
pub const ROUTING: u8 = 43;
/// IPv6 fragment, an extension header.
pub const FRAGMENT: u8 = 44;
/// Encapsulating security payload: what follows is not readable.
pub const ESP: u8 = 50;
/// Authentication, an extension header.
pub const AUTHENTICATION: u8 = 51;
/// ICMPv6, an IP protocol.
pub const ICMPV6: u8 = 58;
/// IPv6 "no next header".
pub const NO_NEXT_HEADER: u8 = 59;
/// IPv6 destination options, an extension header.
pub const DESTINATION_OPTIONS: u8 = 60;

/// A TCP packet with the SYN flag, from port 40000 to port 443, without payload.
///
/// # Panics
/// All builders panic where the two addresses are of different families.
pub fn tcp(source: IpAddr, destination: IpAddr) -> Build {
    let mut header = [0; 20];
    header[4..8].copy_from_slice(&1u32.to_be_bytes());
    header[12] = 5 << 4;
    header[13] = 0x02;
    header[14..16].copy_from_slice(&64240u16.to_be_bytes());
    Build::new(source, destination, TCP, header.to_vec()).ports(40000, 443)
}

/// A UDP packet from port 40000 to port 443, without payload.
pub fn udp(source: IpAddr, destination: IpAddr) -> Build {
    Build::new(source, destination, UDP, vec![0; 8]).ports(40000, 443)
}

/// An echo request: ICMP over IPv4, ICMPv6 over IPv6.
pub fn icmp(source: IpAddr, destination: IpAddr) -> Build {
    if source.is_ipv4() {
        icmp_type(source, destination, ICMP, 8)
    } else {
        icmp_type(source, destination, ICMPV6, 128)
    }
}

/// An ICMP or ICMPv6 message (`protocol` says which) of a type, code 0, 8 bytes.
pub fn icmp_type(source: IpAddr, destination: IpAddr, protocol: u8, kind: u8) -> Build {
    Build::new(source, destination, protocol, vec![kind, 0, 0, 0, 0x12, 0x34, 0, 1])
}

/// An ICMPv6 message as neighbour discovery sends them (hop limit 255): types 133 to 137 with 16 bytes of body.
pub fn neighbour_discovery(source: IpAddr, destination: IpAddr, kind: u8) -> Build {
    let mut build = icmp_type(source, destination, ICMPV6, kind);
    build.hop_limit = 255;
    build.payload(&[0; 16])
}

/// A packet of any IP protocol, its header (if it has one) being what `payload` says.
pub fn other(source: IpAddr, destination: IpAddr, protocol: u8) -> Build {
    Build::new(source, destination, protocol, Vec::new())
}

/// A frame that is not IP: `ethertype` (or 802.3 length) and what follows it, behind `tags` of (TPID, TCI).
pub fn ethernet(tags: &[(u16, u16)], ethertype: u16, content: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(14 + 4 * tags.len() + content.len());
    frame.extend(RECEIVER_MAC);
    frame.extend(SENDER_MAC);
    for (tpid, tci) in tags {
        frame.extend(tpid.to_be_bytes());
        frame.extend(tci.to_be_bytes());
    }
    frame.extend(ethertype.to_be_bytes());
    frame.extend(content);
    frame
}

/// The first `length` bytes of a frame.
///
/// # Panics
/// Where the frame is not longer than that: a cut that cuts nothing proves nothing.
pub fn cut(frame: impl Into<Vec<u8>>, length: usize) -> Vec<u8> {
    let mut frame = frame.into();
    assert!(length < frame.len(), "cut at {length} leaves a frame of {} bytes whole", frame.len());
    frame.truncate(length);
    frame
}

/// A frame, followed by zero bytes up to `length`, as network cards pad what is shorter than 60.
pub fn padded(frame: impl Into<Vec<u8>>, length: usize) -> Vec<u8> {
    let mut frame = frame.into();
    assert!(length > frame.len(), "a frame of {} bytes needs no padding to {length}", frame.len());
    frame.resize(length, 0);
    frame
}

/// The internet checksum (RFC 1071) over the bytes of all parts, which must have even lengths but for the last.
pub fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u64;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u64::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).expect("folded to 16 bits")
}

/// A packet being put together; [`frame`](Build::frame) gives its bytes.
///
/// Lengths and checksums are right unless a `claim_…` says otherwise; header checksums are right also then, so
/// that the claim is the only lie.
#[derive(Clone, Debug)]
pub struct Build {
    source_mac: [u8; 6],
    destination_mac: [u8; 6],
    tags: Vec<(u16, u16)>,
    source: IpAddr,
    destination: IpAddr,
    hop_limit: u8,
    traffic_class: u8,
    protocol: u8,
    transport: Vec<u8>,
    payload: Vec<u8>,
    options: Vec<u8>,
    /// IPv4 flags and fragment offset, as in the header.
    fragmentation: u16,
    extensions: Vec<(u8, Vec<u8>)>,
    keep: Option<usize>,
    claims: Claims,
}

/// What a header says instead of the truth.
#[derive(Clone, Copy, Default, Debug)]
struct Claims {
    ethertype: Option<u16>,
    version: Option<u8>,
    header_words: Option<u8>,
    length: Option<u16>,
}

impl Build {
    fn new(source: IpAddr, destination: IpAddr, protocol: u8, transport: Vec<u8>) -> Build {
        assert_eq!(source.is_ipv4(), destination.is_ipv4(), "{source} and {destination} differ in family");
        Build {
            source_mac: SENDER_MAC,
            destination_mac: RECEIVER_MAC,
            tags: Vec::new(),
            source,
            destination,
            hop_limit: 64,
            traffic_class: 0,
            protocol,
            transport,
            payload: Vec::new(),
            options: Vec::new(),
            fragmentation: 0,
            extensions: Vec::new(),
            keep: None,
            claims: Claims::default(),
        }
    }

    /// Sets the MAC addresses.
    pub fn macs(mut self, source: [u8; 6], destination: [u8; 6]) -> Build {
        (self.source_mac, self.destination_mac) = (source, destination);
        self
    }

    /// Adds a VLAN tag inside those already there. `tci`: priority (3 bits), drop eligible (1), VLAN (12).
    pub fn tagged(mut self, tpid: u16, tci: u16) -> Build {
        self.tags.push((tpid, tci));
        self
    }

    /// Adds an 802.1Q tag of VLAN `id` (0 to 4095), priority 0.
    pub fn vlan(self, id: u16) -> Build {
        self.tagged(TPID_8021Q, id)
    }

    /// Sets source and destination port, of TCP, UDP and what begins with ports like them.
    pub fn ports(mut self, source: u16, destination: u16) -> Build {
        self.transport[0..2].copy_from_slice(&source.to_be_bytes());
        self.transport[2..4].copy_from_slice(&destination.to_be_bytes());
        self
    }

    /// Sets the TCP flags byte: FIN 1, SYN 2, RST 4, PSH 8, ACK 16.
    pub fn flags(mut self, flags: u8) -> Build {
        assert_eq!(self.protocol, TCP, "only TCP has flags");
        self.transport[13] = flags;
        self
    }

    /// Gives TCP `words` × 4 bytes of options (no-operation), 1 to 10 words.
    pub fn tcp_options(mut self, words: u8) -> Build {
        assert!(self.protocol == TCP && (1..=10).contains(&words), "no place for {words} words of options");
        self.transport.resize(20 + 4 * usize::from(words), 1);
        self.transport[12] = (5 + words) << 4;
        self
    }

    /// Sets the TCP header's own length field, in words of 4 bytes, without changing the header.
    pub fn claim_data_offset(mut self, words: u8) -> Build {
        assert!(self.protocol == TCP && words < 16, "{words} words do not fit in the data offset of TCP");
        self.transport[12] = words << 4;
        self
    }

    /// What follows the transport header.
    pub fn payload(mut self, payload: &[u8]) -> Build {
        self.payload = payload.to_vec();
        self
    }

    /// The DSCP (6 bits) of the IPv4 TOS byte or the IPv6 traffic class.
    pub fn dscp(mut self, dscp: u8) -> Build {
        assert!(dscp < 64, "DSCP {dscp} has more than 6 bits");
        self.traffic_class = dscp << 2;
        self
    }

    /// An IPv4 header of `words` × 4 bytes (6 to 15): options that are all no-operation.
    pub fn ihl(mut self, words: u8) -> Build {
        assert!(self.source.is_ipv4() && (6..=15).contains(&words), "no IPv4 header of {words} words");
        self.options = vec![1; 4 * usize::from(words - 5)];
        self
    }

    /// Sets IPv4's "don't fragment".
    pub fn dont_fragment(mut self) -> Build {
        assert!(self.source.is_ipv4(), "only IPv4 has DF");
        self.fragmentation |= 0x4000;
        self
    }

    /// Makes the packet a fragment at `offset` (in units of 8 bytes), with "more fragments" or without. IPv6: adds
    /// a fragment header behind the extension headers already there. At an offset other than 0, there is no
    /// transport header: the payload alone.
    pub fn fragment(mut self, offset: u16, more: bool) -> Build {
        assert!(offset < 1 << 13, "fragment offset {offset} has more than 13 bits");
        if offset > 0 {
            self.transport.clear();
        }
        if self.source.is_ipv4() {
            self.fragmentation |= u16::from(more) << 13 | offset;
            return self;
        }
        let field = (offset << 3 | u16::from(more)).to_be_bytes();
        self.extensions.push((FRAGMENT, vec![0, 0, field[0], field[1], 0xde, 0xad, 0xbe, 0xef]));
        self
    }

    /// Adds an IPv6 extension header behind those already there, as short as its kind allows (8 bytes; 12 for
    /// authentication).
    pub fn extension(self, kind: u8) -> Build {
        self.extension_of(kind, if kind == AUTHENTICATION { 12 } else { 8 })
    }

    /// Adds an IPv6 extension header of `bytes`, with a length field that says so.
    pub fn extension_of(self, kind: u8, bytes: usize) -> Build {
        let (unit, less) = if kind == AUTHENTICATION { (4, 2) } else { (8, 1) };
        assert!(bytes.is_multiple_of(unit), "an extension header {kind} comes in units of {unit} bytes");
        let field = u8::try_from(bytes / unit - less).expect("fits the header's length field");
        self.extension_claiming(kind, bytes, field)
    }

    /// Adds an IPv6 extension header of `bytes` whose length field holds `field`, be it true or not.
    pub fn extension_claiming(mut self, kind: u8, bytes: usize, field: u8) -> Build {
        let mut header = vec![0; bytes];
        header[1] = field;
        if matches!(kind, HOP_BY_HOP | DESTINATION_OPTIONS) {
            pad_options(&mut header[2..]);
        }
        self.extensions.push((kind, header));
        self
    }

    /// Keeps only the first `bytes` of what follows the IP header and its options or extension headers; the IP
    /// length field says so.
    pub fn keep(mut self, bytes: usize) -> Build {
        self.keep = Some(bytes);
        self
    }

    /// Sets the ethertype, whatever the IP version.
    pub fn claim_ethertype(mut self, ethertype: u16) -> Build {
        self.claims.ethertype = Some(ethertype);
        self
    }

    /// Sets the IP header's version (4 bits).
    pub fn claim_version(mut self, version: u8) -> Build {
        self.claims.version = Some(version);
        self
    }

    /// Sets the IPv4 header's own length field, in words of 4 bytes (4 bits), without changing the header.
    pub fn claim_ihl(mut self, words: u8) -> Build {
        self.claims.header_words = Some(words);
        self
    }

    /// Sets IPv4's total length, or IPv6's payload length, in bytes.
    pub fn claim_length(mut self, length: u16) -> Build {
        self.claims.length = Some(length);
        self
    }

    /// The frame, without padding and frame check sequence.
    ///
    /// # Panics
    /// Where the packet is too long for its length field.
    pub fn frame(&self) -> Vec<u8> {
        let content = self.content();
        let (ethertype, packet) = match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                (0x0800, self.ipv4(source.octets(), destination.octets(), &content))
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                (0x86dd, self.ipv6(source.octets(), destination.octets(), &content))
            }
            (source, destination) => panic!("{source} and {destination} differ in family"),
        };
        let mut frame = ethernet(&self.tags, self.claims.ethertype.unwrap_or(ethertype), &packet);
        frame[0..6].copy_from_slice(&self.destination_mac);
        frame[6..12].copy_from_slice(&self.source_mac);
        frame
    }

    /// Transport header and payload, with length and checksum.
    fn content(&self) -> Vec<u8> {
        let mut content = self.transport.clone();
        content.extend(&self.payload);
        let length = u32::try_from(content.len()).expect("a packet is shorter than 4 GB");
        if self.protocol == UDP && !self.transport.is_empty() {
            let length = u16::try_from(length).expect("UDP carries less than 64 KB");
            content[4..6].copy_from_slice(&length.to_be_bytes());
        }
        let place = match self.protocol {
            ICMP | ICMPV6 => 2,
            UDP => 6,
            TCP => 16,
            _ => return content,
        };
        // A later fragment has no header of its own to put a sum into.
        if self.transport.len() >= place + 2 {
            // Both families' pseudo headers hold these fields, in places that give the same sum.
            let mut pseudo = [bytes(self.source), bytes(self.destination)].concat();
            pseudo.extend(length.to_be_bytes());
            pseudo.extend([0, 0, 0, self.protocol]);
            let pseudo = if self.protocol == ICMP { &[] } else { pseudo.as_slice() };
            let sum = match checksum(&[pseudo, &content]) {
                // In UDP, zero means that there is no checksum.
                0 if self.protocol == UDP => 0xffff,
                sum => sum,
            };
            content[place..place + 2].copy_from_slice(&sum.to_be_bytes());
        }
        content.truncate(self.keep.unwrap_or(content.len()));
        content
    }

    fn ipv4(&self, source: [u8; 4], destination: [u8; 4], content: &[u8]) -> Vec<u8> {
        assert!(self.extensions.is_empty(), "IPv4 has no extension headers");
        let words = u8::try_from(5 + self.options.len() / 4).expect("`ihl` allows up to 15");
        let length =
            || u16::try_from(usize::from(words) * 4 + content.len()).expect("fits IPv4's total length");
        let mut packet = vec![0; 20];
        packet[0] = self.claims.version.unwrap_or(4) << 4 | self.claims.header_words.unwrap_or(words);
        packet[1] = self.traffic_class;
        packet[2..4].copy_from_slice(&self.claims.length.unwrap_or_else(length).to_be_bytes());
        packet[4..6].copy_from_slice(&0x1234u16.to_be_bytes());
        packet[6..8].copy_from_slice(&self.fragmentation.to_be_bytes());
        packet[8] = self.hop_limit;
        packet[9] = self.protocol;
        packet[12..16].copy_from_slice(&source);
        packet[16..20].copy_from_slice(&destination);
        packet.extend(&self.options);
        let sum = checksum(&[&packet]);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        packet.extend(content);
        packet
    }

    fn ipv6(&self, source: [u8; 16], destination: [u8; 16], content: &[u8]) -> Vec<u8> {
        let extensions: usize = self.extensions.iter().map(|(_, header)| header.len()).sum();
        let length = || u16::try_from(extensions + content.len()).expect("fits IPv6's payload length");
        let kinds = self.extensions.iter().map(|(kind, _)| *kind).chain([self.protocol]).collect::<Vec<_>>();
        let mut packet = vec![0; 8];
        packet[0] = self.claims.version.unwrap_or(6) << 4 | self.traffic_class >> 4;
        packet[1] = self.traffic_class << 4;
        packet[4..6].copy_from_slice(&self.claims.length.unwrap_or_else(length).to_be_bytes());
        packet[6] = kinds[0];
        packet[7] = self.hop_limit;
        packet.extend(source);
        packet.extend(destination);
        for ((_, header), next) in self.extensions.iter().zip(&kinds[1..]) {
            let start = packet.len();
            packet.extend(header);
            packet[start] = *next;
        }
        packet.extend(content);
        packet
    }
}

impl From<Build> for Vec<u8> {
    fn from(build: Build) -> Vec<u8> {
        build.frame()
    }
}

/// Fills the option space of an extension header with padding options (`PadN`, RFC 8200, 4.2).
fn pad_options(space: &mut [u8]) {
    // An option holds up to 255 bytes behind its two; a single byte left over would have to be Pad1, which is 0.
    for option in space.chunks_mut(257) {
        if let Some(length) = option.len().checked_sub(2) {
            option[0] = 1;
            option[1] = u8::try_from(length).expect("chunks of 257 at most");
        }
    }
}

fn bytes(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
