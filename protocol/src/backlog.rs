//! What waits, in the order in which it may run: by priority, then by the time it fell due, then by
//! acceptance; and for each key one at a time.
//!
//! Followers keep it too, so that a new leader can dispatch at once. It knows nothing of the
//! window, of places in the work queue, or of who runs what.

use std::collections::{BTreeMap, BTreeSet};

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
}

/// The due jobs of one key.
#[derive(Debug, Default)]
struct KeyLine {
    busy: Option<Accepted>,
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
        if line.busy.is_some() || head.is_some_and(|head| head < waiting.rank) {
            return;
        }
        if let Some(head) = head {
            self.unready(&waiting.line, &head);
        }
        self.ready_line(&waiting.line).insert(waiting.rank);
    }

    fn ready_line(&mut self, line: &Line) -> &mut BTreeSet<Rank> {
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
        let idle = |line: &KeyLine| line.busy.is_none() && line.due.is_empty();
        if self.keys.get(key).is_some_and(idle) {
            self.keys.remove(key);
        }
    }

    /// Marks a key as taken by an outstanding job: nothing of it is ready.
    pub fn occupy(&mut self, key: &Key, by: Accepted) {
        let line = self.keys.entry(key.clone()).or_default();
        line.busy = Some(by);
        for (line, head) in line.heads() {
            self.unready(&line, &head);
        }
    }

    /// Frees a key that `by` had taken: the first of each line comes forward.
    pub fn free(&mut self, key: &Key, by: Accepted) {
        let Some(line) = self.keys.get_mut(key) else {
            return;
        };
        if line.busy != Some(by) {
            return;
        }
        line.busy = None;
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

    /// What waits although its time to start has passed.
    pub fn expired(&self, now: Timestamp) -> impl Iterator<Item = Accepted> {
        self.expiring
            .iter()
            .take_while(move |(at, _)| *at <= now)
            .map(|(_, accepted)| *accepted)
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
