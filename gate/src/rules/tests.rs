//! Which step decides: a world that answers as it is told, and notes what it was asked.

use std::{cell::RefCell, vec, vec::Vec};

use octroi_abi::slot::{FIRST_CLASS, MALFORMED};
use proptest::prelude::*;

use super::*;
use crate::{ramp::WHOLE, service::Service};

const TCP: u8 = 6;
const UDP: u8 = 17;

/// What is asked of a world, once a packet at most but for the bucket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Question {
    Carried,
    Place,
    Now,
    Connected,
    Bucket(u32),
    Answer,
}

use Question::{Answer, Bucket, Connected, Now, Place};

/// A packet to tcp/443 of a source in the middle, at time 1000, that belongs to no connection, is within every rate and can be
/// answered.
struct Fake {
    steps: Vec<Step>,
    services: Vec<Service>,
    carried: Carried,
    place: u32,
    now: u64,
    connected: bool,
    admits: bool,
    answers: bool,
    asked: RefCell<Vec<Question>>,
    counted: RefCell<Vec<u32>>,
}

const HTTPS: Carried = Carried(443 << 16 | 1 << 10 | TCP as u32);
/// A later fragment of TCP, and what is behind more headers than are walked.
const SOME_TCP: Carried = Carried(TCP as u32);
const ANYTHING: Carried = Carried(2 << 8);

fn fake(steps: impl Into<Vec<Step>>) -> Fake {
    Fake {
        steps: steps.into(),
        services: vec![Service::ports(TCP, 80, 80), Service::ports(TCP, 443, 443), Service::whole(UDP)],
        carried: HTTPS,
        place: WHOLE / 2,
        now: 1000,
        connected: false,
        admits: true,
        answers: true,
        asked: RefCell::default(),
        counted: RefCell::default(),
    }
}

impl Fake {
    fn ask(&self, question: Question) {
        self.asked.borrow_mut().push(question);
    }

    /// What its steps ask for, all of them.
    fn choose(&self, first: u32, count: u32) -> Choice {
        let of = |step: &Step| {
            let time = if step.from | step.until == 0 { 0 } else { asks::TIME };
            let place = if step.ramp == 0 { 0 } else { asks::PLACE };
            time | place | if step.services == 0 { 0 } else { asks::SERVICE }
        };
        choose(self, first, count, self.steps.iter().map(of).fold(0, |all, asks| all | asks))
    }

    /// Which of all steps decides about a packet, and what it comes to.
    fn choice(&self) -> (u32, How) {
        let Choice { step, how } = self.choose(0, u32::try_from(self.steps.len()).expect("few"));
        (step, how)
    }

    /// The same, and where the packet was counted besides.
    fn counting(&self) -> (u32, Vec<u32>) {
        let (step, how) = self.choice();
        assert_eq!(how, How::Verdict);
        (step, self.counted.take())
    }

    /// What was asked since the last time.
    fn asked(&self) -> Vec<Question> {
        self.asked.take()
    }

    fn at(self, now: u64) -> Self {
        Self { now, ..self }
    }
}

impl World for Fake {
    fn step(&self, number: u32) -> Step {
        self.steps.get(number as usize).copied().unwrap_or(UNDEFINED)
    }

    fn carried(&self) -> Carried {
        self.ask(Question::Carried);
        self.carried
    }

    fn place(&self) -> u32 {
        self.ask(Place);
        self.place
    }

    fn fits(&self, first: u32, count: u32, carried: Carried) -> Fit {
        assert_eq!(carried, self.carried);
        let services = &self.services[first as usize..][..count as usize];
        services.iter().fold(Fit::No, |fit, service| fit.or(service.fits(carried)))
    }

    fn now(&self) -> u64 {
        self.ask(Now);
        self.now
    }

    fn observe(&self, slot: u32) {
        self.counted.borrow_mut().push(slot);
    }

    fn connected(&self) -> bool {
        self.ask(Connected);
        self.connected
    }

    fn admits(&self, limit: u32) -> bool {
        self.ask(Bucket(limit));
        self.admits
    }

    fn some(&self, first: u32, count: u32, asked: Asked) -> Option<Choice> {
        some(self, first, count, asked)
    }

    fn answers(&self) -> bool {
        self.ask(Answer);
        self.answers
    }
}

/// A step that decides about every packet.
fn step(verdict: Verdict) -> Step {
    Step { verdict: verdict as u8, slot: 10, observed: 20, dscp: DSCP_KEEP, ..Step::default() }
}

/// The same that only observes, in that slot.
fn observing(observed: u32) -> Step {
    Step { observes: 1, observed, ..step(Verdict::Drop) }
}

/// The same for tcp/80 (0), tcp/443 (1), udp (2), or some of them.
fn serving(verdict: Verdict, service: u32, services: u32) -> Step {
    Step { service, services, ..step(verdict) }
}

const ALL: [Verdict; 5] = Verdict::ALL;

#[test]
fn the_first_step_that_matches_decides() {
    for verdict in ALL {
        let steps =
            [serving(verdict, 0, 1), serving(verdict, 2, 1), serving(verdict, 1, 1), step(Verdict::Pass)];
        let fake = Fake { admits: false, ..fake(steps) };
        assert_eq!(fake.choice(), (2, How::Verdict), "{verdict:?}");
        assert_eq!(fake.asked().first(), Some(&Question::Carried), "{verdict:?}");
    }
}

#[test]
fn a_class_has_the_steps_from_its_first_one_on_and_no_more() {
    let fake = fake(vec![step(Verdict::Pass); 8]);
    let of = |first, count| fake.choose(first, count).step;
    assert_eq!([of(0, 1), of(3, 1), of(3, 5), of(7, 1)], [0, 3, 3, 7]);
    assert_eq!(of(3, 0), u32::MAX, "no step, no decision");
    let last = fake_observing(8);
    assert_eq!(last.choose(0, 7).step, u32::MAX, "the deciding one is not the class's");
    assert_eq!(last.choose(0, 9).step, 8);
}

/// That many steps that observe, and one that decides.
fn fake_observing(count: u32) -> Fake {
    fake(
        (0..count).map(|number| observing(100 + 2 * number)).chain([step(Verdict::Pass)]).collect::<Vec<_>>(),
    )
}

#[test]
fn as_many_steps_are_looked_at_as_a_class_can_have() {
    let longest = fake_observing(MAX_STEPS - 1);
    assert_eq!(longest.counting().0, MAX_STEPS - 1);
    let too_long = fake_observing(MAX_STEPS);
    let (step, counted) = too_long.counting();
    assert_eq!((step, counted.len()), (u32::MAX, MAX_STEPS as usize));
}

#[test]
fn steps_that_observe_are_counted_and_the_next_one_is_looked_at() {
    let unseen = Step { services: 1, ..observing(22) };
    let steps =
        [observing(20), unseen, observing(24), Step { observed: 0, ..observing(0) }, step(Verdict::Drop)];
    let fake = fake(steps);
    assert_eq!(fake.choose(0, 5).step, 4);
    assert_eq!(fake.counted.take(), [20, 24]);
    let decided_above = self::fake([step(Verdict::Pass), observing(20)]);
    assert_eq!(decided_above.counting(), (0, vec![]));
}

#[test]
fn a_step_that_observes_asks_for_no_connection_and_sends_no_answer() {
    for verdict in [Verdict::Drop, Verdict::Reject] {
        let observing = Step { verdict: verdict as u8, connected: 30, ..observing(20) };
        let fake = fake([observing, step(Verdict::Pass)]);
        assert_eq!((fake.counting(), fake.asked()), ((1, vec![20]), vec![]), "{verdict:?}");
    }
}

#[test]
fn before_from_a_step_observes_and_from_that_nanosecond_on_it_decides() {
    let steps = [Step { from: 1000, ..step(Verdict::Drop) }, step(Verdict::Pass)];
    let at = |now| fake(steps).at(now).counting();
    assert_eq!(
        [at(1), at(999), at(1000), at(u64::MAX)],
        [(1, vec![20]), (1, vec![20]), (0, vec![]), (0, vec![])]
    );
}

#[test]
fn until_its_last_nanosecond_a_step_decides_and_then_it_is_gone() {
    for from in [0, 500] {
        let timed = Step { from, until: 1000, ..step(Verdict::Drop) };
        let at = |step, now| fake([step, self::step(Verdict::Pass)]).at(now).counting();
        assert_eq!(
            [at(timed, 999), at(timed, 1000), at(timed, u64::MAX)],
            [(0, vec![]), (1, vec![]), (1, vec![])]
        );
        let observing = Step { observes: 1, ..timed };
        assert_eq!(
            [at(observing, 999), at(observing, 1000)],
            [(1, vec![20]), (1, vec![])],
            "gone for counting, too"
        );
    }
}

#[test]
fn in_its_ramp_a_step_decides_about_the_positions_whose_turn_has_come_and_observes_the_others() {
    // A hundredth of a percent each three nanoseconds.
    let steps = [Step { from: 1000, ramp: 3, ..step(Verdict::Drop) }, step(Verdict::Pass)];
    for place in [0, 1, 4999, 9998, 9999] {
        let turn = 1000 + 3 * (u64::from(place) + 1);
        let at = |now| Fake { place, ..fake(steps) }.at(now).counting();
        for early in [1, 999, 1000, 1002, turn - 1] {
            assert_eq!(at(early), (1, vec![20]), "position {place} at {early}");
        }
        for late in [turn, turn + 1, 1000 + 30_000, u64::MAX] {
            assert_eq!(at(late), (0, vec![]), "position {place} at {late}");
        }
    }
    let decided =
        |now| (0..WHOLE).filter(|&place| Fake { place, ..fake(steps) }.at(now).choice().0 == 0).count();
    assert_eq!([1000, 1002, 1003, 1000 + 15_000, 1000 + 30_000].map(decided), [0, 0, 1, 5000, 10_000]);
}

#[test]
fn a_ramp_ends_with_its_rule() {
    let steps = [Step { from: 1000, ramp: 3, until: 16_000, ..step(Verdict::Drop) }, step(Verdict::Pass)];
    let at = |place, now| Fake { place, ..fake(steps) }.at(now).counting();
    assert_eq!([at(0, 15_999), at(0, 16_000), at(9999, 15_999)], [(0, vec![]), (1, vec![]), (1, vec![20])]);
}

#[test]
fn the_clock_and_the_position_are_asked_once_and_only_for_times_and_ramps() {
    let plain = fake([observing(20), serving(Verdict::Drop, 0, 1), step(Verdict::Pass)]);
    assert_eq!((plain.choice().0, plain.asked()), (2, vec![Question::Carried]));
    let timed = Step { from: 2000, until: 3000, ramp: 1, ..step(Verdict::Drop) };
    let ahead = fake([timed, timed, Step { until: 1, ..timed }, step(Verdict::Pass)]);
    assert_eq!((ahead.choice().0, ahead.asked()), (3, vec![Now, Place]));
    let windows = fake([Step { ramp: 0, ..timed }, step(Verdict::Pass)]);
    assert_eq!((windows.choice().0, windows.asked()), (1, vec![Now]), "no ramp");
    let ramping = Step { from: 1, ramp: 1, ..step(Verdict::Drop) };
    let steps = [Step { until: 3000, ..ramping }, ramping, timed, step(Verdict::Pass)];
    let ramping = Fake { place: 9999, ..fake(steps) };
    assert_eq!((ramping.choice().0, ramping.asked()), (3, vec![Now, Place]));
}

#[test]
fn what_the_packet_carries_is_asked_once_and_only_for_services() {
    let none = serving(Verdict::Drop, 0, 1);
    let several = fake([none, none, serving(Verdict::Pass, 2, 1), step(Verdict::Pass)]);
    assert_eq!((several.choice().0, several.asked()), (3, vec![Question::Carried]));
    let timed = fake([Step { until: 1000, ..step(Verdict::Drop) }, step(Verdict::Pass)]);
    assert_eq!((timed.choice().0, timed.asked()), (1, vec![Now]));
}

#[test]
fn a_packet_that_does_not_tell_its_service_matches_every_step_but_those_that_pass() {
    for carried in [SOME_TCP, ANYTHING] {
        for verdict in ALL {
            let unknown = |step| Fake { carried, admits: false, ..fake([step, self::step(Verdict::Drop)]) };
            let expected = u32::from(verdict == Verdict::Pass);
            assert_eq!(unknown(serving(verdict, 1, 1)).choice().0, expected, "{carried:?} {verdict:?}");
            assert_eq!(unknown(serving(verdict, 0, 2)).choice().0, expected, "{carried:?} {verdict:?}");
            // What would pass if it did not only observe is not counted as that.
            let observing = Step { observes: 1, ..serving(verdict, 1, 1) };
            let counted = if verdict == Verdict::Pass { vec![] } else { vec![20] };
            assert_eq!(unknown(observing).counting(), (1, counted), "{carried:?} {verdict:?}");
        }
    }
    // Of UDP, it is known that it is not TCP.
    let udp =
        Fake { carried: Carried(UDP.into()), ..fake([serving(Verdict::Drop, 0, 2), step(Verdict::Pass)]) };
    assert_eq!(udp.choice().0, 1);
}

#[test]
fn a_connection_is_asked_for_only_where_a_step_would_let_it_through() {
    for verdict in [Verdict::Drop, Verdict::Reject, Verdict::Limit] {
        let asks = Step { connected: 30, otherwise: 40, ..step(verdict) };
        for connected in [false, true] {
            let outcome = |step: Step| {
                let fake = Fake { connected, admits: false, ..fake([step]) };
                (fake.choice(), fake.asked().contains(&Connected))
            };
            let how = if connected { How::Connected } else { How::Verdict };
            assert_eq!(outcome(asks), ((0, how), true), "{verdict:?}");
            assert_eq!(outcome(Step { connected: 0, ..asks }), ((0, How::Verdict), false), "{verdict:?}");
        }
        let outcome = Choice { step: 0, how: How::Connected }.outcome(&asks, 1, 14);
        assert_eq!((outcome.verdict, outcome.slot), (Verdict::Pass, 31), "{verdict:?}");
    }
}

#[test]
fn a_connection_takes_nothing_from_a_bucket_and_is_not_answered() {
    for verdict in [Verdict::Reject, Verdict::Limit] {
        let connected = Fake { connected: true, ..fake([Step { connected: 30, ..step(verdict) }]) };
        assert_eq!((connected.choice(), connected.asked()), ((0, How::Connected), vec![Connected]));
    }
}

#[test]
fn a_limit_lets_through_what_its_bucket_admits_and_drops_the_rest() {
    let limit = Step { detail: 7, otherwise: 40, ..step(Verdict::Limit) };
    for (admits, how, expected) in
        [(true, How::Otherwise, (Verdict::Pass, 40)), (false, How::Verdict, (Verdict::Limit, 10))]
    {
        let fake = Fake { admits, ..fake([limit]) };
        assert_eq!((fake.choice(), fake.asked()), ((0, how), vec![Bucket(7)]));
        let outcome = Choice { step: 0, how }.outcome(&limit, 0, 14);
        assert_eq!((outcome.verdict, outcome.slot, outcome.mark), (expected.0, expected.1, 0));
    }
}

#[test]
fn a_limit_that_observes_counts_what_it_would_have_dropped() {
    let limit = Step { observes: 1, detail: 7, ..step(Verdict::Limit) };
    for (admits, counted) in [(true, vec![]), (false, vec![20])] {
        let fake = Fake { admits, ..fake([limit, step(Verdict::Pass)]) };
        assert_eq!((fake.counting(), fake.asked()), ((1, counted), vec![Bucket(7)]));
    }
    let uncounted = fake([Step { observed: 0, ..limit }, step(Verdict::Pass)]);
    assert_eq!((uncounted.counting(), uncounted.asked()), ((1, vec![]), vec![]), "nobody would know");
}

#[test]
fn what_is_rejected_without_an_answer_is_dropped() {
    let reject = Step { otherwise: 40, ..step(Verdict::Reject) };
    for (answers, how, expected) in
        [(true, How::Verdict, (Verdict::Reject, 11)), (false, How::Otherwise, (Verdict::Drop, 41))]
    {
        let fake = Fake { answers, ..fake([reject]) };
        assert_eq!((fake.choice(), fake.asked()), ((0, how), vec![Answer]));
        let outcome = Choice { step: 0, how }.outcome(&reject, 1, 14);
        assert_eq!((outcome.verdict, outcome.slot), expected);
    }
}

#[test]
fn only_a_tag_has_a_mark_and_everything_else_is_handed_on() {
    for verdict in ALL {
        let step = Step { detail: 0x2a, dscp: 46, ..step(verdict) };
        for family in [0, 1] {
            let expected = Outcome {
                verdict,
                slot: 10 + family,
                mark: if verdict == Verdict::Tag { 0x2a } else { 0 },
                dscp: 46,
                header: 18,
            };
            assert_eq!(Choice { step: 0, how: How::Verdict }.outcome(&step, family, 18), expected);
        }
    }
}

#[test]
fn a_verdict_of_an_unknown_number_drops_and_is_closed_to_what_does_not_tell() {
    let strange = Step { verdict: 9, ..serving(Verdict::Drop, 1, 1) };
    let fake = Fake { carried: ANYTHING, ..fake([strange, step(Verdict::Pass)]) };
    assert_eq!((fake.choice(), fake.asked()), ((0, How::Verdict), vec![Question::Carried]));
    assert_eq!(Choice { step: 0, how: How::Verdict }.outcome(&strange, 0, 14).verdict, Verdict::Drop);
}

#[test]
fn where_nothing_decides_and_where_no_step_is_the_packet_is_dropped() {
    let silent = fake([serving(Verdict::Pass, 0, 1), observing(20)]);
    let none = silent.choice();
    assert_eq!(none, (u32::MAX, How::Verdict));
    // Steps that are not there are as good as that, wherever they are.
    assert_eq!(silent.choose(1, 2).step, 2);
    assert_eq!(silent.choose(u32::MAX, 2).step, u32::MAX);
    assert_eq!(silent.step(none.0), UNDEFINED);
    let outcome = Choice { step: none.0, how: none.1 }.outcome(&UNDEFINED, 0, 14);
    let expected = Outcome { verdict: Verdict::Drop, slot: MALFORMED, mark: 0, dscp: DSCP_KEEP, header: 14 };
    assert_eq!(outcome, expected);
    const { assert!(MALFORMED < FIRST_CLASS) };
}

#[test]
fn a_choice_is_the_same_unpacked() {
    for how in [How::Verdict, How::Connected, How::Otherwise] {
        for step in [0, 1, 0x8000_0000, u32::MAX] {
            let choice = Choice { step, how };
            assert_eq!(Choice::unpack(choice.pack()), choice);
        }
    }
    assert_eq!(Choice::unpack(3 << 32 | 5), Choice { step: 5, how: How::Verdict }, "nobody packs that");
}

/// What a step does with a packet, said without an order of questions.
#[derive(PartialEq, Debug)]
enum Does {
    Nothing,
    Observes,
    Decides,
}

fn does(fake: &Fake, step: &Step) -> Does {
    let fit = fake.services[step.service as usize..][..step.services as usize].iter();
    let fit = fit.map(|service| service.fits(fake.carried)).max();
    let in_ramp = step.ramp == 0 || u64::from(fake.place) < fake.now.saturating_sub(step.from) / step.ramp;
    match fit {
        _ if step.until != 0 && fake.now >= step.until => Does::Nothing,
        Some(Fit::No) => Does::Nothing,
        Some(Fit::Unknown) if step.verdict == Verdict::Pass as u8 => Does::Nothing,
        _ if step.observes != 0 || fake.now < step.from || !in_ramp => Does::Observes,
        _ => Does::Decides,
    }
}

fn any_step() -> impl Strategy<Value = Step> {
    let times = (0u64..4, 0u64..3, 0u64..4);
    let services = prop::sample::select(vec![(0, 0), (0, 0), (0, 1), (1, 1), (2, 1), (0, 2), (1, 2), (0, 3)]);
    let verdict = prop::sample::select(vec![Verdict::Pass, Verdict::Drop, Verdict::Tag, Verdict::Reject]);
    (times, services, verdict, 0u8..2, 10u32..20).prop_map(
        |((from, ramp, until), (service, services), verdict, observes, slot)| {
            let ramp = if from == 0 { 0 } else { ramp };
            let observed = 2 * slot;
            Step { from, ramp, until, service, services, observes, observed, slot, ..step(verdict) }
        },
    )
}

proptest! {
    #[test]
    fn the_first_that_decides_is_chosen_and_those_before_it_that_observe_are_counted(
        steps in prop::collection::vec(any_step(), 0..6),
        carried in prop::sample::select(vec![HTTPS, SOME_TCP, ANYTHING, Carried(UDP as u32), Carried(58)]),
        now in 1u64..5, place in 0u32..3,
    ) {
        let fake = Fake { carried, place, ..fake(steps) }.at(now);
        let first = fake.steps.iter().position(|step| does(&fake, step) == Does::Decides);
        let before = &fake.steps[..first.unwrap_or(fake.steps.len())];
        let observed: Vec<u32> =
            before.iter().filter(|step| does(&fake, step) == Does::Observes).map(|step| step.observed).collect();
        let expected = first.map_or(u32::MAX, |first| u32::try_from(first).expect("few"));
        prop_assert_eq!(fake.counting(), (expected, observed));
    }
}
