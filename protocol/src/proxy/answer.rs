//! What a leader answers, in values and on the wire.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::leadership::{Incarnation, LeaseRecord, LeaseState};
use crate::number::Epoch;

/// Most bytes of a refusal's code and message; longer ones are cut.
const CODE_LEN_MAX: usize = 64;
const MESSAGE_LEN_MAX: usize = 4_096;
pub(super) const REFUSAL_LEN_MAX: usize = CODE_LEN_MAX + MESSAGE_LEN_MAX;

/// The headers of a call and its answer.
pub mod header {
    /// On a call: its id.
    pub const CALL_ID: &str = "Jobs-Call-Id";
    /// On an answer: the epoch of who answers.
    pub const EPOCH: &str = crate::submission::header::EPOCH;
    /// On an answer: what became of the call. What the payload is depends on it.
    pub const VERDICT: &str = "Jobs-Verdict";
}

/// One tenure of a singleton: which life of a process leads, under which epoch.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TenureName {
    /// Which life.
    pub incarnation: Incarnation,
    /// The number of the leadership.
    pub epoch: Epoch,
}

impl TenureName {
    /// Whom a lease record names: nobody if it is released, or is no lease record.
    #[must_use]
    pub fn of_record(record: &[u8]) -> Option<Self> {
        let record = LeaseRecord::parse(record).ok()?;
        match record.state {
            LeaseState::Held => Some(Self {
                incarnation: record.incarnation,
                epoch: record.epoch,
            }),
            LeaseState::Released => None,
        }
    }
}

/// Tells the contents of two calls apart, within one process. Two that differ may look alike once in
/// 2^64 times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// Of a call's payload.
    #[must_use]
    pub fn of(payload: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        payload.hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// The leader's handler does not do what the call asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Refusal {
    code: String,
    message: String,
}

impl Refusal {
    /// A code for programs, up to 64 bytes, and a text for people, up to 4096; longer ones are cut.
    #[must_use]
    pub fn new(code: &str, message: &str) -> Self {
        Self {
            code: cut(code, CODE_LEN_MAX),
            message: cut(message, MESSAGE_LEN_MAX),
        }
    }

    /// For programs to branch on.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code
    }

    /// For people.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

fn cut(text: &str, len_max: usize) -> String {
    text[..text.floor_char_boundary(len_max)].to_owned()
}

/// What a handler came to: remembered, and said to each repeat of the call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// It was done, and this is the answer.
    Done(Arc<[u8]>),
    /// It was refused by the handler.
    Refused(Refusal),
    /// It was done, and the answer has more bytes than one may have.
    TooLong {
        /// How many it has.
        len: usize,
        /// How many it may have.
        len_max: usize,
    },
}

impl Said {
    /// How much room it takes to remember it.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Done(payload) => payload.len(),
            Self::Refused(refusal) => refusal.code.len() + refusal.message.len(),
            Self::TooLong { .. } => 0,
        }
    }
}

/// What a leader answers to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The call was carried out, now or before.
    Said(Said),
    /// Whom the subject names leads no more, and has not begun this.
    NotLeading,
    /// There is no room to carry it out and to remember its answer; it was not begun.
    Busy,
    /// Another call was carried out under this id.
    Conflict,
}

/// A verdict as it stands in a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireVerdict {
    /// The header [`header::VERDICT`].
    pub verdict: &'static str,
    /// The payload.
    pub payload: Arc<[u8]>,
}

/// An answer could not be read: no rule of this version made it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read a leader's answer: {0}")]
pub struct VerdictError(String);

#[derive(Serialize, Deserialize)]
struct TooLong {
    len: usize,
    len_max: usize,
}

const DONE: &str = "done";
const REFUSED: &str = "refused";
const TOO_LONG: &str = "too-long";
const NOT_LEADING: &str = "not-leading";
const BUSY: &str = "busy";
const CONFLICT: &str = "conflict";

impl Verdict {
    /// The form for a message.
    ///
    /// # Panics
    /// Never: texts and numbers are JSON.
    #[must_use]
    pub fn to_wire(&self) -> WireVerdict {
        let json = |value: serde_json::Result<Vec<u8>>| value.expect("texts and numbers are JSON");
        let nothing = || Arc::from([]);
        let (verdict, payload) = match self {
            Self::Said(Said::Done(payload)) => (DONE, Arc::clone(payload)),
            Self::Said(Said::Refused(refusal)) => {
                (REFUSED, json(serde_json::to_vec(refusal)).into())
            }
            Self::Said(Said::TooLong { len, len_max }) => {
                let (len, len_max) = (*len, *len_max);
                let text = json(serde_json::to_vec(&TooLong { len, len_max }));
                (TOO_LONG, text.into())
            }
            Self::NotLeading => (NOT_LEADING, nothing()),
            Self::Busy => (BUSY, nothing()),
            Self::Conflict => (CONFLICT, nothing()),
        };
        WireVerdict { verdict, payload }
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// Its verdict is none that this version knows, or the payload is not what it says.
    pub fn parse(verdict: &str, payload: &[u8]) -> Result<Self, VerdictError> {
        let shape = |error: serde_json::Error| VerdictError(format!("{verdict}: {error}"));
        match verdict {
            DONE => Ok(Self::Said(Said::Done(payload.into()))),
            REFUSED => {
                let read: Refusal = serde_json::from_slice(payload).map_err(shape)?;
                // Cut as ours are: it may come from anybody.
                let refusal = Refusal::new(&read.code, &read.message);
                Ok(Self::Said(Said::Refused(refusal)))
            }
            TOO_LONG => {
                let TooLong { len, len_max } = serde_json::from_slice(payload).map_err(shape)?;
                Ok(Self::Said(Said::TooLong { len, len_max }))
            }
            NOT_LEADING => Ok(Self::NotLeading),
            BUSY => Ok(Self::Busy),
            CONFLICT => Ok(Self::Conflict),
            other => Err(VerdictError(format!(
                "its verdict is {:?}",
                cut(other, CODE_LEN_MAX)
            ))),
        }
    }
}
