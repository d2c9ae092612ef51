//! What a desk says to each question.

use std::time::Duration;

use super::at;
use crate::id::CallId;
use crate::number::Asker;
use crate::proxy::{Desk, DeskEffect, DeskInput, DeskRules, Fingerprint, Right, Said, Verdict};

/// Two at a time, three remembered, answers of up to 4 bytes, for a second.
const RULES: DeskRules = DeskRules {
    open_max: 2,
    answer_len_max: 4,
    remembered_max: 3,
    remembered_len_max: 64 << 10,
    remember_for: Duration::from_secs(1),
};

struct Play(Desk);

fn id(text: &str) -> CallId {
    CallId::new(text).unwrap()
}

fn done(text: &str) -> Said {
    Said::Done(text.as_bytes().into())
}

fn begin(asker: u64, call: &str) -> DeskEffect {
    DeskEffect::Begin(Asker::new(asker), id(call))
}

fn answer(asker: u64, verdict: Verdict) -> DeskEffect {
    DeskEffect::Answer(Asker::new(asker), verdict)
}

fn leave(asker: u64) -> DeskEffect {
    DeskEffect::Leave(Asker::new(asker))
}

impl Play {
    fn new() -> Self {
        Self(Desk::new(RULES))
    }

    fn asked(
        &mut self,
        millis: u64,
        right: Right,
        (asker, call): (u64, &str),
        effects: &[DeskEffect],
    ) {
        let content = Fingerprint::of(b"do it");
        self.asked_other(millis, right, (asker, call, content), effects);
    }

    fn asked_other(
        &mut self,
        millis: u64,
        right: Right,
        (asker, call, content): (u64, &str, Fingerprint),
        effects: &[DeskEffect],
    ) {
        let input = DeskInput::Asked {
            asker: Asker::new(asker),
            id: id(call),
            content,
        };
        assert_eq!(self.0.handle(at(millis), right, input), effects, "{call}");
    }

    fn ended(
        &mut self,
        millis: u64,
        right: Right,
        (call, said): (&str, Said),
        effects: &[DeskEffect],
    ) {
        let input = DeskInput::Ended(id(call), said);
        assert_eq!(self.0.handle(at(millis), right, input), effects, "{call}");
    }
}

#[test]
fn a_repeat_waits_for_the_first_or_gets_its_answer_and_begins_nothing() {
    let mut desk = Play::new();
    desk.asked(0, Right::Holds, (1, "a"), &[begin(1, "a")]);
    desk.asked(1, Right::Holds, (2, "a"), &[]);
    let yes = Verdict::Said(done("yes"));
    let both = [answer(1, yes.clone()), answer(2, yes.clone())];
    desk.ended(2, Right::Holds, ("a", done("yes")), &both);
    desk.asked(1_001, Right::Holds, (3, "a"), &[answer(3, yes)]);
    // Remembered for a second after its answer, and no longer.
    desk.asked(1_002, Right::Holds, (4, "a"), &[begin(4, "a")]);
}

#[test]
fn another_content_under_the_same_id_is_told() {
    let other = Fingerprint::of(b"do something else");
    let mut desk = Play::new();
    desk.asked(0, Right::Holds, (1, "a"), &[begin(1, "a")]);
    let conflict = |asker| [answer(asker, Verdict::Conflict)];
    desk.asked_other(0, Right::Holds, (2, "a", other), &conflict(2));
    let yes = Verdict::Said(done("yes"));
    desk.ended(1, Right::Holds, ("a", done("yes")), &[answer(1, yes)]);
    desk.asked_other(1, Right::Holds, (3, "a", other), &conflict(3));
}

#[test]
fn nothing_is_begun_for_which_there_is_no_room() {
    let mut desk = Play::new();
    desk.asked(0, Right::Holds, (1, "a"), &[begin(1, "a")]);
    desk.asked(0, Right::Holds, (2, "b"), &[begin(2, "b")]);
    // Two at a time.
    desk.asked(0, Right::Holds, (3, "c"), &[answer(3, Verdict::Busy)]);
    let yes = |asker| answer(asker, Verdict::Said(done("yes")));
    desk.ended(1, Right::Holds, ("a", done("yes")), &[yes(1)]);
    desk.asked(1, Right::Holds, (4, "c"), &[begin(4, "c")]);
    desk.ended(2, Right::Holds, ("b", done("yes")), &[yes(2)]);
    // One open and two answered: the third answer would have no place.
    desk.asked(2, Right::Holds, (5, "d"), &[answer(5, Verdict::Busy)]);
    desk.asked(1_001, Right::Holds, (6, "d"), &[begin(6, "d")]);
}

#[test]
fn the_longest_answers_of_what_is_open_have_their_place() {
    let mut desk = Play(Desk::new(DeskRules {
        answer_len_max: 8_000,
        remembered_len_max: 17_000,
        remembered_max: 100,
        ..RULES
    }));
    desk.asked(0, Right::Holds, (1, "a"), &[begin(1, "a")]);
    desk.asked(0, Right::Holds, (2, "b"), &[begin(2, "b")]);
    let long = Said::Done(vec![b'x'; 8_000].into());
    let verdict = Verdict::Said(long.clone());
    desk.ended(1, Right::Holds, ("a", long), &[answer(1, verdict)]);
    desk.asked(1, Right::Holds, (3, "c"), &[answer(3, Verdict::Busy)]);
    let short = Verdict::Said(done("x"));
    desk.ended(2, Right::Holds, ("b", done("x")), &[answer(2, short)]);
    desk.asked(2, Right::Holds, (4, "c"), &[begin(4, "c")]);
}

#[test]
fn an_answer_that_is_too_long_is_told_to_each_repeat() {
    let mut desk = Play::new();
    desk.asked(0, Right::Holds, (1, "a"), &[begin(1, "a")]);
    let told = Verdict::Said(Said::TooLong { len: 5, len_max: 4 });
    desk.ended(
        1,
        Right::Holds,
        ("a", done("12345")),
        &[answer(1, told.clone())],
    );
    desk.asked(1, Right::Holds, (2, "a"), &[answer(2, told)]);
}

#[test]
fn work_that_winds_up_begins_nothing_and_answers_what_it_began() {
    let mut desk = Play::new();
    desk.asked(0, Right::Holds, (1, "a"), &[begin(1, "a")]);
    desk.asked(
        1,
        Right::WindsUp,
        (2, "b"),
        &[answer(2, Verdict::NotLeading)],
    );
    desk.asked(1, Right::WindsUp, (3, "a"), &[]);
    let yes = Verdict::Said(done("yes"));
    let both = [answer(1, yes.clone()), answer(3, yes)];
    desk.ended(2, Right::WindsUp, ("a", done("yes")), &both);
}

#[test]
fn a_permit_that_has_ended_gives_no_answer_to_what_was_begun() {
    let mut desk = Play::new();
    desk.asked(0, Right::Holds, (1, "a"), &[begin(1, "a")]);
    desk.asked(0, Right::Holds, (2, "b"), &[begin(2, "b")]);
    let yes = answer(1, Verdict::Said(done("yes")));
    desk.ended(1, Right::Holds, ("a", done("yes")), &[yes]);
    desk.ended(2, Right::Ended, ("b", done("yes")), &[leave(2)]);
    desk.asked(2, Right::Ended, (3, "a"), &[leave(3)]);
    desk.asked(2, Right::Ended, (4, "b"), &[leave(4)]);
    desk.asked(2, Right::Ended, (5, "c"), &[answer(5, Verdict::NotLeading)]);
}

#[test]
fn so_many_repeats_wait_and_no_more() {
    let mut desk = Play::new();
    desk.asked(0, Right::Holds, (1, "a"), &[begin(1, "a")]);
    for asker in 2..=8 {
        desk.asked(0, Right::Holds, (asker, "a"), &[]);
    }
    desk.asked(0, Right::Holds, (9, "a"), &[leave(9)]);
    assert_eq!(desk.0.open_len(), 1);
}
