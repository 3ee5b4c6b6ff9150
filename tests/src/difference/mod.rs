//! What octroi's engines say about a frame beside what the documents say, in the same words.

use std::fmt::Write as _;

use octroi_judge::{
    Judgement, Location, Moment, World,
    generate::Case,
    packet::{Other, Packet, read},
};

mod ledger;
mod loaded;
mod subject;

pub use loaded::Loaded;
pub use subject::Subject;

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
    /// A lease decided.
    pub leased: bool,
    /// The rules that observed, and what they would have done; by their names.
    pub observed: Vec<(String, &'static str)>,
    /// The mark it goes on with.
    pub mark: Option<u32>,
    /// The DSCP that was written.
    pub dscp: Option<u8>,
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
    let Judgement { verdict, rule, leased, observed, location, mark, dscp } =
        octroi_judge::judge(&case.policy, &case.world, &case.leases, frame, moment);
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
    let mut observed: Vec<_> = observed.into_iter().map(|(rule, verdict)| (rule, word(verdict))).collect();
    observed.sort_unstable();
    Answer {
        verdict: word(verdict),
        place: place.to_owned(),
        ipv6: matches!(packet, Packet::Ip(ip) if ip.source.is_ipv6()),
        rule,
        leased,
        observed,
        mark,
        dscp,
    }
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
    let since = case.since().map_or("any time".to_owned(), |now| format!("{now} and later"));
    let mut text = format!("# compiled for {since}\n{}", printed.toml);
    for (path, list) in &printed.files {
        write!(text, "\n{}:\n{list}", path.display()).expect("a string takes all");
    }
    for (name, csv) in databases(&case.world) {
        write!(text, "\n{name}.csv:\n{csv}").expect("a string takes all");
    }
    for lease in &case.leases {
        write!(text, "\n{lease:?}").expect("a string takes all");
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
    let read = read(frame);
    format!(
        "frame: {hex}\nread as: {read:?}\n{moment:?}\nby the documents: {expected:?}\nby the {engine}: {found:?}"
    )
}
