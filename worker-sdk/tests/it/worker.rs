//! What a worker does with the work that it is given.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use protocol::message::{WorkerSays, WorkerTold};
use protocol::number::{Accepted, Attempt};
use protocol::outcome::{Outcome, Status};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc};
use worker_sdk::{CancelReason, Job, JobContext, JobError, Worker, WorkerBuilder, WorkerOptions};

use crate::support::leader::{Leader, Work, name};
use crate::support::server::{PATIENCE, Server};

const LEASE: Duration = Duration::from_secs(30);

#[derive(Serialize, Deserialize)]
struct Double(i64);

impl Job for Double {
    const KIND: &'static str = "double";
    type Output = i64;
}

async fn double(job: Double, _: JobContext) -> Result<i64, JobError> {
    job.0
        .checked_mul(2)
        .ok_or_else(|| JobError::retry("too large"))
}

async fn system(queues: &[&str]) -> (Server, Leader) {
    let server = Server::start().await;
    let leader = Leader::start(&server.url()).await;
    for queue in queues {
        leader.queue(queue, LEASE).await;
    }
    (server, leader)
}

fn worker(server: &Server, name: &str) -> WorkerBuilder {
    let grace = Duration::from_millis(300);
    Worker::builder(WorkerOptions::new(&server.url(), name).cancel_grace(grace))
}

async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: nothing happened"),
    }
}

#[tokio::test]
async fn a_job_is_recorded_and_then_acked() {
    let (server, mut leader) = system(&["q"]).await;
    let running = worker(&server, "w")
        .handle("q", double)
        .start()
        .await
        .expect("a worker");
    let work = Work {
        headers: &[("Jobs-Kind", "double")],
        payload: "21",
        ..Work::default()
    };
    let sequence = leader.dispatch("q", "INV 1", work).await;
    let (subject, outcome) = leader.outcome_sent().await;
    assert_eq!(subject, "jobs.outcome.q.1.1.INV%201");
    assert_eq!(outcome, Outcome::completed(json!(42)));
    let ack = leader.ack().await;
    assert_eq!((ack.sequence, ack.said.as_str()), (sequence, "+ACK"));
    running.stop(PATIENCE).await;
    assert_eq!(leader.work_left().await, 0);
}
