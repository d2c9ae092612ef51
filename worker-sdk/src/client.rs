//! The submitter's side: submit jobs, ask what became of them, cancel them. It keeps no state of
//! its own; what it answers is what the ledger or a coordinator says.

mod ask;
mod door;
mod error;
mod many;
mod read_back;
mod request;

use std::time::Duration;

use async_nats::ConnectOptions;
use nats_config::{Broker, Names};
use protocol::answer::Answer;
use protocol::id::Namespace;
use protocol::number::Accepted;

use crate::job::Job;

pub use error::{ClientError, ConnectError, SubmitError};
pub use request::SubmitRequest;

use request::Prepared;

/// How long a submission is tried while the broker does not answer, unless the client says
/// otherwise.
pub const PATIENCE_DEFAULT: Duration = Duration::from_secs(10);
/// How long one request waits for its answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// Submits jobs and asks for them. A clone shares the connection.
///
/// A client writes into the ledger itself, which needs a trusted submitter's permissions and no
/// coordinator; one from [`Client::front_door`] hands its jobs to a coordinator.
#[derive(Debug, Clone)]
pub struct Client {
    broker: Broker,
    door: Door,
    patience: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Direct,
    Front,
}

/// What became of a submission that was understood.
///
/// A submission whose answer got lost is decided by reading the job back. If the ledger then holds
/// the same job, this says [`Submitted::Accepted`]: it was our own write that landed, or somebody's
/// equal one before it; nobody can tell them apart, and either way the job is accepted once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Submitted {
    /// The job is in the ledger.
    Accepted {
        /// Its acceptance number.
        accepted: Accepted,
    },
    /// The same job was accepted before; nothing was written.
    Duplicate {
        /// The acceptance number of the first one.
        accepted: Accepted,
    },
    /// Another job was accepted under this id before; nothing was written.
    Conflict {
        /// The acceptance number of the first one.
        accepted: Accepted,
        /// What differs, such as `the payload`.
        differs: String,
    },
}

impl Submitted {
    /// The acceptance number of the job that the ledger holds under the id.
    #[must_use]
    pub const fn accepted(&self) -> Accepted {
        match self {
            Self::Accepted { accepted }
            | Self::Duplicate { accepted }
            | Self::Conflict { accepted, .. } => *accepted,
        }
    }
}

impl Client {
    /// Connects to the servers of `servers`: one address, or several with commas between.
    ///
    /// # Errors
    /// No server can be reached, or it refuses.
    pub async fn connect(
        servers: &str,
        options: ConnectOptions,
        namespace: Namespace,
    ) -> Result<Self, ConnectError> {
        let addresses: Vec<&str> = servers.split(',').map(str::trim).collect();
        let client = options
            .connect(addresses)
            .await
            .map_err(|source| ConnectError {
                servers: servers.to_owned(),
                source,
            })?;
        Ok(Self::new(client, namespace))
    }

    /// Uses a connection that exists.
    #[must_use]
    pub fn new(client: async_nats::Client, namespace: Namespace) -> Self {
        Self::with_broker(Broker::new(client, Names::new(namespace)).with_timeout(ANSWER_WITHIN))
    }

    /// Uses a connection with its own API prefix, domain or time-outs.
    #[must_use]
    pub const fn with_broker(broker: Broker) -> Self {
        Self {
            broker,
            door: Door::Direct,
            patience: PATIENCE_DEFAULT,
        }
    }

    /// The same client, but its jobs go to a coordinator (`jobs.api.submit`), which checks them at
    /// once and writes them: for submitters that are not trusted with the ledger.
    #[must_use]
    pub fn front_door(&self) -> Self {
        Self {
            door: Door::Front,
            ..self.clone()
        }
    }

    /// The same client with another time for which a submission is tried while nobody answers;
    /// default [`PATIENCE_DEFAULT`].
    #[must_use]
    pub fn with_patience(&self, patience: Duration) -> Self {
        Self {
            patience,
            ..self.clone()
        }
    }

    /// The connection and the names below the namespace.
    #[must_use]
    pub const fn broker(&self) -> &Broker {
        &self.broker
    }

    /// Submits `job` as `id` to `queue`, with [`Job::KIND`], [`Job::key`] and all else as the queue
    /// is configured.
    ///
    /// # Errors
    /// It was not accepted, or nobody knows; [`SubmitError::is_retryable`] says whether the same
    /// call may succeed. Repeating it never makes a second job.
    pub async fn submit<J: Job>(
        &self,
        queue: &str,
        id: &str,
        job: &J,
    ) -> Result<Submitted, SubmitError> {
        self.submit_raw(SubmitRequest::for_job(queue, id, job)?)
            .await
    }

    /// Submits a job with all its settings.
    ///
    /// # Errors
    /// As [`Client::submit`].
    pub async fn submit_raw(&self, request: SubmitRequest) -> Result<Submitted, SubmitError> {
        let prepared = self.prepare(request)?;
        self.settle(&prepared, None).await
    }

    /// Submits many jobs at once and returns their answers in the same order. One that fails stops
    /// no other.
    pub async fn submit_many(
        &self,
        requests: impl IntoIterator<Item = SubmitRequest>,
    ) -> Vec<Result<Submitted, SubmitError>> {
        let prepared = requests
            .into_iter()
            .map(|request| self.prepare(request))
            .collect();
        match self.door {
            Door::Direct => many::direct(self, prepared).await,
            Door::Front => many::front(self, prepared).await,
        }
    }

    fn prepare(&self, request: SubmitRequest) -> Result<Prepared, SubmitError> {
        request.prepare(&self.broker, self.door)
    }

    /// Gets one submission decided. `first` is the answer to a write that was already sent.
    async fn settle(
        &self,
        prepared: &Prepared,
        first: Option<Answer>,
    ) -> Result<Submitted, SubmitError> {
        match self.door {
            Door::Direct => read_back::settle(self, prepared, first).await,
            Door::Front => door::ask(self, prepared).await,
        }
    }
}
