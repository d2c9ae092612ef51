//! What a worker says about itself, and what it answers.

use protocol::message::{Presence, WorkerSays};
use protocol::number::Accepted;
use worker_sdk::{StartError, Worker, WorkerOptions};

use crate::support::leader::{Leader, Work};
use crate::support::server::{PATIENCE, Server};
use crate::support::workers::{LEASE, Part, double, stage, system, worker};

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
    running.stop(std::time::Duration::ZERO).await;
    assert!(
        here(&mut leader).await.handles.is_empty(),
        "it takes nothing more"
    );
    assert!(matches!(leader.says().await, WorkerSays::Gone { .. }));
    assert!(bucket.get(&key).await.expect("a read").is_none());
    let silent = leader.client().request(ping, "".into()).await;
    assert_eq!(
        silent.expect_err("nobody").kind(),
        async_nats::RequestErrorKind::NoResponders
    );
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
