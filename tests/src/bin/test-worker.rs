//! A worker whose handler does what the payload says: it fails, blocks or kills its process on
//! demand. For tests alone; it decides nothing.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;
use serde::Deserialize;
use serde_json::{Value, json};
use tests::wait::eventually;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use worker_sdk::async_nats::ConnectOptions;
use worker_sdk::{Bytes, JobContext, JobError, JobLog, Worker, WorkerBuilder, WorkerOptions};

/// How long it tries to reach a broker that may be down.
const STARTS_WITHIN: Duration = Duration::from_secs(120);

/// Does what each payload says: `{"do":"work","ms":20}`.
#[derive(Debug, Parser)]
struct Arguments {
    /// The broker's addresses.
    #[arg(long)]
    server: String,
    /// The worker's name.
    #[arg(long)]
    name: String,
    /// Where each start and end of the handler is written.
    #[arg(long)]
    log: PathBuf,
    /// The queues.
    #[arg(long, required = true)]
    queue: Vec<String>,
    /// The kinds that it handles; none: each queue's name.
    #[arg(long)]
    kind: Vec<String>,
    /// How many jobs of a queue run at once.
    #[arg(long, default_value_t = 4)]
    slots: u32,
    /// The user to connect as; none: without credentials.
    #[arg(long, requires = "password")]
    user: Option<String>,
    /// Its password.
    #[arg(long, requires = "user")]
    password: Option<String>,
    /// Where its answers go.
    #[arg(long)]
    inbox_prefix: Option<String>,
    /// Where it finds JetStream.
    #[arg(long)]
    js_api_prefix: Option<String>,
    /// How long a stop waits for its jobs, in milliseconds.
    #[arg(long, default_value_t = 5_000)]
    patience: u64,
}

/// What a payload may ask for. `ms` is how long it takes.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Task {
    #[serde(rename = "do")]
    what: What,
    ms: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum What {
    /// Completes after `ms`.
    #[default]
    Work,
    /// Fails after `ms`; another attempt may do better.
    Fail,
    /// Fails on the first attempt alone.
    FailOnce,
    /// Fails for good.
    Permanent,
    /// Panics.
    Panic,
    /// Ends the process.
    Exit,
    /// Blocks its thread for `ms`, deaf to everything.
    Block,
    /// The first delivery never ends by itself; a later one completes.
    HangFirst,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let log = JobLog::append(&arguments.log).context("open the log")?;
    let log = Arc::new(log);
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into());
    tracing_subscriber::fmt()
        .with_env_filter(filter.from_env_lossy())
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
    let mut term = signal(SignalKind::terminate()).context("listen to SIGTERM")?;
    let starting = eventually("the broker", STARTS_WITHIN, async || {
        builder(&arguments, Arc::clone(&log)).start().await
    });
    let worker = tokio::select! {
        worker = starting => worker?,
        _ = term.recv() => return Ok(()),
    };
    tracing::info!(worker = %worker.id(), "ready");
    let patience = Duration::from_millis(arguments.patience);
    let stopped = worker.run_until(term.recv(), patience).await;
    tracing::info!(?stopped, "ended");
    Ok(())
}

fn builder(arguments: &Arguments, log: Arc<JobLog>) -> WorkerBuilder {
    let mut options = WorkerOptions::new(&arguments.server, &arguments.name)
        .connect(connect_options(arguments))
        .slots(arguments.slots)
        .cancel_grace(Duration::from_secs(1))
        .observer(log);
    if let Some(prefix) = &arguments.js_api_prefix {
        options = options.api_prefix(prefix);
    }
    let mut builder = Worker::builder(options);
    for queue in &arguments.queue {
        let kinds = match arguments.kind.as_slice() {
            [] => std::slice::from_ref(queue),
            kinds => kinds,
        };
        for kind in kinds {
            builder = builder.handle_bytes(kind, queue, run);
        }
    }
    builder
}

fn connect_options(arguments: &Arguments) -> ConnectOptions {
    let mut options = ConnectOptions::new();
    if let (Some(user), Some(password)) = (&arguments.user, &arguments.password) {
        options = options.user_and_password(user.clone(), password.clone());
    }
    match &arguments.inbox_prefix {
        Some(prefix) => options.custom_inbox_prefix(prefix),
        None => options,
    }
}

async fn run(payload: Bytes, context: JobContext) -> Result<Value, JobError> {
    let task: Task = match payload.is_empty() {
        true => Task::default(),
        false => serde_json::from_slice(&payload)?,
    };
    let span = Duration::from_millis(task.ms);
    match task.what {
        What::Work => spend(span, &context).await?,
        What::Fail => {
            spend(span, &context).await?;
            return Err(JobError::retry("asked to fail"));
        }
        What::FailOnce if context.attempt().get() == 1 => {
            return Err(JobError::retry("asked to fail once"));
        }
        What::FailOnce => {}
        What::Permanent => return Err(JobError::permanent("asked", "asked to fail for good")),
        What::Panic => panic!("asked to panic"),
        What::Exit => std::process::abort(),
        What::Block => block(span),
        What::HangFirst if context.delivery() == 1 => {
            spend(Duration::from_secs(3_600), &context).await?;
        }
        What::HangFirst => {}
    }
    Ok(json!({
        "token": context.token().to_string(),
        "pid": std::process::id(),
    }))
}

/// Takes so long, unless it is cancelled.
async fn spend(span: Duration, context: &JobContext) -> Result<(), JobError> {
    match tokio::time::timeout(span, context.cancelled()).await {
        Ok(reason) => Err(JobError::cancelled(format!("{reason:?}"))),
        Err(_over) => Ok(()),
    }
}

/// Holds the thread.
fn block(span: Duration) {
    let start = Instant::now();
    while let Some(left) = span
        .checked_sub(start.elapsed())
        .filter(|left| !left.is_zero())
    {
        std::thread::park_timeout(left);
    }
}
