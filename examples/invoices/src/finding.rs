//! What came of each rule: held, or broken with both amounts.
//!
//! A list and its words. Which rules there are is not known here.

use std::fmt;

use rust_decimal::Decimal;

use crate::amount::AMOUNT_DECIMALS;

/// A rule that a document breaks, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The rule's name in its standard, such as `BR-CO-15`.
    pub rule: &'static str,
    /// One sentence with what is stated and what it should be.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.message)
    }
}

/// The outcome of every rule that applied to a document, in the order of checking.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    checked: Vec<&'static str>,
    broken: Vec<Finding>,
}

impl Findings {
    /// The rules that applied, each once, held or broken.
    pub fn checked(&self) -> &[&'static str] {
        &self.checked
    }

    /// What is broken. The first one names the document's error.
    pub fn broken(&self) -> &[Finding] {
        &self.broken
    }

    /// Whether a rule held everywhere; `None` if nothing in the document falls under it.
    pub fn held(&self, rule: &str) -> Option<bool> {
        let checked = self.checked.contains(&rule);
        checked.then(|| self.broken.iter().all(|finding| finding.rule != rule))
    }

    pub(crate) fn pass(&mut self, rule: &'static str) {
        if !self.checked.contains(&rule) {
            self.checked.push(rule);
        }
    }

    pub(crate) fn fail(&mut self, rule: &'static str, message: String) {
        self.pass(rule);
        self.broken.push(Finding { rule, message });
    }

    /// Compares what is stated with what it should be; `because` tells how that came about.
    pub(crate) fn compare(
        &mut self,
        rule: &'static str,
        stated: Stated<'_>,
        expected: Decimal,
        because: &str,
    ) {
        if stated.amount == expected {
            return self.pass(rule);
        }
        let (what, amount) = (stated.what, Shown(stated.amount));
        self.fail(
            rule,
            format!("{what} is {amount}, but {because} {}", Shown(expected)),
        );
    }
}

/// An amount in the document, with its name.
#[derive(Clone, Copy)]
pub(crate) struct Stated<'a> {
    pub(crate) what: &'a str,
    pub(crate) amount: Decimal,
}

/// An amount for people: two decimals, more only where the document has more.
pub(crate) struct Shown(pub(crate) Decimal);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.scale() <= AMOUNT_DECIMALS {
            write!(f, "{:.2}", self.0)
        } else {
            write!(f, "{}", self.0)
        }
    }
}
