//! The holder: trust, suspension, new epochs, release.

use std::time::Duration;

use super::play::{Play, record, released, seen};
use crate::answer::Answer;
use crate::leadership::{EPOCH_MAX, Input, Mode, Observation, Standing};
use crate::number::{Epoch, Sequence};

#[test]
fn a_slow_renewal_does_not_lengthen_trust_beyond_its_sending() {
    let mut play = Play::leading(Mode::Fenced);
    assert_eq!(play.wakes(), 250);
    let leader = play.contest().leader().map(|leader| leader.epoch);
    assert_eq!(leader, Some(Epoch::new(1)));
    assert_eq!(play.tick(250), "write over #1: n2 e1 held");
    // Sent at 250, answered at 440: 250 + 1350.
    assert_eq!(play.stored(440, 2, 2), "trust e1 until 1600");
    assert_eq!(play.tick(500), "write over #2: n3 e1 held");
}

#[test]
fn trust_runs_out_by_itself_and_a_write_on_the_own_revision_resumes() {
    let mut play = Play::leading(Mode::Fenced);
    assert_eq!(play.at(100, Input::Disconnected), "");
    assert_eq!(play.wakes(), 1_350);
    assert_eq!(play.tick(1_350), "distrust | suspended e1");
    assert_eq!(play.at(5_000, Input::Connected), "read 2");
    assert_eq!(
        play.read(5_001, 2, seen(1, &record("ME", 1, 1))),
        "write over #1: n2 e1 held"
    );
    assert_eq!(play.stored(5_003, 2, 2), "trust e1 until 6351 | resumed e1");
}

#[test]
fn in_strict_mode_a_suspended_holder_goes_on_under_a_new_epoch() {
    let mut play = Play::leading(Mode::Strict);
    assert_eq!(play.tick(250), "write over #1: n2 e1 held");
    play.at(260, Input::Disconnected);
    assert_eq!(play.tick(1_350), "distrust | suspended e1");
    assert_eq!(play.at(1_400, Input::Connected), "read 2");
    // The renewal of before had been stored: it resumes nothing, its epoch is used up.
    let stored = seen(2, &record("ME", 2, 1));
    assert_eq!(play.read(1_401, 2, stored), "write over #2: n3 e2 held");
    assert_eq!(
        play.stored(1_402, 3, 3),
        "trust e2 until 2751 | resumed e2 | leader me e2"
    );
}

#[test]
fn a_renewal_that_arrives_after_trust_ended_suspends_first() {
    let mut play = Play::leading(Mode::Fenced);
    assert_eq!(play.tick(1_300), "read 2 | write over #1: n2 e1 held");
    // Waited for only as long as trust lasts.
    assert_eq!(play.wakes(), 1_350);
    let text = play.stored(1_360, 2, 2);
    assert_eq!(
        text,
        "distrust | suspended e1 | trust e1 until 2650 | resumed e1"
    );
}

#[test]
fn the_least_trust_that_a_renewal_found_is_kept() {
    let mut play = Play::leading(Mode::Fenced);
    let least = |play: &Play| play.contest().tally().trust_left_min;
    assert_eq!(least(&play), None);
    assert_eq!(play.tick(250), "write over #1: n2 e1 held");
    play.stored(440, 2, 2);
    assert_eq!(least(&play), Some(Duration::from_millis(910)));
    assert_eq!(play.tick(500), "write over #2: n3 e1 held");
    play.stored(510, 3, 3);
    assert_eq!(least(&play), Some(Duration::from_millis(910)));
    // What is written after trust has ended is no renewal in time.
    assert_eq!(
        play.tick(1_850),
        "distrust | suspended e1 | read 2 | write over #3: n4 e1 held"
    );
    play.stored(1_851, 4, 4);
    let tally = play.contest().tally();
    assert_eq!(tally.trust_left_min, Some(Duration::from_millis(910)));
    assert_eq!((tally.acquired, tally.suspended, tally.stored), (1, 1, 4));
    // Nor is one that is not remembered.
    let text = play.read(3_150, 2, seen(5, &record("ME", 900, 1)));
    assert_eq!(text, "write over #5: n5 e1 held");
    assert_eq!(least(&play), Some(Duration::from_millis(910)));
}

#[test]
fn a_clock_that_steps_back_does_not_lengthen_trust() {
    let mut play = Play::leading(Mode::Fenced);
    assert_eq!(
        play.tick(1_350),
        "distrust | suspended e1 | read 2 | write over #1: n2 e1 held"
    );
    assert_eq!(play.tick(10), "");
    assert!(matches!(play.contest().standing(), Standing::Suspended(_)));
}

#[test]
fn another_holder_ends_the_leadership_once() {
    let mut play = Play::leading(Mode::Fenced);
    assert_eq!(play.tick(250), "write over #1: n2 e1 held");
    assert_eq!(play.wrote(251, 2, Answer::WrongLast), "read 2");
    let text = play.read(252, 2, seen(7, &record("YOU", 4, 2)));
    let lost = "distrust | lost e1: you took over under e2 | candidate";
    assert_eq!(text, format!("{lost} | ping 1 YOU | leader you e2"));
    assert_eq!(play.at(253, Input::Stop), "");
    assert_eq!(play.contest().tally().lost, 1);
}

#[test]
fn a_deleted_or_overwritten_record_ends_the_leadership() {
    let check = |observation: Observation, reason: &str| {
        let mut play = Play::leading(Mode::Fenced);
        assert_eq!(play.at(100, Input::Hint(None)), "read 2");
        let text = play.read(101, 2, observation);
        assert!(
            text.starts_with(&format!("distrust | lost e1: {reason} | candidate")),
            "{text}"
        );
    };
    check(
        Observation::deleted(Sequence::new(2)),
        "the record was deleted",
    );
    check(
        Observation::of(Sequence::new(2), b"hello"),
        "the record was overwritten",
    );
    check(
        seen(2, &released(record("YOU", 1, 4))),
        "the record was released",
    );
}

#[test]
fn an_older_state_is_believed_only_after_a_whole_lease_of_it() {
    let mut play = Play::leading(Mode::Fenced);
    assert_eq!(play.tick(250), "write over #1: n2 e1 held");
    assert_eq!(play.stored(251, 2, 2), "trust e1 until 1600");
    assert_eq!(play.at(300, Input::Hint(None)), "read 2");
    assert_eq!(play.read(301, 2, seen(1, &record("YOU", 9, 9))), "");
    play.at(310, Input::Disconnected);
    assert_eq!(play.tick(1_600), "distrust | suspended e1");
    assert_eq!(play.at(1_700, Input::Connected), "read 3");
    assert_eq!(play.read(1_701, 3, Observation::ABSENT), "");
    let id = play.tick(1_900);
    assert_eq!(id, "read 4");
    let text = play.read(1_901, 4, Observation::ABSENT);
    assert_eq!(
        text,
        "lost e1: the bucket went back or was replaced | candidate | write over #0: n3 e2 held | leader none"
    );
}

#[test]
fn a_resignation_waits_for_the_renewal_under_way_and_ends_permits_at_once() {
    let mut play = Play::leading(Mode::Fenced);
    assert_eq!(play.tick(250), "write over #1: n2 e1 held");
    assert_eq!(play.at(251, Input::Resign), "distrust");
    assert!(matches!(play.contest().standing(), Standing::Resigning(_)));
    assert_eq!(play.stored(252, 2, 2), "write over #2: n3 e1 released");
    assert_eq!(
        play.stored(253, 3, 3),
        "released e1 | resigned | leader none"
    );
    assert_eq!(play.contest().standing(), Standing::Follower);
}

#[test]
fn an_unanswered_release_is_decided_by_reading() {
    let mut play = Play::leading(Mode::Fenced);
    assert_eq!(
        play.at(10, Input::Resign),
        "distrust | write over #1: n2 e1 released"
    );
    assert_eq!(play.tick(210), "read 2");
    // Not stored yet: again. Then the first one has landed after all.
    assert_eq!(
        play.read(211, 2, seen(1, &record("ME", 1, 1))),
        "write over #1: n3 e1 released"
    );
    assert_eq!(play.wrote(212, 3, Answer::WrongLast), "read 3");
    let text = play.read(213, 3, seen(2, &released(record("ME", 2, 1))));
    assert_eq!(text, "released e1 | resigned | leader none");
}

#[test]
fn a_release_that_is_never_answered_ends_with_the_lease() {
    let mut play = Play::leading(Mode::Fenced);
    play.at(5, Input::Disconnected);
    assert_eq!(play.at(10, Input::Resign), "distrust");
    assert_eq!(play.wakes(), 1_510);
    let text = play.tick(1_510);
    let lost = "lost e1: the release was not answered";
    assert_eq!(
        text,
        format!("{lost} | not resigned: release the lease: the release was not answered")
    );
}

#[test]
fn a_resignation_without_leadership_is_done_at_once() {
    let mut play = Play::new(Mode::Fenced);
    assert_eq!(play.at(0, Input::Resign), "resigned");
}

#[test]
fn a_new_epoch_is_above_floor_and_own_and_ends_the_old_permits() {
    let mut play = Play::leading(Mode::Fenced);
    let text = play.at(10, Input::Advance(Epoch::new(7)));
    assert_eq!(text, "write over #1: n2 e8 held");
    let refused = play.at(11, Input::Advance(Epoch::default()));
    assert_eq!(
        refused,
        "not advanced: take a new epoch: another one is being taken"
    );
    assert_eq!(
        play.stored(12, 2, 2),
        "trust e8 until 1360 | advanced e8 | leader me e8"
    );
    assert_eq!(
        play.at(13, Input::Advance(Epoch::default())),
        "write over #2: n3 e9 held"
    );
    // Unanswered, but stored: the record says so.
    assert_eq!(play.tick(213), "read 2");
    let text = play.read(214, 2, seen(3, &record("ME", 3, 9)));
    assert_eq!(text, "trust e9 until 1363 | advanced e9 | leader me e9");
}

/// It is not taken for the new one, and the new one is written as soon as it is answered.
#[test]
fn a_new_epoch_waits_for_the_renewal_under_way_and_no_longer() {
    let mut play = Play::leading(Mode::Fenced);
    assert_eq!(play.tick(250), "write over #1: n2 e1 held");
    assert_eq!(play.at(251, Input::Advance(Epoch::default())), "");
    assert_eq!(
        play.stored(252, 2, 2),
        "trust e1 until 1600 | write over #2: n3 e2 held"
    );
    let text = play.stored(253, 3, 3);
    assert_eq!(text, "trust e2 until 1602 | advanced e2 | leader me e2");
    assert_eq!(play.wakes(), 502, "the next renewal comes in its time");
}

#[test]
fn one_who_leads_not_yet_or_no_longer_takes_no_new_epoch() {
    let refused = "not advanced: take a new epoch: this process does not lead";
    let mut play = Play::leading(Mode::Fenced);
    play.at(10, Input::Resign);
    assert_eq!(play.at(11, Input::Advance(Epoch::default())), refused);
    // A strict winner waits until every older trust has ended.
    let (mut play, _) = Play::standing(Mode::Strict, Observation::deleted(Sequence::new(6)));
    assert_eq!(play.stored(10, 1, 7), "leader me e1");
    assert_eq!(play.at(11, Input::Advance(Epoch::default())), refused);
}

#[test]
fn a_new_epoch_is_refused_where_it_cannot_be() {
    let mut play = Play::new(Mode::Fenced);
    let text = play.at(0, Input::Advance(Epoch::default()));
    assert_eq!(
        text,
        "not advanced: take a new epoch: this process does not lead"
    );
    let mut play = Play::leading(Mode::Fenced);
    let text = play.at(1, Input::Advance(EPOCH_MAX));
    assert!(text.contains("too high"), "{text}");
    assert_eq!(
        play.at(2, Input::Advance(Epoch::default())),
        "write over #1: n2 e2 held"
    );
    play.wrote(3, 2, Answer::WrongLast);
    let text = play.read(4, 2, seen(2, &record("YOU", 1, 5)));
    assert!(
        text.contains("not advanced: take a new epoch: the leadership ended before"),
        "{text}"
    );
}

#[test]
fn a_stop_leaves_the_record_to_the_lease() {
    let mut play = Play::leading(Mode::Fenced);
    assert_eq!(
        play.at(10, Input::Stop),
        "distrust | lost e1: the election was stopped"
    );
    assert_eq!(play.contest().standing(), Standing::Follower);
}

#[test]
fn a_replaced_bucket_ends_the_leadership_and_epochs_go_on() {
    let mut play = Play::leading(Mode::Fenced);
    play.at(10, Input::Disconnected);
    let lost = "lost e1: the bucket went back or was replaced";
    let text = play.at(20, Input::BucketReplaced);
    assert_eq!(text, format!("distrust | {lost} | candidate | leader none"));
    assert_eq!(play.at(21, Input::Connected), "read 2");
    assert_eq!(
        play.read(22, 2, Observation::ABSENT),
        "write over #0: n2 e2 held"
    );
}

#[test]
fn who_is_asked_to_step_down_leads_on_until_the_program_resigns() {
    let mut play = Play::leading(Mode::Fenced);
    assert_eq!(play.at(100, Input::StepDownAsked(Epoch::new(2))), "");
    let asked = play.at(101, Input::StepDownAsked(Epoch::new(1)));
    assert_eq!(asked, "asked to step down e1");
    assert_eq!(play.tick(250), "write over #1: n2 e1 held");
    assert_eq!(play.tick(1_350), "distrust | suspended e1 | read 2");
    let late = play.at(1_351, Input::StepDownAsked(Epoch::new(1)));
    assert_eq!(late, "", "it does not know whether it leads");
}
