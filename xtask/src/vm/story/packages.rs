//! The package comes, is upgraded and goes.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure as hold};

use super::{PID, POLICY, Story, closed_for};

impl Story<'_> {
    pub(super) fn without(&mut self) -> anyhow::Result<()> {
        let seconds = self.open()?;
        self.say("no octroi", &format!("everything is answered, {seconds}"))
    }

    pub(super) fn install(&mut self, package: &str) -> anyhow::Result<()> {
        let said = self.apt(&format!("install /mnt/{package}"))?;
        hold!(said.contains("octroi filters nothing yet"), "{said}");
        let state =
            self.machine.sh("systemctl is-enabled octroi || true; systemctl is-active octroi || true")?;
        hold!(state == "disabled\ninactive", "octroi.service is {state}");
        self.machine.sh("id octroi && octroi check && test -z \"$(ls /sys/fs/bpf/octroi)\"")?;
        let traffic = self.open()?;
        self.say(
            "installed",
            &format!("{package}: disabled and inactive, its configuration is valid; {traffic}"),
        )
    }

    pub(super) fn enable(&mut self) -> anyhow::Result<()> {
        self.configure(POLICY)?;
        let begun = Instant::now();
        self.machine.sh("systemctl enable --quiet --now octroi")?;
        let took = begun.elapsed().as_secs_f64();
        let status = self.machine.sh("octroi status --json")?;
        hold!(status.contains("\"mode\":\"native\""), "{status}");
        let user = self.machine.sh(&format!("stat --format %U /proc/$({PID})"))?;
        hold!(user == "octroi", "it runs as {user}");
        let text = self.machine.sh("systemctl show --property StatusText --value octroi")?;
        hold!(text.contains("generation"), "its status is {text:?}");
        self.closed_now()?;
        let mark = self.wire.mark();
        let traffic = closed_for(&mark, Duration::from_secs(3))?;
        self.all_judged()?;
        self.say(
            "enabled and started",
            &format!("ready in {took:.1} s as user {user}, \"{text}\"; {traffic}"),
        )
    }

    pub(super) fn upgrade(&mut self) -> anyhow::Result<()> {
        let package = self.next.clone();
        let before = self.machine.sh(PID)?;
        let mark = self.wire.mark();
        let said = self.machine.sh(&format!("dpkg --install /mnt/{package}"))?;
        let traffic = closed_for(&mark, Duration::from_secs(1))?;
        let after = self.machine.sh(PID)?;
        hold!(after != "0" && after != before, "process {before} before, {after} after:\n{said}");
        let version = self.machine.sh("dpkg-query --show --showformat '${Version} ${Status}' octroi")?;
        hold!(package.contains(version.split(' ').next().unwrap_or("?")), "{version}");
        hold!(version.ends_with("install ok installed"), "{version}");
        // What the administrator wrote is still there, and nobody was asked about it.
        self.machine.sh("grep -q 'en\\*' /etc/octroi/octroi.toml")?;
        let judged = self.all_judged()?;
        self.say("upgraded", &format!("{version}, process {before} to {after}; {judged}; {traffic}"))
    }

    pub(super) fn remove(&mut self) -> anyhow::Result<()> {
        let said = self.apt("remove octroi")?;
        let detached = said.lines().find(|line| line.starts_with("octroi: the gate is open; detached: 1"));
        let detached =
            detached.with_context(|| format!("it does not say that it opened the gate:\n{said}"))?.to_owned();
        self.machine.sh(
            "! ip -details link | grep xdp; test ! -e /sys/fs/bpf/octroi; test -e /etc/octroi/octroi.toml",
        )?;
        let traffic = self.open()?;
        self.say(
            "removed",
            &format!("\"{detached}\", no program, no pins, the configuration stays; {traffic}"),
        )
    }

    pub(super) fn purge(&mut self) -> anyhow::Result<()> {
        self.apt("purge octroi")?;
        // Whatever has its name, on the disk and in memory. The journal's own notes of past runs go with the boot.
        let left = self.machine.sh(
            "find / -xdev -iname '*octroi*'; find /run /sys/fs/bpf /dev/shm /tmp -iname '*octroi*' ! -path '/run/systemd/units/*'",
        )?;
        hold!(left.is_empty(), "left behind:\n{left}");
        let user = self.machine.sh("getent passwd octroi || true")?;
        let traffic = self.open()?;
        let user = if user.is_empty() { "no user" } else { "its user alone" };
        self.say("purged", &format!("{user} is left; {traffic}"))
    }

    pub(super) fn apt(&mut self, what: &str) -> anyhow::Result<String> {
        self.machine.sh(&format!("DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0 {what}"))
    }
}
