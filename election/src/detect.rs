//! Pings between candidates and the holder, and the holder's beats: core messages, nothing stored.
//! Who answers or beats lives; what silence means is decided by the rules.

use async_nats::{Client, Message, StatusCode};
use bytes::Bytes;
use futures::FutureExt;
use protocol::leadership::{Incarnation, PingAnswer};

/// Where one life of one process answers pings.
#[must_use]
pub fn ping_subject(prefix: &str, incarnation: &Incarnation) -> String {
    format!("{prefix}.{incarnation}")
}

/// Where one life of one process beats.
pub(crate) fn beat_subject(prefix: &str, incarnation: &Incarnation) -> String {
    format!("{prefix}.{incarnation}.beat")
}

/// Where every life of every process beats.
pub(crate) fn beats_subject(prefix: &str) -> String {
    format!("{prefix}.*.beat")
}

/// Who beat, as the subject says.
pub(crate) fn beat_author(subject: &str) -> Option<Incarnation> {
    let (start, _) = subject.rsplit_once('.')?;
    start.rsplit('.').next()?.parse().ok()
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

#[cfg(test)]
mod tests {
    use super::{beat_author, beat_subject};

    #[test]
    fn a_beat_names_its_author() {
        let author = "A7".parse().unwrap();
        let subject = beat_subject("jobs.ping.leader", &author);
        assert_eq!(beat_author(&subject), Some(author));
        for other in ["", "beat", "..beat", "x.a b.beat"] {
            assert_eq!(beat_author(other), None, "{other}");
        }
    }
}
