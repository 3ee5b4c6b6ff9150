//! One packet's decision, pure: parse → look up its class → decide. No memory of its own, no clock, no system call.
//!
//! The same code runs inside the kernel (the crate `octroi-ebpf` gives it a frame and a table there), in `cargo test`,
//! under a fuzzer, and behind `octroi explain` and `octroi replay --engine host`.
#![no_std]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

#[cfg(feature = "std")]
extern crate std;

pub mod bucket;
pub mod checksum;
pub mod connection;
#[cfg(feature = "std")]
pub mod corpus;
pub mod edit;
#[cfg(feature = "std")]
pub mod host;
pub mod judge;
pub mod lease;
pub mod packet;
pub mod ramp;
pub mod reject;
pub mod rewrite;
pub mod rules;
pub mod service;
pub mod table;
pub mod transport;
