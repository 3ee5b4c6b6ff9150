//! What a packet's verdict has to be by the documents, written a second time: for tests to compare with, and for nothing
//! else.
//!
//! It is as plain as a specification: no tables, no classes, every row and every rule looked at for every packet. It
//! shares no code with octroi and reads nothing that octroi compiled, so that what both say is said twice.
//!
//! ```
//! use octroi_judge::{Action, Moment, Policy, Rule, Source, Verdict, World, country, judge};
//!
//! let world = World { countries: vec![country("1.0.1.0", "1.0.3.255", "CN")], ..World::default() };
//! let source = Source { country: Some(vec!["CN".into()]), ..Source::default() };
//! let rule = Rule { name: "unsupported".into(), source, ..Rule::new(Action::Drop) };
//! let policy = Policy { rules: vec![rule], ..Policy::default() };
//!
//! let mut frame = vec![0; 12]; // Ethernet addresses
//! frame.extend([0x08, 0x00]); // IPv4
//! frame.extend([0x45, 0, 0, 28, 0, 0, 0, 0, 64, 1, 0, 0, 1, 0, 1, 1, 192, 0, 2, 1]); // from 1.0.1.1
//! frame.extend([8, 0, 0, 0, 0, 0, 0, 0]); // an echo request
//! let judgement = judge(&policy, &world, &[], &frame, &Moment::default());
//! assert_eq!((judgement.verdict, judgement.rule.as_deref()), (Verdict::Drop, Some("unsupported")));
//! ```
//!
//! - `policy`: what `[policy]` and `[[rule]]` say; `toml` writes it as octroi reads it
//! - `world`: what databases say; written as CSV
//! - `lease`: what comes before the policy
//! - `space`: what no database decides
//! - `packet`, `ipv6`: what a frame is
//! - `judge`: the verdict; `matching`: whether a rule is about a packet; `stage`: when it applies; `answer`: who is told that
//!   a packet was rejected
//! - `generate`: all of these at random

mod answer;
#[cfg(feature = "generate")]
pub mod generate;
mod ipv6;
mod judge;
mod lease;
mod matching;
pub mod packet;
mod policy;
mod space;
mod stage;
mod time;
mod toml;
mod world;

pub use judge::{Judgement, Moment, Verdict, judge};
pub use lease::Lease;
pub use policy::{Action, Anonymizer, PassOrDrop, Per, Place, Policy, Ports, Rule, Service, Source};
pub use stage::position;
pub use toml::Printed;
pub use world::{COUNTRIES, Facts, Location, Row, World, anonymous, asn, country};
