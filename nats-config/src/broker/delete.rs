//! The deletion of a single message, asked of the stream's leader.

use serde::Deserialize;
use serde_json::json;

use super::Broker;
use crate::read_error::ReadError;

#[derive(Deserialize)]
struct Deleted {
    success: bool,
}

impl Broker {
    /// Deletes the message on `subject`, wherever it stands. Returns whether there was one. It is
    /// for subjects that are used once only: the sequence is read first.
    ///
    /// # Errors
    /// No usable answer; the message may be there or not then.
    pub async fn delete(&self, stream: &str, subject: &str) -> Result<bool, ReadError> {
        let Some(stored) = self.last(stream, subject).await? else {
            return Ok(false);
        };
        let verb = format!("STREAM.MSG.DELETE.{stream}");
        let request = json!({ "seq": stored.sequence.get(), "no_erase": true });
        let deleted = self.api::<Deleted>(&verb, stream, &request).await;
        deleted.map(|deleted| deleted.success)
    }
}
