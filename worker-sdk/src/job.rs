//! What a user's job is, and how its handler says that it failed.

use std::error::Error;
use std::fmt::{self, Display};

use bytes::Bytes;
use protocol::outcome::{Outcome, OutcomeError, Status};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A kind of job: its arguments, and what its handler returns.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use worker_sdk::Job;
///
/// #[derive(Serialize, Deserialize)]
/// struct SendReminder {
///     customer: String,
/// }
///
/// impl Job for SendReminder {
///     const KIND: &'static str = "reminder.send";
///     type Output = ();
///
///     // Two reminders of one customer never run at the same time.
///     fn key(&self) -> Option<String> {
///         Some(self.customer.clone())
///     }
/// }
/// ```
pub trait Job: Serialize + DeserializeOwned + Send + 'static {
    /// Which handler runs it: 1 to 128 of `A-Z a-z 0-9 _ - . / :`.
    const KIND: &'static str;

    /// What the handler returns and who waits for the job gets.
    type Output: Serialize + DeserializeOwned + Send + 'static;

    /// What no other job of may run at the same time, such as a customer. `None` by default.
    fn key(&self) -> Option<String> {
        None
    }

    /// The payload on the wire: JSON unless overridden.
    ///
    /// # Errors
    /// The job has no such form.
    fn encode(&self) -> Result<Bytes, JobError> {
        let payload = serde_json::to_vec(self).map_err(|error| {
            JobError::permanent("bad-payload", format!("encode it as JSON: {error}"))
        })?;
        Ok(payload.into())
    }

    /// Reads the payload: JSON unless overridden.
    ///
    /// # Errors
    /// The payload is none of this kind. The attempt fails for good, since the next one would read
    /// the same bytes.
    fn decode(payload: &[u8]) -> Result<Self, JobError> {
        serde_json::from_slice(payload).map_err(|error| {
            JobError::permanent(
                "bad-payload",
                format!("the payload is no JSON of kind `{}`: {error}", Self::KIND),
            )
        })
    }
}

/// How a handler says that it did not do its work, and whether another attempt may.
///
/// `?` turns any error into a retryable one. Deliberately no [`std::error::Error`] itself, as
/// otherwise that conversion could not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobError {
    status: Status,
    error: OutcomeError,
}

impl JobError {
    /// Another attempt may succeed; the queue's configuration says when and how often.
    #[must_use]
    pub fn retry(message: impl Display) -> Self {
        Self::retry_with("error", message)
    }

    /// As [`JobError::retry`], with a short stable code for programs.
    #[must_use]
    pub fn retry_with(code: &str, message: impl Display) -> Self {
        Self {
            status: Status::Failed,
            error: OutcomeError::new(code, &message.to_string()),
        }
    }

    /// No attempt can succeed: the job is discarded, as a dead letter with this code and message.
    #[must_use]
    pub fn permanent(code: &str, message: impl Display) -> Self {
        Self {
            status: Status::Failed,
            error: OutcomeError::permanent(code, &message.to_string()),
        }
    }

    /// The job is no longer wanted: it ends as cancelled.
    #[must_use]
    pub fn cancelled(message: impl Display) -> Self {
        Self {
            status: Status::Cancelled,
            error: OutcomeError::new("cancelled", &message.to_string()),
        }
    }

    /// The short stable code.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.error.code
    }

    /// The sentence for people.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.error.message
    }

    /// Whether another attempt would fail too.
    #[must_use]
    pub const fn is_permanent(&self) -> bool {
        self.error.permanent
    }

    /// Whether it ends the job as cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.status == Status::Cancelled
    }

    /// The outcome that is recorded for it.
    pub(crate) fn into_outcome(self) -> Outcome {
        Outcome::ended(self.status, self.error)
    }
}

impl Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.error.code, self.error.message)
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for JobError {
    fn from(error: E) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            text = format!("{text}: {inner}");
            cause = inner.source();
        }
        Self::retry(text)
    }
}

#[cfg(test)]
mod tests {
    use super::JobError;

    #[test]
    fn a_question_mark_keeps_the_whole_chain_and_retries() {
        #[derive(Debug, thiserror::Error)]
        #[error("read the price list")]
        struct Outer(#[source] std::num::ParseIntError);

        fn handler() -> Result<(), JobError> {
            "x".parse::<u32>().map_err(Outer)?;
            Ok(())
        }

        let error = handler().expect_err("x is no number");
        assert_eq!(
            error.message(),
            "read the price list: invalid digit found in string"
        );
        assert!(!error.is_permanent() && !error.is_cancelled());
    }
}
