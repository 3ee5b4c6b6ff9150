//! Somebody sets the machine's clock, by a year and more.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::ensure as hold;

use super::{PID, POLICY, Story};
use crate::vm::wire::Source;

/// The longest that the gate may take to follow the clock, on a machine as slow as this one.
const SOON: Duration = Duration::from_secs(5);

impl Story<'_> {
    /// Rules' times follow the clock, there and back; a lease that is over stays so.
    pub(super) fn clock_set(&mut self) -> anyhow::Result<()> {
        let date = self.machine.sh("date --utc --date='+6 months' +%FT%TZ")?;
        let rules = format!(
            "\n[[rule]]\nname = \"ends\"\nsource = {{ country = [\"JP\"] }}\naction = \"drop\"\nuntil = {date}\n\
             \n[[rule]]\nname = \"begins\"\nsource = {{ country = [\"KR\"] }}\naction = \"drop\"\nfrom = {date}\n"
        );
        self.configure(&format!("{POLICY}{rules}"))?;
        let leased = Source::Leased.address();
        self.machine.sh(&format!("octroi reload; octroi lease add {leased} --action pass --ttl 30d"))?;
        let before = self.machine.sh(PID)?;
        self.windows("enforce", "observe", true)?;

        let there = self.step("+1 year", Source::Ends, true)?;
        self.windows("expired", "enforce", false)?;
        let leases = self.machine.sh("octroi lease list --json")?;
        hold!(!leases.contains(&leased.to_string()), "the lease is still there: {leases}");
        // What is over is left out of a policy that is compiled now.
        self.machine.sh("octroi reload")?;
        self.windows("expired", "enforce", false)?;

        let back = self.step("-1 year", Source::Ends, false)?;
        self.windows("enforce", "observe", false)?;
        let after = self.machine.sh(PID)?;
        hold!(before == after, "process {before} before, {after} after");
        let judged = self.all_judged()?;
        self.configure(POLICY)?;
        self.machine.sh("octroi reload")?;
        self.say(
            "clock set by a year",
            &format!(
                "a rule that ends and one that begins in six months: both have after {there:.1} s, a lease of 30 days is over; \
                 a year back: as before after {back:.1} s, but for the lease; {judged}"
            ),
        )
    }

    /// What waits for confirm goes when its time is over, whatever the clock says.
    pub(super) fn clock_set_while_one_waits(&mut self) -> anyhow::Result<()> {
        const TIMEOUT: Duration = Duration::from_secs(15);
        self.write("/root/other.toml", super::boots::OTHER)?;
        let begun = Instant::now();
        self.machine.sh(&format!(
            "octroi apply /root/other.toml --confirm-timeout {}s; date --set='+1 year' >/dev/null",
            TIMEOUT.as_secs()
        ))?;
        let applied = begun.elapsed();
        let opened = self.answers(Source::Blocked4, true)?;
        hold!(self.status()?["pending_confirmation"].is_object(), "nothing waits for octroi confirm");
        let mut quiet = false;
        while !quiet && begun.elapsed() < applied + TIMEOUT + SOON {
            let mark = self.wire.mark();
            thread::sleep(Duration::from_millis(500));
            quiet = mark.since().blocked().answered == 0;
        }
        let took = begun.elapsed().as_secs_f64();
        hold!(quiet && begun.elapsed() > TIMEOUT, "after {took:.1} s it has gone: {quiet}");
        self.answers(Source::Blocked4, false)?;
        let status = self.status()?;
        hold!(status["pending_confirmation"].is_null(), "it still waits: {status}");
        self.machine.sh("date --set='-1 year' >/dev/null")?;
        self.say(
            "clock set while a policy waits for confirm",
            &format!(
                "{opened} from China answered; gone after {took:.1} s of {TIMEOUT:?}, the clock a year ahead"
            ),
        )
    }

    /// Sets the clock; how many seconds until that source is answered, or not any more.
    fn step(&mut self, by: &str, source: Source, expected: bool) -> anyhow::Result<f64> {
        self.machine.sh(&format!("date --set='{by}' >/dev/null"))?;
        let begun = Instant::now();
        loop {
            let mark = self.wire.mark();
            thread::sleep(Duration::from_millis(200));
            let count = mark.since().of(source);
            if count.sent > 0 && (count.answered > 0) == expected {
                return Ok(begun.elapsed().as_secs_f64());
            }
            hold!(begun.elapsed() < SOON, "{by}: of {source:?}, {count} are answered {SOON:?} later");
        }
    }

    /// That the rules are in these stages, as the daemon and the packets tell; and that the leased source is let in or not.
    fn windows(&mut self, ends: &str, begins: &str, leased: bool) -> anyhow::Result<()> {
        let status = self.status()?;
        for (rule, stage) in [(1, ends), (2, begins)] {
            let rule = &status["rules"][rule];
            hold!(rule["stage"] == stage, "{rule}: not {stage}");
        }
        self.answers(Source::Ends, ends == "expired")?;
        self.answers(Source::Begins, begins == "observe")?;
        self.answers(Source::Leased, leased)?;
        self.answers(Source::Blocked4, false)?;
        self.answers(Source::Allowed4, true).map(drop)
    }
}
