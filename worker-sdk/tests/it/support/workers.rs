//! Workers with handlers that a test can hold and see.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::mpsc;
use worker_sdk::{CancelReason, Job, JobContext, JobError, Worker, WorkerBuilder, WorkerOptions};

use super::leader::Leader;
use super::server::{PATIENCE, Server};

/// The lease of the queues of [`system`].
pub(crate) const LEASE: Duration = Duration::from_secs(30);

#[derive(Serialize, Deserialize)]
pub(crate) struct Double(pub(crate) i64);

impl Job for Double {
    const KIND: &'static str = "double";
    type Output = i64;
}

pub(crate) async fn double(job: Double, _: JobContext) -> Result<i64, JobError> {
    job.0
        .checked_mul(2)
        .ok_or_else(|| JobError::retry("too large"))
}

/// A server and a leader with these queues.
pub(crate) async fn system(queues: &[&str]) -> (Server, Leader) {
    let server = Server::start().await;
    let leader = Leader::start(&server.url()).await;
    for queue in queues {
        leader.queue(queue, LEASE).await;
    }
    (server, leader)
}

pub(crate) fn worker(server: &Server, name: &str) -> WorkerBuilder {
    let grace = Duration::from_millis(300);
    Worker::builder(WorkerOptions::new(&server.url(), name).cancel_grace(grace))
}

pub(crate) async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: nothing happened"),
    }
}

/// What a handler of [`Stage`] is told to do.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Part {
    /// To return at once.
    Return,
    /// To run until it is asked to stop, and to fail then.
    UntilCancelled,
    /// To run on whatever it is asked.
    ForEver,
}

/// Sees each start of a handler, and each reason to stop.
pub(crate) struct Stage {
    pub(crate) starts: mpsc::Receiver<JobContext>,
    pub(crate) reasons: mpsc::Receiver<CancelReason>,
}

/// A handler that plays `part`, and the stage that it is seen on.
pub(crate) fn stage(
    part: Part,
) -> (
    impl Fn(Bytes, JobContext) -> futures::future::BoxFuture<'static, Result<Value, JobError>>
    + Send
    + Sync
    + 'static,
    Stage,
) {
    let (started, starts) = mpsc::channel(1_000);
    let (told, reasons) = mpsc::channel(1_000);
    let told = Arc::new(told);
    let handler = move |_payload, job: JobContext| {
        let (started, told) = (started.clone(), told.clone());
        let play = async move {
            started.send(job.clone()).await?;
            match part {
                Part::Return => Ok(Value::Null),
                Part::UntilCancelled => {
                    told.send(job.cancelled().await).await?;
                    Err(JobError::retry("asked to stop"))
                }
                Part::ForEver => pending().await,
            }
        };
        Box::pin(play) as futures::future::BoxFuture<'static, _>
    };
    (handler, Stage { starts, reasons })
}

impl Stage {
    pub(crate) async fn start(&mut self) -> JobContext {
        in_time("a start", self.starts.recv())
            .await
            .expect("a handler")
    }

    pub(crate) async fn reason(&mut self) -> CancelReason {
        in_time("a reason to stop", self.reasons.recv())
            .await
            .expect("a handler")
    }

    pub(crate) fn never_started(&mut self) -> bool {
        self.starts.try_recv().is_err()
    }
}
