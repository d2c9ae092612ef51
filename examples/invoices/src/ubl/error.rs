//! Why a document could not be read: what, where, and which rule asks for what is missing.
//!
//! Every one of these is for good: reading the same bytes again gives the same answer.

use std::fmt;

use thiserror::Error;

use super::cursor::{ATTRIBUTES_MAX, DEPTH_MAX, NAMESPACES_MAX, VALUE_BYTES_MAX};
use super::{DOCUMENT_BYTES_MAX, LINES_MAX};

/// Where in the document something was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Counted from 1.
    pub line: u64,
    /// The open elements from the root, with the prefixes the document itself uses.
    pub path: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "line {}, {}",
            self.line,
            if self.path.is_empty() {
                "/"
            } else {
                &self.path
            }
        )
    }
}

/// A document that could not be read.
#[derive(Debug, Clone, Error)]
pub enum ReadError {
    #[error("the document is {bytes} bytes, at most {DOCUMENT_BYTES_MAX} are read")]
    TooLarge { bytes: usize },
    #[error("{place}: more than {what}, which no invoice needs")]
    OverLimit { place: Place, what: Limit },
    #[error("the document is not UTF-8 from byte {byte} on; save it as UTF-8")]
    NotUtf8 { byte: usize },
    #[error("{place}: not well-formed XML: {reason}")]
    NotXml { place: Place, reason: String },
    #[error("{place}: {what} is refused, a UBL document has none")]
    Refused { place: Place, what: &'static str },
    #[error("the root element is {found}, expected Invoice or CreditNote of UBL 2")]
    NotUbl { found: String },
    #[error("{place}: {what} is missing ({rule})")]
    Missing {
        place: Place,
        rule: &'static str,
        what: &'static str,
    },
    #[error("{place}: stands here twice, expected once")]
    Repeated { place: Place },
    #[error("{place}: expected {expected}, found {found:?}")]
    BadValue {
        place: Place,
        expected: &'static str,
        found: String,
    },
}

/// A limit of the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    Lines,
    Depth,
    Attributes,
    Namespaces,
    Value,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lines => write!(
                f,
                "{LINES_MAX} lines, allowances, charges or VAT breakdowns"
            ),
            Self::Depth => write!(f, "{DEPTH_MAX} elements inside each other"),
            Self::Attributes => write!(f, "{ATTRIBUTES_MAX} attributes at one element"),
            Self::Namespaces => write!(f, "{NAMESPACES_MAX} namespaces at one place"),
            Self::Value => write!(f, "{VALUE_BYTES_MAX} bytes in one value"),
        }
    }
}

impl ReadError {
    /// A short word for machines: the rule of EN 16931 that asks for what is missing, or one of
    /// `too-large`, `over-limit`, `not-xml`, `not-ubl`, `repeated`, `bad-value`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too-large",
            Self::OverLimit { .. } => "over-limit",
            Self::NotUtf8 { .. } | Self::NotXml { .. } | Self::Refused { .. } => "not-xml",
            Self::NotUbl { .. } => "not-ubl",
            Self::Missing { rule, .. } => rule,
            Self::Repeated { .. } => "repeated",
            Self::BadValue { .. } => "bad-value",
        }
    }
}
