//! Every action and every condition in one policy, so that this kernel's verifier sees all that the programs have, and what
//! becomes of packets.

use std::time::Duration;

use anyhow::{Context, ensure as hold};

use super::{POLICY, Story};
use crate::vm::wire::Source;

/// A rule for each source on the wire. `big0` has an MTU for which its driver wants the program for fragments.
const ALL: &str = r#"interfaces = ["en*", "big0"]
mode = "native"

[[rule]]
name = "share"
source = { any = true }
action = "drop"
from = 2026-01-01T00:00:00Z
ramp = "3650d"
observe = true

[[rule]]
name = "list"
source = { list = ["list.txt"] }
action = "drop"
established = "drop"

[[rule]]
name = "reject"
source = { country = ["CN"] }
service = ["tcp/443", "udp/8000-8100", "icmp"]
action = "reject"

[[rule]]
name = "limit"
source = { country = ["US"] }
action = "limit"
rate = 5
per = "source"

[[rule]]
name = "limit-all"
source = { country = ["CA"] }
service = ["tcp"]
action = "limit"
rate = 10
per = "rule"

[[rule]]
name = "tag"
source = { country = ["JP"] }
action = "tag"
mark = 7
dscp = "CS1"

[[rule]]
name = "begun"
source = { country = ["KR"] }
service = [1]
action = "drop"
from = 2026-01-01T00:00:00Z
until = 2200-01-01T00:00:00Z
"#;

/// One on the wire, and some that make classes of their own: more than a byte can number, which the look-up treats apart.
const LIST: &str = "1.0.1.1\n8.8.4.4\n1.0.16.9\n1.16.0.9\n2001:4860::1";

/// What the gate has counted: rule, verdict.
const COUNTED: [(&str, &str); 5] =
    [("list", "drop"), ("reject", "reject"), ("limit", "limit"), ("tag", "tag"), ("begun", "drop")];

/// What it says to an echo request from where.
const LIVE: [(Source, &str); 7] = [
    (Source::Blocked4, "drop"),
    (Source::Blocked6, "reject"),
    (Source::Leased, "pass"),
    (Source::Allowed4, "limit"),
    (Source::Allowed6, "pass"),
    (Source::Ends, "tag"),
    (Source::Begins, "drop"),
];

impl Story<'_> {
    pub(super) fn policies(&mut self) -> anyhow::Result<()> {
        // Nothing is sent on this pair, so that what is counted is what the wire brings.
        self.machine.sh(
            "ip link add big0 mtu 9000 type veth peer name big1 mtu 9000
             for one in big0 big1; do echo 1 > /proc/sys/net/ipv6/conf/$one/disable_ipv6; ip link set $one up; done
             echo 1 > /proc/sys/net/ipv4/fwmark_reflect; ip rule add fwmark 7 blackhole",
        )?;
        self.write("/etc/octroi/list.txt", LIST)?;
        self.configure(ALL)?;
        let leased = Source::Leased.address();
        self.machine.sh(&format!("octroi reload; octroi lease add {leased} --action pass --ttl 1h"))?;
        self.machine.until(Duration::from_secs(10), "octroi status | grep -q big0")?;
        let status = self.status()?;
        let native = |interface: &serde_json::Value| interface["mode"] == "native";
        let interfaces = status["interfaces"].as_array().map(Vec::as_slice).unwrap_or_default();
        hold!(interfaces.len() == 2 && interfaces.iter().all(native), "not both are filtered: {status}");

        let classes = self.machine.sh("octroi check | sed -nE 's/^classes +//p'")?;
        hold!(classes.parse::<u32>()? > 255, "{classes} classes have a byte each");

        // What is tagged is let in; replies take its mark, which leads into a black hole.
        for (source, answered) in LIVE.map(|(source, verdict)| (source, ["pass", "limit"].contains(&verdict)))
        {
            let count = self.answers(source, answered)?;
            let limited = source == Source::Allowed4;
            hold!(
                (count.answered < count.sent / 2) == (limited || !answered),
                "{source:?}: {count} answered"
            );
        }
        // Before Linux 6.6 no link holds what sets the mark.
        for what in ["stop", "start"] {
            self.machine.sh(&format!("systemctl {what} octroi"))?;
            self.answers(Source::Ends, false).with_context(|| format!("marks after systemctl {what}"))?;
        }
        for (source, verdict) in LIVE {
            let said = self.machine.sh(&format!(
                "octroi explain --live --port icmp --json {address}",
                address = source.address()
            ))?;
            hold!(said.contains(&format!("\"verdict\":\"{verdict}\"")), "not {verdict}: {said}");
        }
        let capture = capture();
        let replayed = self.machine.sh(&format!(
            "printf '{capture}' > /root/wire.pcap; octroi replay /root/wire.pcap --engine kernel --json 2>/dev/null"
        ))?;
        // It knows neither leases nor rates.
        let known = |source| !matches!(source, Source::Leased | Source::Allowed4);
        for (source, verdict) in LIVE.into_iter().filter(|&(source, _)| known(source)) {
            has_line(&replayed, &format!("\"{}\"", source.address()), &format!("\"{verdict}\""))?;
        }
        let metrics = self.machine.sh(
            "exec 3<>/dev/tcp/127.0.0.1/9462; printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3; grep ^octroi_rule_packets <&3 | grep -v ' 0$'",
        )?;
        for (rule, verdict) in COUNTED {
            has_line(&metrics, &format!("rule=\"{rule}\""), &format!("verdict=\"{verdict}\""))?;
        }
        let judged = self.all_judged()?;

        self.configure(POLICY)?;
        self.machine.sh(&format!(
            "octroi reload; octroi lease remove {leased}; ip rule del fwmark 7; ip link del big0; rm /etc/octroi/list.txt /root/wire.pcap"
        ))?;
        let kernel = self.machine.sh("uname -r")?;
        self.say(
            "every action in one policy",
            &format!("Linux {kernel} takes the programs, that for an MTU of 9000 too; {judged}"),
        )
    }
}

fn has_line(text: &str, one: &str, other: &str) -> anyhow::Result<()> {
    let found = text.lines().any(|line| line.contains(one) && line.contains(other));
    hold!(found, "no line has {one} and {other}:\n{text}");
    Ok(())
}

/// What the sources send, as a pcap file, as bash's printf takes it.
fn capture() -> String {
    let header = [0xa1b2_c3d4_u32, 2 | 4 << 16, 0, 0, 0xffff, 1].map(u32::to_le_bytes).concat();
    let frames = LIVE.map(|(source, _)| {
        let frame = source.request();
        let length = u32::try_from(frame.len()).expect("a short frame");
        [&[0, 0, length, length].map(u32::to_le_bytes).concat()[..], &frame].concat()
    });
    [header, frames.concat()].concat().iter().map(|byte| format!("\\x{byte:02x}")).collect()
}
