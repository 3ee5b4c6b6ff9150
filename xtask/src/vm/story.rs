//! What happens to one machine, step by step. Each step says what has to hold, and prints what was measured.

mod boots;
mod clock;
mod daemon;
mod packages;
mod policies;

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure as hold};
use serde_json::Value;

use super::{
    machine::{Machine, Setting},
    wire::{Count, Mark, Since, Source, Wire},
};

/// Sources in China are dropped.
const POLICY: &str =
    "interfaces = [\"en*\"]\n\n[[rule]]\nname = \"cn\"\nsource = { country = [\"CN\"] }\naction = \"drop\"\n";

/// The daemon's process; 0 where none runs.
const PID: &str = "systemctl show --property MainPID --value octroi";

/// Part of the story, on a machine that runs octroi before and after it.
type Part<'all> = fn(&mut Story<'all>) -> anyhow::Result<()>;

/// What happens between installation and removal, under the names that `--part` takes.
fn parts<'all>() -> [(&'static str, Part<'all>); 16] {
    [
        ("policies", Story::policies),
        ("restart", Story::restart_of_the_machine),
        ("stop", Story::stop_and_start),
        ("restarts", Story::restarts),
        ("upgrade", Story::upgrade),
        ("kill", Story::kill),
        ("hang", Story::hang),
        ("invalid", Story::invalid),
        ("journal", Story::journal),
        ("clock", Story::clock_set),
        ("clock-and-confirm", Story::clock_set_while_one_waits),
        ("confirm", Story::waiting_over_a_restart),
        ("lease", Story::power_cut_after_a_lease),
        ("reload", Story::power_cuts_in_reloads),
        ("database", Story::broken_database),
        ("disabled", Story::disabled),
    ]
}

/// Goes through it: `first` and `next` are packages on the machine's second disk; of the parts, the chosen ones, or all where
/// none is.
pub(super) fn tell(setting: &Setting<'_>, first: &str, next: &str, chosen: &[String]) -> anyhow::Result<()> {
    let known = parts().map(|(name, _)| name);
    if let Some(unknown) = chosen.iter().find(|name| !known.contains(&name.as_str())) {
        bail!("the story has no part {unknown:?}; it has {}", known.join(", "));
    }
    setting.new_disk()?;
    let machine = setting.boot()?;
    let (wire, next) = (setting.wire, next.to_owned());
    let mut story = Story { setting, wire, machine, next, unjudged: 0, chapter: 0, begun: Instant::now() };
    let told = story.whole(first, chosen);
    told.map_err(|error| error.context(format!("step {} fails; {}", story.chapter + 1, story.describe())))
}

struct Story<'all> {
    setting: &'all Setting<'all>,
    wire: &'all Wire,
    machine: Machine,
    /// The package to upgrade to.
    next: String,
    /// Frames that the interface received in this boot before the gate was closed.
    unjudged: u64,
    chapter: u32,
    begun: Instant,
}

impl Story<'_> {
    fn whole(&mut self, first: &str, chosen: &[String]) -> anyhow::Result<()> {
        self.without()?;
        self.install(first)?;
        self.enable()?;
        for (name, part) in parts() {
            if chosen.is_empty() || chosen.iter().any(|one| one == name) {
                part(self).with_context(|| format!("part {name:?}"))?;
            }
        }
        self.remove()?;
        self.purge()
    }

    /// That every frame that the interface received since the gate was closed was judged: counted by the gate.
    fn all_judged(&mut self) -> anyhow::Result<String> {
        let (received, counted) = self.frames()?;
        let received = received - self.unjudged;
        hold!(received == counted && received > 0, "{received} frames received, {counted} judged");
        Ok(format!("{counted} of {received} frames received judged"))
    }

    /// From here on, all frames have to be judged, though the interface has received some that were not.
    fn closed_now(&mut self) -> anyhow::Result<()> {
        let (received, counted) = self.frames()?;
        self.unjudged = received - counted;
        Ok(())
    }

    /// How many frames the interface has received since the machine is on, and the gate has counted.
    fn frames(&mut self) -> anyhow::Result<(u64, u64)> {
        self.wire.pause(true);
        self.settle();
        let received = self.machine.sh("cat /sys/class/net/en*/statistics/rx_packets");
        let counted = self.machine.sh(
            "exec 3<>/dev/tcp/127.0.0.1/9462; printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3
             sed -nE 's/^octroi_(packets|other_packets)_total\\{.*\\} ([0-9]+)$/\\2/p' <&3 | { n=0; while read c; do n=$((n + c)); done; echo $n; }",
        );
        self.wire.pause(false);
        Ok((received?.parse()?, counted?.parse()?))
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
        // Where the configuration is broken, it says that first.
        let json = said.lines().find(|line| line.starts_with('{')).unwrap_or_default();
        serde_json::from_str(json).with_context(|| format!("octroi status --json: {said}"))
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
