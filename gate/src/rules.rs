//! Rules that ask the packet or the clock: which of a class's steps decides about a packet.
//!
//! Whatever is the same for all packets of a class was decided in user space. What is left of a policy for this class is a
//! list of steps, in the order of the rules, of which the last one always decides.

use octroi_abi::{DSCP_KEEP, MAX_STEPS, Step, Verdict};

use crate::{
    judge::{Outcome, verdict},
    ramp::Ramp,
    service::{Carried, Fit},
};

/// What is asked of the world around one packet: its generation's steps, the clock, this host's sockets.
pub trait World {
    /// The step of that number; where there is none, one that drops.
    fn step(&self, number: u32) -> Step;
    /// What the packet carries.
    fn carried(&self) -> Carried;
    /// The place of its source in all ramps: [`position`](crate::ramp::position).
    fn place(&self) -> u32;
    /// What the packet says of `count` services from number `first` on.
    fn fits(&self, first: u32, count: u32, carried: Carried) -> Fit;
    /// Now, in nanoseconds since the Unix epoch.
    fn now(&self) -> u64;
    /// Counts the packet in that slot, besides what it is counted as in the end.
    fn observe(&self, slot: u32);
    /// Whether the packet belongs to a connection that exists on this host ([`connection`](crate::connection)).
    fn connected(&self) -> bool;
    /// Takes the packet from the bucket of that limit; whether it was within the rate.
    fn admits(&self, limit: u32) -> bool;
    /// Turns the packet into the answer to it; whether there is one, and it may be sent.
    fn answers(&self) -> bool;
}

/// Which step decides, and what it comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Choice {
    /// The step's number.
    pub step: u32,
    /// What it comes to.
    pub how: How,
}

/// What the step that decides comes to.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    /// To its verdict.
    Verdict = 0,
    /// The packet belongs to a connection, and goes on.
    Connected = 1,
    /// Rejected without an answer: dropped. Limited within the rate: it goes on.
    Otherwise = 2,
}

impl Choice {
    /// As one number: the step in the lower 32 bits.
    #[inline(always)]
    #[must_use]
    pub const fn pack(self) -> u64 {
        self.step as u64 | (self.how as u64) << 32
    }

    /// From [`pack`](Self::pack).
    #[inline(always)]
    #[must_use]
    pub const fn unpack(packed: u64) -> Self {
        let how = match packed >> 32 {
            1 => How::Connected,
            2 => How::Otherwise,
            _ => How::Verdict,
        };
        Self { step: (packed & 0xffff_ffff) as u32, how }
    }

    /// What happens to the packet, with `step` being the step that decides. `family`: 0 for IPv4, 1 for IPv6; `header`:
    /// offset of the IP header, in bytes.
    #[inline(always)]
    #[must_use]
    pub const fn outcome(self, step: &Step, family: u32, header: usize) -> Outcome {
        const LIMIT: u8 = Verdict::Limit as u8;
        let of_step = verdict(step.verdict);
        let (verdict, slot) = match self.how {
            How::Verdict => (of_step, step.slot),
            How::Connected => (Verdict::Pass, step.connected),
            How::Otherwise if step.verdict == LIMIT => (Verdict::Pass, step.otherwise),
            How::Otherwise => (Verdict::Drop, step.otherwise),
        };
        let mark = if matches!(verdict, Verdict::Tag) { step.detail } else { 0 };
        Outcome { verdict, slot: slot + family, mark, dscp: step.dscp, header }
    }
}

/// The first of `count` steps from number `first` on that decides about a packet. Those before it that match and only observe
/// are counted. `family`: 0 for IPv4, 1 for IPv6. Where none decides, which no compiled class has, the packet falls to a step
/// that drops.
#[inline(always)]
pub fn choose<W: World>(world: &W, first: u32, count: u32, family: u32) -> Choice {
    // 0 and the highest number: not asked yet.
    let (mut now, mut place, mut carried) = (0, u32::MAX, Carried(u32::MAX));
    for offset in 0..MAX_STEPS {
        if offset >= count {
            break;
        }
        let number = first.wrapping_add(offset);
        let step = world.step(number);
        let mut observes = step.observes != 0;
        if step.from | step.until != 0 {
            if now == 0 {
                now = world.now();
            }
            if step.until != 0 && now >= step.until {
                continue;
            }
            if now < step.from {
                observes = true;
            } else if step.ramp != 0 {
                if place == u32::MAX {
                    place = world.place();
                }
                observes |= !Ramp { from: step.from, step: step.ramp }.applies(place, now);
            }
        }
        let passes = step.verdict == Verdict::Pass as u8;
        if step.services != 0 {
            if carried.0 == u32::MAX {
                carried = world.carried();
            }
            if !world.fits(step.service, step.services, carried).matches(passes) {
                continue;
            }
        }
        let limits = step.verdict == Verdict::Limit as u8;
        if observes {
            if step.observed != 0 && (!limits || !world.admits(step.detail)) {
                world.observe(step.observed + family);
            }
            continue;
        }
        let how = if step.connected != 0 && world.connected() {
            How::Connected
        } else if limits && world.admits(step.detail)
            || step.verdict == Verdict::Reject as u8 && !world.answers()
        {
            How::Otherwise
        } else {
            How::Verdict
        };
        return Choice { step: number, how };
    }
    Choice { step: u32::MAX, how: How::Verdict }
}

/// The step that stands for one that is not there: a broken list must not open the gate.
pub const UNDEFINED: Step = Step {
    from: 0,
    ramp: 0,
    until: 0,
    slot: octroi_abi::slot::MALFORMED,
    observed: 0,
    connected: 0,
    otherwise: 0,
    service: 0,
    services: 0,
    detail: 0,
    verdict: Verdict::Drop as u8,
    dscp: DSCP_KEEP,
    observes: 0,
    _pad: [0; 9],
};
