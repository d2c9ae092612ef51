//! A submission by the front door: checked, written into the ledger, and answered in JSON.

use async_nats::{HeaderMap, Message};
use protocol::answer::Answer;
use protocol::id::{JobId, QueueName};
use protocol::message::SubmitAnswer;
use protocol::number::Accepted;
use protocol::submission::{Parsed, Submission};

use super::Desk;
use crate::inputs::Question;

impl Desk {
    pub(super) async fn submit(&self, queue: &str, id: &str, request: &Message) -> SubmitAnswer {
        match self.checked(queue, id, request).await {
            Ok((queue, id, submission)) => self.write(&queue, &id, &submission, request).await,
            Err(refusal) => refusal,
        }
    }

    /// Checks all that can be checked before anything is written.
    async fn checked(
        &self,
        queue: &str,
        id: &str,
        request: &Message,
    ) -> Result<(QueueName, JobId, Submission), SubmitAnswer> {
        let queue = QueueName::new(queue).map_err(|error| refuse("bad-queue", &error))?;
        let id = JobId::from_encoded(id).map_err(|error| refuse("bad-id", &error))?;
        let submission = match parse(request.headers.as_ref()) {
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
            Some(true) => Ok((queue, id, submission)),
            Some(false) => Err(refuse(
                "unknown-queue",
                &format!("no queue {queue}; make it with `coordinator queue add {queue}`"),
            )),
            None => Err(later("stopping", "this coordinator is stopping; ask again")),
        }
    }

    async fn write(
        &self,
        queue: &QueueName,
        id: &JobId,
        submission: &Submission,
        request: &Message,
    ) -> SubmitAnswer {
        let subject = self.broker.subjects().submit(queue, id);
        let headers = carried(request.headers.as_ref());
        let answer = self
            .broker
            .write(subject.clone(), headers, request.payload.clone())
            .await;
        match answer {
            Answer::Stored(sequence) => SubmitAnswer::Accepted {
                accepted: sequence.into(),
            },
            Answer::Occupied | Answer::Duplicate(_) | Answer::WrongLast | Answer::Unanswered => {
                self.read_back(&subject, submission, request, &answer).await
            }
            Answer::Full(text) => later("full", &format!("the ledger is full: {text}")),
            Answer::Busy => later("busy", "the ledger is busy with the same id; ask again"),
            Answer::NoResponders => later(
                "closed",
                "the ledger takes no submissions now: it is nearly full, or the broker elects a leader; ask again later",
            ),
            Answer::Refused { code, text } => refuse(
                "refused",
                &format!("the ledger refused it with {code}: {text}"),
            ),
        }
    }

    /// Decides by the record what became of the submission.
    async fn read_back(
        &self,
        subject: &str,
        submission: &Submission,
        request: &Message,
        answer: &Answer,
    ) -> SubmitAnswer {
        let stored = match self
            .broker
            .last(self.broker.names().ledger(), subject)
            .await
        {
            Ok(Some(stored)) => stored,
            Ok(None) => {
                return later(
                    "unknown",
                    "the ledger did not answer, and does not show the job; ask again with the same id",
                );
            }
            Err(error) => {
                return later(
                    "unknown",
                    &format!(
                        "it is not known whether the job was accepted: {error}; ask again with the same id"
                    ),
                );
            }
        };
        let accepted = Accepted::from(stored.sequence);
        let differs = differs(submission, request, &stored);
        match (differs, answer) {
            // Ours, whose answer got lost, or the same one of somebody else: accepted either way.
            (None, Answer::Unanswered) => SubmitAnswer::Accepted { accepted },
            (None, _) => SubmitAnswer::Duplicate { accepted },
            (Some(differs), _) => SubmitAnswer::Conflict { accepted, differs },
        }
    }
}

fn differs(
    submission: &Submission,
    request: &Message,
    stored: &nats_config::Stored,
) -> Option<String> {
    if stored.payload != request.payload {
        return Some("the payload".to_owned());
    }
    match parse(Some(&stored.headers)) {
        Ok(Parsed::Known(before)) if submission.is_same_job(&before) => None,
        Ok(_) | Err(_) => Some("kind, key, priority or run-at".to_owned()),
    }
}

fn parse(
    headers: Option<&HeaderMap>,
) -> Result<Parsed<Submission>, protocol::submission::SubmissionError> {
    Submission::parse(|name| headers?.get(name).map(|value| value.as_str()))
}

/// The submitter's headers but the broker's own.
fn carried(headers: Option<&HeaderMap>) -> HeaderMap {
    let mut out = HeaderMap::new();
    for (name, values) in headers.into_iter().flat_map(HeaderMap::iter) {
        let text: &str = name.as_ref();
        if !text.to_ascii_lowercase().starts_with("nats-") {
            for value in values {
                out.append(name.clone(), value.clone());
            }
        }
    }
    out
}

fn refuse(code: &str, message: &impl ToString) -> SubmitAnswer {
    SubmitAnswer::Error {
        code: code.to_owned(),
        message: message.to_string(),
        retry: false,
    }
}

fn later(code: &str, message: &str) -> SubmitAnswer {
    SubmitAnswer::Error {
        code: code.to_owned(),
        message: message.to_owned(),
        retry: true,
    }
}
