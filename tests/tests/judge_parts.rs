//! Parts of the gate alone, each beside the judge: services, what stands behind the headers, ramps.
#![allow(clippy::print_stderr, reason = "figures of a test")]

use std::cell::Cell;

use octroi_gate::{
    packet::{Fragment, Parsed, parse},
    ramp::{self, Ramp},
    service::{Carried, Fit, Service},
    transport::transport,
};
use octroi_judge::{
    Action, Moment, Policy, Ports, Rule, World,
    generate::{Case, Size, case},
    judge,
    packet::{Packet, Piece, Protocol, read},
    position,
};
use octroi_tests::difference::describe;
use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};

/// Compares so many cases; how many comparisons there were.
fn run(cases: u32, compare: impl Fn(&Case, &[u8]) -> Result<u64, String>) -> u64 {
    let compared = Cell::new(0);
    let size = Size { sources: 8, shapes: 48, moments: 4 };
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let result = TestRunner::new(config).run(&case(size), |case| {
        for frame in case.frames() {
            let found = compare(&case, &frame).map_err(|difference| {
                let hex: String = frame.iter().map(|byte| format!("{byte:02x}")).collect();
                TestCaseError::fail(format!("{hex}\n{:?}\n{difference}", read(&frame)))
            })?;
            compared.set(compared.get() + found);
        }
        Ok(())
    });
    match result {
        Ok(()) => compared.get(),
        Err(TestError::Fail(reason, case)) => panic!("{}\n{reason}", describe(&case)),
        Err(TestError::Abort(reason)) => panic!("{reason}"),
    }
}

/// A rule of a case with nothing left of it but its services, and the given action: asked alone.
fn alone(rule: &Rule, action: Action) -> Policy {
    let mut alone = Rule { name: "alone".into(), service: rule.service.clone(), ..Rule::new(action) };
    alone.source.any = true;
    Policy { local_rules: true, rules: vec![alone], ..Policy::default() }
}

/// A service as a compiler has to give it to the gate.
fn entries(service: octroi_judge::Service) -> Vec<Service> {
    use octroi_judge::Service as S;
    let ports = |protocol, ports| match ports {
        Ports::All => Service::whole(protocol),
        Ports::One(port) => Service::ports(protocol, port, port),
        Ports::Range(low, high) => Service::ports(protocol, low, high),
    };
    match service {
        S::Tcp(which) => vec![ports(6, which)],
        S::Udp(which) => vec![ports(17, which)],
        S::Icmp => vec![Service::whole(1), Service::whole(58)],
        S::Protocol(number) => vec![Service::whole(number)],
    }
}

#[test]
fn a_service_matches_what_the_documents_say() {
    let compared = run(2_000, |case, frame| {
        let Parsed::Ip(packet) = parse(frame) else { return Ok(0) };
        let transport = transport(frame, &packet);
        let mut compared = 0;
        for rule in &case.policy.rules {
            let Some(services) = &rule.service else { continue };
            let fits = services
                .iter()
                .flat_map(|&service| entries(service))
                .map(|one| one.fits(Carried::of(&transport)));
            let fit = fits.fold(Fit::No, Fit::or);
            for (action, passes) in [(Action::Drop, false), (Action::Pass, true)] {
                let judgement =
                    judge(&alone(rule, action), &World::default(), &[], frame, &Moment::default());
                let (found, expected) = (fit.matches(passes), judgement.rule.is_some());
                if found != expected {
                    return Err(format!("{services:?}: {fit:?}, passes: {passes}, matches: {expected}"));
                }
                compared += 1;
            }
        }
        Ok(compared)
    });
    eprintln!("{compared} questions answered alike");
    assert!(compared > 300_000, "{compared}");
}

#[test]
fn what_stands_behind_the_headers_is_what_the_documents_say() {
    let compared = run(3_000, |_, frame| {
        let Packet::Ip(ip) = read(frame) else { return Ok(0) };
        let Parsed::Ip(packet) = parse(frame) else { return Err("no IP to the gate".into()) };
        let found = transport(frame, &packet);
        let port = found.ports.map(|ports| ports.destination);
        if (port, packet.destination_port) != (ip.port, ip.port) {
            return Err(format!("{packet:?} {found:?}"));
        }
        let piece = match found.fragment {
            Fragment::None => Piece::Whole,
            Fragment::Atomic => Piece::Atomic,
            Fragment::First => Piece::First,
            Fragment::Later => Piece::Later,
        };
        if ip.protocol != Protocol::Unknown && piece != ip.piece {
            return Err(format!("{found:?}"));
        }
        Ok(1)
    });
    eprintln!("{compared} packets read alike");
    assert!(compared > 100_000, "{compared}");
}

#[test]
fn a_ramp_applies_to_whom_the_documents_say() {
    let compared = run(1_000, |case, frame| {
        let Parsed::Ip(packet) = parse(frame) else { return Ok(0) };
        let Packet::Ip(ip) = read(frame) else { return Err("no IP to the judge".into()) };
        let found = ramp::position(packet.source);
        if found != position(ip.source) {
            return Err(format!("{:?} is at {found}", packet.source));
        }
        let mut compared = 0;
        for rule in &case.policy.rules {
            let Some(from) = rule.from else { continue };
            let length = rule.ramp.unwrap_or(0);
            let mut policy = alone(rule, Action::Drop);
            policy.rules[0] =
                Rule { service: None, from: rule.from, ramp: rule.ramp, ..policy.rules[0].clone() };
            // Some moments, and those around the source's own.
            let turn = from + (u64::from(found) + 1) * (length / 10_000);
            let around = [turn - 1, turn, turn + 1];
            for now in case.moments.iter().map(|moment| moment.now).chain(around) {
                let judgement =
                    judge(&policy, &World::default(), &[], frame, &Moment { now, ..Moment::default() });
                if Ramp::new(from, length).applies(found, now) != judgement.rule.is_some() {
                    return Err(format!("{from} {length} {now}"));
                }
                compared += 1;
            }
        }
        Ok(compared)
    });
    eprintln!("{compared} times told alike");
    assert!(compared > 300_000, "{compared}");
}
