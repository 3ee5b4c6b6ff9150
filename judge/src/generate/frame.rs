//! Frames from scratch: sound ones, and ones that lie about their lengths, end early, or have bits turned.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
};

use super::{
    address,
    carried::{Carried, carried},
};

/// A frame but for its source.
#[derive(Clone, Debug)]
pub struct Shape {
    /// The MAC addresses that it goes to and comes from.
    pub macs: [[u8; 6]; 2],
    /// Whom it is for, by family.
    pub to: (Ipv4Addr, Ipv6Addr),
    /// EtherTypes of VLAN tags.
    pub tags: Vec<u16>,
    /// What is behind them.
    pub network: Network,
    /// What IP carries.
    pub carried: Carried,
    /// How many bytes of that there are: fewer than its header has, or more.
    pub bytes: Option<usize>,
    /// Bytes behind the packet, as short frames are padded.
    pub padding: usize,
    /// Where the frame ends early.
    pub cut: Option<Index>,
    /// Bits that are turned.
    pub flips: Vec<(Index, u8)>,
}

/// What is in an Ethernet frame.
#[derive(Clone, Debug)]
pub enum Network {
    /// IPv4, with so many 32-bit words of options.
    V4(u8, Fragment, Claim),
    /// IPv6, with extension headers.
    V6(Vec<Header>, Claim),
    /// Something of this EtherType that is not IP.
    Other(u16),
}

/// A fragment's place, in units of eight bytes, and whether more follow.
#[derive(Clone, Copy, Debug)]
pub struct Fragment {
    /// 0..=0x1fff.
    pub offset: u16,
    /// "More fragments".
    pub more: bool,
}

/// What an IP header says about the packet's length.
#[derive(Clone, Copy, Debug)]
pub enum Claim {
    /// The truth.
    Honest,
    /// So much more, or less.
    Off(i16),
    /// Exactly this.
    Length(u16),
}

/// An IPv6 extension header.
#[derive(Clone, Copy, Debug)]
pub enum Header {
    /// Hop-by-hop options, routing or destination options: their number, and units of 8 bytes beyond the first.
    Options(u8, u8),
    /// A fragment header.
    Fragment(Fragment),
    /// An authentication header, and units of 4 bytes beyond the second.
    Authentication(u8),
}

impl Shape {
    /// A sound frame from a host to a host, neither tagged nor padded.
    #[must_use]
    pub fn sound(network: Network, carried: Carried) -> Self {
        Self {
            macs: [STATION, OTHER_STATION],
            to: (address::HOST_V4, address::HOST_V6),
            tags: Vec::new(),
            network,
            carried,
            bytes: None,
            padding: 0,
            cut: None,
            flips: Vec::new(),
        }
    }

    /// The frame from a source, of whichever family it takes.
    #[must_use]
    pub fn frame(&self, (v4, v6): (Ipv4Addr, Ipv6Addr)) -> Vec<u8> {
        let (v4, v6) = ((v4, self.to.0), (v6, self.to.1));
        let mut carried = self.carried.bytes();
        carried.resize(self.bytes.unwrap_or(carried.len()), 0x5a);
        let (ether_type, packet) = match &self.network {
            Network::V4(options, fragment, claim) => {
                (0x0800, ipv4(v4, *options, *fragment, *claim, self.carried.number(), &carried))
            }
            Network::V6(headers, claim) => {
                (0x86dd, ipv6(v6, headers, *claim, self.carried.number(), &carried))
            }
            Network::Other(ether_type) => (*ether_type, carried),
        };
        let mut frame = self.macs.concat();
        for tag in &self.tags {
            frame.extend(tag.to_be_bytes());
            frame.extend([0, 7]);
        }
        frame.extend(u16::to_be_bytes(ether_type));
        frame.extend(packet);
        frame.resize(frame.len() + self.padding, 0);
        for (at, bit) in &self.flips {
            let at = at.index(frame.len());
            frame[at] ^= 1 << bit;
        }
        if let Some(cut) = &self.cut {
            frame.truncate(cut.index(frame.len() + 1));
        }
        frame
    }
}

/// MAC addresses of stations; the lowest bit of the first byte makes it a group.
const STATION: [u8; 6] = [2, 0, 0, 0, 0, 1];
const OTHER_STATION: [u8; 6] = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff];

impl Fragment {
    const NONE: Self = Self { offset: 0, more: false };
}

impl Claim {
    fn value(self, truth: usize) -> u16 {
        let truth = u16::try_from(truth).expect("frames are short");
        match self {
            Self::Honest => truth,
            Self::Off(by) => truth.wrapping_add_signed(by),
            Self::Length(length) => length,
        }
    }
}

/// `ends`: source and destination.
fn ipv4(
    ends: (Ipv4Addr, Ipv4Addr),
    options: u8,
    fragment: Fragment,
    claim: Claim,
    next: u8,
    body: &[u8],
) -> Vec<u8> {
    let length = claim.value(20 + usize::from(options) * 4 + body.len());
    let place = fragment.offset | u16::from(fragment.more) << 13;
    let mut packet = vec![0x45 + options, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([0, 9]);
    packet.extend(place.to_be_bytes());
    packet.extend([64, next, 0, 0]);
    packet.extend(ends.0.octets());
    packet.extend(ends.1.octets());
    packet.resize(packet.len() + usize::from(options) * 4, 1); // no operation
    packet.extend(body);
    packet
}

fn ipv6(ends: (Ipv6Addr, Ipv6Addr), headers: &[Header], claim: Claim, mut next: u8, body: &[u8]) -> Vec<u8> {
    let mut rest = body.to_vec();
    for header in headers.iter().rev() {
        let (number, mut bytes) = match *header {
            Header::Options(number, units) => (number, vec![1; (usize::from(units) + 1) * 8]),
            Header::Fragment(_) => (44, vec![0; 8]),
            Header::Authentication(units) => (51, vec![0; (usize::from(units) + 2) * 4]),
        };
        bytes[0] = next;
        match *header {
            Header::Options(_, units) | Header::Authentication(units) => bytes[1] = units,
            Header::Fragment(Fragment { offset, more }) => {
                bytes[2..4].copy_from_slice(&(offset << 3 | u16::from(more)).to_be_bytes());
            }
        }
        bytes.append(&mut rest);
        (next, rest) = (number, bytes);
    }
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(claim.value(rest.len()).to_be_bytes());
    packet.extend([next, 255]);
    packet.extend(ends.0.octets());
    packet.extend(ends.1.octets());
    packet.extend(rest);
    packet
}

/// Any of them; most are sound.
pub(super) fn shape() -> impl Strategy<Value = Shape> {
    let group = select(&[[1u8, 0, 0x5e, 0, 0, 1], [0x33, 0x33, 0, 0, 0, 1], [0xff; 6]]);
    let mac = prop_oneof![12 => Just(STATION), 3 => Just(OTHER_STATION), 1 => group];
    let ends = ([mac.clone(), mac], (address::to_v4(), address::to_v6()));
    let tag = prop_oneof![10 => select(&[0x8100u16, 0x88a8]), 1 => Just(0x9100)];
    let tags = prop_oneof![24 => Just(Vec::new()), 8 => vec(tag.clone(), 1..=2), 1 => vec(tag, 3)];
    let bytes = prop_oneof![
        8 => Just(None),
        1 => (0usize..24).prop_map(Some),
        1 => prop_oneof![8 => 24usize..80, 1 => 500usize..600, 1 => 1200usize..1400].prop_map(Some),
    ];
    let padding = prop_oneof![3 => Just(0usize), 1 => 1usize..40];
    let cut = prop_oneof![9 => Just(None), 1 => any::<Index>().prop_map(Some)];
    let flips = prop_oneof![6 => Just(Vec::new()), 1 => vec((any::<Index>(), 0u8..8), 1..=3)];
    (ends, tags, network(), carried(), bytes, padding, cut, flips).prop_map(
        |((macs, to), tags, network, carried, bytes, padding, cut, flips)| Shape {
            macs,
            to,
            tags,
            network,
            carried,
            bytes,
            padding,
            cut,
            flips,
        },
    )
}

fn network() -> impl Strategy<Value = Network> {
    let options = prop_oneof![3 => Just(0u8), 1 => 1u8..=10];
    let v4_claim = prop_oneof![
        8 => Just(Claim::Honest),
        1 => (-50i16..50).prop_map(Claim::Off),
        1 => select(&[0u16, 19, 20, 24, 28, 40, 65_535]).prop_map(Claim::Length),
    ];
    let v6_claim = prop_oneof![
        8 => Just(Claim::Honest),
        1 => (-50i16..50).prop_map(Claim::Off),
        1 => select(&[0u16, 1, 7, 8, 19, 20, 65_535]).prop_map(Claim::Length),
    ];
    let piece = prop_oneof![6 => Just(Fragment::NONE), 2 => fragment()];
    let headers = prop_oneof![3 => Just(Vec::new()), 3 => vec(header(), 1..=4), 1 => vec(header(), 7..=10)];
    let other = select(&[0x0806u16, 0x88cc, 0x0805, 0x05dc, 0x86dc, 0x8847, 0x9000]);
    prop_oneof![
        6 => (options, piece, v4_claim).prop_map(|(options, piece, claim)| Network::V4(options, piece, claim)),
        8 => (headers, v6_claim).prop_map(|(headers, claim)| Network::V6(headers, claim)),
        1 => other.prop_map(Network::Other),
    ]
}

fn fragment() -> impl Strategy<Value = Fragment> {
    let offset = prop_oneof![2 => Just(0u16), 1 => select(&[1u16, 2, 0x1fff]), 1 => 0u16..=0x1fff];
    (offset, any::<bool>()).prop_map(|(offset, more)| Fragment { offset, more })
}

fn header() -> impl Strategy<Value = Header> {
    let number = select(&[60u8, 0, 43]);
    let units = prop_oneof![5 => Just(0u8), 2 => 1u8..4, 1 => 4u8..32];
    prop_oneof![
        6 => (number, units.clone()).prop_map(|(number, units)| Header::Options(number, units)),
        2 => fragment().prop_map(Header::Fragment),
        2 => units.prop_map(Header::Authentication),
    ]
}
