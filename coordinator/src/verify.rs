//! Reads the work queue and then the whole ledger back, and has both judged. It writes nothing, and
//! what goes on meanwhile does not disturb it.
//!
//! The order matters: an outcome that came before a listed work message is in the ledger by the
//! time that its last sequence is asked for.

use std::pin::pin;

use checker::{Judge, Present, Record, Report};
use nats_config::{Broker, ReadError, Stored, header};
use protocol::number::Sequence;
use protocol::submission::header::EPOCH;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::follower::{self, BATCHES_MAX, Entry};

/// Most messages of the work queue that are looked at: fences and what is handed out.
pub const WORK_LEN_MAX: usize = 200_000;

/// How often a silent broker is asked anew, each after its time-out: elections pass meanwhile.
const ASKED_MAX: u64 = 5;

/// What a ledger is held against beside the rules that always hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Jobs may wait and run.
    Anything,
    /// Every job has ended, and the work queue is empty.
    Drained,
}

/// The ledger was not read to its end: nothing is proved.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A question about a stream has no usable answer.
    #[error("{source}; verify reads {stream} with the permissions of the coordinator role")]
    Read {
        /// The stream.
        stream: String,
        /// Why.
        source: ReadError,
    },
    /// No further record came, although there are some.
    #[error(
        "the ledger was read up to {last} of {end} and nothing more came in {seconds} s: the broker is away or elects, or this user may not read the ledger through a consumer, which needs the permissions of the coordinator role"
    )]
    Stalled {
        /// The last record that came.
        last: Sequence,
        /// The ledger's last record.
        end: Sequence,
        /// How long it waited.
        seconds: u64,
    },
    /// The work queue holds more than is looked at.
    #[error("{stream} holds more than {WORK_LEN_MAX} messages: none of it was judged")]
    TooMuchWork {
        /// The stream.
        stream: String,
    },
}

/// Reads work queue and ledger as they are now, and judges them.
///
/// # Errors
/// They were not read to their end.
pub async fn verify(broker: &Broker, expect: Expect) -> Result<Report, VerifyError> {
    let mut judge = Judge::of_ledger(broker.subjects().clone());
    read_back(broker, &mut judge).await?;
    if expect == Expect::Drained {
        judge.drained();
    }
    Ok(judge.report())
}

/// Reads work queue and ledger as they are now for a judge that is given more evidence.
///
/// # Errors
/// They were not read to their end.
pub async fn read_back(broker: &Broker, judge: &mut Judge) -> Result<(), VerifyError> {
    let ledger = broker.names().ledger();
    let before = last(broker, ledger).await?;
    judge.present(work(broker).await?, before);
    let end = last(broker, ledger).await?;
    records(broker, end, judge).await?;
    judge.ends_at(end);
    Ok(())
}

async fn last(broker: &Broker, stream: &str) -> Result<Sequence, VerifyError> {
    let state = broker.state(stream).await;
    Ok(state.map_err(|source| read_error(stream, source))?.last)
}

fn read_error(stream: &str, source: ReadError) -> VerifyError {
    VerifyError::Read {
        stream: stream.to_owned(),
        source,
    }
}

/// What the work queue holds, one by one: it holds little, and messages leave it meanwhile.
async fn work(broker: &Broker) -> Result<Vec<Present>, VerifyError> {
    let stream = broker.names().work();
    let end = last(broker, stream).await?;
    let mut all = Vec::new();
    let mut from = Sequence::new(1);
    while from <= end {
        let next = broker.first_from(stream, from).await;
        let Some(stored) = next.map_err(|source| read_error(stream, source))? else {
            break;
        };
        if stored.sequence > end {
            break;
        }
        if all.len() == WORK_LEN_MAX {
            return Err(VerifyError::TooMuchWork {
                stream: stream.to_owned(),
            });
        }
        from = stored.sequence.next();
        all.push(present(stored));
    }
    Ok(all)
}

fn present(stored: Stored) -> Present {
    let epoch = header(&stored.headers, EPOCH);
    Present {
        sequence: stored.sequence,
        epoch: epoch.and_then(|text| text.parse().ok()),
        subject: stored.subject,
    }
}

/// Hands the judge every record up to `end`, by the same consumer that coordinators follow with.
async fn records(broker: &Broker, end: Sequence, judge: &mut Judge) -> Result<(), VerifyError> {
    let (entries, mut batches) = mpsc::channel(BATCHES_MAX);
    let (rebuild, rebuilds) = mpsc::channel(1);
    let mut asked = 1;
    let stop = CancellationToken::new();
    let mut following = pin!(follower::follow(broker.clone(), entries, rebuilds, stop));
    while judge.last() < end {
        let batch: Option<Vec<Entry>> = tokio::select! {
            () = &mut following => None,
            batch = tokio::time::timeout(broker.timeout(), batches.recv()) => batch.ok().flatten(),
        };
        match batch {
            Some(batch) => batch.iter().for_each(|entry| add(entry, end, judge)),
            None if is_missing(broker, end).await? => break,
            None if asked < ASKED_MAX => {
                asked += 1;
                if rebuild.try_send(()).is_err() {
                    tracing::debug!("a new consumer is on its way already");
                }
            }
            None => {
                return Err(VerifyError::Stalled {
                    last: judge.last(),
                    end,
                    seconds: broker.timeout().as_secs() * ASKED_MAX,
                });
            }
        }
    }
    Ok(())
}

/// Whether the last record itself is gone, so that no consumer ever gives it out.
async fn is_missing(broker: &Broker, end: Sequence) -> Result<bool, VerifyError> {
    let ledger = broker.names().ledger();
    let found = broker.at(ledger, end).await;
    Ok(found
        .map_err(|source| read_error(ledger, source))?
        .is_none())
}

fn add(entry: &Entry, end: Sequence, judge: &mut Judge) {
    // A new consumer begins with the last record again, and what came after the question where the
    // ledger ends is another run's.
    if entry.sequence <= judge.last() || entry.sequence > end {
        return;
    }
    let get = |name: &str| header(entry.headers.as_ref()?, name);
    judge.record(&Record {
        sequence: entry.sequence,
        time: entry.time,
        subject: &entry.subject,
        header: &get,
        payload: &entry.payload,
    });
}
