//! What goes into a crew's rules and what comes out of them.

use super::plan::Plan;
use super::record::{MemberRecord, RecordError};
use crate::answer::Answer;
use crate::leadership::{Incarnation, Moment};
use crate::number::{Epoch, Sequence};

/// A record of a crew.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// Who holds what.
    Plan,
    /// The record of one life of one member.
    Member(Incarnation),
}

/// What stood at a key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Content {
    /// Nothing, or the mark of a deletion.
    Vacant,
    /// A member's record.
    Member(MemberRecord),
    /// A plan.
    Plan(Plan),
    /// Something that this version cannot read.
    Foreign(RecordError),
}

impl Content {
    /// Reads what stands at a key at this revision. Total: what cannot be read is foreign.
    #[must_use]
    pub fn parse(key: &Key, revision: Sequence, bytes: &[u8]) -> Self {
        let read = match key {
            Key::Plan => Plan::parse(revision, bytes).map(Self::Plan),
            Key::Member(_) => MemberRecord::parse(bytes).map(Self::Member),
        };
        read.unwrap_or_else(Self::Foreign)
    }
}

/// What reaches a member.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Input {
    /// Time has passed.
    Tick,
    /// There is a connection, a new one: nothing asked before is answered on it.
    Connected,
    /// The connection is gone: what is under way will not be answered, and may land all the same.
    Disconnected,
    /// This member is the one that writes plans, elected under this epoch, or is not any more.
    Planning(Option<Epoch>),
    /// A key stands so at this revision; 0 if the stream holds nothing for it. From the broker's
    /// committed records: a watch, or a read by the stream leader.
    Seen(Key, Sequence, Content),
    /// The answer to [`Effect::Read`].
    Read(u64, ReadAnswer),
    /// The answer to [`Effect::List`]: every member that has a record, or no answer.
    Listed(u64, Option<Vec<Incarnation>>),
    /// The answer to [`Effect::Write`].
    Wrote(u64, Answer),
    /// The work of the share of this number has ended, all of it.
    Ended(u32),
    /// Give up every share, say so, and be gone.
    Leave,
}

/// What a read by the stream leader gave.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ReadAnswer {
    /// What stands at the key, at which revision.
    Seen(Sequence, Content),
    /// No answer that tells anything.
    Failed,
}

/// What must be done, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Effect {
    /// The permit under which all shares are run ends at this moment: let a timer kill the process
    /// then, where that is wanted. Comes before each `Start` that needs it.
    Guard(Moment),
    /// No work of a share is left: no timer is needed.
    Unguard,
    /// Begin the work of a share.
    Start(Grant),
    /// The work of this share must end now; answered by [`Input::Ended`].
    Revoke(u32, RevokeReason),
    /// Store the bytes if the key's last revision is `expected` (0: none). Answered by
    /// [`Input::Wrote`] with the id. Never queued, never repeated by the client.
    Write {
        /// Answers bear it.
        id: u64,
        /// Where.
        key: Key,
        /// The revision that must be the key's last.
        expected: Sequence,
        /// What to store.
        body: Vec<u8>,
    },
    /// Read the key at the stream leader. Answered by [`Input::Read`] with the id.
    Read(u64, Key),
    /// List every member that has a record, at the stream leader. Answered by [`Input::Listed`] with
    /// the id.
    List(u64),
    /// Tell the program.
    Notify(Notice),
}

/// One share and the right to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Grant {
    /// Which: the index, or the partition, from 0.
    pub number: u32,
    /// Of how many: members of the generation, or partitions.
    pub of: u32,
    /// The revision of the plan that granted it: grows from holder to holder, so that an outside
    /// system can refuse an older one. For an index it is the number of the generation.
    pub token: Sequence,
}

/// Why a share's work must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RevokeReason {
    /// The plan gives it to another, or begins a new generation.
    Moved,
    /// The member's record was not renewed in time: others may take over.
    Unrenewed,
    /// The member leaves.
    Leaving,
    /// The member is out of the crew.
    Out,
}

/// What a program is told, in order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Notice {
    /// The member is in the crew; it holds nothing yet.
    Joined,
    /// The permit ended before the record was renewed: it holds nothing.
    Suspended,
    /// The record was renewed after all: nobody had taken over.
    Resumed,
    /// The member is out, for good: another life may join.
    Out(OutReason),
    /// A newer plan is known.
    Planned {
        /// The plan's revision.
        revision: Sequence,
        /// How many members it gives shares to.
        members: u32,
    },
    /// The plan cannot be obeyed: nothing is held until there is another.
    Unusable(String),
    /// This member replaced the record of another that had been silent for a whole lease.
    Evicted(Incarnation),
}

/// Why a member is out.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
pub enum OutReason {
    /// It said so itself.
    #[error("it left")]
    Left,
    /// Another member found it silent for a whole lease.
    #[error("it was evicted by {0}")]
    Evicted(String),
    /// Its record was removed.
    #[error("its record was deleted")]
    Deleted,
    /// Its record is not its own any more.
    #[error("its record was overwritten")]
    Overwritten,
}

/// What this process is in the crew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Its record is not known to be stored.
    Joining,
    /// It may hold shares until this moment, unless it renews.
    Member(Moment),
    /// Its permit ended.
    Suspended,
    /// It is winding up.
    Leaving,
    /// It is out.
    Out,
}
