//! Cancel: what waits ends at once, what runs is told, and what was done anyway stays done.

use nats_config::Role;
use tests::system::{QUEUE, job};
use tests::wait::{PATIENCE, eventually};
use tests::{Lease, Process, Size, System};
use worker_sdk::{Client, ClientError};

async fn start() -> (System, Process, Client) {
    let (system, a) = System::with_leader(Size::One, Lease::Quick).await.unwrap();
    let client = Client::with_broker(system.broker_of(Role::TrustedSubmitter));
    (system, a, client)
}

async fn runs_somewhere(system: &System) {
    eventually("a run", PATIENCE, async || {
        let runs = system.runs().map_err(|error| error.to_string())?;
        runs.first().map(drop).ok_or_else(|| "none".to_owned())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_waiting_job_is_cancelled_and_never_runs() {
    let (system, _a, client) = start().await;
    // Its time is far away, so no worker has it.
    let far = job("x", "").header("Jobs-Run-At", &"2999-01-01T00:00:00Z");
    system.submit(far).await.unwrap();
    client.cancel(QUEUE, "x").await.unwrap();
    let ended = system.end_of("x").await.unwrap();
    assert_eq!(
        (ended.end(), ended.code()),
        (Some("cancelled"), Some("cancelled"))
    );
    assert_eq!(ended.controls, ["cancel"]);
    // Asked for again it is refused: there is nothing left to cancel.
    match client.cancel(QUEUE, "x").await {
        Err(ClientError::Rejected { message, retry, .. }) => {
            assert!(!retry);
            assert!(message.contains("final"), "{message}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_running_job_is_told_and_its_own_outcome_decides() {
    let (system, _a, client) = start().await;
    let _worker = system.worker("w1").await.unwrap();
    let long = job("x", r#"{"do":"work","ms":60000}"#);
    system.submit(long).await.unwrap();
    runs_somewhere(&system).await;
    let view = client.cancel(QUEUE, "x").await.unwrap();
    assert!(view.cancel_requested || view.phase.is_final(), "{view:?}");
    let ended = system.end_of("x").await.unwrap();
    assert_eq!(ended.end(), Some("cancelled"));
    assert_eq!(system.runs().unwrap().len(), 1);
}

#[tokio::test]
async fn a_cancel_that_comes_too_late_leaves_the_job_completed() {
    let (system, _a, client) = start().await;
    let _worker = system.worker("w1").await.unwrap();
    let deaf = job("x", r#"{"do":"block","ms":700}"#);
    system.submit(deaf).await.unwrap();
    runs_somewhere(&system).await;
    client.cancel(QUEUE, "x").await.unwrap();
    let ended = system.end_of("x").await.unwrap();
    assert_eq!((ended.end(), ended.outcomes.len()), (Some("completed"), 1));
    assert_eq!(ended.controls, ["cancel"]);
}

#[tokio::test]
async fn a_failed_attempt_of_a_cancelled_job_is_the_last_one() {
    let (system, _a, client) = start().await;
    // Asked for before anybody took it: the attempt is outstanding, and no worker is there yet.
    system.submit(job("x", r#"{"do":"fail"}"#)).await.unwrap();
    let (work, filter) = (
        system.broker.names().work(),
        system.broker.subjects().work_all(),
    );
    eventually("its dispatch", PATIENCE, async || {
        match system.broker.list_subjects(work, &filter).await {
            Ok(listed) if listed.len() == 1 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await
    .unwrap();
    client.cancel(QUEUE, "x").await.unwrap();
    let _worker = system.worker("w1").await.unwrap();
    let ended = system.end_of("x").await.unwrap();
    assert_eq!(ended.end(), Some("cancelled"));
    system.work_is_done().await.unwrap();
}

#[tokio::test]
async fn what_nobody_submitted_cannot_be_cancelled() {
    let (_system, _a, client) = start().await;
    match client.cancel(QUEUE, "x").await {
        Err(ClientError::UnknownJob { id, .. }) => assert_eq!(id, "x"),
        other => panic!("{other:?}"),
    }
}
