//! A submission before it is sent: built, checked, and turned into a message.

use std::time::Duration;

use async_nats::{HeaderMap, HeaderValue};
use bytes::Bytes;
use nats_config::Broker;
use protocol::id::{JobId, Key, Kind, NameError, QueueName};
use protocol::submission::{Parsed, Priority, Submission, SubmissionError, header};
use protocol::time::Timestamp;

use super::{Door, SubmitError};
use crate::job::Job;

/// Room for what a coordinator adds when it makes work of a submission: kind and key from the
/// queue's configuration, time-out, epoch, the expected sequence.
const WORK_HEADERS_LEN_MAX: usize = 1_024;

/// A job to submit. What is not said comes from the queue's configuration.
///
/// ```
/// use worker_sdk::SubmitRequest;
///
/// # fn main() -> Result<(), worker_sdk::SubmitError> {
/// let request = SubmitRequest::new("invoices", "INV 1001/2026")?
///     .kind("invoice.check")?
///     .key("DE")?
///     .payload("<Invoice/>");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubmitRequest {
    queue: QueueName,
    id: JobId,
    submission: Submission,
    /// What goes along for the handler.
    others: HeaderMap,
    payload: Bytes,
}

/// A submission as it is sent.
#[derive(Debug, Clone)]
pub(super) struct Prepared {
    pub(super) subject: String,
    pub(super) headers: HeaderMap,
    pub(super) payload: Bytes,
    pub(super) submission: Submission,
}

impl SubmitRequest {
    /// A job called `id` for `queue`, with an empty payload. An id may be any text of 1 to 256
    /// bytes; what a subject cannot hold is encoded.
    ///
    /// # Errors
    /// The queue or the id is none.
    pub fn new(queue: &str, id: &str) -> Result<Self, SubmitError> {
        Ok(Self {
            queue: QueueName::new(queue)?,
            id: JobId::from_raw(id)?,
            submission: Submission::default(),
            others: HeaderMap::new(),
            payload: Bytes::new(),
        })
    }

    /// A submission that somebody else made and that was read from its message. Of `headers` those
    /// go along that are for the handler: neither ours, which `submission` says, nor the broker's
    /// own, some of which stop a replicated stream for good.
    #[must_use]
    pub fn received(
        queue: QueueName,
        id: JobId,
        submission: Submission,
        headers: &HeaderMap,
        payload: Bytes,
    ) -> Self {
        let mut others = HeaderMap::new();
        for (name, values) in headers.iter() {
            let text: &str = name.as_ref();
            let lower = text.to_ascii_lowercase();
            if lower.starts_with("nats-") || lower.starts_with("jobs-") {
                continue;
            }
            for value in values {
                others.append(name.clone(), value.clone());
            }
        }
        Self {
            queue,
            id,
            submission,
            others,
            payload,
        }
    }

    /// A typed job with its kind, key and payload.
    ///
    /// # Errors
    /// A name is none, or the job cannot be encoded.
    pub fn for_job<J: Job>(queue: &str, id: &str, job: &J) -> Result<Self, SubmitError> {
        let payload = job
            .encode()
            .map_err(|error| SubmitError::Encode(error.to_string()))?;
        let request = Self::new(queue, id)?.kind(J::KIND)?.payload(payload);
        match job.key() {
            Some(key) => request.key(&key),
            None => Ok(request),
        }
    }

    /// The queue.
    #[must_use]
    pub const fn queue(&self) -> &QueueName {
        &self.queue
    }

    /// The id.
    #[must_use]
    pub const fn id(&self) -> &JobId {
        &self.id
    }

    /// Which handler runs it.
    ///
    /// # Errors
    /// It is no kind: 1 to 128 of `A-Z a-z 0-9 _ - . / :`.
    pub fn kind(mut self, kind: &str) -> Result<Self, SubmitError> {
        self.submission.kind = Some(Kind::new(kind)?);
        Ok(self)
    }

    /// What no other job of may run at the same time.
    ///
    /// # Errors
    /// It is no key: 1 to 256 bytes without control characters, and no space at its ends.
    pub fn key(mut self, key: &str) -> Result<Self, SubmitError> {
        self.submission.key = Some(Key::new(key)?);
        Ok(self)
    }

    /// Its place among others that are due: 0 (first) to 9; default 5.
    #[must_use]
    pub const fn priority(mut self, priority: Priority) -> Self {
        self.submission.priority = Some(priority);
        self
    }

    /// Not before this time.
    #[must_use]
    pub const fn run_at(mut self, at: Timestamp) -> Self {
        self.submission.run_at = Some(at);
        self
    }

    /// Not started after this time.
    #[must_use]
    pub const fn expires_at(mut self, at: Timestamp) -> Self {
        self.submission.expires_at = Some(at);
        self
    }

    /// Longest run of one attempt, 1 ms to 7 days.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.submission.timeout = Some(timeout);
        self
    }

    /// How many attempts may fail, 1 to 1000.
    #[must_use]
    pub const fn max_attempts(mut self, count: u32) -> Self {
        self.submission.max_attempts = Some(count);
        self
    }

    /// The submitter's trace, in W3C form; the handler sees it as header `traceparent`.
    ///
    /// # Errors
    /// It holds a line break, which would be another header.
    pub fn traceparent(mut self, trace: &str) -> Result<Self, SubmitError> {
        let value = header_value(header::TRACEPARENT, trace)?;
        self.others.insert(header::TRACEPARENT, value);
        Ok(self)
    }

    /// What the handler gets.
    #[must_use]
    pub fn payload(mut self, payload: impl Into<Bytes>) -> Self {
        self.payload = payload.into();
        self
    }

    /// What its headers say to every coordinator, read back from their texts.
    ///
    /// # Errors
    /// No coordinator would take it: it expires before it may run, or a number or span is out of its
    /// range.
    ///
    /// ```
    /// use worker_sdk::SubmitRequest;
    ///
    /// # fn main() -> Result<(), worker_sdk::SubmitError> {
    /// let request = SubmitRequest::new("invoices", "INV-1")?.max_attempts(0);
    /// assert!(request.checked().is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub fn checked(&self) -> Result<Submission, SubmitError> {
        let pairs = self.submission.to_headers();
        let get = |name: &str| {
            let found = pairs.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.as_str())
        };
        match Submission::parse(get)? {
            Parsed::Known(submission) => Ok(submission),
            // It was written here, in our own version.
            Parsed::Newer(_) => Ok(self.submission.clone()),
        }
    }

    pub(super) fn prepare(self, broker: &Broker, door: Door) -> Result<Prepared, SubmitError> {
        // An impossible one is refused before it is sent.
        self.checked()?;
        let subjects = broker.subjects();
        let subject = match door {
            Door::Direct => subjects.submit(&self.queue, &self.id),
            Door::Front => subjects.api_submit(&self.queue, &self.id),
        };
        let pairs = self.submission.to_headers();
        let mut headers = self.others;
        for (name, value) in &pairs {
            headers.insert(*name, header_value(name, value)?);
        }
        let prepared = Prepared {
            subject,
            headers,
            payload: self.payload,
            submission: self.submission,
        };
        prepared.check_size(broker.client().max_payload())?;
        Ok(prepared)
    }
}

impl Prepared {
    /// The server closes the connection of who sends more than it takes. The work that a coordinator
    /// makes of it must fit, too.
    fn check_size(&self, len_max: usize) -> Result<(), SubmitError> {
        let header_len: usize = self
            .headers
            .iter()
            .flat_map(|(name, values)| {
                let name: &str = name.as_ref();
                let name_len = name.len();
                values
                    .iter()
                    .map(move |value| name_len + value.as_str().len() + 4)
            })
            .sum();
        let len = header_len + WORK_HEADERS_LEN_MAX + self.payload.len();
        if len > len_max {
            return Err(SubmitError::TooLarge { len, len_max });
        }
        Ok(())
    }
}

/// A line break in a header's value would be another header.
fn header_value(name: &'static str, text: &str) -> Result<HeaderValue, SubmitError> {
    text.parse().map_err(|_| {
        SubmitError::Submission(SubmissionError::Header {
            header: name,
            why: format!("{text:?} holds a line break"),
        })
    })
}

impl From<NameError> for SubmitError {
    fn from(error: NameError) -> Self {
        Self::Name(error)
    }
}
