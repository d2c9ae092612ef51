//! Checks one document: bytes in, a verdict or the reason why it is refused out.
//!
//! This is all that a handler of such a job computes. Pure: the same bytes give the same answer, so
//! an error here is permanent and trying again is of no use.

use std::fmt::Write as _;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::document::{Country, Currency, Document, DocumentKind};
use crate::finding::Finding;
use crate::ubl::{self, ReadError};
use crate::{notice, rules};

/// Broken rules that the text of an error tells of; the rest it counts.
const BROKEN_SHOWN_MAX: usize = 4;

/// Notices that a verdict keeps; a result must stay small whatever the document.
const NOTICES_MAX: usize = 8;

/// What is recorded of a document whose sums are right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The document's number (BT-1).
    pub document: String,
    #[serde(rename = "type")]
    pub kind: DocumentKind,
    /// The seller's country (BT-40).
    pub market: Country,
    pub currency: Currency,
    /// How many lines it has.
    pub lines: usize,
    /// The total without VAT (BT-109).
    pub net: Decimal,
    /// The VAT in the document's currency (BT-110).
    pub tax: Decimal,
    /// The amount due for payment (BT-115).
    pub payable: Decimal,
    /// How many rules of the standard applied, and held.
    pub rules: usize,
    /// What is odd about lines and prices, though no rule of the standard forbids it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
}

/// Why a document is refused. For good: see [`CheckError::code`].
#[derive(Debug, Clone, Error)]
pub enum CheckError {
    #[error(transparent)]
    Unreadable(#[from] ReadError),
    /// At least one finding; the first names the error.
    #[error("{}", told(.0))]
    Broken(Vec<Finding>),
}

impl CheckError {
    /// The rule that is broken first, such as `BR-CO-15`, or what [`ReadError::code`] says.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable(error) => error.code(),
            Self::Broken(findings) => findings.first().map_or("broken", |finding| finding.rule),
        }
    }
}

fn told(findings: &[Finding]) -> String {
    let mut text = String::new();
    for (index, finding) in findings.iter().take(BROKEN_SHOWN_MAX).enumerate() {
        let between = if index == 0 { "" } else { "; " };
        write!(text, "{between}{finding}").expect("writing to a string cannot fail");
    }
    match findings.len().saturating_sub(BROKEN_SHOWN_MAX) {
        0 => text,
        more => format!("{text}; and {more} more"),
    }
}

/// Reads a document and recomputes its sums.
///
/// # Errors
/// When it cannot be read, or states an amount that breaks a rule.
pub fn check(xml: &[u8]) -> Result<Verdict, CheckError> {
    judge(&ubl::read(xml)?)
}

/// Recomputes the sums of a document that has been read.
///
/// # Errors
/// When it states an amount that breaks a rule.
pub fn judge(document: &Document) -> Result<Verdict, CheckError> {
    let findings = rules::judge(document);
    if !findings.broken().is_empty() {
        return Err(CheckError::Broken(findings.broken().to_vec()));
    }
    let notices = notice::judge(document);
    Ok(Verdict {
        document: document.id.clone(),
        kind: document.kind,
        market: document.market,
        currency: document.currency,
        lines: document.lines.len(),
        net: document.totals.without_vat,
        tax: document
            .document_tax_totals()
            .map(|total| total.amount)
            .sum(),
        payable: document.totals.payable,
        rules: findings.checked().len(),
        notices: notices
            .broken()
            .iter()
            .take(NOTICES_MAX)
            .map(ToString::to_string)
            .collect(),
    })
}
