//! What blocks countries: octroi, and what others use; each set up in a lab of its own, and asked what it dropped.

use std::time::Duration;

use anyhow::Context;
use octroi_tests::{
    command::{SHORT, run, run_with_input},
    gate::{Gate, Setup},
    netns::{Lab, Namespace},
};

use super::list::List;

/// How long filling a rival's set may take.
const FILLING: Duration = Duration::from_secs(120);

/// One of the rivals, in the order of the report.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tool {
    /// Nothing: packets go up to UDP, where nobody listens on the port.
    None,
    /// octroi's program in the driver.
    Native,
    /// octroi's program behind the driver.
    Generic,
    /// An interval set at the netdev family's ingress hook.
    Ingress,
    /// An interval set at the prerouting hook, before connection tracking.
    Prerouting,
    /// ipset's hash:net, asked in iptables' raw table.
    Ipset,
}

impl Tool {
    pub(crate) const ALL: [Self; 6] =
        [Self::None, Self::Native, Self::Generic, Self::Ingress, Self::Prerouting, Self::Ipset];

    /// As the report calls it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::None => "nothing",
            Self::Native => "octroi, native",
            Self::Generic => "octroi, generic",
            Self::Ingress => "nftables, netdev ingress",
            Self::Prerouting => "nftables, inet prerouting",
            Self::Ipset => "ipset + iptables, raw",
        }
    }
}

/// A tool at work.
pub(crate) struct Installed<'lab> {
    pub(crate) tool: Tool,
    lab: &'lab Lab,
    gate: Option<Gate<'lab>>,
}

impl<'lab> Installed<'lab> {
    /// Sets a tool up, with everything of the list.
    pub(crate) fn new(tool: Tool, lab: &'lab Lab, list: &List) -> Self {
        let octroi = |mode: &str| {
            let setup = Setup { mode: mode.to_owned(), ..Setup::new(&list.policy) };
            Some(Gate::start_with(lab, setup))
        };
        let gate = match tool {
            Tool::Native => octroi("native"),
            Tool::Generic => octroi("generic"),
            Tool::Ingress => {
                let hook = format!("ingress device {} priority 0", lab.pair().gate);
                fill(&lab.inside, "nft", &["-f", "-"], &nftables("netdev", &hook, list));
                None
            }
            Tool::Prerouting => {
                fill(&lab.inside, "nft", &["-f", "-"], &nftables("inet", "prerouting priority raw", list));
                None
            }
            Tool::Ipset => {
                ipset(&lab.inside, list);
                None
            }
            Tool::None => None,
        };
        Self { tool, lab, gate }
    }

    /// Packets that it has dropped, by its own count. Nothing counts nothing.
    pub(crate) fn dropped(&self) -> anyhow::Result<u64> {
        match (self.tool, &self.gate) {
            (Tool::Ingress, _) => counted_by_nftables(&self.lab.inside, "netdev"),
            (Tool::Prerouting, _) => counted_by_nftables(&self.lab.inside, "inet"),
            (Tool::Ipset, _) => Ok(counted_by_iptables(&self.lab.inside, "iptables")?
                + counted_by_iptables(&self.lab.inside, "ip6tables")?),
            (_, Some(gate)) => {
                let dropped = gate.metrics().sum("octroi_packets_total", &[("verdict", "drop")]);
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a count below 2^53"
                )]
                Ok(dropped as u64)
            }
            (_, None) => Ok(0),
        }
    }
}

fn fill(namespace: &Namespace, program: &str, arguments: &[&str], input: &str) {
    let mut command = namespace.command(program);
    command.args(arguments);
    run_with_input(command, input, FILLING).success();
}

fn nftables(family: &str, hook: &str, list: &List) -> String {
    let [v4, v6] = list.intervals().map(|intervals| intervals.join(", "));
    format!(
        "table {family} octroi_bench {{\n  counter dropped {{ }}\n\
         set v4 {{ type ipv4_addr; flags interval; elements = {{ {v4} }} }}\n\
         set v6 {{ type ipv6_addr; flags interval; elements = {{ {v6} }} }}\n\
         chain gate {{ type filter hook {hook}; policy accept;\n\
         ip saddr @v4 counter name \"dropped\" drop\n\
         ip6 saddr @v6 counter name \"dropped\" drop\n}}\n}}\n"
    )
}

fn counted_by_nftables(namespace: &Namespace, family: &str) -> anyhow::Result<u64> {
    let mut command = namespace.command("nft");
    command.args(["-j", "list", "counter", family, "octroi_bench", "dropped"]);
    let said = run(command, SHORT).json();
    let counters = said["nftables"].as_array().into_iter().flatten();
    let packets = counters.filter_map(|one| one["counter"]["packets"].as_u64()).next();
    packets.with_context(|| format!("no counter `dropped` in {said}"))
}

fn ipset(namespace: &Namespace, list: &List) {
    let mut input = String::new();
    for (family, prefixes) in ["inet", "inet6"].into_iter().zip(list.prefixes()) {
        let most = prefixes.len().next_power_of_two().max(65_536);
        input += &format!("create octroi-{family} hash:net family {family} maxelem {most}\n");
        for prefix in prefixes {
            input += &format!("add octroi-{family} {prefix}\n");
        }
    }
    fill(namespace, "ipset", &["restore"], &input);
    for (program, set) in [("iptables", "octroi-inet"), ("ip6tables", "octroi-inet6")] {
        let rule = ["-t", "raw", "-A", "PREROUTING", "-m", "set", "--match-set", set, "src", "-j", "DROP"];
        fill(namespace, program, &rule, "");
    }
}

fn counted_by_iptables(namespace: &Namespace, program: &str) -> anyhow::Result<u64> {
    let mut command = namespace.command(program);
    command.args(["-t", "raw", "-nvxL", "PREROUTING"]);
    let said = run(command, SHORT).success();
    let rule = said.lines().find(|line| line.contains(" DROP "));
    let packets = rule.and_then(|line| line.split_whitespace().next()?.parse().ok());
    packets.with_context(|| format!("no rule that drops, with a count, in what {program} says:\n{said}"))
}
