//! What only a leader keeps: what is outstanding, the window, the endings under way, the audit.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::id::{Key, QueueName};
use crate::number::{Accepted, Attempt, Epoch, Sequence};
use crate::takeover::Listed;
use crate::time::Timestamp;
use crate::window::Window;

/// Fewest places that a queue has in the work queue.
pub const PLACES_MIN: u64 = 16;
/// How many places a queue has for each slot of its workers.
pub const PLACES_PER_SLOT: u64 = 2;
/// How often a leader audits.
pub const AUDIT_EVERY: Duration = Duration::from_secs(60);
/// How long a refused or unanswered record waits before it is written again.
pub const RECORD_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How long dispatch pauses when the work queue has no room.
pub const FULL_PAUSE: Duration = Duration::from_secs(1);

/// A leader.
#[derive(Debug)]
pub struct Leader {
    /// Its epoch.
    pub(crate) epoch: Epoch,
    /// The sequence of its last fence record.
    pub(crate) fence_last: Sequence,
    /// Its writes under way.
    pub(crate) window: Window,
    /// Which queue comes first in the next round, so that none starves another.
    pub(crate) turn: usize,
    /// No dispatch before this time.
    pub(crate) paused_until: Option<Timestamp>,
    /// Attempts that stand in the work queue without an outcome, or are on their way there.
    pub(crate) outstanding: BTreeMap<Accepted, Outstanding>,
    /// How many of them each queue has.
    pub(crate) places: BTreeMap<QueueName, u64>,
    /// Records on their way to the ledger: not written again before this time.
    pub(crate) writing: BTreeMap<Accepted, Timestamp>,
    /// The audit.
    pub(crate) audit: Audit,
}

/// An attempt that stands in the work queue without an outcome, or is on its way there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outstanding {
    /// Which try.
    pub attempt: Attempt,
    /// Its queue.
    pub queue: QueueName,
    /// Its key, which is taken until the attempt has its outcome.
    pub key: Option<Key>,
    /// Where it is stored; `None` while its write has no answer.
    pub stored: Option<Sequence>,
}

/// Where the audit stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audit {
    /// The next one starts at this time.
    Due(Timestamp),
    /// It was listed after the work queue's sequence `mark` was answered.
    Listing {
        /// Attempts stored later are not judged.
        mark: Sequence,
    },
    /// Listed; judged when the ledger is folded up to `until`.
    CatchingUp {
        /// Attempts stored later are not judged.
        mark: Sequence,
        /// The ledger's last sequence, read after the listing.
        until: Sequence,
        /// What stood in the work queue.
        listed: Listed,
    },
}

impl Leader {
    pub(crate) fn new(epoch: Epoch, fence_last: Sequence, window: Window, now: Timestamp) -> Self {
        Self {
            epoch,
            fence_last,
            window,
            turn: 0,
            paused_until: None,
            outstanding: BTreeMap::new(),
            places: BTreeMap::new(),
            writing: BTreeMap::new(),
            audit: Audit::Due(now.after(AUDIT_EVERY)),
        }
    }

    pub(crate) fn put_out(&mut self, accepted: Accepted, outstanding: Outstanding) {
        *self.places.entry(outstanding.queue.clone()).or_default() += 1;
        self.outstanding.insert(accepted, outstanding);
    }

    pub(crate) fn take_in(&mut self, accepted: Accepted) -> Option<Outstanding> {
        let outstanding = self.outstanding.remove(&accepted)?;
        if let Some(places) = self.places.get_mut(&outstanding.queue) {
            *places = places.saturating_sub(1);
        }
        Some(outstanding)
    }

    /// The highest sequence of the work queue that an answered write of ours has.
    pub(crate) fn stored_mark(&self) -> Sequence {
        self.outstanding
            .values()
            .filter_map(|outstanding| outstanding.stored)
            .max()
            .unwrap_or(self.fence_last)
    }

    /// Whether a record for the job may be written now.
    pub(crate) fn may_write(&self, accepted: Accepted, now: Timestamp) -> bool {
        self.writing
            .get(&accepted)
            .is_none_or(|again| *again <= now)
    }

    pub(crate) fn next_time(&self) -> Option<Timestamp> {
        let audit = match &self.audit {
            Audit::Due(at) => Some(*at),
            Audit::Listing { .. } | Audit::CatchingUp { .. } => None,
        };
        let writes = self.writing.values().min().copied();
        [audit, writes, self.paused_until]
            .into_iter()
            .flatten()
            .min()
    }
}
