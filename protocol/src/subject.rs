//! Every subject of ours, made and parsed here and nowhere else.
//!
//! Tokens go from general to special; a job's id is always the rest of the subject, since it may
//! span tokens.

use std::fmt;

use crate::id::{JobId, Namespace, QueueName};
use crate::number::{Accepted, Attempt, Epoch, Revision, Sequence};

/// How many fence records a leader writes: the largest window of writes in flight, so that no
/// write of an older leader finds the sequence that it expects.
pub const FENCE_LEN: u64 = 512;

/// What stands for a queue and an id that must not be put into a subject.
const MALFORMED: &str = "%";

/// Makes and parses the subjects of one namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subjects {
    pub(crate) root: Namespace,
}

/// Which job a record is about, as its subject says it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JobName {
    /// The usual case.
    Named {
        /// The queue it was submitted to.
        queue: QueueName,
        /// Its id there.
        id: JobId,
    },
    /// Its queue or id is malformed and is never put into a subject.
    Malformed,
}

impl fmt::Display for JobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named { queue, id } => write!(f, "{queue}/{id}"),
            Self::Malformed => f.write_str(MALFORMED),
        }
    }
}

/// One attempt at one job: what a work message and an outcome are about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptName {
    /// The job.
    pub job: JobName,
    /// Its acceptance number.
    pub accepted: Accepted,
    /// Which try.
    pub attempt: Attempt,
}

impl AttemptName {
    /// Its numbers, which tell it from all others.
    #[must_use]
    pub const fn numbers(&self) -> (Accepted, Attempt) {
        (self.accepted, self.attempt)
    }
}

/// What a control record asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// No further attempt; the outstanding one is told.
    Cancel,
    /// The next attempt may start now instead of after its backoff.
    Retry,
    /// A finished job runs again, with a fresh count of attempts.
    Replay,
    /// The leader's request: its time to start has passed.
    Expire,
    /// The leader's request: it can never run.
    Discard,
}

impl Verb {
    const ALL: [Self; 5] = [
        Self::Cancel,
        Self::Retry,
        Self::Replay,
        Self::Expire,
        Self::Discard,
    ];

    /// The token in the subject.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Retry => "retry",
            Self::Replay => "replay",
            Self::Expire => "expire",
            Self::Discard => "discard",
        }
    }
}

/// What a record of the ledger is, by its subject. Borrowed texts are as they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LedgerSubject<'a> {
    /// A submission; queue and id are not yet checked.
    Submit {
        /// The queue's token.
        queue: &'a str,
        /// The rest, which should be an encoded id.
        id: &'a str,
    },
    /// The outcome of one attempt.
    Outcome(AttemptName),
    /// A control record on the job's attempt.
    Control {
        /// The job and its last recorded attempt.
        name: AttemptName,
        /// What is asked for.
        verb: Verb,
    },
    /// A configuration of a queue.
    Config {
        /// The queue.
        queue: QueueName,
        /// Its revision.
        revision: Revision,
    },
    /// A leader's barrier: who led when.
    Epoch(Epoch),
    /// A subject that this version does not know, or that no rule makes.
    Unknown,
}

/// What stands in the work queue, by its subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkSubject {
    /// One attempt, handed out until its outcome is recorded.
    Work(AttemptName),
    /// A fence record of a leader.
    Fence {
        /// Whose fence.
        epoch: Epoch,
        /// Its place in the fence, 1 to [`FENCE_LEN`].
        place: u64,
    },
    /// No rule makes such a subject: a foreign write.
    Unknown,
}

impl Subjects {
    /// The subjects below `root`.
    #[must_use]
    pub const fn new(root: Namespace) -> Self {
        Self { root }
    }

    /// The namespace.
    #[must_use]
    pub const fn namespace(&self) -> &Namespace {
        &self.root
    }

    /// Where a submission is written; the server takes one for each.
    #[must_use]
    pub fn submit(&self, queue: &QueueName, id: &JobId) -> String {
        format!("{}.submit.{queue}.{id}", self.root)
    }

    /// Where the outcome of an attempt is written: the work's subject with `outcome` for `work`.
    #[must_use]
    pub fn outcome(&self, name: &AttemptName) -> String {
        self.attempt("outcome", name)
    }

    /// Where the leader writes an attempt for the workers.
    #[must_use]
    pub fn work(&self, name: &AttemptName) -> String {
        self.attempt("work", name)
    }

    fn attempt(&self, what: &str, name: &AttemptName) -> String {
        let (queue, id) = tokens(&name.job);
        let AttemptName {
            accepted, attempt, ..
        } = name;
        format!(
            "{}.{what}.{queue}.{}.{}.{id}",
            self.root,
            accepted.get(),
            attempt.get()
        )
    }

    /// Where a control record on the job's last recorded attempt is written.
    #[must_use]
    pub fn control(&self, name: &AttemptName, verb: Verb) -> String {
        let (queue, id) = tokens(&name.job);
        format!(
            "{}.control.{queue}.{}.{}.{}.{id}",
            self.root,
            name.accepted.get(),
            name.attempt.get(),
            verb.as_str()
        )
    }

    /// Where a queue's configuration of one revision is written.
    #[must_use]
    pub fn config(&self, queue: &QueueName, revision: Revision) -> String {
        format!("{}.config.{queue}.{}", self.root, revision.get())
    }

    /// Where a leader writes its barrier.
    #[must_use]
    pub fn epoch(&self, epoch: Epoch) -> String {
        format!("{}.epoch.{}", self.root, epoch.get())
    }

    /// Where a leader writes one of its fence records.
    #[must_use]
    pub fn fence(&self, epoch: Epoch, place: u64) -> String {
        format!("{}.fence.{}.{place}", self.root, epoch.get())
    }

    /// All subjects of the ledger but those of submissions, which come and go with the door.
    #[must_use]
    pub fn ledger_without_submit(&self) -> Vec<String> {
        ["outcome", "control", "config", "retire", "epoch"]
            .iter()
            .map(|what| format!("{}.{what}.>", self.root))
            .collect()
    }

    /// The submissions of all queues: in the ledger's subjects while the door is open.
    #[must_use]
    pub fn submit_all(&self) -> String {
        format!("{}.submit.*.>", self.root)
    }

    /// The outcomes of all jobs of all queues.
    #[must_use]
    pub fn outcome_all(&self) -> String {
        format!("{}.outcome.*.>", self.root)
    }

    /// All subjects of the work queue.
    #[must_use]
    pub fn work_stream(&self) -> Vec<String> {
        vec![self.work_all(), self.fence_all()]
    }

    /// Work of all queues.
    #[must_use]
    pub fn work_all(&self) -> String {
        format!("{}.work.>", self.root)
    }

    /// The fences of all leaders.
    #[must_use]
    pub fn fence_all(&self) -> String {
        format!("{}.fence.>", self.root)
    }

    /// The fence of one leader.
    #[must_use]
    pub fn fence_of(&self, epoch: Epoch) -> String {
        format!("{}.fence.{}.*", self.root, epoch.get())
    }

    /// What the workers of a queue pull.
    #[must_use]
    pub fn work_of(&self, queue: &QueueName) -> String {
        format!("{}.work.{queue}.>", self.root)
    }

    /// The configurations of a queue.
    #[must_use]
    pub fn config_of(&self, queue: &QueueName) -> String {
        format!("{}.config.{queue}.*", self.root)
    }

    /// The configurations of all queues.
    #[must_use]
    pub fn config_all(&self) -> String {
        format!("{}.config.>", self.root)
    }

    /// The barriers of all leaders.
    #[must_use]
    pub fn epoch_all(&self) -> String {
        format!("{}.epoch.*", self.root)
    }

    /// The outcomes of one job, whatever the attempt.
    #[must_use]
    pub fn outcomes_of(&self, job: &JobName, accepted: Accepted) -> String {
        let (queue, id) = tokens(job);
        format!("{}.outcome.{queue}.{}.*.{id}", self.root, accepted.get())
    }

    /// Parses a subject of the ledger. Total: what no rule makes is [`LedgerSubject::Unknown`].
    #[must_use]
    pub fn parse_ledger<'a>(&self, subject: &'a str) -> LedgerSubject<'a> {
        self.ledger(subject).unwrap_or(LedgerSubject::Unknown)
    }

    fn ledger<'a>(&self, subject: &'a str) -> Option<LedgerSubject<'a>> {
        let (what, rest) = self.after_root(subject)?;
        match what {
            "submit" => {
                let (queue, id) = rest.split_once('.')?;
                Some(LedgerSubject::Submit { queue, id })
            }
            "outcome" => attempt_name(rest).map(LedgerSubject::Outcome),
            "control" => control(rest),
            "config" => {
                let (queue, revision) = rest.split_once('.')?;
                Some(LedgerSubject::Config {
                    queue: QueueName::new(queue).ok()?,
                    revision: revision.parse().ok()?,
                })
            }
            "epoch" => Some(LedgerSubject::Epoch(rest.parse().ok()?)),
            _ => None,
        }
    }

    /// Parses a subject of the work queue. Total.
    #[must_use]
    pub fn parse_work(&self, subject: &str) -> WorkSubject {
        self.work_subject(subject).unwrap_or(WorkSubject::Unknown)
    }

    fn work_subject(&self, subject: &str) -> Option<WorkSubject> {
        let (what, rest) = self.after_root(subject)?;
        match what {
            "work" => attempt_name(rest).map(WorkSubject::Work),
            "fence" => {
                let (epoch, place) = rest.split_once('.')?;
                Some(WorkSubject::Fence {
                    epoch: epoch.parse().ok()?,
                    place: place.parse::<Sequence>().ok()?.get(),
                })
            }
            _ => None,
        }
    }

    /// Splits off the namespace and the token after it.
    pub(crate) fn after_root<'a>(&self, subject: &'a str) -> Option<(&'a str, &'a str)> {
        subject
            .strip_prefix(self.root.as_str())?
            .strip_prefix('.')?
            .split_once('.')
    }
}

fn tokens(job: &JobName) -> (&str, &str) {
    match job {
        JobName::Named { queue, id } => (queue.as_str(), id.as_encoded()),
        JobName::Malformed => (MALFORMED, MALFORMED),
    }
}

fn job_name(queue: &str, id: &str) -> Option<JobName> {
    if queue == MALFORMED && id == MALFORMED {
        return Some(JobName::Malformed);
    }
    Some(JobName::Named {
        queue: QueueName::new(queue).ok()?,
        id: JobId::from_encoded(id).ok()?,
    })
}

/// Parses `<queue>.<accepted>.<attempt>.<id>`.
fn attempt_name(rest: &str) -> Option<AttemptName> {
    let mut parts = rest.splitn(4, '.');
    let (queue, accepted, attempt, id) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    Some(AttemptName {
        job: job_name(queue, id)?,
        accepted: accepted.parse().ok()?,
        attempt: attempt.parse().ok()?,
    })
}

/// Parses `<queue>.<accepted>.<attempt>.<verb>.<id>`.
fn control(rest: &str) -> Option<LedgerSubject<'_>> {
    let mut parts = rest.splitn(5, '.');
    let (queue, accepted, attempt) = (parts.next()?, parts.next()?, parts.next()?);
    let (verb, id) = (parts.next()?, parts.next()?);
    Some(LedgerSubject::Control {
        name: AttemptName {
            job: job_name(queue, id)?,
            accepted: accepted.parse().ok()?,
            attempt: attempt.parse().ok()?,
        },
        verb: Verb::ALL.into_iter().find(|known| known.as_str() == verb)?,
    })
}

#[cfg(test)]
mod tests;
