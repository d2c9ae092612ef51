//! What is on its way between coordinators, broker and workers, and what becomes of it on arrival:
//! it is taken, refused, lost, or answered in vain.

use std::time::Duration;

use protocol::answer::Answer;
use protocol::coordinator::{Event, LedgerFacts};
use protocol::effects::RecordWrite;
use protocol::id::WorkerId;
use protocol::message::{EpochBody, WorkerSays, WorkerTold};
use protocol::number::{Accepted, Attempt, Epoch, Sequence};
use protocol::subject::AttemptName;
use protocol::takeover::{Step, WorkTail};
use protocol::time::Timestamp;
use protocol::worker;

use crate::book::Author;
use crate::broker::{Content, Work};
use crate::hands::{Owner, Token};
use crate::world::World;

/// One message.
pub(crate) enum Packet {
    /// A record that a coordinator writes.
    Write {
        owner: Option<Owner>,
        record: RecordWrite,
    },
    /// A step of a takeover or an audit, and what it knew when it began.
    Step {
        owner: Option<Owner>,
        epoch: Epoch,
        step: Step,
        folded: Sequence,
    },
    /// The second half of a look.
    Looked {
        owner: Owner,
        epoch: Epoch,
        last: u64,
        folded: Sequence,
    },
    /// The second half of an audit.
    Audited {
        owner: Owner,
        epoch: Epoch,
        listing: Vec<String>,
    },
    /// A payload is read again.
    Read { owner: Owner, accepted: Accepted },
    /// Anything for a coordinator.
    Answer { owner: Owner, event: Event<'static> },
    /// What a worker says reaches a coordinator.
    Said {
        who: usize,
        says: WorkerSays,
        not_before: Timestamp,
    },
    /// A leader deletes spent work.
    DeleteSpent { name: AttemptName },
    /// What a coordinator tells a worker.
    Told { worker: WorkerId, told: WorkerTold },
    /// A record that somebody else writes.
    Late {
        author: Author,
        subject: String,
        content: Content,
    },
    /// A nak, whoever sends it: which message, and which delivery of it.
    Nak { token: Token, delay: Duration },
    /// A worker's ack.
    Ack { at: u64 },
    /// A message of the work queue on its way to a worker, who asked for it then.
    Deliver {
        seat: Seat,
        at: u64,
        work: Box<Work>,
        asked: Timestamp,
        not_before: Timestamp,
    },
    /// A worker's message to itself comes back.
    Echo { seat: Seat },
    /// A worker asks the broker something.
    Ask {
        seat: Seat,
        name: (Accepted, Attempt),
        ask: worker::Ask,
        what: Asked,
    },
    /// The broker answers a worker.
    Reply {
        seat: Seat,
        name: (Accepted, Attempt),
        event: worker::Event,
    },
}

/// A connection of a worker process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seat {
    pub(crate) n: usize,
    pub(crate) connection: u64,
}

/// What a worker asks.
pub(crate) enum Asked {
    Read(String),
    Write(String, Vec<u8>),
    Progress(u64),
}

/// What keeps its order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Line {
    /// A worker's echoes: they go to its own server and back.
    Echoes(Seat),
    /// Deliveries to a worker: they may come from another server of a cluster, later than echoes.
    Deliveries(Seat),
}

/// The line in which it comes, if there is one.
const fn line_of(packet: &Packet) -> Option<Line> {
    match packet {
        Packet::Deliver { seat, .. } => Some(Line::Deliveries(*seat)),
        Packet::Echo { seat } => Some(Line::Echoes(*seat)),
        _ => None,
    }
}

impl World {
    fn answer(&mut self, owner: Option<Owner>, event: Event<'static>) {
        self.packets
            .extend(owner.map(|owner| Packet::Answer { owner, event }));
    }

    /// The first in the line of the packet at that place, unless it waits: for a worker that stands
    /// still, or for its time.
    fn first_of_its_line(&self, at: usize) -> Option<usize> {
        let line = line_of(self.packets.get(at)?);
        let first = line.and_then(|own| self.packets.iter().position(|p| line_of(p) == Some(own)));
        let at = first.unwrap_or(at);
        let is_held = |n: usize| self.workers[n].is_paused;
        let is_early = |not_before: Timestamp| not_before > self.now && !self.is_calm;
        match self.packets.get(at)? {
            Packet::Reply { seat, .. } | Packet::Echo { seat } if is_held(seat.n) => None,
            Packet::Said { not_before, .. } if is_early(*not_before) => None,
            Packet::Deliver {
                seat, not_before, ..
            } if is_held(seat.n) || is_early(*not_before) => None,
            _ => Some(at),
        }
    }

    /// Something else comes first; what waits in the same line keeps its order.
    fn later(&mut self, at: usize) {
        let own = self.packets.get(at).and_then(line_of);
        if own.is_none() {
            let held = self.packets.remove(at);
            self.packets.extend(held);
            return;
        }
        let all = std::mem::take(&mut self.packets);
        let (held, others): (Vec<Packet>, Vec<Packet>) =
            all.into_iter().partition(|packet| line_of(packet) == own);
        self.packets.extend(others);
        self.packets.extend(held);
    }

    /// A packet arrives. `is_late`: who sent it gave up waiting; it arrives later still, or never.
    pub(crate) fn packet(&mut self, at: usize, is_late: bool) {
        let Some(at) = self.first_of_its_line(at) else {
            self.later(at);
            return;
        };
        let Some(packet) = self.packets.remove(at) else {
            return;
        };
        let packet = if is_late {
            self.late(packet)
        } else {
            Some(packet)
        };
        match packet {
            None => {}
            Some(Packet::Write { owner, record }) => {
                let content = (Vec::new(), record.body);
                let author = Author::Leader;
                let answer = self
                    .broker
                    .write(self.now, author, &record.subject, content);
                let accepted = record.accepted;
                self.answer(owner, Event::Wrote { accepted, answer });
            }
            Some(Packet::Step {
                owner,
                epoch,
                step,
                folded,
            }) => self.take_step(owner, epoch, step, folded),
            Some(Packet::Looked {
                owner,
                epoch,
                last,
                folded,
            }) => self.looked(owner, epoch, last, folded),
            Some(Packet::Audited {
                owner,
                epoch,
                listing,
            }) => {
                let last = self.broker.ledger_last();
                self.broker.book.counts.did("audits");
                self.answer(Some(owner), Event::Audited(epoch, listing, last));
            }
            Some(Packet::Read { owner, accepted }) => self.reread(owner, accepted),
            Some(Packet::Answer { owner, event }) => self.answered(owner, event),
            Some(Packet::Said { who, says, .. }) => self.event(who, Event::Said(says)),
            Some(Packet::Late {
                author,
                subject,
                content,
            }) => {
                self.broker.write(self.now, author, &subject, content);
            }
            Some(Packet::Nak { token, delay }) => self.broker.nak(self.now, token, delay),
            Some(Packet::Ack { at }) => self.broker.ack(at),
            Some(Packet::DeleteSpent { name }) => self.broker.delete_spent(&name),
            Some(packet) => self.packet_of_worker(packet),
        }
    }

    fn packet_of_worker(&mut self, packet: Packet) {
        match packet {
            Packet::Told { worker, told } => self.told(&worker, &told),
            Packet::Deliver {
                seat,
                at,
                work,
                asked,
                ..
            } => self.delivered(seat, at, &work, asked),
            Packet::Echo { seat } => self.echoed(seat),
            Packet::Ask {
                seat,
                name,
                ask,
                what,
            } => self.asked(seat, name, ask, what),
            Packet::Reply { seat, name, event } => self.replied(seat, name, event),
            _ => {}
        }
    }

    /// What was asked before a start is not heard after it.
    fn answered(&mut self, owner: Owner, event: Event<'_>) {
        if self.hands[owner.who].start == owner.start {
            self.event(owner.who, event);
        }
    }

    fn replied(&mut self, seat: Seat, name: (Accepted, Attempt), event: worker::Event) {
        if self.workers[seat.n].seat(seat.n) == seat && self.workers[seat.n].is_reached() {
            self.tell(seat.n, name, event);
        }
    }

    /// Who sent it gave up waiting. What is left of it arrives some time, with nobody to answer.
    fn late(&mut self, packet: Packet) -> Option<Packet> {
        let ghost = match packet {
            Packet::Write {
                owner: Some(owner),
                record,
            } => {
                let (accepted, answer) = (record.accepted, Answer::Unanswered);
                self.answer(Some(owner), Event::Wrote { accepted, answer });
                let owner = None;
                Packet::Write { owner, record }
            }
            Packet::Step {
                owner: Some(owner),
                epoch,
                step: step @ (Step::Fence(_) | Step::Barrier),
                folded,
            } => {
                let event = match step {
                    Step::Barrier => Event::Barred(epoch, Answer::Unanswered),
                    _ => Event::Fenced(epoch, Answer::Unanswered),
                };
                self.answer(Some(owner), event);
                let owner = None;
                Packet::Step {
                    owner,
                    epoch,
                    step,
                    folded,
                }
            }
            lost @ (Packet::Said { .. }
            | Packet::Told { .. }
            | Packet::Ack { .. }
            | Packet::Nak { .. }
            | Packet::DeleteSpent { .. }
            | Packet::Ask { .. }
            | Packet::Reply { .. }) => lost,
            other => return Some(other),
        };
        self.fault("lost or late messages");
        if let Packet::Ask {
            seat,
            name,
            ask,
            what: Asked::Write(..),
        } = &ghost
        {
            let event = worker::Event::Written(*ask, Answer::Unanswered);
            let (seat, name) = (*seat, *name);
            self.packets.push_back(Packet::Reply { seat, name, event });
        }
        if self.rng.once_in(2) {
            let at = self.rng.index(self.packets.len() + 1);
            self.packets.insert(at, ghost);
        }
        None
    }

    fn looked(&mut self, owner: Owner, epoch: Epoch, last: u64, folded: Sequence) {
        let newest_fence = self.broker.newest_fence();
        let last = Sequence::new(last);
        let event = Event::Looked {
            epoch,
            tail: WorkTail { last, newest_fence },
            ledger: LedgerFacts {
                created: self.broker.created,
                last: self.broker.ledger_last(),
                at_folded: self.broker.identity(folded),
            },
        };
        self.answer(Some(owner), event);
    }

    fn reread(&mut self, owner: Owner, accepted: Accepted) {
        if self.hands[owner.who].start != owner.start {
            return;
        }
        let stored = self.broker.stored(accepted.get());
        let payload = stored.map(|stored| stored.body.clone()).unwrap_or_default();
        let payload = &payload;
        self.event(owner.who, Event::Reread { accepted, payload });
    }

    fn take_step(&mut self, owner: Option<Owner>, epoch: Epoch, step: Step, folded: Sequence) {
        match (step, owner) {
            (Step::Look, Some(owner)) => {
                let last = self.broker.work_last();
                self.packets.push_back(Packet::Looked {
                    owner,
                    epoch,
                    last,
                    folded,
                });
            }
            (Step::Fence(expected), _) => {
                let answer = self.broker.fence(self.now, epoch, expected);
                self.answer(owner, Event::Fenced(epoch, answer));
            }
            (Step::List, _) => {
                let is_stale = !self.is_calm && self.rng.once_in(5);
                let listing = match is_stale && !self.broker.stale.is_empty() {
                    true => {
                        self.fault("stale listings");
                        self.broker.stale.clone()
                    }
                    false => self.broker.list(),
                };
                self.answer(owner, Event::Listed(epoch, listing));
            }
            (Step::Barrier, _) => {
                let subject = self.broker.subjects.epoch(epoch);
                let content = (Vec::new(), EpochBody::new("c", "i").to_json());
                let answer = self
                    .broker
                    .write(self.now, Author::Leader, &subject, content);
                self.answer(owner, Event::Barred(epoch, answer));
            }
            (Step::Audit, Some(owner)) => {
                let listing = self.broker.list();
                self.packets.push_back(Packet::Audited {
                    owner,
                    epoch,
                    listing,
                });
            }
            (Step::Look | Step::Audit, None) => {}
        }
    }
}
