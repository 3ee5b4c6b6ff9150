//! A case compiled by octroi, and what the host's engine says by it.

use std::fmt::Write as _;

use octroi::lease::{Action, Lease, Leases};
use octroi_abi::{DSCP_KEEP, Verdict, slot};
use octroi_gate::host::Circumstances;
use octroi_judge::{
    Moment, PassOrDrop,
    generate::Case,
    packet::{Packet, read},
};
use tempfile::TempDir;

use super::{Answer, databases};
use crate::policy::Policy;

/// A case's policy, databases and lists, compiled by octroi; and its leases.
pub struct Subject {
    pub(super) policy: Policy,
    pub(super) leases: Leases,
    /// Holds the databases.
    _folder: TempDir,
}

impl Subject {
    /// Compiles them.
    ///
    /// # Panics
    /// When octroi takes them for invalid.
    #[must_use]
    pub fn new(case: &Case) -> Self {
        let folder = tempfile::tempdir().expect("a folder of our own");
        let path = |name: &str| folder.path().join(name);
        let write = |name: &str, text: &str| {
            std::fs::write(path(name), text).unwrap_or_else(|error| panic!("write {name}: {error}"));
        };
        let mut toml = "[geoip]\n".to_owned();
        for (name, csv) in databases(&case.world) {
            write(name, &csv);
            writeln!(toml, "{name} = {:?}", path(name)).expect("a string takes all");
        }
        let printed = case.policy.print(folder.path());
        for (path, text) in &printed.files {
            std::fs::write(path, text).unwrap_or_else(|error| panic!("write {}: {error}", path.display()));
        }
        let policy = Policy::since(&(toml + &printed.toml), case.since());
        Self { policy, leases: leases(case), _folder: folder }
    }

    /// What the host's engine says.
    #[must_use]
    pub fn host(&self, frame: &[u8], moment: &Moment) -> Answer {
        let Moment { now, established: connected, over } = *moment;
        let lease = match read(frame) {
            Packet::Ip(ip) => self.leases.covering(ip.source, now).map(|lease| lease.action.verdict()),
            _ => None,
        };
        let judged = self.policy.compiled.judge_in(frame, Circumstances { now, connected, over, lease });
        let outcome = judged.outcome;
        let mut answer = Answer {
            mark: (outcome.mark != 0).then_some(outcome.mark),
            dscp: (outcome.dscp != DSCP_KEEP).then_some(outcome.dscp),
            ..self.counted(outcome.verdict, outcome.slot)
        };
        let observed: Vec<_> =
            judged.observed.iter().flat_map(|&number| self.observed(number, &answer)).collect();
        answer.observed.extend(observed);
        answer.observed.sort_unstable();
        answer
    }

    /// What a slot says of the frame that was counted in it at last.
    pub(super) fn counted(&self, verdict: Verdict, number: u32) -> Answer {
        let plain = |place: &str| Answer {
            verdict: verdict.as_str(),
            place: place.to_owned(),
            ipv6: false,
            rule: None,
            leased: false,
            observed: Vec::new(),
            mark: None,
            dscp: None,
        };
        match number {
            slot::ARP => plain("arp"),
            slot::NON_IP => plain("non_ip"),
            slot::NEIGHBOUR_DISCOVERY => plain("neighbour_discovery"),
            slot::MALFORMED => plain("malformed"),
            number => {
                let Some(outcome) = self.policy.slots.outcome(number) else { return plain("nowhere") };
                assert_eq!(outcome.verdict, Some(verdict), "what is counted is what happened");
                Answer {
                    ipv6: is_v6(number),
                    rule: outcome.rule.clone(),
                    leased: outcome.lease,
                    observed: words(&outcome.observed).collect(),
                    ..plain(outcome.location.as_str())
                }
            }
        }
    }

    /// What a slot says of a frame that was counted in it besides.
    fn observed(&self, number: u32, answer: &Answer) -> Vec<(String, &'static str)> {
        let outcome = self.policy.slots.outcome(number).expect("an outcome where steps observe");
        assert_eq!((outcome.verdict, &outcome.rule), (None, &None), "nothing has happened yet");
        let found = (outcome.location.as_str(), is_v6(number));
        assert_eq!(found, (answer.place.as_str(), answer.ipv6), "where one packet comes from");
        words(&outcome.observed).collect()
    }
}

/// A case's leases, as the daemon keeps them.
fn leases(case: &Case) -> Leases {
    let mut leases = Leases::default();
    for lease in &case.leases {
        let text = lease.prefix.to_string();
        let prefix = text.parse().unwrap_or_else(|why| panic!("{text} {why}"));
        let action = match lease.action {
            PassOrDrop::Pass => Action::Pass,
            PassOrDrop::Drop => Action::Drop,
        };
        leases.insert(Lease { prefix, action, since: 0, until: lease.until, reason: None });
    }
    leases
}

/// Each rule that observed, and what it would have done.
pub(super) fn words(observed: &[(String, Verdict)]) -> impl Iterator<Item = (String, &'static str)> {
    observed.iter().map(|(rule, verdict)| (rule.clone(), verdict.as_str()))
}

/// Whether a slot of an outcome is that of IPv6.
const fn is_v6(number: u32) -> bool {
    (number - slot::FIRST_CLASS) % 2 == 1
}
