//! A policy as octroi's configuration has it.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use ipnetwork::IpNetwork;

use crate::{Action, PassOrDrop, Per, Place, Policy, Ports, Rule, Service, Source, time::rfc3339};

/// A policy in writing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Printed {
    /// `[policy]` and every `[[rule]]`.
    pub toml: String,
    /// The files that `list` names, and what they hold.
    pub files: Vec<(PathBuf, String)>,
}

impl Policy {
    /// Writes it down; lists are to lie in `folder`.
    #[must_use]
    pub fn print(&self, folder: &Path) -> Printed {
        let mut printed = Printed { toml: String::new(), files: Vec::new() };
        let local = if self.local_rules { "rules" } else { "pass" };
        printed.line(&format!("[policy]\ndefault = \"{}\"", word(self.default)));
        printed.line(&format!("local = \"{local}\"\nmalformed = \"{}\"", word(self.malformed)));
        for rule in &self.rules {
            printed.rule(rule, folder);
        }
        printed
    }
}

impl Printed {
    fn line(&mut self, text: &str) {
        writeln!(self.toml, "{text}").expect("a string takes all");
    }

    fn rule(&mut self, rule: &Rule, folder: &Path) {
        let source = self.source(&rule.name, &rule.source, folder);
        self.line(&format!("\n[[rule]]\nname = {:?}\nsource = {{ {source} }}", rule.name));
        if let Some(service) = &rule.service {
            self.line(&format!(
                "service = {}",
                list(service.iter().map(|&one| format!("{:?}", service_word(one))))
            ));
        }
        self.action(&rule.action);
        if rule.observe {
            self.line("observe = true");
        }
        for (key, time) in [("from", rule.from), ("until", rule.until)] {
            if let Some(time) = time {
                self.line(&format!("{key} = {}", rfc3339(time)));
            }
        }
        if let Some(ramp) = rule.ramp {
            self.line(&format!("ramp = \"{}s\"", ramp / 1_000_000_000));
        }
        if rule.established == PassOrDrop::Drop {
            self.line("established = \"drop\"");
        }
    }

    fn action(&mut self, action: &Action) {
        match action {
            Action::Pass => self.line("action = \"pass\""),
            Action::Drop => self.line("action = \"drop\""),
            Action::Reject => self.line("action = \"reject\""),
            Action::Tag { mark, dscp } => {
                self.line("action = \"tag\"");
                if let Some(mark) = mark {
                    self.line(&format!("mark = {mark:#x}"));
                }
                if let Some(dscp) = dscp {
                    self.line(&format!("dscp = {dscp}"));
                }
            }
            Action::Limit { rate, burst, per } => {
                let per = match per {
                    Per::Source => "source",
                    Per::Rule => "rule",
                };
                self.line(&format!("action = \"limit\"\nrate = {rate}\nburst = {burst}\nper = \"{per}\""));
            }
        }
    }

    /// What stands between the braces of `source`.
    fn source(&mut self, name: &str, source: &Source, folder: &Path) -> String {
        let mut keys = Vec::new();
        if source.any {
            keys.push("any = true".to_owned());
        }
        let mut key = |key: &str, values: Option<String>| {
            keys.extend(values.map(|values| format!("{key} = {values}")));
        };
        key("country", source.country.as_deref().map(places));
        key("not_country", source.not_country.as_deref().map(places));
        key(
            "continent",
            source.continent.as_ref().map(|codes| list(codes.iter().map(|code| format!("{code:?}")))),
        );
        key("asn", source.asn.as_ref().map(|numbers| list(numbers.iter().map(u32::to_string))));
        key("not_asn", source.not_asn.as_ref().map(|numbers| list(numbers.iter().map(u32::to_string))));
        key("cidr", source.cidr.as_deref().map(networks));
        key("not_cidr", source.not_cidr.as_deref().map(networks));
        if let Some(lists) = &source.list {
            let written = lists.iter().enumerate().map(|(index, networks)| {
                let lines: String = networks.iter().map(|&network| line(network)).collect();
                (folder.join(format!("{name}-{index}.txt")), format!("# list {index} of {name}\n\n{lines}"))
            });
            let files: Vec<_> = written.collect();
            key("list", Some(list(files.iter().map(|(path, _)| format!("{path:?}")))));
            self.files.extend(files);
        }
        if let Some(kinds) = &source.anonymous {
            let word = |kind: &Option<crate::Anonymizer>| kind.map_or("any", crate::Anonymizer::as_str);
            keys.push(format!("anonymous = {}", list(kinds.iter().map(|kind| format!("{:?}", word(kind))))));
        }
        keys.join(", ")
    }
}

/// "one prefix or address a line, `#` comments": a network of one address is written as that address.
fn line(network: IpNetwork) -> String {
    let longest = if network.is_ipv4() { 32 } else { 128 };
    if network.prefix() == longest { format!("{} # alone\n", network.ip()) } else { format!("{network}\n") }
}

fn word(word: PassOrDrop) -> &'static str {
    match word {
        PassOrDrop::Pass => "pass",
        PassOrDrop::Drop => "drop",
    }
}

/// A list of values that are written already.
fn list(values: impl Iterator<Item = String>) -> String {
    format!("[{}]", values.collect::<Vec<_>>().join(", "))
}

fn places(places: &[Place]) -> String {
    list(places.iter().map(|place| match place {
        Place::Country(code) => format!("{code:?}"),
        Place::Unknown => "\"unknown\"".to_owned(),
    }))
}

fn networks(networks: &[IpNetwork]) -> String {
    list(networks.iter().map(|network| format!("\"{network}\"")))
}

fn service_word(service: Service) -> String {
    let ports = |name: &str, ports| match ports {
        Ports::All => name.to_owned(),
        Ports::One(port) => format!("{name}/{port}"),
        Ports::Range(low, high) => format!("{name}/{low}-{high}"),
    };
    match service {
        Service::Tcp(which) => ports("tcp", which),
        Service::Udp(which) => ports("udp", which),
        Service::Icmp => "icmp".to_owned(),
        Service::Protocol(number) => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Anonymizer;

    #[test]
    fn a_policy_is_written_as_the_documentation_has_it() {
        let network = |text: &str| text.parse().expect("a network");
        let partner = Rule {
            name: "partner".into(),
            source: Source {
                country: Some(vec!["CN".into(), "unknown".into()]),
                asn: Some(vec![58593]),
                ..Source::default()
            },
            until: Some(1_801_353_600_000_000_000),
            ..Rule::new(Action::Pass)
        };
        let limited = Rule {
            name: "limited".into(),
            source: Source {
                any: true,
                cidr: Some(vec![network("192.0.2.0/24"), network("2001:db8::1/128")]),
                list: Some(vec![vec![network("10.0.0.0/8"), network("192.0.2.1/32")]]),
                anonymous: Some(vec![Some(Anonymizer::ResidentialProxy), None]),
                ..Source::default()
            },
            service: Some(vec![
                Service::Tcp(Ports::Range(8000, 8100)),
                Service::Udp(Ports::One(443)),
                Service::Tcp(Ports::All),
                Service::Icmp,
                Service::Protocol(47),
            ]),
            observe: true,
            from: Some(1_783_555_200_000_000_000),
            ramp: Some(90_000_000_000),
            established: PassOrDrop::Drop,
            ..Rule::new(Action::Limit { rate: 10, burst: 20, per: Per::Source })
        };
        let tagged = Rule {
            name: "tagged".into(),
            source: Source { not_country: Some(vec!["DE".into()]), ..Source::default() },
            ..Rule::new(Action::Tag { mark: Some(42), dscp: Some(10) })
        };
        let policy =
            Policy { default: PassOrDrop::Drop, rules: vec![partner, limited, tagged], ..Policy::default() };
        let printed = policy.print(Path::new("/lists"));
        let expected = r#"[policy]
default = "drop"
local = "pass"
malformed = "drop"

[[rule]]
name = "partner"
source = { country = ["CN", "unknown"], asn = [58593] }
action = "pass"
until = 2027-01-31T00:00:00Z

[[rule]]
name = "limited"
source = { any = true, cidr = ["192.0.2.0/24", "2001:db8::1/128"], list = ["/lists/limited-0.txt"], anonymous = ["residential_proxy", "any"] }
service = ["tcp/8000-8100", "udp/443", "tcp", "icmp", "47"]
action = "limit"
rate = 10
burst = 20
per = "source"
observe = true
from = 2026-07-09T00:00:00Z
ramp = "90s"
established = "drop"

[[rule]]
name = "tagged"
source = { not_country = ["DE"] }
action = "tag"
mark = 0x2a
dscp = 10
"#;
        assert_eq!(printed.toml, expected);
        let list =
            ("/lists/limited-0.txt".into(), "# list 0 of limited\n\n10.0.0.0/8\n192.0.2.1 # alone\n".into());
        assert_eq!(printed.files, [list]);
    }
}
