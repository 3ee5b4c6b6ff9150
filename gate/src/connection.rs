//! Whether a packet can belong to a connection of this host, and to which.

use crate::{
    packet::{Fragment, Frame, Packet, Source, protocol},
    transport::{Ports, Transport, Upper},
};

/// What the kernel's tables of sockets are asked with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tuple {
    /// TCP; else UDP.
    pub tcp: bool,
    /// The source address.
    pub source: Source,
    /// The destination address, of the same family.
    pub destination: Source,
    /// The ports.
    pub ports: Ports,
}

/// The connection that a packet may belong to. `None` for what belongs to none, whatever sockets there are:
///
/// - what is neither TCP nor UDP, or whose ports are not in it;
/// - a fragment: a host puts the whole packet together before it asks for a socket, and of the other fragments nobody could
///   say where they belong;
/// - a TCP segment that opens a connection (SYN without ACK, RFC 9293), so that a flood of them never costs a look-up; or
///   whose flags are not in it: what is behind it in the frame is padding.
#[inline(always)]
#[must_use]
pub fn tuple<F: Frame + ?Sized>(frame: &F, packet: &Packet, transport: &Transport) -> Option<Tuple> {
    const SYN: u16 = 2;
    const ACK: u16 = 16;
    if !matches!(transport.fragment, Fragment::None | Fragment::Atomic) {
        return None;
    }
    let tcp = match transport.upper {
        Upper::Known(protocol::TCP) => true,
        Upper::Known(protocol::UDP) => false,
        _ => return None,
    };
    let ports = transport.ports?;
    if tcp {
        let flags = transport.at + 12;
        if flags + 2 > transport.end || frame.be16(flags)? & (SYN | ACK) == SYN {
            return None;
        }
    }
    let destination = match packet.source {
        Source::V4(_) => Source::V4(frame.be32(packet.header + 16)?),
        Source::V6 { .. } => {
            let (high, low) = frame.be128(packet.header + 24)?;
            Source::V6 { high, low }
        }
    };
    Some(Tuple { tcp, source: packet.source, destination, ports })
}

#[cfg(test)]
mod tests {
    use std::{net::IpAddr, vec::Vec};

    use super::*;
    use crate::{
        corpus::build::{Build, icmp, padded, tcp, udp},
        packet::{Parsed, parse},
        transport::transport,
    };

    const ADDRESSES: [[&str; 2]; 2] = [["1.0.1.1", "10.88.0.2"], ["2404:7940::1", "fd00:88::2"]];

    fn ask(frame: &[u8]) -> Option<Tuple> {
        let Parsed::Ip(packet) = parse(frame) else { panic!("not to be judged: {frame:02x?}") };
        tuple(frame, &packet, &transport(frame, &packet))
    }

    /// What packets of both families are asked with.
    fn both(packet: impl Fn(IpAddr, IpAddr) -> Build) -> [Option<Tuple>; 2] {
        ADDRESSES.map(|addresses| {
            let [source, destination] = addresses.map(|text| text.parse().expect("an address"));
            ask(&Vec::from(packet(source, destination)))
        })
    }

    #[test]
    fn a_segment_within_a_connection_is_asked_for_with_addresses_and_ports() {
        let ports = Ports { source: 1025, destination: 443 };
        let [v4, v6] = both(|source, destination| tcp(source, destination).ports(1025, 443).flags(0x10));
        let (source, destination) = (Source::V4(0x0100_0101), Source::V4(0x0a58_0002));
        assert_eq!(v4, Some(Tuple { tcp: true, source, destination, ports }));
        let source = Source::V6 { high: 0x2404_7940_0000_0000, low: 1 };
        let destination = Source::V6 { high: 0xfd00_0088_0000_0000, low: 2 };
        assert_eq!(v6, Some(Tuple { tcp: true, source, destination, ports }));
        let [v4, v6] = both(|source, destination| udp(source, destination).vlan(7).ports(1025, 443));
        assert!(v4.is_some_and(|tuple| !tuple.tcp) && v6.is_some_and(|tuple| tuple.ports == ports));
    }

    #[test]
    fn what_opens_a_connection_or_has_none_is_not_asked_for() {
        for (flags, asked) in
            [(0x02, false), (0xc2, false), (0x03, false), (0x12, true), (0x04, true), (0, true)]
        {
            let found = both(|source, destination| tcp(source, destination).flags(flags));
            assert_eq!(found.map(|found| found.is_some()), [asked; 2], "flags {flags:#x}");
        }
        assert_eq!(both(icmp), [None; 2]);
        let whole = [0; 32];
        let fragment = |offset, more| {
            both(move |source, destination| udp(source, destination).payload(&whole).fragment(offset, more))
        };
        assert_eq!(fragment(0, true), [None; 2]);
        assert_eq!(fragment(1, false), [None; 2]);
        assert!(fragment(0, false).iter().all(Option::is_some), "an atomic fragment is whole");
        for (bytes, asked) in [(4, false), (13, false), (14, true)] {
            let [source, destination] = ADDRESSES[1].map(|text| text.parse().expect("an address"));
            let short = tcp(source, destination).flags(0x10).fragment(0, false).keep(bytes);
            let found = ask(&padded(short, 120));
            assert_eq!(found.is_some(), asked, "{bytes} bytes of a segment, and padding");
        }
    }
}
