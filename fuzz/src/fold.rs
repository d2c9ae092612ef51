//! The fold of the ledger under records in any order: it never panics, two folds agree, and an
//! outcome changes nothing about a job that has its end.

use protocol::id::Namespace;
use protocol::job::JobState;
use protocol::ledger::{Ledger, Record};
use protocol::number::{Accepted, Sequence};
use protocol::subject::{LedgerSubject, Subjects};
use protocol::time::Timestamp;

use crate::script::Script;

const STATUSES: [&str; 6] = [
    "completed",
    "failed",
    "cancelled",
    "expired",
    "discarded",
    "?",
];
const VERBS: [&str; 6] = ["cancel", "retry", "replay", "expire", "discard", "?"];
const CONFIGS: [&str; 6] = [
    "{}",
    r#"{"max_attempts":1}"#,
    r#"{"key_pointer":"/k","kind_pointer":"/t"}"#,
    r#"{"v":9}"#,
    r#"{"backoff_base_ms":1,"expires_after_ms":5}"#,
    "[",
];
const HEADERS: [(&str, &str); 12] = [
    ("Jobs-Key", "a"),
    ("Jobs-Key", "b"),
    ("Jobs-Kind", "k"),
    ("Jobs-Priority", "3"),
    ("Jobs-Priority", "x"),
    ("Jobs-Max-Attempts", "1"),
    ("Jobs-Run-At", "1970-01-01T00:00:09Z"),
    ("Jobs-Expires-At", "1970-01-01T00:00:05Z"),
    ("Jobs-Timeout", "1s"),
    ("Jobs-Version", "9"),
    ("Jobs-Version", "1"),
    ("", ""),
];

/// One record as the fuzzer chose it.
pub(crate) struct Written {
    pub(crate) subject: String,
    pub(crate) headers: [(&'static str, &'static str); 2],
    pub(crate) payload: Vec<u8>,
}

impl Written {
    pub(crate) fn choose(script: &mut Script<'_>) -> Self {
        let kind = script.below(8);
        let queue = script.pick(&["q", "r", "%", "q q"]);
        let id = script.pick(&["a", "b", "c", "d.e", "%20", "%41", "%", "a."]);
        let (job, attempt) = (script.number(), script.number());
        let subject = match kind {
            0..3 => format!("jobs.submit.{queue}.{id}"),
            3 | 4 => format!("jobs.outcome.{queue}.{job}.{attempt}.{id}"),
            5 => {
                let verb = script.pick(&VERBS);
                format!("jobs.control.{queue}.{job}.{attempt}.{verb}.{id}")
            }
            6 => format!("jobs.config.{queue}.{job}"),
            _ => match script.below(2) {
                0 => format!("jobs.epoch.{job}"),
                _ => String::from_utf8_lossy(script.bytes()).into_owned(),
            },
        };
        let payload = match (kind, script.below(4)) {
            (_, 3) => script.bytes().to_vec(),
            (3 | 4, choice) => {
                let status = script.pick(&STATUSES);
                let error = match choice {
                    0 => "",
                    1 => r#","error":{"code":"c","message":"m"}"#,
                    _ => r#","error":{"code":"c","message":"m","permanent":true}"#,
                };
                format!(r#"{{"v":1,"status":"{status}"{error}}}"#).into_bytes()
            }
            (6, _) => script.pick(&CONFIGS).as_bytes().to_vec(),
            (_, 0) => Vec::new(),
            (_, 1) => br#"{"k":"a","t":"k"}"#.to_vec(),
            (_, _) => br#"{"v":1,"fold":1,"holder":"h","incarnation":"i"}"#.to_vec(),
        };
        let headers = [script.pick(&HEADERS), script.pick(&HEADERS)];
        Self {
            subject,
            headers,
            payload,
        }
    }

    pub(crate) fn barrier(epoch: u64) -> Self {
        Self {
            subject: format!("jobs.epoch.{epoch}"),
            headers: [("", ""); 2],
            payload: br#"{"v":1,"fold":1,"holder":"h","incarnation":"i"}"#.to_vec(),
        }
    }

    pub(crate) fn with<T>(
        &self,
        sequence: u64,
        time: u64,
        then: impl for<'a> FnOnce(&'a Record<'a>) -> T,
    ) -> T {
        let header = |name: &str| {
            let found = self.headers.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| *value)
        };
        then(&Record {
            sequence: Sequence::new(sequence),
            time: Timestamp::from_millis(time),
            subject: &self.subject,
            header: &header,
            payload: &self.payload,
        })
    }
}

fn jobs(ledger: &Ledger) -> String {
    format!("{:?}", ledger.jobs().collect::<Vec<_>>())
}

/// Records in any order.
pub fn fold(data: &[u8]) {
    let subjects = Subjects::new(Namespace::default());
    let mut script = Script::new(data);
    let (mut ledger, mut other) = (Ledger::default(), Ledger::default());
    let (mut sequence, mut time) = (0, 0);
    while !script.is_over() && sequence < 400 {
        sequence += 1 + u64::from(script.below(8) / 7);
        time += u64::from(script.byte());
        let written = Written::choose(&mut script);
        let about = match subjects.parse_ledger(&written.subject) {
            LedgerSubject::Outcome(name) => {
                ledger.job(name.accepted).cloned().map(|job| (name, job))
            }
            _ => None,
        };
        written.with(sequence, time, |record| ledger.fold(&subjects, record));
        written.with(sequence, time, |record| other.fold(&subjects, record));
        if let Some((name, before)) = about
            && matches!(before.state, JobState::Final(_))
        {
            let after = ledger.job(name.accepted).map(|job| &job.state);
            assert_eq!(
                after,
                Some(&before.state),
                "an outcome after the end counted"
            );
        }
        if script.below(8) == 7 {
            let accepted = Accepted::new(script.number());
            let payload = script.bytes();
            ledger.resolve(accepted, payload);
            other.resolve(accepted, payload);
        }
    }
    assert_eq!(jobs(&ledger), jobs(&other));
    assert!(ledger.last_sequence().get() <= sequence);
}
