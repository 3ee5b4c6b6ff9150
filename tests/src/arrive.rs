//! Which sources get through a gate: what a policy is, as packets see it.

use std::{net::IpAddr, time::Duration};

use octroi_gate::corpus::build::udp;

use crate::{
    netns::Lab,
    wire::{Receiver, Sender},
};

/// Which of these sources arrive on a lab's first wire, one frame of each.
///
/// # Panics
/// Where nothing arrives from the wire's own network, which no policy of a test that asks is about.
#[track_caller]
pub fn arriving<'a>(lab: &Lab, sources: &[&'a str]) -> Vec<&'a str> {
    let frame = |source: &str| {
        let source: IpAddr = source.parse().expect("an address");
        udp(source, lab.pair().here(source)).ports(4000, 9).frame()
    };
    let marker = frame(&lab.pair().peer4.to_string());
    let receiver = Receiver::new(&lab.inside, &lab.pair().gate);
    let sender = Sender::new(&lab.outside, &lab.pair().peer);
    for source in sources {
        sender.send(&frame(source));
    }
    sender.send(&marker);
    let arrived = receiver.until(|frame| *frame == marker, Duration::from_secs(5));
    assert!(arrived.contains(&marker), "nothing arrives");
    sources.iter().copied().filter(|source| arrived.contains(&frame(source))).collect()
}
