//! Jobs about which the leader has a record to write: each has one under way at a time, so many
//! have one at once, and what was not answered well is tried again after a while. It does not know
//! what the records say.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::number::Accepted;
use crate::time::Timestamp;

/// Most records under way at once.
pub const UNDER_WAY_MAX: usize = 256;
/// How long a record waits before it is written again.
pub const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The jobs, by when their record is to be written.
#[derive(Debug, Default)]
pub struct Errands {
    due: BTreeSet<(Timestamp, Accepted)>,
    at: BTreeMap<Accepted, Timestamp>,
    under_way: BTreeSet<Accepted>,
}

impl Errands {
    /// A record about the job is to be written at once, unless one waits already.
    pub fn add(&mut self, accepted: Accepted) {
        if !self.at.contains_key(&accepted) {
            self.put(accepted, Timestamp::default());
        }
    }

    fn put(&mut self, accepted: Accepted, at: Timestamp) {
        self.remove(accepted);
        self.at.insert(accepted, at);
        self.due.insert((at, accepted));
    }

    /// Nothing is to be written about the job any more.
    pub fn remove(&mut self, accepted: Accepted) {
        if let Some(at) = self.at.remove(&accepted) {
            self.due.remove(&(at, accepted));
        }
    }

    /// A job whose record is to be written now. It comes again after a while, until it is removed.
    pub fn next(&mut self, now: Timestamp) -> Option<Accepted> {
        let &(at, accepted) = self.due.first()?;
        let is_full = self.under_way.len() >= UNDER_WAY_MAX && !self.under_way.contains(&accepted);
        if at > now || is_full {
            return None;
        }
        self.put(accepted, now.after(AGAIN_AFTER));
        self.under_way.insert(accepted);
        Some(accepted)
    }

    /// The record about the job has its answer, whatever it is.
    pub fn answered(&mut self, accepted: Accepted) {
        self.under_way.remove(&accepted);
    }

    /// When the next record is to be written, if not an answer has to come first.
    #[must_use]
    pub fn next_time(&self) -> Option<Timestamp> {
        if self.under_way.len() >= UNDER_WAY_MAX {
            return None;
        }
        self.due.first().map(|(at, _)| *at)
    }

    /// The jobs.
    pub fn jobs(&self) -> impl Iterator<Item = Accepted> {
        self.at.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::{AGAIN_AFTER, Errands, UNDER_WAY_MAX};
    use crate::number::Accepted;
    use crate::time::Timestamp;

    const NOW: Timestamp = Timestamp::from_millis(5_000);

    #[test]
    fn a_record_is_tried_again_after_a_while_until_it_is_not_needed() {
        let job = Accepted::new(7);
        let mut errands = Errands::default();
        errands.add(job);
        assert_eq!(errands.next(NOW), Some(job));
        errands.add(job);
        assert_eq!(errands.next(NOW), None, "it is under way");
        errands.answered(job);
        assert_eq!(
            errands.next(NOW),
            None,
            "an answer is no reason to repeat it"
        );
        assert_eq!(errands.next_time(), Some(NOW.after(AGAIN_AFTER)));
        assert_eq!(errands.next(NOW.after(AGAIN_AFTER)), Some(job));
        errands.remove(job);
        assert_eq!(errands.next_time(), None);
    }

    #[test]
    fn so_many_are_under_way_and_the_rest_comes_later() {
        let mut errands = Errands::default();
        for n in 1..=1_000 {
            errands.add(Accepted::new(n));
        }
        let first: Vec<Accepted> = std::iter::from_fn(|| errands.next(NOW)).collect();
        assert_eq!(first.len(), UNDER_WAY_MAX);
        assert_eq!(errands.next_time(), None, "an answer comes first");
        errands.answered(first[0]);
        errands.remove(first[0]);
        assert_eq!(errands.next(NOW), Some(Accepted::new(257)));
    }
}
