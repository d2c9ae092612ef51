//! Not before a time, and not after one.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use protocol::config::QueueConfig;
use protocol::time::Timestamp;
use tests::system::{job, quick_retries};
use tests::{Lease, Size, System, runs};

/// So far from now, as a header says it.
fn in_millis(millis: i64) -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = i64::try_from(now.as_millis()).unwrap();
    Timestamp::from_millis(u64::try_from(now + millis).unwrap())
}

#[tokio::test]
async fn a_job_does_not_run_before_its_time() {
    let (system, _a) = System::with_leader(Size::One, Lease::Quick).await.unwrap();
    let _worker = system.worker("w1").await.unwrap();
    let start = runs::now();
    let later = job("later", "").header("Jobs-Run-At", &in_millis(1_000));
    system.submit(later).await.unwrap();
    let past = job("past", "").header("Jobs-Run-At", &in_millis(-60_000));
    system.submit(past).await.unwrap();
    system.ended(2).await.unwrap();
    let runs = system.runs().unwrap();
    assert_eq!(runs[0].id, "past");
    assert_eq!(runs[1].id, "later");
    let waited = runs[1].start - start;
    assert!(waited >= Duration::from_millis(998), "{waited:?}");
}

#[tokio::test]
async fn a_job_whose_time_to_start_has_passed_expires_and_never_runs() {
    let one_by_one = QueueConfig {
        max_outstanding: Some(1),
        ..quick_retries()
    };
    let (system, _a) = System::with_queue(Size::One, Lease::Quick, &one_by_one)
        .await
        .unwrap();
    // It is outstanding until a worker comes: whoever is behind it waits too long.
    let first = job("first", "").header("Jobs-Expires-At", &in_millis(60_000));
    system.submit(first).await.unwrap();
    for (id, millis) in [("soon", 300), ("past", -60_000)] {
        let job = job(id, "").header("Jobs-Expires-At", &in_millis(millis));
        system.submit(job).await.unwrap();
    }
    for id in ["soon", "past"] {
        let ended = system.end_of(id).await.unwrap();
        assert_eq!(
            (ended.end(), ended.code()),
            (Some("expired"), Some("expired"))
        );
        assert_eq!(ended.controls, ["expire"]);
    }
    let _worker = system.worker("w1").await.unwrap();
    assert_eq!(
        system.end_of("first").await.unwrap().end(),
        Some("completed")
    );
    assert_eq!(system.runs().unwrap().len(), 1);
}
