//! What happens to one machine, step by step. Each step says what has to hold, and prints what was measured.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure as hold};

use super::{
    machine::{Machine, Parts},
    wire::{Mark, Since, Source, Wire},
};

const POLICY: &str =
    "interfaces = [\"en*\"]\n\n[[rule]]\nname = \"cn\"\nsource = { country = [\"CN\"] }\naction = \"drop\"\n";

/// The daemon's process; 0 where none runs.
const PID: &str = "systemctl show --property MainPID --value octroi";

/// Goes through it: `first` and `next` are packages on the machine's second disk.
pub(super) fn tell(parts: &Parts<'_>, first: &str, next: &str) -> anyhow::Result<()> {
    parts.new_disk()?;
    let mut story = Story { wire: parts.wire, machine: parts.boot()?, chapter: 0, begun: Instant::now() };
    let told = story.whole(parts, first, next);
    told.map_err(|error| error.context(format!("step {} fails; {}", story.chapter + 1, story.describe())))
}

struct Story<'all> {
    wire: &'all Wire,
    machine: Machine,
    chapter: u32,
    begun: Instant,
}

impl Story<'_> {
    fn whole(&mut self, parts: &Parts<'_>, first: &str, next: &str) -> anyhow::Result<()> {
        self.without()?;
        self.install(first)?;
        self.enable()?;
        self.restart_of_the_machine()?;
        self.stop_and_start()?;
        self.restarts()?;
        self.upgrade(next)?;
        self.kill()?;
        self.hang()?;
        self.invalid()?;
        self.power_cut(parts)?;
        self.journal()?;
        self.remove()?;
        self.purge()
    }

    fn without(&mut self) -> anyhow::Result<()> {
        let seconds = self.open()?;
        self.say("no octroi", &format!("everything is answered, {seconds}"))
    }

    fn install(&mut self, package: &str) -> anyhow::Result<()> {
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

    fn enable(&mut self) -> anyhow::Result<()> {
        let policy = POLICY.replace('"', "\\\"");
        self.machine.sh(&format!("printf %s \"{policy}\" > /etc/octroi/octroi.toml"))?;
        let begun = Instant::now();
        self.machine.sh("systemctl enable --quiet --now octroi")?;
        let took = begun.elapsed().as_secs_f64();
        let status = self.machine.sh("octroi status --json")?;
        hold!(status.contains("\"mode\":\"native\""), "{status}");
        let user = self.machine.sh(&format!("stat --format %U /proc/$({PID})"))?;
        hold!(user == "octroi", "it runs as {user}");
        let text = self.machine.sh("systemctl show --property StatusText --value octroi")?;
        hold!(text.contains("generation"), "its status is {text:?}");
        self.settle();
        let mark = self.wire.mark();
        let traffic = closed_for(&mark, Duration::from_secs(3))?;
        self.say(
            "enabled and started",
            &format!("ready in {took:.1} s as user {user}, \"{text}\"; {traffic}"),
        )
    }

    fn restart_of_the_machine(&mut self) -> anyhow::Result<()> {
        let mark = self.wire.mark();
        self.machine.restart()?;
        let (order, traffic) = (self.order()?, self.after_boot(&mark)?);
        let judged = self.all_judged()?;
        self.say("machine restarted", &format!("{order}; {judged}; {traffic}"))
    }

    fn stop_and_start(&mut self) -> anyhow::Result<()> {
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

    fn restarts(&mut self) -> anyhow::Result<()> {
        let mark = self.wire.mark();
        let begun = Instant::now();
        for _ in 0..5 {
            self.machine.sh("systemctl restart octroi")?;
        }
        let each = begun.elapsed().as_secs_f64() / 5.0;
        let traffic = closed_for(&mark, Duration::from_secs(1))?;
        self.say("restarted 5 times", &format!("{each:.1} s each; {traffic}"))
    }

    fn upgrade(&mut self, package: &str) -> anyhow::Result<()> {
        let before = self.machine.sh(PID)?;
        let mark = self.wire.mark();
        let said = self.apt(&format!("install /mnt/{package}"))?;
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

    fn kill(&mut self) -> anyhow::Result<()> {
        let (took, traffic) = self.comes_back("KILL", Duration::from_secs(30))?;
        self.say("killed", &format!("kill -9: back by itself after {took:.1} s; {traffic}"))
    }

    fn hang(&mut self) -> anyhow::Result<()> {
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

    fn invalid(&mut self) -> anyhow::Result<()> {
        let mark = self.wire.mark();
        self.machine.sh("cd /etc/octroi; cp octroi.toml good; echo 'no such key' >> octroi.toml")?;
        let before = self.machine.sh(PID)?;
        let reload = self.machine.run("systemctl reload octroi")?;
        hold!(
            reload.code != 0 && self.machine.sh(PID)? == before,
            "a reload ends with {}: {}",
            reload.code,
            reload.said
        );
        let restart = self.machine.run("systemctl restart octroi")?;
        hold!(restart.code != 0, "it starts with an invalid configuration");
        let properties = "ActiveState,ExecMainStatus,StartLimitIntervalUSec";
        // Longer than the pause before another try.
        thread::sleep(Duration::from_secs(3));
        let show = self.machine.sh(&format!("systemctl show --property {properties} --value octroi"))?;
        hold!(show.contains("failed") && show.contains("78"), "{show}");
        let traffic = closed_for(&mark, Duration::from_secs(1))?;
        self.machine.sh("cd /etc/octroi; mv good octroi.toml; systemctl start octroi")?;
        self.say(
            "invalid configuration",
            &format!("reload refused, restart ends with 78 and is not tried again; {traffic}"),
        )
    }

    fn power_cut(&mut self, parts: &Parts<'_>) -> anyhow::Result<()> {
        self.machine.sh("sync")?;
        let mark = self.wire.mark();
        self.machine.sh(&format!(
            "octroi lease add {} --action pass --ttl 1d --reason 'power cut'",
            Source::Leased.address()
        ))?;
        // What was acknowledged a moment ago has to be on the disk.
        self.machine.cut_power()?;
        let before = mark.since();
        hold!(before.blocked().answered == 0, "blocked sources were answered: {}", before.blocked());
        let mark = self.wire.mark();
        self.machine = parts.boot()?;
        let (order, traffic) = (self.order()?, self.after_boot(&mark)?);
        let leased = mark.since().of(Source::Leased);
        hold!(leased.answered > 0, "the lease from before the cut is gone: {leased} answered");
        let leases = self.machine.sh("octroi lease list --json")?;
        hold!(leases.contains("power cut"), "{leases}");
        let judged = self.all_judged()?;
        let lease = format!("the lease of a moment before is there, {leased} answered");
        self.say("power cut", &format!("{order}; {judged}; {traffic}; {lease}"))
    }

    fn journal(&mut self) -> anyhow::Result<()> {
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

    fn remove(&mut self) -> anyhow::Result<()> {
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

    fn purge(&mut self) -> anyhow::Result<()> {
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

    /// How long until the daemon runs again after that signal, and the traffic meanwhile.
    fn comes_back(&mut self, signal: &str, limit: Duration) -> anyhow::Result<(f64, String)> {
        let before = self.machine.sh(PID)?;
        let mark = self.wire.mark();
        self.machine.sh(&format!("kill -{signal} {before}"))?;
        let again =
            format!("pid=$({PID}); test $pid != 0 -a $pid != {before}; systemctl --quiet is-active octroi");
        let took = self.machine.until(limit, &again)?;
        let traffic = closed_for(&mark, Duration::from_secs(1))?;
        Ok((took.as_secs_f64(), traffic))
    }

    /// Which came first in this boot: the gate has to be closed before anything brings the interface up.
    fn order(&mut self) -> anyhow::Result<String> {
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
    fn after_boot(&mut self, mark: &Mark<'_>) -> anyhow::Result<String> {
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

    /// That every frame that the interface received since it is there was judged: counted by the gate.
    fn all_judged(&mut self) -> anyhow::Result<String> {
        self.wire.pause(true);
        self.settle();
        let received = self.machine.sh("cat /sys/class/net/en*/statistics/rx_packets");
        let counted = self.machine.sh(
            "exec 3<>/dev/tcp/127.0.0.1/9462; printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3
             sed -nE 's/^octroi_(packets|other_packets)_total\\{.*\\} ([0-9]+)$/\\2/p' <&3 | { n=0; while read c; do n=$((n + c)); done; echo $n; }",
        );
        self.wire.pause(false);
        let (received, counted): (u64, u64) = (received?.parse()?, counted?.parse()?);
        hold!(received == counted && received > 0, "{received} frames received, {counted} judged");
        Ok(format!("{counted} of {received} frames received judged"))
    }

    /// That every source is answered.
    fn open(&mut self) -> anyhow::Result<String> {
        let begun = Instant::now();
        self.settle();
        let mark = self.wire.mark();
        loop {
            thread::sleep(Duration::from_secs(1));
            let since = mark.since();
            if since.of(Source::Blocked4).answered > 20
                && since.of(Source::Blocked6).answered > 20
                && since.allowed().answered > 40
            {
                return Ok(format!(
                    "from China {}, from elsewhere {} answered",
                    since.blocked(),
                    since.allowed()
                ));
            }
            hold!(
                begun.elapsed() < Duration::from_secs(60),
                "not open: from China {}, from elsewhere {} answered",
                since.blocked(),
                since.allowed()
            );
        }
    }

    fn apt(&mut self, what: &str) -> anyhow::Result<String> {
        self.machine.sh(&format!("DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0 {what}"))
    }

    /// What the machine knows of octroi, for whoever has to find out.
    fn describe(&mut self) -> String {
        let ask = "set +e; systemctl status octroi --no-pager --full --lines 0; journalctl --boot --unit octroi --lines 40 --no-pager; \
                   ip -details link; true";
        self.machine.run(ask).map_or_else(|error| error.to_string(), |done| done.said)
    }

    /// What is under way arrives.
    fn settle(&self) {
        thread::sleep(Duration::from_millis(700));
    }

    fn say(&mut self, what: &str, figures: &str) -> anyhow::Result<()> {
        self.chapter += 1;
        println!("{:>3}. {what} ({:.0} s): {figures}", self.chapter, self.begun.elapsed().as_secs_f64());
        self.begun = Instant::now();
        Ok(())
    }
}

/// The same after a while.
fn closed_for(mark: &Mark<'_>, time: Duration) -> anyhow::Result<String> {
    thread::sleep(time);
    closed(&mark.since())
}

/// That no blocked source was answered, and allowed ones were.
fn closed(since: &Since) -> anyhow::Result<String> {
    let (blocked, allowed) = (since.blocked(), since.allowed());
    hold!(blocked.sent > 0 && blocked.answered == 0, "blocked sources were answered: {blocked}");
    hold!(allowed.answered > 0, "allowed sources were not: {allowed}");
    let silence = since.longest_silence.as_secs_f64();
    Ok(format!("blocked: {blocked} answered; allowed: {allowed}, longest silence {silence:.1} s"))
}
