//! Spent work, deleted: its outcome has long been recorded.

use futures::{StreamExt, stream};
use nats_config::Broker;
use protocol::subject::AttemptName;

use crate::inputs::Done;

/// Most deletions at once.
const AT_ONCE_MAX: usize = 16;

/// Deletes the messages of these attempts. What fails the next audit asks for again.
pub(crate) async fn delete(broker: Broker, attempts: Vec<AttemptName>) -> Done {
    let of = attempts.len();
    let deletions = stream::iter(attempts).map(|name| delete_one(broker.clone(), name));
    let deleted = deletions.buffer_unordered(AT_ONCE_MAX);
    let deleted: Vec<bool> = deleted.collect().await;
    let deleted = deleted.into_iter().filter(|deleted| *deleted).count();
    tracing::info!(
        deleted,
        of,
        "deleted spent work: its outcome is recorded, and nobody acked it; a server that was killed brings such work back"
    );
    Done::Nothing
}

async fn delete_one(broker: Broker, name: AttemptName) -> bool {
    let subject = broker.subjects().work(&name);
    match broker.delete(broker.names().work(), &subject).await {
        Ok(deleted) => deleted,
        Err(error) => {
            tracing::debug!(%error, subject, "failed to delete spent work; the next audit does it");
            false
        }
    }
}
