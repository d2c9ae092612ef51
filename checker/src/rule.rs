//! The rules that a run of the system must have kept: their names, and what each says.

use std::fmt;

use serde::{Serialize, Serializer};

/// What must hold of a ledger, a work queue and the histories beside them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// Of all that was ever stored nothing is missing, and it came in order.
    Gapless,
    /// Each record stands on a subject that a rule makes, and can be read.
    Known,
    /// An id was accepted once.
    AcceptedOnce,
    /// Who was told "accepted" or "duplicate" was told the truth, with the right number.
    AnswerTrue,
    /// What was accepted is what somebody submitted, byte for byte.
    NoPhantom,
    /// Nobody was told "accepted" for another content than the one that was.
    NoConflictAccepted,
    /// What was said to be refused was not accepted.
    RefusedIsAbsent,
    /// All that was acknowledged is in the ledger, and all that is in it has ended.
    NothingLost,
    /// The work queue is empty when all has ended.
    Drained,
    /// An attempt has one outcome.
    OneOutcome,
    /// An outcome is that of an accepted job.
    OutcomeOfJob,
    /// The attempts of a job are recorded in order, none left out.
    AttemptsInOrder,
    /// Nothing is recorded of a job after its final outcome, unless it was replayed.
    NothingAfterEnd,
    /// An outcome says what somebody was entitled to say.
    Entitled,
    /// A completed outcome was earned by a run that completed.
    Earned,
    /// A run was that of an accepted job, as it was accepted, and of an attempt that was handed out.
    RunOfJob,
    /// A control record names an accepted job and an attempt of it that is recorded.
    ControlOfJob,
    /// Only what has ended is replayed.
    ReplayOfEnded,
    /// What was asked once is not asked again by the same record.
    ControlOnce,
    /// The configurations of a queue are numbered 1, 2, 3 and can be read.
    ConfigInOrder,
    /// Each epoch has one leader, and each fence a higher epoch than the one before.
    EpochsIncrease,
    /// No work of an older epoch stands behind the fence of a later one.
    Fenced,
    /// A leader's fence is whole, and stands before its barrier and its work.
    FenceWhole,
    /// Each write of a leader found the last sequence that it expected.
    Chained,
    /// An attempt was handed out once.
    DispatchedOnce,
    /// Work is that of an accepted job which awaits this attempt.
    WorkOfJob,
    /// The outcome of a run is that of an attempt that was handed out.
    OutcomeDispatched,
    /// No two jobs of a key ran together, unless the worker of the older run was paused or cut off.
    KeyRuns,
    /// No two jobs of a key were handed out together.
    KeyWork,
    /// The histories and the tap are whole: only then do the other zeros count.
    Valid,
}

impl Rule {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 30] = [
        Self::Gapless,
        Self::Known,
        Self::AcceptedOnce,
        Self::AnswerTrue,
        Self::NoPhantom,
        Self::NoConflictAccepted,
        Self::RefusedIsAbsent,
        Self::NothingLost,
        Self::Drained,
        Self::OneOutcome,
        Self::OutcomeOfJob,
        Self::AttemptsInOrder,
        Self::NothingAfterEnd,
        Self::Entitled,
        Self::Earned,
        Self::RunOfJob,
        Self::ControlOfJob,
        Self::ReplayOfEnded,
        Self::ControlOnce,
        Self::ConfigInOrder,
        Self::EpochsIncrease,
        Self::Fenced,
        Self::FenceWhole,
        Self::Chained,
        Self::DispatchedOnce,
        Self::WorkOfJob,
        Self::OutcomeDispatched,
        Self::KeyRuns,
        Self::KeyWork,
        Self::Valid,
    ];

    /// Its short name in tables, tests and reports.
    #[must_use]
    pub const fn id(self) -> &'static str {
        self.text().0
    }

    /// What it says, in a few words.
    #[must_use]
    pub const fn title(self) -> &'static str {
        self.text().1
    }

    const fn text(self) -> (&'static str, &'static str) {
        match self {
            Self::Gapless => ("G1", "no record is missing"),
            Self::Known => ("F1", "every record is one that a rule makes"),
            Self::AcceptedOnce => ("A1", "an id is accepted once"),
            Self::AnswerTrue => ("A2", "who was told accepted was told the truth"),
            Self::NoPhantom => ("A3", "what was accepted was submitted"),
            Self::NoConflictAccepted => ("A4", "no other content is accepted under an id"),
            Self::RefusedIsAbsent => ("A5", "what was refused was not accepted"),
            Self::NothingLost => ("L1", "nothing accepted is lost"),
            Self::Drained => ("L2", "the work queue is empty in the end"),
            Self::OneOutcome => ("R1", "an attempt has one outcome"),
            Self::OutcomeOfJob => ("R2", "an outcome is of an accepted job"),
            Self::AttemptsInOrder => ("R3", "attempts are recorded in order"),
            Self::NothingAfterEnd => ("R4", "nothing after the final outcome"),
            Self::Entitled => ("R5", "an outcome says what its writer may say"),
            Self::Earned => ("R6", "a completed outcome has a run that completed"),
            Self::RunOfJob => ("R7", "a run is of an accepted job"),
            Self::ControlOfJob => ("C1", "a control record is of a recorded attempt"),
            Self::ReplayOfEnded => ("C2", "only what has ended is replayed"),
            Self::ControlOnce => ("C3", "a control record stands once"),
            Self::ConfigInOrder => ("Q1", "configurations are numbered without a hole"),
            Self::EpochsIncrease => ("E1", "an epoch has one leader, fences increase"),
            Self::Fenced => ("E2", "no work of an older epoch behind a fence"),
            Self::FenceWhole => ("E3", "a fence is whole and comes first"),
            Self::Chained => ("E4", "each write found the sequence it expected"),
            Self::DispatchedOnce => ("D1", "an attempt is handed out once"),
            Self::WorkOfJob => ("D2", "work is of a job that awaits it"),
            Self::OutcomeDispatched => ("D3", "an outcome is of work that was handed out"),
            Self::KeyRuns => ("K1", "two jobs of a key never run together"),
            Self::KeyWork => ("K2", "two jobs of a key are never handed out together"),
            Self::Valid => ("V1", "histories and tap are whole"),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Rule;

    #[test]
    fn each_rule_has_a_name_of_its_own() {
        let ids: BTreeSet<&str> = Rule::ALL.iter().map(|rule| rule.id()).collect();
        assert_eq!(ids.len(), Rule::ALL.len());
        let titles: BTreeSet<&str> = Rule::ALL.iter().map(|rule| rule.title()).collect();
        assert_eq!(titles.len(), Rule::ALL.len());
    }
}
