//! Reads at the leader of a stream: what they show was committed, and nothing committed before is
//! missing. Direct gets, which any replica answers, are not made here.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use async_nats::client::Request;
use async_nats::jetstream::stream::Config;
use protocol::number::Sequence;
use protocol::time::Timestamp;
use protocol::workers::Peer;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::{Asked, Broker};
use crate::read_error::ReadError;
use crate::stored::{RawStored, Stored};

const NO_MESSAGE: u64 = 10_037;
const STREAM_NOT_FOUND: u64 = 10_059;
/// How many subjects two pages of a list share at first; doubled where that was too few.
const OVERLAP: usize = 1_000;
/// Most subjects that two pages share; half a page, so that each page goes on.
const OVERLAP_MAX: usize = 50_000;
/// Most pages that one list takes, repeated ones included: 100 million subjects.
const PAGES_MAX: usize = 1_000;

/// What a stream holds and how it is configured, at one moment.
#[derive(Debug, Clone)]
pub struct StreamState {
    /// How many messages it holds.
    pub messages: u64,
    /// How many bytes they take, in the server's counting.
    pub bytes: u64,
    /// The sequence of the oldest message; one above [`Self::last`] in an empty stream.
    pub first: Sequence,
    /// The sequence of the newest message that there ever was.
    pub last: Sequence,
    /// How many subjects have messages.
    pub subjects: u64,
    /// When the stream was created: another time means another stream of the same name.
    pub created: Timestamp,
    /// The name of the server that leads it; none where streams are not replicated.
    pub leader: Option<String>,
    /// Its configuration as the server holds it.
    pub config: Config,
}

#[derive(Deserialize)]
struct Failed {
    error: Failure,
}

#[derive(Deserialize)]
struct Failure {
    #[serde(default)]
    code: u64,
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

#[derive(Deserialize)]
struct Got {
    message: RawStored,
}

#[derive(Deserialize)]
pub(crate) struct StreamInfo {
    created: String,
    config: Map<String, Value>,
    state: InfoState,
    #[serde(default)]
    cluster: InfoCluster,
    #[serde(default)]
    total: usize,
}

#[derive(Default, Deserialize)]
struct InfoCluster {
    #[serde(default)]
    leader: Option<String>,
}

#[derive(Deserialize)]
struct InfoState {
    messages: u64,
    bytes: u64,
    first_seq: u64,
    last_seq: u64,
    #[serde(default)]
    num_subjects: u64,
    #[serde(default)]
    subjects: HashMap<String, u64>,
}

impl StreamInfo {
    /// The sequence of the newest message that there ever was.
    pub(crate) const fn last_sequence(&self) -> u64 {
        self.state.last_seq
    }

    /// The configuration as the server says it, with what this version does not know.
    pub(crate) fn into_config(self) -> Map<String, Value> {
        self.config
    }
}

impl Broker {
    /// The newest message on the subjects that match `subject_filter`, read at the stream's leader.
    ///
    /// # Errors
    /// No usable answer; a subject without a message is `Ok(None)`.
    pub async fn last(
        &self,
        stream: &str,
        subject_filter: &str,
    ) -> Result<Option<Stored>, ReadError> {
        self.message(stream, &json!({ "last_by_subj": subject_filter }))
            .await
    }

    /// The message at `sequence`, read at the stream's leader.
    ///
    /// # Errors
    /// No usable answer; a sequence without a message is `Ok(None)`.
    pub async fn at(&self, stream: &str, sequence: Sequence) -> Result<Option<Stored>, ReadError> {
        self.message(stream, &json!({ "seq": sequence.get() }))
            .await
    }

    /// The first message at `from` or behind it, read at the stream's leader: to walk through a
    /// stream that is small, or from which messages are taken meanwhile.
    ///
    /// # Errors
    /// No usable answer; the end of the stream is `Ok(None)`.
    pub async fn first_from(
        &self,
        stream: &str,
        from: Sequence,
    ) -> Result<Option<Stored>, ReadError> {
        let request = json!({ "seq": from.get(), "next_by_subj": ">" });
        self.message(stream, &request).await
    }

    async fn message(&self, stream: &str, request: &Value) -> Result<Option<Stored>, ReadError> {
        let verb = format!("STREAM.MSG.GET.{stream}");
        match self.api::<Got>(&verb, stream, request).await {
            Ok(got) => got
                .message
                .decode()
                .map(Some)
                .map_err(|why| self.unreadable(&verb, why)),
            Err(ReadError::Refused {
                code: NO_MESSAGE, ..
            }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What the stream holds, asked at its leader.
    ///
    /// # Errors
    /// No usable answer, or no such stream.
    pub async fn state(&self, stream: &str) -> Result<StreamState, ReadError> {
        let info = self.info(stream, &json!({})).await?;
        let created = Timestamp::parse_rfc3339(&info.created)
            .map_err(|error| self.unreadable(&info_verb(stream), error.to_string()))?;
        Ok(StreamState {
            messages: info.state.messages,
            bytes: info.state.bytes,
            first: Sequence::new(info.state.first_seq),
            last: Sequence::new(info.state.last_seq),
            subjects: info.state.num_subjects,
            created,
            leader: info.cluster.leader,
            config: serde_json::from_value(Value::Object(info.config))
                .map_err(|error| self.unreadable(&info_verb(stream), error.to_string()))?,
        })
    }

    /// All subjects that match `filter` and have a message, in order, asked at the stream's leader.
    ///
    /// A subject that has a message from the start of the call to its end is in the answer. One
    /// whose message comes or goes meanwhile may be in it or not. Up to 100,000 subjects are one
    /// request and so one moment; more take pages, which overlap so that nothing slips through
    /// between two of them.
    ///
    /// # Errors
    /// No usable answer, or no such stream.
    pub async fn list_subjects(
        &self,
        stream: &str,
        filter: &str,
    ) -> Result<Vec<String>, ReadError> {
        let mut all = BTreeSet::new();
        let mut overlap = OVERLAP;
        let mut offset = 0;
        for _page in 0..PAGES_MAX {
            let request = json!({ "subjects_filter": filter, "offset": offset });
            let info = self.info(stream, &request).await?;
            let page: BTreeSet<String> = info.state.subjects.into_keys().collect();
            let end = offset + page.len();
            // The server sorts, then cuts. What starts at or before the last one seen leaves no
            // hole, however much has gone since.
            let joined = match (all.last(), page.first()) {
                (Some(last), Some(first)) => first <= last,
                (None, _) => true,
                (Some(_), None) => false,
            };
            if offset > 0 && !joined {
                overlap = (overlap * 2).min(OVERLAP_MAX);
                offset = offset.saturating_sub(overlap);
                continue;
            }
            all.extend(page);
            if end >= info.total {
                return Ok(all.into_iter().collect());
            }
            offset = end.saturating_sub(overlap);
        }
        Err(ReadError::Unavailable {
            subject: format!("{}.{}", self.api, info_verb(stream)),
            code: 0,
            text: format!("the subjects below {filter} change faster than they can be listed"),
        })
    }

    /// The server's own words about a stream.
    pub(crate) async fn info(
        &self,
        stream: &str,
        request: &Value,
    ) -> Result<StreamInfo, ReadError> {
        self.api(&info_verb(stream), stream, request).await
    }

    /// The server that leads `stream` and, as that one tells, which others keep it and when each was heard of;
    /// no leader where there is but one server.
    ///
    /// # Errors
    /// When there is no usable answer.
    pub async fn peers(&self, stream: &str) -> Result<(Option<String>, Vec<Peer>), ReadError> {
        let kept: Kept = self.api(&info_verb(stream), stream, &json!({})).await?;
        let Some(cluster) = kept.cluster else {
            return Ok((None, Vec::new()));
        };
        let peers = cluster.replicas.into_iter().map(|replica| Peer {
            name: replica.name,
            heard: match replica.active {
                active if active > 0 && !replica.offline => Duration::from_nanos(active),
                _ => Duration::MAX,
            },
        });
        Ok((cluster.leader, peers.collect()))
    }

    /// One request to the JetStream API about `stream`, such as `STREAM.INFO.JOBS`.
    pub(crate) async fn api<T: DeserializeOwned>(
        &self,
        verb: &str,
        stream: &str,
        request: &Value,
    ) -> Result<T, ReadError> {
        let subject = format!("{}.{verb}", self.api);
        let payload = request.to_string().into();
        let asked = self
            .ask(subject.clone(), Request::new().payload(payload))
            .await;
        let reply = match asked {
            Asked::Answered(reply) => reply,
            Asked::NoResponders => return Err(ReadError::NoResponders { subject }),
            Asked::Unanswered => return Err(ReadError::Unanswered { subject }),
            Asked::NotSent(text) => {
                return Err(ReadError::Refused {
                    subject,
                    code: 0,
                    text,
                });
            }
        };
        if let Ok(failed) = serde_json::from_slice::<Failed>(&reply.payload) {
            return Err(failed.error.into_read_error(subject, stream));
        }
        serde_json::from_slice(&reply.payload)
            .map_err(|error| self.unreadable(verb, error.to_string()))
    }

    fn unreadable(&self, verb: &str, why: String) -> ReadError {
        ReadError::Unreadable {
            subject: format!("{}.{verb}", self.api),
            why,
        }
    }
}

impl Failure {
    fn into_read_error(self, subject: String, stream: &str) -> ReadError {
        let text = self.description;
        match (self.err_code, self.code) {
            (STREAM_NOT_FOUND, _) => ReadError::NoStream {
                stream: stream.to_owned(),
            },
            // JetStream is off for the server or for the account: no waiting turns it on.
            (code @ (10_035 | 10_039 | 10_076), _) => ReadError::Refused {
                subject,
                code,
                text,
            },
            (code, 429 | 503) => ReadError::Unavailable {
                subject,
                code,
                text,
            },
            (code, _) => ReadError::Refused {
                subject,
                code,
                text,
            },
        }
    }
}

/// Who keeps a stream, in the server's words.
#[derive(Deserialize)]
struct Kept {
    cluster: Option<Cluster>,
}

#[derive(Deserialize)]
struct Cluster {
    leader: Option<String>,
    #[serde(default)]
    replicas: Vec<Replica>,
}

#[derive(Deserialize)]
struct Replica {
    name: String,
    /// For how long it was not heard of, in nanoseconds; 0: it never was.
    #[serde(default)]
    active: u64,
    #[serde(default)]
    offline: bool,
}

fn info_verb(stream: &str) -> String {
    format!("STREAM.INFO.{stream}")
}
