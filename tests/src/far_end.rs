//! An XDP program that passes everything, on the far end of a wire.
//!
//! What a program on a native veth device sends back (`XDP_TX`) arrives only where the device's peer has an XDP program as
//! well. Network cards, and generic mode, need no such thing.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::netns::{Lab, Namespace};
use crate::wire::index;

/// The program while it is attached; it goes when dropped.
#[derive(Debug)]
pub struct FarEnd {
    _link: OwnedFd,
}

impl FarEnd {
    /// Attaches it to the outer end of a lab's first wire.
    ///
    /// # Panics
    /// As [`on`](FarEnd::on).
    pub fn of(lab: &Lab) -> FarEnd {
        FarEnd::on(&lab.outside, &lab.pair().peer)
    }

    /// Attaches it to a device of a namespace.
    ///
    /// # Panics
    /// Where there is no such device, it has a program already, or without CAP_BPF and CAP_NET_ADMIN.
    pub fn on(namespace: &Namespace, device: &str) -> FarEnd {
        let program = load();
        let link = namespace.run(|| attach(&program, device));
        FarEnd { _link: link }
    }
}

/// The part of `union bpf_attr` that BPF_PROG_LOAD reads (include/uapi/linux/bpf.h), up to the attach type.
#[repr(C)]
struct ProgramLoad {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    expected_attach_type: u32,
}

/// The same for BPF_LINK_CREATE.
#[repr(C)]
struct LinkCreate {
    program: u32,
    interface: u32,
    attach_type: u32,
    flags: u32,
}

const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_PROG_TYPE_XDP: u32 = 6;
const BPF_XDP: u32 = 37;
/// The program takes frames in several pieces, so that a large MTU is no obstacle.
const BPF_F_XDP_HAS_FRAGS: u32 = 1 << 5;
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;

fn load() -> OwnedFd {
    // r0 = XDP_PASS; exit
    const INSTRUCTIONS: [[u8; 8]; 2] = [[0xb7, 0, 0, 0, 2, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];
    const LICENSE: &[u8] = b"MIT\0";
    let attributes = ProgramLoad {
        program_type: BPF_PROG_TYPE_XDP,
        instruction_count: 2,
        instructions: INSTRUCTIONS.as_ptr().expose_provenance() as u64,
        license: LICENSE.as_ptr().expose_provenance() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags: BPF_F_XDP_HAS_FRAGS,
        name: *b"octroi_t_pass\0\0\0",
        interface: 0,
        expected_attach_type: BPF_XDP,
    };
    bpf(BPF_PROG_LOAD, &attributes).unwrap_or_else(|error| panic!("load a program that passes: {error}"))
}

/// Attaches a program to a device of the namespace that the calling thread is in.
fn attach(program: &OwnedFd, device: &str) -> OwnedFd {
    let number = |number: libc::c_int| u32::try_from(number).expect("descriptors and indexes are positive");
    let attributes = LinkCreate {
        program: number(program.as_raw_fd()),
        interface: number(index(device)),
        attach_type: BPF_XDP,
        flags: XDP_FLAGS_DRV_MODE,
    };
    bpf(BPF_LINK_CREATE, &attributes).unwrap_or_else(|error| panic!("attach a program to {device}: {error}"))
}

/// A call of bpf(2) that gives a descriptor.
fn bpf<T>(command: libc::c_long, attributes: &T) -> io::Result<OwnedFd> {
    // SAFETY: the kernel reads `size_of` bytes of a structure, and what it points to; all of it lives until the call returns.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, command, &raw const *attributes, size_of::<T>()) };
    match i32::try_from(fd) {
        // SAFETY: a descriptor that the call just opened, owned by nobody else.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}
