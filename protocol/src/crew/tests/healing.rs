//! No more faults: soon everything is held, and stays so. Asked of each state that a search finds.

use std::collections::HashMap;

use super::events::{Event, Events};
use super::faults::{Fate, Faults};
use super::model::{Model, PROCESSES, World};
use super::promises::Broken;
use super::turn::Stimulus;
use crate::crew::{Sharing, Standing};

/// Steps after the last fault within which everything is held: a lease to find out who is gone, a
/// lease to found a plan, and the steps of a plan.
const STEPS_TO_HEAL: u32 = 8;
/// So many steps a crew is given to form.
const STEPS_TO_FORM: u32 = 20;

/// How many steps each world is, without faults, from one in which everything is held for good.
#[derive(Debug, Default)]
pub(super) struct Healing {
    steps: HashMap<World, u32>,
}

impl Healing {
    /// From here, without faults, everything is held soon and for good. Says in how many steps.
    pub(super) fn check(&mut self, model: &mut Model, world: World) -> Result<u32, Broken> {
        let mut way: Vec<(World, bool)> = Vec::new();
        let mut now = World {
            faults: Faults::default(),
            ..world
        };
        let mut steps = loop {
            if let Some(steps) = self.steps.get(&now) {
                break *steps;
            }
            let round = way.iter().position(|(before, _)| *before == now);
            if let Some(round) = round {
                // It goes round: what is not held now never will be.
                let mut worlds = way[round..].iter();
                if !worlds.all(|(world, _)| is_whole(model, *world)) {
                    return Err(Broken::Unheld(held(model, now)));
                }
                break 0;
            }
            let (after, is_step) = calm_event(model, now)?;
            way.push((now, is_step));
            now = after;
        };
        for (world, is_step) in way.into_iter().rev() {
            let heals = steps > 0 || !is_whole(model, world);
            steps += u32::from(heals && (is_step || steps == 0));
            if steps > STEPS_TO_HEAL {
                return Err(Broken::Unheld(held(model, world)));
            }
            self.steps.insert(world, steps);
        }
        Ok(steps)
    }
}

fn held(model: &Model, world: World) -> Vec<u32> {
    let lives = world.lives.map(|number| model.lives.get(number));
    let runs = lives.iter().flat_map(|life| life.executes());
    let mut held: Vec<u32> = runs.map(|grant| grant.number).collect();
    held.sort_unstable();
    held
}

/// Whether everybody is a member, and everything is held once.
fn is_whole(model: &Model, world: World) -> bool {
    let is_member = |number| {
        let life = model.lives.get(number);
        matches!(life.member.standing(), Standing::Member(_))
    };
    let shares = match model.setting.sharing {
        Sharing::Partitions(count) => count,
        Sharing::Index => u32::try_from(PROCESSES).unwrap(),
    };
    let wanted: Vec<u32> = (0..shares).collect();
    world.lives.into_iter().all(is_member) && held(model, world) == wanted
}

/// The next thing that happens where there are no faults; whether it is a step of time.
fn calm_event(model: &mut Model, world: World) -> Result<(World, bool), Broken> {
    let Events { due, free, .. } = model.events(world);
    let next = due.into_iter().chain(free).next();
    let is_step = next.is_none();
    let event = next.unwrap_or(Event::Step([Fate::Answered; PROCESSES]));
    let (_, after) = model.happen(world, event).swap_remove(0);
    Ok((after?, is_step))
}

/// Three processes that have met, in which everything is held.
pub(super) fn formed(model: &mut Model) -> World {
    let mut world = model.nobody();
    // One after the other, so that nobody is evicted by a planner that is not a member yet.
    for process in 0..PROCESSES {
        let join = Event::Turn(process, Stimulus::Join, Fate::Answered);
        world = model.happen(world, join).swap_remove(0).1.unwrap();
    }
    let mut steps = 0;
    while steps < STEPS_TO_FORM {
        let (after, is_step) = calm_event(model, world).unwrap();
        world = after;
        steps += u32::from(is_step);
    }
    assert!(is_whole(model, world), "{:?}", held(model, world));
    world
}
