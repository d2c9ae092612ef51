//! Writes whose fate is not known: unanswered, refused in passing, landing late.

use std::time::Duration;

use super::play::{Play, record, rules, seen};
use crate::answer::Answer;
use crate::leadership::{Input, Mode, Observation, ReadAnswer};
use crate::number::Sequence;

#[test]
fn an_unanswered_renewal_that_was_stored_is_adopted_with_the_trust_of_its_sending() {
    let mut play = Play::leading(Mode::Fenced);
    assert_eq!(play.tick(250), "write over #1: n2 e1 held");
    assert_eq!(play.wakes(), 450);
    assert_eq!(play.tick(450), "read 2");
    let text = play.read(470, 2, seen(2, &record("ME", 2, 1)));
    assert_eq!(text, "trust e1 until 1600");
    assert_eq!(play.tick(500), "write over #2: n3 e1 held");
}

#[test]
fn an_unanswered_renewal_that_was_not_stored_is_repeated_with_a_new_nonce() {
    let mut play = Play::leading(Mode::Fenced);
    play.tick(250);
    assert_eq!(play.tick(450), "read 2");
    let text = play.read(451, 2, seen(1, &record("ME", 1, 1)));
    assert_eq!(text, "write over #1: n3 e1 held");
    // The first one lands after all, and makes the second one fail: no lock-out.
    assert_eq!(play.wrote(452, 3, Answer::WrongLast), "read 3");
    assert_eq!(
        play.read(453, 3, seen(2, &record("ME", 2, 1))),
        "trust e1 until 1600"
    );
    assert_eq!(play.tick(500), "write over #2: n4 e1 held");
}

#[test]
fn an_answer_that_comes_too_late_says_nothing() {
    let mut play = Play::leading(Mode::Fenced);
    play.tick(250);
    assert_eq!(play.tick(450), "read 2");
    assert_eq!(play.stored(455, 2, 2), "");
}

#[test]
fn a_refusal_in_passing_is_repeated_without_reading() {
    let mut play = Play::leading(Mode::Fenced);
    play.tick(250);
    assert_eq!(play.wrote(251, 2, Answer::Busy), "");
    assert_eq!(play.wakes(), 256);
    assert_eq!(play.tick(256), "write over #1: n3 e1 held");
    assert_eq!(play.stored(257, 3, 2), "trust e1 until 1606");
}

#[test]
fn a_second_refusal_in_passing_is_repeated_later_each_at_its_place() {
    let mut rules = rules(Mode::Fenced);
    rules.detection.spread = Duration::from_millis(3);
    let (mut play, text) = Play::standing_by(rules, seen(3, &record("YOU", 1, 4)));
    assert_eq!(text, "ping 1 YOU | leader you e4");
    let place = play.contest().spread(Sequence::new(3));
    assert!(place > Duration::ZERO && place < Duration::from_millis(3));
    let mut now = 0;
    let mut waits = Vec::new();
    for nonce in 1..=12 {
        let mut text = String::new();
        let from = now;
        while !text.contains(&format!("n{nonce} ")) {
            now = play.wakes();
            text = play.tick(now);
            if let Some((_, id)) = text.split_once("read ") {
                let id = id.split(' ').next().unwrap().parse().unwrap();
                text.push_str(&play.read(now, id, seen(3, &record("YOU", 1, 4))));
            }
        }
        play.wrote(now, nonce, Answer::Busy);
        waits.push(now - from);
    }
    // 5 ms more each time, up to 50, and the place of this candidate: in whole milliseconds.
    let place = place.as_nanos().div_ceil(1_000_000);
    let expected: Vec<u128> = (1..=11).map(|n: u128| 5 * n.min(10) + place).collect();
    let waits: Vec<u128> = waits[1..].iter().copied().map(u128::from).collect();
    assert_eq!(waits, expected);
    assert_eq!(play.contest().tally().busy, 12);
}

#[test]
fn a_read_that_fails_is_repeated_after_a_growing_pause() {
    let mut play = Play::new(Mode::Fenced);
    assert_eq!(play.at(0, Input::Connected), "read 1");
    let (mut now, mut pauses) = (0, Vec::new());
    for id in 1..=5 {
        assert_eq!(play.at(now, Input::Read(id, ReadAnswer::Failed)), "");
        pauses.push(play.wakes() - now);
        now = play.wakes();
        assert_eq!(play.tick(now - 1), "");
        assert_eq!(play.tick(now), format!("read {}", id + 1));
    }
    // A sixteenth, an eighth, a quarter, and half of the 250 ms between two renewals.
    assert_eq!(pauses, [16, 32, 63, 125, 125]);
    // Without an answer it is given up after 200 ms.
    assert_eq!(play.wakes(), now + 200);
    assert_eq!(play.tick(now + 200), "");
    assert_eq!(play.wakes(), now + 325);
    assert_eq!(play.read(now + 201, 6, Observation::ABSENT), "");
    assert_eq!(
        play.wakes(),
        now + 325,
        "an answer that was given up counts for nothing"
    );
}

#[test]
fn a_hint_that_is_quicker_than_the_storing_is_followed_up() {
    let mut play = Play::new(Mode::Fenced);
    assert_eq!(play.at(0, Input::Connected), "read 1");
    let held = seen(3, &record("YOU", 1, 4));
    assert_eq!(play.read(0, 1, held.clone()), "leader you e4");
    assert_eq!(play.at(100, Input::Hint(None)), "read 2");
    let (mut now, mut pauses) = (100, Vec::new());
    for id in 2..9 {
        assert_eq!(play.read(now, id, held.clone()), "");
        pauses.push(play.wakes() - now);
        now = play.wakes();
        assert_eq!(play.tick(now), format!("read {}", id + 1));
    }
    assert_eq!(pauses, [2, 5, 15, 50, 200, 250, 250]);
}

#[test]
fn a_write_that_is_said_to_stand_where_another_stood_is_read_back() {
    for revision in [0, 1] {
        let mut play = Play::leading(Mode::Fenced);
        assert_eq!(play.tick(250), "write over #1: n2 e1 held");
        assert_eq!(play.stored(251, 2, revision), "read 2");
        assert_eq!(play.contest().tally().unanswered, 1);
    }
}

#[test]
fn what_became_of_writes_is_counted() {
    for (answer, counts) in [
        (Answer::WrongLast, [1, 0, 0, 0]),
        (Answer::Busy, [0, 1, 0, 0]),
        (Answer::NoResponders, [0, 0, 1, 0]),
        (Answer::Full(String::new()), [0, 0, 1, 0]),
        (Answer::Unanswered, [0, 0, 0, 1]),
        (Answer::Occupied, [0, 0, 0, 1]),
    ] {
        let mut play = Play::leading(Mode::Fenced);
        assert_eq!(play.contest().tally().stored, 1);
        assert_eq!(play.tick(250), "write over #1: n2 e1 held");
        play.wrote(251, 2, answer.clone());
        let tally = play.contest().tally();
        let found = [tally.conflicts, tally.busy, tally.refused, tally.unanswered];
        assert_eq!(found, counts, "{answer:?}");
    }
}

#[test]
fn refusals_that_come_at_once_are_not_repeated_at_once() {
    for answer in [Answer::NoResponders, Answer::Full(String::new())] {
        let mut play = Play::leading(Mode::Fenced);
        let mut now = 250;
        let mut writes = 0;
        while now < 1_350 {
            let text = play.tick(now);
            if let Some(nonce) = text.strip_prefix("write over #1: n") {
                writes += 1;
                let nonce = nonce.split(' ').next().unwrap().parse().unwrap();
                play.wrote(now, nonce, answer.clone());
            }
            now = play.wakes();
        }
        assert!((5..25).contains(&writes), "{writes} writes in 1.1 s");
    }
}

#[test]
fn an_unanswered_takeover_that_was_stored_is_a_leadership_from_its_sending() {
    let (mut play, text) = Play::standing(Mode::Fenced, Observation::ABSENT);
    assert_eq!(text, "write over #0: n1 e1 held");
    assert_eq!(play.tick(200), "read 2");
    let text = play.read(201, 2, seen(1, &record("ME", 1, 1)));
    assert_eq!(text, "trust e1 until 1350 | acquired e1 | leader me e1");
}

#[test]
fn a_takeover_seen_after_its_trust_ended_is_renewed_before_anybody_is_told() {
    let (mut play, _) = Play::standing(Mode::Fenced, Observation::ABSENT);
    play.at(5, Input::Disconnected);
    assert_eq!(play.at(9_000, Input::Connected), "read 2");
    let text = play.read(9_001, 2, seen(1, &record("ME", 1, 1)));
    assert_eq!(text, "write over #1: n2 e1 held | leader me e1");
    assert_eq!(
        play.stored(9_002, 2, 2),
        "trust e1 until 10351 | acquired e1"
    );
}

#[test]
fn a_takeover_seen_just_as_its_trust_ends_leads_nothing() {
    for (at, leads) in [(1_349, true), (1_350, false)] {
        let (mut play, _) = Play::standing(Mode::Fenced, Observation::ABSENT);
        play.at(5, Input::Disconnected);
        assert_eq!(play.at(1_340, Input::Connected), "read 2");
        let text = play.read(at, 2, seen(1, &record("ME", 1, 1)));
        assert_eq!(text.contains("acquired e1"), leads, "{text}");
    }
}

#[test]
fn of_several_unanswered_writes_each_is_known_again() {
    let mut play = Play::leading(Mode::Fenced);
    assert_eq!(play.tick(250), "write over #1: n2 e1 held");
    assert_eq!(play.tick(450), "read 2");
    let before = seen(1, &record("ME", 1, 1));
    assert_eq!(play.read(451, 2, before), "write over #1: n3 e1 held");
    assert_eq!(play.tick(651), "read 3");
    // The first one has landed: trust counts from its sending.
    let text = play.read(652, 3, seen(2, &record("ME", 2, 1)));
    assert_eq!(text, "trust e1 until 1600 | write over #2: n4 e1 held");
}

#[test]
fn a_forgotten_write_that_names_us_gives_no_time() {
    let (mut play, _) = Play::standing(Mode::Fenced, seen(3, &record("YOU", 1, 4)));
    play.pinged(1, 1, crate::leadership::PingAnswer::Alive);
    assert_eq!(play.at(10, Input::Hint(None)), "read 2");
    let text = play.read(11, 2, seen(4, &record("ME", 900, 5)));
    assert_eq!(text, "write over #4: n1 e5 held | leader me e5");
    assert_eq!(play.stored(12, 1, 5), "trust e5 until 1361 | acquired e5");
}

#[test]
fn a_late_write_under_a_used_up_epoch_is_lifted_above_it() {
    let (mut play, _) = Play::standing(Mode::Fenced, seen(3, &record("YOU", 1, 4)));
    play.at(5, Input::Floor(crate::number::Epoch::new(8)));
    assert_eq!(play.at(10, Input::Hint(None)), "read 2");
    let text = play.read(11, 2, seen(4, &record("ME", 900, 5)));
    assert_eq!(text, "write over #4: n1 e9 held | leader me e5");
    assert_eq!(
        play.stored(12, 1, 5),
        "trust e9 until 1361 | acquired e9 | leader me e9"
    );
}

#[test]
fn a_late_write_that_names_a_follower_is_released() {
    let mut play = Play::new(Mode::Fenced);
    assert_eq!(play.at(0, Input::Connected), "read 1");
    let text = play.read(1, 1, seen(4, &record("ME", 900, 5)));
    assert_eq!(text, "write over #4: n1 e5 released | leader me e5");
    assert_eq!(play.stored(2, 1, 5), "leader none");
}

#[test]
fn in_strict_mode_such_a_release_waits_until_every_older_trust_has_ended() {
    let mut play = Play::new(Mode::Strict);
    assert_eq!(play.at(0, Input::Connected), "read 1");
    let late = seen(4, &record("ME", 900, 5));
    assert_eq!(play.read(1, 1, late.clone()), "leader me e5");
    let mut text = String::new();
    while !text.contains("write") {
        let now = play.wakes();
        text = play.tick(now);
        if let Some(id) = text.strip_prefix("read ") {
            text = play.read(now, id.parse().unwrap(), late.clone());
        }
        assert_eq!(text.contains("write"), now == 2_021, "at {now}: {text}");
    }
    assert_eq!(text, "write over #4: n1 e5 released");
}

#[test]
fn a_withdrawn_candidacy_releases_what_it_wins() {
    let (mut play, text) = Play::standing(Mode::Fenced, Observation::ABSENT);
    assert_eq!(text, "write over #0: n1 e1 held");
    assert_eq!(play.at(1, Input::Withdraw), "");
    assert_eq!(
        play.stored(2, 1, 1),
        "write over #1: n2 e1 released | leader me e1"
    );
    assert_eq!(play.stored(3, 2, 2), "leader none");
}

#[test]
fn a_hint_of_the_own_write_under_way_is_no_news() {
    let mut play = Play::leading(Mode::Fenced);
    play.tick(250);
    let me = "ME".parse().unwrap();
    assert_eq!(play.at(251, Input::Hint(Some((me, 2)))), "");
    let me = "ME".parse().unwrap();
    assert_eq!(play.at(251, Input::Hint(Some((me, 7)))), "read 2");
}

#[test]
fn what_was_asked_on_an_older_connection_is_asked_again() {
    let mut play = Play::new(Mode::Fenced);
    assert_eq!(play.at(0, Input::Connected), "read 1");
    assert_eq!(play.at(5, Input::Disconnected), "");
    assert_eq!(play.at(10, Input::Connected), "read 2");
    assert_eq!(play.read(11, 1, seen(3, &record("YOU", 1, 4))), "");
    let text = play.read(12, 2, seen(4, &record("YOU", 2, 4)));
    assert_eq!(text, "leader you e4");
}

#[test]
fn nothing_is_sent_without_a_connection() {
    let mut play = Play::leading(Mode::Fenced);
    play.tick(250);
    play.at(251, Input::Disconnected);
    for now in (300..6_000).step_by(50) {
        let text = play.tick(now);
        assert!(!text.contains("write") && !text.contains("read"), "{text}");
    }
}
