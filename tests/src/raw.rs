//! Publishes to a stream exactly as given, and what the server answered: a ghost writer for tests.
//!
//! It never retries, adds no header of its own (except those of a batch) and checks no subject.

use std::time::Duration;

use anyhow::{Context, Result};
use async_nats::{HeaderMap, RequestErrorKind, StatusCode};
use bytes::Bytes;
use futures::StreamExt;
use serde::Deserialize;

/// How long the server may take to answer a write.
const ANSWER: Duration = Duration::from_secs(10);

/// One message as it goes onto the wire.
#[derive(Debug, Clone)]
pub struct Message {
    /// Where to.
    pub subject: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its payload.
    pub payload: Bytes,
}

impl Message {
    /// A message without headers.
    pub fn new(subject: impl Into<String>, payload: impl Into<Bytes>) -> Self {
        Self {
            subject: subject.into(),
            headers: HeaderMap::new(),
            payload: payload.into(),
        }
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &impl ToString) -> Self {
        self.headers.insert(name, value.to_string().as_str());
        self
    }

    /// With `Nats-Expected-Last-Sequence`.
    #[must_use]
    pub fn expecting(self, last: u64) -> Self {
        self.header("Nats-Expected-Last-Sequence", &last)
    }
}

/// Where the server stored a write.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Stored {
    /// The stream.
    pub stream: String,
    /// The sequence of the message, of the last one for a batch.
    #[serde(rename = "seq")]
    pub sequence: u64,
    /// Whether the message was dropped because its id was known.
    #[serde(default)]
    pub duplicate: bool,
    /// How many messages a batch stored.
    pub count: Option<u64>,
}

/// Why the server refused a write.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Refusal {
    /// The number of the reason, such as 10071.
    #[serde(rename = "err_code")]
    pub code: u64,
    /// The HTTP-like class of the reason, such as 400.
    #[serde(rename = "code")]
    pub class: u16,
    /// The reason in words.
    pub description: String,
}

/// What became of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is in the stream.
    Stored(Stored),
    /// It is not, and will not be.
    Refused(Refusal),
    /// No stream takes the subject now: door closed, no leader, or never existed.
    NoResponders,
    /// Nobody knows.
    Silent,
}

impl Answer {
    /// The sequence, for a test in which nothing else may happen.
    ///
    /// # Panics
    /// When the write was not stored.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        match self {
            Self::Stored(stored) => stored.sequence,
            other => panic!("expected a stored write, got {other:?}"),
        }
    }

    /// The number of the refusal, for a test in which nothing else may happen.
    ///
    /// # Panics
    /// When the write was not refused.
    #[must_use]
    pub fn code(&self) -> u64 {
        match self {
            Self::Refused(refusal) => refusal.code,
            other => panic!("expected a refused write, got {other:?}"),
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Reply {
    Refused { error: Refusal },
    Stored(Stored),
}

/// Publishes one message and reads the answer of the stream.
///
/// # Errors
/// When the answer is none that a stream gives, or the client is broken.
pub async fn publish_raw(client: &async_nats::Client, message: Message) -> Result<Answer> {
    let Some(bytes) = ask(client, message).await? else {
        return Ok(Answer::NoResponders);
    };
    match bytes {
        Some(bytes) => read_answer(&bytes),
        None => Ok(Answer::Silent),
    }
}

/// Publishes the messages in their order, without waiting for an answer in between, and reads the
/// answers, in the same order.
///
/// # Errors
/// As [`publish_raw`].
pub async fn publish_window(
    client: &async_nats::Client,
    messages: Vec<Message>,
) -> Result<Vec<Answer>> {
    let inbox = client.new_inbox();
    let mut replies = client.subscribe(format!("{inbox}.*")).await?;
    let mut answers = vec![Answer::Silent; messages.len()];
    for (index, message) in messages.into_iter().enumerate() {
        let Message {
            subject,
            headers,
            payload,
        } = message;
        let reply = format!("{inbox}.{index}");
        client
            .publish_with_reply_and_headers(subject, reply, headers, payload)
            .await
            .context("publish a message of the window")?;
    }
    for _ in 0..answers.len() {
        let reply = tokio::time::timeout(ANSWER, replies.next()).await;
        let Ok(Some(reply)) = reply else { break };
        let index = reply.subject.rsplit('.').next().map(str::parse::<usize>);
        let Some(Ok(index)) = index else { continue };
        answers[index] = match reply.status {
            Some(StatusCode::NO_RESPONDERS) => Answer::NoResponders,
            _ => read_answer(&reply.payload)?,
        };
    }
    Ok(answers)
}

/// Publishes the messages as one atomic batch and reads the answer to its commit.
///
/// # Errors
/// As [`publish_raw`]; a refused first message is an answer, not an error.
pub async fn atomic_batch(client: &async_nats::Client, messages: Vec<Message>) -> Result<Answer> {
    let id = nuid::next().to_string();
    let last = messages.len();
    for (index, message) in messages.into_iter().enumerate() {
        let place = index + 1;
        let mut message = message
            .header("Nats-Batch-Id", &id)
            .header("Nats-Batch-Sequence", &place);
        if place == last {
            message = message.header("Nats-Batch-Commit", &1);
            return publish_raw(client, message).await;
        }
        if place == 1 {
            // An empty answer opens the batch; anything else is its end.
            match ask(client, message).await? {
                Some(Some(bytes)) if bytes.is_empty() => {}
                Some(Some(bytes)) => return read_answer(&bytes),
                Some(None) => return Ok(Answer::Silent),
                None => return Ok(Answer::NoResponders),
            }
        } else {
            client
                .publish_with_headers(message.subject, message.headers, message.payload)
                .await
                .context("publish a message of the batch")?;
        }
    }
    anyhow::bail!("an atomic batch needs at least one message")
}

/// `None`: no responders; `Some(None)`: no answer in time.
async fn ask(client: &async_nats::Client, message: Message) -> Result<Option<Option<Bytes>>> {
    let request = async_nats::Request::new()
        .headers(message.headers)
        .payload(message.payload)
        .timeout(Some(ANSWER));
    match client.send_request(message.subject, request).await {
        Ok(reply) => Ok(Some(Some(reply.payload))),
        Err(error) => match error.kind() {
            RequestErrorKind::NoResponders => Ok(None),
            RequestErrorKind::TimedOut => Ok(Some(None)),
            _ => Err(error).context("publish to the stream"),
        },
    }
}

fn read_answer(bytes: &Bytes) -> Result<Answer> {
    let reply: Reply = serde_json::from_slice(bytes).with_context(|| {
        let text = String::from_utf8_lossy(bytes);
        format!("read the stream's answer `{text}`")
    })?;
    Ok(match reply {
        Reply::Stored(stored) => Answer::Stored(stored),
        Reply::Refused { error } => Answer::Refused(error),
    })
}
