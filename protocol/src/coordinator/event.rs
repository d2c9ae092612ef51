//! What a coordinator is told, one variant for each source.

use crate::answer::Answer;
use crate::door::Usage;
use crate::id::WorkerId;
use crate::ledger::{Record, RecordIdentity};
use crate::message::WorkerSays;
use crate::number::{Accepted, Epoch, Sequence};
use crate::takeover::WorkTail;
use crate::time::Timestamp;
use crate::workers::Pong;

/// What happened, one variant for each source.
pub enum Event<'a> {
    /// The next record of the ledger.
    Record(&'a Record<'a>),
    /// A payload that was read again.
    Reread {
        /// The job.
        accepted: Accepted,
        /// Its payload.
        payload: &'a [u8],
    },
    /// The lease was won, or a new epoch was taken.
    Won(Epoch),
    /// The lease cannot be renewed for now: write nothing.
    Suspended,
    /// The lease is ours again; nobody led in between.
    Resumed,
    /// The lease is lost, or was given back.
    Lost,
    /// No new epoch: the lease's own news tell why, and may have come, with a new win, before this.
    NotAdvanced,
    /// The tail of the work queue and the ledger's facts were read.
    Looked {
        /// For which epoch.
        epoch: Epoch,
        /// The work queue.
        tail: WorkTail,
        /// The ledger.
        ledger: LedgerFacts,
    },
    /// The fence was answered.
    Fenced(Epoch, Answer),
    /// The work queue was listed.
    Listed(Epoch, Vec<String>),
    /// The barrier was answered.
    Barred(Epoch, Answer),
    /// An audit's listing, and the ledger's last sequence, read after it.
    Audited(Epoch, Vec<String>, Sequence),
    /// A dispatch was answered.
    Dispatched {
        /// Its tag.
        tag: u64,
        /// The answer.
        answer: Answer,
    },
    /// A dispatch was not sent, and never can be: the broker takes no message of its size.
    Unsendable {
        /// Its tag.
        tag: u64,
        /// Why, for the dead letter.
        why: String,
    },
    /// A record was answered.
    Wrote {
        /// The job that it is about.
        accepted: Accepted,
        /// The answer.
        answer: Answer,
    },
    /// There is a connection to the broker, a new one: what workers said before may have been missed.
    Connected,
    /// The connection to the broker is gone.
    Disconnected,
    /// A worker said something.
    Said(WorkerSays),
    /// A ping showed something.
    Ponged(WorkerId, Pong),
    /// How full the ledger and its account are, and whether the door is open.
    Usage(Vec<Usage>, Option<bool>),
    /// The ledger's facts were read between takeovers; `then` is the last record that was folded when
    /// they were asked for.
    LedgerSeen {
        /// The ledger.
        facts: LedgerFacts,
        /// What was folded.
        then: Option<RecordIdentity>,
    },
    /// What exists on the broker was compared with what should.
    Ground(Ground),
    /// Time has passed.
    Tick,
}

/// What a look at the broker's streams and buckets showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ground {
    /// The promises hold with what is there.
    Sound,
    /// A promise does not hold with what is there, for this reason.
    Unsafe(String),
    /// There is no ledger.
    LedgerGone,
    /// The work queue was deleted, and is made anew: no fence stands in it.
    WorkMade,
}

/// What is known of the ledger at its stream leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerFacts {
    /// When the stream was made.
    pub created: Timestamp,
    /// Its last sequence.
    pub last: Sequence,
    /// The record at the sequence that we folded last, if it is there.
    pub at_folded: Option<RecordIdentity>,
}
