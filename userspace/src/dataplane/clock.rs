//! What the gate's clock has to be told, and when.

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    ptr,
};

use tokio::io::{Interest, unix::AsyncFd};

/// What has to be added to the time since boot (CLOCK_BOOTTIME) to have the time since the Unix epoch (CLOCK_REALTIME), in
/// nanoseconds; wraps where a clock is wrong by decades.
///
/// Both clocks run at the same speed, whatever NTP does to it: what comes of it changes only where somebody sets the time.
#[must_use]
pub fn epoch() -> u64 {
    // The one that is read between two readings of the other, so that whoever interrupts this is seen.
    let reading = || {
        let before = read(libc::CLOCK_BOOTTIME);
        let real = read(libc::CLOCK_REALTIME);
        let after = read(libc::CLOCK_BOOTTIME);
        (after.wrapping_sub(before), real.wrapping_sub(before))
    };
    let readings = (0..8).map(|_| reading());
    readings.min_by_key(|reading| reading.0).map_or(0, |reading| reading.1)
}

/// The time since boot (CLOCK_BOOTTIME), in nanoseconds.
#[must_use]
pub fn since_boot() -> u64 {
    read(libc::CLOCK_BOOTTIME)
}

/// A clock's time in nanoseconds.
fn read(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec, which lives until the call returns. Both clocks are there on every kernel that
    // has XDP, so that it cannot fail.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    let part = |number: i64| u64::try_from(number).unwrap_or(0);
    part(time.tv_sec).wrapping_mul(1_000_000_000).wrapping_add(part(time.tv_nsec))
}

/// Tells when somebody sets the clock, which is not when it is slewed: timerfd_create(2), TFD_TIMER_CANCEL_ON_SET.
#[derive(Debug)]
pub struct Settings {
    timer: AsyncFd<OwnedFd>,
}

impl Settings {
    /// Begins to listen. Only within tokio's runtime.
    ///
    /// # Errors
    /// When the kernel gives no timer.
    pub fn listen() -> io::Result<Self> {
        // SAFETY: a call without pointers.
        let fd =
            unsafe { libc::timerfd_create(libc::CLOCK_REALTIME, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a descriptor that the call just opened, owned by nobody else.
        let timer = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: an owned descriptor is the same for as long as it lives.
        let timer = unsafe { AsyncFd::register_with_interest(timer, Interest::READABLE) }?;
        let settings = Self { timer };
        settings.arm()?;
        Ok(settings)
    }

    /// Waits until the clock is set.
    ///
    /// # Errors
    /// When the kernel does not give the timer again.
    pub async fn next(&self) -> io::Result<()> {
        loop {
            let mut ready = self.timer.readable().await?;
            let read = ready.try_io(|timer| {
                let mut expirations = 0u64;
                // SAFETY: the kernel writes 8 bytes, which live until the call returns.
                let read = unsafe { libc::read(timer.as_raw_fd(), (&raw mut expirations).cast(), 8) };
                if read < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
            });
            match read {
                // A false alarm.
                Err(_) => {}
                Ok(Err(error)) if error.raw_os_error() == Some(libc::ECANCELED) => return self.arm(),
                Ok(Err(error)) => return Err(error),
                // In the year 292277026596.
                Ok(Ok(())) => self.arm()?,
            }
        }
    }

    /// A timer that never expires, and is cancelled where the clock is set.
    fn arm(&self) -> io::Result<()> {
        const FLAGS: i32 = libc::TFD_TIMER_ABSTIME | libc::TFD_TIMER_CANCEL_ON_SET;
        let never = libc::timespec { tv_sec: i64::MAX, tv_nsec: 0 };
        let once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let timer = libc::itimerspec { it_interval: once, it_value: never };
        // SAFETY: the kernel reads a structure that lives until the call returns.
        let set = unsafe {
            libc::timerfd_settime(self.timer.as_raw_fd(), FLAGS, &raw const timer, ptr::null_mut())
        };
        if set < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_since_boot_and_the_epoch_are_now() {
        let now = read(libc::CLOCK_BOOTTIME).wrapping_add(epoch());
        let real = read(libc::CLOCK_REALTIME);
        assert!(real.abs_diff(now) < 50_000_000, "{now} and {real}");
    }
}
