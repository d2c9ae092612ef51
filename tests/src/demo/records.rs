//! The ledger read back, record by record, and what still lies in the work queue.

use std::hash::{DefaultHasher, Hash, Hasher};

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use nats_config::{Broker, Stored};
use protocol::message::EpochBody;
use protocol::number::Sequence;
use protocol::outcome::Outcome;
use protocol::subject::{JobName, LedgerSubject, Subjects};
use protocol::submission::header;

/// Reads that are on their way at once.
const READS_MAX: usize = 64;

/// One record of the ledger.
#[derive(Debug, Clone)]
pub struct Record {
    /// Its place.
    pub sequence: u64,
    /// When the broker stored it, in milliseconds since 1970.
    pub at_ms: u64,
    /// What it says.
    pub what: What,
}

/// What a record says.
#[derive(Debug, Clone)]
pub enum What {
    /// A job was accepted; its place is its acceptance number.
    Submitted {
        /// The job's id, encoded.
        id: String,
        /// What it does not run beside.
        key: Option<String>,
        /// Its content, as [`content`] says.
        content: u64,
    },
    /// What became of an attempt.
    Outcome {
        /// The job's id, encoded.
        id: String,
        /// The job's acceptance number.
        accepted: u64,
        /// Which try.
        attempt: u64,
        /// What is said of it; `Err` where it cannot be read.
        outcome: Result<Outcome, String>,
    },
    /// A leader's barrier.
    Epoch {
        /// Its epoch.
        epoch: u64,
        /// The coordinator's name.
        holder: String,
    },
    /// A configuration, or a control record.
    Other,
}

/// A number that tells contents apart.
#[must_use]
pub fn content(payload: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    payload.hash(&mut hasher);
    hasher.finish()
}

impl Record {
    /// Reads one message of the ledger.
    #[must_use]
    pub fn parse(subjects: &Subjects, stored: &Stored) -> Self {
        let what = match subjects.parse_ledger(&stored.subject) {
            LedgerSubject::Submit { id, .. } => What::Submitted {
                id: id.to_owned(),
                key: stored
                    .headers
                    .get(header::KEY)
                    .map(|key| key.as_str().to_owned()),
                content: content(&stored.payload),
            },
            LedgerSubject::Outcome(name) => What::Outcome {
                id: match name.job {
                    JobName::Named { id, .. } => id.to_string(),
                    JobName::Malformed => String::new(),
                },
                accepted: name.accepted.get(),
                attempt: name.attempt.get(),
                outcome: Outcome::parse(&stored.payload).map_err(|error| error.to_string()),
            },
            LedgerSubject::Epoch(epoch) => What::Epoch {
                epoch: epoch.get(),
                holder: EpochBody::parse(&stored.payload)
                    .map(|body| body.holder)
                    .unwrap_or_default(),
            },
            LedgerSubject::Control { .. }
            | LedgerSubject::Config { .. }
            | LedgerSubject::Unknown => What::Other,
        };
        Self {
            sequence: stored.sequence.get(),
            at_ms: stored.time.as_millis(),
            what,
        }
    }
}

/// Every record of the ledger from the first on, each read at the stream's leader.
///
/// # Errors
/// The broker has no answer.
pub async fn read_ledger(broker: &Broker) -> Result<Vec<Record>> {
    let ledger = broker.names().ledger();
    let last = broker
        .state(ledger)
        .await
        .context("read the state of the ledger")?
        .last;
    stream::iter(1..=last.get())
        .map(|at| broker.at(ledger, Sequence::new(at)))
        .buffered(READS_MAX)
        .try_filter_map(async |stored| {
            Ok(stored.map(|stored| Record::parse(broker.subjects(), &stored)))
        })
        .try_collect()
        .await
        .context("read the ledger back")
}

/// The work messages that lie in the work queue; when all is done there are none.
///
/// # Errors
/// The broker has no answer.
pub async fn read_work(broker: &Broker) -> Result<Vec<String>> {
    broker
        .list_subjects(broker.names().work(), &broker.subjects().work_all())
        .await
        .context("list the work queue")
}
