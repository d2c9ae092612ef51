//! What a worker does while the broker is gone or stands still, and after.

use std::time::Duration;

use protocol::outcome::{Outcome, Status};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use worker_sdk::{Bytes, CancelReason, JobContext, JobError};

use crate::support::leader::{Work, name};
use crate::support::server::PATIENCE;
use crate::support::workers::{Part, in_time, stage, system, worker};

/// A handler that runs until a gate opens, or until it is asked to stop.
fn gated(
    gate: watch::Receiver<bool>,
    started: mpsc::Sender<()>,
) -> impl Fn(Bytes, JobContext) -> futures::future::BoxFuture<'static, Result<Value, JobError>>
+ Send
+ Sync
+ 'static {
    move |_, job| {
        let (mut gate, started) = (gate.clone(), started.clone());
        Box::pin(async move {
            started.send(()).await?;
            tokio::select! {
                open = gate.wait_for(|open| *open) => {
                    open?;
                    Ok(Value::from("done"))
                }
                reason = job.cancelled() => Err(JobError::retry(reason.as_str())),
            }
        })
    }
}

#[tokio::test]
async fn a_lost_broker_stops_jobs_with_a_key_and_lets_others_go_on() {
    let (mut server, leader) = system(&["keyed", "plain"]).await;
    let (keyed, mut stage) = stage(Part::UntilCancelled);
    let (go, gate) = watch::channel(false);
    let (started, mut starts) = mpsc::channel(1);
    let running = worker(&server, "w")
        .handle_bytes("keyed", "keyed", keyed)
        .handle_bytes("plain", "plain", gated(gate, started))
        .start()
        .await
        .expect("a worker");
    let work = Work {
        headers: &[("Jobs-Key", "DE")],
        ..Work::default()
    };
    leader.dispatch("keyed", "a", work).await;
    leader
        .dispatch(
            "plain",
            "b",
            Work {
                accepted: 2,
                ..Work::default()
            },
        )
        .await;
    stage.start().await;
    in_time("a start", starts.recv()).await.expect("a handler");
    server.kill().await;
    assert_eq!(stage.reason().await, CancelReason::LeaseLost);
    // The one without a key ends while the broker is away; its outcome is kept and written.
    go.send_replace(true);
    drop(leader);
    server.start_again().await;
    let leader = crate::support::leader::Leader::start(&server.url()).await;
    let plain = name("plain", "b", 2, 1);
    in_time("the outcome", async {
        while leader.stored_outcome(&plain).await.is_none() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(
        leader
            .stored_outcome(&name("keyed", "a", 1, 1))
            .await
            .is_none()
    );
    running.stop(PATIENCE).await;
}

#[tokio::test]
async fn an_outcome_written_while_the_broker_stands_still_is_stored_once_and_acked() {
    let (server, mut leader) = system(&["q"]).await;
    let (go, gate) = watch::channel(false);
    let (started, mut starts) = mpsc::channel(1);
    let running = worker(&server, "w")
        .handle_bytes("q", "q", gated(gate, started))
        .start()
        .await
        .expect("a worker");
    leader.dispatch("q", "a", Work::default()).await;
    in_time("a start", starts.recv()).await.expect("a handler");
    server.pause();
    go.send_replace(true);
    // Longer than a write waits for its answer.
    let silence = Duration::from_millis(2_500);
    let early = tokio::time::timeout(silence, leader.final_ack()).await;
    assert!(early.is_err(), "nothing is recorded yet: {early:?}");
    server.resume();
    let ack = leader.final_ack().await;
    assert_eq!(ack.said, "+ACK");
    let stored = leader
        .stored_outcome(&name("q", "a", 1, 1))
        .await
        .expect("an outcome");
    let outcome = Outcome::parse(&stored.payload).expect("it is read");
    assert_eq!(outcome, Outcome::completed(json!("done")));
    assert_eq!(outcome.status, Status::Completed);
    running.stop(PATIENCE).await;
    leader.work_left(0).await;
}

#[tokio::test]
async fn work_goes_on_after_the_broker_was_killed_and_started_again() {
    let (mut server, leader) = system(&["q"]).await;
    let (handler, mut stage) = stage(Part::Return);
    let running = worker(&server, "w")
        .handle_bytes("q", "q", handler)
        .start()
        .await
        .expect("a worker");
    leader.dispatch("q", "a", Work::default()).await;
    stage.start().await;
    server.kill().await;
    drop(leader);
    server.start_again().await;
    let leader = crate::support::leader::Leader::start(&server.url()).await;
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
    let job = stage.start().await;
    assert_eq!(job.id().as_encoded(), "b", "a was recorded before the kill");
    running.stop(PATIENCE).await;
}
