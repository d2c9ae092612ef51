//! Records as they are stored, from those that stand now on. What breaks is begun anew, and then
//! shows again what stands: it may tell a thing twice and never leaves out what stays.

use async_nats::Client;
use async_nats::jetstream::consumer::push::{Ordered, OrderedConfig};
use async_nats::jetstream::consumer::{DeliverPolicy, ReplayPolicy};
use async_nats::jetstream::{self, Message};
use election::retry_after;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};

/// Follows some subjects of a stream, on one connection.
pub(super) struct Watch {
    client: Client,
    stream: String,
    subjects: Vec<String>,
    state: State,
    attempt: usize,
}

enum State {
    Opening(BoxFuture<'static, Result<Box<Ordered>, async_nats::Error>>),
    Open(Box<Ordered>),
}

impl Watch {
    /// Asks for nothing yet: [`next`](Self::next) does.
    pub(super) fn new(client: Client, stream: String, subjects: Vec<String>) -> Self {
        let opening = open(client.clone(), stream.clone(), subjects.clone(), 0);
        Self {
            state: State::Opening(opening.boxed()),
            client,
            stream,
            subjects,
            attempt: 0,
        }
    }

    /// The next record. Cancel safe; never ends by itself.
    pub(super) async fn next(&mut self) -> Message {
        loop {
            match &mut self.state {
                State::Opening(opening) => match opening.await {
                    Ok(ordered) => self.state = State::Open(ordered),
                    Err(error) => {
                        self.tell(&error);
                        self.again();
                    }
                },
                State::Open(ordered) => match ordered.next().await {
                    Some(Ok(message)) => {
                        self.attempt = 0;
                        return message;
                    }
                    Some(Err(error)) => {
                        tracing::debug!(%error, stream = self.stream, "a crew is followed no more");
                        self.again();
                    }
                    None => self.again(),
                },
            }
        }
    }

    /// Without it a crew shares out late or not at all: said once, not at each try.
    fn tell(&self, error: &async_nats::Error) {
        if self.attempt == 0 {
            tracing::warn!(%error, stream = self.stream, "failed to follow a crew; trying again");
        }
    }

    fn again(&mut self) {
        self.attempt = self.attempt.saturating_add(1);
        let (client, stream) = (self.client.clone(), self.stream.clone());
        let opening = open(client, stream, self.subjects.clone(), self.attempt);
        self.state = State::Opening(opening.boxed());
    }
}

async fn open(
    client: Client,
    stream: String,
    subjects: Vec<String>,
    attempt: usize,
) -> Result<Box<Ordered>, async_nats::Error> {
    tokio::time::sleep(retry_after(attempt)).await;
    let config = OrderedConfig {
        deliver_subject: client.new_inbox(),
        filter_subjects: subjects,
        deliver_policy: DeliverPolicy::LastPerSubject,
        replay_policy: ReplayPolicy::Instant,
        ..OrderedConfig::default()
    };
    let stream = jetstream::new(client).get_stream_no_info(stream).await?;
    let consumer = stream.create_consumer(config).await?;
    Ok(Box::new(consumer.messages().await?))
}
