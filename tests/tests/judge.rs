//! Random policies, databases and frames: both engines beside a judge that was written from the documents and shares no
//! code with them.
//!
//! A failure is shrunk to one frame and printed with its policy and databases; its seed goes to `proptest-regressions`, and
//! is tried first from then on.
#![allow(clippy::print_stderr, reason = "figures of a test")]

use std::{cell::Cell, collections::BTreeMap};

use octroi_judge::generate::{Case, Features, Size, case};
use octroi_tests::difference::{Answer, Subject, as_the_kernel_tells, describe, disagreement, expected};
use proptest::test_runner::{Config, FileFailurePersistence, TestCaseError, TestError, TestRunner};

/// What octroi takes in a policy so far.
const FEATURES: Features = Features::NONE;

/// Compares so many cases. `seeds` is where those of failures go.
fn run(
    seeds: &'static str,
    cases: u32,
    size: Size,
    compare: impl Fn(&Case, &Tally) -> Result<(), String>,
) -> Tally {
    let tally = Tally::default();
    let config = Config {
        cases,
        max_shrink_iters: 10_000,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(seeds))),
        ..Config::default()
    };
    let result = TestRunner::new(config)
        .run(&case(FEATURES, size), |case| compare(&case, &tally).map_err(TestCaseError::fail));
    match result {
        Ok(()) => tally,
        Err(TestError::Fail(reason, case)) => panic!("{}\n{reason}", describe(&case)),
        Err(TestError::Abort(reason)) => panic!("{reason}"),
    }
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
            (true, _) => "by a rule",
            (false, other @ ("malformed" | "arp" | "non_ip" | "neighbour_discovery")) => other,
            (false, _) => "by the policy",
        };
        let mut kinds = self.kinds.take();
        *kinds.entry(format!("{} {by}", answer.verdict)).or_default() += 1;
        if !answer.observed.is_empty() {
            *kinds.entry("observed".to_owned()).or_default() += 1;
        }
        self.kinds.set(kinds);
    }

    /// Prints the figures, and insists that every kind was there often.
    fn check(self, least: u64) {
        let (frames, kinds) = (self.frames.get(), self.kinds.into_inner());
        eprintln!("{frames} frames judged alike: {kinds:?}");
        assert!(frames >= least, "{frames} frames, of at least {least}");
        for kind in [
            "pass by a rule",
            "drop by a rule",
            "tag by a rule",
            "pass by the policy",
            "drop by the policy",
            "pass malformed",
            "drop malformed",
            "pass arp",
            "pass non_ip",
            "pass neighbour_discovery",
            "observed",
        ] {
            let count = kinds.get(kind).copied().unwrap_or(0);
            assert!(count >= frames / 500, "{kind}: {count} of {frames} frames");
        }
    }
}

#[test]
fn the_host_engine_says_what_the_documents_say() {
    let size = Size { sources: 24, shapes: 48, moments: 4 };
    let tally = run("proptest-regressions/judge_host.txt", 5_000, size, |case, tally| {
        let subject = Subject::new(case);
        for frame in case.frames() {
            for moment in &case.moments {
                let (found, expected) = (subject.host(&frame), expected(case, &frame, moment));
                if found != expected {
                    return Err(disagreement(&frame, moment, "host engine", &found, &expected));
                }
                tally.count(&found);
            }
        }
        Ok(())
    });
    tally.check(1_000_000);
}

#[test]
fn the_kernels_program_says_what_the_documents_say() {
    // To load a policy takes as long as thousands of frames.
    let size = Size { sources: 48, shapes: 96, moments: 4 };
    let tally = run("proptest-regressions/judge_kernel.txt", 150, size, |case, tally| {
        let subject = Subject::new(case);
        let mut kernel = subject.in_kernel();
        // The kernel takes no less than an Ethernet header.
        for frame in case.frames().filter(|frame| frame.len() >= 14) {
            for moment in &case.moments {
                let found = subject.kernel(&mut kernel, &frame);
                let expected = as_the_kernel_tells(expected(case, &frame, moment), &frame);
                if found != expected {
                    return Err(disagreement(&frame, moment, "kernel's program", &found, &expected));
                }
                tally.count(&found);
            }
        }
        Ok(())
    });
    tally.check(100_000);
}
