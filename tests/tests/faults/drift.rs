//! A foreign hand alters streams and consumers: what is safe is set back, else dispatch stands still
//! until a person has set it back, and says so.

use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::stream::{Config, RetentionPolicy};
use tests::system::{QUEUE, job};
use tests::wait::eventually;
use tests::{Size, System};

use crate::scene::{LIMIT, WORK_LEASE, alarm, finish, folded, jetstream, no_alarm, scene, submit};

async fn config(system: &System, stream: &str) -> Config {
    let stream = jetstream(system).get_stream(stream).await.unwrap();
    stream.cached_info().config.clone()
}

/// Alters a stream while nothing is out, and sets it back later: what was submitted meanwhile waits,
/// and then runs.
async fn frozen_while(stream: &str, words: &str, alter: fn(&mut Config)) {
    let (system, _a) = scene(Size::One).await;
    let _worker = system.worker("w1").await.unwrap();
    let as_it_was = config(&system, stream).await;
    let mut altered = as_it_was.clone();
    alter(&mut altered);
    jetstream(&system).update_stream(altered).await.unwrap();
    alarm(&system, words).await;

    let accepted = system.submit(job("meanwhile", "")).await.unwrap();
    folded(&system, accepted).await;
    let filter = system.broker.subjects().work_all();
    let work = system.broker.names().work();
    let out = system.broker.list_subjects(work, &filter).await.unwrap();
    assert_eq!(out, Vec::<String>::new());
    assert_eq!(system.runs().unwrap().len(), 0);

    jetstream(&system).update_stream(as_it_was).await.unwrap();
    no_alarm(&system, words).await;
    let ended = system.end_of("meanwhile").await.unwrap();
    assert_eq!(ended.end(), Some("completed"));
}

#[tokio::test]
async fn a_ledger_that_allows_rollups_freezes_dispatch() {
    frozen_while("JOBS", "allow_rollup_hdrs", |config| {
        config.allow_rollup = true;
    })
    .await;
}

#[tokio::test]
async fn a_ledger_that_takes_a_subject_twice_freezes_dispatch() {
    frozen_while("JOBS", "max_msgs_per_subject", |config| {
        config.max_messages_per_subject = 5;
    })
    .await;
}

#[tokio::test]
async fn a_ledger_that_takes_no_outcomes_freezes_dispatch() {
    frozen_while("JOBS", "subjects", |config| {
        config
            .subjects
            .retain(|subject| !subject.contains("outcome"));
    })
    .await;
}

#[tokio::test]
async fn a_work_queue_without_atomic_batches_freezes_dispatch() {
    frozen_while("WORK", "allow_atomic", |config| {
        config.allow_atomic_publish = false;
    })
    .await;
}

/// What is handed out when the ledger refuses outcomes is recorded when it takes them again.
#[tokio::test]
async fn outcomes_wait_for_a_ledger_that_refuses_them() {
    let jobs = 120;
    let (system, _a) = scene(Size::One).await;
    let _worker = system.worker("w1").await.unwrap();
    let as_it_was = config(&system, "JOBS").await;
    submit(&system, "", jobs).await;
    let mut altered = as_it_was.clone();
    altered
        .subjects
        .retain(|subject| !subject.contains("outcome"));
    jetstream(&system).update_stream(altered).await.unwrap();
    alarm(&system, "subjects").await;
    jetstream(&system).update_stream(as_it_was).await.unwrap();
    finish(&system, jobs).await;
}

#[tokio::test]
async fn the_broker_refuses_another_retention_of_the_work_queue() {
    let (system, _a) = scene(Size::One).await;
    let mut altered = config(&system, "WORK").await;
    altered.retention = RetentionPolicy::Limits;
    let refused = jetstream(&system).update_stream(altered).await;
    let text = refused.unwrap_err().to_string();
    assert!(text.contains("retention policy"), "{text}");
}

#[tokio::test]
async fn an_altered_consumer_is_set_back() {
    let (system, _a) = scene(Size::One).await;
    let stream = jetstream(&system).get_stream("WORK").await.unwrap();
    // The leader makes it when it leads.
    let made = eventually("the queue's consumer", LIMIT, async || {
        let consumer: Result<PullConsumer, _> = stream.get_consumer(QUEUE).await;
        consumer.map_err(|error| error.to_string())
    });
    let mut altered = made.await.unwrap().cached_info().config.clone();
    altered.ack_wait = WORK_LEASE / 4;
    altered.max_deliver = 2;
    stream.update_consumer(altered).await.unwrap();
    eventually("the consumer as it was", LIMIT, async || {
        let consumer: PullConsumer = stream.get_consumer(QUEUE).await.unwrap();
        let config = consumer.cached_info().config.clone();
        let is_back = config.ack_wait == WORK_LEASE && config.max_deliver == -1;
        is_back.then_some(()).ok_or(format!("{config:?}"))
    })
    .await
    .unwrap();
    let _worker = system.worker("w1").await.unwrap();
    submit(&system, "", 20).await;
    finish(&system, 20).await;
}
