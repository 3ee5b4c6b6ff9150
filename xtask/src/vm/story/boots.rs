//! The machine goes down and comes up again, in good order and not.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure as hold};

use super::{POLICY, Story, closed, closed_for};
use crate::vm::wire::{Mark, Source};

/// Lets China in, and keeps out what the other lets in.
pub(super) const OTHER: &str = r#"interfaces = ["en*"]

[[rule]]
name = "us"
source = { country = ["US"] }
action = "drop"
"#;

/// A small database, in which the sources are where the embedded one has them.
const COUNTRY: &str = "start,end,country
1.0.1.0,1.0.3.255,CN
1.0.8.0,1.0.15.255,CN
8.8.8.0,8.8.8.255,US
2001:4860::,2001:4860:ffff:ffff:ffff:ffff:ffff:ffff,CA
240e::,240e:ffff:ffff:ffff:ffff:ffff:ffff:ffff,CN";

impl<'all> Story<'all> {
    pub(super) fn restart_of_the_machine(&mut self) -> anyhow::Result<()> {
        let mark = self.wire.mark();
        self.machine.restart()?;
        self.unjudged = 0;
        let (order, traffic) = (self.order()?, self.after_boot(&mark)?);
        let judged = self.all_judged()?;
        self.say("machine restarted", &format!("{order}; {judged}; {traffic}"))
    }

    /// A policy that nobody confirmed counts neither while the machine comes up nor after. It lets in what the one before
    /// keeps out, so that it would be seen.
    pub(super) fn waiting_over_a_restart(&mut self) -> anyhow::Result<()> {
        self.write("/root/other.toml", OTHER)?;
        self.machine.sh("octroi apply /root/other.toml --confirm-timeout 10m")?;
        let (opened, closed) =
            (self.answers(Source::Blocked4, true)?, self.answers(Source::Allowed4, false)?);
        hold!(self.status()?["pending_confirmation"].is_object(), "nothing waits for octroi confirm");
        self.machine.switch_off()?;
        self.settle();
        let mark = self.boot()?;
        let (order, traffic) = (self.order()?, self.after_boot(&mark)?);
        let status = self.status()?;
        hold!(status["pending_confirmation"].is_null(), "it still waits: {status}");
        hold!(status["rules"][0]["name"] == "cn", "another policy runs: {status}");
        let judged = self.all_judged()?;
        self.say(
            "restarted while a policy waits for confirm",
            &format!(
                "before: from China {opened}, from the United States {closed} answered; after: the policy before it; {order}; \
                 {judged}; {traffic}"
            ),
        )
    }

    /// What was acknowledged a moment ago has to be on the disk.
    pub(super) fn power_cut_after_a_lease(&mut self) -> anyhow::Result<()> {
        self.machine.sh("sync")?;
        let mark = self.wire.mark();
        let leased = Source::Leased.address();
        self.machine.sh(&format!("octroi lease add {leased} --action pass --ttl 1d --reason 'power cut'"))?;
        let mark = self.cut_and_boot(&mark)?;
        let (order, traffic) = (self.order()?, self.after_boot(&mark)?);
        let leased = mark.since().of(Source::Leased);
        hold!(leased.answered > 0, "the lease from before the cut is gone: {leased} answered");
        let leases = self.machine.sh("octroi lease list --json")?;
        hold!(leases.contains("power cut"), "{leases}");
        let judged = self.all_judged()?;
        self.machine.sh(&format!("octroi lease remove {}", Source::Leased.address()))?;
        let lease = format!("the lease of a moment before is there, {leased} answered");
        self.say("power cut after a lease", &format!("{order}; {judged}; {traffic}; {lease}"))
    }

    /// Without power at three moments of a reload, whose policy is another each time.
    pub(super) fn power_cuts_in_reloads(&mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        self.machine.sh("octroi reload")?;
        let reload = begun.elapsed().as_secs_f64();
        let mut figures = Vec::new();
        for (cut, part) in [0.2, 0.5, 0.8].into_iter().enumerate() {
            self.configure(&format!(
                "{POLICY}\n[[rule]]\nname = \"cut-{cut}\"\nsource = {{ country = [\"KP\"] }}\naction = \"drop\"\n"
            ))?;
            self.machine.sh("sync")?;
            let mark = self.wire.mark();
            let mut after = reload * part;
            // Slow and fast by turns, as a machine without KVM is: one that was over came too late.
            while self
                .machine
                .run(&format!("octroi reload & reload=$!; sleep {after:.2}; kill -0 $reload"))?
                .code
                != 0
            {
                hold!(after > 0.05, "a reload is over after {after:.2} s, before the cut");
                after *= 0.7;
            }
            let mark = self.cut_and_boot(&mark)?;
            self.order()?;
            self.after_boot(&mark)?;
            let status = self.status()?;
            hold!(
                status["rules"][1]["name"] == format!("cut-{cut}") && status["fallback"].is_null(),
                "what was configured does not run: {status}"
            );
            self.all_judged()?;
            let blocked = mark.since().blocked();
            figures.push(format!("after {after:.2} s, then from China {blocked} answered"));
        }
        self.configure(POLICY)?;
        self.machine.sh("octroi reload")?;
        let figures = figures.join("; ");
        self.say("power cuts in reloads", &format!("a reload takes {reload:.1} s; cut {figures}"))
    }

    /// Comes up with a database that is none, after a power cut: by the last good policy and its copies.
    pub(super) fn broken_database(&mut self) -> anyhow::Result<()> {
        self.write("/etc/octroi/country.csv", COUNTRY)?;
        self.configure(&format!("{POLICY}\n[geoip]\ncountry = \"country.csv\"\n"))?;
        self.machine.sh("octroi reload --accept")?;
        let mark = self.wire.mark();
        closed_for(&mark, Duration::from_secs(1))?;
        self.machine.sh("printf broken > /etc/octroi/country.csv; sync /etc/octroi/country.csv")?;
        let mark = self.cut_and_boot(&mark)?;
        let (order, traffic) = (self.order()?, self.after_boot(&mark)?);
        let status = self.status()?;
        let reason = status["fallback"]["reason"].as_str().unwrap_or_default().to_owned();
        hold!(reason.contains("country.csv"), "it does not say why it falls back: {status}");
        let judged = self.all_judged()?;
        self.write("/etc/octroi/country.csv", COUNTRY)?;
        self.machine.sh("octroi reload")?;
        let status = self.status()?;
        hold!(status["fallback"].is_null(), "it still falls back: {status}");
        self.configure(POLICY)?;
        self.machine.sh("octroi reload --accept; rm /etc/octroi/country.csv")?;
        let reason = reason.lines().next().unwrap_or_default();
        self.say(
            "came up with a broken database",
            &format!("fallback, \"{reason}\"; {order}; {judged}; {traffic}; over after the next reload"),
        )
    }

    /// A unit that is disabled: the gate stays until the machine goes down, and does not come back.
    pub(super) fn disabled(&mut self) -> anyhow::Result<()> {
        let mark = self.wire.mark();
        self.machine.sh("systemctl disable --quiet --now octroi")?;
        let traffic = closed_for(&mark, Duration::from_secs(2))?;
        self.machine.restart()?;
        let left = self.machine.sh(
            "ip -details link | grep xdp || true; ls /sys/fs/bpf/octroi; ls -l /proc/[0-9]*/exe 2>/dev/null | grep octroi || true; systemctl is-active octroi || true",
        )?;
        hold!(left == "inactive", "left:\n{left}");
        let opened = self.open()?;
        self.machine.sh("systemctl enable --quiet --now octroi")?;
        self.closed_now()?;
        self.say(
            "disabled, and restarted",
            &format!("before the restart {traffic}; after it no program, no pins, no process: {opened}"),
        )
    }

    /// Takes the power away and gives it back; nothing that the policy blocks was answered until then. What comes from the
    /// mark on is of the new boot.
    fn cut_and_boot(&mut self, before: &Mark<'_>) -> anyhow::Result<Mark<'all>> {
        self.machine.cut_power()?;
        // What the machine answered before the cut.
        self.settle();
        let blocked = before.since().blocked();
        hold!(blocked.answered == 0, "blocked sources were answered: {blocked}");
        self.boot()
    }

    /// Switches it on again.
    fn boot(&mut self) -> anyhow::Result<Mark<'all>> {
        let mark = self.wire.mark();
        self.machine = self.setting.boot()?;
        self.unjudged = 0;
        Ok(mark)
    }

    /// Which came first in this boot: the gate has to be closed before anything brings the interface up.
    pub(super) fn order(&mut self) -> anyhow::Result<String> {
        let mut moment = |what: &str, unit: &str| -> anyhow::Result<f64> {
            let text = self
                .machine
                .sh(&format!("systemctl show --property {what}TimestampMonotonic --value {unit}"))?;
            let microseconds: f64 = text.parse().with_context(|| format!("{unit}: {text:?}"))?;
            hold!(microseconds > 0.0, "{unit} was never there");
            Ok(microseconds / 1e6)
        };
        let active = moment("ActiveEnter", "octroi.service")?;
        let target = moment("ActiveEnter", "network-pre.target")?;
        let networkd = moment("ExecMainStart", "systemd-networkd.service")?;
        let line = self.machine.sh(
            "journalctl --boot --unit systemd-networkd --output short-monotonic --grep 'en.*: Link UP' | head -1",
        )?;
        let up =
            line.split_once('[').and_then(|(_, rest)| rest.split(']').next()?.trim().parse::<f64>().ok());
        let up = up.with_context(|| format!("when the interface came up: {line:?}"))?;
        hold!(
            active <= target && target <= networkd && networkd <= up,
            "octroi active at {active:.3} s, network-pre.target at {target:.3} s, networkd started at {networkd:.3} s, the \
             interface up at {up:.3} s"
        );
        Ok(format!(
            "octroi active at {active:.3} s, network-pre.target {target:.3}, networkd {networkd:.3}, interface up {up:.3}"
        ))
    }

    /// The traffic since before the boot, once allowed sources are answered.
    pub(super) fn after_boot(&mut self, mark: &Mark<'_>) -> anyhow::Result<String> {
        let begun = Instant::now();
        while mark.since().allowed().answered < 50 {
            hold!(
                begun.elapsed() < Duration::from_secs(60),
                "nobody is answered: {}",
                mark.since().allowed()
            );
            thread::sleep(Duration::from_millis(100));
        }
        thread::sleep(Duration::from_secs(2));
        closed(&mark.since())
    }
}
