//! What nftables sees behind the gate: packets counted by mark, DSCP, source, or whatever else an expression can say.

use std::collections::BTreeMap;

use crate::command::{SHORT, run, run_with_input};
use crate::netns::Namespace;

const TABLE: &str = "octroi_t";

/// Named counters in a namespace, at the prerouting hook: behind XDP and tc, before routing.
///
/// They go with the namespace.
#[derive(Debug)]
pub struct Counters<'lab> {
    namespace: &'lab Namespace,
}

/// What a counter says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Count {
    /// Packets.
    pub packets: u64,
    /// Bytes from the IP header on.
    pub bytes: u64,
}

impl<'lab> Counters<'lab> {
    /// Installs counters: pairs of a name (lower case, digits, underscores) and an nftables match, as in
    /// `("marked", "meta mark 0x10 ip saddr 1.0.1.1")`. A packet counts wherever it matches.
    ///
    /// # Panics
    /// Where nftables refuses it, or has counters of ours in this namespace already.
    #[track_caller]
    pub fn install(namespace: &'lab Namespace, counters: &[(&str, &str)]) -> Counters<'lab> {
        let mut text = format!("create table inet {TABLE}\ntable inet {TABLE} {{\n");
        for (name, _) in counters {
            text += &format!("  counter {name} {{ }}\n");
        }
        text += "  chain seen {\n    type filter hook prerouting priority -150; policy accept;\n";
        for (name, expression) in counters {
            text += &format!("    {expression} counter name \"{name}\"\n");
        }
        text += "  }\n}\n";
        script(namespace, &text);
        Counters { namespace }
    }

    /// All counters, by name.
    #[track_caller]
    pub fn read(&self) -> BTreeMap<String, Count> {
        let mut command = self.namespace.command("nft");
        command.args(["-j", "list", "counters", "table", "inet", TABLE]);
        let listing = run(command, SHORT).json();
        let objects = listing["nftables"].as_array().unwrap_or_else(|| panic!("no `nftables` in {listing}"));
        let counters = objects.iter().filter_map(|object| object.get("counter"));
        let number = |counter: &serde_json::Value, key: &str| {
            counter[key].as_u64().unwrap_or_else(|| panic!("no number `{key}` in {counter}"))
        };
        counters
            .map(|counter| {
                let name = counter["name"].as_str().unwrap_or_else(|| panic!("no `name` in {counter}"));
                let count = Count { packets: number(counter, "packets"), bytes: number(counter, "bytes") };
                (name.to_owned(), count)
            })
            .collect()
    }

    /// Packets of one counter.
    ///
    /// # Panics
    /// Where there is none of this name.
    #[track_caller]
    pub fn packets(&self, name: &str) -> u64 {
        let counters = self.read();
        counters.get(name).unwrap_or_else(|| panic!("no counter {name} among {:?}", counters.keys())).packets
    }
}

/// Runs nftables commands in a namespace.
///
/// # Panics
/// Where nftables refuses them; then none of them has an effect.
#[track_caller]
pub fn script(namespace: &Namespace, text: &str) {
    let mut command = namespace.command("nft");
    command.args(["-f", "-"]);
    let finished = run_with_input(command, text, SHORT);
    assert!(finished.status.success(), "{finished}\n--- stdin\n{text}");
}

/// All rules of a namespace with their counters, for people.
pub fn describe(namespace: &Namespace) -> String {
    let mut command = namespace.command("nft");
    command.args(["list", "ruleset"]);
    run(command, SHORT).to_string()
}
