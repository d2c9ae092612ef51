//! What a worker says about itself, and what it answers.

use std::time::Duration;

use async_nats::RequestErrorKind;
use protocol::message::{Presence, WorkerSays};
use protocol::number::Accepted;
use worker_sdk::{StartError, Worker, WorkerOptions};

use crate::support::leader::{Leader, Work, name};
use crate::support::server::{PATIENCE, Server};
use crate::support::workers::{LEASE, Part, double, in_time, stage, system, worker};

async fn here(leader: &mut Leader) -> Presence {
    match leader.says().await {
        WorkerSays::Here(presence) => presence,
        other => panic!("expected that it is here: {other:?}"),
    }
}

#[tokio::test]
async fn a_worker_says_that_it_is_here_what_it_took_and_that_it_is_gone() {
    let (server, mut leader) = system(&["q"]).await;
    let (handler, mut stage) = stage(Part::UntilCancelled);
    let running = worker(&server, "w")
        .handle_bytes("k", "q", handler)
        .slots("q", 2)
        .start()
        .await
        .expect("a worker");
    let presence = here(&mut leader).await;
    assert_eq!(&presence.worker, running.id());
    assert_eq!(presence.handles[0].slots, 2);
    assert_eq!(presence.handles[0].kinds[0].as_str(), "k");
    let work = Work {
        headers: &[("Jobs-Kind", "k")],
        ..Work::default()
    };
    let sequence = leader.dispatch("q", "a", work).await;
    stage.start().await;
    let WorkerSays::Took { worker: who, took } = leader.says().await else {
        panic!("expected what it took");
    };
    assert_eq!(&who, running.id());
    assert_eq!((took[0].accepted, took[0].delivery), (Accepted::new(1), 1));
    assert!(
        took[0]
            .ack
            .starts_with(&format!("$JS.ACK.WORK.q.1.{sequence}.")),
        "{}",
        took[0].ack
    );
    // A new leader asks who is there.
    leader
        .client()
        .publish(leader.broker.subjects().worker_roll_call(), "".into())
        .await
        .expect("publish");
    assert_eq!(here(&mut leader).await.running, took);
    // As long as its connection lives it answers.
    let ping = leader.broker.subjects().worker_ping(running.id());
    leader
        .client()
        .request(ping.clone(), "".into())
        .await
        .expect("an answer");
    let key = running.id().to_string();
    let bucket = leader
        .broker
        .jetstream()
        .get_key_value("jobs_workers")
        .await
        .expect("the bucket");
    assert!(bucket.get(&key).await.expect("a read").is_some());
    running.stop(Duration::ZERO).await;
    assert!(
        here(&mut leader).await.handles.is_empty(),
        "it takes nothing more"
    );
    assert!(matches!(leader.says().await, WorkerSays::Gone { .. }));
    assert!(bucket.get(&key).await.expect("a read").is_none());
    in_time("the end of its connection", async {
        loop {
            let request = async_nats::Request::new().timeout(Some(Duration::from_millis(500)));
            let asked = leader.client().send_request(ping.clone(), request).await;
            match asked.expect_err("nobody").kind() {
                RequestErrorKind::NoResponders => break,
                _ => continue,
            }
        }
    })
    .await;
}

#[tokio::test]
async fn nobody_makes_a_worker_write_a_record_by_asking_it() {
    let (server, leader) = system(&["q"]).await;
    let running = worker(&server, "w")
        .handle("q", double)
        .start()
        .await
        .expect("a worker");
    let subjects = leader.broker.subjects().clone();
    let id = running.id().clone();
    for subject in [subjects.worker_ping(&id), subjects.worker_echo(&id)] {
        let reply = "jobs.outcome.q.1.1.a";
        let asked = leader
            .client()
            .publish_with_reply(subject, reply, "".into());
        asked.await.expect("publish");
    }
    // An honest ping after them: they were heard.
    let ping = leader
        .client()
        .request(subjects.worker_ping(&id), "".into());
    ping.await.expect("an answer");
    running.stop(PATIENCE).await;
    let written = leader.stored_outcome(&name("q", "a", 1, 1)).await;
    assert!(written.is_none(), "{written:?}");
}

#[tokio::test]
async fn a_queue_that_is_made_later_is_pulled_from() {
    let (server, mut leader) = system(&[]).await;
    let running = worker(&server, "w")
        .handle("late", double)
        .start()
        .await
        .expect("a worker");
    here(&mut leader).await;
    leader.queue("late", LEASE).await;
    let work = Work {
        headers: &[("Jobs-Kind", "double")],
        payload: "4",
        ..Work::default()
    };
    leader.dispatch("late", "a", work).await;
    leader.outcome_sent().await;
    running.stop(PATIENCE).await;
}

#[tokio::test]
async fn a_worker_without_a_broker_says_where_it_looked() {
    let server = Server::start().await;
    let url = server.url();
    drop(server);
    let refused = Worker::builder(WorkerOptions::new(&url, "w"))
        .handle("q", double)
        .start()
        .await;
    let error = refused.expect_err("nobody is there");
    assert!(matches!(error, StartError::Connect { .. }));
    assert!(error.to_string().contains(&url), "{error}");
}
