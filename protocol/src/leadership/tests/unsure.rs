//! Writes whose fate is not known: unanswered, refused in passing, landing late.

use super::play::{Play, record, seen};
use crate::answer::Answer;
use crate::leadership::{Input, Mode, Observation};

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
fn nothing_is_sent_without_a_connection() {
    let mut play = Play::leading(Mode::Fenced);
    play.tick(250);
    play.at(251, Input::Disconnected);
    for now in (300..6_000).step_by(50) {
        let text = play.tick(now);
        assert!(!text.contains("write") && !text.contains("read"), "{text}");
    }
}
