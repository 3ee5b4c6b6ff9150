//! The kernel's account of what octroi has made, before and after all that a gate goes through. Alone in its file: it counts.
#![allow(clippy::print_stderr, reason = "figures of a test")]

use std::process::Command;

use octroi_tests::{
    command,
    gate::{Gate, Setup},
    netns::Lab,
    policy::STORY,
    wait,
};

/// How many programs, maps and links the kernel has.
fn objects() -> [usize; 3] {
    ["prog", "map", "link"].map(|kind| {
        let mut bpftool = Command::new("bpftool");
        bpftool.args(["-j", kind, "show"]);
        command::run(bpftool, command::SHORT).json().as_array().map_or(0, Vec::len)
    })
}

fn life() {
    let lab = Lab::new();
    let mut gate = Gate::start_with(&lab, Setup::new(STORY));
    for round in 0..5 {
        gate.reload().success();
        gate.octroi(["lease", "add", "9.9.9.9", "--action", "drop", "--ttl", "1h"]).success();
        gate.octroi(["explain", "1.0.1.1", "--live"]).success();
        gate.write("[[rule]]\nnothing = 1\n");
        assert_eq!(gate.reload().status.code(), Some(78));
        gate.write(STORY);
        if round % 2 == 0 {
            assert!(gate.stop().success())
        } else {
            gate.kill()
        }
        gate.start_again();
    }
    gate.stop();
    gate.octroi(["detach"]).success();
}

#[test]
fn nothing_is_left_in_the_kernel() {
    // Whatever is made once and for all, it has made by now.
    life();
    let before = objects();
    for _ in 0..3 {
        life();
    }
    wait::until("as many as before", || {
        let now = objects();
        now.iter().zip(before).all(|(now, before)| *now <= before)
    });
    eprintln!("programs, maps and links before: {before:?}, after three lives: {:?}", objects());
}
