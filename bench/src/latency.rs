//! What memory costs on this machine: what one load takes that waits for another. A look-up has several of them; those of
//! one packet overlap with those of the next.

use crate::figures::Figure;

/// What the processor loads at once.
const LINE: usize = 64;
const PAGE: usize = 4096;
const STEPS: usize = 1 << 19;

/// Nanoseconds that a load takes which the next one waits for, at random places of `bytes` bytes in pages of 4 KiB, as
/// the values of BPF maps have.
pub(crate) fn dependent_load(bytes: usize, rounds: usize) -> Figure {
    let mut lines = vec![[0u32; LINE / 4]; bytes.div_ceil(LINE).max(2)];
    let start = lines.as_mut_ptr() as usize;
    let (first, last) = (start.next_multiple_of(PAGE), (start + size_of_val(lines.as_slice())) / PAGE * PAGE);
    // SAFETY: whole pages inside of the vector's memory, and the advice changes nothing in them. A kernel that does not take
    // it has no huge pages.
    unsafe { libc::madvise(first as *mut libc::c_void, last.saturating_sub(first), libc::MADV_NOHUGEPAGE) };
    // One way through all lines (Sattolo, "An Algorithm to Generate a Random Cyclic Permutation", 1986).
    let mut random = fastrand::Rng::with_seed(bytes as u64);
    let mut next: Vec<u32> = (0..u32::try_from(lines.len()).expect("fewer lines than 2^32")).collect();
    for last in (1..next.len()).rev() {
        next.swap(last, random.usize(..last));
    }
    for (line, next) in lines.iter_mut().zip(next) {
        line[0] = next;
    }
    let mut at = 0;
    Figure::of((0..rounds).map(|_| {
        let started = std::time::Instant::now();
        for _ in 0..STEPS {
            at = std::hint::black_box(lines[at as usize][0]);
        }
        started.elapsed().as_secs_f64() * 1e9 / STEPS as f64
    }))
}
