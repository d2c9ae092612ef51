//! What goes into a contest and what comes out of it.

use std::time::Duration;

use super::moment::Moment;
use super::observation::Observation;
use super::record::{Incarnation, LeaseRecord};
use super::suspicion::PingAnswer;
use crate::answer::Answer;
use crate::number::{Epoch, Sequence};

/// What reaches a contest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Time has passed.
    Tick,
    /// There is a connection, a new one: nothing asked before is answered on it.
    Connected,
    /// The connection is gone: what is under way will not be answered, and may land all the same.
    Disconnected,
    /// Stand for election from now on.
    Campaign,
    /// Stand no longer. Who leads goes on leading.
    Withdraw,
    /// The work of the leader has stopped: release the lease and stand no longer.
    Resign,
    /// The leader needs a new epoch, above this one.
    Advance(Epoch),
    /// Epochs up to this one are used up, as other records show.
    Floor(Epoch),
    /// Somebody asks whoever leads in this epoch to hand over. For another epoch it means nobody.
    StepDownAsked(Epoch),
    /// Somebody wrote the key: who and with which nonce, if it could be read.
    Hint(Option<(Incarnation, u64)>),
    /// The answer to [`Effect::Read`].
    Read(u64, ReadAnswer),
    /// The answer to [`Effect::Write`].
    Wrote(u64, Answer),
    /// The answer to [`Effect::Ping`].
    Pinged(u64, PingAnswer),
    /// This incarnation beat: it holds the lease, or thinks so.
    Beat(Incarnation),
    /// The program did something useful at this moment.
    Progressed(Moment),
    /// The bucket is not the one it was: its revisions begin anew.
    BucketReplaced,
    /// The election ends here; what is still held is left to the lease.
    Stop,
}

/// What a read by the stream leader gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadAnswer {
    /// What stands at the key.
    Seen(Observation),
    /// No answer that tells anything.
    Failed,
}

/// What must be done, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Every permit ends now.
    Distrust,
    /// Permits of this epoch hold until this moment, all others end.
    Trust(Epoch, Moment),
    /// Tell the program.
    Notify(Notice),
    /// Publish the record if the key's last revision is `expected` (0: none). Answered by
    /// [`Input::Wrote`] with the record's nonce. Never queued, never repeated by the client.
    Write {
        /// The revision that must be the key's last.
        expected: Sequence,
        /// What to store.
        record: LeaseRecord,
    },
    /// Read the key at the stream leader. Answered by [`Input::Read`] with this number.
    Read(u64),
    /// Ask whether this incarnation answers. Answered by [`Input::Pinged`] with this number.
    Ping(u64, Incarnation),
    /// Let all candidates know that this process lives and holds the lease. Not answered.
    Beat,
    /// [`Input::Advance`] came to this.
    Advanced(Result<Epoch, AdvanceRefused>),
    /// [`Input::Resign`] came to this.
    Resigned(Result<(), ResignRefused>),
}

/// What a program is told, in order. After each `Acquired` comes exactly one `Released` or `Lost`
/// of the same leadership; between them `Suspended` and `Resumed` alternate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// This process stands for election.
    Candidate,
    /// This process leads.
    Acquired {
        /// The number of its leadership.
        epoch: Epoch,
    },
    /// The lease could not be renewed in time: act no more. Others may have taken over, or not.
    Suspended {
        /// The epoch held until now.
        epoch: Epoch,
    },
    /// Nobody had taken over: this process leads on.
    Resumed {
        /// The epoch from now on; a new one in strict mode.
        epoch: Epoch,
    },
    /// The lease was given back.
    Released {
        /// The epoch that ended.
        epoch: Epoch,
    },
    /// The leadership ended otherwise.
    Lost {
        /// The epoch that ended.
        epoch: Epoch,
        /// Why.
        reason: LostReason,
    },
    /// Somebody asks this process to hand over. It leads on until the program resigns.
    StepDownAsked {
        /// The epoch that it leads in.
        epoch: Epoch,
    },
    /// The record names another leader, or none.
    LeaderChanged(Option<Leader>),
}

/// Whom the record names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leader {
    /// The name for people.
    pub holder: String,
    /// Which life of it.
    pub incarnation: Incarnation,
    /// The number of the leadership.
    pub epoch: Epoch,
}

/// Why a leadership ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LostReason {
    /// Another process took over.
    #[error("{} took over under {}", .0.holder, .0.epoch)]
    TakenOver(Leader),
    /// The record is released, but not by this leadership.
    #[error("the record was released")]
    Released,
    /// Something that is no lease record stands at the key.
    #[error("the record was overwritten")]
    Overwritten,
    /// Nothing stands at the key any more.
    #[error("the record was deleted")]
    Deleted,
    /// The bucket lost its newest records, or is another one.
    #[error("the bucket went back or was replaced")]
    WentBack,
    /// The release was not answered within a lease.
    #[error("the release was not answered")]
    Unanswered,
    /// The program reported no progress for longer than it is allowed to.
    #[error("the program made no progress")]
    Stalled,
    /// The election was stopped while it led.
    #[error("the election was stopped")]
    Stopped,
}

/// Why no new epoch was taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdvanceRefused {
    /// This process does not lead.
    #[error("take a new epoch: this process does not lead")]
    NotLeading,
    /// Another new epoch is being taken.
    #[error("take a new epoch: another one is being taken")]
    UnderWay,
    /// The leadership ended before the new epoch was stored.
    #[error("take a new epoch: the leadership ended before")]
    Ended,
    /// No epoch above the floor can be written down.
    #[error("take a new epoch: {0} is too high to go above it")]
    TooHigh(Epoch),
}

/// Why the lease was not given back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("release the lease: {0}")]
pub struct ResignRefused(pub LostReason);

/// What this process is in the election.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It does not stand.
    Follower,
    /// It stands.
    Candidate,
    /// It leads, until this moment unless it renews.
    Leading(Epoch, Moment),
    /// It led, and does not know whether it still does.
    Suspended(Epoch),
    /// It led and gives the lease back.
    Resigning(Epoch),
}

/// Counts since the start, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Leaderships won.
    pub acquired: u64,
    /// Leaderships ended otherwise than by release.
    pub lost: u64,
    /// Times suspended.
    pub suspended: u64,
    /// Writes that were stored.
    pub stored: u64,
    /// Writes refused because another write was under way (to be tried again).
    pub busy: u64,
    /// Writes refused because of another revision.
    pub conflicts: u64,
    /// Writes without an answer.
    pub unanswered: u64,
    /// Writes refused for another reason.
    pub refused: u64,
    /// Pings that the holder answered.
    pub pings_answered: u64,
    /// Beats of the watched holder.
    pub beats_heard: u64,
    /// Holders taken for dead or stopped.
    pub suspicions: u64,
    /// Suspicions that the holder's ping, beat or renewal disproved, or an absence of our own.
    pub suspicions_withdrawn: u64,
    /// Takeovers before the lease had run out.
    pub early_takeovers: u64,
    /// The least trust that was left when a renewal arrived: near zero is an alarm.
    pub trust_left_min: Option<Duration>,
}
