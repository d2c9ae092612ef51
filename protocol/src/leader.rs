//! What only a leader keeps: what is outstanding, the window, the records to write, the audit.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::errands::Errands;
use crate::id::{Key, Kind, QueueName};
use crate::number::{Accepted, Attempt, Epoch, Sequence};
use crate::takeover::Listed;
use crate::time::Timestamp;
use crate::window::Window;
use crate::workers::Capacity;

/// Fewest places that a queue has in the work queue.
pub const PLACES_MIN: u64 = 16;
/// How many places a queue has for each slot of its workers.
pub const PLACES_PER_SLOT: u64 = 2;
/// How often a leader audits.
pub const AUDIT_EVERY: Duration = Duration::from_secs(60);
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
    /// Which queue was looked at last, so that none starves another.
    pub(crate) turn: Option<QueueName>,
    /// The state of the workers for which the queues were looked at.
    pub(crate) workers_seen: u64,
    /// No dispatch before this time.
    pub(crate) paused_until: Option<Timestamp>,
    /// Attempts that stand in the work queue without an outcome, or are on their way there.
    pub(crate) outstanding: BTreeMap<Accepted, Outstanding>,
    /// How many of them each queue has.
    pub(crate) places: BTreeMap<QueueName, Places>,
    /// Records to write into the ledger.
    pub(crate) errands: Errands,
    /// Jobs that can never be dispatched, and why: they are discarded.
    pub(crate) unsendable: BTreeMap<Accepted, String>,
    /// The audit.
    pub(crate) audit: Audit,
    /// What the last listing showed although its outcome is recorded.
    pub(crate) spent: BTreeSet<(Accepted, Attempt)>,
}

/// An attempt that stands in the work queue without an outcome, or is on its way there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outstanding {
    /// Which try.
    pub attempt: Attempt,
    /// Its queue.
    pub queue: QueueName,
    /// Its kind.
    pub kind: Kind,
    /// Its key, which is taken until the attempt has its outcome.
    pub key: Option<Key>,
    /// Where it is stored; `None` while its write has no answer.
    pub stored: Option<Sequence>,
}

/// The outstanding attempts of a queue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    /// All of them.
    pub taken: u64,
    kinds: BTreeMap<Kind, u64>,
}

impl Places {
    /// Those that the workers here can run: what they cannot must not stand in the way of the rest.
    #[must_use]
    pub fn handled(&self, capacity: Option<&Capacity>) -> u64 {
        let Some(capacity) = capacity else {
            return self.taken;
        };
        let handled = self.kinds.iter().filter(|(kind, _)| capacity.handles(kind));
        handled.map(|(_, taken)| taken).sum()
    }
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
            turn: None,
            workers_seen: 0,
            paused_until: None,
            outstanding: BTreeMap::new(),
            places: BTreeMap::new(),
            errands: Errands::default(),
            unsendable: BTreeMap::new(),
            audit: Audit::Due(now.after(AUDIT_EVERY)),
            spent: BTreeSet::new(),
        }
    }

    pub(crate) fn put_out(&mut self, accepted: Accepted, out: Outstanding) {
        // By reference first: a queue is new once and used a million times.
        if !self.places.contains_key(&out.queue) {
            self.places.insert(out.queue.clone(), Places::default());
        }
        if let Some(places) = self.places.get_mut(&out.queue) {
            places.taken += 1;
            match places.kinds.get_mut(&out.kind) {
                Some(taken) => *taken += 1,
                None => {
                    places.kinds.insert(out.kind.clone(), 1);
                }
            }
        }
        self.outstanding.insert(accepted, out);
    }

    pub(crate) fn take_in(&mut self, accepted: Accepted) -> Option<Outstanding> {
        let out = self.outstanding.remove(&accepted)?;
        if let Some(places) = self.places.get_mut(&out.queue) {
            places.taken = places.taken.saturating_sub(1);
            if let Some(taken) = places.kinds.get_mut(&out.kind) {
                *taken = taken.saturating_sub(1);
                if *taken == 0 {
                    places.kinds.remove(&out.kind);
                }
            }
        }
        Some(out)
    }

    /// The highest sequence of the work queue that an answered write of ours has.
    pub(crate) fn stored_mark(&self) -> Sequence {
        self.outstanding
            .values()
            .filter_map(|outstanding| outstanding.stored)
            .max()
            .unwrap_or(self.fence_last)
    }

    pub(crate) fn next_time(&self) -> Option<Timestamp> {
        let audit = match &self.audit {
            Audit::Due(at) => Some(*at),
            Audit::Listing { .. } | Audit::CatchingUp { .. } => None,
        };
        [audit, self.errands.next_time(), self.paused_until]
            .into_iter()
            .flatten()
            .min()
    }
}
