//! The model's workers: they pull, read before they run again, run, record, then ack; they die,
//! lose their lease to another, and their writes and acks are late or lost.

use super::broker::Author;
use super::hands::Packet;
use super::{Fault, Sim};
use crate::answer::Answer;
use crate::coordinator::Event;
use crate::id::WorkerId;
use crate::message::{Handles, Presence, Taken, WorkerSays};
use crate::number::Accepted;
use crate::subject::AttemptName;
use crate::workers::Pong;

/// Slots of a worker.
const SLOTS: usize = 2;

/// A worker process.
pub(super) struct Worker {
    pub(super) id: WorkerId,
    pub(super) is_alive: bool,
    runs: Vec<Run>,
}

/// One delivery.
struct Run {
    at: u64,
    name: AttemptName,
    stage: Stage,
    unwanted: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Reads whether there is an outcome.
    Checking,
    Running,
    Recording(&'static str),
    /// The outcome may be there.
    Unsure(&'static str),
    Acking,
}

impl Worker {
    pub(super) fn new(n: usize) -> Self {
        Self {
            id: format!("w{n}").parse().expect("a worker's name"),
            is_alive: true,
            runs: Vec::new(),
        }
    }

    pub(super) fn told(&mut self, worker: &WorkerId, accepted: Accepted) {
        let runs = self.runs.iter_mut().filter(|_| self.id == *worker);
        for run in runs.filter(|run| run.name.accepted == accepted) {
            run.unwanted = true;
        }
    }
}

impl Sim {
    pub(super) fn pong(&self, worker: &WorkerId) -> Pong {
        let found = self.workers.iter().find(|known| known.id == *worker);
        match found.is_some_and(|worker| worker.is_alive) {
            true => Pong::Answered,
            false => Pong::NoResponders,
        }
    }

    /// Says something to both coordinators, who may not hear it.
    fn say(&mut self, says: &WorkerSays) {
        for who in 0..self.hands.len() {
            if self.is_calm || self.rng.one_in(4) == 0 {
                self.event(who, Event::Said(says.clone()));
            }
        }
    }

    pub(super) fn here(&mut self, n: usize) {
        let queue = "q".parse().expect("a queue's name");
        let slots = u32::try_from(SLOTS).expect("few");
        let presence = Presence {
            v: 1,
            worker: self.workers[n].id.clone(),
            handles: vec![Handles {
                queue,
                kinds: Vec::new(),
                slots,
            }],
            running: Vec::new(),
            host: String::new(),
            pid: 0,
            sdk: String::new(),
        };
        self.say(&WorkerSays::Here(presence));
    }

    pub(super) fn kill(&mut self, n: usize) {
        self.workers[n].runs.clear();
        self.workers[n].is_alive = false;
    }

    /// Messages whose holder is gone, or slow, are handed out again.
    pub(super) fn redeliver(&mut self, n: usize) {
        let held: Vec<u64> = self.workers[n].runs.iter().map(|run| run.at).collect();
        for (at, work) in &mut self.broker.work {
            if work.holder == Some(n) && (!self.is_calm || !held.contains(at)) {
                work.holder = None;
            }
        }
    }

    /// A worker pulls one message.
    pub(super) fn pull(&mut self, n: usize) -> bool {
        if !self.workers[n].is_alive || self.workers[n].runs.len() >= SLOTS {
            return false;
        }
        let Some((at, work)) = self
            .broker
            .work
            .iter_mut()
            .find(|(_, w)| w.holder.is_none())
        else {
            return false;
        };
        work.holder = Some(n);
        work.deliveries += 1;
        let taken = Taken {
            accepted: work.name.accepted,
            attempt: work.name.attempt,
            delivery: work.deliveries,
            ack: format!("ack.{at}"),
        };
        let stage = match work.deliveries {
            1 => Stage::Running,
            _ => Stage::Checking,
        };
        self.workers[n].runs.push(Run {
            at: *at,
            name: work.name.clone(),
            stage,
            unwanted: false,
        });
        let worker = self.workers[n].id.clone();
        let took = vec![taken];
        self.say(&WorkerSays::Took { worker, took });
        true
    }

    /// One of a worker's runs goes on by a step.
    pub(super) fn work(&mut self, n: usize) -> bool {
        if self.workers[n].runs.is_empty() {
            return false;
        }
        let pick = self.rng.below(self.workers[n].runs.len());
        let run = &self.workers[n].runs[pick];
        let (name, at, stage, unwanted) = (run.name.clone(), run.at, run.stage, run.unwanted);
        let next = match stage {
            Stage::Checking if self.broker.has_outcome(&name) => Some(Stage::Acking),
            Stage::Checking => Some(Stage::Running),
            Stage::Running => {
                let fails = self.rng.one_in(4) == 0;
                let status = match (unwanted, fails) {
                    (true, _) => "cancelled",
                    (false, true) => "failed",
                    (false, false) => "completed",
                };
                Some(Stage::Recording(status))
            }
            Stage::Recording(status) => Some(self.record_outcome(&name, status)),
            Stage::Unsure(_) if self.broker.has_outcome(&name) => Some(Stage::Acking),
            Stage::Unsure(status) => Some(Stage::Recording(status)),
            Stage::Acking => {
                // A lost ack: the message comes again, and its outcome is found.
                if self.is_calm || self.rng.one_in(4) > 0 {
                    self.broker.work.remove(&at);
                }
                None
            }
        };
        match next {
            Some(stage) => self.workers[n].runs[pick].stage = stage,
            None => {
                self.workers[n].runs.swap_remove(pick);
            }
        }
        true
    }

    fn record_outcome(&mut self, name: &AttemptName, status: &'static str) -> Stage {
        let subject = self.broker.subjects.outcome(name);
        let body = format!(r#"{{"v":1,"status":"{status}"}}"#).into_bytes();
        if self.fault == Some(Fault::AckFirst) {
            // It acks, and dies.
            self.broker.work.retain(|_, work| work.name != *name);
            return Stage::Acking;
        }
        match self.rng.one_in(6) {
            // On its way, without an answer; or lost.
            0 if !self.is_calm => {
                if self.rng.one_in(2) == 0 {
                    self.packets.push(Packet::Outcome(subject, body));
                }
                Stage::Unsure(status)
            }
            // There, without an answer.
            1 if !self.is_calm => {
                let content = (Vec::new(), body);
                self.broker
                    .write(self.now, Author::Other, &subject, content);
                Stage::Unsure(status)
            }
            _ => {
                let content = (Vec::new(), body);
                match self
                    .broker
                    .write(self.now, Author::Other, &subject, content)
                {
                    Answer::Stored(_) => Stage::Acking,
                    _ => Stage::Unsure(status),
                }
            }
        }
    }
}
