//! Outcomes that a worker in another language may write.

use nats_config::Role;
use tests::hand::HandWorker;
use tests::system::{QUEUE, job};
use tests::{Lease, Size, System};

#[tokio::test]
async fn an_outcome_that_cannot_be_read_is_a_failed_attempt() {
    let (system, _a) = System::with_leader(Size::One, Lease::Quick).await.unwrap();
    let worker = HandWorker::here(system.client_of(Role::Worker), "hand", QUEUE, 1).await;
    let worker = worker.unwrap();
    system.submit(job("x", "")).await.unwrap();
    let first = worker.pull(1).await.unwrap().remove(0);
    let recorded = worker.record(&first, "done, I think").await.unwrap();
    assert_ne!(recorded.sequence(), 0);
    worker.ack(&first).await.unwrap();

    let second = worker.pull(1).await.unwrap().remove(0);
    assert!(second.subject.contains(".2.x"), "{}", second.subject);
    worker.complete(&second).await.unwrap();

    let ended = system.end_of("x").await.unwrap();
    let statuses: Vec<&str> = ended.outcomes.iter().map(|o| o.status.as_str()).collect();
    assert_eq!(statuses, ["unreadable", "completed"]);
    assert_eq!(ended.end(), Some("completed"));
}

#[tokio::test]
async fn an_outcome_of_a_newer_version_parks_its_job_and_no_other() {
    let (system, _a) = System::with_leader(Size::One, Lease::Quick).await.unwrap();
    let worker = HandWorker::here(system.client_of(Role::Worker), "hand", QUEUE, 2).await;
    let worker = worker.unwrap();
    system.submit(job("x", "")).await.unwrap();
    let newer = worker.pull(1).await.unwrap().remove(0);
    let body = r#"{"v":2,"status":"delegated"}"#;
    assert_ne!(worker.record(&newer, body).await.unwrap().sequence(), 0);
    worker.ack(&newer).await.unwrap();
    system.submit(job("y", "")).await.unwrap();
    let known = worker.pull(1).await.unwrap().remove(0);
    worker.complete(&known).await.unwrap();
    system.end_of("y").await.unwrap();
    let client = worker_sdk::Client::with_broker(system.broker_of(Role::TrustedSubmitter));
    let view = client.status(QUEUE, "x").await.unwrap().unwrap();
    assert_eq!(view.phase.as_str(), "parked");
}

#[tokio::test]
async fn the_second_outcome_of_an_attempt_is_refused_and_the_first_stays() {
    let (system, _a) = System::with_leader(Size::One, Lease::Quick).await.unwrap();
    let worker = HandWorker::here(system.client_of(Role::Worker), "hand", QUEUE, 1).await;
    let worker = worker.unwrap();
    system.submit(job("x", "")).await.unwrap();
    let delivery = worker.pull(1).await.unwrap().remove(0);
    worker.complete(&delivery).await.unwrap();
    let failed = r#"{"v":1,"status":"failed"}"#;
    let second = worker.record(&delivery, failed).await.unwrap();
    assert_eq!(second.code(), 10_077);
    let ended = system.end_of("x").await.unwrap();
    assert_eq!((ended.end(), ended.outcomes.len()), (Some("completed"), 1));
}
