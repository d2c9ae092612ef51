//! Questions about a job, answered by any coordinator: where it stands, its changes, its outcome.

use std::time::Duration;

use async_nats::Subscriber;
use async_nats::client::{Request, RequestErrorKind};
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use protocol::id::{JobId, QueueName};
use protocol::message::{JobAnswer, JobPhase, JobView};
use protocol::outcome::{Outcome, OutcomeError, Status};
use protocol::subject::JobName;
use tokio::time::{sleep, timeout};

use super::{Client, ClientError};

/// The first pause before the next look, after something happened to the job; it doubles.
const LOOK_AFTER: Duration = Duration::from_millis(5);
/// Longest pause between two looks while nothing is heard.
const LOOK_AFTER_MAX: Duration = Duration::from_secs(2);

impl Client {
    /// Where a job stands; `None` where the ledger has no such job.
    ///
    /// # Errors
    /// A name is none, or no coordinator has an answer.
    pub async fn status(&self, queue: &str, id: &str) -> Result<Option<JobView>, ClientError> {
        let (queue, id) = names(queue, id)?;
        self.get(&queue, &id).await
    }

    /// The changes of a job, from where it stands now until it is final. A change that is followed
    /// by another at once may be left out. Errors that may pass do not end it.
    pub fn watch(
        &self,
        queue: &str,
        id: &str,
    ) -> impl Stream<Item = Result<JobView, ClientError>> + Send + use<> {
        let start = names(queue, id).map(|(queue, id)| Watch {
            client: self.clone(),
            queue,
            id,
            hints: None,
            last: None,
            pause: LOOK_AFTER,
        });
        stream::unfold(Some(start), |state| async move {
            match state? {
                Err(error) => Some((Err(error), None)),
                Ok(mut watch) => match watch.next().await? {
                    Ok(view) => Some((Ok(view), Some(Ok(watch)))),
                    Err(error) if error.is_retryable() => Some((Err(error), Some(Ok(watch)))),
                    Err(error) => Some((Err(error), None)),
                },
            }
        })
    }

    /// Waits until the job is final and returns its last outcome, with the result.
    ///
    /// # Errors
    /// The job is not final within `patience`, is unknown, or no coordinator has an answer.
    pub async fn wait(
        &self,
        queue: &str,
        id: &str,
        patience: Duration,
    ) -> Result<Outcome, ClientError> {
        let mut last = Err(ClientError::Unanswered);
        let mut changes = Box::pin(self.watch(queue, id));
        let seen = timeout(patience, async {
            while let Some(change) = changes.next().await {
                match change {
                    Ok(view) if view.phase.is_final() => return Ok(outcome(view)),
                    Ok(view) => {
                        last = Err(ClientError::NotYet {
                            phase: view.phase.as_str(),
                        });
                    }
                    Err(error) if error.is_retryable() => last = Err(error),
                    Err(error) => return Err(error),
                }
            }
            Err(ClientError::Unanswered)
        })
        .await;
        seen.unwrap_or(last)
    }

    /// Asks to cancel a job. One that waits ends; one that runs is told, and its own outcome
    /// decides. Returns where it stands after the request was recorded.
    ///
    /// # Errors
    /// A name is none, the job is unknown or final, or no coordinator has an answer.
    pub async fn cancel(&self, queue: &str, id: &str) -> Result<JobView, ClientError> {
        let (queue, id) = names(queue, id)?;
        let subject = self.broker.subjects().api_cancel(&queue, &id);
        match self.ask_job(subject).await? {
            Some(view) => Ok(view),
            None => Err(unknown_job(&queue, &id)),
        }
    }

    async fn get(&self, queue: &QueueName, id: &JobId) -> Result<Option<JobView>, ClientError> {
        self.ask_job(self.broker.subjects().api_get(queue, id))
            .await
    }

    async fn ask_job(&self, subject: String) -> Result<Option<JobView>, ClientError> {
        if !self.broker.is_connected() {
            return Err(ClientError::Unanswered);
        }
        let request = Request::new().payload(Bytes::new()).timeout(None);
        let asked = self.broker.client().send_request(subject, request);
        // Around the whole of it: a client without a connection may not even take the request.
        let message = timeout(self.broker.timeout(), asked)
            .await
            .map_err(|_elapsed| ClientError::Unanswered)?
            .map_err(|error| match error.kind() {
                RequestErrorKind::NoResponders => ClientError::NoCoordinator,
                _ => ClientError::Unanswered,
            })?;
        match serde_json::from_slice(&message.payload) {
            Ok(JobAnswer::Job { job }) => Ok(Some(*job)),
            Ok(JobAnswer::Unknown) => Ok(None),
            Ok(JobAnswer::Error {
                code,
                message,
                retry,
            }) => Err(ClientError::Rejected {
                code,
                message,
                retry,
            }),
            Err(error) => Err(ClientError::Unreadable(error.to_string())),
        }
    }
}

/// A job that is looked at whenever an outcome of it is heard of, and now and then.
struct Watch {
    client: Client,
    queue: QueueName,
    id: JobId,
    /// Outcomes as they are written: they say when to look, and decide nothing.
    hints: Option<Subscriber>,
    last: Option<JobView>,
    pause: Duration,
}

impl Watch {
    /// The next change, `None` after the final one.
    async fn next(&mut self) -> Option<Result<JobView, ClientError>> {
        if self.last.as_ref().is_some_and(|view| view.phase.is_final()) {
            return None;
        }
        loop {
            if self.last.is_some() {
                self.rest().await;
            }
            match self.client.get(&self.queue, &self.id).await {
                Ok(Some(view)) => {
                    if self.last.as_ref() != Some(&view) {
                        self.listen(&view).await;
                        self.last = Some(view.clone());
                        return Some(Ok(view));
                    }
                }
                Ok(None) => return Some(Err(unknown_job(&self.queue, &self.id))),
                Err(error) => {
                    if error.is_retryable() {
                        self.rest().await;
                    }
                    return Some(Err(error));
                }
            }
        }
    }

    /// Waits for a hint, or for the pause.
    async fn rest(&mut self) {
        let pause = self.pause;
        self.pause = (pause * 2).min(LOOK_AFTER_MAX);
        let Some(hints) = &mut self.hints else {
            return sleep(pause).await;
        };
        match timeout(pause, hints.next()).await {
            Ok(Some(_outcome)) => self.pause = LOOK_AFTER,
            Ok(None) => self.hints = None,
            Err(_elapsed) => {}
        }
    }

    /// Hears of the outcomes of the job from now on. Without the permission to, looks must do.
    async fn listen(&mut self, view: &JobView) {
        if self.hints.is_some() {
            return;
        }
        let job = JobName::Named {
            queue: self.queue.clone(),
            id: self.id.clone(),
        };
        let broker = &self.client.broker;
        let subject = broker.subjects().outcomes_of(&job, view.accepted);
        match broker.client().subscribe(subject).await {
            Ok(hints) => self.hints = Some(hints),
            Err(error) => tracing::debug!(%error, "no hints about outcomes"),
        }
    }
}

fn names(queue: &str, id: &str) -> Result<(QueueName, JobId), ClientError> {
    Ok((QueueName::new(queue)?, JobId::from_raw(id)?))
}

fn unknown_job(queue: &QueueName, id: &JobId) -> ClientError {
    ClientError::UnknownJob {
        queue: queue.to_string(),
        id: id.to_string(),
    }
}

/// The outcome of a final job. A coordinator that could not read it back says at least what it is.
fn outcome(view: JobView) -> Outcome {
    view.outcome.unwrap_or_else(|| {
        let status = match view.phase {
            JobPhase::Completed => Status::Completed,
            JobPhase::Cancelled => Status::Cancelled,
            JobPhase::Expired => Status::Expired,
            _ => Status::Discarded,
        };
        let error = view.error.unwrap_or_else(|| {
            OutcomeError::new("no-outcome", "the coordinator did not show the outcome")
        });
        match status {
            Status::Completed => Outcome::completed(serde_json::Value::Null),
            _ => Outcome::ended(status, error),
        }
    })
}
