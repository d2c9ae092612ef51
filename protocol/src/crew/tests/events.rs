//! What may happen in the small world, and what it does.

use std::rc::Rc;

use super::broker::Broker;
use super::faults::Fate;
use super::life::{Life, NOW};
use super::model::{Back, DeadMan, Model, PROCESSES, World};
use super::promises::Broken;
use super::turn::Stimulus;
use crate::crew::roll::{Entry, Sign};
use crate::crew::{Key, Standing};

/// What may happen next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// Time goes on, and each process that acts looks around. What comes to it later in a step, it
    /// does after a pause.
    Step([Fate; PROCESSES]),
    Turn(usize, Stimulus, Fate),
    /// A write is stored or refused, and answered.
    Land(usize, Fate),
    /// The same, and the answer is lost.
    Unanswered(usize),
    Drop(usize),
    Delay(usize),
    /// A process dies; the fate is that of the first write of its next life, if it begins at once.
    Crash(usize, Fate),
    Pause(usize),
    DeletePlan,
}

/// What may happen now.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// In this step.
    pub(super) due: Vec<Event>,
    /// At any time.
    pub(super) free: Vec<Event>,
    /// What goes wrong, out of the stock of faults.
    pub(super) faults: Vec<Event>,
}

impl Model {
    pub(super) fn events(&self, world: World) -> Events {
        let mut events = Events::default();
        for (place, flight) in self.flights.get(world.flights).iter().enumerate() {
            if flight.late {
                events.free.push(Event::Unanswered(place));
                continue;
            }
            events.due.push(Event::Land(place, Fate::Answered));
            if world.faults.lost > 0 {
                let lost = [Event::Unanswered(place), Event::Drop(place)];
                events.faults.extend(lost);
            }
            if world.faults.late > 0 {
                events.faults.push(Event::Delay(place));
            }
        }
        let broker = self.brokers.get(world.broker);
        for process in 0..PROCESSES {
            self.events_of(world, process, &broker, &mut events);
        }
        if world.faults.deletions > 0 && broker.plan.is_some() {
            events.faults.push(Event::DeletePlan);
        }
        events
    }

    fn events_of(&self, world: World, process: usize, broker: &Broker, events: &mut Events) {
        let life = self.life(world, process);
        let turn = |stimulus| Event::Turn(process, stimulus, Fate::Answered);
        if !life.here {
            events.free.push(turn(Stimulus::Join));
            return;
        }
        if life.paused {
            events.free.push(turn(Stimulus::Resume));
            if life.slow.is_some() {
                events.free.push(turn(Stimulus::Hear));
            }
            return;
        }
        let ended = life
            .ending
            .iter()
            .map(|number| turn(Stimulus::Ended(*number)));
        events.due.extend(ended);
        if !life.deaf && is_news(broker, &life) {
            events.due.push(turn(Stimulus::Watch));
        }
        if life.slow.is_some() {
            events.free.push(turn(Stimulus::Hear));
        }
        let faults = world.faults;
        if !life.member.planning && !self.has_planner(world) {
            events.free.push(turn(Stimulus::Plan));
        } else if !life.member.planning && faults.planners > 0 {
            events.faults.push(turn(Stimulus::Plan));
        }
        let mut may = |left: u8, event| {
            if left > 0 {
                events.faults.push(event);
            }
        };
        may(faults.crashes, Event::Crash(process, Fate::Answered));
        may(faults.pauses, Event::Pause(process));
        may(faults.leaves, turn(Stimulus::Leave));
        may(faults.stale, turn(Stimulus::Stale));
    }

    fn has_planner(&self, world: World) -> bool {
        let plans = |number| {
            let life = self.lives.get(number);
            life.member.planning && life.acts()
        };
        world.lives.into_iter().any(plans)
    }

    /// What may become of the world, by each event and each fate of the writes that it leads to.
    pub(super) fn happen(
        &mut self,
        world: World,
        event: Event,
    ) -> Vec<(Event, Result<World, Broken>)> {
        match event {
            Event::Step(_) => self.step(world),
            Event::Turn(process, stimulus, _) => {
                let mut world = world;
                self.spend_on(&mut world, process, stimulus);
                let name = |fate| Event::Turn(process, stimulus, fate);
                let turns = self.turns((world, process), stimulus);
                turns
                    .into_iter()
                    .map(|(fate, after)| (name(fate), after))
                    .collect()
            }
            Event::Land(place, _) => self.land_answered(world, place),
            Event::Unanswered(_) | Event::Drop(_) | Event::Delay(_) => {
                vec![(event, self.lose(world, event))]
            }
            Event::Crash(process, _) => self.crash(world, process),
            Event::Pause(_) | Event::DeletePlan => {
                vec![(event, Ok(self.go_wrong(world, event)))]
            }
        }
    }

    /// Some turns are faults.
    fn spend_on(&mut self, world: &mut World, process: usize, stimulus: Stimulus) {
        match stimulus {
            Stimulus::Leave => world.faults.leaves -= 1,
            Stimulus::Stale => world.faults.stale -= 1,
            Stimulus::Plan if self.has_planner(*world) => world.faults.planners -= 1,
            Stimulus::Plan => {
                for other in (0..PROCESSES).filter(|other| *other != process) {
                    if self.life(*world, other).member.planning {
                        self.change(world, other, |life| life.deposed = true);
                    }
                }
            }
            Stimulus::Join | Stimulus::Tick | Stimulus::Watch | Stimulus::Ended(_) => {}
            Stimulus::Resume | Stimulus::Hear | Stimulus::Depose | Stimulus::Wrote(_) => {}
        }
    }

    /// A turn with each fate of the first write of the own record, if there is one.
    fn turns(
        &mut self,
        (world, process): (World, usize),
        stimulus: Stimulus,
    ) -> Vec<(Fate, Result<World, Broken>)> {
        let mut after = world;
        let writes = self.turn(&mut after, process, (stimulus, Fate::Answered));
        let writes_none = matches!(writes, Ok(0));
        let mut turns = vec![(Fate::Answered, writes.map(|_| after))];
        let can_be = |fate: &Fate| match fate {
            Fate::Deaf => stimulus == Stimulus::Tick,
            Fate::Answered | Fate::Unanswered | Fate::Lost | Fate::Late | Fate::Slow => {
                !writes_none
            }
        };
        for fate in world.faults.failures().filter(can_be) {
            let mut after = world;
            after.faults = world
                .faults
                .spent_on(fate)
                .expect("only what is left fails");
            let turned = self.turn(&mut after, process, (stimulus, fate));
            turns.push((fate, turned.map(|_| after)));
        }
        turns
    }

    fn land_answered(&mut self, world: World, place: usize) -> Vec<(Event, Result<World, Broken>)> {
        let name = |fate| Event::Land(place, fate);
        let mut after = world;
        let flight = self.flights.get(world.flights)[place].clone();
        self.change_flights(&mut after, |flights| {
            flights.remove(place);
        });
        let stored = match self.land(&mut after, &flight) {
            Ok(stored) => stored,
            Err(broken) => return vec![(name(Fate::Answered), Err(broken))],
        };
        let hears = |process: &usize| {
            let life = self.life(after, *process);
            *life.me() == flight.author && life.acts()
        };
        // The dead hear nothing; what a paused process finds later is as good as lost.
        let Some(process) = (0..PROCESSES).find(hears).filter(|_| flight.id != 0) else {
            return vec![(name(Fate::Answered), Ok(after))];
        };
        let turns = self.turns((after, process), Stimulus::Wrote(stored));
        turns
            .into_iter()
            .map(|(fate, after)| (name(fate), after))
            .collect()
    }

    /// What becomes of a write, or will.
    fn lose(&mut self, mut world: World, event: Event) -> Result<World, Broken> {
        let flights = self.flights.get(world.flights);
        match event {
            Event::Unanswered(place) => {
                let flight = flights[place].clone();
                if !flight.late {
                    world.faults.lost -= 1;
                }
                self.change_flights(&mut world, |flights| {
                    flights.remove(place);
                });
                self.land(&mut world, &flight)?;
            }
            Event::Drop(place) => {
                world.faults.lost -= 1;
                self.change_flights(&mut world, |flights| {
                    flights.remove(place);
                });
            }
            Event::Delay(place) => {
                world.faults.late -= 1;
                self.change_flights(&mut world, |flights| flights[place].late = true);
            }
            other => unreachable!("{other:?} loses no write"),
        }
        Ok(world)
    }

    fn crash(&mut self, mut world: World, process: usize) -> Vec<(Event, Result<World, Broken>)> {
        world.faults.crashes -= 1;
        self.die(&mut world, process);
        let name = |fate| Event::Crash(process, fate);
        if self.setting.back == Back::AtAnyTime {
            return vec![(name(Fate::Answered), Ok(world))];
        }
        let turns = self.turns((world, process), Stimulus::Join);
        turns
            .into_iter()
            .map(|(fate, after)| (name(fate), after))
            .collect()
    }

    fn go_wrong(&mut self, mut world: World, event: Event) -> World {
        match event {
            Event::Pause(process) => {
                world.faults.pauses -= 1;
                self.change(&mut world, process, |life| life.paused = true);
            }
            Event::DeletePlan => {
                world.faults.deletions -= 1;
                let mut broker = (*self.brokers.get(world.broker)).clone();
                broker.plan = None;
                world.broker = self.brokers.put(broker);
            }
            other => unreachable!("{other:?} is no fault"),
        }
        world
    }

    /// Time goes on. Whose timer has come is killed, paused or not.
    fn step(&mut self, mut world: World) -> Vec<(Event, Result<World, Broken>)> {
        let calm = [Fate::Answered; PROCESSES];
        for process in 0..PROCESSES {
            world.lives[process] = self.age(world.lives[process]);
            let life = self.life(world, process);
            let killed = self.setting.dead_man == DeadMan::On
                && life.guard.is_some_and(|until| until <= NOW);
            if killed && !life.paused {
                return vec![(Event::Step(calm), Err(Broken::Killed(life.me().clone())))];
            }
            let ended =
                life.member.standing() == Standing::Out && life.member.runs().next().is_none();
            if killed || (ended && !life.paused) {
                self.die(&mut world, process);
            }
        }
        self.count_plans(&mut world);
        let mut worlds = vec![(calm, Ok(world))];
        for process in 0..PROCESSES {
            worlds = worlds
                .into_iter()
                .flat_map(|(fates, world)| match world {
                    Ok(world) => self.look_around(world, process, fates),
                    Err(broken) => vec![(fates, Err(broken))],
                })
                .collect();
        }
        let name = |(fates, after)| (Event::Step(fates), after);
        worlds.into_iter().map(name).collect()
    }

    fn look_around(
        &mut self,
        mut world: World,
        process: usize,
        fates: [Fate; PROCESSES],
    ) -> Vec<([Fate; PROCESSES], Result<World, Broken>)> {
        let life: Rc<Life> = self.life(world, process);
        let comes_back = !life.here && self.setting.back == Back::AtOnce;
        if !life.acts() && !comes_back {
            return vec![(fates, Ok(world))];
        }
        if life.deposed {
            let depose = (Stimulus::Depose, Fate::Answered);
            if let Err(broken) = self.turn(&mut world, process, depose) {
                return vec![(fates, Err(broken))];
            }
        }
        let with = |fate| {
            let mut fates = fates;
            fates[process] = fate;
            fates
        };
        let stimulus = if comes_back {
            Stimulus::Join
        } else {
            Stimulus::Tick
        };
        let turns = self.turns((world, process), stimulus);
        turns
            .into_iter()
            .map(|(fate, after)| (with(fate), after))
            .collect()
    }
}

/// Whether a watch has something to tell.
fn is_news(broker: &Broker, life: &Life) -> bool {
    let member = &life.member;
    let planned = broker.revision(&Key::Plan) > member.plan_floor;
    let mut members = broker.members.iter();
    let joined = members.any(|(other, (revision, _))| {
        let is_news = |entry: &Entry| entry.sign != Sign::Gone && *revision > entry.revision;
        member.roll.entries.get(other).is_none_or(is_news)
    });
    planned || (member.planning && joined)
}
