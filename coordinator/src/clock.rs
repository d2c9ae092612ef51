//! The only place of the coordinator that asks for the time.
//!
//! "Now" runs with the boot clock, which neither jumps nor stands still in a suspended host, and is
//! set by the broker's time, so that a due time means the same on every coordinator.

use std::time::Duration;

use election::{boot_now, wall_now};
use protocol::leadership::Moment;
use protocol::time::Timestamp;

/// The time as the rules take it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    /// A point of the boot clock, and the time that it was then.
    base: (Moment, Timestamp),
}

impl Clock {
    /// Starts from the host's clock, until the broker's is known.
    pub(crate) fn start() -> Self {
        Self {
            base: (boot_now(), wall_now()),
        }
    }

    /// The time now.
    pub(crate) fn now(&self) -> Timestamp {
        self.base.1.after(boot_now().since(self.base.0))
    }

    /// Sets the time by the broker's, read at `at`. Returns how far off it was.
    pub(crate) fn set(&mut self, at: Moment, broker: Timestamp) -> Duration {
        let before = self.base.1.after(at.since(self.base.0));
        self.base = (at, broker);
        before.since(broker).max(broker.since(before))
    }

    /// How long until `at`.
    pub(crate) fn until(&self, at: Timestamp) -> Duration {
        at.since(self.now())
    }
}
