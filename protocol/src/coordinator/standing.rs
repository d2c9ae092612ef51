//! How a coordinator comes to lead and ceases to: the lease's news, the steps of a takeover, and
//! what makes it stop. It decides nothing about a job.

use std::time::Duration;

use super::ground::Same;
use super::{Coordinator, LedgerFacts, Role};
use crate::effects::{Effects, Stop};
use crate::job::JobState;
use crate::ledger::Ledger;
use crate::number::Epoch;
use crate::subject::AttemptName;
use crate::takeover::{Next, Step, Takeover, WorkTail};
use crate::time::Timestamp;

/// The first pause before another new epoch is taken soon after the last; it doubles each time.
const AGAIN_FIRST: Duration = Duration::from_millis(50);
/// The longest of these pauses.
const AGAIN_MAX: Duration = Duration::from_secs(2);
/// After this time without a new epoch the next one is taken at once.
const CALM: Duration = Duration::from_secs(10);

/// How soon the next new epoch is taken: at once, but a takeover that fails again and again must
/// not hammer the broker.
#[derive(Debug, Default)]
pub(super) struct Pace {
    last: Option<Timestamp>,
    pause: Duration,
}

impl Pace {
    /// When a new epoch that is needed now may be taken.
    fn next(&mut self, now: Timestamp) -> Timestamp {
        let is_calm = self.last.is_none_or(|last| now.since(last) >= CALM);
        self.pause = if is_calm {
            Duration::ZERO
        } else {
            (self.pause * 2).clamp(AGAIN_FIRST, AGAIN_MAX)
        };
        let at = now.after(self.pause);
        self.last = Some(at);
        at
    }
}

impl Coordinator {
    /// The lease was won, or a new epoch was taken.
    pub(super) fn take_over(&mut self, epoch: Epoch, effects: &mut Effects) {
        self.stand_back(Role::TakingOver(Takeover::new(epoch)), effects);
        self.highest = self.highest.max(epoch);
        self.look(epoch, effects);
    }

    fn look(&mut self, epoch: Epoch, effects: &mut Effects) {
        self.folded_at_look = self.ledger.last().cloned();
        effects.step = Some((epoch, Step::Look));
    }

    /// Leaves a role in which it wrote: what was outstanding waits, for all that a follower knows.
    pub(super) fn stand_back(&mut self, to: Role, effects: &mut Effects) {
        let before = std::mem::replace(&mut self.role, to);
        match before {
            Role::Leading(leader) => {
                effects.drop_writes = true;
                self.next_tag = leader.window.next_tag();
                for (accepted, out) in &leader.outstanding {
                    if let Some(key) = &out.key {
                        self.backlog.free(key, *accepted);
                    }
                    self.refresh(*accepted, effects);
                }
                // An expired job left the backlog when its request was to be written.
                for accepted in leader.errands.jobs() {
                    self.refresh(accepted, effects);
                }
                // Told by a leader only; nothing is decided by it.
                effects.told.clear();
            }
            Role::TakingOver(_) => effects.drop_writes = true,
            Role::Follower | Role::Advancing(_) | Role::Suspended | Role::Stopped(_) => {}
        }
    }

    /// Only a takeover with a new epoch settles what is in doubt.
    pub(super) fn in_doubt(&mut self, now: Timestamp, why: &str, effects: &mut Effects) {
        effects.alarms.push(format!("takeover again: {why}"));
        self.advance(now, self.highest, effects);
    }

    /// A takeover from its first step, with an epoch above all that are known.
    pub(super) fn advance(&mut self, now: Timestamp, floor: Epoch, effects: &mut Effects) {
        self.highest = self.highest.max(floor).max(self.ledger.newest_epoch());
        let at = self.pace.next(now);
        self.stand_back(Role::Advancing(Some(at)), effects);
        self.advance_if_due(now, effects);
    }

    /// Asks for the new epoch, once the pause is over.
    pub(super) fn advance_if_due(&mut self, now: Timestamp, effects: &mut Effects) {
        if let Role::Advancing(at) = &mut self.role
            && at.take_if(|at| *at <= now).is_some()
        {
            effects.advance = Some(self.highest);
        }
    }

    /// The lease is ours again; nobody led in between.
    pub(super) fn resumed(&mut self, now: Timestamp, effects: &mut Effects) {
        match self.role {
            Role::Follower | Role::Stopped(_) => {}
            Role::Advancing(_) | Role::TakingOver(_) | Role::Leading(_) | Role::Suspended => {
                self.in_doubt(now, "the lease was suspended", effects);
            }
        }
    }

    /// A barrier above our own epoch: stop writing before the next record is folded.
    pub(super) fn epoch_folded(&mut self, now: Timestamp, epoch: Epoch, effects: &mut Effects) {
        self.highest = self.highest.max(epoch);
        if self.epoch().is_some_and(|own| epoch > own) && !planted!(NewerEpochIgnored) {
            self.advance(now, epoch, effects);
        }
    }

    pub(super) fn stop(&mut self, stop: Stop, effects: &mut Effects) {
        self.stand_back(Role::Stopped(stop.clone()), effects);
        effects.stop = Some(stop);
    }

    /// The tail of the work queue and the ledger's facts were read.
    pub(super) fn looked(
        &mut self,
        now: Timestamp,
        epoch: Epoch,
        (tail, facts): (WorkTail, &LedgerFacts),
        effects: &mut Effects,
    ) {
        if !matches!(&self.role, Role::TakingOver(own) if own.epoch() == epoch && own.is_looking())
        {
            return;
        }
        let then = self.folded_at_look.take();
        match self.compare(now, facts, then.as_ref()) {
            Same::Yes => {}
            Same::No(why) => {
                self.stop(Stop::WentBack(why), effects);
                return;
            }
            // With a new epoch it is looked again, after a pause.
            Same::Behind => {
                self.advance(now, self.highest, effects);
                return;
            }
        }
        let Role::TakingOver(takeover) = &mut self.role else {
            return;
        };
        // The epoch of a barrier that we folded is used up, whatever the lease says.
        let next = if self.ledger.newest_epoch() >= epoch {
            Next::Advance(self.ledger.newest_epoch())
        } else {
            takeover.looked(tail)
        };
        self.go_on(now, epoch, next, effects);
    }

    /// A step was answered.
    pub(super) fn step_taken(
        &mut self,
        now: Timestamp,
        epoch: Epoch,
        effects: &mut Effects,
        take: impl FnOnce(&mut Takeover) -> Next,
    ) {
        if let Role::TakingOver(takeover) = &mut self.role
            && takeover.epoch() == epoch
        {
            let next = take(takeover);
            self.go_on(now, epoch, next, effects);
            self.caught_up(now, effects);
        }
    }

    /// The ledger, or what is known of its jobs, went on.
    pub(super) fn caught_up(&mut self, now: Timestamp, effects: &mut Effects) {
        let folded = self.ledger.last_sequence();
        if let Role::TakingOver(takeover) = &mut self.role {
            let ledger = &self.ledger;
            let epoch = takeover.epoch();
            let next = takeover.caught_up(folded, |name| is_read(ledger, name));
            self.go_on(now, epoch, next, effects);
        }
    }

    fn go_on(&mut self, now: Timestamp, epoch: Epoch, next: Next, effects: &mut Effects) {
        match next {
            Next::Lead(listed) => self.lead(now, epoch, listed, effects),
            Next::Step(Step::Look) => self.look(epoch, effects),
            Next::Step(step) => effects.step = Some((epoch, step)),
            Next::Advance(floor) => self.advance(now, floor, effects),
            Next::Wait => {}
        }
    }
}

/// Whether it is known what a job is, so that its key is known too.
fn is_read(ledger: &Ledger, name: &AttemptName) -> bool {
    !ledger
        .job(name.accepted)
        .is_some_and(|job| matches!(job.state, JobState::Unresolved(_)))
}
