//! A foreign hand deletes what exists on the broker: what follows from the ledger is made anew, and
//! nothing is lost or run twice by it; without the ledger all coordinators stop and say so.

use nats_config::{Replicas, Settings, buckets};
use tests::process::Process;
use tests::system::{QUEUE, job};
use tests::wait::eventually;
use tests::{Size, System};

use crate::scene::{LIMIT, alarm, finish, jetstream, no_alarm, reach, scene, submit};

const JOBS: usize = 160;

/// Deletes something in the middle of a load.
async fn in_the_middle(size: Size, delete: impl AsyncFn(&System)) -> System {
    let (system, _a) = scene(size).await;
    let _b = system.coordinator("b").await.unwrap();
    let _first = system.worker("w1").await.unwrap();
    let _second = system.worker("w2").await.unwrap();
    submit(&system, "", JOBS).await;
    reach(&system, JOBS / 5).await;
    delete(&system).await;
    let left = JOBS - system.tap.look(|book| book.ended());
    assert!(left > 0, "the load was over before anything happened");
    finish(&system, JOBS).await;
    system
}

async fn delete_consumer(system: &System) {
    let stream = jetstream(system).get_stream("WORK").await.unwrap();
    stream.delete_consumer(QUEUE).await.unwrap();
}

async fn delete_work(system: &System) {
    jetstream(system).delete_stream("WORK").await.unwrap();
}

#[tokio::test]
async fn a_deleted_consumer_is_made_anew_when_nobody_holds_what_it_handed_out() {
    in_the_middle(Size::One, delete_consumer).await;
}

#[tokio::test]
async fn a_deleted_consumer_is_made_anew_on_three_servers() {
    in_the_middle(Size::Three, delete_consumer).await;
}

#[tokio::test]
async fn a_deleted_work_queue_is_made_anew_from_the_ledger() {
    let system = in_the_middle(Size::One, delete_work).await;
    let state = system.broker.state("WORK").await.unwrap();
    // No write that was meant for the old one can match here.
    assert!(state.last.get() > 1 << 32, "{}", state.last);
}

#[tokio::test]
async fn a_deleted_work_queue_is_made_anew_on_three_servers() {
    in_the_middle(Size::Three, delete_work).await;
}

async fn exists(system: &System, stream: &str) {
    let what = format!("stream {stream}");
    eventually(&what, LIMIT, async || {
        let found = jetstream(system).get_stream(stream).await;
        found.map(drop)
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_deleted_bucket_of_leaders_is_made_anew_and_epochs_go_on() {
    let (system, mut a) = scene(Size::One).await;
    let _b = system.coordinator("b").await.unwrap();
    let _worker = system.worker("w1").await.unwrap();
    let epoch = system.epoch();
    jetstream(&system)
        .delete_stream("KV_jobs_leader")
        .await
        .unwrap();
    exists(&system, "KV_jobs_leader").await;
    system.leader_after(epoch).await.unwrap();
    submit(&system, "", JOBS).await;
    finish(&system, JOBS).await;
    // And the one that leads now can be followed by another.
    let epoch = system.epoch();
    a.kill().await.unwrap();
    let b = system.leader_after(epoch.saturating_sub(1)).await.unwrap();
    assert!(b.epoch >= epoch, "{b:?}");
}

/// Emptied by deletion and put back within a moment: revisions begin anew, epochs do not.
#[tokio::test]
async fn a_bucket_of_leaders_that_was_put_back_empty_moves_no_epoch_back() {
    let (system, _a) = scene(Size::One).await;
    let _b = system.coordinator("b").await.unwrap();
    let _worker = system.worker("w1").await.unwrap();
    let epoch = system.epoch();
    let context = jetstream(&system);
    let stream = context.get_stream("KV_jobs_leader").await.unwrap();
    let config = stream.cached_info().config.clone();
    context.delete_stream("KV_jobs_leader").await.unwrap();
    context.create_stream(config).await.unwrap();
    system.leader_after(epoch).await.unwrap();
    submit(&system, "", JOBS).await;
    finish(&system, JOBS).await;
}

#[tokio::test]
async fn a_deleted_bucket_of_workers_is_made_anew() {
    let (system, _a) = scene(Size::One).await;
    let context = jetstream(&system);
    context.delete_stream("KV_jobs_workers").await.unwrap();
    exists(&system, "KV_jobs_workers").await;
    no_alarm(&system, "was deleted").await;
}

#[tokio::test]
async fn a_coordinator_that_only_verifies_tells_what_was_deleted() {
    let (system, mut a) = scene(Size::One).await;
    a.kill().await.unwrap();
    let command = system.coordinator_command("v", &system.url());
    let mut command = command.unwrap();
    command.args(["--provision", "verify"]);
    let _v = Process::start("coordinator v", command).unwrap();
    system.leader_after(system.epoch()).await.unwrap();
    let context = jetstream(&system);
    context.delete_stream("KV_jobs_workers").await.unwrap();
    alarm(&system, "make it again").await;
    let settings = Settings {
        replicas: Replicas::One,
        ..Settings::default()
    };
    let config = buckets::workers(system.broker.names(), &settings);
    context.create_stream(config).await.unwrap();
    no_alarm(&system, "was deleted").await;
}

/// It stops, and says what to do.
async fn stops(process: &mut Process, words: &str) {
    let status = process.wait_exit(LIMIT).await.unwrap();
    assert!(!status.success(), "{status}");
    let log = process.tail();
    assert!(log.contains(words), "no `{words}` in: {log}");
}

#[tokio::test]
async fn without_the_ledger_all_coordinators_stop_and_none_makes_an_empty_one() {
    let (system, mut a) = scene(Size::One).await;
    let mut b = system.coordinator("b").await.unwrap();
    system.submit(job("accepted", "")).await.unwrap();
    let context = jetstream(&system);
    context.delete_stream("JOBS").await.unwrap();
    stops(&mut a, "the ledger is gone").await;
    stops(&mut b, "the ledger is gone").await;

    // A supervisor starts them again, and somebody tidied up meanwhile.
    context.delete_stream("WORK").await.unwrap();
    let command = system.coordinator_command("c", &system.url()).unwrap();
    let mut c = Process::start("coordinator c", command).unwrap();
    stops(&mut c, "nats stream restore").await;
    assert!(context.get_stream("JOBS").await.is_err());
}
