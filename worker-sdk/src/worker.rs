//! The worker: a thread with its own runtime, and the one loop on it, which only picks what
//! happened. What follows from it is in `engine`; handlers run on the user's runtime, so that
//! nothing they do keeps a lease from being kept.

use std::time::Duration;

use futures::StreamExt;
use protocol::id::WorkerId;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};

use crate::clock;
use crate::engine::{Drained, Engine, Setup, Stopped};
use crate::inbox::PullInboxes;
use crate::opening::{self, CHUNK, Sources};
use crate::options::{StartError, WorkerBuilder, WorkerOptions};

/// How long a handler's start waits for the announcement of what was taken.
const ANNOUNCE_WITHIN: Duration = Duration::from_millis(50);
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
            host: opening::host_name(),
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
                // The connection ends with its runtime, and with it all that answers for the worker.
                drop(runtime);
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

/// The life of the worker's thread.
async fn live(
    options: WorkerOptions,
    setup: Setup,
    stop: watch::Receiver<Option<Duration>>,
    ready: oneshot::Sender<Result<(), StartError>>,
) -> Stopped {
    match opening::open(options, setup).await {
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
            // What must not wait comes first: pings, echoes, the clock. All else is bounded by the
            // slots, so nothing starves.
            biased;
            message = sources.core.next() => match message {
                Some(message) => engine.heard(message, clock::now()),
                // The client was closed for good: nothing can be kept or said any more.
                None => return closed(&mut engine),
            },
            _ = sources.clock.tick() => engine.look(clock::now()),
            patience = stop_asked(&mut stop), if !engine.is_stopping() => {
                engine.stop(patience, clock::now());
                take_no_more(&mut sources.pulls).await;
            }
            arrived = sources.pulls.next() => {
                let now = clock::now();
                for message in arrived.messages {
                    engine.pulled(message, arrived.asked, now);
                }
            }
            Some(messages) = sources.answers.next() => {
                let now = clock::now();
                for message in &messages {
                    engine.answered(message, now);
                }
            }
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
        }
        if engine.has_announced() {
            announced(&engine).await;
        }
        let now = clock::now();
        let inbox = engine
            .periods()
            .and_then(|periods| sources.pulls.renew(periods, now));
        engine.settle(inbox, now);
        let drained = if sources.pulls.are_done() {
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
async fn take_no_more(pulls: &mut PullInboxes) {
    let drained = tokio::time::timeout(LEAVE_WITHIN, pulls.drain()).await;
    if !matches!(drained, Ok(Ok(()))) {
        tracing::warn!("end the pulls: the connection takes no command");
    }
}

/// Waits until what was announced has left the process, but not for a broker that is out of reach.
async fn announced(engine: &Engine) {
    let flushed = engine.outbox.client().flush();
    if !matches!(
        tokio::time::timeout(ANNOUNCE_WITHIN, flushed).await,
        Ok(Ok(()))
    ) {
        tracing::debug!("what was taken may not have been announced");
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
