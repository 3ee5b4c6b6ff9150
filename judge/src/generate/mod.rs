//! Policies, databases and frames at random, close enough to each other to meet; by proptest, so that they shrink.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::{collection::vec, prelude::*};

use crate::{Lease, Moment, Policy, World};

mod address;
mod carried;
mod frame;
mod lease;
mod moment;
mod policy;
mod world;

pub use carried::Carried;
pub use frame::{Claim, Fragment, Header, Network, Shape};

/// A policy and databases, and what to judge by them: each shape of a frame from each source, at each moment.
#[derive(Clone, Debug)]
pub struct Case {
    /// The databases.
    pub world: World,
    /// The policy.
    pub policy: Policy,
    /// What comes before it.
    pub leases: Vec<Lease>,
    /// Whom frames come from, by family.
    pub sources: Vec<(Ipv4Addr, Ipv6Addr)>,
    /// What frames look like.
    pub shapes: Vec<Shape>,
    /// When they come.
    pub moments: Vec<Moment>,
    /// Whether the policy is compiled for these moments: what is over at the first of them need not be kept.
    pub late: bool,
}

impl Case {
    /// The time that the policy is compiled for; `None`: for any.
    #[must_use]
    pub fn since(&self) -> Option<u64> {
        self.moments.iter().map(|moment| moment.now).min().filter(|_| self.late)
    }

    /// All frames.
    pub fn frames(&self) -> impl Iterator<Item = Vec<u8>> {
        self.shapes.iter().flat_map(|shape| self.sources.iter().map(|&source| shape.frame(source)))
    }
}

/// How many frames a case has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Size {
    /// Sources of each family.
    pub sources: usize,
    /// Shapes of frames.
    pub shapes: usize,
    /// Moments.
    pub moments: usize,
}

/// Cases of a size; a failing one shrinks to one frame.
pub fn case(size: Size) -> impl Strategy<Value = Case> {
    let sources = vec((address::v4(), address::v6()), 1..=size.sources);
    let shapes = vec(frame::shape(), 1..=size.shapes);
    let moments = vec(moment::choice(), 1..=size.moments);
    // In the order in which they shrink: few frames make the rest quick to try.
    let parts = (sources, shapes, moments, any::<bool>(), lease::leases(), policy::policy(), world::world());
    parts.prop_map(move |(sources, shapes, moments, late, leases, policy, world)| {
        let moments = moments.iter().map(|choice| choice.moment(&policy, &leases, &sources)).collect();
        Case { world, policy, leases, sources, shapes, moments, late }
    })
}
