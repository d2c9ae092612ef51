//! The broker answers OK to an in-progress ack of a delivery that has long been somebody else's.

use protocol::config::QueueConfig;
use tests::hand::HandWorker;
use tests::proxy::Proxy;
use tests::runs;
use tests::system::{QUEUE, job, load, quick_retries};
use tests::wait::{PATIENCE, within};
use tests::{Lease, Size, System};

use super::{runs_until, worker_at};

/// Handed on by the lease alone, which is short.
fn short_lease() -> QueueConfig {
    QueueConfig {
        work_lease_ms: 2_000,
        rescue_ms: None,
        rescue_keyed_ms: None,
        ..quick_retries()
    }
}

async fn start() -> (System, tests::Process) {
    let queue = short_lease();
    let started = System::with_queue(Size::One, Lease::Quick, &queue);
    started.await.unwrap()
}

/// Its acks reach the broker only after its job was handed on: it must know by its own clock.
#[tokio::test]
async fn a_worker_whose_progress_acks_are_late_stops_by_its_own_clock() {
    let (mut system, _a) = start().await;
    let proxy = Proxy::start(system.server().port()).await.unwrap();
    let _first = worker_at(&system, "w1", &proxy.url()).await;
    system
        .submit(job("x", r#"{"do":"hang-first"}"#))
        .await
        .unwrap();
    runs_until(&system, "the first run", |runs| runs.len() == 1).await;
    proxy.hold();
    let second = system.worker("w2").await.unwrap();
    system.ended(1).await.unwrap();
    let stopped = |runs: &[runs::Run]| runs.len() == 2 && runs[0].end.is_some();
    let runs = runs_until(&system, "the end of the first run", stopped).await;
    assert!(runs[0].worker.starts_with("w1"), "{runs:#?}");
    assert_eq!((runs[1].attempt, runs[1].delivery), (1, 2));
    let before = system.tap.look(|book| book.last);

    // What it says of the old delivery from now on is answered OK, and changes nothing.
    proxy.release();
    drop(second);
    system.submit_all(load("y", 8, 0, 5)).await.unwrap();
    system.ended(9).await.unwrap();
    system.work_is_done().await.unwrap();
    system.tap.look(|book| {
        book.check_all_ended_as("completed");
        let x = book.job(QUEUE, "x").unwrap();
        assert_eq!(x.outcomes.len(), 1);
        assert!(x.outcomes[0].sequence <= before);
    });
}

/// A worker that knows nothing of leases is told that it holds what it lost: its outcome is refused.
#[tokio::test]
async fn who_is_told_ok_about_a_lost_delivery_still_records_nothing() {
    let (system, _a) = start().await;
    let straggler = HandWorker::here(&system.client, "straggler", QUEUE, 1);
    let straggler = straggler.await.unwrap();
    let other = HandWorker::here(&system.client, "other", QUEUE, 1);
    let other = other.await.unwrap();
    system.submit(job("x", "")).await.unwrap();
    let lost = straggler.pull(1).await.unwrap().remove(0);
    let held = other.pull(1).await.unwrap().remove(0);
    assert_eq!((lost.count(), held.count()), (1, 2));

    let progress = system.client.request(lost.ack.clone(), "+WPI".into());
    let answer = within("an answer to a stale ack", PATIENCE, progress).await;
    let answer = answer.unwrap().unwrap();
    assert_eq!((answer.status, &answer.payload[..]), (None, &b""[..]));
    other.complete(&held).await.unwrap();
    let refused = straggler.record(&lost, "").await.unwrap();
    assert_eq!(refused.code(), 10_077);
    system.work_is_done().await.unwrap();
    let x = system.end_of("x").await.unwrap();
    assert_eq!((x.end(), x.outcomes.len()), (Some("completed"), 1));
}
