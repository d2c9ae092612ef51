//! SIGKILL of the leader, and of workers, and how long it takes until somebody else goes on.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use async_nats::{Message, Subscriber};
use futures::{FutureExt, StreamExt};
use protocol::id::Namespace;
use protocol::number::Epoch;
use protocol::submission::header;
use rustix::process::Signal;
use serde_json::Value;
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use worker_sdk::{Client, JobContext, SubmitRequest, Worker, WorkerOptions};

use super::flow::PAYLOAD_LEN;
use super::system::{QUEUE, System};
use crate::process::Process;
use crate::wait::{PATIENCE, within};

/// Between two submissions of the steady trickle.
const TRICKLE_EVERY: Duration = Duration::from_millis(4);
/// Least time between two kills of a leader: an early takeover right after another one is damped,
/// and what that costs is another question.
const CALM: Duration = Duration::from_millis(2_200);
/// How long the first run of a job waits to be killed.
const HELD: Duration = Duration::from_secs(60);
/// Written by a worker process once it takes jobs.
const READY: &str = "ready";

/// Kills the leader of three coordinators again and again, under a trickle of jobs that a worker
/// runs, and measures from each SIGKILL to the next leader's first work record on the wire.
///
/// # Errors
/// When nobody takes over.
pub async fn leaders(url: &str, replicas: usize, kills: usize) -> Result<Vec<Duration>> {
    let mut system = System::start(url, replicas, 3).await?;
    let namespace = system.broker().names().namespace().clone();
    let options = WorkerOptions::new(url, "bench").namespace(namespace);
    let worker = Worker::builder(options.slots(64))
        .handle_bytes(QUEUE, QUEUE, |_, _| async { Ok(Value::Null) })
        .start()
        .await?;
    tokio::time::sleep(CALM).await;
    let stop = CancellationToken::new();
    let mut submitter = JoinSet::new();
    submitter.spawn(trickle(system.client().await?, stop.clone()));
    let subject = format!("{}.work.>", system.namespace());
    let mut work = system.broker().client().subscribe(subject).await?;
    let mut times = Vec::new();
    for _ in 0..kills {
        times.push(kill_leader(&mut system, &mut work).await?);
        tokio::time::sleep(CALM).await;
    }
    stop.cancel();
    submitter.join_next().await.context("no submitter")???;
    worker.stop(Duration::from_secs(5)).await;
    system.stop().await?;
    Ok(times)
}

async fn kill_leader(system: &mut System, work: &mut Subscriber) -> Result<Duration> {
    let leader = system.settled().await?;
    let before = leader.epoch.context("a leader without an epoch")?;
    let name = leader.coordinator;
    while work.next().now_or_never().flatten().is_some() {}
    let killed = system.coordinator(&name)?.send(Signal::KILL)?;
    let first = within("work of the next leader", PATIENCE, async {
        loop {
            let message = work.next().await.context("the subscription ended")?;
            if epoch(&message).is_some_and(|epoch| epoch > before) {
                return anyhow::Ok(Instant::now());
            }
        }
    });
    let first = first.await??;
    system.coordinator(&name)?.wait_exit(PATIENCE).await?;
    system.bury(&name);
    system.add_coordinator(&name)?;
    Ok(first - killed)
}

fn epoch(work: &Message) -> Option<Epoch> {
    let epoch = work.headers.as_ref()?.get(header::EPOCH)?;
    epoch.as_str().parse().ok()
}

async fn trickle(client: Client, stop: CancellationToken) -> Result<()> {
    let mut open = JoinSet::new();
    let mut clock = tokio::time::interval(TRICKLE_EVERY);
    for job in 0_u64.. {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = clock.tick() => {}
        }
        let request = SubmitRequest::new(QUEUE, &format!("t{job}"))?;
        let request = request.payload(vec![b'x'; PAYLOAD_LEN]);
        let client = client.clone();
        open.spawn(async move { client.submit_raw(request).await });
        while let Some(done) = open.try_join_next() {
            done??;
        }
    }
    while let Some(done) = open.join_next().await {
        done??;
    }
    Ok(())
}

/// Whether the jobs have a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keyed {
    /// Each has one.
    Yes,
    /// None has.
    No,
}

/// Kills the worker process that runs a job, again and again, and measures from each SIGKILL to the
/// start of the same job in the other worker.
///
/// # Errors
/// When the job does not start there.
pub async fn workers(
    url: &str,
    replicas: usize,
    kills: usize,
    keyed: Keyed,
) -> Result<Vec<Duration>> {
    let system = System::start(url, replicas, 1).await?;
    let client = system.client().await?;
    let mut workers = Vec::new();
    for number in 1..=2 {
        workers.push(start_worker(&system, &format!("w{number}")).await?);
    }
    let mut times = Vec::new();
    for kill in 0..kills {
        let id = format!("k{kill}x");
        let request = SubmitRequest::new(QUEUE, &id)?;
        let request = match keyed {
            Keyed::Yes => request.key("one")?,
            Keyed::No => request,
        };
        client.submit_raw(request).await?;
        let holder = holder(&mut workers, &id).await?;
        // The pings of the leader come at their own times: meet them at all of their phases.
        let phase = 100 + 37 * u64::try_from(kill)? % 500;
        tokio::time::sleep(Duration::from_millis(phase)).await;
        let killed = workers[holder].send(Signal::KILL)?;
        let line = format!("start {id}");
        let started = workers[1 - holder].wait_for_line(&line, PATIENCE).await?;
        times.push(started.at - killed);
        let name = workers[holder].name().to_owned();
        workers[holder].wait_exit(PATIENCE).await?;
        workers[holder] = start_worker(&system, &name).await?;
    }
    drop(workers);
    system.stop().await?;
    Ok(times)
}

async fn start_worker(system: &System, name: &str) -> Result<Process> {
    let mut command = Command::new(std::env::current_exe().context("find this program")?);
    command.args(["worker", system.url(), system.namespace(), name]);
    let mut worker = Process::start(name, command)?;
    worker.wait_for_line(READY, PATIENCE).await?;
    Ok(worker)
}

/// Which of two workers started a job.
async fn holder(workers: &mut [Process], id: &str) -> Result<usize> {
    let [first, second] = workers else {
        anyhow::bail!("there must be two workers");
    };
    let line = format!("start {id}");
    tokio::select! {
        started = first.wait_for_line(&line, PATIENCE) => started.map(|_| 0),
        started = second.wait_for_line(&line, PATIENCE) => started.map(|_| 1),
    }
}

/// The life of a worker process of [`workers`]: the first run of each job waits to be killed.
///
/// # Errors
/// When the broker cannot be reached.
pub async fn be_worker(url: &str, namespace: &str, name: &str, say: fn(&str)) -> Result<()> {
    let namespace: Namespace = namespace.parse()?;
    let handler = move |_: bytes::Bytes, job: JobContext| async move {
        say(&format!("start {}", job.id()));
        if job.delivery() == 1 {
            tokio::time::sleep(HELD).await;
        }
        Ok(Value::Null)
    };
    let options = WorkerOptions::new(url, name).namespace(namespace).slots(4);
    let worker = Worker::builder(options)
        .handle_bytes(QUEUE, QUEUE, handler)
        .start()
        .await?;
    say(READY);
    worker
        .run_until(std::future::pending::<()>(), Duration::ZERO)
        .await;
    Ok(())
}
