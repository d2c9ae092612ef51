//! An outcome: what became of one attempt, as the ledger keeps it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::submission::{Parsed, WIRE_VERSION};

/// Longest text of an error's message that is kept, in bytes.
pub const ERROR_MESSAGE_LEN_MAX: usize = 2_048;

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The handler did its work.
    Completed,
    /// The handler failed; the job's policy says whether there is another attempt.
    Failed,
    /// Somebody asked to cancel it.
    Cancelled,
    /// It had not started when its time had passed; only the leader says so.
    Expired,
    /// It can never run; only the leader says so.
    Discarded,
}

/// Why an attempt failed, for people and for programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeError {
    /// A short stable code, such as `BR-CO-15`, `panic` or `timeout`.
    pub code: String,
    /// A sentence for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Another attempt would fail too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub permanent: bool,
}

/// The body of an outcome. An empty body is `completed` without a result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The version of this form.
    #[serde(default = "first_version")]
    pub v: u32,
    /// What became of the attempt.
    pub status: Status,
    /// What the handler returned.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub result: Value,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<OutcomeError>,
}

/// What the fold keeps of an outcome: all but the result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutcomeHead {
    /// What became of the attempt.
    pub status: Status,
    /// Why it failed.
    pub error: Option<OutcomeError>,
}

fn first_version() -> u32 {
    1
}

impl Outcome {
    /// The attempt did its work.
    #[must_use]
    pub const fn completed(result: Value) -> Self {
        Self {
            v: WIRE_VERSION,
            status: Status::Completed,
            result,
            error: None,
        }
    }

    /// The attempt ended in another way, for the reason given.
    #[must_use]
    pub fn ended(status: Status, error: OutcomeError) -> Self {
        Self {
            v: WIRE_VERSION,
            status,
            result: Value::Null,
            error: Some(error),
        }
    }

    /// The body of the record: empty where that says it all.
    #[must_use]
    pub fn to_body(&self) -> Vec<u8> {
        if self.status == Status::Completed && self.result.is_null() && self.error.is_none() {
            return Vec::new();
        }
        serde_json::to_vec(self).expect("an outcome of texts and JSON values is JSON")
    }

    /// Reads a body with its result, for who asked for it.
    ///
    /// # Errors
    /// It is not JSON of this form.
    pub fn parse(body: &[u8]) -> Result<Self, serde_json::Error> {
        if body.is_empty() {
            return Ok(Self::completed(Value::Null));
        }
        serde_json::from_slice(body)
    }
}

impl OutcomeError {
    /// An error that another attempt may not meet.
    #[must_use]
    pub fn new(code: &str, message: &str) -> Self {
        Self {
            code: code.to_owned(),
            message: clean(message),
            permanent: false,
        }
    }

    /// The same, but no further attempt is made.
    #[must_use]
    pub fn permanent(code: &str, message: &str) -> Self {
        Self {
            permanent: true,
            ..Self::new(code, message)
        }
    }
}

/// A message as it may be stored and shown: cut, and without control characters but line ends.
fn clean(message: &str) -> String {
    let mut out = String::with_capacity(message.len().min(ERROR_MESSAGE_LEN_MAX));
    for symbol in message.chars() {
        if out.len() + symbol.len_utf8() > ERROR_MESSAGE_LEN_MAX {
            break;
        }
        if symbol == '\n' || !symbol.is_control() {
            out.push(symbol);
        }
    }
    out
}

#[derive(Deserialize)]
struct Head {
    #[serde(default = "first_version")]
    v: u32,
    status: Option<String>,
    #[serde(default)]
    error: Option<OutcomeError>,
}

impl OutcomeHead {
    /// Reads what the fold needs. Total: a body that cannot be read is a failed attempt that says
    /// so, since the server will take no second outcome of it.
    #[must_use]
    pub fn parse(body: &[u8]) -> Parsed<Self> {
        if body.is_empty() {
            return Parsed::Known(Self {
                status: Status::Completed,
                error: None,
            });
        }
        let head: Head = match serde_json::from_slice(body) {
            Ok(head) => head,
            Err(error) => return Parsed::Known(Self::unreadable(&error.to_string())),
        };
        if head.v > WIRE_VERSION {
            return Parsed::Newer(head.v);
        }
        let status = match head.status.as_deref() {
            Some("completed") => Status::Completed,
            Some("failed") => Status::Failed,
            Some("cancelled") => Status::Cancelled,
            Some("expired") => Status::Expired,
            Some("discarded") => Status::Discarded,
            Some(_) => return Parsed::Known(Self::unreadable("its status is none that we know")),
            None => return Parsed::Known(Self::unreadable("it has no status")),
        };
        Parsed::Known(Self {
            status,
            error: head.error,
        })
    }

    fn unreadable(why: &str) -> Self {
        Self {
            status: Status::Failed,
            error: Some(OutcomeError::new(
                "unreadable-outcome",
                &format!(
                    "the worker's outcome could not be read: {why}; expected JSON such as {{\"v\":1,\"status\":\"completed\"}}, or an empty body"
                ),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Outcome, OutcomeError, OutcomeHead, Status};
    use crate::submission::Parsed;

    fn head(body: &[u8]) -> OutcomeHead {
        match OutcomeHead::parse(body) {
            Parsed::Known(head) => head,
            Parsed::Newer(version) => panic!("taken for version {version}"),
        }
    }

    #[test]
    fn an_empty_body_is_completed() {
        assert_eq!(head(b"").status, Status::Completed);
        assert!(Outcome::completed(json!(null)).to_body().is_empty());
        let parsed = Outcome::parse(b"").expect("it is completed");
        assert_eq!(parsed, Outcome::completed(json!(null)));
    }

    #[test]
    fn what_is_written_is_read_back() {
        let outcome = Outcome::ended(Status::Failed, OutcomeError::permanent("BR-CO-15", "sums"));
        let body = outcome.to_body();
        assert_eq!(head(&body).error, outcome.error);
        assert_eq!(Outcome::parse(&body).expect("it is read"), outcome);
        let outcome = Outcome::completed(json!({"net": "10.00"}));
        assert_eq!(
            Outcome::parse(&outcome.to_body()).expect("it is read"),
            outcome
        );
    }

    #[test]
    fn an_unreadable_outcome_is_a_failure_that_says_so() {
        for body in [
            "oops",
            "{}",
            r#"{"status":"great"}"#,
            "[1]",
            "{\"status\":1}",
            "\u{feff}{}",
        ] {
            let head = head(body.as_bytes());
            assert_eq!(head.status, Status::Failed, "{body}");
            assert_eq!(head.error.expect("a reason").code, "unreadable-outcome");
        }
        assert_eq!(OutcomeHead::parse(br#"{"v":2,"status":9}"#), {
            Parsed::Known(OutcomeHead::unreadable(
                "invalid type: integer `9`, expected a string at line 1 column 17",
            ))
        });
        assert_eq!(
            OutcomeHead::parse(br#"{"v":2,"status":"great"}"#),
            Parsed::Newer(2)
        );
    }

    #[test]
    fn a_message_is_cut_and_cleaned() {
        let error = OutcomeError::new("x", &"\u{1b}[31mé".repeat(2_000));
        assert!(error.message.len() <= super::ERROR_MESSAGE_LEN_MAX);
        assert!(!error.message.contains('\u{1b}'));
    }
}
