//! A case in the kernel: each frame beside what the documents say, and in the end all counters.

use std::mem::offset_of;

use octroi::dataplane::{ProgramOptions, program::TestResult};
use octroi_abi::{METADATA_MAGIC, Metadata, Verdict};
use octroi_gate::reject::answer as answer_to;
use octroi_judge::{Moment, generate::Case};

use super::{Answer, Subject, disagreement, dscp, expected, ledger::Ledger};
use crate::policy::Kernel;

/// A case's policy and leases in a program that is asked for nothing but verdicts: no sockets, no buckets, a clock that
/// stands still.
pub struct Loaded<'a> {
    case: &'a Case,
    subject: &'a Subject,
    kernel: Kernel,
    /// What has to be counted by now.
    ledger: Ledger,
}

impl<'a> Loaded<'a> {
    /// Loads it, attached to nothing.
    ///
    /// # Panics
    /// Without the privilege to.
    #[must_use]
    pub fn new(case: &'a Case, subject: &'a Subject) -> Self {
        let options = ProgramOptions { alone: true, ..ProgramOptions::default() };
        let mut kernel = Kernel::load(&subject.policy.compiled, options);
        for lease in subject.leases.iter() {
            let put = kernel.lease(lease.prefix, lease.action.verdict(), lease.until);
            put.unwrap_or_else(|error| panic!("{error}"));
        }
        Self { case, subject, kernel, ledger: Ledger::default() }
    }

    /// Judges a frame of at least 14 bytes, which is the least the kernel takes, and compares.
    ///
    /// # Errors
    /// The difference.
    pub fn compare(&mut self, frame: &[u8], moment: &Moment) -> Result<Answer, String> {
        let moment = Moment { established: false, over: false, ..*moment };
        self.kernel.set_now(moment.now);
        let result = self.kernel.run(frame);
        let found = self.told(frame, &result)?;
        let expected = as_the_kernel_tells(expected(self.case, frame, &moment), frame);
        if !fits(&found, &expected) {
            return Err(disagreement(frame, &moment, "kernel's program", &found, &expected));
        }
        self.ledger.add(&expected, frame.len());
        Ok(expected)
    }

    /// Compares all counters with what they have to be by now: rules that observed included.
    ///
    /// # Errors
    /// The differences.
    pub fn settle(&self) -> Result<(), String> {
        let slots = &self.subject.policy.slots;
        let counted = Ledger::of(slots, &self.kernel.counts(slots.end()));
        if counted == self.ledger { Ok(()) } else { Err(self.ledger.differences(&counted)) }
    }

    /// What a run says. Of the rules that observed, those that observe every packet of its class: the others have counters of
    /// their own.
    fn told(&self, frame: &[u8], result: &TestResult) -> Result<Answer, String> {
        const XDP_DROP: u32 = 1;
        const XDP_PASS: u32 = 2;
        const XDP_TX: u32 = 3;
        let answer = self.subject.counted(result.verdict, result.slot);
        let action = match result.verdict {
            Verdict::Pass | Verdict::Tag => XDP_PASS,
            Verdict::Drop | Verdict::Limit => XDP_DROP,
            Verdict::Reject => XDP_TX,
        };
        if result.action != action {
            return Err(format!("{} by the XDP action {}", result.verdict.as_str(), result.action));
        }
        if result.verdict == Verdict::Reject && Some(&result.frame) != answer_to(frame).as_ref() {
            return Err(format!("another answer than the host's engine gives: {:02x?}", result.frame));
        }
        if !matches!(result.verdict, Verdict::Pass | Verdict::Tag) {
            // It is nobody's any more, or the answer.
            return Ok(answer);
        }
        // A test run gives metadata back in front of the frame.
        let (metadata, after) = result.frame.split_at(result.frame.len() - frame.len());
        let word = |at: usize| metadata.get(at..at + 4)?.first_chunk().map(|word| u32::from_ne_bytes(*word));
        let mark = word(offset_of!(Metadata, mark));
        if word(offset_of!(Metadata, magic)) != mark.map(|_| METADATA_MAGIC) {
            return Err(format!("{metadata:?} is in front of the frame"));
        }
        if result.verdict == Verdict::Pass && after != frame {
            return Err("a frame that passes was written into".to_owned());
        }
        // Nobody can tell a DSCP that was not written from one that was there before.
        let dscp = (after != frame).then(|| dscp(after)).flatten();
        Ok(Answer { mark, dscp, ..answer })
    }
}

/// Whether what a run said is part of an answer: all but the rules that observed on their own.
fn fits(found: &Answer, answer: &Answer) -> bool {
    let observed = found.observed.iter().all(|one| answer.observed.contains(one));
    observed && *answer == Answer { observed: answer.observed.clone(), ..found.clone() }
}

/// What the kernel's program has to show: a DSCP only where the frame had another.
fn as_the_kernel_tells(answer: Answer, frame: &[u8]) -> Answer {
    let dscp = answer.dscp.filter(|&written| dscp(frame) != Some(written));
    Answer { dscp, ..answer }
}
