//! The other end of the machine's network interface: echo requests from several sources all the time, whatever the
//! machine does, and a count of those that it answers. What octroi drops is not answered; what gets through is, as soon
//! as the interface has its addresses, by the kernel, without any program of the machine's.

use std::{
    fmt, fs,
    net::IpAddr,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::Context;
use octroi_gate::corpus::build::icmp;

pub(super) const HOST4: &str = "203.0.113.1";
pub(super) const GUEST4: &str = "203.0.113.2";
pub(super) const HOST6: &str = "2001:db8::1";
pub(super) const GUEST6: &str = "2001:db8::2";
pub(super) const HOST_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x01];
pub(super) const GUEST_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x02];

/// Between two requests of a source.
const PAUSE: Duration = Duration::from_millis(20);

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Source {
    /// From China, which the policy blocks.
    Blocked4,
    /// The same in IPv6.
    Blocked6,
    /// From China, too: it gets a lease in the course of the story.
    Leased,
    /// From the United States.
    Allowed4,
    /// From Canada, in IPv6.
    Allowed6,
    /// From Japan, about which there is a rule that ends.
    Ends,
    /// From Korea, about which there is a rule that begins.
    Begins,
}

impl Source {
    const ALL: [Self; 7] = [
        Self::Blocked4,
        Self::Blocked6,
        Self::Leased,
        Self::Allowed4,
        Self::Allowed6,
        Self::Ends,
        Self::Begins,
    ];

    pub(super) fn address(self) -> IpAddr {
        let text = match self {
            Self::Blocked4 => "1.0.1.1",
            Self::Blocked6 => "240e::1",
            Self::Leased => "1.0.8.1",
            Self::Allowed4 => "8.8.8.8",
            Self::Allowed6 => "2001:4860:4860::8888",
            Self::Ends => "1.0.16.1",
            Self::Begins => "1.16.0.1",
        };
        text.parse().expect("an address")
    }

    pub(super) fn request(self) -> Vec<u8> {
        let source = self.address();
        let guest = if source.is_ipv4() { GUEST4 } else { GUEST6 };
        // The frame's addresses on the link are those of the builder, which are the ones above.
        icmp(source, guest.parse().expect("an address")).frame()
    }
}

/// What one source has asked, and what it was answered.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Count {
    pub(super) sent: u64,
    pub(super) answered: u64,
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.answered, self.sent)
    }
}

#[derive(Clone, Copy, Default)]
struct Figures {
    counts: [Count; 7],
    /// When an allowed source was answered last, and the longest time between two such answers.
    last: Option<Instant>,
    longest: Duration,
}

/// What happened on the wire since a moment.
pub(super) struct Since {
    counts: [Count; 7],
    pub(super) longest_silence: Duration,
}

impl Since {
    pub(super) fn of(&self, source: Source) -> Count {
        self.counts[source as usize]
    }

    /// Both blocked sources together.
    pub(super) fn blocked(&self) -> Count {
        self.sum(Source::Blocked4, Source::Blocked6)
    }

    /// Both allowed sources together.
    pub(super) fn allowed(&self) -> Count {
        self.sum(Source::Allowed4, Source::Allowed6)
    }

    fn sum(&self, one: Source, other: Source) -> Count {
        let (one, other) = (self.of(one), self.of(other));
        Count { sent: one.sent + other.sent, answered: one.answered + other.answered }
    }
}

/// The wire, alive.
pub(super) struct Wire {
    figures: Arc<Mutex<Figures>>,
    paused: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    here: PathBuf,
    there: PathBuf,
}

impl Wire {
    /// A wire between two sockets in a folder.
    pub(super) fn new(folder: &Path) -> anyhow::Result<Self> {
        let (here, there) = (folder.join("wire-host"), folder.join("wire-machine"));
        let _ = fs::remove_file(&here);
        let socket = UnixDatagram::bind(&here).with_context(|| format!("bind {}", here.display()))?;
        socket.set_nonblocking(true)?;
        let figures = Arc::new(Mutex::new(Figures::default()));
        let (paused, ended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let thread = thread::spawn({
            let (figures, paused, ended, there) =
                (Arc::clone(&figures), Arc::clone(&paused), Arc::clone(&ended), there.clone());
            move || live(&socket, &there, &figures, &paused, &ended)
        });
        Ok(Self { figures, paused, ended, thread: Some(thread), here, there })
    }

    /// QEMU's option for its end.
    pub(super) fn netdev(&self) -> String {
        let (here, there) = (self.here.display(), self.there.display());
        format!("dgram,id=wire,local.type=unix,local.path={there},remote.type=unix,remote.path={here}")
    }

    /// QEMU does not take over what a QEMU before it left.
    pub(super) fn unplug(&self) {
        let _ = fs::remove_file(&self.there);
    }

    /// Whether requests are sent.
    pub(super) fn pause(&self, paused: bool) {
        self.paused.store(paused, Ordering::SeqCst);
    }

    /// From here on, `Mark::since` counts.
    pub(super) fn mark(&self) -> Mark<'_> {
        let mut figures = self.figures.lock().expect("no thread panics with it");
        figures.longest = Duration::ZERO;
        figures.last = Some(Instant::now());
        Mark { wire: self, counts: figures.counts }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            // It has nothing to say.
            let _ = thread.join();
        }
        let _ = fs::remove_file(&self.here);
    }
}

/// A moment.
pub(super) struct Mark<'wire> {
    wire: &'wire Wire,
    counts: [Count; 7],
}

impl Mark<'_> {
    /// What happened since then.
    pub(super) fn since(&self) -> Since {
        let figures = *self.wire.figures.lock().expect("no thread panics with it");
        let mut counts = figures.counts;
        for (count, before) in counts.iter_mut().zip(self.counts) {
            count.sent -= before.sent;
            count.answered -= before.answered;
        }
        let silence = figures.last.map(|last| last.elapsed()).unwrap_or_default();
        Since { counts, longest_silence: figures.longest.max(silence) }
    }
}

fn live(
    socket: &UnixDatagram,
    there: &Path,
    figures: &Mutex<Figures>,
    paused: &AtomicBool,
    ended: &AtomicBool,
) {
    let requests = Source::ALL.map(Source::request);
    let mut buffer = [0; 2048];
    let mut next = Instant::now();
    while !ended.load(Ordering::SeqCst) {
        if Instant::now() >= next {
            next += PAUSE;
            for (source, request) in Source::ALL.into_iter().zip(&requests) {
                // Nobody there, or nobody who takes it, as while the machine is off: it was not sent.
                if !paused.load(Ordering::SeqCst) && socket.send_to(request, there).is_ok() {
                    figures.lock().expect("no thread panics with it").counts[source as usize].sent += 1;
                }
            }
        }
        while let Ok(length) = socket.recv(&mut buffer) {
            if let Some(source) = answered(&buffer[..length]) {
                let mut figures = figures.lock().expect("no thread panics with it");
                figures.counts[source as usize].answered += 1;
                if matches!(source, Source::Allowed4 | Source::Allowed6) {
                    let silence = figures.last.map(|last| last.elapsed()).unwrap_or_default();
                    figures.longest = figures.longest.max(silence);
                    figures.last = Some(Instant::now());
                }
            }
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// Whose request a frame from the machine answers.
fn answered(frame: &[u8]) -> Option<Source> {
    let ethertype = u16::from_be_bytes([*frame.get(12)?, *frame.get(13)?]);
    let packet = &frame[14..];
    let destination: IpAddr = match ethertype {
        // An echo reply is ICMP 0, or ICMPv6 129; the machine sends no options.
        0x0800 if *packet.get(9)? == 1 && *packet.get(20)? == 0 => {
            <[u8; 4]>::try_from(packet.get(16..20)?).ok()?.into()
        }
        0x86dd if *packet.get(6)? == 58 && *packet.get(40)? == 129 => {
            <[u8; 16]>::try_from(packet.get(24..40)?).ok()?.into()
        }
        _ => return None,
    };
    Source::ALL.into_iter().find(|source| source.address() == destination)
}

/// An address on the link, as people write it.
pub(super) fn text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

#[cfg(test)]
mod tests {
    use octroi_gate::corpus::build::{ICMP, ICMPV6, RECEIVER_MAC, SENDER_MAC, icmp_type};

    use super::*;

    #[test]
    fn requests_go_to_the_machine_and_replies_are_told_from_all_else() {
        assert_eq!((HOST_MAC, GUEST_MAC), (SENDER_MAC, RECEIVER_MAC));
        for source in Source::ALL {
            assert_eq!(answered(&source.request()), None);
            let address = source.address();
            let (guest, protocol, kind) =
                if address.is_ipv4() { (GUEST4, ICMP, 0) } else { (GUEST6, ICMPV6, 129) };
            let reply = icmp_type(guest.parse().expect("an address"), address, protocol, kind).frame();
            assert_eq!(answered(&reply), Some(source));
            assert_eq!(answered(&reply[..30]), None);
        }
    }
}
