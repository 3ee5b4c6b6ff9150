//! What was typed: the file's keys and values, with their types and positions, before anybody judges them.

use toml::{de::DeTable, value::Datetime};

use super::error::{Problems, quoted};
use super::read::{At, Field, Number, Table};

/// The whole file.
#[derive(Debug)]
pub(super) struct RawConfig {
    pub(super) interfaces: Field<Vec<At<String>>>,
    pub(super) mode: Field<String>,
    pub(super) geoip: RawGeoIp,
    pub(super) policy: RawPolicy,
    /// `metrics.listen`.
    pub(super) listen: Field<String>,
    pub(super) control: RawControl,
    pub(super) rules: Vec<At<RawRule>>,
}

/// `[geoip]`.
#[derive(Debug)]
pub(super) struct RawGeoIp {
    pub(super) country: Field<String>,
    pub(super) asn: Field<String>,
    pub(super) anonymous: Field<String>,
    pub(super) follow: Field<bool>,
    pub(super) max_change: Field<Number>,
}

/// `[policy]`.
#[derive(Debug)]
pub(super) struct RawPolicy {
    pub(super) default: Field<String>,
    pub(super) local: Field<String>,
    pub(super) malformed: Field<String>,
}

/// `[control]`.
#[derive(Debug)]
pub(super) struct RawControl {
    pub(super) socket: Field<String>,
    pub(super) pins: Field<String>,
    pub(super) state: Field<String>,
    pub(super) fallback: Field<bool>,
    pub(super) on_stop: Field<String>,
    pub(super) group: Field<String>,
}

/// One `[[rule]]`.
#[derive(Debug)]
pub(super) struct RawRule {
    /// How messages call it: `[[rule]] "partner"`, or `[[rule]] number 2` where it has no name.
    pub(super) label: String,
    pub(super) name: Field<String>,
    pub(super) source: Field<RawSource>,
    pub(super) action: Field<String>,
    pub(super) mark: Field<i128>,
    pub(super) dscp: Field<Number>,
    pub(super) observe: Field<bool>,
    pub(super) note: Field<String>,
    pub(super) service: Field<Vec<At<Number>>>,
    pub(super) rate: Field<i128>,
    pub(super) burst: Field<i128>,
    pub(super) per: Field<String>,
    /// With date, time and offset, as `until`.
    pub(super) from: Field<Datetime>,
    pub(super) until: Field<Datetime>,
    pub(super) ramp: Field<String>,
    pub(super) established: Field<String>,
}

/// A rule's `source`.
#[derive(Debug)]
pub(super) struct RawSource {
    /// Whether it has no key at all, not even one that this version does not know.
    pub(super) empty: bool,
    pub(super) any: Field<bool>,
    pub(super) country: Field<Vec<At<String>>>,
    pub(super) not_country: Field<Vec<At<String>>>,
    pub(super) continent: Field<Vec<At<String>>>,
    pub(super) asn: Field<Vec<At<i128>>>,
    pub(super) not_asn: Field<Vec<At<i128>>>,
    pub(super) cidr: Field<Vec<At<String>>>,
    pub(super) not_cidr: Field<Vec<At<String>>>,
    pub(super) list: Field<Vec<At<String>>>,
    pub(super) anonymous: Field<Vec<At<String>>>,
}

impl RawConfig {
    /// Reads a parsed file; reports unknown keys, wrong types and empty lists.
    pub(super) fn read(document: &DeTable<'_>, problems: &mut Problems<'_>) -> Self {
        let top = Table::open(document, "", "", problems);
        let geoip = top.child("geoip", problems);
        let policy = top.child("policy", problems);
        let metrics = top.child("metrics", problems);
        let control = top.child("control", problems);
        let rules = top.tables("rule", problems);
        Self {
            interfaces: top.strings("interfaces", problems),
            mode: top.string("mode", problems),
            geoip: RawGeoIp {
                country: geoip.string("country", problems),
                asn: geoip.string("asn", problems),
                anonymous: geoip.string("anonymous", problems),
                follow: geoip.boolean("follow", problems),
                max_change: geoip.number("max_change", problems),
            },
            policy: RawPolicy {
                default: policy.string("default", problems),
                local: policy.string("local", problems),
                malformed: policy.string("malformed", problems),
            },
            listen: metrics.string("listen", problems),
            control: RawControl::read(&control, problems),
            rules: (1..)
                .zip(rules)
                .map(|(number, rule)| At {
                    value: RawRule::read(rule.value, number, problems),
                    span: rule.span,
                })
                .collect(),
        }
    }
}

impl RawControl {
    /// Reads the table; reports wrong types.
    pub(super) fn read(control: &Table<'_, '_>, problems: &mut Problems<'_>) -> Self {
        Self {
            socket: control.string("socket", problems),
            pins: control.string("pins", problems),
            state: control.string("state", problems),
            fallback: control.boolean("fallback", problems),
            on_stop: control.string("on_stop", problems),
            group: control.string("group", problems),
        }
    }
}

impl RawRule {
    fn read(entries: &DeTable<'_>, number: usize, problems: &mut Problems<'_>) -> Self {
        let label = match entries.get("name").and_then(|name| name.get_ref().as_str()) {
            Some(name) if !name.is_empty() => format!("[[rule]] {}", quoted(name)),
            Some(_) | None => format!("[[rule]] number {number}"),
        };
        let table = Table::open(entries, "rule", &format!(" in {label}"), problems);
        Self {
            name: table.string("name", problems),
            source: RawSource::read(&table, &label, problems),
            action: table.string("action", problems),
            mark: table.integer("mark", problems),
            dscp: table.number("dscp", problems),
            observe: table.boolean("observe", problems),
            note: table.string("note", problems),
            service: table.numbers("service", problems),
            rate: table.integer("rate", problems),
            burst: table.integer("burst", problems),
            per: table.string("per", problems),
            from: table.date_time("from", problems),
            until: table.date_time("until", problems),
            ramp: table.string("ramp", problems),
            established: table.string("established", problems),
            label,
        }
    }
}

impl RawSource {
    fn read(rule: &Table<'_, '_>, label: &str, problems: &mut Problems<'_>) -> Field<Self> {
        let (source, key) = match rule.table("source", problems) {
            Field::Absent => return Field::Absent,
            Field::Wrong => return Field::Wrong,
            Field::Given(source, key) => (source, key),
        };
        let table = Table::open(source.value, "rule.source", &format!(" in the source of {label}"), problems);
        let raw = Self {
            empty: source.value.is_empty(),
            any: table.boolean("any", problems),
            country: table.strings("country", problems),
            not_country: table.strings("not_country", problems),
            continent: table.strings("continent", problems),
            asn: table.integers("asn", problems),
            not_asn: table.integers("not_asn", problems),
            cidr: table.strings("cidr", problems),
            not_cidr: table.strings("not_cidr", problems),
            list: table.strings("list", problems),
            anonymous: table.strings("anonymous", problems),
        };
        Field::Given(At { value: raw, span: source.span }, key)
    }
}
