//! Why a question to JetStream has no usable answer.

/// A read failed: nothing is known of what was asked for. An absent record is no error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// No server takes requests on this subject: JetStream is off, or the API prefix or the domain
    /// is wrong.
    #[error(
        "nobody answers on {subject}: JetStream is off on this server or account, or the JetStream API prefix or domain is wrong"
    )]
    NoResponders {
        /// The subject of the request.
        subject: String,
    },
    /// No answer in time, or no connection. A request that permissions deny looks the same.
    #[error(
        "no answer on {subject} in time: the broker is away or elects, or this user may not publish there (the server's log then says `permissions violation`; see the role's list in permissions.conf)"
    )]
    Unanswered {
        /// The subject of the request.
        subject: String,
    },
    /// The stream does not exist.
    #[error("stream {stream} does not exist: start a coordinator, or let it create the streams")]
    NoStream {
        /// The stream asked for.
        stream: String,
    },
    /// JetStream answers, but cannot serve now.
    #[error("the broker cannot serve {subject} now: {text} ({code}); try again")]
    Unavailable {
        /// The subject of the request.
        subject: String,
        /// The server's code.
        code: u64,
        /// The server's words.
        text: String,
    },
    /// The server refused the request for good.
    #[error("the broker refused {subject}: {text} ({code})")]
    Refused {
        /// The subject of the request.
        subject: String,
        /// The server's code, 0 where there is none.
        code: u64,
        /// The server's words.
        text: String,
    },
    /// The answer could not be read: another program answers on the subject, or the server is of an
    /// unknown version.
    #[error("the answer on {subject} could not be read: {why}")]
    Unreadable {
        /// The subject of the request.
        subject: String,
        /// What is wrong with it.
        why: String,
    },
}

impl ReadError {
    /// Whether the same question may be answered later without anybody changing a setting.
    /// [`Self::NoResponders`] counts: a server that restarts answers so for a moment.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::NoResponders { .. } | Self::Unanswered { .. } | Self::Unavailable { .. } => true,
            Self::NoStream { .. } | Self::Refused { .. } | Self::Unreadable { .. } => false,
        }
    }
}
