//! What runs next: priority first, then the order of acceptance.

use protocol::config::QueueConfig;
use tests::system::{job, quick_retries};
use tests::{Lease, Size, System};

#[tokio::test]
async fn urgent_jobs_overtake_what_waits_and_equals_keep_their_order() {
    let one_by_one = QueueConfig {
        max_outstanding: Some(1),
        ..quick_retries()
    };
    let (system, _a) = System::with_queue(Size::One, Lease::Quick, &one_by_one)
        .await
        .unwrap();
    // Without a worker the first one stays outstanding, and all others wait behind it.
    for (id, priority) in [
        ("first", "5"),
        ("late-1", "9"),
        ("late-2", "9"),
        ("normal-1", "5"),
        ("urgent-1", "0"),
        ("normal-2", "5"),
        ("urgent-2", "0"),
    ] {
        let job = job(id, "").header("Jobs-Priority", &priority);
        system.submit(job).await.unwrap();
    }
    system.submit(job("unsaid", "")).await.unwrap();
    let _worker = system.worker("w1").await.unwrap();
    system.ended(8).await.unwrap();
    let runs = system.runs().unwrap();
    let ids: Vec<&str> = runs.iter().map(|run| run.id.as_str()).collect();
    let expected = [
        "first", "urgent-1", "urgent-2", "normal-1", "normal-2", "unsaid", "late-1", "late-2",
    ];
    assert_eq!(ids, expected);
}
