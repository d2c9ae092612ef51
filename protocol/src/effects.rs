//! What the rules decided, for the hands to carry out. The order of the fields is the contract:
//! from the top, and nothing of a later field before all of an earlier one is on its way.

use std::sync::Arc;

use crate::config::QueueConfig;
use crate::door::DoorChange;
use crate::id::{QueueName, WorkerId};
use crate::message::WorkerTold;
use crate::number::{Accepted, Attempt, Epoch, Sequence};
use crate::subject::AttemptName;
use crate::submission::JobSpec;
use crate::takeover::Step;
use crate::time::Timestamp;
use crate::workers::Rescue;

/// What is to be done.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Write nothing any more that was decided before: dispatches not yet handed to the socket are
    /// dropped, and answers to earlier writes are not waited for.
    pub drop_writes: bool,
    /// Stop folding and standing, for this reason.
    pub stop: Option<Stop>,
    /// Take a new epoch above this one, by compare-and-set on our own lease.
    pub advance: Option<Epoch>,
    /// Carry out this step of a takeover or an audit, for this epoch.
    pub step: Option<(Epoch, Step)>,
    /// Make sure that these queues have their consumer, before work goes out to them.
    pub consumers: Vec<WantedConsumer>,
    /// Write these into the work queue, in this order, each expecting the sequence it names.
    pub dispatch: Vec<Dispatch>,
    /// Write these into the ledger, in any order.
    pub records: Vec<RecordWrite>,
    /// Open or close the door.
    pub door: Option<DoorChange>,
    /// Hand these deliveries on: each nak is sent once and never repeated.
    pub rescues: Vec<Rescue>,
    /// Tell these workers.
    pub told: Vec<(WorkerId, WorkerTold)>,
    /// Ping these workers, and say what it showed.
    pub pings: Vec<WorkerId>,
    /// Read the payloads of these submissions again.
    pub reread: Vec<Accepted>,
    /// Purge the fences of these older epochs. A late purge is harmless: the newest stays.
    pub purge_fences: Vec<Epoch>,
    /// Delete the messages of these attempts from the work queue: their outcomes have long been
    /// recorded. At any time harmless: an attempt is never dispatched again under its number.
    pub spent: Vec<AttemptName>,
    /// What an operator should see now.
    pub alarms: Vec<String>,
}

/// Why a coordinator stops for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// A newer version of the coordinators is at work.
    Newer(String),
    /// The ledger is not the one that was folded: it went back, or was made anew.
    WentBack(String),
    /// There is no ledger any more.
    LedgerGone(String),
}

/// A consumer that must exist as its queue's configuration says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedConsumer {
    /// Whose.
    pub queue: QueueName,
    /// What it is made from.
    pub config: Arc<QueueConfig>,
    /// Something of the queue was handed out before. If the consumer is absent it was deleted, and
    /// with it who holds what: it is made anew only when every work lease on it has ended.
    pub is_held: bool,
}

/// One write into the work queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dispatch {
    /// Given back with the answer.
    pub tag: u64,
    /// The sequence that must be the stream's last.
    pub expected: Sequence,
    /// Which attempt; its subject is made from this.
    pub name: AttemptName,
    /// Which leader.
    pub epoch: Epoch,
    /// What the job is for life: kind, key and time-out go with the work.
    pub spec: Arc<JobSpec>,
}

/// One write into the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordWrite {
    /// The job that it is about; given back with the answer.
    pub accepted: Accepted,
    /// The attempt that it is about.
    pub attempt: Attempt,
    /// Where it goes.
    pub subject: String,
    /// What it says.
    pub body: Vec<u8>,
}

impl Effects {
    /// Nothing is to be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// When the rules want to be asked again although nothing happened.
pub type WakeAt = Option<Timestamp>;
