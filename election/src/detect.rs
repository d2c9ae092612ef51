//! Pings between candidates and the holder: core messages, nothing stored. Who answers lives; what
//! silence means is decided by the rules.

use async_nats::{Client, Message, StatusCode};
use bytes::Bytes;
use futures::FutureExt;
use protocol::leadership::{Incarnation, PingAnswer};

/// Where one life of one process answers pings.
pub(crate) fn ping_subject(prefix: &str, incarnation: &Incarnation) -> String {
    format!("{prefix}.{incarnation}")
}

/// What a message on a ping's inbox says.
pub(crate) fn ping_answer(message: &Message) -> PingAnswer {
    if message.status == Some(StatusCode::NO_RESPONDERS) {
        PingAnswer::NoResponders
    } else {
        PingAnswer::Alive
    }
}

/// Answers a ping, if it wants an answer and there is room to send it.
pub(crate) fn answer(client: &Client, ping: Message) {
    if let Some(reply) = ping.reply {
        let sent = client.publish(reply, Bytes::new()).now_or_never();
        if !matches!(sent, Some(Ok(()))) {
            tracing::debug!("a ping was not answered: no room to send");
        }
    }
}
