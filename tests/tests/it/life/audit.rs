//! A work message that vanished without an outcome is dispatched again; one that stays long after
//! its outcome is deleted.

use nats_config::Role;
use tests::hand::HandWorker;
use tests::system::{QUEUE, job};
use tests::wait::{PATIENCE, eventually};
use tests::{Lease, Size, System};

/// An operator deletes the message; returns when it is gone.
async fn delete_work(system: &System) {
    let context = async_nats::jetstream::new(system.client.clone());
    let stream = context.get_stream("WORK").await.unwrap();
    let work = system.broker.subjects().work_all();
    let message = eventually("a work message", PATIENCE, async || {
        stream.get_last_raw_message_by_subject(&work).await
    });
    let sequence = message.await.unwrap().sequence;
    stream.delete_message(sequence).await.unwrap();
}

#[tokio::test]
async fn a_vanished_work_message_is_dispatched_again_by_the_next_leader() {
    let (system, mut a) = System::with_leader(Size::One, Lease::Quick).await.unwrap();
    system.submit(job("x", "")).await.unwrap();
    delete_work(&system).await;
    a.kill().await.unwrap();
    let _b = system.coordinator("b").await.unwrap();
    let _worker = system.worker("w1").await.unwrap();
    assert_eq!(system.end_of("x").await.unwrap().end(), Some("completed"));
}

/// A worker that acks without an outcome breaks the rules, and loses nothing by it.
#[tokio::test]
async fn a_leader_finds_a_vanished_work_message_within_two_minutes() {
    let (system, _a) = System::with_leader(Size::One, Lease::Quick).await.unwrap();
    let worker = HandWorker::here(system.client_of(Role::Worker), "hand", QUEUE, 1).await;
    let worker = worker.unwrap();
    system.submit(job("x", "")).await.unwrap();
    let delivery = worker.pull(1).await.unwrap().remove(0);
    worker.ack(&delivery).await.unwrap();
    let again = eventually("the same attempt", PATIENCE * 4, async || {
        worker.pull(1).await.map(|mut taken| taken.remove(0))
    });
    let again = again.await.unwrap();
    assert_eq!(again.subject, delivery.subject);
    worker.complete(&again).await.unwrap();
    assert_eq!(system.end_of("x").await.unwrap().end(), Some("completed"));
}

/// A worker records the outcome and never acks, and nobody pulls any more.
#[tokio::test]
async fn work_that_is_left_after_its_outcome_is_deleted_by_a_leader() {
    let (system, mut a) = System::with_leader(Size::One, Lease::Quick).await.unwrap();
    let worker = HandWorker::here(system.client_of(Role::Worker), "hand", QUEUE, 2).await;
    let worker = worker.unwrap();
    system.submit(job("done", "")).await.unwrap();
    let done = worker.pull(1).await.unwrap().remove(0);
    system.submit(job("runs", "")).await.unwrap();
    let runs = worker.pull(1).await.unwrap().remove(0);
    worker.record(&done, "").await.unwrap();
    assert_eq!(
        system.end_of("done").await.unwrap().end(),
        Some("completed")
    );
    // What the next leader lists when it takes over, it finds again with its first audit.
    a.kill().await.unwrap();
    let _b = system.coordinator("b").await.unwrap();
    let all = system.broker.subjects().work_all();
    let list = async || system.broker.list_subjects("WORK", &all).await;
    assert_eq!(list().await.unwrap().len(), 2);
    let deleted = eventually(
        "the work that runs, alone",
        PATIENCE * 4,
        async || match list().await {
            Ok(left) if left == [runs.subject.as_str()] => Ok(()),
            left => Err(format!("{left:?}")),
        },
    );
    deleted.await.unwrap();
    worker.complete(&runs).await.unwrap();
    assert_eq!(
        system.end_of("runs").await.unwrap().end(),
        Some("completed")
    );
}
