//! What becomes of the gate while the daemon ends in one way or another, and of the daemon.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure as hold};

use super::{PID, POLICY, Story, closed_for};

impl Story<'_> {
    pub(super) fn stop_and_start(&mut self) -> anyhow::Result<()> {
        let mark = self.wire.mark();
        self.machine.sh("systemctl stop octroi")?;
        let state = self.machine.sh("systemctl is-active octroi || true")?;
        hold!(state == "inactive", "it is {state}");
        let stopped = closed_for(&mark, Duration::from_secs(3))?;
        let mark = self.wire.mark();
        self.machine.sh("systemctl start octroi")?;
        let started = closed_for(&mark, Duration::from_secs(1))?;
        let judged = self.all_judged()?;
        self.say("stopped", &format!("no daemon, and {stopped}"))?;
        self.say("started", &format!("it takes over, and counts on: {judged}; {started}"))
    }

    pub(super) fn restarts(&mut self) -> anyhow::Result<()> {
        let mark = self.wire.mark();
        let begun = Instant::now();
        for _ in 0..5 {
            self.machine.sh("systemctl restart octroi")?;
        }
        let each = begun.elapsed().as_secs_f64() / 5.0;
        let traffic = closed_for(&mark, Duration::from_secs(1))?;
        let judged = self.all_judged()?;
        self.say("restarted 5 times", &format!("{each:.1} s each; {judged}; {traffic}"))
    }

    pub(super) fn kill(&mut self) -> anyhow::Result<()> {
        let (took, traffic) = self.comes_back("KILL", Duration::from_secs(30))?;
        self.say("killed", &format!("kill -9: back by itself after {took:.1} s; {traffic}"))
    }

    pub(super) fn hang(&mut self) -> anyhow::Result<()> {
        let (took, traffic) = self.comes_back("STOP", Duration::from_secs(75))?;
        let journal =
            self.machine.sh("journalctl --boot --unit octroi --grep 'Watchdog timeout' --output cat")?;
        hold!(!journal.is_empty(), "no word of the watchdog in the journal");
        let limit = self.machine.sh("systemctl show --property WatchdogUSec --value octroi")?;
        self.say(
            "hung",
            &format!("SIGSTOP: ended by the watchdog ({limit}), back after {took:.1} s; {traffic}"),
        )
    }

    /// A configuration with a key that there is not: a reload leaves the gate, a start uses the last good policy, or ends.
    pub(super) fn invalid(&mut self) -> anyhow::Result<()> {
        let mark = self.wire.mark();
        self.configure(&format!("{POLICY}\n[policy]\nno_such_key = 1\n"))?;
        let before = self.machine.sh(PID)?;
        let reload = self.machine.run("systemctl reload octroi")?;
        hold!(reload.code != 0, "a reload takes an invalid configuration: {}", reload.said);
        hold!(self.machine.sh(PID)? == before, "a reload ended the daemon: {}", reload.said);
        self.machine.sh("systemctl restart octroi")?;
        let fallback = self.status()?["fallback"]["reason"].to_string();
        hold!(fallback.contains("no_such_key"), "fallback: {fallback}");
        self.configure(&format!("{POLICY}\n[control]\nfallback = false\n[policy]\nno_such_key = 1\n"))?;
        let restart = self.machine.run("systemctl restart octroi")?;
        hold!(restart.code != 0, "it starts with an invalid configuration");
        // Longer than the pause before another try.
        thread::sleep(Duration::from_secs(3));
        let show =
            self.machine.sh("systemctl show --property ActiveState,ExecMainStatus,NRestarts octroi")?;
        hold!(show.contains("ActiveState=failed") && show.contains("ExecMainStatus=78"), "{show}");
        let traffic = closed_for(&mark, Duration::from_secs(1))?;
        self.configure(POLICY)?;
        self.machine.sh("systemctl start octroi")?;
        hold!(self.status()?["fallback"].is_null(), "it still falls back");
        let judged = self.all_judged()?;
        self.say(
            "invalid configuration",
            &format!(
                "a reload is refused, a restart falls back; without fallback it ends with 78 and is not tried again; {judged}; \
                 {traffic}"
            ),
        )
    }

    pub(super) fn journal(&mut self) -> anyhow::Result<()> {
        let fields = "MESSAGE,PRIORITY,SYSLOG_IDENTIFIER,OCTROI_INTERFACE,OCTROI_MODE";
        let entries = self.machine.sh(&format!(
            "journalctl --boot --unit octroi --output json --output-fields {fields} OCTROI_INTERFACE=$(basename /sys/class/net/en*)"
        ))?;
        let attached = entries.lines().find(|line| line.contains("\"OCTROI_MODE\":\"native\""));
        let attached = attached.with_context(|| format!("no entry with its fields: {entries}"))?;
        hold!(attached.contains("\"PRIORITY\":\"6\"") && attached.contains("mode=native"), "{attached}");
        let score = self.machine.sh("systemd-analyze security octroi | grep Overall || true")?;
        self.say("journal", &format!("entries have their fields, such as OCTROI_MODE=native; {score}"))
    }

    /// How long until the daemon runs again after that signal, and the traffic meanwhile.
    pub(super) fn comes_back(&mut self, signal: &str, limit: Duration) -> anyhow::Result<(f64, String)> {
        let before = self.machine.sh(PID)?;
        let mark = self.wire.mark();
        self.machine.sh(&format!("kill -{signal} {before}"))?;
        let again =
            format!("pid=$({PID}); test $pid != 0 -a $pid != {before}; systemctl --quiet is-active octroi");
        let took = self.machine.until(limit, &again)?;
        let traffic = closed_for(&mark, Duration::from_secs(1))?;
        let judged = self.all_judged()?;
        Ok((took.as_secs_f64(), format!("{judged}; {traffic}")))
    }
}
