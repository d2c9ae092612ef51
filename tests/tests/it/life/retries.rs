//! A failed attempt is followed by another, after a while, until the job's own policy says no.

use std::time::Duration;

use protocol::config::QueueConfig;
use tests::book::Job;
use tests::system::job;
use tests::{Lease, Size, System};

fn statuses(job: &Job) -> Vec<&str> {
    let outcomes = job.outcomes.iter();
    outcomes.map(|outcome| outcome.status.as_str()).collect()
}

#[tokio::test]
async fn a_job_that_fails_each_time_is_tried_later_and_later_and_then_discarded() {
    let slow = QueueConfig {
        backoff_base_ms: 200,
        max_attempts: 3,
        ..QueueConfig::default()
    };
    let (system, _a) = System::with_queue(Size::One, Lease::Quick, &slow)
        .await
        .unwrap();
    let _worker = system.worker("w1").await.unwrap();
    system.submit(job("x", r#"{"do":"fail"}"#)).await.unwrap();
    let ended = system.end_of("x").await.unwrap();
    assert_eq!(ended.end(), Some("discarded"));
    assert_eq!(statuses(&ended), ["failed", "failed", "failed"]);
    let runs = system.runs().unwrap();
    assert_eq!(runs.len(), 3);
    for (pair, wait) in runs.windows(2).zip([200, 400]) {
        let waited = pair[1].start - pair[0].end.unwrap();
        assert!(waited >= Duration::from_millis(wait), "{waited:?}");
        assert_eq!(pair[1].attempt, pair[0].attempt + 1);
    }
}

#[tokio::test]
async fn a_job_may_do_better_at_its_second_attempt() {
    let (system, _a) = System::with_leader(Size::One, Lease::Quick).await.unwrap();
    let _worker = system.worker("w1").await.unwrap();
    let flaky = job("x", r#"{"do":"fail-once"}"#);
    system.submit(flaky).await.unwrap();
    let ended = system.end_of("x").await.unwrap();
    assert_eq!(ended.end(), Some("completed"));
    assert_eq!(statuses(&ended), ["failed", "completed"]);
}

#[tokio::test]
async fn a_permanent_failure_is_not_tried_again() {
    let (system, _a) = System::with_leader(Size::One, Lease::Quick).await.unwrap();
    let _worker = system.worker("w1").await.unwrap();
    let wrong = job("x", r#"{"do":"permanent"}"#);
    system.submit(wrong).await.unwrap();
    let ended = system.end_of("x").await.unwrap();
    assert_eq!(
        (ended.end(), ended.code()),
        (Some("discarded"), Some("asked"))
    );
    assert_eq!(ended.outcomes.len(), 1);
}

#[tokio::test]
async fn a_panic_is_a_failure_and_the_worker_lives() {
    let (system, _a) = System::with_leader(Size::One, Lease::Quick).await.unwrap();
    let _worker = system.worker("w1").await.unwrap();
    let broken = job("x", r#"{"do":"panic"}"#).header("Jobs-Max-Attempts", &2);
    system.submit(broken).await.unwrap();
    system.submit(job("y", "")).await.unwrap();
    let ended = system.end_of("x").await.unwrap();
    assert_eq!(
        (ended.end(), ended.code()),
        (Some("discarded"), Some("panic"))
    );
    assert_eq!(ended.outcomes.len(), 2);
    assert_eq!(system.end_of("y").await.unwrap().end(), Some("completed"));
}

#[tokio::test]
async fn an_attempt_that_takes_longer_than_its_time_is_cancelled_and_tried_again() {
    let (system, _a) = System::with_leader(Size::One, Lease::Quick).await.unwrap();
    let _worker = system.worker("w1").await.unwrap();
    let slow = job("x", r#"{"do":"work","ms":60000}"#)
        .header("Jobs-Timeout", &"300ms")
        .header("Jobs-Max-Attempts", &2);
    system.submit(slow).await.unwrap();
    let ended = system.end_of("x").await.unwrap();
    assert_eq!(
        (ended.end(), ended.code()),
        (Some("discarded"), Some("timeout"))
    );
    assert_eq!(statuses(&ended), ["failed", "failed"]);
}
