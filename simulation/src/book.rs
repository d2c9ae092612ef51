//! The truth about every job, kept beside the product's fold and without its code: what each record
//! means for its job, and what must never be recorded. It knows nothing of who is leader.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use protocol::job::{End, Request};
use protocol::number::{Accepted, Epoch, Sequence};
use protocol::outcome::{OutcomeHead, Status};
use protocol::subject::{AttemptName, JobName, LedgerSubject, Subjects, Verb};
use protocol::submission::Parsed;
use protocol::time::Timestamp;

use crate::count::{Broken, Counts};

/// Who writes into the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Author {
    /// A coordinator that leads, or thinks so.
    Leader,
    /// A worker that ran an attempt.
    Worker,
    /// Who submits, configures and asks.
    Person,
    /// Somebody who writes what no rule makes.
    Forger,
}

/// What a queue's configuration says, as far as it matters here.
#[derive(Debug, Clone, Default)]
pub(crate) struct Conf {
    pub(crate) revision: u64,
    pub(crate) max_attempts: u32,
    pub(crate) backoff_base_ms: u64,
    pub(crate) has_pointer: bool,
    pub(crate) max_outstanding: Option<u32>,
    pub(crate) lease_ms: u64,
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Unconfigured,
    Malformed,
    Parked,
    Open,
    Final(End),
}

/// A job.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) name: JobName,
    pub(crate) queue: String,
    pub(crate) stage: Stage,
    pub(crate) key: Option<String>,
    pub(crate) payload_key: Option<String>,
    own_max: Option<u32>,
    pub(crate) conf: Conf,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) last: u64,
    pub(crate) failures: u32,
    pub(crate) request: Option<(Request, Sequence)>,
    pub(crate) replayed: u64,
    pub(crate) due: Timestamp,
    pub(crate) outcomes: BTreeSet<u64>,
    /// What somebody wrote where the outcome of an attempt would stand that could not exist yet.
    forged: BTreeSet<u64>,
    pub(crate) dispatched: BTreeSet<u64>,
    pub(crate) ended: BTreeSet<u64>,
    /// A foreign hand took its message away.
    pub(crate) robbed: BTreeSet<u64>,
}

impl Entry {
    /// Nobody can record an outcome where a forged one stands.
    fn pass_over(&mut self) {
        while self.forged.remove(&(self.last + 1)) {
            self.last += 1;
        }
    }

    pub(crate) fn max_attempts(&self) -> u32 {
        self.own_max.unwrap_or(self.conf.max_attempts)
    }

    pub(crate) const fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Final(_) | Stage::Parked)
    }
}

/// A record as it is stored.
pub(crate) struct Written<'a> {
    pub(crate) sequence: Sequence,
    pub(crate) time: Timestamp,
    pub(crate) subject: &'a str,
    pub(crate) headers: &'a [(&'static str, String)],
    pub(crate) body: &'a [u8],
    pub(crate) author: Author,
}

/// All jobs.
#[derive(Debug, Default)]
pub(crate) struct Book {
    pub(crate) jobs: BTreeMap<Accepted, Entry>,
    ids: BTreeSet<String>,
    pub(crate) queues: BTreeMap<String, Conf>,
    pub(crate) epoch: Epoch,
    pub(crate) counts: Counts,
    pub(crate) broken: Option<Broken>,
    /// What happens, for who reads along.
    pub(crate) story: Option<Vec<String>>,
}

impl Book {
    pub(crate) fn breaks(&mut self, rule: &'static str, what: String) {
        self.broken.get_or_insert(Broken { rule, what });
    }

    /// Notes what happens, if somebody reads along.
    pub(crate) fn tell(&mut self, line: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            story.push(line());
        }
    }

    /// Takes a record that was just stored.
    pub(crate) fn record(&mut self, subjects: &Subjects, written: &Written<'_>) {
        self.counts.did("records");
        self.tell(|| {
            let Written {
                sequence, subject, ..
            } = written;
            format!("  {sequence} {subject} by {:?}", written.author)
        });
        match subjects.parse_ledger(written.subject) {
            LedgerSubject::Submit { queue, id } => self.submitted(written, queue, id),
            LedgerSubject::Outcome(name) => self.outcome(written, &name),
            LedgerSubject::Control { name, verb } => self.control(written, &name, verb),
            LedgerSubject::Config { queue, revision } => {
                self.configured(written, queue.as_str(), revision.get());
            }
            LedgerSubject::Epoch(epoch) => self.epoch = self.epoch.max(epoch),
            LedgerSubject::Unknown => {}
        }
    }

    fn submitted(&mut self, written: &Written<'_>, queue: &str, id: &str) {
        let accepted = Accepted::from(written.sequence);
        self.counts.did("jobs");
        if !self.ids.insert(written.subject.to_owned()) {
            self.breaks("accepted once", format!("{} again", written.subject));
        }
        let header = |name: &str| {
            let found = written.headers.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.as_str())
        };
        let time = |name| header(name).and_then(|text| Timestamp::parse_rfc3339(text).ok());
        let body: serde_json::Value = serde_json::from_slice(written.body).unwrap_or_default();
        let run_at = time("Jobs-Run-At");
        let mut entry = Entry {
            name: JobName::Named {
                queue: queue.parse().expect("the simulation names queues well"),
                id: protocol::id::JobId::from_encoded(id).expect("and jobs"),
            },
            queue: queue.to_owned(),
            stage: Stage::Unconfigured,
            key: header("Jobs-Key").map(str::to_owned),
            payload_key: body["k"].as_str().map(str::to_owned),
            own_max: header("Jobs-Max-Attempts").and_then(|text| text.parse().ok()),
            conf: Conf::default(),
            expires_at: time("Jobs-Expires-At"),
            last: 0,
            failures: 0,
            request: None,
            replayed: 0,
            due: run_at.map_or(written.time, |at| at.max(written.time)),
            outcomes: BTreeSet::new(),
            forged: BTreeSet::new(),
            dispatched: BTreeSet::new(),
            ended: BTreeSet::new(),
            robbed: BTreeSet::new(),
        };
        if header("Jobs-Version").is_some_and(|version| version != "1") {
            entry.stage = Stage::Parked;
        } else if header("Jobs-Priority").is_some_and(|text| text.parse::<u8>().is_err()) {
            entry.stage = Stage::Malformed;
        } else if let Some(conf) = self.queues.get(queue) {
            configure(&mut entry, conf);
        }
        self.jobs.insert(accepted, entry);
    }

    fn configured(&mut self, written: &Written<'_>, queue: &str, revision: u64) {
        let body: serde_json::Value = serde_json::from_slice(written.body).unwrap_or_default();
        let number = |name: &str| body[name].as_u64();
        let conf = Conf {
            revision,
            max_attempts: number("max_attempts").map_or(5, |n| u32::try_from(n).unwrap_or(5)),
            backoff_base_ms: number("backoff_base_ms").unwrap_or(1_000),
            has_pointer: !body["key_pointer"].is_null(),
            max_outstanding: number("max_outstanding").and_then(|n| u32::try_from(n).ok()),
            lease_ms: number("work_lease_ms").unwrap_or(30_000),
        };
        let known = self.queues.get(queue).map_or(0, |conf| conf.revision);
        if revision <= known {
            return;
        }
        if known == 0 {
            let waiting = self.jobs.values_mut();
            for entry in waiting.filter(|e| e.queue == queue && e.stage == Stage::Unconfigured) {
                configure(entry, &conf);
            }
        }
        self.queues.insert(queue.to_owned(), conf);
    }

    fn outcome(&mut self, written: &Written<'_>, name: &AttemptName) {
        self.counts.did("outcomes");
        let Some(mut entry) = self.jobs.remove(&name.accepted) else {
            return self.strange(written, name);
        };
        if entry.name == name.job {
            if let Err((rule, what)) = recorded(&mut entry, written, name) {
                self.breaks(rule, format!("{} {}: {what}", name.accepted, name.attempt));
            }
        } else {
            self.strange(written, name);
        }
        self.jobs.insert(name.accepted, entry);
    }

    fn strange(&mut self, written: &Written<'_>, name: &AttemptName) {
        if written.author != Author::Forger {
            self.breaks(
                "recorded in turn",
                format!(
                    "{:?} recorded an outcome of no job: {name:?}",
                    written.author
                ),
            );
        }
    }

    fn control(&mut self, written: &Written<'_>, name: &AttemptName, verb: Verb) {
        let Some(entry) = self.jobs.get_mut(&name.accepted) else {
            return;
        };
        if entry.name != name.job {
            return;
        }
        let on = name.attempt.get();
        let ask = |entry: &mut Entry, request| {
            entry.request.get_or_insert((request, written.sequence));
        };
        match (entry.stage, verb) {
            (Stage::Unconfigured, Verb::Cancel) => ask(entry, Request::Cancel),
            (Stage::Open, Verb::Cancel) if on >= entry.replayed => ask(entry, Request::Cancel),
            (Stage::Open, Verb::Expire) if on == entry.last => ask(entry, Request::Expire),
            (Stage::Open, Verb::Discard) if on == entry.last => ask(entry, Request::Discard),
            (Stage::Open, Verb::Retry) if on == entry.last && entry.due > written.time => {
                entry.due = written.time;
            }
            (Stage::Final(_), Verb::Replay) if on == entry.last && entry.conf.revision > 0 => {
                entry.stage = Stage::Open;
                entry.failures = 0;
                entry.due = written.time;
                entry.request = None;
                entry.replayed = entry.last;
                entry.pass_over();
            }
            _ => {}
        }
    }

    /// Whether an attempt has its outcome.
    pub(crate) fn has_outcome(&self, name: &AttemptName) -> bool {
        self.jobs
            .get(&name.accepted)
            .is_some_and(|entry| entry.outcomes.contains(&name.attempt.get()))
    }
}

fn configure(entry: &mut Entry, conf: &Conf) {
    entry.conf = conf.clone();
    entry.stage = Stage::Open;
    if entry.key.is_none() && conf.has_pointer {
        match &entry.payload_key {
            Some(key) => entry.key = Some(key.clone()),
            None => entry.stage = Stage::Malformed,
        }
    }
    if entry.stage == Stage::Malformed {
        entry.conf = Conf::default();
    }
}

/// What an outcome does to its job, and whether it may be there at all.
fn recorded(
    entry: &mut Entry,
    written: &Written<'_>,
    name: &AttemptName,
) -> Result<(), (&'static str, String)> {
    let attempt = name.attempt.get();
    let in_turn = match entry.stage {
        Stage::Open => attempt == entry.last + 1,
        Stage::Malformed | Stage::Unconfigured => attempt == 1,
        Stage::Parked | Stage::Final(_) => false,
    };
    if written.author == Author::Forger {
        if attempt > entry.last && entry.stage != Stage::Parked {
            entry.forged.insert(attempt);
        }
        return Ok(());
    }
    if !entry.outcomes.insert(attempt) {
        return Err(("recorded once", "a second outcome".to_owned()));
    }
    if !in_turn {
        let what = format!(
            "{:?} after {:?} a{}",
            written.author, entry.stage, entry.last
        );
        return Err(("recorded in turn", what));
    }
    if written.author == Author::Leader {
        entry.ended.insert(attempt);
        let is_robbed = entry.robbed.contains(&attempt);
        if entry.dispatched.contains(&attempt) && !is_robbed {
            return Err(("no ending of what is out", "a leader ended it".to_owned()));
        }
        if entry.request.is_none() && entry.stage != Stage::Malformed {
            return Err((
                "no ending without a request",
                "a leader ended it".to_owned(),
            ));
        }
    }
    let Parsed::Known(head) = OutcomeHead::parse(written.body) else {
        return Ok(());
    };
    entry.last = attempt;
    let end = match head.status {
        Status::Completed => End::Completed,
        Status::Cancelled => End::Cancelled,
        Status::Expired => End::Expired,
        Status::Discarded => End::Discarded,
        Status::Failed => {
            entry.failures += 1;
            let permanent = head.error.is_some_and(|error| error.permanent);
            let shift = (entry.failures - 1).min(20);
            let wait = Duration::from_millis(entry.conf.backoff_base_ms << shift);
            if entry.failures < entry.max_attempts() && !permanent && entry.stage == Stage::Open {
                entry.due = written.time.after(wait);
                entry.pass_over();
                return Ok(());
            }
            End::Discarded
        }
    };
    entry.stage = Stage::Final(end);
    Ok(())
}
