//! Frames at a steady rate, where a flood would be too much.

use std::thread;
use std::time::{Duration, Instant};

use crate::wire::{Flood, LONGEST_FLOOD, Sender};

/// How many frames are sent at once, at most: a wire holds 256.
const AT_ONCE: usize = 64;
/// How long a sender sleeps in between, and when it has to catch up: the receiving end may need the same CPU.
const MOMENT: Duration = Duration::from_millis(1);
const SHORT_MOMENT: Duration = Duration::from_micros(100);

impl Sender {
    /// Sends the frames in turn, `rate` a second for as long as `time`, evenly. Who was held up catches up.
    ///
    /// # Panics
    /// Where the kernel refuses one, without frames, and above [`LONGEST_FLOOD`].
    #[track_caller]
    pub fn steadily(&self, frames: &[impl AsRef<[u8]>], rate: u32, time: Duration) -> Flood {
        assert!(time <= LONGEST_FLOOD, "{time:?} are more than {LONGEST_FLOOD:?}");
        // Whole rounds, of as many frames as one system call may take.
        let rounds = AT_ONCE.div_ceil(frames.len());
        let frames: Vec<&[u8]> =
            frames.iter().cycle().take(rounds * frames.len()).map(AsRef::as_ref).collect();
        let started = Instant::now();
        let due = |elapsed: Duration| elapsed.min(time).as_nanos() * u128::from(rate) / 1_000_000_000;
        let mut sent = 0;
        loop {
            let elapsed = started.elapsed();
            let missing = usize::try_from(due(elapsed) - u128::from(sent)).expect("a test sends few frames");
            if missing == 0 && elapsed >= time {
                return Flood { sent, elapsed };
            }
            if missing > 0 {
                let next = usize::try_from(sent).expect("a test sends few frames") % frames.len();
                let end = frames.len().min(next + missing.min(AT_ONCE));
                self.send_all(&frames[next..end]);
                sent += u64::try_from(end - next).expect("a test sends few frames");
            }
            thread::sleep(if missing > AT_ONCE { SHORT_MOMENT } else { MOMENT });
        }
    }
}
