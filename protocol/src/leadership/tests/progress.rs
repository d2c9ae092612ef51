//! A leader whose program is stuck: it does not keep the lease that it does not use.

use std::time::Duration;

use super::play::{Play, moment, record, released, rules, seen};
use crate::leadership::{Input, Mode, Rules};

/// Progress is due each 400 ms.
fn watched(mode: Mode) -> Rules {
    let mut rules = rules(mode);
    rules.progress_within = Some(Duration::from_millis(400));
    rules
}

fn progress(play: &mut Play, ms: u64) -> String {
    play.at(ms, Input::Progressed(moment(ms)))
}

#[test]
fn a_fenced_leader_without_progress_gives_the_lease_back() {
    let mut play = Play::leading_by(watched(Mode::Fenced));
    assert_eq!(play.tick(250), "write over #1: n2 e1 held");
    assert_eq!(play.stored(251, 2, 2), "trust e1 until 1600");
    assert_eq!(play.wakes(), 400);
    assert_eq!(play.tick(400), "distrust | write over #2: n3 e1 released");
    assert_eq!(
        play.stored(401, 3, 3),
        "lost e1: the program made no progress | candidate | leader none"
    );
    // It stands again when it does something again.
    assert_eq!(play.tick(450), "");
    assert_eq!(progress(&mut play, 460), "write over #3: n4 e2 held");
}

#[test]
fn a_strict_leader_without_progress_lets_the_lease_run_out() {
    let mut play = Play::leading_by(watched(Mode::Strict));
    assert_eq!(play.tick(250), "write over #1: n2 e1 held");
    assert_eq!(play.tick(400), "distrust");
    // The renewal under way may still be stored; it gives no trust.
    assert_eq!(play.stored(401, 2, 2), "");
    assert_eq!(progress(&mut play, 500), "");
    while play.wakes() < 1_350 {
        let now = play.wakes();
        let text = play.tick(now);
        assert!(!text.contains("write"), "at {now}: {text}");
        if let Some(id) = text.strip_prefix("read ") {
            play.read(now, id.parse().unwrap(), seen(2, &record("ME", 2, 1)));
        }
    }
    let text = play.tick(1_350);
    assert!(
        text.starts_with("lost e1: the program made no progress | candidate"),
        "{text}"
    );
}

#[test]
fn a_stuck_strict_program_that_stops_its_work_after_all_may_release() {
    let mut play = Play::leading_by(watched(Mode::Strict));
    assert_eq!(play.tick(250), "write over #1: n2 e1 held");
    assert_eq!(play.stored(251, 2, 2), "trust e1 until 1600");
    assert_eq!(play.tick(400), "distrust");
    assert_eq!(play.at(500, Input::Resign), "write over #2: n3 e1 released");
}

#[test]
fn progress_in_time_keeps_the_leadership() {
    let mut play = Play::leading_by(watched(Mode::Fenced));
    let mut revision = 1;
    for now in (50..3_000).step_by(50) {
        let text = progress(&mut play, now);
        assert!(!text.contains("distrust"), "at {now}: {text}");
        if let Some(write) = text.split(": n").nth(1) {
            revision += 1;
            let nonce = write.split(' ').next().unwrap().parse().unwrap();
            play.stored(now, nonce, revision);
        }
    }
    assert!(revision > 10);
}

#[test]
fn a_candidate_without_progress_takes_nothing_over() {
    let free = seen(3, &released(record("YOU", 1, 4)));
    let mut play = Play::standing_by(watched(Mode::Fenced), held_by_you()).0;
    assert_eq!(play.at(500, Input::Hint(None)), "ping 2 YOU | read 2");
    assert_eq!(play.read(501, 2, free), "leader none");
    assert_eq!(progress(&mut play, 510), "write over #3: n1 e5 held");
}

fn held_by_you() -> crate::leadership::Observation {
    seen(2, &record("YOU", 1, 4))
}
