//! What the work of a singleton is given: the right to act, for as long as it lasts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use election::{Election, Expired, Permit};
use protocol::number::Epoch;
use protocol::proxy::{Refusal, Right, TenureName};
use tokio_util::sync::CancellationToken;

use super::serving::{self, Call, Calls, ServeError};

/// One run of a singleton's work, and its right to act. Check it where it is used.
#[derive(Debug, Clone)]
pub struct Tenure {
    permit: Permit,
    cancelled: CancellationToken,
    election: Arc<Election>,
    calls: Arc<Calls>,
    served: Arc<AtomicBool>,
}

impl Tenure {
    pub(super) fn new(
        permit: Permit,
        cancelled: CancellationToken,
        election: Arc<Election>,
        calls: Arc<Calls>,
    ) -> Self {
        Self {
            permit,
            cancelled,
            election,
            calls,
            served: Arc::default(),
        }
    }

    /// The fencing token: the epoch of this run, above that of every run before it. Hand it to every
    /// outside system: one that keeps the highest token it has seen, and refuses a lower one, is never
    /// changed by an older run, however late that comes.
    #[must_use]
    pub const fn token(&self) -> Epoch {
        self.permit.epoch()
    }

    /// Whether this run may act at this instant. Call it before each act.
    ///
    /// # Errors
    /// It may not: stop.
    pub fn check(&self) -> Result<(), Expired> {
        if self.cancelled.is_cancelled() {
            return Err(Expired(self.token()));
        }
        self.permit.check()
    }

    /// For how long this run may act if the lease is not renewed; zero if it may not. Do not begin an
    /// act that may take longer.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        if self.cancelled.is_cancelled() {
            return Duration::ZERO;
        }
        self.permit.remaining()
    }

    /// Completes when the work must end: a wind-up before the lease does, at a loss, or at a stop.
    /// Return soon after it.
    pub async fn cancelled(&self) {
        self.cancelled.cancelled().await;
    }

    /// The same as a token, to hand on.
    #[must_use]
    pub const fn cancellation(&self) -> &CancellationToken {
        &self.cancelled
    }

    /// Answers the calls that [`LeaderProxy`](crate::LeaderProxy)s send to whoever does this work, until
    /// the run must end. Await it beside the rest of the work, with `select!` or `join!`.
    ///
    /// Up to 64 calls are carried out at a time, all on the task that awaits this: a handler must not
    /// block. Under this epoch a call is carried out once however often it is sent, as long as its
    /// answer is remembered, which is two minutes; what there is no room to remember is not begun and
    /// told to wait. Under another epoch it may be carried out again: hand [`Call::id`] and
    /// [`Call::token`] to outside systems. An answer is given only while the permit holds at that
    /// moment. After [`Tenure::cancelled`] nothing more is begun, and what is open may still be
    /// finished and answered; dropped before, this answers nothing more.
    ///
    /// A handler that panics does so as the work.
    ///
    /// # Errors
    /// This tenure was served before: what that remembered would be carried out twice. A broker that
    /// cannot be reached is tried again until the run must end.
    pub async fn serve<Fut>(&self, handler: impl Fn(Call) -> Fut) -> Result<(), ServeError>
    where
        Fut: Future<Output = Result<Bytes, Refusal>>,
    {
        if self.served.swap(true, Ordering::SeqCst) {
            return Err(ServeError::Served(self.token()));
        }
        serving::serve(self, &self.calls, handler).await;
        Ok(())
    }

    /// What may be begun and answered at this instant.
    pub(super) fn right(&self) -> Right {
        if self.permit.check().is_err() {
            Right::Ended
        } else if self.cancelled.is_cancelled() {
            Right::WindsUp
        } else {
            Right::Holds
        }
    }

    pub(super) fn name(&self) -> TenureName {
        TenureName {
            incarnation: self.election.incarnation().clone(),
            epoch: self.token(),
        }
    }

    /// Says that the work gets on. Where [`progress_within`](super::SingletonBuilder::progress_within)
    /// is set, a run that has not said so for that long is ended, and another process has its chance.
    pub fn alive(&self) {
        // What must end keeps nobody else waiting.
        if !self.cancelled.is_cancelled() {
            self.election.alive();
        }
    }
}
