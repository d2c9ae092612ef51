//! Cancellation, hand-over and graceful stops.

use std::time::Duration;

use protocol::message::WorkerTold;
use protocol::number::{Accepted, Attempt};
use protocol::outcome::Status;
use worker_sdk::CancelReason;

use crate::support::leader::{Work, name};
use crate::support::server::PATIENCE;
use crate::support::workers::{Part, in_time, stage, system, worker};

const CANCEL: WorkerTold = WorkerTold::Cancel {
    accepted: Accepted::new(1),
    attempt: Attempt::FIRST,
};
const HANDED_ON: WorkerTold = WorkerTold::HandedOn {
    accepted: Accepted::new(1),
    attempt: Attempt::FIRST,
};

#[tokio::test]
async fn a_cancelled_job_ends_as_cancelled_also_if_its_handler_does_not_listen() {
    for part in [Part::UntilCancelled, Part::ForEver] {
        let (server, mut leader) = system(&["q"]).await;
        let (handler, mut stage) = stage(part);
        let running = worker(&server, "w")
            .handle_bytes("q", "q", handler)
            .start()
            .await
            .expect("a worker");
        leader.dispatch("q", "a", Work::default()).await;
        stage.start().await;
        leader.tell(running.id(), &CANCEL).await;
        let (_, outcome) = leader.outcome_sent().await;
        assert_eq!(outcome.status, Status::Cancelled, "{part:?}");
        assert_eq!(leader.ack().await.said, "+ACK");
        running.stop(PATIENCE).await;
    }
}

#[tokio::test]
async fn a_job_that_was_handed_on_stops_without_a_word() {
    let (server, mut leader) = system(&["q"]).await;
    let (handler, mut stage) = stage(Part::UntilCancelled);
    let running = worker(&server, "w")
        .handle_bytes("q", "q", handler)
        .start()
        .await
        .expect("a worker");
    leader.dispatch("q", "a", Work::default()).await;
    stage.start().await;
    leader.tell(running.id(), &HANDED_ON).await;
    assert_eq!(stage.reason().await, CancelReason::LeaseLost);
    let stopped = running.stop(PATIENCE).await;
    assert_eq!(stopped.released, 0);
    assert_eq!(
        leader.acks_so_far().await,
        [],
        "the message is another worker's"
    );
    assert!(leader.stored_outcome(&name("q", "a", 1, 1)).await.is_none());
    leader.work_left(1).await;
}

#[tokio::test]
async fn a_stopped_worker_gives_its_jobs_back_and_the_attempt_does_not_count() {
    let (server, mut leader) = system(&["q"]).await;
    let (handler, mut first) = stage(Part::UntilCancelled);
    let leaving = worker(&server, "leaving")
        .handle_bytes("q", "q", handler)
        .slots("q", 1)
        .start()
        .await
        .expect("a worker");
    leader.dispatch("q", "a", Work::default()).await;
    first.start().await;
    let stopped = in_time("the stop", leaving.stop(Duration::from_millis(100))).await;
    assert_eq!((stopped.released, stopped.left), (1, 0));
    assert_eq!(first.reason().await, CancelReason::Stopping);
    assert_eq!(leader.ack().await.said, "-NAK");
    assert!(leader.stored_outcome(&name("q", "a", 1, 1)).await.is_none());
    let (handler, mut second) = stage(Part::Return);
    let next = worker(&server, "next")
        .handle_bytes("q", "q", handler)
        .start()
        .await
        .expect("a worker");
    let job = second.start().await;
    assert_eq!((job.attempt(), job.delivery()), (Attempt::FIRST, 2));
    let (_, outcome) = leader.outcome_sent().await;
    assert_eq!(outcome.status, Status::Completed);
    next.stop(PATIENCE).await;
}

#[tokio::test]
async fn a_stopped_worker_lets_its_jobs_finish() {
    let (server, mut leader) = system(&["q"]).await;
    let (go, gate) = tokio::sync::watch::channel(false);
    let (started, mut starts) = tokio::sync::mpsc::channel(1);
    let handler = move |_: worker_sdk::Bytes, _: worker_sdk::JobContext| {
        let (mut gate, started) = (gate.clone(), started.clone());
        async move {
            started.send(()).await?;
            gate.wait_for(|open| *open).await?;
            Ok(serde_json::Value::from("done"))
        }
    };
    let running = worker(&server, "w")
        .handle_bytes("q", "q", handler)
        .start()
        .await
        .expect("a worker");
    leader.dispatch("q", "a", Work::default()).await;
    in_time("a start", starts.recv()).await.expect("a handler");
    let mut stopping = tokio::task::JoinSet::new();
    stopping.spawn(running.stop(PATIENCE));
    // The worker says that it takes nothing more.
    loop {
        if let protocol::message::WorkerSays::Here(presence) = leader.says().await
            && presence.handles.is_empty()
        {
            break;
        }
    }
    leader
        .dispatch(
            "q",
            "b",
            Work {
                accepted: 2,
                ..Work::default()
            },
        )
        .await;
    go.send_replace(true);
    let (subject, outcome) = leader.outcome_sent().await;
    assert_eq!(subject, "jobs.outcome.q.1.1.a");
    assert_eq!(outcome.status, Status::Completed);
    let stopped = in_time("the stop", stopping.join_next())
        .await
        .expect("one")
        .expect("it stops");
    assert_eq!(stopped.left, 0);
    leader.work_left(1).await;
}

#[tokio::test]
async fn a_dropped_worker_gives_its_jobs_back() {
    let (server, mut leader) = system(&["q"]).await;
    let (handler, mut stage) = stage(Part::UntilCancelled);
    let running = worker(&server, "w")
        .handle_bytes("q", "q", handler)
        .start()
        .await
        .expect("a worker");
    leader.dispatch("q", "a", Work::default()).await;
    stage.start().await;
    drop(running);
    assert_eq!(stage.reason().await, CancelReason::Stopping);
    assert_eq!(leader.ack().await.said, "-NAK");
}
