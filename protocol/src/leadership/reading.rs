//! When the record is read: each renew interval, at a hint that somebody wrote, and to decide what
//! became of a write of our own.

use std::time::Duration;

use super::moment::Moment;
use super::timings::LeaseTimings;

/// How long after a hint the record is read again if it had not changed yet: a hint may be quicker
/// than the storing.
const HINT_PAUSES: [Duration; 5] = [
    Duration::from_millis(2),
    Duration::from_millis(5),
    Duration::from_millis(15),
    Duration::from_millis(50),
    Duration::from_millis(200),
];

#[derive(Debug, Default)]
pub(super) struct Reading {
    pending: Option<(u64, Moment)>,
    id: u64,
    due: Moment,
    failures: u32,
    hinted: Option<usize>,
    /// Set while a read must decide before the next write.
    doubt: bool,
}

impl Reading {
    pub(super) const fn in_doubt(&self) -> bool {
        self.doubt
    }

    /// When the next read is due, or the one under way is given up.
    pub(super) fn wake(&self) -> Moment {
        self.pending.map_or(self.due, |(_, deadline)| deadline)
    }

    /// A read must decide before the next write.
    pub(super) fn doubt(&mut self, now: Moment) {
        self.doubt = true;
        self.soon(now);
    }

    /// Somebody wrote, or seems to.
    pub(super) fn hint(&mut self, now: Moment) {
        self.hinted = Some(0);
        self.soon(now);
    }

    /// Reads at the next occasion.
    pub(super) fn soon(&mut self, now: Moment) {
        self.due = self.due.min(now);
    }

    /// What was asked on another connection is not answered any more.
    pub(super) fn abandon(&mut self) {
        self.pending = None;
    }

    /// Starts a read if one is due.
    pub(super) fn start(&mut self, now: Moment, request: Duration) -> Option<u64> {
        if self.pending.is_some() || now < self.due {
            return None;
        }
        self.id += 1;
        self.pending = Some((self.id, now.after(request)));
        Some(self.id)
    }

    /// Gives up a read that was not answered in time.
    pub(super) fn expire(&mut self, now: Moment, timings: &LeaseTimings) {
        if self.pending.is_some_and(|(_, deadline)| deadline <= now) {
            self.failed(now, timings);
        }
    }

    /// Whether this is the answer to the read under way.
    pub(super) fn take(&mut self, id: u64) -> bool {
        let ours = self.pending.is_some_and(|(pending, _)| pending == id);
        if ours {
            self.pending = None;
        }
        ours
    }

    /// The read under way failed.
    pub(super) fn failed(&mut self, now: Moment, timings: &LeaseTimings) {
        self.pending = None;
        self.failures = self.failures.saturating_add(1);
        // Never at once: a refusal comes back in no time, and would be asked for again as fast.
        let pause = timings.pause(self.failures).max(timings.renew / 16);
        self.due = now.after(pause);
    }

    /// The record is known as it stands now; without another reason it is read after `pause`.
    pub(super) fn news(&mut self, now: Moment, pause: Duration) {
        self.failures = 0;
        self.doubt = false;
        self.hinted = None;
        self.due = now.after(pause);
    }

    /// The record was read, and is as it was.
    pub(super) fn unchanged(&mut self, now: Moment, timings: &LeaseTimings) {
        self.failures = 0;
        self.doubt = false;
        let pause = self.hinted.and_then(|place| HINT_PAUSES.get(place));
        self.hinted = pause.and(self.hinted).map(|place| place + 1);
        self.due = now.after(*pause.unwrap_or(&timings.renew));
    }
}
