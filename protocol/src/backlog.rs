//! What waits, in the order in which it may run: by priority, then by the time it fell due, then by
//! acceptance; and for each key one at a time.
//!
//! Followers keep it too, so that a new leader can dispatch at once. It knows nothing of the
//! window, of places in the work queue, or of who runs what.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::id::{Key, Kind, QueueName};
use crate::number::Accepted;
use crate::submission::Priority;
use crate::time::Timestamp;

/// A job's place among those that are due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// 0 before 9.
    pub priority: Priority,
    /// When it fell due.
    pub due: Timestamp,
    /// The earlier accepted first.
    pub accepted: Accepted,
}

/// The jobs of one kind in one queue.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    /// The queue.
    pub queue: QueueName,
    /// The kind.
    pub kind: Kind,
}

/// A job that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Its queue and kind.
    pub line: Line,
    /// What it must not run beside.
    pub key: Option<Key>,
    /// Its place once it is due.
    pub rank: Rank,
    /// It must not start later.
    pub expires_at: Option<Timestamp>,
}

/// What waits.
#[derive(Debug, Default)]
pub struct Backlog {
    waiting: BTreeMap<Accepted, Waiting>,
    scheduled: BTreeSet<(Timestamp, Accepted)>,
    expiring: BTreeSet<(Timestamp, Accepted)>,
    /// What may run now: of each idle key in each line only the first.
    ready: BTreeMap<QueueName, BTreeMap<Kind, BTreeSet<Rank>>>,
    keys: BTreeMap<Key, KeyLine>,
    /// Queues that have got something ready since they were last looked at.
    stirred: BTreeSet<QueueName>,
}

/// The due jobs of one key.
#[derive(Debug, Default)]
struct KeyLine {
    /// One, unless a foreign hand wrote into the work queue.
    busy: Vec<Accepted>,
    due: BTreeMap<Line, BTreeSet<Rank>>,
}

impl KeyLine {
    /// The first of each line.
    fn heads(&self) -> Vec<(Line, Rank)> {
        self.due
            .iter()
            .filter_map(|(line, due)| due.first().map(|head| (line.clone(), *head)))
            .collect()
    }
}

impl Backlog {
    /// Takes a job that waits; one that fell due later than `now` waits for its time first.
    pub fn insert(&mut self, waiting: Waiting, now: Timestamp) {
        let rank = waiting.rank;
        self.remove(rank.accepted);
        if let Some(expires_at) = waiting.expires_at {
            self.expiring.insert((expires_at, rank.accepted));
        }
        if rank.due > now {
            self.scheduled.insert((rank.due, rank.accepted));
        } else {
            self.make_due(&waiting);
        }
        self.waiting.insert(rank.accepted, waiting);
    }

    fn make_due(&mut self, waiting: &Waiting) {
        let Some(key) = &waiting.key else {
            self.ready_line(&waiting.line).insert(waiting.rank);
            return;
        };
        let line = self.keys.entry(key.clone()).or_default();
        let due = line.due.entry(waiting.line.clone()).or_default();
        let head = due.first().copied();
        due.insert(waiting.rank);
        if !line.busy.is_empty() || head.is_some_and(|head| head < waiting.rank) {
            return;
        }
        if let Some(head) = head {
            self.unready(&waiting.line, &head);
        }
        self.ready_line(&waiting.line).insert(waiting.rank);
    }

    fn ready_line(&mut self, line: &Line) -> &mut BTreeSet<Rank> {
        self.stir(&line.queue);
        self.ready
            .entry(line.queue.clone())
            .or_default()
            .entry(line.kind.clone())
            .or_default()
    }

    /// Takes one out of the ready; lines that are empty are not kept.
    fn unready(&mut self, line: &Line, rank: &Rank) -> bool {
        let Some(kinds) = self.ready.get_mut(&line.queue) else {
            return false;
        };
        let Some(ready) = kinds.get_mut(&line.kind) else {
            return false;
        };
        let was_ready = ready.remove(rank);
        if ready.is_empty() {
            kinds.remove(&line.kind);
        }
        if kinds.is_empty() {
            self.ready.remove(&line.queue);
        }
        was_ready
    }

    /// Drops a job that does not wait any more.
    pub fn remove(&mut self, accepted: Accepted) -> Option<Waiting> {
        let waiting = self.waiting.remove(&accepted)?;
        if let Some(expires_at) = waiting.expires_at {
            self.expiring.remove(&(expires_at, accepted));
        }
        if self.scheduled.remove(&(waiting.rank.due, accepted)) {
            return Some(waiting);
        }
        let was_ready = self.unready(&waiting.line, &waiting.rank);
        if let Some(key) = &waiting.key {
            self.leave_key(key, &waiting, was_ready);
        }
        Some(waiting)
    }

    /// Takes a job out of its key's line; the next one of the line comes forward.
    fn leave_key(&mut self, key: &Key, waiting: &Waiting, was_ready: bool) {
        let Some(line) = self.keys.get_mut(key) else {
            return;
        };
        if let Some(due) = line.due.get_mut(&waiting.line) {
            due.remove(&waiting.rank);
            let next = due.first().copied();
            if due.is_empty() {
                line.due.remove(&waiting.line);
            }
            if let (true, Some(next)) = (was_ready, next) {
                self.ready_line(&waiting.line).insert(next);
                return;
            }
        }
        self.forget_key_if_idle(key);
    }

    fn forget_key_if_idle(&mut self, key: &Key) {
        let idle = |line: &KeyLine| line.busy.is_empty() && line.due.is_empty();
        if self.keys.get(key).is_some_and(idle) {
            self.keys.remove(key);
        }
    }

    /// Marks a key as taken by an outstanding job: nothing of it is ready.
    pub fn occupy(&mut self, key: &Key, by: Accepted) {
        let line = self.keys.entry(key.clone()).or_default();
        if !line.busy.contains(&by) {
            line.busy.push(by);
        }
        for (line, head) in line.heads() {
            self.unready(&line, &head);
        }
    }

    /// Frees a key that `by` had taken: the first of each line comes forward.
    pub fn free(&mut self, key: &Key, by: Accepted) {
        let Some(line) = self.keys.get_mut(key) else {
            return;
        };
        let before = line.busy.len();
        line.busy.retain(|busy| *busy != by);
        if line.busy.len() == before || !line.busy.is_empty() {
            return;
        }
        for (line, head) in line.heads() {
            self.ready_line(&line).insert(head);
        }
        self.forget_key_if_idle(key);
    }

    /// Moves what fell due by `now` among the ready.
    pub fn promote(&mut self, now: Timestamp) {
        while let Some(&(due, accepted)) = self.scheduled.first() {
            if due > now {
                return;
            }
            self.scheduled.pop_first();
            if let Some(waiting) = self.waiting.get(&accepted).cloned() {
                self.make_due(&waiting);
            }
        }
    }

    /// When something next falls due or expires.
    #[must_use]
    pub fn next_time(&self) -> Option<Timestamp> {
        let due = self.scheduled.first().map(|(at, _)| *at);
        let expires = self.expiring.first().map(|(at, _)| *at);
        match (due, expires) {
            (Some(due), Some(expires)) => Some(due.min(expires)),
            (due, expires) => due.or(expires),
        }
    }

    /// Takes out a job whose time to start has passed.
    pub fn take_expired(&mut self, now: Timestamp) -> Option<Accepted> {
        let &(at, accepted) = self.expiring.first()?;
        if at > now {
            return None;
        }
        // Whatever becomes of the job, the same time is not met twice.
        self.expiring.pop_first();
        if planted!(ExpiredIsDispatched) {
            return Some(accepted);
        }
        self.remove(accepted);
        Some(accepted)
    }

    /// Has a queue looked at again, because it may have room now.
    pub fn stir(&mut self, queue: &QueueName) {
        if !self.stirred.contains(queue) {
            self.stirred.insert(queue.clone());
        }
    }

    /// Has all queues with something ready looked at again.
    pub fn stir_all(&mut self) {
        self.stirred.extend(self.ready.keys().cloned());
    }

    /// A queue was looked at: nothing more can be done for it for now.
    pub fn settle(&mut self, queue: &QueueName) {
        self.stirred.remove(queue);
    }

    /// The next queue to look at after `turn`, in a round.
    #[must_use]
    pub fn next_stirred(&self, turn: Option<&QueueName>) -> Option<&QueueName> {
        let after = turn.and_then(|turn| {
            let rest = (Bound::Excluded(turn), Bound::Unbounded);
            self.stirred.range::<QueueName, _>(rest).next()
        });
        after.or_else(|| self.stirred.first())
    }

    /// The first of a queue's ready jobs among the kinds that `handled` takes.
    #[must_use]
    pub fn first_ready(
        &self,
        queue: &QueueName,
        handled: impl Fn(&Kind) -> bool,
    ) -> Option<Accepted> {
        self.ready
            .get(queue)?
            .iter()
            .filter(|(kind, _)| handled(kind))
            .filter_map(|(_, ready)| ready.first())
            .min()
            .map(|rank| rank.accepted)
    }

    /// The kinds of a queue that have a job ready.
    pub fn ready_kinds(&self, queue: &QueueName) -> impl Iterator<Item = &Kind> {
        self.ready.get(queue).into_iter().flat_map(BTreeMap::keys)
    }

    /// A job that waits.
    #[must_use]
    pub fn get(&self, accepted: Accepted) -> Option<&Waiting> {
        self.waiting.get(&accepted)
    }

    /// How many jobs wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests;
