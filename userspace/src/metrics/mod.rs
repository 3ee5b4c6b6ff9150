//! Prometheus: counters read from the kernel at scrape time, and what the daemon knows about itself.

pub mod server;

use std::collections::BTreeMap;

use octroi_abi::{Counter, Verdict};
use prometheus::{
    Encoder, TextEncoder,
    proto::{self, MetricFamily, MetricType},
};

use crate::{
    daemon::status::Status,
    policy::{
        LIST,
        slots::{Outcome, Slots},
    },
};

/// Totals over outcomes, as metrics and `status` show them.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Totals {
    /// By country label, family label and verdict.
    pub sources: BTreeMap<(String, &'static str, &'static str), Counter>,
    /// By rule and verdict, or `would_` and the verdict.
    pub rules: BTreeMap<(String, &'static str), Counter>,
    /// Those of the sources that leases decided about, by verdict.
    pub leases: BTreeMap<&'static str, Counter>,
}

/// The word for what an observing rule would have done.
#[must_use]
pub const fn would(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "would_pass",
        Verdict::Drop => "would_drop",
        Verdict::Tag => "would_tag",
        Verdict::Reject => "would_reject",
        Verdict::Limit => "would_limit",
    }
}

impl Totals {
    /// Adds up every slot; `read` reads a counter.
    #[must_use]
    pub fn new(slots: &Slots, read: impl Fn(u32) -> Counter) -> Self {
        let mut totals = Self::default();
        for (outcome, counts) in slots.totals(read) {
            totals.add(outcome, counts);
        }
        totals
    }

    fn add(&mut self, outcome: &Outcome, counts: [Counter; 2]) {
        for (family, count) in ["ipv4", "ipv6"].into_iter().zip(counts) {
            if count.packets == 0 {
                continue;
            }
            if let Some(verdict) = outcome.verdict {
                let key = (outcome.location.to_string(), family, verdict.as_str());
                add(self.sources.entry(key).or_default(), count);
                if outcome.lease {
                    add(self.leases.entry(verdict.as_str()).or_default(), count);
                }
                if let Some(rule) = &outcome.rule {
                    add(self.rules.entry((rule.clone(), verdict.as_str())).or_default(), count);
                }
            }
            for (rule, verdict) in &outcome.observed {
                add(self.rules.entry((rule.clone(), would(*verdict))).or_default(), count);
            }
        }
    }
}

const fn add(total: &mut Counter, more: Counter) {
    total.packets += more.packets;
    total.bytes += more.bytes;
}

/// All metrics as Prometheus' text format.
#[must_use]
pub fn render(status: &Status, totals: &Totals, other: &[(&'static str, Counter)]) -> String {
    let families: Vec<MetricFamily> = families(status, totals, other)
        .into_iter()
        .filter(|family| !family.get_metric().is_empty())
        .collect();
    let mut text = Vec::new();
    // Only a family without metrics or a failing writer could make this fail.
    if let Err(error) = TextEncoder::new().encode(&families, &mut text) {
        tracing::error!(%error, "encode metrics");
    }
    String::from_utf8(text).unwrap_or_default()
}

fn families(status: &Status, totals: &Totals, other: &[(&'static str, Counter)]) -> Vec<MetricFamily> {
    let mut totals = totals.clone();
    // A rule's first packet must not be lost to increase(), nor a lease's: the series is there from the beginning.
    for rule in &status.rules {
        let verdict = Verdict::ALL.into_iter().find(|verdict| verdict.as_str() == rule.action);
        if let Some(verdict) = verdict {
            let verdict = if rule.stage == "observe" { would(verdict) } else { verdict.as_str() };
            totals.rules.entry((rule.name.clone(), verdict)).or_default();
        }
    }
    for verdict in [Verdict::Pass, Verdict::Drop] {
        totals.leases.entry(verdict.as_str()).or_default();
    }
    let mut families = traffic(&totals, other);
    families.extend(databases(status));
    let tables = &status.tables;
    families.extend([
        gauge(
            "octroi_interface_info",
            "Filtered interfaces, and how the program is attached to each.",
            status
                .interfaces
                .iter()
                .filter(|one| one.attached)
                .map(|one| (vec![("interface", &*one.name), ("mode", &*one.mode)], 1.0)),
        ),
        gauge(
            "octroi_interfaces_awaited",
            "Names and globs of interfaces in the configuration that no interface here has.",
            [(vec![], status.awaited.len() as f64)],
        ),
        gauge(
            "octroi_table_bytes",
            "Size of the live lookup table in bytes.",
            [("ipv4", tables.ipv4.bytes), ("ipv6", tables.ipv6.bytes)]
                .map(|(family, bytes)| (vec![("family", family)], bytes as f64)),
        ),
        gauge(
            "octroi_table_intervals",
            "Intervals of addresses of one class in the live lookup table.",
            [("ipv4", tables.ipv4.intervals), ("ipv6", tables.ipv6.intervals)]
                .map(|(family, intervals)| (vec![("family", family)], intervals as f64)),
        ),
        gauge(
            "octroi_rule_stage",
            "The stage that each rule is in; 1 for the current one.",
            status.rules.iter().map(|rule| (vec![("rule", &*rule.name), ("stage", &*rule.stage)], 1.0)),
        ),
        gauge(
            "octroi_rule_next_change_timestamp_seconds",
            "When a rule's stage changes next; rules that stay as they are have none.",
            status
                .rules
                .iter()
                .filter_map(|rule| Some((vec![("rule", &*rule.name)], rule.next_change_seconds? as f64))),
        ),
        gauge(
            "octroi_generation",
            "Number of the live generation, from 1.",
            [(vec![], status.generation as f64)],
        ),
        gauge(
            "octroi_config_last_reload_successful",
            "Whether the last reload succeeded.",
            [(vec![], f64::from(u8::from(status.last_reload.result == "success")))],
        ),
        gauge(
            "octroi_last_reload_success_timestamp_seconds",
            "When the live generation was loaded.",
            [(vec![], status.last_success as f64)],
        ),
        gauge(
            "octroi_pending_confirmation_timestamp_seconds",
            "When the live policy goes unless somebody confirms it; one that stays has none.",
            status.pending_confirmation.iter().map(|pending| (vec![], pending.until_seconds as f64)),
        ),
        gauge(
            "octroi_fallback",
            "Whether the last good policy runs, since the configured one could not be loaded.",
            [(vec![], f64::from(u8::from(status.fallback.is_some())))],
        ),
        gauge(
            "octroi_config_ignored",
            "Whether the configured file does not count: another policy was confirmed, or it was not, or was gone back from.",
            [(vec![], f64::from(u8::from(status.ignored.is_some())))],
        ),
        counter(
            "octroi_reloads_total",
            "Reloads by result; the first load counts.",
            [("success", status.reloads.success), ("failure", status.reloads.failure)]
                .map(|(result, count)| (vec![("result", result)], count as f64)),
        ),
        gauge(
            "octroi_build_info",
            "Version and source revision of the daemon.",
            [(vec![("version", &*status.version), ("revision", &*status.revision)], 1.0)],
        ),
    ]);
    families
}

fn traffic(totals: &Totals, other: &[(&'static str, Counter)]) -> Vec<MetricFamily> {
    let sources = |value: fn(&Counter) -> u64| {
        totals.sources.iter().map(move |((country, family, verdict), count)| {
            (vec![("country", &**country), ("family", *family), ("verdict", *verdict)], value(count) as f64)
        })
    };
    let rules = |value: fn(&Counter) -> u64| {
        totals.rules.iter().map(move |((rule, verdict), count)| {
            (vec![("rule", &**rule), ("verdict", *verdict)], value(count) as f64)
        })
    };
    vec![
        counter("octroi_packets_total", "IP packets by source country and verdict.", sources(|c| c.packets)),
        counter(
            "octroi_bytes_total",
            "Bytes of those packets, Ethernet header included.",
            sources(|c| c.bytes),
        ),
        counter(
            "octroi_rule_packets_total",
            "Packets that a rule decided, or would have.",
            rules(|c| c.packets),
        ),
        counter(
            "octroi_rule_bytes_total",
            "Bytes of those packets, Ethernet header included.",
            rules(|c| c.bytes),
        ),
        counter(
            "octroi_lease_packets_total",
            "Packets that a lease decided; they are among octroi_packets_total.",
            totals.leases.iter().map(|(verdict, count)| (vec![("verdict", *verdict)], count.packets as f64)),
        ),
        counter(
            "octroi_other_packets_total",
            "Frames that no rule is asked about.",
            other.iter().map(|(kind, count)| (vec![("kind", *kind)], count.packets as f64)),
        ),
    ]
}

fn databases(status: &Status) -> [MetricFamily; 3] {
    let built = status.databases.iter().map(|one| (vec![("database", &*one.kind)], one.built_seconds as f64));
    let networks = status.databases.iter().flat_map(|one| {
        [("ipv4", one.networks.ipv4), ("ipv6", one.networks.ipv6)]
            .map(|(family, count)| (vec![("database", &*one.kind), ("family", family)], count as f64))
    });
    [
        gauge("octroi_geoip_build_timestamp_seconds", "When each database was built.", built),
        gauge("octroi_geoip_networks", "Networks in each database.", networks),
        gauge(
            "octroi_geoip_held",
            "Whether a newer file of a database, or of a list, is held: it differs too much from the one that runs, has lost too much of it, or would lock out whoever is logged in.",
            status.databases.iter().map(|one| &*one.kind).chain([LIST]).map(|kind| {
                let held = status.held.iter().any(|held| held.database == kind);
                (vec![("database", kind)], f64::from(u8::from(held)))
            }),
        ),
    ]
}

type Labels<'a> = Vec<(&'a str, &'a str)>;

fn counter<'a>(name: &str, help: &str, values: impl IntoIterator<Item = (Labels<'a>, f64)>) -> MetricFamily {
    family(name, help, MetricType::COUNTER, values)
}

fn gauge<'a>(name: &str, help: &str, values: impl IntoIterator<Item = (Labels<'a>, f64)>) -> MetricFamily {
    family(name, help, MetricType::GAUGE, values)
}

fn family<'a>(
    name: &str,
    help: &str,
    kind: MetricType,
    values: impl IntoIterator<Item = (Labels<'a>, f64)>,
) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    for (labels, value) in values {
        let mut metric = proto::Metric::default();
        metric.set_label(labels.into_iter().map(label).collect());
        if kind == MetricType::COUNTER {
            let mut counter = proto::Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = proto::Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        family.mut_metric().push(metric);
    }
    family
}

fn label((name, value): (&str, &str)) -> proto::LabelPair {
    let mut pair = proto::LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}
