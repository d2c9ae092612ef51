//! One connection of an election: raw writes, reads at the stream leader, pings, and what comes back.
//!
//! It never queues: what cannot be sent now is not sent. It never waits for an answer: answers are
//! inputs, and the rules give up what is not answered. It does not outlive its first disconnection.

use async_nats::jetstream::stream::RawMessage;
use async_nats::jetstream::{ErrorCode, message::StreamMessage};
use async_nats::{Client, HeaderMap, Message, StatusCode, Subscriber, connection, header};
use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use protocol::answer::Answer;
use protocol::leadership::{
    Incarnation, Input, LeaseRecord, Mode, Observation, ReadAnswer, step_down_asked,
};
use protocol::number::Sequence;
use serde::Deserialize;

use crate::config::ElectionConfig;
use crate::detect::{answer, beat_author, beat_subject, beats_subject, ping_answer, ping_subject};

const KV_OPERATION: &str = "KV-Operation";

/// A connection with its subscriptions.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) client: Client,
    names: Names,
    inbox: String,
    replies: Subscriber,
    hints: Subscriber,
    pings: Subscriber,
    /// In fenced mode only.
    beats: Option<Subscriber>,
}

#[derive(Debug)]
struct Names {
    subject: String,
    get: String,
    ping_prefix: String,
    beat: String,
}

/// What a connection brings.
#[derive(Debug)]
pub(crate) enum Inbound {
    /// An answer or a hint.
    Input(Input),
    /// Nothing for the rules.
    Nothing,
    /// The bucket's stream does not exist.
    BucketMissing,
    /// The connection is gone.
    Down,
}

impl Link {
    /// Subscribes on a fresh connection; the ping subject first, so that this process is seen.
    pub(crate) async fn new(
        client: Client,
        config: &ElectionConfig,
        incarnation: &Incarnation,
    ) -> Result<Self, async_nats::SubscribeError> {
        let inbox = client.new_inbox();
        let subject = config.subject();
        let own = ping_subject(&config.ping_prefix, incarnation);
        let beats = match config.mode {
            Mode::Fenced => Some(client.subscribe(beats_subject(&config.ping_prefix)).await?),
            Mode::Strict => None,
        };
        Ok(Self {
            pings: client.subscribe(own).await?,
            replies: client.subscribe(format!("{inbox}.*")).await?,
            hints: client.subscribe(subject.clone()).await?,
            names: Names {
                subject,
                get: format!("$JS.API.STREAM.MSG.GET.{}", config.stream()),
                ping_prefix: config.ping_prefix.clone(),
                beat: beat_subject(&config.ping_prefix, incarnation),
            },
            beats,
            inbox,
            client,
        })
    }

    /// Waits for what comes next. Cancel safe. Pings are answered here.
    pub(crate) async fn next(&mut self) -> Inbound {
        tokio::select! {
            biased;
            reply = self.replies.next() => reply.map_or(Inbound::Down, |reply| read_reply(&reply)),
            hint = self.hints.next() => hint.map_or(Inbound::Down, |hint| read_hint(&hint)),
            ping = self.pings.next() => match ping {
                Some(ping) => {
                    let asked = step_down_asked(&ping.payload);
                    answer(&self.client, ping);
                    asked.map_or(Inbound::Nothing, |epoch| {
                        Inbound::Input(Input::StepDownAsked(epoch))
                    })
                }
                None => Inbound::Down,
            },
            beat = next_beat(self.beats.as_mut()) => beat.map_or(Inbound::Down, |beat| read_beat(&beat)),
        }
    }

    /// Stores the record if the key's last revision is `expected`. What could not be sent is
    /// answered here.
    pub(crate) fn write(&self, expected: Sequence, record: &LeaseRecord) -> Option<Input> {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE,
            expected.get().to_string(),
        );
        let reply = format!("{}.w{}", self.inbox, record.nonce);
        let subject = self.names.subject.clone();
        let body = Bytes::from(record.encode());
        let publish = self
            .client
            .publish_with_reply_and_headers(subject, reply, headers, body);
        let sent = self.is_connected() && matches!(publish.now_or_never(), Some(Ok(())));
        (!sent).then_some(Input::Wrote(record.nonce, Answer::NoResponders))
    }

    /// Reads the key at the stream leader.
    pub(crate) fn read(&self, id: u64) -> Option<Input> {
        let ask = serde_json::json!({ "last_by_subj": self.names.subject });
        let reply = format!("{}.r{id}", self.inbox);
        let body = Bytes::from(ask.to_string());
        let publish = self
            .client
            .publish_with_reply(self.names.get.clone(), reply, body);
        let sent = self.is_connected() && matches!(publish.now_or_never(), Some(Ok(())));
        (!sent).then_some(Input::Read(id, ReadAnswer::Failed))
    }

    /// Asks whether a life of a process answers.
    pub(crate) fn ping(&self, number: u64, incarnation: &Incarnation) {
        let subject = ping_subject(&self.names.ping_prefix, incarnation);
        let reply = format!("{}.p{number}", self.inbox);
        let publish = self.client.publish_with_reply(subject, reply, Bytes::new());
        if !self.is_connected() || !matches!(publish.now_or_never(), Some(Ok(()))) {
            tracing::debug!("a ping was not sent: no connection, or no room");
        }
    }

    /// Says that this process lives and holds the lease.
    pub(crate) fn beat(&self) {
        let publish = self.client.publish(self.names.beat.clone(), Bytes::new());
        if !self.is_connected() || !matches!(publish.now_or_never(), Some(Ok(()))) {
            tracing::debug!("a beat was not sent: no connection, or no room");
        }
    }

    fn is_connected(&self) -> bool {
        self.client.connection_state() == connection::State::Connected
    }
}

fn read_reply(message: &Message) -> Inbound {
    let token = message.subject.rsplit('.').next().unwrap_or_default();
    let Some((what, number)) = token.split_at_checked(1) else {
        return Inbound::Nothing;
    };
    let Ok(number) = number.parse() else {
        return Inbound::Nothing;
    };
    let silent = message.status == Some(StatusCode::NO_RESPONDERS);
    match what {
        "w" if silent => Inbound::Input(Input::Wrote(number, Answer::NoResponders)),
        "w" => Inbound::Input(Input::Wrote(number, Answer::parse(&message.payload))),
        "r" if silent => Inbound::Input(Input::Read(number, ReadAnswer::Failed)),
        "r" => read_record(number, &message.payload),
        "p" => Inbound::Input(Input::Pinged(number, ping_answer(message))),
        _ => Inbound::Nothing,
    }
}

async fn next_beat(beats: Option<&mut Subscriber>) -> Option<Message> {
    match beats {
        Some(beats) => beats.next().await,
        None => std::future::pending().await,
    }
}

fn read_beat(message: &Message) -> Inbound {
    let author = beat_author(&message.subject);
    author.map_or(Inbound::Nothing, |author| {
        Inbound::Input(Input::Beat(author))
    })
}

fn read_hint(message: &Message) -> Inbound {
    let author = LeaseRecord::parse(&message.payload).ok();
    let author = author.map(|record| (record.incarnation, record.nonce));
    Inbound::Input(Input::Hint(author))
}

#[derive(Deserialize)]
struct GetReply {
    message: Option<RawMessage>,
    error: Option<GetError>,
}

#[derive(Deserialize)]
struct GetError {
    #[serde(default)]
    err_code: u64,
}

fn read_record(id: u64, payload: &[u8]) -> Inbound {
    let seen = |observation| Inbound::Input(Input::Read(id, ReadAnswer::Seen(observation)));
    let failed = Inbound::Input(Input::Read(id, ReadAnswer::Failed));
    let Ok(reply) = serde_json::from_slice::<GetReply>(payload) else {
        return failed;
    };
    if let Some(error) = reply.error {
        let code = ErrorCode(error.err_code);
        return if code == ErrorCode::NO_MESSAGE_FOUND {
            seen(Observation::ABSENT)
        } else if code == ErrorCode::STREAM_NOT_FOUND {
            Inbound::BucketMissing
        } else {
            failed
        };
    }
    let Some(Ok(message)) = reply.message.map(StreamMessage::try_from) else {
        return failed;
    };
    let revision = Sequence::new(message.sequence);
    let operation = message
        .headers
        .get(KV_OPERATION)
        .map(header::HeaderValue::as_str);
    let deleted = matches!(operation, Some("DEL" | "PURGE"))
        || message.headers.get(header::NATS_MARKER_REASON).is_some();
    if deleted {
        seen(Observation::deleted(revision))
    } else {
        seen(Observation::of(revision, &message.payload))
    }
}

#[cfg(test)]
mod tests {
    use protocol::leadership::{Content, Input, Observation, ReadAnswer};
    use protocol::number::Sequence;

    use super::{Inbound, read_record};

    fn read(payload: &str) -> Option<Observation> {
        match read_record(1, payload.as_bytes()) {
            Inbound::Input(Input::Read(1, ReadAnswer::Seen(observation))) => Some(observation),
            _ => None,
        }
    }

    #[test]
    fn answers_to_reads_are_told_apart() {
        let absent = r#"{"error":{"code":404,"err_code":10037,"description":"no message found"}}"#;
        assert_eq!(read(absent), Some(Observation::ABSENT));
        let gone = r#"{"error":{"code":404,"err_code":10059,"description":"stream not found"}}"#;
        assert!(matches!(
            read_record(1, gone.as_bytes()),
            Inbound::BucketMissing
        ));
        // The headers are "NATS/1.0\r\nKV-Operation: DEL\r\n\r\n".
        let deleted = r#"{"message":{"subject":"$KV.b.k","seq":9,"hdrs":"TkFUUy8xLjANCktWLU9wZXJhdGlvbjogREVMDQoNCg==","time":"2026-11-22T08:30:00Z"}}"#;
        assert_eq!(read(deleted), Some(Observation::deleted(Sequence::new(9))));
        let foreign = r#"{"message":{"subject":"$KV.b.k","seq":9,"data":"aGVsbG8=","time":"2026-11-22T08:30:00Z"}}"#;
        assert!(matches!(
            read(foreign).unwrap().content,
            Content::Foreign(_)
        ));
    }

    #[test]
    fn what_cannot_be_read_tells_nothing() {
        for payload in [
            "",
            "{}",
            "[]",
            r#"{"message":{"seq":1}}"#,
            r#"{"error":{}}"#,
        ] {
            assert_eq!(read(payload), None, "{payload}");
        }
    }
}
