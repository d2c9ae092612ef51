//! The candidate: from when it may take over what it sees.

use std::time::Duration;

use super::play::{Play, record, released, rules, seen};
use crate::answer::Answer;
use crate::leadership::{EPOCH_MAX, Input, Mode, Observation, PingAnswer, Standing};
use crate::number::{Epoch, Sequence};

/// Lets time pass, answering each read with the same, until it writes.
fn writes_at(play: &mut Play, observation: &Observation) -> (u64, String) {
    for _ in 0..200 {
        let now = play.wakes();
        let mut text = play.tick(now);
        if let Some(id) = text
            .split(" | ")
            .find_map(|part| part.strip_prefix("read "))
        {
            let id = id.parse().unwrap();
            text = play.read(now, id, observation.clone());
        }
        if text.contains("write") {
            return (now, text);
        }
    }
    panic!("nothing is written");
}

#[test]
fn a_lease_is_waited_out_from_when_its_revision_was_first_seen() {
    for mode in [Mode::Strict, Mode::Fenced] {
        let held = seen(3, &record("YOU", 1, 4));
        let (mut play, _) = Play::standing(mode, held.clone());
        let (at, text) = writes_at(&mut play, &held);
        // 1500 and a hundredth of it.
        assert_eq!(
            (at, text.as_str()),
            (1_515, "write over #3: n1 e5 held"),
            "{mode:?}"
        );
    }
}

#[test]
fn a_rank_bids_later_and_displaces_nobody() {
    let by_rank = |rank| {
        let mut rules = rules(Mode::Strict);
        rules.detection.spread = Duration::from_millis(10);
        rules.detection.rank = rank;
        rules
    };
    let free = seen(3, &released(record("YOU", 1, 4)));
    let held = seen(3, &record("YOU", 1, 4));
    let bids = |rank, observation: &Observation| {
        let (mut play, _) = Play::standing_by(by_rank(rank), observation.clone());
        writes_at(&mut play, observation).0
    };
    // All of one rank bid before all of the next.
    assert!((1..=10).contains(&bids(0, &free)), "{}", bids(0, &free));
    for rank in 1..4 {
        assert_eq!(bids(rank, &free), bids(0, &free) + u64::from(rank) * 20);
    }
    assert!(bids(0, &held) >= 1_515);
    assert_eq!(bids(2, &held), bids(0, &held) + 40);
}

#[test]
fn a_renewal_starts_the_wait_again() {
    let (mut play, _) = Play::standing(Mode::Strict, seen(3, &record("YOU", 1, 4)));
    assert_eq!(play.at(1_000, Input::Hint(None)), "read 2");
    let renewed = seen(4, &record("YOU", 2, 4));
    assert_eq!(play.read(1_001, 2, renewed.clone()), "");
    assert_eq!(writes_at(&mut play, &renewed).0, 2_516);
}

#[test]
fn the_holder_s_lease_counts_not_ours() {
    let mut longer = record("YOU", 1, 4);
    longer.lease_ms = 4_000;
    let held = seen(3, &longer);
    let (mut play, _) = Play::standing(Mode::Strict, held.clone());
    assert_eq!(writes_at(&mut play, &held).0, 4_040);
}

#[test]
fn a_released_record_is_taken_at_once() {
    let (_, text) = Play::standing(Mode::Strict, seen(3, &released(record("YOU", 1, 4))));
    assert_eq!(text, "write over #3: n1 e5 held");
}

#[test]
fn the_same_name_in_another_life_is_somebody_else() {
    let mut other = record("YOU", 1, 4);
    other.holder = "me".to_owned();
    let (play, text) = Play::standing(Mode::Strict, seen(3, &other));
    assert_eq!(text, "leader me e4");
    assert_eq!(play.contest().standing(), Standing::Candidate);
}

#[test]
fn what_nobody_can_read_is_waited_out_as_the_longest_lease_and_epochs_go_on() {
    for garbage in [&b"garbage"[..], b"", br#"{"v":2}"#] {
        let foreign = Observation::of(Sequence::new(9), garbage);
        let (mut play, text) = Play::standing(Mode::Fenced, seen(3, &record("YOU", 1, 4)));
        assert_eq!(text, "ping 1 YOU | leader you e4");
        assert_eq!(play.at(10, Input::Hint(None)), "read 2");
        assert_eq!(play.read(10, 2, foreign.clone()), "leader none");
        let (at, text) = writes_at(&mut play, &foreign);
        // 2000 and a hundredth of it.
        assert_eq!((at, text.as_str()), (2_030, "write over #9: n1 e5 held"));
    }
}

#[test]
fn a_strict_winner_over_nothing_acts_only_when_every_older_trust_has_ended() {
    for vacancy in [Observation::ABSENT, Observation::deleted(Sequence::new(6))] {
        let (mut play, text) = Play::standing(Mode::Strict, vacancy.clone());
        assert!(text.starts_with("write over"), "{text}");
        assert_eq!(play.stored(10, 1, 7), "leader me e1");
        let mut revision = 7;
        loop {
            let now = play.wakes();
            let text = play.tick(now);
            if text.contains("acquired") {
                assert_eq!(now, 2_030);
                break;
            }
            if let Some(nonce) = text.split(": n").nth(1) {
                let nonce = nonce.split(' ').next().unwrap().parse().unwrap();
                revision += 1;
                assert_eq!(play.stored(now, nonce, revision), "");
            }
        }
    }
    // The first message of a stream has no predecessor.
    let (mut play, _) = Play::standing(Mode::Strict, Observation::ABSENT);
    assert!(play.stored(10, 1, 1).contains("acquired e1"));
}

#[test]
fn a_loser_reads_who_won_and_waits_for_that_lease() {
    let (mut play, text) = Play::standing(Mode::Strict, Observation::ABSENT);
    assert_eq!(text, "write over #0: n1 e1 held");
    assert_eq!(play.wrote(1, 1, Answer::WrongLast), "read 2");
    let won = seen(1, &record("YOU", 1, 1));
    assert_eq!(play.read(2, 2, won.clone()), "leader you e1");
    assert_eq!(
        writes_at(&mut play, &won),
        (1_517, "write over #1: n2 e2 held".to_owned())
    );
}

#[test]
fn a_follower_watches_and_writes_nothing() {
    let mut play = Play::new(Mode::Fenced);
    assert_eq!(play.at(0, Input::Connected), "read 1");
    assert_eq!(play.read(1, 1, Observation::ABSENT), "");
    let mut now = 1;
    while now < 5_000 {
        now = play.wakes();
        let text = play.tick(now);
        let id = text.strip_prefix("read ").unwrap().parse().unwrap();
        assert_eq!(play.read(now, id, Observation::ABSENT), "");
    }
    assert_eq!(
        play.at(5_001, Input::Campaign),
        "candidate | write over #0: n1 e1 held"
    );
}

#[test]
fn a_dead_holder_is_replaced_after_two_silent_pings() {
    let (mut play, text) = Play::standing(Mode::Fenced, seen(3, &record("YOU", 1, 4)));
    assert_eq!(text, "ping 1 YOU | leader you e4");
    assert_eq!(play.pinged(1, 1, PingAnswer::Alive), "");
    assert_eq!(play.tick(25), "ping 2 YOU");
    assert_eq!(play.pinged(26, 2, PingAnswer::NoResponders), "");
    assert_eq!(play.tick(50), "ping 3 YOU");
    assert_eq!(
        play.pinged(51, 3, PingAnswer::NoResponders),
        "write over #3: n1 e5 held"
    );
    assert_eq!(
        play.stored(52, 1, 4),
        "trust e5 until 1401 | acquired e5 | leader me e5"
    );
    assert_eq!(play.contest().tally().early_takeovers, 1);
}

#[test]
fn in_strict_mode_nobody_is_pinged() {
    let held = seen(3, &record("YOU", 1, 4));
    let (mut play, text) = Play::standing(Mode::Strict, held);
    assert_eq!(text, "leader you e4");
    assert!(!play.tick(100).contains("ping"));
}

#[test]
fn a_renewal_between_two_silent_pings_disproves_them() {
    let (mut play, _) = Play::standing(Mode::Fenced, seen(3, &record("YOU", 1, 4)));
    play.pinged(1, 1, PingAnswer::Alive);
    play.tick(25);
    play.pinged(26, 2, PingAnswer::NoResponders);
    assert_eq!(play.at(30, Input::Hint(None)), "read 2");
    play.read(31, 2, seen(4, &record("YOU", 2, 4)));
    play.tick(50);
    assert_eq!(play.pinged(51, 3, PingAnswer::NoResponders), "");
}

#[test]
fn after_a_new_connection_silence_counts_only_when_the_holder_had_time_to_come_back() {
    let held = seen(3, &record("YOU", 1, 4));
    let (mut play, _) = Play::standing(Mode::Fenced, held.clone());
    play.pinged(1, 1, PingAnswer::Alive);
    play.at(10, Input::Disconnected);
    // The lease ended meanwhile; still the holder goes first.
    assert_eq!(play.at(9_000, Input::Connected), "ping 2 YOU | read 2");
    assert_eq!(play.read(9_001, 2, held.clone()), "");
    let mut number = 2;
    let mut answer = |play: &mut Play, now: u64| {
        let mut text = play.pinged(now, number, PingAnswer::NoResponders);
        text.push_str(&play.tick(now));
        if let Some(id) = text.split("read ").nth(1) {
            text.push_str(&play.read(now, id.parse().unwrap(), held.clone()));
        }
        number += 1;
        text
    };
    for now in (9_025..=9_425).step_by(25) {
        let text = answer(&mut play, now);
        assert!(!text.contains("write"), "at {now}: {text}");
    }
    let text = answer(&mut play, 9_450);
    assert!(text.contains("write over #3: n1 e5 held"), "{text}");
}

#[test]
fn restless_takeovers_wait_longer_and_longer() {
    let (mut play, _) = Play::standing(Mode::Fenced, seen(3, &record("A", 1, 4)));
    let mut number = 1;
    let mut kill = |play: &mut Play, from: u64| {
        let mut now = from;
        play.pinged(now, number, PingAnswer::Alive);
        loop {
            let text = play.tick(now);
            if text.contains("write") {
                return now;
            }
            if let Some(sent) = text.split("ping ").nth(1) {
                number = sent.split(' ').next().unwrap().parse().unwrap();
                if play
                    .pinged(now, number, PingAnswer::NoResponders)
                    .contains("write")
                {
                    return now;
                }
            }
            now = play.wakes();
        }
    };
    let first = kill(&mut play, 0);
    assert!(first <= 50, "{first}");
    assert_eq!(play.wrote(first, 1, Answer::WrongLast), "read 2");
    // Somebody else was quicker, and dies as well.
    play.read(first, 2, seen(4, &record("B", 1, 5)));
    let second = kill(&mut play, first);
    assert_eq!(second, first + 1_000);
}

#[test]
fn the_next_epoch_is_above_all_that_is_known() {
    let mut play = Play::new(Mode::Fenced);
    play.at(0, Input::Floor(Epoch::new(11)));
    play.at(0, Input::Connected);
    play.at(0, Input::Campaign);
    let text = play.read(1, 1, seen(3, &released(record("YOU", 1, 4))));
    assert_eq!(text, "write over #3: n1 e12 held");
}

#[test]
fn an_epoch_that_cannot_be_written_down_elects_nobody() {
    let mut play = Play::new(Mode::Fenced);
    play.at(0, Input::Floor(EPOCH_MAX));
    play.at(0, Input::Connected);
    play.at(0, Input::Campaign);
    assert_eq!(play.read(1, 1, Observation::ABSENT), "");
}
