//! The fold: the records of the ledger, in their order, become one state, the same on every
//! coordinator. Total: no record panics, and what no rule makes is counted and ignored.
//!
//! It reads no bucket and no clock, and knows nothing of what is dispatched.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::{ConfigError, QueueConfig};
use crate::id::{JobId, QueueName};
use crate::ignored::{Ignored, Reason};
use crate::job::{Early, End, Job, JobState, Recorded, Step, Unread};
use crate::leadership::EPOCH_MAX;
use crate::message::{EpochBody, FOLD_VERSION, QueueStatus};
use crate::number::{Accepted, Attempt, Epoch, Revision, Sequence};
use crate::outcome::OutcomeHead;
use crate::subject::{AttemptName, JobName, LedgerSubject, Subjects, Verb};
use crate::submission::{Parsed, Submission, WIRE_VERSION};
use crate::time::Timestamp;

/// One record of the ledger as the broker hands it over.
pub struct Record<'a> {
    /// Its place.
    pub sequence: Sequence,
    /// When the broker stored it.
    pub time: Timestamp,
    /// Its subject.
    pub subject: &'a str,
    /// Looks up a header by its name.
    pub header: &'a dyn Fn(&str) -> Option<&'a str>,
    /// Its body.
    pub payload: &'a [u8],
}

/// What identifies a record: if any of it differs, the store is another one than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordIdentity {
    /// Its place.
    pub sequence: Sequence,
    /// Its subject.
    pub subject: String,
    /// When the broker stored it.
    pub time: Timestamp,
}

/// All that the records of a ledger add up to.
#[derive(Debug, Default)]
pub struct Ledger {
    jobs: BTreeMap<Accepted, Job>,
    queues: BTreeMap<QueueName, Queue>,
    last: Option<RecordIdentity>,
    epoch: Epoch,
    ignored: Ignored,
    /// How many jobs of each queue stand where.
    tallies: BTreeMap<String, QueueStatus>,
}

/// A queue as the ledger knows it.
#[derive(Debug, Default)]
pub struct Queue {
    /// Its newest configuration.
    config: Option<(Revision, Arc<QueueConfig>)>,
    /// Jobs that wait for its first configuration.
    unconfigured: Vec<Accepted>,
}

/// What a record did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Folded {
    /// A job came, or changed. The first of the two is what it was.
    Job(Accepted),
    /// A queue got its first configuration: these jobs, which waited for it, changed too.
    Configured {
        /// The queue.
        queue: QueueName,
        /// What waited.
        jobs: Vec<Accepted>,
    },
    /// A leader's barrier.
    Epoch(Epoch),
    /// A newer version of a coordinator wrote it: this one must stop folding and standing.
    Newer(String),
    /// It stands where another record stood that was folded: the store went back, and has gone on
    /// since. This coordinator's state is of a ledger that is no more.
    WentBack(String),
    /// It counts for nothing.
    Ignored,
}

impl Ledger {
    /// Folds the next record. Records are folded once each, in their order. Who follows the ledger
    /// anew begins with the last record again, so that a store that went back meanwhile is noticed.
    pub fn fold(&mut self, subjects: &Subjects, record: &Record<'_>) -> Folded {
        if let Some(last) = &self.last
            && record.sequence <= last.sequence
            && !planted!(FoldedAgain)
        {
            return again(last, record);
        }
        let folded = match subjects.parse_ledger(record.subject) {
            LedgerSubject::Submit { queue, id } => self.submission(record, queue, id),
            LedgerSubject::Outcome(name) => self.outcome(record, &name),
            LedgerSubject::Control { name, verb } => self.control(record, &name, verb),
            LedgerSubject::Config { queue, revision } => self.config(record, queue, revision),
            LedgerSubject::Epoch(epoch) => self.epoch(record, epoch),
            LedgerSubject::Unknown => self.ignore(Reason::Subject),
        };
        match &folded {
            // What is not folded is not passed: another version goes on from here.
            Folded::Newer(_) | Folded::WentBack(_) => return folded,
            Folded::Job(_) | Folded::Configured { .. } | Folded::Epoch(_) | Folded::Ignored => {}
        }
        self.remember(record);
        folded
    }

    fn ignore(&mut self, reason: Reason) -> Folded {
        self.ignored.add(reason);
        Folded::Ignored
    }

    /// Notes the last record, reusing the room of the one before.
    fn remember(&mut self, record: &Record<'_>) {
        let last = self.last.get_or_insert_with(|| RecordIdentity {
            sequence: record.sequence,
            subject: String::new(),
            time: record.time,
        });
        last.sequence = record.sequence;
        last.time = record.time;
        last.subject.clear();
        last.subject.push_str(record.subject);
    }

    fn submission(&mut self, record: &Record<'_>, queue: &str, id: &str) -> Folded {
        let accepted = Accepted::from(record.sequence);
        let (name, state) = match (QueueName::new(queue), JobId::from_encoded(id)) {
            (Ok(queue), Ok(id)) => {
                let state = self.submitted(record, &queue, accepted);
                (JobName::Named { queue, id }, state)
            }
            (Err(error), _) | (_, Err(error)) => (
                JobName::Malformed,
                JobState::Malformed {
                    reason: error.to_string(),
                },
            ),
        };
        let job = Job::new(name, record.time, state);
        count(&mut self.tallies, &job, None);
        self.jobs.insert(accepted, job);
        Folded::Job(accepted)
    }

    fn submitted(
        &mut self,
        record: &Record<'_>,
        queue: &QueueName,
        accepted: Accepted,
    ) -> JobState {
        let submission = match Submission::parse(record.header) {
            Ok(Parsed::Known(submission)) => submission,
            Ok(Parsed::Newer(version)) => {
                return JobState::Parked {
                    version,
                    last: Attempt::NONE,
                };
            }
            Err(error) => {
                return JobState::Malformed {
                    reason: error.to_string(),
                };
            }
        };
        let config = self.queues.get(queue).and_then(|q| q.config.as_ref());
        if let Some((_, config)) = config {
            return resolve(&submission, queue, config, record.payload, record.time);
        }
        let queue = self.queues.entry(queue.clone()).or_default();
        queue.unconfigured.push(accepted);
        JobState::Unconfigured(Box::new(Early {
            submission,
            request: None,
        }))
    }

    fn outcome(&mut self, record: &Record<'_>, name: &AttemptName) -> Folded {
        let change = |job: &mut Job| match OutcomeHead::parse(record.payload) {
            Parsed::Known(head) => {
                let recorded = Recorded {
                    attempt: name.attempt,
                    sequence: record.sequence,
                    at: record.time,
                    head,
                };
                job.outcome(recorded)
            }
            Parsed::Newer(version) => job.newer(version, name.attempt),
        };
        self.change(name, change, Reason::LateOutcome)
    }

    fn control(&mut self, record: &Record<'_>, name: &AttemptName, verb: Verb) -> Folded {
        let change = |job: &mut Job| job.control(verb, name.attempt, record.time);
        self.change(name, change, Reason::Control)
    }

    /// Changes the job that a record names: the number and the id must both be its own.
    fn change(
        &mut self,
        name: &AttemptName,
        step: impl FnOnce(&mut Job) -> Step,
        ignored: Reason,
    ) -> Folded {
        let Some(job) = self.jobs.get_mut(&name.accepted) else {
            return self.ignore(Reason::Job);
        };
        if job.name != name.job && !planted!(IdIgnored) {
            return self.ignore(Reason::Job);
        }
        let before = place(&job.state);
        match step(job) {
            Step::Changed => {
                count(&mut self.tallies, job, Some(before));
                Folded::Job(name.accepted)
            }
            Step::Ignored => self.ignore(ignored),
            Step::Early => self.ignore(Reason::EarlyOutcome),
        }
    }

    fn config(&mut self, record: &Record<'_>, name: QueueName, revision: Revision) -> Folded {
        let config = match QueueConfig::parse(record.payload) {
            Ok(config) => Arc::new(config),
            Err(error @ ConfigError::Newer(_)) => {
                return Folded::Newer(format!("configuration {revision} of queue {name}: {error}"));
            }
            Err(ConfigError::Form(_) | ConfigError::Rule { .. }) => {
                return self.ignore(Reason::Config);
            }
        };
        let queue = self.queues.entry(name.clone()).or_default();
        let last = queue.config.as_ref().map(|(last, _)| *last);
        if revision <= last.unwrap_or_default() && !planted!(OldConfigCounts) {
            return self.ignore(Reason::Config);
        }
        queue.config = Some((revision, Arc::clone(&config)));
        let jobs = std::mem::take(&mut queue.unconfigured);
        for accepted in &jobs {
            if let Some(job) = self.jobs.get_mut(accepted) {
                let before = place(&job.state);
                configure(job, &name, &config);
                count(&mut self.tallies, job, Some(before));
            }
        }
        Folded::Configured { queue: name, jobs }
    }

    fn epoch(&mut self, record: &Record<'_>, epoch: Epoch) -> Folded {
        match EpochBody::versions(record.payload) {
            (v, fold) if v > WIRE_VERSION || fold > FOLD_VERSION => Folded::Newer(format!(
                "the leader of {epoch} writes by version {v} and folds by version {fold}, this one by {WIRE_VERSION} and {FOLD_VERSION}",
            )),
            // Whoever wrote it: its subject is taken, and an older leader stops. No leader has a
            // number that its lease could not hold.
            _ if epoch > self.epoch && epoch <= EPOCH_MAX => {
                self.epoch = epoch;
                Folded::Epoch(epoch)
            }
            _ => self.ignore(Reason::Epoch),
        }
    }

    /// Gives an unresolved job the payload that was read again.
    pub fn resolve(&mut self, accepted: Accepted, payload: &[u8]) -> Folded {
        let Some(job) = self.jobs.get_mut(&accepted) else {
            return Folded::Ignored;
        };
        let (JobState::Unresolved(unread), JobName::Named { queue, .. }) = (&job.state, &job.name)
        else {
            return Folded::Ignored;
        };
        let unread = Unread::clone(unread);
        let before = place(&job.state);
        let state = resolve(
            &unread.submission,
            queue,
            &unread.config,
            payload,
            job.accepted_at,
        );
        job.settle(unread, state);
        count(&mut self.tallies, job, Some(before));
        Folded::Job(accepted)
    }

    /// How many jobs of each queue stand where. What is dispatched counts as waiting here.
    pub fn tallies(&self) -> impl Iterator<Item = (&str, &QueueStatus)> {
        self.tallies
            .iter()
            .map(|(queue, tally)| (queue.as_str(), tally))
    }

    /// A job by its acceptance number.
    #[must_use]
    pub fn job(&self, accepted: Accepted) -> Option<&Job> {
        self.jobs.get(&accepted)
    }

    /// Whether a job may still be dispatched.
    #[must_use]
    pub fn is_open(&self, accepted: Accepted) -> bool {
        self.job(accepted)
            .is_some_and(|job| matches!(job.state, JobState::Open(_)))
    }

    /// All jobs in the order of their acceptance.
    pub fn jobs(&self) -> impl Iterator<Item = (Accepted, &Job)> {
        self.jobs.iter().map(|(accepted, job)| (*accepted, job))
    }

    /// The newest configuration of a queue.
    #[must_use]
    pub fn queue_config(&self, queue: &QueueName) -> Option<&Arc<QueueConfig>> {
        self.queues
            .get(queue)?
            .config
            .as_ref()
            .map(|(_, config)| config)
    }

    /// The queues that have a configuration.
    pub fn configured(&self) -> impl Iterator<Item = (&QueueName, &Arc<QueueConfig>)> + Clone {
        self.queues
            .iter()
            .filter_map(|(name, queue)| queue.config.as_ref().map(|(_, config)| (name, config)))
    }

    /// The last record that was folded.
    #[must_use]
    pub const fn last(&self) -> Option<&RecordIdentity> {
        self.last.as_ref()
    }

    /// Its place; 0 before the first.
    #[must_use]
    pub fn last_sequence(&self) -> Sequence {
        self.last
            .as_ref()
            .map_or(Sequence::new(0), |last| last.sequence)
    }

    /// The newest epoch with a barrier.
    #[must_use]
    pub const fn newest_epoch(&self) -> Epoch {
        self.epoch
    }

    /// The records that counted for nothing.
    #[must_use]
    pub const fn ignored(&self) -> &Ignored {
        &self.ignored
    }
}

/// A record that comes again, or another one in the place of the last.
fn again(last: &RecordIdentity, record: &Record<'_>) -> Folded {
    let is_last = record.sequence == last.sequence && !planted!(LedgerReplacedUnnoticed);
    if is_last && (record.subject != last.subject || record.time != last.time) {
        return Folded::WentBack(format!(
            "its record {} is {} of {}, and {} of {} was folded",
            last.sequence, record.subject, record.time, last.subject, last.time
        ));
    }
    Folded::Ignored
}

/// Where a job counts in its queue's tally.
fn place(state: &JobState) -> fn(&mut QueueStatus) -> &mut u64 {
    match state {
        JobState::Unconfigured(_) | JobState::Unresolved(..) => |tally| &mut tally.unconfigured,
        JobState::Parked { .. } => |tally| &mut tally.parked,
        JobState::Malformed { .. } | JobState::Open(_) => |tally| &mut tally.waiting,
        JobState::Final(over) => match over.end {
            End::Completed => |tally| &mut tally.completed,
            End::Cancelled => |tally| &mut tally.cancelled,
            End::Expired => |tally| &mut tally.expired,
            End::Discarded => |tally| &mut tally.discarded,
        },
    }
}

/// Moves a job in its queue's tally from where it was.
fn count(
    tallies: &mut BTreeMap<String, QueueStatus>,
    job: &Job,
    before: Option<fn(&mut QueueStatus) -> &mut u64>,
) {
    let queue = match &job.name {
        JobName::Named { queue, .. } => queue.as_str(),
        JobName::Malformed => "%",
    };
    if !tallies.contains_key(queue) {
        tallies.insert(queue.to_owned(), QueueStatus::default());
    }
    let tally = tallies.get_mut(queue).expect("it was just put there");
    if let Some(before) = before {
        *before(tally) -= 1;
    }
    *place(&job.state)(tally) += 1;
}

fn resolve(
    submission: &Submission,
    queue: &QueueName,
    config: &Arc<QueueConfig>,
    payload: &[u8],
    at: Timestamp,
) -> JobState {
    match submission.resolve(queue.as_str(), payload, config) {
        Ok(spec) => JobState::accepted(spec, config, at),
        Err(error) => JobState::Malformed {
            reason: error.to_string(),
        },
    }
}

/// A job that waited for its queue's first configuration takes that one.
fn configure(job: &mut Job, queue: &QueueName, config: &Arc<QueueConfig>) {
    let JobState::Unconfigured(early) = &job.state else {
        return;
    };
    let submission = &early.submission;
    let from_payload = (submission.kind.is_none() && config.kind_pointer.is_some())
        || (submission.key.is_none() && config.key_pointer.is_some());
    let request = early.request;
    job.state = if from_payload {
        JobState::unread(early, config, job.accepted_at)
    } else {
        resolve(submission, queue, config, &[], job.accepted_at)
    };
    if let JobState::Open(open) = &mut job.state {
        open.request = request;
    }
}
