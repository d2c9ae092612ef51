//! When a job is handed on, and when not.

use std::time::Duration;

use super::{Patience, Pong, Workers};
use crate::id::{QueueName, WorkerId};
use crate::message::{Handles, Presence, Taken, WorkerSays, WorkerTold};
use crate::number::{Accepted, Attempt};
use crate::time::Timestamp;

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn worker(name: &str) -> WorkerId {
    WorkerId::new(name).unwrap()
}

fn taken(accepted: u64, delivery: u64) -> Taken {
    Taken {
        accepted: Accepted::new(accepted),
        attempt: Attempt::FIRST,
        delivery,
        ack: format!("ack.{accepted}.{delivery}"),
    }
}

fn here(name: &str, running: Vec<Taken>) -> WorkerSays {
    WorkerSays::Here(Presence {
        v: 1,
        worker: worker(name),
        handles: vec![Handles {
            queue: QueueName::new("q").unwrap(),
            kinds: vec!["known".parse().unwrap()],
            slots: 8,
        }],
        running,
        host: String::new(),
        pid: 0,
        sdk: String::new(),
        server: String::new(),
    })
}

fn took(name: &str, accepted: u64, delivery: u64) -> WorkerSays {
    WorkerSays::Took {
        worker: worker(name),
        took: vec![taken(accepted, delivery)],
    }
}

fn say(workers: &mut Workers, now: u64, says: WorkerSays) -> Vec<(WorkerId, WorkerTold)> {
    workers.said(at(now), says, |_, _| true)
}

const DELAY: fn(Accepted, Attempt) -> Option<Patience> = |_, _| {
    Some(Patience {
        wait: Duration::from_millis(300),
        lease: None,
    })
};

#[test]
fn a_missing_workers_job_is_handed_on_once_after_the_delay() {
    let mut workers = Workers::default();
    say(&mut workers, 0, here("a", vec![]));
    say(&mut workers, 0, took("a", 7, 1));
    workers.ponged(at(100), &worker("a"), Pong::NoResponders);
    assert!(workers.rescues(at(399), DELAY).is_empty());
    let rescues = workers.rescues(at(400), DELAY);
    assert_eq!(rescues.len(), 1);
    assert_eq!(rescues[0].ack, "ack.7.1");
    assert_eq!(rescues[0].delay, Duration::ZERO);
    assert!(
        workers.rescues(at(500), DELAY).is_empty(),
        "a nak is never repeated"
    );
}

#[test]
fn an_answer_in_between_clears_the_suspicion() {
    let mut workers = Workers::default();
    say(&mut workers, 0, took("a", 7, 1));
    workers.ponged(at(100), &worker("a"), Pong::NoResponders);
    workers.ponged(at(200), &worker("a"), Pong::Answered);
    workers.ponged(at(350), &worker("a"), Pong::NoResponders);
    assert!(workers.rescues(at(600), DELAY).is_empty());
    assert_eq!(workers.rescues(at(650), DELAY).len(), 1);
}

#[test]
fn a_silent_worker_is_left_to_the_lease() {
    let mut workers = Workers::default();
    say(&mut workers, 0, took("a", 7, 1));
    workers.ponged(at(100), &worker("a"), Pong::Silent);
    assert!(workers.rescues(at(9_000), DELAY).is_empty());
}

#[test]
fn a_newer_announcement_replaces_an_older_one() {
    let mut workers = Workers::default();
    say(&mut workers, 0, took("a", 7, 1));
    say(&mut workers, 0, took("b", 7, 2));
    say(&mut workers, 0, took("a", 7, 1));
    workers.ponged(at(100), &worker("a"), Pong::NoResponders);
    assert!(workers.rescues(at(900), DELAY).is_empty(), "b holds it now");
    assert_eq!(
        workers.holder(Accepted::new(7), Attempt::FIRST),
        Some(&worker("b"))
    );
}

#[test]
fn a_job_that_kills_its_worker_is_handed_on_later_each_time() {
    let mut workers = Workers::default();
    for (delivery, seconds) in [(1, 0), (2, 1), (3, 2), (4, 4)] {
        say(&mut workers, 0, took("a", delivery, delivery));
        workers.ponged(at(100), &worker("a"), Pong::NoResponders);
        let rescues = workers.rescues(at(900), DELAY);
        assert_eq!(
            rescues[0].delay,
            Duration::from_secs(seconds),
            "delivery {delivery}"
        );
    }
}

#[test]
fn when_a_missing_worker_returns_both_holders_are_told() {
    let mut workers = Workers::default();
    say(&mut workers, 0, here("a", vec![taken(7, 1)]));
    say(&mut workers, 0, here("b", vec![]));
    workers.ponged(at(100), &worker("a"), Pong::NoResponders);
    assert_eq!(workers.rescues(at(400), DELAY).len(), 1);
    say(&mut workers, 450, took("b", 7, 2));
    let told = workers.ponged(at(500), &worker("a"), Pong::Answered);
    let who: Vec<&str> = told.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(who, ["a", "b"]);
}

#[test]
fn what_a_worker_let_go_is_handed_on_at_once_under_its_own_delivery_alone() {
    let let_go = |delivery| WorkerSays::LetGo {
        worker: worker("a"),
        let_go: vec![taken(7, delivery)],
    };
    let mut workers = Workers::default();
    say(&mut workers, 0, took("a", 7, 1));
    say(&mut workers, 100, let_go(1));
    assert!(workers.is_due(at(100)));
    let rescues = workers.rescues(at(100), DELAY);
    assert_eq!(rescues.len(), 1);
    assert_eq!(rescues[0].ack, "ack.7.1");
    say(&mut workers, 110, let_go(1));
    assert!(workers.rescues(at(110), DELAY).is_empty(), "one nak");
    say(&mut workers, 120, took("b", 7, 2));
    for delivery in [1, 2] {
        say(&mut workers, 130, let_go(delivery));
        assert!(workers.rescues(at(130), DELAY).is_empty(), "b holds it");
    }
    say(&mut workers, 200, took("a", 8, 1));
    let mut eight = let_go(1);
    if let WorkerSays::LetGo { let_go, .. } = &mut eight {
        *let_go = vec![taken(8, 1)];
    }
    say(&mut workers, 300, eight);
    assert!(
        workers.rescues(at(1_300), DELAY).is_empty(),
        "by a leader that comes later it is left to the lease"
    );
}

#[test]
fn what_was_let_go_before_a_broker_counted_anew_is_not_what_is_held_since() {
    let mut workers = Workers::default();
    let mut again = taken(7, 1);
    again.ack = "ack.7.1.later".to_owned();
    let took_again = WorkerSays::Took {
        worker: worker("a"),
        took: vec![again],
    };
    say(&mut workers, 0, took("a", 7, 1));
    say(&mut workers, 50, took_again);
    let let_go = WorkerSays::LetGo {
        worker: worker("a"),
        let_go: vec![taken(7, 1)],
    };
    say(&mut workers, 100, let_go);
    assert!(workers.rescues(at(100), DELAY).is_empty(), "a runs it");
}

#[test]
fn what_was_handed_on_is_not_handed_on_again_when_its_next_holder_stops() {
    let mut workers = Workers::default();
    say(&mut workers, 0, took("a", 7, 1));
    workers.ponged(at(0), &worker("a"), Pong::NoResponders);
    assert_eq!(workers.rescues(at(1_000), DELAY).len(), 1);
    say(&mut workers, 1_100, took("b", 7, 2));
    let gone = WorkerSays::Gone {
        worker: worker("b"),
    };
    say(&mut workers, 1_200, gone);
    // It said so before it went missing.
    say(&mut workers, 1_300, here("a", vec![taken(7, 1)]));
    workers.ponged(at(1_400), &worker("a"), Pong::NoResponders);
    assert!(workers.rescues(at(9_000), DELAY).is_empty(), "one nak");
}

#[test]
fn what_ended_is_held_by_nobody() {
    let mut workers = Workers::default();
    say(&mut workers, 0, took("a", 7, 1));
    workers.ended(Accepted::new(7), Attempt::FIRST);
    workers.ponged(at(100), &worker("a"), Pong::NoResponders);
    assert!(workers.rescues(at(900), DELAY).is_empty());
    workers.said(at(0), took("a", 8, 1), |_, _| false);
    assert_eq!(workers.holder(Accepted::new(8), Attempt::FIRST), None);
}

#[test]
fn slots_and_kinds_are_those_of_who_is_here() {
    let queue = QueueName::new("q").unwrap();
    let (known, unknown) = ("known".parse().unwrap(), "unknown".parse().unwrap());
    let mut workers = Workers::default();
    assert_eq!(workers.capacity(&queue), None);
    say(&mut workers, 0, here("a", vec![]));
    let capacity = workers.capacity(&queue).expect("a worker is here");
    assert_eq!(capacity.slots, 8);
    assert!(capacity.handles(&known));
    assert!(!capacity.handles(&unknown));
    workers.ponged(at(100), &worker("a"), Pong::NoResponders);
    assert_eq!(workers.capacity(&queue), None);
    workers.ponged(at(200), &worker("a"), Pong::Answered);
    assert!(workers.capacity(&queue).is_some());
}

#[test]
fn a_worker_that_holds_something_is_pinged_often() {
    let mut workers = Workers::default();
    say(&mut workers, 0, here("a", vec![]));
    assert_eq!(workers.pings(at(0)).len(), 1);
    assert!(workers.pings(at(10)).is_empty(), "one ping at a time");
    workers.ponged(at(10), &worker("a"), Pong::Answered);
    assert!(workers.pings(at(500)).is_empty());
    say(&mut workers, 500, took("a", 7, 1));
    assert_eq!(workers.pings(at(500)).len(), 1);
    workers.ponged(at(501), &worker("a"), Pong::Answered);
    assert!(workers.pings(at(540)).is_empty());
    assert_eq!(workers.pings(at(551)).len(), 1);
}

/// Of a job with a key.
const KEYED: fn(Accepted, Attempt) -> Option<Patience> = |_, _| {
    Some(Patience {
        wait: Duration::from_millis(300),
        lease: Some(Duration::from_secs(15)),
    })
};

#[test]
fn a_job_with_a_key_is_handed_on_once_every_holder_is_known() {
    let mut workers = Workers::default();
    say(&mut workers, 0, here("a", vec![]));
    say(&mut workers, 0, took("a", 7, 1));
    workers.ponged(at(100), &worker("a"), Pong::NoResponders);
    assert!(workers.rescues(at(900), KEYED).is_empty(), "no connection");
    workers.connected(at(1_000));
    assert!(workers.rescues(at(6_999), KEYED).is_empty());
    workers.looked();
    assert!(workers.next_time().is_some_and(|next| next <= at(7_000)));
    workers.blinded();
    assert!(workers.rescues(at(9_000), KEYED).is_empty(), "gone again");
    workers.connected(at(4_000));
    assert_eq!(workers.rescues(at(10_000), KEYED).len(), 1);
}

#[test]
fn a_job_with_a_key_is_left_to_a_lease_that_may_have_ended() {
    for (said_again, rescued) in [(false, 0), (true, 1)] {
        let mut workers = Workers::default();
        workers.connected(at(0));
        say(&mut workers, 0, here("a", vec![]));
        say(&mut workers, 0, took("a", 7, 1));
        if said_again {
            say(&mut workers, 5_000, here("a", vec![taken(7, 1)]));
            say(&mut workers, 10_000, took("a", 7, 1));
        }
        workers.ponged(at(15_000), &worker("a"), Pong::NoResponders);
        assert_eq!(workers.rescues(at(15_300), KEYED).len(), rescued);
    }
}

#[test]
fn what_has_a_key_and_was_let_go_waits_until_every_holder_is_known() {
    for (taken_by_another, rescued) in [(false, 1), (true, 0)] {
        let mut workers = Workers::default();
        say(&mut workers, 0, took("a", 7, 1));
        workers.connected(at(1_000));
        let let_go = WorkerSays::LetGo {
            worker: worker("a"),
            let_go: vec![taken(7, 1)],
        };
        say(&mut workers, 1_100, let_go);
        assert!(workers.rescues(at(1_100), KEYED).is_empty());
        if taken_by_another {
            // Its announcement was missed; what it runs, it says again and again.
            say(&mut workers, 5_000, here("b", vec![taken(7, 2)]));
        }
        workers.looked();
        assert!(workers.next_time().is_some_and(|next| next <= at(7_000)));
        assert_eq!(workers.rescues(at(7_000), KEYED).len(), rescued);
    }
}

#[test]
fn what_was_handed_on_and_is_said_again_is_not_handed_on_again() {
    let mut workers = Workers::default();
    say(&mut workers, 0, took("a", 7, 1));
    workers.ponged(at(100), &worker("a"), Pong::NoResponders);
    assert_eq!(workers.rescues(at(400), DELAY).len(), 1);
    say(&mut workers, 500, took("a", 7, 1));
    workers.ponged(at(600), &worker("a"), Pong::NoResponders);
    assert!(workers.rescues(at(9_000), DELAY).is_empty(), "one nak");
}
