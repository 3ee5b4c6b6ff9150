//! Whether a packet is for a rule's `service`: a protocol, and a range of destination ports.
//!
//! Three answers, because there are packets that do not tell. An unknown one is closed: no rule that passes matches it,
//! every other rule does. So it is never a way round a rule, and never a way in.

use crate::{
    packet::protocol,
    transport::{Transport, Upper},
};

/// What a service asks of a packet, as one number that goes through registers: the protocol's number in bits 0 to 7, how it is
/// known in bits 8 and 9, in bit 10 whether the destination port is known, and that port in the upper 16.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Carried(pub u32);

impl Carried {
    const KNOWN: u32 = 0 << 8;
    const BEHIND: u32 = 1 << 8;
    const UNKNOWN: u32 = 2 << 8;
    const HOW: u32 = 3 << 8;
    const PORT: u32 = 1 << 10;

    /// What a packet carries.
    #[inline(always)]
    #[must_use]
    pub const fn of(transport: &Transport) -> Self {
        let upper = match transport.upper {
            Upper::Known(number) => Self::KNOWN | number as u32,
            Upper::Behind(number) => Self::BEHIND | number as u32,
            Upper::Unknown => Self::UNKNOWN,
        };
        Self(match transport.ports {
            Some(ports) => upper | Self::PORT | (ports.destination as u32) << 16,
            None => upper,
        })
    }
}

/// One entry of a rule's `service`. A rule without that key asks no packet.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Service {
    /// The lowest destination port, in the host's byte order; 0 where all ports are meant.
    pub low: u16,
    /// The highest, itself included; 65535 where all ports are meant.
    pub high: u16,
    /// The IP protocol's number. Of the word `icmp`, a compiler makes two entries: 1 and 58.
    pub protocol: u8,
    /// Always 0.
    pub _pad: [u8; 3],
}

const _: () = assert!(size_of::<Service>() == 8);

/// What a packet says when asked for a service. In this order: what a list of services says is the greatest of what
/// its entries say.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Fit {
    /// It is for something else.
    No,
    /// It does not tell.
    Unknown,
    /// It is for that service.
    Yes,
}

impl Fit {
    /// Whether a rule matches the packet; `passes`: its action, or what it would do if it did not only observe, is to
    /// pass.
    #[inline(always)]
    #[must_use]
    pub const fn matches(self, passes: bool) -> bool {
        match self {
            Self::No => false,
            Self::Unknown => !passes,
            Self::Yes => true,
        }
    }

    /// What two entries of a list say together.
    #[inline(always)]
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        if self as u8 >= other as u8 { self } else { other }
    }
}

impl Service {
    /// A protocol, with all its ports if it has any.
    #[must_use]
    pub const fn whole(protocol: u8) -> Self {
        Self { low: 0, high: u16::MAX, protocol, _pad: [0; 3] }
    }

    /// Destination ports `low..=high` of TCP or UDP, in the host's byte order. For other protocols, ports say nothing.
    #[must_use]
    pub const fn ports(protocol: u8, low: u16, high: u16) -> Self {
        Self { low, high, protocol, _pad: [0; 3] }
    }

    /// What a packet says of it.
    ///
    /// - A protocol that is known and another: no.
    /// - The same protocol, and it has no ports: yes, whatever fragment it is.
    /// - TCP or UDP with a known port: yes or no, by the port.
    /// - TCP or UDP whose ports are not in the packet (a later fragment, a first fragment too short): unknown, also
    ///   where all ports are meant: the contract lets no such packet in, whatever rule of a service would.
    /// - A protocol that cannot be known: unknown. But an IPv6 header that is not walked is a yes for its own number.
    #[inline(always)]
    #[must_use]
    pub const fn fits(&self, carried: Carried) -> Fit {
        let carried = carried.0;
        let same = carried & 0xff == self.protocol as u32;
        match carried & Carried::HOW {
            Carried::KNOWN if same => {}
            Carried::KNOWN => return Fit::No,
            Carried::BEHIND if same => return Fit::Yes,
            _ => return Fit::Unknown,
        }
        if carried & Carried::PORT != 0 {
            let port = carried >> 16;
            return if self.low as u32 <= port && port <= self.high as u32 { Fit::Yes } else { Fit::No };
        }
        if self.protocol == protocol::TCP || self.protocol == protocol::UDP { Fit::Unknown } else { Fit::Yes }
    }
}

#[cfg(test)]
mod tests;
