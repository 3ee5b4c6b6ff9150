//! One packet's way through a class's steps, as the gate goes it, for those who explain.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
};

use octroi_abi::{Class, STEPS, Step, Verdict};
use octroi_gate::{
    packet::{Fragment, Source},
    ramp::{Ramp, WHOLE, position},
    rules::{self, Choice, How, World, choose},
    service::{Carried, Fit},
    transport::{Ports, Transport, Upper},
};

use serde::{Deserialize, Serialize};

use super::{
    decide::{Chain, Location},
    slots::Outcome,
    steps::{Planner, TooManySteps},
    window::Window,
};
use crate::{
    config::{Action, Per, Rule},
    lease::Lease,
    time,
};

/// What is asked about packets from an address.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct Question {
    /// What the packet is for; `None`: whatever some rule asks for.
    pub service: Option<Purpose>,
    /// When, in nanoseconds since the Unix epoch.
    pub at: u64,
}

/// What a packet is for.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub enum Purpose {
    /// ICMP, of the source's family.
    Icmp,
    /// The protocol of that number, with the destination port where it has ports.
    Protocol(u8, Option<u16>),
}

/// What becomes of a packet that belongs to no connection, and that comes when every bucket is empty.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Found {
    /// What happens.
    pub(crate) verdict: Verdict,
    /// What it is counted as.
    pub(crate) outcome: Outcome,
    /// Index of the rule that decides.
    pub(crate) rule: Option<usize>,
}

impl Found {
    /// The same under the lease that holds for the packet's source.
    pub(crate) fn under(self, lease: Option<&Lease>) -> Self {
        let Some(lease) = lease else { return self };
        let verdict = lease.action.verdict();
        Self { verdict, outcome: Outcome::of_lease(self.outcome.location, verdict), rule: None }
    }
}

/// Classes and steps of a policy, made where somebody asks for them.
pub(crate) struct Walk<'a> {
    planner: Planner<'a>,
    classes: HashMap<(Location, Chain), Class>,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(config: &'a crate::config::Config) -> Result<Self, TooManySteps> {
        Ok(Self { planner: Planner::new(config, None)?, classes: HashMap::new() })
    }

    pub(crate) fn windows(&self) -> &[Window] {
        self.planner.windows()
    }

    /// What becomes of a packet from an address at that location which meets that chain.
    ///
    /// # Panics
    /// When the chain is longer than fits, which compiling the same policy found out before.
    pub(crate) fn find(
        &mut self,
        address: IpAddr,
        location: Location,
        chain: Chain,
        question: Question,
    ) -> Found {
        let last = chain.rules.last().copied();
        let key = (location, chain);
        let class = match self.classes.get(&key) {
            Some(&class) => class,
            None => {
                let class = self.planner.class(location, &key.1);
                let class = class.unwrap_or_else(|error| panic!("{error}"));
                self.classes.insert(key, class);
                class
            }
        };
        if class.verdict != STEPS {
            let outcome = self.outcome(class.slot);
            let rule = outcome.rule.is_some().then_some(last).flatten();
            return Found { verdict: decided(&outcome), outcome, rule };
        }
        let asked = Asked { planner: &self.planner, address, question };
        let choice = choose(&asked, class.slot, class.detail, class.dscp);
        let step = asked.step(choice.step);
        debug_assert!(choice.how != How::Connected, "nobody said so");
        let outcome = self.outcome(choice.outcome(&step, 0, 0).slot);
        Found { verdict: decided(&outcome), outcome, rule: self.planner.rules[choice.step as usize] }
    }

    /// The outcome of that number, from 1.
    fn outcome(&self, number: u32) -> Outcome {
        self.planner.outcomes[number as usize - 1].clone()
    }
}

/// What happens to a packet that is counted so; only outcomes of observing rules have none.
fn decided(outcome: &Outcome) -> Verdict {
    outcome.verdict.unwrap_or(Verdict::Drop)
}

/// The same for steps.
struct Asked<'a> {
    planner: &'a Planner<'a>,
    address: IpAddr,
    question: Question,
}

impl World for Asked<'_> {
    fn step(&self, number: u32) -> Step {
        self.planner.steps.get(number as usize).copied().unwrap_or(octroi_gate::rules::UNDEFINED)
    }

    fn carried(&self) -> Carried {
        self.question.carried(self.address)
    }

    fn place(&self) -> u32 {
        position(source(self.address))
    }

    fn fits(&self, first: u32, count: u32, carried: Carried) -> Fit {
        if self.question.service.is_none() {
            return Fit::Yes;
        }
        let services = &self.planner.services[first as usize..][..count as usize];
        services.iter().fold(Fit::No, |fit, service| fit.or(service.fits(carried)))
    }

    fn now(&self) -> u64 {
        self.question.at
    }

    fn observe(&self, _slot: u32) {}

    fn connected(&self) -> bool {
        false
    }

    fn admits(&self, _limit: u32) -> bool {
        false
    }

    fn some(&self, first: u32, count: u32, asked: rules::Asked) -> Option<Choice> {
        rules::some(self, first, count, asked)
    }

    fn answers(&self) -> bool {
        true
    }
}

impl Question {
    /// Now, whatever the packet is for.
    #[must_use]
    pub fn now() -> Self {
        Self { service: None, at: time::now_ns() }
    }

    /// What a packet from that address carries that is for that; of none where nobody asked for one.
    const fn carried(&self, source: IpAddr) -> Carried {
        const ICMP: u8 = 1;
        const ICMPV6: u8 = 58;
        let v6 = source.is_ipv6();
        let (number, port) = match self.service {
            Some(Purpose::Icmp) => (if v6 { ICMPV6 } else { ICMP }, None),
            Some(Purpose::Protocol(number, port)) => (number, port),
            None => (0, None),
        };
        let ports = match port {
            Some(destination) => Some(Ports { source: 0, destination }),
            None => None,
        };
        let upper = if v6 { Upper::of_ipv6(number) } else { Upper::Known(number) };
        Carried::of(&Transport { upper, ports, fragment: Fragment::None, at: 0, end: 0, length: 0 })
    }

    /// Why a rule does not match packets from an address that its source has; `None` where it does.
    pub(crate) fn mismatch(&self, rule: &Rule, source: IpAddr) -> Option<String> {
        if let Some(until) = rule.until.filter(|&until| until <= self.at) {
            return Some(format!("it ended at {}", time::text_ns(until)));
        }
        let services = rule.service.as_ref()?;
        self.service?;
        let carried = self.carried(source);
        let fit = services.entries.iter().fold(Fit::No, |fit, service| fit.or(service.fits(carried)));
        let passes = matches!(rule.action, Action::Pass);
        (!fit.matches(passes)).then(|| format!("it is for {} only", services.typed.join(", ")))
    }

    /// What to say of the rule that decides.
    pub(crate) fn decides(&self, rule: &Rule) -> String {
        let mut text = String::from("matches, and decides");
        if let (Some(services), None) = (&rule.service, self.service) {
            text += &format!(" about {}", services.typed.join(", "));
        }
        if let Action::Limit(limit) = &rule.action {
            let per = if limit.per == Per::Source { " from a source" } else { "" };
            text +=
                &format!(": up to {} packets a second{per} pass, and what is above is dropped", limit.rate);
        }
        if rule.established {
            text += "; packets of connections that exist go on";
        }
        if let Some(until) = rule.until {
            text += &format!("; it ends at {}", time::text_ns(until));
        }
        text
    }

    /// What to say of a rule that matches and does not decide, though none above it did.
    pub(crate) fn observes(&self, rule: &Rule) -> String {
        match rule.from {
            _ if rule.observe => "matches; it only observes".to_owned(),
            Some(from) if self.at < from => {
                format!("matches; it only observes until {}", time::text_ns(from))
            }
            Some(from) => {
                let share = Ramp::new(from, rule.ramp).share(self.at);
                let (whole, rest) = (share * 100 / WHOLE, share % 100);
                format!("matches; this source is not among the {whole}.{rest:02} % that it applies to so far")
            }
            None => "matches; it only observes".to_owned(),
        }
    }
}

/// An address as the gate has it.
fn source(address: IpAddr) -> Source {
    match address {
        IpAddr::V4(address) => Source::V4(Ipv4Addr::to_bits(address)),
        IpAddr::V6(address) => {
            let half = |bits: u128| u64::try_from(bits & u128::from(u64::MAX)).expect("64 bits");
            Source::V6 { high: half(address.to_bits() >> 64), low: half(address.to_bits()) }
        }
    }
}
