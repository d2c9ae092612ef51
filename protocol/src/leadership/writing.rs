//! Writes of the record: at most one under way, and those whose fate is not known.

use std::collections::VecDeque;

use super::moment::Moment;
use crate::number::{Epoch, Sequence};

/// Writes without an answer that are remembered. One that is forgotten and lands after all is known
/// by its incarnation, but gives no time.
const UNANSWERED_MAX: usize = 16;

/// What a write is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Take the lease over. `Vacancy`: nothing stood there, or nothing legible.
    Acquire {
        over: Over,
        early: Early,
    },
    Renew,
    Release,
}

/// What a takeover replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// A lease that ran out, was released, or whose holder is suspected.
    Lease,
    /// No lease: older holders of whom nothing is known may still trust theirs.
    Vacancy,
}

/// Whether a takeover came before the lease had run out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Early {
    Yes,
    No,
}

#[derive(Debug, Clone)]
pub(super) struct Pending {
    pub(super) nonce: u64,
    pub(super) purpose: Purpose,
    pub(super) epoch: Epoch,
    pub(super) expected: Sequence,
    /// Read before the first byte left: trust counts from here.
    pub(super) sent: Moment,
    pub(super) deadline: Moment,
}

#[derive(Debug, Default)]
pub(super) struct Writing {
    pub(super) pending: Option<Pending>,
    unanswered: VecDeque<Pending>,
    nonce: u64,
    pub(super) failures: u32,
    pub(super) due: Moment,
}

impl Writing {
    pub(super) const fn next_nonce(&mut self) -> u64 {
        self.nonce += 1;
        self.nonce
    }

    /// The write under way, if it bears this nonce; it is under way no longer.
    pub(super) fn take(&mut self, nonce: u64) -> Option<Pending> {
        self.pending.take_if(|pending| pending.nonce == nonce)
    }

    /// The write with this nonce, under way or unanswered: its record has been seen.
    pub(super) fn recognise(&mut self, nonce: u64) -> Option<Pending> {
        if let Some(pending) = self.take(nonce) {
            return Some(pending);
        }
        let place = self
            .unanswered
            .iter()
            .position(|write| write.nonce == nonce)?;
        self.unanswered.remove(place)
    }

    /// The write under way will not be answered.
    pub(super) fn lose_sight(&mut self) {
        if let Some(pending) = self.pending.take() {
            self.remember(pending);
        }
    }

    /// Keeps a write whose fate is not known.
    pub(super) fn remember(&mut self, write: Pending) {
        if self.unanswered.len() == UNANSWERED_MAX {
            self.unanswered.pop_front();
        }
        self.unanswered.push_back(write);
    }
}

#[cfg(test)]
mod tests {
    use super::{Early, Over, Pending, Purpose, UNANSWERED_MAX, Writing};
    use crate::leadership::Moment;
    use crate::number::{Epoch, Sequence};

    fn write(nonce: u64) -> Pending {
        let (over, early) = (Over::Lease, Early::No);
        Pending {
            nonce,
            purpose: Purpose::Acquire { over, early },
            epoch: Epoch::new(1),
            expected: Sequence::new(1),
            sent: Moment::default(),
            deadline: Moment::default(),
        }
    }

    #[test]
    fn so_many_unanswered_writes_are_remembered_and_no_more() {
        let last = u64::try_from(UNANSWERED_MAX).unwrap() + 1;
        let mut writing = Writing::default();
        (1..=last).for_each(|nonce| writing.remember(write(nonce)));
        let known = |nonce| writing.recognise(nonce).is_some();
        let known: Vec<bool> = (1..=last).map(known).collect();
        assert!(
            !known[0] && known[1..].iter().all(|known| *known),
            "{known:?}"
        );
    }

    #[test]
    fn a_write_is_recognised_once() {
        let mut writing = Writing {
            pending: Some(write(7)),
            ..Writing::default()
        };
        assert!(writing.take(6).is_none() && writing.recognise(6).is_none());
        writing.lose_sight();
        assert!(writing.pending.is_none() && writing.recognise(7).is_some());
        assert!(writing.recognise(7).is_none());
    }
}
