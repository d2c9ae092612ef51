//! What the ledger says, added up without the fold that is under test: an oracle.
//!
//! It reads subjects and bodies by itself, and notes everything that no rule allows. It judges
//! nothing that the ledger does not hold: who ran what stands in [`crate::runs`].

use std::collections::{BTreeMap, BTreeSet};

use async_nats::jetstream::message::StreamMessage;
use serde_json::Value;

/// Attempts that may fail where neither the job nor its queue says so.
const ATTEMPTS_DEFAULT: u64 = 5;

/// What an outcome may say.
const STATUSES: [&str; 5] = ["completed", "failed", "cancelled", "expired", "discarded"];

/// A leader's barrier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Led {
    /// Its epoch.
    pub epoch: u64,
    /// The name of the coordinator.
    pub holder: String,
    /// Where the barrier stands.
    pub sequence: u64,
    /// When the broker stored it, in nanoseconds since 1970.
    pub stored_ns: u64,
}

/// The outcome of one attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// Which try.
    pub attempt: u64,
    /// Where it stands.
    pub sequence: u64,
    /// When the broker stored it, in nanoseconds since 1970.
    pub stored_ns: u64,
    /// Such as `completed`; `unreadable` for a body that is no outcome.
    pub status: String,
    /// The code of its error, if it has one.
    pub code: Option<String>,
    /// Whether the error says that another attempt would fail, too.
    pub permanent: bool,
    /// The body.
    pub body: Value,
}

/// An accepted job.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Job {
    /// Its queue's token as it was submitted.
    pub queue: String,
    /// Its id as it was submitted.
    pub id: String,
    /// Its key, where a header names one.
    pub key: Option<String>,
    /// Its payload.
    pub payload: Vec<u8>,
    /// Its outcomes in the order of the ledger.
    pub outcomes: Vec<Recorded>,
    /// The verbs of its control records in the order of the ledger.
    pub controls: Vec<String>,
    attempts_max: Option<u64>,
    /// Failed attempts since the last replay.
    failures: u64,
    end: Option<String>,
}

impl Job {
    /// How it ended: `completed`, `cancelled`, `expired` or `discarded`; `None` while it is open.
    #[must_use]
    pub fn end(&self) -> Option<&str> {
        self.end.as_deref()
    }

    /// The code of its last error.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.outcomes.last()?.code.as_deref()
    }
}

/// All that the records of the ledger add up to.
#[derive(Debug, Default)]
pub struct Book {
    /// The sequence of the last record.
    pub last: u64,
    /// The jobs by their acceptance numbers.
    pub jobs: BTreeMap<u64, Job>,
    /// The barriers in the order of the ledger, without those that came after a newer one.
    pub epochs: Vec<Led>,
    /// What no rule allows.
    pub wrong: Vec<String>,
    /// The subject of each sequence.
    pub subjects: BTreeMap<u64, String>,
    /// The epochs that have a barrier.
    barriers: BTreeSet<u64>,
    ids: BTreeMap<(String, String), u64>,
    /// The attempts that each queue's newest configuration allows.
    queues: BTreeMap<String, u64>,
    final_jobs: usize,
}

impl Book {
    /// Adds the next record.
    pub fn add(&mut self, record: &StreamMessage) {
        if record.sequence <= self.last {
            self.wrong
                .push(format!("{} after {}", record.sequence, self.last));
        }
        self.last = record.sequence;
        self.subjects
            .insert(record.sequence, record.subject.to_string());
        let mut tokens = record.subject.as_str().splitn(3, '.').skip(1);
        let (what, rest) = (tokens.next(), tokens.next());
        let known = match (what, rest) {
            (Some("submit"), Some(rest)) => self.submitted(record, rest),
            (Some("outcome"), Some(rest)) => self.outcome(record, rest),
            (Some("control"), Some(rest)) => self.control(rest),
            (Some("config"), Some(rest)) => self.config(record, rest),
            (Some("epoch"), Some(rest)) => self.epoch(record, rest),
            _ => None,
        };
        if known.is_none() {
            let text = format!("record {} on {}", record.sequence, record.subject);
            self.wrong.push(text);
        }
    }

    fn submitted(&mut self, record: &StreamMessage, rest: &str) -> Option<()> {
        let (queue, id) = rest.split_once('.')?;
        let name = (queue.to_owned(), id.to_owned());
        if let Some(first) = self.ids.insert(name, record.sequence) {
            let second = record.sequence;
            self.wrong
                .push(format!("{queue}/{id} accepted at {first} and at {second}"));
        }
        let header = |name: &str| {
            record
                .headers
                .get(name)
                .map(|value| value.as_str().to_owned())
        };
        let of_queue = self.queues.get(queue).copied();
        let job = Job {
            queue: queue.to_owned(),
            id: id.to_owned(),
            key: header("Jobs-Key"),
            payload: record.payload.to_vec(),
            attempts_max: header("Jobs-Max-Attempts")
                .and_then(|text| text.parse().ok())
                .or(of_queue),
            ..Job::default()
        };
        self.jobs.insert(record.sequence, job);
        Some(())
    }

    fn outcome(&mut self, record: &StreamMessage, rest: &str) -> Option<()> {
        let mut parts = rest.splitn(4, '.');
        let (queue, accepted) = (parts.next()?, parts.next()?.parse().ok()?);
        let (attempt, id) = (parts.next()?.parse().ok()?, parts.next()?);
        let place = format!("outcome {} on {}", record.sequence, record.subject);
        let Some(job) = self.jobs.get_mut(&accepted) else {
            self.wrong.push(format!("{place}: no such job"));
            return Some(());
        };
        if (queue, id) != ("%", "%") && (queue, id) != (&job.queue, &job.id) {
            self.wrong
                .push(format!("{place}: {accepted} is {}/{}", job.queue, job.id));
        }
        if let Some(end) = &job.end {
            self.wrong.push(format!("{place}: it was {end} already"));
        }
        let next = job.outcomes.last().map_or(1, |last| last.attempt + 1);
        if attempt != next {
            self.wrong
                .push(format!("{place}: attempt {next} comes next"));
        }
        let recorded = recorded(attempt, record);
        if recorded.status == "failed" || recorded.status == "unreadable" {
            job.failures += 1;
            let max = job.attempts_max.or_else(|| self.queues.get(queue).copied());
            if recorded.permanent || job.failures >= max.unwrap_or(ATTEMPTS_DEFAULT) {
                job.end = Some("discarded".to_owned());
            }
        } else {
            job.end = Some(recorded.status.clone());
        }
        self.final_jobs += usize::from(job.end.is_some());
        job.outcomes.push(recorded);
        Some(())
    }

    fn control(&mut self, rest: &str) -> Option<()> {
        let mut parts = rest.splitn(5, '.').skip(1);
        let accepted: u64 = parts.next()?.parse().ok()?;
        let verb = parts.nth(1)?;
        let job = self.jobs.get_mut(&accepted)?;
        if verb == "replay" && job.end.take().is_some() {
            job.failures = 0;
            self.final_jobs -= 1;
        }
        job.controls.push(verb.to_owned());
        Some(())
    }

    fn config(&mut self, record: &StreamMessage, rest: &str) -> Option<()> {
        let (queue, _) = rest.split_once('.')?;
        let body: Value = serde_json::from_slice(&record.payload).unwrap_or_default();
        let attempts = body["max_attempts"].as_u64().unwrap_or(ATTEMPTS_DEFAULT);
        self.queues.insert(queue.to_owned(), attempts);
        Some(())
    }

    fn epoch(&mut self, record: &StreamMessage, rest: &str) -> Option<()> {
        let epoch: u64 = rest.parse().ok()?;
        let body: Value = serde_json::from_slice(&record.payload).ok()?;
        if !self.barriers.insert(epoch) {
            self.wrong.push(format!("epoch {epoch} again"));
        }
        // Written before, and on its way until now, or by a process that stood still: whoever folds it
        // passes over it, its author as well, who has read of the newer one by then.
        if self.barriers.last() > Some(&epoch) {
            return Some(());
        }
        self.epochs.push(Led {
            epoch,
            holder: body["holder"].as_str()?.to_owned(),
            sequence: record.sequence,
            stored_ns: stored_ns(record),
        });
        Some(())
    }

    /// The newest leader's barrier.
    #[must_use]
    pub fn leader(&self) -> Option<&Led> {
        self.epochs.last()
    }

    /// How many jobs have ended.
    #[must_use]
    pub const fn ended(&self) -> usize {
        self.final_jobs
    }

    /// The job of that queue and encoded id.
    #[must_use]
    pub fn job(&self, queue: &str, id: &str) -> Option<&Job> {
        let accepted = self.ids.get(&(queue.to_owned(), id.to_owned()))?;
        self.jobs.get(accepted)
    }

    /// The jobs that have not ended, for a message.
    #[must_use]
    pub fn open(&self) -> Vec<String> {
        self.jobs
            .values()
            .filter(|job| job.end.is_none())
            .map(|job| format!("{}/{}", job.queue, job.id))
            .collect()
    }

    /// Checks that nothing is wrong and that every job has ended so.
    ///
    /// # Panics
    /// When it is not so, with what was found.
    pub fn check_all_ended_as(&self, end: &str) {
        assert!(self.wrong.is_empty(), "the ledger holds {:#?}", self.wrong);
        let others: Vec<String> = self
            .jobs
            .iter()
            .filter(|(_, job)| job.end() != Some(end))
            .map(|(accepted, job)| {
                format!("{accepted} {}/{}: {:?}", job.queue, job.id, job.outcomes)
            })
            .collect();
        assert!(others.is_empty(), "not {end}: {others:#?}");
    }
}

fn stored_ns(record: &StreamMessage) -> u64 {
    u64::try_from(record.time.unix_timestamp_nanos()).unwrap_or_default()
}

fn recorded(attempt: u64, record: &StreamMessage) -> Recorded {
    let empty = serde_json::json!({"status": "completed"});
    let body: Value = match record.payload.is_empty() {
        true => empty,
        false => serde_json::from_slice(&record.payload).unwrap_or_default(),
    };
    let status = body["status"].as_str();
    let status = status.filter(|status| STATUSES.contains(status));
    Recorded {
        attempt,
        sequence: record.sequence,
        stored_ns: stored_ns(record),
        status: status.unwrap_or("unreadable").to_owned(),
        code: body["error"]["code"].as_str().map(str::to_owned),
        permanent: body["error"]["permanent"].as_bool().unwrap_or_default(),
        body,
    }
}

#[cfg(test)]
mod tests {
    use async_nats::jetstream::message::StreamMessage;
    use time::OffsetDateTime;

    use super::Book;

    fn barrier(sequence: u64, epoch: u64, holder: &str) -> StreamMessage {
        StreamMessage {
            subject: format!("jobs.epoch.{epoch}").into(),
            sequence,
            headers: async_nats::HeaderMap::new(),
            payload: format!(r#"{{"holder":"{holder}"}}"#).into(),
            time: OffsetDateTime::UNIX_EPOCH,
        }
    }

    /// A leader stood still between its listing and its barrier, for longer than its lease.
    #[test]
    fn a_barrier_that_comes_after_a_newer_one_makes_no_leader_and_is_no_fault() {
        let mut book = Book::default();
        for (sequence, epoch, holder) in [(1, 10, "a"), (2, 12, "b"), (3, 11, "a"), (4, 13, "c")] {
            book.add(&barrier(sequence, epoch, holder));
        }
        let led: Vec<u64> = book.epochs.iter().map(|led| led.epoch).collect();
        assert_eq!(led, [10, 12, 13]);
        assert!(book.wrong.is_empty(), "{:?}", book.wrong);
        book.add(&barrier(5, 13, "a"));
        book.add(&barrier(6, 11, "a"));
        assert_eq!(book.wrong, ["epoch 13 again", "epoch 11 again"]);
    }
}
