//! The model's broker: the ledger and the work queue with what the rules rely on (sequences, one
//! record a subject, the expected last sequence, fences all or nothing, redelivery, acks without a
//! fence). It shows each write to the book, and knows nothing of who writes and why.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use protocol::answer::Answer;
use protocol::effects::Dispatch;
use protocol::ledger::{Record, RecordIdentity};
use protocol::number::{Epoch, Sequence};
use protocol::subject::{AttemptName, JobName, Subjects};
use protocol::takeover::fence_len;
use protocol::time::Timestamp;

use crate::book::{Author, Book, Written};
use crate::hands::Token;

/// The part of a lease that the broker waits longer than it says, never shorter.
const ACK_WAIT_SLACK: Duration = Duration::from_millis(20);
/// How many acked messages a killed broker may bring back.
const ACKED_KEPT: usize = 4;

/// A record of the ledger.
pub(crate) struct Stored {
    pub(crate) time: Timestamp,
    pub(crate) subject: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

/// What is submitted, or written otherwise.
pub(crate) type Content = (Vec<(&'static str, String)>, Vec<u8>);

/// A message of the work queue.
#[derive(Clone)]
pub(crate) struct Work {
    pub(crate) name: AttemptName,
    pub(crate) queue: String,
    pub(crate) key: Option<String>,
    pub(crate) stored: Timestamp,
    pub(crate) deliveries: u64,
    /// Until when it is not handed out again; `None`: it may be handed out from `free_at` on.
    pub(crate) held_until: Option<Timestamp>,
    pub(crate) free_at: Timestamp,
    /// It was handed out again for a reason that lets an older run go on beside it.
    pub(crate) is_tainted: bool,
    /// Written by a foreign hand.
    pub(crate) is_foreign: bool,
    /// The newest delivery whose lease ran out.
    pub(crate) lapsed: u64,
    /// Tells this handing out from all others.
    pub(crate) handout: u64,
    /// It had its outcome when it was handed out last.
    pub(crate) had_outcome: bool,
}

/// Both streams.
pub(crate) struct Broker {
    pub(crate) subjects: Subjects,
    pub(crate) book: Book,
    pub(crate) ledger: Vec<Stored>,
    taken: BTreeSet<String>,
    pub(crate) work: BTreeMap<u64, Work>,
    acked: Vec<(u64, Work)>,
    pub(crate) work_last: u64,
    handouts: u64,
    pub(crate) fences: BTreeMap<Epoch, u64>,
    /// Until then nobody answers: the streams elect a leader.
    pub(crate) silent_until: Timestamp,
    /// What a replica that lags would list.
    pub(crate) stale: Vec<String>,
    /// A foreign hand took or wrote something.
    pub(crate) is_touched: bool,
    pub(crate) created: Timestamp,
}

impl Broker {
    pub(crate) fn new(subjects: Subjects) -> Self {
        Self {
            subjects,
            book: Book::default(),
            ledger: Vec::new(),
            taken: BTreeSet::new(),
            work: BTreeMap::new(),
            acked: Vec::new(),
            work_last: 0,
            handouts: 0,
            fences: BTreeMap::new(),
            silent_until: Timestamp::default(),
            stale: Vec::new(),
            is_touched: false,
            created: Timestamp::from_millis(1),
        }
    }

    pub(crate) fn ledger_last(&self) -> Sequence {
        Sequence::new(u64::try_from(self.ledger.len()).expect("a short ledger"))
    }

    pub(crate) fn stored(&self, sequence: u64) -> Option<&Stored> {
        let index = usize::try_from(sequence.checked_sub(1)?).ok()?;
        self.ledger.get(index)
    }

    pub(crate) fn by_subject(&self, subject: &str) -> Option<&Stored> {
        self.ledger.iter().find(|stored| stored.subject == subject)
    }

    /// Whether a record stands on a subject.
    pub(crate) fn has(&self, subject: &str) -> bool {
        self.taken.contains(subject)
    }

    pub(crate) fn identity(&self, sequence: Sequence) -> Option<RecordIdentity> {
        self.stored(sequence.get()).map(|stored| RecordIdentity {
            sequence,
            subject: stored.subject.clone(),
            time: stored.time,
        })
    }

    /// A write into the ledger arrives.
    pub(crate) fn write(
        &mut self,
        now: Timestamp,
        author: Author,
        subject: &str,
        (headers, body): Content,
    ) -> Answer {
        if now < self.silent_until {
            return Answer::NoResponders;
        }
        if !self.taken.insert(subject.to_owned()) {
            self.book.counts.did("refused repeats");
            return Answer::Occupied;
        }
        self.ledger.push(Stored {
            time: now,
            subject: subject.to_owned(),
            headers,
            body,
        });
        let sequence = self.ledger_last();
        let stored = self.ledger.last().expect("it was just put there");
        let written = Written {
            sequence,
            time: stored.time,
            subject: &stored.subject,
            headers: &stored.headers,
            body: &stored.body,
            author,
        };
        self.book.record(&self.subjects, &written);
        Answer::Stored(sequence)
    }

    /// The store goes back by some records.
    pub(crate) fn roll_back(&mut self, records: usize) {
        let keep = self.ledger.len().saturating_sub(records);
        for stored in self.ledger.drain(keep..) {
            self.taken.remove(&stored.subject);
        }
    }

    /// A dispatch arrives.
    pub(crate) fn dispatch(&mut self, now: Timestamp, write: &Dispatch) -> Answer {
        if now < self.silent_until {
            return Answer::NoResponders;
        }
        if self.work.values().any(|work| work.name == write.name) {
            return Answer::Occupied;
        }
        if write.expected.get() != self.work_last {
            self.book.counts.did("refused dispatches");
            return Answer::WrongLast;
        }
        self.check_dispatch(write);
        self.put(now, write.name.clone(), false);
        Answer::Stored(Sequence::new(self.work_last))
    }

    /// Stores a message of the work queue, whoever wrote it.
    pub(crate) fn put(&mut self, now: Timestamp, name: AttemptName, is_foreign: bool) {
        self.work_last += 1;
        let entry = self.book.jobs.get(&name.accepted);
        let queue = match &name.job {
            JobName::Named { queue, .. } => queue.to_string(),
            JobName::Malformed => String::new(),
        };
        let work = Work {
            key: entry.and_then(|entry| entry.key.clone()),
            queue,
            stored: now,
            deliveries: 0,
            held_until: None,
            free_at: now,
            is_tainted: entry.is_some_and(|entry| entry.robbed.contains(&name.attempt.get())),
            is_foreign,
            lapsed: 0,
            handout: 0,
            had_outcome: false,
            name,
        };
        let (last, name) = (self.work_last, format!("{:?}", work.name));
        self.book.tell(|| format!("  work #{last} {name}"));
        self.work.insert(self.work_last, work);
    }

    fn check_dispatch(&mut self, write: &Dispatch) {
        self.book.counts.did("dispatches");
        let fence = self.fences.keys().last().copied();
        if let Some(fence) = fence.filter(|fence| *fence > write.epoch) {
            let what = format!(
                "a write of {} landed behind the fence of {fence}",
                write.epoch
            );
            self.book.breaks("fence", what);
        }
        let (accepted, attempt) = (write.name.accepted, write.name.attempt.get());
        let Some(entry) = self.book.jobs.get_mut(&accepted) else {
            return self
                .book
                .breaks("dispatched in turn", format!("{accepted} is no job"));
        };
        entry.dispatched.insert(attempt);
        let is_robbed = entry.robbed.contains(&attempt);
        let (stage, last, key) = (entry.stage, entry.last, entry.key.clone());
        let at = format!("{accepted} a{attempt}");
        if entry.ended.contains(&attempt) && !is_robbed {
            let what = format!("{at} was dispatched although a leader had ended it");
            return self.book.breaks("dispatched in turn", what);
        }
        if (stage != crate::book::Stage::Open || attempt != last + 1) && !is_robbed {
            let what = format!("{at} was dispatched: {stage:?} with a{last} recorded");
            return self.book.breaks("dispatched in turn", what);
        }
        let out: Vec<&Work> = self
            .work
            .values()
            .filter(|work| !work.is_foreign && work.name.accepted != accepted)
            .filter(|work| !self.book.has_outcome(&work.name))
            .collect();
        let beside = out.iter().find(|work| key.is_some() && work.key == key);
        if let Some(beside) = beside {
            let what = format!(
                "{at} came beside {}, both of key {key:?}",
                beside.name.accepted
            );
            return self.book.breaks("one of a key", what);
        }
        let JobName::Named { queue, .. } = &write.name.job else {
            return;
        };
        let most = self.book.queues.get(queue.as_str());
        let most = most.and_then(|conf| conf.max_outstanding);
        let here = out.iter().filter(|work| work.queue == queue.as_str());
        let here = u32::try_from(here.count()).expect("few");
        if most.is_some_and(|most| here >= most) {
            let what = format!("{at} is one more than the {most:?} of {queue}");
            self.book.breaks("limit", what);
        }
    }

    /// A fence arrives: all of it or nothing. The last sequence that there is stands for a fence
    /// that expects nothing.
    pub(crate) fn fence(&mut self, now: Timestamp, epoch: Epoch, expected: Sequence) -> Answer {
        if now < self.silent_until {
            return Answer::NoResponders;
        }
        if self.fences.contains_key(&epoch) {
            return Answer::Occupied;
        }
        if expected.get() != self.work_last && expected.get() != u64::MAX {
            return Answer::WrongLast;
        }
        self.book.counts.did("fences");
        let newest = self.fences.keys().last().copied();
        if let Some(newest) = newest.filter(|newest| *newest > epoch) {
            let what = format!("a fence of {epoch} came after that of {newest}");
            self.book.breaks("fence", what);
        }
        self.work_last += fence_len();
        let last = self.work_last;
        self.book.tell(|| format!("  fence of {epoch} to #{last}"));
        self.fences.insert(epoch, self.work_last);
        Answer::Stored(Sequence::new(self.work_last))
    }

    pub(crate) fn newest_fence(&self) -> Option<Epoch> {
        self.fences.keys().last().copied()
    }

    /// All subjects of the work queue, with the newest fence alone.
    pub(crate) fn list(&self) -> Vec<String> {
        let fence = self.fences.keys().last().into_iter();
        let fence =
            fence.flat_map(|epoch| (1..=fence_len()).map(|n| self.subjects.fence(*epoch, n)));
        let work = self
            .work
            .values()
            .map(|work| self.subjects.work(&work.name));
        fence.chain(work).collect()
    }

    /// Hands the first free message out to who takes `queues`.
    pub(crate) fn hand_out(&mut self, now: Timestamp, queues: &[&str]) -> Option<(u64, Work)> {
        if now < self.silent_until {
            return None;
        }
        let (at, work) = self.work.iter_mut().find(|(_, work)| {
            work.held_until.is_none()
                && work.free_at <= now
                && queues.contains(&work.queue.as_str())
        })?;
        let lease = self.book.queues.get(&work.queue)?.lease_ms;
        work.deliveries += 1;
        self.handouts += 1;
        work.handout = self.handouts;
        let entry = self.book.jobs.get(&work.name.accepted);
        let attempt = work.name.attempt.get();
        work.had_outcome = entry.is_some_and(|entry| {
            entry.outcomes.contains(&attempt) && !entry.robbed.contains(&attempt)
        });
        work.held_until = Some(now.after(Duration::from_millis(lease) + ACK_WAIT_SLACK));
        Some((*at, work.clone()))
    }

    /// What nobody acked in time is handed out again.
    pub(crate) fn look(&mut self, now: Timestamp) {
        for work in self.work.values_mut() {
            if work.held_until.is_some_and(|until| until <= now) {
                work.held_until = None;
                work.free_at = now;
                work.lapsed = work.handout;
                let accepted = work.name.accepted;
                self.book
                    .tell(|| format!("  the lease of {accepted} ran out"));
            }
        }
    }

    /// An ack arrives: whoever sends it, and for whichever delivery.
    pub(crate) fn ack(&mut self, at: u64) {
        if let Some(work) = self.work.remove(&at) {
            self.acked.push((at, work));
            if self.acked.len() > ACKED_KEPT {
                self.acked.remove(0);
            }
        }
    }

    /// A nak arrives: the server acts on it whoever holds the message by now.
    pub(crate) fn nak(&mut self, now: Timestamp, token: Token, delay: Duration) {
        self.book.tell(|| format!("  nak of {token:?}"));
        if let Some(work) = self.work.get_mut(&token.at) {
            work.is_tainted |= work.handout != token.handout;
            work.held_until = None;
            work.free_at = now.after(delay);
        }
    }

    /// A progress ack arrives; the server confirms stale ones too.
    pub(crate) fn progress(&mut self, now: Timestamp, at: u64) {
        if let Some(work) = self.work.get_mut(&at)
            && let (Some(_), Some(conf)) = (work.held_until, self.book.queues.get(&work.queue))
        {
            let lease = Duration::from_millis(conf.lease_ms);
            work.held_until = Some(now.after(lease + ACK_WAIT_SLACK));
        }
    }

    /// A server that is killed forgets who held what and how often, and the last acks.
    pub(crate) fn forget_deliveries(&mut self, now: Timestamp, brings_back: bool) {
        for work in self.work.values_mut() {
            work.held_until = None;
            work.free_at = now;
            work.deliveries = 0;
            work.is_tainted = true;
        }
        if brings_back {
            for (at, mut work) in std::mem::take(&mut self.acked) {
                work.deliveries = 0;
                work.held_until = None;
                work.is_tainted = true;
                self.work.insert(at, work);
            }
        }
    }

    /// Whether each job has come to its end and nothing is left in the work queue.
    pub(crate) fn is_drained(&self) -> bool {
        self.work.values().all(|work| work.is_foreign)
            && self.book.jobs.values().all(crate::book::Entry::is_over)
    }
}

/// Shows a stored record to whoever folds it.
pub(crate) fn with_record<T>(
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
