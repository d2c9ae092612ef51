//! A node: a worker that runs markets, and one of those who stand for the job manager.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use cluster_services::{MANAGER, MarketRun, PATIENCE, QUEUE, STATUS, Source, Status};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::MissedTickBehavior;
use worker_sdk::{
    Bytes, Call, Client, ExplicitIdentity, JobContext, JobError, JobLog, LeaseTimings, Refusal,
    Singleton, Submitted, Tenure, Worker, WorkerOptions,
};

/// Runs markets; on one node at a time the job manager asks for those that are due.
#[derive(Debug, Clone, Parser)]
#[command(name = "market-node", version)]
struct Arguments {
    /// NATS servers, separated by commas.
    #[arg(long, env = "NATS_URL", default_value = "nats://127.0.0.1:4222")]
    server: String,
    /// The node's name: 1 to 53 of A-Z a-z 0-9 _ -.
    #[arg(long)]
    name: String,
    /// The cluster: each has its own manager.
    #[arg(long, default_value = "default-group")]
    group: String,
    /// The source: a file with a line `<market> <run>` for each run that is due.
    #[arg(long, value_name = "FILE")]
    source: PathBuf,
    /// How often the manager asks the source, in milliseconds.
    #[arg(long, default_value = "1000")]
    ask_every_ms: u64,
    /// How many markets this node runs at once.
    #[arg(long, default_value = "4")]
    slots: u32,
    /// How long a run takes, in milliseconds: for demonstrations.
    #[arg(long, default_value = "100")]
    work_ms: u64,
    /// How many replicas the manager's bucket has at least: 3 where there are three servers.
    #[arg(long, default_value = "1")]
    replicas: usize,
    /// How long a manager that is cut off is left alone.
    #[arg(long, default_value = "stable")]
    lease: Lease,
    /// Append a line of JSON for each start and each end of a run to this file.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Append the epoch of each question to the source to this file.
    #[arg(long, value_name = "FILE")]
    asked_log: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Lease {
    /// 15 s: a crash of a server moves nothing.
    Stable,
    /// 6 s.
    Quick,
    /// 1.5 s: for tests.
    Test,
}

impl Lease {
    const fn timings(self) -> LeaseTimings {
        match self {
            Self::Stable => LeaseTimings::stable(),
            Self::Quick => LeaseTimings::quick(),
            Self::Test => LeaseTimings::test(),
        }
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
    let mut stop = signal(SignalKind::terminate()).context("hear SIGTERM")?;
    let worker = worker(&arguments).await?;
    let manager = Manager::new(&arguments).await?;
    let singleton = Singleton::in_group(MANAGER)
        .servers(&arguments.server)
        .identity(ExplicitIdentity::new(&arguments.name, &arguments.group))
        .replicas(arguments.replicas)
        .timings(arguments.lease.timings())
        // What an older manager still hands in is accepted once all the same: the id is the run's.
        .fenced()
        .start(move |tenure| manager.clone().work(tenure))
        .await?;
    tracing::info!(node = arguments.name, "ready");
    stop.recv().await;
    // Another node manages before this one has finished its runs.
    let ended = singleton.stop().await;
    let stopped = worker.stop(PATIENCE).await;
    tracing::info!(?ended, ?stopped, "stopped");
    Ok(())
}

async fn worker(arguments: &Arguments) -> Result<Worker> {
    let options = WorkerOptions::new(&arguments.server, &arguments.name).slots(arguments.slots);
    let options = match &arguments.log {
        Some(path) => {
            let log = JobLog::append(path).context("open the log of runs")?;
            options.observer(Arc::new(log))
        }
        None => options,
    };
    let takes = Duration::from_millis(arguments.work_ms);
    let run = move |run: MarketRun, job: JobContext| run_market(run, job, takes);
    Ok(Worker::builder(options).handle(QUEUE, run).start().await?)
}

/// Stands for the invoice run of a market. A real one hands the token to whatever it changes.
async fn run_market(run: MarketRun, job: JobContext, takes: Duration) -> Result<(), JobError> {
    tokio::time::sleep(takes).await;
    tracing::info!(market = run.market, run = run.run, token = %job.token(), "the market has run");
    Ok(())
}

/// The work of the one who manages.
#[derive(Clone)]
struct Manager {
    node: String,
    source: Source,
    ask_every: Duration,
    client: Client,
    asked_log: Option<PathBuf>,
    /// Asked and accepted, under the epoch of the tenure.
    counts: Arc<Mutex<(u64, u64)>>,
}

impl Manager {
    async fn new(arguments: &Arguments) -> Result<Self> {
        let options = worker_sdk::async_nats::ConnectOptions::new();
        let client = Client::connect(&arguments.server, options, "jobs".parse()?).await?;
        Ok(Self {
            node: arguments.name.clone(),
            source: Source::new(&arguments.source),
            ask_every: Duration::from_millis(arguments.ask_every_ms),
            client,
            asked_log: arguments.asked_log.clone(),
            counts: Arc::default(),
        })
    }

    async fn work(self, tenure: Tenure) {
        self.count(|counts| *counts = (0, 0));
        tracing::info!(epoch = %tenure.token(), "this node manages");
        let served = tenure.serve(async |call| self.answer(&call));
        let (served, ()) = tokio::join!(served, self.ask(&tenure));
        if let Err(error) = served {
            tracing::error!(%error, "calls are not answered");
        }
    }

    fn answer(&self, call: &Call) -> Result<Bytes, Refusal> {
        if call.payload() != STATUS {
            return Err(Refusal::new("unknown", "ask for `status`"));
        }
        let (asked, accepted) = self.count(|counts| *counts);
        let status = Status {
            node: self.node.clone(),
            epoch: call.token().get(),
            asked,
            accepted,
        };
        let text = serde_json::to_vec(&status);
        text.map(Bytes::from)
            .map_err(|error| Refusal::new("status", &error.to_string()))
    }

    /// Asks the source, on and on, until the tenure must end.
    async fn ask(&self, tenure: &Tenure) {
        let mut ticks = tokio::time::interval(self.ask_every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = tenure.cancelled() => return,
                _ = ticks.tick() => {}
            }
            if tenure.check().is_err() {
                return;
            }
            if let Err(error) = self.ask_once(tenure).await {
                // The same is found the next time, under the same id.
                tracing::warn!("what is due was not handed in: {error:#}");
            }
        }
    }

    async fn ask_once(&self, tenure: &Tenure) -> Result<()> {
        self.note(tenure)?;
        let due = self.source.due().context("read the source")?;
        self.count(|counts| counts.0 += 1);
        for run in due {
            // A source is long, and a lease may end within it.
            if tenure.check().is_err() {
                return Ok(());
            }
            let submitted = self.client.submit(QUEUE, &run.id(), &run).await?;
            if matches!(submitted, Submitted::Accepted { .. }) {
                self.count(|counts| counts.1 += 1);
            }
        }
        Ok(())
    }

    fn note(&self, tenure: &Tenure) -> Result<()> {
        if let Some(path) = &self.asked_log {
            let file = OpenOptions::new().create(true).append(true).open(path);
            let line = format!("{} {}\n", tenure.token().get(), self.node);
            file?.write_all(line.as_bytes())?;
        }
        Ok(())
    }

    fn count<T>(&self, look: impl FnOnce(&mut (u64, u64)) -> T) -> T {
        look(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
