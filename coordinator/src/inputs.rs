//! Where the driver's events come from: everything that is under way on its behalf, and what others
//! ask of it.

use async_nats::Subscriber;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use protocol::answer::Answer;
use protocol::door::Usage;
use protocol::effects::RecordWrite;
use protocol::id::{QueueName, WorkerId};
use protocol::message::{CoordinatorStatus, JobView};
use protocol::number::{Accepted, Epoch};
use protocol::subject::Verb;
use protocol::workers::Pong;
use tokio::sync::{mpsc, oneshot};

use crate::follower::Entry;
use crate::steps::Taken;

/// Questions that may wait for the driver.
pub(crate) const QUESTIONS_MAX: usize = 1_024;

/// Something that was under way and is done.
pub(crate) enum Done {
    Step(Epoch, Taken),
    Advanced(Result<Epoch, election::AdvanceError>),
    Wrote(Accepted, Answer),
    Ponged(WorkerId, Pong),
    Reread(Accepted, Bytes),
    Usage(Vec<Usage>, Option<bool>),
    /// Nothing to decide.
    Nothing,
}

/// What is under way.
pub(crate) type UnderWay = FuturesUnordered<BoxFuture<'static, Done>>;

/// What the API asks of the folded state.
pub(crate) enum Question {
    Job(Accepted, oneshot::Sender<Option<JobView>>),
    Control(
        Accepted,
        Verb,
        oneshot::Sender<Result<RecordWrite, &'static str>>,
    ),
    Knows(QueueName, oneshot::Sender<bool>),
    Status(oneshot::Sender<CoordinatorStatus>),
}

/// What comes in from outside.
pub(crate) struct Inputs {
    pub(crate) entries: mpsc::Receiver<Vec<Entry>>,
    pub(crate) rebuild: mpsc::Sender<()>,
    pub(crate) elections: election::Events,
    pub(crate) says: Subscriber,
    pub(crate) questions: mpsc::Receiver<Question>,
}
