//! How the two buckets must be configured, as the streams below them: the form of a key-value
//! bucket, so that every NATS client can open them.

use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};

use crate::names::Names;
use crate::settings::Settings;
use crate::streams::metadata;

/// The leaders' bucket forgets a record after so many leases without renewal.
const LEASES_KEPT: u32 = 4;
/// The window of message ids of a bucket with a long life, as other NATS clients set it.
const DUPLICATE_WINDOW_MAX: Duration = Duration::from_secs(120);
/// Room of the leaders' bucket: a record an election.
const LEADER_BYTES_MAX: i64 = 16 << 20;
/// Room of the workers' bucket: some 4 kB a worker for 16,000 of them.
const WORKERS_BYTES_MAX: i64 = 64 << 20;

/// The bucket of the elections. Its `max_age` collects what nobody renews and decides nothing; it
/// has no direct reads, so that no replica behind the leader answers who leads.
#[must_use]
pub fn leader(names: &Names, settings: &Settings) -> Config {
    let config = Config {
        description: Some("who leads: the leases of the elections".to_owned()),
        max_bytes: LEADER_BYTES_MAX,
        metadata: metadata(names, "election", settings.replicas),
        ..bucket(names.leader_bucket(), settings)
    };
    aged(config, settings.leader_lease * LEASES_KEPT)
}

/// The bucket of the workers' presence. A worker that is silent for the bucket's `max_age` is gone
/// from it.
#[must_use]
pub fn workers(names: &Names, settings: &Settings) -> Config {
    let config = Config {
        description: Some("which workers are there, and what they run".to_owned()),
        allow_direct: true,
        max_bytes: WORKERS_BYTES_MAX,
        metadata: metadata(names, "presence", settings.replicas),
        ..bucket(names.workers_bucket(), settings)
    };
    aged(config, settings.presence_ttl)
}

fn bucket(name: &str, settings: &Settings) -> Config {
    Config {
        name: format!("KV_{name}"),
        subjects: vec![format!("$KV.{name}.>")],
        retention: RetentionPolicy::Limits,
        storage: StorageType::File,
        num_replicas: settings.replicas.count(),
        max_messages: -1,
        max_messages_per_subject: 1,
        max_message_size: -1,
        max_consumers: -1,
        discard: DiscardPolicy::New,
        allow_rollup: true,
        deny_delete: true,
        ..Config::default()
    }
}

fn aged(config: Config, max_age: Duration) -> Config {
    Config {
        max_age,
        duplicate_window: max_age.min(DUPLICATE_WINDOW_MAX),
        ..config
    }
}
