//! Many simulated workers in one process: as many slots, each with a flaky executor.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use distributed_workers::executor::Executor;
use distributed_workers::{Multiply, QUEUE, program};
use worker_sdk::{JobContext, JobLog, Worker, WorkerOptions};

/// How long running jobs may take to finish after SIGTERM before they are given back.
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs many simulated workers, which multiply numbers and go wrong on purpose.
#[derive(Debug, Parser)]
#[command(name = "worker", version)]
struct Arguments {
    /// NATS servers, separated by commas.
    #[arg(long, env = "NATS_URL", default_value = "nats://127.0.0.1:4222")]
    server: String,
    /// The process's name: 1 to 53 of A-Z a-z 0-9 _ -.
    #[arg(long, env = "WORKER_NAME", default_value = "worker")]
    name: String,
    /// How many workers to simulate, 1 to 20000: each runs one job at a time.
    #[arg(long, value_name = "COUNT", default_value = "500")]
    workers: u32,
    /// How long a job takes, in milliseconds.
    #[arg(long, default_value = "100")]
    work_ms: u64,
    /// How many of 100 runs fail.
    #[arg(long, value_name = "PERCENT", default_value = "20", value_parser = clap::value_parser!(u8).range(0..=100))]
    fail_percent: u8,
    /// One of so many runs, at random, aborts the whole process in the middle [default: none].
    #[arg(long, value_name = "COUNT")]
    crash_every: Option<NonZeroU64>,
    /// Append a line of JSON for each start and each end of a run to this file.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    program::log();
    let told = program::told_to_stop()?;
    let worker = start(&arguments).await?;
    tracing::info!(worker_id = %worker.id(), workers = arguments.workers, "ready");
    let mut asked = false;
    let told = async {
        told.await;
        asked = true;
    };
    let stopped = worker.run_until(told, PATIENCE).await;
    tracing::info!(?stopped, "stopped");
    ensure!(
        asked,
        "it ended by itself: its connection was closed for good; start it again"
    );
    Ok(())
}

async fn start(arguments: &Arguments) -> Result<Worker> {
    let options = WorkerOptions::new(&arguments.server, &arguments.name).slots(arguments.workers);
    let options = match &arguments.log {
        Some(path) => {
            let log = JobLog::append(path).context("open the log of runs")?;
            options.observer(Arc::new(log))
        }
        None => options,
    };
    let takes = Duration::from_millis(arguments.work_ms);
    let executor = Executor::new(takes, arguments.fail_percent, arguments.crash_every);
    let run = move |job: Multiply, context: JobContext| {
        let executor = executor.clone();
        async move { executor.run(job, context).await }
    };
    Ok(Worker::builder(options).handle(QUEUE, run).start().await?)
}
