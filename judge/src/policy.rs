//! `[policy]` and `[[rule]]`, as the configuration's documentation has them.

use ipnetwork::IpNetwork;

/// A policy: what happens to packets from where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policy {
    /// "verdict when no rule matches: pass | drop"
    pub default: PassOrDrop,
    /// "private, link-local, loopback, multicast and unspecified sources: pass | rules"; true: rules.
    pub local_rules: bool,
    /// "packets too short for their own headers: drop | pass"
    pub malformed: PassOrDrop,
    /// "Rules are read top down; the first that matches decides".
    pub rules: Vec<Rule>,
}

/// One of two words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PassOrDrop {
    /// `"pass"`
    Pass,
    /// `"drop"`
    Drop,
}

/// A rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    /// "unique; appears in metrics, events, explanations"
    pub name: String,
    /// Which sources it is about.
    pub source: Source,
    /// Which destinations; "omitted: all".
    pub service: Option<Vec<Service>>,
    /// What happens.
    pub action: Action,
    /// "counts what the rule would have done […] and goes on to the next rule"
    pub observe: bool,
    /// "Before `from` the rule observes"; nanoseconds since 1970.
    pub from: Option<u64>,
    /// "from `until` on it is gone"; nanoseconds since 1970.
    pub until: Option<u64>,
    /// "a duration after `from` over which the share of source addresses that the rule applies to grows evenly";
    /// nanoseconds. Only with `from`.
    pub ramp: Option<u64>,
    /// "for drop, reject and limit: `pass` (default) lets packets of TCP connections and connected UDP sockets that exist
    /// on this host through; `drop` cuts them too"
    pub established: PassOrDrop,
}

/// What a rule does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// `"pass"`
    Pass,
    /// `"drop"`
    Drop,
    /// `"reject"`
    Reject,
    /// `"tag"`: at least one of these.
    Tag {
        /// The skb mark, not 0.
        mark: Option<u32>,
        /// The DSCP, 0..=63.
        dscp: Option<u8>,
    },
    /// `"limit"`
    Limit {
        /// Packets a second.
        rate: u64,
        /// Packets at once.
        burst: u64,
        /// What has a rate of its own.
        per: Per,
    },
}

/// What a limit counts together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Per {
    /// `"source"`
    Source,
    /// `"rule"`
    Rule,
}

/// "keys are ANDed, values within a key ORed"
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Source {
    /// `any = true`
    pub any: bool,
    /// `country`
    pub country: Option<Vec<Place>>,
    /// `not_country`
    pub not_country: Option<Vec<Place>>,
    /// `continent`: codes such as `EU`.
    pub continent: Option<Vec<&'static str>>,
    /// `asn`
    pub asn: Option<Vec<u32>>,
    /// `not_asn`
    pub not_asn: Option<Vec<u32>>,
    /// `cidr`: networks without bits after their prefix length.
    pub cidr: Option<Vec<IpNetwork>>,
    /// `not_cidr`
    pub not_cidr: Option<Vec<IpNetwork>>,
    /// `list`: what each of the files holds.
    pub list: Option<Vec<Vec<IpNetwork>>>,
    /// `anonymous`; `None` in it stands for `"any"`.
    pub anonymous: Option<Vec<Option<Anonymizer>>>,
}

/// A value of `country` and `not_country`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// An ISO 3166-1 alpha-2 code.
    Country(&'static str),
    /// `"unknown"`
    Unknown,
}

/// What an address hides who is behind it by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Anonymizer {
    /// `vpn`
    Vpn,
    /// `tor`
    Tor,
    /// `proxy`
    Proxy,
    /// `residential_proxy`
    ResidentialProxy,
    /// `hosting`
    Hosting,
}

/// "`tcp/PORT`, `udp/PORT`, `PROTO/LOW-HIGH`, `tcp`, `udp`, `icmp`, or an IP protocol number"
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Service {
    /// TCP to these ports.
    Tcp(Ports),
    /// UDP to these ports.
    Udp(Ports),
    /// `icmp`
    Icmp,
    /// An IP protocol's number.
    Protocol(u8),
}

/// Destination ports.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ports {
    /// All of them: the protocol alone is named.
    All,
    /// One.
    One(u16),
    /// From the first to the second, both included.
    Range(u16, u16),
}

impl Default for Policy {
    /// What holds where nothing is written.
    fn default() -> Self {
        Self { default: PassOrDrop::Pass, local_rules: false, malformed: PassOrDrop::Drop, rules: Vec::new() }
    }
}

impl Rule {
    /// A rule with everything left out that may be; its name and its source are yet to be given.
    #[must_use]
    pub fn new(action: Action) -> Self {
        Self {
            name: String::new(),
            source: Source::default(),
            service: None,
            action,
            observe: false,
            from: None,
            until: None,
            ramp: None,
            established: PassOrDrop::Pass,
        }
    }
}

impl From<&'static str> for Place {
    /// Reads a code, or `unknown`.
    fn from(text: &'static str) -> Self {
        if text == "unknown" { Self::Unknown } else { Self::Country(text) }
    }
}
