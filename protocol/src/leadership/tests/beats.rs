//! A holder that is stopped though connected: found by its missing beats, and only by one who was
//! awake and whose broker answered.

use std::time::Duration;

use super::play::{Play, moment, record, rules, seen};
use crate::leadership::{Detection, Incarnation, Input, Mode, Observation, PingAnswer, Rules};

/// Whether pings to ourselves come back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Echo {
    Back,
    Lost,
}

fn beating() -> Rules {
    let mut rules = rules(Mode::Fenced);
    rules.detection.beat_every = Detection::default().beat_every;
    rules
}

/// `YOU` hold a lease that nobody waits out here.
fn held() -> Observation {
    let mut record = record("YOU", 1, 4);
    record.lease_ms = 60_000;
    seen(3, &record)
}

fn you() -> Incarnation {
    "YOU".parse().unwrap()
}

/// `ME`, who heard `YOU` beat at 100.
fn listening() -> Play {
    let (mut play, text) = Play::standing_by(beating(), held());
    assert_eq!(text, "ping 1 YOU | leader you e4");
    assert_eq!(play.pinged(1, 1, PingAnswer::Alive), "");
    play.at(100, Input::Beat(you()));
    assert_eq!(play.contest().tally().beats_heard, 1);
    play
}

/// Lets time pass until `to` without a sign of `YOU`: each read shows the same. Gives what is done
/// beside reads and pings to `YOU`.
fn silence(play: &mut Play, to: u64, echo: Echo) -> Vec<String> {
    let mut done = Vec::new();
    loop {
        let now = play.wakes();
        if now > to {
            return done;
        }
        let mut text = play.tick(now);
        if let Some((before, id)) = text.split_once("read ") {
            let id = id.split(' ').next().unwrap().parse().unwrap();
            text = format!("{before}{}", play.read(now, id, held()));
        }
        for part in text.split(" | ").filter(|part| !part.is_empty()) {
            if part.ends_with("YOU") {
                continue;
            }
            if let Some(number) = part.strip_prefix("ping ") {
                let number = number.strip_suffix(" ME").unwrap().parse().unwrap();
                done.push(format!("{now}: asks"));
                if echo == Echo::Back {
                    play.pinged(now + 1, number, PingAnswer::Alive);
                }
                continue;
            }
            done.push(format!("{now}: {part}"));
        }
    }
}

#[test]
fn a_holder_beats_while_it_holds_the_lease_in_fenced_mode_only() {
    for (mode, expected) in [(Mode::Fenced, 2), (Mode::Strict, 0)] {
        let mut rules = beating();
        rules.mode = mode;
        let mut play = Play::leading_by(rules);
        let texts = [100, 200].map(|now| play.tick(now));
        let beats = texts.iter().filter(|text| *text == "beat");
        assert_eq!(beats.count(), expected, "{mode:?}: {texts:?}");
    }
}

#[test]
fn a_stopped_holder_is_replaced_after_five_missing_beats_and_a_silent_ping() {
    let mut play = listening();
    let done = silence(&mut play, 900, Echo::Back);
    assert_eq!(done, ["600: asks", "801: write over #3: n1 e5 held"]);
    assert_eq!(play.contest().tally().suspicions, 1);
    play.stored(802, 1, 4);
    assert_eq!(play.contest().tally().early_takeovers, 1);
    // No restless pings of itself are taken for the holder's.
    assert_eq!(play.contest().tally().pings_answered, 1);
}

#[test]
fn each_sign_of_life_starts_the_count_again() {
    type Sign = fn(&mut Play, u64);
    let signs: [Sign; 2] = [
        |play, now| drop(play.at(now, Input::Beat(you()))),
        |play, now| {
            // Answers to forgotten pings say nothing.
            for number in 1..100 {
                play.pinged(now, number, PingAnswer::Alive);
            }
        },
    ];
    for sign in signs {
        for at in [550, 700] {
            let mut play = listening();
            silence(&mut play, at, Echo::Back);
            sign(&mut play, at);
            let done = silence(&mut play, at + 400, Echo::Back);
            assert_eq!(done, Vec::<String>::new(), "after a sign at {at}");
            let next = silence(&mut play, at + 600, Echo::Back);
            assert_eq!(next, [format!("{}: asks", at + 500)]);
        }
    }
}

#[test]
fn a_renewal_starts_the_count_again() {
    let mut play = listening();
    silence(&mut play, 700, Echo::Back);
    let text = play.at(701, Input::Hint(None));
    let id = text.split("read ").nth(1).unwrap().parse().unwrap();
    play.read(701, id, seen(4, &record("YOU", 2, 4)));
    for now in (710..1_200).step_by(10) {
        let text = play.tick(now);
        assert!(!text.contains("write") && !text.contains("ME"), "{text}");
    }
    assert!(play.tick(1_201).contains("ME"));
}

#[test]
fn one_who_was_itself_away_counts_again() {
    for at in [500, 700] {
        let mut play = listening();
        silence(&mut play, at, Echo::Back);
        // Not scheduled for 201 ms and more.
        let back = at + 226;
        assert!(!play.tick(back).contains("write"));
        assert_eq!(
            silence(&mut play, back + 499, Echo::Back),
            Vec::<String>::new()
        );
    }
}

#[test]
fn one_who_was_away_for_no_longer_than_a_ping_waits_counts_on() {
    for (back, writes) in [(900, true), (901, false)] {
        let mut play = listening();
        assert_eq!(silence(&mut play, 699, Echo::Back), ["600: asks"]);
        play.tick(700);
        let text = play.tick(back);
        assert_eq!(text.contains("write over #3: n1 e5 held"), writes, "{text}");
    }
}

#[test]
fn one_who_pings_rarely_still_knows_whether_it_was_away() {
    let mut rules = beating();
    rules.detection.every = Duration::from_secs(3_600);
    let (mut play, _) = Play::standing_by(rules, held());
    play.pinged(1, 1, PingAnswer::Alive);
    play.at(110, Input::Beat(you()));
    // It looks at the time twice while a ping is waited for.
    assert_eq!(play.wakes(), 210);
}

#[test]
fn the_holder_is_asked_before_its_asker_asks_itself() {
    let mut play = listening();
    let done = silence(&mut play, 599, Echo::Back);
    assert_eq!(done, Vec::<String>::new());
    let text = play.tick(600);
    let pings: Vec<_> = text
        .split(" | ")
        .filter(|part| part.starts_with("ping"))
        .collect();
    let [to_holder, to_self] = pings[..] else {
        panic!("{text}");
    };
    let number = |ping: &str| ping.split(' ').nth(1).unwrap().parse::<u64>().unwrap();
    assert!(
        to_holder.ends_with(" YOU") && to_self.ends_with(" ME"),
        "{text}"
    );
    assert_eq!(number(to_self), number(to_holder) + 1);
}

#[test]
fn one_death_is_counted_once_though_pings_and_beats_show_it() {
    let mut rules = beating();
    rules.detection.spread = Duration::from_secs(3_600);
    let (mut play, _) = Play::standing_by(rules, held());
    play.pinged(1, 1, PingAnswer::Alive);
    play.at(100, Input::Beat(you()));
    let mut suspected = Vec::new();
    while play.wakes() < 1_000 {
        let now = play.wakes();
        let text = play.tick(now);
        for ping in text
            .split(" | ")
            .filter_map(|part| part.strip_prefix("ping "))
        {
            let (number, whom) = ping.split_once(' ').unwrap();
            let answer = match whom {
                "ME" => PingAnswer::Alive,
                _ => PingAnswer::NoResponders,
            };
            play.pinged(now, number.parse().unwrap(), answer);
        }
        if let Some((_, id)) = text.split_once("read ") {
            let id = id.split(' ').next().unwrap().parse().unwrap();
            play.read(now, id, held());
        }
        suspected.push(play.contest().tally().suspicions);
    }
    assert_eq!((suspected.first(), suspected.last()), (Some(&0), Some(&1)));
}

#[test]
fn a_suspicion_that_waits_out_the_damping_is_void_after_an_absence() {
    let mut rules = beating();
    rules.detection.spread = Duration::from_secs(3_600);
    let (mut play, _) = Play::standing_by(rules, held());
    play.pinged(1, 1, PingAnswer::Alive);
    play.at(100, Input::Beat(you()));
    assert_eq!(silence(&mut play, 900, Echo::Back), ["600: asks"]);
    let tally = play.contest().tally();
    assert_eq!((tally.suspicions, tally.suspicions_withdrawn), (1, 0));
    play.tick(1_400);
    assert_eq!(play.contest().tally().suspicions_withdrawn, 1);
}

#[test]
fn a_broker_that_is_silent_itself_says_nothing_about_the_holder() {
    let mut play = listening();
    let done = silence(&mut play, 2_000, Echo::Lost);
    assert_eq!(done, ["600: asks", "1300: asks", "2000: asks"]);
    assert_eq!(play.contest().tally().suspicions, 0);
}

#[test]
fn a_holder_that_never_beat_on_this_connection_is_not_missed() {
    let (mut play, _) = Play::standing_by(beating(), held());
    play.pinged(1, 1, PingAnswer::Alive);
    assert_eq!(silence(&mut play, 3_000, Echo::Back), Vec::<String>::new());
    let mut play = listening();
    play.at(200, Input::Beat("OTHER".parse().unwrap()));
    play.at(300, Input::Disconnected);
    play.at(310, Input::Connected);
    assert_eq!(play.contest().tally().beats_heard, 1);
    assert_eq!(silence(&mut play, 3_000, Echo::Back), Vec::<String>::new());
    assert!(play.contest().wake_at() > moment(3_000));
}
