//! A small world: three processes, a broker, and a stock of faults. Time goes in steps; within a step
//! everything that is due happens, in every order.
//!
//! Lives and brokers are few, worlds are many: a world is the numbers of its parts, and what came of
//! a turn once is not reckoned again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::time::Duration;

use super::broker::{Broker, NEWEST};
use super::faults::{Fate, Faults};
use super::life::{Life, STEP, rules};
use super::normal::{self, Marked};
use super::promises::{self, Broken, Harm, Tokens};
use super::table::Table;
use super::turn::{self, Flight, Outcome, Stimulus};
use crate::answer::Answer;
use crate::crew::plan::Spread;
use crate::crew::rules::{Omission, Omitted};
use crate::crew::{Content, CrewRules, Key, MemberState, Sharing};
use crate::leadership::Incarnation;
use crate::number::Sequence;

pub(super) const PROCESSES: usize = 3;

/// What the world is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) sharing: Sharing,
    pub(super) faults: Faults,
    /// A rule that is taken out, and the harm that is looked for.
    pub(super) omitted: Option<(Omission, Harm)>,
    /// Whether a timer kills a process whose work outlasts its permit.
    pub(super) dead_man: DeadMan,
    pub(super) settle: Settle,
    pub(super) back: Back,
}

/// When a process that died comes back as another life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Back {
    AtOnce,
    /// At any later time, or never.
    AtAnyTime,
}

/// When the plan follows a change of the crew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settle {
    AtOnce,
    /// In the next step.
    Later,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DeadMan {
    On,
    /// Work may overlap; what an older holder sends must be told by its token.
    Off,
}

/// A state of the world, by the numbers of its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) faults: Faults,
    pub(super) lives: [u32; PROCESSES],
    pub(super) broker: u32,
    pub(super) tokens: u32,
    pub(super) flights: u32,
}

type Turned = Rc<Result<(u32, u32, Outcome), Broken>>;

/// The parts of all worlds that were seen, and what comes of them.
pub(super) struct Model {
    pub(super) setting: Setting,
    pub(super) lives: Table<Life>,
    pub(super) brokers: Table<Broker>,
    tokens: Table<Tokens>,
    pub(super) flights: Table<Vec<Flight>>,
    turns: HashMap<(u32, u32, Stimulus, Fate), Turned>,
    aged: HashMap<u32, u32>,
    overwritten: HashMap<(u32, Incarnation), u32>,
    landed: HashMap<(u32, Flight), Landed>,
    fresh: HashMap<(usize, u32), u32>,
    marks: HashMap<u32, Rc<BTreeSet<Sequence>>>,
    broker_marks: HashMap<u32, Rc<BTreeSet<Sequence>>>,
}

/// What came of a write that landed.
#[derive(Debug, Clone)]
struct Landed {
    broker: u32,
    /// Where it stands, if it was stored.
    revision: Option<Sequence>,
    /// Whether the record of a member was overwritten.
    overwrote: bool,
    /// Whether a plan of nothing was followed by one of something.
    began: bool,
}

impl Model {
    pub(super) fn new(setting: Setting) -> Self {
        Self {
            setting,
            lives: Table::new(),
            brokers: Table::new(),
            tokens: Table::new(),
            flights: Table::new(),
            turns: HashMap::new(),
            aged: HashMap::new(),
            overwritten: HashMap::new(),
            landed: HashMap::new(),
            fresh: HashMap::new(),
            marks: HashMap::new(),
            broker_marks: HashMap::new(),
        }
    }

    fn rules(&self) -> CrewRules {
        let omitted = self.setting.omitted.map(|(rule, _)| rule);
        let mut rules = rules(self.setting.sharing, omitted);
        rules.settle = match self.setting.settle {
            Settle::AtOnce => Duration::ZERO,
            Settle::Later => STEP / 2,
        };
        rules
    }

    /// Three processes that have not begun.
    pub(super) fn nobody(&mut self) -> World {
        let lives: Vec<u32> = (0..PROCESSES)
            .map(|process| self.lives.put(Life::new(self.rules(), process, 1)))
            .collect();
        let older_max = usize::from(self.setting.faults.stale) * 2;
        World {
            faults: Faults::default(),
            lives: lives.try_into().unwrap(),
            broker: self.brokers.put(Broker::new(older_max)),
            tokens: self.tokens.put(Tokens::new()),
            flights: self.flights.put(Vec::new()),
        }
    }

    /// Takes a rule out from now on.
    pub(super) fn omit(&mut self, world: &mut World, omitted: Option<(Omission, Harm)>) {
        self.setting.omitted = omitted;
        let rule = omitted.map(|(rule, _)| rule);
        for number in &mut world.lives {
            let mut life = (*self.lives.get(*number)).clone();
            life.member.omit(Omitted { rule });
            *number = self.lives.put(life);
        }
    }

    pub(super) fn life(&self, world: World, process: usize) -> Rc<Life> {
        self.lives.get(world.lives[process])
    }

    pub(super) fn change(
        &mut self,
        world: &mut World,
        process: usize,
        act: impl FnOnce(&mut Life),
    ) {
        let mut life = (*self.life(*world, process)).clone();
        act(&mut life);
        world.lives[process] = self.lives.put(life);
    }

    /// A process is gone; another life of it may begin.
    pub(super) fn die(&mut self, world: &mut World, process: usize) {
        let life = self.life(*world, process);
        world.lives[process] = self.fresh(process, life.number + 1);
        let mut broker = (*self.brokers.get(world.broker)).clone();
        if let Some((_, record)) = broker.members.get_mut(life.me()) {
            // Only its author compares it.
            record.nonce = 0;
        }
        world.broker = self.brokers.put(broker);
        self.change_flights(world, |flights| {
            for flight in flights
                .iter_mut()
                .filter(|flight| flight.author == *life.me())
            {
                flight.id = 0;
                if let Content::Member(record) = &mut flight.content {
                    record.nonce = 0;
                }
            }
        });
    }

    fn fresh(&mut self, process: usize, number: u32) -> u32 {
        if let Some(fresh) = self.fresh.get(&(process, number)) {
            return *fresh;
        }
        let fresh = self.lives.put(Life::new(self.rules(), process, number));
        self.fresh.insert((process, number), fresh);
        fresh
    }

    pub(super) fn change_flights(&mut self, world: &mut World, act: impl FnOnce(&mut Vec<Flight>)) {
        let mut flights = (*self.flights.get(world.flights)).clone();
        act(&mut flights);
        let broker = self.brokers.get(world.broker);
        // What is late and whose place was taken never lands, where revisions do not go back.
        let may_land = |flight: &Flight| {
            let may_go_back = flight.key == Key::Plan && world.faults.deletions > 0;
            !flight.late || may_go_back || flight.expected == broker.revision(&flight.key)
        };
        flights.retain(may_land);
        world.flights = self.flights.put(flights);
    }

    /// Lets this reach a process. Says how many writes could have gone wrong.
    pub(super) fn turn(
        &mut self,
        world: &mut World,
        process: usize,
        (stimulus, fate): (Stimulus, Fate),
    ) -> Result<usize, Broken> {
        let before = (world.lives[process], world.broker, stimulus, fate);
        let turned = match self.turns.get(&before) {
            Some(turned) => Rc::clone(turned),
            None => {
                let turned = Rc::new(self.reckon(before));
                self.turns.insert(before, Rc::clone(&turned));
                turned
            }
        };
        let (life, broker, outcome) = match &*turned {
            Ok(turned) => turned,
            Err(broken) => return Err(broken.clone()),
        };
        world.lives[process] = *life;
        world.broker = *broker;
        let life = self.life(*world, process);
        let me = life.me();
        if outcome.overwrote {
            self.overwrite(world, me, Some(process));
        }
        let in_flight = self.flights.get(world.flights);
        if !in_flight.is_empty() || !outcome.flights.is_empty() {
            self.change_flights(world, |flights| {
                for flight in flights.iter_mut().filter(|flight| flight.author == *me) {
                    flight.move_nonce(outcome.nonces);
                    if !outcome.still_asked {
                        flight.id = 0;
                    }
                }
                flights.extend(outcome.flights.iter().cloned());
            });
        }
        self.check(world, me, outcome)?;
        Ok(outcome.writes)
    }

    fn reckon(
        &mut self,
        (life, broker, stimulus, fate): (u32, u32, Stimulus, Fate),
    ) -> Result<(u32, u32, Outcome), Broken> {
        let mut life = (*self.lives.get(life)).clone();
        let mut broker = (*self.brokers.get(broker)).clone();
        let outcome = turn::take(&mut life, &mut broker, stimulus, fate)?;
        Ok((self.lives.put(life), self.brokers.put(broker), outcome))
    }

    fn check(
        &mut self,
        world: &mut World,
        me: &Incarnation,
        outcome: &Outcome,
    ) -> Result<(), Broken> {
        if outcome.starts.is_empty() {
            return Ok(());
        }
        let mut tokens = (*self.tokens.get(world.tokens)).clone();
        for start in &outcome.starts {
            promises::starts(me, *start, &mut tokens)?;
        }
        world.tokens = self.tokens.put(tokens);
        if self.setting.dead_man == DeadMan::Off {
            return Ok(());
        }
        let lives = world.lives.map(|number| self.lives.get(number));
        promises::apart(self.setting.sharing, &lives)
    }

    /// A member's record was overwritten: what everybody knows of it is not the newest any more.
    fn overwrite(&mut self, world: &mut World, member: &Incarnation, but: Option<usize>) {
        for process in (0..PROCESSES).filter(|process| Some(*process) != but) {
            let key = (world.lives[process], member.clone());
            let number = self.overwritten.get(&key).copied();
            world.lives[process] = number.unwrap_or_else(|| {
                let mut life = (*self.lives.get(key.0)).clone();
                normal::overwritten(&mut life, member, NEWEST.next());
                let number = self.lives.put(life);
                self.overwritten.insert(key, number);
                number
            });
        }
        self.change_flights(world, |flights| {
            let key = Key::Member(member.clone());
            for flight in flights.iter_mut().filter(|flight| flight.key == key) {
                if flight.expected != Sequence::default() {
                    flight.expected = super::broker::OVERWRITTEN;
                }
            }
        });
    }

    /// A write is stored, or refused. Says at which revision it stands, if it does.
    pub(super) fn land(
        &mut self,
        world: &mut World,
        flight: &Flight,
    ) -> Result<Option<Sequence>, Broken> {
        let key = (world.broker, flight.clone());
        let landed = match self.landed.get(&key) {
            Some(landed) => landed.clone(),
            None => {
                let landed = self.store(world.broker, flight)?;
                self.landed.insert(key, landed.clone());
                landed
            }
        };
        if landed.began && self.setting.omitted.is_none() {
            let lives = world.lives.map(|number| self.lives.get(number));
            if lives.iter().any(|life| !life.executes().is_empty()) {
                return Err(Broken::Follows(landed.revision.unwrap_or_default()));
            }
        }
        world.broker = landed.broker;
        if let Key::Member(member) = &flight.key
            && landed.overwrote
        {
            self.overwrite(world, member, None);
        }
        // Others may not land any more.
        self.change_flights(world, |_| {});
        Ok(landed.revision)
    }

    fn store(&mut self, number: u32, flight: &Flight) -> Result<Landed, Broken> {
        let mut broker = (*self.brokers.get(number)).clone();
        let Flight { key, expected, .. } = flight;
        let plan = broker.plan.clone();
        let (_, was) = broker.at(key);
        let mut landed = Landed {
            broker: number,
            revision: None,
            overwrote: false,
            began: false,
        };
        let Answer::Stored(revision) = broker.store(key, *expected, &flight.content) else {
            return Ok(landed);
        };
        landed.revision = Some(revision);
        match key {
            Key::Plan => {
                let before = plan.as_ref().map(|(_, plan)| &**plan);
                landed.began = before.is_some_and(|before| before.spread == Spread::Founding);
                if self.setting.omitted.is_none() {
                    promises::follows(before, &broker)?;
                }
            }
            Key::Member(member) => {
                if matches!(was, Content::Member(was) if was.state != MemberState::Joined) {
                    return Err(Broken::Over(member.clone()));
                }
                let stored = broker.members.get_mut(member).expect("it was just stored");
                landed.overwrote = stored.0 > NEWEST;
                stored.0 = NEWEST;
                landed.revision = Some(NEWEST);
            }
        }
        landed.broker = self.brokers.put(broker);
        Ok(landed)
    }

    /// A step of time for one life.
    pub(super) fn age(&mut self, number: u32) -> u32 {
        if let Some(aged) = self.aged.get(&number) {
            return *aged;
        }
        let mut life = (*self.lives.get(number)).clone();
        if life.here {
            normal::age(&mut life);
        }
        let aged = self.lives.put(life);
        self.aged.insert(number, aged);
        aged
    }

    /// Counts the plans that anything names from one: of older ones only the order matters.
    pub(super) fn count_plans(&mut self, world: &mut World) {
        let mut marks = BTreeSet::new();
        for number in world.lives {
            let lives = &self.lives;
            let known = self.marks.entry(number);
            let known = known.or_insert_with(|| Rc::new(lives.get(number).marks()));
            marks.extend(known.iter().copied());
        }
        let brokers = &self.brokers;
        let known = self.broker_marks.entry(world.broker);
        let known = known.or_insert_with(|| Rc::new(brokers.get(world.broker).marks()));
        marks.extend(known.iter().copied());
        marks.extend(
            self.tokens
                .get(world.tokens)
                .values()
                .map(|(token, _)| *token),
        );
        for flight in &*self.flights.get(world.flights) {
            marks.extend(flight.marks());
        }
        let counted: BTreeMap<Sequence, Sequence> =
            marks.into_iter().zip((1..).map(Sequence::new)).collect();
        if counted.iter().all(|(mark, count)| mark == count) {
            return;
        }
        let count = |mark: &mut Sequence| *mark = counted.get(mark).copied().unwrap_or_default();
        for number in &mut world.lives {
            *number = self.lives.put(marked(&self.lives.get(*number), count));
        }
        world.broker = self
            .brokers
            .put(marked(&self.brokers.get(world.broker), count));
        let mut tokens = (*self.tokens.get(world.tokens)).clone();
        tokens.values_mut().for_each(|(token, _)| count(token));
        world.tokens = self.tokens.put(tokens);
        let flights = self.flights.get(world.flights);
        let flights = flights.iter().map(|flight| marked(flight, count)).collect();
        world.flights = self.flights.put(flights);
    }
}

fn marked<T: Marked>(value: &T, mut act: impl FnMut(&mut Sequence)) -> T {
    let mut value = value.clone();
    value.each_mark(&mut act);
    value
}
