//! Filling a frame that has been given its size with the answer to what it held.

use super::{HEAD_V4, HEAD_V6, Kind, LEAST_FRAME, Plan, Reset};
use crate::{
    checksum::{Sum, opaque, stretch},
    edit::FrameMut,
    packet::protocol,
};

/// Hop limit, or time to live.
const HOPS: u32 = 64;
/// ICMP destination unreachable, communication administratively prohibited (RFC 1812, 5.2.7.1), checksum 0.
const PROHIBITED_V4: u32 = 0x030d_0000;
/// The same of ICMPv6 (RFC 4443, 3.1).
const PROHIBITED_V6: u32 = 0x0101_0000;

/// Writes the answer that `plan` is for into the frame: the one it was made from, since then grown and cut as it says.
/// `None` where it is not of that size; what is in the frame then is not to be sent.
#[inline(always)]
pub fn write<F: FrameMut + ?Sized>(frame: &mut F, plan: &Plan) -> Option<()> {
    if frame.length() != plan.length {
        return None;
    }
    // Everything is read before anything is written over it: the addresses, then the Ethernet header.
    if plan.v6 { ipv6(frame, plan) } else { ipv4(frame, plan) }
}

#[inline(always)]
fn ipv4<F: FrameMut + ?Sized>(frame: &mut F, plan: &Plan) -> Option<()> {
    let (header, asked) = (opaque(plan.header), opaque(plan.head + plan.header));
    let (source, destination) = (frame.be32(asked + 16)?, frame.be32(asked + 12)?);
    ethernet(frame, plan.head, header)?;
    let (length, number) = match plan.kind {
        Kind::Reset => (40, protocol::TCP),
        Kind::Prohibited => (HEAD_V4 + plan.quoted, protocol::ICMP),
    };
    // RFC 791. Not fragmented, and never to be, so an identification of 0 is right (RFC 6864).
    let start = 0x4500_0000 | (length as u64 & 0xffff) as u32;
    let fragment = 0x4000;
    let hops = HOPS << 24 | (number as u32) << 16;
    let addresses = Sum::ZERO.with(source).with(destination);
    let sum = addresses.with(start).with(fragment).with(hops).checksum();
    frame.put32(header, start)?;
    frame.put32(header + 4, fragment)?;
    frame.put32(header + 8, hops | sum as u32)?;
    frame.put32(header + 12, source)?;
    frame.put32(header + 16, destination)?;
    let at = header + 20;
    match plan.kind {
        Kind::Reset => {
            reset(frame, at, &plan.reset, addresses)?;
            // 2 or 6 bytes. Not "before the frame's length": of that the compiler would make a comparison with the
            // frame's end plus 1, which the verifier does not take.
            for place in [at + 20, at + 22, at + 24] {
                if plan.padded && place < LEAST_FRAME {
                    frame.put16(place, 0)?;
                }
            }
            Some(())
        }
        // ICMP alone has no pseudo header.
        Kind::Prohibited => prohibited(frame, at, PROHIBITED_V4, plan.quoted, Sum::ZERO),
    }
}

#[inline(always)]
fn ipv6<F: FrameMut + ?Sized>(frame: &mut F, plan: &Plan) -> Option<()> {
    let (header, asked) = (opaque(plan.header), opaque(plan.head + plan.header));
    let (source, destination) = (frame.be128(asked + 24)?, frame.be128(asked + 8)?);
    ethernet(frame, plan.head, header)?;
    let (length, number) = match plan.kind {
        Kind::Reset => (20, protocol::TCP),
        Kind::Prohibited => (HEAD_V6 - 40 + plan.quoted, protocol::ICMPV6),
    };
    let length = (length as u64 & 0xffff) as u32;
    let addresses = Sum::ZERO.with64(source.0).with64(source.1).with64(destination.0).with64(destination.1);
    // RFC 8200.
    frame.put32(header, 0x6000_0000)?;
    frame.put32(header + 4, length << 16 | (number as u32) << 8 | HOPS)?;
    frame.put128(header + 8, source)?;
    frame.put128(header + 24, destination)?;
    let at = header + 40;
    match plan.kind {
        Kind::Reset => reset(frame, at, &plan.reset, addresses),
        Kind::Prohibited => {
            let pseudo = addresses.with(length).with(number as u32);
            prohibited(frame, at, PROHIBITED_V6, plan.quoted, pseudo)
        }
    }
}

/// The Ethernet header and the tags that were at `from`, to the frame's beginning, with the MAC addresses changed round.
#[inline(always)]
fn ethernet<F: FrameMut + ?Sized>(frame: &mut F, from: usize, length: usize) -> Option<()> {
    let (from, start) = (opaque(from), opaque(0));
    let to = (frame.be32(from)?, frame.be16(from + 4)?);
    let by = (frame.be16(from + 6)?, frame.be32(from + 8)?);
    let ether_type = frame.be16(from + 12)?;
    let first_tag = if length >= 18 { frame.be32(from + 14)? } else { 0 };
    let second_tag = if length >= 22 { frame.be32(from + 18)? } else { 0 };
    frame.put16(start, by.0)?;
    frame.put32(start + 2, by.1)?;
    frame.put32(start + 6, to.0)?;
    frame.put16(start + 10, to.1)?;
    frame.put16(start + 12, ether_type)?;
    if length >= 18 {
        frame.put32(start + 14, first_tag)?;
    }
    if length >= 22 {
        frame.put32(start + 18, second_tag)?;
    }
    Some(())
}

/// RFC 9293: a header alone, without a window.
#[inline(always)]
fn reset<F: FrameMut + ?Sized>(frame: &mut F, at: usize, reset: &Reset, addresses: Sum) -> Option<()> {
    let Reset { ports, sequence, acknowledgement, flags } = *reset;
    let sum = addresses.with(protocol::TCP as u32).with(20);
    let sum = sum.with(ports).with(sequence).with(acknowledgement).with(flags).checksum();
    frame.put32(at, ports)?;
    frame.put32(at + 4, sequence)?;
    frame.put32(at + 8, acknowledgement)?;
    frame.put32(at + 12, flags)?;
    frame.put32(at + 16, (sum as u32) << 16)
}

/// The ICMP header in front of what is quoted, which has stayed where it was.
#[inline(always)]
fn prohibited<F: FrameMut + ?Sized>(
    frame: &mut F,
    at: usize,
    kind: u32,
    quoted: usize,
    pseudo: Sum,
) -> Option<()> {
    let sum = pseudo.with(kind).and(stretch(frame, at + 8, quoted)?).checksum();
    frame.put32(at, kind | sum as u32)?;
    frame.put32(at + 4, 0)
}
