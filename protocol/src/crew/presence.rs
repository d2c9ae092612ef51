//! A member's own record: written, renewed, and read back where an answer did not tell. Nobody
//! competes for it; another writes it only to evict the member.

use std::collections::VecDeque;

use super::exchange::{Content, OutReason};
use super::record::MemberState;
use super::rules::{Omission, Omitted};
use crate::leadership::{Incarnation, LeaseTimings, Moment};
use crate::number::Sequence;

/// Writes without an answer that are remembered. One that is forgotten and lands after all is known
/// by its incarnation, but gives no time.
const UNANSWERED_MAX: usize = 16;

/// A write of the own record.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Attempt {
    pub(super) id: u64,
    pub(super) nonce: u64,
    pub(super) state: MemberState,
    pub(super) obeys: Sequence,
    /// Read before the first byte left: trust counts from here.
    pub(super) sent: Moment,
    pub(super) deadline: Moment,
}

/// What is known of the own record.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Presence {
    /// The newest revision known to be ours; none before the first.
    pub(super) revision: Option<Sequence>,
    /// The permit ends here.
    pub(super) until: Moment,
    /// The plan that the stored record says is obeyed.
    pub(super) obeys: Sequence,
    pub(super) out: Option<OutReason>,
    pub(super) pending: Option<Attempt>,
    pub(super) unanswered: VecDeque<Attempt>,
    pub(super) nonce: u64,
    pub(super) failures: u32,
    /// When the next write is due.
    pub(super) due: Moment,
    /// A read must decide before the next write.
    pub(super) doubt: bool,
    pub(super) reading: Option<(u64, Moment)>,
    pub(super) read_due: Moment,
    pub(super) omitted: Omitted,
}

impl Presence {
    pub(super) const fn new(now: Moment, omitted: Omitted) -> Self {
        Self {
            revision: None,
            until: Moment::from_nanos(0),
            obeys: Sequence::new(0),
            out: None,
            pending: None,
            unanswered: VecDeque::new(),
            nonce: 0,
            failures: 0,
            due: now,
            doubt: false,
            reading: None,
            read_due: now,
            omitted,
        }
    }

    /// Whether the record is known to be stored, and not to be over.
    pub(super) const fn is_in(&self) -> bool {
        self.revision.is_some() && self.out.is_none()
    }

    /// Whether no write was ever sent: there is nothing to take back.
    pub(super) const fn never_written(&self) -> bool {
        self.nonce == 0
    }

    /// Leaves without a record.
    pub(super) fn leave_unwritten(&mut self) {
        self.out = Some(OutReason::Left);
    }

    /// What has run out: an answer that did not come leaves the write in doubt.
    pub(super) fn expire(&mut self, now: Moment, timings: &LeaseTimings) {
        if let Some(attempt) = self.pending.take_if(|attempt| attempt.deadline <= now) {
            self.unknown(now, attempt, timings);
        }
        if self.reading.is_some_and(|(_, deadline)| deadline <= now) {
            self.read_failed(now, timings);
        }
    }

    /// The connection is gone: nothing asked on it is answered.
    pub(super) fn disconnected(&mut self, now: Moment, timings: &LeaseTimings) {
        self.reading = None;
        if let Some(attempt) = self.pending.take() {
            self.unknown(now, attempt, timings);
        }
    }

    /// There is a connection: the first thing on it is a write.
    pub(super) fn connected(&mut self, now: Moment) {
        self.failures = 0;
        self.due = self.due.min(now);
        self.read_due = now;
    }

    fn unknown(&mut self, now: Moment, attempt: Attempt, timings: &LeaseTimings) {
        self.failed(now, timings);
        if self.unanswered.len() == UNANSWERED_MAX {
            self.unanswered.pop_front();
        }
        self.unanswered.push_back(attempt);
        self.in_doubt(now);
    }

    fn in_doubt(&mut self, now: Moment) {
        self.doubt = true;
        self.read_due = now;
    }

    fn failed(&mut self, now: Moment, timings: &LeaseTimings) {
        self.failures = self.failures.saturating_add(1);
        self.due = now.after(timings.pause(self.failures));
    }

    /// When to write next if there is something `urgent` to say, or not.
    pub(super) fn write_due(&self, now: Moment, urgent: bool) -> Option<Moment> {
        if self.pending.is_some() || self.doubt || self.out.is_some() {
            return None;
        }
        let at_once = urgent && self.failures == 0;
        Some(if at_once { now.min(self.due) } else { self.due })
    }

    /// Begins a write; the caller sends it.
    pub(super) fn write(
        &mut self,
        (now, id): (Moment, u64),
        (state, obeys): (MemberState, Sequence),
        timings: &LeaseTimings,
    ) -> (u64, Sequence) {
        self.nonce += 1;
        self.pending = Some(Attempt {
            id,
            nonce: self.nonce,
            state,
            obeys,
            sent: now,
            deadline: now.after(timings.request),
        });
        (self.nonce, self.revision.unwrap_or_default())
    }

    /// Begins a read if one must decide; the caller sends it.
    pub(super) fn read(&mut self, now: Moment, id: u64, timings: &LeaseTimings) -> bool {
        let due = self.doubt && self.reading.is_none() && self.read_due <= now;
        if due && self.out.is_none() {
            self.reading = Some((id, now.after(timings.request)));
        }
        due && self.out.is_none()
    }

    /// When something is due besides the writes.
    pub(super) fn wake(&self, connected: bool) -> Option<Moment> {
        let pending = self.pending.as_ref().map(|attempt| attempt.deadline);
        let reading = self.reading.map(|(_, deadline)| deadline);
        let reads = connected && self.doubt && self.reading.is_none() && self.out.is_none();
        let read = reads.then_some(self.read_due);
        [pending, reading, read].into_iter().flatten().min()
    }

    /// The write under way, if this is its answer.
    pub(super) fn answered(&mut self, id: u64) -> Option<Attempt> {
        self.pending.take_if(|attempt| attempt.id == id)
    }

    /// Whether this is the answer to the read under way.
    pub(super) fn take_read(&mut self, id: u64) -> bool {
        self.reading
            .take_if(|(reading, _)| *reading == id)
            .is_some()
    }

    pub(super) fn read_failed(&mut self, now: Moment, timings: &LeaseTimings) {
        self.reading = None;
        let pause = timings.pause(self.failures).max(timings.renew / 16);
        self.read_due = now.after(pause);
    }

    /// The write is refused, and another may follow.
    pub(super) fn refused(&mut self, now: Moment, timings: &LeaseTimings) {
        self.failed(now, timings);
        // A refusal comes back in no time, and would be asked for again as fast.
        self.due = self.due.max(now.after(timings.renew / 16));
    }

    /// The write is refused because of another revision: a read decides.
    pub(super) fn conflicted(&mut self, now: Moment, timings: &LeaseTimings) {
        self.failed(now, timings);
        self.in_doubt(now);
    }

    /// The answer tells nothing: a read decides.
    pub(super) fn unanswered(&mut self, now: Moment, attempt: Attempt, timings: &LeaseTimings) {
        self.unknown(now, attempt, timings);
    }

    /// A write of ours stands at this revision.
    pub(super) fn stored(
        &mut self,
        now: Moment,
        attempt: &Attempt,
        revision: Sequence,
        timings: &LeaseTimings,
    ) {
        let trusted_from = if self.omitted.is(Omission::FromSending) {
            now
        } else {
            attempt.sent
        };
        self.revision = Some(self.revision.unwrap_or_default().max(revision));
        // What was sent before it can land no more.
        self.unanswered.retain(|late| late.nonce > attempt.nonce);
        self.failures = 0;
        self.due = attempt.sent.after(timings.renew);
        self.obeys = self.obeys.max(attempt.obeys);
        self.until = self.until.max(trusted_from.after(timings.trust()));
        if attempt.state == MemberState::Left {
            self.out = Some(OutReason::Left);
        }
    }

    /// Takes what stood at the own key.
    pub(super) fn see(
        &mut self,
        now: Moment,
        me: &Incarnation,
        (revision, content): (Sequence, &Content),
        timings: &LeaseTimings,
    ) {
        let known = self.revision.unwrap_or_default();
        if revision < known && revision != Sequence::new(0) {
            // An older state than one already seen: the answer of a deposed stream leader.
            self.read_failed(now, timings);
            return;
        }
        match content {
            Content::Member(record) if record.incarnation == *me => match record.state {
                MemberState::Joined | MemberState::Left => {
                    self.ours(now, (revision, record.nonce, record.state), timings);
                }
                MemberState::Evicted if self.omitted.is(Omission::EvictedIsOut) => {
                    self.ours(now, (revision, 0, MemberState::Joined), timings);
                }
                MemberState::Evicted => {
                    self.out = Some(OutReason::Evicted(record.evicted_by.clone()));
                }
            },
            Content::Vacant if self.revision.is_none() => self.doubt = false,
            Content::Vacant => self.out = Some(OutReason::Deleted),
            Content::Member(_) | Content::Plan(_) | Content::Foreign(_) => {
                self.out = Some(OutReason::Overwritten);
            }
        }
    }

    fn ours(
        &mut self,
        now: Moment,
        (revision, nonce, state): (Sequence, u64, MemberState),
        timings: &LeaseTimings,
    ) {
        self.doubt = false;
        if self.revision == Some(revision) {
            return;
        }
        let mut attempt = self.pending.take_if(|attempt| attempt.nonce == nonce);
        if attempt.is_none() {
            let place = self.unanswered.iter().position(|late| late.nonce == nonce);
            attempt = place.and_then(|place| self.unanswered.remove(place));
        }
        match attempt {
            Some(attempt) => self.stored(now, &attempt, revision, timings),
            None => {
                // Ours, but its sending is not remembered: it gives no time.
                self.revision = Some(revision);
                self.due = now;
                if state == MemberState::Left {
                    self.out = Some(OutReason::Left);
                }
            }
        }
    }
}
