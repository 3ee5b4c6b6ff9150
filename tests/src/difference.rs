//! What octroi's engines say about a frame beside what the documents say, in the same words.

use std::{fmt::Write as _, mem::offset_of};

use octroi_abi::{DSCP_KEEP, METADATA_MAGIC, Metadata, Verdict, slot};
use octroi_judge::{
    Judgement, Location, Moment, World,
    generate::Case,
    packet::{Other, Packet, read},
};
use tempfile::TempDir;

use crate::policy::{Kernel, Policy};

/// All that is decided about a frame, and all that is counted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// What happens.
    pub verdict: &'static str,
    /// Where it comes from, or what it is instead of a packet for rules.
    pub place: String,
    /// Counted as IPv6; false for what is no packet for rules.
    pub ipv6: bool,
    /// The rule that decided.
    pub rule: Option<String>,
    /// The rules that observed, and what they would have done.
    pub observed: Vec<(String, &'static str)>,
    /// The mark it goes on with.
    pub mark: Option<u32>,
    /// The DSCP that was written.
    pub dscp: Option<u8>,
}

/// A case's policy and databases, compiled by octroi.
pub struct Subject {
    policy: Policy,
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
        Self { policy: Policy::new(&(toml + &printed.toml)), _folder: folder }
    }

    /// The same bytes in the kernel.
    #[must_use]
    pub fn in_kernel(&self) -> Kernel {
        self.policy.in_kernel()
    }

    /// What the host's engine says.
    #[must_use]
    pub fn host(&self, frame: &[u8]) -> Answer {
        let outcome = self.policy.compiled.judge(frame);
        Answer {
            mark: (outcome.mark != 0).then_some(outcome.mark),
            dscp: (outcome.dscp != DSCP_KEEP).then_some(outcome.dscp),
            ..self.counted(outcome.verdict, outcome.slot)
        }
    }

    /// What the kernel's program says. `kernel` has to be of this policy.
    pub fn kernel(&self, kernel: &mut Kernel, frame: &[u8]) -> Answer {
        let (judged, after) = kernel.judge(frame);
        // A test run gives metadata back in front of the frame.
        let (metadata, after) = after.split_at(after.len() - frame.len());
        let word = |at: usize| metadata.get(at..at + 4)?.first_chunk().map(|word| u32::from_ne_bytes(*word));
        let mark = word(offset_of!(Metadata, mark));
        assert_eq!(
            word(offset_of!(Metadata, magic)),
            mark.map(|_| METADATA_MAGIC),
            "what is in front of a frame"
        );
        // Nobody can tell a DSCP that was not written from one that was there before.
        let dscp = (after != frame).then(|| dscp(after)).flatten();
        Answer { mark, dscp, ..self.counted(judged.verdict, judged.slot) }
    }

    fn counted(&self, verdict: Verdict, number: u32) -> Answer {
        let plain = |place: &str| Answer {
            verdict: verdict.as_str(),
            place: place.to_owned(),
            ipv6: false,
            rule: None,
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
                    ipv6: (number - slot::FIRST_CLASS) % 2 == 1,
                    rule: outcome.rule.clone(),
                    observed: outcome
                        .observed
                        .iter()
                        .map(|(rule, verdict)| (rule.clone(), verdict.as_str()))
                        .collect(),
                    ..plain(outcome.location.as_str())
                }
            }
        }
    }
}

/// What the documents say.
#[must_use]
pub fn expected(case: &Case, frame: &[u8], moment: &Moment) -> Answer {
    use octroi_judge::Verdict as V;
    let word = |verdict| match verdict {
        V::Pass => "pass",
        V::Drop => "drop",
        V::Reject => "reject",
        V::Tag => "tag",
        V::Limit => "limit",
    };
    let Judgement { verdict, rule, observed, location, mark, dscp } =
        octroi_judge::judge(&case.policy, &case.world, frame, moment);
    let packet = read(frame);
    let place = match (location, packet) {
        (Some(Location::Local), _) => "local",
        (Some(Location::Unknown), _) => "unknown",
        (Some(Location::Country(code)), _) => code,
        (None, Packet::Malformed) => "malformed",
        (None, Packet::Other(Other::Arp)) => "arp",
        (None, Packet::Other(Other::NonIp)) => "non_ip",
        (None, Packet::Other(Other::NeighbourDiscovery)) => "neighbour_discovery",
        (None, Packet::Ip(_)) => "nowhere",
    };
    Answer {
        verdict: word(verdict),
        place: place.to_owned(),
        ipv6: matches!(packet, Packet::Ip(ip) if ip.source.is_ipv6()),
        rule,
        observed: observed.into_iter().map(|(rule, verdict)| (rule, word(verdict))).collect(),
        mark,
        dscp,
    }
}

/// What the kernel's program has to show: a DSCP only where the frame had another.
#[must_use]
pub fn as_the_kernel_tells(answer: Answer, frame: &[u8]) -> Answer {
    let dscp = answer.dscp.filter(|&written| dscp(frame) != Some(written));
    Answer { dscp, ..answer }
}

/// The DSCP in a frame's IP header.
fn dscp(frame: &[u8]) -> Option<u8> {
    let Packet::Ip(ip) = read(frame) else { return None };
    let start = u16::from_be_bytes([frame[ip.header], frame[ip.header + 1]]);
    let traffic_class = if ip.source.is_ipv6() { start >> 4 } else { start };
    Some(u8::try_from(traffic_class >> 2 & 0x3f).expect("six bits"))
}

/// A world's databases: the key of `[geoip]`, and CSV. One without rows is none.
fn databases(world: &World) -> Vec<(&'static str, String)> {
    let mut databases = vec![("country", world.countries_csv()), ("asn", world.asns_csv())];
    if !world.anonymous.is_empty() {
        databases.push(("anonymous", world.anonymous_csv()));
    }
    databases
}

/// A case for whoever has to find out what is wrong.
#[must_use]
pub fn describe(case: &Case) -> String {
    let printed = case.policy.print(std::path::Path::new("."));
    let mut text = printed.toml;
    for (path, list) in &printed.files {
        write!(text, "\n{}:\n{list}", path.display()).expect("a string takes all");
    }
    for (name, csv) in databases(&case.world) {
        write!(text, "\n{name}.csv:\n{csv}").expect("a string takes all");
    }
    text
}

/// Two answers about one frame.
#[must_use]
pub fn disagreement(
    frame: &[u8],
    moment: &Moment,
    engine: &str,
    found: &Answer,
    expected: &Answer,
) -> String {
    let hex: String = frame.iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "frame: {hex}\nread as: {:?}\n{moment:?}\nby the documents: {expected:?}\nby the {engine}: {found:?}",
        read(frame)
    )
}
