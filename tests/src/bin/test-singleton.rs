//! A process that stands for a singleton and writes down what it does, and that misbehaves on demand.
//! For tests alone; it decides nothing.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use election::boot_now;
use tests::act_log::ActLog;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::MissedTickBehavior;
use worker_sdk::{
    Call, ExplicitIdentity, LeaseTimings, Singleton, SingletonBuilder, SingletonEnd, Tenure,
    run_below_init,
};

/// How often the work acts.
const ACT_EVERY: Duration = Duration::from_millis(5);
/// A lease that nobody can have waited out within a test.
const LONG: LeaseTimings = LeaseTimings {
    lease: Duration::from_secs(120),
    ..LeaseTimings::test()
};

/// Works as the only one, and writes down when.
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
    /// Which promise.
    #[arg(long)]
    mode: Mode,
    /// Which lease.
    #[arg(long, default_value = "test")]
    lease: Lease,
    /// How it misbehaves.
    #[arg(long, default_value = "no")]
    misbehave: Misbehave,
    /// Where each act is sent with its token, to be refused or not.
    #[arg(long)]
    sink: Option<String>,
    /// Answers calls, with its name. `hold:<name>` is not answered by whoever has that name.
    #[arg(long)]
    serve: bool,
    /// Runs below itself if it is process 1.
    #[arg(long)]
    below_init: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    Strict,
    Fenced,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Lease {
    Stable,
    Quick,
    Test,
    Long,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Misbehave {
    No,
    /// Reports no progress.
    Idle,
    /// Blocks its thread and never ends.
    Block,
    /// Panics at once.
    Panic,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    if arguments.below_init
        && let Some(code) = run_below_init().context("run below process 1")?
    {
        return Ok(code);
    }
    tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
    let runtime = tokio::runtime::Runtime::new()?;
    let end = runtime.block_on(stand(arguments))?;
    // Work that blocks is not waited for.
    runtime.shutdown_background();
    Ok(match end {
        SingletonEnd::Released => ExitCode::SUCCESS,
        SingletonEnd::Unreleased => ExitCode::from(3),
        SingletonEnd::StillWorking => ExitCode::from(4),
    })
}

async fn stand(arguments: Arguments) -> Result<SingletonEnd> {
    let mut stop = signal(SignalKind::terminate()).context("listen to SIGTERM")?;
    let sink = match &arguments.sink {
        Some(_) => Some(async_nats::connect(&arguments.server).await?),
        None => None,
    };
    let log = ActLog::append(&arguments.log)?;
    let work = Work {
        log: Arc::new(Mutex::new(log)),
        sink,
        arguments: arguments.clone(),
    };
    let singleton = builder(&arguments)
        .start(move |tenure| work.clone().run(tenure))
        .await?;
    tracing::info!("ready");
    Ok(singleton.run_until(stop.recv()).await)
}

fn builder(arguments: &Arguments) -> SingletonBuilder {
    let builder = Singleton::in_group("report")
        .servers(&arguments.server)
        .identity(ExplicitIdentity::new(&arguments.name, "test"))
        .end_within(Duration::from_secs(1))
        .timings(match arguments.lease {
            Lease::Stable => LeaseTimings::stable(),
            Lease::Quick => LeaseTimings::quick(),
            Lease::Test => LeaseTimings::test(),
            Lease::Long => LONG,
        });
    let builder = match arguments.mode {
        Mode::Strict => builder.strict(),
        Mode::Fenced => builder.fenced(),
    };
    match arguments.misbehave {
        Misbehave::Idle => builder.progress_within(Duration::from_secs(2)),
        Misbehave::No | Misbehave::Block | Misbehave::Panic => builder,
    }
}

#[derive(Clone)]
struct Work {
    log: Arc<Mutex<ActLog>>,
    sink: Option<async_nats::Client>,
    arguments: Arguments,
}

impl Work {
    async fn run(self, tenure: Tenure) {
        self.note("begin", &tenure);
        match self.arguments.misbehave {
            Misbehave::No | Misbehave::Idle => {
                if self.arguments.serve {
                    tokio::join!(self.act(&tenure), self.serve(&tenure));
                } else {
                    self.act(&tenure).await;
                }
                // The last thing that an older one sends, whatever it was told.
                self.send(&tenure).await;
            }
            Misbehave::Block => loop {
                std::thread::park();
            },
            Misbehave::Panic => panic!("asked to panic"),
        }
        self.note("end", &tenure);
    }

    async fn act(&self, tenure: &Tenure) {
        let mut ticks = tokio::time::interval(ACT_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = tenure.cancelled() => return,
                _ = ticks.tick() => {}
            }
            if self.arguments.misbehave == Misbehave::No {
                tenure.alive();
            }
            self.send(tenure).await;
            if tenure.check().is_ok() {
                self.note("act", tenure);
            }
        }
    }

    async fn serve(&self, tenure: &Tenure) {
        let handler = async |call: Call| {
            self.note("call", tenure);
            if call.payload().as_ref() == format!("hold:{}", self.arguments.name).as_bytes() {
                std::future::pending::<()>().await;
            }
            Ok(self.arguments.name.clone().into())
        };
        if let Err(error) = tenure.serve(handler).await {
            tracing::error!(%error, "calls are not answered");
        }
    }

    /// What a paused process sends when it goes on cannot be checked by itself: the sink does.
    async fn send(&self, tenure: &Tenure) {
        if let (Some(client), Some(subject)) = (&self.sink, &self.arguments.sink) {
            let token = tenure.token().get().to_string();
            if let Err(error) = client.publish(subject.clone(), token.into()).await {
                tracing::warn!(%error, "an act was not sent");
            }
        }
    }

    fn note(&self, what: &str, tenure: &Tenure) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let token = tenure.token().get();
        log.write(&format!("{what} {token} {}", boot_now().as_nanos()));
        if what != "act" {
            tracing::info!("{what} {token}");
        }
    }
}
