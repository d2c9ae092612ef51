//! Hears the work that leaders hand out, as it is written. Work leaves the work queue when it is
//! done, so the first work of each epoch is looked up while it is there.

use futures::StreamExt;
use nats_config::Broker;
use protocol::number::Epoch;
use protocol::submission::header;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::clock;

/// The first work of an epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstWork {
    /// The epoch.
    pub epoch: u64,
    /// When the broker stored it, in milliseconds since 1970; where it was done before it could be
    /// looked up, when it was heard of, which is later.
    pub at_ms: u64,
    /// When the broker stored its fence.
    pub fence_ms: Option<u64>,
}

/// Listens until it is stopped.
#[derive(Debug)]
pub struct Observer {
    stop: CancellationToken,
    listening: JoinSet<Vec<FirstWork>>,
}

impl Observer {
    /// Starts to listen.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn start(broker: Broker) -> anyhow::Result<Self> {
        let heard = broker
            .client()
            .subscribe(broker.subjects().work_all())
            .await?;
        broker.client().flush().await?;
        let stop = CancellationToken::new();
        let mut listening = JoinSet::new();
        listening.spawn(listen(broker, heard, stop.clone()));
        Ok(Self { stop, listening })
    }

    /// Stops, and says what it heard.
    pub async fn stop(mut self) -> Vec<FirstWork> {
        self.stop.cancel();
        match self.listening.join_next().await {
            Some(Ok(heard)) => heard,
            Some(Err(_)) | None => Vec::new(),
        }
    }
}

async fn listen(
    broker: Broker,
    mut heard: async_nats::Subscriber,
    stop: CancellationToken,
) -> Vec<FirstWork> {
    let mut first: Vec<FirstWork> = Vec::new();
    loop {
        let message = tokio::select! {
            () = stop.cancelled() => return first,
            message = heard.next() => message,
        };
        let Some(message) = message else {
            return first;
        };
        let epoch = message
            .headers
            .as_ref()
            .and_then(|headers| headers.get(header::EPOCH))
            .and_then(|epoch| epoch.as_str().parse::<u64>().ok());
        let Some(epoch) = epoch else { continue };
        // One that an older leader's ghost writes is not the first of its epoch.
        if first.last().is_some_and(|last| epoch <= last.epoch) {
            continue;
        }
        let heard_ms = clock::now().unix_ms;
        let stored = broker.last(broker.names().work(), &message.subject).await;
        let at_ms = match stored {
            Ok(Some(stored)) => stored.time.as_millis(),
            Ok(None) | Err(_) => heard_ms,
        };
        let fence = broker.subjects().fence(Epoch::new(epoch), 1);
        let fence = broker.last(broker.names().work(), &fence).await;
        first.push(FirstWork {
            epoch,
            at_ms,
            fence_ms: fence.ok().flatten().map(|stored| stored.time.as_millis()),
        });
    }
}
