//! What memory costs on this machine: the least that a look-up can take which has to wait for several loads in turn.

use crate::figures::Figure;

/// What the processor loads at once.
const LINE: usize = 64;
const STEPS: usize = 1 << 19;

/// Nanoseconds that a load takes which the next one waits for, at random places of `bytes` bytes in pages of 4 KiB, as
/// the values of BPF maps have.
pub(crate) fn dependent_load(bytes: usize, rounds: usize) -> Figure {
    let mut lines = vec![[0u32; LINE / 4]; bytes.div_ceil(LINE).max(2)];
    // SAFETY: the range is the vector's own memory; the advice changes nothing in it. A kernel that does not take it has no
    // huge pages, or the range starts within a page, and all but that one is advised.
    unsafe {
        let start = lines.as_mut_ptr().cast::<u8>();
        let inside = start.align_offset(4096);
        let length = size_of_val(lines.as_slice()).saturating_sub(inside);
        libc::madvise(start.add(inside).cast(), length, libc::MADV_NOHUGEPAGE);
    }
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
