//! Loads with a loader that was prepared, and without: the spare one is used once, and keeps nothing of a policy.

use std::{fs, thread, time::Duration};

use octroi::dataplane;
use octroi_abi::Verdict;
use octroi_gate::corpus::build::udp;
use octroi_tests::policy::{Policy, host};

#[test]
fn each_load_judges_by_its_own_policy_whether_it_was_prepared_or_not() {
    // Malformed packets and tags are constants of the program, which a loader is told.
    let policies = [
        ("[policy]\nmalformed = \"pass\"\n", [Verdict::Pass, Verdict::Pass]),
        ("[policy]\ndefault = \"drop\"\n", [Verdict::Drop, Verdict::Drop]),
    ]
    .map(|(text, verdicts)| (Policy::new(text), verdicts));
    let whole = udp([1, 0, 0, 1].into(), [9, 9, 9, 9].into()).frame();
    let frames = [whole.as_slice(), &whole[..20]];
    // Prepared: the first load takes the spare loader, and the second has none.
    for prepared in [false, true, true] {
        if prepared {
            prepare();
        }
        for (policy, verdicts) in &policies {
            let mut kernel = policy.in_kernel();
            for (frame, verdict) in frames.into_iter().zip(verdicts) {
                let (found, _) = kernel.judge(frame);
                assert_eq!((found.verdict, &found), (*verdict, &host(&policy.compiled, frame)), "{prepared}");
            }
        }
    }
}

/// Prepares a load, and waits until it is: the thread that does it has ended.
fn prepare() {
    let threads = || fs::read_dir("/proc/self/task").expect("list the threads of this process").count();
    let before = threads();
    dataplane::prepare();
    while threads() > before {
        thread::sleep(Duration::from_millis(1));
    }
}
