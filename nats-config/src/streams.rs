//! How the two streams must be configured, and why. Whether they are is checked in `drift`.

use std::collections::HashMap;
use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};

use crate::names::Names;
use crate::settings::{Replicas, Settings};

/// The shortest window of message ids that the server takes. Ids of ours are subjects; the window
/// only costs memory.
pub(crate) const DUPLICATE_WINDOW: Duration = Duration::from_millis(100);
/// The version of the things on the broker, kept in their metadata.
pub const SCHEMA: &str = "1";

/// The ledger: everything that decides, in one order, with the door open.
///
/// Nobody but the server can accept a job twice: one message a subject, and a second is refused
/// without any window of time. Nothing expires and nothing is rolled up, since that would open a
/// subject again. Deletes and purges stay possible, because retirement deletes; permissions keep
/// them to the coordinator.
#[must_use]
pub fn ledger(names: &Names, settings: &Settings) -> Config {
    let mut subjects = names.subjects().ledger_without_submit();
    subjects.insert(0, names.subjects().submit_all());
    Config {
        description: Some("ledger: what was submitted, and what became of it".to_owned()),
        subjects,
        retention: RetentionPolicy::Limits,
        allow_direct: true,
        max_bytes: bytes(settings.ledger_bytes_max),
        metadata: metadata(names, "ledger", settings.replicas),
        ..once_per_subject(names.ledger(), settings)
    }
}

/// The work queue: what is handed out now. Only the leader writes it; an ack removes a message.
#[must_use]
pub fn work(names: &Names, settings: &Settings) -> Config {
    Config {
        description: Some("work queue: what the workers may run now".to_owned()),
        subjects: names.subjects().work_stream(),
        retention: RetentionPolicy::WorkQueue,
        max_bytes: bytes(settings.work_bytes_max),
        metadata: metadata(names, "work", settings.replicas),
        ..once_per_subject(names.work(), settings)
    }
}

/// What both streams have in common: one message a subject for as long as it stays, refused in the
/// server, and batches that are stored whole.
fn once_per_subject(name: &str, settings: &Settings) -> Config {
    Config {
        name: name.to_owned(),
        storage: StorageType::File,
        num_replicas: settings.replicas.count(),
        max_messages: -1,
        max_messages_per_subject: 1,
        max_message_size: -1,
        max_consumers: -1,
        discard: DiscardPolicy::New,
        discard_new_per_subject: true,
        allow_atomic_publish: true,
        duplicate_window: DUPLICATE_WINDOW,
        ..Config::default()
    }
}

/// The server counts in signed numbers, where -1 is "no limit"; a valid setting fits.
pub(crate) fn bytes(setting: u64) -> i64 {
    i64::try_from(setting).unwrap_or(i64::MAX)
}

/// Keys without dots are ours and become labels of metrics; `io.nats.monitor` ones are read by
/// `nats server check`.
pub(crate) fn metadata(names: &Names, role: &str, replicas: Replicas) -> HashMap<String, String> {
    let mut all = HashMap::from([
        ("coordinator_namespace", names.namespace().to_string()),
        ("coordinator_role", role.to_owned()),
        ("coordinator_schema", SCHEMA.to_owned()),
        ("io.nats.monitor.enabled", "true".to_owned()),
    ]);
    // A stream that is not replicated has no peers to count.
    if replicas != Replicas::One {
        all.insert("io.nats.monitor.peer-expect", replicas.to_string());
    }
    all.into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}
