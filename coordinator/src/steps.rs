//! The steps of a takeover and of an audit, carried out: each reads or writes at the stream leaders
//! and gives its answer back as an event. Reads go on until they are answered.

use std::time::Duration;

use async_nats::HeaderMap;
use bytes::Bytes;
use nats_config::broker::BatchMessage;
use nats_config::{Broker, ReadError, Stored};
use protocol::answer::Answer;
use protocol::coordinator::LedgerFacts;
use protocol::ledger::RecordIdentity;
use protocol::message::EpochBody;
use protocol::number::{Epoch, Sequence};
use protocol::subject::WorkSubject;
use protocol::takeover::{Step, WorkTail, fence_len};

/// How long a read that was not answered waits.
const AGAIN_AFTER: Duration = Duration::from_millis(20);

/// Who leads, as its epoch record names it.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) incarnation: String,
}

/// What a step gave.
#[derive(Debug)]
pub(crate) enum Taken {
    Looked(WorkTail, LedgerFacts),
    Fenced(Answer),
    Listed(Vec<String>),
    Barred(Answer),
    Audited(Vec<String>, Sequence),
}

/// Carries out `step` for `epoch`. `folded` is the last record that was folded.
pub(crate) async fn take(
    broker: Broker,
    me: Identity,
    epoch: Epoch,
    step: Step,
    folded: Sequence,
) -> (Epoch, Taken) {
    let taken = match step {
        Step::Look => {
            fail_point!("coordinator.look-before");
            let (tail, facts) = futures::join!(work_tail(&broker), ledger_facts(&broker, folded));
            fail_point!("coordinator.look-after");
            Taken::Looked(tail, facts)
        }
        Step::Fence(expected) => {
            fail_point!("coordinator.fence-before");
            let answer = fence(&broker, epoch, expected).await;
            fail_point!("coordinator.fence-after");
            Taken::Fenced(answer)
        }
        Step::List => {
            fail_point!("coordinator.list-before");
            let listing = list(&broker).await;
            fail_point!("coordinator.list-after");
            Taken::Listed(listing)
        }
        Step::Barrier => {
            fail_point!("coordinator.barrier-before");
            let answer = barrier(&broker, &me, epoch).await;
            fail_point!("coordinator.barrier-after");
            Taken::Barred(answer)
        }
        Step::Audit => {
            // The order matters: an outcome that the listing misses is before this sequence.
            let listing = list(&broker).await;
            let ledger = broker.names().ledger();
            let last = answered("the ledger's tail", || broker.state(ledger))
                .await
                .last;
            Taken::Audited(listing, last)
        }
    };
    (epoch, taken)
}

/// The work queue's last sequence, and only then its newest fence.
async fn work_tail(broker: &Broker) -> WorkTail {
    let work = broker.names().work();
    let last = answered("the work queue's tail", || broker.state(work))
        .await
        .last;
    let filter = broker.subjects().fence_all();
    let fence = answered("the newest fence", || broker.last(work, &filter)).await;
    let newest_fence =
        fence.and_then(
            |stored| match broker.subjects().parse_work(&stored.subject) {
                WorkSubject::Fence { epoch, .. } => Some(epoch),
                WorkSubject::Work(_) | WorkSubject::Unknown => None,
            },
        );
    WorkTail { last, newest_fence }
}

async fn ledger_facts(broker: &Broker, folded: Sequence) -> LedgerFacts {
    let ledger = broker.names().ledger();
    let state = answered("the ledger's state", || broker.state(ledger)).await;
    let at_folded = if folded == Sequence::new(0) {
        None
    } else {
        answered("the record that was folded last", || {
            broker.at(ledger, folded)
        })
        .await
    };
    LedgerFacts {
        created: state.created,
        last: state.last,
        at_folded: at_folded.map(identity),
    }
}

/// What identifies a record that was read.
pub(crate) fn identity(stored: Stored) -> RecordIdentity {
    RecordIdentity {
        sequence: stored.sequence,
        subject: stored.subject,
        time: stored.time,
    }
}

async fn list(broker: &Broker) -> Vec<String> {
    let work = broker.names().work();
    answered("the work queue's list", || broker.list_subjects(work, ">")).await
}

async fn fence(broker: &Broker, epoch: Epoch, expected: Sequence) -> Answer {
    let records = (1..=fence_len()).map(|place| {
        let mut headers = HeaderMap::new();
        if place == 1 {
            headers.insert(
                async_nats::header::NATS_EXPECTED_LAST_SEQUENCE,
                expected.get().to_string().as_str(),
            );
        }
        BatchMessage {
            subject: broker.subjects().fence(epoch, place),
            headers,
            payload: Bytes::new(),
        }
    });
    broker.write_batch(&nuid::next(), records.collect()).await
}

pub(crate) async fn barrier(broker: &Broker, me: &Identity, epoch: Epoch) -> Answer {
    let body = EpochBody::new(&me.name, &me.incarnation).to_json();
    let subject = broker.subjects().epoch(epoch);
    broker.write(subject, HeaderMap::new(), body.into()).await
}

/// Repeats a read until it is answered. Broker trouble is weather; only its start is told.
async fn answered<T, F>(what: &str, read: impl Fn() -> F) -> T
where
    F: Future<Output = Result<T, ReadError>>,
{
    let mut is_told = false;
    loop {
        match read().await {
            Ok(value) => return value,
            Err(error) if is_told => tracing::debug!(%error, "failed to read {what}"),
            Err(error) => {
                is_told = true;
                tracing::warn!(%error, "failed to read {what}; going on until it is answered");
            }
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}
