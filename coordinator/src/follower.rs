//! The ledger in: its records in their order, from any point on, whatever happens to the consumer.
//!
//! It decides nothing; it follows, and starts again with the last record that it gave out: whoever
//! folds them sees by it that the store went back meanwhile.

use std::time::Duration;

use async_nats::jetstream::consumer::pull::{Config, Stream};
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, ReplayPolicy};
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
/// The consumer says so often that it is there. It lives in the memory of one server, and is taken for
/// dead after two such times of silence; the client's own ordered consumer would wait for 15 to 60 s.
const HEARTBEAT: Duration = Duration::from_millis(500);
/// Most records that one request asks for; the next one is sent at half of them.
const REQUEST_LEN: usize = 500;
/// How long one request for records lasts.
const REQUEST: Duration = Duration::from_secs(30);
/// How long a server keeps a consumer that nobody asks, since this process died or made another.
const UNUSED: Duration = Duration::from_secs(30);
/// How long a server may take to make one.
const MADE_WITHIN: Duration = Duration::from_secs(5);

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
    let made = tokio::time::timeout(MADE_WITHIN, consumer(broker, *last)).await;
    let consumer = match made {
        Ok(Ok(consumer)) => consumer,
        Ok(Err(error)) => {
            tracing::debug!(%error, "failed to follow the ledger; trying again");
            return;
        }
        Err(_) => {
            tracing::debug!("no consumer of the ledger within {MADE_WITHIN:?}; trying again");
            return;
        }
    };
    let mut delivered = 0;
    let mut batches = consumer.ready_chunks(BATCH_LEN_MAX);
    while let Some(batch) = batches.next().await {
        let mut out = Vec::with_capacity(batch.len());
        for message in batch {
            let found = match message {
                Ok(message) => entry(message.message, *last),
                Err(error) => {
                    tracing::debug!(%error, "the ledger's consumer failed; making a new one");
                    None
                }
            };
            delivered += 1;
            // Each delivery counts: none is missing before this one.
            let Some((_, entry)) = found.filter(|(count, _)| *count == delivered) else {
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

async fn consumer(broker: &Broker, last: Sequence) -> Result<Stream, async_nats::Error> {
    let jetstream = broker.jetstream();
    let stream = jetstream
        .get_stream_no_info(broker.names().ledger())
        .await?;
    let config = Config {
        name: Some(nuid::next().to_string()),
        deliver_policy: DeliverPolicy::ByStartSequence {
            start_sequence: last.get().max(1),
        },
        replay_policy: ReplayPolicy::Instant,
        ack_policy: AckPolicy::None,
        max_deliver: 1,
        num_replicas: 1,
        memory_storage: true,
        inactive_threshold: UNUSED,
        ..Config::default()
    };
    let consumer = stream.create_consumer(config).await?;
    let messages = consumer
        .stream()
        .max_messages_per_batch(REQUEST_LEN)
        .expires(REQUEST)
        .heartbeat(HEARTBEAT)
        .messages();
    Ok(messages.await?)
}

/// A message as a record, with its number among the consumer's deliveries. `None`: it does not say
/// where it stands, or stands before the last one.
fn entry(message: async_nats::Message, last: Sequence) -> Option<(u64, Entry)> {
    let reply = message.reply.as_deref()?;
    let Place {
        sequence,
        delivery,
        time,
    } = place(reply)?;
    let entry = Entry {
        sequence,
        time,
        subject: message.subject,
        headers: message.headers,
        payload: message.payload,
    };
    (sequence >= last).then_some((delivery, entry))
}

/// What a delivery's ack subject says.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    sequence: Sequence,
    /// Its number among the consumer's deliveries, from 1.
    delivery: u64,
    time: Timestamp,
}

/// Reads an ack subject, in both of its forms.
fn place(reply: &str) -> Option<Place> {
    let tokens: Vec<&str> = reply.split('.').collect();
    let at = match tokens.len() {
        9 => 5,
        11.. => 7,
        _ => return None,
    };
    let number = |at: usize| tokens.get(at)?.parse::<u64>().ok();
    Some(Place {
        sequence: Sequence::new(number(at)?),
        delivery: number(at + 1)?,
        time: Timestamp::from_millis(number(at + 2)? / 1_000_000),
    })
}

#[cfg(test)]
mod tests {
    use super::{Place, place};
    use protocol::number::Sequence;
    use protocol::time::Timestamp;

    #[test]
    fn a_record_says_where_it_stands_in_both_forms() {
        let expected = Some(Place {
            sequence: Sequence::new(41),
            delivery: 7,
            time: Timestamp::from_millis(1_795_336_200_250),
        });
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
