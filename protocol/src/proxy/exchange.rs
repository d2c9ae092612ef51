//! What goes into a caller's rules and what comes out of them, and how a call can end.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use super::answer::{Refusal, TenureName, Verdict};
use crate::number::{CallNumber, Epoch};

/// One asking of one call: where its answer comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AskingName {
    /// The call.
    pub call: CallNumber,
    /// Which time it is asked, from 1.
    pub turn: u64,
}

impl fmt::Display for AskingName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.call.get(), self.turn)
    }
}

impl FromStr for AskingName {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (call, turn) = text.split_once('-').unwrap_or((text, ""));
        Ok(Self {
            call: CallNumber::new(call.parse()?),
            turn: turn.parse()?,
        })
    }
}

/// What came back for one asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Nobody got the question: it was not sent, or nobody listens there.
    Unreached,
    /// Who answers under this epoch says this.
    Verdict(Epoch, Verdict),
}

/// What reaches a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallerInput {
    /// Time has passed.
    Tick,
    /// Somebody tries to write the lease record: whom it would name. It may be refused.
    Hint(Option<TenureName>),
    /// The record was read: whom it names.
    Read(Option<TenureName>),
    /// The read gave no answer.
    ReadFailed,
    /// A new call.
    Call {
        /// Its number, a new one.
        call: CallNumber,
        /// Bytes of its payload.
        len: usize,
        /// How long it may take.
        within: Duration,
    },
    /// Nobody waits for this call any more.
    Withdrawn(CallNumber),
    /// Something came back.
    Replied(AskingName, Reply),
}

/// What must be done, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallerEffect {
    /// Read the lease record at its stream's leader. Answered by [`CallerInput::Read`] or
    /// [`CallerInput::ReadFailed`].
    Read,
    /// Ask this tenure. Answered by [`CallerInput::Replied`], or never.
    Ask(AskingName, TenureName),
    /// The call has ended: the answer and the epoch that gave it, or why there is none.
    End(CallNumber, Result<(Arc<[u8]>, Epoch), CallFailure>),
}

/// Which limit a call would exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Overflow {
    /// The number of calls.
    #[error("{0} calls wait already, and no more may")]
    Calls(usize),
    /// The bytes of their payloads.
    #[error("the calls that wait may have {0} bytes in all, and this one has no room beside them")]
    Len(usize),
}

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallFailure {
    /// Nobody who leads was reached before the deadline. Nobody began it.
    #[error("no leader was reached in time; it was not begun: call again")]
    NoLeader,
    /// The leader had no room until the deadline. Nobody began it.
    #[error("the leader of {0} had no room in time; it was not begun: call again, less often")]
    Busy(Epoch),
    /// Too much waits. Nobody was asked.
    #[error("the caller's buffer is full: {0}; nobody was asked: call again later")]
    Overflow(Overflow),
    /// The payload is too long. Nobody was asked.
    #[error("its payload has {len} bytes, {len_max} are possible; nobody was asked")]
    TooLarge {
        /// Its bytes.
        len: usize,
        /// How many it may have.
        len_max: usize,
    },
    /// The leader's handler refuses it.
    #[error("the leader of {epoch} refused: {refusal}")]
    Refused {
        /// Under which epoch.
        epoch: Epoch,
        /// Why.
        refusal: Refusal,
    },
    /// Another call with this id was carried out under this epoch. This one was not begun there.
    #[error("another call with this id reached the leader of {0}: take a new id")]
    Conflict(Epoch),
    /// It was carried out, and the answer is longer than one may be.
    #[error("carried out under {epoch}, but the answer has {len} bytes and {len_max} are possible")]
    AnswerTooLong {
        /// Under which epoch.
        epoch: Epoch,
        /// The answer's bytes.
        len: usize,
        /// How many it may have.
        len_max: usize,
    },
    /// Asked, last under this epoch, and no answer came before the deadline: it may have been carried
    /// out, once under each epoch in which it was asked.
    #[error(
        "asked, last under {0}, and not answered in time: it may have been carried out; call again with the same id"
    )]
    Unknown(Epoch),
    /// The caller itself has ended before it knew more: it may have been carried out.
    #[error(
        "the leader proxy has ended; it may have been carried out; call again with the same id"
    )]
    Ended,
}

impl CallFailure {
    /// Whether it may have been carried out all the same. Then call again with the same id only:
    /// under an epoch in which it was, it is not carried out again.
    #[must_use]
    pub const fn may_be_done(&self) -> bool {
        match self {
            Self::Unknown(_) | Self::Ended | Self::AnswerTooLong { .. } => true,
            Self::NoLeader
            | Self::Busy(_)
            | Self::Overflow(_)
            | Self::TooLarge { .. }
            | Self::Refused { .. }
            | Self::Conflict(_) => false,
        }
    }
}
