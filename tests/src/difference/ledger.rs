//! What packets are counted as: one account for what has to be counted, and for what the kernel's program did count.

use std::{collections::BTreeMap, fmt::Write as _};

use octroi::policy::slots::Slots;
use octroi_abi::{Counter, slot};

use super::{Answer, subject::words};

/// Packets and bytes by what happened, where to, in which family and by which rule; and likewise by what would have.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Ledger(BTreeMap<String, (u64, u64)>);

impl Ledger {
    /// A frame of so many bytes.
    pub(super) fn add(&mut self, answer: &Answer, bytes: usize) {
        let Answer { verdict, place, ipv6, leased, observed, .. } = answer;
        let bytes = u64::try_from(bytes).expect("frames are short");
        if KINDS.iter().any(|kind| kind.0 == place) {
            self.count(place.clone(), (1, bytes));
            return;
        }
        self.count(happened(verdict, place, *ipv6, decider(answer.rule.as_deref(), *leased)), (1, bytes));
        for (rule, verdict) in observed {
            self.count(would(verdict, place, *ipv6, rule), (1, bytes));
        }
    }

    /// What the slots say: `counters` are all that have an outcome.
    pub(super) fn of(slots: &Slots, counters: &[Counter]) -> Self {
        let mut ledger = Self::default();
        for (kind, number) in KINDS {
            let Counter { packets, bytes } = counters[number as usize];
            ledger.count(kind.to_owned(), (packets, bytes));
        }
        for (outcome, counts) in slots.totals(|number| counters[number as usize]) {
            let place = outcome.location.as_str();
            for (ipv6, Counter { packets, bytes }) in [false, true].into_iter().zip(counts) {
                if let Some(verdict) = outcome.verdict {
                    let by = decider(outcome.rule.as_deref(), outcome.lease);
                    ledger.count(happened(verdict.as_str(), place, ipv6, by), (packets, bytes));
                }
                for (rule, verdict) in words(&outcome.observed) {
                    ledger.count(would(verdict, place, ipv6, &rule), (packets, bytes));
                }
            }
        }
        ledger
    }

    fn count(&mut self, what: String, (packets, bytes): (u64, u64)) {
        if packets | bytes != 0 {
            let sum = self.0.entry(what).or_default();
            *sum = (sum.0 + packets, sum.1 + bytes);
        }
    }

    /// The accounts in which `found` differs from this one.
    pub(super) fn differences(&self, found: &Self) -> String {
        let mut text = String::new();
        let names: std::collections::BTreeSet<_> = self.0.keys().chain(found.0.keys()).collect();
        for name in names {
            let [expected, found] =
                [self, found].map(|ledger| ledger.0.get(name).copied().unwrap_or_default());
            if expected != found {
                writeln!(text, "{name}: packets and bytes are {found:?}, and have to be {expected:?}")
                    .expect("a string takes all");
            }
        }
        text
    }
}

/// What is no packet for rules.
const KINDS: [(&str, u32); 4] = [
    ("arp", slot::ARP),
    ("non_ip", slot::NON_IP),
    ("neighbour_discovery", slot::NEIGHBOUR_DISCOVERY),
    ("malformed", slot::MALFORMED),
];

fn happened(verdict: &str, place: &str, ipv6: bool, by: &str) -> String {
    format!("{verdict} from {place}, {}, by {by}", family(ipv6))
}

/// What decided: no rule has a space in its name.
fn decider(rule: Option<&str>, leased: bool) -> &str {
    rule.unwrap_or(if leased { "a lease" } else { "the policy" })
}

fn would(verdict: &str, place: &str, ipv6: bool, rule: &str) -> String {
    format!("would_{verdict} from {place}, {}, by {rule}", family(ipv6))
}

const fn family(ipv6: bool) -> &'static str {
    if ipv6 { "IPv6" } else { "IPv4" }
}
