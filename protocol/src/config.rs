//! A queue's configuration: a record of the ledger, so that all coordinators decide alike.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::Kind;
use crate::submission::{ATTEMPTS_MAX, TIMEOUT_MAX, WIRE_VERSION};

/// What holds for a queue's jobs. Kind, key, attempts, backoff and time-out hold by place: a job
/// keeps what was in force where its submission stands. The rest holds in its newest version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueueConfig {
    /// The version of this record's form.
    pub v: u32,
    /// The kinds that the queue takes; empty takes any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<Kind>,
    /// The kind of a job that names none; absent: the queue's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// Where a JSON payload holds the kind, as a JSON pointer such as `/type`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind_pointer: Option<String>,
    /// Where a JSON payload holds the key, as a JSON pointer such as `/market`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_pointer: Option<String>,
    /// How many attempts may fail before the job is discarded, 1 to 1000.
    pub max_attempts: u32,
    /// The delay before the second attempt, in milliseconds; it doubles with each.
    pub backoff_base_ms: u64,
    /// The longest delay between two attempts, in milliseconds.
    pub backoff_max_ms: u64,
    /// Longest run of one attempt, in milliseconds; absent: as long as the lease is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// How long a worker may be silent about an attempt before it is handed out again, in
    /// milliseconds: the consumer's ack wait.
    pub work_lease_ms: u64,
    /// How long after a worker went missing its jobs without a key are handed on, in
    /// milliseconds; absent: only when the lease ends.
    pub rescue_ms: Option<u64>,
    /// The same for jobs with a key: longer than a worker that lost the broker goes on running.
    pub rescue_keyed_ms: Option<u64>,
    /// Most jobs of the queue outstanding at a time; absent: as many as there is room for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_outstanding: Option<u32>,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            v: WIRE_VERSION,
            kinds: Vec::new(),
            kind: None,
            kind_pointer: None,
            key_pointer: None,
            max_attempts: 5,
            backoff_base_ms: 1_000,
            backoff_max_ms: 600_000,
            timeout_ms: None,
            work_lease_ms: 30_000,
            rescue_ms: Some(300),
            rescue_keyed_ms: Some(2_500),
            max_outstanding: None,
        }
    }
}

/// Longest work lease.
const LEASE_MS_MAX: u64 = 24 * 3_600_000;
/// Shortest work lease: three progress acks fit even when the broker is slow.
const LEASE_MS_MIN: u64 = 1_000;
/// An SDK worker that lost the broker cancels its keyed handlers after 1 s; a rescue sooner than
/// that plus slack could run two jobs of one key.
const RESCUE_KEYED_MS_MIN: u64 = 1_500;
/// Longest delay between two attempts.
const BACKOFF_MS_MAX: u64 = 7 * 24 * 3_600_000;

/// A queue's configuration was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Written by a newer version.
    #[error("it has version {0}, which this version does not know; upgrade the coordinators first")]
    Newer(u32),
    /// It is not JSON of this form.
    #[error("it is not a queue configuration: {0}")]
    Form(String),
    /// A value, or a relation between two, is out of bounds.
    #[error("{field} is {value}: {rule}")]
    Rule {
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
        /// What it must keep to.
        rule: &'static str,
    },
}

#[derive(Deserialize)]
struct Version {
    #[serde(default)]
    v: u32,
}

impl QueueConfig {
    /// Reads and checks a configuration record.
    ///
    /// # Errors
    /// It is of a newer version, of another form, or breaks a rule.
    pub fn parse(body: &[u8]) -> Result<Self, ConfigError> {
        let form = |error: serde_json::Error| ConfigError::Form(error.to_string());
        let version: Version = serde_json::from_slice(body).map_err(form)?;
        if version.v > WIRE_VERSION {
            return Err(ConfigError::Newer(version.v));
        }
        let config: Self = serde_json::from_slice(body).map_err(form)?;
        config.validate()?;
        Ok(config)
    }

    /// The record's body.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a configuration of texts and numbers is JSON")
    }

    /// Longest run of one attempt.
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout_ms.map(Duration::from_millis)
    }

    /// Checks every value and relation.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let check = |ok: bool, field, value: String, rule| {
            if ok {
                Ok(())
            } else {
                Err(ConfigError::Rule { field, value, rule })
            }
        };
        check(
            (1..=ATTEMPTS_MAX).contains(&self.max_attempts),
            "max_attempts",
            self.max_attempts.to_string(),
            "it must be 1 to 1000",
        )?;
        check(
            (1..=BACKOFF_MS_MAX).contains(&self.backoff_base_ms),
            "backoff_base_ms",
            self.backoff_base_ms.to_string(),
            "it must be 1 ms to 7 days",
        )?;
        check(
            (self.backoff_base_ms..=BACKOFF_MS_MAX).contains(&self.backoff_max_ms),
            "backoff_max_ms",
            self.backoff_max_ms.to_string(),
            "it must be at least backoff_base_ms and at most 7 days",
        )?;
        let timeout_max = u64::try_from(TIMEOUT_MAX.as_millis()).unwrap_or(u64::MAX);
        check(
            self.timeout_ms
                .is_none_or(|ms| (1..=timeout_max).contains(&ms)),
            "timeout_ms",
            shown(self.timeout_ms),
            "it must be 1 ms to 7 days",
        )?;
        check(
            (LEASE_MS_MIN..=LEASE_MS_MAX).contains(&self.work_lease_ms),
            "work_lease_ms",
            self.work_lease_ms.to_string(),
            "it must be 1 s to 24 h",
        )?;
        check(
            self.rescue_keyed_ms
                .is_none_or(|ms| ms >= RESCUE_KEYED_MS_MIN),
            "rescue_keyed_ms",
            shown(self.rescue_keyed_ms),
            "it must be at least 1500 ms (a worker that lost the broker stops its keyed handlers after 1 s), or null for the lease only",
        )?;
        check(
            self.max_outstanding != Some(0),
            "max_outstanding",
            shown(self.max_outstanding),
            "it must be at least 1, or absent",
        )?;
        for (field, pointer) in [
            ("kind_pointer", &self.kind_pointer),
            ("key_pointer", &self.key_pointer),
        ] {
            check(
                pointer.as_ref().is_none_or(|text| text.starts_with('/')),
                field,
                pointer.clone().unwrap_or_default(),
                "a JSON pointer starts with `/`, such as /market",
            )?;
        }
        Ok(())
    }
}

fn shown(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "absent".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::{ConfigError, QueueConfig};

    #[test]
    fn what_is_written_is_read_back() {
        let config = QueueConfig {
            key_pointer: Some("/market".into()),
            kinds: vec!["invoice.check".parse().unwrap()],
            ..QueueConfig::default()
        };
        assert_eq!(QueueConfig::parse(&config.to_json()), Ok(config));
        assert_eq!(QueueConfig::parse(b"{}"), Ok(QueueConfig::default()));
    }

    #[test]
    fn an_unknown_key_is_named() {
        let error = QueueConfig::parse(br#"{"v":1,"max_atempts":3}"#).expect_err("a typo");
        assert!(error.to_string().contains("max_atempts"), "{error}");
    }

    #[test]
    fn a_newer_version_is_told_from_a_bad_one() {
        let newer = QueueConfig::parse(br#"{"v":2,"speed":"high"}"#);
        assert_eq!(newer, Err(ConfigError::Newer(2)));
    }

    #[test]
    fn impossible_values_are_named() {
        for (body, field) in [
            (r#"{"max_attempts":0}"#, "max_attempts"),
            (r#"{"backoff_base_ms":0}"#, "backoff_base_ms"),
            (
                r#"{"backoff_base_ms":5000,"backoff_max_ms":100}"#,
                "backoff_max_ms",
            ),
            (r#"{"timeout_ms":0}"#, "timeout_ms"),
            (r#"{"work_lease_ms":10}"#, "work_lease_ms"),
            (r#"{"rescue_keyed_ms":300}"#, "rescue_keyed_ms"),
            (r#"{"max_outstanding":0}"#, "max_outstanding"),
            (r#"{"key_pointer":"market"}"#, "key_pointer"),
        ] {
            let error = QueueConfig::parse(body.as_bytes())
                .expect_err(body)
                .to_string();
            assert!(error.contains(field), "{body}: {error}");
        }
    }
}
