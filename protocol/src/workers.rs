//! Who is here, what each took, and when a missing worker's jobs are handed on.
//!
//! All coordinators listen, so that a new leader knows at once; only the leader pings and naks. A
//! nak outside the fence is harmless when late: it makes a second run, which token and record
//! refuse.

mod rescue;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::id::{Kind, QueueName, WorkerId};
use crate::message::{Handles, Presence, Taken, WorkerSays, WorkerTold};
use crate::number::{Accepted, Attempt};
use crate::time::Timestamp;

pub use rescue::{Patience, Peer, Rescue, is_with_the_others};

/// How often a worker that holds something is pinged.
pub const PING_HOLDING: Duration = Duration::from_millis(50);
/// How often a worker says what it runs, whatever happens.
pub const SAYS_EVERY: Duration = Duration::from_secs(5);
/// So long after its connection was made a leader has heard what each worker runs: it called the roll
/// then, and each has said it by itself once, with a second for the way.
const KNOWN_AFTER: Duration = Duration::from_secs(6);
/// How often an idle worker is pinged.
pub const PING_IDLE: Duration = Duration::from_secs(1);
/// Most pings a second, whatever the number of workers.
const PINGS_PER_SECOND_MAX: u64 = 1_000;
/// A missing worker that holds nothing is forgotten after this time.
const FORGET_AFTER: Duration = Duration::from_secs(60);
/// A worker that was not heard of for this long is forgotten; only a leader pings, and a follower
/// must not gather the workers of a year.
const FORGET_UNHEARD_AFTER: Duration = Duration::from_secs(600);
/// What a worker let go is handed on within this time, or left to its lease: later a nak could hit
/// another holder, of whom we have not heard yet.
const LET_GO_WITHIN: Duration = Duration::from_secs(1);

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

/// Who is here and what each took.
#[derive(Debug, Default)]
pub struct Workers {
    here: BTreeMap<WorkerId, Worker>,
    holders: BTreeMap<Accepted, Holder>,
    /// Who let what go, and when we heard of it.
    let_go: Vec<(Timestamp, WorkerId, Taken)>,
    /// What the workers that are here can do for each queue; made anew when one comes or goes.
    capacity: BTreeMap<QueueName, Capacity>,
    /// How often it was made anew.
    changes: u64,
    /// Before this time no ping and no rescue is due; `None`: never.
    look_at: Option<Timestamp>,
    /// When the next rescue is due, as far as was seen.
    rescue_at: Option<Timestamp>,
    /// From when on every holder is known: who spoke before the connection was made was not heard.
    /// `None`: there is no connection.
    known_from: Option<Timestamp>,
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
    /// The server that it is connected to; empty where it did not say.
    server: String,
    holds: BTreeSet<Accepted>,
    missing_since: Option<Timestamp>,
    /// When it last gave a sign of life, if only by an answer to a ping.
    heard: Timestamp,
    /// When the last ping was answered, one way or the other.
    ponged: Option<Timestamp>,
    ping_open: bool,
    handed_on: Vec<(Accepted, Attempt)>,
}

impl Worker {
    /// When it is to be pinged next; `None` while a ping waits for its answer.
    fn ping_due(&self, pace: Duration) -> Option<Timestamp> {
        let wait = if self.holds.is_empty() {
            PING_IDLE
        } else {
            PING_HOLDING
        };
        let due = self
            .ponged
            .map_or(Timestamp::default(), |at| at.after(wait.max(pace)));
        (!self.ping_open).then_some(due)
    }
}

#[derive(Debug)]
struct Holder {
    worker: WorkerId,
    attempt: Attempt,
    delivery: u64,
    ack: String,
    /// When this delivery was last announced: then its lease lasted.
    heard: Timestamp,
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
                self.look_by(now, &id);
                self.returned(&id)
            }
            WorkerSays::Took { worker, took } => {
                self.worker(now, &worker);
                for taken in took {
                    if is_open(taken.accepted, taken.attempt)
                        && !self.is_said_again(now, &worker, &taken)
                    {
                        self.took(now, &worker, taken);
                    }
                }
                self.look_by(now, &worker);
                // What it took now must not be handed on for what it missed before.
                self.returned(&worker)
            }
            WorkerSays::LetGo { worker, let_go } => {
                self.worker(now, &worker);
                let known = self.known_from.unwrap_or(now);
                self.let_go.retain(|(heard, ..)| {
                    now.since(known.max(*heard)) < LET_GO_WITHIN || planted!(LetGoLate)
                });
                let let_go = let_go.into_iter().map(|taken| (now, worker.clone(), taken));
                self.let_go.extend(let_go);
                self.look_at = Some(now);
                self.returned(&worker)
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
            server,
            ..
        } = presence;
        let known = self.worker(now, &worker);
        known.server = server;
        if known.handles != handles {
            known.handles = handles;
            self.count();
        }
        for taken in running {
            if is_open(taken.accepted, taken.attempt)
                && !self.is_said_again(now, &worker, &taken)
                && !self.is_known(&worker, &taken)
            {
                self.took(now, &worker, taken);
            }
        }
    }

    /// Whether a worker says again what it said before: then the delivery's lease lasts still.
    fn is_said_again(&mut self, now: Timestamp, worker: &WorkerId, taken: &Taken) -> bool {
        let holder = self.holders.get_mut(&taken.accepted).filter(|holder| {
            holder.worker == *worker
                && (holder.attempt, holder.delivery) == (taken.attempt, taken.delivery)
                && holder.ack == taken.ack
        });
        let said_again = holder.is_some();
        if let Some(holder) = holder {
            holder.heard = now;
        }
        said_again
    }

    /// Whether a repeated announcement says nothing new: this delivery was announced before, or was
    /// replaced by another worker's.
    fn is_known(&self, worker: &WorkerId, taken: &Taken) -> bool {
        self.holders.get(&taken.accepted).is_some_and(|holder| {
            (holder.attempt, holder.delivery) == (taken.attempt, taken.delivery)
                && (holder.worker != *worker || holder.ack == taken.ack)
        })
    }

    fn worker(&mut self, now: Timestamp, id: &WorkerId) -> &mut Worker {
        if !self.here.contains_key(id) {
            self.forget(now);
            let worker = Worker {
                handles: Vec::new(),
                server: String::new(),
                holds: BTreeSet::new(),
                missing_since: None,
                heard: now,
                ponged: None,
                ping_open: false,
                handed_on: Vec::new(),
            };
            self.here.insert(id.clone(), worker);
        }
        let worker = self.here.get_mut(id).expect("it was just put there");
        worker.heard = now;
        worker
    }

    /// Something changed about a worker: it may be due sooner than thought.
    fn look_by(&mut self, now: Timestamp, id: &WorkerId) {
        let Some(worker) = self.here.get(id) else {
            return;
        };
        let rescue = worker.missing_since.map(|_| now);
        let times = [rescue, worker.ping_due(self.pace()), self.look_at];
        self.look_at = times.into_iter().flatten().min();
    }

    fn took(&mut self, now: Timestamp, worker: &WorkerId, taken: Taken) {
        if let Some(before) = self.holders.get(&taken.accepted) {
            // An older announcement than the one we have: it was overtaken on its way.
            if (before.attempt, before.delivery) > (taken.attempt, taken.delivery)
                && !planted!(OlderAnnouncementCounts)
            {
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
            heard: now,
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
            .is_some_and(|holder| holder.attempt <= attempt && !planted!(RescueOfWhatIsOver))
        {
            self.release(accepted);
        }
    }

    /// A worker stops on purpose: what it still held it has given back itself, or the lease ends. A
    /// nak of ours would hit whoever holds it now. That it held it is kept in mind: an older
    /// announcement that comes late must not count again.
    fn gone(&mut self, now: Timestamp, id: &WorkerId) {
        if let Some(worker) = self.here.get_mut(id) {
            worker.handles.clear();
            worker.missing_since.get_or_insert(now);
            for accepted in std::mem::take(&mut worker.holds) {
                if planted!(GoneIsForgotten) {
                    self.holders.remove(&accepted);
                } else if let Some(holder) = self.holders.get_mut(&accepted) {
                    holder.handed_on = true;
                }
            }
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
        let Some(worker) = self.here.get_mut(id) else {
            return Vec::new();
        };
        worker.ping_open = false;
        worker.ponged = Some(now);
        if pong == Pong::Answered {
            worker.heard = now;
        }
        let is_new = pong == Pong::NoResponders && worker.missing_since.is_none();
        if is_new {
            worker.missing_since = Some(now);
        }
        self.look_by(now, id);
        match pong {
            Pong::Answered => self.returned(id),
            Pong::NoResponders => {
                if is_new {
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
        let before = self.here.len();
        self.here.retain(|_, worker| {
            let missing = worker.missing_since.map(|at| now.since(at));
            let long = missing.is_some_and(|span| span >= FORGET_AFTER)
                || now.since(worker.heard) >= FORGET_UNHEARD_AFTER;
            !(long && worker.holds.is_empty())
        });
        if self.here.len() < before {
            self.count();
        }
    }

    /// A new leader starts to look after the workers: what it saw when it led before is stale.
    pub fn watch_anew(&mut self, now: Timestamp) {
        for worker in self.here.values_mut() {
            worker.missing_since = None;
            worker.ponged = None;
            worker.ping_open = false;
            worker.handed_on.clear();
        }
        self.count();
        self.look_at = Some(now);
    }

    /// The connection to the broker is gone: what workers say now is missed.
    pub const fn blinded(&mut self) {
        self.known_from = None;
    }

    /// There is a connection, a new one.
    pub fn connected(&mut self, now: Timestamp) {
        self.known_from = Some(now.after(KNOWN_AFTER));
        self.look_at = Some(now);
    }

    /// Whether a ping or a rescue may be due.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.look_at.is_some_and(|at| at <= now)
    }

    /// The workers to ping now. Each answer must be given to [`Workers::ponged`].
    pub fn pings(&mut self, now: Timestamp) -> Vec<WorkerId> {
        let pace = self.pace();
        let mut due = Vec::new();
        for (id, worker) in &mut self.here {
            if worker.ping_due(pace).is_some_and(|at| at <= now) {
                worker.ping_open = true;
                due.push(id.clone());
            }
        }
        due
    }

    /// Finds when to look again, after the pings and rescues of now.
    pub fn looked(&mut self) {
        let pace = self.pace();
        let pings = self
            .here
            .values()
            .filter_map(|worker| worker.ping_due(pace));
        self.look_at = pings.chain(self.rescue_at).min();
    }

    /// When a ping or a rescue may be due next.
    #[must_use]
    pub const fn next_time(&self) -> Option<Timestamp> {
        self.look_at
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

    /// Changes whenever [`Workers::capacity`] may have changed.
    #[must_use]
    pub const fn changes(&self) -> u64 {
        self.changes
    }

    fn count(&mut self) {
        self.changes += 1;
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

#[cfg(test)]
mod tests;
