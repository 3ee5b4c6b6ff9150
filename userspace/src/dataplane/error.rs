//! What can go wrong in the kernel, with what it said and what helps.

use std::io;

use aya::{EbpfError, maps::MapError, programs::ProgramError};
use ipnetwork::IpNetwork;
use octroi_abi::MAX_LEASES;

use super::bpffs::BpffsError;

/// Why the kernel side could not be set up or changed.
#[derive(Debug, thiserror::Error)]
pub enum DataplaneError {
    /// The directory of pins.
    #[error(transparent)]
    Bpffs(#[from] BpffsError),
    /// A map could not be made.
    #[error("{}: {error}{}", map(name, *bytes, .error), privilege_hint(.error))]
    Map {
        /// Its name.
        name: &'static str,
        /// The size of its value.
        bytes: usize,
        /// The kernel's reason.
        error: io::Error,
    },
    /// The eBPF object could not be loaded.
    #[error("load the eBPF object: {}", with_sources(.0))]
    Object(EbpfError),
    /// The object lacks something: it belongs to another version.
    #[error("the eBPF object has no {name}: it was built for another version")]
    Missing {
        /// What.
        name: &'static str,
    },
    /// The verifier refused a program.
    #[error("load the program {name}: {}", with_sources(.error))]
    Verifier {
        /// The program.
        name: &'static str,
        /// The verifier's words.
        error: ProgramError,
    },
    /// The kernel does not say which program it is.
    #[error("look up the program {name}, which runs: {}", with_sources(.error))]
    Id {
        /// The program.
        name: &'static str,
        /// The kernel's reason.
        error: ProgramError,
    },
    /// A test run failed.
    #[error("test run of a frame of {bytes} bytes: {}", with_sources(.error))]
    TestRun {
        /// The frame's length.
        bytes: usize,
        /// The kernel's reason.
        error: ProgramError,
    },
    /// The counters could not be read.
    #[error("read the counters: {0}")]
    Counters(MapError),
    /// No more leases fit.
    #[error(
        "add the lease {prefix}: there are {MAX_LEASES} of its family, and no more fit; remove some, which `octroi lease list` \
         shows, or bring prefixes together"
    )]
    LeasesFull {
        /// The prefix that one was to be added for.
        prefix: IpNetwork,
    },
    /// A lease could not be changed.
    #[error("change the lease {prefix} in the kernel: {}", with_sources(.error))]
    Lease {
        /// Its prefix.
        prefix: IpNetwork,
        /// The kernel's reason.
        error: MapError,
    },
    /// A program could not be attached.
    #[error("attach XDP to {interface}: {reason}")]
    Attach {
        /// The interface.
        interface: String,
        /// Why, and what helps.
        reason: String,
    },
    /// A running link could not be given the new program.
    #[error("replace the program on {interface}: {reason}")]
    Replace {
        /// The interface.
        interface: String,
        /// Why.
        reason: String,
    },
    /// Interfaces could not be listed.
    #[error("list network interfaces: {0}")]
    Interfaces(io::Error),
}

/// An error with the errors behind it, which hold the kernel's reason. Of the verifier's log, only the end: that is
/// where its reason is.
pub(super) fn with_sources(error: &dyn std::error::Error) -> String {
    const LINES: usize = 12;
    let text = whole_text(error);
    let lines: Vec<&str> = text.lines().collect();
    if lines.len() <= LINES + 1 {
        return text;
    }
    format!("{}\n…\n{}", lines[0], lines[lines.len() - LINES..].join("\n"))
}

fn whole_text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// What failed: who lacks the privilege cannot make any map, whichever was the first.
fn map(name: &str, bytes: usize, error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EPERM) => "load the gate into the kernel".into(),
        _ => format!("make the map {name} of {bytes} bytes"),
    }
}

fn privilege_hint(error: &io::Error) -> &'static str {
    if error.raw_os_error() == Some(libc::EPERM) {
        "; run it as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON, as octroi.service does"
    } else {
        ""
    }
}
