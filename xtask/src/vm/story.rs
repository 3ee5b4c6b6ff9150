//! What happens to one machine, step by step. Each step says what has to hold, and prints what was measured.

mod boots;
mod clock;
mod daemon;
mod packages;

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure as hold};
use serde_json::Value;

use super::{
    machine::{Machine, Parts},
    wire::{Count, Mark, Since, Source, Wire},
};

/// Sources in China are dropped.
const POLICY: &str =
    "interfaces = [\"en*\"]\n\n[[rule]]\nname = \"cn\"\nsource = { country = [\"CN\"] }\naction = \"drop\"\n";

/// The daemon's process; 0 where none runs.
const PID: &str = "systemctl show --property MainPID --value octroi";

/// Goes through it: `first` and `next` are packages on the machine's second disk.
pub(super) fn tell(parts: &Parts<'_>, first: &str, next: &str) -> anyhow::Result<()> {
    parts.new_disk()?;
    let machine = parts.boot()?;
    let mut story = Story { parts, wire: parts.wire, machine, chapter: 0, begun: Instant::now() };
    let told = story.whole(first, next);
    told.map_err(|error| error.context(format!("step {} fails; {}", story.chapter + 1, story.describe())))
}

struct Story<'all> {
    parts: &'all Parts<'all>,
    wire: &'all Wire,
    machine: Machine,
    chapter: u32,
    begun: Instant,
}

impl Story<'_> {
    fn whole(&mut self, first: &str, next: &str) -> anyhow::Result<()> {
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
        self.journal()?;
        self.clock_set()?;
        self.clock_set_while_one_waits()?;
        self.waiting_over_a_restart()?;
        self.power_cut_after_a_lease()?;
        self.power_cuts_in_reloads()?;
        self.broken_database()?;
        self.disabled()?;
        self.remove()?;
        self.purge()
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

    /// Writes the daemon's configuration.
    fn configure(&mut self, policy: &str) -> anyhow::Result<()> {
        self.write("/etc/octroi/octroi.toml", policy)
    }

    fn write(&mut self, path: &str, text: &str) -> anyhow::Result<()> {
        self.machine.sh(&format!("cat > {path} <<'END OF FILE'\n{text}\nEND OF FILE")).map(drop)
    }

    /// What the daemon says of itself.
    fn status(&mut self) -> anyhow::Result<Value> {
        let said = self.machine.sh("octroi status --json")?;
        serde_json::from_str(&said).with_context(|| format!("octroi status --json: {said}"))
    }

    /// That, from now on, what comes from that source is answered or not; how many of how many.
    fn answers(&self, source: Source, expected: bool) -> anyhow::Result<Count> {
        self.settle();
        let mark = self.wire.mark();
        thread::sleep(Duration::from_secs(1));
        let count = mark.since().of(source);
        hold!(count.sent > 0 && (count.answered > 0) == expected, "{source:?}: {count} answered");
        Ok(count)
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
