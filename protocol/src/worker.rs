//! The worker's half: may I run this, is the lease still mine, what do I record, when do I ack.
//! Pure: it asks for reads and writes, and never sends one.
//!
//! A [`Run`] is one delivery of one attempt in one worker. What decides, in order:
//!
//! * A suspect delivery ([`Connection::suspects`]) is looked up in the ledger before its handler
//!   starts: if its outcome stands there, it is acked and nothing runs.
//! * The outcome is written first, the ack follows only a stored or found outcome. A write that was
//!   refused or not answered is decided by reading; an absent outcome is written again.
//! * Where several servers keep the work queue, a delivery of a job with a key is run only while a server
//!   that comes to lead would leave it alone, too ([`Lease::backed`]).
//! * After the local deadline of the lease no progress ack and no nak is sent: they would hit
//!   whoever holds the message now. The outcome may still be written: the first one wins.

mod contact;
mod lease;
mod record;
mod run;

#[cfg(test)]
mod backed;
#[cfg(test)]
mod orders;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::answer::Answer;
use crate::leadership::Moment;
use crate::time::Timestamp;

pub use contact::{Contact, ContactChange, ECHO_EVERY, LOST_AFTER};
pub use lease::{Lease, asked_for};
pub use run::{Run, pass_on_delay};

/// How often an attempt is handed out to run. The next delivery records it as failed instead: a job
/// that kills its process must not go round for ever.
pub const DELIVERIES_MAX: u64 = 5;
/// A message older than this is looked up before it is run.
pub const FRESH_FOR: Duration = Duration::from_secs(1);
/// How long a read or a write waits for its answer.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// How long after a connection was made a keyed job that may run elsewhere waits. A broker that was
/// killed may hand it out again while its holder works on: the holder stops within [`LOST_AFTER`], a
/// look at the clock and [`LOST_GRACE`] of losing the same broker, or when it reaches its successor.
pub const HOLDERS_STOP_WITHIN: Duration = Duration::from_secs(2);
/// The pause before the first repeat of a read or write; it doubles with each.
pub const REPEAT_AFTER: Duration = Duration::from_millis(100);
/// Longest pause between two repeats.
pub const REPEAT_AFTER_MAX: Duration = Duration::from_secs(5);
/// The nak delay for a kind without a handler here; it doubles with each delivery.
pub const UNKNOWN_KIND_DELAY: Duration = Duration::from_secs(1);
/// Longest nak delay for a kind without a handler here.
pub const UNKNOWN_KIND_DELAY_MAX: Duration = Duration::from_secs(30);
/// How long a handler may wind up after its lease was lost, before it is aborted: short, since
/// another run of the job may be starting.
pub const LOST_GRACE: Duration = Duration::from_millis(500);
/// How long after its abort a handler counts as stuck, and its attempt is recorded regardless.
pub const STUCK_AFTER: Duration = Duration::from_secs(10);

/// When the present connection was first used, on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection {
    /// What the broker's clock showed.
    pub broker_time: Timestamp,
    /// When its answer arrived.
    pub at: Moment,
}

impl Connection {
    /// Whether a delivery must be looked up before it is run: it was handed out before, it was
    /// stored before this connection, or more than [`FRESH_FOR`] ago. A broker that was killed may
    /// hand out a finished attempt with count 1.
    #[must_use]
    pub fn suspects(&self, count: u64, stored: Timestamp, now: Moment) -> bool {
        let broker_now = self.broker_time.after(now.since(self.at));
        if planted!(CountAloneIsSuspect) {
            return count > 1;
        }
        count > 1 || stored <= self.broker_time || broker_now.since(stored) >= FRESH_FOR
    }

    /// When a message that the broker stored at `stored` was stored, on the worker's clock.
    #[must_use]
    pub fn moment_of(&self, stored: Timestamp) -> Moment {
        if stored > self.broker_time {
            return self.at.after(stored.since(self.broker_time));
        }
        let before = self.broker_time.since(stored).as_nanos();
        let before = u64::try_from(before).unwrap_or(u64::MAX);
        Moment::from_nanos(self.at.as_nanos().saturating_sub(before))
    }

    /// When a job with a key may start, if it was handed out `count` times and stored at `stored`:
    /// one that another worker may still hold waits until that one has stopped.
    #[must_use]
    pub fn keyed_start(&self, count: u64, stored: Timestamp) -> Moment {
        if count > 1 || stored <= self.broker_time {
            self.at.after(HOLDERS_STOP_WITHIN)
        } else {
            self.at
        }
    }
}

/// What a worker received, as far as the rules care.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// How often the broker handed the attempt out, from 1.
    pub count: u64,
    /// The right to it.
    pub lease: Lease,
    /// Whether the ledger must be asked before it runs.
    pub suspect: bool,
    /// Whether its job has a key.
    pub keyed: bool,
    /// The ledger is not asked and its handler not called before ([`Connection::keyed_start`]).
    pub start_at: Moment,
    /// Longest run.
    pub timeout: Option<Duration>,
    /// What this worker can do with it.
    pub plan: Plan,
}

/// What a worker can do with a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// It has a handler.
    Run,
    /// It has none, or does not know the version: another worker may.
    PassOn,
    /// No worker can run it: its outcome, ready to be written.
    Record(Vec<u8>),
}

/// Why a handler is asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CancelReason {
    /// The worker stops. The attempt is given back and does not count.
    Stopping,
    /// The attempt's time-out has passed.
    TimedOut,
    /// Somebody asked to cancel the job.
    Requested,
    /// The delivery may be another worker's now. What the handler still does may be done twice.
    LeaseLost,
}

impl CancelReason {
    /// The word for people and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stopping => "stopping",
            Self::TimedOut => "timed-out",
            Self::Requested => "requested",
            Self::LeaseLost => "lease-lost",
        }
    }
}

/// How a handler ended. The bodies are outcomes, ready to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finish {
    /// It did its work.
    Completed(Vec<u8>),
    /// It returned an error or panicked.
    Failed(Vec<u8>),
    /// It said itself that the job is cancelled.
    Cancelled(Vec<u8>),
    /// It was aborted, or its runtime went away.
    Aborted,
}

/// Tells the answers of one run's requests apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ask(pub u32);

/// What a read of the ledger at its leader showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// The attempt has an outcome, whoever wrote it.
    Outcome,
    /// It has none.
    Nothing,
    /// Nobody knows: no answer, or no usable one.
    Unknown,
}

/// What happens to a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The clock was looked at. To be sent about twenty times a second.
    Look,
    /// There is a slot for it.
    Room,
    /// The answer to [`Effect::Read`].
    Read(Ask, Found),
    /// The answer to [`Effect::Write`].
    Written(Ask, Answer),
    /// The broker confirmed a [`Effect::Progress`].
    Confirmed(Ask),
    /// A write to a replicated stream that was sent then is stored.
    Witnessed(Moment),
    /// The handler ended.
    Finished(Finish),
    /// Somebody asked to cancel the job.
    Cancel,
    /// The attempt was handed on to another worker.
    HandedOn,
    /// The broker was lost ([`Contact`]).
    Lost,
    /// The connection to the same broker changed: somebody may have taken this worker for dead
    /// meanwhile. Another broker, or the same one started anew, counts as [`Event::Lost`]: it may
    /// have forgotten who holds what.
    Reconnected,
    /// The worker stops: what has not started is given back.
    Stop,
    /// The time to finish is over: what runs is cancelled.
    StopNow,
}

/// What is to be done for a run, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Read the attempt's outcome at the ledger's leader.
    Read(Ask),
    /// Write the run's outcome ([`Run::outcome`]).
    Write(Ask),
    /// Ask the broker for more time, with an answer.
    Progress(Ask),
    /// Write something to a replicated stream, for [`Event::Witnessed`].
    Witness,
    /// Call the handler.
    Start,
    /// Fire the handler's cancellation.
    Cancel(CancelReason),
    /// Abort the handler.
    Abort,
    /// Tell the broker that the attempt is done with.
    Ack,
    /// Give the delivery back.
    Nak(Duration),
    /// Tell the leader that nobody runs the delivery, as soon as the broker can be reached, and no
    /// more from this moment on: a nak of our own could hit whoever holds it now.
    LetGo(Moment),
    /// Tell an operator.
    Alarm(String),
    /// Forget the run: its slot is free.
    Forget,
}
