//! Jobs through the whole system: at full speed, one by one, and from a backlog. The handler does
//! nothing but count, and note how old its job is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use hdrhistogram::Histogram;
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use worker_sdk::{Client, SubmitError, SubmitRequest, Submitted, Worker, WorkerOptions};

use super::bare::per_second;
use super::cpu::Meter;
use super::system::{Memory, QUEUE, System, memory};

/// Jobs that the worker runs at once at full speed.
const SLOTS: u32 = 1_000;
/// A job's payload, unless said otherwise; the bare flow's.
pub const PAYLOAD_LEN: usize = 256;
/// How long the last jobs may take.
const LAST_WITHIN: Duration = Duration::from_secs(120);

/// What a run at full speed gave.
#[derive(Debug, Clone, Copy)]
pub struct Speed {
    /// Submissions acknowledged a second.
    pub submits_per_second: f64,
    /// Jobs a second, from the first submission to the last outcome folded by the leader.
    pub jobs_per_second: f64,
    /// The most memory that the coordinator took, in bytes.
    pub memory: u64,
    /// Processor time that the coordinator took for each job.
    pub coordinator: Duration,
}

/// Submits `jobs` jobs at once to a fresh system with one coordinator, and waits for all of them.
///
/// # Errors
/// When anything fails: nothing dies here.
pub async fn full_speed(url: &str, replicas: usize, jobs: usize) -> Result<Speed> {
    let mut system = System::start(url, replicas, 1).await?;
    let (worker, counted) = counting_worker(&system).await?;
    let meter = Meter::start(&[system.coordinator("c1")?.pid()])?;
    let client = system.client().await?;
    let requests = requests(jobs, PAYLOAD_LEN)?;
    let start = Instant::now();
    let submitting = async {
        accepted(client.submit_many(requests).await)?;
        anyhow::Ok(start.elapsed())
    };
    let (submitted, ended) = tokio::try_join!(submitting, ended(&system, counted, jobs, start))?;
    let coordinator = meter.per_job(jobs)?;
    let memory = finish(system, worker).await?;
    Ok(Speed {
        coordinator,
        submits_per_second: per_second(jobs, submitted),
        jobs_per_second: per_second(jobs, ended),
        memory,
    })
}

/// Submits `jobs` jobs of `payload` bytes, and starts the worker only then. Its jobs a second count
/// from there.
///
/// # Errors
/// When anything fails.
pub async fn backlog(url: &str, replicas: usize, jobs: usize, payload: usize) -> Result<Speed> {
    let mut system = System::start(url, replicas, 1).await?;
    let meter = Meter::start(&[system.coordinator("c1")?.pid()])?;
    let client = system.client().await?;
    let requests = requests(jobs, payload)?;
    let start = Instant::now();
    accepted(client.submit_many(requests).await)?;
    let submitted = start.elapsed();
    let start = Instant::now();
    let (worker, counted) = counting_worker(&system).await?;
    let ended = ended(&system, counted, jobs, start).await?;
    let coordinator = meter.per_job(jobs)?;
    let memory = finish(system, worker).await?;
    Ok(Speed {
        coordinator,
        submits_per_second: per_second(jobs, submitted),
        jobs_per_second: per_second(jobs, ended),
        memory,
    })
}

/// Submits `rate` jobs a second, and measures each from before its submission to the start of its
/// handler, in microseconds.
///
/// # Errors
/// When anything fails.
pub async fn idle(url: &str, replicas: usize, jobs: usize, rate: u32) -> Result<Histogram<u64>> {
    let system = System::start(url, replicas, 1).await?;
    let start = Instant::now();
    let (aged, mut ages) = mpsc::channel(1_024);
    let worker = Worker::builder(
        WorkerOptions::new(system.url(), "bench")
            .namespace(system.broker().names().namespace().clone()),
    )
    .handle_bytes(QUEUE, QUEUE, move |payload: Bytes, _| {
        let age = age_us(&payload, start);
        let aged = aged.clone();
        async move {
            if let Some(age) = age {
                aged.send(age).await.ok();
            }
            Ok(Value::Null)
        }
    })
    .start()
    .await?;
    let client = system.client().await?;
    let mut submissions = JoinSet::new();
    submissions.spawn(trickle(client, jobs, rate, start));
    let mut latency = Histogram::new(3)?;
    for job in 0..jobs {
        let what = format!("job {job} to start");
        let age = crate::wait::within(&what, LAST_WITHIN, ages.recv()).await?;
        latency.record(age.context("the worker is gone")?)?;
    }
    submissions.join_next().await.context("no submitter")???;
    finish(system, worker).await?;
    Ok(latency)
}

/// Submits one job after the other, each at its time, whatever became of the one before.
async fn trickle(client: Client, jobs: usize, rate: u32, start: Instant) -> Result<()> {
    let first = start.elapsed();
    let mut open = JoinSet::new();
    for job in 0..jobs {
        let due = start + first + Duration::from_secs(1) * u32::try_from(job)? / rate;
        tokio::time::sleep_until(due.into()).await;
        let mut payload = vec![b'x'; PAYLOAD_LEN];
        let sent = u64::try_from(start.elapsed().as_nanos())?;
        payload[..8].copy_from_slice(&sent.to_be_bytes());
        let request = SubmitRequest::new(QUEUE, &format!("i{job}"))?.payload(payload);
        let client = client.clone();
        open.spawn(async move { client.submit_raw(request).await });
        while let Some(done) = open.try_join_next() {
            accepted(vec![done?])?;
        }
    }
    while let Some(done) = open.join_next().await {
        accepted(vec![done?])?;
    }
    Ok(())
}

fn age_us(payload: &[u8], start: Instant) -> Option<u64> {
    let sent = Duration::from_nanos(u64::from_be_bytes(*payload.first_chunk()?));
    let age = start.elapsed().saturating_sub(sent);
    u64::try_from(age.as_micros()).ok()
}

fn requests(jobs: usize, payload: usize) -> Result<Vec<SubmitRequest>> {
    let payload = Bytes::from(vec![b'x'; payload]);
    let mut requests = Vec::with_capacity(jobs);
    for job in 0..jobs {
        let request = SubmitRequest::new(QUEUE, &job.to_string())?;
        requests.push(request.payload(payload.clone()));
    }
    Ok(requests)
}

fn accepted(answers: Vec<Result<Submitted, SubmitError>>) -> Result<()> {
    for answer in answers {
        let answer = answer?;
        ensure!(
            matches!(answer, Submitted::Accepted { .. }),
            "a fresh id was answered with {answer:?}"
        );
    }
    Ok(())
}

/// A worker whose handler counts.
async fn counting_worker(system: &System) -> Result<(Worker, watch::Receiver<u64>)> {
    let count = Arc::new(AtomicU64::new(0));
    let (told, counted) = watch::channel(0);
    let told = Arc::new(told);
    let namespace = system.broker().names().namespace().clone();
    let options = WorkerOptions::new(system.url(), "bench")
        .namespace(namespace)
        .slots(SLOTS);
    let worker = Worker::builder(options)
        .handle_bytes(QUEUE, QUEUE, move |_, _| {
            let ran = count.fetch_add(1, Ordering::Relaxed) + 1;
            if ran.is_multiple_of(1_000) {
                told.send_replace(ran);
            }
            std::future::ready(Ok(Value::Null))
        })
        .start()
        .await?;
    Ok((worker, counted))
}

/// Waits until almost all handlers have run, which costs nobody anything, and then asks the
/// coordinator until it has folded every outcome.
async fn ended(
    system: &System,
    mut counted: watch::Receiver<u64>,
    jobs: usize,
    start: Instant,
) -> Result<Duration> {
    let jobs = u64::try_from(jobs)?;
    let most = (jobs / 1_000) * 1_000;
    let running = counted.wait_for(|ran| *ran >= most);
    let running = tokio::time::timeout(LAST_WITHIN, running).await;
    running.with_context(|| format!("wait for {most} jobs to run"))??;
    let asked = Instant::now();
    while system.completed().await? < jobs {
        ensure!(
            asked.elapsed() < LAST_WITHIN,
            "waited {LAST_WITHIN:?} for the last outcomes"
        );
    }
    Ok(start.elapsed())
}

async fn finish(mut system: System, worker: Worker) -> Result<u64> {
    let pid = system.coordinator("c1")?.pid();
    let memory = memory(pid, Memory::Peak)?;
    worker.stop(Duration::from_secs(5)).await;
    system.stop().await?;
    Ok(memory)
}
