//! Each rule of a crew taken out once, in a world in which it is needed: the search must see harm.

use super::faults::{Faults, NONE};
use super::model::{Back, DeadMan, Setting, Settle};
use super::promises::Harm;
use super::search::search_formed;
use super::worlds::keeps;
use crate::crew::Sharing;
use crate::crew::rules::Omission;

const CRASH: Faults = Faults { crashes: 1, ..NONE };
const LEAVE: Faults = Faults { leaves: 1, ..NONE };
const LOST: Faults = Faults { lost: 3, ..NONE };
const PAUSE: Faults = Faults { pauses: 1, ..NONE };
/// The planner stands still and goes on.
const PAUSE_OF_A_PLANNER: Faults = Faults {
    planners: 1,
    ..PAUSE
};
/// One stands still, and hears no news when it goes on.
const DEAF_AFTER_A_PAUSE: Faults = Faults { lost: 2, ..PAUSE };
/// One leaves and another dies.
const LEAVE_AND_CRASH: Faults = Faults {
    crashes: 1,
    ..LEAVE
};
const STALE: Faults = Faults { stale: 1, ..CRASH };
/// The plan is deleted, and somebody does not hear of it.
const DELETION: Faults = Faults {
    deletions: 1,
    lost: 2,
    ..NONE
};

const THREE: Sharing = Sharing::Partitions(3);

type Row = (Omission, Sharing, Faults, DeadMan, Harm);

const TABLE: [Row; 13] = [
    (
        Omission::TwoSteps,
        THREE,
        LEAVE_AND_CRASH,
        DeadMan::On,
        Harm::Twice,
    ),
    (
        Omission::Acknowledged,
        Sharing::Index,
        CRASH,
        DeadMan::On,
        Harm::Twice,
    ),
    (
        Omission::DrainBeforeWord,
        Sharing::Index,
        LEAVE,
        DeadMan::On,
        Harm::Twice,
    ),
    (
        Omission::GenerationBarrier,
        Sharing::Index,
        CRASH,
        DeadMan::On,
        Harm::Twice,
    ),
    (
        Omission::LeaseWaited,
        THREE,
        PAUSE,
        DeadMan::On,
        Harm::Twice,
    ),
    (
        Omission::Evicted,
        THREE,
        PAUSE_OF_A_PLANNER,
        DeadMan::On,
        Harm::Twice,
    ),
    (
        Omission::EvictedIsOut,
        THREE,
        DEAF_AFTER_A_PAUSE,
        DeadMan::Off,
        Harm::Token,
    ),
    (Omission::FromSending, THREE, LOST, DeadMan::On, Harm::Twice),
    (Omission::PermitEnds, THREE, LOST, DeadMan::On, Harm::Killed),
    (
        Omission::OlderPlanIgnored,
        Sharing::Index,
        STALE,
        DeadMan::On,
        Harm::Twice,
    ),
    (
        Omission::FoundedEmpty,
        THREE,
        DELETION,
        DeadMan::On,
        Harm::Twice,
    ),
    (
        Omission::FoundingWaited,
        THREE,
        DELETION,
        DeadMan::On,
        Harm::Twice,
    ),
    (
        Omission::DrainBeforeLeaving,
        THREE,
        LEAVE,
        DeadMan::On,
        Harm::Twice,
    ),
];

/// The world of a row, with the rule in its place or not.
fn setting(row: Row, omitted: Option<(Omission, Harm)>) -> Setting {
    let (_, sharing, faults, dead_man, _) = row;
    Setting {
        sharing,
        faults,
        omitted,
        dead_man,
        settle: Settle::AtOnce,
        back: Back::AtOnce,
    }
}

#[test]
fn each_rule_is_needed() {
    let mut unnoticed = Vec::new();
    for row in TABLE {
        let (omitted, .., harm) = row;
        let found = search_formed(setting(row, Some((omitted, harm))));
        let states = found.states;
        match found.broken {
            Some((broken, events)) => {
                println!("{omitted:?}: {broken:?} after {events:?}, {states} states");
            }
            None => unnoticed.push((omitted, states)),
        }
    }
    assert!(unnoticed.is_empty(), "nobody noticed: {unnoticed:?}");
}

#[test]
fn with_all_rules_no_harm_is_done_there() {
    let mut worlds: Vec<Setting> = Vec::new();
    for row in TABLE {
        let world = setting(row, None);
        if !worlds.contains(&world) {
            worlds.push(world);
            keeps(world, &search_formed(world));
        }
    }
}
