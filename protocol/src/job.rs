//! A job as the fold keeps it: its states, and every legal step from one to the next.
//!
//! Nothing here knows what is dispatched: the ledger does not say, and the leader keeps that apart.

use std::sync::Arc;

use crate::config::QueueConfig;
use crate::message::JobPhase;
use crate::number::{Attempt, Sequence};
use crate::outcome::{OutcomeHead, Status};
use crate::retry;
use crate::subject::{JobName, Verb};
use crate::submission::{JobSpec, Submission};
use crate::time::Timestamp;

/// An accepted job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its queue and id.
    pub name: JobName,
    /// When the ledger stored its submission.
    pub accepted_at: Timestamp,
    /// Where it stands.
    pub state: JobState,
}

/// Where a job stands, by the ledger alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobState {
    /// Its queue had no configuration yet.
    Unconfigured(Submission),
    /// Its queue's first configuration came later and takes kind or key from the payload, which
    /// must be read again.
    Unresolved(Submission, Arc<QueueConfig>),
    /// A newer version wrote it, or its last outcome.
    Parked {
        /// The version.
        version: u32,
        /// Its last recorded attempt.
        last: Attempt,
    },
    /// It can never run; its discard is still to be recorded.
    Malformed {
        /// Why, for the dead letter.
        reason: String,
    },
    /// It has an attempt to come.
    Open(Open),
    /// Nothing more happens without a replay.
    Final(Final),
}

/// A job that has an attempt to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// What it is for life.
    pub spec: Arc<JobSpec>,
    /// The configuration at its place: its backoff.
    pub config: Arc<QueueConfig>,
    /// The last attempt with an outcome; [`Attempt::NONE`] before the first.
    pub last: Attempt,
    /// Failed attempts since its last replay.
    pub failures: u32,
    /// The next attempt may start from here on.
    pub due: Timestamp,
    /// The request that was folded: no further attempt is dispatched.
    pub request: Option<Request>,
    /// The attempt of its last replay: a cancel that names a lower one is void.
    pub replayed: Attempt,
}

/// A job that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Final {
    /// How it ended.
    pub end: End,
    /// Its last recorded attempt.
    pub last: Attempt,
    /// Where its last outcome stands.
    pub outcome_at: Sequence,
    /// What a replay needs; nothing for a job that was malformed.
    pub again: Option<(Arc<JobSpec>, Arc<QueueConfig>)>,
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// Done.
    Completed,
    /// By request.
    Cancelled,
    /// Its time to start had passed.
    Expired,
    /// A dead letter.
    Discarded,
}

/// What was asked of an open job; the leader ends it with the next undispatched attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Request {
    /// Somebody asked to cancel it.
    Cancel,
    /// The leader found that its time to start had passed.
    Expire,
    /// The leader found that it can never run.
    Discard,
}

impl Request {
    /// The status of the outcome that ends the job.
    #[must_use]
    pub const fn status(self) -> Status {
        match self {
            Self::Cancel => Status::Cancelled,
            Self::Expire => Status::Expired,
            Self::Discard => Status::Discarded,
        }
    }
}

impl End {
    /// The phase that people see.
    #[must_use]
    pub const fn phase(self) -> JobPhase {
        match self {
            Self::Completed => JobPhase::Completed,
            Self::Cancelled => JobPhase::Cancelled,
            Self::Expired => JobPhase::Expired,
            Self::Discarded => JobPhase::Discarded,
        }
    }
}

/// What a record did to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It changed.
    Changed,
    /// The record counts for nothing: a straggler, a repeat, or no rule makes it.
    Ignored,
}

impl JobState {
    /// An open job before its first attempt.
    #[must_use]
    pub fn accepted(spec: JobSpec, config: &Arc<QueueConfig>, at: Timestamp) -> Self {
        Self::Open(Open {
            due: spec.run_at.map_or(at, |run_at| run_at.max(at)),
            spec: Arc::new(spec),
            config: Arc::clone(config),
            last: Attempt::NONE,
            failures: 0,
            request: None,
            replayed: Attempt::NONE,
        })
    }

    /// Folds the outcome of `attempt`, stored `at` this place and time.
    pub fn outcome(&mut self, name: &JobName, outcome: &Recorded) -> Step {
        match self {
            Self::Open(open) => {
                if outcome.attempt != open.last.next() {
                    return Step::Ignored;
                }
                *self = open.after(name, outcome);
                Step::Changed
            }
            // The attempt of a job that never ran is 1: what the leader writes to discard it.
            Self::Malformed { .. } => {
                *self = Self::Final(Final {
                    end: End::Discarded,
                    last: outcome.attempt,
                    outcome_at: outcome.sequence,
                    again: None,
                });
                Step::Changed
            }
            Self::Unconfigured(_) | Self::Unresolved(..) | Self::Parked { .. } | Self::Final(_) => {
                Step::Ignored
            }
        }
    }

    /// Folds a control record that names the attempt `on`.
    pub fn control(&mut self, verb: Verb, on: Attempt, at: Timestamp) -> Step {
        match (self, verb) {
            (Self::Open(open), Verb::Cancel) => open.ask(Request::Cancel, on >= open.replayed),
            (Self::Open(open), Verb::Expire) => open.ask(Request::Expire, on == open.last),
            (Self::Open(open), Verb::Discard) => open.ask(Request::Discard, on == open.last),
            (Self::Open(open), Verb::Retry) => {
                if on != open.last || open.due <= at {
                    return Step::Ignored;
                }
                open.due = at;
                Step::Changed
            }
            (state @ Self::Final(_), Verb::Replay) => state.replay(on, at),
            (Self::Open(_), Verb::Replay)
            | (Self::Final(_), Verb::Cancel | Verb::Retry | Verb::Expire | Verb::Discard)
            | (
                Self::Unconfigured(_)
                | Self::Unresolved(..)
                | Self::Parked { .. }
                | Self::Malformed { .. },
                _,
            ) => Step::Ignored,
        }
    }

    /// A finished job runs again, if the record names its last recorded attempt.
    fn replay(&mut self, on: Attempt, at: Timestamp) -> Step {
        let Self::Final(over) = self else {
            return Step::Ignored;
        };
        if on != over.last {
            return Step::Ignored;
        }
        let last = over.last;
        let Some((spec, config)) = over.again.take() else {
            return Step::Ignored;
        };
        *self = Self::Open(Open {
            spec,
            config,
            last,
            failures: 0,
            due: at,
            request: None,
            replayed: last,
        });
        Step::Changed
    }

    /// Its last recorded attempt.
    #[must_use]
    pub const fn last(&self) -> Attempt {
        match self {
            Self::Unconfigured(_) | Self::Unresolved(..) | Self::Malformed { .. } => Attempt::NONE,
            Self::Parked { last, .. } => *last,
            Self::Open(open) => open.last,
            Self::Final(over) => over.last,
        }
    }
}

/// An outcome where it stands in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Whose outcome.
    pub attempt: Attempt,
    /// Its place.
    pub sequence: Sequence,
    /// When it was stored.
    pub at: Timestamp,
    /// What it says.
    pub head: OutcomeHead,
}

impl Open {
    fn ask(&mut self, request: Request, counts: bool) -> Step {
        if !counts || self.request.is_some() {
            return Step::Ignored;
        }
        self.request = Some(request);
        Step::Changed
    }

    fn after(&mut self, name: &JobName, outcome: &Recorded) -> JobState {
        let end = match outcome.head.status {
            Status::Completed => End::Completed,
            Status::Cancelled => End::Cancelled,
            Status::Expired => End::Expired,
            Status::Discarded => End::Discarded,
            Status::Failed => match self.failed(name, outcome) {
                Some(open) => return JobState::Open(open),
                None => End::Discarded,
            },
        };
        JobState::Final(Final {
            end,
            last: outcome.attempt,
            outcome_at: outcome.sequence,
            again: Some((Arc::clone(&self.spec), Arc::clone(&self.config))),
        })
    }

    /// The job after a failed attempt; `None` if that was the last one.
    fn failed(&self, name: &JobName, outcome: &Recorded) -> Option<Self> {
        let permanent = outcome.head.error.as_ref().is_some_and(|e| e.permanent);
        let failures = self.failures.saturating_add(1);
        let JobName::Named { id, .. } = name else {
            return None;
        };
        if permanent || retry::is_used_up(failures, self.spec.max_attempts) {
            return None;
        }
        let delay = retry::backoff(&self.config, id, outcome.attempt, failures);
        Some(Self {
            last: outcome.attempt,
            failures,
            due: outcome.at.after(delay),
            ..self.clone()
        })
    }

    /// The attempt that comes next.
    #[must_use]
    pub const fn next(&self) -> Attempt {
        self.last.next()
    }
}
