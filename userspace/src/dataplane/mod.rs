//! The kernel objects: the only part of octroi that talks to eBPF.
//!
//! A *generation* is a loaded pair of programs with tables, classes and constants of its own ([`program`]). It is made
//! whole beside the running one; then each interface's pinned link is told to run the new program ([`links`]), which
//! is atomic for every packet. Counters and leases are shared by all generations ([`Shared`]).

mod attach;
pub mod bpffs;
pub mod clock;
mod clsact;
pub mod counters;
mod detach;
mod error;
mod filters;
pub mod interfaces;
pub mod kept;
pub mod leases;
pub mod links;
pub mod object;
mod older;
pub mod program;
mod shared;
pub mod sys;

pub use counters::Counters;
pub use detach::{Removed, filtered_by_pins, links_in_kernel, remove_pins};
pub use error::DataplaneError;
pub use interfaces::{Attached, Interface, Mode};
pub use links::{Beside, Dataplane, Filtered};
pub use object::prepare;
pub use program::{Probed, Program, ProgramOptions, Sharing};
pub use shared::Shared;
