//! Random policies, databases, lists, leases, frames and moments: both engines beside a judge that was written from the documents and
//! shares no code with them.
//!
//! A failure is shrunk to one frame and printed with its policy and databases; its seed goes to `proptest-regressions`, and
//! is tried first from then on. `OCTROI_JUDGE_TIMES=20 cargo test -p octroi-tests --test judge` compares twenty times as much.
#![allow(clippy::print_stderr, reason = "figures of a test")]

use std::{cell::Cell, collections::BTreeMap, time::Instant};

use octroi_judge::generate::{Case, Size, case};
use octroi_tests::difference::{Answer, Loaded, Subject, describe, disagreement, expected};
use proptest::test_runner::{Config, FileFailurePersistence, TestCaseError, TestError, TestRunner};

/// Compares so many cases. `seeds` is where those of failures go; `shrinks`: how often a failing case is tried smaller.
fn run(
    seeds: &'static str,
    cases: u32,
    shrinks: u32,
    size: Size,
    compare: impl Fn(&Case, &Tally) -> Result<(), String>,
) -> Tally {
    let tally = Tally::default();
    let config = Config {
        cases: cases * times(),
        max_shrink_iters: shrinks,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(seeds))),
        ..Config::default()
    };
    let begun = Instant::now();
    let result =
        TestRunner::new(config).run(&case(size), |case| compare(&case, &tally).map_err(TestCaseError::fail));
    eprintln!("{} policies in {:.1} s", cases * times(), begun.elapsed().as_secs_f32());
    match result {
        Ok(()) => tally,
        Err(TestError::Fail(reason, case)) => panic!("{}\n{reason}", describe(&case)),
        Err(TestError::Abort(reason)) => panic!("{reason}"),
    }
}

/// `$OCTROI_JUDGE_TIMES`: how many times as much is compared; 1 where it is not set.
fn times() -> u32 {
    let Some(text) = std::env::var_os("OCTROI_JUDGE_TIMES") else { return 1 };
    let number = text.to_str().and_then(|text| text.parse().ok());
    number.unwrap_or_else(|| panic!("OCTROI_JUDGE_TIMES is {text:?}; give a number from 1"))
}

/// What was compared.
#[derive(Default)]
struct Tally {
    frames: Cell<u64>,
    kinds: Cell<BTreeMap<String, u64>>,
}

impl Tally {
    fn count(&self, answer: &Answer) {
        self.frames.set(self.frames.get() + 1);
        let by = match (answer.rule.is_some(), answer.place.as_str()) {
            _ if answer.leased => "by a lease",
            (true, _) => "by a rule",
            (false, other @ ("malformed" | "arp" | "non_ip" | "neighbour_discovery")) => other,
            (false, _) => "by the policy",
        };
        let mut kinds = self.kinds.take();
        *kinds.entry(format!("{} {by}", answer.verdict)).or_default() += 1;
        for (_, verdict) in &answer.observed {
            *kinds.entry(format!("would_{verdict}")).or_default() += 1;
        }
        self.kinds.set(kinds);
    }

    /// Prints the figures, and insists that every kind was there often.
    fn check(self, least: u64, kinds: &[&str]) {
        let (frames, counts) = (self.frames.get(), self.kinds.into_inner());
        eprintln!("{frames} frames judged alike: {counts:?}");
        assert!(frames >= least, "{frames} frames, of at least {least}");
        for kind in KINDS.iter().chain(kinds) {
            let count = counts.get(*kind).copied().unwrap_or(0);
            assert!(count >= frames / 1000, "{kind}: {count} of {frames} frames");
        }
    }
}

/// What has to come up in each run.
const KINDS: [&str; 16] = [
    "pass by a rule",
    "drop by a rule",
    "tag by a rule",
    "reject by a rule",
    "pass by a lease",
    "drop by a lease",
    "pass by the policy",
    "drop by the policy",
    "pass malformed",
    "drop malformed",
    "pass arp",
    "pass non_ip",
    "pass neighbour_discovery",
    "would_drop",
    "would_reject",
    "would_tag",
];

#[test]
fn the_host_engine_says_what_the_documents_say() {
    let size = Size { sources: 24, shapes: 48, moments: 4 };
    let tally = run("proptest-regressions/judge_host.txt", 3_000, 10_000, size, |case, tally| {
        let subject = Subject::new(case);
        for frame in case.frames() {
            for moment in &case.moments {
                let (found, expected) = (subject.host(&frame, moment), expected(case, &frame, moment));
                if found != expected {
                    return Err(disagreement(&frame, moment, "host engine", &found, &expected));
                }
                tally.count(&found);
            }
        }
        Ok(())
    });
    tally.check(1_500_000, &["limit by a rule", "would_limit"]);
}

#[test]
fn the_kernels_program_says_what_the_documents_say() {
    // To load a policy takes as long as a hundred thousand frames.
    let size = Size { sources: 96, shapes: 192, moments: 6 };
    let tally = run("proptest-regressions/judge_kernel.txt", 60, 1_000, size, |case, tally| {
        let subject = Subject::new(case);
        let mut loaded = Loaded::new(case, &subject);
        for frame in case.frames().filter(|frame| frame.len() >= 14) {
            for moment in &case.moments {
                tally.count(&loaded.compare(&frame, moment)?);
            }
        }
        loaded.settle()
    });
    tally.check(150_000, &[]);
}
