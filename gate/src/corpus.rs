//! Named packets, each with what the gate has to make of it: one list for host tests, for BPF_PROG_TEST_RUN and for
//! `octroi selftest`.
//!
//! Each expectation is a literal, written down from the RFCs and the contract; nothing here parses.

pub mod build;
mod ipv4;
mod ipv6;
mod link;
mod plain;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::vec::Vec;

use crate::packet::{Parsed, Source};

/// A frame and what it has to be taken for.
#[derive(Clone, Debug)]
pub struct Case {
    /// Unique; what the packet is, not what happens to it.
    pub name: &'static str,
    /// From the destination MAC address to the end, without frame check sequence.
    pub frame: Vec<u8>,
    /// What the gate has to make of it.
    pub expect: Expect,
}

/// What a frame is, as far as the gate looks: [`Parsed`] without offsets, with an address that reads as one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expect {
    /// ARP.
    Arp,
    /// Neither ARP, IPv4 nor IPv6.
    NonIp,
    /// ICMPv6 types 133 to 137, not fragmented.
    NeighbourDiscovery,
    /// Too short for its own headers, or behind more than two VLAN tags.
    Malformed,
    /// An IP packet to be judged.
    Ip {
        /// The outer source address. An IPv4-mapped IPv6 address stays IPv6.
        source: IpAddr,
        /// IP protocol after extension headers; `None` where it cannot be known.
        protocol: Option<u8>,
        /// Destination port of TCP or UDP; `None` where there is none or it cannot be known.
        port: Option<u16>,
    },
}

impl From<Parsed> for Expect {
    fn from(parsed: Parsed) -> Expect {
        match parsed {
            Parsed::Arp => Expect::Arp,
            Parsed::NonIp => Expect::NonIp,
            Parsed::NeighbourDiscovery => Expect::NeighbourDiscovery,
            Parsed::Malformed => Expect::Malformed,
            Parsed::Ip(packet) => {
                let source = match packet.source {
                    Source::V4(bits) => IpAddr::V4(Ipv4Addr::from_bits(bits)),
                    Source::V6 { high, low } => {
                        IpAddr::V6(Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low)))
                    }
                };
                Expect::Ip { source, protocol: packet.protocol, port: packet.destination_port }
            }
        }
    }
}

/// All named packets.
pub fn corpus() -> Vec<Case> {
    [link::cases(), plain::cases(), ipv4::cases(), ipv6::cases()].concat()
}

/// Every proper prefix of a frame, the empty one first: what a cut can leave of it.
pub fn truncations(frame: &[u8]) -> impl Iterator<Item = &[u8]> {
    (0..frame.len()).map(|length| &frame[..length])
}

/// A source that belongs to somebody: used wherever the address does not matter.
const PUBLIC4: IpAddr = IpAddr::V4(Ipv4Addr::new(1, 0, 1, 1));
/// The same for IPv6.
const PUBLIC6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2404, 0x7940, 0, 0, 0, 0, 0, 1));
/// This host.
const HOST4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 88, 0, 2));
/// The same for IPv6.
const HOST6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0x88, 0, 0, 0, 0, 0, 2));

fn case(name: &'static str, frame: impl Into<Vec<u8>>, expect: Expect) -> Case {
    Case { name, frame: frame.into(), expect }
}

/// Protocol and port known.
const fn ip(source: IpAddr, protocol: u8, port: u16) -> Expect {
    Expect::Ip { source, protocol: Some(protocol), port: Some(port) }
}

/// Protocol known; no port, or one that cannot be known.
const fn portless(source: IpAddr, protocol: u8) -> Expect {
    Expect::Ip { source, protocol: Some(protocol), port: None }
}

/// Neither protocol nor port can be known.
const fn unknown(source: IpAddr) -> Expect {
    Expect::Ip { source, protocol: None, port: None }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn there_are_at_least_120_packets_with_names_of_their_own() {
        let cases = corpus();
        let names: HashSet<_> = cases.iter().map(|case| case.name).collect();
        assert_eq!(names.len(), cases.len(), "a name is there twice");
        assert!(cases.len() >= 120, "{} cases", cases.len());
    }

    #[test]
    fn no_two_packets_are_the_same() {
        let cases = corpus();
        for (index, case) in cases.iter().enumerate() {
            let twin = cases[..index].iter().find(|other| other.frame == case.frame);
            assert!(
                twin.is_none(),
                "{} is the same frame as {}",
                case.name,
                twin.map_or("", |twin| twin.name)
            );
        }
    }

    #[test]
    fn truncations_are_all_proper_prefixes() {
        let cuts: Vec<_> = truncations(b"abc").collect();
        assert_eq!(cuts, [&b""[..], b"a", b"ab"]);
    }
}
