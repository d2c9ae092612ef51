//! What a worker says about itself: what it took, that it is here, that it is gone. Nothing waits
//! for an answer, and nothing depends on who listens.

use std::time::Duration;

use async_nats::HeaderMap;
use protocol::leadership::Moment;
use protocol::message::{Handles, Presence, Taken, WorkerSays};
use protocol::submission::WIRE_VERSION;
use serde::Serialize;

use super::Engine;
use super::deliver::taken;

/// How often the presence bucket is written.
const PRESENCE_EVERY: Duration = Duration::from_secs(5);
/// Most runs that one message names: about 200 kB.
const TAKEN_MAX: usize = 2_000;

impl Engine {
    /// Says what was taken since the last call.
    pub(super) fn announce(&mut self) {
        if self.took.is_empty() {
            return;
        }
        let took = std::mem::take(&mut self.took);
        self.say_took(&took);
        self.took = took;
        self.took.clear();
    }

    fn say_took(&mut self, took: &[Taken]) {
        for some in took.chunks(TAKEN_MAX) {
            self.say(&WorkerSays::Took {
                worker: self.setup.worker.clone(),
                took: some.to_vec(),
            });
        }
    }

    /// Says what is run no longer, once the broker is back.
    pub(super) fn say_let_go(&mut self, now: Moment) {
        if self.let_go.is_empty() || self.contact.is_lost() {
            return;
        }
        let let_go = std::mem::take(&mut self.let_go);
        let let_go: Vec<Taken> = let_go
            .into_iter()
            .filter_map(|(until, taken)| (now < until).then_some(taken))
            .collect();
        for some in let_go.chunks(TAKEN_MAX) {
            self.say(&WorkerSays::LetGo {
                worker: self.setup.worker.clone(),
                let_go: some.to_vec(),
            });
        }
    }

    /// Says all that a new leader needs to know.
    pub(super) fn say_here(&mut self) {
        let mut running = self.running();
        let rest = running.split_off(running.len().min(TAKEN_MAX));
        let presence = self.presence(running);
        self.say(&WorkerSays::Here(presence));
        self.say_took(&rest);
    }

    /// Writes the worker's entry of the presence bucket. Who wants to know of it names a subject for the answer.
    pub(super) fn put_presence(&mut self, reply: Option<String>, now: Moment) {
        self.next_presence = now.after(PRESENCE_EVERY);
        let mut running = self.running();
        running.truncate(TAKEN_MAX);
        let presence = self.presence(running);
        let key = self.broker.names().workers_key(self.setup.worker.as_str());
        match reply {
            Some(reply) => self.outbox.ask(key, reply, json(&presence)),
            None => self.outbox.tell(key, json(&presence)),
        }
    }

    /// Takes the worker out of the presence bucket and tells everybody.
    pub(super) fn say_gone(&mut self) {
        self.say(&WorkerSays::Gone {
            worker: self.setup.worker.clone(),
        });
        let key = self.broker.names().workers_key(self.setup.worker.as_str());
        let mut headers = HeaderMap::new();
        headers.insert("KV-Operation", "DEL");
        self.outbox.tell_with(key, headers, "");
    }

    fn say(&mut self, says: &WorkerSays) {
        let subject = self.subjects.worker_says(&self.setup.worker);
        self.outbox.tell(subject, json(says));
    }

    fn server_name(&self) -> String {
        let info = self.outbox.client().try_server_info();
        info.map(|info| info.server_name).unwrap_or_default()
    }

    fn running(&self) -> Vec<Taken> {
        self.runs.values().map(|entry| taken(&entry.work)).collect()
    }

    fn presence(&self, running: Vec<Taken>) -> Presence {
        // A worker that stops takes nothing more: no slots.
        let handles = if self.stopping.is_some() {
            Vec::new()
        } else {
            self.queues
                .iter()
                .map(|queue| {
                    let mut kinds: Vec<_> = queue.handlers.kinds.keys().cloned().collect();
                    kinds.sort();
                    Handles {
                        queue: queue.handlers.queue.clone(),
                        kinds,
                        slots: queue.handlers.slots,
                    }
                })
                .collect()
        };
        Presence {
            v: WIRE_VERSION,
            worker: self.setup.worker.clone(),
            handles,
            running,
            host: self.setup.host.clone(),
            pid: std::process::id(),
            sdk: env!("CARGO_PKG_VERSION").to_owned(),
            server: self.server_name(),
        }
    }
}

fn json(message: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(message).expect("names and numbers are JSON")
}
