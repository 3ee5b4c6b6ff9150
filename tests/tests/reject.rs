//! `action = "reject"`: the loaded program answers as the same code does on the host, and real clients are told.
#![allow(clippy::print_stderr, reason = "figures of a test")]

use octroi::dataplane::ProgramOptions;
use octroi_abi::Verdict;
use octroi_gate::{
    corpus::{corpus, truncations},
    host::Circumstances,
    reject,
};
use octroi_tests::policy::{Kernel, Policy};

const REJECT: &str = "[policy]\nlocal = \"rules\"\n[[rule]]\nname = \"no\"\nsource = { any = true }\n\
                      action = \"reject\"\n";

#[test]
fn the_program_answers_the_corpus_and_all_its_cuts_as_the_host_does() {
    let policy = Policy::new(REJECT);
    let mut kernel =
        Kernel::load(&policy.compiled, ProgramOptions { alone: true, ..ProgramOptions::default() });
    let (mut compared, mut answered) = (0, 0);
    for case in corpus() {
        let cuts = truncations(&case.frame).chain([case.frame.as_slice()]);
        for frame in cuts.filter(|frame| (14..=3000).contains(&frame.len())) {
            let expected = policy.compiled.judge_in(frame, Circumstances::default()).outcome;
            let (found, after) = kernel.judge(frame);
            let name = || format!("{} cut to {} bytes", case.name, frame.len());
            assert_eq!((found.verdict, found.slot), (expected.verdict, expected.slot), "{}", name());
            compared += 1;
            if expected.verdict == Verdict::Reject {
                answered += 1;
                assert_eq!(Some(after), reject::answer(frame), "{}", name());
            }
        }
    }
    eprintln!("{compared} frames judged alike, {answered} answers the same");
    assert!(compared > 10_000 && answered > 1000, "{compared}, {answered}");
}

#[test]
fn a_kernel_that_cannot_compare_and_exchange_takes_the_program_and_it_limits() {
    let policy = Policy::new(
        "[policy]\nlocal = \"rules\"\n[[rule]]\nname = \"few\"\nsource = { any = true }\naction = \"limit\"\n\
         rate = 1\nburst = 3\nper = \"rule\"\n",
    );
    let mut kernel =
        Kernel::load(&policy.compiled, ProgramOptions { plain_stores: true, ..ProgramOptions::default() });
    let address = |text: &str| text.parse().expect("an address");
    let frame = octroi_gate::corpus::build::udp(address("1.0.1.1"), address("10.88.0.2")).frame();
    let verdicts: Vec<Verdict> = (0..5).map(|_| kernel.judge(&frame).0.verdict).collect();
    assert_eq!(verdicts, [Verdict::Pass, Verdict::Pass, Verdict::Pass, Verdict::Limit, Verdict::Limit]);
}
