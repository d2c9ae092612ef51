//! The workers: the product's own rules for a delivery, its lease and the contact with the broker,
//! under hands that are killed, cut off, paused and stopped.

mod acts;

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::id::WorkerId;
use protocol::leadership::Moment;
use protocol::message::{Handles, Presence, Taken, WorkerSays, WorkerTold};
use protocol::number::{Accepted, Attempt};
use protocol::subject::AttemptName;
use protocol::time::Timestamp;
use protocol::worker::{
    Ask, CancelReason, Connection, Contact, ContactChange, Delivery, ECHO_EVERY, Event, Finish,
    Found, Lease, Plan, Run, pass_on_delay,
};
use protocol::workers::Pong;

use crate::book::Author;
use crate::broker::Work;
use crate::hands::Token;
use crate::packet::{Asked, Packet, Seat};
use crate::world::{QUEUES, World};

/// Jobs that a worker runs at once.
const SLOTS: usize = 4;
/// How long a handler may wind up.
const GRACE: Duration = Duration::from_millis(300);
/// Each so many-th job is one that kills its process.
const POISON: u64 = 61;
/// How often a worker says that it is here.
const HERE_EVERY: Duration = Duration::from_secs(5);

/// A delivery that a worker has.
pub(crate) struct Entry {
    run: Run,
    token: Token,
    name: AttemptName,
    key: Option<String>,
    had_outcome: bool,
    /// A second run beside this one is no fault of the rules.
    pub(crate) is_tainted: bool,
    is_handed_on: bool,
    /// Its handler runs at least so long.
    ends_at: Timestamp,
    /// It heeds neither its cancellation nor its abort.
    is_stuck: bool,
    cancelled: Option<CancelReason>,
}

type Name = (Accepted, Attempt);

/// A worker process.
pub(crate) struct Worker {
    pub(crate) id: WorkerId,
    pub(crate) is_alive: bool,
    pub(crate) is_connected: bool,
    /// The broker has not noticed that the connection is gone.
    pub(crate) is_half_open: bool,
    pub(crate) is_paused: bool,
    pub(crate) is_stopping: bool,
    connection: u64,
    contact: Contact,
    link: Connection,
    pub(crate) runs: BTreeMap<Name, Entry>,
    let_go: Vec<(Moment, Taken)>,
    next_echo: Timestamp,
    next_here: Timestamp,
}

pub(crate) fn moment(now: Timestamp) -> Moment {
    Moment::from_nanos(now.as_millis() * 1_000_000)
}

impl Worker {
    pub(crate) fn new(n: usize, now: Timestamp) -> Self {
        Self {
            id: format!("w{n}").parse().expect("a worker's name"),
            is_alive: true,
            is_connected: true,
            is_half_open: false,
            is_paused: false,
            is_stopping: false,
            connection: 1,
            contact: Contact::new(moment(now)),
            link: Connection {
                broker_time: now,
                at: moment(now),
            },
            runs: BTreeMap::new(),
            let_go: Vec::new(),
            next_echo: now,
            next_here: now,
        }
    }

    pub(crate) const fn is_reached(&self) -> bool {
        self.is_alive && self.is_connected && !self.is_paused
    }

    pub(crate) const fn seat(&self, n: usize) -> Seat {
        let connection = self.connection;
        Seat { n, connection }
    }
}

fn taken(name: &AttemptName, token: Token) -> Taken {
    Taken {
        accepted: name.accepted,
        attempt: name.attempt,
        delivery: token.count,
        ack: token.ack(),
    }
}

impl World {
    pub(crate) fn pong(&self, id: &WorkerId) -> Pong {
        let Some(worker) = self.workers.iter().find(|worker| worker.id == *id) else {
            return Pong::NoResponders;
        };
        match (worker.is_alive, worker.is_connected, worker.is_paused) {
            (true, true, false) => Pong::Answered,
            (true, true, true) => Pong::Silent,
            (true, false, _) if worker.is_half_open => Pong::Silent,
            _ => Pong::NoResponders,
        }
    }

    /// Says something to all coordinators, who may hear it late or not at all.
    fn say(&mut self, n: usize, says: &WorkerSays) {
        if self.workers[n].is_connected {
            for who in 0..self.hands.len() {
                if self.hands[who].deaf_until.is_some() {
                    continue;
                }
                let says = says.clone();
                let not_before = self.lags.get(&(n, who)).copied().unwrap_or_default();
                self.packets.push_back(Packet::Said {
                    who,
                    says,
                    not_before,
                });
            }
        }
    }

    pub(crate) fn here(&mut self, n: usize) {
        let worker = &mut self.workers[n];
        worker.next_here = self.now.after(HERE_EVERY);
        let queues = match worker.is_stopping {
            true => &[],
            false => QUEUES.as_slice(),
        };
        let handles = queues.iter().map(|queue| Handles {
            queue: queue.parse().expect("a queue's name"),
            kinds: Vec::new(),
            slots: u32::try_from(SLOTS).expect("few"),
        });
        let running = worker.runs.values();
        let presence = Presence {
            v: 1,
            worker: worker.id.clone(),
            handles: handles.collect(),
            running: running.map(|e| taken(&e.name, e.token)).collect(),
            host: String::new(),
            pid: 0,
            sdk: String::new(),
            server: String::new(),
        };
        self.say(n, &WorkerSays::Here(presence));
    }

    /// The process dies and is gone, or starts again.
    pub(crate) fn kill(&mut self, n: usize) {
        let worker = &mut self.workers[n];
        worker.runs.clear();
        worker.let_go.clear();
        worker.is_alive = false;
        worker.is_paused = false;
        worker.is_stopping = false;
        worker.connection += 1;
    }

    /// Starts a process that is gone; connects one that was cut off; wakes one that stood still.
    pub(crate) fn heal(&mut self, n: usize) {
        let now = self.now;
        let worker = &mut self.workers[n];
        worker.is_paused = false;
        if !worker.is_alive {
            let connection = worker.connection + 1;
            *worker = Worker {
                connection,
                ..Worker::new(n, now)
            };
            self.here(n);
        } else if !worker.is_connected {
            self.reconnect(n);
        }
    }

    pub(crate) fn reconnect(&mut self, n: usize) {
        let worker = &mut self.workers[n];
        worker.is_connected = true;
        worker.connection += 1;
        worker.link = Connection {
            broker_time: self.now,
            at: moment(self.now),
        };
        self.tell_all(n, &Event::Reconnected);
        self.here(n);
    }

    pub(crate) fn tell_all(&mut self, n: usize, event: &Event) {
        let names: Vec<Name> = self.workers[n].runs.keys().copied().collect();
        for name in names {
            self.tell(n, name, event.clone());
        }
    }

    pub(crate) fn tell(&mut self, n: usize, name: Name, event: Event) {
        let now = moment(self.now);
        if let Some(entry) = self.workers[n].runs.get_mut(&name) {
            let mut out = Vec::new();
            entry.run.handle(now, event, &mut out);
            self.carry_out(n, name, out);
        }
    }

    /// A worker pulls one message.
    pub(crate) fn pull(&mut self, n: usize) -> bool {
        let worker = &self.workers[n];
        if !worker.is_reached() || worker.is_stopping || worker.runs.len() >= SLOTS {
            return false;
        }
        let seat = worker.seat(n);
        let Some((at, work)) = self.broker.hand_out(self.now, &QUEUES) else {
            return false;
        };
        self.holders.insert(work.handout, n);
        let asked = self.now;
        let not_before = self.routes.get(&n).copied().unwrap_or_default();
        let work = Box::new(work);
        self.packets.push_back(Packet::Deliver {
            seat,
            at,
            work,
            asked,
            not_before,
        });
        true
    }

    pub(crate) fn echoed(&mut self, seat: Seat) {
        let now = moment(self.now);
        let worker = &mut self.workers[seat.n];
        if worker.seat(seat.n) == seat && worker.is_reached() {
            let change = worker.contact.heard(now);
            self.contact_changed(seat.n, change);
        }
    }

    fn contact_changed(&mut self, n: usize, change: ContactChange) {
        if matches!(change, ContactChange::Lost | ContactChange::LostAndRegained) {
            self.broker.book.counts.did("lost contacts");
            self.tell_all(n, &Event::Lost);
        }
    }

    pub(crate) fn delivered(&mut self, seat: Seat, at: u64, work: &Work, asked: Timestamp) {
        let n = seat.n;
        if self.workers[n].seat(n) != seat || !self.workers[n].is_reached() {
            return;
        }
        let now = moment(self.now);
        let worker = &mut self.workers[n];
        let lease = self.broker.book.queues.get(&work.queue);
        let lease = Duration::from_millis(lease.map_or(30_000, |conf| conf.lease_ms));
        let delivery = Delivery {
            count: work.deliveries,
            lease: Lease::new(moment(asked), lease),
            suspect: worker.link.suspects(work.deliveries, work.stored, now),
            keyed: work.key.is_some(),
            start_at: match work.key {
                Some(_) => worker.link.keyed_start(work.deliveries, work.stored),
                None => now,
            },
            timeout: None,
            plan: Plan::Run,
        };
        let name = (work.name.accepted, work.name.attempt);
        let token = Token {
            at,
            count: work.deliveries,
            handout: work.handout,
        };
        let took = taken(&work.name, token);
        if let Some(entry) = worker.runs.get_mut(&name) {
            if entry.run.adopt(&delivery) {
                entry.token = token;
                entry.is_tainted |= work.is_tainted;
            } else {
                let delay = pass_on_delay(work.deliveries);
                self.packets.push_back(Packet::Nak { token, delay });
                return;
            }
            self.took(n, took);
            return;
        }
        let mut out = Vec::new();
        let entry = Entry {
            run: Run::new(delivery, GRACE, now, &mut out),
            token,
            name: work.name.clone(),
            key: work.key.clone(),
            had_outcome: work.had_outcome,
            is_tainted: work.is_tainted,
            is_handed_on: false,
            ends_at: self.now,
            is_stuck: false,
            cancelled: None,
        };
        worker.runs.insert(name, entry);
        self.took(n, took);
        self.carry_out(n, name, out);
        self.tell(n, name, Event::Room);
    }

    fn took(&mut self, n: usize, took: Taken) {
        let worker = self.workers[n].id.clone();
        let took = vec![took];
        self.say(n, &WorkerSays::Took { worker, took });
    }

    pub(crate) fn told(&mut self, worker: &WorkerId, told: &WorkerTold) {
        let Some(n) = self.workers.iter().position(|known| known.id == *worker) else {
            return;
        };
        if !self.workers[n].is_reached() {
            return;
        }
        match told {
            WorkerTold::Cancel { accepted, attempt } => {
                self.tell(n, (*accepted, *attempt), Event::Cancel);
            }
            WorkerTold::HandedOn { accepted, attempt } => {
                let name = (*accepted, *attempt);
                if let Some(entry) = self.workers[n].runs.get_mut(&name) {
                    entry.is_handed_on = true;
                }
                self.tell(n, name, Event::HandedOn);
            }
        }
    }

    /// A worker's request arrives at the broker.
    pub(crate) fn asked(&mut self, seat: Seat, name: Name, ask: Ask, what: Asked) {
        let event = match what {
            Asked::Read(_) if self.now < self.broker.silent_until => {
                Event::Read(ask, Found::Unknown)
            }
            Asked::Read(subject) if self.broker.has(&subject) => Event::Read(ask, Found::Outcome),
            Asked::Read(_) => Event::Read(ask, Found::Nothing),
            Asked::Write(subject, body) => {
                let content = (Vec::new(), body);
                let author = Author::Worker;
                let answer = self.broker.write(self.now, author, &subject, content);
                Event::Written(ask, answer)
            }
            Asked::Progress(at) => {
                self.broker.progress(self.now, at);
                Event::Confirmed(ask)
            }
        };
        self.packets.push_back(Packet::Reply { seat, name, event });
    }

    /// The clock moved on: echoes, contact, leases, slots.
    pub(crate) fn look_at_worker(&mut self, n: usize) {
        let (now, worker) = (self.now, &mut self.workers[n]);
        if !worker.is_alive || worker.is_paused {
            return;
        }
        if worker.next_echo <= now {
            worker.next_echo = now.after(ECHO_EVERY);
            if worker.is_connected {
                let seat = worker.seat(n);
                self.packets.push_back(Packet::Echo { seat });
            }
        }
        let change = self.workers[n].contact.look(moment(now));
        self.contact_changed(n, change);
        self.tell_all(n, &Event::Look);
        self.tell_all(n, &Event::Room);
        self.say_let_go(n);
        let worker = &self.workers[n];
        if worker.is_stopping && worker.runs.is_empty() {
            let worker = worker.id.clone();
            self.say(n, &WorkerSays::Gone { worker });
            self.kill(n);
        } else if worker.next_here <= now {
            self.here(n);
        }
    }

    fn say_let_go(&mut self, n: usize) {
        let worker = &mut self.workers[n];
        if worker.let_go.is_empty() || worker.contact.is_lost() || !worker.is_connected {
            return;
        }
        let now = moment(self.now);
        let let_go = std::mem::take(&mut worker.let_go).into_iter();
        let let_go: Vec<Taken> = let_go
            .filter_map(|(until, taken)| (now < until).then_some(taken))
            .collect();
        let worker = worker.id.clone();
        if !let_go.is_empty() {
            self.broker.book.counts.did("let go");
            self.say(n, &WorkerSays::LetGo { worker, let_go });
        }
    }

    /// One of a worker's handlers comes to its end.
    pub(crate) fn finish(&mut self, n: usize) -> bool {
        let worker = &self.workers[n];
        if !worker.is_alive || worker.is_paused {
            return false;
        }
        let is_done = |e: &Entry| (e.cancelled.is_some() && !e.is_stuck) || e.ends_at <= self.now;
        let running = worker.runs.iter().filter(|(_, e)| e.run.is_running());
        let running = running.filter(|(_, e)| is_done(e));
        let running: Vec<Name> = running.map(|(name, _)| *name).collect();
        if running.is_empty() {
            return false;
        }
        let name = running[self.rng.index(running.len())];
        // One in so many jobs kills whatever process runs it.
        if name.0.get().is_multiple_of(POISON) && name.1 == Attempt::FIRST {
            self.fault("handlers that kill their process");
            self.kill(n);
            return true;
        }
        let cancelled = self.workers[n].runs[&name].cancelled;
        let finish = match (cancelled, self.rng.below(10)) {
            (Some(_), 0..5) => Finish::Cancelled(br#"{"v":1,"status":"cancelled"}"#.to_vec()),
            (_, 0..7) => Finish::Completed(br#"{"v":1,"status":"completed"}"#.to_vec()),
            (_, 7) => Finish::Failed(
                br#"{"v":1,"status":"failed","error":{"code":"x","message":"x","permanent":true}}"#
                    .to_vec(),
            ),
            _ => Finish::Failed(br#"{"v":1,"status":"failed"}"#.to_vec()),
        };
        self.tell(n, name, Event::Finished(finish));
        true
    }
}
