//! How the consumer of a queue must be configured: what its workers pull from.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, Config, DeliverPolicy, ReplayPolicy};
use protocol::id::QueueName;

use crate::names::Names;
use crate::settings::Replicas;
use crate::streams::metadata;

/// Most attempts of one queue that may be out at a time. The leader's window is the real limit;
/// this one must never be the first to stop the flow.
pub const ACK_PENDING_MAX: i64 = 100_000;
/// Most pulls that may wait at one queue: one or two a worker.
pub const WAITING_MAX: i64 = 4_096;

/// The durable pull consumer of `queue`. The broker hands an attempt out again when its worker was
/// silent for `work_lease`, and never gives up: attempts are counted in the ledger, not there.
///
/// It has as many replicas as its stream.
#[must_use]
pub fn queue(names: &Names, queue: &QueueName, work_lease: Duration) -> Config {
    let mut metadata = metadata(names, "queue", Replicas::One);
    metadata.insert("coordinator_queue".to_owned(), queue.to_string());
    Config {
        durable_name: Some(names.consumer(queue).to_owned()),
        name: Some(names.consumer(queue).to_owned()),
        description: Some("what the workers of a queue pull".to_owned()),
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::Explicit,
        ack_wait: work_lease,
        max_deliver: -1,
        filter_subject: names.subjects().work_of(queue),
        replay_policy: ReplayPolicy::Instant,
        max_waiting: WAITING_MAX,
        max_ack_pending: ACK_PENDING_MAX,
        metadata,
        ..Config::default()
    }
}
