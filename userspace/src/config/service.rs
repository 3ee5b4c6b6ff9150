//! A rule's `service`: what the packets are for that the rule is about.

use octroi_abi::MAX_SERVICES;
use octroi_gate::service::Service;

use super::error::{Problems, quoted};
use super::key::nearest;
use super::read::{At, Field, Number};

/// The services of a rule: as typed, and what they stand for; never empty, and no more than [`MAX_SERVICES`]. A packet that is for any of them matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Services {
    /// As typed, each once: `tcp/443`, `icmp`, `47`.
    pub typed: Vec<String>,
    /// What that stands for, each once; `icmp` is two of them, ICMP and ICMPv6.
    pub entries: Vec<Service>,
}

const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// All that may be typed.
const FORMS: &str =
    "\"tcp/443\", \"udp/8000-8100\", \"tcp\", \"udp\", \"icmp\", or an IP protocol number such as 47";

/// Reports what is wrong with the list; the result counts only where nothing was reported.
pub(super) fn check(field: &Field<Vec<At<Number>>>, problems: &mut Problems<'_>) -> Option<Services> {
    let mut services = Services { typed: Vec::new(), entries: Vec::new() };
    let list = field.given()?;
    for At { value, span } in &list.value {
        let (typed, read) = match value {
            Number::Value(number) => (number.to_string(), protocol(*number)),
            Number::Name(text) => (text.clone(), parse(text)),
        };
        match read {
            Ok(entries) => {
                for entry in entries {
                    if !services.entries.contains(&entry) {
                        services.entries.push(entry);
                    }
                }
                if !services.typed.contains(&typed) {
                    services.typed.push(typed);
                }
            }
            Err(why) => {
                let shown = if matches!(value, Number::Value(_)) { typed } else { quoted(&typed) };
                problems.report(span, format!("service {shown} {why}"));
            }
        }
    }
    let count = services.entries.len();
    if count > MAX_SERVICES as usize {
        problems.report(
            &list.span,
            format!(
                "{count} services, and a rule takes {MAX_SERVICES}; bring ports together as ranges, or divide the rule"
            ),
        );
    }
    Some(services)
}

/// What `text` stands for, or what is wrong with it.
fn parse(text: &str) -> Result<Vec<Service>, String> {
    let lower = text.to_ascii_lowercase();
    if let Some((protocol, ports)) = lower.split_once('/') {
        let number = match protocol {
            "tcp" => TCP,
            "udp" => UDP,
            "icmp" => return Err("has a port, and ICMP has none; write \"icmp\"".to_owned()),
            _ => return Err(unknown(&lower)),
        };
        let (low, high) = range(ports).map_err(|fault| fault.explain(protocol, &lower))?;
        return Ok(vec![Service::ports(number, low, high)]);
    }
    match lower.as_str() {
        "tcp" => Ok(vec![Service::whole(TCP)]),
        "udp" => Ok(vec![Service::whole(UDP)]),
        "icmp" => Ok(vec![Service::whole(ICMP), Service::whole(ICMPV6)]),
        digits if is_number(digits) => protocol(digits.parse().unwrap_or(i128::MAX)),
        _ => Err(unknown(&lower)),
    }
}

/// The protocol of that number.
///
/// Refused are the IPv6 extension headers 0, 43, 44 and 60. A packet is for what follows them, so such a rule would match
/// nothing in IPv6, and whoever types 44 to be rid of fragments would believe that it does; IPv4 does not use the numbers.
/// 51 (AH) is a protocol of IPv4, and taken as that, though in IPv6 too a packet is for what follows it.
fn protocol(number: i128) -> Result<Vec<Service>, String> {
    let Ok(protocol) = u8::try_from(number) else {
        let hint = match u16::try_from(number) {
            Ok(port) => format!("; for a port, write \"tcp/{port}\" or \"udp/{port}\""),
            Err(_) => String::new(),
        };
        return Err(format!("is not an IP protocol number, which are 0 to 255{hint}"));
    };
    match protocol {
        0 | 43 | 44 | 60 => Err(
            "is the number of an IPv6 extension header, and packets are for the protocol that follows it: the rule \
             would match nothing; name that protocol"
                .to_owned(),
        ),
        // Spelled as a number, ICMP is that of one family, as in every other tool.
        other => Ok(vec![Service::whole(other)]),
    }
}

/// What is wrong with the part after the slash.
enum Fault {
    Empty,
    /// Not PORT and not LOW-HIGH.
    Form,
    /// Not 1 to 65535.
    Range(String),
    /// The first port is above the last.
    Order(u16, u16),
}

impl Fault {
    fn explain(self, protocol: &str, typed: &str) -> String {
        match self {
            Self::Empty => format!("has no port; for all of them, write {protocol:?}"),
            Self::Form => unknown(typed),
            Self::Range(port) if port.bytes().all(|digit| digit == b'0') => {
                "has port 0, which no service has; ports are 1 to 65535".to_owned()
            }
            Self::Range(port) => format!("has port {port}, and ports are 1 to 65535"),
            Self::Order(low, high) => {
                format!("is a range whose first port is above its last; write \"{protocol}/{high}-{low}\"")
            }
        }
    }
}

/// First and last port of `PORT` or `LOW-HIGH`.
fn range(ports: &str) -> Result<(u16, u16), Fault> {
    if ports.is_empty() {
        return Err(Fault::Empty);
    }
    let (low, high) = ports.split_once('-').unwrap_or((ports, ports));
    let (low, high) = (port(low)?, port(high)?);
    if low > high { Err(Fault::Order(low, high)) } else { Ok((low, high)) }
}

fn port(digits: &str) -> Result<u16, Fault> {
    if !is_number(digits) {
        return Err(Fault::Form);
    }
    digits.parse().ok().filter(|&port| port > 0).ok_or_else(|| Fault::Range(quoted(digits).replace('"', "")))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// What to say about a text of another form: what it may have been, or all forms.
fn unknown(typed: &str) -> String {
    match meant(typed) {
        Some(meant) => format!("is unknown; did you mean {meant:?}?"),
        None => format!("is unknown; expected {FORMS}"),
    }
}

/// The form that `typed` is close to.
fn meant(typed: &str) -> Option<String> {
    if matches!(typed, "icmpv6" | "icmp6" | "ipv6-icmp") {
        // The word stands for both families.
        return Some("icmp".to_owned());
    }
    let compact: String = typed.chars().filter(|c| !c.is_whitespace()).collect();
    let (first, second) = match compact.split_once(['/', ':']) {
        Some((first, second)) if is_number(first) => match first {
            "6" => ("tcp", second),
            "17" => ("udp", second),
            // 443/tcp
            ports => (second, ports),
        },
        Some(parts) => parts,
        None => (compact.as_str(), ""),
    };
    let protocol = nearest(first, ["tcp", "udp", "icmp"].into_iter())?;
    let meant = if second.is_empty() { protocol.to_owned() } else { format!("{protocol}/{second}") };
    (meant != typed && parse(&meant).is_ok()).then_some(meant)
}
