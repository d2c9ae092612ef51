//! A job as the fold keeps it: its states, and every legal step from one to the next.
//!
//! Nothing here knows what is dispatched: the ledger does not say, and the leader keeps that apart.

use std::sync::Arc;

use crate::config::QueueConfig;
use crate::early::Early as EarlyOutcomes;
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
    /// Attempts that are passed over when their turn comes.
    early: EarlyOutcomes,
}

/// Where a job stands, by the ledger alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobState {
    /// Its queue had no configuration yet.
    Unconfigured(Box<Early>),
    /// Its queue's first configuration came later and takes kind or key from the payload, which
    /// must be read again.
    Unresolved(Box<Unread>),
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

/// A job that came before its queue's first configuration. It is never dispatched before that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Early {
    /// What its submitter said.
    pub submission: Submission,
    /// The request that was folded.
    pub request: Option<Request>,
}

/// A job whose payload must be read again before it is known what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// What its submitter said.
    pub submission: Submission,
    /// Its queue's first configuration.
    pub config: Arc<QueueConfig>,
    /// Records about it that were folded before the payload was there, in their order. When the
    /// payload comes differs from one coordinator to the next; what follows must not.
    held: Vec<Held>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Held {
    Outcome(Recorded),
    Newer(u32, Attempt),
    Control(Verb, Attempt, Timestamp),
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

    const fn verb(self) -> Verb {
        match self {
            Self::Cancel => Verb::Cancel,
            Self::Expire => Verb::Expire,
            Self::Discard => Verb::Discard,
        }
    }
}

impl End {
    /// How a job ends by an outcome of this status; `None` if the job's policy decides.
    const fn of(status: Status) -> Option<Self> {
        match status {
            Status::Completed => Some(Self::Completed),
            Status::Cancelled => Some(Self::Cancelled),
            Status::Expired => Some(Self::Expired),
            Status::Discarded => Some(Self::Discarded),
            Status::Failed => None,
        }
    }

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
    /// It is the outcome of an attempt that cannot exist yet. It counts for nothing either, but stands
    /// where the outcome of that attempt would.
    Early,
}

impl Job {
    /// A job as its submission is folded.
    #[must_use]
    pub fn new(name: JobName, accepted_at: Timestamp, state: JobState) -> Self {
        Self {
            name,
            accepted_at,
            state,
            early: EarlyOutcomes::default(),
        }
    }

    /// Folds the outcome of an attempt.
    pub fn outcome(&mut self, outcome: Recorded) -> Step {
        let attempt = outcome.attempt;
        let step = self.state.outcome(&self.name, outcome);
        self.stepped(attempt, step)
    }

    /// Folds an outcome of a newer version: the job waits for coordinators that can read it.
    pub fn newer(&mut self, version: u32, attempt: Attempt) -> Step {
        let step = self.state.newer(version, attempt);
        self.stepped(attempt, step)
    }

    /// Folds a control record that names the attempt `on`.
    pub fn control(&mut self, verb: Verb, on: Attempt, at: Timestamp) -> Step {
        let step = self.state.control(verb, on, at);
        self.stepped(on, step)
    }

    fn stepped(&mut self, attempt: Attempt, step: Step) -> Step {
        match (step, &mut self.state) {
            (Step::Early, _) => self.early.add(attempt),
            (Step::Changed, JobState::Open(open)) => open.last = self.early.pass_over(open.last),
            (
                Step::Changed,
                JobState::Unconfigured(_)
                | JobState::Unresolved(_)
                | JobState::Parked { .. }
                | JobState::Malformed { .. }
                | JobState::Final(_),
            )
            | (Step::Ignored, _) => {}
        }
        step
    }

    /// It turned out to be this once its payload was read: folds what came before that.
    pub(crate) fn settle(&mut self, unread: Unread, state: JobState) {
        self.state = state;
        for held in unread.held {
            if planted!(HeldIsDropped) {
                return;
            }
            match held {
                Held::Outcome(outcome) => self.outcome(outcome),
                Held::Newer(version, attempt) => self.newer(version, attempt),
                Held::Control(verb, on, at) => self.control(verb, on, at),
            };
        }
    }
}

impl JobState {
    /// An open job before its first attempt.
    #[must_use]
    pub fn accepted(spec: JobSpec, config: &Arc<QueueConfig>, at: Timestamp) -> Self {
        Self::Open(Open {
            due: spec
                .run_at
                .filter(|_| !planted!(RunAtIgnored))
                .map_or(at, |run_at| run_at.max(at)),
            spec: Arc::new(spec),
            config: Arc::clone(config),
            last: Attempt::NONE,
            failures: 0,
            request: None,
            replayed: Attempt::NONE,
        })
    }

    /// A job that came before its queue's first configuration, which is this one.
    #[must_use]
    pub fn unread(early: &Early, config: &Arc<QueueConfig>, at: Timestamp) -> Self {
        let asked = early
            .request
            .map(|request| Held::Control(request.verb(), Attempt::NONE, at));
        Self::Unresolved(Box::new(Unread {
            submission: early.submission.clone(),
            config: Arc::clone(config),
            held: asked.into_iter().collect(),
        }))
    }

    fn outcome(&mut self, name: &JobName, outcome: Recorded) -> Step {
        match self {
            Self::Open(open) if outcome.attempt == open.next() || planted!(AnyAttemptCounts) => {
                *self = open.after(name, &outcome);
                Step::Changed
            }
            // The attempt of a job that never ran is 1: what the leader writes to end it.
            Self::Malformed { .. } if outcome.attempt == Attempt::FIRST => {
                *self = Self::never_ran(End::Discarded, &outcome);
                Step::Changed
            }
            // Nobody knows how often it may fail.
            Self::Unconfigured(_) if outcome.attempt == Attempt::FIRST => {
                let end = End::of(outcome.head.status).unwrap_or(End::Discarded);
                *self = Self::never_ran(end, &outcome);
                Step::Changed
            }
            Self::Unresolved(unread) => {
                unread.held.push(Held::Outcome(outcome));
                Step::Changed
            }
            Self::Open(_) | Self::Malformed { .. } | Self::Unconfigured(_) | Self::Final(_) => {
                self.out_of_turn(outcome.attempt)
            }
            Self::Parked { .. } => Step::Ignored,
        }
    }

    /// What an outcome is whose attempt is not the next.
    fn out_of_turn(&self, attempt: Attempt) -> Step {
        match attempt > self.last() {
            true => Step::Early,
            false => Step::Ignored,
        }
    }

    fn never_ran(end: End, outcome: &Recorded) -> Self {
        Self::Final(Final {
            end,
            last: outcome.attempt,
            outcome_at: outcome.sequence,
            again: None,
        })
    }

    fn newer(&mut self, version: u32, attempt: Attempt) -> Step {
        match self {
            Self::Open(open) if attempt == open.next() => {
                *self = Self::Parked {
                    version,
                    last: attempt,
                };
                Step::Changed
            }
            Self::Unresolved(unread) => {
                unread.held.push(Held::Newer(version, attempt));
                Step::Changed
            }
            Self::Open(_) | Self::Malformed { .. } | Self::Unconfigured(_) | Self::Final(_) => {
                self.out_of_turn(attempt)
            }
            Self::Parked { .. } => Step::Ignored,
        }
    }

    fn control(&mut self, verb: Verb, on: Attempt, at: Timestamp) -> Step {
        match (self, verb) {
            (Self::Unconfigured(early), Verb::Cancel) if early.request.is_none() => {
                early.request = Some(Request::Cancel);
                Step::Changed
            }
            (Self::Unresolved(unread), _) => {
                unread.held.push(Held::Control(verb, on, at));
                Step::Changed
            }
            (Self::Open(open), Verb::Cancel) => open.ask(
                Request::Cancel,
                on >= open.replayed || planted!(OldCancelCounts),
            ),
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
            | (Self::Unconfigured(_) | Self::Parked { .. } | Self::Malformed { .. }, _) => {
                Step::Ignored
            }
        }
    }

    /// A finished job runs again, if the record names its last recorded attempt.
    fn replay(&mut self, on: Attempt, at: Timestamp) -> Step {
        let Self::Final(over) = self else {
            return Step::Ignored;
        };
        if on != over.last && !planted!(ReplayOfAnyAttempt) {
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
            Self::Unconfigured(_) | Self::Unresolved(_) | Self::Malformed { .. } => Attempt::NONE,
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
        let end = match End::of(outcome.head.status) {
            Some(end) => end,
            None => match self.failed(name, outcome) {
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
        let most = self.spec.max_attempts + u32::from(planted!(OneAttemptMore));
        if permanent || retry::is_used_up(failures, most) {
            return None;
        }
        let delay = match planted!(NoBackoff) {
            true => std::time::Duration::ZERO,
            false => retry::backoff(&self.config, id, outcome.attempt, failures),
        };
        Some(Self {
            last: match planted!(AttemptReused) {
                true => self.last,
                false => outcome.attempt,
            },
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
