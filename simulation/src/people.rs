//! Who submits, repeats, configures, asks for a cancel, a retry or a replay; and foreign hands that
//! write what no rule makes. What a submitter is told is held against the truth.

use std::time::Duration;

use protocol::answer::Answer;
use protocol::number::{Accepted, Attempt, Revision};
use protocol::subject::{AttemptName, JobName, Verb};
use protocol::submission::{Parsed, Submission};

use crate::book::{Author, Stage};
use crate::broker::Content;
use crate::packet::Packet;
use crate::world::{QUEUES, World};

/// Jobs of a seed.
pub(crate) const JOBS_MAX: usize = 130;
const PAYLOADS: [&[u8]; 4] = [
    br#"{"k":"a"}"#,
    br#"{"k":"b"}"#,
    br#"{"k":"c"}"#,
    br#"{"k":"d"}"#,
];
const KEYS: [&str; 4] = ["a", "b", "c", "d"];

impl World {
    /// A few jobs are submitted.
    pub(crate) fn submit(&mut self) {
        let burst = 1 + self.rng.index(10);
        for _ in 0..burst {
            if self.submitted.len() >= JOBS_MAX {
                return;
            }
            let content = self.content();
            let queue = QUEUES[self.rng.index(QUEUES.len())];
            let id = format!("j{}", self.submitted.len());
            let subject = self.submit_subject(queue, &id);
            let author = Author::Person;
            if self.rng.once_in(20) {
                // Nobody heard the answer: it is submitted again by and by.
                self.fault("unanswered submissions");
                let (subject, content) = (subject.clone(), content.clone());
                self.packets.push_back(Packet::Late {
                    author,
                    subject,
                    content,
                });
            } else {
                self.broker
                    .write(self.now, author, &subject, content.clone());
            }
            self.submitted.push((subject, content));
        }
    }

    fn submit_subject(&self, queue: &str, id: &str) -> String {
        let queue = queue.parse().expect("a queue's name");
        let id = protocol::id::JobId::from_raw(id).expect("a job's name");
        self.broker.subjects.submit(&queue, &id)
    }

    fn content(&mut self) -> Content {
        let pick = self.rng.index(KEYS.len());
        let mut headers = Vec::new();
        if self.rng.once_in(2) {
            headers.push(("Jobs-Key", KEYS[pick].to_owned()));
        }
        let mut soon = |most: u64| {
            let wait = Duration::from_millis(self.rng.below(most));
            self.now.after(wait).to_string()
        };
        let (run_at, expires_at) = (soon(2_000), soon(4_000));
        match self.rng.below(40) {
            0..4 => headers.push(("Jobs-Expires-At", expires_at)),
            4..7 => headers.push(("Jobs-Run-At", run_at)),
            7..12 => headers.push(("Jobs-Priority", self.rng.below(10).to_string())),
            12 => headers.push(("Jobs-Priority", "soon".to_owned())),
            13 => headers.push(("Jobs-Version", "9".to_owned())),
            14..17 => headers.push(("Jobs-Max-Attempts", (1 + self.rng.below(3)).to_string())),
            _ => {}
        }
        (headers, PAYLOADS[pick].to_vec())
    }

    /// A submission comes again, or another one under its id. The answer must tell which.
    pub(crate) fn repeat(&mut self) {
        if self.submitted.is_empty() {
            return;
        }
        let pick = self.rng.index(self.submitted.len());
        let (subject, first) = self.submitted[pick].clone();
        let content = match self.rng.once_in(2) {
            true => first,
            false => self.content(),
        };
        let author = Author::Person;
        let answer = self
            .broker
            .write(self.now, author, &subject, content.clone());
        let theirs = self.broker.by_subject(&subject);
        let Some(theirs) = theirs.map(|stored| stored.headers.clone()) else {
            return;
        };
        if answer != Answer::Occupied {
            return;
        }
        self.broker.book.counts.did("repeats");
        let said = |headers: &[(&'static str, String)], name: &str| {
            let found = headers.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.clone())
        };
        let parse = |headers: &[(&'static str, String)]| {
            Submission::parse(|name| {
                let found = headers.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| value.as_str())
            })
        };
        let same_headers = ["Jobs-Key", "Jobs-Priority", "Jobs-Run-At"]
            .iter()
            .all(|name| {
                let value =
                    |headers| said(headers, name).filter(|v| v != "5" || *name != "Jobs-Priority");
                value(&content.0) == value(&theirs)
            });
        let (Ok(Parsed::Known(ours)), Ok(Parsed::Known(known))) =
            (parse(&content.0), parse(&theirs))
        else {
            return;
        };
        if ours.is_same_job(&known) != same_headers {
            let what = format!("{subject} again: {:?} and {:?}", content.0, theirs);
            self.broker.book.breaks("repeats are told apart", what);
        }
    }

    /// A queue gets its configuration, or another one, or an old one comes late.
    pub(crate) fn configure(&mut self, n: usize) {
        let queue = QUEUES[n];
        let known = self.broker.book.queues.get(queue);
        let newest = known.map_or(0, |conf| conf.revision);
        let revision = match self.rng.below(4) {
            _ if newest == 0 => 3,
            0 => newest - 1,
            1 => newest + 2,
            _ => newest + 1,
        };
        if newest > 0 && self.rng.once_in(2) {
            return;
        }
        let pointer = match n {
            1 => r#","key_pointer":"/k""#,
            _ => "",
        };
        let most = match n {
            2 => format!(r#","max_outstanding":{}"#, if newest == 0 { 3 } else { 4 }),
            _ => String::new(),
        };
        let body = format!(
            r#"{{"max_attempts":{},"backoff_base_ms":{},"work_lease_ms":6000{pointer}{most}}}"#,
            2 + self.rng.below(3),
            20 + self.rng.below(30),
        );
        let queue = queue.parse().expect("a queue's name");
        let subject = self.broker.subjects.config(&queue, Revision::new(revision));
        let content = (Vec::new(), body.into_bytes());
        self.broker
            .write(self.now, Author::Person, &subject, content);
    }

    /// Somebody asks something of a job, by what some coordinator knows of it.
    pub(crate) fn ask_for(&mut self, who: usize) {
        let ledger = self.hands[who].rules.ledger();
        let jobs: Vec<Accepted> = ledger.jobs().map(|(accepted, _)| accepted).collect();
        if jobs.is_empty() {
            return;
        }
        let accepted = jobs[self.rng.index(jobs.len())];
        let verb = [Verb::Cancel, Verb::Cancel, Verb::Retry, Verb::Replay][self.rng.index(4)];
        let Ok(record) = self.hands[who].rules.control_record(accepted, verb) else {
            return;
        };
        self.broker.book.counts.did("requests of people");
        let content = (Vec::new(), record.body);
        let (author, subject) = (Author::Person, record.subject);
        if self.rng.once_in(3) {
            let at = self.rng.index(self.packets.len() + 1);
            self.packets.insert(
                at,
                Packet::Late {
                    author,
                    subject,
                    content,
                },
            );
        } else {
            self.broker.write(self.now, author, &subject, content);
        }
    }

    /// Somebody writes an outcome or a request that names no attempt there is.
    pub(crate) fn forge(&mut self) {
        let jobs: Vec<(Accepted, JobName)> = self
            .broker
            .book
            .jobs
            .iter()
            .filter(|(_, entry)| entry.stage != Stage::Malformed)
            .map(|(accepted, entry)| (*accepted, entry.name.clone()))
            .collect();
        if jobs.is_empty() {
            return;
        }
        self.fault("forged records");
        let (accepted, job) = jobs[self.rng.index(jobs.len())].clone();
        let (_, other) = jobs[self.rng.index(jobs.len())].clone();
        let entry = &self.broker.book.jobs[&accepted];
        let (last, is_same) = (entry.last, other == job);
        // Not the very next one: who may record outcomes is believed about that.
        let early = Attempt::new(last + 2 + self.rng.below(3));
        let mut name = AttemptName {
            job,
            accepted,
            attempt: early,
        };
        let subject = match self.rng.below(4) {
            0 if !is_same => {
                name.job = other;
                name.attempt = Attempt::new(last + 1);
                self.broker.subjects.outcome(&name)
            }
            1 => {
                name.attempt = Attempt::new(last.saturating_sub(1));
                self.broker.subjects.control(&name, Verb::Replay)
            }
            2 => {
                name.attempt = Attempt::new(last.saturating_sub(1));
                self.broker.subjects.control(&name, Verb::Cancel)
            }
            _ => self.broker.subjects.outcome(&name),
        };
        let body = br#"{"v":1,"status":"completed"}"#.to_vec();
        let content = (Vec::new(), body);
        self.broker
            .write(self.now, Author::Forger, &subject, content);
    }

    /// A foreign hand writes into the work queue: it takes the sequence that somebody expects.
    pub(crate) fn intrude(&mut self) {
        self.fault("foreign work");
        let number = self.broker.work_last();
        let name = AttemptName {
            job: JobName::Named {
                queue: "zz".parse().expect("a queue's name"),
                id: protocol::id::JobId::from_raw(&format!("x{number}")).expect("an id"),
            },
            accepted: Accepted::new(900_000 + number),
            attempt: Attempt::FIRST,
        };
        self.broker.intrude(self.now, name);
    }

    /// A foreign hand takes a message out of the work queue.
    pub(crate) fn rob(&mut self) {
        let work = self.broker.works().find(|(_, work)| !work.is_foreign);
        let Some((at, name)) = work.map(|(at, work)| (at, work.name.clone())) else {
            return;
        };
        self.fault("robbed work");
        self.broker.is_touched = true;
        self.broker.rob(at);
        if let Some(entry) = self.broker.book.jobs.get_mut(&name.accepted) {
            entry.robbed.insert(name.attempt.get());
        }
        let at = name.numbers();
        let runs = self.workers.iter_mut();
        runs.filter_map(|worker| worker.runs.get_mut(&at))
            .for_each(|run| run.is_tainted = true);
    }
}
