//! What the work of a singleton is given: the right to act, for as long as it lasts.

use std::sync::Arc;
use std::time::Duration;

use election::{Election, Expired, Permit};
use protocol::number::Epoch;
use tokio_util::sync::CancellationToken;

/// One run of a singleton's work, and its right to act. Check it where it is used.
#[derive(Debug, Clone)]
pub struct Tenure {
    permit: Permit,
    cancelled: CancellationToken,
    election: Arc<Election>,
}

impl Tenure {
    pub(super) const fn new(
        permit: Permit,
        cancelled: CancellationToken,
        election: Arc<Election>,
    ) -> Self {
        Self {
            permit,
            cancelled,
            election,
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

    /// Says that the work gets on. Where [`progress_within`](super::SingletonBuilder::progress_within)
    /// is set, a run that has not said so for that long is ended, and another process has its chance.
    pub fn alive(&self) {
        // What must end keeps nobody else waiting.
        if !self.cancelled.is_cancelled() {
            self.election.alive();
        }
    }
}
