//! What end-to-end tests stand on: two network namespaces with a wire between them, frames sent and received on it,
//! the daemon run inside, and everything that helps when one of them fails.
//!
//! ```no_run
//! use std::time::Duration;
//! use octroi_gate::corpus::build::udp;
//! use octroi_tests::{gate::Gate, netns::Lab, wire::{Receiver, Sender}};
//!
//! let lab = Lab::new();
//! let gate = Gate::start(&lab, "[policy]\ndefault = \"drop\"");
//! let frame = udp("1.0.1.1".parse().unwrap(), lab.pair().gate4.into()).frame();
//! let receiver = Receiver::new(&lab.inside, &lab.pair().gate);
//! Sender::new(&lab.outside, &lab.pair().peer).send(&frame);
//! assert!(receiver.collect(|seen| seen == frame, 1, Duration::from_millis(200)).is_empty());
//! # drop(gate);
//! ```
//!
//! All of it needs root, and panics with what is missing. Traffic is bounded in count and time, and has nowhere to go:
//! the two namespaces are connected to each other and to nothing else.

pub mod answer;
pub mod apply;
pub mod arrive;
pub mod capture;
pub mod command;
pub mod cpus;
pub mod descriptors;
pub mod difference;
pub mod echo;
pub mod far_end;
pub mod files;
pub mod gate;
pub mod kernel;
pub mod link;
pub mod netns;
pub mod nft;
pub mod pace;
pub mod policy;
pub mod prom;
pub mod random;
pub mod said;
pub mod socket;
pub mod traffic;
pub mod wait;
pub mod wire;
pub mod world;
