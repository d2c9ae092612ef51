//! The model's hands of the coordinators: they carry out effects, whose writes arrive in time, late
//! or without an answer, and bring events back. The leadership comes and goes under them.

use std::collections::VecDeque;

use super::super::tests::shown;
use super::broker::Author;
use super::{Fault, Sim};
use crate::answer::Answer;
use crate::coordinator::{Coordinator, Event, LedgerFacts};
use crate::effects::{Dispatch, Effects};
use crate::message::{EpochBody, WorkerTold};
use crate::number::{Accepted, Attempt, Epoch, Sequence};
use crate::subject::FENCE_LEN;
use crate::takeover::{Step, WorkTail};

/// One start of a coordinator.
pub(super) struct Hands {
    pub(super) rules: Coordinator,
    pub(super) start: u64,
    pub(super) folded: u64,
    /// What the election has to say, in order.
    pub(super) news: VecDeque<Event<'static>>,
}

/// Whom an answer goes to: a coordinator, and which start of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) who: usize,
    pub(super) start: u64,
}

/// What is on its way to the broker, or from there.
pub(super) enum Packet {
    /// A record that a coordinator writes.
    Write(Option<Owner>, Accepted, String, Vec<u8>),
    /// A step of a takeover or an audit, and what it knew when it began.
    Step(Option<Owner>, Epoch, Step, Sequence),
    /// The second half of a look, or of an audit.
    Looked(Owner, Epoch, Sequence, Sequence),
    Audited(Owner, Epoch, Vec<String>),
    /// A late outcome of a worker.
    Outcome(String, Vec<u8>),
    Read(Owner, Accepted),
    Answer(Owner, Event<'static>),
}

/// The writes of one leadership into the work queue: they arrive in their order.
pub(super) struct Pipe {
    pub(super) owner: Option<Owner>,
    pub(super) writes: VecDeque<Dispatch>,
}

impl Sim {
    fn owner(&self, who: usize) -> Owner {
        let start = self.hands[who].start;
        Owner { who, start }
    }

    /// One event for a coordinator, and all that it wants done.
    pub(super) fn event(&mut self, who: usize, event: Event<'_>) {
        let effects = self.hands[who].rules.handle(self.now, event);
        self.perform(who, effects);
    }

    fn perform(&mut self, who: usize, effects: Effects) {
        let owner = self.owner(who);
        if self.is_told && !effects.is_empty() {
            for line in shown::lines(&effects, false) {
                println!("{} coordinator {who}.{}: {line}", self.now, owner.start);
            }
        }
        if let Some(stop) = effects.stop {
            self.broker
                .breaks(format!("coordinator {who} stopped: {stop:?}"));
        }
        if effects.drop_writes {
            self.drop_pipe(owner);
        }
        if let Some(floor) = effects.advance {
            self.advance(owner, floor);
        }
        if let Some((epoch, step)) = effects.step {
            let folded = self.hands[who].rules.ledger().last_sequence();
            self.packets
                .push(Packet::Step(Some(owner), epoch, step, folded));
        }
        if !effects.dispatch.is_empty() {
            self.send(owner, effects.dispatch);
        }
        for record in effects.records {
            let write = Packet::Write(Some(owner), record.accepted, record.subject, record.body);
            self.packets.push(write);
        }
        for rescue in effects.rescues {
            self.hand_out_again(rescue.accepted, rescue.attempt);
        }
        for (worker, told) in effects.told {
            if let WorkerTold::Cancel { accepted, .. } = told {
                self.workers
                    .iter_mut()
                    .for_each(|w| w.told(&worker, accepted));
            }
        }
        for worker in effects.pings {
            let pong = self.pong(&worker);
            self.packets
                .push(Packet::Answer(owner, Event::Ponged(worker, pong)));
        }
        let reads = effects.reread.into_iter().map(|n| Packet::Read(owner, n));
        self.packets.extend(reads);
    }

    fn hand_out_again(&mut self, accepted: Accepted, attempt: Attempt) {
        for work in self.broker.work.values_mut() {
            if (work.name.accepted, work.name.attempt) == (accepted, attempt) {
                work.holder = None;
            }
        }
    }

    fn send(&mut self, owner: Owner, writes: Vec<Dispatch>) {
        let pipe = self.pipes.iter_mut().find(|pipe| pipe.owner == Some(owner));
        match pipe {
            Some(pipe) => pipe.writes.extend(writes),
            None => self.pipes.push(Pipe {
                owner: Some(owner),
                writes: writes.into(),
            }),
        }
    }

    /// What was not handed to the socket is dropped; what was arrives some time.
    fn drop_pipe(&mut self, owner: Owner) {
        let at = self.pipes.iter().position(|pipe| pipe.owner == Some(owner));
        if let Some(at) = at {
            let sent = self.rng.below(self.pipes[at].writes.len() + 1);
            self.pipes[at].writes.truncate(sent);
            self.pipes[at].owner = None;
        }
    }

    /// A new epoch by compare-and-set on the own lease.
    fn advance(&mut self, owner: Owner, floor: Epoch) {
        let news = match self.lease {
            Some((holder, epoch)) if holder == owner => {
                let epoch = epoch.max(floor).next();
                self.lease = Some((owner, epoch));
                Event::Won(epoch)
            }
            Some(_) | None => Event::Lost,
        };
        self.hands[owner.who].news.push_back(news);
    }

    /// Another coordinator wins the lease; the one before learns of it some time.
    pub(super) fn win(&mut self, who: usize) {
        let owner = self.owner(who);
        if let Some((before, _)) = self.lease.filter(|(holder, _)| *holder != owner)
            && self.hands[before.who].start == before.start
        {
            self.hands[before.who].news.push_back(Event::Lost);
        }
        let epochs = [
            self.lease.map(|(_, epoch)| epoch),
            self.broker.newest_fence(),
            Some(self.broker.observer.newest_epoch()),
        ];
        let epoch = epochs
            .into_iter()
            .flatten()
            .max()
            .unwrap_or_default()
            .next();
        self.lease = Some((owner, epoch));
        self.hands[who].news.push_back(Event::Won(epoch));
    }

    /// The broker does not answer for a while; nobody else leads in between, or somebody does.
    pub(super) fn suspend(&mut self, who: usize) {
        if self
            .lease
            .is_some_and(|(holder, _)| holder == self.owner(who))
        {
            self.hands[who].news.push_back(Event::Suspended);
            self.hands[who].news.push_back(Event::Resumed);
        }
    }

    /// The process dies and starts again, having folded nothing.
    pub(super) fn crash(&mut self, who: usize) {
        self.drop_pipe(self.owner(who));
        let start = self.hands[who].start + 1;
        self.hands[who] = Hands {
            rules: self.coordinator(),
            start,
            folded: 0,
            news: VecDeque::new(),
        };
    }

    pub(super) fn fold(&mut self, who: usize) -> bool {
        let next = self.hands[who].folded + 1;
        let (now, rules) = (self.now, &mut self.hands[who].rules);
        let effects = self
            .broker
            .record(next, |record| rules.handle(now, Event::Record(record)));
        let Some(effects) = effects else {
            return false;
        };
        self.hands[who].folded = next;
        self.perform(who, effects);
        true
    }

    pub(super) fn news(&mut self, who: usize) -> bool {
        let news = self.hands[who].news.pop_front();
        let has_news = news.is_some();
        if let Some(event) = news {
            self.event(who, event);
        }
        has_news
    }

    /// The next write of a pipe arrives. `is_late`: its leader gave up waiting before.
    pub(super) fn pipe(&mut self, at: usize, is_late: bool) {
        let pipe = &mut self.pipes[at];
        let owner = pipe.owner;
        if let (true, Some(owner), Some(write)) = (is_late, owner, pipe.writes.front()) {
            let tag = write.tag;
            let answer = Answer::Unanswered;
            self.answer(Some(owner), Event::Dispatched { tag, answer });
            // The write itself is on its way all the same, and what follows it too; or it is lost.
            if self.rng.one_in(2) == 0 {
                self.pipes[at].writes.pop_front();
            }
            return;
        }
        if let Some(write) = pipe.writes.pop_front() {
            let answer = self.broker.dispatch(&write);
            let tag = write.tag;
            self.answer(owner, Event::Dispatched { tag, answer });
        }
    }

    fn answer(&mut self, owner: Option<Owner>, event: Event<'static>) {
        self.packets
            .extend(owner.map(|owner| Packet::Answer(owner, event)));
    }

    /// A packet arrives. `is_late`: who sent it gave up waiting before; it arrives later still.
    pub(super) fn packet(&mut self, at: usize, is_late: bool) {
        let packet = self.packets.remove(at);
        match packet {
            Packet::Write(Some(owner), accepted, subject, body) if is_late => {
                let answer = Answer::Unanswered;
                self.answer(Some(owner), Event::Wrote { accepted, answer });
                if self.rng.one_in(2) == 0 {
                    let write = Packet::Write(None, accepted, subject, body);
                    self.packets.push(write);
                }
            }
            Packet::Write(owner, accepted, subject, body) => {
                let content = (Vec::new(), body);
                let answer = self
                    .broker
                    .write(self.now, Author::Leader, &subject, content);
                self.answer(owner, Event::Wrote { accepted, answer });
            }
            Packet::Step(Some(owner), epoch, step @ (Step::Fence(_) | Step::Barrier), n)
                if is_late =>
            {
                let event = match step {
                    Step::Barrier => Event::Barred(epoch, Answer::Unanswered),
                    _ => Event::Fenced(epoch, Answer::Unanswered),
                };
                self.answer(Some(owner), event);
                if self.rng.one_in(2) == 0 {
                    self.packets.push(Packet::Step(None, epoch, step, n));
                }
            }
            Packet::Step(owner, epoch, step, folded) => self.step(owner, epoch, step, folded),
            Packet::Looked(owner, epoch, last, folded) => {
                let newest_fence = self.broker.newest_fence();
                let event = Event::Looked {
                    epoch,
                    tail: WorkTail { last, newest_fence },
                    ledger: LedgerFacts {
                        created: crate::time::Timestamp::from_millis(1),
                        last: self.broker.ledger_last(),
                        at_folded: self.broker.identity(folded),
                    },
                };
                self.answer(Some(owner), event);
            }
            Packet::Audited(owner, epoch, listing) => {
                let last = self.broker.ledger_last();
                self.answer(Some(owner), Event::Audited(epoch, listing, last));
            }
            Packet::Outcome(subject, body) => {
                let content = (Vec::new(), body);
                self.broker
                    .write(self.now, Author::Other, &subject, content);
            }
            Packet::Read(owner, accepted) => {
                let payload = self.payload(accepted);
                self.answer(Some(owner), Event::Reread { accepted, payload });
            }
            Packet::Answer(owner, event) => {
                if self.hands[owner.who].start == owner.start {
                    self.event(owner.who, event);
                }
            }
        }
    }

    fn step(&mut self, owner: Option<Owner>, epoch: Epoch, step: Step, folded: Sequence) {
        let barrier = |sim: &mut Self| {
            let subject = sim.broker.subjects.epoch(epoch);
            let content = (Vec::new(), EpochBody::new("c", "i").to_json());
            sim.broker.write(sim.now, Author::Leader, &subject, content)
        };
        match (step, owner) {
            (Step::Look, Some(owner)) => {
                let last = self.broker.work_last();
                self.packets
                    .push(Packet::Looked(owner, epoch, last, folded));
            }
            (Step::Fence(expected), _) => {
                let answer = self.broker.fence(epoch, expected);
                self.answer(owner, Event::Fenced(epoch, answer));
            }
            (Step::List, _)
                if self.fault == Some(Fault::BarrierFirst) && folded.get() < u64::MAX =>
            {
                barrier(self);
                let later = Packet::Step(owner, epoch, Step::List, Sequence::new(u64::MAX));
                self.packets.push(later);
            }
            (Step::List, _) => {
                let listing = self.listing(epoch);
                self.answer(owner, Event::Listed(epoch, listing));
            }
            (Step::Barrier, _) => {
                let subject = self.broker.subjects.epoch(epoch);
                let answer = match self.broker.ledger.iter().position(|r| r.subject == subject) {
                    Some(at) if self.fault == Some(Fault::BarrierFirst) => {
                        Answer::Stored(Sequence::new(u64::try_from(at + 1).expect("short")))
                    }
                    Some(_) | None => barrier(self),
                };
                self.answer(owner, Event::Barred(epoch, answer));
            }
            (Step::Audit, Some(owner)) => {
                let listing = self.broker.list();
                self.packets.push(Packet::Audited(owner, epoch, listing));
            }
            (Step::Look | Step::Audit, None) => {}
        }
    }

    /// The listing of a takeover; a planted fault lists without what was stored last.
    fn listing(&self, epoch: Epoch) -> Vec<String> {
        let mut listing = self.broker.list();
        if self.fault == Some(Fault::StaleListing) {
            let fence = self.broker.subjects.fence_of(epoch);
            let fence = fence.trim_end_matches('*');
            let work = listing.iter().filter(|s| !s.starts_with(fence)).count();
            let keep = usize::try_from(FENCE_LEN).expect("a short fence") + work / 2;
            listing.truncate(keep);
        }
        listing
    }
}
