//! A generation in user space: the same bytes that the kernel gets, read by the same code.

use std::{cell::RefCell, vec::Vec};

use octroi_abi::{Class, Constants, Leased, Limit, STEPS, Step, TABLE_PAD, Verdict};

use crate::{
    connection,
    judge::{self, Generation, Outcome, judge},
    lease,
    packet::{Packet, Parsed, Source, parse},
    ramp::position,
    reject,
    rules::{self, Asked, Choice, World, choose, some},
    service::{Carried, Fit, Service},
    table::{self, Bytes, builder::Tables},
    transport::transport,
};

/// A compiled policy as bytes: what is loaded into the kernel, and what `--engine host` judges by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Compiled {
    /// Both table images.
    pub tables: Tables,
    /// What happens to each class, by its number.
    pub classes: Vec<Class>,
    /// What classes with [`STEPS`] go through.
    pub steps: Vec<Step>,
    /// What steps ask for.
    pub services: Vec<Service>,
    /// Rates; the first is that of answers to rejected packets. Empty where no rule limits or rejects.
    pub limits: Vec<Limit>,
    /// Where packets are counted that a lease decides about, by class number; where a class has none,
    /// [`lease::UNDEFINED`].
    pub leased: Vec<Leased>,
    /// `policy.malformed = "pass"`.
    pub malformed_passes: bool,
}

/// What a packet meets that is not in it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Circumstances {
    /// The time, in nanoseconds since the Unix epoch.
    pub now: u64,
    /// A packet that can belong to a connection does.
    pub connected: bool,
    /// Every bucket is empty: limits are exceeded, and nothing more is answered.
    pub over: bool,
    /// What the lease says that covers the source; `None`: there is none.
    pub lease: Option<Verdict>,
}

/// What became of a packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Judged {
    /// What happens to it.
    pub outcome: Outcome,
    /// Where else it was counted: by steps that only observed.
    pub observed: Vec<u32>,
}

impl Compiled {
    /// Judges a frame as the kernel would, where circumstances are these.
    #[must_use]
    pub fn judge_in(&self, frame: &[u8], circumstances: Circumstances) -> Judged {
        let around = Around { compiled: self, frame, circumstances, observed: RefCell::default() };
        let outcome = judge(frame, &around);
        Judged { outcome, observed: around.observed.into_inner() }
    }

    /// Judges a frame at the beginning of 1970, when nothing is connected and no bucket is empty: for policies that ask for
    /// nothing of that.
    #[must_use]
    pub fn judge(&self, frame: &[u8]) -> Outcome {
        self.judge_in(frame, Circumstances::default()).outcome
    }

    /// The number of the class that an IPv4 address belongs to.
    #[must_use]
    pub fn class_v4(&self, address: u32) -> u32 {
        table::class_v4(&self.image(&self.tables.v4), self.tables.roots.v4, address)
    }

    /// The same for an IPv6 address, given as its halves.
    #[must_use]
    pub fn class_v6(&self, high: u64, low: u64) -> u32 {
        table::class_v6(&self.image(&self.tables.v6), &self.tables.roots.v6, high, low)
    }

    /// The class with that number; where there is none, one that drops.
    #[must_use]
    pub fn class(&self, number: u32) -> Class {
        self.classes.get(number as usize).copied().unwrap_or(judge::UNDEFINED)
    }

    fn image<'a>(&self, image: &'a [u8]) -> Bytes<'a> {
        Bytes { image, wide: self.tables.wide }
    }

    /// The constants that go with these tables; no metadata, marks or trace decided yet beyond what classes say.
    #[must_use]
    pub fn constants(&self) -> Constants {
        let limit = |image: &[u8]| u32::try_from(image.len()).unwrap_or(u32::MAX) - TABLE_PAD;
        let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let roots = &self.tables.roots;
        Constants {
            root_v4: roots.v4,
            root_v6: roots.v6.global,
            other_v6: roots.v6.other,
            divided_v6: roots.v6.divided,
            wide: u32::from(self.tables.wide),
            limit_v4: limit(&self.tables.v4),
            limit_v6: limit(&self.tables.v6),
            last_class: count(self.classes.len()).saturating_sub(1),
            steps: count(self.steps.len()),
            services: count(self.services.len()),
            limits: count(self.limits.len()),
            rejects: u32::from(self.steps.iter().any(|step| step.verdict == Verdict::Reject as u8)),
            parts: 0,
            malformed_pass: u32::from(self.malformed_passes),
            marks: u32::from(self.marks()),
            no_metadata: 0,
            alone: 0,
            trace: 0,
        }
    }

    /// Whether anything sets a mark.
    #[must_use]
    pub fn marks(&self) -> bool {
        let tags = |verdict, mark| verdict == Verdict::Tag as u8 && mark != 0;
        self.classes.iter().any(|class| tags(class.verdict, class.detail))
            || self.steps.iter().any(|step| tags(step.verdict, step.detail))
    }

    /// The slots that packets of a class can be counted in as what decided about them, IPv4's, each once.
    #[must_use]
    pub fn slots(&self, class: &Class) -> Vec<u32> {
        let mut slots = if class.verdict == STEPS {
            let steps = &self.steps[class.slot as usize..][..class.detail as usize];
            steps.iter().flat_map(|step| [step.slot, step.connected, step.otherwise]).collect()
        } else if class.verdict == Verdict::Drop as u8 {
            std::vec![class.slot, class.detail]
        } else {
            std::vec![class.slot]
        };
        slots.retain(|&slot| slot != 0);
        slots.sort_unstable();
        slots.dedup();
        slots
    }
}

/// One frame, and what is around it.
struct Around<'a> {
    compiled: &'a Compiled,
    frame: &'a [u8],
    circumstances: Circumstances,
    observed: RefCell<Vec<u32>>,
}

impl Around<'_> {
    /// The packet in the frame; there is one wherever rules are asked.
    fn packet(&self) -> Option<Packet> {
        match parse(self.frame) {
            Parsed::Ip(packet) => Some(packet),
            _ => None,
        }
    }
}

impl Generation for Around<'_> {
    fn class_v4(&self, address: u32) -> u32 {
        self.compiled.class_v4(address)
    }

    fn class_v6(&self, high: u64, low: u64) -> u32 {
        self.compiled.class_v6(high, low)
    }

    fn class(&self, number: u32) -> Class {
        self.compiled.class(number)
    }

    fn step(&self, number: u32) -> Step {
        self.compiled.steps.get(number as usize).copied().unwrap_or(rules::UNDEFINED)
    }

    fn choose(&self, _: &Packet, class: &Class) -> Choice {
        choose(self, class.slot, class.detail, class.dscp)
    }

    fn connected(&self, packet: &Packet) -> bool {
        let transport = transport(self.frame, packet);
        self.circumstances.connected && connection::tuple(self.frame, packet, &transport).is_some()
    }

    fn has_leases(&self) -> bool {
        self.circumstances.lease.is_some()
    }

    fn lease(&self, _packet: &Packet) -> Option<Verdict> {
        self.circumstances.lease
    }

    fn leased(&self, number: u32) -> Leased {
        self.compiled.leased.get(number as usize).copied().unwrap_or(lease::UNDEFINED)
    }

    fn malformed_passes(&self) -> bool {
        self.compiled.malformed_passes
    }
}

impl World for Around<'_> {
    fn step(&self, number: u32) -> Step {
        Generation::step(self, number)
    }

    fn carried(&self) -> Carried {
        self.packet().map_or(Carried(0), |packet| Carried::of(&transport(self.frame, &packet)))
    }

    fn place(&self) -> u32 {
        self.packet().map_or(0, |packet| position(packet.source))
    }

    fn fits(&self, first: u32, count: u32, carried: Carried) -> Fit {
        let services = self.compiled.services.get(first as usize..).unwrap_or_default();
        services.iter().take(count as usize).fold(Fit::No, |fit, service| fit.or(service.fits(carried)))
    }

    fn now(&self) -> u64 {
        self.circumstances.now
    }

    fn observe(&self, slot: u32) {
        let v6 = self.packet().is_some_and(|packet| matches!(packet.source, Source::V6 { .. }));
        self.observed.borrow_mut().push(slot + u32::from(v6));
    }

    fn connected(&self) -> bool {
        self.packet().is_some_and(|packet| Generation::connected(self, &packet))
    }

    fn admits(&self, _limit: u32) -> bool {
        !self.circumstances.over
    }

    fn some(&self, first: u32, count: u32, asked: Asked) -> Option<Choice> {
        some(self, first, count, asked)
    }

    fn answers(&self) -> bool {
        !self.circumstances.over && reject::answer(self.frame).is_some()
    }
}
