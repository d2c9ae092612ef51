//! Who is here, what each took, and when a missing worker's jobs are handed on.
//!
//! All coordinators listen, so that a new leader knows at once; only the leader pings and naks. A
//! nak outside the fence is harmless when late: it makes a second run, which token and record
//! refuse.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::id::{Kind, QueueName, WorkerId};
use crate::message::{Handles, Presence, Taken, WorkerSays, WorkerTold};
use crate::number::{Accepted, Attempt};
use crate::time::Timestamp;

/// How often a worker that holds something is pinged.
pub const PING_HOLDING: Duration = Duration::from_millis(50);
/// How often an idle worker is pinged.
pub const PING_IDLE: Duration = Duration::from_secs(1);
/// Most pings a second, whatever the number of workers.
const PINGS_PER_SECOND_MAX: u64 = 1_000;
/// A missing worker that holds nothing is forgotten after this time.
const FORGET_AFTER: Duration = Duration::from_secs(60);

/// What a ping showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pong {
    /// The worker answered.
    Answered,
    /// The server says that nobody listens there.
    NoResponders,
    /// No answer in time: it says nothing.
    Silent,
}

/// A delivery to hand on: a nak that is sent once and never again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rescue {
    /// The worker that is missing.
    pub worker: WorkerId,
    /// The job.
    pub accepted: Accepted,
    /// Which try.
    pub attempt: Attempt,
    /// Where the nak goes.
    pub ack: String,
    /// How long the broker waits before it hands the attempt out again.
    pub delay: Duration,
}

/// Who is here and what each took.
#[derive(Debug, Default)]
pub struct Workers {
    here: BTreeMap<WorkerId, Worker>,
    holders: BTreeMap<Accepted, Holder>,
    /// What the workers that are here can do for each queue; made anew when one comes or goes.
    capacity: BTreeMap<QueueName, Capacity>,
}

/// What the workers that are here can do for a queue.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Capacity {
    /// How many jobs they run at once.
    pub slots: u64,
    kinds: BTreeSet<Kind>,
    any_kind: bool,
}

impl Capacity {
    /// Whether one of them handles a kind.
    #[must_use]
    pub fn handles(&self, kind: &Kind) -> bool {
        self.any_kind || self.kinds.contains(kind)
    }
}

#[derive(Debug)]
struct Worker {
    handles: Vec<Handles>,
    holds: BTreeSet<Accepted>,
    missing_since: Option<Timestamp>,
    ping_due: Timestamp,
    ping_open: bool,
    handed_on: Vec<(Accepted, Attempt)>,
}

#[derive(Debug)]
struct Holder {
    worker: WorkerId,
    attempt: Attempt,
    delivery: u64,
    ack: String,
    handed_on: bool,
}

impl Workers {
    /// Takes what a worker says. `is_open` tells whether an attempt still has no outcome. Returns
    /// what both holders are told when a missing one returns.
    pub fn said(
        &mut self,
        now: Timestamp,
        says: WorkerSays,
        is_open: impl Fn(Accepted, Attempt) -> bool,
    ) -> Vec<(WorkerId, WorkerTold)> {
        match says {
            WorkerSays::Here(presence) => {
                let id = presence.worker.clone();
                self.arrived(now, presence, is_open);
                self.returned(&id)
            }
            WorkerSays::Took { worker, took } => {
                self.worker(now, &worker);
                for taken in took {
                    if is_open(taken.accepted, taken.attempt) {
                        self.took(&worker, taken);
                    }
                }
                Vec::new()
            }
            WorkerSays::Gone { worker } => {
                self.gone(now, &worker);
                Vec::new()
            }
        }
    }

    fn arrived(
        &mut self,
        now: Timestamp,
        presence: Presence,
        is_open: impl Fn(Accepted, Attempt) -> bool,
    ) {
        let Presence {
            worker,
            handles,
            running,
            ..
        } = presence;
        let known = self.worker(now, &worker);
        if known.handles != handles {
            known.handles = handles;
            self.count();
        }
        for taken in running {
            if is_open(taken.accepted, taken.attempt) {
                self.took(&worker, taken);
            }
        }
    }

    fn worker(&mut self, now: Timestamp, id: &WorkerId) -> &mut Worker {
        if !self.here.contains_key(id) {
            let worker = Worker {
                handles: Vec::new(),
                holds: BTreeSet::new(),
                missing_since: None,
                ping_due: now,
                ping_open: false,
                handed_on: Vec::new(),
            };
            self.here.insert(id.clone(), worker);
        }
        self.here.get_mut(id).expect("it was just put there")
    }

    fn took(&mut self, worker: &WorkerId, taken: Taken) {
        if let Some(before) = self.holders.get(&taken.accepted) {
            // An older announcement than the one we have: it was overtaken on its way.
            if (before.attempt, before.delivery) > (taken.attempt, taken.delivery) {
                return;
            }
        }
        self.release(taken.accepted);
        if let Some(worker) = self.here.get_mut(worker) {
            worker.holds.insert(taken.accepted);
        }
        let holder = Holder {
            worker: worker.clone(),
            attempt: taken.attempt,
            delivery: taken.delivery,
            ack: taken.ack,
            handed_on: false,
        };
        self.holders.insert(taken.accepted, holder);
    }

    fn release(&mut self, accepted: Accepted) {
        if let Some(before) = self.holders.remove(&accepted)
            && let Some(worker) = self.here.get_mut(&before.worker)
        {
            worker.holds.remove(&accepted);
        }
    }

    /// An attempt has its outcome: nobody holds it any more.
    pub fn ended(&mut self, accepted: Accepted, attempt: Attempt) {
        if self
            .holders
            .get(&accepted)
            .is_some_and(|holder| holder.attempt <= attempt)
        {
            self.release(accepted);
        }
    }

    /// A worker stops on purpose: what it still held it has given back itself, or the lease ends.
    fn gone(&mut self, now: Timestamp, id: &WorkerId) {
        if let Some(worker) = self.here.get_mut(id) {
            worker.handles.clear();
            worker.missing_since.get_or_insert(now);
        }
        self.forget(now);
        self.count();
    }

    /// A worker that was missing is back: it and the new holders learn of the second run.
    fn returned(&mut self, id: &WorkerId) -> Vec<(WorkerId, WorkerTold)> {
        let Some(worker) = self.here.get_mut(id) else {
            return Vec::new();
        };
        let was_missing = worker.missing_since.take().is_some();
        let handed_on = std::mem::take(&mut worker.handed_on);
        if was_missing {
            self.count();
        }
        let mut told = Vec::new();
        for (accepted, attempt) in handed_on {
            let message = WorkerTold::HandedOn { accepted, attempt };
            told.push((id.clone(), message.clone()));
            if let Some(holder) = self.holders.get(&accepted)
                && holder.worker != *id
                && holder.attempt == attempt
            {
                told.push((holder.worker.clone(), message));
            }
        }
        told
    }

    /// Takes what a ping showed. Returns what both holders are told when a missing one returns.
    pub fn ponged(
        &mut self,
        now: Timestamp,
        id: &WorkerId,
        pong: Pong,
    ) -> Vec<(WorkerId, WorkerTold)> {
        let pace = self.pace();
        let Some(worker) = self.here.get_mut(id) else {
            return Vec::new();
        };
        worker.ping_open = false;
        let wait = if worker.holds.is_empty() {
            PING_IDLE
        } else {
            PING_HOLDING
        };
        worker.ping_due = now.after(wait.max(pace));
        match pong {
            Pong::Answered => self.returned(id),
            Pong::NoResponders => {
                if worker.missing_since.is_none() {
                    worker.missing_since = Some(now);
                    self.count();
                }
                self.forget(now);
                Vec::new()
            }
            Pong::Silent => Vec::new(),
        }
    }

    /// With very many workers each is pinged less often.
    fn pace(&self) -> Duration {
        let workers = u64::try_from(self.here.len()).unwrap_or(u64::MAX);
        Duration::from_millis(workers.saturating_mul(1_000) / PINGS_PER_SECOND_MAX)
    }

    fn forget(&mut self, now: Timestamp) {
        self.here.retain(|_, worker| {
            let long = worker
                .missing_since
                .is_some_and(|at| now.since(at) >= FORGET_AFTER);
            !(long && worker.holds.is_empty())
        });
    }

    /// The workers to ping now. Each answer must be given to [`Workers::ponged`].
    pub fn pings(&mut self, now: Timestamp) -> Vec<WorkerId> {
        let mut due = Vec::new();
        for (id, worker) in &mut self.here {
            // A worker that took something while idle is due sooner than it was.
            let holding_due = !worker.holds.is_empty() && now.after(PING_HOLDING) < worker.ping_due;
            if !worker.ping_open && (worker.ping_due <= now || holding_due) {
                worker.ping_open = true;
                due.push(id.clone());
            }
        }
        due
    }

    /// Forgets the pings under way: their answers will not come.
    pub fn reset_pings(&mut self) {
        for worker in self.here.values_mut() {
            worker.ping_open = false;
        }
    }

    /// What missing workers held for longer than `delay` allows (`None`: the lease only), and is
    /// still outstanding. Each is handed on once.
    pub fn rescues(
        &mut self,
        now: Timestamp,
        delay: impl Fn(Accepted, Attempt) -> Option<Duration>,
    ) -> Vec<Rescue> {
        let mut rescues = Vec::new();
        for (id, worker) in &mut self.here {
            let Some(since) = worker.missing_since else {
                continue;
            };
            for accepted in &worker.holds {
                let Some(holder) = self.holders.get_mut(accepted) else {
                    continue;
                };
                let ripe = delay(*accepted, holder.attempt).is_some_and(|d| now.since(since) >= d);
                if holder.handed_on || !ripe {
                    continue;
                }
                holder.handed_on = true;
                worker.handed_on.push((*accepted, holder.attempt));
                rescues.push(Rescue {
                    worker: id.clone(),
                    accepted: *accepted,
                    attempt: holder.attempt,
                    ack: holder.ack.clone(),
                    delay: again_after(holder.delivery),
                });
            }
        }
        rescues
    }

    /// When a ping or a rescue may be due next.
    #[must_use]
    pub fn next_time(&self, now: Timestamp) -> Option<Timestamp> {
        self.here
            .values()
            .map(
                |worker| match (worker.holds.is_empty(), worker.missing_since) {
                    (false, Some(_)) => now.after(PING_HOLDING / 2),
                    (false, None) => worker.ping_due.min(now.after(PING_HOLDING)),
                    (true, _) => worker.ping_due,
                },
            )
            .min()
    }

    /// Who holds an attempt.
    #[must_use]
    pub fn holder(&self, accepted: Accepted, attempt: Attempt) -> Option<&WorkerId> {
        let holder = self.holders.get(&accepted)?;
        (holder.attempt == attempt).then_some(&holder.worker)
    }

    /// The workers that are here.
    pub fn present(&self) -> impl Iterator<Item = &WorkerId> {
        self.here
            .iter()
            .filter(|(_, worker)| worker.missing_since.is_none())
            .map(|(id, _)| id)
    }

    fn count(&mut self) {
        self.capacity.clear();
        let here = self
            .here
            .values()
            .filter(|worker| worker.missing_since.is_none());
        for handles in here.flat_map(|worker| &worker.handles) {
            let capacity = self.capacity.entry(handles.queue.clone()).or_default();
            capacity.slots += u64::from(handles.slots);
            capacity.any_kind |= handles.kinds.is_empty();
            capacity.kinds.extend(handles.kinds.iter().cloned());
        }
    }

    /// What the workers that are here can do for a queue. `None`: none of its workers is here, or
    /// they are of a sort that does not say so (such as a command line).
    #[must_use]
    pub fn capacity(&self, queue: &QueueName) -> Option<&Capacity> {
        self.capacity.get(queue)
    }
}

/// A job that kills its process is handed on later each time: at once, then after 1 s, 2 s, 4 s.
fn again_after(delivery: u64) -> Duration {
    match delivery.checked_sub(2) {
        None => Duration::ZERO,
        Some(doublings) => Duration::from_secs(1 << doublings.min(5)),
    }
}

#[cfg(test)]
mod tests;
