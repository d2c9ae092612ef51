//! A durable pull consumer of a work queue as a single server keeps it: what was handed out how
//! often, when it is handed out again, and acks of all kinds, which name a message and no delivery.
//!
//! It knows nothing of jobs. `tests/tests/conformance` asks it and a real nats-server the same.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use protocol::time::Timestamp;

use crate::stream::Stream;

/// One handing out of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handout {
    /// Which message.
    pub sequence: u64,
    /// How often it was handed out, as far as the server remembers.
    pub count: u64,
}

#[derive(Debug, Clone)]
struct Held {
    count: u64,
    wait: Wait,
}

/// When a message that was handed out is handed out again.
#[derive(Debug, Clone, Copy)]
enum Wait {
    /// When its holder was silent until then.
    Lease(Timestamp),
    /// Then, as a nak said.
    Delay(Timestamp),
    /// At the next pull.
    Over,
}

impl Wait {
    const fn until(self) -> Option<Timestamp> {
        match self {
            Self::Lease(at) | Self::Delay(at) => Some(at),
            Self::Over => None,
        }
    }
}

/// A consumer.
#[derive(Debug, Clone)]
pub struct Consumer {
    ack_wait: Duration,
    /// The first message that was never handed out.
    next: u64,
    held: BTreeMap<u64, Held>,
    again: VecDeque<u64>,
    passed_over: BTreeSet<u64>,
}

impl Consumer {
    /// One that hands out again what is not acked within `ack_wait`.
    #[must_use]
    pub const fn new(ack_wait: Duration) -> Self {
        Self {
            ack_wait,
            next: 1,
            held: BTreeMap::new(),
            again: VecDeque::new(),
            passed_over: BTreeSet::new(),
        }
    }

    /// From now on this is waited for.
    pub const fn set_ack_wait(&mut self, ack_wait: Duration) {
        self.ack_wait = ack_wait;
    }

    /// What is due again comes first, then the next message that it takes.
    pub fn pull<T>(
        &mut self,
        now: Timestamp,
        stream: &Stream<T>,
        takes: impl Fn(&str) -> bool,
    ) -> Option<Handout> {
        while let Some(sequence) = self.again.pop_front() {
            // What is gone from the stream is forgotten.
            if stream.get(sequence).is_none() {
                self.held.remove(&sequence);
            } else if let Some(held) = self.held.get_mut(&sequence) {
                held.count += 1;
                held.wait = Wait::Lease(now.after(self.ack_wait));
                let count = held.count;
                return Some(Handout { sequence, count });
            }
        }
        let found = stream
            .from(self.next)
            .find(|(at, subject, _)| takes(subject) && !self.passed_over.contains(at));
        let Some((sequence, ..)) = found else {
            self.next = stream.last() + 1;
            return None;
        };
        self.next = sequence + 1;
        let wait = Wait::Lease(now.after(self.ack_wait));
        self.held.insert(sequence, Held { count: 1, wait });
        Some(Handout { sequence, count: 1 })
    }

    /// The clock moved on: what waited long enough is due again. Returns that whose holder was silent.
    pub fn look(&mut self, now: Timestamp) -> Vec<u64> {
        let mut due: Vec<(Timestamp, u64)> = Vec::new();
        let mut lapsed = Vec::new();
        for (sequence, held) in &mut self.held {
            if let Some(until) = held.wait.until().filter(|until| *until <= now) {
                if matches!(held.wait, Wait::Lease(_)) {
                    lapsed.push(*sequence);
                }
                held.wait = Wait::Over;
                due.push((until, *sequence));
            }
        }
        due.sort_unstable();
        self.again
            .extend(due.into_iter().map(|(_, sequence)| sequence));
        lapsed
    }

    /// When something is due again, unless an ack of some kind comes before.
    #[must_use]
    pub fn next_time(&self) -> Option<Timestamp> {
        self.held
            .values()
            .filter_map(|held| held.wait.until())
            .min()
    }

    /// An ack, whoever sends it and for whichever delivery. Returns whether the message is done;
    /// one that was never handed out is not.
    pub fn ack(&mut self, sequence: u64) -> bool {
        let was_handed_out = sequence < self.next;
        if was_handed_out && self.held.remove(&sequence).is_some() {
            self.again.retain(|due| *due != sequence);
        }
        was_handed_out
    }

    /// A nak, whoever sends it and for whichever delivery: it is handed out again after `delay`.
    pub fn nak(&mut self, now: Timestamp, sequence: u64, delay: Duration) {
        let Some(held) = self.held.get_mut(&sequence) else {
            return;
        };
        match held.wait {
            // It goes on waiting for the next pull.
            Wait::Over => {}
            Wait::Lease(_) | Wait::Delay(_) if delay.is_zero() => {
                held.wait = Wait::Over;
                self.again.push_back(sequence);
            }
            Wait::Lease(_) | Wait::Delay(_) => held.wait = Wait::Delay(now.after(delay)),
        }
    }

    /// A progress ack, whoever sends it and for whichever delivery.
    pub fn progress(&mut self, now: Timestamp, sequence: u64) {
        if let Some(held) = self.held.get_mut(&sequence)
            && held.wait.until().is_some()
        {
            held.wait = Wait::Lease(now.after(self.ack_wait));
        }
    }

    /// It never hands this one out again.
    pub fn pass_over(&mut self, sequence: u64) {
        self.passed_over.insert(sequence);
    }

    /// A server that was killed forgot what it had not written down: all, at the worst.
    pub fn forget(&mut self) {
        self.next = 1;
        self.held.clear();
        self.again.clear();
    }
}

/// What becomes of the messages that were acked last when their server is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acked {
    /// They are gone.
    StaysAway,
    /// They are there again, and are handed out again.
    ComesBack,
    /// They are there again, and their consumer, which knows that they were acked, passes over them.
    IsStranded,
}
