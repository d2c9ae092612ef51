//! A graceful stop: nothing new is taken, what runs may finish, what does not is given back, so
//! that the attempt does not count.

use std::time::Duration;

use protocol::leadership::Moment;
use protocol::worker::Event;

use super::Engine;
use crate::clock;

/// How long after the last abort outcomes may still be on their way.
const OUTCOMES_WITHIN: Duration = Duration::from_secs(3);

/// How long deliveries that were on their way are waited for.
const DRAINED_WITHIN: Duration = Duration::from_secs(2);

/// A stop under way.
pub(super) struct Stopping {
    /// Until when handlers may finish by themselves.
    cancel_at: Moment,
    /// When it ends whatever is left.
    end_at: Moment,
    /// Until when deliveries that were on their way are waited for.
    drained_by: Moment,
    cancelled: bool,
}

/// Whether the pull inboxes are closed and empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drained {
    Yes,
    NotYet,
}

/// What became of the runs that a worker had when it was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stopped {
    /// Deliveries that it gave back to the queue in its life, kinds without a handler included.
    pub released: u64,
    /// Runs without a recorded outcome that it could not give back: the broker hands them out
    /// again when their lease ends.
    pub left: u64,
}

impl Engine {
    /// Takes nothing more; handlers may finish within `patience`.
    pub(crate) fn stop(&mut self, patience: Duration, now: Moment) {
        let cancel_at = now.after(patience);
        let end_at = cancel_at.after(self.setup.grace + OUTCOMES_WITHIN);
        match &mut self.stopping {
            Some(stopping) => {
                stopping.cancel_at = stopping.cancel_at.min(cancel_at);
                stopping.end_at = stopping.end_at.min(end_at);
            }
            None => {
                tracing::info!(worker_id = %self.setup.worker, runs = self.runs.len(), ?patience, "stopping");
                self.stopping = Some(Stopping {
                    cancel_at,
                    end_at,
                    drained_by: now.after(DRAINED_WITHIN),
                    cancelled: false,
                });
                self.say_here();
                self.tell_all(&Event::Stop, now);
            }
        }
        self.look_at_stop(now);
    }

    pub(super) fn look_at_stop(&mut self, now: Moment) {
        if let Some(stopping) = &mut self.stopping
            && now >= stopping.cancel_at
            && !stopping.cancelled
        {
            stopping.cancelled = true;
            self.tell_all(&Event::StopNow, now);
        }
    }

    pub(crate) const fn is_stopping(&self) -> bool {
        self.stopping.is_some()
    }

    /// Whether a stop has come to its end. A connection that is away never says that
    /// the pull inboxes are drained.
    pub(crate) fn is_over(&self, drained: Drained, now: Moment) -> bool {
        self.stopping.as_ref().is_some_and(|stopping| {
            let idle =
                self.runs.is_empty() && (drained == Drained::Yes || now >= stopping.drained_by);
            idle || now >= stopping.end_at
        })
    }

    /// The last words.
    pub(crate) fn leave(&mut self) -> Stopped {
        self.stopped.left = u64::try_from(self.runs.len()).unwrap_or(u64::MAX);
        self.say_let_go(clock::now());
        self.say_gone();
        self.outbox.send();
        self.stopped
    }
}
