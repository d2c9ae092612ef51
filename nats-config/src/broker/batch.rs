//! Atomic batches: all messages are stored, one after the other, or none is.

use async_nats::client::Request;
use async_nats::header::HeaderValue;
use async_nats::{HeaderMap, Subject};
use bytes::Bytes;
use protocol::answer::Answer;

use super::{Asked, Broker};

/// Most messages that the server takes in one atomic batch.
pub const BATCH_LEN_MAX: usize = 1_000;
/// Most bytes of a batch id.
pub const BATCH_ID_LEN_MAX: usize = 64;

/// One message of an atomic batch.
#[derive(Debug, Clone)]
pub struct BatchMessage {
    /// Where it is written; all messages of a batch go to one stream.
    pub subject: String,
    /// Its headers; those of the batch are added.
    pub headers: HeaderMap,
    /// Its payload.
    pub payload: Bytes,
}

impl Broker {
    /// Writes all `messages` or none. [`Answer::Stored`] carries the sequence of the last; the
    /// others stand right before it, in their order.
    ///
    /// `batch_id` must never have been used on the stream within the last 10 s. The first message's
    /// refusal is the answer; the server checks all else at the last message. [`Answer::Busy`]
    /// means that the batch was abandoned or finds no room among the open ones: write it again
    /// under a new id.
    pub async fn write_batch(&self, batch_id: &str, messages: Vec<BatchMessage>) -> Answer {
        let id = match checked(batch_id, messages.len()) {
            Ok(id) => id,
            Err(text) => return Answer::Refused { code: 0, text },
        };
        let len = messages.len();
        for (at, mut message) in messages.into_iter().enumerate() {
            let place = at + 1;
            message.headers.insert("Nats-Batch-Id", id.clone());
            message
                .headers
                .insert("Nats-Batch-Sequence", place.to_string());
            if place == len {
                message.headers.insert("Nats-Batch-Commit", "1");
                return self
                    .write(message.subject, message.headers, message.payload)
                    .await;
            }
            fail_point!("coordinator.fence-record");
            let sent = if place == 1 {
                self.open(message).await
            } else {
                self.add(message).await
            };
            if let Err(answer) = sent {
                return answer;
            }
        }
        Answer::Unanswered
    }

    /// The first message: the server says at once whether it takes a batch.
    async fn open(&self, message: BatchMessage) -> Result<(), Answer> {
        let request = Request::new()
            .headers(message.headers)
            .payload(message.payload);
        match self.ask(message.subject, request).await {
            Asked::Answered(reply) if reply.payload.is_empty() => Ok(()),
            Asked::Answered(reply) => Err(match Answer::parse(&reply.payload) {
                Answer::Stored(_) | Answer::Duplicate(_) => Answer::Refused {
                    code: 0,
                    text: "the server stored the first message alone: it does not know atomic batches, which need nats-server 2.12 or newer".to_owned(),
                },
                answer => answer,
            }),
            Asked::NoResponders => Err(Answer::NoResponders),
            Asked::Unanswered => Err(Answer::Unanswered),
            Asked::NotSent(text) => Err(Answer::Refused { code: 0, text }),
        }
    }

    /// A message between the first and the last. A batch without it is refused whole.
    async fn add(&self, message: BatchMessage) -> Result<(), Answer> {
        let subject = Subject::from(message.subject);
        let publish = self
            .client
            .publish_with_headers(subject, message.headers, message.payload);
        match tokio::time::timeout(self.timeout, publish).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Answer::Refused {
                code: 0,
                text: error.to_string(),
            }),
            // Nothing is committed: the last message was not sent.
            Err(_elapsed) => Err(Answer::Busy),
        }
    }
}

fn checked(batch_id: &str, len: usize) -> Result<HeaderValue, String> {
    if !(1..=BATCH_LEN_MAX).contains(&len) {
        return Err(format!(
            "a batch of {len} messages: it must hold 1 to {BATCH_LEN_MAX}"
        ));
    }
    if !(1..=BATCH_ID_LEN_MAX).contains(&batch_id.len()) {
        return Err(format!(
            "a batch id of {} bytes: it must have 1 to {BATCH_ID_LEN_MAX}",
            batch_id.len()
        ));
    }
    batch_id
        .parse()
        .map_err(|_| format!("batch id {batch_id:?} holds a line break"))
}
