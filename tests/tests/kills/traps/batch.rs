//! One refused record refuses its whole batch, and the answer does not say which it was: what stands in
//! the ledger does.

use async_nats::HeaderMap;
use nats_config::BatchMessage;
use protocol::answer::Answer;
use tests::hand::{Delivery, HandWorker};
use tests::system::{QUEUE, job};
use tests::{Lease, Process, Size, System};

const FOLLOW_UP: &str = "jobs.submit.work.x-1";

fn record(subject: impl Into<String>, payload: &'static str) -> BatchMessage {
    BatchMessage {
        subject: subject.into(),
        headers: HeaderMap::new(),
        payload: payload.into(),
    }
}

/// A job that was taken by hand and has no outcome yet.
async fn taken() -> (System, Process, HandWorker, Delivery) {
    let (system, a) = System::with_leader(Size::One, Lease::Quick).await.unwrap();
    let worker = HandWorker::here(&system.client, "hand", QUEUE, 1);
    let worker = worker.await.unwrap();
    system.submit(job("x", "")).await.unwrap();
    let delivery = worker.pull(1).await.unwrap().remove(0);
    (system, a, worker, delivery)
}

/// Whether a record stands on the subject.
async fn stands(system: &System, subject: &str) -> bool {
    let ledger = system.broker.names().ledger();
    let record = system.broker.last(ledger, subject).await;
    record.unwrap().is_some()
}

async fn ends_once(system: &System) {
    system.end_of("x").await.unwrap();
    system.tap.look(|book| {
        let job = book.job(QUEUE, "x").unwrap();
        assert_eq!((job.end(), job.outcomes.len()), (Some("completed"), 1));
        assert!(book.wrong.is_empty(), "{:#?}", book.wrong);
    });
}

#[tokio::test]
async fn a_follow_up_that_exists_refuses_the_outcome_beside_it() {
    let (system, _a, worker, delivery) = taken().await;
    system.submit(job("x-1", "before")).await.unwrap();
    let outcome = delivery.outcome_subject();
    let batch = vec![record(&outcome, ""), record(FOLLOW_UP, "again")];
    let answer = system.broker.write_batch("one", batch).await;
    assert_eq!(answer, Answer::Occupied);
    assert!(answer.needs_reading());
    assert!(!stands(&system, &outcome).await, "none of it is stored");
    // What a reader finds: the follow-up is there, so the outcome goes without it.
    worker.complete(&delivery).await.unwrap();
    ends_once(&system).await;
}

#[tokio::test]
async fn an_outcome_that_exists_refuses_its_follow_up() {
    let (system, _a, worker, delivery) = taken().await;
    let outcome = delivery.outcome_subject();
    worker.complete(&delivery).await.unwrap();
    let batch = vec![record(&outcome, ""), record(FOLLOW_UP, "new")];
    let answer = system.broker.write_batch("one", batch).await;
    assert_eq!(answer, Answer::Occupied);
    assert!(!stands(&system, FOLLOW_UP).await, "none of it is stored");
    ends_once(&system).await;
}

/// A follow-up finds nobody at a closed door, and then the batch has a gap.
#[tokio::test]
async fn a_closed_door_refuses_an_outcome_that_has_a_follow_up() {
    let (system, _a, worker, delivery) = taken().await;
    system.broker.close_door().await.unwrap();
    let outcome = delivery.outcome_subject();
    let batch = vec![record(&outcome, ""), record(FOLLOW_UP, "new")];
    let last = system.broker.write_batch("last", batch).await;
    assert_eq!(last, Answer::NoResponders);
    let batch = vec![
        record("jobs.config.other.1", "{}"),
        record(FOLLOW_UP, "new"),
        record(&outcome, ""),
    ];
    let between = system.broker.write_batch("between", batch).await;
    assert_eq!(between, Answer::Busy, "abandoned for its gap");
    for subject in [outcome.as_str(), FOLLOW_UP, "jobs.config.other.1"] {
        assert!(!stands(&system, subject).await, "{subject} is stored");
    }
    worker.complete(&delivery).await.unwrap();
    ends_once(&system).await;
}
