//! Every message that the work queue stores, with its sequence, although an ack removes it: the
//! server republishes each once it is stored, and this listens. It never writes work.
//!
//! A core subscription may lose messages; the judge then finds a hole and proves nothing.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, anyhow};
use async_nats::HeaderMap;
use async_nats::jetstream::stream::Republish;
use checker::Tapped;
use futures::StreamExt;
use nats_config::{Broker, header};
use protocol::number::Sequence;
use protocol::submission::header::EPOCH;
use protocol::time::Timestamp;
use tokio::task::JoinSet;

use crate::wait::{PATIENCE, eventually};

/// Where the server republishes to; no stream takes it.
const TAP: &str = "tap";

/// Most messages that are kept: more than any test writes.
const LEN_MAX: usize = 1_000_000;

/// A tap on the work queue.
pub struct WorkTap {
    broker: Broker,
    messages: Arc<Mutex<Vec<Tapped>>>,
    /// Aborted when it is dropped.
    _task: JoinSet<()>,
}

impl WorkTap {
    /// Listens from now on: to be opened before anybody leads.
    ///
    /// # Errors
    /// When the work queue is not there or cannot be changed.
    pub async fn open(broker: &Broker) -> Result<Self> {
        let mut republished = broker.client().subscribe(format!("{TAP}.>")).await?;
        broker.client().flush().await?;
        let jetstream = broker.jetstream();
        let work = jetstream.get_stream(broker.names().work()).await?;
        let mut config = work.cached_info().config.clone();
        config.republish = Some(Republish {
            source: ">".to_owned(),
            destination: format!("{TAP}.>"),
            headers_only: true,
        });
        let changed = jetstream.update_stream(config).await;
        changed.context("have the server republish the work queue")?;
        let messages = Arc::new(Mutex::new(Vec::new()));
        let own = Arc::clone(&messages);
        let mut task = JoinSet::new();
        task.spawn(async move {
            while let Some(message) = republished.next().await {
                let heard = message.headers.as_ref().and_then(tapped);
                let mut all = own.lock().unwrap_or_else(PoisonError::into_inner);
                if let (Some(heard), true) = (heard, all.len() < LEN_MAX) {
                    all.push(heard);
                }
            }
        });
        Ok(Self {
            broker: broker.clone(),
            messages,
            _task: task,
        })
    }

    /// All that was stored, and the last sequence that the work queue gave out.
    ///
    /// # Errors
    /// When the last one does not come.
    pub async fn all(&self) -> Result<(Vec<Tapped>, Sequence)> {
        let last = self.broker.state(self.broker.names().work()).await?.last;
        let what = format!("work message {last} at the tap");
        eventually(&what, PATIENCE, async || {
            let all = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
            match all.last() {
                Some(newest) if newest.sequence >= last => Ok(()),
                other => Err(anyhow!("it stands at {other:?}")),
            }
        })
        .await?;
        let mut all = self
            .messages
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        all.sort_by_key(|message| message.sequence);
        Ok((all, last))
    }
}

/// A republished message, by its headers alone.
fn tapped(headers: &HeaderMap) -> Option<Tapped> {
    let number = |name| header(headers, name)?.parse::<u64>().ok();
    let time = header(headers, "Nats-Time-Stamp")?;
    Some(Tapped {
        sequence: Sequence::new(number("Nats-Sequence")?),
        time: Timestamp::parse_rfc3339(time).ok()?,
        subject: header(headers, "Nats-Subject")?.to_owned(),
        epoch: header(headers, EPOCH).and_then(|text| text.parse().ok()),
        expected: number("Nats-Expected-Last-Sequence").map(Sequence::new),
    })
}
