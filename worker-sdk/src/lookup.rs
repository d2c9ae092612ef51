//! What a worker asks the broker beside its writes: how long a lease is, and whether an attempt has
//! an outcome. It decides nothing.

use std::time::Duration;

use async_nats::Client;
use async_nats::client::{Request, RequestErrorKind};
use async_nats::connection::State;
use bytes::Bytes;
use nats_config::Broker;
use protocol::subject::AttemptName;
use protocol::time::Timestamp;
use protocol::worker::{ANSWER_WITHIN, Found};
use serde::Deserialize;

/// What a queue's consumer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConsumerFacts {
    /// The work lease.
    pub(crate) lease: Duration,
    /// The broker's clock, where it says it.
    pub(crate) broker_time: Option<Timestamp>,
    /// Whether several servers keep it, of which one leads.
    pub(crate) is_replicated: bool,
}

/// Why nothing is known about a queue's consumer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoFacts {
    #[error("there is no connection to the broker")]
    Disconnected,
    #[error("the broker has no consumer of that name; `coordinator queue add` makes a queue")]
    Missing,
    #[error("nobody answers: JetStream is off, or its leader is being elected")]
    NoResponders,
    #[error("no answer in time; may this user publish to `{0}`?")]
    Unanswered(String),
    #[error("the broker's answer cannot be used: {0}")]
    Unusable(String),
}

#[derive(Deserialize)]
struct Answer {
    config: Option<Config>,
    ts: Option<String>,
    cluster: Option<Cluster>,
    error: Option<Failure>,
}

#[derive(Deserialize)]
struct Cluster {
    /// All but the one that leads.
    #[serde(default)]
    replicas: Vec<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    ack_wait: u64,
}

#[derive(Deserialize)]
struct Failure {
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

const CONSUMER_NOT_FOUND: u64 = 10_014;
const STREAM_NOT_FOUND: u64 = 10_059;

/// Asks for a consumer at `subject`, its info subject.
pub(crate) async fn consumer(client: &Client, subject: String) -> Result<ConsumerFacts, NoFacts> {
    if client.connection_state() != State::Connected {
        return Err(NoFacts::Disconnected);
    }
    let request = Request::new().payload(Bytes::new()).timeout(None);
    let asked = client.send_request(subject.clone(), request);
    match tokio::time::timeout(ANSWER_WITHIN, asked).await {
        Err(_elapsed) => Err(NoFacts::Unanswered(subject)),
        Ok(Ok(message)) => read(&message.payload),
        Ok(Err(error)) => Err(match error.kind() {
            RequestErrorKind::NoResponders => NoFacts::NoResponders,
            RequestErrorKind::TimedOut => NoFacts::Unanswered(subject),
            _ => NoFacts::Unusable(error.to_string()),
        }),
    }
}

fn read(payload: &[u8]) -> Result<ConsumerFacts, NoFacts> {
    let answer: Answer =
        serde_json::from_slice(payload).map_err(|error| NoFacts::Unusable(error.to_string()))?;
    if let Some(error) = answer.error {
        return Err(match error.err_code {
            CONSUMER_NOT_FOUND | STREAM_NOT_FOUND => NoFacts::Missing,
            code => NoFacts::Unusable(format!("{} (code {code})", error.description)),
        });
    }
    let lease = answer.config.map_or(0, |config| config.ack_wait);
    if lease == 0 {
        return Err(NoFacts::Unusable("it names no ack wait".to_owned()));
    }
    Ok(ConsumerFacts {
        lease: Duration::from_nanos(lease),
        broker_time: answer
            .ts
            .and_then(|text| Timestamp::parse_rfc3339(&text).ok()),
        is_replicated: answer
            .cluster
            .is_some_and(|cluster| !cluster.replicas.is_empty()),
    })
}

/// Whether the ledger holds an outcome of the attempt, read at its leader.
pub(crate) async fn outcome(broker: &Broker, name: &AttemptName) -> Found {
    let subject = broker.subjects().outcome(name);
    match broker.last(broker.names().ledger(), &subject).await {
        Ok(Some(_)) => Found::Outcome,
        Ok(None) => Found::Nothing,
        Err(error) => {
            tracing::warn!(%error, subject, "read an outcome; it is asked again");
            Found::Unknown
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use protocol::time::Timestamp;

    use super::{ConsumerFacts, NoFacts, read};

    #[test]
    fn a_consumers_lease_and_the_brokers_time_are_read() {
        let facts = read(
            br#"{"type":"io.nats.jetstream.api.v1.consumer_info_response","config":{"ack_wait":30000000000},"ts":"2026-11-22T08:30:00.250123456Z"}"#,
        );
        assert_eq!(
            facts,
            Ok(ConsumerFacts {
                lease: Duration::from_secs(30),
                broker_time: Some(Timestamp::from_millis(1_795_336_200_250)),
                is_replicated: false,
            })
        );
        for (replicas, is_replicated) in [("", false), (r#"{"name":"n2","current":true}"#, true)] {
            let info = format!(
                r#"{{"config":{{"ack_wait":1}},"cluster":{{"leader":"n1","replicas":[{replicas}]}}}}"#
            );
            let facts = read(info.as_bytes());
            assert_eq!(facts.map(|facts| facts.is_replicated), Ok(is_replicated));
        }
        let missing =
            read(br#"{"error":{"code":404,"err_code":10014,"description":"consumer not found"}}"#);
        assert_eq!(missing, Err(NoFacts::Missing));
        assert!(matches!(read(b"{}"), Err(NoFacts::Unusable(_))));
        assert!(matches!(read(b"?"), Err(NoFacts::Unusable(_))));
    }
}
