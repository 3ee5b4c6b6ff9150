//! Rules that ask the packet or the clock: which of a class's steps decides about a packet.
//!
//! Whatever is the same for all packets of a class was decided in user space. What is left of a policy for this class is a
//! list of steps, in the order of the rules, of which the last one always decides.

use octroi_abi::{DSCP_KEEP, MAX_STEPS, STEPS_AT_ONCE, Step, Verdict, asks};

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
    /// Counts the packet in that slot (of IPv4; the one after it is IPv6's), besides what it is counted as in the end.
    fn observe(&self, slot: u32);
    /// Whether the packet belongs to a connection that exists on this host ([`connection`](crate::connection)).
    fn connected(&self) -> bool;
    /// Takes the packet from the bucket of that limit; whether it was within the rate.
    fn admits(&self, limit: u32) -> bool;
    /// [`some`] of the steps: a part that stands for itself in the kernel.
    fn some(&self, first: u32, count: u32, asked: Asked) -> Option<Choice>;
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

/// What the steps of a class ask for, found out once; 0 where none of them asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asked {
    /// The time, in nanoseconds since the Unix epoch.
    pub now: u64,
    /// The source's place in all ramps: [`position`](crate::ramp::position).
    pub place: u32,
    /// What the packet carries.
    pub carried: Carried,
}

/// Which of `count` steps from number `first` on decides about a packet; `asks` is what they ask for. Those before it that
/// match and only observe are counted. Where none decides, which no compiled class has, it is a step that is not there, and
/// drops.
#[inline(always)]
pub fn choose<W: World>(world: &W, first: u32, count: u32, asks: u8) -> Choice {
    let asked = Asked {
        now: if asks & asks::TIME != 0 { world.now() } else { 0 },
        place: if asks & asks::PLACE != 0 { world.place() } else { 0 },
        carried: if asks & asks::SERVICE != 0 { world.carried() } else { Carried(0) },
    };
    for part in 0..MAX_STEPS / STEPS_AT_ONCE {
        let done = part * STEPS_AT_ONCE;
        if done >= count {
            break;
        }
        if let Some(choice) = world.some(first.wrapping_add(done), count - done, asked) {
            return choice;
        }
    }
    Choice { step: u32::MAX, how: How::Verdict }
}

/// The same for the first [`STEPS_AT_ONCE`] of the steps; `None` where none of these decides.
#[inline(always)]
pub fn some<W: World>(world: &W, first: u32, count: u32, asked: Asked) -> Option<Choice> {
    for offset in 0..STEPS_AT_ONCE {
        if offset >= count {
            break;
        }
        let number = first.wrapping_add(offset);
        let step = world.step(number);
        if let Some(how) = one(world, &step, asked) {
            return Some(Choice { step: number, how });
        }
    }
    None
}

/// What one step comes to; `None` where it does not decide.
#[inline(always)]
fn one<W: World>(world: &W, step: &Step, asked: Asked) -> Option<How> {
    let Asked { now, place, carried } = asked;
    if step.until != 0 && now >= step.until {
        return None;
    }
    let ramp = Ramp { from: step.from, step: step.ramp };
    let observes = step.observes != 0 || step.from != 0 && !ramp.applies(place, now);
    let passes = step.verdict == Verdict::Pass as u8;
    if step.services != 0 && !world.fits(step.service, step.services, carried).matches(passes) {
        return None;
    }
    let limits = step.verdict == Verdict::Limit as u8;
    if observes {
        if step.observed != 0 && (!limits || !world.admits(step.detail)) {
            world.observe(step.observed);
        }
        return None;
    }
    if step.connected != 0 && world.connected() {
        return Some(How::Connected);
    }
    let rejects = step.verdict == Verdict::Reject as u8;
    if limits && world.admits(step.detail) || rejects && !world.answers() {
        return Some(How::Otherwise);
    }
    Some(How::Verdict)
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

#[cfg(test)]
mod tests;
