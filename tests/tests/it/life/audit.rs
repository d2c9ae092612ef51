//! A work message that vanished without an outcome is dispatched again.

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
