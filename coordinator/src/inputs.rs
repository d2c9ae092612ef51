//! Where the driver's events come from: everything that is under way on its behalf, and what others
//! ask of it.

use async_nats::Subscriber;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use nats_config::{Found, ProvisionError};
use protocol::answer::Answer;
use protocol::id::{QueueName, WorkerId};
use protocol::number::{Accepted, Epoch};
use protocol::workers::Pong;
use tokio::sync::mpsc;

use crate::follower::Entry;
use crate::ledger_watch::LedgerAnswer;
use crate::questions::Question;
use crate::steps::Taken;

/// Something that was under way and is done.
pub(crate) enum Done {
    Step(Epoch, Taken),
    Advanced(Result<Epoch, election::AdvanceError>),
    Wrote(Accepted, Answer),
    Ponged(WorkerId, Pong),
    Reread(Accepted, Bytes),
    /// The ledger answered.
    Ledger(LedgerAnswer),
    /// The ledger was asked whether it takes writes.
    Probed(Answer),
    /// The ledger gave no answer about itself.
    Unanswered(String),
    /// The broker says that there is no ledger.
    NoLedger,
    /// What exists on the broker was looked over.
    LookedOver(Result<Found, ProvisionError>),
    /// The work queue was made anew.
    WorkMade,
    /// A queue's consumer is as it should be, or is not, for this reason.
    Consumer(QueueName, Option<String>),
    /// Others had their time to take over.
    StandAgain,
    /// Nothing to decide.
    Nothing,
}

/// What is under way.
pub(crate) type UnderWay = FuturesUnordered<BoxFuture<'static, Done>>;

/// What comes in from outside.
pub(crate) struct Inputs {
    pub(crate) entries: mpsc::Receiver<Vec<Entry>>,
    pub(crate) rebuild: mpsc::Sender<()>,
    pub(crate) elections: election::Events,
    pub(crate) says: Subscriber,
    pub(crate) questions: mpsc::Receiver<Question>,
}
