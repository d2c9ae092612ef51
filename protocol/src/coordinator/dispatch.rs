//! What runs next, and what the answers to dispatches mean.

use std::sync::Arc;

use super::{Coordinator, Role};
use crate::answer::Answer;
use crate::config::QueueConfig;
use crate::effects::{Dispatch, Effects};
use crate::id::QueueName;
use crate::job::JobState;
use crate::leader::{FULL_PAUSE, Leader, Outstanding, PLACES_MIN, PLACES_PER_SLOT, Places};
use crate::number::{Accepted, Attempt, Epoch, Sequence};
use crate::subject::{AttemptName, JobName};
use crate::submission::JobSpec;
use crate::takeover::Listed;
use crate::time::Timestamp;
use crate::window::{Flight, Landing, Window};
use crate::workers::Capacity;

impl Coordinator {
    /// The takeover is finished: what is listed without an outcome is outstanding, all else waits.
    pub(super) fn lead(
        &mut self,
        now: Timestamp,
        epoch: Epoch,
        listed: Listed,
        effects: &mut Effects,
    ) {
        let tag = if planted!(OldTags) { 1 } else { self.next_tag };
        let window = Window::new(self.width, listed.fence_last).tagged_from(tag);
        let mut leader = Leader::new(epoch, listed.fence_last, window, now);
        for name in &listed.attempts {
            self.adopt(&mut leader, name, listed.fence_last);
        }
        leader.spent = self.spent(&listed).map(AttemptName::numbers).collect();
        for accepted in &self.to_end {
            if !leader.outstanding.contains_key(accepted) {
                leader.errands.add(*accepted);
            }
        }
        self.backlog.stir_all();
        self.workers.watch_anew(now);
        self.role = Role::Leading(Box::new(leader));
        if listed.strangers > 0 {
            effects.alarms.push(format!(
                "{} subjects in the work queue that no rule makes",
                listed.strangers
            ));
        }
        effects.purge_fences = listed.old_fences;
        let queues: Vec<QueueName> = self.ledger.configured().map(|(q, _)| q.clone()).collect();
        for queue in queues {
            self.want_consumer(&queue, effects);
        }
    }

    /// Takes a listed attempt as outstanding, if it has no outcome.
    pub(super) fn adopt(&mut self, leader: &mut Leader, name: &AttemptName, stored: Sequence) {
        let JobName::Named { queue, .. } = &name.job else {
            return;
        };
        let Some(job) = self.ledger.job(name.accepted) else {
            return;
        };
        let JobState::Open(open) = &job.state else {
            return;
        };
        if job.name != name.job || open.next() != name.attempt {
            return;
        }
        if planted!(AdoptsNothing) {
            return;
        }
        let key = open.spec.key.clone().filter(|_| !planted!(AdoptedKeyFree));
        self.backlog.remove(name.accepted);
        if let Some(key) = &key {
            self.backlog.occupy(key, name.accepted);
        }
        let outstanding = Outstanding {
            attempt: name.attempt,
            queue: queue.clone(),
            kind: open.spec.kind.clone(),
            key,
            stored: Some(stored),
        };
        leader.put_out(name.accepted, outstanding);
    }

    /// What a leader does after every event: end what is to end, dispatch what has room, look after
    /// the workers. Each looks first whether there is anything to do.
    pub(super) fn lead_on(&mut self, now: Timestamp, effects: &mut Effects) {
        if !self.is_leading() {
            return;
        }
        self.backlog.promote(now);
        if self.frozen.is_none() {
            self.end(now, effects);
            self.dispatch(now, effects);
        }
        self.look_after_workers(now, effects);
        self.start_audit(now, effects);
    }

    fn dispatch(&mut self, now: Timestamp, effects: &mut Effects) {
        let Role::Leading(leader) = &mut self.role else {
            return;
        };
        leader.paused_until = leader.paused_until.filter(|until| now < *until);
        if leader.paused_until.is_some() {
            return;
        }
        if leader.workers_seen != self.workers.changes() {
            leader.workers_seen = self.workers.changes();
            self.backlog.stir_all();
        }
        while leader.window.has_room() {
            let Some(queue) = self.backlog.next_stirred(leader.turn.as_ref()).cloned() else {
                return;
            };
            let Some(config) = self.ledger.queue_config(&queue) else {
                self.backlog.settle(&queue);
                continue;
            };
            let capacity = self.workers.capacity(&queue);
            let room = Room::new(capacity, config);
            while leader.window.has_room() && room.is_there(leader.places.get(&queue), capacity) {
                let handled = |kind: &_| capacity.is_none_or(|capacity| capacity.handles(kind));
                let Some(accepted) = self.backlog.first_ready(&queue, handled) else {
                    break;
                };
                let Some((name, out, spec)) = take(&self.ledger, &mut self.backlog, accepted)
                else {
                    break;
                };
                let (flight, expected) = leader.window.start(accepted, out.attempt);
                leader.put_out(accepted, out);
                effects.dispatch.push(Dispatch {
                    tag: flight.tag,
                    expected,
                    name,
                    epoch: leader.epoch,
                    spec,
                });
            }
            // With a full window it goes on here later, after the other queues.
            if leader.window.has_room() {
                self.backlog.settle(&queue);
            }
            leader.turn = Some(queue);
        }
    }

    /// A dispatch was answered.
    pub(super) fn landed(
        &mut self,
        now: Timestamp,
        tag: u64,
        answer: Answer,
        effects: &mut Effects,
    ) {
        let Role::Leading(leader) = &mut self.role else {
            return;
        };
        let landing = leader.window.land(tag, answer);
        self.landing(now, landing, effects);
    }

    /// A dispatch can never be sent: its job is discarded, whatever attempt it is.
    pub(super) fn unsendable(
        &mut self,
        now: Timestamp,
        tag: u64,
        why: String,
        effects: &mut Effects,
    ) {
        let Role::Leading(leader) = &mut self.role else {
            return;
        };
        if let Some(flight) = leader.window.flight(tag) {
            leader.unsendable.insert(flight.accepted, why);
        }
        let landing = leader.window.unsendable(tag);
        self.landing(now, landing, effects);
    }

    fn landing(&mut self, now: Timestamp, landing: Landing, effects: &mut Effects) {
        let Role::Leading(leader) = &mut self.role else {
            return;
        };
        match landing {
            Landing::Stored(flight, sequence) => note_stored(leader, &flight, sequence),
            Landing::Waits => {}
            Landing::InDoubt(why) => self.in_doubt(now, &why, effects),
            Landing::Settled {
                again,
                there,
                never,
                full,
            } => {
                // Above all that an audit under way may judge: its listing may be older.
                let mark = leader.window.last().next();
                for flight in &there {
                    note_stored(leader, flight, mark);
                }
                if full {
                    leader.paused_until = Some(now.after(FULL_PAUSE));
                    effects.alarms.push(
                        "the work queue has no room: dispatch pauses; free disk or raise the account's limit".to_owned(),
                    );
                }
                for flight in never {
                    self.take_out(flight.accepted, flight.attempt);
                }
                for flight in again {
                    self.take_back(flight.accepted, flight.attempt, effects);
                }
            }
        }
    }

    /// An attempt that can never stand in the work queue: what ends its job is written instead.
    fn take_out(&mut self, accepted: Accepted, attempt: Attempt) {
        let Role::Leading(leader) = &mut self.role else {
            return;
        };
        if leader
            .outstanding
            .get(&accepted)
            .is_some_and(|out| out.attempt == attempt)
            && let Some(out) = leader.take_in(accepted)
        {
            self.backlog.stir(&out.queue);
            if let Some(key) = &out.key {
                self.backlog.free(key, accepted);
            }
            leader.errands.add(accepted);
        }
    }

    /// An attempt that does not stand in the work queue waits again.
    pub(super) fn take_back(
        &mut self,
        accepted: Accepted,
        attempt: Attempt,
        effects: &mut Effects,
    ) {
        let Role::Leading(leader) = &mut self.role else {
            return;
        };
        if leader
            .outstanding
            .get(&accepted)
            .is_some_and(|out| out.attempt == attempt)
        {
            if let Some(out) = leader.take_in(accepted) {
                self.backlog.stir(&out.queue);
                if let Some(key) = &out.key {
                    self.backlog.free(key, accepted);
                }
            }
            self.refresh(accepted, effects);
        }
    }
}

fn note_stored(leader: &mut Leader, flight: &Flight, sequence: Sequence) {
    if let Some(out) = leader.outstanding.get_mut(&flight.accepted)
        && out.attempt == flight.attempt
    {
        out.stored = Some(sequence);
    }
}

/// Takes a job from the backlog for its next attempt.
fn take(
    ledger: &crate::ledger::Ledger,
    backlog: &mut crate::backlog::Backlog,
    accepted: Accepted,
) -> Option<(AttemptName, Outstanding, Arc<JobSpec>)> {
    let waiting = backlog.remove(accepted)?;
    let job = ledger.job(accepted)?;
    let JobState::Open(open) = &job.state else {
        return None;
    };
    let attempt = open.next();
    if let Some(key) = &waiting.key {
        backlog.occupy(key, accepted);
    }
    let name = AttemptName {
        job: job.name.clone(),
        accepted,
        attempt,
    };
    let outstanding = Outstanding {
        attempt,
        queue: waiting.line.queue,
        kind: waiting.line.kind,
        key: waiting.key,
        stored: None,
    };
    Some((name, outstanding, Arc::clone(&open.spec)))
}

/// How many places a queue has in the work queue: about twice its workers' slots, so that a late
/// urgent job overtakes a long backlog and a takeover reads little.
struct Room {
    places: u64,
    outstanding_max: u64,
}

impl Room {
    fn new(capacity: Option<&Capacity>, config: &QueueConfig) -> Self {
        let slots = capacity.map_or(0, |capacity| capacity.slots);
        Self {
            places: slots.saturating_mul(PLACES_PER_SLOT).max(PLACES_MIN),
            outstanding_max: config
                .max_outstanding
                .filter(|_| !planted!(LimitIgnored))
                .map_or(u64::MAX, u64::from),
        }
    }

    fn is_there(&self, places: Option<&Places>, capacity: Option<&Capacity>) -> bool {
        places.is_none_or(|places| {
            places.taken < self.outstanding_max && places.handled(capacity) < self.places
        })
    }
}
