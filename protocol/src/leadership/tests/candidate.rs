//! The candidate: from when it may take over what it sees.

use std::collections::BTreeSet;
use std::time::Duration;

use super::play::{Play, identity, record, released, rules, seen};
use crate::answer::Answer;
use crate::leadership::{
    Contest, EPOCH_MAX, Input, LeaseRecord, Mode, Observation, PingAnswer, Standing, eviction,
};
use crate::number::{Epoch, Sequence};
use crate::time::Timestamp;

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
fn an_evicted_holder_is_waited_out_for_a_whole_lease_and_leads_no_more() {
    let held = record("YOU", 1, 4);
    let evict = |held: &LeaseRecord| {
        let incarnation = "OP".parse().unwrap();
        eviction(held, "operator", incarnation, Timestamp::default())
    };
    let evicted = seen(4, &evict(&held).unwrap());
    // Seen 1000 after the old one: it counts from there.
    let (mut play, _) = Play::standing(Mode::Strict, seen(3, &held));
    assert_eq!(play.at(1_000, Input::Hint(None)), "read 2");
    play.read(1_000, 2, evicted.clone());
    let (at, text) = writes_at(&mut play, &evicted);
    assert_eq!((at, text.as_str()), (2_515, "write over #4: n1 e6 held"));

    let mut play = Play::leading(Mode::Strict);
    assert_eq!(play.at(100, Input::Hint(None)), "read 2");
    let own = evict(&record("ME", 1, 1)).unwrap();
    let text = play.read(101, 2, seen(2, &own));
    assert!(
        text.starts_with("distrust | lost e1: operator took over under e2"),
        "{text}"
    );
    let last = LeaseRecord {
        epoch: EPOCH_MAX,
        ..held
    };
    assert_eq!(evict(&last), None);
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
fn each_candidate_has_a_place_of_its_own_for_each_revision() {
    let (mut places, mut tenths) = (BTreeSet::new(), [0; 10]);
    for number in 0..40 {
        let mut rules = rules(Mode::Strict);
        rules.detection.spread = Duration::from_millis(10);
        let contest = Contest::new(rules, identity(&format!("c{number}"))).unwrap();
        for revision in 1..=50 {
            let place = contest.spread(Sequence::new(revision));
            tenths[usize::try_from(place.as_millis()).unwrap()] += 1;
            places.insert(place);
        }
    }
    assert_eq!(places.len(), 2_000, "no two of them write together");
    let even = tenths.iter().all(|count| (150..250).contains(count));
    assert!(even, "{tenths:?}");
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
fn a_follower_and_a_holder_ping_nobody() {
    let mut play = Play::new(Mode::Fenced);
    assert_eq!(play.at(0, Input::Connected), "read 1");
    let held = seen(3, &record("YOU", 1, 4));
    assert_eq!(play.read(1, 1, held), "leader you e4");
    // It pings from when it stands until it stands no longer.
    assert_eq!(play.at(2, Input::Campaign), "candidate | ping 1 YOU");
    assert_eq!(play.at(3, Input::Campaign), "");
    assert_eq!(play.at(4, Input::Withdraw), "");
    assert_eq!(play.tick(100), "");
    let mut play = Play::leading(Mode::Fenced);
    assert_eq!(play.at(10, Input::Withdraw), "");
    assert_eq!(play.at(20, Input::Campaign), "");
    assert_eq!(play.tick(100), "");
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
fn the_silence_of_one_who_never_answered_counts_once_a_renewal_is_overdue() {
    let mut longer = record("YOU", 1, 4);
    longer.lease_ms = 60_000;
    let held = seen(3, &longer);
    let (mut play, text) = Play::standing(Mode::Fenced, held.clone());
    assert_eq!(text, "ping 1 YOU | leader you e4");
    let mut text = play.pinged(0, 1, PingAnswer::NoResponders);
    let mut now = 0;
    while !text.contains("write") {
        now = play.wakes();
        text = play.tick(now);
        if let Some((_, id)) = text.split_once("read ") {
            play.read(now, id.parse().unwrap(), held.clone());
        }
        if let Some((_, ping)) = text.split_once("ping ") {
            let number = ping.split(' ').next().unwrap().parse().unwrap();
            text = play.pinged(now, number, PingAnswer::NoResponders);
        }
    }
    // It renews each 250 ms, and waits 200 ms for the answer; the next ping shows it.
    assert_eq!(now, 475);
}

#[test]
fn a_takeover_as_the_lease_ends_is_no_early_one() {
    let held = seen(3, &record("YOU", 1, 4));
    let (mut play, _) = Play::standing(Mode::Fenced, held.clone());
    play.pinged(1, 1, PingAnswer::Alive);
    let ping = |play: &mut Play, now| {
        let text = play.tick(now);
        if let Some((_, id)) = text.split_once("read ") {
            play.read(now, id.parse().unwrap(), held.clone());
        }
        let (_, ping) = text.split_once("ping ").unwrap();
        ping.split(' ').next().unwrap().parse().unwrap()
    };
    for now in [250, 500, 750, 1_000, 1_250] {
        ping(&mut play, now);
    }
    let first = ping(&mut play, 1_480);
    play.pinged(1_481, first, PingAnswer::NoResponders);
    let second = ping(&mut play, 1_505);
    let text = play.pinged(1_515, second, PingAnswer::NoResponders);
    assert_eq!(text, "write over #3: n1 e5 held");
    play.stored(1_516, 1, 4);
    let tally = play.contest().tally();
    assert_eq!(
        (tally.suspicions, tally.early_takeovers, tally.acquired),
        (1, 0, 1)
    );
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

/// From when on `YOU`, who took over from another at 1,515, is replaced after its death.
fn replaced_after(before: &Observation) -> u64 {
    let (mut play, _) = Play::standing(Mode::Fenced, before.clone());
    for now in [250, 500, 750, 1_000, 1_250] {
        let text = play.tick(now);
        if let Some((_, id)) = text.split_once("read ") {
            play.read(now, id.parse().unwrap(), before.clone());
        }
    }
    let text = play.at(1_510, Input::Hint(None));
    let id = text.split("read ").nth(1).unwrap().parse().unwrap();
    let text = play.read(1_515, id, seen(4, &record("YOU", 1, 5)));
    assert!(text.ends_with("leader you e5"), "{text}");
    let mut number = text.split(' ').nth(1).unwrap().parse().unwrap();
    play.pinged(1_516, number, PingAnswer::Alive);
    loop {
        let now = play.wakes();
        let mut text = play.tick(now);
        if let Some((_, rest)) = text.split_once("ping ") {
            number = rest.split(' ').next().unwrap().parse().unwrap();
            text.push_str(&play.pinged(now, number, PingAnswer::NoResponders));
        }
        if text.contains("write") {
            return now;
        }
    }
}

#[test]
fn only_a_takeover_before_its_time_makes_the_next_one_wait() {
    let mut longer = record("A", 1, 4);
    longer.lease_ms = 1_501;
    // The pause of a second counts from the takeover.
    assert_eq!(replaced_after(&seen(3, &longer)), 2_515);
    assert_eq!(replaced_after(&seen(3, &record("A", 1, 4))), 1_565);
}

#[test]
fn a_takeover_of_a_released_record_makes_nobody_wait() {
    let mut play = Play::new(Mode::Fenced);
    assert_eq!(play.at(0, Input::Connected), "read 1");
    assert_eq!(play.read(1, 1, seen(3, &released(record("A", 1, 4)))), "");
    assert_eq!(play.at(10, Input::Hint(None)), "read 2");
    assert_eq!(
        play.read(11, 2, seen(4, &record("YOU", 1, 5))),
        "leader you e5"
    );
    assert_eq!(play.at(12, Input::Campaign), "candidate | ping 1 YOU");
    play.pinged(13, 1, PingAnswer::Alive);
    assert_eq!(play.tick(37), "ping 2 YOU");
    play.pinged(38, 2, PingAnswer::NoResponders);
    assert_eq!(play.tick(62), "ping 3 YOU");
    let text = play.pinged(63, 3, PingAnswer::NoResponders);
    assert_eq!(text, "write over #4: n1 e6 held");
}

#[test]
fn a_strict_winner_over_nothing_names_the_longest_lease_while_an_older_one_may_last() {
    let named = |mode, observation: &Observation, revision| {
        let (mut play, text) = Play::standing(mode, observation.clone());
        assert!(text.starts_with("write"), "{text}");
        let first = play.leases.pop().unwrap();
        play.stored(10, 1, revision);
        let mut second = None;
        while second.is_none() {
            let now = play.wakes();
            play.tick(now);
            second = play.leases.pop();
        }
        (first, second.unwrap())
    };
    let deleted = Observation::deleted(Sequence::new(6));
    let free = seen(3, &released(record("YOU", 1, 4)));
    assert_eq!(named(Mode::Strict, &deleted, 7), (2_000, 2_000));
    assert_eq!(named(Mode::Fenced, &deleted, 7), (1_500, 1_500));
    assert_eq!(named(Mode::Strict, &free, 4), (1_500, 1_500));
    // The first message of a stream has no predecessor, as is known once it is stored.
    assert_eq!(named(Mode::Strict, &Observation::ABSENT, 1), (2_000, 1_500));
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
