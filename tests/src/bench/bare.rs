//! The bare flow: submit, follow, dispatch with the expected sequence, pull, outcome, ack. No logic.
//!
//! The same six messages a job as the system, by one submitter, one leader and one worker on a
//! connection each, on subjects of its own. It never looks at an id, retries or checks a state:
//! whatever it reaches is the ceiling for a system that does.

use std::future::{Future, IntoFuture};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use async_nats::HeaderMap;
use async_nats::jetstream::consumer::pull::{Config as PullConfig, OrderedConfig, Stream as Pull};
use async_nats::jetstream::context::PublishAckFuture;
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy};
use async_nats::jetstream::{Context, ContextBuilder};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use crate::wait::{PATIENCE, eventually};

/// A job's payload: the moment of its submission and filling.
const PAYLOAD_LEN: usize = 256;

/// Submissions without an answer yet, at full speed.
const SUBMITS_IN_FLIGHT: usize = 2_000;

/// Dispatches without an answer yet.
const DISPATCHES_IN_FLIGHT: usize = 4_000;

/// Jobs that the worker holds at once.
const RUNS_IN_FLIGHT: usize = 2_000;

/// What the worker asks for in one pull.
const PULL: usize = 1_000;

/// Unacknowledged publishes and deliveries of one connection.
const ACKS_IN_FLIGHT: usize = 20_000;

/// How the jobs come.
#[derive(Debug, Clone, Copy)]
pub enum Load {
    /// As fast as the broker takes them.
    Full,
    /// So many a second: a system with nothing else to do.
    PerSecond(u32),
}

/// What one run of the flow gave.
#[derive(Debug, Clone)]
pub struct Figures {
    /// Submissions acknowledged a second.
    pub submits_per_second: f64,
    /// Jobs a second, from the first submission to the last outcome seen.
    pub jobs_per_second: f64,
    /// From submission to outcome seen by the leader, in microseconds.
    pub latency: Histogram<u64>,
}

/// Runs `jobs` jobs on streams of its own at `url`, with `replicas` copies, and removes the streams.
///
/// # Errors
/// When the broker refuses anything: a bare flow has nothing to fall back on.
pub async fn run(url: &str, replicas: usize, jobs: usize, load: Load) -> Result<Figures> {
    let admin = connect(url).await?;
    make_streams(&admin, replicas).await?;
    let fence = write_fence(&admin).await?;
    let leader = connect(url).await?;
    let worker = connect(url).await?;
    let submitter = connect(url).await?;
    let pull = pull_work(&worker).await?;

    let start = Instant::now();
    let ((latency, seen), submitted, ()) = tokio::try_join!(
        on_its_own(lead(leader, fence, jobs, start)),
        on_its_own(submit(submitter, jobs, load, start)),
        on_its_own(work(worker, pull, jobs)),
    )?;
    for stream in ["BARE_JOBS", "BARE_WORK"] {
        admin.delete_stream(stream).await?;
    }
    Ok(Figures {
        submits_per_second: per_second(jobs, submitted),
        jobs_per_second: per_second(jobs, seen),
        latency,
    })
}

/// A task of its own, so that the three share the processors as three programs would; it ends with the
/// first that fails.
async fn on_its_own<T: Send + 'static>(
    hand: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    let mut tasks = JoinSet::new();
    tasks.spawn(hand);
    let ended = tasks.join_next().await.context("the task is gone")?;
    ended.context("a hand of the bare flow panicked")?
}

async fn connect(url: &str) -> Result<Context> {
    let addresses: Vec<String> = url.split(',').map(str::to_owned).collect();
    let client = async_nats::ConnectOptions::new()
        .client_capacity(65_536)
        .subscription_capacity(1 << 18)
        .connect(addresses)
        .await
        .context("connect to the broker")?;
    let context = ContextBuilder::new().max_ack_inflight(ACKS_IN_FLIGHT);
    Ok(context.build(client))
}

async fn make_streams(context: &Context, replicas: usize) -> Result<()> {
    let refusing_repeats = Config {
        max_messages_per_subject: 1,
        discard: DiscardPolicy::New,
        discard_new_per_subject: true,
        num_replicas: replicas,
        allow_direct: true,
        ..Config::default()
    };
    let ledger = Config {
        name: "BARE_JOBS".to_owned(),
        subjects: vec!["bare.submit.>".to_owned(), "bare.outcome.>".to_owned()],
        ..refusing_repeats.clone()
    };
    let work = Config {
        name: "BARE_WORK".to_owned(),
        subjects: vec!["bare.work.>".to_owned(), "bare.fence".to_owned()],
        retention: RetentionPolicy::WorkQueue,
        ..refusing_repeats
    };
    context.create_stream(ledger).await?;
    context.create_stream(work).await?;
    Ok(())
}

/// The first write; replicated streams have a leader somewhat later than they exist.
async fn write_fence(context: &Context) -> Result<u64> {
    eventually("streams that take writes", PATIENCE, async || {
        let answer = context.publish("bare.fence", Bytes::new()).await?;
        answer.await.map(|stored| stored.sequence)
    })
    .await
}

async fn pull_work(context: &Context) -> Result<Pull> {
    let config = PullConfig {
        durable_name: Some("w".to_owned()),
        filter_subject: "bare.work.>".to_owned(),
        max_ack_pending: i64::try_from(ACKS_IN_FLIGHT)?,
        ..PullConfig::default()
    };
    let stream = context.get_stream("BARE_WORK").await?;
    let consumer = stream.create_consumer(config).await?;
    let messages = consumer
        .stream()
        .max_messages_per_batch(PULL)
        .expires(Duration::from_secs(5))
        .messages()
        .await?;
    Ok(messages)
}

async fn submit(context: Context, jobs: usize, load: Load, start: Instant) -> Result<Duration> {
    let mut answers = FuturesUnordered::new();
    for job in 0..jobs {
        if let Load::PerSecond(rate) = load {
            let due = start + Duration::from_secs(1) * u32::try_from(job)? / rate;
            tokio::time::sleep_until(due.into()).await;
        }
        let mut payload = vec![b'x'; PAYLOAD_LEN];
        let sent = u64::try_from(start.elapsed().as_nanos())?;
        payload[..8].copy_from_slice(&sent.to_be_bytes());
        let answer = context.publish(format!("bare.submit.{job}"), payload.into());
        let answer = answer.await?.into_future();
        answers.push(answer);
        if matches!(load, Load::Full) && answers.len() >= SUBMITS_IN_FLIGHT {
            answers.next().await.transpose()?;
        }
    }
    while let Some(answer) = answers.next().await {
        answer?;
    }
    Ok(start.elapsed())
}

async fn lead(
    context: Context,
    fence: u64,
    jobs: usize,
    start: Instant,
) -> Result<(Histogram<u64>, Duration)> {
    let ledger = context.get_stream("BARE_JOBS").await?;
    let follower = ledger.create_consumer(OrderedConfig::default()).await?;
    let mut records = follower.messages().await?;
    let mut last = fence;
    let mut answers = FuturesUnordered::new();
    let mut latency = Histogram::new(3)?;
    loop {
        tokio::select! {
            biased;
            Some(answer) = answers.next(), if !answers.is_empty() => {
                let _stored = answer?;
            }
            record = records.next(), if answers.len() < DISPATCHES_IN_FLIGHT => {
                let record = record.context("the ledger ended")??;
                if let Some(id) = record.subject.strip_prefix("bare.submit.") {
                    let answer = dispatch(&context, id, record.payload.clone(), last).await?;
                    answers.push(answer);
                    last += 1;
                } else {
                    latency.record(age_us(&record.payload, start)?)?;
                    if latency.len() == u64::try_from(jobs)? {
                        return Ok((latency, start.elapsed()));
                    }
                }
            }
        }
    }
}

async fn dispatch(
    context: &Context,
    id: &str,
    payload: Bytes,
    last: u64,
) -> Result<<PublishAckFuture as IntoFuture>::IntoFuture> {
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Expected-Last-Sequence", last.to_string().as_str());
    let publish = context.publish_with_headers(format!("bare.work.{id}"), headers, payload);
    Ok(publish.await?.into_future())
}

async fn work(context: Context, pull: Pull, jobs: usize) -> Result<()> {
    let mut runs = pull
        .map(|message| run_one(&context, message))
        .buffer_unordered(RUNS_IN_FLIGHT);
    for _ in 0..jobs {
        runs.next().await.context("the work ended")??;
    }
    Ok(())
}

async fn run_one<E>(
    context: &Context,
    message: Result<async_nats::jetstream::Message, E>,
) -> Result<()>
where
    E: std::error::Error + Send + Sync + 'static,
{
    let message = message?;
    let id = message.subject.strip_prefix("bare.work.");
    let subject = format!("bare.outcome.{}", id.context("a foreign work message")?);
    let outcome = context.publish(subject, message.payload.clone());
    outcome.await?.await?;
    let acked = message.ack().await;
    ensure!(acked.is_ok(), "ack of {}: {acked:?}", message.subject);
    Ok(())
}

fn age_us(payload: &[u8], start: Instant) -> Result<u64> {
    let sent = payload.first_chunk().context("a foreign record")?;
    let sent = Duration::from_nanos(u64::from_be_bytes(*sent));
    let age = start.elapsed().saturating_sub(sent);
    Ok(u64::try_from(age.as_micros())?)
}

/// Events a second over a time.
#[must_use]
pub fn per_second(count: usize, time: Duration) -> f64 {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    f64::from(count) / time.as_secs_f64()
}
