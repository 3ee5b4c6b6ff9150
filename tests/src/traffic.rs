//! Frames from one blocked and one allowed source for as long as something else goes on, and the account afterwards.

use std::{
    fmt,
    net::IpAddr,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use octroi_gate::corpus::build::udp;

use crate::{
    gate::Gate,
    netns::{Lab, Pair},
    nft::Counters,
    wire::{Receiver, Sender},
};

/// A source in China, and one in the United States.
const BLOCKED: &str = "1.0.1.1";
const ALLOWED: &str = "8.8.8.8";
/// More than any test sends.
const MOST: u64 = 20_000_000;

/// Whether a frame from China comes in by a wire; one from the United States has to.
///
/// # Panics
/// Where that one is lost.
#[track_caller]
pub fn lets_china_in(lab: &Lab, pair: &Pair) -> bool {
    lets_in(lab, pair, BLOCKED)
}

/// Whether a frame from that source comes in by a wire; one from the United States has to.
///
/// # Panics
/// Where that one is lost.
#[track_caller]
pub fn lets_in(lab: &Lab, pair: &Pair, source: &str) -> bool {
    let frame = |source: &str| {
        let source: IpAddr = source.parse().expect("an address");
        udp(source, pair.gate4.into()).ports(4000, 9).frame()
    };
    let receiver = Receiver::new(&lab.inside, &pair.gate);
    let sender = Sender::new(&lab.outside, &pair.peer);
    let (asked, allowed) = (frame(source), frame(ALLOWED));
    sender.send(&asked);
    sender.send(&allowed);
    let arrived = receiver.until(|frame| *frame == allowed, Duration::from_secs(5));
    arrived.contains(&asked)
}

/// What stands behind the gate and counts what arrives. It is there before the gate is.
#[derive(Debug)]
pub struct Traffic<'lab> {
    lab: &'lab Lab,
    /// The blocked source and the allowed one.
    sources: [&'static str; 2],
    arrived: Counters<'lab>,
    /// Frames of each source.
    sent: u64,
}

/// What became of the frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Account {
    /// Frames sent from each source.
    pub sent: u64,
    /// From the blocked source, and arrived.
    pub let_in: u64,
    /// From the allowed source, and did not arrive.
    pub lost: u64,
}

impl<'lab> Traffic<'lab> {
    /// From China, which is blocked, and from the United States. Nothing is sent yet.
    #[must_use]
    pub fn new(lab: &'lab Lab) -> Self {
        Self::between(lab, BLOCKED, ALLOWED)
    }

    /// From these two IPv4 addresses. Nothing is sent yet.
    #[must_use]
    pub fn between(lab: &'lab Lab, blocked: &'static str, allowed: &'static str) -> Self {
        let sources =
            [("blocked", &*format!("ip saddr {blocked}")), ("allowed", &*format!("ip saddr {allowed}"))];
        let arrived = Counters::install(&lab.inside, &sources);
        Self { lab, sources: [blocked, allowed], arrived, sent: 0 }
    }

    /// Sends about 20,000 frames a second, so that the receiving end's queue never runs over, until `work` is done.
    ///
    /// # Panics
    /// As `work` does.
    pub fn during<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let frame = |source: &str| {
            let source: IpAddr = source.parse().expect("an address");
            udp(source, self.lab.pair().gate4.into()).ports(4000, 9).frame()
        };
        let frames = self.sources.map(frame);
        let done = AtomicBool::new(false);
        let (sent, result) = thread::scope(|scope| {
            let traffic = scope.spawn(|| {
                let sender = Sender::new(&self.lab.outside, &self.lab.pair().peer);
                let mut sent = 0;
                while !done.load(Ordering::Relaxed) && sent < MOST {
                    sent += sender.flood(&frames, 40, Duration::from_secs(1)).sent;
                    thread::sleep(Duration::from_millis(2));
                }
                sent
            });
            // Also where it panics: the scope waits for the sender.
            let ends = Ends(&done);
            let result = work();
            drop(ends);
            (traffic.join().expect("the sender does not panic"), result)
        });
        self.sent += sent / 2;
        result
    }

    /// What became of all frames so far.
    #[must_use]
    pub fn account(&self) -> Account {
        thread::sleep(Duration::from_millis(300));
        let arrived = self.arrived.packets("allowed");
        Account { sent: self.sent, let_in: self.arrived.packets("blocked"), lost: self.sent - arrived }
    }

    /// What became of all frames so far, of which none may have been let in and none lost.
    ///
    /// # Panics
    /// Where it is not so.
    #[track_caller]
    #[must_use]
    pub fn exact(&self) -> Account {
        let account = self.account();
        assert_eq!(account, Account { sent: account.sent, let_in: 0, lost: 0 });
        account
    }

    /// Compares with what has to be of [`new`](Self::new)'s sources: none let in, none lost, and all of them counted once, over all daemons of the gate.
    ///
    /// # Panics
    /// Where it is not so.
    #[track_caller]
    pub fn check(&self, gate: &Gate<'_>) -> Account {
        let account = self.exact();
        let metrics = gate.metrics();
        let count = |country, verdict| {
            metrics.sum("octroi_packets_total", &[("country", country), ("verdict", verdict)])
        };
        #[expect(clippy::cast_precision_loss, reason = "a test sends fewer frames than 2^53")]
        let each = account.sent as f64;
        assert_eq!((count("CN", "drop"), count("US", "pass")), (each, each), "{}", gate.describe());
        assert_eq!(metrics.sum("octroi_rule_packets_total", &[("rule", "cn"), ("verdict", "drop")]), each);
        account
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, let_in, lost } = self;
        write!(
            f,
            "{sent} frames of each source: {let_in} blocked ones arrived, {lost} allowed ones were lost, counters exact"
        )
    }
}

/// Says that it is done when it is dropped.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
