//! Why a submission or a question has no good answer, and whether the same call may get one later.

use protocol::id::NameError;
use protocol::submission::SubmissionError;

/// No connection was made.
#[derive(Debug, thiserror::Error)]
#[error("connect to {servers}")]
pub struct ConnectError {
    /// Where.
    pub servers: String,
    /// What the client says.
    #[source]
    pub source: async_nats::ConnectError,
}

/// A submission was not accepted, or nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// A name is none. Nothing was sent.
    #[error("submit: {0}")]
    Name(NameError),
    /// A setting is impossible. Nothing was sent.
    #[error("submit: {0}")]
    Submission(#[from] SubmissionError),
    /// The job has no payload on the wire. Nothing was sent.
    #[error("submit: encode the job: {0}")]
    Encode(String),
    /// It is larger than the server takes. Nothing was sent.
    #[error(
        "submit: the job has {len} bytes with its headers, the server takes {len_max}; store the content elsewhere and submit a reference"
    )]
    TooLarge {
        /// Its size in bytes.
        len: usize,
        /// The server's `max_payload`.
        len_max: usize,
    },
    /// The ledger has no room now.
    #[error("submit: the ledger is full ({text}); try again later, or give it more room")]
    Full {
        /// The server's words.
        text: String,
    },
    /// The ledger is nearly full and takes no submissions now.
    #[error(
        "submit: nobody takes submissions now: the ledger is nearly full and its door is closed, or the broker is electing a leader; try again later, and look at the door in `coordinator status`"
    )]
    DoorClosed,
    /// Nobody takes submissions now; this one was not stored.
    #[error("submit: nobody takes submissions now: {why}; try again")]
    Unavailable {
        /// What is known about the reason.
        why: String,
    },
    /// No coordinator answers at the front door; nothing was stored.
    #[error("submit: no coordinator answers at the front door; start one, or try again")]
    NoCoordinator,
    /// It may be stored, now or later. The same submission may be sent again: it makes no second
    /// job.
    #[error(
        "submit: it is not known whether the job was accepted: {why}; submit it again with the same id"
    )]
    Unknown {
        /// What is known about the reason.
        why: String,
    },
    /// The broker refused it for a reason that a repeat does not cure.
    #[error("submit: refused: {text} (code {code})")]
    Refused {
        /// The server's code, 0 where there is none.
        code: u64,
        /// The server's words.
        text: String,
    },
    /// A coordinator refused it at the front door.
    #[error("submit: {message} ({code})")]
    Rejected {
        /// A short stable code, such as `unknown-queue`.
        code: String,
        /// A sentence for people.
        message: String,
        /// Whether the same submission may succeed later.
        retry: bool,
    },
}

impl SubmitError {
    /// Whether the same submission may succeed later, with nobody changing it.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Full { .. }
            | Self::DoorClosed
            | Self::Unavailable { .. }
            | Self::NoCoordinator
            | Self::Unknown { .. } => true,
            Self::Rejected { retry, .. } => *retry,
            Self::Name(_)
            | Self::Submission(_)
            | Self::Encode(_)
            | Self::TooLarge { .. }
            | Self::Refused { .. } => false,
        }
    }
}

/// A question about a job has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// A name is none.
    #[error("ask for a job: {0}")]
    Name(#[from] NameError),
    /// No coordinator is there to answer.
    #[error("ask for a job: no coordinator answers; start one, or try again")]
    NoCoordinator,
    /// A coordinator did not answer in time, or there is no connection.
    #[error("ask for a job: no answer in time; try again")]
    Unanswered,
    /// The ledger has no such job.
    #[error("ask for a job: the ledger has no job `{id}` in queue `{queue}`")]
    UnknownJob {
        /// The queue.
        queue: String,
        /// The id, encoded.
        id: String,
    },
    /// The job was not final when the time was over.
    #[error("wait for a job: it is still {phase}")]
    NotYet {
        /// Where it stands.
        phase: &'static str,
    },
    /// A coordinator refused the request.
    #[error("ask for a job: {message} ({code})")]
    Rejected {
        /// A short stable code.
        code: String,
        /// A sentence for people.
        message: String,
        /// Whether the same request may succeed later.
        retry: bool,
    },
    /// The answer is none that this version knows.
    #[error("ask for a job: the answer could not be read: {0}")]
    Unreadable(String),
}

impl ClientError {
    /// Whether the same request may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::NoCoordinator | Self::Unanswered | Self::NotYet { .. } => true,
            Self::Rejected { retry, .. } => *retry,
            Self::Name(_) | Self::UnknownJob { .. } | Self::Unreadable(_) => false,
        }
    }
}
