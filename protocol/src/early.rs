//! Outcomes that stand in the ledger although their attempt cannot exist yet, since the one before it
//! has none: no rule makes them, but whoever may record outcomes can write them. They count for
//! nothing; and as nobody else can record an outcome where they stand, such an attempt is passed over
//! when its turn comes. Both follow from the order of the ledger alone.

use std::collections::BTreeSet;

use crate::number::Attempt;

/// The attempts of one job whose outcomes came too early. Takes no room as long as there is none.
#[expect(
    clippy::box_collection,
    reason = "every job has this field, and hardly any job an early outcome"
)]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Early(Option<Box<BTreeSet<Attempt>>>);

impl Early {
    /// The outcome of this attempt came too early.
    pub(crate) fn add(&mut self, attempt: Attempt) {
        self.0.get_or_insert_default().insert(attempt);
    }

    /// The last attempt that is recorded, `last` being the last one that counts.
    pub(crate) fn pass_over(&mut self, mut last: Attempt) -> Attempt {
        let Some(attempts) = &mut self.0 else {
            return last;
        };
        while attempts.remove(&last.next()) && !planted!(EarlyIsNotPassedOver) {
            last = last.next();
        }
        if attempts.is_empty() {
            self.0 = None;
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use super::Early;
    use crate::number::Attempt;

    #[test]
    fn attempts_are_passed_over_when_their_turn_comes() {
        let mut early = Early::default();
        assert_eq!(early.pass_over(Attempt::NONE), Attempt::NONE);
        for attempt in [2, 3, 5] {
            early.add(Attempt::new(attempt));
        }
        assert_eq!(early.pass_over(Attempt::NONE), Attempt::NONE);
        assert_eq!(early.pass_over(Attempt::FIRST), Attempt::new(3));
        assert_eq!(early.pass_over(Attempt::new(4)), Attempt::new(5));
        assert_eq!(early, Early::default());
    }
}
