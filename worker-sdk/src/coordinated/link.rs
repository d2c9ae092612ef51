//! One connection of a member: raw writes, reads and listings at the stream leader, what was stored,
//! and what comes back.
//!
//! It never queues: what cannot be sent now is not sent. It never waits for an answer: answers are
//! inputs, and the rules give up what is not answered. It does not outlive its first disconnection.

use std::collections::HashMap;

use async_nats::jetstream::stream::RawMessage;
use async_nats::jetstream::{self, ErrorCode, message::StreamMessage};
use async_nats::{
    Client, HeaderMap, Message, StatusCode, SubscribeError, Subscriber, connection, header,
};
use bytes::Bytes;
use election::Room;
use futures::{FutureExt, StreamExt};
use protocol::answer::Answer;
use protocol::crew::{Content, Input, Key, ReadAnswer};
use protocol::leadership::Incarnation;
use protocol::number::Sequence;
use serde::Deserialize;

use super::keys::Keys;
use super::watch::Watch;

/// A new planner reads every member at once.
pub(super) const ROOM: Room = Room {
    commands: 4_096,
    messages: 8_192,
};

const KV_OPERATION: &str = "KV-Operation";

/// A connection with its subscriptions.
pub(super) struct Link {
    client: Client,
    keys: Keys,
    inbox: String,
    replies: Subscriber,
    /// The plan and the own record.
    own: Watch,
    /// All members' records, for who plans.
    members: Option<Watch>,
}

/// What a connection brings.
#[derive(Debug)]
pub(super) enum Heard {
    /// An answer, or what was stored.
    Input(Input),
    /// Nothing for the rules.
    Nothing,
    /// The bucket's stream does not exist.
    BucketMissing,
    /// The connection is gone.
    Down,
}

impl Link {
    /// Subscribes on a fresh connection.
    pub(super) async fn new(
        client: Client,
        keys: Keys,
        member: &Incarnation,
    ) -> Result<Self, SubscribeError> {
        let inbox = client.new_inbox();
        let replies = client.subscribe(format!("{inbox}.*")).await?;
        Ok(Self {
            own: own_watch(&client, &keys, member),
            members: None,
            client,
            keys,
            inbox,
            replies,
        })
    }

    /// Follows the record of this life from now on.
    pub(super) fn follow_own(&mut self, member: &Incarnation) {
        self.own = own_watch(&self.client, &self.keys, member);
    }

    /// Follows the records of all members, or no more.
    pub(super) fn follow_members(&mut self, follow: bool) {
        let watch = || {
            let subjects = vec![self.keys.members()];
            Watch::new(self.client.clone(), self.keys.stream(), subjects)
        };
        self.members = follow.then(watch);
    }

    /// Waits for what comes next. Cancel safe.
    pub(super) async fn next(&mut self) -> Heard {
        tokio::select! {
            biased;
            reply = self.replies.next() => match reply {
                Some(reply) => read_reply(&self.keys, &reply),
                None => Heard::Down,
            },
            stored = self.own.next() => read_stored(&self.keys, &stored),
            stored = next_of(self.members.as_mut()) => read_stored(&self.keys, &stored),
        }
    }

    /// Stores the bytes if the key's last revision is `expected`. Whether that was sent.
    pub(super) fn write(&self, id: u64, key: &Key, expected: Sequence, body: Vec<u8>) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE,
            expected.get().to_string(),
        );
        let reply = format!("{}.w{id}", self.inbox);
        let subject = self.keys.subject(key);
        let publish =
            self.client
                .publish_with_reply_and_headers(subject, reply, headers, Bytes::from(body));
        self.is_connected() && matches!(publish.now_or_never(), Some(Ok(())))
    }

    /// Reads the key at the stream leader. Whether that was asked.
    pub(super) fn read(&self, id: u64, key: &Key) -> bool {
        let ask = serde_json::json!({ "last_by_subj": self.keys.subject(key) });
        self.ask("MSG.GET", &format!("r{id}"), &ask)
    }

    /// Lists all members' records at the stream leader. Whether that was asked.
    pub(super) fn list(&self, id: u64) -> bool {
        let ask = serde_json::json!({ "subjects_filter": self.keys.members() });
        self.ask("INFO", &format!("l{id}"), &ask)
    }

    fn ask(&self, verb: &str, token: &str, body: &serde_json::Value) -> bool {
        let subject = format!("$JS.API.STREAM.{verb}.{}", self.keys.stream());
        let reply = format!("{}.{token}", self.inbox);
        let body = Bytes::from(body.to_string());
        let publish = self.client.publish_with_reply(subject, reply, body);
        self.is_connected() && matches!(publish.now_or_never(), Some(Ok(())))
    }

    fn is_connected(&self) -> bool {
        self.client.connection_state() == connection::State::Connected
    }
}

fn own_watch(client: &Client, keys: &Keys, member: &Incarnation) -> Watch {
    let own = Key::Member(member.clone());
    let subjects = vec![keys.subject(&Key::Plan), keys.subject(&own)];
    Watch::new(client.clone(), keys.stream(), subjects)
}

async fn next_of(watch: Option<&mut Watch>) -> jetstream::Message {
    match watch {
        Some(watch) => watch.next().await,
        None => std::future::pending().await,
    }
}

fn read_stored(keys: &Keys, message: &jetstream::Message) -> Heard {
    let Some(key) = keys.parse(&message.subject) else {
        return Heard::Nothing;
    };
    let Ok(info) = message.info() else {
        return Heard::Nothing;
    };
    let revision = Sequence::new(info.stream_sequence);
    let content = content(&key, revision, (message.headers.as_ref(), &message.payload));
    Heard::Input(Input::Seen(key, revision, content))
}

/// What a message of the stream says of its key.
fn content(key: &Key, revision: Sequence, message: (Option<&HeaderMap>, &[u8])) -> Content {
    let (headers, payload) = message;
    let operation = headers.and_then(|headers| headers.get(KV_OPERATION));
    let operation = operation.map(header::HeaderValue::as_str);
    let marker = headers.and_then(|headers| headers.get(header::NATS_MARKER_REASON));
    if matches!(operation, Some("DEL" | "PURGE")) || marker.is_some() {
        Content::Vacant
    } else {
        Content::parse(key, revision, payload)
    }
}

fn read_reply(keys: &Keys, message: &Message) -> Heard {
    let token = message.subject.rsplit('.').next().unwrap_or_default();
    let Some((what, number)) = token.split_at_checked(1) else {
        return Heard::Nothing;
    };
    let Ok(id) = number.parse() else {
        return Heard::Nothing;
    };
    let silent = message.status == Some(StatusCode::NO_RESPONDERS);
    match what {
        "w" if silent => Heard::Input(Input::Wrote(id, Answer::NoResponders)),
        "w" => Heard::Input(Input::Wrote(id, Answer::parse(&message.payload))),
        "r" if silent => Heard::Input(Input::Read(id, ReadAnswer::Failed)),
        "r" => read_record(keys, id, &message.payload),
        "l" if silent => Heard::Input(Input::Listed(id, None)),
        "l" => read_listing(keys, id, &message.payload),
        _ => Heard::Nothing,
    }
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    err_code: u64,
}

impl Refusal {
    fn is(&self, code: ErrorCode) -> bool {
        ErrorCode(self.err_code) == code
    }
}

#[derive(Deserialize)]
struct Got {
    message: Option<RawMessage>,
    error: Option<Refusal>,
}

fn read_record(keys: &Keys, id: u64, payload: &[u8]) -> Heard {
    let read = |answer| Heard::Input(Input::Read(id, answer));
    let Ok(got) = serde_json::from_slice::<Got>(payload) else {
        return read(ReadAnswer::Failed);
    };
    if let Some(refusal) = got.error {
        return if refusal.is(ErrorCode::NO_MESSAGE_FOUND) {
            read(ReadAnswer::Seen(Sequence::new(0), Content::Vacant))
        } else if refusal.is(ErrorCode::STREAM_NOT_FOUND) {
            Heard::BucketMissing
        } else {
            read(ReadAnswer::Failed)
        };
    }
    let Some(Ok(message)) = got.message.map(StreamMessage::try_from) else {
        return read(ReadAnswer::Failed);
    };
    let Some(key) = keys.parse(&message.subject) else {
        return read(ReadAnswer::Failed);
    };
    let revision = Sequence::new(message.sequence);
    let content = content(&key, revision, (Some(&message.headers), &message.payload));
    read(ReadAnswer::Seen(revision, content))
}

#[derive(Deserialize)]
struct Listing {
    #[serde(default)]
    total: usize,
    state: Option<ListedState>,
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct ListedState {
    #[serde(default)]
    subjects: HashMap<String, u64>,
}

fn read_listing(keys: &Keys, id: u64, payload: &[u8]) -> Heard {
    let listed = |members| Heard::Input(Input::Listed(id, members));
    let Ok(listing) = serde_json::from_slice::<Listing>(payload) else {
        return listed(None);
    };
    if let Some(refusal) = listing.error {
        return if refusal.is(ErrorCode::STREAM_NOT_FOUND) {
            Heard::BucketMissing
        } else {
            listed(None)
        };
    }
    let Some(state) = listing.state else {
        return listed(None);
    };
    // One page of many would hide members.
    if state.subjects.len() < listing.total {
        tracing::error!(total = listing.total, "too many members to list at once");
        return listed(None);
    }
    let member = |subject: &String| match keys.parse(subject) {
        Some(Key::Member(member)) => Some(member),
        Some(Key::Plan) | None => None,
    };
    listed(Some(state.subjects.keys().filter_map(member).collect()))
}

#[cfg(test)]
mod tests {
    use protocol::crew::{Content, Input, ReadAnswer};

    use super::{Heard, Keys, read_listing, read_record};

    fn keys() -> Keys {
        Keys::new("b", "global.c")
    }

    fn read(payload: &str) -> Option<(u64, Content)> {
        match read_record(&keys(), 1, payload.as_bytes()) {
            Heard::Input(Input::Read(1, ReadAnswer::Seen(revision, content))) => {
                Some((revision.get(), content))
            }
            _ => None,
        }
    }

    #[test]
    fn answers_to_reads_are_told_apart() {
        let absent = r#"{"error":{"code":404,"err_code":10037,"description":"no message found"}}"#;
        assert_eq!(read(absent), Some((0, Content::Vacant)));
        let gone = r#"{"error":{"code":404,"err_code":10059,"description":"stream not found"}}"#;
        let gone = read_record(&keys(), 1, gone.as_bytes());
        assert!(matches!(gone, Heard::BucketMissing));
        // The headers are "NATS/1.0\r\nKV-Operation: DEL\r\n\r\n".
        let deleted = r#"{"message":{"subject":"$KV.b.global.c.plan","seq":9,"hdrs":"TkFUUy8xLjANCktWLU9wZXJhdGlvbjogREVMDQoNCg==","time":"2026-11-22T08:30:00Z"}}"#;
        assert_eq!(read(deleted), Some((9, Content::Vacant)));
        let foreign = deleted.replace(
            r#""hdrs":"TkFUUy8xLjANCktWLU9wZXJhdGlvbjogREVMDQoNCg==""#,
            r#""data":"aGVsbG8=""#,
        );
        let foreign = read(&foreign);
        assert!(
            matches!(foreign, Some((9, Content::Foreign(_)))),
            "{foreign:?}"
        );
        for nothing in [
            "",
            "{}",
            "[]",
            r#"{"message":{"seq":1}}"#,
            r#"{"error":{}}"#,
        ] {
            assert_eq!(read(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn a_listing_is_all_members_or_none() {
        let list = |payload: &str| match read_listing(&keys(), 2, payload.as_bytes()) {
            Heard::Input(Input::Listed(2, members)) => members,
            other => panic!("{other:?}"),
        };
        let both = r#"{"total":2,"state":{"subjects":{"$KV.b.global.c.member.A1":1,"$KV.b.global.c.member.B2":1}}}"#;
        let mut members = list(both).expect("a listing");
        members.sort();
        assert_eq!(members, ["A1", "B2"].map(|text| text.parse().expect("one")));
        assert_eq!(list(&both.replace(r#""total":2"#, r#""total":3"#)), None);
        assert_eq!(list(r#"{"total":0,"state":{}}"#), Some(Vec::new()));
        for nothing in ["", "{}", r#"{"error":{"err_code":10001}}"#] {
            assert_eq!(list(nothing), None, "{nothing}");
        }
    }
}
