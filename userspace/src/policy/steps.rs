//! Chains of rules → classes: one decision for every packet where that will do, else steps for the gate to go through.

use std::collections::HashMap;

use octroi_abi::{Class, DSCP_KEEP, Leased, Limit, MAX_STEPS, STEPS, STEPS_SPACE, Step, Verdict, asks};
use octroi_gate::{ramp::Ramp, reject, service::Service};

use super::{
    decide::{Chain, Location, Rest, verdict_of},
    slots::Outcome,
    window::Window,
};
use crate::config::{Action, Config, DefaultVerdict, Per, Rule};

/// A policy asks more of single packets than the gate can be told.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TooManySteps {
    /// Too many rules with conditions concern the same sources.
    #[error(
        "{steps} rules that ask for a service or the time concern the same sources ({location}), and {MAX_STEPS} fit: \
         bring services together in one rule"
    )]
    Steps {
        /// How many.
        steps: usize,
        /// Where these sources are.
        location: Location,
    },
    /// Too many in all.
    #[error(
        "the rules that ask for a service or the time make {steps} steps over all countries and networks, and {STEPS_SPACE} \
         fit: use fewer of them, or over fewer countries"
    )]
    All {
        /// How many.
        steps: usize,
    },
}

/// Makes classes of chains. Slots in what it makes are numbers of outcomes, from 1; 0 stands for none.
pub(crate) struct Planner<'a> {
    config: &'a Config,
    windows: Vec<Window>,
    /// For each rule, number and count of its services.
    of_rules: Vec<(u32, u32)>,
    /// For each rule, the number of its limit.
    limits_of: Vec<u32>,
    pub(crate) services: Vec<Service>,
    pub(crate) limits: Vec<Limit>,
    pub(crate) steps: Vec<Step>,
    /// For each step, the rule that it stands for.
    pub(crate) rules: Vec<Option<usize>>,
    pub(crate) outcomes: Vec<Outcome>,
    numbers: HashMap<Outcome, u32>,
}

impl<'a> Planner<'a> {
    /// `now`: see [`Window::of`].
    pub(crate) fn new(config: &'a Config, now: Option<u64>) -> Result<Self, TooManySteps> {
        let mut services = Vec::new();
        let mut of_rules = Vec::with_capacity(config.rules.len());
        for rule in &config.rules {
            let own = rule.service.as_ref().map(|services| services.entries.as_slice()).unwrap_or_default();
            of_rules.push((number(services.len()), number(own.len())));
            services.extend_from_slice(own);
        }
        let answers =
            config.rules.iter().any(|rule| matches!(rule.action, Action::Reject | Action::Limit(_)));
        let mut limits: Vec<Limit> = answers.then_some(reject::RATE).into_iter().collect();
        let limits_of = config.rules.iter().map(|rule| match rule.action {
            Action::Limit(limit) => {
                let per_source = u32::from(limit.per == Per::Source);
                limits.push(Limit { rate: limit.rate, burst: limit.burst, per_source, ..Limit::default() });
                number(limits.len() - 1)
            }
            _ => 0,
        });
        let limits_of = limits_of.collect();
        Ok(Self {
            config,
            windows: config.rules.iter().map(|rule| Window::of(rule, now)).collect(),
            of_rules,
            limits_of,
            services,
            limits,
            steps: Vec::new(),
            rules: Vec::new(),
            outcomes: Vec::new(),
            numbers: HashMap::new(),
        })
    }

    /// What is left of the rules' times.
    pub(crate) fn windows(&self) -> &[Window] {
        &self.windows
    }

    /// The class of sources at that location which meet that chain.
    pub(crate) fn class(&mut self, location: Location, chain: &Chain) -> Result<Class, TooManySteps> {
        let first = self.steps.len();
        // Rules that observe every packet: they are part of what packets are counted as, whatever becomes of these.
        let mut above: Vec<(String, Verdict)> = Vec::new();
        let (conditional, last) = match (chain.rest, chain.rules.split_last()) {
            (Rest::Nothing, Some((&last, others))) => (others, Some(last)),
            _ => (chain.rules.as_slice(), None),
        };
        for &index in conditional {
            let rule = &self.config.rules[index];
            if rule.observe
                && rule.service.is_none()
                && self.windows[index] == Window::Always
                && !matches!(rule.action, Action::Limit(_))
            {
                above.push((rule.name.clone(), verdict_of(&rule.action)));
            } else {
                let step = self.step(location, index, &above);
                self.push(step, Some(index));
            }
        }
        let end = match (last, chain.rest) {
            (Some(index), _) => self.step(location, index, &above),
            (None, rest) => self.rest(location, rest, above),
        };
        let simple = matches!(
            last.map(|index| &self.config.rules[index].action),
            None | Some(Action::Pass | Action::Drop | Action::Tag { .. })
        );
        if simple && self.steps.len() == first {
            let detail = if end.verdict == Verdict::Tag as u8 { end.detail } else { end.connected };
            return Ok(Class { slot: end.slot, detail, verdict: end.verdict, dscp: end.dscp, _pad: [0; 2] });
        }
        self.push(end, last);
        let count = self.steps.len() - first;
        if count > MAX_STEPS as usize {
            return Err(TooManySteps::Steps { steps: count, location });
        }
        if self.steps.len() > STEPS_SPACE as usize {
            return Err(TooManySteps::All { steps: self.steps.len() });
        }
        let asks = self.steps[first..].iter().fold(0, |asks, step| asks | asked(step));
        Ok(Class { slot: number(first), detail: number(count), verdict: STEPS, dscp: asks, _pad: [0; 2] })
    }

    /// Where packets from sources at that location are counted that a lease decides about.
    pub(crate) fn leased(&mut self, location: Location) -> Leased {
        let mut of = |verdict| self.outcome(Outcome::of_lease(location, verdict));
        Leased { pass: of(Verdict::Pass), drop: of(Verdict::Drop) }
    }

    fn push(&mut self, step: Step, rule: Option<usize>) {
        self.steps.push(step);
        self.rules.push(rule);
    }

    /// One rule's step.
    fn step(&mut self, location: Location, index: usize, above: &[(String, Verdict)]) -> Step {
        let rule = &self.config.rules[index];
        let verdict = verdict_of(&rule.action);
        let (service, services) = self.of_rules[index];
        let (from, ramp, until) = match self.windows[index] {
            Window::Timed { from, ramp, until } => (from, Ramp::new(from, ramp).step, until),
            Window::Always | Window::Gone => (0, 0, 0),
        };
        let observes = rule.observe || from != 0;
        let decides = |verdict| Outcome {
            location,
            verdict: Some(verdict),
            rule: Some(rule.name.clone()),
            observed: above.to_vec(),
            lease: false,
        };
        let observed = Outcome {
            location,
            verdict: None,
            rule: None,
            observed: vec![(rule.name.clone(), verdict)],
            lease: false,
        };
        let otherwise = match rule.action {
            Action::Limit(_) => Some(Verdict::Pass),
            Action::Reject => Some(Verdict::Drop),
            Action::Pass | Action::Drop | Action::Tag { .. } => None,
        };
        let (mark, dscp) = tag(rule);
        let detail = if matches!(rule.action, Action::Limit(_)) { self.limits_of[index] } else { mark };
        Step {
            from,
            ramp,
            until,
            slot: if rule.observe { 0 } else { self.outcome(decides(verdict)) },
            observed: if observes { self.outcome(observed) } else { 0 },
            connected: if rule.established && !rule.observe {
                self.outcome(decides(Verdict::Pass))
            } else {
                0
            },
            otherwise: match otherwise {
                Some(verdict) if !rule.observe => self.outcome(decides(verdict)),
                _ => 0,
            },
            service,
            services,
            detail,
            verdict: verdict as u8,
            dscp,
            observes: u8::from(rule.observe),
            _pad: [0; 9],
        }
    }

    /// What happens where no rule decides.
    fn rest(&mut self, location: Location, rest: Rest, above: Vec<(String, Verdict)>) -> Step {
        let verdict = match (rest, self.config.policy.default) {
            (Rest::Local, _) | (_, DefaultVerdict::Pass) => Verdict::Pass,
            (_, DefaultVerdict::Drop) => Verdict::Drop,
        };
        let decides = |verdict| Outcome {
            location,
            verdict: Some(verdict),
            rule: None,
            observed: above.clone(),
            lease: false,
        };
        let slot = self.outcome(decides(verdict));
        let connected = if verdict == Verdict::Drop { self.outcome(decides(Verdict::Pass)) } else { 0 };
        Step { slot, connected, verdict: verdict as u8, dscp: DSCP_KEEP, ..Step::default() }
    }

    /// The number of an outcome, from 1.
    fn outcome(&mut self, outcome: Outcome) -> u32 {
        if let Some(&number) = self.numbers.get(&outcome) {
            return number;
        }
        self.outcomes.push(outcome.clone());
        let number = number(self.outcomes.len());
        self.numbers.insert(outcome, number);
        number
    }
}

/// What a step asks for: bits of [`asks`].
const fn asked(step: &Step) -> u8 {
    let time = if step.from | step.until != 0 { asks::TIME } else { 0 };
    let place = if step.ramp != 0 { asks::PLACE } else { 0 };
    let service = if step.services != 0 { asks::SERVICE } else { 0 };
    time | place | service
}

/// Mark and DSCP of a rule that tags.
fn tag(rule: &Rule) -> (u32, u8) {
    match rule.action {
        Action::Tag { mark, dscp } => (mark.map_or(0, Into::into), dscp.unwrap_or(DSCP_KEEP)),
        _ => (0, DSCP_KEEP),
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).expect("fewer than 2^32 rules, services, steps and outcomes")
}
