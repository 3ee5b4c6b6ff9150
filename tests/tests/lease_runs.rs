//! Leases through the loaded program by BPF_PROG_TEST_RUN, against the daemon's own account of which lease holds.
#![allow(clippy::print_stderr, reason = "figures of a test")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use octroi::{
    dataplane::DataplaneError,
    lease::{Action, Lease, Leases, Prefix},
    policy::{decide::Location, slots::Outcome},
};
use octroi_abi::{MAX_LEASES, Verdict};
use octroi_gate::{
    corpus::{build::udp, corpus},
    host::Circumstances,
};
use octroi_tests::{
    policy::{Judged, Kernel, Policy, host},
    random::Random,
};

const SECOND: u64 = 1_000_000_000;

/// A policy under which every kind of class occurs: steps, tags, drops with and without connections.
const POLICY: &str = "[policy]\nlocal = \"rules\"\ndefault = \"drop\"\n\
     [[rule]]\nname = \"us\"\nsource = { country = [\"US\"] }\nservice = [\"tcp/443\"]\naction = \"drop\"\n\
     [[rule]]\nname = \"cn\"\nsource = { country = [\"CN\"] }\naction = \"drop\"\nestablished = \"drop\"\n\
     [[rule]]\nname = \"de\"\nsource = { country = [\"DE\"] }\naction = \"tag\"\nmark = 7\ndscp = 10\n\
     [[rule]]\nname = \"fr\"\nsource = { country = [\"FR\"] }\naction = \"pass\"\n";

/// Near a few addresses, so that prefixes lie in each other.
fn address(random: &mut Random) -> IpAddr {
    let change = random.next() >> random.below(64);
    match random.below(5) {
        0 => Ipv4Addr::from(0x0100_0101 ^ (change & 0xffff_ffff) as u32).into(),
        1 => Ipv4Addr::from(0x0808_0808 ^ (change & 0xffff) as u32).into(),
        2 => Ipv4Addr::from(0x0a58_0001 ^ (change & 0xff) as u32).into(),
        3 => Ipv6Addr::from(0x2a01_04f8 << 96 ^ u128::from(change) << random.below(96)).into(),
        _ => Ipv6Addr::from(0x240e << 112 ^ u128::from(change & 0xffff)).into(),
    }
}

fn any_prefix(random: &mut Random) -> Prefix {
    let address = address(random);
    let width = if address.is_ipv4() { 32u32 } else { 128 };
    let length = u32::try_from(random.below(u64::from(width) + 1)).expect("at most 128");
    prefix(address, length)
}

/// The prefix of that length around an address.
fn prefix(address: IpAddr, length: u32) -> Prefix {
    let network: IpAddr = match address {
        IpAddr::V4(address) => {
            let bits = u32::from(address);
            Ipv4Addr::from(bits & !u32::MAX.checked_shr(length).unwrap_or(0)).into()
        }
        IpAddr::V6(address) => {
            let bits = u128::from(address);
            Ipv6Addr::from(bits & !u128::MAX.checked_shr(length).unwrap_or(0)).into()
        }
    };
    let text = format!("{network}/{length}");
    text.parse().unwrap_or_else(|why| panic!("{text} {why}"))
}

fn frame(source: IpAddr) -> Vec<u8> {
    let here = if source.is_ipv4() { "10.88.0.2" } else { "fd00:88::2" };
    udp(source, here.parse().expect("an address")).frame()
}

fn put(kernel: &mut Kernel, lease: &Lease) {
    let put = kernel.lease(lease.prefix, lease.action.verdict(), lease.until);
    put.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn the_kernel_and_the_list_of_leases_agree_on_every_source_at_every_time() {
    let policy = Policy::new(POLICY);
    let mut kernel = policy.in_kernel();
    let mut random = Random(4);
    let mut leases = Leases::default();
    let (mut compared, mut held) = (0, [0; 3]);
    for round in 0..40 {
        for _ in 0..10 {
            let action = if random.below(2) == 0 { Action::Pass } else { Action::Drop };
            let until = (100 + random.below(40) * 100) * SECOND;
            let lease = Lease { prefix: any_prefix(&mut random), action, since: 1, until, reason: None };
            put(&mut kernel, &lease);
            // Where it has the prefix already, it takes the other's place in both.
            leases.insert(lease);
        }
        let now = (50 + round * 100) * SECOND;
        kernel.set_now(now);
        for _ in 0..250 {
            let source = address(&mut random);
            let frame = frame(source);
            let by_policy = host(&policy.compiled, &frame);
            let (found, after) = kernel.judge(&frame);
            let Some(lease) = leases.covering(source, now) else {
                assert_eq!(found, by_policy, "{source}");
                held[2] += 1;
                continue;
            };
            let location = policy.slots.outcome(by_policy.slot).expect("a policy's").location;
            let outcome = Outcome::of_lease(location, lease.action.verdict());
            assert_eq!(policy.slots.outcome(found.slot), Some(&outcome), "{source} under {lease:?}");
            assert_eq!(found.verdict, lease.action.verdict(), "{source} under {lease:?}");
            assert_eq!(after, frame, "a lease writes nothing");
            compared += 1;
            held[usize::from(lease.action == Action::Drop)] += 1;
        }
    }
    eprintln!("{compared} sources under leases judged alike (pass, drop, none: {held:?})");
    assert!(held.iter().all(|&count| count > 500), "{held:?}");
}

#[test]
fn leases_that_are_over_hide_none_around_them_at_any_length() {
    let policy = Policy::new(POLICY);
    let mut kernel = policy.in_kernel();
    for (source, width) in [("1.0.1.1", 32), ("240e::1", 128)] {
        let source: IpAddr = source.parse().expect("an address");
        for length in 1..=width {
            kernel.lease(prefix(source, length), Verdict::Drop, 50 * SECOND).expect("fits");
        }
        kernel.lease(prefix(source, 0), Verdict::Pass, 150 * SECOND).expect("fits");
        kernel.set_now(49 * SECOND);
        assert_eq!(kernel.judge(&frame(source)).0.verdict, Verdict::Drop);
        kernel.set_now(50 * SECOND);
        assert_eq!(kernel.judge(&frame(source)).0.verdict, Verdict::Pass, "{source}");
        kernel.set_now(150 * SECOND);
        let (found, _) = kernel.judge(&frame(source));
        assert_eq!(found, host(&policy.compiled, &frame(source)), "all are over");
    }
}

#[test]
fn frames_that_no_rule_is_asked_about_meet_no_lease_either() {
    for malformed in ["drop", "pass"] {
        let policy = Policy::new(&format!("[policy]\nmalformed = \"{malformed}\"\n"));
        let mut kernel = policy.in_kernel();
        kernel.set_now(SECOND);
        for everything in ["0.0.0.0/0", "::/0"] {
            kernel.lease(everything.parse().expect("a prefix"), Verdict::Drop, u64::MAX).expect("fits");
        }
        let under = Circumstances { lease: Some(Verdict::Drop), ..Circumstances::default() };
        for case in corpus().into_iter().filter(|case| (14..=3000).contains(&case.frame.len())) {
            let outcome = policy.compiled.judge_in(&case.frame, under).outcome;
            let expected = Judged { verdict: outcome.verdict, slot: outcome.slot };
            assert_eq!(kernel.judge(&case.frame).0, expected, "{}", case.name);
        }
    }
}

#[test]
fn a_family_takes_as_many_leases_as_it_says_and_a_replacement_still() {
    let policy = Policy::new("");
    let mut kernel = policy.in_kernel();
    kernel.set_now(SECOND);
    let nth = |n: u32| prefix(Ipv4Addr::from(0x0808_0000 + n).into(), 32);
    for n in 0..MAX_LEASES {
        kernel.lease(nth(n), Verdict::Drop, 2 * SECOND).unwrap_or_else(|error| panic!("{n}: {error}"));
    }
    let refused = kernel.lease(nth(MAX_LEASES), Verdict::Drop, 2 * SECOND).expect_err("one too many");
    assert!(matches!(refused, DataplaneError::LeasesFull { .. }), "{refused}");
    let source = |n: u32| frame(Ipv4Addr::from(0x0808_0000 + n).into());
    assert_eq!(kernel.judge(&source(MAX_LEASES - 1)).0.verdict, Verdict::Drop);
    kernel.lease(nth(0), Verdict::Pass, 2 * SECOND).expect("in place of another");
    let (found, _) = kernel.judge(&source(0));
    let location = policy.slots.outcome(found.slot).map(|outcome| (outcome.lease, outcome.location));
    assert!(matches!(location, Some((true, Location::Country(_)))), "{location:?}");
    kernel.lease("::/0".parse().expect("a prefix"), Verdict::Drop, 2 * SECOND).expect("the other family's");
}
