//! Jobs that the leader ends itself: cancelled, expired, discarded. And what it does for jobs whose
//! worker is missing.
//!
//! The order keeps a late write of an old leader harmless without a fence in the ledger: first the
//! request is folded, by everybody; then the outcome of the next undispatched attempt is written.

use std::time::Duration;

use super::{Coordinator, Role};
use crate::answer::Answer;
use crate::effects::{Effects, RecordWrite};
use crate::job::{Job, JobState, Open, Request};
use crate::message::ControlBody;
use crate::number::{Accepted, Attempt};
use crate::outcome::{Outcome, OutcomeError, Status};
use crate::subject::{AttemptName, JobName, Subjects, Verb};
use crate::time::Timestamp;
use crate::workers::Patience;

impl Coordinator {
    /// Writes what ends jobs: the request to expire what waits although its time to start has
    /// passed, and the outcomes of jobs whose request is folded and that have nothing outstanding.
    pub(super) fn end(&mut self, now: Timestamp, effects: &mut Effects) {
        let Role::Leading(leader) = &mut self.role else {
            return;
        };
        // It leaves the backlog at once: it must not start while its request is on its way.
        while let Some(accepted) = self.backlog.take_expired(now) {
            if planted!(ExpiredIsDispatched) {
                continue;
            }
            leader.errands.add(accepted);
        }
        while let Some(accepted) = leader.errands.next(now) {
            let record = self
                .ledger
                .job(accepted)
                .filter(|_| !leader.outstanding.contains_key(&accepted) || planted!(EndsWhatIsOut))
                .and_then(|job| {
                    let never = leader.unsendable.get(&accepted);
                    ending(&self.subjects, accepted, job, never)
                });
            match record {
                Some(record) => effects.records.push(record),
                None => {
                    leader.errands.remove(accepted);
                    leader.errands.answered(accepted);
                }
            }
        }
    }

    /// A record was answered. Stored or there already: the fold will show it. All else is tried
    /// again after a while, which the server makes idempotent.
    pub(super) fn wrote(&mut self, accepted: Accepted, answer: &Answer, effects: &mut Effects) {
        let Role::Leading(leader) = &mut self.role else {
            return;
        };
        leader.errands.answered(accepted);
        match answer {
            Answer::Stored(_)
            | Answer::Duplicate(_)
            | Answer::Occupied
            | Answer::WrongLast
            | Answer::Busy
            | Answer::NoResponders
            | Answer::Unanswered => {}
            Answer::Full(text) => effects.alarms.push(format!(
                "the ledger has no room even for outcomes: {text}; raise its max_bytes"
            )),
            Answer::Refused { code, text } => effects.alarms.push(format!(
                "a record about {accepted} was refused with {code}: {text}"
            )),
        }
    }

    /// Pings the workers, and hands on what missing ones held.
    pub(super) fn look_after_workers(&mut self, now: Timestamp, effects: &mut Effects) {
        let Role::Leading(leader) = &self.role else {
            return;
        };
        if !self.workers.is_due(now) {
            return;
        }
        effects.pings = self.workers.pings(now);
        let ledger = &self.ledger;
        let patience = |accepted: Accepted, attempt: Attempt| {
            let Some(out) = leader.outstanding.get(&accepted) else {
                let now = Patience {
                    wait: Duration::ZERO,
                    lease: None,
                };
                return planted!(RescueOfWhatIsOver).then_some(now);
            };
            if out.attempt != attempt {
                return None;
            }
            let config = ledger.queue_config(&out.queue)?;
            let wait = match out.key {
                Some(_) if !planted!(KeyedRescuedSoon) => config.rescue_keyed_ms,
                Some(_) => config.rescue_ms,
                None => config.rescue_ms,
            };
            // A worker renews at a third of it.
            let lease = Duration::from_millis(config.work_lease_ms / 2);
            wait.map(|wait| Patience {
                wait: Duration::from_millis(wait),
                lease: out.key.is_some().then_some(lease),
            })
        };
        effects.rescues = self.workers.rescues(now, patience);
        for rescue in &mut effects.rescues {
            let out = leader.outstanding.get(&rescue.accepted);
            if out.is_none_or(|out| out.key.is_none()) {
                rescue.server = None;
            }
        }
        self.workers.looked();
    }
}

/// The record that brings a job to its end, or a step nearer; `None` if there is none to write.
///
/// `never` says why it can never be dispatched, if this leader found so.
fn ending(
    subjects: &Subjects,
    accepted: Accepted,
    job: &Job,
    never: Option<&String>,
) -> Option<RecordWrite> {
    let (attempt, outcome) = match (&job.state, never) {
        (JobState::Open(open), None) if open.request.is_none() && planted!(EndsWithoutRequest) => {
            (open.next(), requested(Request::Expire))
        }
        (JobState::Open(Open { request: None, .. }), None) => {
            let why = "its time to start has passed";
            return Some(request(subjects, accepted, job, (Verb::Expire, why)));
        }
        (JobState::Open(Open { request: None, .. }), Some(why)) => {
            return Some(request(subjects, accepted, job, (Verb::Discard, why)));
        }
        (JobState::Open(open), _) => (open.next(), requested(open.request?)),
        // It was never dispatched, and is not before its request is folded: attempt 1 is free.
        (JobState::Unconfigured(early), _) => (Attempt::FIRST, requested(early.request?)),
        (JobState::Malformed { reason }, _) => {
            let error = OutcomeError::permanent("malformed", reason);
            (Attempt::FIRST, Outcome::ended(Status::Discarded, error))
        }
        (JobState::Unresolved(_) | JobState::Parked { .. } | JobState::Final(_), _) => return None,
    };
    let name = AttemptName {
        job: job.name.clone(),
        accepted,
        attempt,
    };
    Some(RecordWrite {
        accepted,
        attempt,
        subject: subjects.outcome(&name),
        body: outcome.to_body(),
    })
}

/// The leader's request to end a job, and why.
fn request(
    subjects: &Subjects,
    accepted: Accepted,
    job: &Job,
    (verb, why): (Verb, &str),
) -> RecordWrite {
    let name = AttemptName {
        job: job.name.clone(),
        accepted,
        attempt: job.state.last(),
    };
    RecordWrite {
        accepted,
        attempt: name.attempt,
        subject: subjects.control(&name, verb),
        body: ControlBody::new(why).to_json(),
    }
}

fn requested(request: Request) -> Outcome {
    let error = match request {
        Request::Cancel => OutcomeError::permanent("cancelled", "cancelled on request"),
        Request::Expire => OutcomeError::permanent(
            "expired",
            "its time to start had passed before it could be dispatched",
        ),
        Request::Discard => OutcomeError::permanent(
            "undispatchable",
            "it can never be dispatched; the record of the request to discard it says why",
        ),
    };
    Outcome::ended(request.status(), error)
}

impl Coordinator {
    /// The control record that a request about a job is written as, or why there is none.
    ///
    /// # Errors
    /// The job's phase does not allow it; the text is for the one who asked.
    pub fn control_record(
        &self,
        accepted: Accepted,
        verb: Verb,
    ) -> Result<RecordWrite, &'static str> {
        let job = self
            .ledger
            .job(accepted)
            .ok_or("the ledger has no such job")?;
        let allowed = match (&job.state, verb) {
            (
                JobState::Open(_) | JobState::Unconfigured(_) | JobState::Unresolved(_),
                Verb::Cancel,
            )
            | (JobState::Open(_), Verb::Retry) => Ok(()),
            (JobState::Final(over), Verb::Replay) if over.again.is_some() => Ok(()),
            (JobState::Final(_), Verb::Replay) => {
                Err("it never could run; submit it under another id")
            }
            (JobState::Final(_), Verb::Cancel) => Err("it is final already"),
            (JobState::Final(_), Verb::Retry) => Err("it is final; replay it instead"),
            (JobState::Open(_), Verb::Replay) => Err("it is not final yet"),
            (JobState::Unconfigured(_) | JobState::Unresolved(_), _) => {
                Err("its queue has no configuration yet; add the queue first")
            }
            (JobState::Parked { .. }, _) => {
                Err("a newer version wrote it; it waits for newer coordinators")
            }
            (JobState::Malformed { .. }, _) => Err("it is malformed and is being discarded"),
            (_, Verb::Expire | Verb::Discard) => Err("only the leader asks for that"),
        };
        allowed?;
        if matches!(job.name, JobName::Malformed) {
            return Err("it is malformed");
        }
        let name = AttemptName {
            job: job.name.clone(),
            accepted,
            attempt: job.state.last(),
        };
        Ok(RecordWrite {
            accepted,
            attempt: name.attempt,
            subject: self.subjects.control(&name, verb),
            body: ControlBody::new("asked for through the API").to_json(),
        })
    }
}
