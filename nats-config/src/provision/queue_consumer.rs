//! The consumer of one queue: made once, its lease kept as configured, never deleted or reset.

use std::time::Duration;

use protocol::config::QueueConfig;
use protocol::id::QueueName;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::ProvisionError;
use crate::broker::Broker;
use crate::consumers;
use crate::drift::{self, Drift, Role, Severity};
use crate::read_error::ReadError;

const CONSUMER_NOT_FOUND: u64 = 10_014;
/// What the server gives for a consumer of this name that is there, in another form.
const ALREADY_EXISTS: [u64; 2] = [10_013, 10_148];
/// What may be set back without touching what the consumer has handed out.
const REPAIRED: [&str; 5] = [
    "ack_wait",
    "backoff",
    "headers_only",
    "inactive_threshold",
    "max_deliver",
];

/// What is done about a consumer that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Absent {
    /// Makes it.
    Make,
    /// Leaves it absent: somebody may still run what it handed out.
    Leave,
}

/// What [`Broker::ensure_consumer`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ensured {
    /// It was absent and is made.
    Created,
    /// It was there; its lease or another setting of ours was set.
    Updated,
    /// It was there as it should be.
    Unchanged,
}

/// What was found and done with a consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerReport {
    /// What was done.
    pub ensured: Ensured,
    /// Harmless differences that are left: an operator's choice.
    pub drift: Vec<Drift>,
}

#[derive(Deserialize)]
struct ConsumerInfo {
    config: Map<String, Value>,
}

/// The consumer that should be, and where requests about it go.
struct Wanted {
    stream: String,
    name: String,
    filter: String,
    config: Map<String, Value>,
}

impl Wanted {
    fn shown(&self) -> String {
        format!("consumer {} > {}", self.stream, self.name)
    }

    fn drift(&self, found: &Map<String, Value>) -> Vec<Drift> {
        drift::compare(Role::Consumer, &self.shown(), &self.config, found, "")
    }
}

pub(super) async fn ensure(
    broker: &Broker,
    queue: &QueueName,
    config: &QueueConfig,
    absent: Absent,
) -> Result<ConsumerReport, ProvisionError> {
    let lease = Duration::from_millis(config.work_lease_ms);
    let config = consumers::queue(broker.names(), queue, lease);
    let wanted = Wanted {
        stream: broker.names().work().to_owned(),
        name: broker.names().consumer(queue).to_owned(),
        filter: config.filter_subject.clone(),
        config: drift::json(&config),
    };
    let (found, ensured) = match read(broker, &wanted).await? {
        None if absent == Absent::Leave => (None, Ensured::Unchanged),
        None => {
            write(broker, &wanted, "create", &wanted.config).await?;
            (read(broker, &wanted).await?, Ensured::Created)
        }
        Some(found) if needs_repair(&wanted, &found) => {
            let repaired = repaired(&wanted, found);
            write(broker, &wanted, "update", &repaired).await?;
            (read(broker, &wanted).await?, Ensured::Updated)
        }
        found => (found, Ensured::Unchanged),
    };
    let found = found.ok_or_else(|| ProvisionError::Missing {
        object: wanted.shown(),
    })?;
    let drift = wanted.drift(&found);
    if drift.iter().any(|drift| drift.severity == Severity::Unsafe) {
        return Err(ProvisionError::Altered { drift });
    }
    Ok(ConsumerReport { ensured, drift })
}

async fn read(
    broker: &Broker,
    wanted: &Wanted,
) -> Result<Option<Map<String, Value>>, ProvisionError> {
    let verb = format!("CONSUMER.INFO.{}.{}", wanted.stream, wanted.name);
    let info = broker
        .api::<ConsumerInfo>(&verb, &wanted.stream, &json!({}))
        .await;
    match info {
        Ok(info) => Ok(Some(info.config)),
        Err(ReadError::Refused {
            code: CONSUMER_NOT_FOUND,
            ..
        }) => Ok(None),
        Err(error) => Err(ProvisionError::Read(error)),
    }
}

async fn write(
    broker: &Broker,
    wanted: &Wanted,
    action: &str,
    config: &Map<String, Value>,
) -> Result<(), ProvisionError> {
    let Wanted {
        stream,
        name,
        filter,
        ..
    } = wanted;
    let verb = format!("CONSUMER.CREATE.{stream}.{name}.{filter}");
    let request = json!({ "stream_name": stream, "action": action, "config": config });
    match broker.api::<Value>(&verb, stream, &request).await {
        Ok(_made) => Ok(()),
        // Another coordinator was faster; the reading that follows compares.
        Err(ReadError::Refused { code, .. }) if ALREADY_EXISTS.contains(&code) => Ok(()),
        Err(error) => Err(ProvisionError::of_consumer(error, &wanted.shown())),
    }
}

fn needs_repair(wanted: &Wanted, found: &Map<String, Value>) -> bool {
    wanted
        .drift(found)
        .iter()
        .any(|drift| REPAIRED.contains(&drift.field.as_str()))
}

/// What is there, with only the fields of ours set: an operator's other settings stay.
fn repaired(wanted: &Wanted, mut found: Map<String, Value>) -> Map<String, Value> {
    for field in REPAIRED {
        match wanted.config.get(field) {
            Some(value) => found.insert(field.to_owned(), value.clone()),
            None => found.remove(field),
        };
    }
    found
}
