//! The worker: a thread with its own runtime, and the one loop on it, which only picks what
//! happened. What follows from it is in `engine`; handlers run on the user's runtime, so that
//! nothing they do keeps a lease from being kept.

use std::future::Future;
use std::time::Duration;

use async_nats::{Client, Subscriber};
use futures::StreamExt;
use futures::stream::{Fuse, ReadyChunks, SelectAll};
use nats_config::{Broker, Names};
use protocol::id::WorkerId;
use protocol::worker::ANSWER_WITHIN;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio::time::{Interval, MissedTickBehavior};

use crate::clock;
use crate::engine::{Drained, Engine, Inboxes, LOOK_EVERY, Setup, Stopped};
use crate::options::{StartError, WorkerBuilder, WorkerOptions};

/// Most messages that are handled before the loop looks at what else happened.
const CHUNK: usize = 256;
/// Messages that may wait in a subscription or for the connection.
const CAPACITY: usize = 65_536;
/// How often the connection is probed.
const PING_EVERY: Duration = Duration::from_secs(2);
/// How long the last words of a worker may take to leave.
const LEAVE_WITHIN: Duration = Duration::from_secs(1);

/// A running worker. Dropped without [`Worker::stop`], it gives up its jobs at once.
#[derive(Debug)]
pub struct Worker {
    id: WorkerId,
    stop: watch::Sender<Option<Duration>>,
    stopped: watch::Receiver<Option<Stopped>>,
}

impl Worker {
    /// A worker to be given handlers.
    #[must_use]
    pub fn builder(options: WorkerOptions) -> WorkerBuilder {
        WorkerBuilder::new(options)
    }

    pub(crate) async fn start(mut builder: WorkerBuilder) -> Result<Self, StartError> {
        let user = Handle::try_current().map_err(|_| StartError::NoRuntime)?;
        let id = builder.worker_id()?;
        let setup = Setup {
            worker: id.clone(),
            host: host_name(),
            queues: builder.queues()?,
            grace: builder.options.cancel_grace,
            observer: builder.options.observer.clone(),
            user,
        };
        let (stop, stop_asked) = watch::channel(None);
        let (stopped_told, stopped) = watch::channel(None);
        let (ready_told, ready) = oneshot::channel();
        let options = builder.options;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(StartError::Thread)?;
        std::thread::Builder::new()
            .name("worker-sdk".to_owned())
            .spawn(move || {
                let ended = runtime.block_on(live(options, setup, stop_asked, ready_told));
                // Nobody may be waiting any more.
                stopped_told.send_replace(Some(ended));
            })
            .map_err(StartError::Thread)?;
        ready.await.unwrap_or(Err(StartError::Ended))?;
        Ok(Self { id, stop, stopped })
    }

    /// Its name and what makes this start of it unique.
    #[must_use]
    pub const fn id(&self) -> &WorkerId {
        &self.id
    }

    /// Stops in good order: takes nothing more, lets running jobs finish for `patience`, asks the
    /// rest to stop, and gives back what did not finish, so that the attempt does not count.
    pub async fn stop(mut self, patience: Duration) -> Stopped {
        self.stop.send_replace(Some(patience));
        self.wait().await
    }

    /// Runs until `shutdown` is ready or the worker ended by itself (its connection was closed for
    /// good), then stops as [`Worker::stop`] does.
    pub async fn run_until(mut self, shutdown: impl Future, patience: Duration) -> Stopped {
        tokio::select! {
            _ = shutdown => self.stop(patience).await,
            stopped = self.wait() => stopped,
        }
    }

    async fn wait(&mut self) -> Stopped {
        match self.stopped.wait_for(Option::is_some).await {
            Ok(stopped) => stopped.unwrap_or_default(),
            // The thread is gone without a word: it panicked. Nothing was given back.
            Err(_closed) => Stopped::default(),
        }
    }
}

/// What arrives, and the clock.
struct Sources {
    pulls: Fuse<ReadyChunks<Subscriber>>,
    answers: Fuse<ReadyChunks<Subscriber>>,
    core: SelectAll<Subscriber>,
    clock: Interval,
}

/// The life of the worker's thread.
async fn live(
    options: WorkerOptions,
    setup: Setup,
    stop: watch::Receiver<Option<Duration>>,
    ready: oneshot::Sender<Result<(), StartError>>,
) -> Stopped {
    match open(options, setup).await {
        Ok((engine, sources)) => {
            if ready.send(Ok(())).is_err() {
                tracing::info!("nobody waits for the worker any more");
            }
            run(engine, sources, stop).await
        }
        Err(error) => {
            if let Err(Err(error)) = ready.send(Err(error)) {
                tracing::warn!(%error, "nobody waits for the worker any more");
            }
            Stopped::default()
        }
    }
}

/// The loop.
async fn run(
    mut engine: Engine,
    mut sources: Sources,
    mut stop: watch::Receiver<Option<Duration>>,
) -> Stopped {
    loop {
        tokio::select! {
            Some(messages) = sources.pulls.next() => {
                let now = clock::now();
                for message in messages {
                    engine.pulled(message, now);
                }
            }
            Some(messages) = sources.answers.next() => {
                let now = clock::now();
                for message in &messages {
                    engine.answered(message, now);
                }
            }
            message = sources.core.next() => match message {
                Some(message) => engine.heard(message, clock::now()),
                // The client was closed for good: nothing can be kept or said any more.
                None => return closed(&mut engine),
            },
            Some(joined) = engine.handlers.join_next_with_id() => {
                engine.ended(joined);
                for _ in 0..CHUNK {
                    match engine.handlers.try_join_next_with_id() {
                        Some(joined) => engine.ended(joined),
                        None => break,
                    }
                }
            }
            Some(looked) = engine.lookups.join_next() => match looked {
                Ok(looked) => engine.looked_up(looked, clock::now()),
                Err(error) => tracing::error!(%error, "a look-up broke"),
            },
            _ = sources.clock.tick() => engine.look(clock::now()),
            patience = stop_asked(&mut stop), if !engine.is_stopping() => {
                engine.stop(patience, clock::now());
                take_no_more(&mut sources.pulls).await;
            }
        }
        engine.settle(clock::now());
        let drained = if sources.pulls.is_done() {
            Drained::Yes
        } else {
            Drained::NotYet
        };
        if engine.is_over(drained, clock::now()) {
            return leave(&mut engine).await;
        }
    }
}

/// Waits for a stop; a dropped [`Worker`] is one without patience.
async fn stop_asked(stop: &mut watch::Receiver<Option<Duration>>) -> Duration {
    match stop.wait_for(Option::is_some).await {
        Ok(patience) => patience.unwrap_or_default(),
        Err(_dropped) => Duration::ZERO,
    }
}

/// Ends the broker's requests. What is on its way still arrives, and is given back.
async fn take_no_more(pulls: &mut Fuse<ReadyChunks<Subscriber>>) {
    let drained = pulls.get_mut().get_mut().drain();
    if tokio::time::timeout(LEAVE_WITHIN, drained).await.is_err() {
        tracing::warn!("end the pulls: the connection takes no command");
    }
}

async fn leave(engine: &mut Engine) -> Stopped {
    let stopped = engine.leave();
    let flushed = engine.outbox.client().flush();
    if !matches!(
        tokio::time::timeout(LEAVE_WITHIN, flushed).await,
        Ok(Ok(()))
    ) {
        tracing::warn!("the last messages of the worker may not have left");
    }
    tracing::info!(released = stopped.released, left = stopped.left, "stopped");
    stopped
}

fn closed(engine: &mut Engine) -> Stopped {
    tracing::error!("the connection was closed for good; the worker ends");
    engine.leave()
}

async fn open(options: WorkerOptions, setup: Setup) -> Result<(Engine, Sources), StartError> {
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
    let sources = subscribe(&client, &broker, &inboxes, &setup.worker)
        .await
        .map_err(refused)?;
    // The subscriptions stand before anybody is told that this worker is here.
    client
        .flush()
        .await
        .map_err(|error| refused(error.into()))?;
    let engine = Engine::new(setup, broker, inboxes, clock::now());
    Ok((engine, sources))
}

async fn subscribe(
    client: &Client,
    broker: &Broker,
    inboxes: &Inboxes,
    worker: &WorkerId,
) -> Result<Sources, async_nats::Error> {
    let chunks = |subscriber: Subscriber| subscriber.ready_chunks(CHUNK).fuse();
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
    let mut clock = tokio::time::interval(LOOK_EVERY);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    Ok(Sources {
        pulls: chunks(client.subscribe(format!("{}.>", inboxes.pulls)).await?),
        answers: chunks(client.subscribe(format!("{}.>", inboxes.answers)).await?),
        core,
        clock,
    })
}

fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .unwrap_or_default()
}
