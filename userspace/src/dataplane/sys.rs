//! System calls that aya does not offer: a map of any size that can be mapped into memory, and mapping it.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd},
    ptr::{self, NonNull},
};

/// The part of `union bpf_attr` that BPF_MAP_CREATE reads (include/uapi/linux/bpf.h), up to the map's name.
#[repr(C)]
struct MapCreate {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
    inner_map_fd: u32,
    numa_node: u32,
    map_name: [u8; 16],
}

const BPF_MAP_CREATE: libc::c_long = 0;
const BPF_MAP_TYPE_ARRAY: u32 = 2;
const BPF_F_MMAPABLE: u32 = 1 << 10;

/// Creates an array of `count` elements of `value_size` bytes, a multiple of 8 where there are several, that can be mapped
/// into memory: one after the other.
pub(super) fn create_mappable(name: &str, value_size: usize, count: u32) -> io::Result<OwnedFd> {
    let mut map_name = [0; 16];
    for (to, from) in map_name[..15].iter_mut().zip(name.bytes()) {
        *to = from;
    }
    let attributes = MapCreate {
        map_type: BPF_MAP_TYPE_ARRAY,
        key_size: 4,
        value_size: u32::try_from(value_size).map_err(|_| io::Error::from_raw_os_error(libc::E2BIG))?,
        max_entries: count,
        map_flags: BPF_F_MMAPABLE,
        inner_map_fd: 0,
        numa_node: 0,
        map_name,
    };
    // SAFETY: the kernel reads `size_of` bytes of a structure that lives until the call returns.
    let fd = unsafe {
        libc::syscall(libc::SYS_bpf, BPF_MAP_CREATE, &raw const attributes, size_of::<MapCreate>())
    };
    match i32::try_from(fd) {
        // SAFETY: a descriptor that the call just opened, owned by nobody else.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A map's elements, mapped into memory and shared with the kernel.
#[derive(Debug)]
pub struct Mapped {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the mapping belongs to this value alone, and it is only reached through it.
unsafe impl Send for Mapped {}
// SAFETY: shared access only reads single words, volatile.
unsafe impl Sync for Mapped {}

impl Mapped {
    /// Maps the first `length` bytes.
    pub(super) fn new(map: &impl AsFd, length: usize) -> io::Result<Self> {
        let fd = map.as_fd().as_raw_fd();
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours.
        let start = unsafe {
            libc::mmap(ptr::null_mut(), length, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED, fd, 0)
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::from_raw_os_error(libc::EFAULT))?;
        Ok(Self { start, length })
    }

    /// A copy of all of it.
    #[must_use]
    pub fn read(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.length];
        // SAFETY: the mapping has as many bytes, and does not overlap a new vector.
        unsafe { ptr::copy_nonoverlapping(self.start.as_ptr(), bytes.as_mut_ptr(), self.length) };
        bytes
    }

    /// Copies `bytes` to the element's beginning.
    ///
    /// # Panics
    /// When they are more than the element has.
    pub fn write(&mut self, bytes: &[u8]) {
        self.write_at(0, bytes);
    }

    /// Copies `bytes` to byte offset `at`.
    ///
    /// # Panics
    /// When that is not within the element.
    pub fn write_at(&mut self, at: usize, bytes: &[u8]) {
        let end = at.checked_add(bytes.len());
        assert!(
            end.is_some_and(|end| end <= self.length),
            "{} bytes at {at} into {}",
            bytes.len(),
            self.length
        );
        // SAFETY: within the mapping, asserted above.
        let start = unsafe { self.start.as_ptr().add(at) };
        // SAFETY: the mapping has as many bytes from there on, asserted above, and does not overlap `bytes`.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), start, bytes.len()) };
    }

    /// Writes a u64, in the host's byte order, at byte offset `at`, a multiple of 8, all at once.
    ///
    /// # Panics
    /// When it is not within the element.
    pub fn write_u64(&mut self, at: usize, number: u64) {
        assert!(at.is_multiple_of(8) && at + 8 <= self.length, "offset {at} of {}", self.length);
        // SAFETY: within the mapping and aligned, asserted above.
        let address = unsafe { self.start.as_ptr().add(at) };
        // SAFETY: as above; volatile, since the kernel reads there.
        unsafe { ptr::write_volatile(address.cast(), number) };
    }

    /// Writes a u32, in the host's byte order, at byte offset `at`, a multiple of 4, all at once.
    ///
    /// # Panics
    /// When it is not within the element.
    pub fn write_u32(&mut self, at: usize, number: u32) {
        assert!(at.is_multiple_of(4) && at + 4 <= self.length, "offset {at} of {}", self.length);
        // SAFETY: within the mapping and aligned, asserted above.
        let address = unsafe { self.start.as_ptr().add(at) };
        // SAFETY: as above; volatile, since the kernel reads there.
        unsafe { ptr::write_volatile(address.cast(), number) };
    }

    /// The u32, in the host's byte order, at byte offset `at`, a multiple of 4.
    ///
    /// # Panics
    /// When it is not within the element.
    pub fn read_u32(&self, at: usize) -> u32 {
        assert!(at.is_multiple_of(4) && at + 4 <= self.length, "offset {at} of {}", self.length);
        // SAFETY: within the mapping and aligned, asserted above.
        let address = unsafe { self.start.as_ptr().add(at) };
        // SAFETY: as above; volatile, since the kernel writes there.
        unsafe { ptr::read_volatile(address.cast()) }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: the mapping that `new` made, which nobody can reach any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}
