//! Policies, databases and frames at random, close enough to each other to meet; by proptest, so that they shrink.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::{collection::vec, prelude::*};

use crate::{Moment, Policy, World};

mod address;
mod carried;
mod frame;
mod moment;
mod policy;
mod world;

pub use carried::Carried;
pub use frame::{Claim, Fragment, Header, Network, Shape};

/// What policies may ask for, beyond what has been there from the first release on: countries, continents, autonomous
/// systems, networks; pass, drop, tag; observing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Features {
    /// `list`
    pub list: bool,
    /// `anonymous`
    pub anonymous: bool,
    /// `service`
    pub service: bool,
    /// `action = "reject"`
    pub reject: bool,
    /// `action = "limit"`
    pub limit: bool,
    /// `from`, `until` and `ramp`
    pub time: bool,
    /// Connections that exist, and `established`
    pub established: bool,
}

impl Features {
    /// None of these.
    pub const NONE: Self = Self {
        list: false,
        anonymous: false,
        service: false,
        reject: false,
        limit: false,
        time: false,
        established: false,
    };
    /// All of them.
    pub const ALL: Self = Self {
        list: true,
        anonymous: true,
        service: true,
        reject: true,
        limit: true,
        time: true,
        established: true,
    };
}

/// A policy and databases, and what to judge by them: each shape of a frame from each source, at each moment.
#[derive(Clone, Debug)]
pub struct Case {
    /// The databases.
    pub world: World,
    /// The policy.
    pub policy: Policy,
    /// Whom frames come from, by family.
    pub sources: Vec<(Ipv4Addr, Ipv6Addr)>,
    /// What frames look like.
    pub shapes: Vec<Shape>,
    /// When they come.
    pub moments: Vec<Moment>,
}

impl Case {
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
    /// Moments; without [`Features::limit`], [`Features::time`] and [`Features::established`] there is one.
    pub moments: usize,
}

/// Cases of a size; a failing one shrinks to one frame.
pub fn case(features: Features, size: Size) -> impl Strategy<Value = Case> {
    let moments = if features.limit || features.time || features.established { size.moments } else { 1 };
    let sources = vec((address::v4(), address::v6()), 1..=size.sources);
    let shapes = vec(frame::shape(), 1..=size.shapes);
    let moments = vec(moment::choice(), 1..=moments);
    let parts = (world::world(features), policy::policy(features), sources, shapes, moments);
    parts.prop_map(move |(world, policy, sources, shapes, moments)| {
        let moments = moments.iter().map(|choice| choice.moment(features, &policy)).collect();
        Case { world, policy, sources, shapes, moments }
    })
}
