//! The holder's part: trust, renewal, suspension, new epochs, release. Each tenure that was told as
//! acquired ends with exactly one notice.

use std::time::Duration;

use super::contest::{Contest, leader};
use super::exchange::{AdvanceRefused, Effect, LostReason, Notice, ResignRefused, Standing};
use super::moment::Moment;
use super::observation::{Content, Sighting};
use super::record::{EPOCH_MAX, LeaseRecord, LeaseState};
use super::rules::Mode;
use super::timings::LeaseTimings;
use super::writing::{Early, Over, Pending, Purpose};
use crate::number::{Epoch, Sequence};
use crate::time::Timestamp;

/// How far a tenure has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The record names us; the program does not know yet.
    Won,
    /// The program acts as leader.
    Holding,
    /// Trust ran out before a renewal.
    Suspended,
}

/// A leadership from the record that won it to its end.
#[derive(Debug)]
pub(super) struct Tenure {
    pub(super) epoch: Epoch,
    pub(super) revision: Sequence,
    pub(super) acquired: Timestamp,
    phase: Phase,
    /// Trust ends here.
    until: Moment,
    /// In strict mode: older holders that nothing is known of trust their leases until here.
    acts_from: Moment,
    /// The epoch must be raised before the program acts under it.
    raise: bool,
    /// The program waits for an epoch above this one.
    advance: Option<Epoch>,
    /// The program has stopped its work, or must; by when the release must be answered.
    resigning: Option<Moment>,
    /// Whether it ends because the program made no progress.
    stalled: Option<Stalled>,
    next_beat: Moment,
}

/// What becomes of the lease of a program that makes no progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stalled {
    /// What it still does is refused by the fence: others may lead at once.
    Release,
    /// What it began may go on as long as its permit could have lasted: others wait the lease out.
    Abandon,
    /// The program has stopped its work after all, and waits for the answer.
    Resign,
}

/// How a tenure ends.
#[derive(Debug)]
pub(super) enum End {
    Released,
    Lost(LostReason),
}

impl Tenure {
    pub(super) fn wake(&self, now: Moment) -> Moment {
        match self.phase {
            Phase::Won if self.is_preceded(now) => self.acts_from,
            _ if let Some(give_up) = self.resigning => give_up,
            Phase::Holding => self.until,
            Phase::Won | Phase::Suspended => Moment::from_nanos(u64::MAX),
        }
    }

    /// Whether others may still trust older leases that nothing is known of.
    pub(super) fn is_preceded(&self, now: Moment) -> bool {
        now < self.acts_from
    }

    pub(super) const fn is_ending(&self) -> bool {
        self.resigning.is_some()
    }

    /// Whether the next write does more than renew: then it does not wait for its time.
    fn is_pressed(&self) -> bool {
        let advances = self.advance.is_some_and(|floor| self.epoch <= floor);
        self.raise || advances || self.resigning.is_some()
    }

    pub(super) const fn standing(&self) -> Standing {
        match self.phase {
            _ if self.resigning.is_some() => Standing::Resigning(self.epoch),
            Phase::Won => Standing::Candidate,
            Phase::Holding => Standing::Leading(self.epoch, self.until),
            Phase::Suspended => Standing::Suspended(self.epoch),
        }
    }

    /// What to write next and under which epoch, given the epoch after all known ones.
    pub(super) fn next_write(
        &self,
        now: Moment,
        above_all: Option<Epoch>,
    ) -> Option<(Purpose, Epoch)> {
        if self.resigning.is_some() {
            if self.stalled == Some(Stalled::Abandon) {
                return None;
            }
            // A release would let others act at once, beside whoever still trusts an older lease.
            return (!self.is_preceded(now)).then_some((Purpose::Release, self.epoch));
        }
        if self.advance.is_some() || self.raise {
            return above_all.map(|epoch| (Purpose::Renew, epoch));
        }
        Some((Purpose::Renew, self.epoch))
    }
}

impl Contest {
    pub(super) fn resign(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        self.campaigning = false;
        let lease = self.rules.timings.lease;
        let give_up = now.after(lease);
        let Some(tenure) = &mut self.tenure else {
            effects.push(Effect::Resigned(Ok(())));
            return;
        };
        tenure
            .resigning
            .get_or_insert(give_up.max(tenure.acts_from.after(lease)));
        tenure.stalled = tenure.stalled.map(|_| Stalled::Resign);
        if tenure.phase == Phase::Won {
            // The program was never told that it leads.
            effects.push(Effect::Resigned(Ok(())));
        }
        self.writing.due = now;
        if self.trusted.take().is_some() {
            effects.push(Effect::Distrust);
        }
    }

    /// Ends the leadership of a program that makes no progress: its permits at once, its lease by a
    /// release or by no renewal.
    pub(super) fn watch_progress(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        if self.progresses() {
            return;
        }
        let Some(tenure) = self.tenure.as_mut().filter(|tenure| !tenure.is_ending()) else {
            return;
        };
        let (stalled, give_up) = match self.rules.mode {
            Mode::Fenced => (Stalled::Release, now.after(self.rules.timings.lease)),
            Mode::Strict => (Stalled::Abandon, tenure.until),
        };
        tenure.stalled = Some(stalled);
        tenure.resigning = Some(give_up);
        self.writing.due = now;
        if self.trusted.take().is_some() {
            effects.push(Effect::Distrust);
        }
    }

    /// Lets the candidates know that the holder lives, where they would act on its silence.
    pub(super) fn send_beat(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        if self.next_beat().is_some_and(|due| due <= now)
            && let Some(tenure) = &mut self.tenure
        {
            tenure.next_beat = now.after(self.rules.detection.beat_every);
            effects.push(Effect::Beat);
        }
    }

    pub(super) fn next_beat(&self) -> Option<Moment> {
        let tenure = self.tenure.as_ref()?;
        (self.rules.mode == Mode::Fenced).then_some(tenure.next_beat)
    }

    pub(super) fn advance(&mut self, now: Moment, floor: Epoch, effects: &mut Vec<Effect>) {
        let refuse = |refused| Effect::Advanced(Err(refused));
        let leads = |tenure: &&mut Tenure| tenure.phase != Phase::Won && tenure.resigning.is_none();
        let Some(tenure) = self.tenure.as_mut().filter(leads) else {
            effects.push(refuse(AdvanceRefused::NotLeading));
            return;
        };
        if tenure.advance.is_some() {
            effects.push(refuse(AdvanceRefused::UnderWay));
            return;
        }
        if floor >= EPOCH_MAX {
            effects.push(refuse(AdvanceRefused::TooHigh(floor)));
            return;
        }
        tenure.advance = Some(floor.max(tenure.epoch));
        self.highest = self.highest.max(floor).max(tenure.epoch);
        self.writing.due = now;
    }

    /// How long a request of ours is worth waiting for.
    pub(super) fn trust_left(&self, now: Moment) -> Duration {
        let until = self.trusted.map(|(_, until)| until);
        until.map_or(Duration::MAX, |until| until.since(now))
    }

    /// A write of ours is known to be stored.
    pub(super) fn stored(
        &mut self,
        now: Moment,
        write: &Pending,
        revision: Sequence,
        effects: &mut Vec<Effect>,
    ) {
        let record = self.record(write.purpose, write.epoch, write.nonce);
        self.ours(now, (revision, record), Some(write), effects);
    }

    /// The key holds a record of ours, newer than what we knew. `write` is the attempt that it came
    /// from, if we remember it: trust counts from its sending, never from now.
    pub(super) fn ours(
        &mut self,
        now: Moment,
        (revision, record): (Sequence, LeaseRecord),
        write: Option<&Pending>,
        effects: &mut Vec<Effect>,
    ) {
        let timings = self.rules.timings;
        self.behind_since = None;
        // The holder's renewals tell it enough; it reads when one is overdue.
        self.reading.news(now, timings.come_back());
        self.writing.failures = 0;
        self.writing.due = write.map_or(now, |write| write.sent.after(timings.renew));
        self.tally.stored += u64::from(write.is_some());
        let (epoch, state) = (record.epoch, record.state);
        let acquired = record.acquired;
        self.seen = Some(Sighting {
            revision,
            at: now,
            content: Content::Lease(record),
        });
        if state == LeaseState::Released {
            self.highest = self.highest.max(epoch);
            self.end(now, End::Released, effects);
            return;
        }
        let until = write.map(|write| write.sent.after(timings.trust()));
        match &mut self.tenure {
            Some(tenure) => {
                if tenure.phase == Phase::Holding && write.is_some() {
                    let left = tenure.until.since(now);
                    let least = self.tally.trust_left_min.get_or_insert(left);
                    *least = left.min(*least);
                }
                tenure.revision = revision;
                tenure.raise &= epoch <= tenure.epoch;
                tenure.epoch = tenure.epoch.max(epoch);
                tenure.until = tenure.until.max(until.unwrap_or(tenure.until));
            }
            None => self.begin(now, (revision, epoch, acquired), write),
        }
        self.highest = self.highest.max(epoch);
        if self.tenure.as_ref().is_some_and(Tenure::is_pressed) {
            self.writing.due = now;
        }
        self.watch_trust(now, effects);
    }

    fn begin(
        &mut self,
        now: Moment,
        (revision, epoch, acquired): (Sequence, Epoch, Timestamp),
        write: Option<&Pending>,
    ) {
        let timings = self.rules.timings;
        let (over, early) = match write.map(|write| write.purpose) {
            Some(Purpose::Acquire { over, early }) => (over, early),
            Some(Purpose::Renew | Purpose::Release) | None => (Over::Vacancy, Early::No),
        };
        if early == Early::Yes {
            self.damping.note(now);
            self.tally.early_takeovers += 1;
        }
        // Absence may be the work of a deletion: nothing is known of who trusts what. The first
        // message of a fresh stream has no predecessor.
        let fresh = revision == Sequence::new(1);
        let unknown = over == Over::Vacancy && !fresh && self.rules.mode == Mode::Strict;
        let wait = if unknown {
            LeaseTimings::outwait(self.rules.lease_max)
        } else {
            Duration::ZERO
        };
        self.tenure = Some(Tenure {
            epoch,
            revision,
            acquired,
            phase: Phase::Won,
            until: write.map_or(now, |write| write.sent.after(timings.trust())),
            acts_from: now.after(wait),
            raise: epoch <= self.highest,
            advance: None,
            // A late write of a candidacy that was given up: give the lease back.
            resigning: (!self.campaigning).then(|| now.after(wait).after(timings.lease)),
            stalled: None,
            next_beat: now.after(self.rules.detection.beat_every),
        });
    }

    /// Brings trust, phase and what the program knows in line with the time.
    pub(super) fn watch_trust(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let mode = self.rules.mode;
        let Some(tenure) = &mut self.tenure else {
            return;
        };
        if let Some(give_up) = tenure.resigning {
            if give_up <= now {
                self.end(now, End::Lost(LostReason::Unanswered), effects);
            }
            return;
        }
        let epoch = tenure.epoch;
        let trusted = now < tenure.until && now >= tenure.acts_from && !tenure.raise;
        let notice = match tenure.phase {
            Phase::Holding if now >= tenure.until => {
                tenure.phase = Phase::Suspended;
                tenure.raise = mode == Mode::Strict;
                self.tally.suspended += 1;
                self.trusted = None;
                effects.push(Effect::Distrust);
                effects.push(Effect::Notify(Notice::Suspended { epoch }));
                return;
            }
            Phase::Won if trusted => {
                self.tally.acquired += 1;
                Some(Notice::Acquired { epoch })
            }
            Phase::Suspended if trusted => Some(Notice::Resumed { epoch }),
            Phase::Holding => None,
            Phase::Won | Phase::Suspended => return,
        };
        tenure.phase = Phase::Holding;
        if self.trusted != Some((epoch, tenure.until)) {
            self.trusted = Some((epoch, tenure.until));
            effects.push(Effect::Trust(epoch, tenure.until));
        }
        effects.extend(notice.map(Effect::Notify));
        if tenure.advance.take_if(|floor| *floor < epoch).is_some() {
            effects.push(Effect::Advanced(Ok(epoch)));
        }
    }

    /// The key holds something of somebody else, newer than our record: the tenure is over.
    pub(super) fn displaced(&mut self, now: Moment, content: &Content, effects: &mut Vec<Effect>) {
        let reason = match content {
            Content::Lease(record) => match record.state {
                LeaseState::Held => LostReason::TakenOver(leader(record)),
                LeaseState::Released => LostReason::Released,
            },
            Content::Foreign(_) => LostReason::Overwritten,
            Content::Vacant => LostReason::Deleted,
        };
        self.end(now, End::Lost(reason), effects);
    }

    /// Ends the tenure, if there is one, with its one notice.
    pub(super) fn end(&mut self, now: Moment, end: End, effects: &mut Vec<Effect>) {
        let Some(tenure) = self.tenure.take() else {
            return;
        };
        let epoch = tenure.epoch;
        let end = match end {
            End::Released | End::Lost(LostReason::Unanswered) if tenure.stalled.is_some() => {
                End::Lost(LostReason::Stalled)
            }
            End::Released | End::Lost(_) => end,
        };
        self.highest = self.highest.max(epoch);
        self.writing.failures = 0;
        self.writing.due = now;
        if self.trusted.take().is_some() {
            effects.push(Effect::Distrust);
        }
        if tenure.advance.is_some() {
            effects.push(Effect::Advanced(Err(AdvanceRefused::Ended)));
        }
        // One who was never told that it led need not be told that it ended.
        if tenure.phase != Phase::Won {
            let resigned = match &end {
                End::Released => Ok(()),
                End::Lost(reason) => Err(ResignRefused(reason.clone())),
            };
            effects.push(Effect::Notify(match end {
                End::Released => Notice::Released { epoch },
                End::Lost(reason) => {
                    self.tally.lost += 1;
                    Notice::Lost { epoch, reason }
                }
            }));
            let asked = matches!(tenure.stalled, None | Some(Stalled::Resign));
            if asked && tenure.resigning.is_some() {
                effects.push(Effect::Resigned(resigned));
            }
        }
        if self.campaigning {
            effects.push(Effect::Notify(Notice::Candidate));
        }
    }
}
