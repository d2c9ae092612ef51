//! How what exists on the broker differs from what should, and whether a promise hangs on it.
//!
//! It compares the server's own JSON, so that a setting that our client library does not know is
//! seen, too. It changes nothing.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

/// What a difference means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth a line in the log: an operator's choice, or more than was asked for.
    Harmless,
    /// A promise does not hold with it: do not run on it.
    Unsafe,
}

/// One field of one object that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// Which object, such as `stream JOBS`.
    pub object: String,
    /// The field, named as in the JSON of `nats stream info`.
    pub field: String,
    /// What it should be.
    pub wanted: String,
    /// What it is.
    pub found: String,
    /// What the difference means.
    pub severity: Severity,
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            object,
            field,
            wanted,
            found,
            ..
        } = self;
        write!(f, "{object}: {field} is {found}, should be {wanted}")
    }
}

/// What an object is for; the same field means more in one than in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Ledger,
    Work,
    LeaderBucket,
    WorkersBucket,
    Consumer,
}

/// One difference of a field, before it is put into words.
struct Difference<'a> {
    role: Role,
    field: &'a str,
    wanted: &'a Value,
    found: &'a Value,
}

/// With another value of these, records get lost, change, or are decided elsewhere, in any stream.
const UNSAFE_IN_STREAMS: [&str; 12] = [
    "allow_msg_counter",
    "max_msg_size",
    "max_msgs",
    "mirror",
    "no_ack",
    "persist_mode",
    "retention",
    "sealed",
    "sources",
    "storage",
    "subject_transform",
    "subjects",
];
/// With another value of these, a subject of the ledger or of the work queue opens again, a message
/// vanishes, or the fence cannot be written.
const UNSAFE_IN_LOGS: [&str; 9] = [
    "allow_atomic",
    "allow_msg_schedules",
    "allow_msg_ttl",
    "allow_rollup_hdrs",
    "discard",
    "discard_new_per_subject",
    "max_age",
    "max_msgs_per_subject",
    "subject_delete_marker_ttl",
];
/// With another value of these, a queue's work is not handed out as the workers expect it.
const UNSAFE_IN_CONSUMERS: [&str; 11] = [
    "ack_policy",
    "backoff",
    "deliver_group",
    "deliver_policy",
    "deliver_subject",
    "filter_subject",
    "filter_subjects",
    "headers_only",
    "max_deliver",
    "priority_groups",
    "priority_policy",
];
/// Spans in nanoseconds, shown as such.
const SPANS: [&str; 7] = [
    "ack_wait",
    "duplicate_window",
    "idle_heartbeat",
    "inactive_threshold",
    "max_age",
    "max_expires",
    "subject_delete_marker_ttl",
];

/// The JSON object of a configuration of ours.
pub(crate) fn json(config: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(config) {
        Ok(Value::Object(fields)) => fields,
        other => unreachable!("a configuration is a JSON object, not {other:?}"),
    }
}

/// All differences between what should be and what the server has. `closable` is the subject that
/// may be absent: the door's.
pub(crate) fn compare(
    role: Role,
    object: &str,
    wanted: &Map<String, Value>,
    found: &Map<String, Value>,
    closable: &str,
) -> Vec<Drift> {
    let fields: BTreeSet<&String> = wanted.keys().chain(found.keys()).collect();
    let mut all = Vec::new();
    for field in fields {
        let difference = Difference {
            role,
            field,
            wanted: wanted.get(field).unwrap_or(&Value::Null),
            found: found.get(field).unwrap_or(&Value::Null),
        };
        // Where a stream began is its past: a work queue that was made anew begins high.
        if field == "first_seq" {
            continue;
        }
        if field == "metadata" {
            all.extend(metadata(object, &difference));
        } else if let Some(severity) = difference.severity(closable) {
            all.push(Drift {
                object: object.to_owned(),
                field: field.clone(),
                wanted: shown(field, difference.wanted),
                found: shown(field, difference.found),
                severity,
            });
        }
    }
    all
}

/// Only keys of ours are compared: servers and operators add their own.
fn metadata(object: &str, difference: &Difference<'_>) -> Vec<Drift> {
    let Value::Object(wanted) = difference.wanted else {
        return Vec::new();
    };
    wanted
        .iter()
        .filter(|(key, value)| difference.found.get(key) != Some(value))
        .map(|(key, value)| Drift {
            object: object.to_owned(),
            field: format!("metadata.{key}"),
            wanted: shown(key, value),
            found: shown(key, difference.found.get(key).unwrap_or(&Value::Null)),
            severity: Severity::Harmless,
        })
        .collect()
}

impl Difference<'_> {
    /// What the difference means; none where the two say the same.
    fn severity(&self, closable: &str) -> Option<Severity> {
        if self.field == "subjects" {
            return self.subjects(closable);
        }
        if plain(self.wanted) == plain(self.found) {
            return None;
        }
        let listed = match self.role {
            Role::Ledger | Role::Work => {
                UNSAFE_IN_STREAMS.contains(&self.field) || UNSAFE_IN_LOGS.contains(&self.field)
            }
            Role::LeaderBucket | Role::WorkersBucket => UNSAFE_IN_STREAMS.contains(&self.field),
            Role::Consumer => UNSAFE_IN_CONSUMERS.contains(&self.field),
        };
        let is_unsafe = match (self.role, self.field) {
            // Fewer copies than the operator believes to have.
            (Role::Consumer, "num_replicas") => false,
            (_, "num_replicas") => number(self.found) < number(self.wanted),
            // A lease that is collected while its holder may still trust it; zero keeps it for ever.
            (Role::LeaderBucket, "max_age") => {
                (1..number(self.wanted)).contains(&number(self.found))
            }
            _ => listed,
        };
        Some(if is_unsafe {
            Severity::Unsafe
        } else {
            Severity::Harmless
        })
    }

    /// The order of subjects means nothing, and the door's may be absent.
    fn subjects(&self, closable: &str) -> Option<Severity> {
        let wanted = texts(self.wanted);
        let found = texts(self.found);
        let missing = wanted
            .iter()
            .any(|subject| !found.contains(subject) && *subject != closable);
        let more = found.iter().any(|subject| !wanted.contains(subject));
        match (missing, more, self.role) {
            (true, _, _) => Some(Severity::Unsafe),
            (false, false, _) => None,
            // A foreign record in the ledger is seen and left alone.
            (false, true, Role::Ledger) => Some(Severity::Harmless),
            (false, true, _) => Some(Severity::Unsafe),
        }
    }
}

fn texts(value: &Value) -> BTreeSet<&str> {
    let all = value.as_array().map_or(&[][..], Vec::as_slice);
    all.iter().filter_map(Value::as_str).collect()
}

/// Servers leave out or spell out defaults as they like; "no limit" is 0 or -1.
fn plain(value: &Value) -> &Value {
    let default = match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => matches!(number.as_i64(), Some(0 | -1)),
        Value::String(text) => matches!(text.as_str(), "" | "none" | "default"),
        Value::Array(values) => values.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    };
    if default { &Value::Null } else { value }
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

fn shown(field: &str, value: &Value) -> String {
    match plain(value) {
        Value::Null => "unset".to_owned(),
        Value::String(text) => format!("`{text}`"),
        Value::Number(number) if SPANS.contains(&field) => number.as_u64().map_or_else(
            || number.to_string(),
            |nanos| format!("{:?}", Duration::from_nanos(nanos)),
        ),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
