//! What a handler knows about the run that it is. It never reaches the broker.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_nats::HeaderMap;
use protocol::id::{JobId, Key, Kind, QueueName, WorkerId};
use protocol::leadership::Moment;
use protocol::number::{Accepted, Attempt};
use protocol::worker::CancelReason;
use tokio_util::sync::CancellationToken;

use crate::clock;

/// Which job, which attempt, which delivery: the same for handlers and observers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobInfo {
    /// The queue.
    pub queue: QueueName,
    /// What the submitter calls the job.
    pub id: JobId,
    /// Which handler runs it.
    pub kind: Kind,
    /// What it does not run beside.
    pub key: Option<Key>,
    /// The job's acceptance number.
    pub accepted: Accepted,
    /// Which try, from 1.
    pub attempt: Attempt,
    /// How often the broker handed the attempt out, from 1.
    pub delivery: u64,
    /// The worker that runs it.
    pub worker: WorkerId,
}

/// Orders the runs of one job: an outside system that keeps the highest token it has seen, and
/// refuses a lower one, is never changed by a straggler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FencingToken {
    /// The job's acceptance number.
    pub accepted: Accepted,
    /// Which try.
    pub attempt: Attempt,
    /// Which delivery of it.
    pub delivery: u64,
}

impl fmt::Display for FencingToken {
    /// `17.2.1`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            accepted,
            attempt,
            delivery,
        } = self;
        write!(f, "{}.{}.{delivery}", accepted.get(), attempt.get())
    }
}

/// The run that a handler is. A clone is the same run.
#[derive(Debug, Clone)]
pub struct JobContext {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    info: Arc<JobInfo>,
    headers: Arc<HeaderMap>,
    time_out_at: Option<Moment>,
    cancellation: Cancellation,
}

/// The firing side of a handler's cancellation. The first reason stays.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cancellation {
    token: CancellationToken,
    reason: Arc<OnceLock<CancelReason>>,
}

impl Cancellation {
    pub(crate) fn fire(&self, reason: CancelReason) {
        // A second reason comes after the handler was told; the first is what it acts on.
        if self.reason.set(reason).is_ok() {
            self.token.cancel();
        }
    }
}

impl JobContext {
    pub(crate) fn new(
        info: Arc<JobInfo>,
        headers: Arc<HeaderMap>,
        time_out_at: Option<Moment>,
        cancellation: Cancellation,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                info,
                headers,
                time_out_at,
                cancellation,
            }),
        }
    }

    /// All that names this run.
    #[must_use]
    pub fn info(&self) -> &JobInfo {
        &self.inner.info
    }

    /// What the submitter calls the job; [`JobId::to_raw`] is its own spelling.
    #[must_use]
    pub fn id(&self) -> &JobId {
        &self.info().id
    }

    /// The queue.
    #[must_use]
    pub fn queue(&self) -> &QueueName {
        &self.info().queue
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> &Kind {
        &self.info().kind
    }

    /// The key: no other job of it is outstanding.
    #[must_use]
    pub fn key(&self) -> Option<&Key> {
        self.info().key.as_ref()
    }

    /// The job's acceptance number.
    #[must_use]
    pub fn accepted(&self) -> Accepted {
        self.info().accepted
    }

    /// Which try, from 1.
    #[must_use]
    pub fn attempt(&self) -> Attempt {
        self.info().attempt
    }

    /// How often the broker handed this attempt out, from 1.
    #[must_use]
    pub fn delivery(&self) -> u64 {
        self.info().delivery
    }

    /// To hand to outside systems, so that they refuse an older run of this job.
    #[must_use]
    pub fn token(&self) -> FencingToken {
        FencingToken {
            accepted: self.accepted(),
            attempt: self.attempt(),
            delivery: self.delivery(),
        }
    }

    /// What is left of the attempt's time-out; `None` without one.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.inner.time_out_at.map(|at| at.since(clock::now()))
    }

    /// A header of the job, such as `traceparent`, as its submitter set it.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.inner.headers.get(name).map(|value| value.as_str())
    }

    /// Waits until this run is asked to stop, and says why. A handler that goes on is aborted after
    /// the worker's grace. [`CancelReason::LeaseLost`] is the urgent one: the job may be starting
    /// elsewhere.
    ///
    /// ```no_run
    /// # async fn step() {}
    /// # async fn handler(job: worker_sdk::JobContext) -> Result<(), worker_sdk::JobError> {
    /// tokio::select! {
    ///     () = step() => Ok(()),
    ///     reason = job.cancelled() => Err(worker_sdk::JobError::retry(reason.as_str())),
    /// }
    /// # }
    /// ```
    pub async fn cancelled(&self) -> CancelReason {
        self.inner.cancellation.token.cancelled().await;
        self.cancel_reason()
            .expect("the reason is set before the token fires")
    }

    /// Why this run is asked to stop; `None` while it is not.
    #[must_use]
    pub fn cancel_reason(&self) -> Option<CancelReason> {
        self.inner.cancellation.reason.get().copied()
    }
}
