//! Where threads run, and how long they have run: two CPUs, one that sends and one that receives.

use std::{fs, io};

use anyhow::{Context, ensure};

/// The CPU that sends.
pub(crate) const SENDER: usize = 0;
/// The CPU that receives.
pub(crate) const RECEIVER: usize = 1;

/// Keeps a thread on a CPU; 0 is the calling thread.
pub(crate) fn pin(thread: u32, cpu: usize) -> anyhow::Result<()> {
    // SAFETY: all zeros are a valid, empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `cpu` is one of the constants above, far below the set's 1024.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: the kernel reads as many bytes as the set has, and it lives until the call returns.
    let result =
        unsafe { libc::sched_setaffinity(libc::pid_t::try_from(thread)?, size_of_val(&set), &raw const set) };
    ensure!(result == 0, "keep thread {thread} on CPU {cpu}: {}", io::Error::last_os_error());
    Ok(())
}

/// Gives a thread the highest ordinary priority, so that others' work on this machine is measured less; 0 is the
/// calling thread.
pub(crate) fn prefer(thread: u32) -> anyhow::Result<()> {
    // SAFETY: takes numbers only.
    let result = unsafe { libc::setpriority(libc::PRIO_PROCESS, thread, -20) };
    ensure!(result == 0, "set the priority of thread {thread}: {}", io::Error::last_os_error());
    Ok(())
}

/// Nanoseconds that a thread has run.
pub(crate) fn cpu_time(thread: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{thread}/schedstat");
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let ran = text.split(' ').next().and_then(|field| field.parse().ok());
    ran.with_context(|| format!("no number of nanoseconds in {path}: {text:?}"))
}
