//! Asks all coordinators at once what they are and what they see. It never asks one of them twice,
//! and judges nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::{Client, StatusCode};
use futures::StreamExt;
use protocol::message::CoordinatorStatus;
use protocol::subject::Subjects;

/// How long answers are gathered: each coordinator answers within a round trip.
pub const GATHER: Duration = Duration::from_millis(300);

/// Most answers that are kept: more coordinators than anybody runs.
const ANSWERS_MAX: usize = 1_000;

/// The question could not be asked.
#[derive(Debug, thiserror::Error)]
#[error(
    "ask the coordinators: {0}; check the connection and that this user may publish to the API and subscribe to its inbox"
)]
pub struct RollCallError(String);

/// What the coordinators answer within `gather`, by their names; an answer of another form is
/// left out.
///
/// # Errors
/// The question could not be sent.
pub async fn roll_call(
    client: &Client,
    subjects: &Subjects,
    gather: Duration,
) -> Result<Vec<CoordinatorStatus>, RollCallError> {
    let failed = |error: &dyn std::fmt::Display| RollCallError(error.to_string());
    let inbox = client.new_inbox();
    let mut replies = client
        .subscribe(inbox.clone())
        .await
        .map_err(|error| failed(&error))?;
    client
        .publish_with_reply(subjects.api_status(), inbox, "".into())
        .await
        .map_err(|error| failed(&error))?;
    let mut answers = BTreeMap::new();
    let deadline = tokio::time::sleep(gather);
    tokio::pin!(deadline);
    while answers.len() < ANSWERS_MAX {
        let message = tokio::select! {
            () = &mut deadline => break,
            message = replies.next() => message,
        };
        let Some(message) = message else { break };
        if message.status == Some(StatusCode::NO_RESPONDERS) {
            break;
        }
        if let Ok(status) = serde_json::from_slice::<CoordinatorStatus>(&message.payload) {
            let who = (status.coordinator.clone(), status.incarnation.clone());
            answers.insert(who, status);
        }
    }
    Ok(answers.into_values().collect())
}

/// The coordinator that says it leads, if one does.
#[must_use]
pub fn leader(answers: &[CoordinatorStatus]) -> Option<&CoordinatorStatus> {
    // Two may say so for a moment: the one with the newer epoch is right.
    answers
        .iter()
        .filter(|status| status.role == "leader")
        .max_by_key(|status| status.epoch)
}
