//! A process that joins a crew and writes down what it does with its shares, and that misbehaves on
//! demand. For tests alone; it decides nothing.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use election::{Moment, boot_now};
use tests::act_log::ActLog;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::MissedTickBehavior;
use worker_sdk::{
    Coordinated, CoordinatedBuilder, CoordinatedEnd, ExplicitIdentity, LeaseTimings, Share,
};

/// How often the work of a share acts.
const ACT_EVERY: Duration = Duration::from_millis(20);
/// Waited out soon, and renewed where each answer takes half a second.
const SHORT: LeaseTimings = LeaseTimings {
    lease: Duration::from_secs(3),
    renew: Duration::from_millis(300),
    request: Duration::from_millis(600),
    margin: Duration::from_millis(200),
};

/// Works on its shares, and writes down when.
#[derive(Debug, Clone, Parser)]
struct Arguments {
    /// The broker's addresses.
    #[arg(long)]
    server: String,
    /// The process's name.
    #[arg(long)]
    name: String,
    /// Where each begin, act and end is written, with nanoseconds of the boot clock.
    #[arg(long)]
    log: PathBuf,
    /// So many partitions; without it, indices.
    #[arg(long)]
    partitions: Option<u32>,
    /// Which promise.
    #[arg(long)]
    mode: Mode,
    /// Which lease.
    #[arg(long)]
    lease: Lease,
    /// Replicas of the bucket.
    #[arg(long)]
    replicas: usize,
    /// Blocks its threads when it is told to end.
    #[arg(long)]
    block: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    Strict,
    Fenced,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Lease {
    Quick,
    Short,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
    let runtime = tokio::runtime::Runtime::new()?;
    let end = runtime.block_on(join(arguments))?;
    // Work that blocks is not waited for.
    runtime.shutdown_background();
    Ok(match end {
        CoordinatedEnd::Left => ExitCode::SUCCESS,
        CoordinatedEnd::Unsaid => ExitCode::from(3),
        CoordinatedEnd::StillWorking => ExitCode::from(4),
    })
}

async fn join(arguments: Arguments) -> Result<CoordinatedEnd> {
    let mut stop = signal(SignalKind::terminate()).context("listen to SIGTERM")?;
    let log = Arc::new(Mutex::new(ActLog::append(&arguments.log)?));
    let block = arguments.block;
    let crew = builder(&arguments)
        .start(move |share| work(share, Arc::clone(&log), block))
        .await?;
    tracing::info!("ready");
    Ok(crew.run_until(stop.recv()).await)
}

fn builder(arguments: &Arguments) -> CoordinatedBuilder {
    let builder = match arguments.partitions {
        Some(count) => Coordinated::partitions("shop", count),
        None => Coordinated::index("shop"),
    };
    let builder = builder
        .servers(&arguments.server)
        .identity(ExplicitIdentity::new(&arguments.name, "test"))
        .replicas(arguments.replicas)
        .end_within(Duration::from_secs(1))
        .timings(match arguments.lease {
            Lease::Quick => LeaseTimings::quick(),
            Lease::Short => SHORT,
        });
    match arguments.mode {
        Mode::Strict => builder.strict(),
        Mode::Fenced => builder.fenced(),
    }
}

async fn work(share: Share, log: Arc<Mutex<ActLog>>, block: bool) {
    let note = |what: &str, at: Moment| {
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        let (number, of, token) = (share.number(), share.of(), share.token().get());
        log.write(&format!("{what} {number} {of} {token} {}", at.as_nanos()));
        if what != "act" {
            tracing::info!("{what} {number} of {of} as {token}");
        }
    };
    note("begin", boot_now());
    let mut ticks = tokio::time::interval(ACT_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = share.cancelled() => break,
            _ = ticks.tick() => {}
        }
        // Before the look: a process that stands still in between acted before, or not at all.
        let at = boot_now();
        if share.check().is_ok() {
            note("act", at);
        }
    }
    if block {
        loop {
            std::thread::park();
        }
    }
    note("end", boot_now());
}
