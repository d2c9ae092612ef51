//! Whom a caller asks, when, and how its calls end.

use std::time::Duration;

use super::{at, tenure};
use crate::number::{CallNumber, Epoch};
use crate::proxy::{
    AskingName, CallFailure, Caller, CallerEffect, CallerInput, CallerRules, Overflow, Refusal,
    Reply, Said, Verdict,
};

/// Three calls of 10 bytes each and 20 in all; asked again each second, looked for twice a second.
const RULES: CallerRules = CallerRules {
    calls_max: 3,
    len_max: 20,
    call_len_max: 10,
    ask_again: Duration::from_secs(1),
    look_again: Duration::from_millis(500),
};

struct Play(Caller);

fn asking(call: u64, turn: u64) -> AskingName {
    let call = CallNumber::new(call);
    AskingName { call, turn }
}

fn ask(call: u64, turn: u64, incarnation: &str, epoch: u64) -> CallerEffect {
    CallerEffect::Ask(asking(call, turn), tenure(incarnation, epoch))
}

fn fails(call: u64, failure: CallFailure) -> CallerEffect {
    CallerEffect::End(CallNumber::new(call), Err(failure))
}

fn succeeds(call: u64, epoch: u64) -> CallerEffect {
    let answer = (b"yes".as_slice().into(), Epoch::new(epoch));
    CallerEffect::End(CallNumber::new(call), Ok(answer))
}

fn yes() -> Verdict {
    Verdict::Said(Said::Done(b"yes".as_slice().into()))
}

impl Play {
    fn new() -> Self {
        Self(Caller::new(RULES, at(0)))
    }

    /// One that knows the leader A of epoch 5, and has no calls; at 1 ms.
    fn led() -> Self {
        let mut play = Self::new();
        play.hint(0, Some(("A", 5)), &[CallerEffect::Read]);
        play.read(1, Some(("A", 5)), &[]);
        play
    }

    fn gives(&mut self, millis: u64, input: CallerInput, effects: &[CallerEffect]) {
        let shown = format!("{input:?} at {millis}");
        assert_eq!(self.0.handle(at(millis), input), effects, "{shown}");
    }

    fn tick(&mut self, millis: u64, effects: &[CallerEffect]) {
        self.gives(millis, CallerInput::Tick, effects);
    }

    fn hint(&mut self, millis: u64, named: Option<(&str, u64)>, effects: &[CallerEffect]) {
        let named = named.map(|(incarnation, epoch)| tenure(incarnation, epoch));
        self.gives(millis, CallerInput::Hint(named), effects);
    }

    fn read(&mut self, millis: u64, named: Option<(&str, u64)>, effects: &[CallerEffect]) {
        let named = named.map(|(incarnation, epoch)| tenure(incarnation, epoch));
        self.gives(millis, CallerInput::Read(named), effects);
    }

    /// A call of 5 bytes that may take 3 seconds.
    fn call(&mut self, millis: u64, call: u64, effects: &[CallerEffect]) {
        self.call_of(millis, call, 5, effects);
    }

    fn call_of(&mut self, millis: u64, call: u64, len: usize, effects: &[CallerEffect]) {
        let input = CallerInput::Call {
            call: CallNumber::new(call),
            len,
            within: Duration::from_secs(3),
        };
        self.gives(millis, input, effects);
    }

    fn says(
        &mut self,
        millis: u64,
        asking: AskingName,
        (epoch, verdict): (u64, Verdict),
        effects: &[CallerEffect],
    ) {
        let reply = Reply::Verdict(Epoch::new(epoch), verdict);
        self.gives(millis, CallerInput::Replied(asking, reply), effects);
    }

    fn unreached(&mut self, millis: u64, asking: AskingName, effects: &[CallerEffect]) {
        self.gives(
            millis,
            CallerInput::Replied(asking, Reply::Unreached),
            effects,
        );
    }

    fn wakes(&self, millis: u64) {
        assert_eq!(self.0.wake_at(), at(millis));
    }
}

#[test]
fn a_call_waits_for_a_leader_and_is_asked_at_once_when_there_is_one() {
    let mut play = Play::new();
    play.call(10, 1, &[CallerEffect::Read]);
    play.read(12, None, &[]);
    play.wakes(510);
    play.tick(510, &[CallerEffect::Read]);
    play.gives(511, CallerInput::ReadFailed, &[]);
    play.hint(700, Some(("A", 5)), &[CallerEffect::Read]);
    play.read(701, Some(("A", 5)), &[ask(1, 1, "A", 5)]);
    play.says(702, asking(1, 1), (5, yes()), &[succeeds(1, 5)]);
    // Nothing is left to do.
    assert_eq!(play.0.wake_at().as_nanos(), u64::MAX);
}

#[test]
fn a_hint_is_not_believed_but_looked_after() {
    let mut play = Play::led();
    play.hint(100, Some(("B", 6)), &[CallerEffect::Read]);
    // The write was on its way: it is looked for again, soon.
    play.read(101, Some(("A", 5)), &[]);
    play.call(102, 1, &[ask(1, 1, "A", 5)]);
    play.tick(121, &[CallerEffect::Read]);
    play.read(122, Some(("B", 6)), &[ask(1, 2, "B", 6)]);
    // Who renews is no news.
    play.hint(123, Some(("B", 6)), &[]);
    // What is refused is not looked for without end.
    play.hint(200, Some(("C", 7)), &[CallerEffect::Read]);
    let mut now = 200;
    for pause in [20, 40, 80, 160, 320] {
        play.read(now, Some(("B", 6)), &[]);
        now += pause;
        play.tick(now, &[CallerEffect::Read]);
    }
    play.read(now, Some(("B", 6)), &[]);
    play.wakes(1_122);
}

#[test]
fn an_answer_of_an_older_leader_is_not_taken_once_another_one_leads() {
    let mut play = Play::led();
    play.call(10, 1, &[ask(1, 1, "A", 5)]);
    play.hint(20, Some(("B", 6)), &[CallerEffect::Read]);
    play.read(21, Some(("B", 6)), &[ask(1, 2, "B", 6)]);
    play.says(22, asking(1, 1), (5, yes()), &[]);
    // Nor one that says another epoch than was asked.
    play.says(23, asking(1, 2), (5, yes()), &[]);
    play.says(24, asking(1, 2), (6, yes()), &[succeeds(1, 6)]);
    play.says(25, asking(1, 2), (6, yes()), &[]);
}

#[test]
fn an_answer_of_another_life_under_the_same_epoch_is_not_taken() {
    // The bucket was made anew.
    let mut play = Play::led();
    play.call(10, 1, &[ask(1, 1, "A", 5)]);
    play.hint(20, Some(("B", 5)), &[CallerEffect::Read]);
    play.read(21, Some(("B", 5)), &[ask(1, 2, "B", 5)]);
    play.says(22, asking(1, 1), (5, yes()), &[]);
    play.says(23, asking(1, 2), (5, yes()), &[succeeds(1, 5)]);
}

#[test]
fn who_hands_over_may_still_answer_while_nobody_else_leads() {
    let mut play = Play::led();
    play.call(10, 1, &[ask(1, 1, "A", 5)]);
    play.hint(20, None, &[CallerEffect::Read]);
    play.read(21, None, &[]);
    play.says(22, asking(1, 1), (5, yes()), &[succeeds(1, 5)]);
}

#[test]
fn a_silent_leader_is_asked_again_and_any_of_its_answers_counts() {
    let mut play = Play::led();
    play.call(10, 1, &[ask(1, 1, "A", 5)]);
    play.wakes(1_010);
    play.tick(1_010, &[ask(1, 2, "A", 5), CallerEffect::Read]);
    play.read(1_011, Some(("A", 5)), &[]);
    play.says(1_012, asking(1, 1), (5, yes()), &[succeeds(1, 5)]);
}

#[test]
fn where_nobody_listens_it_is_asked_again_after_growing_pauses() {
    let mut play = Play::led();
    play.call(10, 1, &[ask(1, 1, "A", 5)]);
    play.unreached(11, asking(1, 1), &[]);
    play.wakes(31);
    play.tick(31, &[ask(1, 2, "A", 5)]);
    play.unreached(32, asking(1, 2), &[]);
    play.tick(72, &[ask(1, 3, "A", 5)]);
    play.says(73, asking(1, 3), (5, Verdict::NotLeading), &[]);
    play.wakes(153);
    // It is looked for who leads, but not each time.
    play.tick(500, &[ask(1, 4, "A", 5), CallerEffect::Read]);
    // Another leader is asked at once.
    play.read(501, Some(("B", 6)), &[ask(1, 5, "B", 6)]);
}

#[test]
fn the_end_at_the_deadline_says_whether_it_may_have_been_carried_out() {
    let mut nobody = Play::new();
    nobody.call(0, 1, &[CallerEffect::Read]);
    nobody.tick(2_999, &[]);
    nobody.tick(3_000, &[fails(1, CallFailure::NoLeader)]);

    let mut unreached = Play::led();
    unreached.call(10, 1, &[ask(1, 1, "A", 5)]);
    unreached.unreached(11, asking(1, 1), &[]);
    unreached.read_at_the_end(&[fails(1, CallFailure::NoLeader)]);

    let mut busy = Play::led();
    busy.call(10, 1, &[ask(1, 1, "A", 5)]);
    busy.says(11, asking(1, 1), (5, Verdict::Busy), &[]);
    busy.read_at_the_end(&[fails(1, CallFailure::Busy(Epoch::new(5)))]);

    let mut silent = Play::led();
    silent.call(10, 1, &[ask(1, 1, "A", 5)]);
    silent.read_at_the_end(&[fails(1, CallFailure::Unknown(Epoch::new(5)))]);

    // Unreached under the next epoch, but asked under the first.
    let mut moved = Play::led();
    moved.call(10, 1, &[ask(1, 1, "A", 5)]);
    moved.hint(20, Some(("B", 6)), &[CallerEffect::Read]);
    moved.read(21, Some(("B", 6)), &[ask(1, 2, "B", 6)]);
    moved.unreached(22, asking(1, 2), &[]);
    moved.read_at_the_end(&[fails(1, CallFailure::Unknown(Epoch::new(5)))]);
}

impl Play {
    /// Nothing happens until the deadline of a call that came at 10.
    fn read_at_the_end(&mut self, effects: &[CallerEffect]) {
        let given = self.0.handle(at(3_010), CallerInput::Tick);
        let ends: Vec<CallerEffect> = given
            .into_iter()
            .filter(|effect| !matches!(effect, CallerEffect::Read))
            .collect();
        assert_eq!(ends, effects);
    }
}

#[test]
fn an_answer_to_an_earlier_turn_says_nothing_of_the_last_one() {
    let mut play = Play::led();
    play.call(10, 1, &[ask(1, 1, "A", 5)]);
    play.tick(1_010, &[ask(1, 2, "A", 5), CallerEffect::Read]);
    play.unreached(1_011, asking(1, 1), &[]);
    play.says(1_012, asking(1, 1), (5, Verdict::Busy), &[]);
    play.says(1_013, asking(1, 1), (5, Verdict::NotLeading), &[]);
    play.wakes(2_010);
    play.read_at_the_end(&[fails(1, CallFailure::Unknown(Epoch::new(5)))]);
}

#[test]
fn what_overflows_is_told_at_once_and_asks_nobody() {
    let mut play = Play::led();
    let too_large = CallFailure::TooLarge {
        len: 11,
        len_max: 10,
    };
    play.call_of(2, 1, 11, &[fails(1, too_large)]);
    play.call_of(2, 2, 10, &[ask(2, 1, "A", 5)]);
    play.call_of(2, 3, 5, &[ask(3, 1, "A", 5)]);
    let len = CallFailure::Overflow(Overflow::Len(20));
    play.call_of(2, 4, 6, &[fails(4, len)]);
    play.call_of(2, 5, 5, &[ask(5, 1, "A", 5)]);
    let calls = CallFailure::Overflow(Overflow::Calls(3));
    play.call_of(2, 6, 0, &[fails(6, calls)]);
    // An end makes room, and so does who does not wait any more.
    play.says(3, asking(2, 1), (5, yes()), &[succeeds(2, 5)]);
    play.gives(3, CallerInput::Withdrawn(CallNumber::new(3)), &[]);
    play.call_of(4, 7, 10, &[ask(7, 1, "A", 5)]);
    play.call_of(4, 8, 5, &[ask(8, 1, "A", 5)]);
}

#[test]
fn what_the_leader_says_ends_the_call() {
    let five = Epoch::new(5);
    let refusal = Refusal::new("closed", "on Sundays");
    let refused = CallFailure::Refused {
        epoch: five,
        refusal: refusal.clone(),
    };
    let (len, len_max) = (9, 8);
    let too_long = CallFailure::AnswerTooLong {
        epoch: five,
        len,
        len_max,
    };
    for (verdict, failure) in [
        (Verdict::Said(Said::Refused(refusal)), refused),
        (Verdict::Said(Said::TooLong { len, len_max }), too_long),
        (Verdict::Conflict, CallFailure::Conflict(five)),
    ] {
        let mut play = Play::led();
        play.call(10, 1, &[ask(1, 1, "A", 5)]);
        play.says(11, asking(1, 1), (5, verdict), &[fails(1, failure)]);
    }
}

#[test]
fn an_older_epoch_is_believed_only_when_it_stays() {
    let mut play = Play::led();
    play.hint(10, Some(("B", 6)), &[CallerEffect::Read]);
    play.read(11, Some(("B", 6)), &[]);
    // A server that is behind.
    play.hint(20, None, &[CallerEffect::Read]);
    play.read(21, Some(("A", 5)), &[]);
    play.call(22, 1, &[ask(1, 1, "B", 6)]);
    play.says(23, asking(1, 1), (6, yes()), &[succeeds(1, 6)]);
    // Another bucket.
    play.hint(100, Some(("C", 1)), &[CallerEffect::Read]);
    play.read(101, Some(("C", 1)), &[]);
    play.hint(30_100, Some(("C", 1)), &[CallerEffect::Read]);
    play.read(30_101, Some(("C", 1)), &[]);
    play.call(30_102, 2, &[ask(2, 1, "C", 1)]);
}

#[test]
fn an_asking_is_read_as_it_was_written() {
    let name = asking(17, 3);
    assert_eq!(name.to_string(), "17-3");
    assert_eq!("17-3".parse(), Ok(name));
    for text in ["", "17", "17-", "-3", "a-b", "17-3-4"] {
        assert!(text.parse::<AskingName>().is_err(), "{text}");
    }
}
