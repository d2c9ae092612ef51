//! A worker that was cut off for a while and only comes back: nothing of it died, and meanwhile its job
//! was handed on.

use std::collections::BTreeMap;

use protocol::config::QueueConfig;
use tests::proxy::Proxy;
use tests::raw::Message;
use tests::runs::{Run, check_keys_apart};
use tests::system::{QUEUE, job, load, quick_retries};
use tests::{Lease, Size, System};

use super::{runs_until, worker_at};

/// The lease has no part in it.
fn long_lease() -> QueueConfig {
    QueueConfig {
        work_lease_ms: 300_000,
        ..quick_retries()
    }
}

/// Returns the runs of the job that was handed on.
async fn handed_on(hanging: Message) -> Vec<Run> {
    let queue = long_lease();
    let started = System::with_queue(Size::One, Lease::Quick, &queue);
    let (mut system, _a) = started.await.unwrap();
    let proxy = Proxy::start(system.server().port()).await.unwrap();
    let _first = worker_at(&system, "w1", &proxy.url()).await;
    system.submit(hanging).await.unwrap();
    runs_until(&system, "the first run", |runs| runs.len() == 1).await;
    let second = system.worker("w2").await.unwrap();
    proxy.admit(0);
    assert!(proxy.cut() > 0, "it had a connection");
    system.ended(1).await.unwrap();
    // Acked, too: the second worker is killed further down.
    system.work_is_done().await.unwrap();
    let before = system.tap.look(|book| book.last);

    proxy.admit(u64::MAX);
    let stopped = |runs: &[Run]| runs.len() == 2 && runs[0].end.is_some();
    runs_until(&system, "the end of the first run", stopped).await;
    // It takes part again, alone, and has nothing to say about the job that it lost.
    drop(second);
    system.submit_all(load("y", 8, 0, 5)).await.unwrap();
    system.ended(9).await.unwrap();
    system.work_is_done().await.unwrap();
    system.tap.look(|book| {
        book.check_all_ended_as("completed");
        let x = book.job(QUEUE, "x").unwrap();
        assert_eq!(x.outcomes.len(), 1, "{x:?}");
        assert!(x.outcomes[0].sequence <= before);
    });
    let runs = system.runs().unwrap();
    let of_x: Vec<Run> = runs.iter().filter(|run| run.id == "x").cloned().collect();
    assert_eq!(of_x.len(), 2, "{of_x:#?}");
    assert!(of_x[0].worker.starts_with("w1"), "{of_x:#?}");
    assert!(of_x[1].worker.starts_with("w2"), "{of_x:#?}");
    assert_eq!((of_x[1].attempt, of_x[1].delivery), (1, 2));
    of_x
}

#[tokio::test]
async fn a_worker_that_comes_back_is_told_that_its_job_was_handed_on() {
    handed_on(job("x", r#"{"do":"hang-first"}"#)).await;
}

#[tokio::test]
async fn a_worker_that_comes_back_has_stopped_its_keyed_job_before_another_had_it() {
    let hanging = job("x", r#"{"do":"hang-first"}"#).header("Jobs-Key", &"one");
    let runs = handed_on(hanging).await;
    check_keys_apart(&runs, &BTreeMap::new());
}
