//! A worker that checks invoices: reads the XML, recomputes the sums, returns the verdict. It never
//! decides about attempts: an invoice that breaks a rule fails for good, with the rule's name.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Parser;
use invoices::check::check;
use nats_config::connection::{Connection, ConnectionSettings, Environment};
use protocol::id::Namespace;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use worker_sdk::{Bytes, CancelReason, JobContext, JobError, JobLog, Worker, WorkerOptions};

/// What it handles, and where.
const KIND: &str = "invoice.check";
const QUEUE: &str = "invoices";
/// How long running checks may take to finish after SIGTERM before they are given back.
const PATIENCE: Duration = Duration::from_secs(5);

/// Checks EN 16931 invoices in UBL: jobs of kind `invoice.check` in queue `invoices`.
#[derive(Debug, Parser)]
#[command(name = "invoice-worker", version)]
struct Arguments {
    /// NATS servers, separated by commas [default: nats://127.0.0.1:4222]. Credentials come from
    /// the variables of the nats command line, such as NATS_CREDS.
    #[arg(
        short,
        long,
        env = "NATS_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    server: Option<String>,
    /// The namespace of the installation.
    #[arg(long, env = "JOBS_NAMESPACE", default_value = "jobs")]
    namespace: Namespace,
    /// The worker's name: 1 to 53 of A-Z a-z 0-9 _ -.
    #[arg(long, env = "WORKER_NAME", default_value = "invoice-worker")]
    name: String,
    /// How many invoices it checks at once, 1 to 20000.
    #[arg(long, value_name = "COUNT", default_value = "16")]
    slots: u32,
    /// Append a line of JSON for each start and each end of a check to this file.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Take this much longer for each invoice, in milliseconds: one number, or the ends of a span
    /// such as 20..60. For demonstrations.
    #[arg(long, value_name = "A..B", default_value = "0")]
    work_ms: WorkTime,
}

/// How long a check is drawn out: the same for the same job, spread evenly over the jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct WorkTime {
    from_ms: u64,
    to_ms: u64,
}

impl FromStr for WorkTime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (from, to) = text.split_once("..").unwrap_or((text, text));
        let read = |part: &str| {
            part.parse::<u64>()
                .map_err(|_| format!("{part:?} is no number of milliseconds; give 40 or 20..60"))
        };
        let (from_ms, to_ms) = (read(from)?, read(to)?);
        if from_ms > to_ms {
            return Err(format!(
                "it ends at {to_ms} before it begins at {from_ms}; give the smaller number first"
            ));
        }
        Ok(Self { from_ms, to_ms })
    }
}

impl WorkTime {
    fn of(self, id: &str) -> Duration {
        let mut hasher = DefaultHasher::new();
        id.hash(&mut hasher);
        let span = self.to_ms - self.from_ms;
        let more = span
            .checked_add(1)
            .map_or(hasher.finish(), |choices| hasher.finish() % choices);
        Duration::from_millis(self.from_ms.saturating_add(more))
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    start_log()?;
    let mut terminate = signal(SignalKind::terminate()).context("hear SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("hear SIGINT")?;
    let work_time = arguments.work_ms;
    let worker = Worker::builder(options(&arguments)?)
        .handle_bytes(KIND, QUEUE, move |payload, context| {
            handle(payload, context, work_time)
        })
        .start()
        .await?;
    tracing::info!(worker_id = %worker.id(), slots = arguments.slots, "checking invoices");
    let mut asked = false;
    let shutdown = async {
        tokio::select! {
            _ = terminate.recv() => (),
            _ = interrupt.recv() => (),
        }
        asked = true;
    };
    let stopped = worker.run_until(shutdown, PATIENCE).await;
    tracing::info!(?stopped, "stopped");
    ensure!(
        asked,
        "the worker ended by itself: its connection was closed for good, as its log says; start it again"
    );
    Ok(())
}

fn start_log() -> anyhow::Result<()> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(text) if !text.is_empty() => {
            EnvFilter::try_new(&text).context("RUST_LOG is no filter; give such as info")?
        }
        Ok(_) | Err(_) => EnvFilter::new("info,async_nats=warn"),
    };
    // At `trace` the client writes each message, and what it logs in with.
    let filter = filter.add_directive("async_nats::connection=debug".parse()?);
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(filter)
        .init();
    Ok(())
}

fn options(arguments: &Arguments) -> anyhow::Result<WorkerOptions> {
    let environment = Environment::of_process();
    let given = ConnectionSettings {
        server: arguments.server.clone().filter(|server| !server.is_empty()),
        ..ConnectionSettings::default()
    };
    let settings = given.or(ConnectionSettings::from_environment(&environment)?);
    let connection = Connection::resolve(&settings, &environment)?;
    let mut options = WorkerOptions::new(&connection.servers(), &arguments.name)
        .connect(connection.options()?)
        .namespace(arguments.namespace.clone())
        .slots(arguments.slots);
    if let Some(prefix) = connection.api_prefix() {
        options = options.api_prefix(prefix);
    }
    if let Some(path) = &arguments.log {
        let log = JobLog::append(path)
            .with_context(|| format!("open the log of jobs {}", path.display()))?;
        options = options.observer(Arc::new(log));
    }
    Ok(options)
}

/// Checks one invoice. The check is pure and takes a few milliseconds at most for the largest
/// document that a broker takes.
async fn handle(
    payload: Bytes,
    context: JobContext,
    work_time: WorkTime,
) -> Result<Value, JobError> {
    let wait = work_time.of(context.id().as_encoded());
    if !wait.is_zero() {
        tokio::select! {
            () = tokio::time::sleep(wait) => (),
            reason = context.cancelled() => return Err(given_up(reason)),
        }
    }
    match check(&payload) {
        Ok(verdict) => Ok(serde_json::to_value(verdict)?),
        Err(error) => Err(JobError::permanent(error.code(), &error)),
    }
}

/// Only what somebody asked to cancel ends as cancelled.
fn given_up(reason: CancelReason) -> JobError {
    match reason {
        CancelReason::Requested => JobError::cancelled("cancelled before the check"),
        CancelReason::Stopping | CancelReason::TimedOut | CancelReason::LeaseLost => {
            JobError::retry(format!("given up: {}", reason.as_str()))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::WorkTime;

    #[test]
    fn a_span_of_work_is_read_and_kept() {
        let span: WorkTime = "20..60".parse().unwrap();
        for id in ["a", "b", "INV-1"] {
            let time = span.of(id);
            assert!((20..=60).contains(&time.as_millis()), "{id}: {time:?}");
            assert_eq!(time, span.of(id));
        }
        let one: WorkTime = "7".parse().unwrap();
        assert_eq!(one.of("a"), Duration::from_millis(7));
    }

    #[test]
    fn what_is_no_span_of_work_is_refused() {
        for text in ["", "..", "5..", "x", "9..3", "-1", "1.5"] {
            assert!(text.parse::<WorkTime>().is_err(), "{text:?} was taken");
        }
    }
}
