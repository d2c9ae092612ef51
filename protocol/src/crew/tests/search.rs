//! The search: every state that can be reached, the nearest first, so that what breaks a promise is
//! told in as few events as there can be.

use std::collections::{HashSet, VecDeque};

use super::events::{Event, Events};
use super::faults::Fate;
use super::healing::{Healing, formed};
use super::model::{Model, PROCESSES, Setting, World};
use super::promises::Broken;

/// What a search found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) states: usize,
    pub(super) events: usize,
    /// The longest healing.
    pub(super) steps: u32,
    pub(super) broken: Option<(Broken, Vec<Event>)>,
}

struct Search {
    model: Model,
    healing: Healing,
    seen: HashSet<World>,
    open: VecDeque<(World, u32)>,
    /// How each state came about: from which, by what.
    ways: Vec<(u32, Event)>,
    found: Found,
}

/// The state from which the others come.
const START: u32 = u32::MAX;

/// Three processes that have met.
pub(super) fn search_formed(setting: Setting) -> Found {
    let mut model = Model::new(Setting {
        omitted: None,
        ..setting
    });
    let mut world = formed(&mut model);
    model.omit(&mut world, setting.omitted);
    search(model, world)
}

/// Three processes that have not begun.
pub(super) fn search_unformed(setting: Setting) -> Found {
    let mut model = Model::new(setting);
    let world = model.nobody();
    search(model, world)
}

fn search(model: Model, mut start: World) -> Found {
    start.faults = model.setting.faults;
    let mut search = Search {
        model,
        healing: Healing::default(),
        seen: HashSet::from([start]),
        open: VecDeque::from([(start, START)]),
        ways: Vec::new(),
        found: Found::default(),
    };
    while let Some((world, way)) = search.open.pop_front() {
        search.go_on(world, way);
        if search.found.broken.is_some() {
            break;
        }
    }
    search.found.states = search.seen.len();
    search.found
}

impl Search {
    fn go_on(&mut self, world: World, way: u32) {
        let looked_for = self.model.setting.omitted.map(|(_, harm)| harm);
        if looked_for.is_none() {
            match self.healing.check(&mut self.model, world) {
                Ok(steps) => self.found.steps = self.found.steps.max(steps),
                Err(broken) => {
                    self.found.broken = Some((broken, self.path(way)));
                    return;
                }
            }
        }
        let Events { due, free, faults } = self.model.events(world);
        let step = due
            .is_empty()
            .then_some(Event::Step([Fate::Answered; PROCESSES]));
        let events = due.into_iter().chain(free).chain(faults).chain(step);
        for event in events {
            for (event, after) in self.model.happen(world, event) {
                self.found.events += 1;
                match after {
                    Ok(after) if self.seen.insert(after) => {
                        let next = u32::try_from(self.ways.len()).unwrap();
                        self.ways.push((way, event));
                        self.open.push_back((after, next));
                    }
                    Ok(_) => {}
                    // Where a rule is missing, much goes wrong besides.
                    Err(broken) if looked_for.is_some() && broken.harm() != looked_for => {}
                    Err(broken) => {
                        let mut path = self.path(way);
                        path.push(event);
                        self.found.broken = Some((broken, path));
                        return;
                    }
                }
            }
        }
    }

    fn path(&self, mut way: u32) -> Vec<Event> {
        let mut events = Vec::new();
        while way != START {
            let (before, event) = self.ways[way as usize];
            events.push(event);
            way = before;
        }
        events.reverse();
        events
    }
}
