//! A program of which many processes run: one of each group does one thing, one of all does another, and
//! all share out the rest. It says on standard output what is its own.

use std::fmt::Display;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use tokio::signal::unix::{Signal, SignalKind, signal};
use worker_sdk::{
    Coordinated, CoordinatedEnd, EnvironmentIdentity, ExplicitIdentity, Identity, IdentityProvider,
    LeaseTimings, Share, Singleton, SingletonEnd, Tenure,
};

/// How often the work looks whether there is something to do.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Says which work is its own, until it is told to stop by Ctrl-C or SIGTERM.
#[derive(Debug, Clone, Parser)]
struct Arguments {
    /// The brokers, with commas between.
    #[arg(long, env = "NATS_URL", default_value = "nats://127.0.0.1:4222")]
    server: String,
    /// This process's name; default: HOSTNAME, COMPUTERNAME, or the host's name.
    #[arg(long, requires = "group")]
    node: Option<String>,
    /// Its group; default: KUBERNETES_CLUSTER, CLUSTER_NAME, or `default-group`.
    #[arg(long, requires = "node")]
    group: Option<String>,
    /// How many partitions all processes share.
    #[arg(long, default_value_t = 12)]
    partitions: u32,
    /// How soon a process that died is followed.
    #[arg(long, default_value = "stable")]
    lease: Lease,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Lease {
    /// After 15 s: a broker that crashes moves nothing.
    Stable,
    /// After 6 s.
    Quick,
}

/// Writes lines that bear the process's name.
#[derive(Debug, Clone)]
struct Voice(Arc<str>);

impl Voice {
    fn say(&self, text: impl Display) {
        if let Err(error) = writeln!(std::io::stdout(), "{} {text}", self.0) {
            // Nobody listens any more; the work goes on.
            writeln!(std::io::stderr(), "say what is done: {error}").ok();
        }
    }
}

/// All that this process takes part in.
struct Parts {
    singletons: Vec<Singleton>,
    crews: Vec<Coordinated>,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter("warn")
        .init();
    let identity = identity(&arguments)?;
    let voice = Voice(identity.node().into());
    let mut terminate = signal(SignalKind::terminate()).context("listen to SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen to Ctrl-C")?;
    let parts = begin(&arguments, &identity, &voice).await?;
    voice.say("is here");
    told_to_stop(&mut terminate, &mut interrupt).await;
    Ok(stop(parts).await)
}

fn identity(arguments: &Arguments) -> Result<Identity> {
    Ok(match (&arguments.node, &arguments.group) {
        (Some(node), Some(group)) => ExplicitIdentity::new(node, group).identity()?,
        (_, _) => EnvironmentIdentity::new().identity()?,
    })
}

async fn begin(arguments: &Arguments, identity: &Identity, voice: &Voice) -> Result<Parts> {
    let who = || ExplicitIdentity::new(identity.node(), identity.group().as_str());
    let timings = match arguments.lease {
        Lease::Stable => LeaseTimings::stable(),
        Lease::Quick => LeaseTimings::quick(),
    };
    let mut singletons = Vec::new();
    for (what, singleton) in [
        ("cluster-report", Singleton::in_group("report")),
        ("global-report", Singleton::global("report")),
    ] {
        let voice = voice.clone();
        let singleton = singleton
            .servers(&arguments.server)
            .identity(who())
            .timings(timings)
            .start(move |tenure| report(what, tenure, voice.clone()));
        singletons.push(singleton.await?);
    }
    let mut crews = Vec::new();
    for (what, crew) in [
        ("worker", Coordinated::index("workers")),
        (
            "partition",
            Coordinated::partitions("customers", arguments.partitions),
        ),
    ] {
        let voice = voice.clone();
        let crew = crew
            .global()
            .servers(&arguments.server)
            .identity(who())
            .timings(timings)
            .start(move |share| serve(what, share, voice.clone()));
        crews.push(crew.await?);
    }
    Ok(Parts { singletons, crews })
}

/// What only one does at a time.
async fn report(what: &'static str, tenure: Tenure, voice: Voice) {
    voice.say(format_args!("{what} begins as {}", tenure.token()));
    while looks_again(tenure.cancelled()).await {
        // Each act is one that this process may do now. What it changes elsewhere gets the token.
        if tenure.check().is_err() {
            break;
        }
    }
    voice.say(format_args!("{what} ends"));
}

/// What is done for one share.
async fn serve(what: &'static str, share: Share, voice: Voice) {
    let (number, of, token) = (share.number(), share.of(), share.token());
    voice.say(format_args!(
        "{what} begins: I am {number} of {of} as {token}"
    ));
    while looks_again(share.cancelled()).await {
        if share.check().is_err() {
            break;
        }
    }
    voice.say(format_args!("{what} ends: {number} of {of}"));
}

/// Waits until it is time to look again; not, if the work must end.
async fn looks_again(cancelled: impl Future<Output = ()>) -> bool {
    tokio::select! {
        () = cancelled => false,
        () = tokio::time::sleep(LOOK_EVERY) => true,
    }
}

async fn told_to_stop(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// Lets others take over; says by the exit code whether they wait for that.
async fn stop(parts: Parts) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for crew in parts.crews {
        if crew.stop().await != CoordinatedEnd::Left {
            code = ExitCode::FAILURE;
        }
    }
    for singleton in parts.singletons {
        if singleton.stop().await != SingletonEnd::Released {
            code = ExitCode::FAILURE;
        }
    }
    code
}
