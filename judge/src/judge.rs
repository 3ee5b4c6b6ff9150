//! The verdict: rules, read top down.

use crate::{
    Action, Lease, Location, PassOrDrop, Policy, Rule, World,
    answer::is_answered,
    lease::leased,
    matching::matches,
    packet::{self, Ip, Packet, Piece, Protocol, TCP},
    stage::{Stage, stage},
};

/// What happens to a packet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Verdict {
    /// It goes on.
    Pass,
    /// It ends here.
    Drop,
    /// It ends here, and is answered. What is rejected and gets no answer is dropped.
    Reject,
    /// It goes on with a mark, a DSCP, or both.
    Tag,
    /// "the packet was over its rate and dropped"
    Limit,
}

/// What a verdict depends on beside the policy, the databases, the leases and the frame.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Moment {
    /// Nanoseconds since 1970.
    pub now: u64,
    /// Whether this host has a TCP connection or a connected UDP socket with the packet's addresses and ports.
    pub established: bool,
    /// Whether the packet is over the rate of whatever rule limits it, and its answer over that of all answers.
    pub over: bool,
}

/// What has to happen to a packet, and what has to be counted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Judgement {
    /// What happens.
    pub verdict: Verdict,
    /// The rule that decided; `None` where a lease or the policy decided, or nothing was to be decided.
    pub rule: Option<String>,
    /// Whether a lease decided.
    pub leased: bool,
    /// The rules that only observed, in their order, and what each would have done.
    pub observed: Vec<(String, Verdict)>,
    /// Where it comes from; `None` for what has no source for rules.
    pub location: Option<Location>,
    /// The mark it goes on with.
    pub mark: Option<u32>,
    /// The DSCP it goes on with, where that is written.
    pub dscp: Option<u8>,
}

/// Judges a frame.
#[must_use]
pub fn judge(policy: &Policy, world: &World, leases: &[Lease], frame: &[u8], moment: &Moment) -> Judgement {
    let mut judgement = Judgement {
        verdict: Verdict::Pass,
        rule: None,
        leased: false,
        observed: Vec::new(),
        location: None,
        mark: None,
        dscp: None,
    };
    let ip = match packet::read(frame) {
        Packet::Malformed => {
            judgement.verdict = policy.malformed.into();
            return judgement;
        }
        Packet::Other(_) => return judgement,
        Packet::Ip(ip) => ip,
    };
    let facts = world.facts(ip.source);
    judgement.location = Some(facts.location);
    // "Leases come before rules, `policy.default` and `policy.local`, whatever a packet is for."
    if let Some(action) = leased(leases, ip.source, moment.now) {
        (judgement.verdict, judgement.leased) = (action.into(), true);
        return judgement;
    }
    if facts.location == Location::Local && !policy.local_rules {
        return judgement;
    }
    for rule in &policy.rules {
        let stage = stage(rule, ip.source, moment.now);
        if stage == Stage::Gone || !matches(rule, &ip, &facts) {
            continue;
        }
        if stage == Stage::Observes {
            judgement.observed.extend(would(rule, moment).map(|verdict| (rule.name.clone(), verdict)));
            continue;
        }
        judgement.verdict = effect(rule, frame, &ip, moment);
        judgement.rule = Some(rule.name.clone());
        if let Action::Tag { mark, dscp } = rule.action {
            (judgement.mark, judgement.dscp) = (mark, dscp);
        }
        return judgement;
    }
    // "A packet to be dropped only because no rule matched gets the same `established = "pass"` treatment as a rule."
    judgement.verdict = if exists(&ip, moment) { Verdict::Pass } else { policy.default.into() };
    judgement
}

/// What is counted of a rule that observes a packet which it is about. It asks for no connection: had the rule been in force
/// when the connection began, there would be none. Nor for an answer, which nobody is to get. What is within the rate, a limit
/// does nothing to.
fn would(rule: &Rule, moment: &Moment) -> Option<Verdict> {
    match rule.action {
        Action::Pass => Some(Verdict::Pass),
        Action::Drop => Some(Verdict::Drop),
        Action::Reject => Some(Verdict::Reject),
        Action::Tag { .. } => Some(Verdict::Tag),
        Action::Limit { .. } => moment.over.then_some(Verdict::Limit),
    }
}

/// What a rule does to a packet that it is about.
fn effect(rule: &Rule, frame: &[u8], ip: &Ip, moment: &Moment) -> Verdict {
    let spared = rule.established == PassOrDrop::Pass && exists(ip, moment);
    match rule.action {
        Action::Pass => Verdict::Pass,
        Action::Tag { .. } => Verdict::Tag,
        Action::Drop | Action::Reject | Action::Limit { .. } if spared => Verdict::Pass,
        Action::Drop => Verdict::Drop,
        // "both rate-limited, the surplus dropped"
        Action::Reject if is_answered(frame, ip) && !moment.over => Verdict::Reject,
        Action::Reject => Verdict::Drop,
        Action::Limit { .. } if moment.over => Verdict::Limit,
        Action::Limit { .. } => Verdict::Pass,
    }
}

/// "Packets of TCP connections and connected UDP sockets that exist on this host": whole TCP and UDP packets that may be of one.
/// A packet that opens a connection is of none yet; of TCP without flags nobody knows whether it does.
fn exists(ip: &Ip, moment: &Moment) -> bool {
    let told = match ip.protocol {
        Protocol::Known(TCP) => ip.flags.is_some() && !ip.opens,
        _ => ip.port.is_some(),
    };
    moment.established && matches!(ip.piece, Piece::Whole | Piece::Atomic) && told
}

impl From<PassOrDrop> for Verdict {
    fn from(word: PassOrDrop) -> Self {
        match word {
            PassOrDrop::Pass => Self::Pass,
            PassOrDrop::Drop => Self::Drop,
        }
    }
}
