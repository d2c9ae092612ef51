//! The ledger, record by record, in one pass. It keeps a few dozen bytes a job and no payload.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use protocol::config::{ConfigError, QueueConfig};
use protocol::id::{JobId, QueueName};
use protocol::leadership::EPOCH_MAX;
use protocol::message::{EpochBody, FOLD_VERSION};
use protocol::number::{Accepted, Attempt, Epoch, Revision, Sequence};
use protocol::outcome::{OutcomeHead, Status};
use protocol::subject::{AttemptName, JobName, LedgerSubject, Subjects, Verb};
use protocol::submission::{Parsed, Submission, WIRE_VERSION};
use protocol::time::Timestamp;

use crate::digest::Digest;
use crate::life::{Job, Stage};
use crate::report::{Docket, Figures, Place};
use crate::rule::Rule;

/// One record of the ledger, as it is stored.
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

/// Whether the single outcomes are kept: histories and taps are compared with them, a ledger alone
/// does without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// The last of each job, and no more.
    Jobs,
    /// Every outcome.
    Outcomes,
}

/// What an outcome said, and when it was stored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) sequence: Sequence,
    pub(crate) time: Timestamp,
    pub(crate) status: Status,
}

/// What is known of a ledger after its last record.
#[derive(Debug)]
pub(crate) struct Records {
    subjects: Subjects,
    keep: Keep,
    pub(crate) last: Sequence,
    pub(crate) jobs: BTreeMap<Accepted, Job>,
    /// By the digest of the submission's subject.
    ids: HashMap<Digest, Accepted>,
    queues: BTreeMap<QueueName, Queue>,
    controls: HashSet<Digest>,
    /// Where each leader's barrier stands, and since when.
    pub(crate) epochs: BTreeMap<Epoch, (Sequence, Timestamp)>,
    pub(crate) outcomes: BTreeMap<(Accepted, Attempt), Seen>,
    figures: Figures,
}

#[derive(Debug, Default)]
struct Queue {
    /// The newest.
    revision: Revision,
    config: Option<Arc<QueueConfig>>,
    /// The newest is of a newer version: what comes under it is not judged.
    is_newer: bool,
    /// Came before the first configuration.
    early: Vec<(Accepted, Submission)>,
}

impl<'a> Record<'a> {
    const fn place(&self) -> Place<'a> {
        Place {
            of: "ledger",
            sequence: self.sequence,
            subject: self.subject,
        }
    }
}

impl Records {
    pub(crate) fn new(subjects: Subjects, keep: Keep) -> Self {
        Self {
            subjects,
            keep,
            last: Sequence::new(0),
            jobs: BTreeMap::new(),
            ids: HashMap::new(),
            queues: BTreeMap::new(),
            controls: HashSet::new(),
            epochs: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            figures: Figures::default(),
        }
    }

    /// Takes the next record.
    pub(crate) fn add(&mut self, record: &Record<'_>, docket: &mut Docket) {
        docket.checked(&[Rule::Gapless]);
        if record.sequence <= self.last {
            let what = format!("stands behind {}", self.last);
            return docket.wrong(Rule::Gapless, record.place(), what);
        }
        self.reach(record.sequence, docket);
        self.last = record.sequence;
        self.figures.records += 1;
        docket.checked(&[Rule::Known]);
        match self.subjects.parse_ledger(record.subject) {
            LedgerSubject::Submit { queue, id } => self.submission(record, (queue, id), docket),
            LedgerSubject::Outcome(name) => self.outcome(record, &name, docket),
            LedgerSubject::Control { name, verb } => self.control(record, &name, verb, docket),
            LedgerSubject::Config { queue, revision } => {
                self.config(record, &queue, revision, docket);
            }
            LedgerSubject::Epoch(epoch) => self.epoch(record, epoch, docket),
            LedgerSubject::Unknown => {
                docket.wrong(Rule::Known, record.place(), "no rule makes this subject");
            }
        }
    }

    /// Notes what is missing before `next`.
    fn reach(&self, next: Sequence, docket: &mut Docket) {
        let first = self.last.next();
        if next > first {
            let missing = next.get() - first.get();
            let place = format!("ledger {first}");
            let what = format!("{missing} records are missing before {next}");
            docket.wrong(Rule::Gapless, place, what);
        }
    }

    /// The ledger says that its last record stands here.
    pub(crate) fn ends_at(&self, last: Sequence, docket: &mut Docket) {
        docket.checked(&[Rule::Gapless]);
        self.reach(last.next(), docket);
    }

    fn submission(&mut self, record: &Record<'_>, (queue, id): (&str, &str), docket: &mut Docket) {
        docket.checked(&[Rule::AcceptedOnce]);
        let accepted = Accepted::from(record.sequence);
        let subject = Digest::of(record.subject.as_bytes());
        if let Some(first) = self.ids.get(&subject) {
            let what = format!("was accepted as {first} before");
            docket.wrong(Rule::AcceptedOnce, record.place(), what);
        } else {
            self.ids.insert(subject, accepted);
        }
        let payload = Digest::of(record.payload);
        let job = match (QueueName::new(queue), JobId::from_encoded(id)) {
            (Ok(queue), Ok(id)) => {
                let line = self.queues.entry(queue.clone()).or_default();
                let name = name_digest(&JobName::Named {
                    queue: queue.clone(),
                    id,
                });
                let mut job = Job::new(name, payload, Stage::Malformed);
                line.accept(&queue, accepted, record, &mut job);
                job
            }
            (Err(_), _) | (_, Err(_)) => {
                Job::new(name_digest(&JobName::Malformed), payload, Stage::Malformed)
            }
        };
        self.jobs.insert(accepted, job);
    }

    fn outcome(&mut self, record: &Record<'_>, name: &AttemptName, docket: &mut Docket) {
        self.figures.outcomes += 1;
        docket.checked(&[
            Rule::OneOutcome,
            Rule::OutcomeOfJob,
            Rule::AttemptsInOrder,
            Rule::NothingAfterEnd,
            Rule::Entitled,
        ]);
        let Some(job) = self.jobs.get_mut(&name.accepted) else {
            let what = format!("no job was accepted as {}", name.accepted);
            return docket.wrong(Rule::OutcomeOfJob, record.place(), what);
        };
        if job.name != name_digest(&name.job) {
            let what = format!("{} is another job", name.accepted);
            return docket.wrong(Rule::OutcomeOfJob, record.place(), what);
        }
        let (attempt, next) = (name.attempt, job.last.next());
        if attempt == Attempt::NONE {
            let what = format!("{next} comes next");
            return docket.wrong(Rule::AttemptsInOrder, record.place(), what);
        }
        let is_early = job.has_ended() || (attempt > next && job.stage != Stage::Newer);
        if attempt < next || (is_early && !job.add_early(attempt)) {
            let what = format!("{attempt} has an outcome before");
            return docket.wrong(Rule::OneOutcome, record.place(), what);
        }
        if is_early {
            let (rule, what) = match job.has_ended() {
                true => (Rule::NothingAfterEnd, "its job had ended before".to_owned()),
                false => (Rule::AttemptsInOrder, format!("{next} comes next")),
            };
            return docket.wrong(rule, record.place(), what);
        }
        let head = match OutcomeHead::parse(record.payload) {
            Parsed::Known(head) => head,
            Parsed::Newer(_) => return job.record_newer(attempt),
        };
        if let Some(why) = job.objection(head.status) {
            docket.wrong(Rule::Entitled, record.place(), why);
        }
        job.record(attempt, &head);
        if self.keep == Keep::Outcomes {
            let seen = Seen {
                sequence: record.sequence,
                time: record.time,
                status: head.status,
            };
            self.outcomes.insert((name.accepted, attempt), seen);
        }
    }

    fn control(
        &mut self,
        record: &Record<'_>,
        name: &AttemptName,
        verb: Verb,
        docket: &mut Docket,
    ) {
        docket.checked(&[Rule::ControlOfJob, Rule::ControlOnce]);
        if !self.controls.insert(Digest::of(record.subject.as_bytes())) {
            return docket.wrong(Rule::ControlOnce, record.place(), "stands here again");
        }
        let job = self.jobs.get_mut(&name.accepted);
        let Some(job) = job.filter(|job| job.name == name_digest(&name.job)) else {
            let what = format!("no such job was accepted as {}", name.accepted);
            return docket.wrong(Rule::ControlOfJob, record.place(), what);
        };
        if name.attempt > job.last {
            let what = format!("{} has no outcome", name.attempt);
            return docket.wrong(Rule::ControlOfJob, record.place(), what);
        }
        if verb == Verb::Replay {
            docket.checked(&[Rule::ReplayOfEnded]);
        }
        if let Err(why) = job.control(verb, name.attempt) {
            docket.wrong(Rule::ReplayOfEnded, record.place(), why);
        }
    }

    fn config(
        &mut self,
        record: &Record<'_>,
        name: &QueueName,
        revision: Revision,
        docket: &mut Docket,
    ) {
        docket.checked(&[Rule::ConfigInOrder]);
        let config = match QueueConfig::parse(record.payload) {
            Ok(config) => Some(Arc::new(config)),
            Err(ConfigError::Newer(_)) => None,
            Err(error @ (ConfigError::Form(_) | ConfigError::Rule { .. })) => {
                return docket.wrong(Rule::ConfigInOrder, record.place(), error.to_string());
            }
        };
        let queue = self.queues.entry(name.clone()).or_default();
        let next = queue.revision.next();
        if revision != next {
            let what = format!("{next} comes next");
            docket.wrong(Rule::ConfigInOrder, record.place(), what);
        }
        if revision < next {
            return;
        }
        queue.revision = revision;
        queue.is_newer = config.is_none();
        let Some(config) = config else {
            self.figures.newer += 1;
            return;
        };
        queue.config = Some(Arc::clone(&config));
        for (accepted, submission) in std::mem::take(&mut queue.early) {
            if let Some(job) = self.jobs.get_mut(&accepted)
                && job.stage == Stage::Early
            {
                configure(job, name, &submission, &config);
            }
        }
    }

    fn epoch(&mut self, record: &Record<'_>, epoch: Epoch, docket: &mut Docket) {
        docket.checked(&[Rule::EpochsIncrease]);
        self.figures.epochs += 1;
        let (version, fold) = EpochBody::versions(record.payload);
        let is_newer = version > WIRE_VERSION || fold > FOLD_VERSION;
        if !is_newer && EpochBody::parse(record.payload).is_none() {
            docket.wrong(Rule::Known, record.place(), "it does not say who leads");
        }
        if epoch == Epoch::new(0) || epoch > EPOCH_MAX {
            let what = format!("{epoch} is none that a lease can hold");
            return docket.wrong(Rule::EpochsIncrease, record.place(), what);
        }
        if let Some((first, _)) = self.epochs.get(&epoch) {
            let what = format!("{epoch} had a leader at {first}");
            return docket.wrong(Rule::EpochsIncrease, record.place(), what);
        }
        if self.epochs.range(epoch..).next().is_some() {
            self.figures.late_barriers += 1;
        }
        self.epochs.insert(epoch, (record.sequence, record.time));
    }

    /// The job of this name and number.
    pub(crate) fn job(&self, name: &AttemptName) -> Option<&Job> {
        let job = self.jobs.get(&name.accepted)?;
        (job.name == name_digest(&name.job)).then_some(job)
    }

    /// The number under which an id was accepted.
    pub(crate) fn accepted(&self, queue: &QueueName, id: &JobId) -> Option<Accepted> {
        let subject = self.subjects.submit(queue, id);
        self.ids.get(&Digest::of(subject.as_bytes())).copied()
    }

    /// What was read, in figures.
    pub(crate) fn figures(&self) -> Figures {
        let mut figures = self.figures.clone();
        for job in self.jobs.values() {
            figures.jobs += 1;
            let count = match job.stage {
                Stage::Early | Stage::Malformed | Stage::Open => &mut figures.open,
                Stage::Newer => &mut figures.newer,
                Stage::Ended { status, .. } => match status {
                    Status::Completed => &mut figures.completed,
                    Status::Cancelled => &mut figures.cancelled,
                    Status::Expired => &mut figures.expired,
                    Status::Discarded | Status::Failed => &mut figures.discarded,
                },
            };
            *count += 1;
        }
        figures
    }
}

impl Queue {
    /// What a submission is by the configuration in force at its place.
    fn accept(&mut self, name: &QueueName, accepted: Accepted, record: &Record<'_>, job: &mut Job) {
        let submission = match Submission::parse(record.header) {
            Ok(Parsed::Known(submission)) if !self.is_newer => submission,
            Ok(Parsed::Known(_) | Parsed::Newer(_)) => {
                job.stage = Stage::Newer;
                return;
            }
            Err(_) => return,
        };
        let Some(config) = &self.config else {
            job.stage = Stage::Early;
            self.early.push((accepted, submission));
            return;
        };
        if let Ok(spec) = submission.resolve(name.as_str(), record.payload, config) {
            job.open(spec.key.as_ref().map(key_digest), spec.max_attempts);
        }
    }
}

/// A job that came before its queue's first configuration takes that one.
fn configure(job: &mut Job, queue: &QueueName, submission: &Submission, config: &QueueConfig) {
    let from_payload = (submission.kind.is_none() && config.kind_pointer.is_some())
        || (submission.key.is_none() && config.key_pointer.is_some());
    if from_payload {
        let attempts_max = submission.max_attempts.unwrap_or(config.max_attempts);
        return job.open_vaguely(submission.key.as_ref().map(key_digest), attempts_max);
    }
    match submission.resolve(queue.as_str(), &[], config) {
        Ok(spec) => job.open(spec.key.as_ref().map(key_digest), spec.max_attempts),
        Err(_) => job.stage = Stage::Malformed,
    }
}

/// Of a key: keys hold across queues.
pub(crate) fn key_digest(key: &protocol::id::Key) -> Digest {
    Digest::of(key.as_str().as_bytes())
}

/// Of the name under which records speak of a job.
pub(crate) fn name_digest(name: &JobName) -> Digest {
    Digest::of(name.to_string().as_bytes())
}
