//! A submission: the headers a submitter may set, what they mean, and what a job is after its
//! queue's configuration filled the gaps.

use std::time::Duration;

use crate::config::QueueConfig;
use crate::id::{Key, Kind, NameError};
use crate::time::{Timestamp, TimestampError};

/// The version of the wire that this code writes and the newest that it reads.
pub const WIRE_VERSION: u32 = 1;

/// The names of our headers.
pub mod header {
    /// The version of the wire; absent is 1.
    pub const VERSION: &str = "Jobs-Version";
    /// Which handler runs the job; absent: what the queue's configuration says, else its name.
    pub const KIND: &str = "Jobs-Kind";
    /// What no other job of may run at the same time.
    pub const KEY: &str = "Jobs-Key";
    /// 0 (first) to 9; absent is 5.
    pub const PRIORITY: &str = "Jobs-Priority";
    /// Not before this time, RFC 3339.
    pub const RUN_AT: &str = "Jobs-Run-At";
    /// Not started after this time, RFC 3339.
    pub const EXPIRES_AT: &str = "Jobs-Expires-At";
    /// Longest run of one attempt, such as `30s`, `5m`, `1500ms` or `2h`.
    pub const TIMEOUT: &str = "Jobs-Timeout";
    /// How many attempts may fail, 1 to 1000.
    pub const MAX_ATTEMPTS: &str = "Jobs-Max-Attempts";
    /// The submitter's trace, carried to the worker as it came.
    pub const TRACEPARENT: &str = "traceparent";
    /// On work: the epoch of the leader that dispatched it.
    pub const EPOCH: &str = "Jobs-Epoch";

    /// Every header that a submission carries on to the work message.
    pub const CARRIED: [&str; 9] = [
        VERSION,
        KIND,
        KEY,
        PRIORITY,
        RUN_AT,
        EXPIRES_AT,
        TIMEOUT,
        MAX_ATTEMPTS,
        TRACEPARENT,
    ];
}

/// Most attempts that a job may ask for.
pub const ATTEMPTS_MAX: u32 = 1_000;
/// Longest time-out of an attempt that a job may ask for.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(7 * 24 * 3_600);

/// Which of its kind runs first: 0 before 9.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(u8);

impl Priority {
    /// Takes 0 (first) to 9.
    #[must_use]
    pub const fn new(value: u8) -> Option<Self> {
        if value <= 9 { Some(Self(value)) } else { None }
    }

    /// 0 (first) to 9.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self(5)
    }
}

/// What a submitter said beside the payload. `None` is "not said".
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Submission {
    /// Which handler runs it.
    pub kind: Option<Kind>,
    /// What it must not run beside.
    pub key: Option<Key>,
    /// Its place among others that are due.
    pub priority: Option<Priority>,
    /// Not before this time.
    pub run_at: Option<Timestamp>,
    /// Not started after this time.
    pub expires_at: Option<Timestamp>,
    /// Longest run of one attempt.
    pub timeout: Option<Duration>,
    /// How many attempts may fail.
    pub max_attempts: Option<u32>,
}

/// A submission that no coordinator can understand, and why. Such a job is discarded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmissionError {
    /// A header's value is none that it takes.
    #[error("header {header}: {why}")]
    Header {
        /// The header.
        header: &'static str,
        /// What is wrong, and what it takes.
        why: String,
    },
    /// The payload holds no kind or key where the queue's configuration points.
    #[error("payload: {why}")]
    Payload {
        /// What was looked for, where, and what was found.
        why: String,
    },
    /// The kind is not one that the queue takes.
    #[error("kind `{kind}` is not one of the queue's: {known}")]
    UnknownKind {
        /// The submission's kind.
        kind: Kind,
        /// The queue's kinds, separated by commas.
        known: String,
    },
    /// Times that exclude each other.
    #[error("it expires at {expires_at}, before it may run at {run_at}")]
    ExpiresBeforeRun {
        /// The expiry asked for.
        expires_at: Timestamp,
        /// The start asked for.
        run_at: Timestamp,
    },
}

/// What is asked of a job's version before anything else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed<T> {
    /// Understood.
    Known(T),
    /// Written by a newer version: parked and shown, never guessed at.
    Newer(u32),
}

impl Submission {
    /// Reads the headers, looked up by `get`.
    ///
    /// # Errors
    /// A header's value is none that it takes, or its times exclude each other.
    pub fn parse<'a>(
        get: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<Parsed<Self>, SubmissionError> {
        if let Some(text) = get(header::VERSION) {
            let version: u32 = text
                .parse()
                .map_err(|_| bad(header::VERSION, text, "a whole number, such as 1"))?;
            if version > WIRE_VERSION {
                return Ok(Parsed::Newer(version));
            }
        }
        let submission = Self {
            kind: named(header::KIND, get(header::KIND), Kind::new)?,
            key: named(header::KEY, get(header::KEY), Key::new)?,
            priority: get(header::PRIORITY).map(priority).transpose()?,
            run_at: time(header::RUN_AT, get(header::RUN_AT))?,
            expires_at: time(header::EXPIRES_AT, get(header::EXPIRES_AT))?,
            timeout: get(header::TIMEOUT).map(timeout).transpose()?,
            max_attempts: get(header::MAX_ATTEMPTS).map(max_attempts).transpose()?,
        };
        match (submission.expires_at, submission.run_at) {
            (Some(expires_at), Some(run_at)) if expires_at < run_at => {
                Err(SubmissionError::ExpiresBeforeRun { expires_at, run_at })
            }
            _ => Ok(Parsed::Known(submission)),
        }
    }

    /// The headers that say the same, for a writer.
    #[must_use]
    pub fn to_headers(&self) -> Vec<(&'static str, String)> {
        let mut out = vec![(header::VERSION, WIRE_VERSION.to_string())];
        let mut put = |name, value: Option<String>| {
            if let Some(value) = value {
                out.push((name, value));
            }
        };
        put(header::KIND, self.kind.as_ref().map(Kind::to_string));
        put(header::KEY, self.key.as_ref().map(Key::to_string));
        put(header::PRIORITY, self.priority.map(|p| p.get().to_string()));
        put(header::RUN_AT, self.run_at.map(|at| at.to_string()));
        put(header::EXPIRES_AT, self.expires_at.map(|at| at.to_string()));
        put(
            header::TIMEOUT,
            self.timeout.map(|span| format!("{}ms", span.as_millis())),
        );
        put(
            header::MAX_ATTEMPTS,
            self.max_attempts.map(|count| count.to_string()),
        );
        out
    }

    /// Whether a repeat with `other` asks for the same job: kind, key, priority and run-at. The
    /// payload is compared by the caller, byte for byte.
    #[must_use]
    pub fn is_same_job(&self, other: &Self) -> bool {
        self.kind == other.kind
            && (planted!(ContentIgnored)
                || (self.key == other.key
                    && self.priority.unwrap_or_default() == other.priority.unwrap_or_default()))
            && self.run_at == other.run_at
    }

    /// What the job is for life: its own words, and the queue's configuration for the rest.
    ///
    /// # Errors
    /// The configuration takes kind or key from a place where the payload holds none, or does not
    /// list the kind.
    pub fn resolve(
        &self,
        queue: &str,
        payload: &[u8],
        config: &QueueConfig,
    ) -> Result<JobSpec, SubmissionError> {
        let kind = match (&self.kind, &config.kind_pointer, &config.kind) {
            (Some(kind), ..) => kind.clone(),
            (None, Some(pointer), _) => {
                let text = pointed(payload, pointer, "kind")?;
                Kind::new(&text).map_err(|error| payload_error(&error))?
            }
            (None, None, Some(kind)) => kind.clone(),
            (None, None, None) => Kind::new(queue).map_err(|error| payload_error(&error))?,
        };
        if !config.kinds.is_empty() && !config.kinds.contains(&kind) {
            let known: Vec<&str> = config.kinds.iter().map(Kind::as_str).collect();
            return Err(SubmissionError::UnknownKind {
                kind,
                known: known.join(", "),
            });
        }
        let key = match (&self.key, &config.key_pointer) {
            (Some(key), _) => Some(key.clone()),
            (None, Some(pointer)) => {
                let text = pointed(payload, pointer, "key")?;
                Some(Key::new(&text).map_err(|error| payload_error(&error))?)
            }
            (None, None) => None,
        };
        Ok(JobSpec {
            kind,
            key,
            priority: self.priority.unwrap_or_default(),
            run_at: self.run_at,
            expires_at: self.expires_at,
            timeout: self.timeout.or(config.timeout()),
            max_attempts: self.max_attempts.unwrap_or(config.max_attempts),
        })
    }
}

/// What a job is for life, decided by its submission and the configuration at its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobSpec {
    /// Which handler runs it.
    pub kind: Kind,
    /// What it must not run beside.
    pub key: Option<Key>,
    /// Its place among others that are due.
    pub priority: Priority,
    /// Not before this time.
    pub run_at: Option<Timestamp>,
    /// Not started after this time.
    pub expires_at: Option<Timestamp>,
    /// Longest run of one attempt.
    pub timeout: Option<Duration>,
    /// How many attempts may fail.
    pub max_attempts: u32,
}

fn bad(header: &'static str, value: &str, expected: &str) -> SubmissionError {
    let cut: String = value.chars().take(48).collect();
    SubmissionError::Header {
        header,
        why: format!("{cut:?} is not {expected}"),
    }
}

fn named<T>(
    header: &'static str,
    value: Option<&str>,
    parse: impl Fn(&str) -> Result<T, NameError>,
) -> Result<Option<T>, SubmissionError> {
    value
        .map(|text| {
            parse(text).map_err(|error| SubmissionError::Header {
                header,
                why: error.to_string(),
            })
        })
        .transpose()
}

fn time(header: &'static str, value: Option<&str>) -> Result<Option<Timestamp>, SubmissionError> {
    value
        .map(|text| {
            Timestamp::parse_rfc3339(text).map_err(|error: TimestampError| {
                SubmissionError::Header {
                    header,
                    why: error.to_string(),
                }
            })
        })
        .transpose()
}

fn priority(text: &str) -> Result<Priority, SubmissionError> {
    let refuse = || bad(header::PRIORITY, text, "a priority: 0 (first) to 9");
    if text.len() != 1 {
        return Err(refuse());
    }
    text.parse().ok().and_then(Priority::new).ok_or_else(refuse)
}

fn max_attempts(text: &str) -> Result<u32, SubmissionError> {
    text.parse()
        .ok()
        .filter(|count| (1..=ATTEMPTS_MAX).contains(count))
        .ok_or_else(|| bad(header::MAX_ATTEMPTS, text, "a whole number, 1 to 1000"))
}

fn timeout(text: &str) -> Result<Duration, SubmissionError> {
    parse_span(text)
        .filter(|span| (Duration::from_millis(1)..=TIMEOUT_MAX).contains(span))
        .ok_or_else(|| {
            bad(
                header::TIMEOUT,
                text,
                "a time-out such as 1500ms, 30s, 5m or 2h, at most 168h",
            )
        })
}

/// Reads a whole number with a unit: `ms`, `s`, `m` or `h`.
#[must_use]
pub fn parse_span(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.checked_mul(millis).map(Duration::from_millis)
}

fn payload_error(error: &NameError) -> SubmissionError {
    SubmissionError::Payload {
        why: error.to_string(),
    }
}

/// The text (or whole number) at a JSON pointer of the payload.
fn pointed(payload: &[u8], pointer: &str, what: &str) -> Result<String, SubmissionError> {
    let refuse = |why: String| SubmissionError::Payload { why };
    let value: serde_json::Value = serde_json::from_slice(payload).map_err(|error| {
        refuse(format!(
            "the queue takes the {what} from {pointer}, but the payload is not JSON: {error}"
        ))
    })?;
    match value.pointer(pointer) {
        Some(serde_json::Value::String(text)) => Ok(text.clone()),
        Some(serde_json::Value::Number(number)) => Ok(number.to_string()),
        Some(_) => Err(refuse(format!(
            "the queue takes the {what} from {pointer}, which holds neither a text nor a number"
        ))),
        None => Err(refuse(format!(
            "the queue takes the {what} from {pointer}, which the payload does not have"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::{Parsed, Submission, SubmissionError};
    use crate::config::QueueConfig;

    fn parse(
        pairs: &[(&'static str, &'static str)],
    ) -> Result<Parsed<Submission>, SubmissionError> {
        let map: BTreeMap<&str, &str> = pairs.iter().copied().collect();
        Submission::parse(|name| map.get(name).copied())
    }

    fn known(pairs: &[(&'static str, &'static str)]) -> Submission {
        match parse(pairs) {
            Ok(Parsed::Known(submission)) => submission,
            other => panic!("expected a submission, got {other:?}"),
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let submission = known(&[
            ("Jobs-Kind", "invoice.check"),
            ("Jobs-Key", "DE"),
            ("Jobs-Priority", "0"),
            ("Jobs-Run-At", "2026-11-22T08:30:00Z"),
            ("Jobs-Expires-At", "2026-11-23T08:30:00Z"),
            ("Jobs-Timeout", "30s"),
            ("Jobs-Max-Attempts", "3"),
        ]);
        let headers = submission.to_headers();
        let map: BTreeMap<&str, &str> = headers.iter().map(|(k, v)| (*k, v.as_str())).collect();
        let again = Submission::parse(|name| map.get(name).copied());
        assert_eq!(again, Ok(Parsed::Known(submission)));
    }

    #[test]
    fn a_bad_header_is_named_with_what_it_takes() {
        for (name, value) in [
            ("Jobs-Version", "one"),
            ("Jobs-Kind", "a b"),
            ("Jobs-Key", ""),
            ("Jobs-Priority", "10"),
            ("Jobs-Priority", "-1"),
            ("Jobs-Priority", "05"),
            ("Jobs-Run-At", "tomorrow"),
            ("Jobs-Expires-At", "2026-02-30T00:00:00Z"),
            ("Jobs-Timeout", "0s"),
            ("Jobs-Timeout", "5 parsecs"),
            ("Jobs-Timeout", "99999999999999999999h"),
            ("Jobs-Max-Attempts", "0"),
            ("Jobs-Max-Attempts", "1001"),
        ] {
            let error = parse(&[(name, value)]).expect_err(value).to_string();
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn a_newer_version_is_not_guessed_at() {
        assert_eq!(
            parse(&[("Jobs-Version", "2"), ("Jobs-Priority", "urgent")]),
            Ok(Parsed::Newer(2))
        );
    }

    #[test]
    fn what_is_not_said_comes_from_the_queue() {
        let config = QueueConfig {
            key_pointer: Some("/market".into()),
            timeout_ms: Some(5_000),
            ..QueueConfig::default()
        };
        let spec = known(&[])
            .resolve("invoices", br#"{"market":"DE"}"#, &config)
            .expect("it resolves");
        assert_eq!(spec.kind.as_str(), "invoices");
        assert_eq!(spec.key.expect("a key").as_str(), "DE");
        assert_eq!(spec.timeout, Some(Duration::from_secs(5)));
        let error = known(&[]).resolve("invoices", b"{}", &config);
        assert!(
            error
                .expect_err("no market")
                .to_string()
                .contains("/market")
        );
        let error = known(&[]).resolve("invoices", b"<xml/>", &config);
        assert!(error.expect_err("no JSON").to_string().contains("not JSON"));
    }

    #[test]
    fn a_kind_that_the_queue_does_not_list_is_refused() {
        let config = QueueConfig {
            kinds: vec!["a".parse().unwrap()],
            ..QueueConfig::default()
        };
        let error = known(&[("Jobs-Kind", "b")]).resolve("q", b"", &config);
        assert!(matches!(error, Err(SubmissionError::UnknownKind { .. })));
    }
}
