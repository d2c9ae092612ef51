//! The configurations of queues as records of the ledger: read the newest, write the next.
//!
//! A record is written once and never changed: the server refuses the second of one revision, so
//! two operators who edit at once do not undo each other unseen.

use std::collections::BTreeMap;

use async_nats::HeaderMap;
use nats_config::{Broker, ReadError};
use protocol::answer::Answer;
use protocol::config::{ConfigError, QueueConfig};
use protocol::id::QueueName;
use protocol::number::{Revision, Sequence};
use protocol::subject::LedgerSubject;

/// The newest configuration of a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueRecord {
    /// Its revision.
    pub revision: Revision,
    /// What it says, or why the coordinators ignore it.
    pub config: Result<QueueConfig, ConfigError>,
}

/// A configuration was not read or not written.
#[derive(Debug, thiserror::Error)]
pub enum QueueRecordError {
    /// The ledger could not be read.
    #[error("read the configuration of queues: {0}")]
    Read(#[from] ReadError),
    /// Somebody else wrote this revision first; nothing was written.
    #[error(
        "revision {revision} of queue {queue} was written by somebody else meanwhile: nothing was changed; look at it with `queue ls` and repeat the command"
    )]
    Taken {
        /// The queue.
        queue: QueueName,
        /// The revision.
        revision: Revision,
    },
    /// The broker did not take it now; the same command may succeed later.
    #[error("the configuration of queue {queue} was not written: {why}; repeat the command")]
    Later {
        /// The queue.
        queue: QueueName,
        /// What the broker said.
        why: String,
    },
    /// The broker refused it for good.
    #[error(
        "the broker refused the configuration of queue {queue}: {why}; this needs the permissions of the coordinator role"
    )]
    Refused {
        /// The queue.
        queue: QueueName,
        /// What the broker said.
        why: String,
    },
    /// A value of it is out of bounds.
    #[error("configuration of queue {queue}: {why}")]
    Invalid {
        /// The queue.
        queue: QueueName,
        /// The rule that is broken.
        why: ConfigError,
    },
}

/// The newest configuration of each queue.
///
/// # Errors
/// The ledger could not be read.
pub async fn all(broker: &Broker) -> Result<BTreeMap<String, QueueRecord>, QueueRecordError> {
    let mut out = BTreeMap::new();
    for (queue, revision) in revisions(broker, &broker.subjects().config_all()).await? {
        let record = read(broker, &queue, revision).await?;
        out.insert(queue.to_string(), record);
    }
    Ok(out)
}

/// The newest configuration of one queue.
///
/// # Errors
/// The ledger could not be read.
pub async fn newest(
    broker: &Broker,
    queue: &QueueName,
) -> Result<Option<QueueRecord>, QueueRecordError> {
    let found = revisions(broker, &broker.subjects().config_of(queue)).await?;
    match found.into_iter().next() {
        Some((queue, revision)) => read(broker, &queue, revision).await.map(Some),
        None => Ok(None),
    }
}

async fn revisions(
    broker: &Broker,
    filter: &str,
) -> Result<Vec<(QueueName, Revision)>, QueueRecordError> {
    let mut found: BTreeMap<QueueName, Revision> = BTreeMap::new();
    for subject in broker
        .list_subjects(broker.names().ledger(), filter)
        .await?
    {
        if let LedgerSubject::Config { queue, revision } = broker.subjects().parse_ledger(&subject)
        {
            let newest = found.entry(queue).or_insert(revision);
            *newest = revision.max(*newest);
        }
    }
    Ok(found.into_iter().collect())
}

async fn read(
    broker: &Broker,
    queue: &QueueName,
    revision: Revision,
) -> Result<QueueRecord, QueueRecordError> {
    let subject = broker.subjects().config(queue, revision);
    let stored = broker.last(broker.names().ledger(), &subject).await?;
    let body = stored.map(|stored| stored.payload).unwrap_or_default();
    Ok(QueueRecord {
        revision,
        config: QueueConfig::parse(&body),
    })
}

/// Writes a configuration as this revision, which must be one above the newest, and returns its
/// place in the ledger.
///
/// # Errors
/// See [`QueueRecordError`]. Without an answer the record is read back.
pub async fn write(
    broker: &Broker,
    queue: &QueueName,
    revision: Revision,
    config: &QueueConfig,
) -> Result<Sequence, QueueRecordError> {
    config.validate().map_err(|why| QueueRecordError::Invalid {
        queue: queue.clone(),
        why,
    })?;
    let subject = broker.subjects().config(queue, revision);
    let body = config.to_json();
    let answer = broker
        .write(subject.clone(), HeaderMap::new(), body.clone().into())
        .await;
    match answer {
        Answer::Stored(sequence) => Ok(sequence),
        Answer::Occupied | Answer::Duplicate(_) | Answer::WrongLast | Answer::Unanswered => {
            let stored = broker.last(broker.names().ledger(), &subject).await?;
            match stored {
                Some(stored) if stored.payload == body => Ok(stored.sequence),
                Some(_) => Err(QueueRecordError::Taken {
                    queue: queue.clone(),
                    revision,
                }),
                None => Err(later(queue, "the broker did not answer")),
            }
        }
        Answer::Full(text) => Err(later(queue, &text)),
        Answer::Busy => Err(later(queue, "another write was under way")),
        Answer::NoResponders => Err(later(
            queue,
            "nobody takes records of the ledger: JetStream is off, the stream does not exist (start a coordinator) or is electing",
        )),
        Answer::Refused { text, .. } => Err(QueueRecordError::Refused {
            queue: queue.clone(),
            why: text,
        }),
    }
}

fn later(queue: &QueueName, why: &str) -> QueueRecordError {
    QueueRecordError::Later {
        queue: queue.clone(),
        why: why.to_owned(),
    }
}
