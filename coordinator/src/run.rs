//! `coordinator run`: connects, makes or checks what must exist, and runs the loop until it is told
//! to stop.

use std::sync::Arc;
use std::time::Duration;

use election::boot_now;
use election::{Detection, Election, ElectionConfig, Events, LeaseTimings, Mode};
use nats_config::connection::{
    ConnectError, Connection, ConnectionSettings, Environment, connect_options,
};
use nats_config::{Broker, Ledger, Names, ProvisionError, Replicas, Report};
use protocol::coordinator::Coordinator;
use protocol::effects::Stop;
use protocol::number::Sequence;
use protocol::window::WindowWidth;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::connection_watch::ConnectionWatch;
use crate::drift_watch::DriftWatch;
use crate::driver::Driver;
use crate::follower::{self, BATCHES_MAX};
use crate::front_door::FrontDoor;
use crate::inputs::{Inputs, UnderWay};
use crate::ledger_watch::LedgerWatch;
use crate::payloads::Payloads;
use crate::questions::QUESTIONS_MAX;
use crate::settings::{LeaseProfile, Provision, RunSettings};
use crate::steps::Identity;
use crate::work_queue::WorkQueue;
use crate::write_watch::WriteWatch;

/// How long a start waits before it tries again, at first and at most.
const AGAIN_AFTER: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(4));
/// A loop that turns no more for this long gives leadership up.
const PROGRESS_WITHIN: Duration = Duration::from_secs(5);
/// The key of the leadership of the work queue in the leaders' bucket.
const ELECTION_KEY: &str = "work";

/// A coordinator could not start, or must not go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The connection's settings are wrong, or the server refuses them.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// What must exist on the broker is not there, or not as it must be.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    /// The election could not begin.
    #[error(transparent)]
    Election(#[from] election::StartError),
    /// A subscription was refused.
    #[error("failed to subscribe to {subject}: {why}")]
    Subscribe {
        /// What.
        subject: String,
        /// The client's words.
        why: String,
    },
    /// A setting that no coordinator can run with.
    #[error("{0}")]
    Setting(String),
    /// The rules stopped it.
    #[error("stopped for good: {}", match .0 { Stop::Newer(why) | Stop::WentBack(why) | Stop::LedgerGone(why) => why })]
    Stopped(Stop),
}

/// Runs one coordinator until `shutdown`, then gives leadership back.
///
/// A broker that cannot be reached at the start is waited for.
///
/// # Errors
/// What a repeat does not cure: see [`RunError`].
pub async fn run(settings: RunSettings, shutdown: CancellationToken) -> Result<(), RunError> {
    let env = Environment::of_process();
    let connection = Connection::resolve(&settings.connection, &env)?;
    tracing::info!(coordinator = %settings.name, namespace = %settings.namespace, connection = connection.describe(), "starting");
    let Some(ready) = Box::pin(ready(&connection, &settings, &shutdown)).await? else {
        return Ok(());
    };
    let Ready {
        broker,
        election: (election, elections),
        stand_at,
    } = ready;
    let me = Identity {
        name: settings.name.to_string(),
        incarnation: election.incarnation().to_string(),
    };
    let mut tasks = JoinSet::new();
    let stop = shutdown.child_token();
    let (entries_in, entries) = mpsc::channel(BATCHES_MAX);
    let (rebuild, rebuild_out) = mpsc::channel(1);
    let following = follower::follow(broker.clone(), entries_in, rebuild_out, stop.clone());
    tasks.spawn(following);
    let (questions_in, questions) = mpsc::channel(QUESTIONS_MAX);
    let (folded, folded_out) = watch::channel(Sequence::new(0));
    let front = FrontDoor::open(broker.clone(), questions_in, folded_out)
        .await
        .map_err(|error| subscribe(&broker, &error))?;
    tasks.spawn(front.serve(stop.clone()));
    let says = broker
        .client()
        .subscribe(broker.subjects().worker_says_all())
        .await
        .map_err(|error| subscribe(&broker, &error))?;
    let inputs = Inputs {
        entries,
        rebuild,
        elections,
        says,
        questions,
    };
    let driver = Driver {
        me,
        rules: Coordinator::new(broker.subjects().clone(), width(&settings)?),
        clock: Clock::start(),
        payloads: Payloads::default(),
        work: WorkQueue::new(broker.clone())
            .await
            .map_err(|error| subscribe(&broker, &error))?,
        under_way: UnderWay::new(),
        election: Arc::new(election),
        inputs,
        folded,
        stand_at: Some(stand_at),
        stand_back: timings(settings.lease).lease,
        progress: boot_now(),
        watch: LedgerWatch::new(boot_now()),
        drift: DriftWatch::new(boot_now(), broker_settings(&settings)?, settings.provision),
        writes: WriteWatch::default(),
        alarms: Vec::new(),
        unread_says: 0,
        connection: ConnectionWatch::default(),
        broker,
    };
    let stopped = on_a_worker(driver.run(shutdown)).await;
    stop.cancel();
    while tasks.join_next().await.is_some() {}
    stopped.map_or(Ok(()), |stop| Err(RunError::Stopped(stop)))
}

fn width(settings: &RunSettings) -> Result<WindowWidth, RunError> {
    WindowWidth::new(settings.window.get())
        .ok_or_else(|| RunError::Setting("the window must be 1 to 512".to_owned()))
}

/// Runs the loop where the connection's task runs: what one tells the other then needs no other
/// thread to wake up, which is most of the time that an idle dispatch takes.
async fn on_a_worker<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    let mut one = JoinSet::new();
    one.spawn(work);
    match one.join_next().await {
        Some(Ok(done)) => done,
        Some(Err(error)) => std::panic::resume_unwind(error.into_panic()),
        None => unreachable!("a task was just put there"),
    }
}

fn subscribe(broker: &Broker, error: &async_nats::SubscribeError) -> RunError {
    RunError::Subscribe {
        subject: format!("{}.…", broker.names().namespace()),
        why: error.to_string(),
    }
}

/// What a coordinator needs of the broker before it can begin.
struct Ready {
    broker: Broker,
    election: (Election, Events),
    /// Where the ledger ended: whoever has folded up to here is a hot standby.
    stand_at: Sequence,
}

/// Gets all of it; weather is waited out. `None`: told to stop meanwhile.
async fn ready(
    connection: &Connection,
    settings: &RunSettings,
    shutdown: &CancellationToken,
) -> Result<Option<Ready>, RunError> {
    let Some(broker) = connected(connection, settings, shutdown).await? else {
        return Ok(None);
    };
    let Some(()) = provisioned(&broker, settings, shutdown).await? else {
        return Ok(None);
    };
    let Some(election) = elected(settings, shutdown).await? else {
        return Ok(None);
    };
    let end = shutdown.run_until_cancelled(ledger_end(&broker)).await;
    Ok(end.map(|stand_at| Ready {
        broker,
        election,
        stand_at,
    }))
}

/// Connects; weather is waited out. `None`: told to stop meanwhile.
async fn connected(
    connection: &Connection,
    settings: &RunSettings,
    shutdown: &CancellationToken,
) -> Result<Option<Broker>, RunError> {
    let name = format!(
        "coordinator {} {}",
        env!("CARGO_PKG_VERSION"),
        settings.name
    );
    let mut wait = AGAIN_AFTER.0;
    loop {
        match connection.connect(&name).await {
            Ok(client) => {
                let names = Names::new(settings.namespace.clone());
                return Ok(Some(connection.broker(client, names)));
            }
            Err(error) if error.may_pass() => {
                tracing::warn!(%error, "failed to connect; trying again");
            }
            Err(error) => return Err(error.into()),
        }
        if stopped_while(&mut wait, shutdown).await {
            return Ok(None);
        }
    }
}

async fn provisioned(
    broker: &Broker,
    settings: &RunSettings,
    shutdown: &CancellationToken,
) -> Result<Option<()>, RunError> {
    let wanted = broker_settings(settings)?;
    let mode = match settings.provision {
        Provision::Create => nats_config::Mode::Create,
        Provision::Verify => nats_config::Mode::Verify,
        Provision::Off => nats_config::Mode::Off,
    };
    let mut wait = AGAIN_AFTER.0;
    loop {
        match broker.provision(&wanted, mode, Ledger::MayBeNew).await {
            Ok(report) => {
                tell(&report);
                return Ok(Some(()));
            }
            Err(error) if error.is_retryable() => {
                tracing::warn!(%error, "the broker is not ready; trying again");
            }
            Err(error) => return Err(error.into()),
        }
        if stopped_while(&mut wait, shutdown).await {
            return Ok(None);
        }
    }
}

/// Joins the election, which has a connection of its own; weather is waited out.
async fn elected(
    settings: &RunSettings,
    shutdown: &CancellationToken,
) -> Result<Option<(Election, Events)>, RunError> {
    let mut wait = AGAIN_AFTER.0;
    loop {
        let start = Box::pin(Election::start(election_config(settings)));
        match shutdown.run_until_cancelled(start).await {
            None => return Ok(None),
            Some(Ok(started)) => return Ok(Some(started)),
            Some(Err(error)) if error.may_pass() => {
                tracing::warn!(%error, "failed to join the election; trying again");
            }
            Some(Err(error)) => return Err(error.into()),
        }
        if stopped_while(&mut wait, shutdown).await {
            return Ok(None);
        }
    }
}

fn tell(report: &Report) {
    for created in &report.created {
        tracing::info!("made {created}");
    }
    for drift in &report.drift {
        tracing::warn!(%drift, "differs, without harm");
    }
    for warning in &report.warnings {
        tracing::warn!("{warning}");
    }
}

/// Waits, longer each time. Whether it was told to stop.
async fn stopped_while(wait: &mut Duration, shutdown: &CancellationToken) -> bool {
    let until = *wait;
    *wait = (until * 2).min(AGAIN_AFTER.1);
    tokio::select! {
        () = shutdown.cancelled() => true,
        () = tokio::time::sleep(until) => false,
    }
}

pub(crate) fn broker_settings(settings: &RunSettings) -> Result<nats_config::Settings, RunError> {
    let replicas = match settings.replicas.get() {
        1 => Replicas::One,
        3 => Replicas::Three,
        5 => Replicas::Five,
        other => {
            return Err(RunError::Setting(format!(
                "replicas is {other}: it must be 1, 3 or 5"
            )));
        }
    };
    Ok(nats_config::Settings {
        replicas,
        ledger_bytes_max: settings.ledger_max_bytes.get(),
        leader_lease: timings(settings.lease).lease,
        ..nats_config::Settings::default()
    })
}

const fn timings(profile: LeaseProfile) -> LeaseTimings {
    match profile {
        LeaseProfile::Stable => LeaseTimings::stable(),
        LeaseProfile::Quick => LeaseTimings::quick(),
        LeaseProfile::Test => LeaseTimings::test(),
    }
}

fn election_config(settings: &RunSettings) -> ElectionConfig {
    let names = Names::new(settings.namespace.clone());
    let connection: ConnectionSettings = settings.connection.clone();
    let source = Arc::new(move || {
        let options = connect_options(&connection).map_err(Into::into);
        Box::pin(futures::future::ready(options)) as futures::future::BoxFuture<'static, _>
    });
    ElectionConfig {
        holder: settings.name.to_string(),
        host: rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned(),
        timings: timings(settings.lease),
        mode: Mode::Fenced,
        ping_prefix: names.subjects().leader_ping(),
        replicas: settings.replicas.get(),
        provision: election::Provision::VerifyOnly,
        detection: Detection::default(),
        progress_within: Some(PROGRESS_WITHIN),
        ..ElectionConfig::new(
            election::Broker::with(source),
            names.leader_bucket(),
            ELECTION_KEY,
        )
    }
}

/// Where the ledger ends now: whoever has folded up to here is a hot standby.
async fn ledger_end(broker: &Broker) -> Sequence {
    loop {
        match broker.state(broker.names().ledger()).await {
            Ok(state) => return state.last,
            Err(error) => tracing::debug!(%error, "failed to read the ledger's end"),
        }
        tokio::time::sleep(AGAIN_AFTER.0).await;
    }
}
