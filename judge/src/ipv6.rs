//! IPv6 (RFC 8200), and the headers between it and what it carries.

use std::net::Ipv6Addr;

use crate::packet::{Packet, Piece, Protocol, Start, piece, transport};

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION_OPTIONS: u8 = 60;

/// How many extension headers are walked.
const MOST: usize = 8;

/// An IPv6 packet, its header at byte `at`.
pub(crate) fn read(frame: &[u8], at: usize) -> Packet {
    let rest = &frame[at..];
    if rest.len() < 40 || rest[0] >> 4 != 6 {
        return Packet::Malformed;
    }
    let rest = match usize::from(u16::from_be_bytes([rest[4], rest[5]])) {
        0 => rest, // until the end of the frame
        payload => &rest[..rest.len().min(40 + payload)],
    };
    let address =
        |at: usize| Ipv6Addr::from_bits(u128::from_be_bytes(rest[at..at + 16].try_into().expect("16 bytes")));
    let (source, destination) = (address(8).into(), address(24).into());
    let start = Start { source, destination, header: at, piece: Piece::Whole };
    extension(start, rest[6], &rest[40..], 0)
}

/// What is in `rest`: a header of the number `next`, of which `walked` are in front of it.
fn extension(mut start: Start, next: u8, rest: &[u8], walked: usize) -> Packet {
    match next {
        HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS | FRAGMENT | AUTHENTICATION => {}
        // Mobility, host identity, shim6, and what is kept for experiments and for later (RFC 7045).
        135 | 139 | 140 | 148..=255 => return Packet::Ip(start.ip(Protocol::NotWalked(next))),
        protocol => return transport(start, protocol, rest),
    }
    // A later fragment only tells what its packet's first fragment goes on with.
    if start.piece == Piece::Later || walked == MOST {
        return Packet::Ip(start.ip(Protocol::Unknown));
    }
    let length = match next {
        FRAGMENT => Some(8),
        AUTHENTICATION => rest.get(1).map(|&units| (usize::from(units) + 2) * 4), // RFC 4302
        _ => rest.get(1).map(|&units| (usize::from(units) + 1) * 8),
    };
    let Some(behind) = length.and_then(|length| rest.get(length..)) else {
        // Behind a fragment header, the rest may be in other fragments.
        let whole = start.piece == Piece::Whole;
        return if whole { Packet::Malformed } else { Packet::Ip(start.ip(Protocol::Unknown)) };
    };
    if next == FRAGMENT {
        let offset_and_flags = u16::from_be_bytes([rest[2], rest[3]]);
        let piece = piece(offset_and_flags & 1 != 0, offset_and_flags >> 3).max(Piece::Atomic);
        start.piece = start.piece.max(piece);
    }
    extension(start, rest[0], behind, walked + 1)
}
