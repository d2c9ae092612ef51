//! The stock of faults of a small world, and what may become of a write.

/// How often each may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Faults {
    /// A process dies at any moment, and comes back as another life at any later one, or never.
    pub(super) crashes: u8,
    /// A process stands still, for as long as it likes.
    pub(super) pauses: u8,
    /// A write is stored and not answered, or not stored and not answered, or a process hears
    /// nothing for a step.
    pub(super) lost: u8,
    /// A write is stored at any later time, unanswered; or its answer takes as long as it likes.
    pub(super) late: u8,
    /// A process leaves in good order, and may come back as another life.
    pub(super) leaves: u8,
    /// The plan is deleted.
    pub(super) deletions: u8,
    /// An older plan is shown again.
    pub(super) stale: u8,
    /// Another process plans beside the planner.
    pub(super) planners: u8,
}

pub(super) const NONE: Faults = Faults {
    crashes: 0,
    pauses: 0,
    lost: 0,
    late: 0,
    leaves: 0,
    deletions: 0,
    stale: 0,
    planners: 0,
};

/// What becomes of the first write of its own record that a process sends in a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Fate {
    Answered,
    /// It is stored, and the answer is lost.
    Unanswered,
    Lost,
    /// It is on its way for as long as it likes, and is not answered.
    Late,
    /// It is stored, and the answer is on its way until the request is given up, or for the whole of
    /// a pause.
    Slow,
    /// The process hears nothing in this step: what it reads fails, no watch tells it anything.
    Deaf,
}

const FAILURES: [Fate; 5] = [
    Fate::Unanswered,
    Fate::Lost,
    Fate::Late,
    Fate::Slow,
    Fate::Deaf,
];

impl Faults {
    /// What else than an answer these faults allow.
    pub(super) fn failures(self) -> impl Iterator<Item = Fate> {
        FAILURES
            .into_iter()
            .filter(move |fate| self.spent_on(*fate).is_some())
    }

    /// What is left after this became of a write; nothing if there is not as much.
    pub(super) fn spent_on(mut self, fate: Fate) -> Option<Self> {
        match fate {
            Fate::Answered => {}
            Fate::Unanswered | Fate::Lost | Fate::Deaf => self.lost = self.lost.checked_sub(1)?,
            Fate::Late | Fate::Slow => self.late = self.late.checked_sub(1)?,
        }
        Some(self)
    }
}
