//! The model's broker: the ledger and the work queue with what the rules rely on (sequences, one
//! record a subject, the expected last sequence, fences all or nothing), and the promises, checked
//! at each write. It knows nothing of who writes and why.

use std::collections::{BTreeMap, BTreeSet};

use crate::answer::Answer;
use crate::effects::Dispatch;
use crate::job::JobState;
use crate::ledger::{Folded, Ledger, Record, RecordIdentity};
use crate::number::{Accepted, Attempt, Epoch, Sequence};
use crate::outcome::{OutcomeHead, Status};
use crate::subject::{AttemptName, FENCE_LEN, LedgerSubject, Subjects};
use crate::submission::Parsed;
use crate::time::Timestamp;

/// A record of the ledger.
pub(super) struct Stored {
    pub(super) time: Timestamp,
    pub(super) subject: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

/// A message of the work queue.
pub(super) struct Work {
    pub(super) name: AttemptName,
    pub(super) deliveries: u64,
    /// Which worker has it.
    pub(super) holder: Option<usize>,
}

/// Who writes into the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Author {
    Leader,
    Other,
}

/// Both streams.
pub(super) struct Broker {
    pub(super) subjects: Subjects,
    pub(super) ledger: Vec<Stored>,
    taken: BTreeSet<String>,
    pub(super) work: BTreeMap<u64, Work>,
    work_last: u64,
    fences: BTreeSet<Epoch>,
    /// How many sequences a fence takes; fewer than the rules say is a planted fault.
    pub(super) fence_len: u64,
    /// Folds each record when it is stored.
    pub(super) observer: Ledger,
    /// The keys as submitted.
    pub(super) keys: BTreeMap<Accepted, &'static str>,
    dispatched: BTreeSet<(Accepted, Attempt)>,
    ended_by_leader: BTreeSet<(Accepted, Attempt)>,
    completed: BTreeMap<Accepted, u32>,
    /// Messages were taken out of the work queue by a foreign hand: waste is no fault then.
    pub(super) is_robbed: bool,
    /// Each write is told.
    pub(super) is_told: bool,
    /// The first promise that was broken.
    pub(super) broken: Option<String>,
}

impl Broker {
    pub(super) fn new(subjects: Subjects) -> Self {
        Self {
            subjects,
            ledger: Vec::new(),
            taken: BTreeSet::new(),
            work: BTreeMap::new(),
            work_last: 0,
            fences: BTreeSet::new(),
            fence_len: FENCE_LEN,
            observer: Ledger::default(),
            keys: BTreeMap::new(),
            dispatched: BTreeSet::new(),
            ended_by_leader: BTreeSet::new(),
            completed: BTreeMap::new(),
            is_robbed: false,
            is_told: false,
            broken: None,
        }
    }

    /// A line for who reads along.
    fn tell(&self, line: impl FnOnce() -> String) {
        if self.is_told {
            println!("    {}", line());
        }
    }

    pub(super) fn breaks(&mut self, what: String) {
        self.broken.get_or_insert(what);
    }

    pub(super) fn ledger_last(&self) -> Sequence {
        Sequence::new(u64::try_from(self.ledger.len()).expect("a short ledger"))
    }

    /// Calls `fold` with the record at `sequence`.
    pub(super) fn record<T>(
        &self,
        sequence: u64,
        fold: impl for<'r> FnOnce(&'r Record<'r>) -> T,
    ) -> Option<T> {
        let index = usize::try_from(sequence.checked_sub(1)?).ok()?;
        let stored = self.ledger.get(index)?;
        Some(with_record(stored, sequence, fold))
    }

    pub(super) fn identity(&self, sequence: Sequence) -> Option<RecordIdentity> {
        self.record(sequence.get(), |record| RecordIdentity {
            sequence,
            subject: record.subject.to_owned(),
            time: record.time,
        })
    }

    /// A write into the ledger arrives.
    pub(super) fn write(
        &mut self,
        now: Timestamp,
        author: Author,
        subject: &str,
        (headers, body): (Vec<(&'static str, String)>, Vec<u8>),
    ) -> Answer {
        if !self.taken.insert(subject.to_owned()) {
            return Answer::Occupied;
        }
        let stored = Stored {
            time: now,
            subject: subject.to_owned(),
            headers,
            body,
        };
        if let LedgerSubject::Outcome(name) = self.subjects.parse_ledger(subject) {
            self.check_outcome(&name, author, &stored.body);
        }
        self.ledger.push(stored);
        let last = self.ledger_last();
        self.tell(|| format!("ledger {last} {subject} by {author:?}"));
        let stored = self.ledger.last().expect("it was just put there");
        let (observer, subjects) = (&mut self.observer, &self.subjects);
        let folded = with_record(stored, last.get(), |record| observer.fold(subjects, record));
        if let Folded::Configured { jobs, .. } = folded {
            for accepted in jobs {
                let at = usize::try_from(accepted.get()).expect("a short ledger");
                self.observer.resolve(accepted, &self.ledger[at - 1].body);
            }
        }
        Answer::Stored(last)
    }

    fn check_outcome(&mut self, name: &AttemptName, author: Author, body: &[u8]) {
        let at = (name.accepted, name.attempt);
        if author == Author::Leader {
            self.ended_by_leader.insert(at);
            if self.dispatched.contains(&at) && !self.is_robbed {
                self.breaks(format!("{at:?} was ended by a leader although dispatched"));
            }
        }
        let Parsed::Known(OutcomeHead { status, .. }) = OutcomeHead::parse(body) else {
            return;
        };
        if status == Status::Completed {
            let times = self.completed.entry(name.accepted).or_default();
            *times += 1;
            if *times > 1 {
                self.breaks(format!("{} was completed twice", name.accepted));
            }
        }
    }

    pub(super) fn has_outcome(&self, name: &AttemptName) -> bool {
        self.taken.contains(&self.subjects.outcome(name))
    }

    /// A dispatch arrives.
    pub(super) fn dispatch(&mut self, write: &Dispatch) -> Answer {
        if write.expected.get() != self.work_last {
            return Answer::WrongLast;
        }
        if self.work.values().any(|work| work.name == write.name) {
            return Answer::Occupied;
        }
        self.check_dispatch(write);
        self.work_last += 1;
        self.tell(|| {
            format!(
                "work #{} {:?} of {}",
                self.work_last, write.name, write.epoch
            )
        });
        let work = Work {
            name: write.name.clone(),
            deliveries: 0,
            holder: None,
        };
        self.work.insert(self.work_last, work);
        Answer::Stored(Sequence::new(self.work_last))
    }

    fn check_dispatch(&mut self, write: &Dispatch) {
        let at = (write.name.accepted, write.name.attempt);
        if let Some(fence) = self.newest_fence().filter(|fence| *fence > write.epoch) {
            self.breaks(format!(
                "a write of {} landed behind the fence of {fence}",
                write.epoch
            ));
        }
        if self.ended_by_leader.contains(&at) {
            self.breaks(format!(
                "{at:?} was dispatched although a leader had ended it"
            ));
        }
        if self.has_outcome(&write.name) && !self.is_robbed {
            self.breaks(format!("{at:?} was dispatched although it had its outcome"));
        }
        let key = self.keys.get(&at.0).copied();
        let beside = self.work.values().find(|work| {
            key.is_some()
                && work.name.accepted != at.0
                && self.keys.get(&work.name.accepted).copied() == key
                && !self.has_outcome(&work.name)
        });
        if let Some(beside) = beside.map(|work| work.name.accepted) {
            self.breaks(format!(
                "{} came beside {beside}, both of key {key:?}",
                at.0
            ));
        }
        self.dispatched.insert(at);
    }

    /// A fence arrives: all of it or nothing.
    pub(super) fn fence(&mut self, epoch: Epoch, expected: Sequence) -> Answer {
        if expected.get() != self.work_last {
            return Answer::WrongLast;
        }
        if !self.fences.insert(epoch) {
            return Answer::Occupied;
        }
        self.work_last += self.fence_len;
        self.tell(|| format!("fence of {epoch} to #{}", self.work_last));
        Answer::Stored(Sequence::new(self.work_last))
    }

    pub(super) fn newest_fence(&self) -> Option<Epoch> {
        self.fences.last().copied()
    }

    pub(super) const fn work_last(&self) -> Sequence {
        Sequence::new(self.work_last)
    }

    /// All subjects of the work queue.
    pub(super) fn list(&self) -> Vec<String> {
        let fence = self
            .fences
            .last()
            .into_iter()
            .flat_map(|epoch| (1..=FENCE_LEN).map(|place| self.subjects.fence(*epoch, place)));
        let work = self
            .work
            .values()
            .map(|work| self.subjects.work(&work.name));
        fence.chain(work).collect()
    }

    /// Whether each accepted job has come to its end and nothing is left in the work queue.
    pub(super) fn is_drained(&self) -> bool {
        let is_final = |state: &JobState| matches!(state, JobState::Final(_));
        self.work.is_empty() && self.observer.jobs().all(|(_, job)| is_final(&job.state))
    }
}

fn with_record<T>(
    stored: &Stored,
    sequence: u64,
    fold: impl for<'r> FnOnce(&'r Record<'r>) -> T,
) -> T {
    let header = |name: &str| {
        let found = stored.headers.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.as_str())
    };
    fold(&Record {
        sequence: Sequence::new(sequence),
        time: stored.time,
        subject: &stored.subject,
        header: &header,
        payload: &stored.body,
    })
}
