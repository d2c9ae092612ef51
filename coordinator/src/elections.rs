//! The elections of a namespace as an operator sees them, and what an operator may do about one. Each
//! act names what was seen, and does nothing where that has changed.

use std::time::Duration;

use async_nats::{HeaderMap, header};
use election::{ping_prefix, ping_subject, wall_now};
use futures::StreamExt;
use nats_config::{Broker, ReadError};
use protocol::answer::Answer;
use protocol::leadership::{Incarnation, LeaseRecord, LeaseState, eviction, step_down_request};
use protocol::number::{Epoch, Sequence};
use protocol::time::Timestamp;
use protocol::workers::Pong;

use crate::presence::ask;

/// How long a holder has to answer a ping.
const PING_WITHIN: Duration = Duration::from_millis(500);
/// How often the record is read while a hand-over is awaited, besides each time it is written.
const READ_EVERY: Duration = Duration::from_secs(1);

/// What stands at the key of an election, read at the stream's leader.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The bucket.
    pub bucket: String,
    /// The key in it.
    pub key: String,
    /// Changes with each write.
    pub revision: Sequence,
    /// When it was written, by the broker's clock.
    pub written: Timestamp,
    /// The lease record, or why it is none.
    pub record: Result<LeaseRecord, String>,
}

impl Seen {
    /// The record, if somebody holds the lease by it.
    #[must_use]
    pub fn held(&self) -> Option<&LeaseRecord> {
        let record = self.record.as_ref().ok()?;
        match record.state {
            LeaseState::Held => Some(record),
            LeaseState::Released => None,
        }
    }

    fn subject(&self) -> String {
        format!("$KV.{}.{}", self.bucket, self.key)
    }
}

/// Why nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActError {
    /// Nobody holds the lease.
    #[error("nobody holds {0} now")]
    NotHeld(String),
    /// Somebody else holds it by now, or in another epoch.
    #[error("{0} has changed meanwhile: nothing was done; look at it again")]
    Changed(String),
    /// The holder did not get the request, or does not answer.
    #[error("{0}")]
    Unreachable(String),
    /// The broker did not do it.
    #[error("{0}")]
    Refused(String),
}

/// Every election of a bucket, by key. None if there is no such bucket.
///
/// # Errors
/// The bucket could not be read.
pub async fn all(broker: &Broker, bucket: &str) -> Result<Vec<Seen>, ReadError> {
    let subjects = broker
        .list_subjects(&format!("KV_{bucket}"), &format!("$KV.{bucket}.>"))
        .await;
    let subjects = match subjects {
        Ok(subjects) => subjects,
        Err(ReadError::NoStream { .. }) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let prefix = format!("$KV.{bucket}.");
    let mut seen = Vec::new();
    for key in subjects.iter().filter_map(|it| it.strip_prefix(&prefix)) {
        seen.extend(one(broker, bucket, key).await?);
    }
    Ok(seen)
}

/// One election; `None` if nothing stands at its key.
///
/// # Errors
/// The bucket could not be read.
pub async fn one(broker: &Broker, bucket: &str, key: &str) -> Result<Option<Seen>, ReadError> {
    let subject = format!("$KV.{bucket}.{key}");
    let stored = match broker.last(&format!("KV_{bucket}"), &subject).await {
        Ok(Some(stored)) => stored,
        Ok(None) | Err(ReadError::NoStream { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let record = match nats_config::header(&stored.headers, "KV-Operation") {
        Some(_) => Err("the record was deleted".to_owned()),
        None => LeaseRecord::parse(&stored.payload).map_err(|error| error.to_string()),
    };
    Ok(Some(Seen {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        revision: stored.sequence,
        written: stored.time,
        record,
    }))
}

fn holders_subject(broker: &Broker, seen: &Seen, incarnation: &Incarnation) -> String {
    let names = broker.names();
    let prefix = match seen.bucket == names.leader_bucket() {
        true => names.subjects().leader_ping(),
        false => ping_prefix(&seen.bucket, &seen.key),
    };
    ping_subject(&prefix, incarnation)
}

/// Whether the process that the record names answers.
pub async fn ping(broker: &Broker, seen: &Seen, record: &LeaseRecord) -> Pong {
    say(broker, seen, &record.incarnation, String::new()).await
}

async fn say(broker: &Broker, seen: &Seen, to: &Incarnation, what: String) -> Pong {
    let subject = holders_subject(broker, seen, to);
    ask(broker.client(), subject, what, PING_WITHIN).await
}

/// Asks the holder to hand over, and waits until it has. Returns what stands there then.
///
/// # Errors
/// See [`ActError`]. A holder that was asked may still hand over later.
pub async fn step_down(broker: &Broker, seen: &Seen, within: Duration) -> Result<Seen, ActError> {
    let name = format!("{}/{}", seen.bucket, seen.key);
    let record = seen.held().ok_or(ActError::NotHeld(name.clone()))?;
    let cut = |why: &dyn std::fmt::Display| ActError::Unreachable(format!("{name}: {why}"));
    let writes = broker.client().subscribe(seen.subject()).await;
    let mut writes = writes.map_err(|error| cut(&error))?;
    let request = step_down_request(record.epoch);
    match say(broker, seen, &record.incarnation, request).await {
        Pong::Answered => {}
        Pong::NoResponders => {
            return Err(cut(&format!(
                "{} is not there any more: another takes over as soon as the rules let it",
                record.holder
            )));
        }
        Pong::Silent => {
            return Err(cut(&format!(
                "{} does not answer: it stands still or is cut off; `evict` takes the lease away",
                record.holder
            )));
        }
    }
    let handed_over = async {
        loop {
            let now = one(broker, &seen.bucket, &seen.key).await;
            let now = now.map_err(|error| cut(&error))?;
            match now {
                Some(now) if now.held().is_some_and(|now| now.is_same_tenure(record)) => {}
                Some(now) => return Ok(now),
                None => return Err(ActError::Changed(name.clone())),
            }
            // The read decides; a write only wakes.
            drop(tokio::time::timeout(READ_EVERY, writes.next()).await);
        }
    };
    let late = format!(
        "{} was asked and has not handed over within {within:?}: its work does not end; `evict` takes the lease away",
        record.holder
    );
    let done = tokio::time::timeout(within, handed_over).await;
    done.map_err(|_| cut(&late))?
}

/// Takes the lease away from its holder: writes the [`eviction`] of the record that was seen, if that still
/// stands there. Returns the epoch that is used up by it.
///
/// # Errors
/// See [`ActError`].
pub async fn evict(broker: &Broker, seen: &Seen, operator: &str) -> Result<Epoch, ActError> {
    let name = format!("{}/{}", seen.bucket, seen.key);
    let record = seen.held().ok_or(ActError::NotHeld(name.clone()))?;
    let incarnation = Incarnation::try_from(nuid::next().to_string());
    let incarnation = incarnation.expect("a nuid is letters and digits");
    let Some(next) = eviction(record, operator, incarnation, wall_now()) else {
        return Err(ActError::Refused(format!("{name}: no epoch is left")));
    };
    let mut headers = HeaderMap::new();
    headers.insert(
        header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE,
        seen.revision.get().to_string(),
    );
    let written = broker.write(seen.subject(), headers, next.encode().into());
    match written.await {
        Answer::Stored(_) | Answer::Duplicate(_) => Ok(next.epoch),
        Answer::WrongLast => Err(ActError::Changed(name)),
        Answer::Unanswered | Answer::NoResponders | Answer::Busy => Err(ActError::Unreachable(
            format!("{name}: the broker did not say whether it was written; look at it again"),
        )),
        refused @ (Answer::Occupied | Answer::Full(_) | Answer::Refused { .. }) => Err(
            ActError::Refused(format!("{name}: the broker refused it: {refused:?}")),
        ),
    }
}
