//! Links of programs, as the kernel's own call steps them.

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

/// Makes a pinned link run a pinned program (BPF_LINK_UPDATE, include/uapi/linux/bpf.h).
///
/// # Panics
/// Where one of the pins is not there, or the kernel refuses.
pub fn step(link: &Path, program: &Path) {
    const BPF_LINK_UPDATE: libc::c_int = 29;
    #[repr(C)]
    struct Update {
        link: u32,
        program: u32,
        flags: u32,
        former: u32,
    }
    let number = |pin: &OwnedFd| u32::try_from(pin.as_raw_fd()).expect("an open file");
    let (link, program) = (open(link), open(program));
    let update = Update { link: number(&link), program: number(&program), flags: 0, former: 0 };
    call(BPF_LINK_UPDATE, &update).expect("a link of octroi's and a program for it");
}

/// What is pinned there (BPF_OBJ_GET).
fn open(pin: &Path) -> OwnedFd {
    const BPF_OBJ_GET: libc::c_int = 7;
    #[repr(C)]
    struct Get {
        path: u64,
        unused: [u32; 2],
    }
    let path = CString::new(pin.as_os_str().as_bytes()).expect("a path without zero bytes");
    let get = Get { path: path.as_ptr() as u64, unused: [0; 2] };
    let descriptor = call(BPF_OBJ_GET, &get).unwrap_or_else(|error| panic!("{}: {error}", pin.display()));
    // SAFETY: the kernel opened it just now, and nobody else knows it.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

fn call<T>(command: libc::c_int, attributes: &T) -> io::Result<libc::c_int> {
    let size = u32::try_from(size_of::<T>()).expect("some bytes");
    // SAFETY: the kernel reads `size` bytes, which live until the call returns, as does what they name.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attributes), size) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(libc::c_int::try_from(result).expect("a descriptor, or 0"))
}
