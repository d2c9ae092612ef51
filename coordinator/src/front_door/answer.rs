//! Questions about a job, and requests to cancel one.

use std::time::Duration;

use async_nats::HeaderMap;
use protocol::answer::Answer;
use protocol::id::{JobId, QueueName};
use protocol::message::{JobAnswer, JobPhase, JobView};
use protocol::number::{Accepted, Sequence};
use protocol::outcome::Outcome;
use protocol::subject::{AttemptName, JobName, Verb};

use super::Desk;
use crate::questions::Question;

/// How long an answer waits for this coordinator to fold what the ledger already holds.
const FOLD_WITHIN: Duration = Duration::from_secs(5);

impl Desk {
    pub(super) async fn get(&self, queue: &str, id: &str) -> JobAnswer {
        match self.find(queue, id).await {
            Ok(accepted) => self.view(accepted).await.unwrap_or_else(|error| error),
            Err(answer) => answer,
        }
    }

    pub(super) async fn cancel(&self, queue: &str, id: &str) -> JobAnswer {
        let accepted = match self.find(queue, id).await {
            Ok(accepted) => accepted,
            Err(answer) => return answer,
        };
        let record = match self
            .ask(|reply| Question::Control(accepted, Verb::Cancel, reply))
            .await
        {
            Some(Ok(record)) => record,
            Some(Err(why)) => return error("not-cancelled", why, false),
            None => return stopping(),
        };
        let answer = self
            .broker
            .write(record.subject, HeaderMap::new(), record.body.into())
            .await;
        match answer {
            Answer::Stored(sequence) => {
                if self.wait_for(sequence).await.is_none() {
                    return error(
                        "unknown",
                        "the request is recorded, but not folded yet",
                        true,
                    );
                }
            }
            // Asked for before: the folded state is the answer.
            Answer::Occupied | Answer::Duplicate(_) => {}
            Answer::WrongLast | Answer::Busy | Answer::NoResponders | Answer::Unanswered => {
                return error("unknown", "the ledger did not answer; ask again", true);
            }
            Answer::Full(text) | Answer::Refused { text, .. } => {
                return error("refused", &text, false);
            }
        }
        self.view(accepted).await.unwrap_or_else(|error| error)
    }

    /// The acceptance number of a job, by the ledger, once this coordinator has folded so far.
    async fn find(&self, queue: &str, id: &str) -> Result<Accepted, JobAnswer> {
        let queue = QueueName::new(queue).map_err(|e| error("bad-queue", &e.to_string(), false))?;
        let id = JobId::from_encoded(id).map_err(|e| error("bad-id", &e.to_string(), false))?;
        let subject = self.broker.subjects().submit(&queue, &id);
        let stored = match self
            .broker
            .last(self.broker.names().ledger(), &subject)
            .await
        {
            Ok(Some(stored)) => stored,
            Ok(None) => return Err(JobAnswer::Unknown),
            Err(e) => return Err(error("unknown", &e.to_string(), e.is_retryable())),
        };
        match self.wait_for(stored.sequence).await {
            Some(()) => Ok(stored.sequence.into()),
            None => Err(error(
                "behind",
                "this coordinator is still reading the ledger; ask again",
                true,
            )),
        }
    }

    async fn wait_for(&self, sequence: Sequence) -> Option<()> {
        let mut folded = self.folded.clone();
        let waited = folded.wait_for(|at| *at >= sequence);
        tokio::time::timeout(FOLD_WITHIN, waited).await.ok()?.ok()?;
        Some(())
    }

    async fn view(&self, accepted: Accepted) -> Result<JobAnswer, JobAnswer> {
        let view = self
            .ask(|reply| Question::Job(accepted, reply))
            .await
            .ok_or_else(stopping)?;
        let mut view = view.ok_or(JobAnswer::Unknown)?;
        self.fill(&mut view).await;
        Ok(JobAnswer::Job {
            job: Box::new(view),
        })
    }

    /// Adds what the folded state does not hold: the last outcome, and what only the leader knows.
    async fn fill(&self, view: &mut JobView) {
        if view.phase == JobPhase::Available && self.is_dispatched(view).await {
            view.phase = JobPhase::Dispatched;
        }
        let names = self.broker.names();
        let stored = match view.outcome_at {
            Some(sequence) => self.broker.at(names.ledger(), sequence).await,
            None if view.attempt.get() > 0 => {
                let Some(name) = name_of(view) else { return };
                let subject = self.broker.subjects().outcome(&name);
                self.broker.last(names.ledger(), &subject).await
            }
            None => return,
        };
        let Ok(Some(stored)) = stored else {
            return;
        };
        if let Ok(outcome) = Outcome::parse(&stored.payload) {
            view.error.clone_from(&outcome.error);
            view.outcome_at = Some(stored.sequence);
            view.outcome = view.phase.is_final().then_some(outcome);
        }
    }

    async fn is_dispatched(&self, view: &JobView) -> bool {
        let Some(mut name) = name_of(view) else {
            return false;
        };
        name.attempt = view.attempt.next();
        let subject = self.broker.subjects().work(&name);
        matches!(
            self.broker.last(self.broker.names().work(), &subject).await,
            Ok(Some(_))
        )
    }
}

fn name_of(view: &JobView) -> Option<AttemptName> {
    Some(AttemptName {
        job: JobName::Named {
            queue: view.queue.clone(),
            id: JobId::from_encoded(&view.id).ok()?,
        },
        accepted: view.accepted,
        attempt: view.attempt,
    })
}

fn error(code: &str, message: &str, retry: bool) -> JobAnswer {
    JobAnswer::Error {
        code: code.to_owned(),
        message: message.to_owned(),
        retry,
    }
}

fn stopping() -> JobAnswer {
    error("stopping", "this coordinator is stopping; ask again", true)
}
