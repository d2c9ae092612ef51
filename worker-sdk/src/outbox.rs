//! What a worker wants to send, collected without waiting and sent in order. It never keeps a
//! message for later: what cannot be sent now is dropped, as if it had been lost on the way.

use async_nats::connection::State;
use async_nats::message::OutboundMessage;
use async_nats::{Client, HeaderMap, Subject};
use bytes::Bytes;
use futures::{FutureExt, SinkExt};
use tokio::task::coop::unconstrained;

/// The messages of one round.
#[derive(Debug)]
pub(crate) struct Outbox {
    client: Client,
    messages: Vec<OutboundMessage>,
    dropped: u64,
    muted: bool,
}

impl Outbox {
    pub(crate) const fn new(client: Client) -> Self {
        Self {
            client,
            messages: Vec::new(),
            dropped: 0,
            muted: false,
        }
    }

    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    /// While muted it takes echoes, outcomes and acks only: the broker is lost, and the rest would
    /// reach it when nobody means it any more. An outcome and its ack are as right later as now.
    pub(crate) const fn mute(&mut self) {
        self.muted = true;
    }

    pub(crate) const fn unmute(&mut self) {
        self.muted = false;
    }

    /// A message that wants no answer.
    pub(crate) fn tell(&mut self, subject: impl Into<Subject>, payload: impl Into<Bytes>) {
        self.push(subject.into(), None, payload.into());
    }

    /// A message whose answers go to `reply`.
    pub(crate) fn ask(
        &mut self,
        subject: impl Into<Subject>,
        reply: String,
        payload: impl Into<Bytes>,
    ) {
        self.push(subject.into(), Some(reply.into()), payload.into());
    }

    /// A message with headers that wants no answer.
    pub(crate) fn tell_with(
        &mut self,
        subject: String,
        headers: HeaderMap,
        payload: impl Into<Bytes>,
    ) {
        if self.muted {
            self.dropped += 1;
            return;
        }
        self.messages.push(OutboundMessage {
            subject: subject.into(),
            reply: None,
            payload: payload.into(),
            headers: Some(headers),
        });
    }

    /// An echo, an outcome, or the ack of a recorded one: sent even when muted.
    pub(crate) fn insist(
        &mut self,
        subject: impl Into<Subject>,
        reply: Option<String>,
        payload: Bytes,
    ) {
        self.messages.push(OutboundMessage {
            subject: subject.into(),
            reply: reply.map(Subject::from),
            payload,
            headers: None,
        });
    }

    fn push(&mut self, subject: Subject, reply: Option<Subject>, payload: Bytes) {
        if self.muted {
            self.dropped += 1;
            return;
        }
        self.messages.push(OutboundMessage {
            subject,
            reply,
            payload,
            headers: None,
        });
    }

    /// Hands all messages to the client, and never waits for it.
    pub(crate) fn send(&mut self) {
        let connected = self.client.connection_state() == State::Connected;
        let mut no_room = 0_u64;
        for message in self.messages.drain(..) {
            if !connected {
                self.dropped += 1;
                continue;
            }
            // Unconstrained: tokio would otherwise refuse the channel after some 128 messages of
            // one round, room or not.
            #[cfg(feature = "fail-points")]
            let after = after(&message);
            let fed = unconstrained(self.client.feed(message)).now_or_never();
            if fed.is_none_or(|fed| fed.is_err()) {
                no_room += 1;
            }
            #[cfg(feature = "fail-points")]
            if let Some(after) = after {
                ::fail_point::visit(after);
            }
        }
        if no_room > 0 {
            tracing::warn!(
                no_room,
                "messages were not sent: the client's queue is full, or one is too large"
            );
        }
    }

    /// How many messages were dropped since the last call, without a connection or muted.
    pub(crate) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }
}

/// The fail point behind a message that was handed to the client.
#[cfg(feature = "fail-points")]
fn after(message: &OutboundMessage) -> Option<&'static str> {
    match message.payload.as_ref() {
        b"+ACK" => Some("worker.ack-after"),
        b"+WPI" => Some("worker.progress-after"),
        _ => match message.reply.as_ref()?.as_str().contains(".w.") {
            true => Some("worker.outcome-after"),
            false => None,
        },
    }
}
