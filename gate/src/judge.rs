//! The packet's way: headers → class → lease, where there is one → outcome.

use octroi_abi::{Class, DSCP_KEEP, Leased, STEPS, Step, Verdict, slot};

use crate::{
    lease,
    packet::{self, Frame, Packet, Parsed, Source},
    rules::Choice,
};

/// What one generation of a policy knows: the tables, the classes, and what happens to malformed packets.
pub trait Generation {
    /// The number of the class that an IPv4 address belongs to.
    fn class_v4(&self, address: u32) -> u32;
    /// The same for an IPv6 address, given as its halves.
    fn class_v6(&self, high: u64, low: u64) -> u32;
    /// The class with that number; where there is none, a class that drops.
    fn class(&self, number: u32) -> Class;
    /// The step with that number; where there is none, [`rules::UNDEFINED`](crate::rules::UNDEFINED).
    fn step(&self, number: u32) -> Step;
    /// Which step of this class, which has [`STEPS`], decides about this packet: [`rules::choose`](crate::rules::choose).
    fn choose(&self, packet: &Packet, class: &Class) -> Choice;
    /// Whether this packet belongs to a connection of this host: [`connection`](crate::connection).
    fn connected(&self, packet: &Packet) -> bool;
    /// Whether there is any lease, over or not: this alone is asked of every packet.
    fn has_leases(&self) -> bool;
    /// What the leases say of a packet's source: [`lease::decide`](crate::lease::decide).
    fn lease(&self, packet: &Packet) -> Option<Verdict>;
    /// Where packets of the class with that number are counted that a lease decides about; where there is none,
    /// [`lease::UNDEFINED`](crate::lease::UNDEFINED).
    fn leased(&self, number: u32) -> Leased;
    /// `policy.malformed = "pass"`.
    fn malformed_passes(&self) -> bool;
}

/// What happens to a packet, and where it is counted: all that the entry points need to know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// What happens.
    pub verdict: Verdict,
    /// The counter's slot.
    pub slot: u32,
    /// For [`Verdict::Tag`]: the skb mark; 0 for none.
    pub mark: u32,
    /// For [`Verdict::Tag`]: the DSCP to write, 0..=63, or [`DSCP_KEEP`].
    pub dscp: u8,
    /// Offset of the IP header from the frame's start, in bytes; 0 where there is none.
    pub header: usize,
}

/// Judges one frame by one generation.
#[inline(always)]
pub fn judge<F: Frame + ?Sized, G: Generation>(frame: &F, generation: &G) -> Outcome {
    match packet::parse(frame) {
        Parsed::Ip(packet) => {
            let (number, family) = match packet.source {
                Source::V4(address) => (generation.class_v4(address), 0),
                Source::V6 { high, low } => (generation.class_v6(high, low), 1),
            };
            if generation.has_leases()
                && let Some(verdict) = generation.lease(&packet)
            {
                return lease::outcome(verdict, generation.leased(number), family, packet.header);
            }
            let class = generation.class(number);
            if class.verdict == STEPS {
                let choice = generation.choose(&packet, &class);
                return choice.outcome(&generation.step(choice.step), family, packet.header);
            }
            let outcome = Outcome {
                verdict: of_class(class.verdict),
                slot: class.slot + family,
                mark: 0,
                dscp: class.dscp,
                header: packet.header,
            };
            match outcome.verdict {
                Verdict::Drop if class.detail != 0 && generation.connected(&packet) => {
                    Outcome { verdict: Verdict::Pass, slot: class.detail + family, ..outcome }
                }
                Verdict::Tag => Outcome { mark: class.detail, ..outcome },
                _ => outcome,
            }
        }
        Parsed::Malformed if generation.malformed_passes() => without_class(slot::MALFORMED, Verdict::Pass),
        Parsed::Malformed => without_class(slot::MALFORMED, Verdict::Drop),
        Parsed::Arp => without_class(slot::ARP, Verdict::Pass),
        Parsed::NonIp => without_class(slot::NON_IP, Verdict::Pass),
        Parsed::NeighbourDiscovery => without_class(slot::NEIGHBOUR_DISCOVERY, Verdict::Pass),
    }
}

/// The class of packets whose class number nobody defined: a broken table must not open the gate.
pub const UNDEFINED: Class =
    Class { slot: slot::MALFORMED, detail: 0, verdict: Verdict::Drop as u8, dscp: DSCP_KEEP, _pad: [0; 2] };

#[inline(always)]
const fn without_class(slot: u32, verdict: Verdict) -> Outcome {
    Outcome { verdict, slot, mark: 0, dscp: DSCP_KEEP, header: 0 }
}

/// A class without steps passes, drops or tags. To reject or to limit, a packet has to be asked: where a class says so by
/// itself, the packet must not go back as it came.
#[inline(always)]
const fn of_class(number: u8) -> Verdict {
    match verdict(number) {
        Verdict::Reject | Verdict::Limit => Verdict::Drop,
        other => other,
    }
}

#[inline(always)]
pub(crate) const fn verdict(number: u8) -> Verdict {
    const PASS: u8 = Verdict::Pass as u8;
    const TAG: u8 = Verdict::Tag as u8;
    const REJECT: u8 = Verdict::Reject as u8;
    const LIMIT: u8 = Verdict::Limit as u8;
    match number {
        PASS => Verdict::Pass,
        TAG => Verdict::Tag,
        REJECT => Verdict::Reject,
        LIMIT => Verdict::Limit,
        _ => Verdict::Drop,
    }
}

#[cfg(test)]
mod tests;
