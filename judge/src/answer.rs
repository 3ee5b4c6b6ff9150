//! Who is told that a packet was rejected: "TCP reset; otherwise ICMP/ICMPv6 administratively prohibited".

use std::net::IpAddr;

use crate::packet::{ICMP, ICMPV6, Ip, Piece, Protocol, RST, TCP};

/// Whether a packet that a rule rejects gets an answer.
///
/// "An ICMP error message MUST NOT be sent as the result of receiving: an ICMP error message, or a datagram destined to an IP
/// broadcast or IP multicast address, or a datagram sent as a link-layer broadcast, or a non-initial fragment, or a datagram
/// whose source address does not define a single host" (RFC 1122, 3.2.2; RFC 1812, 4.3.2.7; RFC 4443, 2.4 (e)). And "an
/// incoming segment containing a RST is discarded" (RFC 9293, 3.10.7.1).
pub(crate) fn is_answered(frame: &[u8], ip: &Ip) -> bool {
    let between_stations = [0, 6].into_iter().all(|at| is_station(&frame[at..at + 6]));
    let between_hosts = is_host(ip.source) && is_host(ip.destination);
    between_stations && between_hosts && ip.piece != Piece::Later && may_be_answered(ip)
}

/// Whether a MAC address is that of one station: "individual", by its first bit on the wire (IEEE 802).
fn is_station(mac: &[u8]) -> bool {
    mac[0] & 1 == 0
}

/// Whether an address can be that of one other host (RFC 6890; RFC 4291, 2.5 and 2.7). IPv6 addresses that begin with 80 zeros
/// are unspecified, loopback, or have an IPv4 address in them that IPv6 packets do not come from.
fn is_host(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !matches!(v4.octets()[0], 0 | 127 | 224..),
        IpAddr::V6(v6) => v6.segments()[..5] != [0; 5] && !v6.is_multicast(),
    }
}

/// Whether what a packet carries is no answer itself: two gates must not answer each other for good. What nobody can read may
/// be one.
fn may_be_answered(ip: &Ip) -> bool {
    match (ip.protocol, ip.source) {
        (Protocol::Unknown | Protocol::NotWalked(_), _) => false,
        (Protocol::Known(TCP), _) => ip.segment && ip.flags.is_some_and(|flags| flags & RST == 0),
        (Protocol::Known(ICMP), IpAddr::V4(_)) => ip.icmp.is_some_and(|kind| QUERIES_V4.contains(&kind)),
        (Protocol::Known(ICMPV6), IpAddr::V6(_)) => ip.icmp.is_some_and(|kind| QUERIES_V6.contains(&kind)),
        // In the other family, they have no meaning.
        (Protocol::Known(ICMP | ICMPV6), _) => false,
        (Protocol::Known(_), _) => true,
    }
}

/// ICMP queries and their replies (RFC 792; RFC 950; RFC 8335): echo, timestamp, information, address mask, extended echo.
const QUERIES_V4: [u8; 10] = [0, 8, 13, 14, 15, 16, 17, 18, 42, 43];

/// Those of ICMPv6 (RFC 4443; RFC 4620; RFC 8335): echo, node information, extended echo.
const QUERIES_V6: [u8; 6] = [128, 129, 139, 140, 160, 161];
