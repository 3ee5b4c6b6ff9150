//! A token bucket in one word, for rules that limit and for answers to rejected packets.
//!
//! It is the generic cell rate algorithm in the form of virtual scheduling (ITU-T I.371): the word says at which point
//! of the limit's own clock the bucket will be full again. That clock counts what the rate has granted since time 0, in
//! 256ths of a packet, so no rate is rounded and nothing drifts: a rate of 3 a second grants 3 in every second, for
//! years.
//!
//! Where N packets are let through within T seconds, N < burst + rate × T + 1/256. Whoever stays within burst and rate
//! is never limited.

/// What one packet takes from a bucket, in the clock's units.
const PACKET: u64 = 256;
/// Nanoseconds in a second.
const SECOND: u64 = 1_000_000_000;
/// How often [`admit`] tries to write what it decided.
const TRIES: u32 = 8;

/// A rate and a burst. A bucket's word counts in units of the rate: it belongs to one rate, and under another it may stand for
/// an empty bucket for a while, or a full one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limit {
    /// Packets a second, 1..=[`MAX_RATE`](Self::MAX_RATE).
    rate: u64,
    /// What the bucket holds, in 256ths of a packet: at least one packet.
    capacity: u64,
}

/// What became of a packet, and of the bucket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Taken {
    /// The bucket's word after it; mostly the same as before where the packet was not let through.
    pub state: u64,
    /// Whether the packet was within the limit.
    pub allowed: bool,
}

impl Limit {
    /// The highest rate: up to it, the clock needs 228 years to overflow.
    pub const MAX_RATE: u32 = 10_000_000;

    /// At most `rate` packets a second, and `burst` at once. A rate is brought into 1..=[`MAX_RATE`](Self::MAX_RATE), a
    /// burst is at least 1: whoever reads a configuration says so there.
    #[inline(always)]
    #[must_use]
    pub const fn new(rate: u32, burst: u32) -> Self {
        let rate = match rate {
            0 => 1,
            1..=Self::MAX_RATE => rate,
            _ => Self::MAX_RATE,
        };
        let burst = if burst == 0 { 1 } else { burst };
        Self { rate: rate as u64, capacity: burst as u64 * PACKET }
    }

    /// One packet at `now`: nanoseconds of a clock that does not go back, as the kernel's monotonic and boot-time ones.
    ///
    /// A bucket begins as 0, which is full. A clock that is a little behind (another CPU's) finds less in the bucket,
    /// never more. A word that lies more than a second beyond what this limit can have written (the rate was another, or
    /// the clock another) counts as an empty bucket, so that it heals at the rate instead of closing for long.
    #[inline(always)]
    #[must_use]
    pub const fn take(&self, state: u64, now: u64) -> Taken {
        let clock = self.clock(now);
        let full_at = if state > clock { state } else { clock };
        // How much is missing from the bucket.
        let missing = full_at - clock;
        if missing <= self.capacity - PACKET {
            return Taken { state: full_at.wrapping_add(PACKET), allowed: true };
        }
        let foreign = missing > self.capacity + self.rate * PACKET;
        Taken { state: if foreign { clock.wrapping_add(self.capacity) } else { state }, allowed: false }
    }

    /// What the rate has granted from time 0 to `now` (ns), in 256ths of a packet, rounded down.
    #[inline(always)]
    const fn clock(&self, now: u64) -> u64 {
        // 256/10^9, reduced.
        const PER_UNIT: u64 = SECOND / PACKET;
        let seconds = now / SECOND;
        let rest = now - seconds * SECOND;
        // The first product is below 2^64 for 228 years at the highest rate; the second is below 10^16.
        seconds.wrapping_mul(self.rate * PACKET).wrapping_add(rest * self.rate / PER_UNIT)
    }
}

const _: () = assert!(SECOND.is_multiple_of(PACKET));

/// Where a bucket's word is, shared with other CPUs.
pub trait Word {
    /// The word as it is now.
    fn load(&self) -> u64;
    /// Writes `new` where the word is still `old`; what it was in either case.
    ///
    /// A kernel before 5.12 has no instruction for it. A plain store there loses what another CPU took at the same
    /// moment: the limit is then exceeded by up to a packet for each CPU that collides.
    fn compare_exchange(&self, old: u64, new: u64) -> u64;
}

/// Takes one packet from a bucket that other CPUs use as well; whether it was within the limit.
///
/// Who is over the limit writes nothing, so a flood costs no other CPU its cache line. Who loses the race for the word
/// eight times in a row counts as over the limit: it fails closed.
#[inline(always)]
#[must_use]
pub fn admit<W: Word>(word: &W, limit: &Limit, now: u64) -> bool {
    let mut state = word.load();
    for _ in 0..TRIES {
        let taken = limit.take(state, now);
        if taken.state == state {
            return taken.allowed;
        }
        let found = word.compare_exchange(state, taken.state);
        if found == state {
            return taken.allowed;
        }
        state = found;
    }
    false
}

#[cfg(test)]
mod tests;
