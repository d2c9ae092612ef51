//! The model's broker: the ledger and the work queue with what the rules rely on (sequences, one
//! record a subject, the expected last sequence, fences all or nothing, redelivery, acks without a
//! fence). It shows each write to the book, and knows nothing of who writes and why.

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::answer::Answer;
use protocol::effects::Dispatch;
use protocol::ledger::{Record, RecordIdentity};
use protocol::number::{Epoch, Sequence};
use protocol::subject::{AttemptName, JobName, Subjects};
use protocol::takeover::fence_len;
use protocol::time::Timestamp;

use crate::book::{Author, Book, Written};
use crate::consumer::{Acked, Consumer};
use crate::hands::Token;
use crate::stream::{self, Publish, Refused, Second, Stream, StreamRules};

/// The part of a lease that the broker waits longer than it says, never shorter.
const ACK_WAIT_SLACK: Duration = Duration::from_millis(20);
/// How many acked messages a killed broker may bring back.
const ACKED_KEPT: usize = 4;

/// Of both streams.
const RULES: StreamRules = StreamRules {
    second: Second::Refused,
    bytes_max: None,
};

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
    /// It was handed out again for a reason that lets an older run go on beside it.
    pub(crate) is_tainted: bool,
    /// Written by a foreign hand.
    pub(crate) is_foreign: bool,
    /// How often it was handed out, as far as the broker remembers.
    pub(crate) deliveries: u64,
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
    ledger: Stream<Stored>,
    /// Messages, and records of a fence.
    work: Stream<Option<Work>>,
    /// One a queue.
    consumers: BTreeMap<String, Consumer>,
    acked: Vec<(u64, Work)>,
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
            ledger: Stream::new(RULES),
            work: Stream::new(RULES),
            consumers: BTreeMap::new(),
            acked: Vec::new(),
            handouts: 0,
            fences: BTreeMap::new(),
            silent_until: Timestamp::default(),
            stale: Vec::new(),
            is_touched: false,
            created: Timestamp::from_millis(1),
        }
    }

    pub(crate) const fn ledger_last(&self) -> Sequence {
        Sequence::new(self.ledger.last())
    }

    pub(crate) fn stored(&self, sequence: u64) -> Option<&Stored> {
        self.ledger.get(sequence)
    }

    pub(crate) fn by_subject(&self, subject: &str) -> Option<&Stored> {
        self.stored(self.ledger.newest(subject)?)
    }

    /// Whether a record stands on a subject.
    pub(crate) fn has(&self, subject: &str) -> bool {
        self.ledger.newest(subject).is_some()
    }

    /// The last sequence of the work queue.
    pub(crate) const fn work_last(&self) -> u64 {
        self.work.last()
    }

    /// The messages of the work queue, without its fences.
    pub(crate) fn works(&self) -> impl Iterator<Item = (u64, &Work)> {
        let all = self.work.from(1);
        all.filter_map(|(at, _, work)| work.as_ref().map(|work| (at, work)))
    }

    pub(crate) fn work(&self, at: u64) -> Option<&Work> {
        self.work.get(at)?.as_ref()
    }

    pub(crate) fn work_mut(&mut self, at: u64) -> Option<&mut Work> {
        self.work.get_mut(at)?.as_mut()
    }

    /// A foreign hand deletes a message of the work queue.
    pub(crate) fn rob(&mut self, at: u64) {
        self.work.delete(at);
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
        let stored = Stored {
            time: now,
            subject: subject.to_owned(),
            headers,
            body,
        };
        let stored = self
            .ledger
            .publish(Publish::new(subject.to_owned(), stored));
        let Ok(sequence) = stored else {
            self.book.counts.did("refused repeats");
            return stream::answer(stored);
        };
        let stored = self.ledger.get(sequence).expect("it was just put there");
        let sequence = Sequence::new(sequence);
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
    pub(crate) fn roll_back(&mut self, records: u64) {
        let keep = self.ledger.last().saturating_sub(records);
        self.ledger.roll_back(keep);
    }

    /// A dispatch arrives.
    pub(crate) fn dispatch(&mut self, now: Timestamp, write: &Dispatch) -> Answer {
        if now < self.silent_until {
            return Answer::NoResponders;
        }
        let message = self.message(now, write.name.clone(), false);
        let stored = self.put(message.expecting(write.expected.get()));
        match stored {
            Ok(_) => self.check_dispatch(write),
            Err(_) => self.book.counts.did("refused dispatches"),
        }
        stream::answer(stored)
    }

    /// A message that a foreign hand writes into the work queue.
    pub(crate) fn intrude(&mut self, now: Timestamp, name: AttemptName) {
        let message = self.message(now, name, true);
        let stored = self.put(message);
        debug_assert!(stored.is_ok(), "nobody else names it so");
    }

    fn message(
        &self,
        now: Timestamp,
        name: AttemptName,
        is_foreign: bool,
    ) -> Publish<Option<Work>> {
        let entry = self.book.jobs.get(&name.accepted);
        let queue = match &name.job {
            JobName::Named { queue, .. } => queue.to_string(),
            JobName::Malformed => String::new(),
        };
        let subject = self.subjects.work(&name);
        let work = Work {
            key: entry.and_then(|entry| entry.key.clone()),
            queue,
            stored: now,
            is_tainted: entry.is_some_and(|entry| entry.robbed.contains(&name.attempt.get())),
            is_foreign,
            deliveries: 0,
            lapsed: 0,
            handout: 0,
            had_outcome: false,
            name,
        };
        Publish::new(subject, Some(work))
    }

    fn put(&mut self, message: Publish<Option<Work>>) -> Result<u64, Refused> {
        let subject = message.subject.clone();
        let stored = self.work.publish(message);
        if let Ok(at) = stored {
            self.book.tell(|| format!("  work #{at} {subject}"));
        }
        stored
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
            .works()
            .map(|(_, work)| work)
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
        let newest = self.fences.keys().last().copied();
        let subjects = (1..=fence_len()).map(|n| self.subjects.fence(epoch, n));
        let mut records: Vec<_> = subjects.map(|s| Publish::new(s, None)).collect();
        if expected.get() != u64::MAX {
            records[0].expected_last = Some(expected.get());
        }
        let stored = self.work.publish_batch(records);
        let Ok(last) = stored else {
            return stream::answer(stored);
        };
        self.book.counts.did("fences");
        if let Some(newest) = newest.filter(|newest| *newest > epoch) {
            let what = format!("a fence of {epoch} came after that of {newest}");
            self.book.breaks("fence", what);
        }
        self.book.tell(|| format!("  fence of {epoch} to #{last}"));
        self.fences.insert(epoch, last);
        // Its leader purges the older ones.
        for old in self.fences.keys().filter(|old| **old < epoch) {
            for n in 1..=fence_len() {
                self.work.purge(&self.subjects.fence(*old, n));
            }
        }
        Answer::Stored(Sequence::new(last))
    }

    pub(crate) fn newest_fence(&self) -> Option<Epoch> {
        self.fences.keys().last().copied()
    }

    /// All subjects of the work queue.
    pub(crate) fn list(&self) -> Vec<String> {
        let all = self.work.subjects();
        all.map(|(subject, _)| subject.to_owned()).collect()
    }

    /// Hands a message of one of the `queues` out.
    pub(crate) fn hand_out(&mut self, now: Timestamp, queues: &[&str]) -> Option<(u64, Work)> {
        if now < self.silent_until {
            return None;
        }
        // Not always the same queue first.
        let first = usize::try_from(self.handouts).unwrap_or_default();
        let handout = (0..queues.len()).find_map(|n| {
            let queue = queues[(first + n) % queues.len()];
            let lease = Duration::from_millis(self.book.queues.get(queue)?.lease_ms);
            let known = self.consumers.entry(queue.to_owned());
            let consumer = known.or_insert_with(|| Consumer::new(lease));
            consumer.set_ack_wait(lease + ACK_WAIT_SLACK);
            let of_queue = self
                .subjects
                .work_of(&queue.parse().expect("a queue's name"));
            let prefix = of_queue.trim_end_matches('>');
            consumer.pull(now, &self.work, |subject| subject.starts_with(prefix))
        })?;
        self.handouts += 1;
        let work = self.work.get_mut(handout.sequence)?.as_mut()?;
        work.deliveries = handout.count;
        work.handout = self.handouts;
        let entry = self.book.jobs.get(&work.name.accepted);
        let attempt = work.name.attempt.get();
        work.had_outcome = entry.is_some_and(|entry| {
            entry.outcomes.contains(&attempt) && !entry.robbed.contains(&attempt)
        });
        Some((handout.sequence, work.clone()))
    }

    /// What nobody acked in time is handed out again.
    pub(crate) fn look(&mut self, now: Timestamp) {
        for consumer in self.consumers.values_mut() {
            for at in consumer.look(now) {
                if let Some(Some(work)) = self.work.get_mut(at) {
                    work.lapsed = work.handout;
                    let accepted = work.name.accepted;
                    self.book
                        .tell(|| format!("  the lease of {accepted} ran out"));
                }
            }
        }
    }

    fn consumer_of(&mut self, at: u64) -> Option<&mut Consumer> {
        let queue = &self.work.get(at)?.as_ref()?.queue;
        self.consumers.get_mut(queue)
    }

    /// An ack arrives: whoever sends it, and for whichever delivery.
    pub(crate) fn ack(&mut self, at: u64) {
        if self
            .consumer_of(at)
            .is_some_and(|consumer| consumer.ack(at))
            && let Some(Some(work)) = self.work.delete(at)
        {
            self.acked.push((at, work));
            if self.acked.len() > ACKED_KEPT {
                self.acked.remove(0);
            }
        }
    }

    /// A leader deletes what it takes for spent.
    pub(crate) fn delete_spent(&mut self, name: &AttemptName) {
        self.book.counts.did("deletions of spent work");
        if !self.book.has_outcome(name) {
            let what = format!("{} {} without an outcome", name.accepted, name.attempt);
            self.book.breaks("spent", what);
        }
        let found = self.works().find(|(_, work)| work.name == *name);
        if let Some(at) = found.map(|(at, _)| at) {
            self.work.delete(at);
        }
    }

    /// A nak arrives: the server acts on it whoever holds the message by now.
    pub(crate) fn nak(&mut self, now: Timestamp, token: Token, delay: Duration) {
        self.book.tell(|| format!("  nak of {token:?}"));
        if let Some(work) = self.work_mut(token.at) {
            work.is_tainted |= work.handout != token.handout;
        }
        if let Some(consumer) = self.consumer_of(token.at) {
            consumer.nak(now, token.at, delay);
        }
    }

    /// A progress ack arrives; the server confirms stale ones too.
    pub(crate) fn progress(&mut self, now: Timestamp, at: u64) {
        if let Some(consumer) = self.consumer_of(at) {
            consumer.progress(now, at);
        }
    }

    /// A server that is killed forgets who held what and how often, and the last acks.
    pub(crate) fn forget_deliveries(&mut self, acked: Acked) {
        self.consumers.values_mut().for_each(Consumer::forget);
        let back = match acked {
            Acked::StaysAway => Vec::new(),
            Acked::ComesBack | Acked::IsStranded => std::mem::take(&mut self.acked),
        };
        for (at, work) in back {
            let subject = self.subjects.work(&work.name);
            if let (Acked::IsStranded, Some(consumer)) =
                (acked, self.consumers.get_mut(&work.queue))
            {
                consumer.pass_over(at);
            }
            self.work.bring_back(at, &subject, Some(work));
        }
        for work in self.work.contents_mut().flatten() {
            work.deliveries = 0;
            work.is_tainted = true;
        }
    }

    /// Whether each job has come to its end and nothing is left in the work queue.
    pub(crate) fn is_drained(&self) -> bool {
        self.works().all(|(_, work)| work.is_foreign)
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
