//! The raw requests to JetStream that every program here shares, with the protocol's types as
//! answers. It never retries, never decides, and never sends while there is no connection.

mod batch;
mod delete;
mod read;

use std::sync::Arc;
use std::time::Duration;

use async_nats::client::{Request, RequestErrorKind};
use async_nats::connection::State;
use async_nats::{Client, HeaderMap, Message};
use bytes::Bytes;
use protocol::answer::Answer;
use protocol::subject::Subjects;

use crate::names::Names;

pub use batch::{BATCH_ID_LEN_MAX, BATCH_LEN_MAX, BatchMessage};
pub use read::StreamState;

/// How long a request waits for its answer unless [`Broker::with_timeout`] says otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// A connection and the names of one namespace. A clone shares the connection.
#[derive(Debug, Clone)]
pub struct Broker {
    client: Client,
    names: Arc<Names>,
    timeout: Duration,
    api: Arc<str>,
}

/// What became of one request.
enum Asked {
    Answered(Message),
    NoResponders,
    Unanswered,
    /// The client did not send it.
    NotSent(String),
}

impl Broker {
    /// Requests through `client` wait [`TIMEOUT`] and go to `$JS.API`.
    #[must_use]
    pub fn new(client: Client, names: Names) -> Self {
        Self {
            client,
            names: Arc::new(names),
            timeout: TIMEOUT,
            api: "$JS.API".into(),
        }
    }

    /// The same with another time to wait for each answer.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// The same with another prefix of the JetStream API, such as `$JS.hub.API`, without a dot at
    /// its end.
    #[must_use]
    pub fn with_api_prefix(self, prefix: &str) -> Self {
        let api = prefix.trim_end_matches('.').into();
        Self { api, ..self }
    }

    /// The same for the JetStream domain `domain`.
    #[must_use]
    pub fn with_domain(self, domain: &str) -> Self {
        self.with_api_prefix(&format!("$JS.{domain}.API"))
    }

    /// The connection.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// The names of the streams and buckets.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// The subjects of the namespace.
    #[must_use]
    pub fn subjects(&self) -> &Subjects {
        self.names.subjects()
    }

    /// How long a request waits for its answer.
    #[must_use]
    pub const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The prefix of the JetStream API, without a dot at its end.
    #[must_use]
    pub fn api_prefix(&self) -> &str {
        &self.api
    }

    /// Whether there is a connection now, as far as the client knows.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// A JetStream context over the same connection, prefix and time-out, for what async-nats does
    /// well: consumers and their messages.
    #[must_use]
    pub fn jetstream(&self) -> async_nats::jetstream::Context {
        let mut context =
            async_nats::jetstream::with_prefix(self.client.clone(), self.api.as_ref());
        context.set_timeout(self.timeout);
        context
    }

    /// Writes one message and waits for the stream's answer.
    ///
    /// Without a connection it sends nothing and says [`Answer::Unanswered`] at once: the client
    /// would keep the message and send it when nobody expects it any more. A connection that breaks
    /// during the call may still do so; `Unanswered` means that the message may be stored, now or
    /// later.
    pub async fn write(&self, subject: String, headers: HeaderMap, payload: Bytes) -> Answer {
        let request = Request::new().headers(headers).payload(payload);
        match self.ask(subject, request).await {
            Asked::Answered(message) => Answer::parse(&message.payload),
            Asked::NoResponders => Answer::NoResponders,
            Asked::Unanswered => Answer::Unanswered,
            Asked::NotSent(text) => Answer::Refused { code: 0, text },
        }
    }

    /// One request and what became of it. The time-out covers the client's own queue, too.
    async fn ask(&self, subject: String, request: Request) -> Asked {
        if !self.is_connected() {
            return Asked::Unanswered;
        }
        let request = self.client.send_request(subject, request.timeout(None));
        match tokio::time::timeout(self.timeout, request).await {
            Err(_elapsed) => Asked::Unanswered,
            Ok(Ok(message)) => Asked::Answered(message),
            Ok(Err(error)) => match error.kind() {
                RequestErrorKind::NoResponders => Asked::NoResponders,
                RequestErrorKind::TimedOut | RequestErrorKind::Other => Asked::Unanswered,
                RequestErrorKind::InvalidSubject | RequestErrorKind::MaxPayloadExceeded => {
                    Asked::NotSent(error.to_string())
                }
            },
        }
    }
}
