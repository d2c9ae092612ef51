//! A member's record: what stands in the bucket for one life of one member, made and read here only.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::leadership::{Incarnation, LEASE_MAX, is_name};
use crate::number::Sequence;
use crate::time::Timestamp;

/// The version that this code writes, and the newest that it understands.
pub(super) const VERSION: u32 = 1;

/// More bytes than this are no member's record.
pub const MEMBER_BYTES_MAX: usize = 4_096;

/// What a member is, by its record. The last two are for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberState {
    /// It is here, as long as it renews.
    Joined,
    /// It has ended all its work and said so.
    Left,
    /// It was silent for a whole lease and may run nothing any more.
    Evicted,
}

/// What stands in the bucket for a member.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MemberRecord {
    /// The record's version.
    pub v: u32,
    /// The member's name, for people: two may bear the same.
    pub name: String,
    /// The life that this record is of.
    pub incarnation: Incarnation,
    /// Grows with each write of this life, so that an author knows its own write again.
    pub nonce: u64,
    /// How long an observer leaves the member alone, in milliseconds.
    pub lease_ms: u64,
    /// Here, or gone.
    pub state: MemberState,
    /// The revision of the plan that it obeys: it runs nothing that this plan does not give it.
    pub obeys: Sequence,
    /// When it joined, by its wall clock: for people, decides nothing.
    #[serde(default)]
    pub joined: Timestamp,
    /// Where it runs: for people, decides nothing.
    #[serde(default)]
    pub host: String,
    /// Who evicted it: for people, decides nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub evicted_by: String,
}

/// The bytes are no record that this version understands.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
pub enum RecordError {
    /// Not JSON of the record's shape.
    #[error("read a crew's record: {0}")]
    Shape(String),
    /// Written by a newer version.
    #[error(
        "read a crew's record: it has version {found}, this program reads up to {VERSION}: update it"
    )]
    Newer {
        /// The record's version.
        found: u32,
    },
    /// A value is outside what a record may hold.
    #[error("read a crew's record: `{0}` is out of range")]
    Range(&'static str),
}

#[derive(Deserialize)]
struct Versioned {
    v: u32,
}

/// Reads a versioned record of at most `bytes_max`.
pub(super) fn read<'a, T: Deserialize<'a>>(
    bytes: &'a [u8],
    bytes_max: usize,
) -> Result<T, RecordError> {
    if bytes.len() > bytes_max {
        return Err(RecordError::Range("size"));
    }
    let shape = |error: serde_json::Error| RecordError::Shape(error.to_string());
    let Versioned { v } = serde_json::from_slice(bytes).map_err(shape)?;
    if v == 0 {
        return Err(RecordError::Range("v"));
    }
    if v > VERSION {
        return Err(RecordError::Newer { found: v });
    }
    serde_json::from_slice(bytes).map_err(shape)
}

impl MemberRecord {
    /// Reads what stands at a member's key. Unknown fields are ignored.
    ///
    /// # Errors
    /// The bytes are something else, a newer version, or out of range: such a member holds what it
    /// holds, and is given nothing.
    pub fn parse(bytes: &[u8]) -> Result<Self, RecordError> {
        let record: Self = read(bytes, MEMBER_BYTES_MAX)?;
        if !is_name(&record.name) {
            return Err(RecordError::Range("name"));
        }
        if record.lease_ms == 0 || record.lease() > LEASE_MAX {
            return Err(RecordError::Range("lease_ms"));
        }
        Ok(record)
    }

    /// The bytes for the bucket.
    ///
    /// # Panics
    /// Never: strings and numbers are always JSON.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and numbers are always JSON")
    }

    /// How long an observer leaves the member alone.
    #[must_use]
    pub const fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{MemberRecord, MemberState, RecordError};
    use crate::number::Sequence;
    use crate::time::Timestamp;

    const TEXT: &str = r#"{"v":1,"name":"node-a","incarnation":"Kq3","nonce":7,"lease_ms":15000,"state":"joined","obeys":41,"joined":1795336200250,"host":"a.example"}"#;

    #[test]
    fn the_wire_form_is_fixed() {
        let record = MemberRecord {
            v: 1,
            name: "node-a".to_owned(),
            incarnation: "Kq3".parse().unwrap(),
            nonce: 7,
            lease_ms: 15_000,
            state: MemberState::Joined,
            obeys: Sequence::new(41),
            joined: Timestamp::from_millis(1_795_336_200_250),
            host: "a.example".to_owned(),
            evicted_by: String::new(),
        };
        assert_eq!(String::from_utf8(record.encode()).unwrap(), TEXT);
        assert_eq!(MemberRecord::parse(TEXT.as_bytes()), Ok(record));
    }

    #[test]
    fn what_is_no_record_is_refused() {
        let check = |from: &str, to: &str| {
            let text = TEXT.replace(from, to);
            assert_ne!(text, TEXT, "{from}");
            assert!(MemberRecord::parse(text.as_bytes()).is_err(), "{text}");
        };
        check(r#""v":1"#, r#""v":0"#);
        check("node-a", "");
        check("Kq3", "a.b");
        check("15000", "0");
        check("15000", "3600001");
        check("joined\",", "here\",");
        check("41", "-1");
        check("a.example", &"x".repeat(5_000));
        assert_eq!(
            MemberRecord::parse(br#"{"v":2}"#),
            Err(RecordError::Newer { found: 2 })
        );
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(MemberRecord::parse(&bytes).is_err());
        }
    }
}
