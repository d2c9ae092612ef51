//! The ledger in: its records in their order, from any point on, whatever happens to the consumer.
//!
//! It decides nothing; it follows, and starts again with the last record that it gave out: whoever
//! folds them sees by it that the store went back meanwhile.

use std::time::Duration;

use async_nats::jetstream::consumer::pull::{Ordered, OrderedConfig};
use async_nats::jetstream::consumer::{DeliverPolicy, ReplayPolicy};
use async_nats::{HeaderMap, Subject};
use bytes::Bytes;
use futures::StreamExt;
use nats_config::Broker;
use protocol::number::Sequence;
use protocol::time::Timestamp;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Most records that are given out at once.
const BATCH_LEN_MAX: usize = 256;
/// Batches that may wait for the driver.
pub(crate) const BATCHES_MAX: usize = 16;
/// How long it waits before it tries to follow again.
const AGAIN_AFTER: Duration = Duration::from_millis(50);

/// One record of the ledger.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) sequence: Sequence,
    pub(crate) time: Timestamp,
    pub(crate) subject: Subject,
    pub(crate) headers: Option<HeaderMap>,
    pub(crate) payload: Bytes,
}

/// Follows the ledger until `stop`. A message on `rebuild` makes a new consumer.
pub(crate) async fn follow(
    broker: Broker,
    entries: mpsc::Sender<Vec<Entry>>,
    mut rebuild: mpsc::Receiver<()>,
    stop: CancellationToken,
) {
    let mut last = Sequence::new(0);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = follow_once(&broker, &entries, &mut last) => {}
            Some(()) = rebuild.recv() => {
                tracing::info!(%last, "the ledger's consumer made no progress: making a new one");
                continue;
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(AGAIN_AFTER) => {}
        }
    }
}

/// Follows with one consumer until something is wrong with it.
async fn follow_once(broker: &Broker, entries: &mpsc::Sender<Vec<Entry>>, last: &mut Sequence) {
    let consumer = match consumer(broker, *last).await {
        Ok(consumer) => consumer,
        Err(error) => {
            tracing::debug!(%error, "failed to follow the ledger; trying again");
            return;
        }
    };
    let mut name: Option<String> = None;
    let mut batches = consumer.ready_chunks(BATCH_LEN_MAX);
    while let Some(batch) = batches.next().await {
        let mut out = Vec::with_capacity(batch.len());
        for message in batch {
            let entry = match message {
                // The client made a new consumer by itself, and that one goes on after the last
                // record, unseen. Ours begins with it.
                Ok(message) if !is_of(&mut name, message.reply.as_deref()) => None,
                Ok(message) => entry(message.message, *last),
                Err(error) => {
                    tracing::debug!(%error, "the ledger's consumer failed; making a new one");
                    None
                }
            };
            let Some(entry) = entry else {
                give(entries, out).await;
                return;
            };
            *last = entry.sequence;
            out.push(entry);
        }
        give(entries, out).await;
    }
}

async fn give(entries: &mpsc::Sender<Vec<Entry>>, batch: Vec<Entry>) {
    if !batch.is_empty() && entries.send(batch).await.is_err() {
        // The driver is gone; the caller's stop token follows.
        tracing::debug!("nobody folds the ledger any more");
    }
}

async fn consumer(broker: &Broker, last: Sequence) -> Result<Ordered, async_nats::Error> {
    let jetstream = broker.jetstream();
    let stream = jetstream
        .get_stream_no_info(broker.names().ledger())
        .await?;
    let config = OrderedConfig {
        deliver_policy: DeliverPolicy::ByStartSequence {
            start_sequence: last.get().max(1),
        },
        replay_policy: ReplayPolicy::Instant,
        ..OrderedConfig::default()
    };
    let consumer = stream.create_consumer(config).await?;
    Ok(consumer.messages().await?)
}

/// A message as a record. `None`: it does not say where it stands, or stands before the last one.
fn entry(message: async_nats::Message, last: Sequence) -> Option<Entry> {
    let reply = message.reply.as_deref()?;
    let (sequence, time) = place(reply)?;
    (sequence >= last).then_some(Entry {
        sequence,
        time,
        subject: message.subject,
        headers: message.headers,
        payload: message.payload,
    })
}

/// Whether a message comes from the consumer `name`, or is the first to come.
fn is_of(name: &mut Option<String>, reply: Option<&str>) -> bool {
    let tokens: Vec<&str> = reply.unwrap_or_default().split('.').collect();
    let at = if tokens.len() < 11 { 3 } else { 5 };
    let Some(found) = tokens.get(at) else {
        return true;
    };
    let known = name.get_or_insert_with(|| (*found).to_owned());
    known == found
}

/// The stream sequence and the time in a delivery's ack subject, in both of its forms.
fn place(reply: &str) -> Option<(Sequence, Timestamp)> {
    let tokens: Vec<&str> = reply.split('.').collect();
    let at = match tokens.len() {
        9 => 5,
        11.. => 7,
        _ => return None,
    };
    let sequence: u64 = tokens.get(at)?.parse().ok()?;
    let nanos: u64 = tokens.get(at + 2)?.parse().ok()?;
    Some((
        Sequence::new(sequence),
        Timestamp::from_millis(nanos / 1_000_000),
    ))
}

#[cfg(test)]
mod tests {
    use super::place;
    use protocol::number::Sequence;
    use protocol::time::Timestamp;

    #[test]
    fn a_record_says_where_it_stands_in_both_forms() {
        let expected = Some((Sequence::new(41), Timestamp::from_millis(1_795_336_200_250)));
        assert_eq!(
            place("$JS.ACK.JOBS.c.1.41.7.1795336200250000000.0"),
            expected
        );
        assert_eq!(
            place("$JS.ACK._.acc.JOBS.c.1.41.7.1795336200250000000.0.rand"),
            expected
        );
        assert_eq!(place("$JS.ACK.JOBS.c.1.x.7.1.0"), None);
        assert_eq!(place("_INBOX.1"), None);
    }
}
