//! Names that come from outside, each parsed once and written in one way: job ids, queues, kinds,
//! keys, workers, groups, singletons, calls, the namespace.
//!
//! A value of a type in this file is valid, so nobody checks it again; and no other file encodes.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Most bytes of a job id in its encoded form.
pub const ID_LEN_MAX: usize = 256;
/// Most bytes of a queue's or a worker's name.
pub const NAME_LEN_MAX: usize = 64;
/// Most bytes of a kind.
pub const KIND_LEN_MAX: usize = 128;
/// Most bytes of a key.
pub const KEY_LEN_MAX: usize = 256;
/// Most bytes of the id of a call.
pub const CALL_ID_LEN_MAX: usize = 128;
/// Most bytes of a namespace.
pub const NAMESPACE_LEN_MAX: usize = 32;

/// A name was refused, and why. Nothing was stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {shown} refused: {why}")]
pub struct NameError {
    what: &'static str,
    shown: String,
    why: &'static str,
}

impl NameError {
    fn new(what: &'static str, text: &str, why: &'static str) -> Self {
        Self {
            what,
            shown: shown(text),
            why,
        }
    }
}

/// A text from outside as it may stand in a message: quoted, escaped, cut.
fn shown(text: &str) -> String {
    let cut: String = text.chars().take(48).collect();
    let dots = if cut.len() < text.len() { "…" } else { "" };
    format!("{cut:?}{dots}")
}

/// What a submitter calls the job. Accepted once for each queue for as long as the ledger keeps it.
///
/// Its identity is the encoded form, which may stand in a subject: characters that a subject cannot
/// hold are percent-encoded in one canonical way, so two texts never name one id. Dots stay (an id
/// may span tokens); only a leading, trailing or doubled dot is written `%2E`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(Box<str>);

impl JobId {
    /// Encodes what the submitter calls the job.
    ///
    /// # Errors
    /// The id is empty or its encoded form exceeds [`ID_LEN_MAX`].
    pub fn from_raw(raw: &str) -> Result<Self, NameError> {
        if raw.is_empty() {
            return Err(NameError::new(
                "job id",
                raw,
                "it is empty; give each job an id",
            ));
        }
        // A longer one cannot fit: encoding never shortens.
        if raw.len() > ID_LEN_MAX {
            return Err(too_long(raw));
        }
        let encoded = encode(raw);
        if encoded.len() > ID_LEN_MAX {
            return Err(too_long(raw));
        }
        Ok(Self(encoded.into_boxed_str()))
    }

    /// Takes an id as it stands in a subject.
    ///
    /// # Errors
    /// It is empty, too long, or not in the one canonical form (such as `%41` for `A`, lower-case
    /// hex, a stray `%`, an empty token).
    pub fn from_encoded(encoded: &str) -> Result<Self, NameError> {
        let refuse = |why| Err(NameError::new("job id", encoded, why));
        if encoded.is_empty() {
            return refuse("it is empty; the subject ends with the job's id");
        }
        if encoded.len() > ID_LEN_MAX {
            return Err(too_long(encoded));
        }
        let canonical =
            is_plain(encoded) || decode(encoded).is_some_and(|raw| encode(&raw) == encoded);
        if !canonical {
            return refuse(
                "it is not in the canonical encoded form: percent-encode only what a subject cannot hold (space, control characters, `*`, `>`, `%`, a leading, trailing or doubled dot), in upper-case hex",
            );
        }
        Ok(Self(encoded.into()))
    }

    /// The form that stands in subjects.
    #[must_use]
    pub fn as_encoded(&self) -> &str {
        &self.0
    }

    /// What the submitter called the job.
    #[must_use]
    pub fn to_raw(&self) -> String {
        decode(&self.0).unwrap_or_else(|| self.0.to_string())
    }
}

fn too_long(text: &str) -> NameError {
    NameError::new(
        "job id",
        text,
        "it is longer than 256 bytes in its encoded form; hash it or shorten it",
    )
}

fn must_encode(symbol: char) -> bool {
    symbol.is_control() || symbol.is_whitespace() || matches!(symbol, '*' | '>' | '%')
}

/// Whether nothing in it needs an encoding: almost every id, told without making one.
fn is_plain(text: &str) -> bool {
    let is_safe = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'*' | b'>' | b'%');
    let dots_stand_alone = !text.starts_with('.') && !text.ends_with('.') && !text.contains("..");
    dots_stand_alone && text.bytes().all(is_safe)
}

fn encode(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut previous = '.';
    for (at, symbol) in raw.char_indices() {
        let last = at + symbol.len_utf8() == raw.len();
        let lone_dot = symbol == '.' && (previous == '.' || last);
        if must_encode(symbol) || lone_dot {
            let mut buffer = [0; 4];
            for byte in symbol.encode_utf8(&mut buffer).bytes() {
                out.push('%');
                out.push(hex(byte >> 4));
                out.push(hex(byte & 15));
            }
        } else {
            out.push(symbol);
        }
        previous = symbol;
    }
    out
}

fn hex(nibble: u8) -> char {
    char::from_digit(u32::from(nibble), 16)
        .expect("a nibble is below 16")
        .to_ascii_uppercase()
}

fn decode(encoded: &str) -> Option<String> {
    if !encoded.contains('%') {
        return Some(encoded.to_owned());
    }
    let bytes = encoded.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'%' {
            let high = char::from(*bytes.get(at + 1)?).to_digit(16)?;
            let low = char::from(*bytes.get(at + 2)?).to_digit(16)?;
            out.push(u8::try_from(high * 16 + low).ok()?);
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8(out).ok()
}

fn is_token(text: &str, len_max: usize) -> bool {
    (1..=len_max).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $valid:expr, $why:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes a valid text.
            ///
            /// # Errors
            /// The text breaks the rule of this kind of name; the error says which.
            pub fn new(text: &str) -> Result<Self, NameError> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(NameError::new($what, text, $why))
                }
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::new(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

name!(
    /// The named line that a job waits in: one subject token.
    QueueName, "queue", |text| is_token(text, NAME_LEN_MAX),
    "a queue is 1 to 64 of A-Z a-z 0-9 _ -"
);
name!(
    /// A worker process: its stable name and what makes this start of it unique.
    WorkerId, "worker id", |text| is_token(text, NAME_LEN_MAX),
    "a worker id is 1 to 64 of A-Z a-z 0-9 _ -"
);
name!(
    /// The cluster that a process belongs to: one subject token.
    GroupName, "group", |text| is_token(text, NAME_LEN_MAX),
    "a group is 1 to 64 of A-Z a-z 0-9 _ -"
);
name!(
    /// What only one process does at a time: one subject token.
    SingletonName, "singleton", |text| is_token(text, NAME_LEN_MAX),
    "a singleton's name is 1 to 64 of A-Z a-z 0-9 _ -"
);
name!(
    /// The processes that share partitions or indices: one subject token.
    CrewName, "crew", |text| is_token(text, NAME_LEN_MAX),
    "a crew's name is 1 to 64 of A-Z a-z 0-9 _ -"
);
name!(
    /// What makes a call to a leader one call, however often it is sent.
    CallId, "call id",
    |text| (1..=CALL_ID_LEN_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic()),
    "a call id is 1 to 128 printable ASCII characters without space"
);
name!(
    /// Which handler runs a job, such as `invoice.check`.
    Kind, "kind",
    |text| (1..=KIND_LEN_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric()
            || matches!(byte, b'_' | b'-' | b'.' | b'/' | b':')),
    "a kind is 1 to 128 of A-Z a-z 0-9 _ - . / :"
);
name!(
    /// What jobs must not run side by side for: one market, one customer. It counts across the
    /// queues of a namespace.
    Key, "key",
    |text| (1..=KEY_LEN_MAX).contains(&text.len())
        && text.trim() == text
        && !text.chars().any(char::is_control),
    "a key is 1 to 256 bytes without control characters and without space at its ends"
);
name!(
    /// The root token of all subjects of one installation.
    Namespace, "namespace",
    |text| (1..=NAMESPACE_LEN_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()
            || matches!(byte, b'_' | b'-')),
    "a namespace is 1 to 32 of a-z 0-9 _ -"
);

impl Default for Namespace {
    fn default() -> Self {
        Self("jobs".into())
    }
}

/// A singleton as its election knows it: the key of its lease record, and a part of subjects.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SingletonKey {
    /// One works in each group.
    Group(GroupName, SingletonName),
    /// One works at all.
    Global(SingletonName),
}

impl fmt::Display for SingletonKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(group, name) => write!(f, "group.{group}.{name}"),
            Self::Global(name) => write!(f, "global.{name}"),
        }
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{JobId, Key, Kind, QueueName};

    #[test]
    fn what_is_told_plain_at_a_glance_encodes_to_itself() {
        for id in ["a", "INV-1001", "a.b.c", "a/b:c", "~!@#$^&()"] {
            assert!(super::is_plain(id), "{id}");
            assert_eq!(super::encode(id), id);
        }
        for id in [
            ".a", "a.", "a..b", "a b", "a*", "a>", "a%41", "\u{e9}", "a\n",
        ] {
            assert!(!super::is_plain(id), "{id}");
        }
    }

    #[test]
    fn an_id_has_one_encoded_form() {
        let check = |raw: &str, encoded: &str| {
            let id = JobId::from_raw(raw).expect(raw);
            assert_eq!(id.as_encoded(), encoded);
            assert_eq!(id.to_raw(), raw);
            assert_eq!(JobId::from_encoded(encoded), Ok(id));
        };
        check("INV-1001", "INV-1001");
        check("2026.11.INV-7", "2026.11.INV-7");
        check("a b", "a%20b");
        check("a\r\nb", "a%0D%0Ab");
        check("*", "%2A");
        check(">", "%3E");
        check("100%", "100%25");
        check(".", "%2E");
        check("..", "%2E%2E");
        check(".a..b.", "%2Ea.%2Eb%2E");
        check("发票-٣-счёт", "发票-٣-счёт");
        check("a\u{a0}b", "a%C2%A0b");
        check("$SYS", "$SYS");
    }

    #[test]
    fn other_forms_of_an_id_are_refused() {
        for encoded in [
            "",
            "%41",
            "%2f",
            "%2a",
            "%",
            "a%",
            "a%2",
            "a b",
            "a*",
            ">",
            "a..b",
            ".a",
            "a.",
            "%FF",
            "a\nb",
            &"x".repeat(257),
        ] {
            assert!(
                JobId::from_encoded(encoded).is_err(),
                "{encoded:?} was taken"
            );
        }
        assert!(JobId::from_raw("").is_err());
        assert!(JobId::from_raw(&"x".repeat(10_000)).is_err());
        assert!(
            JobId::from_raw(&" ".repeat(86)).is_err(),
            "258 bytes encoded"
        );
        assert!(JobId::from_raw(&" ".repeat(85)).is_ok());
    }

    #[test]
    fn an_error_shows_the_start_of_a_hostile_name_escaped() {
        let error = JobId::from_raw(&"\u{1b}[31m".repeat(2_000)).expect_err("it is too long");
        let text = error.to_string();
        assert!(text.len() < 600, "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn names_keep_their_rules() {
        assert!(QueueName::new("invoices-eu_1").is_ok());
        for queue in ["", "a.b", "a b", "*", ">", "%", "é", &"q".repeat(65)] {
            assert!(QueueName::new(queue).is_err(), "{queue:?} was taken");
        }
        assert!(Kind::new("invoice.check").is_ok());
        assert!(Kind::new("invoice check").is_err());
        assert!(Key::new("market: DE").is_ok());
        for key in ["", " DE", "DE\n", &"k".repeat(257)] {
            assert!(Key::new(key).is_err(), "{key:?} was taken");
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_read_back(raw in ".{1,64}") {
            if let Ok(id) = JobId::from_raw(&raw) {
                prop_assert_eq!(id.to_raw(), raw);
                prop_assert_eq!(JobId::from_encoded(id.as_encoded()), Ok(id.clone()));
                let plain = id.as_encoded().split('.').all(|token| !token.is_empty()
                    && !token.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '*' | '>')));
                prop_assert!(plain, "{}", id);
            }
        }

        #[test]
        fn no_encoded_text_panics_or_has_two_forms(text in "[%.0-9a-fA-F *>é]{0,20}") {
            if let Ok(id) = JobId::from_encoded(&text) {
                prop_assert_eq!(JobId::from_raw(&id.to_raw()), Ok(id));
            }
        }
    }
}
