//! The lease record: what stands in the bucket, made and read here only.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::number::Epoch;
use crate::time::Timestamp;

/// The version of the record that this code writes, and the newest that it understands.
const VERSION: u32 = 1;

/// More bytes than this are no lease record.
pub const RECORD_BYTES_MAX: usize = 4_096;

/// The longest lease that a record may name.
pub const LEASE_MAX: Duration = Duration::from_secs(3_600);

/// The highest epoch that a record may name: each step of every JSON reader up to it is exact.
pub const EPOCH_MAX: Epoch = Epoch::new((1 << 53) - 1);

const NAME_BYTES_MAX: usize = 256;
const INCARNATION_BYTES_MAX: usize = 64;

/// One life of one process in an election: chosen at random at its start, one token of
/// `[A-Za-z0-9_-]`, so that it can end a subject.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Incarnation(String);

/// The text is no incarnation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read an incarnation: expected 1 to {INCARNATION_BYTES_MAX} of A-Z, a-z, 0-9, _ and -")]
pub struct IncarnationError;

impl Incarnation {
    /// The token, for a subject or a record.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Incarnation {
    type Error = IncarnationError;

    fn try_from(text: String) -> Result<Self, IncarnationError> {
        let token = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        let fits = !text.is_empty() && text.len() <= INCARNATION_BYTES_MAX;
        if fits && text.bytes().all(token) {
            Ok(Self(text))
        } else {
            Err(IncarnationError)
        }
    }
}

impl FromStr for Incarnation {
    type Err = IncarnationError;

    fn from_str(text: &str) -> Result<Self, IncarnationError> {
        Self::try_from(text.to_owned())
    }
}

impl From<Incarnation> for String {
    fn from(incarnation: Incarnation) -> Self {
        incarnation.0
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether the author still claims the leadership.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaseState {
    /// The author leads, or would as soon as it knows that this record is stored.
    Held,
    /// The author has stopped all that it did as leader: whoever is first may take over.
    Released,
}

/// What stands in the bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRecord {
    /// The record's version.
    pub v: u32,
    /// The holder's name, for people: two processes may bear the same.
    pub holder: String,
    /// The holder's life; who is meant is decided by this alone.
    pub incarnation: Incarnation,
    /// Grows with each write of this incarnation, so that an author knows its own write again.
    pub nonce: u64,
    /// The number of the leadership.
    pub epoch: Epoch,
    /// How long an observer leaves the holder alone, in milliseconds.
    pub lease_ms: u64,
    /// Held or released.
    pub state: LeaseState,
    /// When this leadership was won, by the holder's wall clock: for people, decides nothing.
    #[serde(default)]
    pub acquired: Timestamp,
    /// Where the holder runs: for people, decides nothing.
    #[serde(default)]
    pub host: String,
}

/// The bytes are no lease record that this version understands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Not JSON of the record's shape.
    #[error("read the lease record: {0}")]
    Shape(String),
    /// Written by a newer version.
    #[error(
        "read the lease record: it has version {found}, this program reads up to {VERSION}: update it"
    )]
    Newer {
        /// The record's version.
        found: u32,
    },
    /// A value is outside what a record may hold.
    #[error("read the lease record: `{0}` is out of range")]
    Range(&'static str),
}

#[derive(Deserialize)]
struct Versioned {
    v: u32,
}

impl LeaseRecord {
    /// The version that this code writes.
    pub const VERSION: u32 = VERSION;

    /// Reads what stands in the bucket. Unknown fields are ignored.
    ///
    /// # Errors
    /// The bytes are something else, a newer version, or out of range: such a record elects nobody.
    pub fn parse(bytes: &[u8]) -> Result<Self, RecordError> {
        if bytes.len() > RECORD_BYTES_MAX {
            return Err(RecordError::Range("size"));
        }
        let shape = |error: serde_json::Error| RecordError::Shape(error.to_string());
        let Versioned { v } = serde_json::from_slice(bytes).map_err(shape)?;
        if v > VERSION {
            return Err(RecordError::Newer { found: v });
        }
        let record: Self = serde_json::from_slice(bytes).map_err(shape)?;
        record.check()?;
        Ok(record)
    }

    fn check(&self) -> Result<(), RecordError> {
        let lease_ms_max = u64::try_from(LEASE_MAX.as_millis()).unwrap_or(u64::MAX);
        if self.v == 0 {
            return Err(RecordError::Range("v"));
        }
        if !is_name(&self.holder) {
            return Err(RecordError::Range("holder"));
        }
        if self.epoch > EPOCH_MAX {
            return Err(RecordError::Range("epoch"));
        }
        if self.lease_ms == 0 || self.lease_ms > lease_ms_max {
            return Err(RecordError::Range("lease_ms"));
        }
        Ok(())
    }

    /// The bytes for the bucket.
    ///
    /// # Panics
    /// Never: strings and numbers are always JSON.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and numbers are always JSON")
    }

    /// Whether both are of one leadership: of one life, in one epoch.
    #[must_use]
    pub fn is_same_tenure(&self, other: &Self) -> bool {
        (&self.incarnation, self.epoch) == (&other.incarnation, other.epoch)
    }

    /// How long an observer leaves the holder alone.
    #[must_use]
    pub const fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms)
    }
}

/// Whether a text may name a holder: 1 to 256 bytes without control characters.
#[must_use]
pub(crate) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= NAME_BYTES_MAX && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        EPOCH_MAX, Incarnation, IncarnationError, LEASE_MAX, LeaseRecord, LeaseState,
        RECORD_BYTES_MAX, RecordError,
    };
    use crate::number::Epoch;
    use crate::time::Timestamp;

    const TEXT: &str = r#"{"v":1,"holder":"node-a","incarnation":"Kq3","nonce":7,"epoch":5,"lease_ms":15000,"state":"held","acquired":1795336200250,"host":"a.example"}"#;

    fn record() -> LeaseRecord {
        LeaseRecord {
            v: 1,
            holder: "node-a".to_owned(),
            incarnation: "Kq3".parse().unwrap(),
            nonce: 7,
            epoch: Epoch::new(5),
            lease_ms: 15_000,
            state: LeaseState::Held,
            acquired: Timestamp::from_millis(1_795_336_200_250),
            host: "a.example".to_owned(),
        }
    }

    #[test]
    fn the_wire_form_is_fixed() {
        assert_eq!(String::from_utf8(record().encode()).unwrap(), TEXT);
        assert_eq!(LeaseRecord::parse(TEXT.as_bytes()), Ok(record()));
    }

    #[test]
    fn unknown_fields_are_ignored_and_those_for_people_may_miss() {
        let text = r#"{"v":1,"holder":"node-a","incarnation":"Kq3","nonce":7,"epoch":5,"lease_ms":15000,"state":"held","rank":3}"#;
        let read = LeaseRecord::parse(text.as_bytes()).unwrap();
        assert_eq!((read.epoch, read.host.as_str()), (Epoch::new(5), ""));
    }

    #[test]
    fn what_a_record_may_just_hold_is_read() {
        let read = |from: &str, to: &str| LeaseRecord::parse(TEXT.replace(from, to).as_bytes());
        assert_eq!(read(":5,", ":9007199254740991,").unwrap().epoch, EPOCH_MAX);
        assert_eq!(read("15000", "3600000").unwrap().lease(), LEASE_MAX);
        let longest = "n".repeat(256);
        assert_eq!(read("node-a", &longest).unwrap().holder, longest);
        assert_eq!(
            read("node-a", &format!("{longest}n")),
            Err(RecordError::Range("holder"))
        );
        let padding = RECORD_BYTES_MAX - TEXT.len();
        let full = TEXT.replace("a.example", &format!("a.example{}", "e".repeat(padding)));
        assert_eq!(full.len(), RECORD_BYTES_MAX);
        assert!(LeaseRecord::parse(full.as_bytes()).is_ok());
        assert_eq!(
            LeaseRecord::parse(full.replace("a.example", "a.examplee").as_bytes()),
            Err(RecordError::Range("size"))
        );
    }

    #[test]
    fn an_incarnation_is_one_short_token() {
        let longest = "i".repeat(64);
        for text in ["a", "Z9", "_", "-", "a_b-c", &longest] {
            let incarnation: Incarnation = text.parse().unwrap();
            assert_eq!(
                (incarnation.as_str(), incarnation.to_string().as_str()),
                (text, text)
            );
        }
        let too_long = "i".repeat(65);
        for text in ["", "a.b", "a b", "ä", ">", &too_long] {
            assert_eq!(text.parse::<Incarnation>(), Err(IncarnationError), "{text}");
        }
    }

    #[test]
    fn what_is_no_record_is_refused() {
        let check = |from: &str, to: &str| {
            let text = TEXT.replace(from, to);
            assert_ne!(text, TEXT, "{from}");
            assert!(LeaseRecord::parse(text.as_bytes()).is_err(), "{text}");
        };
        check(r#""v":1"#, r#""v":0"#);
        check("node-a", "");
        check("node-a", r"a\u0000b");
        check("Kq3", "a.b");
        check("Kq3", "*");
        check("15000", "0");
        check("15000", "3600001");
        check(":5,", ":9007199254740992,");
        check("held", "mine");
        check(r#""nonce":7"#, r#""nonce":-7"#);
        check("a.example", &"x".repeat(5_000));
        assert_eq!(
            LeaseRecord::parse(br#"{"v":2,"leader":[]}"#),
            Err(RecordError::Newer { found: 2 })
        );
        for text in ["", "{}", "null", "[1]", "released", "\u{0}"] {
            assert!(LeaseRecord::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(LeaseRecord::parse(&bytes).is_err());
        }
    }
}
