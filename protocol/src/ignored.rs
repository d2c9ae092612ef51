//! Why a record of the ledger counted for nothing: counted by reason, for an operator. It decides
//! nothing.

use std::collections::BTreeMap;

/// Why a record counts for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Its subject is none of ours.
    Subject,
    /// It names an acceptance number without a job, or with a job of another id.
    Job,
    /// It is the outcome of an attempt that cannot exist yet, since the one before it has none.
    EarlyOutcome,
    /// It is an outcome of a job that has ended, or of an attempt that was passed over.
    LateOutcome,
    /// It is a control record that does not apply to its job as it stands.
    Control,
    /// It is a configuration that cannot be read, or an old one.
    Config,
    /// It is an epoch below one that was folded before.
    Epoch,
}

impl Reason {
    /// The word for it in a status.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::Job => "job",
            Self::EarlyOutcome => "early-outcome",
            Self::LateOutcome => "late-outcome",
            Self::Control => "control",
            Self::Config => "config",
            Self::Epoch => "epoch",
        }
    }
}

/// How many records counted for nothing, by reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ignored(BTreeMap<Reason, u64>);

impl Ignored {
    /// One more.
    pub fn add(&mut self, reason: Reason) {
        *self.0.entry(reason).or_default() += 1;
    }

    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// Each reason that there was, and how often.
    pub fn iter(&self) -> impl Iterator<Item = (Reason, u64)> + '_ {
        self.0.iter().map(|(reason, count)| (*reason, *count))
    }
}
