//! A submission by the front door: checked, then written into the ledger by the same client that
//! trusted submitters use, and answered in JSON.

use async_nats::{HeaderMap, Message};
use protocol::id::{JobId, QueueName};
use protocol::message::SubmitAnswer;
use protocol::submission::{Parsed, Submission};
use worker_sdk::{SubmitError, SubmitRequest, Submitted};

use super::Desk;
use crate::questions::Question;

impl Desk {
    pub(super) async fn submit(&self, queue: &str, id: &str, request: &Message) -> SubmitAnswer {
        let checked = match self.checked(queue, id, request).await {
            Ok(checked) => checked,
            Err(refusal) => return refusal,
        };
        match self.client.submit_raw(checked).await {
            Ok(Submitted::Accepted { accepted }) => SubmitAnswer::Accepted { accepted },
            Ok(Submitted::Duplicate { accepted }) => SubmitAnswer::Duplicate { accepted },
            Ok(Submitted::Conflict { accepted, differs }) => {
                SubmitAnswer::Conflict { accepted, differs }
            }
            Err(error) => SubmitAnswer::Error {
                code: code(&error).to_owned(),
                message: error.to_string(),
                retry: error.is_retryable(),
            },
        }
    }

    /// Checks all that can be checked before anything is written.
    async fn checked(
        &self,
        queue: &str,
        id: &str,
        request: &Message,
    ) -> Result<SubmitRequest, SubmitAnswer> {
        let queue = QueueName::new(queue).map_err(|error| refuse("bad-queue", &error))?;
        let id = JobId::from_encoded(id).map_err(|error| refuse("bad-id", &error))?;
        let none = HeaderMap::new();
        let headers = request.headers.as_ref().unwrap_or(&none);
        let submission = match Submission::parse(|name| {
            headers.get(name).map(|value| value.as_str())
        }) {
            Ok(Parsed::Known(submission)) => submission,
            Ok(Parsed::Newer(version)) => {
                return Err(refuse(
                    "newer-version",
                    &format!(
                        "this coordinator does not know version {version} of a submission; upgrade it, or submit with an older client"
                    ),
                ));
            }
            Err(error) => return Err(refuse("bad-header", &error)),
        };
        match self
            .ask(|reply| Question::Knows(queue.clone(), reply))
            .await
        {
            Some(true) => Ok(SubmitRequest::received(
                queue,
                id,
                submission,
                headers,
                request.payload.clone(),
            )),
            Some(false) => Err(refuse(
                "unknown-queue",
                &format!("no queue {queue}; make it with `coordinator queue add {queue}`"),
            )),
            None => Err(SubmitAnswer::Error {
                code: "stopping".to_owned(),
                message: "this coordinator is stopping; ask again".to_owned(),
                retry: true,
            }),
        }
    }
}

/// A short stable code for what the client met.
fn code(error: &SubmitError) -> &'static str {
    match error {
        SubmitError::Name(_) => "bad-id",
        SubmitError::Submission(_) | SubmitError::Encode(_) => "bad-header",
        SubmitError::TooLarge { .. } => "too-large",
        SubmitError::Full { .. } => "full",
        SubmitError::DoorClosed => "closed",
        SubmitError::Unavailable { .. } | SubmitError::NoCoordinator => "unavailable",
        SubmitError::Unknown { .. } => "unknown",
        _ => "refused",
    }
}

fn refuse(code: &str, message: &impl ToString) -> SubmitAnswer {
    SubmitAnswer::Error {
        code: code.to_owned(),
        message: message.to_string(),
        retry: false,
    }
}
