//! Decoders: what they take they write back the same, and what they refuse they refuse with a text
//! that is safe to show.

use std::collections::HashMap;

use protocol::answer::Answer;
use protocol::config::QueueConfig;
use protocol::id::{JobId, Key, Kind, Namespace, QueueName, WorkerId};
use protocol::leadership::LeaseRecord;
use protocol::message::{ControlBody, EpochBody, Presence, WorkerSays, WorkerTold};
use protocol::number::{Accepted, Attempt, Epoch, Revision, Sequence};
use protocol::outcome::{Outcome, OutcomeHead};
use protocol::subject::{LedgerSubject, Subjects, WorkSubject};
use protocol::submission::{Parsed, Submission, parse_span};
use protocol::time::Timestamp;

fn is_safe(shown: &impl std::fmt::Display) {
    let shown = shown.to_string();
    assert!(!shown.contains(char::is_control), "{shown:?}");
    assert!(shown.len() < 2_000, "{} bytes", shown.len());
}

/// Ids, names, numbers and times.
pub fn names(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match JobId::from_raw(text) {
        Ok(id) => {
            assert_eq!(id.to_raw(), text);
            assert_eq!(JobId::from_encoded(id.as_encoded()), Ok(id));
        }
        Err(error) => is_safe(&error),
    }
    match JobId::from_encoded(text) {
        Ok(id) => {
            let subject_safe = |c: char| c.is_whitespace() || c.is_control() || "*>".contains(c);
            assert!(!text.contains(subject_safe), "{text:?}");
            assert!(text.split('.').all(|token| !token.is_empty()), "{text:?}");
            assert_eq!(JobId::from_raw(&id.to_raw()), Ok(id));
        }
        Err(error) => is_safe(&error),
    }
    macro_rules! name {
        ($($name:ty)*) => {$(
            match text.parse::<$name>() {
                Ok(name) => assert_eq!(name.to_string(), text),
                Err(error) => is_safe(&error),
            }
        )*};
    }
    name!(QueueName WorkerId Kind Key Namespace);
    macro_rules! canonical {
        ($($name:ty)*) => {$(
            if let Ok(number) = text.parse::<$name>() {
                assert_eq!(number.get().to_string(), text);
            }
        )*};
    }
    canonical!(Accepted Attempt Epoch Revision Sequence);
    match Timestamp::parse_rfc3339(text) {
        Ok(time) => assert_eq!(Timestamp::parse_rfc3339(&time.to_string()), Ok(time)),
        Err(error) => assert!(error.to_string().len() < 2_000),
    }
    if let Some(span) = parse_span(text) {
        assert_eq!(parse_span(&format!("{}ms", span.as_millis())), Some(span));
    }
}

/// Subjects of the ledger, of the work queue and of the front door.
pub fn subjects(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let subjects = Subjects::new(Namespace::default());
    match subjects.parse_ledger(text) {
        LedgerSubject::Submit { queue, id } => {
            assert_eq!(format!("jobs.submit.{queue}.{id}"), text);
        }
        LedgerSubject::Outcome(name) => assert_eq!(subjects.outcome(&name), text),
        LedgerSubject::Control { name, verb } => assert_eq!(subjects.control(&name, verb), text),
        LedgerSubject::Config { queue, revision } => {
            assert_eq!(subjects.config(&queue, revision), text);
        }
        LedgerSubject::Epoch(epoch) => assert_eq!(subjects.epoch(epoch), text),
        LedgerSubject::Unknown => {}
    }
    match subjects.parse_work(text) {
        WorkSubject::Work(name) => assert_eq!(subjects.work(&name), text),
        WorkSubject::Fence { epoch, place } => assert_eq!(subjects.fence(epoch, place), text),
        WorkSubject::Unknown => {}
    }
    if let Some((verb, queue, id)) = subjects.parse_api(text) {
        assert_eq!(format!("jobs.api.{verb}.{queue}.{id}"), text);
    }
}

/// Bodies of records and messages.
pub fn bodies(data: &[u8]) {
    if let Ok(outcome) = Outcome::parse(data) {
        assert_eq!(Outcome::parse(&outcome.to_body()).ok(), Some(outcome));
    }
    let head = OutcomeHead::parse(data);
    assert_eq!(head, OutcomeHead::parse(data));
    match QueueConfig::parse(data) {
        Ok(config) => {
            assert!(config.validate().is_ok());
            assert_eq!(QueueConfig::parse(&config.to_json()), Ok(config));
        }
        Err(error) => drop(error.to_string()),
    }
    if let Ok(record) = LeaseRecord::parse(data) {
        assert_eq!(LeaseRecord::parse(&record.encode()), Ok(record));
    }
    drop(ControlBody::parse(data));
    let versions = EpochBody::versions(data);
    if let Some(body) = EpochBody::parse(data) {
        assert_eq!((body.v, body.fold), versions);
    }
    macro_rules! json {
        ($($name:ty)*) => {$(
            if let Ok(value) = serde_json::from_slice::<$name>(data) {
                let text = serde_json::to_vec(&value).expect("it was JSON");
                assert_eq!(serde_json::from_slice::<$name>(&text).ok(), Some(value));
            }
        )*};
    }
    json!(WorkerSays WorkerTold Presence);
}

/// The headers of a submission: lines of name and value, then a payload after an empty line.
pub fn submission(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (head, payload) = text.split_once("\n\n").unwrap_or((text, ""));
    let headers: HashMap<&str, &str> = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .collect();
    let parsed = match Submission::parse(|name| headers.get(name).copied()) {
        Ok(Parsed::Known(parsed)) => parsed,
        Ok(Parsed::Newer(_)) => return,
        Err(error) => return drop(error.to_string()),
    };
    let written: HashMap<&str, String> = parsed.to_headers().into_iter().collect();
    let again = Submission::parse(|name| written.get(name).map(String::as_str));
    assert_eq!(again, Ok(Parsed::Known(parsed.clone())));
    assert!(parsed.is_same_job(&parsed));
    for config in [
        &b"{}"[..],
        br#"{"key_pointer":"/k","kind_pointer":"/t"}"#,
        br#"{"kinds":["a","b"]}"#,
    ] {
        if let Ok(config) = QueueConfig::parse(config) {
            drop(parsed.resolve("q", payload.as_bytes(), &config));
        }
    }
}

/// What a server answers to a write.
pub fn answer(data: &[u8]) {
    let answer = Answer::parse(data);
    if let Answer::Stored(sequence) = answer {
        assert!(sequence.get() > 0);
        assert!(!answer.needs_reading());
    }
    // Nothing but a sequence of the server's means success.
    if std::str::from_utf8(data).is_ok_and(|text| !text.contains("seq")) {
        assert!(!matches!(answer, Answer::Stored(_)), "{answer:?}");
    }
}
