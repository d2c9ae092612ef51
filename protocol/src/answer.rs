//! What a broker's answer to a write means. One table for all: coordinator, worker, client, tests.
//!
//! No error code means success. A write without an answer, or refused on a repeat, is decided by
//! reading the record back.

use serde::Deserialize;

use crate::number::Sequence;

/// What is known of one write after its answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Answer {
    /// It is stored at this sequence.
    Stored(Sequence),
    /// The server holds a message with this message id: not acceptance of ours. Read back.
    Duplicate(Sequence),
    /// 10077 by subject: a record stands on the subject. Refused for good; read back whose it is.
    Occupied,
    /// 10071: another sequence than the expected one is the last. Refused.
    WrongLast,
    /// No room by bytes or messages, in the stream, the account or the server. Refused, for now.
    Full(String),
    /// A write to the same subject or batch room is under way. Refused; the same write may be
    /// repeated.
    Busy,
    /// Nobody answers on the subject: an election, a missing stream, or a closed door. This write
    /// is not stored; earlier ones of the same record stay unknown.
    NoResponders,
    /// No answer in time. It may be stored, now or later.
    Unanswered,
    /// Refused for a reason that a repeat does not cure.
    Refused {
        /// The server's code, 0 where there is none.
        code: u64,
        /// The server's words.
        text: String,
    },
}

#[derive(Deserialize)]
struct Ack<'a> {
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    duplicate: bool,
    #[serde(borrow)]
    error: Option<AckError<'a>>,
}

#[derive(Deserialize)]
struct AckError<'a> {
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    code: u64,
    #[serde(default, borrow)]
    description: std::borrow::Cow<'a, str>,
}

impl Answer {
    /// Reads the payload of a publish ack. Total: what cannot be read decides nothing.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Self {
        let Ok(ack) = serde_json::from_slice::<Ack<'_>>(payload) else {
            return Self::Unanswered;
        };
        match ack.error {
            Some(error) => Self::from_code(error.err_code, error.code, &error.description),
            None if ack.duplicate => Self::Duplicate(Sequence::new(ack.seq)),
            None if ack.seq > 0 => Self::Stored(Sequence::new(ack.seq)),
            None => Self::Unanswered,
        }
    }

    /// What an error code of the server means for the write that it answers.
    #[must_use]
    pub fn from_code(err_code: u64, http_code: u64, text: &str) -> Self {
        match err_code {
            10_071 => Self::WrongLast,
            // One code for two things; only the text tells them apart.
            10_077 if text.contains("per subject") => Self::Occupied,
            10_077 if text.contains("maximum") => Self::Full(text.to_owned()),
            10_023 | 10_047 | 10_054 | 10_122 => Self::Full(text.to_owned()),
            10_158 | 10_164 | 10_167 | 10_176 | 10_210 => Self::Busy,
            // Other failures of the store decide nothing about this write.
            10_077 => Self::Unanswered,
            0 if http_code == 503 => Self::NoResponders,
            code => Self::Refused {
                code,
                text: text.to_owned(),
            },
        }
    }

    /// Whether the record on the subject must be read to know what became of this write.
    #[must_use]
    pub const fn needs_reading(&self) -> bool {
        match self {
            Self::Duplicate(_) | Self::Occupied | Self::WrongLast | Self::Unanswered => true,
            Self::Stored(_) | Self::Full(_) | Self::Busy | Self::NoResponders => false,
            Self::Refused { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Answer;
    use crate::number::Sequence;

    fn error(err_code: u64, text: &str) -> Answer {
        let body = format!(
            r#"{{"error":{{"code":400,"err_code":{err_code},"description":"{text}"}},"stream":"JOBS","seq":0}}"#
        );
        Answer::parse(body.as_bytes())
    }

    #[test]
    fn the_words_of_the_server_are_told_apart() {
        let stored = Answer::parse(br#"{"stream":"JOBS","seq":7}"#);
        assert_eq!(stored, Answer::Stored(Sequence::new(7)));
        let duplicate = Answer::parse(br#"{"stream":"JOBS","seq":7,"duplicate":true}"#);
        assert_eq!(duplicate, Answer::Duplicate(Sequence::new(7)));
        assert_eq!(
            error(10_077, "maximum messages per subject exceeded"),
            Answer::Occupied
        );
        assert_eq!(
            error(10_077, "maximum bytes exceeded"),
            Answer::Full("maximum bytes exceeded".into())
        );
        assert_eq!(error(10_071, "wrong last sequence: 9"), Answer::WrongLast);
        assert_eq!(error(10_164, "wrong last sequence"), Answer::Busy);
        assert_eq!(error(10_077, "write error: disk"), Answer::Unanswered);
        assert!(matches!(
            error(10_060, "expected stream does not match"),
            Answer::Refused { .. }
        ));
    }

    #[test]
    fn each_code_of_the_table_means_one_thing() {
        for code in [10_023, 10_047, 10_054, 10_122] {
            assert_eq!(error(code, "no room"), Answer::Full("no room".into()));
        }
        for code in [10_158, 10_164, 10_167, 10_176, 10_210] {
            assert_eq!(error(code, "maximum per subject"), Answer::Busy, "{code}");
        }
        let refused = |code, text: &str| Answer::Refused {
            code,
            text: text.into(),
        };
        assert_eq!(error(10_060, "no"), refused(10_060, "no"));
        assert_eq!(error(0, "bad request"), refused(0, "bad request"));
        assert_eq!(Answer::from_code(0, 503, ""), Answer::NoResponders);
        assert_eq!(Answer::from_code(10_060, 503, ""), refused(10_060, ""));
    }

    #[test]
    fn what_may_be_there_is_read_back() {
        let refused = Answer::Refused {
            code: 10_060,
            text: String::new(),
        };
        let sequence = Sequence::new(7);
        for (answer, reads) in [
            (Answer::Stored(sequence), false),
            (Answer::Duplicate(sequence), true),
            (Answer::Occupied, true),
            (Answer::WrongLast, true),
            (Answer::Full(String::new()), false),
            (Answer::Busy, false),
            (Answer::NoResponders, false),
            (Answer::Unanswered, true),
            (refused, false),
        ] {
            assert_eq!(answer.needs_reading(), reads, "{answer:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_decides_nothing() {
        for payload in ["", "ok", "{}", r#"{"seq":0}"#, r#"{"seq":"7"}"#, "[]"] {
            assert_eq!(
                Answer::parse(payload.as_bytes()),
                Answer::Unanswered,
                "{payload}"
            );
        }
    }
}
