//! Jobs that the leader ends itself: cancelled, expired, discarded. And what it does for jobs whose
//! worker is missing.
//!
//! The order keeps a late write of an old leader harmless without a fence in the ledger: first the
//! request is folded, by everybody; then the outcome of the next undispatched attempt is written.

use std::time::Duration;

use super::{Coordinator, Role};
use crate::answer::Answer;
use crate::effects::{Effects, RecordWrite};
use crate::job::{JobState, Request};
use crate::leader::RECORD_AGAIN_AFTER;
use crate::message::ControlBody;
use crate::number::{Accepted, Attempt};
use crate::outcome::{Outcome, OutcomeError, Status};
use crate::subject::{AttemptName, JobName, Verb};
use crate::time::Timestamp;

/// Most records of this sort that one event starts.
const RECORDS_MAX: usize = 256;

impl Coordinator {
    /// Asks to expire what waits although its time to start has passed.
    pub(super) fn expire(&mut self, now: Timestamp, effects: &mut Effects) {
        let Role::Leading(leader) = &mut self.role else {
            return;
        };
        for accepted in self.backlog.expired(now).take(RECORDS_MAX) {
            let Some(job) = self.ledger.job(accepted) else {
                continue;
            };
            if !leader.may_write(accepted, now) {
                continue;
            }
            leader
                .writing
                .insert(accepted, now.after(RECORD_AGAIN_AFTER));
            let name = AttemptName {
                job: job.name.clone(),
                accepted,
                attempt: job.state.last(),
            };
            effects.records.push(RecordWrite {
                accepted,
                attempt: name.attempt,
                subject: self.subjects.control(&name, Verb::Expire),
                body: ControlBody::new("its time to start has passed").to_json(),
            });
        }
    }

    /// Writes the outcomes of jobs whose request is folded and that have nothing outstanding.
    pub(super) fn end(&mut self, now: Timestamp, effects: &mut Effects) {
        let Role::Leading(leader) = &mut self.role else {
            return;
        };
        for accepted in self.to_end.iter().copied().take(RECORDS_MAX) {
            let Some(job) = self.ledger.job(accepted) else {
                continue;
            };
            if leader.outstanding.contains_key(&accepted) || !leader.may_write(accepted, now) {
                continue;
            }
            let Some((attempt, outcome)) = ending(&job.state) else {
                continue;
            };
            leader
                .writing
                .insert(accepted, now.after(RECORD_AGAIN_AFTER));
            let name = AttemptName {
                job: job.name.clone(),
                accepted,
                attempt,
            };
            effects.records.push(RecordWrite {
                accepted,
                attempt,
                subject: self.subjects.outcome(&name),
                body: outcome.to_body(),
            });
        }
    }

    /// A record was answered. Stored or there already: the fold will show it. All else is tried
    /// again after a while, which the server makes idempotent.
    pub(super) fn wrote(
        &mut self,
        now: Timestamp,
        accepted: Accepted,
        answer: &Answer,
        effects: &mut Effects,
    ) {
        let Role::Leading(leader) = &mut self.role else {
            return;
        };
        match answer {
            Answer::Stored(_) | Answer::Duplicate(_) | Answer::Occupied => {}
            Answer::WrongLast | Answer::Busy | Answer::NoResponders | Answer::Unanswered => {
                if let Some(again) = leader.writing.get_mut(&accepted) {
                    *again = now.after(RECORD_AGAIN_AFTER);
                }
            }
            Answer::Full(text) => effects.alarms.push(format!(
                "the ledger has no room even for outcomes: {text}; raise its max_bytes"
            )),
            Answer::Refused { code, text } => effects.alarms.push(format!(
                "a record about {accepted} was refused with {code}: {text}"
            )),
        }
    }

    /// What is done by the clock: pings, rescues, the start of an audit.
    pub(super) fn keep_up(&mut self, now: Timestamp, effects: &mut Effects) {
        let Role::Leading(leader) = &self.role else {
            return;
        };
        effects.pings = self.workers.pings(now);
        let ledger = &self.ledger;
        let delay = |accepted: Accepted, attempt: Attempt| {
            let out = leader.outstanding.get(&accepted)?;
            if out.attempt != attempt {
                return None;
            }
            let config = ledger.queue_config(&out.queue)?;
            let millis = match out.key {
                Some(_) => config.rescue_keyed_ms,
                None => config.rescue_ms,
            };
            millis.map(Duration::from_millis)
        };
        effects.rescues = self.workers.rescues(now, delay);
        self.start_audit(now, effects);
    }
}

/// The attempt and outcome that end a job; `None` for a job that nobody asked to end.
fn ending(state: &JobState) -> Option<(Attempt, Outcome)> {
    match state {
        JobState::Open(open) => {
            let request = open.request?;
            let error = match request {
                Request::Cancel => OutcomeError::permanent("cancelled", "cancelled on request"),
                Request::Expire => OutcomeError::permanent(
                    "expired",
                    "its time to start had passed before it could be dispatched",
                ),
                Request::Discard => OutcomeError::permanent("discarded", "discarded on request"),
            };
            Some((open.next(), Outcome::ended(request.status(), error)))
        }
        JobState::Malformed { reason } => {
            let error = OutcomeError::permanent("malformed", reason);
            Some((Attempt::FIRST, Outcome::ended(Status::Discarded, error)))
        }
        JobState::Unconfigured(_)
        | JobState::Unresolved(..)
        | JobState::Parked { .. }
        | JobState::Final(_) => None,
    }
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
            (JobState::Open(_), Verb::Cancel | Verb::Retry)
            | (JobState::Final(_), Verb::Replay) => Ok(()),
            (JobState::Final(_), Verb::Cancel) => Err("it is final already"),
            (JobState::Final(_), Verb::Retry) => Err("it is final; replay it instead"),
            (JobState::Open(_), Verb::Replay) => Err("it is not final yet"),
            (JobState::Unconfigured(_) | JobState::Unresolved(..), _) => {
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
