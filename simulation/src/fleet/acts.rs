//! What a worker's rules decided, carried out in the world, and what must hold when a handler starts.

use std::time::Duration;

use protocol::leadership::Moment;
use protocol::worker::{Ask, DELIVERIES_MAX, Effect, Event, Finish};

use super::{Name, taken};
use crate::hands::Token;
use crate::packet::{Asked, Packet};
use crate::world::World;

impl World {
    pub(super) fn carry_out(&mut self, n: usize, name: Name, effects: Vec<Effect>) {
        let mut is_aborted = false;
        for effect in effects {
            let Some(entry) = self.workers[n].runs.get_mut(&name) else {
                return;
            };
            let token = entry.token;
            let now = self.now;
            self.broker
                .book
                .tell(|| format!("{now} w{n} {} {} {token:?}: {effect:?}", name.0, name.1));
            match effect {
                Effect::Read(ask) => {
                    let subject = self.broker.subjects.outcome(&entry.name);
                    self.ask(n, name, ask, Asked::Read(subject));
                }
                Effect::Write(ask) => {
                    let subject = self.broker.subjects.outcome(&entry.name);
                    let body = entry.run.outcome().unwrap_or_default().to_vec();
                    self.ask(n, name, ask, Asked::Write(subject, body));
                }
                Effect::Progress(ask) => self.progress(n, name, ask),
                Effect::Start => self.started(n, name),
                Effect::Cancel(reason) => entry.cancelled = Some(reason),
                Effect::Abort => is_aborted = !entry.is_stuck,
                Effect::Ack => {
                    let subject = self.broker.subjects.outcome(&entry.name);
                    self.broker.book.counts.did("acks");
                    if !self.broker.has(&subject) {
                        let what = format!("{} {} has no outcome", name.0, name.1);
                        self.broker.book.breaks("no ack before the outcome", what);
                    }
                    if self.workers[n].is_connected {
                        self.packets.push_back(Packet::Ack { at: token.at });
                    }
                }
                Effect::Nak(delay) => self.nak(n, token, delay),
                Effect::LetGo(until) => self.let_go(n, name, until),
                // Its broker is one server.
                Effect::Witness => {}
                Effect::Alarm(_) => self.broker.book.counts.did("alarms of workers"),
                Effect::Forget => {
                    self.workers[n].runs.remove(&name);
                }
            }
        }
        if is_aborted {
            self.tell(n, name, Event::Finished(Finish::Aborted));
        }
    }

    fn ask(&mut self, n: usize, name: Name, ask: Ask, what: Asked) {
        if self.workers[n].is_connected {
            let seat = self.workers[n].seat(n);
            self.packets.push_back(Packet::Ask {
                seat,
                name,
                ask,
                what,
            });
        }
    }

    fn progress(&mut self, n: usize, name: Name, ask: Ask) {
        self.broker.book.counts.did("progress acks");
        let token = self.workers[n].runs[&name].token;
        let work = self.broker.work(token.at);
        if work.is_some_and(|work| work.lapsed >= token.handout) {
            let what = format!("w{n} keeps {token:?} after its lease");
            self.broker.book.breaks("no progress after the lease", what);
        }
        self.ask(n, name, ask, Asked::Progress(token.at));
    }

    fn nak(&mut self, n: usize, token: Token, delay: Duration) {
        self.broker.book.counts.did("naks of workers");
        let work = self.broker.work(token.at);
        if work.is_some_and(|work| work.lapsed >= token.handout) {
            let what = format!("w{n} gave {token:?} back after its lease");
            self.broker.book.breaks("no nak after the lease", what);
        }
        if self.workers[n].is_connected {
            self.packets.push_back(Packet::Nak { token, delay });
        }
    }

    fn let_go(&mut self, n: usize, name: Name, until: Moment) {
        let worker = &mut self.workers[n];
        let entry = &worker.runs[&name];
        let wrong = [
            (entry.is_handed_on, "after it was handed on"),
            (entry.run.is_running(), "while its handler runs"),
        ];
        if let Some((_, why)) = wrong.iter().find(|(is, _)| *is) {
            let what = format!("w{n} let {} {} go {why}", name.0, name.1);
            self.broker.book.breaks("let go", what);
        }
        let taken = taken(&entry.name, entry.token);
        worker.let_go.push((until, taken));
    }

    /// A handler starts: it must be its turn, and that of its key.
    fn started(&mut self, n: usize, name: Name) {
        self.broker.book.counts.did("runs");
        let entry = &self.workers[n].runs[&name];
        let work = self.broker.work(entry.token.at);
        let lapsed = work.is_some_and(|work| work.lapsed >= entry.token.handout);
        // It was recorded between this worker's look at the ledger and now: a straggler from its
        // first moment on, whose token is older than that of whoever comes next.
        let is_straggler = self.broker.book.has_outcome(&entry.name);
        let mut wrong = None;
        if entry.had_outcome {
            wrong = Some(("no run of what is recorded", String::new()));
        } else if entry.token.count > DELIVERIES_MAX {
            wrong = Some(("five deliveries", format!("delivery {}", entry.token.count)));
        } else if lapsed {
            wrong = Some(("no run without its lease", String::new()));
        } else if entry.key.is_some() && !entry.is_tainted && !is_straggler {
            let others = self.workers.iter().enumerate().flat_map(|(other, worker)| {
                let runs = worker.runs.iter().map(move |(at, run)| (other, *at, run));
                runs.filter(|(_, _, run)| run.run.is_running())
            });
            let beside = others
                .filter(|(other, at, _)| (*other, *at) != (n, name))
                // A run whose attempt has its outcome already is a straggler: its token is refused.
                .filter(|(_, _, run)| !self.broker.book.has_outcome(&run.name))
                .find(|(_, _, run)| run.key == entry.key && !run.is_tainted);
            wrong = beside.map(|(other, at, _)| {
                let what = format!("beside {} {} of w{other}, key {:?}", at.0, at.1, entry.key);
                ("no runs of one key at once", what)
            });
        }
        self.lasts(n, name);
        if let Some((rule, what)) = wrong {
            let what = format!("w{n} starts {} {}: {what}", name.0, name.1);
            self.broker.book.breaks(rule, what);
        }
    }

    /// How long the handler that starts will run.
    fn lasts(&mut self, n: usize, name: Name) {
        let length = match self.rng.below(6) {
            0 => self.rng.below(9_000),
            _ => self.rng.below(100),
        };
        let is_stuck = self.rng.once_in(150);
        let length = Duration::from_millis(if is_stuck { 14_000 } else { length });
        let ends_at = self.now.after(length);
        if is_stuck {
            self.fault("stuck handlers");
        }
        if let Some(entry) = self.workers[n].runs.get_mut(&name) {
            entry.ends_at = ends_at;
            entry.is_stuck = is_stuck;
            entry.is_tainted |= is_stuck;
        }
    }
}
