//! Rules of a service that cut what comes back to this host's own clients.

use std::ops::RangeInclusive;

use octroi_gate::service::Service;

use super::{Surroundings, surroundings::CLIENT_PORTS, time};
use crate::config::{Action, Rule};

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// Rules that drop or reject a service by which answers come back, too.
///
/// Whoever names a service means what this host offers. But a rule looks at where a packet goes, and answers to what this
/// host asked go to the port that it asked from: a rule about `tcp/8000-65535` or `udp` cuts them from the same sources.
///
/// - TCP: connections that exist are let through, unless `established = "drop"`. Only then is there a warning.
/// - UDP: `established = "pass"` knows connected sockets. Resolvers and others that ask many from one socket have none, so
///   there is a warning either way.
/// - ICMP has no sockets. What comes back are answers to pings, and what routers on the way say about this host's own packets:
///   without "too big" (path MTU discovery, RFC 1191 and RFC 8201), connections to such sources hang. There is always a
///   warning.
///
/// A rule without `service` gets no warning: it is about whole countries and networks, and says so; a warning that every
/// such policy has would be read by nobody. Neither do rules that only observe or are over, which cut nothing, or those that
/// limit, which let answers through at a rate that the operator chose.
pub(super) fn cut(rules: &[Rule], here: &Surroundings) -> Vec<String> {
    let cutting = rules.iter().filter(|rule| {
        matches!(rule.action, Action::Drop | Action::Reject)
            && !rule.observe
            && !time::is_over(rule, here.now)
    });
    cutting.flat_map(|rule| of_rule(rule, &here.client_ports)).collect()
}

fn of_rule(rule: &Rule, client_ports: &RangeInclusive<u16>) -> Vec<String> {
    let Some(services) = &rule.service else { return Vec::new() };
    let entries = &services.entries;
    let name = &rule.name;
    let does = if rule.action == Action::Reject { "rejects" } else { "drops" };
    let mut warnings = Vec::new();
    let (tcp, udp) = (shared(entries, TCP, client_ports), shared(entries, UDP, client_ports));
    let (low, high) = (client_ports.start(), client_ports.end());
    if !rule.established && (tcp || udp) {
        let what = match (tcp, udp) {
            (true, true) => "TCP and UDP",
            (true, false) => "TCP",
            _ => "UDP",
        };
        warnings.push(format!(
            "rule {name:?} {does} answers to this host's own connections: they come to {what} ports {low} to {high} \
             ({CLIENT_PORTS}), which its service names, and established = \"drop\" excepts none; name only the ports that this \
             host offers, or take established = \"drop\" out"
        ));
    } else if udp {
        warnings.push(format!(
            "rule {name:?} {does} answers to questions that this host asks from UDP sockets which are not connected, as those of \
             resolvers: they come to ports {low} to {high} ({CLIENT_PORTS}), which its service names, and established = \
             \"pass\" knows connected sockets only; name only the ports that this host offers, or pass those whom it asks in a \
             rule above"
        ));
    }
    if entries.iter().any(|entry| matches!(entry.protocol, ICMP | ICMPV6)) {
        warnings.push(format!(
            "rule {name:?} {does} ICMP, which belongs to no socket, so that established = \"pass\" excepts none of it: answers \
             to this host's own pings, and what routers say of packets that are too big, without which its connections to such \
             sources may hang; take ICMP out, or give it a rule of its own with action = \"limit\""
        ));
    }
    warnings
}

/// Whether a service of that protocol has ports that clients talk from.
fn shared(entries: &[Service], protocol: u8, client_ports: &RangeInclusive<u16>) -> bool {
    let of_protocol = entries.iter().filter(|entry| entry.protocol == protocol);
    of_protocol
        .into_iter()
        .any(|entry| entry.low <= *client_ports.end() && *client_ports.start() <= entry.high)
}
