//! A direct submission, decided by the record in the ledger wherever the answer does not decide it.

use std::time::Duration;

use nats_config::{ReadError, Stored};
use protocol::answer::Answer;
use protocol::submission::{Parsed, Submission};
use tokio::time::{sleep, timeout};

use super::request::Prepared;
use super::{Client, SubmitError, Submitted};

/// The first pause before a repeat; it doubles.
const PAUSE: Duration = Duration::from_millis(50);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// What is known of one submission.
struct Case<'a> {
    client: &'a Client,
    prepared: &'a Prepared,
    /// A write of ours was not answered: it may have landed, or may yet.
    unanswered: bool,
    /// What the last try met.
    why: String,
}

/// Where to go on.
enum Next {
    Done(Result<Submitted, SubmitError>),
    Again,
}

pub(super) async fn settle(
    client: &Client,
    prepared: &Prepared,
    first: Option<Answer>,
) -> Result<Submitted, SubmitError> {
    let mut case = Case {
        client,
        prepared,
        unanswered: false,
        why: "the broker did not answer".to_owned(),
    };
    match timeout(client.patience, case.decide(first)).await {
        Ok(decided) => decided,
        // A write is under way whenever the time ends, so nothing is known for sure.
        Err(_elapsed) => Err(SubmitError::Unknown { why: case.why }),
    }
}

impl Case<'_> {
    async fn decide(&mut self, mut first: Option<Answer>) -> Result<Submitted, SubmitError> {
        let mut pause = PAUSE;
        loop {
            let answer = match first.take() {
                Some(answer) => answer,
                None => self.write().await,
            };
            if let Next::Done(decided) = self.judge(answer).await {
                return decided;
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn write(&self) -> Answer {
        let Prepared {
            subject,
            headers,
            payload,
            ..
        } = self.prepared;
        self.client
            .broker
            .write(subject.clone(), headers.clone(), payload.clone())
            .await
    }

    async fn judge(&mut self, answer: Answer) -> Next {
        match answer {
            Answer::Stored(sequence) => Next::Done(Ok(Submitted::Accepted {
                accepted: sequence.into(),
            })),
            Answer::Occupied | Answer::Duplicate(_) | Answer::WrongLast => self.read(None).await,
            Answer::Unanswered => {
                self.unanswered = true;
                self.read(None).await
            }
            Answer::NoResponders => self.read(Some(SubmitError::DoorClosed)).await,
            // A server may look for room before it looks whether the subject is taken.
            Answer::Full(text) => self.read(Some(SubmitError::Full { text })).await,
            Answer::Busy => Next::Again,
            Answer::Refused { code, text } => {
                let refused = SubmitError::Refused { code, text };
                match self.unanswered {
                    true => self.read(Some(refused)).await,
                    false => Next::Done(Err(refused)),
                }
            }
        }
    }

    /// Decides by the record. `refusal`: why this write was refused, whatever an earlier one met.
    async fn read(&mut self, refusal: Option<SubmitError>) -> Next {
        let broker = &self.client.broker;
        match broker
            .last(broker.names().ledger(), &self.prepared.subject)
            .await
        {
            Ok(Some(stored)) => Next::Done(Ok(self.compare(&stored))),
            Ok(None) => match refusal {
                Some(refusal) if !self.unanswered => Next::Done(Err(refusal)),
                Some(refusal) => {
                    self.why = format!("an earlier try may still land ({refusal})");
                    Next::Again
                }
                None => Next::Again,
            },
            Err(error @ ReadError::NoStream { .. }) => Next::Done(Err(SubmitError::Unavailable {
                why: error.to_string(),
            })),
            Err(error) if error.is_retryable() => {
                self.why = error.to_string();
                Next::Again
            }
            Err(error) => Next::Done(Err(SubmitError::Unknown {
                why: error.to_string(),
            })),
        }
    }

    fn compare(&self, stored: &Stored) -> Submitted {
        let accepted = stored.sequence.into();
        match differs(self.prepared, stored) {
            Some(differs) => Submitted::Conflict { accepted, differs },
            None if self.unanswered => Submitted::Accepted { accepted },
            None => Submitted::Duplicate { accepted },
        }
    }
}

/// What of a job differs from the one in the ledger; `None` for the same job.
fn differs(ours: &Prepared, stored: &Stored) -> Option<String> {
    let mut all = Vec::new();
    if ours.payload != stored.payload {
        all.push("the payload");
    }
    let headers = &stored.headers;
    match Submission::parse(|name| headers.get(name).map(|value| value.as_str())) {
        Ok(Parsed::Known(theirs)) if ours.submission.is_same_job(&theirs) => {}
        Ok(Parsed::Known(theirs)) => {
            let ours = &ours.submission;
            let fields = [
                ("the kind", ours.kind != theirs.kind),
                ("the key", ours.key != theirs.key),
                (
                    "the priority",
                    ours.priority.unwrap_or_default() != theirs.priority.unwrap_or_default(),
                ),
                ("the run-at time", ours.run_at != theirs.run_at),
            ];
            all.extend(
                fields
                    .iter()
                    .filter(|(_, other)| *other)
                    .map(|(name, _)| *name),
            );
        }
        Ok(Parsed::Newer(_)) => all.push("the version"),
        Err(_) => all.push("headers that cannot be read"),
    }
    (!all.is_empty()).then(|| all.join(", "))
}
