//! Reloads under traffic: nobody gets through, nobody is lost, and the counters are exact.
#![allow(clippy::print_stderr, reason = "figures of a test")]

use std::time::Instant;

use octroi_tests::{
    gate::{Gate, Setup},
    netns::Lab,
    policy::AGREEING,
    traffic::Traffic,
};

const RELOADS: u32 = 200;

fn no_packet_is_lost_or_let_in(mode: &str, reloads: u32) {
    let lab = Lab::new();
    let mut traffic = Traffic::new(&lab);
    let gate = Gate::start_with(&lab, Setup { mode: mode.into(), ..Setup::new(AGREEING[0]) });
    let started = Instant::now();
    traffic.during(|| {
        for reload in 1..=reloads {
            gate.write(AGREEING[reload as usize % 2]);
            gate.reload().success();
        }
    });
    let account = traffic.check(&gate);
    eprintln!("{mode}: {reloads} reloads in {:.1} s: {account}", started.elapsed().as_secs_f64());
    assert_eq!(gate.status()["generation"], u64::from(reloads) + 1);
}

#[test]
fn no_packet_is_lost_or_let_in_by_200_reloads() {
    no_packet_is_lost_or_let_in("native", RELOADS);
}

#[test]
fn no_packet_is_lost_or_let_in_by_reloads_in_generic_mode() {
    no_packet_is_lost_or_let_in("generic", 20);
}
