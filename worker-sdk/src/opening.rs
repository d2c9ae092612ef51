//! A worker's connection: made once, with all its subscriptions but the inboxes for work, before anybody
//! is told that the worker is here. It takes nothing out of them.

use std::time::Duration;

use async_nats::{Client, Subscriber};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{Fuse, ReadyChunks, SelectAll};
use nats_config::{Broker, Names};
use protocol::id::WorkerId;
use protocol::worker::ANSWER_WITHIN;
use tokio::time::{Interval, MissedTickBehavior};

use crate::clock;
use crate::engine::{Engine, Inboxes, LOOK_EVERY, Setup};
use crate::inbox::PullInboxes;
use crate::options::{StartError, WorkerOptions};

/// Most messages that are handled before the loop looks at what else happened.
pub(crate) const CHUNK: usize = 256;
/// Messages that may wait in a subscription or for the connection.
const CAPACITY: usize = 65_536;
/// How often the connection is probed.
const PING_EVERY: Duration = Duration::from_secs(2);
/// How long the first message of a worker to itself may take.
const HEARD_WITHIN: Duration = Duration::from_secs(5);

/// What arrives, and the clock.
pub(crate) struct Sources {
    pub(crate) pulls: PullInboxes,
    pub(crate) answers: Fuse<ReadyChunks<Subscriber>>,
    pub(crate) core: SelectAll<Subscriber>,
    pub(crate) clock: Interval,
}

/// Connects, and subscribes to all that a worker hears.
pub(crate) async fn open(
    options: WorkerOptions,
    setup: Setup,
) -> Result<(Engine, Sources), StartError> {
    let WorkerOptions {
        servers,
        connect,
        namespace,
        api_prefix,
        ..
    } = options;
    let refused = |source| StartError::Connect {
        servers: servers.clone(),
        source,
    };
    let addresses: Vec<&str> = servers.split(',').map(str::trim).collect();
    let client = connect
        .name(setup.worker.as_str())
        .client_capacity(CAPACITY)
        .subscription_capacity(CAPACITY)
        .ping_interval(PING_EVERY)
        .event_callback(|event| async move { tracing::info!(%event, "connection") })
        .connect(addresses)
        .await
        .map_err(|error| refused(error.into()))?;
    let mut broker = Broker::new(client.clone(), Names::new(namespace)).with_timeout(ANSWER_WITHIN);
    if let Some(prefix) = api_prefix {
        broker = broker.with_api_prefix(&prefix);
    }
    let inboxes = Inboxes {
        pulls: client.new_inbox(),
        answers: client.new_inbox(),
    };
    let mut sources = subscribe(&client, &broker, &inboxes, &setup.worker)
        .await
        .map_err(refused)?;
    hear_oneself(&client, &broker, &setup.worker, &mut sources.core).await?;
    let engine = Engine::new(setup, broker, inboxes, clock::now());
    Ok((engine, sources))
}

/// Waits until a message to itself comes back: the subscriptions stand before anybody is told that
/// the worker is here, and without it the worker would take every broker for lost.
async fn hear_oneself(
    client: &Client,
    broker: &Broker,
    worker: &WorkerId,
    core: &mut SelectAll<Subscriber>,
) -> Result<(), StartError> {
    let subject = broker.subjects().worker_echo(worker);
    let published = client.publish(subject.clone(), Bytes::new()).await;
    let back = tokio::time::timeout(HEARD_WITHIN, core.next()).await;
    match (published, back) {
        (Ok(()), Ok(Some(_message))) => Ok(()),
        _ => Err(StartError::Unheard { subject }),
    }
}

async fn subscribe(
    client: &Client,
    broker: &Broker,
    inboxes: &Inboxes,
    worker: &WorkerId,
) -> Result<Sources, async_nats::Error> {
    let subjects = broker.subjects();
    let mut core = SelectAll::new();
    for subject in [
        subjects.worker_ping(worker),
        subjects.worker_echo(worker),
        subjects.worker_told(worker),
        subjects.worker_roll_call(),
    ] {
        core.push(client.subscribe(subject).await?);
    }
    let answers = client.subscribe(format!("{}.>", inboxes.answers)).await?;
    let mut clock = tokio::time::interval(LOOK_EVERY);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    Ok(Sources {
        pulls: PullInboxes::new(client.clone(), inboxes.pulls.clone()),
        answers: answers.ready_chunks(CHUNK).fuse(),
        core,
        clock,
    })
}

pub(crate) fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .unwrap_or_default()
}
