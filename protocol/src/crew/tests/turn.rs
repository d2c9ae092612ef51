//! A turn: one thing reaches one process, and what it does about it is done. Its reads and the writes
//! of its own record are answered at once, or not as they should be: nobody else sees a difference
//! between a read that waits and one that is sent later. Plans and evictions travel.

use super::broker::{Broker, NEWEST};
use super::faults::Fate;
use super::life::{Life, NOW};
use super::normal::{self, ASKED};
use super::promises::Broken;
use crate::answer::Answer;
use crate::crew::{Content, Effect, Grant, Input, Key, MemberRecord, Plan, ReadAnswer};
use crate::leadership::Incarnation;
use crate::number::{Epoch, Sequence};

/// What reaches a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Stimulus {
    /// It begins, and has a connection.
    Join,
    Tick,
    /// A watch tells it of all that is new to it.
    Watch,
    Ended(u32),
    /// It goes on after a pause.
    Resume,
    /// The answer that was on its way comes, also as the first thing after a pause.
    Hear,
    Leave,
    Plan,
    Depose,
    /// An older plan is shown again.
    Stale,
    /// The plan or eviction was stored, or refused.
    Wrote(Option<Sequence>),
}

/// A write on its way.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Flight {
    pub(super) author: Incarnation,
    pub(super) id: u64,
    pub(super) key: Key,
    pub(super) expected: Sequence,
    pub(super) content: Content,
    /// Whether it may take longer than this step, and is then not answered.
    pub(super) late: bool,
}

/// What came of a turn, besides the life and the broker.
#[derive(Debug, Clone, Default)]
pub(super) struct Outcome {
    /// Whether the own record was overwritten.
    pub(super) overwrote: bool,
    /// By how much the nonces moved.
    pub(super) nonces: u64,
    /// Whether the plan or eviction that was under way still is.
    pub(super) still_asked: bool,
    pub(super) flights: Vec<Flight>,
    pub(super) starts: Vec<Grant>,
    /// How many writes of the own record there were: so many could have gone wrong.
    pub(super) writes: usize,
}

pub(super) struct Turn<'a> {
    life: &'a mut Life,
    broker: &'a mut Broker,
    fate: Fate,
    outcome: Outcome,
}

/// Lets this reach a process, and carries out what follows.
pub(super) fn take(
    life: &mut Life,
    broker: &mut Broker,
    stimulus: Stimulus,
    fate: Fate,
) -> Result<Outcome, Broken> {
    let mut turn = Turn {
        life,
        broker,
        fate,
        outcome: Outcome::default(),
    };
    turn.reach(stimulus);
    if turn.life.member.wake_at() <= NOW {
        return Err(Broken::Restless(turn.life.me().clone()));
    }
    Ok(turn.end())
}

impl Turn<'_> {
    fn reach(&mut self, stimulus: Stimulus) {
        match stimulus {
            Stimulus::Join => {
                self.life.here = true;
                self.give(Input::Connected);
            }
            Stimulus::Tick => {
                self.life.deaf = self.fate == Fate::Deaf;
                self.life.slow = None;
                self.give(Input::Tick);
            }
            Stimulus::Watch => self.watch(),
            Stimulus::Ended(number) => {
                self.life.ending.retain(|ending| *ending != number);
                self.give(Input::Ended(number));
            }
            Stimulus::Resume => {
                self.life.paused = false;
                self.life.slow = None;
                self.give(Input::Tick);
            }
            Stimulus::Hear => {
                self.life.paused = false;
                if let Some((id, answer)) = self.life.slow.take() {
                    self.give(Input::Wrote(id, answer));
                }
            }
            Stimulus::Leave => self.give(Input::Leave),
            Stimulus::Plan => self.give(Input::Planning(Some(Epoch::new(1)))),
            Stimulus::Depose => {
                self.life.deposed = false;
                self.give(Input::Planning(None));
            }
            Stimulus::Stale => {
                if let Some((revision, plan)) = self.broker.older.first().cloned() {
                    let plan = Content::Plan((*plan).clone());
                    self.give(Input::Seen(Key::Plan, revision, plan));
                }
            }
            Stimulus::Wrote(stored) => {
                let answer = stored.map_or(Answer::WrongLast, Answer::Stored);
                self.give(Input::Wrote(ASKED, answer));
            }
        }
    }

    fn give(&mut self, input: Input) {
        for effect in self.life.member.handle(NOW, input) {
            self.perform(effect);
        }
    }

    fn watch(&mut self) {
        let members: Vec<Incarnation> = self.broker.members.keys().cloned().collect();
        let keys = members.into_iter().map(Key::Member);
        for key in std::iter::once(Key::Plan).chain(keys) {
            if key == Key::Plan || self.life.member.planning {
                let (revision, content) = self.broker.at(&key);
                if revision != Sequence::default() {
                    self.give(Input::Seen(key, revision, content));
                }
            }
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Guard(until) => self.life.guard = Some(until),
            Effect::Unguard => self.life.guard = None,
            Effect::Start(grant) => self.outcome.starts.push(grant),
            Effect::Revoke(number, _) => self.life.ending.push(number),
            Effect::Write {
                id,
                key,
                expected,
                body,
            } => {
                let content = match key {
                    Key::Plan => Content::Plan(Plan::read(&body).unwrap()),
                    Key::Member(_) => {
                        let mut record = MemberRecord::parse(&body).unwrap();
                        normal::record(&mut record);
                        Content::Member(record)
                    }
                };
                let author = self.life.me().clone();
                let late = false;
                self.send(Flight {
                    author,
                    id,
                    key,
                    expected,
                    content,
                    late,
                });
            }
            Effect::Read(id, key) => {
                let answer = if self.life.deaf {
                    ReadAnswer::Failed
                } else {
                    let (revision, content) = self.broker.at(&key);
                    ReadAnswer::Seen(revision, content)
                };
                self.give(Input::Read(id, answer));
            }
            Effect::List(id) => {
                let members = self.broker.members.keys().cloned().collect();
                let answer = (!self.life.deaf).then_some(members);
                self.give(Input::Listed(id, answer));
            }
            Effect::Notify(_) => {}
        }
    }

    fn send(&mut self, mut flight: Flight) {
        if flight.key != Key::Member(flight.author.clone()) {
            self.outcome.flights.push(flight);
            return;
        }
        self.outcome.writes += 1;
        let fate = std::mem::replace(&mut self.fate, Fate::Answered);
        let id = flight.id;
        match fate {
            Fate::Answered | Fate::Deaf => {
                let answer = self.store(&flight);
                self.give(Input::Wrote(id, answer));
            }
            Fate::Unanswered => {
                self.store(&flight);
            }
            Fate::Lost => {}
            Fate::Slow => self.life.slow = Some((id, self.store(&flight))),
            Fate::Late => {
                flight.late = true;
                self.outcome.flights.push(flight);
            }
        }
    }

    fn store(&mut self, flight: &Flight) -> Answer {
        let Flight { key, expected, .. } = flight;
        self.broker.store(key, *expected, &flight.content)
    }

    /// Brings everything to normal.
    fn end(self) -> Outcome {
        let Self {
            life,
            broker,
            mut outcome,
            ..
        } = self;
        let asked = life.member.asked.as_ref().map(|(id, ..)| *id);
        outcome.still_asked = asked == Some(ASKED);
        for flight in &mut outcome.flights {
            flight.id = if asked == Some(flight.id) { ASKED } else { 0 };
        }
        outcome.nonces = normal::settle(life);
        let me = life.me().clone();
        if let Some((revision, record)) = broker.members.get_mut(&me) {
            if *revision > NEWEST {
                outcome.overwrote = true;
                normal::overwritten(life, &me, *revision);
                *revision = NEWEST;
            }
            move_nonce(record, outcome.nonces);
        }
        for flight in &mut outcome.flights {
            flight.move_nonce(outcome.nonces);
        }
        outcome
    }
}

impl Flight {
    /// The nonces of its author moved.
    pub(super) fn move_nonce(&mut self, moved: u64) {
        match &mut self.content {
            Content::Member(record) if self.key == Key::Member(self.author.clone()) => {
                move_nonce(record, moved);
            }
            Content::Member(_) | Content::Plan(_) | Content::Vacant | Content::Foreign(_) => {}
        }
    }
}

fn move_nonce(record: &mut MemberRecord, moved: u64) {
    if record.nonce > 0 {
        record.nonce = record.nonce.wrapping_add(moved);
    }
}
