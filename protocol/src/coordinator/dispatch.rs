//! What runs next, and what the answers to dispatches mean.

use std::sync::Arc;

use super::{Coordinator, Role};
use crate::answer::Answer;
use crate::config::QueueConfig;
use crate::effects::{Dispatch, Effects};
use crate::id::QueueName;
use crate::job::JobState;
use crate::leader::{FULL_PAUSE, Leader, Outstanding, PLACES_MIN, PLACES_PER_SLOT};
use crate::number::{Accepted, Attempt, Epoch, Sequence};
use crate::subject::{AttemptName, JobName};
use crate::submission::JobSpec;
use crate::takeover::Listed;
use crate::time::Timestamp;
use crate::window::{Flight, Landing, Window};
use crate::workers::Workers;

impl Coordinator {
    /// The takeover is finished: what is listed without an outcome is outstanding, all else waits.
    pub(super) fn lead(
        &mut self,
        now: Timestamp,
        epoch: Epoch,
        listed: Listed,
        effects: &mut Effects,
    ) {
        let window = Window::new(self.width, listed.fence_last);
        let mut leader = Leader::new(epoch, listed.fence_last, window, now);
        for name in &listed.attempts {
            self.adopt(&mut leader, name, listed.fence_last);
        }
        self.role = Role::Leading(Box::new(leader));
        if listed.strangers > 0 {
            effects.alarms.push(format!(
                "{} subjects in the work queue that no rule makes",
                listed.strangers
            ));
        }
        effects.purge_fences = listed.old_fences;
        let queues = self.ledger.configured();
        effects
            .consumers
            .extend(queues.map(|(queue, config)| (queue.clone(), Arc::clone(config))));
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
        let key = open.spec.key.clone();
        self.backlog.remove(name.accepted);
        if let Some(key) = &key {
            self.backlog.occupy(key, name.accepted);
        }
        let outstanding = Outstanding {
            attempt: name.attempt,
            queue: queue.clone(),
            key,
            stored: Some(stored),
        };
        leader.put_out(name.accepted, outstanding);
    }

    /// What a leader does after every event: end what is to end, dispatch what has room.
    pub(super) fn lead_on(&mut self, now: Timestamp, effects: &mut Effects) {
        if !self.is_leading() {
            return;
        }
        self.backlog.promote(now);
        self.expire(now, effects);
        self.end(now, effects);
        self.dispatch(now, effects);
    }

    fn dispatch(&mut self, now: Timestamp, effects: &mut Effects) {
        let Role::Leading(leader) = &mut self.role else {
            return;
        };
        if leader.paused_until.is_some_and(|until| now < until) || !leader.window.has_room() {
            return;
        }
        leader.paused_until = None;
        let queues = self.ledger.configured();
        let count = queues.clone().count();
        leader.turn = leader.turn.wrapping_add(1);
        let turn = leader.turn.checked_rem(count).unwrap_or(0);
        for (queue, config) in queues.clone().skip(turn).chain(queues.take(turn)) {
            let places = places(&self.workers, queue, config);
            let capacity = self.workers.capacity(queue);
            while leader.window.has_room()
                && leader.places.get(queue).copied().unwrap_or(0) < places
            {
                let handled = |kind: &_| capacity.is_none_or(|capacity| capacity.handles(kind));
                let Some(accepted) = self.backlog.first_ready(queue, handled) else {
                    break;
                };
                let Some((name, out, spec)) = take(&self.ledger, &mut self.backlog, accepted)
                else {
                    continue;
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
        match leader.window.land(tag, answer) {
            Landing::Stored(flight, sequence) => note_stored(leader, &flight, sequence),
            Landing::Waits => {}
            Landing::InDoubt(why) => self.in_doubt(&why, effects),
            Landing::Settled { again, there, full } => {
                let mark = leader.stored_mark();
                for flight in &there {
                    note_stored(leader, flight, mark);
                }
                if full {
                    leader.paused_until = Some(now.after(FULL_PAUSE));
                    effects.alarms.push(
                        "the work queue has no room: dispatch pauses; free disk or raise the account's limit".to_owned(),
                    );
                }
                for flight in again {
                    self.take_back(flight.accepted, flight.attempt, effects);
                }
            }
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
            let out = leader.take_in(accepted);
            if let Some(key) = out.and_then(|out| out.key) {
                self.backlog.free(&key, accepted);
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
        key: waiting.key,
        stored: None,
    };
    Some((name, outstanding, Arc::clone(&open.spec)))
}

/// How many places a queue has in the work queue: about twice its workers' slots, so that a late
/// urgent job overtakes a long backlog and a takeover reads little.
fn places(workers: &Workers, queue: &QueueName, config: &QueueConfig) -> u64 {
    let slots = workers.capacity(queue).map_or(0, |capacity| capacity.slots);
    let places = slots.saturating_mul(PLACES_PER_SLOT).max(PLACES_MIN);
    config
        .max_outstanding
        .map_or(places, |most| places.min(u64::from(most)))
}
