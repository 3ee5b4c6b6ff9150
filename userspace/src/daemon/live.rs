//! Explaining by what is live, whatever the files hold by now.
//!
//! The daemon keeps no database in memory. It reads the same files again, which it holds open, and is told where their
//! bytes are not the same any more. What it then says is compared, for each address, with what the kernel holds.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Arc, PoisonError},
};

use octroi_gate::corpus::build::udp;

use super::{
    engine::{Engine, Live},
    memory,
};
use crate::{
    Failure,
    lease::Lease,
    policy::{
        explain::{Brief, Explainer, Explanation},
        slots::Outcome,
        walk::{Purpose, Question},
    },
    time,
};

/// How often an explanation starts again because of a reload in between, and a comparison because of the time.
const ATTEMPTS: u32 = 3;
/// How many addresses are compared with what the kernel holds before others may have the gate: some milliseconds' worth.
const CHUNK: usize = 64;
/// How many addresses may be asked about at once.
pub const MOST_BRIEFLY: usize = 4096;
/// The same with all reasons, where each answer may be some kilobytes long.
pub const MOST_WITH_REASONS: usize = 512;
/// How many rules' reasons are in one answer: some 200 bytes each.
const REASONS: usize = 65_536;

impl Engine {
    /// Explains addresses by the live generation, with all reasons: the first of them at least, and so many that the answer
    /// does not get too long.
    ///
    /// # Errors
    /// When there are too many. When a database file was written into since it was loaded, so that nobody can say why any
    /// more; the error has what the kernel holds. When the kernel and the explanation differ.
    pub fn explain_fully(
        &self,
        addresses: &[IpAddr],
        question: Question,
    ) -> Result<Vec<Explanation>, Failure> {
        at_most(MOST_WITH_REASONS, addresses)?;
        let rules = self.live().config.rules.len();
        let some = &addresses[..addresses.len().min((REASONS / rules.max(1)).max(1))];
        self.explain(some, question, |explainer, one, lease| explainer.explain_under(one, lease))
    }

    /// The same of all of them, without the reasons.
    ///
    /// # Errors
    /// As [`explain_fully`](Self::explain_fully).
    pub fn explain_briefly(&self, addresses: &[IpAddr], question: Question) -> Result<Vec<Brief>, Failure> {
        at_most(MOST_BRIEFLY, addresses)?;
        self.explain(addresses, question, |explainer, one, lease| explainer.brief_under(one, lease))
    }

    /// Asks the live generation's own configuration and databases about addresses, and compares them with the kernel.
    ///
    /// # Errors
    /// As [`explain_fully`](Self::explain_fully).
    pub(super) fn explain<T>(
        &self,
        addresses: &[IpAddr],
        question: Question,
        explain: impl Fn(&Explainer<'_>, IpAddr, Option<&Lease>) -> T,
    ) -> Result<Vec<T>, Failure> {
        // Whoever panicked with the lock held left nothing behind it.
        let _alone = self.explaining.lock().unwrap_or_else(PoisonError::into_inner);
        let result = (0..ATTEMPTS).find_map(|_| self.try_explain(addresses, question, &explain).transpose());
        memory::give_back();
        result.unwrap_or_else(|| {
            Err(anyhow::anyhow!(
                "explain by the live generation: a reload came in between, {ATTEMPTS} times over; ask again"
            )
            .into())
        })
    }

    /// `None`: another generation is live by now.
    fn try_explain<T>(
        &self,
        addresses: &[IpAddr],
        question: Question,
        explain: impl Fn(&Explainer<'_>, IpAddr, Option<&Lease>) -> T,
    ) -> Result<Option<Vec<T>>, Failure> {
        let (config, originals, generation) = {
            let live = self.live();
            (Arc::clone(&live.config), Arc::clone(&live.originals), live.generation)
        };
        // Without the lock: it takes a while, and counters are scraped meanwhile.
        let databases = originals.read();
        let explainer = match &databases {
            Ok(databases) => Ok(Explainer::new(&config, databases, question).map_err(Failure::config)?),
            Err(error) => Err(error),
        };
        let explainer = match explainer {
            Ok(explainer) => explainer,
            Err(error) => {
                let mut live = self.live();
                if live.generation != generation {
                    return Ok(None);
                }
                let mut known = String::new();
                if let [address] = addresses {
                    known = format!("; what the kernel holds for {address}: {}", spell(live.held(*address)?));
                }
                return Err(anyhow::anyhow!(
                    "explain by the live generation {generation}: {error}; `octroi reload` loads what is there now{known}"
                )
                .into());
            }
        };
        let mut answers = Vec::with_capacity(addresses.len());
        for chunk in addresses.chunks(CHUNK) {
            let mut leases = Vec::with_capacity(chunk.len());
            {
                let mut live = self.live();
                if live.generation != generation {
                    return Ok(None);
                }
                for &address in chunk {
                    live.compare(&explainer, address)?;
                    leases.push(live.leases.covering(address, question.at).cloned());
                }
            }
            // Whoever waits for the gate has it meanwhile: writing reasons out takes longer than comparing.
            for (&address, lease) in chunk.iter().zip(&leases) {
                answers.push(explain(&explainer, address, lease.as_ref()));
            }
            std::thread::yield_now();
        }
        Ok(Some(answers))
    }
}

fn at_most(most: usize, addresses: &[IpAddr]) -> Result<(), Failure> {
    if addresses.len() <= most {
        return Ok(());
    }
    Err(anyhow::anyhow!(
        "refused: explains {most} addresses at a time, and was asked about {}; ask about fewer, as `octroi explain -` does",
        addresses.len()
    )
    .into())
}

/// What a probe asks: it is a UDP packet to port 443.
fn probe() -> Question {
    Question { service: Some(Purpose::Protocol(17, Some(443))), at: time::now_ns() }
}

impl Live {
    /// Compares what the kernel would count a packet from that source as with what it has to be.
    fn compare(&mut self, explainer: &Explainer<'_>, source: IpAddr) -> Result<(), Failure> {
        let generation = self.generation;
        let mut attempt = 0;
        loop {
            attempt += 1;
            let by_policy = explainer.outcome(source, probe());
            let expected = match self.leases.covering(source, time::now_ns()) {
                Some(lease) => Outcome::of_lease(by_policy.location, lease.action.verdict()),
                None => by_policy,
            };
            let held = self.held(source)?;
            if *held == expected {
                return Ok(());
            }
            // A rule may have taken hold, or ended, in between; a lease, too.
            if attempt == ATTEMPTS {
                return Err(anyhow::anyhow!(
                    "explain {source} by the live generation {generation}: the kernel holds {}, and configuration and \
                     databases say {}; that is a defect of octroi: please report it, and restart the daemon",
                    spell(held),
                    spell(&expected)
                )
                .into());
            }
        }
    }

    /// What the kernel would count a packet from that source as.
    fn held(&mut self, source: IpAddr) -> Result<&Outcome, Failure> {
        let here: IpAddr =
            if source.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
        let probed = self.dataplane.probe(&udp(source, here).frame())?;
        let outcome =
            self.slots.outcome(probed.slot).filter(|outcome| outcome.verdict == Some(probed.verdict));
        outcome.ok_or_else(|| {
            anyhow::anyhow!(
                "explain {source}: the kernel says {} and counts in slot {}, which stands for something else; that is a \
                 defect of octroi: please report it, and restart the daemon",
                probed.verdict.as_str(),
                probed.slot
            )
            .into()
        })
    }
}

fn spell(outcome: &Outcome) -> String {
    let rule = match &outcome.rule {
        _ if outcome.lease => "a lease".into(),
        Some(rule) => format!("rule \"{rule}\""),
        None => "no rule".into(),
    };
    let observed: Vec<&str> = outcome.observed.iter().map(|(rule, _)| rule.as_str()).collect();
    let observed =
        if observed.is_empty() { String::new() } else { format!(", observed by {}", observed.join(", ")) };
    format!(
        "{} by {rule}, country {}{observed}",
        outcome.verdict.map_or("nothing", |verdict| verdict.as_str()),
        outcome.location
    )
}
