//! A run with dying leaders and workers, judged to the last write: every message that the work queue
//! ever stored, every record, every run and every answer to a submitter.

use std::time::Duration;

use tests::proof::{History, prove_all};
use tests::system::{QUEUE, load, quick_retries};
use tests::work_tap::WorkTap;
use tests::{Size, System};

/// Longer than the load takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

/// Jobs of one part of the load.
const JOBS: usize = 150;

async fn reach(system: &System, ended: usize) {
    let what = format!("the end of {ended} jobs");
    let reached = system
        .tap
        .until(&what, LIMIT, |book| (book.ended() >= ended).then_some(()));
    reached.await.unwrap();
}

async fn judged(size: Size) {
    let system = System::with_streams(size).await.unwrap();
    let work = WorkTap::open(&system.broker).await.unwrap();
    let history = History::default();
    let mut leader = system.coordinator("a").await.unwrap();
    system.queue(QUEUE, &quick_retries()).await.unwrap();
    system.leader_after(0).await.unwrap();
    let mut next = system.coordinator("b").await.unwrap();
    let mut worker = system.worker("w1").await.unwrap();
    let _second = system.worker("w2").await.unwrap();

    let keyed = load("k", JOBS, 8, 10);
    history.submit_all(&system, keyed).await.unwrap();
    reach(&system, JOBS / 5).await;
    let epoch = system.epoch();
    leader.kill().await.unwrap();
    system.leader_after(epoch).await.unwrap();

    // The leader that is left stands still for longer than its lease, and comes back too late.
    let free = load("n", JOBS, 0, 10);
    history.submit_all(&system, free).await.unwrap();
    let _third = system.coordinator("c").await.unwrap();
    reach(&system, JOBS + JOBS / 5).await;
    let epoch = system.epoch();
    next.pause().unwrap();
    system.leader_after(epoch).await.unwrap();
    next.resume().unwrap();

    let more = load("m", JOBS, 4, 10);
    history.submit_all(&system, more).await.unwrap();
    worker.kill().await.unwrap();
    history.fault("start", "kill", "w1");
    system.ended(3 * JOBS).await.unwrap();
    system.work_is_done().await.unwrap();
    system.has_role("b", "follower").await.unwrap();

    let proved = prove_all(&system, &work, &history).await.unwrap();
    assert_eq!(proved.figures.completed, 3 * JOBS as u64);
    assert!(proved.figures.epochs >= 3, "{:?}", proved.figures);
}

#[tokio::test]
async fn a_run_with_dying_leaders_is_proved_to_the_last_write_on_one_server() {
    judged(Size::One).await;
}

#[tokio::test]
async fn a_run_with_dying_leaders_is_proved_to_the_last_write_on_three_servers() {
    judged(Size::Three).await;
}
