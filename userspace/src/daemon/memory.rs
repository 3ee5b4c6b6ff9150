//! Memory of a daemon that needs much for a second, and then little for weeks.

/// Vectors from this many bytes on are mapped by themselves, and go back to the kernel the moment they are freed. glibc
/// would raise its threshold to the size of the first large one that is freed, and from then on carve databases out of
/// arenas, where whatever outlives them keeps them.
#[cfg(target_env = "gnu")]
const OWN_MAPPING: libc::c_int = 128 << 10;

/// Prepares the allocator, before there are threads.
pub fn prepare() {
    #[cfg(target_env = "gnu")]
    for (parameter, value) in [(libc::M_MMAP_THRESHOLD, OWN_MAPPING), (libc::M_ARENA_MAX, 2)] {
        // SAFETY: takes numbers only, and a value that glibc does not like changes nothing.
        unsafe { libc::mallopt(parameter, value) };
    }
}

/// Databases and tables are large while they are compiled, and not needed afterwards: gives what is free to the kernel.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the call has no precondition; it returns free memory of the allocator to the kernel.
    unsafe {
        libc::malloc_trim(0);
    }
}
