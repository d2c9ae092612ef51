//! What somebody saw in the bucket, at which revision.

use super::moment::Moment;
use super::record::{LeaseRecord, RecordError};
use crate::number::Sequence;

/// What stood at the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Nothing, or the mark of a deletion.
    Vacant,
    /// A lease.
    Lease(LeaseRecord),
    /// Something that is no lease to us: garbage, or a newer version's record.
    Foreign(RecordError),
}

/// The key as a read by the stream leader showed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// The record's place in the stream; 0 if the stream holds nothing for the key.
    pub revision: Sequence,
    /// What stood there.
    pub content: Content,
}

impl Observation {
    /// The stream holds nothing for the key.
    pub const ABSENT: Self = Self {
        revision: Sequence::new(0),
        content: Content::Vacant,
    };

    /// The stream holds the mark of a deletion.
    #[must_use]
    pub const fn deleted(revision: Sequence) -> Self {
        Self {
            revision,
            content: Content::Vacant,
        }
    }

    /// The stream holds these bytes.
    #[must_use]
    pub fn of(revision: Sequence, bytes: &[u8]) -> Self {
        let content = match LeaseRecord::parse(bytes) {
            Ok(record) => Content::Lease(record),
            Err(error) => Content::Foreign(error),
        };
        Self { revision, content }
    }
}

/// An observation and when its revision was first seen. Seeing it again changes nothing.
#[derive(Debug, Clone)]
pub(super) struct Sighting {
    pub(super) revision: Sequence,
    pub(super) at: Moment,
    pub(super) content: Content,
}
