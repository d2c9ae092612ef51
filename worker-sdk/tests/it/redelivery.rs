//! What is looked up before it runs, and what is never run again.

use std::time::Duration;

use async_nats::jetstream::AckKind;
use protocol::number::Attempt;
use protocol::outcome::{Outcome, Status};
use serde_json::json;

use crate::support::leader::{Work, name};
use crate::support::server::PATIENCE;
use crate::support::workers::{Part, stage, system, worker};

#[tokio::test]
async fn a_redelivery_with_an_outcome_is_acked_and_not_run() {
    let (server, mut leader) = system(&["q"]).await;
    leader.dispatch("q", "a", Work::default()).await;
    let message = leader.take("q").await;
    leader
        .record(&name("q", "a", 1, 1), &Outcome::completed(json!("first")))
        .await;
    message.ack_with(AckKind::Nak(None)).await.expect("a nak");
    assert_eq!(leader.ack().await.said, "-NAK");
    leader.outcome_sent().await;
    let (handler, mut stage) = stage(Part::Return);
    let running = worker(&server, "w")
        .handle_bytes("q", "q", handler)
        .start()
        .await
        .expect("a worker");
    assert_eq!(leader.ack().await.said, "+ACK");
    running.stop(PATIENCE).await;
    assert!(stage.never_started(), "it has an outcome");
    leader.work_left(0).await;
}

#[tokio::test]
async fn a_message_from_before_the_connection_is_looked_up_though_its_count_is_one() {
    let (server, mut leader) = system(&["q"]).await;
    leader.dispatch("q", "a", Work::default()).await;
    leader
        .record(&name("q", "a", 1, 1), &Outcome::completed(json!("first")))
        .await;
    let (handler, mut stage) = stage(Part::Return);
    let running = worker(&server, "w")
        .handle_bytes("q", "q", handler)
        .start()
        .await
        .expect("a worker");
    assert_eq!(leader.ack().await.said, "+ACK");
    running.stop(PATIENCE).await;
    assert!(stage.never_started(), "it has an outcome");
}

#[tokio::test]
async fn a_redelivery_without_an_outcome_runs_with_a_higher_token() {
    let (server, mut leader) = system(&["q"]).await;
    leader.dispatch("q", "a", Work::default()).await;
    let message = leader.take("q").await;
    message.ack_with(AckKind::Nak(None)).await.expect("a nak");
    let (handler, mut stage) = stage(Part::Return);
    let running = worker(&server, "w")
        .handle_bytes("q", "q", handler)
        .start()
        .await
        .expect("a worker");
    let job = stage.start().await;
    assert_eq!((job.delivery(), job.attempt()), (2, Attempt::FIRST));
    assert_eq!(job.token().to_string(), "1.1.2");
    leader.outcome_sent().await;
    running.stop(PATIENCE).await;
}

#[tokio::test]
async fn the_sixth_delivery_is_recorded_as_failed_and_not_run() {
    let (server, mut leader) = system(&["q"]).await;
    leader.dispatch("q", "a", Work::default()).await;
    for _ in 0..5 {
        let message = leader.take("q").await;
        message.ack_with(AckKind::Nak(None)).await.expect("a nak");
        assert_eq!(leader.ack().await.said, "-NAK");
    }
    let (handler, mut stage) = stage(Part::Return);
    let running = worker(&server, "w")
        .handle_bytes("q", "q", handler)
        .start()
        .await
        .expect("a worker");
    let (_, outcome) = leader.outcome_sent().await;
    assert_eq!(outcome.status, Status::Failed);
    let error = outcome.error.expect("a reason");
    assert_eq!(error.code, "handed-out-too-often");
    assert!(!error.permanent, "the job's own policy says what follows");
    assert_eq!(leader.ack().await.said, "+ACK");
    assert!(stage.never_started());
    running.stop(PATIENCE).await;
}

#[tokio::test]
async fn an_outcome_that_stands_already_is_not_written_over_and_acked() {
    let (server, mut leader) = system(&["q"]).await;
    let (handler, mut stage) = stage(Part::UntilCancelled);
    let running = worker(&server, "w")
        .handle_bytes("q", "q", handler)
        .start()
        .await
        .expect("a worker");
    leader.dispatch("q", "a", Work::default()).await;
    stage.start().await;
    // Another run of the same attempt was faster, or the answer to our own write got lost.
    let first = Outcome::completed(json!("first"));
    leader.record(&name("q", "a", 1, 1), &first).await;
    leader.outcome_sent().await;
    leader
        .tell(
            running.id(),
            &protocol::message::WorkerTold::Cancel {
                accepted: protocol::number::Accepted::new(1),
                attempt: Attempt::FIRST,
            },
        )
        .await;
    let (_, second) = leader.outcome_sent().await;
    assert_eq!(second.status, Status::Cancelled, "it is offered");
    assert_eq!(leader.ack().await.said, "+ACK");
    let stored = leader.stored_outcome(&name("q", "a", 1, 1)).await;
    let stored = Outcome::parse(&stored.expect("an outcome").payload).expect("it is read");
    assert_eq!(stored, first, "the first one wins");
    running.stop(PATIENCE).await;
}

#[tokio::test]
async fn a_worker_that_gets_its_own_job_again_goes_on_with_it() {
    let (server, mut leader) = system(&["q"]).await;
    let (handler, mut stage) = stage(Part::UntilCancelled);
    let running = worker(&server, "w")
        .handle_bytes("q", "q", handler)
        .start()
        .await
        .expect("a worker");
    let sequence = leader.dispatch("q", "a", Work::default()).await;
    stage.start().await;
    // As the leader does for a worker that it takes for dead.
    let nak = format!("$JS.ACK.WORK.q.1.{sequence}.1.1.0");
    leader
        .client()
        .publish(nak, "-NAK".into())
        .await
        .expect("publish");
    assert_eq!(leader.ack().await.said, "-NAK");
    let again = loop {
        if let protocol::message::WorkerSays::Took { took, .. } = leader.says().await
            && took[0].delivery == 2
        {
            break took;
        }
    };
    assert_eq!(again[0].accepted.get(), 1);
    let stopped = running.stop(Duration::ZERO).await;
    assert_eq!(stopped.released, 1, "given back under its new delivery");
    assert!(stage.never_started(), "it was not started again");
}
